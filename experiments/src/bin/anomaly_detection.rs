//! Detects anomalies: an unknown digit, digits with defects, and, from files, heartbeats (ECG5000) and
//! four tables of the ADBench collection.
//!
//! ```text
//! cargo run --release -p experiments --bin anomaly_detection              # digits, in seconds
//! cargo run --release -p experiments --bin anomaly_detection -- FOLDER    # the data sets in FOLDER, 5 seeds
//! ```
//!
//! FOLDER holds `.npy` files, one sample per row, of one or both of:
//!
//! - ECG5000 of the UCR time series archive (timeseriesclassification.com), training and test part
//!   together. `all_5000x140_f32.npy` has the heartbeats; `all_y_anomaly.npy` has 0 for the normal
//!   class and 1 for the four others; `all_is_official_train.npy` has 1 for the 500 training rows.
//! - Tables of ADBench (github.com/Minqi824/ADBench, `datasets/Classical`; `X` and `y` of each
//!   `.npz`): `6_cardio`, `38_thyroid`, `30_satellite`, `42_WBC`, with `_x_f32.npy` and `_y.npy`.
//!
//! All data sets share one configuration, [`settings`], except for the scaling. PyOD on the same
//! splits: `experiments/peers/anomaly_pyod.py`. Charts go to `out/anomaly_detection`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use experiments::chart::anomalies::{self, Class, Line};
use experiments::chart::contributions::{self, Part};
use experiments::digits;
use experiments::mnist::Labeled;
use experiments::picture::{Contrast, Layout, Picture};
use experiments::report::{mean_and_deviation, progress};
use experiments::shuffle::{shuffle, split_mix};
use sparse_autoencoder::metrics::{average_precision, roc_auc, roc_curve};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, AnomalyDetector, Corruption, NpyFile, Samples, Scaling, Schedule,
    SparseAutoencoder, Threshold, Trainer,
};

const SEEDS: std::ops::Range<u64> = 0..5;
const BATCH: usize = 256;
const STEPS: usize = 2000;
const MOST_EPOCHS: usize = 300;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Returns the configuration for scaled training samples.
///
/// The hidden layer is twice as large as the input and could learn to copy. Noise with twice the
/// spread of the values prevents this: the model must restore each feature from the others. Noise
/// and a small number of steps also keep the model from learning anomalies among the training
/// samples.
///
/// Noise, steps, and epochs maximize the mean ROC AUC on other splits (seeds 100 to 104) of the same
/// data. All data sets and both settings share them.
fn settings(training: &DMatrix<f32>, seed: u64) -> Result<(SparseAutoencoder<f32>, Trainer<f32>)> {
    let (features, samples) = training.shape();
    let model = SparseAutoencoder::builder()
        .layers([features, 2 * features])
        .hidden_activation(Activation::Tanh)
        .output_activation(Activation::Identity)
        .penalty(())
        .seed(seed)
        .build()?;
    let trainer = Trainer::new(Adam::new(3e-3)?)
        .epochs(epochs(samples))
        .batch_size(BATCH)
        .schedule(Schedule::cosine(0.0))
        .corruption(Corruption::Gaussian {
            standard_deviation: 2.0 * f64::from(training.variance().sqrt()),
        })
        .seed(seed);
    Ok((model, trainer))
}

/// Returns the number of epochs for the number of steps, within bounds.
fn epochs(samples: usize) -> usize {
    STEPS.div_ceil(samples.div_ceil(BATCH)).min(MOST_EPOCHS)
}

/// Training samples, and test samples with their labels.
#[derive(Clone)]
struct Task {
    name: String,
    training: DMatrix<f32>,
    test: DMatrix<f32>,
    anomalous: Vec<bool>,
}

/// The results of a detector on the test samples.
struct Outcome {
    scores: Vec<f32>,
    auc: f64,
    precision: f64,
    seconds: f64,
}

fn main() -> Result<()> {
    match std::env::args_os().nth(1) {
        None => digits(),
        Some(folder) => files(&PathBuf::from(folder)),
    }
}

