//! The update of parameters by an optimizer, in parts on several threads.

use super::parallel::{Divide, Threads, divide, split_each};
use super::vectorize;
use crate::Real;

/// Runs `rule(θ, g, states)` on parts that belong together of all the slices, on whichever threads
/// are free. The rule must treat every entry on its own, and is compiled for the vectors of this
/// machine: see [`vectorize`].
pub(crate) fn update<T: Real, const N: usize>(
    theta: &mut [T],
    gradient: &[T],
    states: [&mut [T]; N],
    threads: Threads,
    rule: impl Fn(&mut [T], &[T], [&mut [T]; N]) + Sync,
) {
    let depth = threads.depth_for(theta.len());
    let whole = Part {
        theta,
        gradient,
        states,
    };
    divide(whole, depth, &|part: Part<'_, T, N>| {
        vectorize(
            #[inline(always)]
            || rule(part.theta, part.gradient, part.states),
        );
    });
}

struct Part<'a, T, const N: usize> {
    theta: &'a mut [T],
    gradient: &'a [T],
    states: [&'a mut [T]; N],
}

impl<T: Real, const N: usize> Divide for Part<'_, T, N> {
    fn halves(self) -> Result<(Self, Self), Self> {
        // At whole cache lines, as far as the slices begin at one.
        let half = (self.theta.len() / 2).next_multiple_of(64);
        if half >= self.theta.len() {
            return Err(self);
        }
        let (theta, theta_rest) = self.theta.split_at_mut(half);
        let (gradient, gradient_rest) = self.gradient.split_at(half);
        let (states, state_rests) = split_each(self.states, half);
        Ok((
            Self {
                theta,
                gradient,
                states,
            },
            Self {
                theta: theta_rest,
                gradient: gradient_rest,
                states: state_rests,
            },
        ))
    }
}
