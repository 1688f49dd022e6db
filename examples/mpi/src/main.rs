//! Trains a sparse autoencoder on patches of photographs by several processes, and measures the speed-up.
//!
//! ```sh
//! cargo build --release && mpirun -n 2 target/release/sparse-autoencoder-mpi
//! ```
//!
//! Every process has its share of the samples, and all take the same steps. The first process then trains
//! alone with all samples, and compares the parameters and the time.

mod all_reduce;

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use all_reduce::World;
use experiments::photographs;
use mpi::Threading;
use mpi::traits::*;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{Adam, KlDivergence, SparseAutoencoder, Trainer};

const PATCH: usize = 16;
const HIDDEN: usize = 512;
const PATCHES: usize = 8192;
/// The samples in a batch of all processes.
const BATCH: usize = 2048;

fn main() -> Result<(), Box<dyn Error>> {
    // The trainer calls for sums from any of its threads, one at a time.
    let (universe, threading) =
        mpi::initialize_with_threading(Threading::Serialized).ok_or("MPI is running already")?;
    if threading < Threading::Serialized {
        return Err("this MPI allows no calls from other threads".into());
    }
    let world = universe.world();
    let (rank, count) = (world.rank() as usize, world.size() as usize);
    let epochs = if std::env::var_os("EXAMPLE_SHORT").is_some() {
        2
    } else {
        20
    };
    let samples = patches()?;
    let batch = BATCH / count;

    let sums = Arc::new(World::new());
    world.barrier();
    let together = trainer()?.all_reduce(Arc::clone(&sums));
    let (together, loss, elapsed) = train(together, &samples, (rank, count), epochs)?;
    let (bytes, spent) = sums.cost();
    let steps = epochs * PATCHES / BATCH;
    world.barrier();
    if rank != 0 {
        return Ok(());
    }

    let (alone, _, time) = train(trainer()?, &samples, (0, 1), epochs)?;
    let per_step = |time: Duration| 1e3 * time.as_secs_f64() / steps as f64;
    println!("{count} processes, {batch} of {BATCH} samples each, {steps} steps, loss {loss:.4}");
    println!(
        "a step: {:.2} ms, of which sums {:.2} ms; of one process alone {:.2} ms: speed-up {:.2}",
        per_step(elapsed),
        per_step(spent),
        per_step(time),
        time.as_secs_f64() / elapsed.as_secs_f64()
    );
    println!(
        "{:.2} MB given to sums per step and process, of {:.2} MB of parameters",
        bytes as f64 / steps as f64 / 1e6,
        size_of_val(together.parameters().as_slice()) as f64 / 1e6
    );
    let difference = difference(&together, &alone);
    println!(
        "largest difference of a parameter from one process with all samples: {difference:.1e}"
    );
    if difference > TOLERANCE {
        return Err(format!("{difference} is more than rounding").into());
    }
    Ok(())
}

/// Sums in another order differ by about 1e-7 of their size. Where gradients are far from 0, Adam turns this
/// into at most 1e-7 of its rate, 1e-3, per step; where they are near 0, into more. A tenth of a single step
/// is far below the effect of a wrong gradient.
const TOLERANCE: f32 = 1e-4;

fn model() -> Result<SparseAutoencoder<f32>, sparse_autoencoder::Error> {
    SparseAutoencoder::builder()
        .layers([PATCH * PATCH, HIDDEN])
        .penalty(KlDivergence)
        .sparsity_target(0.05)
        .penalty_weight(0.1)
        .weight_decay(1e-4)
        .build()
}

/// Returns a trainer with one thread, so that the comparison is not with a thread pool.
fn trainer() -> Result<Trainer<f32>, sparse_autoencoder::Error> {
    Ok(Trainer::new(Adam::new(1e-3)?).threads(1))
}

/// Trains on the samples of a process of `count`. Returns the model, the last loss, and the time of the steps.
fn train(
    mut trainer: Trainer<f32>,
    samples: &DMatrix<f32>,
    (rank, count): (usize, usize),
    epochs: usize,
) -> Result<(SparseAutoencoder<f32>, f32, Duration), sparse_autoencoder::Error> {
    // Sample i of every batch belongs to process i mod count. Together they form the batch of one process.
    let own = |first: usize| {
        let columns: Vec<usize> = (first..first + BATCH).skip(rank).step_by(count).collect();
        samples.select_columns(&columns)
    };
    let batches: Vec<DMatrix<f32>> = (0..PATCHES).step_by(BATCH).map(own).collect();
    let (mut model, mut loss) = (model()?, 0.0);
    let start = Instant::now();
    for _ in 0..epochs {
        for batch in &batches {
            loss = trainer.partial_fit(&mut model, batch)?.total();
        }
    }
    Ok((model, loss, start.elapsed()))
}

fn difference(a: &SparseAutoencoder<f32>, b: &SparseAutoencoder<f32>) -> f32 {
    let pairs = a
        .parameters()
        .as_slice()
        .iter()
        .zip(b.parameters().as_slice());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Returns patches of photographs between 0.1 and 0.9, the same in every process.
fn patches() -> Result<DMatrix<f32>, Box<dyn Error>> {
    let photographs = photographs::load()?;
    let patches = photographs::patches(&photographs, PATCH, PATCHES, 1)?;
    Ok(patches.map(|gray| 0.1 + 0.8 * gray))
}
