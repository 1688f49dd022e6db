//! The setters of trainers, whatever they train.

/// Defines the setters of a trainer with an [`Engine`](super::engine::Engine) in its field `engine`.
macro_rules! setters_of_every_training {
    () => {
        /// Sets the number of passes over the samples, ≥ 1, or of iterations of a full-batch optimizer such as
        /// [`Lbfgs`](crate::Lbfgs).
        pub fn epochs(mut self, epochs: usize) -> Self {
            self.engine.settings.epochs = epochs;
            self
        }

        /// Sets the maximum number of samples per step, ≥ 1. A full-batch optimizer refuses fewer than all samples.
        pub fn batch_size(mut self, samples: usize) -> Self {
            self.engine.settings.batch_size = Some(samples);
            self
        }

        /// Sets the seed of everything random in a fit, such as shuffling and the validation split.
        pub fn seed(mut self, seed: u64) -> Self {
            self.engine.settings.seed = seed;
            self.engine.rng = self.engine.seeded();
            self
        }

        /// Holds out this fraction of the samples, in [0, 1), chosen by the seed, to measure the validation loss. A
        /// fit copies them into memory. In an autoencoder, 100 or more also set the threshold of
        /// [`BatchTopK`](crate::Activation::BatchTopK).
        pub fn validation_split(mut self, fraction: f64) -> Self {
            self.engine.settings.validation_split = fraction;
            self
        }

        /// Stops after `epochs` epochs, ≥ 1, without a new lowest loss: the validation loss if samples are held out,
        /// else the loss of the epoch.
        ///
        /// The model then has the parameters at the end of the best epoch, whatever stopped the training. The loss of
        /// an epoch is a mean over its steps, and lags behind these parameters: hold out samples to compare epochs
        /// exactly. Auxiliary terms do not count. Neither do epochs that begin while k or a penalty weight still
        /// changes: a fit that ends before any other epoch leaves the parameters of the last step. A fit refuses
        /// patience where the objective changes to the end, as with a [set point](crate::Trainer::set_point).
        pub fn patience(mut self, epochs: usize) -> Self {
            self.engine.settings.patience = Some(epochs);
            self
        }

        /// Sets how the learning rate changes over the training.
        pub fn schedule(mut self, schedule: Schedule) -> Self {
            self.engine.settings.schedule = Some(schedule);
            self
        }

        /// Shrinks gradients with a larger Euclidean norm to this norm, > 0.
        pub fn clip_gradient(mut self, norm: f64) -> Self {
            self.engine.settings.clip_gradient = Some(norm);
            self
        }

        /// Sets the maximum number of threads. 0 and 1 both mean a single thread. The number never changes
        /// a bit of the result.
        pub fn threads(mut self, threads: usize) -> Self {
            self.engine.threads = Some(threads);
            self
        }

        /// Returns the settings.
        #[must_use]
        pub fn settings(&self) -> &TrainerSettings {
            &self.engine.settings
        }

        /// Returns the number of steps since the optimizer was last reset: by a fit, or with a model of
        /// another size.
        #[must_use]
        pub fn steps_taken(&self) -> u64 {
            self.engine.steps
        }
    };
}
pub(crate) use setters_of_every_training;
