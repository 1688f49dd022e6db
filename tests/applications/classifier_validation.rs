//! Validation samples of the caller's own for classifiers.

use std::sync::Mutex;

use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{
    Adam, ClassifierTrainer, Error, Lbfgs, Sgd, SoftmaxClassifier, StopReason,
};

use crate::classifier::{samples, scattered};
use crate::common::on_read::OnRead;

fn regression(features: usize, classes: usize) -> SoftmaxClassifier<f64> {
    let classifier = SoftmaxClassifier::new(features, classes).unwrap();
    classifier.with_weight_decay(1e-3).unwrap()
}

fn adam() -> ClassifierTrainer<f64> {
    ClassifierTrainer::new(Adam::new(0.1).unwrap())
        .epochs(9)
        .batch_size(8)
}

/// Three classes of samples, which the first feature tells apart.
fn labeled(count: usize) -> (DMatrix<f64>, Vec<usize>) {
    let labels: Vec<usize> = (0..count).map(|i| i * 7 % 3).collect();
    let mut x = samples(4, count);
    for (x, &label) in x.row_mut(0).iter_mut().zip(&labels) {
        *x += label as f64;
    }
    (x, labels)
}

/// The steps do not see them, and the validation loss of each epoch is the loss of the classifier on them.
#[test]
fn the_loss_is_measured_on_them_after_each_epoch() {
    let (x, labels) = labeled(45);
    let (training, validation) = (x.columns(0, 30), x.columns(30, 15).into_owned());
    let trainers: [fn() -> ClassifierTrainer<f64>; 2] =
        [adam, || ClassifierTrainer::new(Lbfgs::new()).epochs(9)];
    for trainer in trainers {
        let mut seen = Vec::new();
        let mut classifier = regression(4, 3);
        let report = trainer()
            .validation(validation.clone(), &labels[30..])
            .fit_with(&mut classifier, training, &labels[..30], |epoch| {
                let loss = epoch.model.loss(&validation, &labels[30..]).unwrap();
                seen.push((loss, epoch.validation_loss.unwrap()));
            })
            .unwrap();
        let mut alone = regression(4, 3);
        let without = trainer().fit(&mut alone, training, &labels[..30]).unwrap();
        assert_eq!((classifier, report.losses), (alone, without.losses));
        assert_eq!(without.validation_losses, []);
        assert_eq!(report.validation_losses.len(), 9);
        for ((loss, measured), &reported) in seen.into_iter().zip(&report.validation_losses) {
            assert_eq!(measured, reported);
            assert!((loss.total() - measured.total()).abs() < 1e-12);
        }
    }
}

/// A batch of two samples, whose products are exact: their order does not change a sum.
#[test]
fn samples_that_a_split_would_hold_out_give_the_same_bits() {
    let x = DMatrix::from_fn(2, 6, |i, j| {
        [[1.0, -1.0], [0.5, 2.0], [-4.0, 0.25]][j / 2][(i + j) % 2]
    });
    let labels = [0, 1, 0, 1, 1, 0];
    let fit =
        |trainer: ClassifierTrainer<f64>, x: &DMatrix<f64>, labels: &[usize], held_out: usize| {
            let first = Mutex::new(Vec::new());
            let source = OnRead(x.clone(), |indices: &[usize], _: &mut [f64]| {
                let mut first = first.lock().unwrap();
                if first.len() < held_out {
                    first.extend_from_slice(indices);
                }
                Ok(())
            });
            let mut classifier = regression(2, 2);
            let report = { trainer }.fit(&mut classifier, &source, labels)?;
            let first = first.lock().unwrap().clone();
            Ok::<_, Error>((report, classifier, first))
        };
    let mut compared = 0;
    for seed in 0..20 {
        let Ok((report, classifier, held_out)) =
            fit(adam().seed(seed).validation_split(0.67), &x, &labels, 4)
        else {
            continue; // both samples to learn from are of one class
        };
        assert_eq!(held_out.len(), 4, "they are read first");
        let others: Vec<usize> = (0..6).filter(|index| !held_out.contains(index)).collect();
        let of = |chosen: &[usize]| -> (DMatrix<f64>, Vec<usize>) {
            let labels = chosen.iter().map(|&index| labels[index]).collect();
            (x.select_columns(chosen), labels)
        };
        let ((x, labels), (own, own_labels)) = (of(&others), of(&held_out));
        let trainer = adam().seed(seed).validation(own, &own_labels);
        let (own_report, own_classifier, _) = fit(trainer, &x, &labels, 0).unwrap();
        assert_eq!((own_report, own_classifier), (report, classifier));
        compared += 1;
    }
    assert!(compared > 5, "{compared}");
}

