//! The models of one fold: one for each noise level.

use nalgebra::{DMatrix, DVector};

use super::input::Input;
use crate::applications::anomaly::scoring::{count_present, passes, sort, unless_nan};
use crate::error::Error;
#[cfg(feature = "files")]
use crate::error::{require_above_0, require_some};
use crate::linalg::reserve;
#[cfg(feature = "files")]
use crate::validate::check_len;
use crate::{Corruption, Real, Samples, SparseAutoencoder, Workspace};

/// Denoising autoencoders for several noise levels, with the scores of the samples held out from them.
#[derive(Debug, Clone)]
pub(crate) struct Denoiser<T> {
    pub(crate) input: Input<T>,
    /// At least one.
    pub(crate) levels: Vec<Level<T>>,
    /// Sorted, the smallest first.
    pub(crate) calibration_scores: Vec<T>,
}

/// A model trained at one noise level.
#[derive(Debug, Clone)]
pub(crate) struct Level<T> {
    pub(crate) model: SparseAutoencoder<T>,
    /// Draws of the noise, features × draws. Each is added and subtracted, and is the same for all samples.
    pub(crate) noise: DMatrix<T>,
    /// The median error of normal samples, above 0.
    pub(crate) scale: T,
}

/// The number of draws of the noise, each with both signs.
const DRAWS: usize = 4;

impl<T: Real> Level<T> {
    /// Wraps a model of scaled samples, and draws its noise from the seed.
    pub(super) fn new(
        model: SparseAutoencoder<T>,
        corruption: Corruption,
        seed: u64,
    ) -> Result<Self, Error> {
        let mut noise = DMatrix::zeros(model.layout().input_size(), DRAWS);
        corruption.apply(noise.as_mut_slice(), seed)?;
        Ok(Self {
            model,
            noise,
            scale: T::one(),
        })
    }

    /// Puts a saved level together.
    #[cfg(feature = "files")]
    pub(crate) fn from_parts(
        model: SparseAutoencoder<T>,
        noise: Vec<T>,
        scale: T,
    ) -> Result<Self, Error> {
        model.refuse_transcoder("anomaly detection")?;
        let features = model.layout().input_size();
        check_len("noise", features.saturating_mul(DRAWS), noise.len())?;
        require_above_0::<T>("scale of a noise level", scale.to_f64())?;
        let noise = DMatrix::from_vec(features, DRAWS, noise);
        Ok(Self {
            model,
            noise,
            scale,
        })
    }

    /// Returns the squared error of each feature over the scale, features × samples: the mean over the noise.
    /// The present values of a sample count for those that are missing.
    fn errors(&self, scaled: &DMatrix<T>, samples: &DMatrix<T>) -> Result<DMatrix<T>, Error> {
        let share = T::one() / (T::of_count(2 * DRAWS) * self.scale);
        let mut errors = DMatrix::zeros(scaled.nrows(), scaled.ncols());
        let (mut reconstructed, mut workspace) = (errors.clone(), Workspace::new());
        for draw in self.noise.column_iter() {
            for sign in [T::one(), -T::one()] {
                let mut noisy = scaled.clone();
                for mut sample in noisy.column_iter_mut() {
                    sample.axpy(sign, &draw, T::one());
                }
                let model = &self.model;
                model.reconstruct_any(noisy.as_view(), &mut reconstructed, &mut workspace)?;
                reconstructed -= scaled;
                errors.zip_apply(&reconstructed, |error, residual| {
                    *error = unless_nan(*error + residual * residual * share);
                });
            }
        }
        count_present(samples.into(), &mut errors);
        Ok(errors)
    }

    /// Returns the error of each sample over the scale.
    pub(super) fn scores(
        &self,
        scaled: &DMatrix<T>,
        samples: &DMatrix<T>,
    ) -> Result<DVector<T>, Error> {
        Ok(self.errors(scaled, samples)?.row_sum().transpose())
    }

