//! Dense numerics, independent of autoencoders: matrix products, passes over entries, reductions.
//!
//! Every kernel gives the same bits for any number of threads, allocates nothing once its
//! [`Scratch`] has grown, and runs on the widest vectors of the machine. Only this folder uses the SIMD
//! library.
//!
//! | files | contents |
//! |---|---|
//! | [`gemm`](mod@gemm), [`blocking`], [`packing`], [`micro_kernel`] | the matrix product, after Goto & van de Geijn |
//! | [`gemv`], [`packed`] | products with few columns |
//! | [`dot`], [`weighted_sum`], [`transpose`](mod@transpose) | kernels on columns |
//! | [`entries`], [`column_panels`], [`update`](mod@update) | passes over all entries |
//! | [`reduce`], [`decay`](mod@decay), [`norm`](mod@norm), [`wide`] | sums, norms, and sums beyond the range of `f64` |
//! | [`math`] | the operations of a scalar: multiply-add, exponentials, its kernels |
//! | [`parallel`], [`scratch`], [`aligned`], [`reserve`] | threads and memory |

mod aligned;
mod blocking;
mod column_panels;
mod decay;
mod dot;
mod entries;
mod gemm;
mod gemv;
mod math;
mod micro_kernel;
mod norm;
mod packed;
mod packing;
mod parallel;
mod reduce;
pub(crate) mod reserve;
mod scratch;
mod transpose;
mod update;
mod weighted_sum;
pub(crate) mod wide;

pub(crate) use aligned::Aligned;
pub(crate) use blocking::packed_room;
pub(crate) use decay::{decay, norm_squared};
pub(crate) use entries::{
    activate, activate_column, add_column, add_products, axpy, backpropagate, divide_by, multiply,
    residual, subtract,
};
pub(crate) use gemm::{Write, gemm, transpose};
pub(crate) use math::Scalar;
pub(crate) use norm::{norm, normalize, project_out};
pub(crate) use packed::{Packed, gemm_packed};
pub(crate) use parallel::{Divide, Threads, divide, join, split_each};
pub(crate) use reduce::{all_finite, all_finite_columns, distance_squared, sum};
pub(crate) use scratch::Scratch;
pub(crate) use update::update;

/// Runs a loop that is compiled for the widest vectors of this machine.
///
/// The loop must fuse its multiplications and additions with [`Scalar::fma`]. Mark the closure
/// `#[inline(always)]`, and every function that it calls: code that is not inlined is compiled for
/// baseline vectors, with a library call for every multiply-add.
#[inline(always)]
pub(crate) fn vectorize<R>(loop_body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(loop_body)
}

/// Runs a task on emulated vectors of this many bits, or on those of this machine. Tests the vectors of
/// other machines.
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
