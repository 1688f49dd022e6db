//! Restores noisy digits, and measures whether features learned by denoising classify better (Vincent
//! et al. 2008, *Extracting and Composing Robust Features with Denoising Autoencoders*).
//!
//! ```text
//! cargo run --release -p experiments --bin denoising                     # the digits of this repository
//! cargo run --release -p experiments --bin denoising -- FOLDER [SEEDS]   # MNIST, 3 seeds by default
//! ```
//!
//! `FOLDER` holds the four files of MNIST, with or without `.gz`.
//!
//! Fits three autoencoders of the same size with the same budget: a plain one on clean digits, and one
//! that restores clean digits for each of two kinds of noise. Prints, for unseen test digits:
//!
//! - the distance of noisy digits from clean ones, before and after restoring;
//! - the accuracy of a linear probe (softmax regression) on the pixels and on the hidden activations of
//!   each autoencoder. Validation digits choose its weight decay.
//!
//! A picture in `out/denoising` has a block of rows for each noise. From the top: clean digits, noisy digits, and
//! their reconstructions by the plain and by the denoising autoencoder. Without a FOLDER, a chart has the learning
//! curves of the plain and of a denoising autoencoder: the training loss, and the error on noisy validation digits.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use experiments::chart::curves::{Axis, Curve, Panel, Place, narrow_panels};
use experiments::mnist::Labeled;
use experiments::picture::{Contrast, Layout, Picture};
use experiments::report::{mean_and_deviation, progress};
use experiments::{digits, mnist, probe};
use sparse_autoencoder::metrics::ReconstructionMetrics;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, Corruption, Epoch, ReconstructionLoss, Schedule, SparseAutoencoder, Trainer,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The settings that depend on the data set.
#[derive(Debug, Clone, Copy)]
struct Settings {
    name: &'static str,
    /// Height and width of a digit.
    side: usize,
    hidden: usize,
    /// The masked fraction, and the standard deviation of Gaussian noise.
    noise: f64,
    learning_rate: f64,
    epochs: usize,
    batch_size: usize,
    /// Pixels of the picture per pixel of a digit.
    zoom: usize,
}

const DIGITS: Settings = Settings {
    name: "digits",
    side: digits::SIZE,
    hidden: 128,
    noise: 0.25,
    learning_rate: 5e-3,
    epochs: 100,
    batch_size: 64,
    zoom: 8,
};

const MNIST: Settings = Settings {
    name: "mnist",
    side: 28,
    hidden: 1000,
    noise: 0.5,
    learning_rate: 1e-3,
    epochs: 5,
    batch_size: 128,
    zoom: 3,
};

/// Iterations of the probe for each weight decay.
const PROBE_ITERATIONS: usize = 100;

const RESTORED: [&str; 3] = ["noisy input", "plain autoencoder", "denoising autoencoder"];
const FEATURES: [&str; 2] = ["pixels", "plain autoencoder"];

/// Training, validation, and test digits.
#[derive(Clone)]
struct Task {
    training: Labeled,
    validation: Labeled,
    test: Labeled,
}

/// The results of a seed.
#[derive(Default)]
struct Outcome {
    /// For each noise and each of [`RESTORED`]: the mean squared error and the PSNR.
    distances: Vec<[(f64, f64); 3]>,
    /// For each of [`FEATURES`], then for each noise: the accuracy of the probe, and the seconds to
    /// learn the features.
    probes: Vec<(f64, f64)>,
    /// A block of the picture for each noise.
    blocks: Vec<Picture>,
}

fn main() -> Result<()> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let seeds = arguments.get(1).map_or(Ok(3), |seeds| seeds.parse())?;
    let Some(folder) = arguments.first() else {
        let digits = digits::load()?;
        evaluate(DIGITS, 5, |seed| split(&digits, seed))?;
        return draw_learning(&split(&digits, 0)?, DIGITS);
    };
    let (rest, test) = mnist::read(Path::new(folder))?;
    let task = Task {
        training: rest.select(|index, _| index < 50_000),
        validation: rest.select(|index, _| index >= 50_000),
        test,
    };
    evaluate(MNIST, seeds, |_| Ok(task.clone()))
}

/// Holds out 500 test digits and 200 validation digits.
fn split(digits: &Labeled, seed: u64) -> Result<Task> {
    let (rest, test) = digits.split(500, seed)?;
    let (training, validation) = rest.split(200, seed)?;
    Ok(Task {
        training,
        validation,
        test,
    })
}

