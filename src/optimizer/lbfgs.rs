mod history;
mod line_search;
mod vector;

use self::history::History;
use self::line_search::{Trial, strong_wolfe};
use self::vector::{dot, largest_magnitude, move_along, sum_of_magnitudes};
use super::optimizer_description::{Description, default};
use super::{Objective, Optimizer, State, Step};
use crate::Real;
use crate::error::{Error, require, require_at_least_0};

/// Limited-memory BFGS with a strong-Wolfe line search, for full batches.
///
/// ```text
/// θ ← θ − α H g,     φ(α) = J(θ − α H g)
/// φ(α) ≤ φ(0) + 10⁻⁴ α φ′(0),     |φ′(α)| ≤ 0.9 |φ′(0)|
/// ```
///
/// `g = ∂J/∂θ`, and `H` approximates the inverse Hessian from the last changes of θ and g, starting
/// from `γI` with `γ = sᵀy / yᵀy`. The line search tries α = 1 first, except in the first step, which
/// tries `min(1, 1/‖g‖₁)`. The loss never increases. The algorithms are 7.4 and 7.5 of Nocedal &
/// Wright (2006), and 3.5 and 3.6 for the line search.
///
/// **The objective must stay the same from step to step.** The loss and gradient of the accepted point
/// are reused, so that a typical step evaluates the objective once. Call
/// [`reset`](Optimizer::reset) after changing the batch or the weight of a term. Changes of θ
/// between steps are detected.
///
/// A step converges when
///
/// ```text
/// ‖g‖∞ ≤ tolerance     or     Jₖ − Jₖ₊₁ ≤ relative_change · |Jₖ|
/// ```
///
/// or when neither the quasi-Newton direction nor steepest descent decreases J.
///
/// | Setting | Default | Range | Meaning |
/// |---|---|---|---|
/// | [`history`](Self::history) | 10 | 1 to 1000 | pairs of changes kept for `H` |
/// | [`tolerance`](Self::tolerance) | 1e-5 | ≥ 0 | largest gradient element of an optimum |
/// | [`relative_change`](Self::relative_change) | 1e-9, for `f32` its epsilon | ≥ 0 | relative decrease below which a step converges |
///
/// ```
/// use sparse_autoencoder::{Lbfgs, Optimizer};
///
/// let mut lbfgs = Lbfgs::new().history(5)?.tolerance(1e-10)?;
/// let mut theta = [-1.2_f64, 1.0];
/// let mut rosenbrock = |x: &[f64], gradient: &mut [f64]| {
///     let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
///     gradient[0] = -2.0 * a - 400.0 * x[0] * b;
///     gradient[1] = 200.0 * b;
///     a * a + 100.0 * b * b
/// };
/// while !lbfgs.step(&mut theta, &mut rosenbrock).converged {}
/// assert!((theta[0] - 1.0).abs() < 1e-8 && (theta[1] - 1.0).abs() < 1e-8);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Lbfgs<T> {
    tolerance: f64,
    relative_change: f64,
    history: History<T>,
    /// The accepted point with its loss and gradient; `loss` is `None` before the first evaluation.
    point: Vec<T>,
    loss: Option<T>,
    gradient: Vec<T>,
    direction: Vec<T>,
    trial_gradient: Vec<T>,
}

impl<T: Real> Lbfgs<T> {
    /// Creates L-BFGS with the default settings.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tolerance: default::tolerance(),
            // A smaller change may be rounding alone.
            relative_change: T::default_epsilon().to_f64().max(1e-9),
            history: History::new(default::history()),
            point: Vec::new(),
            loss: None,
            gradient: Vec::new(),
            direction: Vec::new(),
            trial_gradient: Vec::new(),
        }
    }

    /// Sets the number of pairs of changes that are kept, usually 3 to 20.
    ///
    /// Each pair takes two vectors of the length of θ.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] unless `history` lies in 1 to 1000.
    pub fn history(self, history: usize) -> Result<Self, Error> {
        require(
            (1..=1000).contains(&history),
            "history",
            "in 1 to 1000",
            f64::of_count(history),
        )?;
        Ok(Self {
            history: History::new(history),
            // Forces a reset, which allocates the new history.
            gradient: Vec::new(),
            loss: None,
            ..self
        })
    }

    /// Sets the largest gradient element at which θ counts as optimal.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] unless `tolerance` is finite and ≥ 0.
    pub fn tolerance(self, tolerance: f64) -> Result<Self, Error> {
        require_at_least_0::<f64>("tolerance", tolerance)?;
        Ok(Self { tolerance, ..self })
    }

    /// Sets the decrease, relative to the loss, at or below which a step converges.
    ///
    /// With 0 only a step that leaves the loss unchanged converges.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] unless `relative_change` is finite and ≥ 0.
    pub fn relative_change(self, relative_change: f64) -> Result<Self, Error> {
        require_at_least_0::<f64>("relative_change", relative_change)?;
        Ok(Self {
            relative_change,
            ..self
        })
    }

    fn is_optimal(&self) -> bool {
        largest_magnitude(&self.gradient) <= self.tolerance
    }

    /// Searches from the accepted point along the quasi-Newton direction.
    ///
    /// On success `theta` holds the new point and `trial_gradient` its gradient. Returns its loss.
    fn search(&mut self, loss: T, theta: &mut [T], objective: &mut Objective<'_, T>) -> Option<T> {
        let (point, direction) = (&self.point, &mut self.direction);
        self.history.direction(&self.gradient, direction);
        let start = Trial {
            step: 0.0,
            value: loss.to_f64(),
            slope: dot(&self.gradient, direction),
        };
        // Without curvature the length of the gradient says nothing about the scale of θ.
        let first_step = if self.history.is_empty() {
            (1.0 / sum_of_magnitudes(&self.gradient)).min(1.0)
        } else {
            1.0
        };
        let rounding = T::default_epsilon().to_f64() * start.value.abs();
        let found = strong_wolfe(start, first_step, rounding, &mut |step| {
            move_along(theta, point, step, direction);
            let value = objective(theta, &mut self.trial_gradient).to_f64();
            let slope = dot(&self.trial_gradient, direction);
            Trial { step, value, slope }
        })?;
        Some(T::of(found.value))
    }
}

