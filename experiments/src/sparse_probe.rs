//! k-sparse probes: how well a few units tell whether a sample is of a class.
//!
//! Gurnee, Nanda, Pauly, Harvey, Troitskii & Bertsimas (2023), *Finding Neurons in a Haystack*. A probe takes the units
//! with the largest difference of means between the class and the others, and fits a logistic regression to them.

use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{ClassifierTrainer, Error, Lbfgs, Scaling, SoftmaxClassifier};

/// The iterations of a logistic regression.
const ITERATIONS: usize = 100;

/// Returns F1 on `test` of a probe of `k` units for the class, whose threshold is the best on `training`. Both are
/// units × samples, and whether each sample is of the class.
pub fn f1(
    training: (&DMatrix<f32>, &[bool]),
    test: (&DMatrix<f32>, &[bool]),
    k: usize,
) -> Result<f64, Error> {
    let units = largest(&difference_of_means(training.0, training.1), k);
    let (rows, test_rows) = (training.0.select_rows(&units), test.0.select_rows(&units));
    let scaler = Scaling::standard().keep_constant_features().fit(&rows)?;
    let (rows, test_rows) = (scaler.apply(&rows)?, scaler.apply(&test_rows)?);

    let labels = training.1.iter().map(|&of| usize::from(of));
    let labels = labels.collect::<Vec<_>>();
    let mut probe = SoftmaxClassifier::new(k, 2)?.with_weight_decay(1e-5)?;
    ClassifierTrainer::new(Lbfgs::new())
        .epochs(ITERATIONS)
        .fit(&mut probe, &rows, &labels)?;
    let scores = |rows| -> Result<Vec<f32>, Error> {
        let probabilities: DMatrix<f32> = probe.probabilities(rows)?;
        Ok(probabilities.row(1).iter().copied().collect())
    };
    let threshold = best_threshold(&scores(&rows)?, training.1);
    let predicted = scores(&test_rows)?.into_iter().map(|s| s >= threshold);
    Ok(f1_of(predicted, test.1))
}

/// Returns the mean of the class minus that of the other samples, for each unit.
fn difference_of_means(units: &DMatrix<f32>, of_class: &[bool]) -> DVector<f32> {
    let mean = |wanted: bool| {
        let weights = of_class.iter().map(|&of| f32::from(of == wanted));
        let weights = DVector::from_iterator(of_class.len(), weights);
        units * &weights / weights.sum().max(1.0)
    };
    mean(true) - mean(false)
}

/// Returns the `k` units with the largest absolute values.
fn largest(values: &DVector<f32>, k: usize) -> Vec<usize> {
    let mut order = (0..values.len()).collect::<Vec<_>>();
    order.sort_by(|&a, &b| values[b].abs().total_cmp(&values[a].abs()));
    order.truncate(k);
    order
}

/// Returns the score from which on samples are best taken for the class, by F1.
fn best_threshold(scores: &[f32], of_class: &[bool]) -> f32 {
    let mut order = (0..scores.len()).collect::<Vec<_>>();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let all = count(of_class);
    let (mut hits, mut predictions, mut best) = (0.0, 0.0, (0.0, f32::INFINITY));
    for (place, &sample) in order.iter().enumerate() {
        hits += f64::from(of_class[sample]);
        predictions += 1.0;
        let next = order.get(place + 1).map(|&next| scores[next]);
        if next != Some(scores[sample]) {
            let f1 = 2.0 * hits / (all + predictions);
            if f1 > best.0 {
                best = (f1, scores[sample]);
            }
        }
    }
    best.1
}

/// Returns 2 · hits / (samples of the class + predictions).
fn f1_of(predicted: impl Iterator<Item = bool>, of_class: &[bool]) -> f64 {
    let (mut hits, mut predictions) = (0.0, 0.0);
    for (predicted, &of) in predicted.zip(of_class) {
        predictions += f64::from(predicted);
        hits += f64::from(predicted && of);
    }
    2.0 * hits / (count(of_class) + predictions).max(1.0)
}

fn count(of_class: &[bool]) -> f64 {
    of_class.iter().map(|&of| f64::from(of)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unit 2 is active in three of four samples of the class, and in no other. Unit 0 is larger in all samples.
    fn units() -> (DMatrix<f32>, Vec<bool>) {
        let of_class = (0..40).map(|sample| sample % 4 == 0).collect::<Vec<_>>();
        let units = DMatrix::from_fn(3, 40, |unit, sample| match unit {
            0 => 10.0 + (sample % 3) as f32 * 0.01,
            2 if of_class[sample] && sample % 16 != 0 => 1.0,
            _ => 0.0,
        });
        (units, of_class)
    }

    #[test]
    fn one_unit_is_that_of_the_class() {
        let (units, of_class) = units();
        assert_eq!(largest(&difference_of_means(&units, &of_class), 1), [2]);
        // 7 of 10 samples are found, without a false alarm: F1 is 2 · 7 / (10 + 7).
        let f1 = f1((&units, &of_class), (&units, &of_class), 1).unwrap();
        assert!((f1 - 14.0 / 17.0).abs() < 1e-12, "{f1}");
    }

    #[test]
    fn equal_scores_are_on_the_same_side() {
        let threshold = best_threshold(&[0.5, 0.5, 0.2], &[true, false, false]);
        assert_eq!(threshold, 0.5);
        assert_eq!(
            f1_of([true, true, false].into_iter(), &[true, false, false]),
            2.0 / 3.0
        );
    }
}
