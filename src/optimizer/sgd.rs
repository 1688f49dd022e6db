use std::ops::Range;

use super::learning_rate::LearningRate;
use super::{Description, Objective, Optimizer, State, Step, saturate};
use crate::Real;
use crate::error::{Error, require};
use crate::linalg::{Aligned, Threads, update};

/// Stochastic gradient descent, with classical or Nesterov momentum.
///
/// ```text
/// plain      θ ← θ − η g
/// momentum   v ← μ v + g,   θ ← θ − η v
/// Nesterov   v ← μ v + g,   θ ← θ − η (g + μ v)
/// ```
///
/// `g = ∂J/∂θ` before the step, and `v` starts at 0. Nesterov momentum has the form of PyTorch: that of
/// Sutskever, Martens, Dahl & Hinton (2013), rewritten so that θ is where the gradient is taken. The
/// learning rate is no factor of `v`, so that a changed rate scales the whole step.
///
/// | Setting | Default | Range | Meaning |
/// |---|---|---|---|
/// | `learning_rate` | required | > 0 | η |
/// | [`momentum`](Self::momentum) | 0 | \[0, 1) | μ, the fraction of the velocity kept per step |
/// | [`nesterov`](Self::nesterov) | off | | Nesterov instead of classical momentum |
///
/// ```
/// use sparse_autoencoder::{Optimizer, Sgd};
///
/// let mut sgd = Sgd::new(0.1)?.momentum(0.9)?.nesterov();
/// let mut theta = [1.0_f64];
/// for _ in 0..200 {
///     sgd.step(&mut theta, &mut |x, gradient| {
///         gradient[0] = 2.0 * x[0];
///         x[0] * x[0]
///     });
/// }
/// assert!(theta[0].abs() < 1e-6);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sgd<T> {
    learning_rate: LearningRate,
    momentum: f64,
    nesterov: bool,
    gradient: Aligned<T>,
    velocity: Aligned<T>,
    threads: Threads,
}

impl<T: Real> Sgd<T> {
    /// Creates plain gradient descent.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] unless `learning_rate` is finite and > 0.
    pub fn new(learning_rate: f64) -> Result<Self, Error> {
        Ok(Self {
            learning_rate: LearningRate::new(learning_rate)?,
            momentum: 0.0,
            nesterov: false,
            gradient: Aligned::new(),
            velocity: Aligned::new(),
            threads: Threads::at_most(1),
        })
    }

    /// Sets μ, the fraction of the velocity kept per step.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] unless `momentum` lies in [0, 1).
    pub fn momentum(self, momentum: f64) -> Result<Self, Error> {
        require(
            (0.0..1.0).contains(&momentum),
            "momentum",
            "in [0, 1)",
            momentum,
        )?;
        Ok(Self { momentum, ..self })
    }

    /// Uses Nesterov instead of classical momentum. Has no effect where the momentum is 0.
    #[must_use]
    pub fn nesterov(self) -> Self {
        Self {
            nesterov: true,
            ..self
        }
    }
}

impl<T: Real> Optimizer<T> for Sgd<T> {
    /// Clears the velocity. The factor of a schedule stays.
    fn reset(&mut self, len: usize) {
        for state in [&mut self.gradient, &mut self.velocity] {
            state.reset(len);
        }
    }

    fn memory(&self, len: usize) -> usize {
        2 * len
    }

    #[inline(never)]
    fn step(&mut self, theta: &mut [T], objective: &mut Objective<'_, T>) -> Step<T> {
        if self.gradient.len() != theta.len() {
            self.reset(theta.len());
        }
        let loss = objective(theta, &mut self.gradient);
        if !loss.is_finite() {
            return Step::moved(loss);
        }
        let rate = saturate(T::of(self.learning_rate.current()));
        let momentum = T::of(self.momentum);
        if self.momentum > 0.0 {
            let nesterov = self.nesterov;
            update(
                theta,
                &self.gradient,
                [&mut self.velocity[..]],
                self.threads,
                #[inline(always)]
                move |theta, gradient, [velocity]| {
                    for ((theta, &g), v) in theta.iter_mut().zip(gradient).zip(velocity) {
                        *v = saturate(momentum.fma(*v, g));
                        let direction = if nesterov {
                            saturate(momentum.fma(*v, g))
                        } else {
                            *v
                        };
                        *theta = saturate(rate.fma(-direction, *theta));
                    }
                },
            );
        } else {
            update(
                theta,
                &self.gradient,
                [],
                self.threads,
                #[inline(always)]
                move |theta, gradient, []| {
                    for (theta, &g) in theta.iter_mut().zip(gradient) {
                        *theta = saturate(rate.fma(-g, *theta));
                    }
                },
            );
        }
        Step::moved(loss)
    }

    fn scale_learning_rate(&mut self, factor: T) -> Result<(), Error> {
        self.learning_rate.scale(factor.to_f64())
    }

    fn learning_rate(&self) -> Option<f64> {
        Some(self.learning_rate.current())
    }

    fn forget(&mut self, parameters: Range<usize>) {
        if let Some(velocity) = self.velocity.get_mut(parameters) {
            velocity.fill(T::zero());
        }
    }

    fn state(&self) -> Result<State<'_, T>, Error> {
        let state = self
            .learning_rate
            .keep(State::new("Sgd"))
            .setting("momentum", self.momentum)
            .setting("nesterov", f64::from(u8::from(self.nesterov)));
        Ok(if self.momentum > 0.0 {
            state.vector("velocity", &self.velocity)
        } else {
            state
        })
    }

    fn restore(&mut self, len: usize, mut state: State<'_, T>) -> Result<(), Error> {
        let learning_rate = self.learning_rate.restored(&mut state)?;
        let velocity = if self.momentum > 0.0 {
            state.take_finite("velocity", len)?
        } else {
            vec![T::zero(); len]
        };
        self.reset(len);
        self.learning_rate = learning_rate;
        self.velocity = velocity.into();
        Ok(())
    }

    fn description(&self) -> Description {
        Description::Sgd {
            learning_rate: self.learning_rate.base(),
            momentum: self.momentum,
            nesterov: self.nesterov,
        }
    }

    fn limit_threads(&mut self, threads: usize) {
        self.threads = Threads::at_most(threads);
    }
}