#[test]
fn patience_keeps_the_parameters_that_are_best_on_them() {
    // Labels that say nothing about the samples: what is learned of some is wrong for the others.
    let x = samples(8, 30);
    let labels: Vec<usize> = (0..30).map(|i| (i * 7 + i / 3) % 3).collect();
    let validation = x.columns(15, 15).into_owned();
    let mut classifier = regression(8, 3);
    let report = ClassifierTrainer::new(Sgd::new(1.0).unwrap())
        .epochs(500)
        .validation(validation.clone(), &labels[15..])
        .patience(4)
        .fit(&mut classifier, x.columns(0, 15), &labels[..15])
        .unwrap();
    assert_eq!(report.stop, StopReason::NoImprovement);
    assert_eq!(report.epochs, report.best_epoch + 4);
    let totals = report.validation_losses.iter().map(|loss| loss.total());
    let lowest = totals.fold(f64::INFINITY, f64::min);
    let loss = classifier.loss(&validation, &labels[15..]).unwrap();
    assert!((loss.total() - lowest).abs() < 1e-12, "{loss:?} {lowest}");
}

/// Returns the error of a fit, which must have left the classifier as it was.
fn refused(trainer: ClassifierTrainer<f64>) -> Error {
    let (x, labels) = labeled(12);
    let mut classifier = regression(4, 3);
    classifier.set_theta(&scattered(15)).unwrap();
    let before = classifier.clone();
    let error = { trainer }.fit(&mut classifier, &x, &labels).unwrap_err();
    assert_eq!(classifier, before);
    error
}

#[test]
fn what_cannot_be_validation_samples_is_refused() {
    let (x, labels) = labeled(6);
    let own = |x: &DMatrix<f64>, labels: &[usize]| adam().validation(x.clone(), labels);
    let both = refused(own(&x, &labels).validation_split(0.2));
    assert!(matches!(both, Error::Incompatible { .. }), "{both}");
    assert!(both.to_string().contains("leave one of them out"), "{both}");
    for value in [f64::NAN, f64::NEG_INFINITY] {
        let mut broken = x.clone();
        broken[(2, 5)] = value;
        let error = refused(own(&broken, &labels)).to_string();
        let says = format!("validation samples must be finite, got {value} at row 2, column 5");
        assert!(error.starts_with(&says), "{error}");
    }
    let mismatch = |what, expected, actual| Error::DimensionMismatch {
        what,
        expected,
        actual,
    };
    assert_eq!(
        refused(own(&x.transpose(), &labels[..4])),
        mismatch("rows of the validation samples", 4, 6)
    );
    for labels in [&labels[..5], &[0; 7]] {
        let what = "labels of the validation samples";
        assert_eq!(refused(own(&x, labels)), mismatch(what, 6, labels.len()));
    }
    let what = "validation samples";
    let none = own(&DMatrix::zeros(4, 0), &[]);
    assert_eq!(refused(none), Error::EmptyBatch { what });
    assert_eq!(
        refused(own(&x, &[0, 1, 2, 0, 3, 1])),
        Error::OutOfRange {
            what: "labels of the validation samples",
            requirement: "below the number of classes",
            row: 0,
            column: 4,
            value: 3.0,
        }
    );
}

/// A class may be missing among them, unlike among the samples to learn from.
#[test]
fn they_may_be_of_one_class() {
    let (x, labels) = labeled(12);
    let one = DMatrix::from_columns(&[DVector::from_element(4, 0.5)]);
    let mut classifier = regression(4, 3);
    let mut trainer = adam().validation(one, &[2]);
    let report = trainer.fit(&mut classifier, &x, &labels).unwrap();
    assert_eq!(report.validation_losses.len(), 9);
}