fn evaluate(settings: Settings, seeds: u64, task: impl Fn(u64) -> Result<Task>) -> Result<()> {
    let mut outcomes = Vec::new();
    for seed in 0..seeds {
        outcomes.push(run(&task(seed)?, settings, seed)?);
    }
    let first = outcomes.first().ok_or("SEEDS must be at least 1")?;
    let path = format!("out/denoising/{}.png", settings.name);
    Picture::stack(&first.blocks).save(&path)?;
    report(settings, &outcomes);
    println!("\nLook at {path}.");
    Ok(())
}

fn run(task: &Task, settings: Settings, seed: u64) -> Result<Outcome> {
    let clean = &task.test.samples;
    let (plain, seconds) = fit(task, settings, None, seed, |_| Ok(()))?;
    let mut outcome = Outcome::default();
    outcome.probes.push((probe(task, None)?, 0.0));
    outcome.probes.push((probe(task, Some(&plain))?, seconds));
    for noise in noises(settings) {
        let (denoising, seconds) = fit(task, settings, Some(noise), seed, |_| Ok(()))?;
        let mut noisy = clean.clone();
        noise.apply(noisy.as_mut_slice(), seed)?;
        let by_plain = plain.reconstruct(&noisy)?;
        let by_denoising = denoising.reconstruct(&noisy)?;
        outcome.distances.push([
            distance(clean, &noisy)?,
            distance(clean, &by_plain)?,
            distance(clean, &by_denoising)?,
        ]);
        let accuracy = probe(task, Some(&denoising))?;
        outcome.probes.push((accuracy, seconds));
        let rows = [clean, &noisy, &by_plain, &by_denoising];
        let block = draw(rows, &task.test.labels, settings)?;
        outcome.blocks.push(block);
    }
    Ok(outcome)
}

fn noises(settings: Settings) -> [Corruption; 2] {
    let (fraction, standard_deviation) = (settings.noise, settings.noise);
    [
        Corruption::Masking { fraction },
        Corruption::Gaussian { standard_deviation },
    ]
}

fn name_of(noise: Corruption) -> String {
    match noise {
        Corruption::Masking { fraction } => format!("masking, {:.0} %", 100.0 * fraction),
        Corruption::Gaussian { standard_deviation } => {
            format!("Gaussian, σ = {standard_deviation}")
        }
        other => format!("{other:?}"),
    }
}

/// Fits a denoising autoencoder if there is noise, else a plain one, and measures the seconds. Only the
/// noise differs: neither has a penalty or a weight decay.
fn fit(
    task: &Task,
    settings: Settings,
    noise: Option<Corruption>,
    seed: u64,
    mut observer: impl FnMut(&Epoch<'_, f32>) -> std::result::Result<(), sparse_autoencoder::Error>,
) -> Result<(SparseAutoencoder<f32>, f64)> {
    let mut model = SparseAutoencoder::builder()
        .layers([settings.side.pow(2), settings.hidden])
        .hidden_activation(Activation::Relu)
        .reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy)
        .penalty(())
        .seed(seed)
        .build()?;
    let mut trainer = Trainer::new(Adam::new(settings.learning_rate)?)
        .epochs(settings.epochs)
        .batch_size(settings.batch_size)
        .schedule(Schedule::cosine(0.0))
        .seed(seed);
    if let Some(noise) = noise {
        trainer = trainer.corruption(noise);
    }
    let start = Instant::now();
    trainer.fit_with(&mut model, &task.training.samples, |epoch| {
        let model = noise.map_or("plain".into(), name_of);
        let name = format!("seed {seed}, {model}");
        let _ = progress(&name, epoch.number, epoch.of, epoch.loss.total());
        observer(epoch)
    })?;
    Ok((model, start.elapsed().as_secs_f64()))
}

/// Draws, over the epochs: the training loss of the plain and of a denoising autoencoder, and the error of
/// validation digits that they restore from noise.
fn draw_learning(task: &Task, settings: Settings) -> Result<()> {
    let [_, noise] = noises(settings);
    let clean = &task.validation.samples;
    let mut noisy = clean.clone();
    noise.apply(noisy.as_mut_slice(), 0)?;
    let panel = |axis, names| Panel {
        axis: Axis::linear(axis),
        curves: Vec::new(),
        names,
    };
    let mut panels = [
        panel("training loss", Place::UpperRight),
        panel("error, noisy digits", Place::Coordinate(230, 24)),
    ];
    for (name, noise) in [("plain", None), ("denoising", Some(noise))] {
        let (mut losses, mut errors) = (Vec::new(), Vec::new());
        fit(task, settings, noise, 0, |epoch| {
            let restored = epoch.model.reconstruct(&noisy)?;
            let number = f64::from(u32::try_from(epoch.number).unwrap_or(u32::MAX));
            losses.push((number, f64::from(epoch.loss.total())));
            errors.push((
                number,
                f64::from((restored - clean).norm_squared()) / clean.len() as f64,
            ));
            Ok(())
        })?;
        for (panel, points) in panels.iter_mut().zip([losses, errors]) {
            let curve = Curve::new(name, points);
            let curve = if noise.is_some() {
                curve.marked()
            } else {
                curve
            };
            panel.curves.push(curve);
        }
    }
    let (error, _) = distance(clean, &noisy)?;
    let ends = [1.0, f64::from(u32::try_from(settings.epochs)?)];
    let unrestored = Curve::new("not restored", ends.map(|epoch| (epoch, error)));
    panels[1].curves.push(unrestored.dashed());
    let path = format!("out/denoising/{}_learning.svg", settings.name);
    let title = format!("Digits with noise: {}", name_of(noise));
    narrow_panels(Path::new(&path), &title, Axis::linear("epoch"), &panels)
}

