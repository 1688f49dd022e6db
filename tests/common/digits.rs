//! The handwritten digits in `examples/data`.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{NpyFile, Samples};

/// Digits in [0, 1], 64 x count, and their labels.
pub(crate) type Digits = (DMatrix<f32>, Vec<usize>);

/// Holds out `count` digits, and returns the others and these.
pub(crate) fn split(count: usize) -> (Digits, Digits) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data");
    let file = NpyFile::<f32>::open(format!("{folder}/digits.npy")).unwrap();
    let samples = file.to_matrix().unwrap() / 16.0;
    let labels = std::fs::read(format!("{folder}/digits_labels.txt")).unwrap();
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(1));
    let select = |indices: &[usize]| {
        let labels = indices.iter().map(|&i| usize::from(labels[i] - b'0'));
        (samples.select_columns(indices), labels.collect())
    };
    let (held_out, rest) = order.split_at(count);
    (select(rest), select(held_out))
}
