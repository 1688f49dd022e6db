//! Features learned without labels, for a classifier: the two experiments of the UFLDL tutorial
//! (Ng, Ngiam, Foo, Mai, Suen et al.).
//!
//! ```text
//! cargo run --release --example pretraining                     the digits of this repository
//! cargo run --release --example pretraining -- FOLDER self-taught [SEED]
//! cargo run --release --example pretraining -- FOLDER stacked     [SEED]
//! ```
//!
//! `FOLDER` holds the four files of MNIST, with or without `.gz`.
//!
//! **Self-taught learning.** An autoencoder sees the digits 5 to 9 without their labels. Half of the
//! digits 0 to 4 teaches a softmax classifier on what it encodes, the other half tests it.
//! Published: 98.3 %, and about 96 % on the pixels themselves.
//!
//! **Stacked autoencoder.** Two autoencoders, one on the other, below a softmax; then all layers are
//! fine-tuned at once. Published: 87.7 % before fine-tuning, 97.6 % after it.
//!
//! All optimization is L-BFGS over the full batch.

#[path = "data/mod.rs"]
mod data;
#[path = "data/idx.rs"]
mod idx;

use std::error::Error;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use idx::Labelled;
use sparse_autoencoder::{Lbfgs, SoftmaxClassifier, SparseAutoencoder, Stack, Trainer};

/// The settings of an experiment.
#[derive(Debug, Clone, Copy)]
struct Settings {
    hidden: usize,
    sparsity_target: f64,
    weight_decay: f64,
    penalty_weight: f64,
    /// Of the classifier, and of fine-tuning.
    softmax_decay: f64,
    iterations: usize,
    seed: u64,
}

const PUBLISHED: Settings = Settings {
    hidden: 200,
    sparsity_target: 0.1,
    weight_decay: 3e-3,
    penalty_weight: 3.0,
    softmax_decay: 1e-4,
    iterations: 400,
    seed: 1,
};

/// For pictures of 64 pixels.
const SHORT: Settings = Settings {
    hidden: 64,
    weight_decay: 1e-3,
    penalty_weight: 0.3,
    iterations: 100,
    ..PUBLISHED
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let Some(folder) = arguments.first() else {
        return digits();
    };
    let experiment = arguments.get(1).map_or("self-taught", String::as_str);
    let seed = arguments.get(2).map_or(Ok(1), |seed| seed.parse())?;
    let settings = Settings { seed, ..PUBLISHED };
    let (training, test) = idx::mnist(Path::new(folder))?;
    match experiment {
        "self-taught" => self_taught(&training, settings),
        "stacked" => stacked(&training, &test, settings),
        other => Err(format!("no experiment {other}: self-taught or stacked").into()),
    }
}

/// Both experiments within a second, on digits of 8 x 8 pixels: to see that they run. These digits
/// are so few and so small that learned features alone do not beat the pixels; fine-tuned, they do.
fn digits() -> Result<(), Box<dyn Error>> {
    let labelled = |digits: data::Digits| Labelled {
        samples: digits.samples,
        labels: digits.labels.into_iter().map(usize::from).collect(),
    };
    let (training, test) = data::digits()?.split(297, 1)?;
    self_taught(&labelled(data::digits()?), SHORT)?;
    stacked(&labelled(training), &labelled(test), SHORT)
}

fn self_taught(digits: &Labelled, settings: Settings) -> Result<(), Box<dyn Error>> {
    let unlabelled = digits.select(|_, digit| digit >= 5);
    let labelled = digits.select(|_, digit| digit < 5);
    let half = labelled.labels.len().div_ceil(2);
    let training = labelled.select(|index, _| index < half);
    let test = labelled.select(|index, _| index >= half);
    println!(
        "Self-taught learning: {} unlabelled, {} training, {} test, seed {}",
        unlabelled.labels.len(),
        training.labels.len(),
        test.labels.len(),
        settings.seed,
    );

    let start = Instant::now();
    let mut raw = SoftmaxClassifier::<f32>::new(training.samples.nrows(), 5)?
        .with_weight_decay(settings.softmax_decay)?;
    fit_classifier(&mut raw, &training, settings, "softmax on pixels")?;
    report(
        "softmax on pixels",
        raw.accuracy(&test.samples, &test.labels)?,
        start,
    );

    let start = Instant::now();
    let mut sae = autoencoder(digits.samples.nrows(), settings.hidden, settings)?;
    let fitted = trainer(settings).fit_with(&mut sae, &unlabelled.samples, |epoch| {
        progress(
            "autoencoder",
            epoch.number,
            settings.iterations,
            epoch.loss.total(),
        )
    })?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "  autoencoder: {} iterations in {seconds:.1} s",
        fitted.epochs
    );

    let mut classifier =
        SoftmaxClassifier::new(settings.hidden, 5)?.with_weight_decay(settings.softmax_decay)?;
    let features = Labelled {
        samples: sae.encode(&training.samples)?,
        labels: training.labels.clone(),
    };
    fit_classifier(&mut classifier, &features, settings, "softmax on features")?;
    let accuracy = classifier.accuracy(&sae.encode(&test.samples)?, &test.labels)?;
    report("softmax on learned features", accuracy, start);
    Ok(())
}

