//! The inner loops: matrix products and elementwise passes. The only place that names the library
//! behind them.

mod aligned;
mod blocks;
mod codes;
mod collect;
mod combine;
mod compressed;
mod copy;
mod decay;
mod dot;
mod elementwise;
mod finite;
mod gated;
mod jump;
mod largest;
mod matrix_vector;
mod norm;
mod over_batch;
mod packed;
mod panels;
mod product;
mod scalar;
mod scratch;
mod select;
mod threads;
mod tile;
mod transpose;
mod unit_gradients;
mod update;

pub(crate) use aligned::Aligned;
pub(crate) use codes::Codes;
pub(crate) use compressed::Compressed;
pub(crate) use decay::{decay, norm_squared};
pub(crate) use elementwise::{
    activate, add_products, add_scaled, backpropagate, distance_squared, divide_by, multiply,
    residual, subtract, sum,
};
pub(crate) use finite::{all_finite, all_finite_columns};
pub(crate) use gated::{backpropagate_gated, open_gates, pass_gates};
pub(crate) use jump::{Jump, activate_above, backpropagate_jump, near_below, positive};
pub(crate) use largest::{Largest, keep_largest};
pub(crate) use norm::{norm, normalize, project_out};
pub(crate) use over_batch::{keep_largest_of_batch, keep_largest_of_units};
pub(crate) use packed::{Packed, product_by_column};
pub(crate) use product::{Write, product, transpose};
pub(crate) use scalar::Scalar;
pub(crate) use scratch::Scratch;
pub(crate) use threads::{Threads, join};
pub(crate) use unit_gradients::{Passed, UnitGradients, UnitOperands};
pub(crate) use update::update;

/// Runs a loop compiled for the widest vectors of this machine, chosen at run time.
///
/// `loop_body` and all it calls must be inlined to be compiled for them, and should fuse its
/// multiplications and additions with [`Scalar::fma`]. Mark the closure itself `#[inline(always)]`:
/// one that is not inlined runs as baseline code, with a library call for every multiply-add.
#[inline(always)]
pub(crate) fn vectorize<R>(loop_body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(loop_body)
}

/// Runs a task on emulated vectors of so many bits, or on those of this machine: the vectors of other
/// machines can be tested too.
#[cfg(test)]
fn run_on<W: pulp::WithSimd>(bits: Option<u32>, task: W) -> W::Output {
    match bits {
        None => pulp::Arch::new().dispatch(task),
        Some(128) => task.with_simd(pulp::Scalar128b),
        Some(256) => task.with_simd(pulp::Scalar256b),
        Some(512) => task.with_simd(pulp::Scalar512b),
        Some(other) => panic!("no vectors of {other} bits are emulated"),
    }
}
