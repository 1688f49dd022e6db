//! Measures the benefit of pretraining with few labels. A network pretrained on all pictures without
//! labels competes with the same network from random weights. Both are fine-tuned with the same labels.
//!
//! ```text
//! cargo run --release -p experiments --bin few_labels                      # the digits of this repository
//! cargo run --release -p experiments --bin few_labels -- FOLDER [SEED...]  # MNIST; seeds 1 to 5 by default
//! cargo run --release -p experiments --bin few_labels -- FOLDER --held-out [SEED...]
//! ```
//!
//! `FOLDER` holds the four files of MNIST, with or without `.gz`. Each seed chooses the labeled
//! pictures, the same number for each digit, and the initial weights. `--held-out` compares the rates of
//! fine-tuning instead, on the last 10,000 training pictures; seeds 6 to 8 by default.
//!
//! Two stacked winner-take-all autoencoders (Makhzani & Frey 2015) restore pictures with erased pixels
//! (Vincent et al. 2010). They encode as plain ReLU layers do, and therefore form an ordinary network
//! below a softmax. Both networks first fit the softmax alone, then all layers together.
//!
//! Writes `out/few_labels.svg`: accuracies over the number of labels.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use experiments::chart::curves::{Axis, Curve, Panel, Place};
use experiments::mnist::Labeled;
use experiments::report::{Accuracies, Summary, progress};
use experiments::{chart, digits, mnist, report};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use sparse_autoencoder::{
    Activation, Adam, ClassifierTrainer, Corruption, Initialization, Lbfgs, Schedule,
    SoftmaxClassifier, SparseAutoencoder, Stack, Trainer,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The settings of the experiment.
struct Settings {
    hidden: usize,
    /// The share of a batch in which a unit is active.
    lifetime_sparsity: f64,
    /// The share of erased pixels.
    erased: f64,
    /// Of pretraining.
    epochs: usize,
    batch_size: usize,
    weight_decay: f64,
    /// The number of labels, and the learning rates for fine-tuning the two networks.
    labels: &'static [Labels],
}

struct Labels {
    count: usize,
    random_rate: f64,
    pretrained_rate: f64,
}

/// Rates to choose from.
const RATES: [f64; 7] = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2];

/// The rates are the best of `RATES` on held-out pictures, for each network.
const MNIST: Settings = Settings {
    hidden: 400,
    lifetime_sparsity: 0.05,
    erased: 0.25,
    epochs: 8,
    batch_size: 200,
    weight_decay: 1e-3,
    labels: &[
        Labels {
            count: 100,
            random_rate: 3e-4,
            pretrained_rate: 1e-5,
        },
        Labels {
            count: 1000,
            random_rate: 3e-3,
            pretrained_rate: 3e-5,
        },
        Labels {
            count: 10_000,
            random_rate: 3e-3,
            pretrained_rate: 1e-4,
        },
    ],
};

/// For 1500 pictures of 64 pixels.
const DIGITS: Settings = Settings {
    hidden: 128,
    epochs: 100,
    batch_size: 100,
    labels: &[
        Labels {
            count: 20,
            random_rate: 1e-3,
            pretrained_rate: 3e-4,
        },
        Labels {
            count: 100,
            random_rate: 1e-3,
            pretrained_rate: 3e-4,
        },
        Labels {
            count: 500,
            random_rate: 1e-3,
            pretrained_rate: 3e-4,
        },
    ],
    ..MNIST
};

const CLASSES: usize = 10;

/// The accuracies for a number of labels, over the seeds.
#[derive(Default)]
struct Row {
    pixels: Accuracies,
    random: Accuracies,
    features: Accuracies,
    pretrained: Accuracies,
}

