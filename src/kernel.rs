//! The inner loops: matrix products and elementwise passes. The only place that names the
//! libraries behind them, and the only one with an unsafe call.

mod product;
mod scalar;

pub(crate) use product::product;
pub use scalar::Scalar;

/// Runs a loop compiled for the widest vectors of this machine, chosen at run time.
///
/// `loop_body` and all it calls must be inlined into it to be compiled for them, and should fuse
/// its multiplications and additions with [`Scalar::fma`].
#[inline(always)]
pub(crate) fn vectorize<R>(loop_body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(loop_body)
}
