//! What methods take as a matrix, and what they refuse.

use std::sync::Arc;

use sparse_autoencoder::nalgebra::{DMatrix, DVector, Dyn, Matrix3x1, OMatrix, SMatrix, U3};
use sparse_autoencoder::{AsMatrix, Error, SparseAutoencoder, into_rows, view_rows};

fn samples() -> DMatrix<f64> {
    DMatrix::from_fn(3, 6, |i, j| {
        f64::from(u32::try_from(i * 7 + j * 5).unwrap()) / 50.0
    })
}

#[test]
fn every_matrix_is_encoded_without_a_copy() {
    let mut samples = samples();
    let sae = SparseAutoencoder::builder().layers([3, 4]).build().unwrap();
    let hidden = sae.encode(&samples).unwrap();
    fn encoded(sae: &SparseAutoencoder<f64>, samples: impl AsMatrix<f64>) -> DMatrix<f64> {
        sae.encode(samples).unwrap()
    }
    let encode = |count: usize, encoded: DMatrix<f64>| {
        assert_eq!(encoded, hidden.columns(0, count));
    };
    encode(6, encoded(&sae, samples.as_view())); // its type is inferred
    encode(6, encoded(&sae, &samples));
    encode(6, encoded(&sae, samples.as_view_mut()));
    encode(6, encoded(&sae, &mut samples));
    encode(6, encoded(&sae, Box::new(samples.clone())));
    encode(6, encoded(&sae, Arc::new(samples.clone())));
    encode(2, encoded(&sae, samples.columns(0, 2)));
    encode(2, encoded(&sae, &samples.fixed_columns::<2>(0)));
    encode(1, encoded(&sae, &samples.column(0)));
    let one: DVector<f64> = samples.column(0).into_owned();
    encode(1, encoded(&sae, &one));
    encode(1, encoded(&sae, one));
    let one = Matrix3x1::from_column_slice(samples.column(0).as_slice());
    encode(1, encoded(&sae, one));
    let two = SMatrix::<f64, 3, 2>::from_column_slice(&samples.as_slice()[..6]);
    encode(2, encoded(&sae, two));
    let all = OMatrix::<f64, U3, Dyn>::from_column_slice(samples.as_slice());
    encode(6, encoded(&sae, &all));
    encode(6, encoded(&sae, all));
    let tall = samples.clone().insert_row(3, 9.0);
    encode(6, encoded(&sae, tall.rows(0, 3)));
    encode(6, encoded(&sae, view_rows(samples.as_slice(), 3).unwrap()));
    encode(6, encoded(&sae, samples));
}

#[test]
fn the_scalar_of_a_model_is_inferred_from_what_it_encodes() {
    let sae = SparseAutoencoder::builder().layers([3, 4]).build().unwrap();
    assert_eq!(sae.encode(samples()).unwrap().shape(), (4, 6));
}

#[test]
fn columns_with_gaps_are_refused() {
    let samples = samples();
    let sae = SparseAutoencoder::builder().layers([2, 4]).build().unwrap();
    let gaps = samples.rows_with_step(0, 2, 1);
    let error = sae.encode(&gaps).unwrap_err();
    assert!(matches!(error, Error::NotContiguous { .. }));
    assert_eq!(
        error.to_string(),
        "the columns of a matrix must be contiguous in memory: pass `&matrix.clone_owned()`"
    );
    assert!(sae.encode(gaps.clone_owned()).is_ok());
}

#[test]
fn row_major_buffers_go_in_and_out_without_a_copy() {
    let buffer: Vec<f32> = (0..12_u8).map(f32::from).collect();
    let matrix = view_rows(&buffer, 4).unwrap();
    assert_eq!(matrix, DMatrix::from_row_slice(3, 4, &buffer).transpose());
    assert_eq!(matrix.as_ptr(), buffer.as_ptr());
    let owned = matrix.into_owned();
    let place = owned.as_ptr();
    let rows = into_rows(owned);
    assert_eq!((rows.as_ptr(), &rows), (place, &buffer));
    assert_eq!(view_rows::<f32>(&[], 4).unwrap().shape(), (4, 0));

    let error = view_rows(&buffer, 0).unwrap_err();
    assert_eq!(error.to_string(), "features must be at least 1, got 0");
    let error = view_rows(&buffer, 5).unwrap_err();
    assert_eq!(
        error.to_string(),
        "values in the last row of the row-major buffer: expected 5, got 2"
    );
}
