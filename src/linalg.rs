//! Dense numerics that know nothing of autoencoders: matrix products, elementwise passes, reductions.
//! The only folder that names the SIMD library.

mod aligned;
mod blocking;
mod column_panels;
mod decay;
mod dot;
mod elementwise;
mod finite;
mod gemm;
mod gemv;
mod math;
mod micro_kernel;
mod norm;
mod packed;
mod packing;
mod parallel;
pub(crate) mod reserve;
mod scratch;
mod transpose;
mod update;
mod weighted_sum;
pub(crate) mod wide;

pub(crate) use aligned::Aligned;
pub(crate) use decay::{decay, norm_squared};
pub(crate) use elementwise::{
    activate, activate_columns, add_column, add_products, add_scaled, backpropagate,
    distance_squared, divide_by, multiply, residual, subtract, sum,
};
pub(crate) use finite::{all_finite, all_finite_columns};
pub(crate) use gemm::{Write, product, transpose};
pub(crate) use math::Scalar;
pub(crate) use norm::{norm, normalize, project_out};
pub(crate) use packed::{Packed, product_by_column};
pub(crate) use parallel::{Divide, Threads, divide, join};
pub(crate) use scratch::Scratch;
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
