//! Trains transcoders: sparse units that predict what a part of a network computes.
//!
//! ```text
//! cargo run --release -p experiments --bin transcoders                      # halves of digits
//! cargo run --release -p experiments --bin transcoders -- FOLDER [RATE]     # an MLP of a transformer
//! cargo run --release -p experiments --bin transcoders -- FOLDER rates      # chooses the rate
//! cargo run --release -p experiments --bin transcoders -- FOLDER baselines  # what is not learned
//! cargo run --release -p experiments --bin transcoders -- chart FILE        # lines of the MLP
//! ```
//!
//! The first predicts the right half of digits from the left, by each recipe with and without a skip connection and by
//! the best affine map. Writes `out/transcoders.svg`.
//!
//! The second reads what `experiments/peers/transcoders.py` prepares. As the other library there, it takes 2,000 steps
//! on batches of 512 in the order of the file, by default at a rate of 3e-3. It prints a line of JSON for each variant
//! and seed, judged on the test tokens. The third compares rates by TopK, judged on the last 10,000 training
//! tokens, which no training sees. The fourth prints lines of the best affine map, and of TopK with a frozen random
//! decoder. It also measures how well the units of two seeds of TopK agree. The fifth draws the chart of such lines.

use std::error::Error;
use std::path::Path;

use experiments::chart::curves::{Axis, Curve, Panel, Place};
use experiments::report::Summary;
use experiments::variants::{FrozenDecoder, Scores, VARIANTS, agreement, named};
use experiments::{chart, digits};
use serde_json::{Value, json};
use sparse_autoencoder::metrics::ReconstructionMetrics;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::recipe::{Recipe, Variant};
use sparse_autoencoder::{NpyFile, Pairs, Samples, SparseAutoencoder};

const WIDTH: usize = 1536;
const ACTIVE: usize = 32;
const BATCH: usize = 512;
const STEPS: usize = 2000;
const RATE: f64 = 3e-3;
const HELD_OUT: usize = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => of_digits(),
        ["chart", file] => draw(&of_lines(&std::fs::read_to_string(file)?)?),
        [folder] => of_tokens(Path::new(folder), RATE),
        [folder, "rates"] => compare_rates(Path::new(folder)),
        [folder, "baselines"] => baselines(Path::new(folder)),
        [folder, rate] => of_tokens(Path::new(folder), rate.parse()?),
        _ => Err("expected: FOLDER [RATE], FOLDER rates, FOLDER baselines, or chart FILE".into()),
    }
}

/// Inputs and their targets.
struct Data {
    inputs: DMatrix<f32>,
    targets: DMatrix<f32>,
}

impl Data {
    fn read(folder: &Path, part: &str) -> Result<Self, Box<dyn Error>> {
        let read = |name: &str| {
            let path = folder.join(format!("{name}_{part}.npy"));
            NpyFile::<f32>::open(path)?.to_matrix()
        };
        Ok(Self {
            inputs: read("inputs")?,
            targets: read("outputs")?,
        })
    }

    fn columns(&self, first: usize, count: usize) -> Self {
        let of = |matrix: &DMatrix<f32>| matrix.columns(first, count).into_owned();
        Self {
            inputs: of(&self.inputs),
            targets: of(&self.targets),
        }
    }

    fn judge(&self, model: &SparseAutoencoder<f32>) -> Result<Scores, Box<dyn Error>> {
        Scores::of_predictions(model, &self.inputs, &self.targets)
    }

    /// Σ‖ŷ − y‖² / Σ‖y − ȳ‖²
    fn fvu(&self, predicted: &DMatrix<f32>) -> Result<f64, Box<dyn Error>> {
        let mut metrics = ReconstructionMetrics::new(self.targets.nrows());
        metrics.add(&self.targets, predicted)?;
        let fvu = metrics.fraction_of_variance_unexplained();
        Ok(fvu.ok_or("equal targets")?)
    }
}