    /// Makes the median error of these samples the unit. Errors of 0 do not count: those of samples without values.
    ///
    /// If no error counts, or the median overflows, the unit stays 1. The guarantee of p-values holds in any unit.
    pub(super) fn scale_by(
        &mut self,
        input: &Input<T>,
        samples: &dyn Samples<T>,
    ) -> Result<(), Error> {
        let imputes = input.imputer.is_some();
        let mut scores = by_chunks(samples, imputes, |chunk| {
            self.scores(&input.apply(chunk)?, chunk)
        })?;
        scores.retain(|&score| score > T::zero());
        sort(&mut scores);
        // The upper of two medians
        if let Some(&median) = scores.get(scores.len() / 2)
            && median.is_finite()
        {
            self.scale = median;
        }
        Ok(())
    }
}

impl<T: Real> Denoiser<T> {
    /// Calibrates levels, whose scales are known, on samples that their models have not seen.
    pub(super) fn calibrated(
        input: Input<T>,
        levels: Vec<Level<T>>,
        calibration: &dyn Samples<T>,
    ) -> Result<Self, Error> {
        let mut denoiser = Self {
            input,
            levels,
            calibration_scores: Vec::new(),
        };
        let imputes = denoiser.input.imputer.is_some();
        let mut scores = by_chunks(calibration, imputes, |chunk| denoiser.scores(chunk))?;
        sort(&mut scores);
        denoiser.calibration_scores = scores;
        Ok(denoiser)
    }

    /// Puts a saved fold together.
    #[cfg(feature = "files")]
    pub(crate) fn from_parts(
        input: Input<T>,
        levels: Vec<Level<T>>,
        mut calibration_scores: Vec<T>,
    ) -> Result<Self, Error> {
        for (name, count) in [
            ("number of noise levels of a fold", levels.len()),
            (
                "number of calibration scores of a fold",
                calibration_scores.len(),
            ),
        ] {
            require_some(name, count)?;
        }
        let features = input.scaler.features();
        if let Some(imputer) = &input.imputer {
            check_len("features of the imputer", features, imputer.features())?;
        }
        for level in &levels {
            let input = level.model.layout().input_size();
            check_len("features of the scaler", input, features)?;
        }
        sort(&mut calibration_scores);
        Ok(Self {
            input,
            levels,
            calibration_scores,
        })
    }

    /// Returns the score of each sample.
    pub(super) fn scores(&self, samples: &DMatrix<T>) -> Result<DVector<T>, Error> {
        Ok(self.contributions(samples)?.row_sum().transpose())
    }

    /// Returns the contributions of the features to the scores: the mean over the levels.
    pub(super) fn contributions(&self, samples: &DMatrix<T>) -> Result<DMatrix<T>, Error> {
        let scaled = self.input.apply(samples)?;
        let share = T::one() / T::of_count(self.levels.len());
        let mut mean = DMatrix::zeros(samples.nrows(), samples.ncols());
        for level in &self.levels {
            mean += level.errors(&scaled, samples)? * share;
        }
        Ok(mean)
    }

    /// Returns what a squared deviation in one feature, in variances, adds to a score.
    pub(super) fn score_of(&self, squared: T) -> T {
        let of_levels = self.levels.iter().map(|level| squared / level.scale);
        of_levels.fold(T::zero(), |sum, score| sum + score) / T::of_count(self.levels.len())
    }

    pub(super) fn calibration_samples(&self) -> usize {
        self.calibration_scores.len()
    }
}

/// Returns the scores of samples, which `scores` returns for one chunk of them. Missing values are accepted or not.
fn by_chunks<T: Real>(
    samples: &dyn Samples<T>,
    accepts_missing: bool,
    scores: impl Fn(&DMatrix<T>) -> Result<DVector<T>, Error>,
) -> Result<Vec<T>, Error> {
    let mut passes = passes(samples, samples.entries(), accepts_missing)?;
    let mut all = reserve::filled(T::zero(), passes.count(), "number of samples")?;
    passes.each(|first, chunk| {
        let of_chunk = scores(&chunk.into_owned())?;
        all[first..][..of_chunk.len()].copy_from_slice(of_chunk.as_slice());
        Ok(())
    })?;
    Ok(all)
}
