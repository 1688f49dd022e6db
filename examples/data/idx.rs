//! Reads MNIST, and other data in its IDX format, plain or compressed with gzip.
//!
//! A file is a magic number `00 00 08 d` (unsigned bytes, `d` dimensions), `d` sizes of four bytes,
//! the most significant first, and the bytes themselves, the last dimension running fastest.

#![allow(dead_code, reason = "every example uses a part of its own")]

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sparse_autoencoder::nalgebra::DMatrix;

/// What is wrong with a file, and which.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub(crate) struct IdxError {
    pub(crate) path: PathBuf,
    pub(crate) problem: Problem,
}

/// What is wrong with the content of a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("not an IDX file of bytes in {expected} dimensions: it begins with {actual:02x?}")]
    Magic { expected: u8, actual: [u8; 4] },
    #[error("cut off within its header")]
    Header,
    #[error("claims sizes of {0:?}, more than can be addressed")]
    Sizes(Vec<usize>),
    #[error("promises {expected} bytes after its header and has {actual}")]
    Cut { expected: usize, actual: usize },
    #[error("has more than the {expected} bytes that its header promises")]
    Excess { expected: usize },
    #[error("has {labels} labels for {pictures} pictures")]
    Labels { labels: usize, pictures: usize },
    #[error("has the label {label} at {index}, which is no digit")]
    Label { label: u8, index: usize },
}

/// The sizes and bytes of an IDX file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Idx {
    pub(crate) sizes: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

/// Pictures of digits, and which they are.
#[derive(Debug, Clone)]
pub(crate) struct Labelled {
    /// Pixels × pictures, grey values in [0, 1], row by row.
    pub(crate) samples: DMatrix<f32>,
    pub(crate) labels: Vec<usize>,
}

impl Labelled {
    pub(crate) fn new(samples: DMatrix<f32>, labels: Vec<u8>) -> Self {
        Self {
            samples,
            labels: labels.into_iter().map(usize::from).collect(),
        }
    }

    /// Those that `chosen` accepts, by index and label.
    pub(crate) fn select(&self, chosen: impl Fn(usize, usize) -> bool) -> Self {
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
pub(crate) fn mnist(folder: &Path) -> Result<(Labelled, Labelled), IdxError> {
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
pub(crate) fn labelled(pictures: &Path, labels: &Path) -> Result<Labelled, IdxError> {
    let (images, names) = (read(pictures, 3)?, read(labels, 1)?);
    let in_labels = |problem| IdxError {
        path: labels.to_owned(),
        problem,
    };
    if names.sizes[0] != images.sizes[0] {
        return Err(in_labels(Problem::Labels {
            labels: names.sizes[0],
            pictures: images.sizes[0],
        }));
    }
    if let Some(index) = names.bytes.iter().position(|&label| label > 9) {
        let label = names.bytes[index];
        return Err(in_labels(Problem::Label { label, index }));
    }
    let grey = images.bytes.iter().map(|&byte| f32::from(byte) / 255.0);
    let pixels = images.sizes[1] * images.sizes[2];
    let samples = DMatrix::from_iterator(pixels, images.sizes[0], grey);
    Ok(Labelled::new(samples, names.bytes))
}

/// The file at `path`, which must have as many dimensions.
pub(crate) fn read(path: &Path, dimensions: u8) -> Result<Idx, IdxError> {
    let content = || -> Result<Idx, Problem> {
        let mut start = Vec::new();
        File::open(path)?.take(2).read_to_end(&mut start)?;
        let file = BufReader::new(File::open(path)?);
        if start == [0x1f, 0x8b] {
            parse(MultiGzDecoder::new(file), dimensions)
        } else {
            parse(file, dimensions)
        }
    };
    content().map_err(|problem| IdxError {
        path: path.to_owned(),
        problem,
    })
}

fn parse(mut file: impl Read, dimensions: u8) -> Result<Idx, Problem> {
    let mut four_bytes = || {
        let mut bytes = [0; 4];
        match file.read_exact(&mut bytes) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Problem::Header),
            Err(error) => Err(Problem::Io(error)),
        }
    };
    let magic = four_bytes()?;
    if magic != [0, 0, 8, dimensions] {
        return Err(Problem::Magic {
            expected: dimensions,
            actual: magic,
        });
    }
    let mut sizes = Vec::new();
    for _ in 0..dimensions {
        sizes.push(u32::from_be_bytes(four_bytes()?) as usize);
    }
    let expected = sizes
        .iter()
        .try_fold(1_usize, |product, &size| product.checked_mul(size))
        .filter(|&expected| expected < isize::MAX as usize)
        .ok_or_else(|| Problem::Sizes(sizes.clone()))?;
    // The bytes that are there are read, not room made for those that are claimed.
    let mut bytes = Vec::new();
    file.take(expected as u64 + 1).read_to_end(&mut bytes)?;
    let actual = bytes.len();
    match actual.cmp(&expected) {
        std::cmp::Ordering::Less => Err(Problem::Cut { expected, actual }),
        std::cmp::Ordering::Equal => Ok(Idx { sizes, bytes }),
        std::cmp::Ordering::Greater => Err(Problem::Excess { expected }),
    }
}
