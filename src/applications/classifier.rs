//! Softmax classification of any features, alone or on top of the layers of autoencoders.

mod deep;
mod network;
mod parts;

use std::ops::ControlFlow;

use nalgebra::{DMatrix, DMatrixView, DVectorView};

pub(crate) use self::network::{Dense, Network};
pub use self::parts::{
    ClassifierEpoch, ClassifierLoss, ClassifierReport, ClassifierWorkspace, DenseView,
};
use crate::error::{Error, require};
use crate::linalg::{Aligned, Packed};
use crate::validate::{check_batch, check_rows, even_chunk};
use crate::{Activation, Real, Trainer, linalg};

/// A softmax classifier: softmax regression, or a deep classifier with hidden layers below it.
///
/// ```text
/// A = X                                       alone: softmax regression on any features
/// A = f(Wᵀ X + b), …                          on top of autoencoders: their encoder layers
/// P(y | x) = exp(z_y) / Σ_k exp(z_k),         z = Vᵀ a + c
/// J(θ) = −1/m Σᵢ ln P(yᵢ | xᵢ)  +  λ/2 Σ‖W‖²
/// ```
///
/// A column is a sample, a label is a class from 0 to `classes − 1`. λ decays the weights of every
/// layer, the head's among them, and no bias. With λ > 0, or where the classes overlap, softmax
/// regression has one optimum and its weights start at 0.
///
/// **Pretraining.** Autoencoders are fitted to samples without labels, as a [`Stack`](crate::Stack)
/// or one alone; a head is fitted to what they encode; [`on_top_of`](Self::on_top_of) puts it on
/// their encoder layers; and [`fit`](Self::fit) then *fine-tunes* all layers at once. There is no
/// sparsity term in J (as in Ng et al., *UFLDL Tutorial*: Implement deep networks for digit
/// classification).
///
/// θ holds `W_0, b_0, …, V, c`, the layer next to the samples first. Each matrix is *below × above*,
/// column by column: column `j` belongs to unit `j` above. [`layers`](Self::layers) shows them as
/// matrices.
///
/// ```
/// use sparse_autoencoder::{Lbfgs, SoftmaxClassifier, Trainer, nalgebra::DMatrix};
///
/// let samples = DMatrix::from_row_slice(1, 6, &[-3.0, -2.5, -2.0, 2.0, 2.5, 3.0]);
/// let labels = [0, 0, 0, 1, 1, 1];
/// let mut classifier = SoftmaxClassifier::new(1, 2)?.with_weight_decay(1e-4)?;
/// classifier.fit(&mut Trainer::new(Lbfgs::new()).epochs(400), &samples, &labels)?;
/// assert_eq!(classifier.predict(&samples)?, labels);
/// assert!(classifier.probabilities(&samples)?[(1, 5)] > 0.99);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SoftmaxClassifier<T> {
    pub(crate) network: Network<T>,
    theta: Aligned<T>,
    /// Copies of the weights of each layer, valid as long as θ does not change.
    packed: Vec<Packed<T>>,
}

/// Samples that go through the layers together, at most.
const CHUNK: usize = 1024;

const SAMPLES: [&str; 2] = ["samples", "rows of the samples"];

impl<T: Real> SoftmaxClassifier<T> {
    /// Softmax regression from `features` to `classes`, with all parameters 0 and without weight
    /// decay.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] without features, for fewer than two classes, or for more
    /// parameters than fit into memory.
    pub fn new(features: usize, classes: usize) -> Result<Self, Error> {
        let count = f64::of_count;
        require(features >= 1, "features", "at least 1", count(features))?;
        require(classes >= 2, "classes", "at least 2", count(classes))?;
        Self::from_sizes(&[(features, classes, Activation::Identity)])
    }

