//! Compiles the numerics for `f32` and `f64` in this crate, so that programs only link to them.
//!
//! Usually every crate compiles the generic functions that it calls. A function marked `#[inline(never)]` is
//! linked instead, if its own crate has compiled it for the same types. The functions below reach all numerics,
//! and are generic only in the scalar. They cut the build of a program that trains to a twentieth.

use std::hint::black_box;

use crate::objective::Pass;
use crate::optimizer::Optimizer;
use crate::penalty::Penalty;
use crate::{
    Adam, KlDivergence, L0, L1, Lbfgs, Proportion, Sgd, SparseAutoencoder,
    SparseAutoencoderBuilder, SquaredDeviation, TargetL0, Trainer, validate,
};

/// A scalar for which this crate compiles the functions below.
pub trait Compiled {
    /// Names the functions. Never called.
    #[doc(hidden)]
    fn compiled();
}

macro_rules! compiled {
    ($($float:ident),*) => {$(
        impl Compiled for $float {
            #[inline(never)]
            fn compiled() {
                black_box([
                    SparseAutoencoderBuilder::<$float>::build as *const (),
                    Trainer::<$float>::fit_observed as *const (),
                    Trainer::<$float>::fit_batch as *const (),
                    SparseAutoencoder::<$float>::evaluate as *const (),
                    Pass::<$float>::encode_into as *const (),
                    Pass::<$float>::decode_into as *const (),
                    Pass::<$float>::encode_sparse as *const (),
                    Pass::<$float>::decode_sparse as *const (),
                    validate::check_batch_on::<$float> as *const (),
                    <Adam<$float> as Optimizer<$float>>::step as *const (),
                    <Sgd<$float> as Optimizer<$float>>::step as *const (),
                    <Lbfgs<$float> as Optimizer<$float>>::step as *const (),
                    <KlDivergence as Penalty<$float>>::accumulate as *const (),
                    <L0 as Penalty<$float>>::accumulate as *const (),
                    <L1 as Penalty<$float>>::accumulate as *const (),
                    <Proportion as Penalty<$float>>::accumulate as *const (),
                    <SquaredDeviation as Penalty<$float>>::accumulate as *const (),
                    <TargetL0 as Penalty<$float>>::accumulate as *const (),
                ]);
            }
        }
    )*};
}

compiled!(f32, f64);
