//! Random cases to test an invariant with.

#![allow(dead_code, reason = "every test uses a part of its own")]

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

pub(crate) type Rng = Xoshiro256PlusPlus;

/// Tests `count` cases, the same in every run. Prints the case that fails.
pub(crate) fn check<C: Debug>(count: u64, draw: impl Fn(&mut Rng) -> C, mut test: impl FnMut(C)) {
    for seed in 0..count {
        let case = || draw(&mut Rng::seed_from_u64(seed));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(case()))) {
            eprintln!("case {seed} of {count}: {:#?}", case());
            resume_unwind(panic);
        }
    }
}

/// Draws a list whose length is in `lengths`.
pub(crate) fn list<E>(
    rng: &mut Rng,
    lengths: std::ops::Range<usize>,
    mut entry: impl FnMut(&mut Rng) -> E,
) -> Vec<E> {
    let length = rng.random_range(lengths);
    (0..length).map(|_| entry(rng)).collect()
}

/// Draws `Some` half of the time.
pub(crate) fn option<E>(rng: &mut Rng, some: impl FnOnce(&mut Rng) -> E) -> Option<E> {
    rng.random::<bool>().then(|| some(rng))
}

/// Draws one of `choices`.
pub(crate) fn one_of<E: Clone>(rng: &mut Rng, choices: &[E]) -> E {
    choices[rng.random_range(0..choices.len())].clone()
}
