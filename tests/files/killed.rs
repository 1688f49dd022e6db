//! A process that is killed at any moment leaves a checkpoint that training goes on from.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{Adam, Corruption, Every, SparseAutoencoder, Trainer};

use crate::common::scratch::Scratch;

/// Where the process that is to be killed finds the name of the file.
const PATH: &str = "SPARSE_AUTOENCODER_CHECKPOINT_TO_WRITE";

fn samples() -> DMatrix<f32> {
    DMatrix::from_fn(16, 70, |i, j| ((i * 7 + j * j) % 11) as f32 / 10.0)
}

fn start() -> (SparseAutoencoder<f32>, Trainer<f32>) {
    let model = SparseAutoencoder::builder().layers([16, 24]).build();
    let trainer = Trainer::new(Adam::new(1e-3).unwrap())
        .epochs(1_000_000)
        .batch_size(8)
        .corruption(Corruption::Masking { fraction: 0.1 });
    (model.unwrap(), trainer)
}

/// Trains where there is no checkpoint, and goes on where there is one, to the end of this epoch.
fn train(path: &Path, every: Option<Every>, epochs: usize) -> SparseAutoencoder<f32> {
    let (mut model, mut trainer) = start();
    if path.exists() {
        trainer.resume(&mut model, path).unwrap();
    }
    if let Some(every) = every {
        trainer = trainer.checkpoint(path, every);
    }
    trainer
        .fit_with(&mut model, samples(), |epoch| {
            if epoch.number >= epochs {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    model
}

/// Not a test of its own: what the other one runs in a process, and kills.
#[test]
fn child() {
    if let Some(path) = std::env::var_os(PATH) {
        train(Path::new(&path), Some(Every::Steps(1)), usize::MAX);
    }
}

#[test]
fn a_process_that_is_killed_leaves_a_checkpoint() {
    let scratch = Scratch::new("killed");
    let path = scratch.file();
    let mut steps = 0;
    for kill in 0..50_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::child", "--test-threads", "1"])
            .env(PATH, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Most die while they write a checkpoint. The first one lives until there is one.
        while kill == 0 && !path.exists() && child.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_micros(3_000 + kill * 7_919 % 31_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let (mut model, mut trainer) = start();
        trainer.resume(&mut model, &path).unwrap();
        assert!(trainer.steps_taken() >= steps, "kill {kill}");
        steps = trainer.steps_taken();
        // What was half written is cleared away by the next process that writes.
        assert!(fs::read_dir(path.parent().unwrap()).unwrap().count() <= 3);
    }
    // However slow the machine, there is one in the end.
    train(&path, Some(Every::Steps(1)), 0);
    let (mut model, mut trainer) = start();
    trainer.resume(&mut model, &path).unwrap();
    let batches = 9; // of 70 samples, at most 8 each
    let epochs = 1 + (trainer.steps_taken() / batches) as usize;

    let resumed = train(&path, None, epochs);
    let straight = train(Path::new("there is none"), None, epochs);
    assert_eq!(resumed.parameters(), straight.parameters());
}