/// Trains on all training samples and scores the test samples.
fn run(task: &Task, scaling: Scaling, seed: u64) -> Result<(AnomalyDetector<f32>, Outcome)> {
    let scaled = scaling.fit(&task.training)?.apply(&task.training)?;
    let (mut model, mut trainer) = settings(&scaled, seed)?;
    let start = Instant::now();
    let detector = AnomalyDetector::builder(&mut model)
        .scaling(scaling)
        .threshold(Threshold::Contamination(0.1))
        .calibration_split(0.0)
        .fit_with(&mut trainer, &task.training, |epoch| {
            let name = format!("{}, seed {seed}", task.name);
            progress(&name, epoch.number, epoch.of, epoch.loss.total())
        })?
        .detector;
    let seconds = start.elapsed().as_secs_f64();
    let scores = detector.scores(&task.test)?.as_slice().to_vec();
    let outcome = Outcome {
        auc: roc_auc(&scores, &task.anomalous)?,
        precision: average_precision(&scores, &task.anomalous)?,
        scores,
        seconds,
    };
    Ok((detector, outcome))
}

fn print_head() {
    println!(
        "{:<30} {:>17} {:>19} {:>9}",
        "", "ROC AUC", "average precision", "training"
    );
}

fn print_row(name: &str, outcomes: &[Outcome]) {
    let [auc, precision, seconds] = [
        |o: &Outcome| o.auc,
        |o: &Outcome| o.precision,
        |o: &Outcome| o.seconds,
    ]
    .map(|of| mean_and_deviation(&outcomes.iter().map(of).collect::<Vec<_>>()));
    let spread = |deviation: f64| match outcomes.len() {
        1 => "        ".into(),
        _ => format!("± {deviation:.4}"),
    };
    println!(
        "{name:<30} {:>8.4} {} {:>10.4} {} {:>7.2} s",
        auc.0,
        spread(auc.1),
        precision.0,
        spread(precision.1),
        seconds.0
    );
}

fn files(folder: &Path) -> Result<()> {
    let tables = [
        ("cardio", "6_cardio"),
        ("thyroid", "38_thyroid"),
        ("satellite", "30_satellite"),
        ("WBC", "42_WBC"),
    ];
    let tables = tables.map(|(name, stem)| (name, folder.join(stem)));
    let file = |stem: &Path, end| PathBuf::from(format!("{}_{end}.npy", stem.display()));
    let heartbeats = folder.join("all_5000x140_f32.npy");
    if !heartbeats.exists() && !tables.iter().any(|(_, stem)| file(stem, "y").exists()) {
        return Err(format!("{}: none of the data files found", folder.display()).into());
    }
    print_head();
    if heartbeats.exists() {
        let task = heartbeat_task(folder)?;
        // A single signal: every heartbeat already has mean 0 and variance 1.
        evaluate("ECG5000", Scaling::identity(), |_| Ok(task.clone()))?;
    }
    for (name, stem) in tables.iter().filter(|(_, stem)| file(stem, "y").exists()) {
        let samples = NpyFile::open(file(stem, "x_f32"))?.to_matrix()?;
        let anomalous = flags(file(stem, "y"))?;
        for contaminated in [false, true] {
            let name = match contaminated {
                false => format!("{name}, semi-supervised"),
                true => format!("{name}, unsupervised"),
            };
            // Columns with different units; some of them hardly ever change.
            let scaling = Scaling::standard().keep_constant_features();
            evaluate(&name, scaling, |seed| {
                Ok(split(&name, &samples, &anomalous, contaminated, seed))
            })?;
        }
    }
    Ok(())
}

