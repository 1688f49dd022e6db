//! Measures whether sparse autoencoders find the features of synthetic samples: a small form of
//! SynthSAEBench (Chanin & Garriga-Alonso 2026).
//!
//! ```text
//! cargo run --release -p experiments --bin synthetic_features -- [SEED...]
//! ```
//!
//! A sample has 128 dimensions and about 5 active features of 1024. The models have 256 hidden units for
//! the most frequent ones: a quarter, as in the benchmark. Feature frequencies follow Zipf's law.
//! Features are correlated, and five in eight are children: active only with their parent and never with
//! a sibling. All variants see the same stream of samples, each once, and have the same number of active
//! units. A seed draws the features, the samples, and the initial weights.
//!
//! - F1: how well the activity of a unit predicts that of its nearest feature, averaged over the units;
//!   precision and recall likewise.
//! - MCC: the mean cosine over the best one-to-one matching of units and features.
//! - uniqueness: distinct nearest features per unit.
//! - FVU: Σ‖e‖² / Σ‖x − x̄‖².
//!
//! Writes `out/synthetic_features.svg`: F1 and MCC over the training.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use experiments::chart::curves::{Axis, Curve, Panel, Place};
use experiments::report::{Summary, mean_and_deviation};
use experiments::synthetic::{Batch, Recipe, World};
use experiments::variants::{Learner, Scores, Setting, Variant, ratio};
use experiments::{chart, report, variants};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use sparse_autoencoder::DeadUnits;
use sparse_autoencoder::metrics::DictionaryMetrics;

const RECIPE: Recipe = Recipe {
    input_size: 128,
    features: 1024,
    roots: 32,
    branching: 4,
    depth: 2,
    probabilities: (5e-4, 0.4),
    rank: 25,
    correlation: 0.1,
};
const HIDDEN: usize = 256;
/// About the number of active features in a sample.
const ACTIVE: usize = 5;
const BATCH: usize = 512;
const STEPS: usize = 4000;
const CHECKPOINTS: usize = 8;
const TEST: usize = 20_000;

/// The rate, of 1e-3, 3e-3, and 1e-2, with the lowest FVU for most variants.
const LEARNING_RATE: f64 = 3e-3;

/// A variant in training.
struct Run {
    variant: Variant,
    learner: Learner,
    history: Vec<Checkpoint>,
    time: Duration,
}

/// Measurements of a model during training.
struct Checkpoint {
    samples: usize,
    scores: Scores,
    dictionary: DictionaryMetrics,
}

impl Checkpoint {
    fn new(
        learner: &Learner,
        world: &World,
        test: &Batch,
        samples: usize,
    ) -> Result<Self, Box<dyn Error>> {
        let layer = learner.model.parameters().layer(0).ok_or("no layer")?;
        let mut dictionary = DictionaryMetrics::new(&world.features, layer.decoder_weights)?;
        let hidden = learner.model.encode(&test.samples)?;
        dictionary.add(&test.activations, &hidden)?;
        Ok(Self {
            samples,
            scores: Scores::of(&learner.model, &test.samples)?,
            dictionary,
        })
    }

