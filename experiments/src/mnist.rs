//! MNIST and other data in its format, plain or compressed with gzip.

use std::error::Error;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{IdxFile, Samples};

/// Pictures of digits with their labels.
#[derive(Debug, Clone)]
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
        let indices = (0..self.labels.len())
            .filter(|&index| chosen(index, self.labels[index]))
            .collect::<Vec<_>>();
        Self {
            samples: self.samples.select_columns(&indices),
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
        }
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
    let samples = open(pictures)?.to_matrix()?;
    let names = open(labels)?.to_bytes()?;
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

/// Opens a file, and inflates it if it is compressed.
fn open(path: &Path) -> Result<IdxFile<f32>, Box<dyn Error>> {
    let read = || {
        let bytes = std::fs::read(path)?;
        if !bytes.starts_with(&[0x1f, 0x8b]) {
            return Ok(bytes);
        }
        let mut inflated = Vec::new();
        MultiGzDecoder::new(&bytes[..]).read_to_end(&mut inflated)?;
        Ok(inflated)
    };
    let bytes = read().map_err(|error: std::io::Error| format!("{}: {error}", path.display()))?;
    Ok(IdxFile::from_bytes(path, bytes)?)
}
