//! The inner loops: matrix products and elementwise passes. The only place that names the
//! libraries behind them, and the only one with an unsafe call.

mod elementwise;
mod largest;
mod panels;
mod product;
mod scalar;

pub(crate) use elementwise::{
    activate, all_finite, backpropagate, decay, distance_squared, norm_squared, residual, sum,
};
pub(crate) use largest::{Largest, keep_largest};
pub(crate) use panels::Partials;
pub(crate) use product::{Threads, Write, product, transpose};
pub(crate) use scalar::Scalar;

/// Runs a loop compiled for the widest vectors of this machine, chosen at run time.
///
/// `loop_body` and all it calls must be inlined into it to be compiled for them, and should fuse
/// its multiplications and additions with [`Scalar::fma`].
#[inline(always)]
pub(crate) fn vectorize<R>(loop_body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(loop_body)
}
