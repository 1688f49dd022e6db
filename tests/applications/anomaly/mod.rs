//! Anomaly detection: the guarantee, the laws of thresholds and scalings, and every refusal.

mod bad_input;
mod guarantee;
mod missing;
mod ranking;
mod scaling;
mod scores;
mod selection;
mod thresholds;

use std::sync::Arc;
use std::thread;

use approx::{assert_relative_eq, assert_ulps_eq};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use sparse_autoencoder::metrics::{average_precision, roc_auc, roc_curve};
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{
    Activation, Adam, AnomalyDetector, AnomalyEnsemble, Error, Real, ReconstructionLoss, Scaler,
    Scaling, SparseAutoencoder, Threshold, Trainer,
};

fn random<T: Real>(rows: usize, columns: usize, seed: u64) -> DMatrix<T> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    DMatrix::from_fn(rows, columns, |_, _| T::of(rng.random_range(-1.0..1.0)))
}

fn model<T: Real>(input_size: usize) -> SparseAutoencoder<T> {
    SparseAutoencoder::builder()
        .layers([input_size, input_size + 2])
        .output_activation(Activation::Identity)
        .penalty(())
        .seed(3)
        .build()
        .unwrap()
}

fn identity(input_size: usize) -> Scaler<f64> {
    Scaling::identity()
        .fit(DMatrix::zeros(input_size, 1))
        .unwrap()
}

/// A detector whose calibration scores are known.
fn with_scores(scores: &[f64], rule: Threshold) -> Result<AnomalyDetector<f64>, Error> {
    AnomalyDetector::from_scores(&model(4), &identity(4), scores, rule)
}

#[test]
fn a_detector_scales_as_it_is_told() {
    let normal = random::<f64>(4, 60, 5).map(|x| 10.0 * x + 3.0);
    let scaling = Scaling::mean_norm(2.0);
    let detector = AnomalyDetector::builder(&mut model(4))
        .scaling(scaling)
        .calibration_split(0.0) // so that the scaling sees all samples
        .threshold(Threshold::Contamination(0.1))
        .fit(
            &mut Trainer::new(Adam::new(1e-2).unwrap()).epochs(1),
            &normal,
        )
        .unwrap()
        .detector;
    assert_eq!(*detector.scaler(), scaling.fit(&normal).unwrap());
}

#[test]
fn a_detector_that_is_told_no_scaling_scales_to_what_its_output_reaches() {
    let normal = random::<f64>(4, 60, 5).map(|x| 10.0 * x + 3.0);
    for output in [
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::SaturatingLinear,
        Activation::Identity,
        Activation::Relu,
    ] {
        let model = SparseAutoencoder::builder().layers([4, 3]);
        let mut model = model.output_activation(output).build().unwrap();
        let detector = AnomalyDetector::builder(&mut model)
            .calibration_split(0.0)
            .threshold(Threshold::Contamination(0.1))
            .fit(
                &mut Trainer::new(Adam::new(1e-2).unwrap()).epochs(1),
                &normal,
            )
            .unwrap()
            .detector;
        let suited = match output.range() {
            Some((low, high)) => {
                let margin = 0.1 * (high - low);
                Scaling::min_max(low + margin, high - margin)
            }
            None if output == Activation::Relu => Scaling::min_max(0.0, 1.0),
            None => Scaling::standard(),
        };
        assert_eq!(
            *detector.scaler(),
            suited.fit(&normal).unwrap(),
            "{output:?}"
        );
    }
}

fn calibrated(samples: usize) -> AnomalyDetector<f64> {
    let normal = random(4, samples, 1);
    let scaler = Scaling::standard().fit(&normal).unwrap();
    let rule = Threshold::Contamination(0.1);
    AnomalyDetector::calibrate(&model(4), &scaler, &normal, rule).unwrap()
}

fn name_of(error: &Error) -> &'static str {
    match error {
        Error::InvalidParameter { name, .. } => name,
        Error::DimensionMismatch { what, .. }
        | Error::EmptyBatch { what }
        | Error::TooFewSamples { what, .. }
        | Error::NonFinite { what, .. }
        | Error::OutOfRange { what, .. } => what,
        other => panic!("{other}"),
    }
}
