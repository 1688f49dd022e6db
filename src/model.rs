//! A model: its settings, its parameters, and the methods on both.

// The order in which rustdoc lists the methods.
mod inference;

mod sparse_inference;

mod encoded_samples;

mod steering;

mod evaluation;

mod calibration;

mod folding;

mod decoder_norm;

mod accessors;

mod blocks;
mod builder;
mod convention;
mod initialization;
mod layer;
mod layout;
mod parameters;
pub(crate) mod per_layer;
mod settings;
mod sparse_hidden;

pub(crate) use blocks::Blocks;
pub use builder::SparseAutoencoderBuilder;
pub(crate) use calibration::{Calibration, activations_of, positive};
pub use convention::Convention;
pub use encoded_samples::EncodedSamples;
pub use initialization::Initialization;
pub use layer::{Layer, LayerView};
pub use layout::Layout;
pub use parameters::Parameters;
pub use settings::ModelSettings;
pub use sparse_hidden::SparseHidden;

use nalgebra::{DMatrixView, DVector};

use crate::data::pairs::refuse_pairs;
use crate::error::Error;
use crate::linalg::Threads;
use crate::objective::{Objective, Pass};
use crate::validate::{SAMPLES, check_batch, check_batch_on, check_len, check_size};
use crate::{Real, Samples};
use parameters::check_theta;

/// A sparse autoencoder: encodes samples as hidden activations, few of them active, and decodes them.
///
/// ```text
/// H = f(Wᵀ X + b),     X̂ = g(D H + c)
/// ```
///
/// A column is a sample. Deep models have further hidden layers in between. A
/// [transcoder](SparseAutoencoderBuilder::output_size) predicts targets of an output size instead.
///
/// | symbol | shape | method |
/// |---|---|---|
/// | X | input × samples | of a transcoder, some methods also take the targets: see [there](SparseAutoencoderBuilder::output_size) |
/// | H | units × samples | [`encode`](Self::encode), [`encode_sparse`](Self::encode_sparse) |
/// | X̂ | input × samples, or output × samples | [`decode`](Self::decode), [`reconstruct`](Self::reconstruct) |
/// | W, b, D, c | see [`Layout`] | [`parameters`](Self::parameters) |
/// | J | a number | [`loss`](Self::loss), [`loss_and_gradient`](Self::loss_and_gradient) |
///
/// Methods take any matrix in memory ([`AsMatrix`](crate::AsMatrix)): a `DMatrix`, some of its columns, a
/// row-major slice by [`view_rows`](crate::view_rows), and with the feature `ndarray` its arrays. None is copied.
///
/// The model holds no state of training. It is `Clone + Send + Sync`, and inference takes `&self`.
///
/// ```
/// use sparse_autoencoder::{Adam, KlDivergence, SparseAutoencoder, Trainer, nalgebra::DMatrix};
///
/// let samples = DMatrix::from_fn(8, 200, |i, j| f32::from((i * j % 7 == 0) as u8));
/// let mut sae = SparseAutoencoder::builder()
///     .layers([8, 12])
///     .penalty(KlDivergence)
///     .penalty_weight(0.1)
///     .build()?;
/// let before = sae.loss(&samples)?;
/// Trainer::new(Adam::new(1e-2)?).epochs(20).fit(&mut sae, &samples)?;
/// assert!(sae.loss(&samples)?.total() < before.total());
///
/// let hidden = sae.encode(&samples)?;
/// assert_eq!(hidden.shape(), (12, 200));
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SparseAutoencoder<T> {
    parameters: Parameters<T>,
    objective: Objective<T>,
}

/// The names of a batch and of its rows in errors.
const PAIRS: [&str; 2] = ["samples", "rows of the pairs of a transcoder"];
const INPUTS: [&str; 2] = ["samples", "rows of the input of a transcoder"];
const HIDDEN: [&str; 2] = ["hidden activations", "rows of the hidden activations"];

