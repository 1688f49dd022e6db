//! Refused samples and results.

#![allow(clippy::float_cmp)] // a refused value is carried, an untouched one kept: exactly

use super::*;
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{
    Adam, Error, ReconstructionLoss, SparseAutoencoder, SparseHidden, Trainer, Workspace,
    gradient_check,
};

/// Every method of a model that reads samples, on `samples` and with results of the right shape.
fn every_method_on_samples(
    model: &SparseAutoencoder<f64>,
    samples: &DMatrix<f64>,
) -> Vec<(&'static str, Result<(), Error>)> {
    let (m, ws) = (samples.ncols(), &mut Workspace::new());
    let mut hidden = DMatrix::zeros(4, m);
    let mut input_size = DMatrix::zeros(3, m);
    let mut errors = DVector::zeros(m);
    let mut gradient = vec![0.0; model.layout().len()];
    let unit = |_| ();
    let mut results = vec![
        ("encode", model.encode(samples).map(unit)),
        ("encode_into", model.encode_into(samples, &mut hidden, ws)),
        ("encode_sparse", model.encode_sparse(samples).map(|_| ())),
        (
            "encode_sparse_into",
            model.encode_sparse_into(samples, &mut SparseHidden::new(), ws),
        ),
        ("reconstruct", model.reconstruct(samples).map(unit)),
        (
            "reconstruct_into",
            model.reconstruct_into(samples, &mut input_size, ws),
        ),
        (
            "reconstruction_errors",
            model.reconstruction_errors(samples).map(|_| ()),
        ),
        (
            "reconstruction_errors_into",
            model.reconstruction_errors_into(samples, &mut errors, ws),
        ),
        ("loss", model.loss(samples).map(|_| ())),
        (
            "loss_and_gradient",
            model
                .loss_and_gradient(samples, &mut gradient, ws)
                .map(|_| ()),
        ),
        (
            "gradient_check",
            gradient_check::model(model, samples).map(|_| ()),
        ),
    ];
    let mut trained = model.clone();
    let trainer = || Trainer::new(Adam::new(0.1).unwrap());
    results.push(("fit", trainer().fit(&mut trained, samples).map(|_| ())));
    results.push((
        "partial_fit",
        trainer().partial_fit(&mut trained, samples).map(|_| ()),
    ));
    if results.last().is_some_and(|(_, result)| result.is_err()) {
        assert_eq!(bits(&trained), bits(model));
    }
    results
}

#[test]
fn samples_of_the_wrong_height_are_refused_everywhere() {
    let model = small::<f64>().build().unwrap();
    // The last claims more columns than there is memory for their results.
    for (rows, columns) in [(2, 5), (4, 5), (2, 1), (0, 3), (4, 0), (0, 1 << 62)] {
        let samples = DMatrix::zeros(rows, columns);
        if columns > 5 {
            let rows_of = "rows of the samples";
            assert_mismatch(model.encode(&samples), rows_of, 3, 0);
            assert_mismatch(model.encode_sparse(&samples), rows_of, 3, 0);
            assert_mismatch(model.reconstruct(&samples), rows_of, 3, 0);
            assert_mismatch(model.reconstruction_errors(&samples), rows_of, 3, 0);
            assert_mismatch(model.loss(&samples), rows_of, 3, 0);
            assert_mismatch(
                model.decode(&samples),
                "rows of the hidden activations",
                4,
                0,
            );
            continue;
        }
        for (_, result) in every_method_on_samples(&model, &samples) {
            assert_mismatch(result, "rows of the samples", 3, rows);
        }
    }
}

#[test]
fn no_samples_are_refused_everywhere() {
    let model = small::<f64>().build().unwrap();
    for (_, result) in every_method_on_samples(&model, &DMatrix::zeros(3, 0)) {
        assert_empty(result, "samples");
    }
    assert_empty(model.decode(DMatrix::zeros(4, 0)), "hidden activations");
}

#[test]
fn nan_and_infinity_are_refused_everywhere_with_their_place() {
    let model = small::<f64>().build().unwrap();
    for value in NEVER {
        for (row, column, count) in [(0, 0, 1), (2, 0, 1), (1, 3, 5), (2, 4, 5)] {
            let mut samples = samples::<f64>(count);
            samples[(row, column)] = value;
            for (_, result) in every_method_on_samples(&model, &samples) {
                assert_non_finite(result, "samples", (row, column), value);
            }
        }
        let mut hidden = DMatrix::from_element(4, 5, 0.5);
        hidden[(3, 2)] = value;
        assert_non_finite(model.decode(&hidden), "hidden activations", (3, 2), value);
        let mut decoded = DMatrix::zeros(3, 5);
        let decode = model.decode_into(&hidden, &mut decoded, &mut Workspace::new());
        assert_non_finite(decode, "hidden activations", (3, 2), value);
        let sample = DVector::from_element(4, value);
        assert_non_finite(model.decode(&sample), "hidden activations", (0, 0), value);
    }
}

