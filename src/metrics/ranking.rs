//! Metrics of scores against labels of two classes.

use crate::validate::check_len;
use crate::{Error, Real};

/// Returns the area under the ROC curve, in [0, 1]: the probability that a positive sample scores
/// higher than a negative one.
///
/// ```text
/// AUC = 1/(P·N) Σ_{p, n} [s_p > s_n] + ½ [s_p = s_n]     P positive, N negative samples
/// ```
///
/// Labels are `true` for positives, such as anomalies. This is the Mann-Whitney statistic with
/// midranks, and the trapezoidal area under [`roc_curve`]. Pairs are counted in integers, so only the
/// final division rounds.
///
/// # Errors
///
/// [`Error::DimensionMismatch`] unless each score has one label; [`Error::EmptyBatch`] without
/// scores; [`Error::OneClass`] if a class is missing; [`Error::NonFinite`] for NaN.
///
/// ```
/// use sparse_autoencoder::metrics::roc_auc;
///
/// let auc = roc_auc(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true])?;
/// assert_eq!(auc, 0.75);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
pub fn roc_auc<T: Real>(scores: &[T], labels: &[bool]) -> Result<f64, Error> {
    let ranking = Ranking::new(scores, labels)?;
    let mut twice_the_area = 0_u128;
    for [before, after] in ranking.steps() {
        let width = (after.negatives - before.negatives) as u128;
        twice_the_area += width * (before.positives + after.positives) as u128;
    }
    let pairs = ranking.positives as u128 * ranking.negatives as u128;
    #[allow(clippy::cast_precision_loss)] // two correctly rounded numbers
    Ok(0.5 * (twice_the_area as f64 / pairs as f64))
}

/// Returns the average precision, in (0, 1]: the precision at the score of each positive sample,
/// averaged over the positives.
///
/// ```text
/// AP = Σₖ (Rₖ − Rₖ₋₁) Pₖ     k  distinct scores, from the highest down
/// ```
///
/// Pₖ and Rₖ are precision and recall if all samples that score at least k count as positive. Nothing
/// is interpolated, as in scikit-learn's `average_precision_score`. Random scores give about the
/// share of positives.
///
/// # Errors
///
/// As [`roc_auc`].
///
/// ```
/// use sparse_autoencoder::metrics::average_precision;
///
/// let precision = average_precision(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true])?;
/// assert!((precision - (0.5 * 1.0 + 0.5 * 2.0 / 3.0)).abs() < 1e-15);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
pub fn average_precision<T: Real>(scores: &[T], labels: &[bool]) -> Result<f64, Error> {
    let ranking = Ranking::new(scores, labels)?;
    let mut sum = 0.0;
    for [before, after] in ranking.steps() {
        let precision =
            f64::of_count(after.positives) / f64::of_count(after.positives + after.negatives);
        sum += f64::of_count(after.positives - before.positives) * precision;
    }
    Ok(sum / f64::of_count(ranking.positives))
}

/// A point of [`roc_curve`]: the rates if samples that score at least the threshold count as positive.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RocPoint {
    /// The lowest score that counts as positive.
    pub threshold: f64,
    /// The share of negative samples that count as positive: the false-alarm rate.
    pub false_positive_rate: f64,
    /// The share of positive samples that count as positive: the recall.
    pub true_positive_rate: f64,
}

/// Returns the ROC curve: a point for each distinct score, from the highest down.
///
/// The first point is (0, 0) with an infinite threshold. It stands for no sample, even if a score is infinite. The
/// last is (1, 1).
///
/// # Errors
///
/// As [`roc_auc`].
///
/// ```
/// use sparse_autoencoder::metrics::roc_curve;
///
/// let curve = roc_curve(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true])?;
/// let points = curve.iter().map(|p| (p.false_positive_rate, p.true_positive_rate));
/// assert!(points.eq([(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]));
/// assert_eq!(curve[1].threshold, 0.8);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
pub fn roc_curve<T: Real>(scores: &[T], labels: &[bool]) -> Result<Vec<RocPoint>, Error> {
    let ranking = Ranking::new(scores, labels)?;
    let share = |count, of| f64::of_count(count) / f64::of_count(of);
    Ok(ranking
        .cumulative
        .iter()
        .map(|counts| RocPoint {
            threshold: counts.threshold,
            false_positive_rate: share(counts.negatives, ranking.negatives),
            true_positive_rate: share(counts.positives, ranking.positives),
        })
        .collect())
}

/// The number of samples of each class that score at least as high as each distinct score.
struct Ranking {
    positives: usize,
    negatives: usize,
    cumulative: Vec<Counts>,
}

#[derive(Clone, Copy)]
struct Counts {
    threshold: f64,
    positives: usize,
    negatives: usize,
}

impl Ranking {
    fn new<T: Real>(scores: &[T], labels: &[bool]) -> Result<Self, Error> {
        check_len("labels", scores.len(), labels.len())?;
        if let Some(row) = scores.iter().position(|score| score.to_f64().is_nan()) {
            let (what, column, value) = ("scores", 0, f64::NAN);
            return Err(Error::NonFinite {
                what,
                row,
                column,
                value,
            });
        }
        let positives = labels.iter().filter(|&&label| label).count();
        let negatives = labels.len() - positives;
        if positives == 0 && negatives == 0 {
            return Err(Error::EmptyBatch { what: "scores" });
        }
        if positives == 0 || negatives == 0 {
            return Err(Error::OneClass {
                class: negatives == 0,
                samples: labels.len(),
            });
        }

        let mut ranked: Vec<_> = scores.iter().map(|s| s.to_f64()).zip(labels).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut counts = Counts {
            threshold: f64::INFINITY,
            positives: 0,
            negatives: 0,
        };
        let mut cumulative = vec![counts];
        // Compared as numbers, so that 0 and −0 are tied.
        #[allow(clippy::float_cmp)]
        for tied in ranked.chunk_by(|a, b| a.0 == b.0) {
            counts.threshold = tied[0].0;
            let hits = tied.iter().filter(|(_, label)| **label).count();
            counts.positives += hits;
            counts.negatives += tied.len() - hits;
            cumulative.push(counts);
        }
        Ok(Self {
            positives,
            negatives,
            cumulative,
        })
    }

    fn steps(&self) -> impl Iterator<Item = [Counts; 2]> {
        self.cumulative.windows(2).map(|pair| [pair[0], pair[1]])
    }
}
