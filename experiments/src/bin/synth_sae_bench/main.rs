//! Measures whether sparse autoencoders find the features of SynthSAEBench-16k
//! ([`experiments::synth_sae_bench`]).
//!
//! ```text
//! cargo run --release -p experiments --bin synth_sae_bench -- VARIANT SAMPLES [OPTION...] --out FILE.jsonl
//! ```
//!
//! Trains a variant on fresh samples. Appends a line of JSON with all figures at each of ten evaluations.
//! The variants are l1, gated, topk, batchtopk, jumprelu, and matryoshka. The baselines are
//! random_decoder, random_directions, and pca. The options and their defaults:
//!
//! | option | | |
//! |---|---|---|
//! | `--l0` | 25 | active units of a sample |
//! | `--lr` | 3e-4 | learning rate of Adam |
//! | `--anneal-from` | none | k of the first step, which falls to `--l0` over 90 % of the steps |
//! | `--seed` | 1 | of the initial weights and of the stream of samples; the world is always the same |
//! | `--width` | 4096 | hidden units |
//! | `--batch` | 1024 | samples a step |
//! | `--threads` | all | |
//! | `--evaluate`, `--glance` | 100000, 20000 | samples of the last evaluation, and of those before |
//! | `--points` | 10 | evaluations |
//! | `--every` | 300 | seconds between two checkpoints |
//! | `--checkpoints`, `--cache` | target/synth_sae_bench | folders of checkpoints and models, and of the features |
//!
//! The same command continues an interrupted run from its last checkpoint, with the same result. Other
//! commands:
//!
//! ```text
//! synth_sae_bench agreement MODEL MODEL...       MCC of the decoders of each pair
//! synth_sae_bench chart FILE...                  F1 and MCC over the training: out/synth_sae_bench.svg
//! synth_sae_bench                                the same of results/synth_sae_bench.jsonl
//! synth_sae_bench cost SAMPLES                   time of the sampler
//! synth_sae_bench cosines                        how far features are from orthogonal
//! synth_sae_bench stream FIRST [OPTION...]       batches for training, as numbers on standard output
//! synth_sae_bench samples COUNT FOLDER           the world and samples, for peers/synth_sae_bench_*.py
//! ```

mod chart;
mod method;
mod options;
mod run;
mod sampler;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use experiments::synth_sae_bench::hierarchy::Forest;
use experiments::synth_sae_bench::{Recipe, SYNTH_SAE_BENCH_16K, World, features};
use experiments::variants;
use rayon::ThreadPoolBuilder;
use sparse_autoencoder::SparseAutoencoder;
use sparse_autoencoder::files;

use method::Method;
use options::{Options, value};

/// The seed of the world.
const WORLD: u64 = 42;

const CHART: &str = "out/synth_sae_bench.svg";
const STORED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/results/synth_sae_bench.jsonl");

/// A world for the shortest of runs.
const SMALL: Recipe = Recipe {
    input_size: 32,
    features: 256,
    forest: Forest {
        roots: 8,
        branching: 2,
        depth: 2,
    },
    ..SYNTH_SAE_BENCH_16K
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let (options, others) = Options::parse(&arguments)?;
    if std::env::var_os("EXAMPLE_SHORT").is_some() {
        return short();
    }
    let pool = ThreadPoolBuilder::new().num_threads(options.threads);
    pool.build_global()?;
    match &others.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["agreement", models @ ..] if models.len() > 1 => agreement(models),
        ["chart", files @ ..] if !files.is_empty() => chart::draw(files, Path::new(CHART)),
        [] => chart::draw(&[STORED], Path::new(CHART)),
        ["cost", samples] => {
            sampler::cost(&world(&options)?, value("SAMPLES", samples)?);
            Ok(())
        }
        ["cosines"] => {
            let mean = features::superposition(&world(&options)?.features);
            println!("the largest |cosine| of a feature is {mean:.4} on average");
            Ok(())
        }
        ["stream", first] => sampler::stream(&world(&options)?, &options, value("FIRST", first)?),
        ["samples", count, folder] => {
            sampler::write(&world(&options)?, value("COUNT", count)?, Path::new(folder))
        }
        [name, samples] => {
            let method = Method::of(name)?;
            run::run(
                method,
                value("SAMPLES", samples)?,
                &options,
                &world(&options)?,
            )
        }
        _ => Err("usage: VARIANT SAMPLES [OPTION...]".into()),
    }
}

fn world(options: &Options) -> Result<World, Box<dyn Error>> {
    let start = Instant::now();
    let world = World::new(&SYNTH_SAE_BENCH_16K, WORLD, Some(&options.cache));
    eprintln!("the world took {:.1} s", start.elapsed().as_secs_f64());
    world
}

/// Prints the mean correlation coefficient of the decoders of each pair of models.
fn agreement(paths: &[&str]) -> Result<(), Box<dyn Error>> {
    let load = |path: &&str| {
        files::load::<SparseAutoencoder<f32>>(Path::new(path)).map(|loaded| loaded.model)
    };
    let models = paths.iter().map(load).collect::<Result<Vec<_>, _>>()?;
    for (first, one) in models.iter().enumerate() {
        for (second, other) in models.iter().enumerate().skip(first + 1) {
            let mcc = variants::agreement(one, other)?;
            println!("{} {}: {mcc:.4}", paths[first], paths[second]);
        }
    }
    Ok(())
}

/// Runs all methods for a moment, in a small world.
fn short() -> Result<(), Box<dyn Error>> {
    let world = World::new(&SMALL, WORLD, None)?;
    let folder = PathBuf::from("out/synth_sae_bench_short");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let lines = folder.join("lines.jsonl");
    let options = Options {
        l0: 6,
        lr: 3e-3,
        width: 64,
        batch: 256,
        evaluate: 5000,
        glance: 2000,
        points: 4,
        out: Some(lines.clone()),
        checkpoints: folder,
        ..Options::default()
    };
    for (_, method) in Method::ALL {
        run::run(method, 200 * options.batch, &options, &world)?;
    }
    chart::draw(&[&lines.to_string_lossy()], Path::new(CHART))
}
