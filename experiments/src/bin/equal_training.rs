//! Trains the variants of sparse autoencoders as `experiments/peers/equal_training.py` asks, which compares
//! them with other libraries on the same batches.
//!
//! ```text
//! cargo run --release -p experiments --bin equal_training            # patches of photographs
//! cargo run --release -p experiments --bin equal_training -- JSON    # one run, see `Request`
//! ```
//!
//! Without an argument, all variants train on patches of photographs, at three numbers of active units. Writes
//! `out/equal_training.svg`: FVU over the number of active units.
//!
//! Test samples are encoded one by one; BatchTopK uses its threshold. FVU is Σ‖e‖² / Σ‖x − x̄‖². A unit is
//! dead if no training sample activates it.

use std::error::Error;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use experiments::chart::curves::{Axis, Curve, Panel, Place};
use experiments::report::Summary;
use experiments::variants::{FrozenDecoder, Scores, VARIANTS};
use experiments::{chart, npy, photographs, variants};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use sparse_autoencoder::files::sae_lens;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::recipe::{Begun, Recipe, Variant};
use sparse_autoencoder::{NpyFile, Samples, SparseAutoencoder};

/// What to train, on what, and what to write.
#[derive(Debug, Deserialize)]
struct Request {
    #[serde(flatten)]
    shape: Shape,
    /// NumPy files of samples × inputs.
    training: PathBuf,
    evaluated: PathBuf,
    /// The first sample of `evaluated` that counts.
    evaluated_from: usize,
    /// Indices of training samples, batch after batch, as little-endian `u32`.
    batches: PathBuf,
    /// Where to write the decoder, units × inputs, as a NumPy file.
    decoder: Option<PathBuf>,
    /// Where to write the model, a folder in SAELens' layout.
    model: Option<PathBuf>,
}

/// The settings of a model and its training.
#[derive(Debug, Clone, Deserialize)]
struct Shape {
    /// `l1`, `gated`, `topk`, `batchtopk`, `jumprelu`, `matryoshka`, or `frozen`: TopK with the random decoder
    /// that it starts with.
    variant: String,
    inputs: usize,
    width: usize,
    /// The target for the number of active units.
    #[serde(rename = "knob")]
    active: usize,
    /// The number of active units of the first step, if it falls.
    #[serde(default)]
    anneal_from: Option<usize>,
    steps: usize,
    batch: usize,
    /// Unset: that of the recipe.
    rate: Option<f64>,
    seed: u64,
}

#[derive(Debug, Serialize)]
struct Answer {
    l0: f64,
    fvu: f64,
    /// Dead units in percent, if a decoder was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    dead: Option<f64>,
    seconds: f64,
}

/// TopK with the random decoder that it starts with.
const FROZEN: &str = "frozen";

/// Returns the recipe of a run. Only the learning rate is not the recipe's own choice.
fn recipe(shape: &Shape) -> Result<Recipe, Box<dyn Error>> {
    let variant = match &*shape.variant {
        FROZEN => Variant::TopK,
        name => {
            variants::named(name)
                .ok_or_else(|| format!("no variant {name}"))?
                .1
        }
    };
    let mut recipe = Recipe::new(variant, shape.width, shape.active)
        .samples(shape.steps * shape.batch)
        .batch_size(shape.batch)
        .seed(shape.seed);
    recipe.learning_rate = shape.rate;
    recipe.anneal_from = shape.anneal_from;
    Ok(recipe)
}

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        Some(request) => answer(&serde_json::from_str(&request)?),
        None => patches(),
    }
}

/// Trains on files and prints a line of JSON.
fn answer(request: &Request) -> Result<(), Box<dyn Error>> {
    let training = NpyFile::<f32>::open(&request.training)?.to_matrix()?;
    let bytes = std::fs::read(&request.batches)?;
    let (indices, _) = bytes.as_chunks::<4>();
    let indices = indices
        .iter()
        .map(|&index| u32::from_le_bytes(index) as usize);
    let indices = indices.collect::<Vec<_>>();

    let (model, seconds) = train(
        &request.shape,
        &training,
        indices.chunks(request.shape.batch),
    )?;

    let evaluated = NpyFile::<f32>::open(&request.evaluated)?.to_matrix()?;
    let from = request.evaluated_from;
    let evaluated = evaluated.columns(from, evaluated.ncols() - from);
    let scores = Scores::of(&model, &evaluated.into_owned())?;
    let mut dead = None;
    if let Some(path) = &request.decoder {
        let layer = model.parameters().layer(0).ok_or("no layer")?;
        write_columns(path, &layer.decoder_weights.into_owned())?;
        dead = Some(Scores::of(&model, &training)?.dead);
    }
    if let Some(folder) = &request.model {
        sae_lens::save(&model, folder)?;
    }
    let answer = Answer {
        l0: scores.l0,
        fvu: scores.fvu,
        dead,
        seconds,
    };
    println!("{}", serde_json::to_string(&answer)?);
    Ok(())
}

