//! The handwritten digits in `examples/data`.

use std::error::Error;

use sparse_autoencoder::{NpyFile, Samples};

use crate::mnist::Labeled;

const DIGITS: &[u8] = include_bytes!("../../examples/data/digits.npy");
const LABELS: &[u8] = include_bytes!("../../examples/data/digits_labels.txt");
const PUBLISHED_SPLIT: &[u8] = include_bytes!("../../examples/data/digits_published_split.txt");

/// Height and width of a digit in pixels.
pub const SIZE: usize = 8;

/// Returns the 1797 digits of 8 x 8 pixels: 64 x digits, multiples of 1/16 in [0, 1].
pub fn load() -> Result<Labeled, Box<dyn Error>> {
    let file = NpyFile::<f32>::from_bytes("digits.npy", DIGITS)?;
    let labels = LABELS.iter().map(|label| label - b'0').collect();
    Ok(Labeled::new(file.to_matrix()? / 16.0, labels))
}

/// Holds out the 629 digits of a published split (see `examples/data/README.md`), and returns the
/// others and these. `seed` draws only their order.
pub fn published_split(digits: &Labeled, seed: u64) -> (Labeled, Labeled) {
    let order = digits.shuffled(seed).into_iter();
    let (held_out, rest): (Vec<_>, Vec<_>) =
        order.partition(|&index| PUBLISHED_SPLIT[index] == b'1');
    (digits.at(&rest), digits.at(&held_out))
}
