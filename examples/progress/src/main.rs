//! Trains with a progress bar and a log. Ctrl-C stops it after the current step, and the next run continues from
//! there.
//!
//! ```sh
//! cargo run --release
//! ```

use std::error::Error;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, Event, Every, LogWriter, NpyFile, Samples, SparseAutoencoder, StopReason,
    Trainer, files,
};

fn main() -> Result<(), Box<dyn Error>> {
    let short = std::env::var_os("EXAMPLE_SHORT").is_some();
    let digits = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/digits.npy");
    let digits: DMatrix<f32> = NpyFile::open(digits)?.to_matrix()? / 16.0; // 64 x 1797

    // A second Ctrl-C ends the program at once.
    let interrupted = Arc::new(AtomicBool::new(false));
    let handler = Arc::clone(&interrupted);
    ctrlc::set_handler(move || {
        if handler.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })?;

    let mut sae = SparseAutoencoder::builder()
        .layers([64, 256])
        .hidden_activation(Activation::TopK(8))
        .output_activation(Activation::Identity)
        .build()?;
    fs::create_dir_all("out")?;
    let checkpoint = Path::new("out/progress.checkpoint");
    let mut trainer = Trainer::new(Adam::new(1e-3)?)
        .epochs(if short { 20 } else { 2000 })
        .batch_size(64)
        .validation_split(0.1)
        .checkpoint(checkpoint, Every::Epochs(100));
    let resumes = checkpoint.exists();
    if resumes {
        trainer.resume(&mut sae, checkpoint)?;
    }

    let path = "out/progress.csv";
    let known = if resumes && Path::new(path).exists() {
        let of_before = fs::read_to_string(path)?;
        rows_up_to(trainer.steps_taken(), &of_before).ok_or("the log has no column of steps")?
    } else {
        String::new()
    };
    fs::write(path, &known)?;
    let mut log = LogWriter::csv(File::options().append(true).open(path)?);
    if !known.is_empty() {
        log = log.without_header();
    }
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(
        "{elapsed} {wide_bar} {pos}/{len} steps, {per_sec}, {eta} left, {msg}",
    )?);
    let report = trainer.fit_with_steps(&mut sae, &digits, |event| {
        match event {
            Event::Step(step) => {
                bar.set_length(step.of);
                bar.set_position(step.number);
            }
            Event::Epoch(epoch) => {
                let explained = epoch.validation_explained_variance.unwrap_or(f64::NAN);
                bar.set_message(format!("{:.1} % explained", 100.0 * explained));
                log.write(epoch)?;
            }
            _ => {}
        }
        if interrupted.load(Ordering::Relaxed) {
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    bar.abandon();

    println!("{} steps, {} epochs: {path}", report.steps, report.epochs);
    if report.stop == StopReason::Observer {
        println!("Stopped. Run it again to continue.");
    } else {
        files::save(&sae, "out/progress.safetensors")?;
        fs::remove_file(checkpoint)?;
        println!("The model is in out/progress.safetensors.");
    }
    Ok(())
}

/// Returns the header and the whole rows of a log up to a step. A killed run has logged more than its checkpoint has.
fn rows_up_to(last: u64, log: &str) -> Option<String> {
    let Some(header) = log.lines().next() else {
        return Some(String::new());
    };
    let column = header.split(',').position(|name| name == "step")?;
    let step = |row: &str| row.split(',').nth(column)?.parse::<u64>().ok();
    let rows = log.split_inclusive('\n').filter(|row| row.ends_with('\n'));
    let is_known = |row: &&str| row.trim_end() == header || step(row).is_some_and(|at| at <= last);
    Some(rows.filter(is_known).collect())
}
