//! Resumes from arbitrary bytes as a checkpoint: the training continues or returns a typed error.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{Adam, KlDivergence, SparseAutoencoder, Trainer};

fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("fuzz-checkpoint-{}", std::process::id()));
    // With a valid checksum, or every input would end there.
    let mut file = bytes.to_vec();
    if let Some(end) = file.len().checked_sub(4) {
        let mut crc = flate2::Crc::new();
        crc.update(&file[..end]);
        file[end..].copy_from_slice(&crc.sum().to_le_bytes());
    }
    std::fs::write(&path, file).unwrap();
    let mut model = SparseAutoencoder::<f32>::builder()
        .layers([4, 6])
        .penalty(KlDivergence)
        .build()
        .unwrap();
    let mut trainer = Trainer::new(Adam::new(1e-2).unwrap())
        .epochs(2)
        .batch_size(5);
    if trainer.resume(&mut model, &path).is_ok() {
        let samples = DMatrix::from_fn(4, 20, |i, j| ((i + j) % 5) as f32 / 5.0);
        let _ = trainer.fit(&mut model, &samples);
    }
    assert!(
        model
            .parameters()
            .as_slice()
            .iter()
            .all(|value| value.is_finite())
    );
});
