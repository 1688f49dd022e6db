//! What the examples share: readers of data, pictures, and the methods for comparison.

mod idx_files;
mod npy_files;
mod support;
