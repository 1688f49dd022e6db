//! The sampler alone: its cost, and samples to compare with another implementation.

use std::error::Error;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::Instant;

use experiments::synth_sae_bench::{Batch, World};
use experiments::variants::ratio;

use crate::options::Options;

/// Samples that are written with their entries.
const WHOLE: usize = 1000;

/// Prints the time that samples take, and how many features are active.
pub fn cost(world: &World, samples: usize) {
    let mut batch = Batch::new(world.input_size(), 1024);
    let (mut seconds, mut active) = (Vec::new(), 0);
    for first in (0..samples).step_by(1024) {
        let start = Instant::now();
        world.draw(0, first as u64, &mut batch);
        seconds.push(1e3 * start.elapsed().as_secs_f64());
        active += batch.active.iter().map(Vec::len).sum::<usize>();
    }
    seconds.sort_by(f64::total_cmp);
    println!(
        "1,024 samples take {:.2} ms (median; fastest {:.2} ms), with {:.2} active features each",
        seconds[seconds.len() / 2],
        seconds[0],
        ratio(active, 1024 * seconds.len()),
    );
}

/// Writes the batches of a run from sample `first` on to standard output, as little-endian numbers, until
/// nobody reads them.
pub fn stream(world: &World, options: &Options, first: u64) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let mut batch = Batch::new(world.input_size(), options.batch);
    for first in (first..).step_by(options.batch) {
        world.draw(options.seed, first, &mut batch);
        let bytes = batch.samples.iter().flat_map(|entry| entry.to_le_bytes());
        match out.write_all(&bytes.collect::<Vec<_>>()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
            written => written?,
        }
    }
    Ok(())
}

/// Writes the world and samples into a folder, as files of little-endian numbers.
///
/// `counts.u32` has the number of active features of each sample, `features.u32` and `magnitudes.f32` list
/// them, and `samples.f32` has the first 1,000 samples.
pub fn write(world: &World, samples: usize, folder: &Path) -> Result<(), Box<dyn Error>> {
    world.export(folder)?;
    let (mut counts, mut features, mut magnitudes) = (Vec::new(), Vec::new(), Vec::new());
    for first in (0..samples).step_by(1024) {
        let mut batch = Batch::new(world.input_size(), 1024.min(samples - first));
        world.draw(0, first as u64, &mut batch);
        for active in &batch.active {
            counts.extend(u32::try_from(active.len())?.to_le_bytes());
            features.extend(active.iter().flat_map(|(feature, _)| feature.to_le_bytes()));
            magnitudes.extend(
                active
                    .iter()
                    .flat_map(|(_, magnitude)| magnitude.to_le_bytes()),
            );
        }
        if first == 0 {
            let whole = batch.samples.columns(0, WHOLE.min(batch.active.len()));
            let bytes = whole.iter().flat_map(|entry| entry.to_le_bytes());
            fs::write(folder.join("samples.f32"), bytes.collect::<Vec<_>>())?;
        }
    }
    fs::write(folder.join("counts.u32"), counts)?;
    fs::write(folder.join("features.u32"), features)?;
    fs::write(folder.join("magnitudes.f32"), magnitudes)?;
    Ok(())
}
