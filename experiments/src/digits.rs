//! The handwritten digits in `examples/data`.

use std::error::Error;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{NpyFile, Samples};

const DIGITS: &[u8] = include_bytes!("../../examples/data/digits.npy");
const LABELS: &[u8] = include_bytes!("../../examples/data/digits_labels.txt");
const PUBLISHED_SPLIT: &[u8] = include_bytes!("../../examples/data/digits_published_split.txt");

/// Height and width of a digit in pixels.
pub const SIZE: usize = 8;

/// Handwritten digits with their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Digits {
    /// 64 x digits, multiples of 1/16 in [0, 1].
    pub samples: DMatrix<f32>,
    /// The digit of each sample, 0 to 9.
    pub labels: Vec<u8>,
}

impl Digits {
    /// Holds out `held_out` digits drawn by `seed`, and returns the others and these.
    pub fn split(&self, held_out: usize, seed: u64) -> Result<(Self, Self), Box<dyn Error>> {
        let order = self.shuffled(seed);
        let (held_out, rest) = order
            .split_at_checked(held_out)
            .ok_or("cannot hold out more digits than there are")?;
        Ok((self.select(rest), self.select(held_out)))
    }

    /// Holds out the 629 digits of a published split (see `examples/data/README.md`), and returns the
    /// others and these. `seed` draws only their order.
    pub fn published_split(&self, seed: u64) -> (Self, Self) {
        let (held_out, rest) = self
            .shuffled(seed)
            .into_iter()
            .partition::<Vec<_>, _>(|&index| PUBLISHED_SPLIT[index] == b'1');
        (self.select(&rest), self.select(&held_out))
    }

    fn shuffled(&self, seed: u64) -> Vec<usize> {
        let mut order = (0..self.labels.len()).collect::<Vec<_>>();
        order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
        order
    }

    fn select(&self, indices: &[usize]) -> Self {
        Self {
            samples: self.samples.select_columns(indices),
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
        }
    }
}

/// Returns the 1797 digits of 8 x 8 pixels.
pub fn load() -> Result<Digits, Box<dyn Error>> {
    let file = NpyFile::<f32>::from_bytes("digits.npy", DIGITS)?;
    Ok(Digits {
        samples: file.to_matrix()? / 16.0,
        labels: LABELS.iter().map(|label| label - b'0').collect(),
    })
}
