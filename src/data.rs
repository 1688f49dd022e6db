//! Data sources: samples in memory, in files, or from a source of your own.
//!
//! Everything that a [`Trainer`](crate::Trainer) reads is [`Samples`]: matrices, an [`NpyFile`], an
//! [`IdxFile`], several files as [`Shards`], some samples as a [`Subset`], inputs and targets as [`Pairs`], several
//! sources side by side as [`Joined`], or samples scaled, imputed, or encoded on reading ([`ScaledSamples`],
//! [`ImputedSamples`], [`EncodedSamples`]).
//! A [`ShuffleBuffer`] turns a stream of [`Chunk`]s into batches. [`Scaling`] learns a [`Scaler`], an
//! [`Imputer`] fills missing values, [`Corruption`] adds noise to the input, and [`geometric_median`] locates the
//! center of a dataset.

mod batches;
pub(crate) mod byte_source;
mod corruption;
pub(crate) mod dtype;
pub(crate) mod file_kind;
mod geometric_median;
mod gzip;
mod idx_file;
pub(crate) mod imputer;
pub(crate) mod in_order;
mod joined;
pub(crate) mod npy_file;
pub(crate) mod pairs;
pub(crate) mod regular_file;
pub(crate) mod samples;
mod scaling;
mod shards;
mod shuffle_buffer;
pub(crate) mod spread;
pub(crate) mod stored_array;
mod subset;

pub use batches::Batches;
pub use corruption::Corruption;
pub use geometric_median::geometric_median;
pub use idx_file::IdxFile;
pub use imputer::{ImputedSamples, Imputer, MissingValues};
pub use joined::Joined;
pub use npy_file::NpyFile;
pub use pairs::Pairs;
pub use samples::Samples;
#[cfg(feature = "ndarray")]
pub(crate) use samples::check_read;
pub use scaling::{ScaledSamples, Scaler, Scaling};
pub use shards::Shards;
pub use shuffle_buffer::{Chunk, ShuffleBuffer};
pub use subset::Subset;