fn main() -> Result<()> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let [folder, options @ ..] = &arguments[..] else {
        let (training, test) = digits::load()?.split(297, 1)?;
        return compare(&training, &test, &DIGITS, &[1, 2]);
    };
    let (training, test) = mnist::read(Path::new(folder))?;
    match options {
        [first, seeds @ ..] if first == "--held-out" => {
            let held_out = training.select(|index, _| index >= 50_000);
            let training = training.select(|index, _| index < 50_000);
            compare_rates(
                &training,
                &held_out,
                &MNIST,
                &report::seeds(seeds, &[6, 7, 8])?,
            )
        }
        seeds => {
            let seeds = report::seeds(seeds, &[1, 2, 3, 4, 5])?;
            compare(&training, &test, &MNIST, &seeds)
        }
    }
}

/// Prints the accuracies of both networks after fine-tuning at each rate.
fn compare_rates(
    training: &Labeled,
    test: &Labeled,
    settings: &Settings,
    seeds: &[u64],
) -> Result<()> {
    let quantities = [("random weights, %", 2), ("pretrained, %", 2)];
    let mut table = Summary::new("labels, rate", &quantities);
    for &seed in seeds {
        let stacks = stacks(training, settings, seed)?;
        for labels in settings.labels {
            let chosen = choose(training, labels.count, seed);
            for rate in RATES {
                let mut accuracies = [0.0; 2];
                for (accuracy, stack) in accuracies.iter_mut().zip(&stacks) {
                    let [_, after] = fine_tune(stack, &chosen, test, settings, rate, seed)?;
                    *accuracy = 100.0 * after;
                }
                table.add(&format!("{}, {rate:e}", labels.count), accuracies);
            }
        }
    }
    println!("{table}");
    Ok(())
}

fn compare(training: &Labeled, test: &Labeled, settings: &Settings, seeds: &[u64]) -> Result<()> {
    let (pixels, hidden) = (training.samples.nrows(), settings.hidden);
    println!(
        "{pixels}-{hidden}-{hidden}-{CLASSES}: {} pictures to learn from, {} to test",
        training.labels.len(),
        test.labels.len(),
    );
    println!(
        "{:>8} {:>18} {:>18} {:>18} {:>18}",
        "labels", "pixels", "random weights", "learned features", "fine-tuned"
    );
    let mut rows = settings
        .labels
        .iter()
        .map(|_| Row::default())
        .collect::<Vec<_>>();
    for &seed in seeds {
        let start = Instant::now();
        let [random, pretrained] = stacks(training, settings, seed)?;
        let seconds = start.elapsed().as_secs_f64();

        for (labels, row) in settings.labels.iter().zip(&mut rows) {
            let chosen = choose(training, labels.count, seed);
            let softmax = fit_softmax(&chosen, settings)?;
            row.pixels
                .push(softmax.accuracy(&test.samples, &test.labels)?);
            let [_, after] = fine_tune(&random, &chosen, test, settings, labels.random_rate, seed)?;
            row.random.push(after);
            let [before, after] = fine_tune(
                &pretrained,
                &chosen,
                test,
                settings,
                labels.pretrained_rate,
                seed,
            )?;
            row.features.push(before);
            row.pretrained.push(after);
        }
        let total = start.elapsed().as_secs_f64();
        println!("seed {seed}: {total:.0} s, pretraining {seconds:.0} s of it");
    }
    for (labels, row) in settings.labels.iter().zip(&rows) {
        let Row {
            pixels,
            random,
            features,
            pretrained,
        } = row;
        let count = labels.count;
        println!("{count:>8} {pixels:>18} {random:>18} {features:>18} {pretrained:>18}");
    }
    draw(settings, &rows)
}

fn autoencoder(
    input_size: usize,
    settings: &Settings,
    seed: u64,
) -> std::result::Result<SparseAutoencoder<f32>, sparse_autoencoder::Error> {
    SparseAutoencoder::builder()
        .layers([input_size, settings.hidden])
        .hidden_activation(Activation::WinnerTakeAll(settings.lifetime_sparsity))
        .output_activation(Activation::Identity)
        .initialization(Initialization::TransposedDecoder { norm: 1.0 })
        .seed(seed)
        .build()
}

