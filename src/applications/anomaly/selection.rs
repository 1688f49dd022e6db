//! Selecting anomalies at a bounded false discovery rate.

use super::AnomalyDetector;
use super::threshold::check_reachable;
use crate::error::{Error, require};
use crate::{Real, Samples};

/// Selects hypotheses by their p-values, with a false discovery rate of at most `rate`, in (0, 1).
///
/// ```text
/// selected = {i : pᵢ ≤ p₍ₖ₎}     k the largest with p₍ₖ₎ ≤ rate · k/m
/// ```
///
/// p₍ₖ₎ is the k-th smallest of m p-values. The false discovery rate is the expected share of true null
/// hypotheses, such as normal samples, among the selected ones (Benjamini & Hochberg 1995, *Controlling
/// the False Discovery Rate*).
///
/// ```
/// use sparse_autoencoder::benjamini_hochberg;
///
/// let selected = benjamini_hochberg(&[0.5, 0.001, 0.03, 0.2], 0.1)?;
/// assert_eq!(selected, [false, true, true, false]);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::InvalidParameter`] for a rate outside (0, 1) or a p-value outside [0, 1].
pub fn benjamini_hochberg(p_values: &[f64], rate: f64) -> Result<Vec<bool>, Error> {
    check_rate(rate)?;
    for &p in p_values {
        require((0.0..=1.0).contains(&p), "p-value", "in [0, 1]", p)?;
    }
    let mut sorted = p_values.to_vec();
    sorted.sort_by(f64::total_cmp);
    // p₍ₖ₎ · m ≤ rate · k, up to the rounding of both sides, so that equality counts.
    let (m, rate) = (
        f64::of_count(sorted.len()),
        rate * (1.0 + 4.0 * f64::EPSILON),
    );
    let limit = (1..=sorted.len())
        .rev()
        .find(|&k| sorted[k - 1] * m <= rate * f64::of_count(k))
        .map(|k| sorted[k - 1]);
    let selected = |&p: &f64| limit.is_some_and(|limit| p <= limit);
    Ok(p_values.iter().map(selected).collect())
}

fn check_rate(rate: f64) -> Result<(), Error> {
    let name = "false discovery rate";
    require(rate > 0.0 && rate < 1.0, name, "in (0, 1)", rate)
}

/// Refuses a rate outside (0, 1), and calibration samples with which nothing is ever selected.
pub(super) fn check_selection(rate: f64, calibration_samples: usize) -> Result<(), Error> {
    check_rate(rate)?;
    let what = "calibration samples for this false discovery rate";
    check_reachable(what, rate, calibration_samples)
}

impl<T: Real> AnomalyDetector<T> {
    /// Selects the anomalies among these samples, with a false discovery rate of at most `rate`, in (0, 1).
    ///
    /// The rate bounds the expected share of normal samples among the selected ones, where
    /// [`is_anomaly`](Self::is_anomaly) bounds the alarms among the normal samples. Applies
    /// [`benjamini_hochberg`] to the [p-values](Self::p_values), which keeps the rate for conformal p-values
    /// (Bates et al. 2023, *Testing for Outliers with Conformal p-Values*). The selection depends on all
    /// samples, so pass them together, and only samples that the fit has not seen: anomalies that serve for
    /// calibration are not selected.
    ///
    /// No p-value is below 1/(n + 1) for n calibration samples. To find k anomalies among m samples needs
    /// n + 1 ≥ m/(k · rate). For 5 among 1000 at a rate of 0.1, these are 1999 calibration samples.
    ///
    /// # Errors
    ///
    /// As [`scores`](Self::scores) and [`benjamini_hochberg`]; [`Error::TooFewSamples`] if n + 1 < 1/rate, with which
    /// nothing is ever selected.
    pub fn select(&self, samples: impl Samples<T>, rate: f64) -> Result<Vec<bool>, Error> {
        check_selection(rate, self.calibration_scores.len())?;
        benjamini_hochberg(self.p_values(samples)?.as_slice(), rate)
    }
}
