//! Fitting without settings: all choices follow from the number of samples and features.

use nalgebra::{DMatrix, DMatrixView};
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::denoiser::{Denoiser, Level, median};
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

/// Returns whether a feature has two values, or is missing in some samples but not in all.
fn varies<T: Real>(samples: DMatrixView<'_, T>, feature: usize) -> bool {
    let row = samples.row(feature);
    let differs = |&value: &T| value != row[0] && !(is_missing(value) && is_missing(row[0]));
    row.iter().any(differs)
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
        MissingValues::Impute => Some(Imputer::fit(samples)?),
    };
    let everywhere = match &imputer {
        None => standard(samples, None)?,
        Some(imputer) => standard(&imputer.apply(samples)?, None)?,
    };
    let splits = splits(samples.ncols(), seed);
    let cores = each(splits.len(), |fold| {
        let mut training = samples.select_columns(&splits[fold].training);
        let mut imputer = imputer.clone();
        if let Some(imputer) = &mut imputer {
            // What is marked is the same in all folds.
            imputer.learn_means(&training)?;
            training = imputer.apply(&training)?;
        }
        let (scaled, scaler) = without_outliers(training, &everywhere, splits[fold].seed)?;
        Ok((scaled, imputer, scaler))
    })?;
    let mut levels = each(splits.len() * NOISE.len(), |index| {
        let (fold, level) = (index / NOISE.len(), index % NOISE.len());
        let (scaled, imputer, scaler) = &cores[fold];
        let seed = splits[fold].seed.wrapping_add(level as u64);
        let mut level = train(scaled, NOISE[level], STEPS, seed)?;
        let mut held_out = samples.select_columns(&splits[fold].scale);
        if let Some(imputer) = imputer {
            held_out = imputer.apply(&held_out)?;
        }
        level.scale_by(&scaler.apply(&held_out)?)?;
        Ok(level)
    })?;
    let mut denoisers = Vec::with_capacity(splits.len());
    for (split, (_, imputer, scaler)) in splits.iter().zip(cores) {
        let levels = levels.drain(..NOISE.len()).collect();
        let calibration = samples.select_columns(&split.calibration);
        denoisers.push(Denoiser::calibrated(imputer, scaler, levels, &calibration)?);
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

/// Leaves out outliers, and returns the others, scaled by themselves, with their scaler.
fn without_outliers<T: Real>(
    mut samples: DMatrix<T>,
    everywhere: &Scaler<T>,
    seed: u64,
) -> Result<(DMatrix<T>, Scaler<T>), Error> {
    let mut scaler = standard(&samples, Some(everywhere))?;
    for round in 1..=OUTLIER_ROUNDS as u64 {
        let scaled = scaler.apply(&samples)?;
        let level = train(
            &scaled,
            OUTLIER_NOISE,
            OUTLIER_STEPS,
            seed.wrapping_sub(round),
        )?;
        let scores = level.scores(&scaled)?.map(|score| score.to_f64().ln());
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
        scaler = standard(&samples, Some(&scaler))?;
    }
    Ok((scaler.apply(&samples)?, scaler))
}

/// Learns the scaling to mean 0 and variance 1. A feature that is constant in these samples keeps the factor
/// of `others`, so that rare values remain visible.
fn standard<T: Real>(samples: &DMatrix<T>, others: Option<&Scaler<T>>) -> Result<Scaler<T>, Error> {
    let scaler = Scaling::standard().keep_constant_features().fit(samples)?;
    let Some(others) = others else {
        return Ok(scaler);
    };
    let mut factors = scaler.factors().to_vec();
    for (feature, factor) in factors.iter_mut().enumerate() {
        if !varies(samples.into(), feature) {
            *factor = others.factors()[feature];
        }
    }
    Scaler::new(scaler.centers(), &factors, scaler.offsets())
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
