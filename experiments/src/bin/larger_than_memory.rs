//! Trains on a file that may be larger than memory, and measures speed and memory.
//!
//! ```text
//! cargo run --release -p experiments --bin larger_than_memory [FILE [compare]]
//! cargo run --release -p experiments --bin larger_than_memory shapes
//! ```
//!
//! FILE is a NumPy file, `.npy`, of samples × entries in [0, 1]. Without one, fainter and fainter copies
//! of the digits are written to a temporary file. Trains on the file in place and prints the peak memory
//! of the process. With `compare`, or without a FILE, it then writes the samples again as four temporary
//! files. Epochs alternate: over the samples in memory, over the file, and over the four as `Shards`.
//!
//! Finally encodes the file batch by batch, and trains on a stream of its batches through a shuffle
//! buffer, as for samples that arrive only once.
//!
//! `shapes` only compares, for four shapes of the model, on files of uniform random numbers.
//!
//! Writes `out/larger_than_memory.svg`: the loss on each batch of the stream before the step on it.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use experiments::chart::curves::{Axis, Curve, Panel, Place};
use experiments::report::median;
use experiments::{chart, digits, npy};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use sparse_autoencoder::metrics::SparsityMetrics;
use sparse_autoencoder::{
    Adam, KlDivergence, NpyFile, Samples, Schedule, Shards, ShuffleBuffer, SparseAutoencoder,
    Trainer,
};

const HIDDEN: usize = 256;
const BATCH: usize = 256;
const SHARDS: usize = 4;
const ROUNDS: usize = 9;

/// Input size, hidden size, and samples.
const SHAPES: [[usize; 3]; 4] = [
    [64, 64, 400_000],
    [64, 256, 200_000],
    [784, 256, 40_000],
    [512, 4096, 6_000],
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    if arguments == ["shapes"] {
        return SHAPES.into_iter().try_for_each(compare_shape);
    }
    let written = arguments.is_empty().then(write_digits).transpose()?;
    let path = written.as_deref().or(arguments.first().map(Path::new));
    let path = path.ok_or("no file")?;
    let result = run(path, arguments.len() != 1);
    if let Some(written) = written {
        std::fs::remove_file(written)?;
    }
    result
}

fn run(path: &Path, compare: bool) -> Result<(), Box<dyn Error>> {
    let file = NpyFile::<f32>::open(path)?;
    let (count, input_size) = (file.count(), file.entries());
    let size = megabytes(std::fs::metadata(path)?.len());
    println!("{count} samples of {input_size} entries, {size:.0} MB");
    epoch(&file, HIDDEN)?; // puts the file into the system's cache, if it fits
    let seconds = epoch(&file, HIDDEN)?;
    println!("from the file: {:.0} samples/s", rate(count, seconds));
    match peak_memory() {
        Some(bytes) => println!("at most {:.0} MB resident", megabytes(bytes)),
        None => println!("peak memory: unknown on this system"),
    }
    if compare {
        in_new_folder("shards", |folder| compare_sources(&file, HIDDEN, folder))?;
    }

    let mut sae = model(input_size, HIDDEN)?;
    let steps = count.div_ceil(BATCH);
    let mut trainer = Trainer::new(Adam::new(1e-3)?)
        .schedule(Schedule::linear(0.0))
        .stream_steps(steps);
    let mut losses = Vec::new();
    for batch in ShuffleBuffer::new(file.batches(1024), 20 * BATCH)?.batch_size(BATCH)? {
        let loss = trainer.partial_fit(&mut sae, &batch?)?;
        losses.push(f64::from(loss.reconstruction));
    }
    draw(&losses)?;
    let mut sparsity = SparsityMetrics::new(HIDDEN);
    for batch in file.batches(1024) {
        sparsity.add(&sae.encode(&batch?)?)?;
    }
    let mean = sparsity.mean_activation().ok_or("no sample")?.mean();
    println!("mean activation after one pass over a stream: {mean:.3}");
    Ok(())
}

/// Alternates epochs over a file in memory, over the file, and over parts of it in an empty folder.
fn compare_sources(
    file: &NpyFile<f32>,
    hidden: usize,
    folder: &Path,
) -> Result<(), Box<dyn Error>> {
    let matrix = file.to_matrix()?;
    let (entries, count) = matrix.shape();
    let mut shards = Vec::new();
    for part in matrix.as_slice().chunks(entries * count.div_ceil(SHARDS)) {
        let path = folder.join(format!("{}.npy", shards.len()));
        write(&path, part.len() / entries, entries, part.iter().copied())?;
        shards.push(NpyFile::open(path)?);
    }
    let shards = Shards::new(shards)?;
    let mut shares = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        let memory = epoch(&matrix, hidden)?;
        let seconds = [epoch(file, hidden)?, epoch(&shards, hidden)?];
        println!(
            "an epoch: {memory:.2} s from memory, {:.2} s from the file, {:.2} s from shards",
            seconds[0], seconds[1]
        );
        for (shares, seconds) in shares.iter_mut().zip(seconds) {
            shares.push(100.0 * memory / seconds);
        }
    }
    let [file, shards] = shares.map(median);
    println!("median: {file:.1} % of the speed in memory from the file, {shards:.1} % from shards");
    Ok(())
}