    fn f1(&self) -> f64 {
        self.dictionary.f1().unwrap_or(0.0)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let short = std::env::var_os("EXAMPLE_SHORT").is_some();
    let (steps, test) = if short { (160, 2000) } else { (STEPS, TEST) };
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let seeds = report::seeds(&arguments, if short { &[1] } else { &[1, 2, 3] })?;

    let mut quality = Summary::new(
        "",
        &[
            ("F1", 3),
            ("precision", 3),
            ("recall", 3),
            ("MCC", 3),
            ("uniqueness", 3),
        ],
    );
    let mut rest = Summary::new(
        "",
        &[("L0", 2), ("FVU", 4), ("dead in %", 1), ("seconds", 1)],
    );
    let mut histories = Vec::new();
    for &seed in &seeds {
        eprintln!("seed {seed}");
        let mut of_seed = Vec::new();
        for run in compare(seed, steps, test)? {
            let Some(Checkpoint {
                scores, dictionary, ..
            }) = run.history.last()
            else {
                continue;
            };
            let [precision, recall] = [dictionary.precision(), dictionary.recall()];
            let values = [
                dictionary.f1().unwrap_or(0.0),
                precision.unwrap_or(0.0),
                recall.unwrap_or(0.0),
                dictionary.mean_correlation_coefficient(),
                dictionary.uniqueness(),
            ];
            quality.add(run.variant.name(), values);
            let values = [scores.l0, scores.fvu, scores.dead, run.time.as_secs_f64()];
            rest.add(run.variant.name(), values);
            of_seed.push(run.history);
        }
        histories.push(of_seed);
    }
    println!("{quality}\n{rest}");
    draw(&histories)
}

/// Trains all variants on the same stream.
fn compare(seed: u64, steps: usize, test: usize) -> Result<Vec<Run>, Box<dyn Error>> {
    let world = World::new(&RECIPE, seed);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut test = world.batch(test);
    world.draw(&mut test, &mut rng);
    let mut batch = world.batch(BATCH);
    world.draw(&mut batch, &mut rng);
    let scale = variants::scale_to_unit_entries(&batch.samples)?;
    let first = &batch.samples * scale;
    test.samples *= scale;
    let active = test.activations.iter().filter(|a| **a > 0.0).count();
    println!(
        "seed {seed}: {:.2} features in a sample, mean largest cosine of a feature {:.3}",
        ratio(active, test.samples.ncols()),
        world.superposition()
    );

    let run = |variant| {
        let setting = Setting {
            input_size: RECIPE.input_size,
            hidden: HIDDEN,
            active: ACTIVE,
            steps,
            learning_rate: LEARNING_RATE,
            bandwidth: 0.5,
            dead_units: Some(DeadUnits::after(100 * BATCH).auxiliary(64, 1.0 / 32.0)),
            seed,
        };
        Ok(Run {
            variant,
            learner: Learner::new(variant, setting, first.as_view())?,
            history: Vec::new(),
            time: Duration::ZERO,
        })
    };
    let runs = Variant::ALL.into_iter().map(run);
    let mut runs = runs.collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    for step in 1..=steps {
        world.draw(&mut batch, &mut rng);
        batch.samples *= scale;
        for run in &mut runs {
            let start = Instant::now();
            run.learner.step(batch.samples.as_view())?;
            run.time += start.elapsed();
            if step.is_multiple_of(steps / CHECKPOINTS) {
                let checkpoint = Checkpoint::new(&run.learner, &world, &test, step * BATCH)?;
                eprintln!(
                    "  {step} of {steps}: {:<20} F1 {:.3}, FVU {:.4}, L0 {:.2}",
                    run.variant.name(),
                    checkpoint.f1(),
                    checkpoint.scores.fvu,
                    checkpoint.scores.l0
                );
                run.history.push(checkpoint);
            }
        }
    }
    Ok(runs)
}

/// Draws the `histories` of each variant, for each seed.
fn draw(histories: &[Vec<Vec<Checkpoint>>]) -> Result<(), Box<dyn Error>> {
    let curves = |quantity: &dyn Fn(&Checkpoint) -> f64| {
        let of_variant = |(index, variant): (usize, Variant)| {
            let points = (0..CHECKPOINTS).map(|point| {
                let values = histories.iter().map(|seed| quantity(&seed[index][point]));
                let (mean, deviation) = mean_and_deviation(&values.collect::<Vec<_>>());
                let samples = histories[0][index][point].samples;
                ((ratio(samples, 1_000_000), mean), deviation)
            });
            let (points, deviations): (Vec<_>, Vec<_>) = points.unzip();
            Curve::new(variant.name(), points).with_deviations(deviations)
        };
        Variant::ALL
            .into_iter()
            .enumerate()
            .map(of_variant)
            .collect()
    };
    chart::curves::panels(
        Path::new("out/synthetic_features.svg"),
        "Known features, found again",
        Axis::linear("millions of samples"),
        &[
            Panel {
                axis: Axis::linear("F1"),
                curves: curves(&Checkpoint::f1),
                names: Place::LowerRight,
            },
            Panel {
                axis: Axis::linear("MCC"),
                curves: curves(&|point| point.dictionary.mean_correlation_coefficient()),
                names: Place::LowerRight,
            },
        ],
    )
}
