//! Validation samples of the caller's own.

use std::sync::Arc;

use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, AnomalyDetector, Error, L1, Report, SparseAutoencoder, Stack, Trainer,
};

use super::all_reduce::together;
use crate::common::variants::{INPUT, samples, variants};

fn trainer() -> Trainer<f64> {
    Trainer::new(Adam::new(1e-2).unwrap())
        .epochs(12)
        .batch_size(8)
}

fn linear() -> SparseAutoencoder<f64> {
    SparseAutoencoder::builder()
        .layers([INPUT, 9])
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .penalty(L1)
        .penalty_weight(0.01)
        .build()
        .unwrap()
}

/// The validation loss of the last epoch is the loss of the model, and the steps do not see the samples.
#[test]
fn every_variant_is_measured_on_them() {
    let x = samples::<f64>(24);
    for variant in variants() {
        let mut model = variant.builder().build().unwrap();
        let (training, validation) = (x.columns(0, 17).into_owned(), x.columns(17, 7).into_owned());
        let mut alone = model.clone();
        let fit = |trainer: Trainer<f64>, model: &mut SparseAutoencoder<f64>| {
            let trained = trainer.epochs(3).fit(model, &training);
            trained.unwrap()
        };
        let report = fit(trainer().validation(validation.clone()), &mut model);
        let without = fit(trainer(), &mut alone);
        assert_eq!(report.losses, without.losses, "{variant:?}");
        assert_eq!(report.validation_losses.len(), 3);
        assert_eq!(
            report.validation_explained_variance.len(),
            report.explained_variance.len()
        );
        let measured = report.validation_losses[2].total();
        let loss = alone.loss(&validation).unwrap().total();
        assert!(
            (measured - loss).abs() < 1e-9 * loss.abs().max(1.0),
            "{variant:?}: {measured} {loss}"
        );
    }
}

#[test]
fn patience_keeps_the_parameters_that_are_best_on_them() {
    let x = samples::<f64>(40);
    let (training, validation) = (x.columns(0, 6).into_owned(), 3.0 * x.columns(6, 34));
    let mut model = linear();
    let trainer = trainer()
        .epochs(400)
        .patience(5)
        .validation(validation.clone());
    let report = { trainer }.fit(&mut model, &training).unwrap();
    let totals = report.validation_losses.iter().map(|loss| loss.total());
    let least = totals.reduce(f64::min).unwrap();
    assert!(
        report.epochs < 400 && report.best_epoch + 5 == report.epochs,
        "{report:?}"
    );
    let loss = model.loss(&validation).unwrap().total();
    assert!((loss - least).abs() < 1e-12, "{loss} {least}");
}

#[test]
fn what_cannot_be_validation_samples_is_refused() {
    let x = samples::<f64>(24);
    let fails = |trainer: Trainer<f64>| {
        let mut model = linear();
        let before = model.clone();
        let mut trainer = trainer;
        assert!(trainer.memory(&model, &x).is_err());
        let error = trainer.fit(&mut model, &x).unwrap_err();
        assert_eq!(model.parameters(), before.parameters());
        error.to_string()
    };
    let mut broken = x.clone();
    broken[(2, 5)] = f64::NAN;
    let own = |samples| trainer().validation(samples);
    assert!(
        fails(own(broken))
            .starts_with("validation samples must be finite, got NaN at row 2, column 5")
    );
    assert!(fails(own(x.transpose())).contains("validation samples: expected"));
    assert!(fails(own(DMatrix::zeros(INPUT, 0))).contains("validation samples"));
    let both = own(x.clone()).validation_split(0.2);
    assert!(fails(both).contains("leave one of them out"));

    // Calls that scale or encode the samples themselves.
    let refused = |error: Error| assert!(error.to_string().contains("validation_split"), "{error}");
    let layer = |sizes: [usize; 2]| SparseAutoencoder::builder().layers(sizes).build().unwrap();
    let mut stack = Stack::new(vec![layer([INPUT, 9]), layer([9, INPUT])]).unwrap();
    refused(own(x.clone()).fit_stack(&mut stack, &x).unwrap_err());
    refused(own(x.clone()).fit_layer(&mut stack, 1, &x).unwrap_err());
    assert!(own(x.clone()).fit_layer(&mut stack, 0, &x).is_ok());
    let detector = AnomalyDetector::builder(&mut linear()).fit(&mut own(x.clone()), &x);
    refused(detector.unwrap_err());
}

#[test]
fn processes_have_their_own_or_none_has_any() {
    let x = samples::<f64>(24);
    let fit = |some: bool| {
        together(2, |process| {
            let rank = process.rank;
            let mut model = linear();
            let trainer = trainer().all_reduce(Arc::clone(&process));
            let has_some = some || rank == 0;
            let mut trainer = match has_some {
                true => trainer.validation(x.columns(12 + 6 * rank, 6).into_owned()),
                false => trainer,
            };
            trainer.fit(&mut model, x.columns(6 * rank, 6))
        })
    };
    let reports: Vec<Report<f64>> = fit(true).into_iter().map(Result::unwrap).collect();
    assert_eq!(reports[0].validation_losses, reports[1].validation_losses);
    assert_eq!(reports[0].validation_losses.len(), 12);
    assert!(fit(false).iter().all(Result::is_err));
}
