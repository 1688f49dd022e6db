//! Numbers that look random.

use sparse_autoencoder::Real;
use sparse_autoencoder::nalgebra::DMatrix;

/// A matrix of `value` at multiples of the golden ratio modulo 1: entries (i, j) and (i + 17, j − 31) coincide, and no
/// others of some hundred; no unit sits on a kink.
pub(crate) fn fractions<T: Real>(
    rows: usize,
    columns: usize,
    value: impl Fn(f64) -> f64,
) -> DMatrix<T> {
    DMatrix::from_fn(rows, columns, |i, j| {
        let phase = (i * 31 + j * 17 + 1) as f64 * 0.618_033_988_749_895;
        T::of(value(phase.fract()))
    })
}
