//! The scalar types of the crate.

use crate::compiled::Compiled;
use crate::linalg::Scalar;

/// The scalar of a model: `f32` or `f64`.
///
/// The trait is sealed. Generic code can use all of nalgebra's [`RealField`](nalgebra::RealField)
/// (`abs`, `sqrt`, `ln`, …) and convert literals by [`of`](Self::of):
///
/// ```
/// use sparse_autoencoder::Real;
///
/// fn half<T: Real>(value: T) -> T {
///     T::of(0.5) * value
/// }
/// assert_eq!(half(3.0_f32), 1.5);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a scalar of a model",
    label = "not `f32` or `f64`",
    note = "use `f32` or `f64`; convert other numbers first, such as by `matrix.map(f32::from)`"
)]
pub trait Real: Scalar + Compiled + nalgebra::RealField + Copy {
    /// Returns the scalar nearest to `value`.
    fn of(value: f64) -> Self;

    /// Returns the same number as `f64`, exactly.
    fn to_f64(self) -> f64;

    /// Converts a count to a scalar.
    #[must_use]
    fn of_count(count: usize) -> Self {
        #[allow(clippy::cast_precision_loss)] // counts stay far below 2⁵³
        Self::of(count as f64)
    }
}

impl Real for f32 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        #[allow(clippy::cast_possible_truncation)]
        {
            value as f32
        }
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
}
