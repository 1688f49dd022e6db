//! The engine of every training: an optimizer, settings, random numbers, and a count of steps.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;

use super::TrainerSettings;
use super::epochs::Terms;
use crate::Real;
use crate::error::Error;
use crate::linalg::{self, Threads, reserve};
use crate::optimizer::{Optimizer, Step};

/// The state that every training has, whatever model it trains.
#[derive(Debug)]
pub(crate) struct Engine<T> {
    pub(crate) optimizer: Box<dyn Optimizer<T>>,
    pub(crate) settings: TrainerSettings,
    /// The maximum number of threads. Unset: all of rayon's current pool.
    pub(crate) threads: Option<usize>,
    pub(crate) rng: Xoshiro256PlusPlus,
    /// The number of parameters that the optimizer is prepared for.
    pub(super) prepared: Option<usize>,
    /// Steps since then.
    pub(crate) steps: u64,
}

impl<T: Real> Engine<T> {
    pub(crate) fn new(optimizer: Box<dyn Optimizer<T>>, settings: TrainerSettings) -> Self {
        Self {
            optimizer,
            rng: Xoshiro256PlusPlus::seed_from_u64(settings.seed),
            settings,
            threads: None,
            prepared: None,
            steps: 0,
        }
    }

    /// Returns the random number generator at the start of a fit.
    pub(crate) fn seeded(&self) -> Xoshiro256PlusPlus {
        Xoshiro256PlusPlus::seed_from_u64(self.settings.seed)
    }

