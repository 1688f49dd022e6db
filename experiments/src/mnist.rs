//! MNIST, and other data in its format, plain or compressed with gzip.

use std::error::Error;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{IdxFile, Samples};

/// Pictures of digits, and which they are.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// Pixels × pictures, grey values in [0, 1], row by row.
    pub samples: DMatrix<f32>,
    pub labels: Vec<usize>,
}

impl Labelled {
    pub fn new(samples: DMatrix<f32>, labels: Vec<u8>) -> Self {
        Self {
            samples,
            labels: labels.into_iter().map(usize::from).collect(),
        }
    }

    /// Those that `chosen` accepts, by index and label.
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

/// The 60,000 training and the 10,000 test pictures of MNIST: four files in `folder`, each under
/// its original name, with or without `.gz`.
pub fn read(folder: &Path) -> Result<(Labelled, Labelled), Box<dyn Error>> {
    let part = |name: &str| {
        labelled(
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

/// Pictures from one file and their labels from another.
pub fn labelled(pictures: &Path, labels: &Path) -> Result<Labelled, Box<dyn Error>> {
    let samples = open(pictures)?.to_matrix()?;
    let names = open(labels)?.to_bytes()?;
    let file = labels.display();
    if names.len() != samples.ncols() {
        let (labels, pictures) = (names.len(), samples.ncols());
        return Err(format!("{file} has {labels} labels for {pictures} pictures").into());
    }
    if let Some(index) = names.iter().position(|&label| label > 9) {
        let label = names[index];
        return Err(format!("{file} has the label {label} at {index}, which is no digit").into());
    }
    Ok(Labelled::new(samples, names))
}

/// Inflates what is compressed.
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