/// Runs all seeds, prints a row of the table, and draws the charts of the last run.
fn evaluate(name: &str, scaling: Scaling, task: impl Fn(u64) -> Result<Task>) -> Result<()> {
    let mut outcomes = Vec::new();
    let mut curves = Vec::new();
    let file = |kind| {
        let name = name.to_lowercase().replace(", ", "_");
        PathBuf::from(format!("out/anomaly_detection/{name}_{kind}.svg"))
    };
    for seed in SEEDS {
        let task = task(seed)?;
        let (detector, outcome) = run(&task, scaling, seed)?;
        curves.push(curve(&format!("seed {seed}"), &task, &outcome)?);
        if seed + 1 == SEEDS.end {
            // Calibrated on training samples: ranks among their scores are no p-values.
            let threshold = (f64::from(detector.threshold()), 0.1);
            draw_scores(
                &file("scores"),
                name,
                &task,
                (&outcome.scores, &[]),
                threshold,
            )?;
        }
        outcomes.push(outcome);
    }
    print_row(name, &outcomes);
    anomalies::roc(&file("roc"), name, &curves)
}

fn curve(name: &str, task: &Task, outcome: &Outcome) -> Result<Line> {
    let points = roc_curve(&outcome.scores, &task.anomalous)?;
    Ok(Line {
        name: format!("{name}: AUC {:.4}", outcome.auc),
        points: points
            .iter()
            .map(|point| (point.false_positive_rate, point.true_positive_rate))
            .collect(),
    })
}

/// Draws the scores and p-values of the test samples, and a threshold with its false-alarm rate.
fn draw_scores(
    path: &Path,
    title: &str,
    task: &Task,
    (scores, p_values): (&[f32], &[f64]),
    threshold: (f64, f64),
) -> Result<()> {
    let of_class = |values: &[f64], class| -> Vec<f64> {
        let labeled = values.iter().zip(&task.anomalous);
        let of_class = labeled.filter(|(_, label)| **label == class);
        of_class.map(|(&value, _)| value).collect()
    };
    let scores: Vec<f64> = scores.iter().copied().map(f64::from).collect();
    let classes =
        [false, true].map(|class| [&scores[..], p_values].map(|all| of_class(all, class)));
    let [normal, anomalous] = &classes;
    let classes = [normal, anomalous].map(|[scores, p_values]| Class { scores, p_values });
    anomalies::scores(path, title, classes, threshold)
}

/// Reads a file of numbers, and returns for each whether it differs from 0.
fn flags(path: impl AsRef<Path>) -> Result<Vec<bool>> {
    let numbers = NpyFile::<f32>::open(path)?.to_matrix()?;
    Ok(numbers.iter().map(|&number| number != 0.0).collect())
}

/// Trains on the normal heartbeats of the official training part, tests on all others.
fn heartbeat_task(folder: &Path) -> Result<Task> {
    let samples = NpyFile::open(folder.join("all_5000x140_f32.npy"))?.to_matrix()?;
    let anomalous = flags(folder.join("all_y_anomaly.npy"))?;
    let official = flags(folder.join("all_is_official_train.npy"))?;
    let (training, test): (Vec<_>, Vec<_>) =
        (0..anomalous.len()).partition(|&row| official[row] && !anomalous[row]);
    Ok(Task {
        name: "ECG5000".into(),
        training: samples.select_columns(&training),
        test: samples.select_columns(&test),
        anomalous: test.iter().map(|&row| anomalous[row]).collect(),
    })
}

/// Draws 70 % of each class for training and leaves the others for the test. Unless `contaminated`,
/// removes the anomalies from the training samples. The Python script draws the same rows.
fn split(
    name: &str,
    samples: &DMatrix<f32>,
    anomalous: &[bool],
    contaminated: bool,
    seed: u64,
) -> Task {
    let mut rows: Vec<usize> = (0..anomalous.len()).collect();
    shuffle(&mut rows, seed);
    let (mut training, mut test) = (Vec::new(), Vec::new());
    for class in [false, true] {
        let of_class = rows.iter().copied().filter(|&row| anomalous[row] == class);
        let of_class: Vec<usize> = of_class.collect();
        let (first, others) = of_class.split_at((7 * of_class.len() + 5) / 10);
        if contaminated || !class {
            training.extend(first);
        }
        test.extend(others);
    }
    Task {
        name: name.into(),
        training: samples.select_columns(&training),
        test: samples.select_columns(&test),
        anomalous: test.iter().map(|&row| anomalous[row]).collect(),
    }
}

