//! A run: training on fresh samples, with checkpoints and evaluations.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use experiments::synth_sae_bench::{Batch, Scores, Selection, World};
use experiments::variants::{FrozenDecoder, ratio};
use sparse_autoencoder::recipe::{Begun, Variant};
use sparse_autoencoder::{SparseAutoencoder, files};

use crate::method::Method;
use crate::options::Options;

/// The stream of all evaluations. Training streams are named by small seeds.
const EVALUATION: u64 = u64::MAX;

/// What a run is about, and its measurements so far.
struct Run<'a> {
    method: Method,
    options: &'a Options,
    world: &'a World,
    /// Samples to learn from.
    samples: usize,
    training: Duration,
    sampling: Duration,
}

/// Trains a method on this many samples and evaluates it, unless a finished model exists.
pub fn run(
    method: Method,
    samples: usize,
    options: &Options,
    world: &World,
) -> Result<(), Box<dyn Error>> {
    let mut run = Run {
        method,
        options,
        world,
        samples,
        training: Duration::ZERO,
        sampling: Duration::ZERO,
    };
    let finished = run.file("safetensors");
    if finished.exists() {
        eprintln!("{} exists: this run is complete", finished.display());
        return Ok(());
    }
    fs::create_dir_all(&options.checkpoints)?;
    let model = if method.learns() {
        run.train()?
    } else {
        let model = method.model(options, world)?;
        run.evaluate(&model, 0, options.evaluate)?;
        model
    };
    files::save(&model, &finished)?;
    let checkpoint = run.file("checkpoint");
    if checkpoint.exists() {
        fs::remove_file(checkpoint)?;
        fs::remove_file(run.file("seconds"))?;
    }
    Ok(())
}

