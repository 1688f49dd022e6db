//! What one process fits and saves, many threads of another load and serve.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use serde_json::json;
use sparse_autoencoder::files::{self, Stored};
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{
    Activation, Adam, AnomalyDetector, AnomalyEnsemble, ClassifierTrainer, Error, MissingValues,
    SoftmaxClassifier, SparseAutoencoder, Trainer,
};

use super::{assert_same_detector, bits};
use crate::common::scratch::Scratch;
use crate::common::stored::{self, head, load};
use crate::common::variants::{INPUT, samples};

/// The folder in which another process finds what to serve.
const FOLDER: &str = "SPARSE_AUTOENCODER_TO_SERVE";

/// Bits of the answers to several batches.
type Answers = Vec<Vec<u64>>;

/// Loads a file and serves it.
type OfFile = fn(&Path) -> Answers;

/// Each kind to serve, by the name of its file.
const KINDS: [(&str, OfFile); 3] = [
    ("detector", loaded::<AnomalyDetector<f32>>),
    ("ensemble", loaded::<AnomalyEnsemble<f32>>),
    ("classifier", loaded::<SoftmaxClassifier<f32>>),
];

trait Serves: Stored + Sync {
    /// Returns the bits of everything to serve, for a batch of this number.
    fn answer(&self, batch: usize) -> Vec<u64>;
}

impl Serves for AnomalyDetector<f32> {
    fn answer(&self, batch: usize) -> Vec<u64> {
        let x = varied(stored::table, batch);
        of_scores(self.scores(&x), self.p_values(&x))
    }
}

impl Serves for AnomalyEnsemble<f32> {
    fn answer(&self, batch: usize) -> Vec<u64> {
        let x = varied(stored::table, batch);
        of_scores(self.scores(&x), self.p_values(&x))
    }
}

impl Serves for SoftmaxClassifier<f32> {
    fn answer(&self, batch: usize) -> Vec<u64> {
        let x = varied(samples, batch);
        bits(self.probabilities(&x).unwrap().as_slice())
    }
}

/// Each batch has another size and another scale.
fn varied(samples: fn(usize) -> DMatrix<f32>, batch: usize) -> DMatrix<f32> {
    samples(40 + batch) * (1.0 + batch as f32 / 10.0)
}

fn of_scores(
    scores: Result<DVector<f32>, Error>,
    p_values: Result<DVector<f64>, Error>,
) -> Vec<u64> {
    let (scores, p_values) = (scores.unwrap(), p_values.unwrap());
    [bits(scores.as_slice()), bits(p_values.as_slice())].concat()
}

/// Answers to eight batches, each in a thread of its own.
fn served(model: &impl Serves) -> Answers {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|batch| scope.spawn(move || model.answer(batch)))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

fn loaded<S: Serves>(path: &Path) -> Answers {
    served(&load::<S>(path).unwrap())
}

/// Not a test of its own: what the next one runs in another process.
#[test]
fn server() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        for (name, answers) in KINDS {
            let path = Path::new(&folder).join(name);
            let answers = json!(answers(&path)).to_string();
            fs::write(path.with_extension("json"), answers).unwrap();
        }
    }
}

fn detector() -> AnomalyDetector<f32> {
    let mut model = SparseAutoencoder::builder()
        .layers([INPUT, 9])
        .output_activation(Activation::Identity)
        .penalty(())
        .build()
        .unwrap();
    let mut trainer = Trainer::new(Adam::new(1e-2).unwrap()).epochs(5);
    let builder = AnomalyDetector::builder(&mut model);
    let builder = builder.missing_values(MissingValues::Impute);
    let table = stored::table::<f32>(200);
    builder.fit(&mut trainer, table).unwrap().detector
}

fn classifier() -> SoftmaxClassifier<f32> {
    let builder = SparseAutoencoder::builder().layers([INPUT, 40]);
    let below = builder.seed(2).build().unwrap();
    let mut classifier = head(40).on_top_of(&[below]).unwrap();
    let labels: Vec<usize> = (0..200).map(|k| k * k % 7 % 3).collect();
    let mut trainer = ClassifierTrainer::new(Adam::new(1e-2).unwrap()).epochs(5);
    let fitted = trainer.fit(&mut classifier, samples(200), &labels);
    fitted.unwrap();
    classifier
}

/// Saves in another thread, loads here, and serves in others.
fn save_and_serve<S: Serves>(model: &S, path: &Path) -> Answers {
    thread::scope(|scope| {
        let saved = scope.spawn(|| files::save(model, path)).join();
        saved.unwrap().unwrap();
    });
    let answers = served(model);
    assert_eq!(loaded::<S>(path), answers);
    answers
}

#[test]
fn what_one_process_fits_is_served_by_eight_threads_of_another() {
    let scratch = Scratch::new("served");
    let path = |kind: usize| scratch.0.join(KINDS[kind].0);
    let detector = detector();
    let here = [
        save_and_serve(&detector, &path(0)),
        save_and_serve(stored::ensemble(), &path(1)),
        save_and_serve(&classifier(), &path(2)),
    ];
    assert_same_detector(&detector, &load(&path(0)).unwrap());
    let process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "stored_kinds::served::server"])
        .args(["--test-threads", "1"])
        .env(FOLDER, &scratch.0)
        .output()
        .unwrap();
    assert!(process.status.success(), "{process:?}");
    for (kind, here) in here.into_iter().enumerate() {
        let there = fs::read_to_string(path(kind).with_extension("json")).unwrap();
        let there: Answers = serde_json::from_str(&there).unwrap();
        assert_eq!(there, here, "{}", KINDS[kind].0);
    }
}
