//! Writes the seeds of the crate's own formats into `corpus`. To be run in this folder when a format changes:
//!
//! ```text
//! cargo run --example seeds
//! ```

use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;

use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, AnomalyDetector, AnomalyEnsemble, ClassifierTrainer, Every, Imputer,
    KlDivergence, L0, Scaling, SoftmaxClassifier, SparseAutoencoder, Stack, Trainer, files,
};

fn main() -> Result<(), Box<dyn Error>> {
    checkpoints(Path::new("corpus/checkpoint"))?;
    stored(Path::new("corpus/tensors"))
}

/// Checkpoints of the model and the trainer of the target `checkpoint`: of a fit after an epoch, and of a stream.
fn checkpoints(folder: &Path) -> Result<(), Box<dyn Error>> {
    let samples = DMatrix::from_fn(4, 20, |i, j| ((i + j) % 5) as f32 / 5.0);
    let new = || -> Result<_, sparse_autoencoder::Error> {
        let model = SparseAutoencoder::<f32>::builder()
            .layers([4, 6])
            .penalty(KlDivergence)
            .build()?;
        Ok((model, Trainer::new(Adam::new(1e-2)?)))
    };
    let (mut model, trainer) = new()?;
    trainer
        .epochs(2)
        .batch_size(5)
        .checkpoint(folder.join("fit"), Every::Epochs(1))
        .fit_with(&mut model, &samples, |_| ControlFlow::Break(()))?;
    let (mut model, mut trainer) = new()?;
    for first in [0, 5, 10] {
        trainer.partial_fit(&mut model, samples.columns(first, 5))?;
    }
    Ok(trainer.save(&model, folder.join("stream"))?)
}

/// A file of each kind that `files::save` writes.
fn stored(folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut samples = DMatrix::from_fn(3, 80, |i, j| ((i * 7 + j * (j + i)) % 11) as f32);
    let labels: Vec<usize> = (0..80).map(|j| j % 2).collect();
    let model = |sizes: [usize; 2]| {
        SparseAutoencoder::<f32>::builder()
            .layers(sizes)
            .hidden_activation(Activation::JumpRelu)
            .output_activation(Activation::Identity)
            .penalty(L0)
            .build()
    };
    let trainer = || Ok::<_, sparse_autoencoder::Error>(Trainer::new(Adam::new(1e-2)?).epochs(1));
    files::save(&model([3, 4])?, folder.join("own-model"))?;
    let stack = Stack::new(vec![model([3, 4])?, model([4, 2])?])?;
    files::save(&stack, folder.join("own-stack"))?;
    let scaler = Scaling::standard().fit(&samples)?;
    files::save(&scaler, folder.join("own-scaler"))?;
    let detector = AnomalyDetector::builder(&mut model([3, 4])?).fit(&mut trainer()?, &samples)?;
    files::save(&detector.detector, folder.join("own-detector"))?;
    let mut classifier = SoftmaxClassifier::new(3, 2)?;
    ClassifierTrainer::new(Adam::new(1e-2)?).fit(&mut classifier, &samples, &labels)?;
    files::save(&classifier, folder.join("own-classifier"))?;

    samples[(1, 5)] = f32::NAN;
    files::save(&Imputer::fit(&samples)?, folder.join("own-imputer"))?;
    let path = folder.join("own-ensemble");
    std::fs::write(&path, ensemble())?;
    files::load::<AnomalyEnsemble<f32>>(&path)?;
    Ok(())
}

/// Returns the file of an ensemble of two folds with one model each. One that is fitted has 2 MB.
fn ensemble() -> Vec<u8> {
    let model = r#"{"decoder_activations":["identity"],"hidden_activations":["tanh"],"layers":[2,4],"matryoshka":[],"norm_weighted":false,"penalty":"none","penalty_weight":1.0,"pre_encoder_bias":false,"reconstruction_loss":"squared_error","seed":0,"sparsity_target":0.05,"tied":false,"weight_decay":0.0}"#;
    let model = model.replace('"', "\\\"");
    let (mut header, mut data) = (String::new(), Vec::new());
    for fold in 0..2 {
        header += &format!(r#","folds.{fold}.levels.0.model":"{model}""#);
    }
    header += "}";
    for fold in 0..2 {
        for (name, shape) in [
            ("calibration_scores", &[4][..]),
            ("imputer.means", &[2]),
            ("levels.0.layers.0.decoder_bias", &[2]),
            ("levels.0.layers.0.decoder_weights", &[4, 2]),
            ("levels.0.layers.0.encoder_bias", &[4]),
            ("levels.0.layers.0.encoder_weights", &[4, 2]),
            ("levels.0.noise", &[8]),
            ("levels.0.scale", &[1]),
            ("scaler.centers", &[2]),
            ("scaler.factors", &[2]),
            ("scaler.offsets", &[2]),
        ] {
            let start = data.len();
            for value in 1..=shape.iter().product::<u8>() {
                data.extend((f32::from(value) / 8.0).to_le_bytes());
            }
            let end = data.len();
            header += &format!(
                r#","folds.{fold}.{name}":{{"data_offsets":[{start},{end}],"dtype":"F32","shape":{shape:?}}}"#
            );
        }
    }
    let texts = r#""ensemble":"{\"constants\":[[1,0.5]],\"folds\":2,\"levels\":1}","format":"sparse-autoencoder","kind":"anomaly_ensemble","version":"1""#;
    let header = format!(r#"{{"__metadata__":{{{texts}{header}}}"#);
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &data].concat()
}
