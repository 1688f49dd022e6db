//! The learner of classifiers, which takes the steps of the loop over epochs.

use std::ops::ControlFlow;

use nalgebra::{DMatrix, DMatrixView};

use super::{
    ClassifierEpoch, ClassifierEvent, ClassifierLoss, ClassifierReport, ClassifierStep,
    ClassifierWorkspace, SoftmaxClassifier,
};
use crate::data::pairs::refuse_pairs;
use crate::linalg::reserve;
use crate::training::engine::Engine;
use crate::training::epochs::{self, Learner, Taken, Terms};
use crate::training::progress::Progress;
use crate::training::reading::{self, Reader, Upcoming};
use crate::validate::{SAMPLES, check_batch, check_size};
use crate::{Error, Real, Samples};

impl<T: Real> Terms<T> for ClassifierLoss<T> {
    fn zero() -> Self {
        Self {
            cross_entropy: T::zero(),
            weight_decay: T::zero(),
        }
    }

    fn total(&self) -> T {
        self.total()
    }

    fn toward(self, other: Self, share: T) -> Self {
        let toward = |term, other| term + share * (other - term);
        Self {
            cross_entropy: toward(self.cross_entropy, other.cross_entropy),
            weight_decay: toward(self.weight_decay, other.weight_decay),
        }
    }
}

/// Fits `model` to samples and their labels. Measures the validation loss on `validation`, if given.
pub(super) fn fit<T: Real>(
    model: &mut SoftmaxClassifier<T>,
    engine: &mut Engine<T>,
    validation: Option<&(DMatrix<T>, Vec<usize>)>,
    samples: &dyn Samples<T>,
    labels: &[usize],
    sees_steps: bool,
    observer: impl FnMut(&ClassifierEvent<'_, T>) -> Result<ControlFlow<()>, Error>,
) -> Result<ClassifierReport<T>, Error> {
    engine.check()?;
    engine.settings.check_for_classifiers()?;
    check_validation(model, engine, validation)?;
    check_samples(model, engine, samples, labels)?;
    let mut rng = engine.seeded();
    let (order, chosen) = engine.split(samples.count(), &mut rng)?;
    model.check_classes(order.iter().map(|&index| labels[index]))?;
    let batch_size = engine.batch_size_of(order.len())?;
    let batches = order.len().div_ceil(batch_size);
    let mut workspace = ClassifierWorkspace::new();
    if let Some(threads) = engine.threads {
        workspace = workspace.with_threads(threads);
    }
    let threads = workspace.scratch.take_threads();
    let features = model.features();
    let check = |samples: DMatrixView<'_, T>| check_batch(samples, features, SAMPLES);
    let copied = reading::read_held_out(samples, &chosen, threads, &check)?;
    let of_copied: Vec<usize> = chosen.iter().map(|&index| labels[index]).collect();
    let held_out: (DMatrixView<'_, T>, &[usize]) = match validation {
        Some((samples, labels)) => (samples.as_view(), &labels[..]),
        None => (copied.as_view(), &of_copied[..]),
    };
    let together = held_out.0.ncols().max(batch_size);
    let entries = model.network.units().saturating_mul(together);
    reserve::check_room::<T>(entries, "entries of a batch")?;
    engine.check_schedule()?;
    engine.rng = rng;
    let parameters = model.theta().len();
    engine.prepare(parameters, parameters);

    let mut progress = Progress::new(parameters, order, batches);
    progress.reserve(&engine.settings, !held_out.1.is_empty());
    let mut fit = Fit {
        model,
        workspace,
        samples,
        labels,
        reader: Reader::new(),
        batch_labels: Vec::new(),
        held_out,
        sees_steps,
        observer,
    };
    let stop = epochs::run(engine, &mut fit, &mut progress)?;
    Ok(ClassifierReport {
        stop,
        epochs: progress.epochs,
        steps: engine.steps,
        best_epoch: progress.best_epoch,
        losses: progress.history,
        validation_losses: progress.validation,
    })
}

/// Refuses samples and labels to fit to. Values outside memory are checked when they are read.
fn check_samples<T: Real>(
    model: &SoftmaxClassifier<T>,
    engine: &Engine<T>,
    samples: &dyn Samples<T>,
    labels: &[usize],
) -> Result<(), Error> {
    refuse_pairs(samples, "a classifier")?;
    if let Some(samples) = samples.in_memory() {
        return model.check_training(samples, labels);
    }
    let size = (samples.entries(), samples.count());
    check_size(size, model.features(), SAMPLES)?;
    model.check_labels(samples.count(), labels)?;
    if engine.optimizer.needs_full_batch() {
        return Err(Error::Incompatible {
            what: "samples that are not in memory",
            other: "a full-batch optimizer: read them by `Samples::to_matrix`",
        });
    }
    model.check_classes(labels.iter().copied())
}

/// Refuses validation samples of the caller that are no samples of the model, or are not the only ones.
fn check_validation<T: Real>(
    model: &SoftmaxClassifier<T>,
    engine: &Engine<T>,
    validation: Option<&(DMatrix<T>, Vec<usize>)>,
) -> Result<(), Error> {
    let Some((samples, labels)) = validation else {
        return Ok(());
    };
    engine.settings.refuse_split()?;
    let names = ["validation samples", "rows of the validation samples"];
    check_batch(samples.as_view(), model.features(), names)?;
    let checked = model.check_labels(samples.ncols(), labels);
    checked.map_err(|error| error.of_what("labels of the validation samples"))
}

/// The fit of a classifier.
struct Fit<'a, T: Real, O> {
    model: &'a mut SoftmaxClassifier<T>,
    workspace: ClassifierWorkspace<T>,
    samples: &'a dyn Samples<T>,
    labels: &'a [usize],
    reader: Reader<T>,
    batch_labels: Vec<usize>,
    held_out: (DMatrixView<'a, T>, &'a [usize]),
    sees_steps: bool,
    observer: O,
}

