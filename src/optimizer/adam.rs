use std::ops::Range;

use super::learning_rate::LearningRate;
use super::optimizer_description::{Description, default};
use super::{Objective, Optimizer, State, Step, saturate};
use crate::Real;
use crate::error::{Error, require, require_above_0, require_at_least_0};
use crate::linalg::{Aligned, Threads, update};

/// Adam, or `AdamW` with a weight decay.
///
/// ```text
/// m ← β₁ m + (1 − β₁) g         m̂ = m / (1 − β₁ᵗ)
/// v ← β₂ v + (1 − β₂) g²        v̂ = v / (1 − β₂ᵗ)
/// θ ← θ − η m̂ / (√v̂ + ε) − η w θ
/// ```
///
/// `g = ∂J/∂θ`; all operations are elementwise; `m` and `v` start at 0; `t` counts steps from 1. With
/// `w = 0` this is Algorithm 1 of Kingma & Ba (2015). The decoupled decay `w` follows Loshchilov &
/// Hutter (2019), scaled by the learning rate as in PyTorch.
///
/// | Setting | Default | Range | Meaning |
/// |---|---|---|---|
/// | `learning_rate` | required | > 0 | η, about the largest change of a parameter per step |
/// | [`betas`](Self::betas) | 0.9, 0.999 | \[0, 1) | β₁, β₂: the fractions of the moments kept per step |
/// | [`epsilon`](Self::epsilon) | 1e-8 | > 0 | ε, prevents division by 0 |
/// | [`weight_decay`](Self::weight_decay) | 0 | ≥ 0 | w, decays every parameter including biases |
///
/// ```
/// use sparse_autoencoder::{Adam, Optimizer};
///
/// let mut adam = Adam::new(0.05)?.betas(0.9, 0.99)?.epsilon(1e-10)?;
/// let mut theta = [1.0_f64];
/// for _ in 0..500 {
///     adam.step(&mut theta, &mut |x, gradient| {
///         gradient[0] = 2.0 * x[0];
///         x[0] * x[0]
///     });
/// }
/// assert!(theta[0].abs() < 1e-6);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Adam<T> {
    learning_rate: LearningRate,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    weight_decay: f64,
    /// β₁ᵗ and β₂ᵗ
    beta1_power: f64,
    beta2_power: f64,
    gradient: Aligned<T>,
    first_moment: Aligned<T>,
    second_moment: Aligned<T>,
    threads: Threads,
}

impl<T: Real> Adam<T> {
    /// Creates Adam with the β and ε of the paper and no weight decay.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] unless `learning_rate` is finite and > 0.
    pub fn new(learning_rate: f64) -> Result<Self, Error> {
        Ok(Self {
            learning_rate: LearningRate::new(learning_rate)?,
            beta1: default::beta1(),
            beta2: default::beta2(),
            epsilon: default::epsilon(),
            weight_decay: 0.0,
            beta1_power: 1.0,
            beta2_power: 1.0,
            gradient: Aligned::new(),
            first_moment: Aligned::new(),
            second_moment: Aligned::new(),
            threads: Threads::at_most(1),
        })
    }

    /// Sets β₁ and β₂, the fractions of the first and second moments kept per step.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] unless both lie in [0, 1).
    pub fn betas(self, beta1: f64, beta2: f64) -> Result<Self, Error> {
        require((0.0..1.0).contains(&beta1), "beta1", "in [0, 1)", beta1)?;
        require((0.0..1.0).contains(&beta2), "beta2", "in [0, 1)", beta2)?;
        Ok(Self {
            beta1,
            beta2,
            ..self
        })
    }

    /// Sets ε, which prevents division by 0 where the gradient vanishes.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] unless `epsilon` is finite and > 0.
    pub fn epsilon(self, epsilon: f64) -> Result<Self, Error> {
        require_above_0::<f64>("epsilon", epsilon)?;
        Ok(Self { epsilon, ..self })
    }

    /// Sets w, the decoupled weight decay of `AdamW`.
    ///
    /// It shrinks every parameter, including biases, and is not part of the objective. By contrast,
    /// Adam rescales the gradient of a model's own weight decay, λ/2 Σ‖W‖², like any other gradient.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] unless `weight_decay` is finite and ≥ 0.
    pub fn weight_decay(self, weight_decay: f64) -> Result<Self, Error> {
        require_at_least_0::<f64>("weight_decay", weight_decay)?;
        Ok(Self {
            weight_decay,
            ..self
        })
    }
}