impl Run<'_> {
    /// Returns the path of a file of this run.
    fn file(&self, extension: &str) -> PathBuf {
        let Options {
            l0,
            lr,
            anneal_from,
            seed,
            width,
            batch,
            ..
        } = self.options;
        let from = anneal_from.map_or(String::new(), |k| format!("-from_{k}"));
        let (name, samples) = (self.method.name(), self.samples);
        let features = self.world.features.ncols();
        self.options.checkpoints.join(format!(
            "{name}-{features}-{samples}-l0_{l0}{from}-lr_{lr}-seed_{seed}-width_{width}-batch_{batch}.{extension}"
        ))
    }

    fn train(&mut self) -> Result<SparseAutoencoder<f32>, Box<dyn Error>> {
        let Options { batch, seed, .. } = *self.options;
        let steps = self.samples / batch;
        let mut samples = Batch::new(self.world.input_size(), batch);
        self.world.draw(seed, 0, &mut samples);
        let mut begun = self.method.begin(self.options, steps, &samples.samples)?;
        let frozen = match self.method {
            Method::RandomDecoder => Some(FrozenDecoder::of(&mut begun.model)?),
            _ => None,
        };
        if self.file("checkpoint").exists() {
            self.resume(&mut begun)?;
        }

        let from = Instant::now();
        let mut saved = Instant::now();
        let first = usize::try_from(begun.trainer.steps_taken())?;
        for step in first..steps {
            let start = Instant::now();
            self.world.draw(seed, (step * batch) as u64, &mut samples);
            self.sampling += start.elapsed();
            let start = Instant::now();
            let scaled = begun.scaler.apply(&samples.samples)?;
            begun.trainer.partial_fit(&mut begun.model, &scaled)?;
            if let Some(frozen) = &frozen {
                frozen.restore(&mut begun.model)?;
            }
            self.training += start.elapsed();

            let done = step + 1;
            if done == first + 100 || done.is_multiple_of(1000) {
                let per_step = from.elapsed().as_secs_f64() / ratio(done - first, 1);
                let left = per_step * ratio(steps - done, 1);
                eprintln!("  step {done} of {steps}, {per_step:.4} s a step, {left:.0} s to go");
            }
            if done < steps && done.is_multiple_of(steps.div_ceil(self.options.points.max(1))) {
                self.evaluate(&folded(&begun)?, done, self.options.glance)?;
            }
            if saved.elapsed().as_secs() >= self.options.every {
                self.save(&begun)?;
                saved = Instant::now();
            }
        }
        self.save(&begun)?;
        let model = folded(&begun)?;
        self.evaluate(&model, steps, self.options.evaluate)?;
        Ok(model)
    }

    fn save(&self, begun: &Begun<f32>) -> Result<(), Box<dyn Error>> {
        begun.trainer.save(&begun.model, self.file("checkpoint"))?;
        let seconds = [self.training, self.sampling].map(|time| time.as_secs_f64().to_string());
        fs::write(self.file("seconds"), seconds.join(" "))?;
        Ok(())
    }

    fn resume(&mut self, begun: &mut Begun<f32>) -> Result<(), Box<dyn Error>> {
        let checkpoint = self.file("checkpoint");
        begun.trainer.resume(&mut begun.model, checkpoint)?;
        let seconds = fs::read_to_string(self.file("seconds"))?;
        let mut seconds = seconds.split(' ').map(str::parse);
        for time in [&mut self.training, &mut self.sampling] {
            *time = Duration::from_secs_f64(seconds.next().ok_or("a time is missing")??);
        }
        eprintln!("  continues after step {}", begun.trainer.steps_taken());
        Ok(())
    }

    /// Evaluates the model after this many steps. The last evaluation also uses the published selection
    /// for variants that select over a batch.
    fn evaluate(
        &self,
        model: &SparseAutoencoder<f32>,
        step: usize,
        samples: usize,
    ) -> Result<(), Box<dyn Error>> {
        let last = step == self.samples / self.options.batch || !self.method.learns();
        let (inference, batch) = (Selection::Inference, Selection::Batch(self.options.l0));
        let selections = match self.method {
            Method::Variant(Variant::BatchTopK | Variant::Matryoshka) | Method::RandomDecoder
                if last =>
            {
                vec![batch, inference]
            }
            _ => vec![inference],
        };
        for selection in selections {
            let start = Instant::now();
            let scores = Scores::of(model, selection, self.world, EVALUATION, samples)?;
            let took = start.elapsed().as_secs_f64();
            let name = self.method.name();
            eprintln!("{name} after {step} steps: {scores} ({took:.1} s, {selection:?})");
            self.write(step, last, selection, &scores)?;
        }
        Ok(())
    }

    /// Appends a line to the file of results.
    fn write(
        &self,
        step: usize,
        last: bool,
        selection: Selection,
        scores: &Scores,
    ) -> Result<(), Box<dyn Error>> {
        let Options {
            l0,
            lr,
            anneal_from,
            seed,
            width,
            batch,
            ..
        } = *self.options;
        let numbers = [
            ("features", ratio(self.world.features.ncols(), 1)),
            ("samples", ratio(self.samples, 1)),
            ("target_l0", ratio(l0, 1)),
            ("anneal_from", ratio(anneal_from.unwrap_or(l0), 1)),
            ("lr", lr),
            ("width", ratio(width, 1)),
            ("batch", ratio(batch, 1)),
            ("samples_seen", ratio(step * batch, 1)),
            ("training_seconds", self.training.as_secs_f64()),
            ("sampling_seconds", self.sampling.as_secs_f64()),
        ];
        let name = self.method.name();
        let selection = match selection {
            Selection::Inference => "inference",
            Selection::Batch(_) => "batch",
        };
        let mut line = format!(
            r#"{{"variant": "{name}", "final": {last}, "selection": "{selection}", "seed": {seed}"#
        );
        for (name, number) in numbers.into_iter().chain(scores.named()) {
            line += &format!(r#", "{name}": {number}"#);
        }
        line += "}\n";
        match &self.options.out {
            Some(path) => {
                let mut file = OpenOptions::new().create(true).append(true).open(path)?;
                file.write_all(line.as_bytes())?;
            }
            None => print!("{line}"),
        }
        Ok(())
    }
}

/// Returns the model as it takes unscaled samples.
fn folded(begun: &Begun<f32>) -> Result<SparseAutoencoder<f32>, Box<dyn Error>> {
    let mut model = begun.model.clone();
    model.fold(&begun.scaler)?;
    Ok(model)
}
