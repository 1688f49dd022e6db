//! Fitting without settings: all choices follow from the number of samples and features.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::builder::EnsembleStep;
use super::denoiser::{Denoiser, Level};
use super::input::Input;
use super::kept_features::{Constant, varying};
use crate::data::pairs::refuse_pairs;
use crate::error::Error;
use crate::linalg::reserve;
use crate::{
    Activation, Adam, Corruption, Event, MissingValues, Real, Samples, Schedule, SparseAutoencoder,
    Subset, Trainer,
};

/// The models of a fold: the standard deviation of the noise, in those of the features, and the kind of the model.
const LEVELS: [(f64, Kind); 9] = [
    (0.125, Kind::Deep),
    (0.25, Kind::Deep),
    (0.5, Kind::Deep),
    (0.125, Kind::Shallow),
    (0.25, Kind::Shallow),
    (0.5, Kind::Shallow),
    (1.0, Kind::Shallow),
    (2.0, Kind::Shallow),
    (4.0, Kind::Shallow),
];

#[derive(Clone, Copy)]
enum Kind {
    /// Three layers of ReLU units, which learn the local structure of the samples.
    Deep,
    /// One layer of tanh units.
    Shallow,
}

/// The units of each hidden layer.
const UNITS: usize = 128;

/// The most passes over the samples: longer, models of few samples learn the anomalies among them.
const MOST_EPOCHS: usize = 300;
const BATCH: usize = 64;
const LEARNING_RATE: f64 = 3e-3;

const FEWEST_SAMPLES: usize = 20;
/// The number of samples below which all serve for calibration, in [`FOLDS`] folds.
const FEW_SAMPLES: usize = 1000;
const FOLDS: usize = 5;

/// Returns the features that vary, and the constant ones; refuses unusable samples.
pub(super) fn varying_features<T: Real>(
    samples: &dyn Samples<T>,
    missing_values: MissingValues,
) -> Result<(Vec<usize>, Vec<Constant>), Error> {
    refuse_pairs(samples, "a detector")?;
    if samples.count() < FEWEST_SAMPLES {
        return Err(Error::TooFewSamples {
            what: "samples (columns) to fit and calibrate a detector",
            needed: FEWEST_SAMPLES,
            actual: samples.count(),
        });
    }
    if samples.entries() == 0 {
        return Err(Error::Incompatible {
            what: "a detector",
            other: "samples without features",
        });
    }
    let imputes = missing_values == MissingValues::Impute;
    let (kept, constants) = varying(samples, imputes)?;
    if kept.is_empty() {
        return Err(Error::Incompatible {
            what: "a detector",
            other: "samples that are all equal: check how they are read",
        });
    }
    Ok((kept, constants))
}

/// The samples of one fold, by their indices.
pub(super) struct Split {
    training: Vec<usize>,
    /// Samples for the scales of the levels.
    pub(super) scale: Vec<usize>,
    pub(super) calibration: Vec<usize>,
    seed: u64,
}

/// Sees each step of any model.
pub(super) type Observer<'a> = dyn Fn(EnsembleStep) -> Result<(), Error> + Sync + 'a;

/// Counts the steps of all models for an observer.
struct Counter<'a> {
    observer: &'a Observer<'a>,
    taken: AtomicU64,
    of: u64,
}

impl Counter<'_> {
    fn step(&self, noise: f64, loss: f64) -> Result<(), Error> {
        let number = 1 + self.taken.fetch_add(1, Ordering::Relaxed);
        (self.observer)(EnsembleStep {
            number,
            of: self.of,
            noise,
            loss,
        })
    }
}