/// Compares the sources for a shape, on random numbers in a temporary file.
fn compare_shape([input_size, hidden, samples]: [usize; 3]) -> Result<(), Box<dyn Error>> {
    println!("{input_size} → {hidden}, {samples} samples");
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
    let values = (0..samples * input_size).map(|_| rng.random());
    in_new_folder("shape", |folder| {
        let path = folder.join("whole.npy");
        write(&path, samples, input_size, values)?;
        compare_sources(&NpyFile::open(path)?, hidden, folder)
    })
}

/// Averages the losses of consecutive steps to a hundred points.
fn draw(losses: &[f64]) -> Result<(), Box<dyn Error>> {
    let steps = losses.len().div_ceil(100).max(1);
    let points = losses.chunks(steps).enumerate().map(|(index, losses)| {
        #[allow(clippy::cast_precision_loss)] // counts
        let [samples, count] = [(index * steps * BATCH) as f64, losses.len() as f64];
        (samples / 1000.0, losses.iter().sum::<f64>() / count)
    });
    chart::curves::panels(
        Path::new("out/larger_than_memory.svg"),
        "One pass over a file, through a shuffle buffer",
        Axis::linear("thousands of samples"),
        &[Panel {
            axis: Axis::linear("reconstruction loss"),
            curves: vec![Curve::new("each batch, before its step", points)],
            names: Place::UpperRight,
        }],
    )
}

fn model(
    input_size: usize,
    hidden: usize,
) -> Result<SparseAutoencoder<f32>, sparse_autoencoder::Error> {
    SparseAutoencoder::builder()
        .layers([input_size, hidden])
        .penalty(KlDivergence)
        .sparsity_target(0.05)
        .penalty_weight(0.1)
        .build()
}

/// Returns the seconds of an epoch.
fn epoch(samples: impl Samples<f32>, hidden: usize) -> Result<f64, Box<dyn Error>> {
    let mut sae = model(samples.entries(), hidden)?;
    let mut trainer = Trainer::new(Adam::new(1e-3)?).epochs(1).batch_size(BATCH);
    let start = Instant::now();
    trainer.fit(&mut sae, samples)?;
    Ok(start.elapsed().as_secs_f64())
}

/// Writes fainter and fainter copies of the digits: 115 MB, or a few in a short run.
fn write_digits() -> Result<PathBuf, Box<dyn Error>> {
    let digits = digits::load()?.samples;
    let copies: u8 = if std::env::var_os("EXAMPLE_SHORT").is_some() {
        5
    } else {
        250
    };
    let path = temporary("digits.npy");
    let values = (0..copies).flat_map(|copy| {
        let faint = 1.0 - f32::from(copy) / 512.0;
        digits.iter().map(move |value| faint * value)
    });
    let count = usize::from(copies) * digits.ncols();
    write(&path, count, digits.nrows(), values)?;
    Ok(path)
}

/// Writes a new NumPy file.
fn write(
    path: &Path,
    samples: usize,
    entries: usize,
    values: impl Iterator<Item = f32>,
) -> Result<(), Box<dyn Error>> {
    let mut file = BufWriter::new(File::create_new(path)?);
    npy::write_header(&mut file, samples, entries)?;
    for value in values {
        file.write_all(&value.to_le_bytes())?;
    }
    Ok(file.flush()?)
}

/// Runs `work` in a new temporary folder, and removes it.
fn in_new_folder(
    name: &str,
    work: impl FnOnce(&Path) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let folder = temporary(name);
    std::fs::create_dir(&folder)?;
    let done = work(&folder);
    let removed = std::fs::remove_dir_all(folder);
    done?;
    Ok(removed?)
}

/// Returns a path of this process among the temporary files.
fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("{}-{name}", std::process::id()))
}

/// Returns the peak resident memory of this process in bytes, on Linux.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(1024 * kibibytes)
}

#[allow(clippy::cast_precision_loss)] // for printing
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[allow(clippy::cast_precision_loss)] // for printing
fn rate(samples: usize, seconds: f64) -> f64 {
    samples as f64 / seconds
}
