//! Fitting without settings: all choices follow from the number of samples and features.

use nalgebra::{DMatrix, DMatrixView};
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::denoiser::{Denoiser, Input, Level, imputed, median};
use crate::applications::anomaly::SAMPLES;
use crate::data::imputer::is_missing;
use crate::error::Error;
use crate::validate::{check_batch, check_present};
use crate::{
    Activation, Adam, Corruption, Imputer, MissingValues, Real, Scaler, Scaling, Schedule,
    SparseAutoencoder, Trainer,
};

/// The standard deviations of the noise, in those of the features.
const NOISE: [f64; 5] = [0.125, 0.25, 0.5, 1.0, 2.0];
/// The noise of the models that find outliers: they should see extreme values, not local structure.
const OUTLIER_NOISE: f64 = 2.0;
/// The robust standard deviations of the log score from which a sample is an outlier.
const OUTLIER_FROM: f64 = 3.0;
const OUTLIER_ROUNDS: usize = 2;

const STEPS: usize = 8000;
/// The steps of the models that find outliers.
const OUTLIER_STEPS: usize = 2000;
const BATCH: usize = 64;
const LEARNING_RATE: f64 = 3e-3;

const FEWEST_SAMPLES: usize = 20;
/// The number of samples below which all serve for calibration, in [`FOLDS`] folds.
const FEW_SAMPLES: usize = 1000;
const FOLDS: usize = 5;

/// Returns the features that are not constant; refuses unusable samples.
pub(super) fn varying_features<T: Real>(
    samples: DMatrixView<'_, T>,
    missing_values: MissingValues,
) -> Result<Vec<usize>, Error> {
    check(samples, samples.nrows(), missing_values)?;
    if samples.ncols() < FEWEST_SAMPLES {
        return Err(Error::TooFewSamples {
            what: "samples to fit and calibrate a detector",
            needed: FEWEST_SAMPLES,
            actual: samples.ncols(),
        });
    }
    let varying: Vec<usize> = (0..samples.nrows())
        .filter(|&feature| varies(samples, feature))
        .collect();
    if varying.is_empty() {
        return Err(Error::ConstantFeature {
            feature: 0,
            value: samples.get(0).map_or(0.0, |value| value.to_f64()),
        });
    }
    Ok(varying)
}

/// Refuses samples with invalid values, by the rule.
pub(super) fn check<T: Real>(
    samples: DMatrixView<'_, T>,
    features: usize,
    missing_values: MissingValues,
) -> Result<(), Error> {
    match missing_values {
        MissingValues::Refuse => check_batch(samples, features, SAMPLES),
        MissingValues::Impute => check_present(samples, features, SAMPLES),
    }
}

fn varies<T: Real>(samples: DMatrixView<'_, T>, feature: usize) -> bool {
    let row = samples.row(feature);
    let mut present = row.iter().filter(|&&value| !is_missing(value));
    let first = present.next();
    present.any(|value| Some(value) != first)
}

/// The samples of one fold, by their indices.
struct Split {
    training: Vec<usize>,
    /// Samples for the scales of the levels.
    scale: Vec<usize>,
    calibration: Vec<usize>,
    seed: u64,
}

/// Fits the models of all folds to samples without constant features.
pub(super) fn denoisers<T: Real>(
    samples: &DMatrix<T>,
    missing_values: MissingValues,
    seed: u64,
) -> Result<Vec<Denoiser<T>>, Error> {
    let imputer = match missing_values {
        MissingValues::Refuse => None,
        MissingValues::Impute => Some(Imputer::fit(samples)?.unmarked()),
    };
    let everywhere = Input::standard(samples, imputer, None)?;
    let splits = splits(samples.ncols(), seed);
    let cores = each(splits.len(), |fold| {
        let training = samples.select_columns(&splits[fold].training);
        without_outliers(training, &everywhere, splits[fold].seed)
    })?;
    let mut levels = each(splits.len() * NOISE.len(), |index| {
        let (fold, level) = (index / NOISE.len(), index % NOISE.len());
        let (scaled, input) = &cores[fold];
        let seed = splits[fold].seed.wrapping_add(level as u64);
        let mut level = train(scaled, NOISE[level], STEPS, seed)?;
        let held_out = samples.select_columns(&splits[fold].scale);
        level.scale_by(&input.scaled(&held_out)?, &held_out)?;
        Ok(level)
    })?;
    let mut denoisers = Vec::with_capacity(splits.len());
    for (split, (_, input)) in splits.iter().zip(cores) {
        let levels = levels.drain(..NOISE.len()).collect();
        let calibration = samples.select_columns(&split.calibration);
        denoisers.push(Denoiser::calibrated(input, levels, &calibration)?);
    }
    Ok(denoisers)
}

