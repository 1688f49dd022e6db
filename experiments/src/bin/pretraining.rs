//! Features learned without labels, for a classifier: the two experiments of the UFLDL tutorial
//! (Ng, Ngiam, Foo, Mai, Suen et al.).
//!
//! ```text
//! cargo run --release -p experiments --bin pretraining                     the digits of this repository
//! cargo run --release -p experiments --bin pretraining -- FOLDER self-taught [SEED...]
//! cargo run --release -p experiments --bin pretraining -- FOLDER stacked     [SEED...]
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
//! All optimization is L-BFGS over the full batch. The example `few_labels` is about pretraining
//! where most samples have no label.
//!
//! It writes `out/pretraining.png`: what the units of the first layer look for, as learned without
//! labels, and below it the same units after fine-tuning.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use experiments::mnist::Labelled;
use experiments::picture::{Contrast, Layout, Picture};
use experiments::report::{Table, progress};
use experiments::{digits, mnist, report};
use sparse_autoencoder::nalgebra::DMatrix;
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
}

const PUBLISHED: Settings = Settings {
    hidden: 200,
    sparsity_target: 0.1,
    weight_decay: 3e-3,
    penalty_weight: 3.0,
    softmax_decay: 1e-4,
    iterations: 400,
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
    let [folder, options @ ..] = &arguments[..] else {
        return digits();
    };
    let experiment = options.first().map_or("self-taught", String::as_str);
    let seeds = report::seeds(options.get(1..).unwrap_or_default(), &[1])?;
    let (training, test) = mnist::read(Path::new(folder))?;
    match experiment {
        "self-taught" => self_taught(&training, PUBLISHED, &seeds),
        "stacked" => stacked(&training, &test, PUBLISHED, &seeds),
        other => Err(format!("no experiment {other}: self-taught or stacked").into()),
    }
}

/// Both experiments within a second, on digits of 8 x 8 pixels: to see that they run. These digits
/// are so few and so small that learned features alone do not beat the pixels; fine-tuned, they do.
fn digits() -> Result<(), Box<dyn Error>> {
    let labelled = |digits: digits::Digits| Labelled::new(digits.samples, digits.labels);
    let (training, test) = digits::load()?.split(297, 1)?;
    self_taught(&labelled(digits::load()?), SHORT, &[1])?;
    stacked(&labelled(training), &labelled(test), SHORT, &[1])
}

fn self_taught(digits: &Labelled, settings: Settings, seeds: &[u64]) -> Result<(), Box<dyn Error>> {
    let unlabelled = digits.select(|_, digit| digit >= 5);
    let labelled = digits.select(|_, digit| digit < 5);
    let half = labelled.labels.len().div_ceil(2);
    let training = labelled.select(|index, _| index < half);
    let test = labelled.select(|index, _| index >= half);
    println!(
        "Self-taught learning: {} unlabelled, {} training, {} test",
        unlabelled.labels.len(),
        training.labels.len(),
        test.labels.len(),
    );
    on_pixels(&training, &test, 5, settings)?;

    let mut over_seeds = Table::default();
    for &seed in seeds {
        println!("seed {seed}");
        let start = Instant::now();
        let mut sae = autoencoder(digits.samples.nrows(), settings.hidden, settings, seed)?;
        let fitted = trainer(settings).fit_with(&mut sae, &unlabelled.samples, |epoch| {
            let loss = epoch.loss.total();
            progress("autoencoder", epoch.number, settings.iterations, loss)
        })?;
        let seconds = start.elapsed().as_secs_f64();
        let iterations = fitted.epochs;
        println!("  autoencoder: {iterations} iterations in {seconds:.1} s");

        let features = |digits: &Labelled| -> Result<Labelled, sparse_autoencoder::Error> {
            Ok(Labelled {
                samples: sae.encode(&digits.samples)?,
                labels: digits.labels.clone(),
            })
        };
        let mut classifier = SoftmaxClassifier::new(settings.hidden, 5)?
            .with_weight_decay(settings.softmax_decay)?;
        let name = "softmax on learned features";
        fit_classifier(&mut classifier, &features(&training)?, settings, name)?;
        measure(&mut over_seeds, name, &classifier, &features(&test)?, start)?;
    }
    print!("{over_seeds}");
    Ok(())
}