/// Returns the test accuracy of softmax regression on the hidden activations of `encoder`, or on the
/// pixels.
fn probe(task: &Task, encoder: Option<&SparseAutoencoder<f32>>) -> Result<f64> {
    let features = |digits: &Labeled| match encoder {
        Some(encoder) => encoder.encode(&digits.samples),
        None => Ok(digits.samples.clone()),
    };
    Ok(probe::accuracy(
        (&features(&task.training)?, &task.training.labels),
        (&features(&task.validation)?, &task.validation.labels),
        (&features(&task.test)?, &task.test.labels),
        PROBE_ITERATIONS,
    )?)
}

/// Returns the mean squared error, and the PSNR in dB.
fn distance(clean: &DMatrix<f32>, restored: &DMatrix<f32>) -> Result<(f64, f64)> {
    let mut metrics = ReconstructionMetrics::new(clean.nrows());
    metrics.add(clean, restored)?;
    let error = metrics.mean_squared_error().ok_or("no digits")?;
    Ok((error, metrics.psnr(1.0)?.unwrap_or(f64::INFINITY)))
}

/// Shows the first of each of the ten digits from every matrix, one matrix per row.
fn draw(rows: [&DMatrix<f32>; 4], labels: &[usize], settings: Settings) -> Result<Picture> {
    let first = |digit| labels.iter().position(|&label| label == digit);
    let shown = (0..10).filter_map(first).collect::<Vec<_>>();
    let columns = rows
        .iter()
        .flat_map(|pictures| shown.iter().map(|&index| pictures.column(index)))
        .collect::<Vec<_>>();
    let layout = Layout {
        tile: (settings.side, settings.side),
        columns: shown.len(),
        zoom: settings.zoom,
        contrast: Contrast::Unit,
    };
    Picture::tiles(&DMatrix::from_columns(&columns), layout)
}

fn report(settings: Settings, outcomes: &[Outcome]) {
    let (name, pixels, hidden) = (settings.name, settings.side.pow(2), settings.hidden);
    println!(
        "{name}: {pixels}-{hidden}-{pixels}, {} seeds",
        outcomes.len()
    );
    for (n, noise) in noises(settings).map(name_of).iter().enumerate() {
        println!("\n{noise:<30} {:>17} {:>15}", "MSE", "PSNR in dB");
        for (row, name) in RESTORED.iter().enumerate() {
            let (error, error_deviation) = spread(outcomes, |o| o.distances[n][row].0);
            let (psnr, psnr_deviation) = spread(outcomes, |o| o.distances[n][row].1);
            println!(
                "  {name:<30} {error:.4} ± {error_deviation:.4} {psnr:>8.2} ± {psnr_deviation:.2}"
            );
        }
    }
    println!(
        "\n{:<30} {:>17} {:>15}",
        "linear probe", "accuracy in %", "fit in"
    );
    let denoising = noises(settings).map(|noise| format!("denoising, {}", name_of(noise)));
    let features = FEATURES.map(String::from).into_iter().chain(denoising);
    for (n, name) in features.enumerate() {
        let (accuracy, deviation) = spread(outcomes, |o| 100.0 * o.probes[n].0);
        let (seconds, _) = spread(outcomes, |o| o.probes[n].1);
        println!("  {name:<31} {accuracy:>5.2} ± {deviation:.2} {seconds:>13.1} s");
    }
}

/// Returns the mean and the standard deviation over the seeds.
fn spread(outcomes: &[Outcome], of: impl Fn(&Outcome) -> f64) -> (f64, f64) {
    mean_and_deviation(&outcomes.iter().map(of).collect::<Vec<_>>())
}