impl<T: Real> Default for Lbfgs<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Real> Optimizer<T> for Lbfgs<T> {
    fn reset(&mut self, len: usize) {
        self.loss = None;
        self.history.reset(len);
        for buffer in [
            &mut self.point,
            &mut self.gradient,
            &mut self.direction,
            &mut self.trial_gradient,
        ] {
            buffer.resize(len, T::zero());
        }
    }

    fn memory(&self, len: usize) -> usize {
        (6 + 2 * self.history.capacity()) * len
    }

    #[inline(never)]
    fn step(&mut self, theta: &mut [T], objective: &mut Objective<'_, T>) -> Step<T> {
        if self.gradient.len() != theta.len() {
            self.reset(theta.len());
        }
        let loss = match self.loss {
            Some(loss) if self.point == theta => loss,
            _ => {
                self.loss = None;
                self.history.clear();
                let loss = objective(theta, &mut self.gradient);
                if !loss.is_finite() {
                    return Step::moved(loss);
                }
                // A gradient that is not finite must not count as convergence.
                if !dot(&self.gradient, &self.gradient).is_finite() {
                    return Step::moved(T::of(f64::NAN));
                }
                self.point.copy_from_slice(theta);
                self.loss = Some(loss);
                loss
            }
        };
        if self.is_optimal() {
            return Step::converged(loss);
        }
        let mut found = self.search(loss, theta, objective);
        if found.is_none() && !self.history.is_empty() {
            self.history.clear();
            found = self.search(loss, theta, objective);
        }
        let Some(new_loss) = found else {
            theta.copy_from_slice(&self.point);
            return Step::converged(loss);
        };
        self.history
            .push((&self.point, &self.gradient), (theta, &self.trial_gradient));
        self.point.copy_from_slice(theta);
        std::mem::swap(&mut self.gradient, &mut self.trial_gradient);
        self.loss = Some(new_loss);
        let change = loss.to_f64() - new_loss.to_f64();
        if self.is_optimal() || change <= self.relative_change * loss.to_f64().abs() {
            Step::converged(new_loss)
        } else {
            Step::moved(new_loss)
        }
    }

    /// Returns the accepted point and the history, or only settings before the first evaluation.
    fn state(&self) -> Result<State<'_, T>, Error> {
        let state = State::new("Lbfgs")
            .setting("history", f64::of_count(self.history.capacity()))
            .setting("tolerance", self.tolerance)
            .setting("relative_change", self.relative_change);
        Ok(match self.loss {
            None => state,
            Some(loss) => self.history.keep(
                state
                    .number("loss", loss.to_f64())
                    .vector("point", &self.point)
                    .vector("gradient", &self.gradient),
            ),
        })
    }

    fn restore(&mut self, len: usize, mut state: State<'_, T>) -> Result<(), Error> {
        if !state.has("loss") {
            self.reset(len);
            return Ok(());
        }
        let loss = T::of(state.take_number("loss")?);
        state.require(loss.is_finite(), "loss", "finite")?;
        let point = state.take_finite("point", len)?;
        let gradient = state.take_finite("gradient", len)?;
        let mut history = History::new(self.history.capacity());
        history.reset(len);
        history.restore(len, &mut state)?;
        self.reset(len);
        self.loss = Some(loss);
        (self.point, self.gradient, self.history) = (point, gradient, history);
        Ok(())
    }

    fn description(&self) -> Description {
        Description::Lbfgs {
            history: self.history.capacity(),
            tolerance: self.tolerance,
            relative_change: Some(self.relative_change),
        }
    }

    /// Returns `true`: a line search compares values of one function.
    fn needs_full_batch(&self) -> bool {
        true
    }
}