/// Takes `steps` steps on batches in the order of the samples. If it `freezes`, the decoder keeps random directions.
fn train(
    data: &Data,
    recipe: &Recipe,
    steps: usize,
    freezes: bool,
) -> Result<SparseAutoencoder<f32>, Box<dyn Error>> {
    let pairs = Pairs::new(&data.inputs, &data.targets)?;
    let (count, first) = (pairs.count(), pairs.count().min(4096));
    let mut training = recipe.begin(pairs.subset((0..first).collect::<Vec<_>>())?)?;
    let frozen = freezes
        .then(|| FrozenDecoder::random(&mut training.model, recipe.seed))
        .transpose()?;
    for step in 0..steps {
        let batch: Vec<usize> = (step * BATCH..(step + 1) * BATCH)
            .map(|i| i % count)
            .collect();
        training.partial_fit(pairs.subset(batch)?.to_matrix()?)?;
        if let Some(frozen) = &frozen {
            frozen.restore(&mut training.model)?;
        }
    }
    Ok(training.finish(pairs.subset((count - first..count).collect::<Vec<_>>())?)?)
}

fn recipe(variant: Variant, skip: bool, steps: usize, data: &Data) -> Recipe {
    Recipe::new(variant, WIDTH, ACTIVE)
        .samples(BATCH * steps)
        .batch_size(BATCH)
        .output_size(data.targets.nrows())
        .skip(skip)
}

/// Prints a line for each variant and seed.
fn of_tokens(folder: &Path, rate: f64) -> Result<(), Box<dyn Error>> {
    let (training, test) = (Data::read(folder, "train")?, Data::read(folder, "test")?);
    let training = training.columns(0, training.inputs.ncols() - HELD_OUT);
    for seed in 1..=3 {
        for (name, _, variant) in VARIANTS {
            for skip in [false, true] {
                let recipe = recipe(variant, skip, STEPS, &training)
                    .learning_rate(rate)
                    .seed(seed);
                let Scores { l0, fvu, dead } =
                    test.judge(&train(&training, &recipe, STEPS, false)?)?;
                let line = json!({
                    "library": "ours", "variant": name, "skip": skip, "seed": seed,
                    "learning_rate": rate, "fvu": fvu, "l0": l0, "dead": dead,
                });
                println!("{line}");
            }
        }
    }
    Ok(())
}

/// Prints the FVU of each rate on tokens held out.
fn compare_rates(folder: &Path) -> Result<(), Box<dyn Error>> {
    let whole = Data::read(folder, "train")?;
    let count = whole.inputs.ncols() - HELD_OUT;
    let (training, held_out) = (whole.columns(0, count), whole.columns(count, HELD_OUT));
    for rate in [1e-3, 3e-3, 5e-3, 1e-2] {
        for skip in [false, true] {
            let recipe = recipe(Variant::TopK, skip, STEPS, &training).learning_rate(rate);
            let fvu = held_out
                .judge(&train(&training, &recipe, STEPS, false)?)?
                .fvu;
            println!("TopK, skip {skip}, rate {rate}: FVU {fvu:.4}");
        }
    }
    Ok(())
}

/// Prints the FVU without learned features, and how well two seeds agree.
fn baselines(folder: &Path) -> Result<(), Box<dyn Error>> {
    let (training, test) = (Data::read(folder, "train")?, Data::read(folder, "test")?);
    let training = training.columns(0, training.inputs.ncols() - HELD_OUT);
    let fvu = test.fvu(&affine_map(&training)?(&test.inputs))?;
    println!(
        "{}",
        json!({ "library": "baseline", "variant": "affine map", "fvu": fvu })
    );
    for skip in [false, true] {
        for (variant, freezes) in [("topk frozen", true), ("topk", false)] {
            let train = |seed| {
                let recipe = recipe(Variant::TopK, skip, STEPS, &training);
                let recipe = recipe.learning_rate(RATE).seed(seed);
                train(&training, &recipe, STEPS, freezes)
            };
            let (one, other) = (train(1)?, train(2)?);
            let Scores { l0, fvu, dead } = test.judge(&one)?;
            let agreement = agreement(&one, &other)?;
            let line = json!({
                "library": "baseline", "variant": variant, "skip": skip, "seed": 1,
                "learning_rate": RATE, "fvu": fvu, "l0": l0, "dead": dead, "agreement": agreement,
            });
            println!("{line}");
        }
    }
    Ok(())
}