/// The number of inverted pixels per digit.
const DEFECTS: usize = 3;

fn digits() -> Result<()> {
    let digits = digits::load()?;
    let start = Instant::now();
    unknown_digits(&digits)?;
    defects(&digits)?;
    println!("{:.1} s in all", start.elapsed().as_secs_f64());
    Ok(())
}

/// Trains on nine digits and detects the tenth.
fn unknown_digits(digits: &Labeled) -> Result<()> {
    println!("trained on nine digits; tested on unseen ones of these and on the tenth:");
    print_head();
    let (training, test) = digits.split(500, 0)?;
    let mut curves = Vec::new();
    for unknown in 0..10 {
        let task = Task {
            name: format!("unknown digit {unknown}"),
            training: training.select(|_, label| label != unknown).samples,
            test: test.samples.clone(),
            anomalous: test.labels.iter().map(|&label| label == unknown).collect(),
        };
        let (_, outcome) = run(&task, Scaling::identity(), 0)?;
        if [0, 1, 6].contains(&unknown) {
            curves.push(curve(&task.name, &task, &outcome)?);
        }
        print_row(&task.name, &[outcome]);
    }
    let path = Path::new("out/anomaly_detection/digits_roc.svg");
    anomalies::roc(path, "a digit missing from the training data", &curves)
}

/// Trains on all digits and detects digits with a few inverted pixels. Rates are means over the
/// seeds, each with its own split and calibration.
fn defects(digits: &Labeled) -> Result<()> {
    const RATES: [f64; 3] = [0.1, 0.05, 0.01];
    let (mut areas, mut named) = (Vec::new(), Vec::new());
    let mut alarms = RATES.map(|_| [Vec::new(), Vec::new()]);
    for seed in SEEDS {
        let (training, test) = digits.split(500, seed)?;
        let (mut model, mut trainer) = settings(&training.samples, seed)?;
        let mut detector = AnomalyDetector::builder(&mut model)
            .scaling(Scaling::identity())
            .seed(seed)
            .fit(&mut trainer, &training.samples)?
            .detector;

        let intact = test.samples;
        let (damaged, defects) = damage(&intact, seed);
        let count = intact.ncols();
        let mut scores = detector.scores(&intact)?.as_slice().to_vec();
        scores.extend(detector.scores(&damaged)?.iter());
        let anomalous: Vec<bool> = (0..2 * count).map(|index| index >= count).collect();
        areas.push(roc_auc(&scores, &anomalous)?);
        for (rate, alarms) in RATES.into_iter().zip(&mut alarms) {
            detector.set_threshold(Threshold::FalseAlarmRate(rate))?; // without another fit
            for (alarms, samples) in alarms.iter_mut().zip([&intact, &damaged]) {
                alarms.push(share(detector.is_anomaly(samples)?));
            }
        }
        let contributions = detector.contributions(&damaged)?;
        let columns = contributions.column_iter().zip(&defects);
        named.push(share(
            columns.map(|(parts, defects)| defects.contains(&parts.imax())),
        ));
        if seed == SEEDS.start {
            draw_reasons(&detector, &intact, &damaged, &contributions)?;
            const RATE: f64 = 0.05;
            let threshold = detector.threshold_by(Threshold::FalseAlarmRate(RATE))?;
            let mut p_values = detector.p_values(&intact)?.as_slice().to_vec();
            p_values.extend(detector.p_values(&damaged)?.iter());
            draw_contributions(&contributions, &defects)?;
            let task = Task {
                name: format!("Digits with {DEFECTS} of 64 pixels inverted"),
                training: training.samples,
                test: damaged,
                anomalous,
            };
            let path = Path::new("out/anomaly_detection/digits_scores.svg");
            let threshold = (f64::from(threshold), RATE);
            draw_scores(path, &task.name, &task, (&scores, &p_values), threshold)?;
        }
    }
    println!(
        "\ntrained on all digits; tested on unseen ones, intact and with {DEFECTS} of 64 pixels inverted:"
    );
    let (area, deviation) = mean_and_deviation(&areas);
    println!("ROC AUC {area:.4} ± {deviation:.4}");
    for (rate, alarms) in RATES.iter().zip(&alarms) {
        let [intact, damaged] = [0, 1].map(|which| mean_and_deviation(&alarms[which]));
        println!(
            "false-alarm rate set to {:>4.1} %: alarms for {:>4.1} ± {:.1} % of the intact, {:>4.1} ± {:.1} % of the damaged",
            100.0 * rate,
            100.0 * intact.0,
            100.0 * intact.1,
            100.0 * damaged.0,
            100.0 * damaged.1
        );
    }
    let (named, deviation) = mean_and_deviation(&named);
    println!(
        "the largest contribution comes from an inverted pixel: {:.1} ± {:.1} %",
        100.0 * named,
        100.0 * deviation
    );
    Ok(())
}

