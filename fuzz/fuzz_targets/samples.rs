//! Any bytes as files of samples: NumPy's and MNIST's.

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

/// Reads all samples, and then some twice, out of order.
fn walk(samples: &impl Samples<f32>) {
    let (count, visible) = (samples.count(), samples.visible());
    if count == 0 || visible == 0 {
        return;
    }
    for batch in samples.batches(7) {
        assert!(batch.is_ok());
    }
    let chosen = [count - 1, 0, count / 2, count - 1];
    let mut batch = vec![0.0; visible * chosen.len()];
    samples.read(&chosen, &mut batch).unwrap();
}
