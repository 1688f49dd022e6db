//! Passes over several vectors of one length, in parts on several threads.

use super::parallel::{Divide, Threads, divide, split_each};
use super::vectorize;
use crate::Real;

/// Runs `rule(theta, gradient, states)` on the same part of all slices, on any number of threads.
///
/// The rule must treat every entry on its own. It is compiled for the vectors of this machine: see
/// [`vectorize`].
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
        // Cut at whole cache lines, if the slices start at one.
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