fn stacked(training: &Labelled, test: &Labelled, settings: Settings) -> Result<(), Box<dyn Error>> {
    let (pixels, hidden) = (training.samples.nrows(), settings.hidden);
    println!(
        "Stacked autoencoder {pixels}-{hidden}-{hidden}-10: {} training, {} test, seed {}",
        training.labels.len(),
        test.labels.len(),
        settings.seed,
    );
    let start = Instant::now();
    let mut raw =
        SoftmaxClassifier::<f32>::new(pixels, 10)?.with_weight_decay(settings.softmax_decay)?;
    fit_classifier(&mut raw, training, settings, "softmax on pixels")?;
    report(
        "softmax on pixels",
        raw.accuracy(&test.samples, &test.labels)?,
        start,
    );

    let start = Instant::now();
    let mut stack = Stack::new(vec![
        autoencoder(pixels, hidden, settings)?,
        autoencoder(hidden, hidden, settings)?,
    ])?;
    let names = ["first autoencoder", "second autoencoder"];
    stack.fit_with(&mut trainer(settings), &training.samples, |layer, epoch| {
        progress(
            names[layer],
            epoch.number,
            settings.iterations,
            epoch.loss.total(),
        )
    })?;
    let seconds = start.elapsed().as_secs_f64();
    println!("  both autoencoders in {seconds:.1} s");

    let mut head = SoftmaxClassifier::new(hidden, 10)?.with_weight_decay(settings.softmax_decay)?;
    let features = Labelled {
        samples: stack.encode(&training.samples)?,
        labels: training.labels.clone(),
    };
    fit_classifier(&mut head, &features, settings, "softmax on features")?;
    let mut deep = head.on_top_of(stack.layers())?;
    report(
        "before fine-tuning",
        deep.accuracy(&test.samples, &test.labels)?,
        start,
    );
    fit_classifier(&mut deep, training, settings, "fine-tuning")?;
    report(
        "after fine-tuning",
        deep.accuracy(&test.samples, &test.labels)?,
        start,
    );
    Ok(())
}

fn autoencoder(
    visible: usize,
    hidden: usize,
    settings: Settings,
) -> Result<SparseAutoencoder<f32>, sparse_autoencoder::Error> {
    SparseAutoencoder::builder()
        .layers([visible, hidden])
        .sparsity_target(settings.sparsity_target)
        .penalty_weight(settings.penalty_weight)
        .weight_decay(settings.weight_decay)
        .seed(settings.seed)
        .build()
}

fn trainer(settings: Settings) -> Trainer<f32> {
    Trainer::new(Lbfgs::new()).epochs(settings.iterations)
}

fn fit_classifier(
    classifier: &mut SoftmaxClassifier<f32>,
    digits: &Labelled,
    settings: Settings,
    name: &str,
) -> Result<(), sparse_autoencoder::Error> {
    let Labelled { samples, labels } = digits;
    classifier.fit_with(&mut trainer(settings), samples, labels, |epoch| {
        progress(name, epoch.number, settings.iterations, epoch.loss.total())
    })?;
    Ok(())
}

fn report(what: &str, accuracy: f64, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "  {what:<28} {:6.2} %   after {seconds:.1} s",
        100.0 * accuracy
    );
}

/// On a terminal a line that changes, into a file or a pipe now and then a line.
fn progress(name: &str, iteration: usize, iterations: usize, loss: f32) -> ControlFlow<()> {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K  {name}: {iteration} of {iterations}, loss {loss:.4}\r");
    } else if iteration.is_multiple_of(50) {
        eprintln!("  {name}: {iteration} of {iterations}, loss {loss:.4}");
    }
    ControlFlow::Continue(())
}
