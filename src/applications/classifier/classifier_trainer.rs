//! The trainer of classifiers.

use nalgebra::DMatrix;

use super::{ClassifierEpoch, ClassifierEvent, ClassifierReport, SoftmaxClassifier, fitting};
use crate::optimizer::Optimizer;
use crate::training::engine::Engine;
use crate::training::setters::setters_of_every_training;
use crate::training::{TrainerSettings, Verdict};
use crate::{Error, Real, Samples, Schedule};

/// Fits classifiers. Settings mean what they mean for a [`Trainer`](crate::Trainer) of autoencoders, and have the same
/// defaults and ranges.
///
/// ```
/// use sparse_autoencoder::nalgebra::DMatrix;
/// use sparse_autoencoder::{Adam, ClassifierTrainer, SoftmaxClassifier};
///
/// let samples = DMatrix::from_fn(2, 40, |i, j| if (i + j) % 2 == 0 { 1.0 } else { 0.0 });
/// let labels: Vec<usize> = (0..40).map(|j| j % 2).collect();
/// let mut trainer = ClassifierTrainer::new(Adam::new(0.1)?)
///     .epochs(50)
///     .validation_split(0.2)
///     .patience(5);
/// let mut classifier = SoftmaxClassifier::new(2, 2)?;
/// let report = trainer.fit(&mut classifier, &samples, &labels)?;
/// assert_eq!(report.validation_losses.len(), report.epochs);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct ClassifierTrainer<T> {
    engine: Engine<T>,
    /// The samples of [`ClassifierTrainer::validation`], and their labels.
    validation: Option<(DMatrix<T>, Vec<usize>)>,
}

impl<T: Real> ClassifierTrainer<T> {
    /// Creates a trainer with this optimizer.
    pub fn new(optimizer: impl Optimizer<T> + 'static) -> Self {
        Self::with_settings(optimizer, TrainerSettings::default())
    }

    /// Creates a trainer with these settings, such as those of a file. A fit refuses settings that only autoencoders
    /// have.
    pub fn with_settings(
        optimizer: impl Optimizer<T> + 'static,
        settings: TrainerSettings,
    ) -> Self {
        Self {
            engine: Engine::new(Box::new(optimizer), settings),
            validation: None,
        }
    }

    /// Fits all layers of `model` to [`Samples`] and their labels: a matrix or a view, features × samples, a file, or a
    /// source of your own.
    ///
    /// The same samples give the same bits, wherever they are stored. For samples outside memory, a fit holds
    /// one batch, the samples held out, and what it [reads ahead](Samples::reads_ahead).
    ///
    /// [`Lbfgs`](crate::Lbfgs) takes full batches, other optimizers mini-batches of the trainer's batch
    /// size.
    ///
    /// # Errors
    ///
    /// As [`fit_with`](Self::fit_with).
    pub fn fit(
        &mut self,
        model: &mut SoftmaxClassifier<T>,
        samples: impl Samples<T>,
        labels: &[usize],
    ) -> Result<ClassifierReport<T>, Error> {
        self.fit_with(model, samples, labels, |_| ())
    }

    /// Runs [`fit`](Self::fit) with an observer, which sees every [epoch](ClassifierEpoch) and may stop the
    /// training by its [`Verdict`]. Write closures as for [`Trainer::fit_with`](crate::Trainer::fit_with).
    ///
    /// # Errors
    ///
    /// These leave the classifier unchanged:
    ///
    /// - As [`SoftmaxClassifier::loss`], for samples in memory, for those held out, and for
    ///   [validation](Self::validation) samples.
    /// - [`Error::EmptyClass`] for a class without a sample, also where all of its samples are held out.
    /// - [`Error::InvalidParameter`] or [`Error::Incompatible`] for settings of the trainer, as in
    ///   [`Trainer::fit_with`](crate::Trainer::fit_with).
    ///
    /// These leave the last finite parameters, or with [`patience`](Self::patience) those of the
    /// best epoch:
    ///
    /// - [`Error::Diverged`] if a loss or its gradient is not finite.
    /// - I/O errors, and invalid samples found while reading them.
    /// - Errors that the observer returns.
    pub fn fit_with<V: Verdict>(
        &mut self,
        model: &mut SoftmaxClassifier<T>,
        samples: impl Samples<T>,
        labels: &[usize],
        mut observer: impl FnMut(&ClassifierEpoch<'_, T>) -> V,
    ) -> Result<ClassifierReport<T>, Error> {
        let see = |event: &ClassifierEvent<'_, T>| match event {
            ClassifierEvent::Step(_) => ().verdict(),
            ClassifierEvent::Epoch(epoch) => observer(epoch).verdict(),
        };
        let (engine, validation) = (&mut self.engine, self.validation.as_ref());
        fitting::fit(model, engine, validation, &samples, labels, false, see)
    }

    /// Runs [`fit`](Self::fit) with an observer, which sees every [step](super::ClassifierStep) and every
    /// [epoch](ClassifierEpoch), and may stop the training after each by its [`Verdict`].
    ///
    /// A stop acts as in [`Trainer::fit_with_steps`](crate::Trainer::fit_with_steps).
    ///
    /// # Errors
    ///
    /// As [`fit_with`](Self::fit_with).
    pub fn fit_with_steps<V: Verdict>(
        &mut self,
        model: &mut SoftmaxClassifier<T>,
        samples: impl Samples<T>,
        labels: &[usize],
        mut observer: impl FnMut(&ClassifierEvent<'_, T>) -> V,
    ) -> Result<ClassifierReport<T>, Error> {
        let see = |event: &ClassifierEvent<'_, T>| observer(event).verdict();
        let (engine, validation) = (&mut self.engine, self.validation.as_ref());
        fitting::fit(model, engine, validation, &samples, labels, true, see)
    }

    setters_of_every_training!();

    /// Measures the validation loss on these samples, features × samples, and their labels, instead of on a
    /// [part](Self::validation_split) of those of the fit.
    ///
    /// Use it where samples belong to groups, or follow each other in time: a random part would hold neighbors of the
    /// training samples. Scale or encode them as the samples of the fit. Labels are classes from 0 to
    /// `classes − 1`, one for each sample; classes may be missing. Read a file by
    /// [`NpyFile::load`](crate::NpyFile::load) or [`to_matrix`](Samples::to_matrix).
    ///
    /// A fit refuses it together with a validation split.
    ///
    /// ```
    /// use sparse_autoencoder::nalgebra::DMatrix;
    /// use sparse_autoencoder::{Adam, ClassifierTrainer, SoftmaxClassifier};
    ///
    /// let series = DMatrix::from_fn(2, 120, |i, j| ((i + j) as f64 / 9.0).sin());
    /// let labels: Vec<usize> = series.row(0).iter().map(|&x| usize::from(x > 0.0)).collect();
    /// let (past, future) = (series.columns(0, 90), series.columns(90, 30));
    /// let mut classifier = SoftmaxClassifier::new(2, 2)?;
    /// let report = ClassifierTrainer::new(Adam::new(0.1)?)
    ///     .validation(future.into_owned(), &labels[90..])
    ///     .patience(5)
    ///     .fit(&mut classifier, past, &labels[..90])?;
    /// assert_eq!(report.validation_losses.len(), report.epochs);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    pub fn validation(mut self, samples: DMatrix<T>, labels: &[usize]) -> Self {
        self.validation = Some((samples, labels.to_vec()));
        self
    }
}