/// Trains on batches of these samples. Returns the model, which takes unscaled samples, and the seconds.
fn train<'a>(
    shape: &Shape,
    training: &DMatrix<f32>,
    batches: impl Iterator<Item = &'a [usize]>,
) -> Result<(SparseAutoencoder<f32>, f64), Box<dyn Error>> {
    let start = Instant::now();
    let first = training.columns(0, training.ncols().min(2000));
    let Begun {
        scaler,
        mut model,
        mut trainer,
        ..
    } = recipe(shape)?.begin(first)?;
    let frozen = match &*shape.variant {
        FROZEN => Some(FrozenDecoder::of(&mut model)?),
        _ => None,
    };
    let mut batch = DMatrix::zeros(shape.inputs, shape.batch);
    for indices in batches.take(shape.steps) {
        for (mut sample, &index) in batch.column_iter_mut().zip(indices) {
            sample.copy_from(&training.column(index));
        }
        trainer.partial_fit(&mut model, &scaler.apply(&batch)?)?;
        if let Some(frozen) = &frozen {
            frozen.restore(&mut model)?;
        }
    }
    model.fold(&scaler)?;
    Ok((model, start.elapsed().as_secs_f64()))
}

/// Writes columns as the rows of a NumPy file.
fn write_columns(path: &Path, matrix: &DMatrix<f32>) -> Result<(), Box<dyn Error>> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    npy::write_header(&mut file, matrix.ncols(), matrix.nrows())?;
    for value in matrix.as_slice() {
        file.write_all(&value.to_le_bytes())?;
    }
    Ok(file.flush()?)
}

/// Compares all variants on patches of 8 × 8 pixels of photographs, each minus its mean.
fn patches() -> Result<(), Box<dyn Error>> {
    const SEED: u64 = 1;
    const BATCH: usize = 512;
    const ACTIVE: [usize; 3] = [4, 8, 16];
    let steps = match std::env::var_os("EXAMPLE_SHORT") {
        Some(_) => 50,
        None => 1000,
    };
    let photographs = photographs::load()?;
    let draw = |count, seed| -> Result<DMatrix<f32>, Box<dyn Error>> {
        let mut patches = photographs::patches(&photographs, 8, count, seed)?;
        for mut patch in patches.column_iter_mut() {
            let mean = patch.mean();
            patch.add_scalar_mut(-mean);
        }
        Ok(patches)
    };
    let (training, test) = (draw(8000, 1)?, draw(2000, 2)?);

    let mut rng = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let mut order = (0..training.ncols()).collect::<Vec<_>>();
    let mut indices = Vec::new();
    while indices.len() < steps * BATCH {
        order.shuffle(&mut rng);
        indices.extend_from_slice(&order[..order.len() / BATCH * BATCH]);
    }

    let quantities = [("L0", 1), ("FVU", 4), ("dead in %", 1), ("seconds", 0)];
    let mut table = Summary::new("target of active units", &quantities);
    let mut curves = Vec::new();
    let names = VARIANTS.iter().map(|&(name, label, _)| (name, label));
    for (name, label) in names.chain([(FROZEN, "TopK, frozen decoder")]) {
        let mut points = Vec::new();
        for active in ACTIVE {
            let shape = Shape {
                variant: name.into(),
                inputs: training.nrows(),
                width: 4 * training.nrows(),
                active,
                anneal_from: None,
                steps,
                batch: BATCH,
                rate: None,
                seed: SEED,
            };
            let (model, seconds) = train(&shape, &training, indices.chunks(BATCH))?;
            let scores = Scores::of(&model, &test)?;
            let dead = Scores::of(&model, &training)?.dead;
            let name = format!("{label}, {active}");
            table.add(&name, [scores.l0, scores.fvu, dead, seconds]);
            points.push((scores.l0, scores.fvu));
        }
        curves.push(Curve::new(label, points));
    }
    println!("{steps} steps on patches of photographs\n{table}");
    chart::curves::panels(
        Path::new("out/equal_training.svg"),
        "Reconstruction by a few active units",
        Axis::logarithmic("active units, L0"),
        &[Panel {
            axis: Axis::linear("FVU"),
            curves,
            names: Place::UpperRight,
        }],
    )
}