/// Divides samples into one fold or, if they are few, into several.
///
/// One fold takes its scales from samples of their own, which keeps p-values exact. Several take them from the
/// calibration samples, because samples are few and p-values approximate.
fn splits(samples: usize, seed: u64) -> Vec<Split> {
    let rng = &mut Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..samples).collect();
    order.shuffle(rng);
    if samples >= FEW_SAMPLES {
        let calibration = order.split_off(samples - samples / 5);
        let scale = order.split_off(order.len() - samples / 20);
        return vec![Split {
            training: order,
            scale,
            calibration,
            seed: rng.random(),
        }];
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
    (0..FOLDS).map(fold).collect()
}

/// Leaves out outliers, and returns the others, imputed and scaled by themselves.
fn without_outliers<T: Real>(
    mut samples: DMatrix<T>,
    everywhere: &Input<T>,
    seed: u64,
) -> Result<(DMatrix<T>, Input<T>), Error> {
    let mut input = everywhere.relearned(&samples)?;
    for round in 1..=OUTLIER_ROUNDS as u64 {
        let scaled = input.scaled(&samples)?;
        let level = train(
            &scaled,
            OUTLIER_NOISE,
            OUTLIER_STEPS,
            seed.wrapping_sub(round),
        )?;
        let scores = level
            .scores(&scaled, &samples)?
            .map(|score| score.to_f64().ln());
        let center = median(scores.clone().as_mut_slice());
        let deviation = 1.4826 * median(scores.map(|score| (score - center).abs()).as_mut_slice());
        // Without a spread, such as for equal samples, nothing tells an outlier.
        let inlying = |&index: &usize| {
            let beyond = scores[index] - center > OUTLIER_FROM * deviation;
            !(deviation > 0.0 && beyond)
        };
        let kept: Vec<usize> = (0..samples.ncols()).filter(inlying).collect();
        if kept.len() == samples.ncols() {
            break;
        }
        samples = samples.select_columns(&kept);
        input = input.relearned(&samples)?;
    }
    Ok((input.scaled(&samples)?, input))
}

impl<T: Real> Input<T> {
    /// Learns the scaling to mean 0 and variance 1. A feature that is constant in these samples keeps the factor
    /// of `others`, so that rare values remain visible.
    fn standard(
        samples: &DMatrix<T>,
        imputer: Option<Imputer<T>>,
        others: Option<&Scaler<T>>,
    ) -> Result<Self, Error> {
        let samples = imputed(imputer.as_ref(), samples)?;
        let scaler = Scaling::standard()
            .keep_constant_features()
            .fit(&*samples)?;
        let mut factors = scaler.factors().to_vec();
        if let Some(others) = others {
            for (feature, factor) in factors.iter_mut().enumerate() {
                if !varies((&*samples).into(), feature) {
                    *factor = others.factors()[feature];
                }
            }
        }
        let scaler = Scaler::new(scaler.centers(), &factors, scaler.offsets())?;
        Ok(Self { imputer, scaler })
    }

    /// Learns from other samples. What is constant or missing there stays as it is.
    fn relearned(&self, samples: &DMatrix<T>) -> Result<Self, Error> {
        let mut imputer = self.imputer.clone();
        if let Some(imputer) = &mut imputer {
            imputer.learn_means(samples)?;
        }
        Self::standard(samples, imputer, Some(&self.scaler))
    }
}

/// Trains a model on scaled samples at one noise level.
fn train<T: Real>(
    scaled: &DMatrix<T>,
    noise: f64,
    steps: usize,
    seed: u64,
) -> Result<Level<T>, Error> {
    let (features, samples) = scaled.shape();
    let mut model = SparseAutoencoder::builder()
        .layers([features, (2 * features).clamp(128, 512)])
        .hidden_activation(Activation::Tanh)
        .output_activation(Activation::Identity)
        .penalty(())
        .seed(seed)
        .build()?;
    let corruption = Corruption::Gaussian {
        standard_deviation: noise,
    };
    let optimizer: Adam<T> = Adam::new(LEARNING_RATE)?;
    Trainer::new(optimizer)
        .epochs(steps.div_ceil(samples.div_ceil(BATCH)))
        .batch_size(BATCH)
        .schedule(Schedule::cosine(0.0))
        .corruption(corruption)
        .threads(1)
        .seed(seed)
        .fit(&mut model, scaled)?;
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