fn stacked(
    training: &Labelled,
    test: &Labelled,
    settings: Settings,
    seeds: &[u64],
) -> Result<(), Box<dyn Error>> {
    let (pixels, hidden) = (training.samples.nrows(), settings.hidden);
    println!(
        "Stacked autoencoder {pixels}-{hidden}-{hidden}-10: {} training, {} test",
        training.labels.len(),
        test.labels.len(),
    );
    on_pixels(training, test, 10, settings)?;

    let mut over_seeds = Table::default();
    for &seed in seeds {
        println!("seed {seed}");
        let start = Instant::now();
        let mut stack = Stack::new(vec![
            autoencoder(pixels, hidden, settings, seed)?,
            autoencoder(hidden, hidden, settings, seed)?,
        ])?;
        let names = ["first autoencoder", "second autoencoder"];
        stack.fit_with(&mut trainer(settings), &training.samples, |layer, epoch| {
            let loss = epoch.loss.total();
            progress(names[layer], epoch.number, settings.iterations, loss)
        })?;
        let seconds = start.elapsed().as_secs_f64();
        println!("  both autoencoders in {seconds:.1} s");

        let mut head =
            SoftmaxClassifier::new(hidden, 10)?.with_weight_decay(settings.softmax_decay)?;
        let features = Labelled {
            samples: stack.encode(&training.samples)?,
            labels: training.labels.clone(),
        };
        fit_classifier(&mut head, &features, settings, "softmax on features")?;
        let mut deep = head.on_top_of(stack.layers())?;
        measure(&mut over_seeds, "before fine-tuning", &deep, test, start)?;
        fit_classifier(&mut deep, training, settings, "fine-tuning")?;
        measure(&mut over_seeds, "after fine-tuning", &deep, test, start)?;
        let learned = stack.layers()[0].parameters().layer(0).ok_or("no layer")?;
        let tuned = deep.layers().next().ok_or("no layer")?;
        draw([learned.encoder_weights, tuned.weights].map(|weights| weights.into_owned()))?;
    }
    print!("{over_seeds}");
    Ok(())
}

/// The weights of the first layer before and after fine-tuning, 16 units in a row.
fn draw(weights: [DMatrix<f32>; 2]) -> Result<(), Box<dyn Error>> {
    let side = weights[0].nrows().isqrt();
    let tiles = Layout {
        tile: (side, side),
        columns: 16,
        zoom: (40 / side).max(1),
        contrast: Contrast::Symmetric,
    };
    let [learned, tuned] = weights.map(|weights| Picture::tiles(&weights, tiles));
    Picture::stack(&[learned?, tuned?]).save("out/pretraining.png")
}

/// The yardstick. Its weights start at 0: no seed changes it.
fn on_pixels(
    training: &Labelled,
    test: &Labelled,
    classes: usize,
    settings: Settings,
) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let name = "softmax on pixels";
    let mut classifier = SoftmaxClassifier::<f32>::new(training.samples.nrows(), classes)?
        .with_weight_decay(settings.softmax_decay)?;
    fit_classifier(&mut classifier, training, settings, name)?;
    measure(&mut Table::default(), name, &classifier, test, start)
}

fn autoencoder(
    visible: usize,
    hidden: usize,
    settings: Settings,
    seed: u64,
) -> Result<SparseAutoencoder<f32>, sparse_autoencoder::Error> {
    SparseAutoencoder::builder()
        .layers([visible, hidden])
        .sparsity_target(settings.sparsity_target)
        .penalty_weight(settings.penalty_weight)
        .weight_decay(settings.weight_decay)
        .seed(seed)
        .build()
}

fn trainer<S: Default>(settings: Settings) -> Trainer<f32, S> {
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
        let loss = epoch.loss.total();
        progress(name, epoch.number, settings.iterations, loss)
    })?;
    Ok(())
}

fn measure(
    table: &mut Table,
    name: &'static str,
    classifier: &SoftmaxClassifier<f32>,
    test: &Labelled,
    start: Instant,
) -> Result<(), Box<dyn Error>> {
    let accuracy = classifier.accuracy(&test.samples, &test.labels)?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "  {name:<28} {:6.2} %   after {seconds:.1} s",
        100.0 * accuracy
    );
    table.add(name, accuracy);
    Ok(())
}
