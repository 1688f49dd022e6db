//! What the models of a fold see of a sample: its features, imputed and standardized.

use nalgebra::DMatrix;

use super::kept_features::variation;
use super::limits::Limits;
use crate::applications::anomaly::copied;
use crate::error::Error;
use crate::{Imputer, Real, Samples, Scaler, Scaling, Subset};

/// How the models take samples.
#[derive(Debug, Clone)]
pub(crate) struct Input<T> {
    /// Without marks. `None`: missing values are refused.
    pub(crate) imputer: Option<Imputer<T>>,
    pub(crate) scaler: Scaler<T>,
}

impl<T: Real> Input<T> {
    /// Learns the limits of values to learn from, and within them the means of the imputer and the scaling to mean 0 and
    /// variance 1. A feature that is constant in these samples keeps the factor of `others`, so that rare values remain visible.
    pub(super) fn standard(
        samples: &dyn Samples<T>,
        mut imputer: Option<Imputer<T>>,
        others: Option<&Scaler<T>>,
    ) -> Result<(Self, Limits<T>), Error> {
        let scaling = Scaling::standard().keep_constant_features();
        let limits = Limits::of(samples)?;
        let scaler = {
            let limited = limits.apply_on_read(samples);
            if let Some(imputer) = &mut imputer {
                imputer.learn_means(&limited)?;
            }
            scaling.fit(complete(&limited, imputer.as_ref())?)?
        };
        let mut factors = scaler.factors().to_vec();
        // The factor of a constant feature is 1.
        let Some(others) = others.filter(|_| factors.contains(&T::one())) else {
            return Ok((Self { imputer, scaler }, limits));
        };
        let varies = variation(samples, imputer.is_some())?;
        for ((factor, varies), &of_others) in factors.iter_mut().zip(varies).zip(others.factors()) {
            if !varies {
                *factor = of_others;
            }
        }
        let scaler = Scaler::new(scaler.centers(), &factors, scaler.offsets())?;
        Ok((Self { imputer, scaler }, limits))
    }

    /// Learns from other samples. What is constant or missing there stays as it is.
    pub(super) fn relearned(&self, samples: &dyn Samples<T>) -> Result<(Self, Limits<T>), Error> {
        Self::standard(samples, self.imputer.clone(), Some(&self.scaler))
    }

    /// Returns samples as the models take them.
    pub(super) fn apply(&self, samples: &DMatrix<T>) -> Result<DMatrix<T>, Error> {
        match &self.imputer {
            None => self.scaler.apply(samples),
            Some(imputer) => self.scaler.apply(imputer.apply(samples)?),
        }
    }

    /// Returns the samples with these indices as the models learn from them: a copy of samples in memory, others on
    /// reading.
    pub(super) fn apply_within<'a>(
        &self,
        limits: &'a Limits<T>,
        samples: &'a dyn Samples<T>,
        indices: &[usize],
    ) -> Result<Box<dyn Samples<T> + 'a>, Error> {
        let complete = complete(limits.apply_on_read(samples), self.imputer.as_ref())?;
        let chosen = Subset::new(self.scaler.apply_on_read(complete)?, indices)?;
        copied(chosen, samples.in_memory().is_some())
    }
}

/// Returns the samples without missing values.
fn complete<'a, T: Real>(
    samples: impl Samples<T> + 'a,
    imputer: Option<&Imputer<T>>,
) -> Result<Box<dyn Samples<T> + 'a>, Error> {
    Ok(match imputer {
        None => Box::new(samples),
        Some(imputer) => Box::new(imputer.apply_on_read(samples)?),
    })
}