    /// The same classifier with the weight decay λ.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] unless λ is finite and at least 0.
    pub fn with_weight_decay(mut self, weight: f64) -> Result<Self, Error> {
        require(
            weight >= 0.0 && weight.is_finite() && T::of(weight).is_finite(),
            "weight_decay",
            "finite and at least 0",
            weight,
        )?;
        self.network.weight_decay = T::of(weight);
        Ok(self)
    }

    /// Fits all layers to `samples`, features × samples, and their labels: softmax regression, or
    /// fine-tuning of a deep classifier.
    ///
    /// Any [`Optimizer`](crate::Optimizer) serves; [`Lbfgs`](crate::Lbfgs) takes full batches, the
    /// others mini-batches of the trainer's batch size. Corruption, validation split, and patience
    /// of the trainer are refused: they belong to autoencoders. To stop early, measure what you
    /// like in the observer of [`fit_with`](Self::fit_with).
    ///
    /// # Errors
    ///
    /// As [`fit_with`](Self::fit_with).
    pub fn fit<'a>(
        &mut self,
        trainer: &mut Trainer<T>,
        samples: impl Into<DMatrixView<'a, T>>,
        labels: &[usize],
    ) -> Result<ClassifierReport<T>, Error> {
        self.fit_with(trainer, samples, labels, |_| ControlFlow::Continue(()))
    }

    /// [`fit`](Self::fit) with an observer, which sees every epoch and may stop the training.
    ///
    /// # Errors
    ///
    /// As [`loss`](Self::loss), [`Error::EmptyClass`] for a class that no label names, and
    /// [`Error::InvalidParameter`] or [`Error::Incompatible`] for settings of the trainer as in
    /// [`Trainer::fit_with`]. The classifier is then unchanged.
    ///
    /// [`Error::Diverged`] if the loss or its gradient stops being finite. The classifier then has
    /// its last finite parameters.
    pub fn fit_with<'a>(
        &mut self,
        trainer: &mut Trainer<T>,
        samples: impl Into<DMatrixView<'a, T>>,
        labels: &[usize],
        observer: impl FnMut(&ClassifierEpoch<'_, T>) -> ControlFlow<()>,
    ) -> Result<ClassifierReport<T>, Error> {
        trainer.fit_classifier(self, samples.into(), labels, observer)
    }

    /// The most probable class of each sample; of equally probable ones the first.
    ///
    /// # Errors
    ///
    /// As [`probabilities`](Self::probabilities).
    pub fn predict<'a>(&self, samples: impl Into<DMatrixView<'a, T>>) -> Result<Vec<usize>, Error> {
        let probabilities = self.probabilities(samples)?;
        let most_probable = |p: DVectorView<'_, T>| {
            (1..p.len()).fold(0, |best, k| if p[k] > p[best] { k } else { best })
        };
        Ok(probabilities.column_iter().map(most_probable).collect())
    }

    /// `P(k | x)`, classes × samples: every column sums to 1.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] if a sample has not as many entries as the classifier has
    /// features, [`Error::EmptyBatch`] without samples, [`Error::NonFinite`] for NaN and infinities.
    pub fn probabilities<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
    ) -> Result<DMatrix<T>, Error> {
        let samples = samples.into();
        check_batch(samples, self.features(), SAMPLES)?;
        let classes = self.classes();
        let mut probabilities = DMatrix::zeros(classes, samples.ncols());
        let mut workspace = ClassifierWorkspace::new();
        let chunk = even_chunk(samples.ncols(), CHUNK);
        let chunks = probabilities.as_mut_slice().chunks_mut(classes * chunk);
        for (index, p) in chunks.enumerate() {
            let x = samples.columns(index * chunk, p.len() / classes);
            let (theta, packed) = (&self.theta, &self.packed);
            self.network
                .probabilities_into(theta, packed, x, p, &mut workspace);
        }
        Ok(probabilities)
    }

    /// The fraction of the samples whose most probable class is their label.
    ///
    /// # Errors
    ///
    /// As [`loss`](Self::loss).
    pub fn accuracy<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
        labels: &[usize],
    ) -> Result<f64, Error> {
        let samples = samples.into();
        check_rows(samples, self.features(), SAMPLES[1])?;
        self.check_labels(samples.ncols(), labels)?;
        let predicted = self.predict(samples)?;
        let pairs = predicted.iter().zip(labels);
        let right = pairs.filter(|(predicted, label)| predicted == label);
        Ok(f64::of_count(right.count()) / f64::of_count(labels.len()))
    }

    /// J(θ) on the samples taken as one batch, term by term.
    ///
    /// # Errors
    ///
    /// As [`probabilities`](Self::probabilities) for the samples; [`Error::DimensionMismatch`] if
    /// there is not one label for each, [`Error::OutOfRange`] for a label that is no class.
    pub fn loss<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
        labels: &[usize],
    ) -> Result<ClassifierLoss<T>, Error> {
        let samples = samples.into();
        self.check_batch(samples, labels)?;
        let workspace = &mut ClassifierWorkspace::new();
        let theta = &self.theta;
        Ok(self
            .network
            .evaluate(theta, samples, labels, None, workspace))
    }

    /// J(θ) and its gradient on one batch, for optimizers and training loops of your own.
    /// `gradient` is overwritten, in the order of θ. Allocates nothing once the workspace has grown.
    ///
    /// # Errors
    ///
    /// As [`loss`](Self::loss), and [`Error::DimensionMismatch`] if `gradient` has not one entry
    /// per parameter.
    pub fn loss_and_gradient<'a>(
        &self,
        samples: impl Into<DMatrixView<'a, T>>,
        labels: &[usize],
        gradient: &mut [T],
        workspace: &mut ClassifierWorkspace<T>,
    ) -> Result<ClassifierLoss<T>, Error> {
        let samples = samples.into();
        self.check_batch(samples, labels)?;
        self.check_len("gradient", gradient.len())?;
        let (theta, gradient) = (&self.theta, Some(gradient));
        Ok(self
            .network
            .evaluate(theta, samples, labels, gradient, workspace))
    }

    /// The number of entries of a sample.
    #[must_use]
    pub fn features(&self) -> usize {
        self.network.features()
    }

    /// The number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.network.classes()
    }

    /// The number of layers, the softmax being one: 1 for softmax regression.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.network.layers.len()
    }

    /// λ, the weight decay.
    #[must_use]
    pub fn weight_decay(&self) -> T {
        self.network.weight_decay
    }

    /// Weights and biases of each layer, the one next to the samples first, the softmax last.
    #[must_use]
    pub fn layers(&self) -> impl ExactSizeIterator<Item = DenseView<'_, T>> {
        self.network.layers.iter().map(|layer| DenseView {
            weights: layer.weights(&self.theta),
            bias: DVectorView::from_slice(&self.theta[layer.bias.clone()], layer.above),
            activation: layer.activation,
        })
    }

    /// For training, which keeps the length; what it writes is finite.
    pub(crate) fn network_and_theta_mut(&mut self) -> (&Network<T>, &mut [T]) {
        self.packed.iter_mut().for_each(Packed::clear);
        (&self.network, &mut self.theta)
    }

    /// The flat parameter vector θ.
    #[must_use]
    pub fn theta(&self) -> &[T] {
        &self.theta
    }

    /// Replaces the flat parameter vector θ.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] for another length, [`Error::NonFinite`] for NaN and
    /// infinities; the classifier then keeps what it had.
    pub fn set_theta(&mut self, theta: &[T]) -> Result<(), Error> {
        self.check_len("parameters", theta.len())?;
        if !linalg::all_finite(theta) {
            let row = theta.iter().position(|value| !value.is_finite());
            return Err(Error::NonFinite {
                what: "parameters",
                row: row.unwrap_or(0),
                column: 0,
                value: theta[row.unwrap_or(0)].to_f64(),
            });
        }
        self.network_and_theta_mut().1.copy_from_slice(theta);
        Ok(())
    }
}
