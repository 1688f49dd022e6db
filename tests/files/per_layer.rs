//! Penalties, weights, and targets of each layer in files: saved, resumed, and compared.

use sparse_autoencoder::files;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Adam, Error, Every, KlDivergence, L1, SparseAutoencoder, SparseAutoencoderBuilder, Trainer,
};

use crate::common::scratch::Scratch;

fn builder() -> SparseAutoencoderBuilder<f64> {
    SparseAutoencoder::builder()
        .layers([3, 5, 4])
        .penalties(vec![Box::new(KlDivergence), Box::new(L1)])
        .penalty_weights([0.3, 0.1])
        .sparsity_targets([0.1, 0.2])
}

#[test]
fn they_are_saved_and_resumed() {
    let scratch = Scratch::new("per_layer");
    let path = scratch.0.join("model.safetensors");
    let model = builder().build().unwrap();
    files::save(&model, &path).unwrap();
    let loaded = files::load::<SparseAutoencoder<f64>>(&path).unwrap();
    assert_eq!(loaded.notes, []);
    assert_eq!(loaded.model.settings(), model.settings());
    let samples = DMatrix::from_fn(3, 8, |i, j| ((i * 5 + j * 3) % 7) as f64 / 7.0);
    assert_eq!(loaded.model.loss(&samples), model.loss(&samples));

    let path = scratch.0.join("checkpoint");
    let trainer = || {
        Trainer::new(Adam::new(0.01).unwrap())
            .batch_size(4)
            .epochs(2)
    };
    let mut fitted = builder().build().unwrap();
    let mut interval = trainer().checkpoint(&path, Every::Epochs(1));
    interval.fit(&mut fitted, &samples).unwrap();
    let mut resumed = builder().build().unwrap();
    trainer().resume(&mut resumed, &path).unwrap();
    assert_eq!(resumed.parameters(), fitted.parameters());
    for (other, name) in [
        (
            builder().penalty_weights([0.3, 0.2]),
            "model.penalty_weight",
        ),
        (
            builder().sparsity_targets([0.2, 0.2]),
            "model.sparsity_target",
        ),
        (builder().penalty(L1), "model.penalty"),
    ] {
        let error = trainer()
            .resume(&mut other.build().unwrap(), &path)
            .unwrap_err();
        assert!(matches!(error, Error::OtherSetting { setting, .. } if setting == name));
    }
}