    /// Refuses settings outside their ranges, and settings that the optimizer does not support.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.settings.check(&*self.optimizer)
    }

    /// Returns the samples to learn from and those held out, by index.
    pub(crate) fn split(
        &self,
        samples: usize,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<(Vec<usize>, Vec<usize>), Error> {
        let mut order = Vec::new();
        reserve::reserve(&mut order, samples, "number of samples")?;
        order.extend(0..samples);
        let count = self.held_out_of(samples)?;
        if count == 0 {
            return Ok((order, Vec::new()));
        }
        order.shuffle(rng);
        let held_out = order.drain(..count).collect();
        Ok((order, held_out))
    }

    /// Returns the number of samples held out of `samples`.
    pub(super) fn held_out_of(&self, samples: usize) -> Result<usize, Error> {
        let fraction = self.settings.validation_split;
        if fraction <= 0.0 {
            return Ok(0);
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // in 0..=samples
        let count = (fraction * f64::of_count(samples)).round() as usize;
        if count == 0 || count >= samples {
            return Err(Error::Incompatible {
                what: "a validation split",
                other: "so few samples: one side would be empty",
            });
        }
        Ok(count)
    }

    /// Returns the maximum number of samples per step, given `samples` in all.
    pub(crate) fn batch_size_of(&self, samples: usize) -> Result<usize, Error> {
        self.settings.batch_size_of(samples, &*self.optimizer)
    }

    /// Refuses a schedule for an optimizer without a learning rate. Sets the factor to 1.
    pub(crate) fn check_schedule(&mut self) -> Result<(), Error> {
        match self.settings.schedule {
            Some(_) => self.optimizer.scale_learning_rate(T::one()),
            None => Ok(()),
        }
    }

    /// Returns the fraction of the [steps](TrainerSettings::stream_steps) that are taken, if their number is set.
    pub(super) fn fraction_of_steps(&self) -> Option<f64> {
        let steps = self.settings.stream_steps?;
        Some((self.steps as f64 / f64::of_count(steps)).min(1.0))
    }

    /// Scales the learning rate by the schedule after this fraction of the training.
    pub(crate) fn follow_schedule(&mut self, fraction: f64) -> Result<(), Error> {
        self.settings.schedule.map_or(Ok(()), |schedule| {
            let factor = T::of(schedule.factor(fraction));
            self.optimizer.scale_learning_rate(factor)
        })
    }

    /// Resets the optimizer for a model with `parameters` parameters. It trains the first `learned`.
    pub(crate) fn prepare(&mut self, parameters: usize, learned: usize) {
        self.optimizer.reset(learned);
        self.prepared = Some(parameters);
        self.steps = 0;
    }

    /// Takes one step of the optimizer from `theta`. Returns the loss, and whether it has converged.
    pub(crate) fn optimize<L: Terms<T>>(
        &mut self,
        theta: &mut [T],
        threads: Threads,
        mut evaluate: impl FnMut(&[T], Option<&mut [T]>) -> L + Send,
    ) -> Result<(L, bool), Error> {
        let Self {
            optimizer,
            settings,
            ..
        } = self;
        let clip = settings.clip_gradient.map(T::of);
        // A line search evaluates several points and accepts one of the last two.
        let mut evaluated: [Option<(T, L)>; 2] = [None, None];
        optimizer.limit_threads(threads.count());
        let step = threads.enter(|| {
            optimizer.step(theta, &mut |theta, gradient| {
                let loss = evaluate(theta, Some(&mut *gradient));
                let total = if bound(gradient, clip, threads) {
                    loss.total()
                } else {
                    T::of(f64::NAN)
                };
                evaluated = [Some((total, loss)), evaluated[0]];
                total
            })
        });
        let Step {
            loss, converged, ..
        } = step;
        if !loss.is_finite() {
            let loss = evaluated[0].map_or(loss, |(_, terms)| terms.total());
            return Err(Error::Diverged {
                step: self.steps + 1,
                loss: loss.to_f64(),
            });
        }
        self.steps += 1;
        let mut known = evaluated.into_iter().flatten();
        let accepted = known.find(|(total, _)| *total == loss);
        // L-BFGS returns the loss of an earlier step at an optimum, and where no search finds a smaller one.
        let terms = accepted.map_or_else(|| evaluate(theta, None), |(_, terms)| terms);
        Ok((terms, converged))
    }
}

/// Shrinks `gradient` to a norm of at most `clip`. Returns `false` if it is not finite.
fn bound<T: Real>(gradient: &mut [T], clip: Option<T>, threads: Threads) -> bool {
    let norm = linalg::norm_squared(gradient, threads).sqrt();
    // The square of a large finite entry may overflow. The entries are checked only then.
    if !norm.is_finite() && !linalg::all_finite(gradient) {
        return false;
    }
    if let Some(clip) = clip
        && norm > clip
    {
        let mut norm = norm;
        if !norm.is_finite() {
            let largest = gradient.iter().fold(T::zero(), |m, g| m.max(g.abs()));
            gradient.iter_mut().for_each(|g| *g /= largest);
            norm = linalg::norm_squared(gradient, threads).sqrt();
        }
        let factor = clip / norm;
        gradient.iter_mut().for_each(|g| *g *= factor);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{Threads, bound};

    fn bounded(gradient: &[f64], clip: Option<f64>) -> Option<Vec<f64>> {
        let mut gradient = gradient.to_vec();
        bound(&mut gradient, clip, Threads::at_most(1)).then_some(gradient)
    }

    /// Of norm 5, in numbers whose quotients are exact.
    #[test]
    fn a_gradient_keeps_its_direction_and_at_most_the_norm_of_the_clip() {
        let gradient = [3.0, 0.0, -4.0];
        for clip in [None, Some(5.0), Some(5.5), Some(1e9)] {
            assert_eq!(bounded(&gradient, clip).unwrap(), gradient, "{clip:?}");
        }
        assert_eq!(bounded(&gradient, Some(2.5)).unwrap(), [1.5, 0.0, -2.0]);
        assert_eq!(bounded(&gradient, Some(0.625)).unwrap(), [0.375, 0.0, -0.5]);
        // A norm that overflows, and one that is 0.
        let large = bounded(&[3e200, 0.0, -4e200], Some(2.5)).unwrap();
        let mut close = large.iter().zip([1.5, 0.0, -2.0]);
        assert!(close.all(|(a, b)| (a - b).abs() < 1e-15), "{large:?}");
        assert_eq!(bounded(&[0.0; 3], Some(2.5)).unwrap(), [0.0; 3]);
        for bad in [f64::NAN, f64::INFINITY] {
            assert_eq!(bounded(&[1.0, bad], Some(2.5)), None);
            assert_eq!(bounded(&[1.0, bad], None), None);
        }
    }
}