/// Fits the models of all folds to samples without constant features, with this number of steps.
///
/// Samples in memory are copied as often as folds use them. Of other samples, memory holds indices, scores, and
/// batches.
pub(super) fn denoisers<T: Real>(
    samples: &dyn Samples<T>,
    missing_values: MissingValues,
    seed: u64,
    steps: usize,
    observer: Option<&Observer<'_>>,
) -> Result<Vec<Denoiser<T>>, Error> {
    let (everywhere, _) = Input::standard(samples, missing_values)?;
    let splits = splits(samples.count(), seed)?;
    let inputs = splits.iter().map(|split| {
        let input = everywhere.relearned(&Subset::new(samples, &*split.training)?);
        input.map_err(|error| error.at_chosen(&split.training))
    });
    let inputs = inputs.collect::<Result<Vec<_>, Error>>()?;
    let cores = inputs.iter().zip(&splits);
    let cores = cores.map(|((input, limits), split)| {
        let chosen = some(&split.training, steps);
        let core = input.apply_within(limits, samples, chosen);
        core.map_err(|error| error.at_chosen(chosen))
    });
    let cores = cores.collect::<Result<Vec<_>, Error>>()?;
    let of_models = cores.iter().map(|core| {
        let samples = core.count();
        epochs(samples, steps) * samples.div_ceil(BATCH) * LEVELS.len()
    });
    let counter = observer.map(|observer| Counter {
        observer,
        taken: AtomicU64::new(0),
        of: of_models.sum::<usize>() as u64,
    });
    let mut levels = each(splits.len() * LEVELS.len(), |index| {
        let (fold, level) = (index / LEVELS.len(), index % LEVELS.len());
        let split = &splits[fold];
        let seed = split.seed.wrapping_add(level as u64);
        let mut level = train(&*cores[fold], LEVELS[level], steps, seed, counter.as_ref())
            .map_err(|error| error.at_chosen(&split.training))?;
        level
            .scale_by(&inputs[fold].0, &Subset::new(samples, &*split.scale)?)
            .map_err(|error| error.at_chosen(&split.scale))?;
        Ok(level)
    })?;
    drop(cores);
    let mut denoisers = Vec::with_capacity(splits.len());
    for (split, (input, _)) in splits.into_iter().zip(inputs) {
        let levels = levels.drain(..LEVELS.len()).collect();
        let calibration = Subset::new(samples, split.calibration)?;
        let denoiser = Denoiser::calibrated(input, levels, &calibration);
        denoisers.push(denoiser.map_err(|error| error.at_chosen(calibration.indices()))?);
    }
    Ok(denoisers)
}

/// Divides samples into one fold or, if they are few, into several.
///
/// One fold takes its scales from samples of their own, which keeps p-values exact. Several take them from the
/// calibration samples, because samples are few and p-values approximate.
pub(super) fn splits(samples: usize, seed: u64) -> Result<Vec<Split>, Error> {
    let rng = &mut Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut order = Vec::new();
    reserve::reserve(&mut order, samples, "number of samples")?;
    order.extend(0..samples);
    order.shuffle(rng);
    if samples >= FEW_SAMPLES {
        let calibration = order.split_off(samples - samples / 5);
        let scale = order.split_off(order.len() - samples / 20);
        return Ok(vec![Split {
            training: order,
            scale,
            calibration,
            seed: rng.random(),
        }]);
    }
    let fold = |fold: usize| {
        let (held_out, training): (Vec<_>, Vec<_>) =
            (0..samples).partition(|index| index % FOLDS == fold);
        let of = |indices: Vec<usize>| indices.into_iter().map(|index| order[index]).collect();
        let calibration: Vec<usize> = of(held_out);
        Split {
            training: of(training),
            scale: calibration.clone(),
            calibration,
            seed: rng.random(),
        }
    };
    Ok((0..FOLDS).map(fold).collect())
}

/// Returns as many of these samples, which are in random order, as this number of steps uses.
fn some(samples: &[usize], steps: usize) -> &[usize] {
    &samples[..samples.len().min(steps * BATCH)]
}

/// Returns the number of epochs that take `steps` steps, at most [`MOST_EPOCHS`].
fn epochs(samples: usize, steps: usize) -> usize {
    steps.div_ceil(samples.div_ceil(BATCH)).min(MOST_EPOCHS)
}

