//! What the models of a fold see of a sample: its features, imputed and standardized.

use nalgebra::DMatrix;

use super::kept_features::varying;
use super::limits::Limits;
use crate::applications::anomaly::copied;
use crate::error::Error;
use crate::{Imputer, MissingValues, Real, Samples, Scaler, Scaling, Subset};

/// How the models take samples.
#[derive(Debug, Clone)]
pub(crate) struct Input<T> {
    /// Without marks. `None`: missing values are refused.
    pub(crate) imputer: Option<Imputer<T>>,
    pub(crate) scaler: Scaler<T>,
}

impl<T: Real> Input<T> {
    /// Learns the limits of values to learn from, and within them the means of an imputer and the scaling to mean 0 and
    /// variance 1.
    pub(super) fn standard(
        samples: &dyn Samples<T>,
        missing_values: MissingValues,
    ) -> Result<(Self, Limits<T>), Error> {
        let limits = Limits::of(samples)?;
        let imputer = match missing_values {
            MissingValues::Refuse => None,
            MissingValues::Impute => Some(Imputer::fit(limits.apply_on_read(samples))?.unmarked()),
        };
        let scaler = scaler(samples, &limits, imputer.as_ref())?;
        Ok((Self { imputer, scaler }, limits))
    }

    /// Learns from other samples. What is missing there keeps its mean. A feature that is constant there keeps its
    /// factor, so that rare values remain visible.
    pub(super) fn relearned(&self, samples: &dyn Samples<T>) -> Result<(Self, Limits<T>), Error> {
        let limits = Limits::of(samples)?;
        let mut imputer = self.imputer.clone();
        if let Some(imputer) = &mut imputer {
            imputer.learn_means(&limits.apply_on_read(samples))?;
        }
        let scaler = scaler(samples, &limits, imputer.as_ref())?;
        let mut factors = scaler.factors().to_vec();
        // The factor of a constant feature is 1.
        if !factors.contains(&T::one()) {
            return Ok((Self { imputer, scaler }, limits));
        }
        let (_, constants) = varying(samples, imputer.is_some())?;
        for (feature, _) in constants {
            factors[feature] = self.scaler.factors()[feature];
        }
        let scaler = Scaler::new(scaler.centers(), &factors, scaler.offsets())?;
        Ok((Self { imputer, scaler }, limits))
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

/// Learns the scaling to mean 0 and variance 1 from samples within the limits.
fn scaler<T: Real>(
    samples: &dyn Samples<T>,
    limits: &Limits<T>,
    imputer: Option<&Imputer<T>>,
) -> Result<Scaler<T>, Error> {
    let scaling = Scaling::standard().keep_constant_features();
    scaling.fit(complete(limits.apply_on_read(samples), imputer)?)
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
