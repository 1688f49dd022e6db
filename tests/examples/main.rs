//! What the examples share: readers of data, pictures, and the methods for comparison.

mod mnist_files;
mod support;
