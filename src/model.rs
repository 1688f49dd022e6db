//! A model: settings, parameters, and what can be asked of both.

// In the order in which documentation shows their methods.
mod inference;

mod sparse_inference;

mod evaluation;

mod calibration;

mod folding;

mod decoder_norm;

mod accessors;

mod builder;
mod convention;
pub(crate) mod initialization;
pub(crate) mod layer_activations;
pub(crate) mod layout;
pub(crate) mod parameters;
mod settings;
pub(crate) mod sparse_hidden;

pub use builder::SparseAutoencoderBuilder;
pub use convention::Convention;
pub use initialization::Initialization;
pub use layout::Layout;
pub use parameters::{Layer, LayerView, Parameters};
pub use settings::Settings;
pub use sparse_hidden::SparseHidden;

use nalgebra::{DMatrixView, DVector};

use crate::Real;
use crate::error::Error;
use crate::linalg::Threads;
use crate::objective::{Objective, Pass};
use crate::validate::{check_batch, check_batch_on, check_size};
use parameters::check_theta;

/// A sparse autoencoder: parameters, and the objective that they are fitted to.
///
/// ```text
/// H = f(Wᵀ X + b),     X̂ = g(D H + c)
/// ```
///
/// with further hidden layers between, if there are any. A column is a sample. Every method takes
/// anything that converts into a matrix view: `&DMatrix`, a view of some columns, or a slice
/// through [`DMatrixView::from_slice`], which reads a row-major samples × features buffer without a
/// copy.
///
/// The model holds nothing that exists only during training. It is `Clone + Send + Sync`, and all
/// inference is by `&self`.
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

const SAMPLES: [&str; 2] = ["samples", "rows of the samples"];
const HIDDEN: [&str; 2] = ["hidden activations", "rows of the hidden activations"];

impl<T: Real> SparseAutoencoder<T> {
    /// A builder with every setting at its default.
    pub fn builder() -> SparseAutoencoderBuilder<T> {
        SparseAutoencoderBuilder::default()
    }

    pub(crate) fn from_parts(parameters: Parameters<T>, objective: Objective<T>) -> Self {
        Self {
            parameters,
            objective,
        }
    }

    /// The parameters.
    #[must_use]
    pub fn parameters(&self) -> &Parameters<T> {
        &self.parameters
    }

    /// The parameters, by value.
    #[must_use]
    pub fn into_parameters(self) -> Parameters<T> {
        self.parameters
    }

    /// Replaces the flat parameter vector θ.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] for another length, [`Error::NonFinite`] for NaN and
    /// infinities; the model then keeps what it had.
    pub fn set_theta(&mut self, theta: &[T]) -> Result<(), Error> {
        check_theta(self.layout(), theta)?;
        self.parameters.theta_mut().copy_from_slice(theta);
        Ok(())
    }

    /// Replaces the bias of the outermost decoder layer: what is reconstructed where no unit is
    /// active. With a [pre-encoder bias](SparseAutoencoderBuilder::pre_encoder_bias) it is what the
    /// encoder measures samples from, and the mean or the
    /// [geometric median](crate::geometric_median) of the samples is a good start.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] for a vector that is no sample, [`Error::NonFinite`] for NaN and
    /// infinities; the model then keeps what it had.
    pub fn set_decoder_bias(&mut self, bias: &DVector<T>) -> Result<(), Error> {
        check_batch(
            bias.as_view(),
            self.layout().input_size(),
            ["decoder bias"; 2],
        )?;
        let range = self.layout().blocks()[0].decoder_bias.clone();
        self.parameters.theta_mut()[range].copy_from_slice(bias.as_slice());
        Ok(())
    }

    /// The sizes of the layers, and the order of the parameters.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        self.parameters.layout()
    }

    pub(crate) fn objective(&self) -> &Objective<T> {
        &self.objective
    }

    /// The parts that training needs at the same time: what it reads, and what it moves.
    pub(crate) fn objective_and_parameters(&mut self) -> (&Objective<T>, &mut Parameters<T>) {
        (&self.objective, &mut self.parameters)
    }

    /// The pass of training.
    fn pass(&self) -> Pass<'_, T> {
        let (layout, theta) = (self.layout(), self.parameters.as_slice());
        Pass::training(&self.objective, layout, theta, self.objective.now())
    }

    /// The pass of inference.
    fn inference(&self) -> Pass<'_, T> {
        Pass {
            packed: Some(self.parameters.packed()),
            ..self.pass()
        }
    }

    fn check_samples(&self, samples: DMatrixView<'_, T>, threads: Threads) -> Result<(), Error> {
        check_batch_on(threads, samples, self.layout().input_size(), SAMPLES)
    }

    /// As far as can be said of samples that are not in memory.
    pub(crate) fn check_size(&self, input_size: usize, count: usize) -> Result<(), Error> {
        check_size((input_size, count), self.layout().input_size(), SAMPLES)
    }
}
