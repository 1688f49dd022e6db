//! Rules for the threshold of a detector.

use crate::Real;
use crate::error::{Error, require};

/// A rule for the score above which a sample is an anomaly, given n calibration scores.
///
/// | rule | threshold | for |
/// |---|---|---|
/// | [`Quantile`](Self::Quantile)`(q)` | the q-quantile of the scores | a fixed share of alarms |
/// | [`Contamination`](Self::Contamination)`(c)` | the (1 − c)-quantile of the scores | calibration samples with anomalies |
/// | [`FalseAlarmRate`](Self::FalseAlarmRate)`(α)` | the ⌈(n + 1)(1 − α)⌉-th smallest score | a guarantee: anomalies have p-values ≤ α |
///
/// The parameters lie in (0, 1). Quantiles are interpolated between scores as by NumPy's `percentile`,
/// so that `Contamination` equals PyOD's rule on the same scores.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Threshold {
    /// The quantile of the calibration scores: 0.99 exceeds 99 % of them.
    Quantile(f64),
    /// The expected share of anomalies among the calibration samples. This share, with the highest
    /// scores, is above the threshold.
    Contamination(f64),
    /// The maximum probability of an alarm on a normal sample.
    ///
    /// Holds for normal calibration samples that were not used for training. Needs at least 1/α − 1 of
    /// them.
    FalseAlarmRate(f64),
}

impl Threshold {
    /// Refuses parameters outside (0, 1) and false-alarm rates that need more calibration samples.
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
        match self {
            Self::FalseAlarmRate(rate) => {
                let what = "calibration samples for this false-alarm rate";
                check_reachable(what, rate, calibration_samples)
            }
            _ => Ok(()),
        }
    }

    /// Returns the threshold for sorted scores, whose number has been checked.
    pub(super) fn of<T: Real>(self, sorted: &[T]) -> T {
        match self {
            Self::Quantile(q) => quantile(sorted, q),
            Self::Contamination(c) => quantile(sorted, 1.0 - c),
            Self::FalseAlarmRate(rate) => sorted[sorted.len() - alarms(rate, sorted.len())],
        }
    }
}

/// Refuses a number of calibration samples with which no p-value is at most `rate`, in (0, 1).
pub(super) fn check_reachable(what: &'static str, rate: f64, actual: usize) -> Result<(), Error> {
    if alarms(rate, actual) > 0 {
        return Ok(());
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
    let most = (1.0 / rate).ceil() as usize;
    // The quotient is rounded, and may be above a whole number.
    let least = most.saturating_sub(2).max(actual.saturating_add(1));
    let needed = (least..most).find(|&n| alarms(rate, n) > 0).unwrap_or(most);
    Err(Error::TooFewSamples {
        what,
        needed,
        actual,
    })
}

/// Returns the largest k with k/(n + 1) ≤ rate: the number of alarms allowed among n + 1 exchangeable
/// samples.
fn alarms(rate: f64, n: usize) -> usize {
    let together = f64::of_count(n) + 1.0;
    let p = |k: usize| f64::of_count(k) / together;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // in 0..=n + 1
    let mut k = ((rate * together) as usize).min(n);
    // The product is rounded; the result must agree with comparisons of p-values exactly.
    while k < n && p(k + 1) <= rate {
        k += 1;
    }
    while k > 0 && p(k) > rate {
        k -= 1;
    }
    k
}

/// Returns the quantile interpolated between order statistics: type 7 of Hyndman & Fan.
fn quantile<T: Real>(sorted: &[T], q: f64) -> T {
    let position = q * f64::of_count(sorted.len() - 1);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // below the length
    let below = (position as usize).min(sorted.len() - 2);
    let (low, high) = (sorted[below], sorted[below + 1]);
    let share = T::of(position - f64::of_count(below));
    let difference = high - low;
    let between = if share == T::zero() {
        low
    } else if difference.is_finite() {
        low + difference * share
    } else {
        low * (T::one() - share) + high * share
    };
    if between < high { between } else { high } // rounded
}
