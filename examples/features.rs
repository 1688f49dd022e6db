//! Finds features in activations by a recipe, shows what activates them, and saves the model for SAELens.
//!
//! ```text
//! cargo run --release --features files --example features [FILE]
//! ```
//!
//! FILE is a NumPy file of activations, samples × entries. It may be larger than memory. Without one, the samples are the
//! handwritten digits of this repository. Features then are strokes, and the digits that activate a unit most are
//! often of one class.

use std::error::Error;

use sparse_autoencoder::files::sae_lens;
use sparse_autoencoder::metrics::{ReconstructionMetrics, UnitStatistics};
use sparse_autoencoder::recipe::{Recipe, Variant};
use sparse_autoencoder::{NpyFile, Samples};

const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/digits.npy");
const LABELS: &str = include_str!("data/digits_labels.txt");

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1);
    let samples = NpyFile::<f32>::open(file.as_deref().unwrap_or(DIGITS))?;
    let count = samples.count();
    let of_training = count / 10 * 9;
    let training = samples.subset((0..of_training).collect::<Vec<_>>())?;
    let held_out = samples.subset((of_training..count).collect::<Vec<_>>())?;

    // A recipe needs three numbers: the units, those active in a sample, and the samples to train on.
    let units = 4 * samples.entries();
    let active = samples.entries().div_ceil(12);
    let recipe = Recipe::new(Variant::BatchTopK, units, active).samples(100_000.max(2 * count));
    let trained = recipe.fit_with(&training, |epoch| {
        if epoch.number.is_power_of_two() {
            let explained = 100.0 * epoch.explained_variance.unwrap_or(0.0);
            println!(
                "epoch {:3}: {explained:.1} % of the variance explained",
                epoch.number
            );
        }
    })?;
    for warning in &trained.report.warnings {
        println!("{warning}");
    }

    let mut statistics = UnitStatistics::new(units, 12);
    let mut reconstruction = ReconstructionMetrics::new(samples.entries());
    for batch in held_out.batches(1024) {
        let batch = batch?;
        reconstruction.add(&batch, &trained.model.reconstruct(&batch)?)?;
    }
    for batch in samples.batches(1024) {
        statistics.add_sparse(&trained.model.encode_sparse(&batch?)?)?;
    }
    let explained = reconstruction.explained_variance().ok_or("equal samples")?;
    let dead = statistics.dead_units().len();
    println!(
        "held out: {:.1} % of the variance explained",
        100.0 * explained
    );
    println!("{dead} of {units} units are never active");

    let frequency = statistics.activation_frequency().ok_or("no sample")?;
    for unit in (0..units).step_by(units.div_ceil(8)) {
        let top = statistics.top_samples(unit).ok_or("no unit")?;
        let names = top.iter().map(|sample| match file {
            None => LABELS[sample.sample..=sample.sample].to_owned(), // the class of the digit
            Some(_) => sample.sample.to_string(),
        });
        let names = names.collect::<Vec<_>>().join(" ");
        let percent = 100.0 * frequency[unit];
        println!("unit {unit:4}, active in {percent:4.1} %, most in {names}");
    }

    sae_lens::save(&trained.model, "out/features")?;
    println!("out/features is a model for SAELens");
    Ok(())
}