/// Inverts a few pixels of each digit, and returns which.
fn damage(digits: &DMatrix<f32>, seed: u64) -> (DMatrix<f32>, Vec<Vec<usize>>) {
    let mut damaged = digits.clone();
    let mut numbers = split_mix(seed);
    let mut defects = Vec::new();
    for mut digit in damaged.column_iter_mut() {
        let mut pixels: Vec<usize> = (0..digit.len()).collect();
        for i in 0..DEFECTS {
            #[allow(clippy::cast_possible_truncation)] // below the number of pixels
            let chosen = i + (numbers() % (pixels.len() - i) as u64) as usize;
            pixels.swap(i, chosen);
            digit[pixels[i]] = 1.0 - digit[pixels[i]];
        }
        pixels.truncate(DEFECTS);
        defects.push(pixels);
    }
    (damaged, defects)
}

fn share(flags: impl IntoIterator<Item = bool>) -> f64 {
    let numbers: Vec<_> = flags
        .into_iter()
        .map(|flag| f64::from(u8::from(flag)))
        .collect();
    mean_and_deviation(&numbers).0
}

/// The number of digits in pictures.
const SHOWN: usize = 12;

/// Draws, from the top: digits, the same digits with defects, their reconstructions, and the
/// contribution of each pixel to the score.
fn draw_reasons(
    detector: &AnomalyDetector<f32>,
    digits: &DMatrix<f32>,
    damaged: &DMatrix<f32>,
    contributions: &DMatrix<f32>,
) -> Result<()> {
    let layout = Layout {
        tile: (digits::SIZE, digits::SIZE),
        columns: SHOWN,
        zoom: 8,
        contrast: Contrast::Unit,
    };
    let expected = detector.reconstruct(damaged.columns(0, SHOWN))?;
    let mut parts = contributions.columns(0, SHOWN).into_owned();
    for mut column in parts.column_iter_mut() {
        column /= column.max();
    }
    let rows = [
        digits.columns(0, SHOWN).into_owned(),
        damaged.columns(0, SHOWN).into_owned(),
        expected,
        parts,
    ];
    let pictures = rows
        .iter()
        .map(|samples| Picture::tiles(samples, layout))
        .collect::<Result<Vec<_>>>()?;
    Picture::stack(&pictures).save("out/anomaly_detection/digits_reasons.png")
}

/// Draws how the contributions of the pixels add up to the score: of the highest score among the shown digits.
fn draw_contributions(contributions: &DMatrix<f32>, defects: &[Vec<usize>]) -> Result<()> {
    let scores = contributions.columns(0, SHOWN).row_sum();
    let digit = scores.transpose().imax();
    let parts = contributions.column(digit).into_iter().enumerate();
    let parts = parts.map(|(pixel, &contribution)| {
        let (row, column) = (pixel / digits::SIZE + 1, pixel % digits::SIZE + 1);
        let marked = defects[digit].contains(&pixel);
        let note = if marked { ", inverted" } else { "" };
        Part {
            name: format!("pixel {row}, {column}{note}"),
            contribution: f64::from(contribution),
            marked,
        }
    });
    let path = Path::new("out/anomaly_detection/digits_contributions.svg");
    contributions::stacked(path, "Why this digit is an anomaly", parts.collect())
}