/// Predicts the right half of digits from the left.
fn of_digits() -> Result<(), Box<dyn Error>> {
    let epochs = match std::env::var_os("EXAMPLE_SHORT") {
        Some(_) => 2,
        None => 60,
    };
    let (left, right): (Vec<usize>, Vec<usize>) = (0..64).partition(|pixel| pixel % 8 < 4);
    let halves = |digits: &DMatrix<f32>| Data {
        inputs: digits.select_rows(&left),
        targets: digits.select_rows(&right),
    };
    let mut table = summary();
    for seed in 0..3 {
        let (training, test) = digits::load()?.split(500, seed)?;
        let (training, test) = (halves(&training.samples), halves(&test.samples));
        let affine = test.fvu(&affine_map(&training)?(&test.inputs))?;
        table.add("affine map", [affine; 2]);
        for (_, label, variant) in VARIANTS {
            let mut fvu = [0.0; 2];
            for (fvu, skip) in fvu.iter_mut().zip([false, true]) {
                let recipe = Recipe::new(variant, 256, 8)
                    .samples(epochs * training.inputs.ncols())
                    .batch_size(64)
                    .learning_rate(RATE)
                    .output_size(right.len())
                    .skip(skip)
                    .seed(seed);
                let pairs = Pairs::new(&training.inputs, &training.targets)?;
                *fvu = test.judge(&recipe.fit(&pairs)?.model)?.fvu;
            }
            table.add(label, fvu);
        }
    }
    println!("{table}");
    draw(&table)
}

/// Returns the affine map of least squares, with a small ridge.
fn affine_map(data: &Data) -> Result<impl Fn(&DMatrix<f32>) -> DMatrix<f32>, Box<dyn Error>> {
    const CHUNK: usize = 1000; // bounds the memory for the copies in `f64`
    let rows = data.inputs.nrows() + 1;
    let mut gram = DMatrix::<f64>::identity(rows, rows) * 1e-3;
    let mut moments = DMatrix::zeros(rows, data.targets.nrows());
    let count = data.inputs.ncols();
    for first in (0..count).step_by(CHUNK) {
        let chunk = data.columns(first, CHUNK.min(count - first));
        let (x, y) = (
            with_one(&chunk.inputs).map(f64::from),
            chunk.targets.map(f64::from),
        );
        gram += &x * x.transpose();
        moments += x * y.transpose();
    }
    let gram = gram.cholesky().ok_or("not positive")?;
    #[allow(clippy::cast_possible_truncation)]
    let weights = gram.solve(&moments).map(|weight| weight as f32);
    Ok(move |inputs: &DMatrix<f32>| weights.tr_mul(&with_one(inputs)))
}

fn with_one(inputs: &DMatrix<f32>) -> DMatrix<f32> {
    inputs.clone().insert_row(inputs.nrows(), 1.0)
}

/// Returns an empty table of FVU.
fn summary() -> Summary {
    Summary::new("FVU", &[("units", 4), ("units and skip", 4)])
}

/// Returns the FVU of the lines of tokens, over the seeds of each model.
fn of_lines(lines: &str) -> Result<Summary, Box<dyn Error>> {
    let lines: Vec<Value> = lines
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let mut table = summary();
    for line in lines.iter().filter(|line| line["skip"] == false) {
        let is_same = |other: &&Value| {
            let keys = ["library", "variant", "seed"];
            other["skip"] == true && keys.iter().all(|key| other[key] == line[key])
        };
        let other = lines
            .iter()
            .find(is_same)
            .ok_or("a line without its pair")?;
        let variant = line["variant"].as_str().ok_or("a line without a variant")?;
        let label = named(variant).map_or(variant, |(label, _)| label);
        let name = match line["library"].as_str() {
            Some("ours") => label.to_owned(),
            library => format!("{}, {label}", library.ok_or("a line without a library")?),
        };
        let fvu = |of: &Value| of["fvu"].as_f64().ok_or("a line without FVU");
        table.add(&name, [fvu(line)?, fvu(other)?]);
    }
    println!("{table}");
    Ok(table)
}

/// Draws FVU without and with the skip connection.
fn draw(table: &Summary) -> Result<(), Box<dyn Error>> {
    let curve = |(name, means): (_, Vec<f64>)| Curve::new(name, [0.0, 1.0].into_iter().zip(means));
    chart::curves::panels(
        Path::new("out/transcoders.svg"),
        "What transcoders leave unexplained",
        Axis::linear("without (0) and with (1) a skip connection"),
        &[Panel {
            axis: Axis::linear("FVU of the predictions"),
            curves: table.means().map(curve).collect(),
            names: Place::UpperRight,
        }],
    )
}
