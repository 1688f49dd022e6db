//! Reads arbitrary bytes as files of samples: npy and IDX.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sparse_autoencoder::{IdxFile, NpyFile, Samples};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(file) = NpyFile::<f32>::from_bytes("samples", bytes.to_vec()) {
        walk(&file);
    }
    if let Ok(file) = IdxFile::<f32>::from_bytes("samples", bytes.to_vec()) {
        walk(&file);
    }
});

/// Reads all samples in order, then some out of order and twice.
fn walk(samples: &impl Samples<f32>) {
    let (count, entries) = (samples.count(), samples.entries());
    if count == 0 || entries == 0 {
        return;
    }
    for batch in samples.batches(7) {
        assert!(batch.is_ok());
    }
    let chosen = [count - 1, 0, count / 2, count - 1];
    let mut batch = vec![0.0; entries * chosen.len()];
    samples.read(&chosen, &mut batch).unwrap();
}
