mod folding;
mod sparse;

use nalgebra::{DMatrix, DMatrixView, DVector};

use crate::batch::{check_batch, check_rows, check_size};
use crate::error::{Error, check_shape};
use crate::kernel;
use crate::objective::{Batch, Loss, Objective, Pass, Reconstruction};
use crate::parameters::{Layout, Parameters, check_theta};
use crate::penalty::Penalty;
use crate::workspace::Workspace;
use crate::{Activation, Real, SparseAutoencoderBuilder};

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

/// Samples that go through the layers together: enough to fill the caches, few enough that what
/// lies between input and result stays small whatever the number of samples.
const CHUNK: usize = 1024;

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

    /// The hidden activations of the innermost layer, units × samples. Each sample is encoded by
    /// itself, whatever the others are: see [`Activation`] for those that training chooses over a
    /// batch.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] if a sample has not the visible size, [`Error::EmptyBatch`]
    /// without samples, [`Error::NonFinite`] for NaN and infinities.
    pub fn encode<'a>(&self, samples: impl Into<DMatrixView<'a, T>>) -> Result<DMatrix<T>, Error> {
        let samples = samples.into();
        self.check_rows(samples)?;
        let mut hidden = DMatrix::zeros(self.layout().hidden(), samples.ncols());
        self.encode_into(samples, &mut hidden, &mut Workspace::new())?;
        Ok(hidden)
    }

    /// [`encode`](Self::encode) into a matrix of the caller's. Allocates nothing once the workspace
    /// has grown.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and [`Error::DimensionMismatch`] if `hidden` is not
    /// units × samples.
    pub fn encode_into<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
        hidden: &mut DMatrix<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<(), Error> {
        let samples = samples.into();
        self.check_samples(samples)?;
        let units = self.layout().hidden();
        check_shape("hidden", (units, samples.ncols()), hidden.shape())?;
        for_each_chunk(samples, hidden.as_mut_slice(), units, |x, h| {
            self.pass().encode_into(x, h, workspace);
        });
        Ok(())
    }

    /// The reconstruction that the decoder makes of hidden activations, visible × samples.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] if `hidden` has not the innermost size, [`Error::EmptyBatch`]
    /// without samples, [`Error::NonFinite`] for NaN and infinities.
    pub fn decode<'a>(&self, hidden: impl Into<DMatrixView<'a, T>>) -> Result<DMatrix<T>, Error> {
        let hidden = hidden.into();
        check_rows(hidden, self.layout().hidden(), HIDDEN[1])?;
        let mut samples = DMatrix::zeros(self.layout().visible(), hidden.ncols());
        self.decode_into(hidden, &mut samples, &mut Workspace::new())?;
        Ok(samples)
    }

    /// [`decode`](Self::decode) into a matrix of the caller's. Allocates nothing once the workspace
    /// has grown.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode), and [`Error::DimensionMismatch`] if `samples` is not
    /// visible × samples.
    pub fn decode_into<'a>(
        &self,
        hidden: impl Into<DMatrixView<'a, T>>,
        samples: &mut DMatrix<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<(), Error> {
        let hidden = hidden.into();
        check_batch(hidden, self.layout().hidden(), HIDDEN)?;
        let visible = self.layout().visible();
        check_shape("samples", (visible, hidden.ncols()), samples.shape())?;
        for_each_chunk(hidden, samples.as_mut_slice(), visible, |h, x_hat| {
            self.pass().decode_into(h, x_hat, workspace);
        });
        Ok(())
    }

    /// What the model makes of the samples: encoded and decoded again, visible × samples.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn reconstruct<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
    ) -> Result<DMatrix<T>, Error> {
        let samples = samples.into();
        self.check_rows(samples)?;
        let mut reconstructions = DMatrix::zeros(self.layout().visible(), samples.ncols());
        self.reconstruct_into(samples, &mut reconstructions, &mut Workspace::new())?;
        Ok(reconstructions)
    }

    /// [`reconstruct`](Self::reconstruct) into a matrix of the caller's. Allocates nothing once the
    /// workspace has grown.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and [`Error::DimensionMismatch`] if `reconstructions` is not
    /// visible × samples.
    pub fn reconstruct_into<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
        reconstructions: &mut DMatrix<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<(), Error> {
        let samples = samples.into();
        self.check_samples(samples)?;
        let visible = self.layout().visible();
        check_shape(
            "reconstructions",
            (visible, samples.ncols()),
            reconstructions.shape(),
        )?;
        for_each_chunk(
            samples,
            reconstructions.as_mut_slice(),
            visible,
            |x, x_hat| {
                self.reconstruct_chunk(x, x_hat, workspace);
            },
        );
        Ok(())
    }

    /// `‖x̂ − x‖²` of each sample: how far it is from what the model has learned.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn reconstruction_errors<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
    ) -> Result<DVector<T>, Error> {
        let samples = samples.into();
        self.check_rows(samples)?;
        let mut errors = DVector::zeros(samples.ncols());
        self.reconstruction_errors_into(samples, &mut errors, &mut Workspace::new())?;
        Ok(errors)
    }

    /// [`reconstruction_errors`](Self::reconstruction_errors) into a vector of the caller's.
    /// Allocates nothing once the workspace has grown.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and [`Error::DimensionMismatch`] if `errors` has not one entry
    /// per sample.
    pub fn reconstruction_errors_into<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
        errors: &mut DVector<T>,
        workspace: &mut Workspace<T>,
    ) -> Result<(), Error> {
        let samples = samples.into();
        self.check_samples(samples)?;
        if errors.len() != samples.ncols() {
            return Err(Error::DimensionMismatch {
                what: "errors",
                expected: samples.ncols(),
                actual: errors.len(),
            });
        }
        let visible = self.layout().visible();
        let mut output = workspace.lend_output(visible * samples.ncols().min(CHUNK));
        for_each_chunk(samples, errors.as_mut_slice(), 1, |x, errors| {
            let x_hat = &mut output[..visible * x.ncols()];
            self.reconstruct_chunk(x, x_hat, workspace);
            let columns = x_hat.chunks_exact(visible).zip(x.column_iter());
            for (error, (x_hat, x)) in errors.iter_mut().zip(columns) {
                *error = kernel::distance_squared(x_hat, x.as_slice());
            }
        });
        workspace.return_output(output);
        Ok(())
    }

    /// [`encode`](Self::encode) for one sample.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn encode_sample(&self, sample: &DVector<T>) -> Result<DVector<T>, Error> {
        Ok(self.encode(sample)?.column(0).into_owned())
    }

    /// [`decode`](Self::decode) for one sample.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn decode_sample(&self, hidden: &DVector<T>) -> Result<DVector<T>, Error> {
        Ok(self.decode(hidden)?.column(0).into_owned())
    }

    /// [`reconstruct`](Self::reconstruct) for one sample.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn reconstruct_sample(&self, sample: &DVector<T>) -> Result<DVector<T>, Error> {
        Ok(self.reconstruct(sample)?.column(0).into_owned())
    }

    /// J(θ) on the samples taken as one batch, term by term.
    ///
    /// This is the objective of training: an activation that is chosen over a batch, such as
    /// [`Activation::WinnerTakeAll`], is chosen over these samples, which inference does not do.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and [`Error::OutOfRange`] for data outside [0, 1] under
    /// [`Reconstruction::BinaryCrossEntropy`].
    pub fn loss<'a>(&self, samples: impl Into<DMatrixView<'a, T>>) -> Result<Loss<T>, Error> {
        let samples = samples.into();
        self.check_training_samples(samples)?;
        let workspace = &mut Workspace::new();
        Ok(self.evaluate(samples.into(), None, workspace))
    }

    /// J(θ) and its gradient on one batch, for optimizers and training loops of your own.
    ///
    /// `gradient` is overwritten; it is ordered as [`Layout`] says. Allocates nothing once the
    /// workspace has grown.
    ///
    /// # Errors
    ///
    /// As [`loss`](Self::loss), and [`Error::DimensionMismatch`] if `gradient` has not one entry
    /// per parameter.
    pub fn loss_and_gradient<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
        gradient: &mut [T],
        workspace: &mut Workspace<T>,
    ) -> Result<Loss<T>, Error> {
        let samples = samples.into();
        self.check_training_samples(samples)?;
        if gradient.len() != self.layout().len() {
            return Err(Error::DimensionMismatch {
                what: "gradient",
                expected: self.layout().len(),
                actual: gradient.len(),
            });
        }
        Ok(self.evaluate(samples.into(), Some(gradient), workspace))
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
        check_batch(bias.as_view(), self.layout().visible(), ["decoder bias"; 2])?;
        let range = self.layout().blocks()[0].decoder_bias.clone();
        self.parameters.theta_mut()[range].copy_from_slice(bias.as_slice());
        Ok(())
    }

    /// The sizes of the layers, and the order of the parameters.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        self.parameters.layout()
    }

    /// The activation of each hidden layer, the outermost first.
    #[must_use]
    pub fn hidden_activations(&self) -> &[Activation] {
        &self.objective.encoder
    }

    /// The activation of each level of the decoder, the reconstruction first: level `l` mirrors
    /// the hidden layer that is as far from the visible one.
    #[must_use]
    pub fn decoder_activations(&self) -> &[Activation] {
        &self.objective.decoder
    }

    /// The activation of the reconstruction.
    #[must_use]
    pub fn output_activation(&self) -> Activation {
        self.objective.decoder[0]
    }

    /// ℓ, what the difference between a sample and its reconstruction costs.
    #[must_use]
    pub fn reconstruction(&self) -> Reconstruction {
        self.objective.reconstruction
    }

    /// Ω, the sparsity penalty.
    #[must_use]
    pub fn penalty(&self) -> &dyn Penalty<T> {
        &*self.objective.penalty
    }

    /// β, the weight of the penalty.
    #[must_use]
    pub fn penalty_weight(&self) -> T {
        self.objective.penalty_weight
    }

    /// ρ, the sparsity target.
    #[must_use]
    pub fn sparsity_target(&self) -> T {
        self.objective.sparsity_target
    }

    /// λ, the weight decay.
    #[must_use]
    pub fn weight_decay(&self) -> T {
        self.objective.weight_decay
    }

    /// Whether the encoder sees the samples less the bias of the decoder.
    #[must_use]
    pub fn has_pre_encoder_bias(&self) -> bool {
        self.objective.pre_encoder_bias
    }

    /// Whether the penalty sees the activations times the norms of the decoder's columns.
    #[must_use]
    pub fn is_norm_weighted(&self) -> bool {
        self.objective.norm_weighted
    }

    /// The sizes of the prefixes of hidden units that have to reconstruct by themselves, but for that
    /// of all; empty where they are not
    /// [nested](SparseAutoencoderBuilder::matryoshka).
    #[must_use]
    pub fn prefixes(&self) -> &[usize] {
        &self.objective.prefixes
    }

    /// ε, the bandwidth of the pseudo-gradient of thresholds.
    #[must_use]
    pub fn bandwidth(&self) -> T {
        self.objective.bandwidth
    }

    pub(crate) fn objective(&self) -> &Objective<T> {
        &self.objective
    }

    pub(crate) fn objective_mut(&mut self) -> &mut Objective<T> {
        &mut self.objective
    }

    /// The parts that training needs at the same time: what it reads, and what it moves.
    pub(crate) fn objective_and_parameters(&mut self) -> (&Objective<T>, &mut Parameters<T>) {
        (&self.objective, &mut self.parameters)
    }

    pub(crate) fn evaluate(
        &self,
        batch: Batch<'_, T>,
        gradient: Option<&mut [T]>,
        workspace: &mut Workspace<T>,
    ) -> Loss<T> {
        self.pass().evaluate(batch, gradient, workspace)
    }

    fn pass(&self) -> Pass<'_, T> {
        Pass {
            objective: &self.objective,
            layout: self.layout(),
            theta: self.parameters.as_slice(),
        }
    }

    fn reconstruct_chunk(&self, x: DMatrixView<'_, T>, x_hat: &mut [T], ws: &mut Workspace<T>) {
        let (units, m) = (self.layout().hidden(), x.ncols());
        let mut hidden = ws.lend_innermost(units * m);
        self.pass().encode_into(x, &mut hidden[..units * m], ws);
        self.pass().decode_into(
            DMatrixView::from_slice(&hidden[..units * m], units, m),
            x_hat,
            ws,
        );
        ws.return_innermost(hidden);
    }

    /// Before room is made for as many columns as there are samples: a matrix without rows may
    /// claim any number of columns.
    fn check_rows(&self, samples: DMatrixView<'_, T>) -> Result<(), Error> {
        check_rows(samples, self.layout().visible(), SAMPLES[1])
    }

    fn check_samples(&self, samples: DMatrixView<'_, T>) -> Result<(), Error> {
        check_batch(samples, self.layout().visible(), SAMPLES)
    }

    /// As far as can be said of samples that are not in memory.
    pub(crate) fn check_size(&self, visible: usize, count: usize) -> Result<(), Error> {
        check_size((visible, count), self.layout().visible(), SAMPLES)
    }

    /// As for inference, and the range that the loss needs.
    pub(crate) fn check_training_samples(&self, samples: DMatrixView<'_, T>) -> Result<(), Error> {
        self.check_samples(samples)?;
        if self.objective.reconstruction != Reconstruction::BinaryCrossEntropy {
            return Ok(());
        }
        for (column, sample) in samples.column_iter().enumerate() {
            let outside = |value: &T| !(*value >= T::zero() && *value <= T::one());
            if let Some(row) = sample.iter().position(outside) {
                return Err(Error::OutOfRange {
                    what: "samples for BinaryCrossEntropy",
                    requirement: "in [0, 1]",
                    row,
                    column,
                    value: sample[row].to_f64(),
                });
            }
        }
        Ok(())
    }
}

/// Calls `pass` with columns of `input` and of `output`, `rows` long, a chunk at a time.
fn for_each_chunk<T: Real>(
    input: DMatrixView<'_, T>,
    output: &mut [T],
    rows: usize,
    mut pass: impl FnMut(DMatrixView<'_, T>, &mut [T]),
) {
    for (index, output) in output.chunks_mut(rows * CHUNK).enumerate() {
        pass(input.columns(index * CHUNK, output.len() / rows), output);
    }
}