/// Trains a model on scaled samples at one noise level.
fn train<T: Real>(
    scaled: &dyn Samples<T>,
    (noise, kind): (f64, Kind),
    steps: usize,
    seed: u64,
    counter: Option<&Counter<'_>>,
) -> Result<Level<T>, Error> {
    let (features, samples) = (scaled.entries(), scaled.count());
    let (layers, activation) = match kind {
        // With the mirrored decoder, two layers make three.
        Kind::Deep => (vec![features, UNITS, UNITS], Activation::Relu),
        Kind::Shallow => (vec![features, UNITS], Activation::Tanh),
    };
    let mut model = SparseAutoencoder::builder()
        .layers(layers)
        .hidden_activation(activation)
        .output_activation(Activation::Identity)
        .penalty(())
        .seed(seed)
        .build()?;
    let corruption = Corruption::Gaussian {
        standard_deviation: noise,
    };
    let see = &mut |event: &Event<'_, T>| match (event, counter) {
        (Event::Step(step), Some(counter)) => {
            let loss = step.loss.reconstruction.to_f64();
            counter.step(noise, loss).map(ControlFlow::Continue)
        }
        _ => Ok(ControlFlow::Continue(())),
    };
    let optimizer: Adam<T> = Adam::new(LEARNING_RATE)?;
    Trainer::new(optimizer)
        .epochs(epochs(samples, steps))
        .batch_size(BATCH)
        .schedule(Schedule::cosine(0.0))
        .corruption(corruption)
        .threads(1)
        .seed(seed)
        .without_baseline()
        .fit_observed(&mut model, scaled, counter.is_some(), see)?;
    Level::new(model, corruption, seed)
}

/// Returns the results for the indices below `count`, in order, computed on several threads.
fn each<R: Send>(
    count: usize,
    run: impl Fn(usize) -> Result<R, Error> + Send + Sync,
) -> Result<Vec<R>, Error> {
    #[cfg(feature = "rayon")]
    {
        use rayon::prelude::*;
        (0..count).into_par_iter().map(run).collect()
    }
    #[cfg(not(feature = "rayon"))]
    (0..count).map(run).collect()
}

#[cfg(test)]
mod tests {
    use super::{Split, splits};

    fn sorted(parts: &[&[usize]]) -> Vec<usize> {
        let mut all = parts.concat();
        all.sort_unstable();
        all
    }

    #[test]
    fn many_samples_train_scale_or_calibrate() {
        for (count, scale, calibration) in [(1000, 50, 200), (1019, 50, 203), (7777, 388, 1555)] {
            let [split] = &splits(count, 3).unwrap()[..] else {
                panic!("one fold");
            };
            assert_eq!(
                (split.scale.len(), split.calibration.len()),
                (scale, calibration)
            );
            // None twice, and all of them.
            let parts: [&[usize]; 3] = [&split.training, &split.scale, &split.calibration];
            assert!(sorted(&parts).into_iter().eq(0..count), "{count}");
            assert!(
                parts.iter().all(|part| !part.is_sorted()),
                "in random order"
            );
        }
    }

    #[test]
    fn each_of_few_samples_calibrates_the_fold_that_does_not_train_on_it() {
        for count in [20, 23, 999] {
            let splits = splits(count, 3).unwrap();
            assert_eq!(splits.len(), 5);
            for Split {
                training,
                scale,
                calibration,
                ..
            } in &splits
            {
                assert_eq!(scale, calibration);
                assert!([count / 5, count.div_ceil(5)].contains(&calibration.len()));
                assert!(sorted(&[training, calibration]).into_iter().eq(0..count));
            }
            let calibrate: Vec<&[usize]> = splits.iter().map(|s| &s.calibration[..]).collect();
            assert!(sorted(&calibrate).into_iter().eq(0..count), "{count}");
            let mut seeds: Vec<u64> = splits.iter().map(|split| split.seed).collect();
            seeds.sort_unstable();
            seeds.dedup();
            assert_eq!(seeds.len(), 5, "models of their own");
        }
    }
}
