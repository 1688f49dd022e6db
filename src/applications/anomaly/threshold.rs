use crate::Real;
use crate::error::{Error, require};

/// How to choose the score above which a sample is an anomaly, from the n calibration scores.
///
/// | rule | the threshold is | a sample is an anomaly |
/// |---|---|---|
/// | [`Quantile`](Self::Quantile)`(q)` | the q-quantile of the scores | above it |
/// | [`Contamination`](Self::Contamination)`(c)` | the (1 − c)-quantile | above it |
/// | [`FalseAlarmRate`](Self::FalseAlarmRate)`(α)` | the ⌈(n + 1)(1 − α)⌉-th smallest score | above it, which is where its p-value is ≤ α |
///
/// The numbers lie in (0, 1). Quantiles between two scores are interpolated, as by NumPy's
/// `percentile`, so that `Contamination` is PyOD's rule on the same scores.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Threshold {
    /// A quantile of the calibration scores: 0.99 is above 99 % of them.
    Quantile(f64),
    /// The expected share of anomalies among the calibration samples: that share of them, those
    /// with the highest scores, is above the threshold. For data that are not clean.
    Contamination(f64),
    /// The highest acceptable chance of an alarm on a normal sample. Kept for every finite number
    /// of calibration samples, if they are normal and not those of the training; it takes at least
    /// 1/α − 1 of them.
    FalseAlarmRate(f64),
}

impl Threshold {
    /// Refuses numbers outside (0, 1), and rates out of reach for as many calibration samples.
    pub(super) fn check(self, calibration_samples: usize) -> Result<(), Error> {
        let (name, value) = match self {
            Self::Quantile(q) => ("quantile", q),
            Self::Contamination(c) => ("contamination", c),
            Self::FalseAlarmRate(rate) => ("false-alarm rate", rate),
        };
        require(value > 0.0 && value < 1.0, name, "in (0, 1)", value)?;
        if calibration_samples < 2 {
            return Err(Error::TooFewSamples {
                what: "calibration samples",
                needed: 2,
                actual: calibration_samples,
            });
        }
        if let Self::FalseAlarmRate(rate) = self
            && alarms(rate, calibration_samples) == 0
        {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
            let needed = (1.0 / rate).ceil() as usize - 1;
            return Err(Error::TooFewSamples {
                what: "calibration samples for such a false-alarm rate",
                needed: needed.max(calibration_samples + 1),
                actual: calibration_samples,
            });
        }
        Ok(())
    }

    /// The threshold for sorted scores. Checked beforehand.
    pub(super) fn of<T: Real>(self, sorted: &[T]) -> T {
        match self {
            Self::Quantile(q) => quantile(sorted, q),
            Self::Contamination(c) => quantile(sorted, 1.0 - c),
            Self::FalseAlarmRate(rate) => sorted[sorted.len() - alarms(rate, sorted.len())],
        }
    }
}

/// The largest k with k/(n + 1) ≤ rate: how many of n + 1 exchangeable samples may raise an alarm.
fn alarms(rate: f64, n: usize) -> usize {
    let p = |k: usize| f64::of_count(k) / f64::of_count(n + 1);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // in 0..=n + 1
    let mut k = ((rate * f64::of_count(n + 1)) as usize).min(n);
    // The product is rounded; the comparison must be that of the p-values, to the last bit.
    while k < n && p(k + 1) <= rate {
        k += 1;
    }
    while k > 0 && p(k) > rate {
        k -= 1;
    }
    k
}

/// Linear between the order statistics: type 7 of Hyndman & Fan.
fn quantile<T: Real>(sorted: &[T], q: f64) -> T {
    let position = q * f64::of_count(sorted.len() - 1);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // below the length
    let below = (position as usize).min(sorted.len() - 2);
    let (low, high) = (sorted[below], sorted[below + 1]);
    let share = T::of(position - f64::of_count(below));
    let difference = high - low;
    if difference.is_finite() {
        low + difference * share
    } else {
        low * (T::one() - share) + high * share
    }
}
