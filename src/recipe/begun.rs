//! A training of a recipe, step by step.

use nalgebra::DMatrix;

use crate::objective::Loss;
use crate::{AsMatrix, Error, Real, Samples, Scaler, SparseAutoencoder, Trainer};

/// A training on a stream: see [`Recipe::begin`](super::Recipe::begin).
///
/// The parts are public, to be changed or used apart. A model that is not [finished](Self::finish) takes scaled
/// samples.
///
/// ```
/// use sparse_autoencoder::nalgebra::DMatrix;
/// use sparse_autoencoder::recipe::{Begun, Recipe, Variant};
///
/// let samples = DMatrix::<f32>::from_fn(16, 800, |i, j| f32::from([j % 16, j / 3 % 16].contains(&i)));
/// let recipe = Recipe::new(Variant::BatchTopK, 32, 2).samples(80_000);
/// let Begun { scaler, mut model, trainer, .. } = recipe.begin(&samples)?;
/// let mut trainer = trainer.epochs(80_000 / 800).validation_split(0.1); // what the recipe leaves out
/// let report = trainer.fit(&mut model, scaler.apply_on_read(&samples)?)?;
/// model.fold(&scaler)?; // takes unscaled samples from here on
/// # assert!(report.validation_losses.last().unwrap().total() < report.validation_losses[0].total());
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
///
/// For another model, call setters of [`Recipe::builder`](super::Recipe::builder). One of `JumpRelu` then needs
/// [`calibrate_thresholds`](SparseAutoencoder::calibrate_thresholds).
#[derive(Debug)]
#[non_exhaustive]
pub struct Begun<T: Real> {
    /// The scaler of the samples. That of a transcoder is one of [`Pairs`](crate::Pairs): see [`Scaler::split_at`].
    pub scaler: Scaler<T>,
    /// The model, which takes scaled samples.
    pub model: SparseAutoencoder<T>,
    /// The trainer, which knows the number of steps but not of epochs. Before a [`fit`](Trainer::fit) of your own,
    /// such as one with [patience](Trainer::patience) or [checkpoints](Trainer#method.checkpoint), set
    /// [`epochs`](Trainer::epochs) to [`Recipe::samples`](super::Recipe::samples) divided by the number of your
    /// samples, rounded up. Patience does not count epochs while k falls; `L1` and `Gated` refuse it, as they have a
    /// [set point](Trainer::set_point).
    pub trainer: Trainer<T>,
}

impl<T: Real> Begun<T> {
    /// Takes one step on an unscaled batch: input × samples, or in a transcoder pairs in one matrix.
    ///
    /// Scales the batch, and calls [`Trainer::partial_fit`]. Returns the loss of the scaled batch before the step.
    ///
    /// # Errors
    ///
    /// As [`Scaler::apply`] and [`Trainer::partial_fit`].
    pub fn partial_fit(&mut self, batch: impl AsMatrix<T>) -> Result<Loss<T>, Error> {
        let scaled = self.scaler.apply(batch);
        let scaled = scaled.as_ref().map(DMatrix::as_view).map_err(Clone::clone);
        self.trainer.fit_batch(&mut self.model, scaled)
    }

    /// Ends the training, and returns the model, which takes unscaled samples.
    ///
    /// The threshold of `BatchTopK` and `Matryoshka` lags behind a short training, so `last`, unscaled,
    /// [calibrates](SparseAutoencoder::calibrate_thresholds) it: a few thousand samples are enough. Other variants do
    /// not read them. Then the scaling is [folded](SparseAutoencoder::fold) into the model.
    ///
    /// # Errors
    ///
    /// As [`Scaler::apply_on_read`], [`SparseAutoencoder::calibrate_thresholds`], and [`SparseAutoencoder::fold`].
    pub fn finish(mut self, last: impl Samples<T>) -> Result<SparseAutoencoder<T>, Error> {
        let scaled = self.scaler.apply_on_read(&last)?;
        if let Some(k) = self.model.k_by_threshold() {
            self.model.calibrate_thresholds(scaled, f64::of_count(k))?;
        }
        self.model.fold(&self.scaler)?;
        Ok(self.model)
    }
}