impl<T: Real> Optimizer<T> for Adam<T> {
    /// Clears the moments and the step count. The factor of a schedule stays.
    fn reset(&mut self, len: usize) {
        self.beta1_power = 1.0;
        self.beta2_power = 1.0;
        for state in [
            &mut self.gradient,
            &mut self.first_moment,
            &mut self.second_moment,
        ] {
            state.reset(len);
        }
    }

    fn memory(&self, len: usize) -> usize {
        3 * len
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
        self.beta1_power *= self.beta1;
        self.beta2_power *= self.beta2;

        // η m̂ / (√v̂ + ε) = η c₂/c₁ · m / (√v + ε c₂) with c₁ = 1 − β₁ᵗ and c₂ = √(1 − β₂ᵗ): two
        // corrections per step, in f64, instead of two divisions per element.
        let learning_rate = self.learning_rate.current();
        let correction2 = (1.0 - self.beta2_power).sqrt();
        let rate: T = saturate(T::of(
            learning_rate * (correction2 / (1.0 - self.beta1_power)),
        ));
        let kept: T = saturate(T::of(1.0 - learning_rate * self.weight_decay));
        // An ε that underflows in `T` would lead to 0/0.
        let smallest = T::from_magnitude_bits(1);
        let epsilon: T = saturate(T::of(self.epsilon * correction2));
        let epsilon = if epsilon > smallest {
            epsilon
        } else {
            smallest
        };
        let (beta1, gain1) = (T::of(self.beta1), T::of(1.0 - self.beta1));
        let (beta2, gain2) = (T::of(self.beta2), T::of(1.0 - self.beta2));

        let moments = [&mut self.first_moment[..], &mut self.second_moment[..]];
        update(
            theta,
            &self.gradient,
            moments,
            self.threads,
            #[inline(always)]
            move |theta, gradient, [m, v]| {
                for ((theta, &g), (m, v)) in theta.iter_mut().zip(gradient).zip(m.iter_mut().zip(v))
                {
                    *m = saturate(beta1.fma(*m, gain1 * g));
                    *v = saturate(beta2.fma(*v, gain2 * g * g));
                    // In this order a rate of 0 gives 0, even if m/(√v + ε) would overflow.
                    let change = rate * *m / (v.sqrt() + epsilon);
                    *theta = saturate(theta.fma(kept, -change));
                }
            },
        );
        Step::moved(loss)
    }

    fn scale_learning_rate(&mut self, factor: T) -> Result<(), Error> {
        self.learning_rate.scale(factor.to_f64())
    }

    fn learning_rate(&self) -> Option<f64> {
        Some(self.learning_rate.current())
    }

    fn forget(&mut self, parameters: Range<usize>) {
        for moment in [&mut self.first_moment, &mut self.second_moment] {
            if let Some(moment) = moment.get_mut(parameters.clone()) {
                moment.fill(T::zero());
            }
        }
    }

    fn state(&self) -> Result<State<'_, T>, Error> {
        Ok(self
            .learning_rate
            .keep(State::new("Adam"))
            .setting("beta1", self.beta1)
            .setting("beta2", self.beta2)
            .setting("epsilon", self.epsilon)
            .setting("weight_decay", self.weight_decay)
            .number("beta1_power", self.beta1_power)
            .number("beta2_power", self.beta2_power)
            .vector("first_moment", &self.first_moment)
            .vector("second_moment", &self.second_moment))
    }

    fn restore(&mut self, len: usize, mut state: State<'_, T>) -> Result<(), Error> {
        let learning_rate = self.learning_rate.restored(&mut state)?;
        let mut power = |name| -> Result<f64, Error> {
            let power = state.take_number(name)?;
            let accepted = (0.0..=1.0).contains(&power);
            state.require(accepted, name, "in [0, 1]")?;
            Ok(power)
        };
        let (beta1_power, beta2_power) = (power("beta1_power")?, power("beta2_power")?);
        let first_moment = state.take_finite("first_moment", len)?;
        let second_moment = state.take_finite("second_moment", len)?;
        let accepted = second_moment.iter().all(|&v| v >= T::zero());
        state.require(accepted, "second_moment", ">= 0")?;
        self.reset(len);
        self.learning_rate = learning_rate;
        (self.beta1_power, self.beta2_power) = (beta1_power, beta2_power);
        (self.first_moment, self.second_moment) = (first_moment.into(), second_moment.into());
        Ok(())
    }

    fn description(&self) -> Description {
        Description::Adam {
            learning_rate: self.learning_rate.base(),
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            weight_decay: self.weight_decay,
        }
    }

    fn limit_threads(&mut self, threads: usize) {
        self.threads = Threads::at_most(threads);
    }
}