/// Returns a stack with random weights, and the same after pretraining.
fn stacks(pictures: &Labeled, settings: &Settings, seed: u64) -> Result<[Stack<f32>; 2]> {
    let random = Stack::new(vec![
        autoencoder(pictures.samples.nrows(), settings, seed)?,
        autoencoder(settings.hidden, settings, seed)?,
    ])?;
    let mut pretrained = random.clone();
    let mut trainer = Trainer::new(Adam::new(2e-3)?)
        .epochs(settings.epochs)
        .batch_size(settings.batch_size)
        .schedule(Schedule::cosine(0.0))
        .corruption(Corruption::Masking {
            fraction: settings.erased,
        })
        .seed(seed);
    let names = ["first autoencoder", "second autoencoder"];
    trainer.fit_stack_with(&mut pretrained, &pictures.samples, |layer, epoch| {
        let loss = epoch.loss.total();
        progress(names[layer], epoch.number, settings.epochs, loss)
    })?;
    Ok([random, pretrained])
}

/// Draws the same number of pictures of each digit by the seed.
fn choose(pictures: &Labeled, count: usize, seed: u64) -> Labeled {
    let mut order = (0..pictures.labels.len()).collect::<Vec<_>>();
    order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
    let mut left = [count / CLASSES; CLASSES];
    let mut chosen = vec![false; order.len()];
    for index in order {
        let left = &mut left[pictures.labels[index]];
        chosen[index] = *left > 0;
        *left = left.saturating_sub(1);
    }
    pictures.select(|index, _| chosen[index])
}

fn fit_softmax(
    labeled: &Labeled,
    settings: &Settings,
) -> std::result::Result<SoftmaxClassifier<f32>, sparse_autoencoder::Error> {
    let mut softmax = SoftmaxClassifier::new(labeled.samples.nrows(), CLASSES)?
        .with_weight_decay(settings.weight_decay)?;
    let mut trainer = ClassifierTrainer::new(Lbfgs::new()).epochs(60);
    trainer.fit(&mut softmax, &labeled.samples, &labeled.labels)?;
    Ok(softmax)
}

/// Returns the accuracy with a softmax on the codes of the stack, and after fine-tuning all layers.
fn fine_tune(
    stack: &Stack<f32>,
    labeled: &Labeled,
    test: &Labeled,
    settings: &Settings,
    learning_rate: f64,
    seed: u64,
) -> Result<[f64; 2]> {
    let features = Labeled {
        samples: stack.encode(&labeled.samples)?,
        labels: labeled.labels.clone(),
    };
    let mut deep = fit_softmax(&features, settings)?.on_top_of(stack.layers())?;
    let before = deep.accuracy(&test.samples, &test.labels)?;
    let mut trainer = ClassifierTrainer::new(Adam::new(learning_rate)?)
        .epochs(20)
        .batch_size(50)
        .schedule(Schedule::cosine(0.0))
        .seed(seed);
    trainer.fit(&mut deep, &labeled.samples, &labeled.labels)?;
    Ok([before, deep.accuracy(&test.samples, &test.labels)?])
}

fn draw(settings: &Settings, rows: &[Row]) -> Result<()> {
    let curve = |name, of: fn(&Row) -> &Accuracies| {
        let values = rows.iter().map(|row| of(row).mean_and_deviation());
        let (means, deviations): (Vec<_>, Vec<_>) = values.unzip();
        let counts = settings.labels.iter().map(|labels| labels.count);
        let counts = counts.map(|count| f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
        Curve::new(name, counts.zip(means)).with_deviations(deviations)
    };
    chart::curves::panels(
        Path::new("out/few_labels.svg"),
        "Pretraining without labels, when labels are few",
        Axis::logarithmic("labels"),
        &[Panel {
            axis: Axis::linear("accuracy in %"),
            curves: vec![
                curve("pretrained, fine-tuned", |row| &row.pretrained),
                curve("random weights, fine-tuned", |row| &row.random),
                curve("softmax on pixels", |row| &row.pixels),
            ],
            names: Place::LowerRight,
        }],
    )?;
    println!("Look at out/few_labels.svg.");
    Ok(())
}
