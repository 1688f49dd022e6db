//! The two settings of an ensemble that do not follow from the samples.

use std::io;
use std::marker::PhantomData;
use std::ops::ControlFlow;

use super::AnomalyEnsemble;
use super::fitting::{self, Observer};
use super::kept_features::KeptFeatures;
use crate::error::Error;
use crate::training::Verdict;
use crate::{MissingValues, Real, Samples};

/// Fits an [`AnomalyEnsemble`] with a rule for missing values or another seed: see [`AnomalyEnsemble::builder`].
#[cfg_attr(
    feature = "files",
    doc = r##"
# In a file

With the feature `serde`. Both keys are optional.

```
use sparse_autoencoder::{AnomalyEnsemble, AnomalyEnsembleBuilder, MissingValues};

let json = r#"{"missing_values": "impute", "seed": 3}"#;
let builder: AnomalyEnsembleBuilder<f32> = serde_json::from_str(json).unwrap();
assert_eq!(builder, AnomalyEnsemble::builder().missing_values(MissingValues::Impute).seed(3));
```
"##
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        default,
        deny_unknown_fields,
        expecting = "a table with the keys `missing_values` and `seed`, which are optional"
    )
)]
#[must_use]
pub struct AnomalyEnsembleBuilder<T> {
    missing_values: MissingValues,
    seed: u64,
    #[cfg_attr(feature = "serde", serde(skip))]
    steps: usize,
    #[cfg_attr(feature = "serde", serde(skip))]
    scalar: PhantomData<fn() -> T>,
}

/// The steps of a model, if the samples are many.
const STEPS: usize = 4000;

/// A step of a fit, which trains several models at the same time.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct EnsembleStep {
    /// The number of steps of all models so far, this one included.
    pub number: u64,
    /// The number of steps of the whole fit.
    pub of: u64,
    /// The noise that the model of this step learns to remove: its standard deviation in those of the features.
    pub noise: f64,
    /// The reconstruction loss of that model on the batch, before the step: ½ Σ‖x̂ − x‖²/m of standardized samples.
    pub loss: f64,
}

impl<T> Default for AnomalyEnsembleBuilder<T> {
    fn default() -> Self {
        Self {
            missing_values: MissingValues::Refuse,
            seed: 0,
            steps: STEPS,
            scalar: PhantomData,
        }
    }
}

impl<T: Real> AnomalyEnsembleBuilder<T> {
    /// Sets the rule for missing values, which are NaN in the samples. The default is
    /// [`MissingValues::Refuse`].
    ///
    /// With [`MissingValues::Impute`], all methods accept missing values. The models see the means of the training
    /// samples in their place. A score is that of the p present values of d features, times d/p: see
    /// [`AnomalyDetector`](crate::AnomalyDetector#missing-values). Samples without any value score 0, and do not count
    /// in the medians of errors. Features without two different values are constant.
    ///
    /// ```
    /// use sparse_autoencoder::{AnomalyEnsemble, MissingValues, nalgebra::DMatrix};
    ///
    /// // Three features on a curve, with every 20th value missing.
    /// let table = DMatrix::from_fn(3, 100, |i, j| match 3 * j + i {
    ///     k if k % 20 == 0 => f32::NAN,
    ///     _ => (j as f32 / 50.0 - 1.0).powi(i as i32 + 1),
    /// });
    /// let detector = AnomalyEnsemble::builder()
    ///     .missing_values(MissingValues::Impute)
    ///     .fit(&table)?;
    /// let unseen = [f32::NAN, 0.25, 0.125, f32::NAN, 0.25, -1.5];
    /// let unseen = DMatrix::from_column_slice(3, 2, &unseen);
    /// assert_eq!(detector.is_anomaly(&unseen, 0.05)?, [false, true]);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    pub fn missing_values(mut self, rule: MissingValues) -> Self {
        self.missing_values = rule;
        self
    }

    /// Sets the seed of folds, weights, and noise. The default is 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the steps of a model.
    #[cfg(test)]
    pub(super) fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Fits and calibrates a detector, as [`AnomalyEnsemble::fit`] does.
    ///
    /// # Errors
    ///
    /// As [`AnomalyEnsemble::fit`]. [`MissingValues::Impute`] accepts NaN, and refuses infinities.
    pub fn fit(&self, samples: impl Samples<T>) -> Result<AnomalyEnsemble<T>, Error> {
        self.fit_observed(&samples, None)
    }

    /// Runs [`fit`](Self::fit) with an observer of each step of any model. It returns a [`Verdict`].
    ///
    /// All threads that train models call it, at the same time.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use sparse_autoencoder::{AnomalyEnsemble, nalgebra::DMatrix};
    ///
    /// let normal = DMatrix::from_fn(3, 20, |i, j| (j as f32 / 10.0 - 1.0).powi(i as i32 + 1));
    /// AnomalyEnsemble::builder().fit_with_steps(&normal, |step| {
    ///     if step.number % 5000 == 0 {
    ///         println!("{} %, noise {}, loss {:.3}", 100 * step.number / step.of, step.noise, step.loss);
    ///     }
    /// })?;
    ///
    /// let stopped = AnomalyEnsemble::builder().fit_with_steps(&normal, |_| ControlFlow::Break(()));
    /// assert!(stopped.is_err());
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`fit`](Self::fit), and those that the observer returns. A fit that it stops has no detector to return: it
    /// fails with an [`Error::InputOutput`] of the kind [`Interrupted`](std::io::ErrorKind::Interrupted).
    pub fn fit_with_steps<V: Verdict>(
        &self,
        samples: impl Samples<T>,
        observer: impl Fn(EnsembleStep) -> V + Sync,
    ) -> Result<AnomalyEnsemble<T>, Error> {
        let observer = |step| match observer(step).verdict()? {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(io::Error::from(io::ErrorKind::Interrupted).into()),
        };
        self.fit_observed(&samples, Some(&observer))
    }

    fn fit_observed(
        &self,
        samples: &dyn Samples<T>,
        observer: Option<&Observer<'_>>,
    ) -> Result<AnomalyEnsemble<T>, Error> {
        let Self {
            missing_values,
            seed,
            steps,
            ..
        } = *self;
        let (kept, constants) = fitting::varying_features(samples, missing_values)?;
        let fit =
            |kept: &dyn Samples<T>| fitting::denoisers(kept, missing_values, seed, steps, observer);
        let denoisers = match samples.in_memory() {
            Some(whole) => fit(&whole.select_rows(&kept)),
            None => {
                let kept = &kept;
                fit(&KeptFeatures { samples, kept })
            }
        };
        let denoisers = denoisers.map_err(|error| error.at_kept(&kept))?;
        Ok(AnomalyEnsemble {
            kept,
            constants,
            denoisers,
        })
    }
}
