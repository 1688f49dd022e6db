//! Everything that must be equal in all processes for them to take the same steps.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::optimizer::Entry;
use crate::training::{Trainer, TrainerSettings};
use crate::{Real, SparseAutoencoder};

/// Hashes model, settings, position, and the state of optimizer and counters.
///
/// Samples may differ, and so may the random numbers that choose and corrupt them.
pub(in crate::training) fn fingerprint<T: Real>(
    trainer: &Trainer<T>,
    model: &SparseAutoencoder<T>,
    batches: usize,
) -> u64 {
    let engine = &trainer.engine;
    let mut hasher = DefaultHasher::new();
    let mut tell = |text: String, numbers: &[T]| {
        text.hash(&mut hasher);
        hash_numbers(numbers, &mut hasher);
    };
    let penalties = &model.objective().penalties;
    let objective = (model.settings().without_start(), penalties);
    tell(format!("{objective:?}"), model.parameters().as_slice());
    let settings = TrainerSettings {
        batch_size: None,
        seed: 0,
        validation_split: f64::from(u8::from(engine.settings.validation_split > 0.0)),
        corruption: None,
        ..engine.settings.clone()
    };
    let validates = trainer.validation.is_some();
    tell(
        format!("{settings:?} {validates} {batches} {}", engine.steps),
        &[],
    );
    let (controller, idle) = (&trainer.state.controller, trainer.state.idle.samples());
    tell(format!("{controller:?} {idle:?}"), &[]);
    if let Some(paused) = &trainer.paused {
        let at = (paused.epochs, paused.done, paused.end);
        let mean = (paused.mean, paused.converged);
        let best = (paused.best.epoch, paused.best.loss);
        tell(format!("{at:?} {mean:?} {best:?}"), &paused.best.theta);
    }
    if let Ok(state) = engine.optimizer.state() {
        tell(format!("{} {:?}", state.optimizer, state.settings), &[]);
        for (name, entry) in &state.entries {
            match entry {
                Entry::Number(number) => tell(format!("{name} {number:?}"), &[]),
                Entry::Vector(values) => tell(name.clone(), values),
            }
        }
    }
    hasher.finish()
}

/// Hashes the bits of numbers.
pub(in crate::training) fn hash_numbers<T: Real>(numbers: &[T], hasher: &mut DefaultHasher) {
    let bits = numbers.iter().map(|number| number.to_f64().to_bits());
    bits.for_each(|bits| bits.hash(hasher));
}
