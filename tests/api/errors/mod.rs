//! Errors of every kind: the variant, the name, and the unchanged model.

#![allow(clippy::float_cmp)] // a refused value is carried, an untouched one kept: exactly

mod combinations;
mod divergence;
mod parameters;
mod random_settings;
mod samples;
mod settings;
mod training;

use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, Error, Real, SparseAutoencoder, SparseAutoencoderBuilder, Trainer,
};
use std::fmt::Debug;

/// What no setting accepts.
const NEVER: [f64; 3] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

/// Finite as a setting, infinite in `f32`, where a setting must be finite as the model sees it.
const TOO_LARGE_FOR_F32: f64 = 1e300;

fn display(error: &Error, parts: &[&str]) {
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

/// A number is given in full, or, with many digits, by its exponent.
fn display_number(error: &Error, value: f64) {
    let message = error.to_string();
    let texts = [value.to_string(), format!("{value:e}")];
    let mut told = texts.iter().filter(|text| text.len() <= 24);
    assert!(
        told.any(|text| message.contains(text)),
        "{value:e} is not in {message:?}"
    );
}

#[track_caller]
fn assert_invalid<R: Debug>(result: Result<R, Error>, name: &str, requirement: &str, value: f64) {
    let error = result.expect_err(name);
    let Error::InvalidParameter {
        name: actual_name,
        requirement: actual_requirement,
        value: actual_value,
    } = error
    else {
        panic!("{error:?} instead of an invalid {name}");
    };
    assert_eq!((actual_name, actual_requirement), (name, requirement));
    assert!(
        actual_value == value || actual_value.is_nan() && value.is_nan(),
        "{actual_value} instead of {value}"
    );
    display(&error, &[name, requirement]);
    display_number(&error, value);
}

#[track_caller]
fn assert_mismatch<R: Debug>(result: Result<R, Error>, what: &str, expected: usize, actual: usize) {
    let error = result.expect_err(what);
    let Error::DimensionMismatch {
        what: actual_what,
        expected: actual_expected,
        actual: actual_actual,
    } = error
    else {
        panic!("{error:?} instead of a mismatch of {what}");
    };
    assert_eq!(
        (actual_what, actual_expected, actual_actual),
        (what, expected, actual)
    );
    display(&error, &[what, &expected.to_string(), &actual.to_string()]);
}

#[track_caller]
fn assert_incompatible<R: Debug>(
    result: Result<R, Error>,
    what: &'static str,
    other: &'static str,
) {
    let error = result.expect_err(what);
    assert_eq!(error, Error::Incompatible { what, other });
    display(&error, &[what, other]);
}

#[track_caller]
fn assert_unsupported<R: Debug>(
    result: Result<R, Error>,
    what: &str,
    activation: Activation,
    requirement: &str,
) {
    let error = result.expect_err(what);
    let Error::UnsupportedActivation {
        what: actual_what,
        activation: actual_activation,
        requirement: actual_requirement,
    } = error
    else {
        panic!("{error:?} instead of an unsupported {activation:?}");
    };
    assert_eq!((actual_what, actual_activation), (what, activation));
    assert!(
        actual_requirement.contains(requirement),
        "{actual_requirement}"
    );
    display(&error, &[what, &format!("{activation:?}"), requirement]);
}

#[track_caller]
fn assert_non_finite<R: Debug>(
    result: Result<R, Error>,
    what: &str,
    place: (usize, usize),
    value: f64,
) {
    let error = result.expect_err(what);
    let Error::NonFinite {
        what: actual_what,
        row,
        column,
        value: actual_value,
    } = error
    else {
        panic!("{error:?} instead of a non-finite value of {what}");
    };
    assert_eq!((actual_what, (row, column)), (what, place));
    assert_eq!(actual_value.to_string(), value.to_string());
    let (row, column) = (format!("row {row}"), format!("column {column}"));
    display(&error, &[what, &row, &column]);
    display_number(&error, value);
}

#[track_caller]
fn assert_empty<R: Debug>(result: Result<R, Error>, what: &'static str) {
    let error = result.expect_err(what);
    assert_eq!(error, Error::EmptyBatch { what });
    display(&error, &[what, "none"]);
}

fn bits<T: Real>(model: &SparseAutoencoder<T>) -> Vec<u64> {
    let theta = model.parameters().as_slice().iter();
    theta.map(|theta| theta.to_f64().to_bits()).collect()
}

fn small<T: Real>() -> SparseAutoencoderBuilder<T> {
    SparseAutoencoder::builder().layers([3, 4])
}

fn trainer<T: Real>() -> Trainer<T> {
    Trainer::new(Adam::new(0.1).unwrap()).epochs(2)
}

fn samples<T: Real>(count: usize) -> DMatrix<T> {
    DMatrix::from_fn(3, count, |i, j| T::of(((i + 2 * j) % 5) as f64 / 4.0))
}

#[test]
fn an_error_is_an_error_that_can_be_sent_and_kept() {
    fn is_error<E: std::error::Error + Send + Sync + 'static>() {}
    is_error::<Error>();
}
