//! The inverse Hessian of L-BFGS, stored as the last few changes of θ and the gradient.

use super::super::State;
use super::vector::{add_scaled, dot, scale, subtract};
use crate::{Error, Real};

/// A curvature pair: `s` is the change of θ, `y` the change of the gradient.
#[derive(Debug, Clone)]
struct Pair<T> {
    s: Vec<T>,
    y: Vec<T>,
    /// `ρ = 1 / sᵀy`
    rho: f64,
    /// `γ = sᵀy / yᵀy`, the size of the inverse Hessian along `y`
    gamma: f64,
    /// The coefficient that the first loop passes to the second.
    alpha: f64,
}

/// The last pairs, newest first, and one spare slot to build the next pair in.
///
/// The spare slot keeps the oldest pair when a candidate is rejected.
#[derive(Debug, Clone)]
pub(super) struct History<T> {
    pairs: Vec<Pair<T>>,
    len: usize,
}

impl<T: Real> History<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let slot = Pair {
            s: Vec::new(),
            y: Vec::new(),
            rho: 0.0,
            gamma: 0.0,
            alpha: 0.0,
        };
        Self {
            pairs: vec![slot; capacity + 1],
            len: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the maximum number of pairs.
    pub(super) fn capacity(&self) -> usize {
        self.pairs.len() - 1
    }

    /// Adds the pairs to the state of the optimizer, the newest first.
    pub(super) fn keep<'a>(&'a self, state: State<'a, T>) -> State<'a, T> {
        let pairs = self.pairs[..self.len].iter().enumerate();
        pairs.fold(state, |state, (index, pair)| {
            state
                .vector(&format!("s.{index}"), &pair.s)
                .vector(&format!("y.{index}"), &pair.y)
                .number(&format!("rho.{index}"), pair.rho)
                .number(&format!("gamma.{index}"), pair.gamma)
        })
    }

    /// Restores the pairs of a state, whose vectors have `len` elements.
    pub(super) fn restore(&mut self, len: usize, state: &mut State<'_, T>) -> Result<(), Error> {
        let capacity = self.capacity();
        self.len = 0;
        for (index, pair) in self.pairs[..capacity].iter_mut().enumerate() {
            if !state.has(&format!("s.{index}")) {
                break;
            }
            pair.s = state.take_finite(&format!("s.{index}"), len)?;
            pair.y = state.take_finite(&format!("y.{index}"), len)?;
            pair.rho = state.take_number(&format!("rho.{index}"))?;
            pair.gamma = state.take_number(&format!("gamma.{index}"))?;
            let accepted = pair.rho.is_finite() && pair.gamma.is_finite();
            state.require(accepted, &format!("pair {index}"), "finite")?;
            self.len = index + 1;
        }
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Allocates for vectors of `len` elements.
    pub(super) fn reset(&mut self, len: usize) {
        self.clear();
        for pair in &mut self.pairs {
            pair.s.resize(len, T::zero());
            pair.y.resize(len, T::zero());
        }
    }

    /// Adds the curvature between two points `(θ, ∂J/∂θ)` if it is positive beyond rounding.
    ///
    /// Other curvature would cost the inverse Hessian its positive definiteness.
    pub(super) fn push(&mut self, from: (&[T], &[T]), to: (&[T], &[T])) {
        let Some(pair) = self.pairs.last_mut() else {
            return;
        };
        subtract(&mut pair.s, to.0, from.0);
        subtract(&mut pair.y, to.1, from.1);
        let (sy, ss, yy) = (
            dot(&pair.s, &pair.y),
            dot(&pair.s, &pair.s),
            dot(&pair.y, &pair.y),
        );
        if sy > T::default_epsilon().to_f64() * ss.sqrt() * yy.sqrt() {
            pair.rho = 1.0 / sy;
            pair.gamma = sy / yy;
            self.pairs.rotate_right(1);
            self.len = (self.len + 1).min(self.pairs.len() - 1);
        }
    }

    /// Writes the quasi-Newton direction `−H ∂J/∂θ` to `direction`.
    ///
    /// Runs the two loops of Nocedal & Wright, Algorithm 7.4, on the negative gradient.
    pub(super) fn direction(&mut self, gradient: &[T], direction: &mut [T]) {
        direction.copy_from_slice(gradient);
        scale(direction, -1.0);
        let pairs = self.pairs.get_mut(..self.len).unwrap_or_default();
        for pair in pairs.iter_mut() {
            pair.alpha = pair.rho * dot(&pair.s, direction);
            add_scaled(direction, -pair.alpha, &pair.y);
        }
        if let Some(newest) = pairs.first() {
            scale(direction, newest.gamma);
        }
        for pair in pairs.iter().rev() {
            let beta = pair.rho * dot(&pair.y, direction);
            add_scaled(direction, pair.alpha - beta, &pair.s);
        }
    }
}
