//! An example of each type that a file of this crate can hold.

use std::path::Path;
use std::sync::OnceLock;

use sparse_autoencoder::files::{self, Stored};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, AnomalyDetector, AnomalyEnsemble, Error, Imputer, L0, MissingValues, Real, Scaler,
    Scaling, SoftmaxClassifier, SparseAutoencoder, Stack, Threshold,
};

use super::variants::{INPUT, samples};

pub(crate) type OfFile = fn(&Path) -> Result<(), Error>;

/// What messages call each type, how to save an example of it, and how to load and use one.
pub(crate) const KINDS: [(&str, OfFile, OfFile); 7] = [
    (
        "a model",
        |path| files::save(&model::<f32>(), path),
        |path| {
            load::<SparseAutoencoder<f64>>(path)?
                .encode(one())
                .map(drop)
        },
    ),
    (
        "an anomaly detector",
        |path| files::save(&detector::<f32>(), path),
        |path| {
            load::<AnomalyDetector<f64>>(path)?
                .p_values(one())
                .map(drop)
        },
    ),
    (
        "an anomaly ensemble",
        |path| files::save(&small_ensemble(), path),
        |path| {
            load::<AnomalyEnsemble<f64>>(path)?
                .p_values(one())
                .map(drop)
        },
    ),
    (
        "a stack",
        |path| files::save(&stack::<f32>(), path),
        |path| load::<Stack<f64>>(path)?.reconstruct(one()).map(drop),
    ),
    (
        "a classifier",
        |path| files::save(&classifier::<f32>(), path),
        |path| {
            load::<SoftmaxClassifier<f64>>(path)?
                .predict(one())
                .map(drop)
        },
    ),
    (
        "a scaler",
        |path| files::save(&scaler::<f32>(), path),
        |path| load::<Scaler<f64>>(path)?.apply(one()).map(drop),
    ),
    (
        "an imputer",
        |path| files::save(&imputer::<f32>(), path),
        |path| load::<Imputer<f64>>(path)?.apply(one()).map(drop),
    ),
];

pub(crate) fn load<S: Stored>(path: &Path) -> Result<S, Error> {
    files::load(path).map(|loaded| loaded.model)
}

/// One sample.
fn one<T: Real>() -> DMatrix<T> {
    samples(1)
}

pub(crate) fn model<T: Real>() -> SparseAutoencoder<T> {
    let builder = SparseAutoencoder::builder()
        .layers([INPUT, 4])
        .hidden_activation(Activation::JumpRelu)
        .output_activation(Activation::Identity)
        .penalty(L0);
    let mut model = builder.build().unwrap();
    moved(&mut model);
    model
}

/// Moves all parameters away from 0.
pub(crate) fn moved<T: Real>(model: &mut SparseAutoencoder<T>) {
    let theta = model.parameters().as_slice().iter();
    let theta: Vec<T> = theta.map(|&x| x + T::of(0.01)).collect();
    model.set_theta(&theta).unwrap();
}

pub(crate) fn scaler<T: Real>() -> Scaler<T> {
    Scaling::min_max(0.1, 0.9).fit(samples(12)).unwrap()
}

/// Samples with missing values of all features but the first.
pub(crate) fn table<T: Real>(count: usize) -> DMatrix<T> {
    let mut table = samples(count);
    for (k, value) in table.iter_mut().enumerate() {
        if k % INPUT != 0 && k % 7 == 3 {
            *value = T::of(f64::NAN);
        }
    }
    table
}

pub(crate) fn imputer<T: Real>() -> Imputer<T> {
    Imputer::fit(table(12)).unwrap()
}

/// A detector that accepts missing values.
pub(crate) fn imputing<T: Real>() -> AnomalyDetector<T> {
    detector().with_imputer(imputer()).unwrap()
}

pub(crate) fn detector<T: Real>() -> AnomalyDetector<T> {
    let threshold = Threshold::Contamination(0.1);
    AnomalyDetector::calibrate(&model(), &scaler(), samples(12), threshold).unwrap()
}

/// A small one, in a file of its own: five models with two features that vary, one of them with missing values.
fn small_ensemble() -> AnomalyEnsemble<f32> {
    let file = "tests/files/written_in_version_1/ensemble.safetensors";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    load(&path).unwrap()
}

/// The smallest fit that there is: one fold, and two features that vary, one of them with missing values. Fitted
/// once.
pub(crate) fn ensemble() -> &'static AnomalyEnsemble<f32> {
    static ENSEMBLE: OnceLock<AnomalyEnsemble<f32>> = OnceLock::new();
    ENSEMBLE.get_or_init(|| {
        let mut samples = samples(1000);
        samples.rows_mut(1, INPUT - 2).fill(0.5);
        for mut sample in samples.columns_with_step_mut(0, 100, 9).column_iter_mut() {
            sample[INPUT - 1] = f32::NAN;
        }
        AnomalyEnsemble::builder()
            .missing_values(MissingValues::Impute)
            .fit(&samples)
            .unwrap()
    })
}

pub(crate) fn stack<T: Real>() -> Stack<T> {
    let mut inner = SparseAutoencoder::builder().layers([4, 2]).build().unwrap();
    moved(&mut inner);
    Stack::new(vec![model(), inner]).unwrap()
}

pub(crate) fn classifier<T: Real>() -> SoftmaxClassifier<T> {
    let below = SparseAutoencoder::builder()
        .layers([INPUT, 4])
        .hidden_activation(Activation::TopK(2))
        .penalty(())
        .build()
        .unwrap();
    let head = head(4).with_weight_decay(1e-3).unwrap();
    head.on_top_of(&[below]).unwrap()
}

/// Softmax regression whose parameters are not 0.
pub(crate) fn head<T: Real>(features: usize) -> SoftmaxClassifier<T> {
    let mut head = SoftmaxClassifier::new(features, 3).unwrap();
    let theta = (0..head.theta().len()).map(|k| T::of((f64::of_count(k) * 0.7).sin()));
    head.set_theta(&theta.collect::<Vec<_>>()).unwrap();
    head
}
