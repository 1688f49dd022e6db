//! MNIST and other data in its format, plain or compressed with gzip.

use std::error::Error;
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use sparse_autoencoder::IdxFile;
use sparse_autoencoder::nalgebra::DMatrix;

/// Pictures of digits with their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Labeled {
    /// Pixels × pictures, gray values in [0, 1], row by row.
    pub samples: DMatrix<f32>,
    pub labels: Vec<usize>,
}

impl Labeled {
    pub fn new(samples: DMatrix<f32>, labels: Vec<u8>) -> Self {
        Self {
            samples,
            labels: labels.into_iter().map(usize::from).collect(),
        }
    }

    /// Returns the pictures whose index and label `chosen` accepts.
    pub fn select(&self, chosen: impl Fn(usize, usize) -> bool) -> Self {
        let indices = (0..self.labels.len()).filter(|&index| chosen(index, self.labels[index]));
        self.at(&indices.collect::<Vec<_>>())
    }

    /// Returns the pictures at these indices, in their order.
    pub fn at(&self, indices: &[usize]) -> Self {
        Self {
            samples: self.samples.select_columns(indices),
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
        }
    }

    /// Holds out `held_out` pictures drawn by `seed`, and returns the others and these.
    pub fn split(&self, held_out: usize, seed: u64) -> Result<(Self, Self), Box<dyn Error>> {
        let order = self.shuffled(seed);
        let (held_out, rest) = order
            .split_at_checked(held_out)
            .ok_or("cannot hold out more pictures than there are")?;
        Ok((self.at(rest), self.at(held_out)))
    }

    /// Returns the indices of all pictures, in an order drawn by `seed`.
    pub fn shuffled(&self, seed: u64) -> Vec<usize> {
        let mut order = (0..self.labels.len()).collect::<Vec<_>>();
        order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
        order
    }
}

/// Reads the 60,000 training and the 10,000 test pictures of MNIST from four files in `folder`, under
/// their original names, with or without `.gz`.
pub fn read(folder: &Path) -> Result<(Labeled, Labeled), Box<dyn Error>> {
    let part = |name: &str| {
        labeled(
            &existing(folder, &format!("{name}-images-idx3-ubyte")),
            &existing(folder, &format!("{name}-labels-idx1-ubyte")),
        )
    };
    Ok((part("train")?, part("t10k")?))
}

fn existing(folder: &Path, name: &str) -> PathBuf {
    let plain = folder.join(name);
    if plain.exists() {
        plain
    } else {
        folder.join(format!("{name}.gz"))
    }
}

/// Reads pictures from one file and their labels from another.
pub fn labeled(pictures: &Path, labels: &Path) -> Result<Labeled, Box<dyn Error>> {
    let samples = IdxFile::load(pictures)?;
    let names = IdxFile::<f32>::open(labels)?.to_bytes()?;
    let file = labels.display();
    if names.len() != samples.ncols() {
        let (labels, pictures) = (names.len(), samples.ncols());
        return Err(format!("{file} has {labels} labels for {pictures} pictures").into());
    }
    if let Some(index) = names.iter().position(|&label| label > 9) {
        let label = names[index];
        return Err(
            format!("{file} has the label {label} at {index}: labels must be 0 to 9").into(),
        );
    }
    Ok(Labeled::new(samples, names))
}