impl<T: Real, O> Learner<T> for Fit<'_, T, O>
where
    O: FnMut(&ClassifierEvent<'_, T>) -> Result<ControlFlow<()>, Error>,
{
    type Loss = ClassifierLoss<T>;

    fn step(
        &mut self,
        engine: &mut Engine<T>,
        upcoming: Upcoming<'_>,
        _fraction: f64,
    ) -> Result<Taken<ClassifierLoss<T>>, Error> {
        let workspace = &mut self.workspace;
        let threads = workspace.scratch.take_threads();
        let features = self.model.features();
        let check = |samples: DMatrixView<'_, T>| check_batch(samples, features, SAMPLES);
        let whole = self.samples.in_memory();
        let whole = whole.filter(|_| upcoming.count == self.samples.count());
        let (samples, labels) = if let Some(samples) = whole {
            (samples, self.labels)
        } else {
            let samples = self.reader.read(self.samples, upcoming, threads, &check)?;
            let labels = upcoming.batch().iter().map(|&index| self.labels[index]);
            self.batch_labels.clear();
            self.batch_labels.extend(labels);
            (samples, &*self.batch_labels)
        };
        let (network, theta) = self.model.network_and_theta_mut();
        let threads = threads.worth(theta.len() * samples.ncols());
        let step = engine.optimize(theta, threads, |theta, gradient| {
            network.evaluate(theta, samples, labels, gradient, workspace)
        });
        let (loss, converged) = step?;
        Ok(Taken {
            loss,
            converged,
            samples: upcoming.count,
        })
    }

    fn validate(&mut self) -> Result<Option<ClassifierLoss<T>>, Error> {
        let (samples, labels) = self.held_out;
        if labels.is_empty() {
            return Ok(None);
        }
        let (network, theta) = (&self.model.network, self.model.theta());
        let loss = network.evaluate(theta, samples, labels, None, &mut self.workspace);
        Ok(Some(loss))
    }

    fn observe_step(
        &mut self,
        engine: &Engine<T>,
        progress: &Progress<T, ClassifierLoss<T>>,
        loss: ClassifierLoss<T>,
    ) -> Result<bool, Error> {
        if !self.sees_steps {
            return Ok(false);
        }
        let step = ClassifierEvent::Step(ClassifierStep {
            number: engine.steps,
            of: progress.steps_of(engine.settings.epochs),
            epoch: progress.epochs + 1,
            samples: progress.seen,
            loss,
            learning_rate: engine.optimizer.learning_rate(),
            model: self.model,
        });
        Ok((self.observer)(&step)?.is_break())
    }

    fn observe_epoch(
        &mut self,
        engine: &Engine<T>,
        progress: &Progress<T, ClassifierLoss<T>>,
        validation: Option<ClassifierLoss<T>>,
    ) -> Result<bool, Error> {
        let epoch = ClassifierEvent::Epoch(ClassifierEpoch {
            number: progress.epochs + 1,
            of: engine.settings.epochs,
            steps: engine.steps,
            samples: progress.seen,
            loss: progress.mean,
            validation_loss: validation,
            learning_rate: engine.optimizer.learning_rate(),
            model: self.model,
        });
        Ok((self.observer)(&epoch)?.is_break())
    }

    fn theta(&self) -> &[T] {
        self.model.theta()
    }

    fn theta_mut(&mut self) -> &mut [T] {
        self.model.network_and_theta_mut().1
    }
}