impl<T: Real> SparseAutoencoder<T> {
    /// Returns a builder with default settings.
    ///
    /// The scalar `T` is inferred from the samples that the model encodes or is fitted to. Where nothing names it,
    /// write `SparseAutoencoder::<f32>::builder()`.
    ///
    /// ```
    /// use sparse_autoencoder::{SparseAutoencoder, nalgebra::DMatrix};
    ///
    /// let sae = SparseAutoencoder::builder().layers([8, 12]).build()?;
    /// sae.encode(DMatrix::<f64>::zeros(8, 5))?; // of `f64`, therefore
    /// assert_eq!(SparseAutoencoder::<f32>::builder().layers([8, 12]).build()?.layout().hidden_size(), 12);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    pub fn builder() -> SparseAutoencoderBuilder<T> {
        SparseAutoencoderBuilder::default()
    }

    pub(crate) fn from_parts(parameters: Parameters<T>, objective: Objective<T>) -> Self {
        Self {
            parameters,
            objective,
        }
    }

    /// Returns the parameters.
    #[must_use]
    pub fn parameters(&self) -> &Parameters<T> {
        &self.parameters
    }

    /// Converts the model into its parameters.
    #[must_use]
    pub fn into_parameters(self) -> Parameters<T> {
        self.parameters
    }

    /// Replaces the flat parameter vector θ, ordered as [`Layout`] describes.
    ///
    /// # Errors
    ///
    /// - [`Error::DimensionMismatch`] if θ does not have [`Layout::len`] entries.
    /// - [`Error::NonFinite`] for NaN and infinities.
    ///
    /// The model is then unchanged.
    pub fn set_theta(&mut self, theta: &[T]) -> Result<(), Error> {
        check_theta(self.layout(), theta)?;
        self.parameters.theta_mut().copy_from_slice(theta);
        Ok(())
    }

    /// Replaces the bias `c` of the reconstruction, one entry per entry of the output.
    ///
    /// With a [pre-encoder bias](SparseAutoencoderBuilder::pre_encoder_bias), start from the mean of the samples
    /// or their [geometric median](crate::geometric_median).
    ///
    /// # Errors
    ///
    /// - [`Error::DimensionMismatch`] if the length is not the output size.
    /// - [`Error::NonFinite`] for NaN and infinities.
    ///
    /// The model is then unchanged.
    pub fn set_decoder_bias(&mut self, bias: &DVector<T>) -> Result<(), Error> {
        check_batch(
            bias.as_view(),
            self.layout().output_size(),
            ["decoder bias"; 2],
        )?;
        let range = self.layout().blocks()[0].decoder_bias.clone();
        self.parameters.theta_mut()[range].copy_from_slice(bias.as_slice());
        Ok(())
    }

    /// Returns the sizes of the layers and the order of the parameters.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        self.parameters.layout()
    }

    pub(crate) fn objective(&self) -> &Objective<T> {
        &self.objective
    }

    /// Sets ε of the thresholds, unless the builder has; `None` for the default.
    pub(crate) fn calibrate_bandwidth(&mut self, bandwidth: Option<f64>) {
        self.objective.calibrate_bandwidth(bandwidth);
    }

    /// Takes over the settings of a checkpoint that a builder need not repeat.
    #[cfg(feature = "files")]
    pub(crate) fn take_over(&mut self, saved: &ModelSettings) {
        self.objective.take_over(saved);
    }

    /// Borrows the objective, and the parameters to be trained.
    pub(crate) fn objective_and_parameters(&mut self) -> (&Objective<T>, &mut Parameters<T>) {
        (&self.objective, &mut self.parameters)
    }

    /// Returns a pass of training.
    fn pass(&self) -> Pass<'_, T> {
        let (layout, theta) = (self.layout(), self.parameters.as_slice());
        Pass::training(&self.objective, layout, theta, self.objective.now())
    }

    /// Returns a pass of inference.
    fn inference(&self) -> Pass<'_, T> {
        Pass {
            packed: Some(self.parameters.packed()),
            ..self.pass()
        }
    }

    fn check_samples(&self, samples: DMatrixView<'_, T>, threads: Threads) -> Result<(), Error> {
        check_batch_on(threads, samples, self.layout().input_size(), self.names())
    }

    /// Returns the names of samples and of their rows, as the encoder sees them.
    fn names(&self) -> [&'static str; 2] {
        if self.layout().is_transcoder() {
            INPUTS
        } else {
            SAMPLES
        }
    }

    /// Refuses `what` for a transcoder.
    pub(crate) fn refuse_transcoder(&self, what: &'static str) -> Result<(), Error> {
        if !self.layout().is_transcoder() {
            return Ok(());
        }
        let other = "a transcoder, whose output is not its input";
        Err(Error::Incompatible { what, other })
    }

    /// Returns the names of samples to train on and of their rows.
    fn names_of_pairs(&self) -> [&'static str; 2] {
        if self.layout().is_transcoder() {
            PAIRS
        } else {
            SAMPLES
        }
    }

    /// Checks samples to train on, and their size.
    pub(crate) fn check_pairs(
        &self,
        samples: DMatrixView<'_, T>,
        threads: Threads,
    ) -> Result<(), Error> {
        let entries = self.layout().sample_entries();
        check_batch_on(threads, samples, entries, self.names_of_pairs())
    }

    /// Checks the size and number of samples to train on, and which of their entries are the input.
    pub(crate) fn check_source(&self, samples: &dyn Samples<T>) -> Result<(), Error> {
        let layout = self.layout();
        if !layout.is_transcoder() {
            let other =
                "an autoencoder: set output_size, which makes a transcoder of it, or pass a matrix";
            refuse_pairs(samples, other)?;
        } else if let Some(entries) = samples.input_entries() {
            check_len("entries of an input in Pairs", layout.input_size(), entries)?;
        }
        self.check_size(samples.entries(), samples.count())
    }

    /// Checks the size and number of samples to train on.
    pub(crate) fn check_size(&self, entries: usize, count: usize) -> Result<(), Error> {
        let size = (entries, count);
        check_size(size, self.layout().sample_entries(), self.names_of_pairs())
    }
}