#[test]
fn good_samples_are_refused_nowhere() {
    // What the tests above would miss: a method that refuses everything.
    let model = small::<f64>().build().unwrap();
    for count in [1, 5] {
        for (name, result) in every_method_on_samples(&model, &samples(count)) {
            assert_eq!(result, Ok(()), "{name}");
        }
    }
}

#[test]
fn hidden_activations_of_the_wrong_height_are_refused() {
    let model = small::<f64>().build().unwrap();
    let rows = "rows of the hidden activations";
    assert_mismatch(model.decode(DMatrix::zeros(3, 2)), rows, 4, 3);
    let mut samples = DMatrix::zeros(3, 2);
    let decode = model.decode_into(DMatrix::zeros(5, 2), &mut samples, &mut Workspace::new());
    assert_mismatch(decode, rows, 4, 5);
    assert_mismatch(model.decode(DVector::zeros(3)), rows, 4, 3);
}

#[test]
fn results_of_the_wrong_shape_are_refused_and_left_alone() {
    let model = small::<f64>().build().unwrap();
    let (x, ws) = (samples::<f64>(5), &mut Workspace::new());
    let h = model.encode(&x).unwrap();
    // One wrong at a time: (rows, columns), expected, actual.
    for (shape, expected, actual) in [
        ((3, 5), 4, 3),
        ((4, 4), 5, 4),
        ((5, 4), 4, 5),
        ((4, 0), 5, 0),
    ] {
        let mut hidden = DMatrix::from_element(shape.0, shape.1, 7.0);
        assert_mismatch(
            model.encode_into(&x, &mut hidden, ws),
            "hidden",
            expected,
            actual,
        );
        assert!(hidden.iter().all(|&value| value == 7.0));
    }
    for (shape, expected, actual) in [((4, 5), 3, 4), ((3, 6), 5, 6), ((5, 3), 3, 5)] {
        let mut input_size = DMatrix::from_element(shape.0, shape.1, 7.0);
        assert_mismatch(
            model.decode_into(&h, &mut input_size, ws),
            "samples",
            expected,
            actual,
        );
        let reconstruct = model.reconstruct_into(&x, &mut input_size, ws);
        assert_mismatch(reconstruct, "reconstructions", expected, actual);
        assert!(input_size.iter().all(|&value| value == 7.0));
    }
    for len in [0, 4, 6] {
        let mut errors = DVector::from_element(len, 7.0);
        let result = model.reconstruction_errors_into(&x, &mut errors, ws);
        assert_mismatch(result, "errors", 5, len);
        assert!(errors.iter().all(|&value| value == 7.0));
    }
    let parameters = model.layout().len();
    for len in [0, parameters - 1, parameters + 1] {
        let mut gradient = vec![7.0; len];
        let result = model.loss_and_gradient(&x, &mut gradient, ws);
        assert_mismatch(result, "gradient", parameters, len);
        assert!(gradient.iter().all(|&value| value == 7.0));
    }
}

#[test]
fn cross_entropy_needs_data_between_0_and_1() {
    let mut model = small::<f64>()
        .reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy)
        .build()
        .unwrap();
    let before = bits(&model);
    for value in [-1e-300, -1.0, 1.0 + f64::EPSILON, 1e300] {
        let mut x = samples::<f64>(5);
        x[(2, 3)] = value;
        let mut gradient = vec![0.0; model.layout().len()];
        let gradient = model.loss_and_gradient(&x, &mut gradient, &mut Workspace::new());
        let mut trainer = Trainer::new(Adam::new(0.1).unwrap());
        for error in [
            model.loss(&x).unwrap_err(),
            gradient.unwrap_err(),
            gradient_check::model(&model, &x).unwrap_err(),
            trainer.fit(&mut model, &x).unwrap_err(),
            trainer.partial_fit(&mut model, &x).unwrap_err(),
        ] {
            let expected = Error::OutOfRange {
                what: "samples for BinaryCrossEntropy",
                requirement: "in [0, 1]",
                row: 2,
                column: 3,
                value,
            };
            assert_eq!(error, expected);
            let place = ["samples for Binary", "in [0, 1]", "row 2", "column 3"];
            display(&error, &place);
            display_number(&error, value);
        }
        // What is no loss takes any data.
        assert!(model.encode(&x).is_ok());
    }
    assert_eq!(bits(&model), before);
    assert!(model.loss(samples(5)).is_ok()); // 0 and 1 are among these
}
