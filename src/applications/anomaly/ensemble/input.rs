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

#[cfg(test)]
#[allow(clippy::float_cmp)] // the same bits
mod tests {
    use nalgebra::DMatrix;

    use super::Input;
    use crate::{MissingValues, Scaling};

    /// The second feature is constant in the samples of a fold. The third has there a factor of exactly 1.
    #[test]
    fn a_feature_that_is_constant_in_a_fold_keeps_the_factor_of_all_samples() {
        let sign = |j: usize| if j.is_multiple_of(2) { 1.0 } else { -1.0 };
        let all = DMatrix::from_fn(3, 40, |i, j| match (i, j) {
            (0, _) => (j * j % 7) as f64,
            (1, 0..20) => 5.0,
            (1, _) => 5.0 + 3.0 * sign(j),
            (_, 0..20) => sign(j),
            _ => 9.0 * sign(j),
        });
        let fold = all.columns(0, 20).into_owned();
        for missing_values in [MissingValues::Refuse, MissingValues::Impute] {
            let (everywhere, _) = Input::standard(&all, missing_values).unwrap();
            let (relearned, _) = everywhere.relearned(&fold).unwrap();
            let scaler = relearned.scaler;
            let of_fold = Scaling::standard()
                .keep_constant_features()
                .fit(&fold)
                .unwrap();
            assert_eq!((of_fold.factors()[1], of_fold.factors()[2]), (1.0, 1.0));
            let mut expected = of_fold.factors().to_vec();
            expected[1] = everywhere.scaler.factors()[1];
            assert!(expected[1] != 1.0);
            assert_eq!(scaler.factors(), expected);
            assert_eq!(scaler.centers(), of_fold.centers());
        }
    }
}
