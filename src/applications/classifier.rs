//! Softmax classification, of samples directly or on top of encoder layers.

mod classifier_report;
mod classifier_trainer;
mod classifier_workspace;
mod deep;
mod fitting;
mod label_checks;
mod network;

use nalgebra::{DMatrix, DVectorView};

pub use self::classifier_report::{
    ClassifierEpoch, ClassifierEvent, ClassifierLoss, ClassifierReport, ClassifierStep,
};
pub use self::classifier_trainer::ClassifierTrainer;
pub use self::classifier_workspace::ClassifierWorkspace;
pub use self::network::DenseView;
pub(crate) use self::network::{Dense, Network};
use crate::error::{Error, require, require_at_least_0, require_some};
use crate::linalg::{Aligned, Packed, reserve};
use crate::validate::{
    SAMPLES, check_batch, check_finite, check_len, even_chunk, refuse_non_finite,
};
use crate::{Activation, AsMatrix, Real};

/// A softmax classifier: softmax regression, or a deep classifier with hidden layers below.
///
/// ```text
/// A = X                                       softmax regression
/// A = f(Wᵀ X + b), …                          on top of encoder layers
/// P(y | x) = exp(z_y) / Σ_k exp(z_k),         z = Vᵀ a + c
/// J(θ) = −1/m Σᵢ ln P(yᵢ | xᵢ)  +  λ/2 Σ‖W‖²
/// ```
///
/// A column is a sample; a label is a class from 0 to `classes − 1`. λ decays the weights of every layer
/// including the softmax, but no biases.
///
/// **Pretraining** uses samples without labels (Ng et al., *UFLDL Tutorial*: Implement deep networks
/// for digit classification). J has no sparsity term.
///
/// 1. Fit an autoencoder or a [`Stack`](crate::Stack) to samples without labels.
/// 2. Fit a classifier to its hidden activations.
/// 3. Put the classifier on the encoder layers by [`on_top_of`](Self::on_top_of).
/// 4. *Fine-tune* all layers by a [`ClassifierTrainer`].
///
/// θ holds `W_0, b_0, …, V, c`, starting with the layer next to the samples. Each matrix is
/// *below × above*, column by column: column `j` belongs to unit `j` above. [`layers`](Self::layers)
/// returns views. The module `files` (feature `files`) saves and loads a classifier with all of its layers.
///
/// ```
/// use sparse_autoencoder::{ClassifierTrainer, Lbfgs, SoftmaxClassifier, nalgebra::DMatrix};
///
/// let samples = DMatrix::from_row_slice(1, 6, &[-3.0, -2.5, -2.0, 2.0, 2.5, 3.0]);
/// let labels = [0, 0, 0, 1, 1, 1];
/// let mut classifier = SoftmaxClassifier::new(1, 2)?.with_weight_decay(1e-4)?;
/// ClassifierTrainer::new(Lbfgs::new()).epochs(400).fit(&mut classifier, &samples, &labels)?;
/// assert_eq!(classifier.predict(&samples)?, labels);
/// assert!(classifier.probabilities(&samples)?[(1, 5)] > 0.99);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SoftmaxClassifier<T> {
    pub(crate) network: Network<T>,
    theta: Aligned<T>,
    /// Packed copies of the weights of each layer, cleared when θ changes.
    packed: Vec<Packed<T>>,
}

/// The maximum number of samples that pass through the layers together.
const CHUNK: usize = 1024;

/// Refuses numbers of features and classes that no classifier has.
pub(crate) fn check_ends(features: usize, classes: usize) -> Result<(), Error> {
    require_some("features", features)?;
    let count = f64::of_count(classes);
    require(classes >= 2, "classes", "at least 2", count)
}

impl<T: Real> SoftmaxClassifier<T> {
    /// Creates softmax regression from `features` to `classes`, without weight decay.
    ///
    /// All parameters are 0. Softmax regression with λ > 0 has a single optimum.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] without features, for fewer than two classes, or for more
    /// parameters than fit into memory.
    pub fn new(features: usize, classes: usize) -> Result<Self, Error> {
        check_ends(features, classes)?;
        Self::from_sizes(&[(features, classes, Activation::Identity)])
    }

    /// Sets the weight decay λ.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] unless λ is finite and at least 0.
    pub fn with_weight_decay(mut self, weight: f64) -> Result<Self, Error> {
        require_at_least_0::<T>("weight_decay", weight)?;
        self.network.weight_decay = T::of(weight);
        Ok(self)
    }

    /// Returns the most probable class of each sample. Ties go to the lower class.
    ///
    /// # Errors
    ///
    /// As [`probabilities`](Self::probabilities).
    pub fn predict(&self, samples: impl AsMatrix<T>) -> Result<Vec<usize>, Error> {
        let probabilities = self.probabilities(samples)?;
        let most_probable = |p: DVectorView<'_, T>| {
            (1..p.len()).fold(0, |best, k| if p[k] > p[best] { k } else { best })
        };
        Ok(probabilities.column_iter().map(most_probable).collect())
    }

    /// Returns the class probabilities `P(k | x)`, classes × samples. Every column sums to 1.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] for another number of features, [`Error::EmptyBatch`] without
    /// samples, [`Error::NonFinite`] for NaN and infinities, in the samples or from an overflow;
    /// [`Error::InvalidParameter`] if the probabilities do not fit into memory.
    pub fn probabilities(&self, samples: impl AsMatrix<T>) -> Result<DMatrix<T>, Error> {
        let samples = samples.as_matrix()?;
        check_batch(samples, self.features(), SAMPLES)?;
        let classes = self.classes();
        let name = "samples to classify together";
        let mut probabilities = reserve::matrix(classes, samples.ncols(), name)?;
        let mut workspace = ClassifierWorkspace::new();
        let chunk = even_chunk(samples.ncols(), CHUNK);
        let chunks = probabilities.as_mut_slice().chunks_mut(classes * chunk);
        for (index, p) in chunks.enumerate() {
            let x = samples.columns(index * chunk, p.len() / classes);
            let (theta, packed) = (&self.theta, &self.packed);
            self.network
                .probabilities_into(theta, packed, x, p, &mut workspace);
        }
        refuse_non_finite(probabilities.as_view(), "class probabilities")?;
        Ok(probabilities)
    }

    /// Returns the fraction of samples whose most probable class is their label, in [0, 1].
    ///
    /// # Errors
    ///
    /// As [`loss`](Self::loss).
    pub fn accuracy(&self, samples: impl AsMatrix<T>, labels: &[usize]) -> Result<f64, Error> {
        let samples = samples.as_matrix()?;
        check_len(SAMPLES[1], self.features(), samples.nrows())?;
        self.check_labels(samples.ncols(), labels)?;
        let predicted = self.predict(samples)?;
        let pairs = predicted.iter().zip(labels);
        let right = pairs.filter(|(predicted, label)| predicted == label);
        Ok(f64::of_count(right.count()) / f64::of_count(labels.len()))
    }

    /// Returns the terms of J(θ) on one batch of samples, features × samples, and their labels.
    ///
    /// # Errors
    ///
    /// As [`probabilities`](Self::probabilities) for the samples; [`Error::DimensionMismatch`] unless
    /// each sample has one label; [`Error::OutOfRange`] for a label that is no class.
    pub fn loss(
        &self,
        samples: impl AsMatrix<T>,
        labels: &[usize],
    ) -> Result<ClassifierLoss<T>, Error> {
        let samples = samples.as_matrix()?;
        self.check_batch(samples, labels)?;
        let workspace = &mut ClassifierWorkspace::new();
        let theta = &self.theta;
        Ok(self
            .network
            .evaluate(theta, samples, labels, None, workspace))
    }

    /// Returns the terms of J(θ) on one batch and overwrites `gradient` with ∂J/∂θ.
    ///
    /// Use it for your own optimizers and training loops. `gradient` has the order of θ. Once the
    /// workspace has grown, no call allocates.
    ///
    /// # Errors
    ///
    /// As [`loss`](Self::loss), and [`Error::DimensionMismatch`] unless `gradient` has one entry per
    /// parameter.
    pub fn loss_and_gradient(
        &self,
        samples: impl AsMatrix<T>,
        labels: &[usize],
        gradient: &mut [T],
        workspace: &mut ClassifierWorkspace<T>,
    ) -> Result<ClassifierLoss<T>, Error> {
        let samples = samples.as_matrix()?;
        self.check_batch(samples, labels)?;
        check_len("gradient", self.theta.len(), gradient.len())?;
        let (theta, gradient) = (&self.theta, Some(gradient));
        Ok(self
            .network
            .evaluate(theta, samples, labels, gradient, workspace))
    }

    /// Returns the number of entries of a sample.
    #[must_use]
    pub fn features(&self) -> usize {
        self.network.features()
    }

    /// Returns the number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.network.classes()
    }

    /// Returns the number of layers including the softmax: 1 for softmax regression.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.network.layers.len()
    }

    /// Returns the weight decay λ.
    #[must_use]
    pub fn weight_decay(&self) -> T {
        self.network.weight_decay
    }

    /// Iterates over views of the layers, from the one next to the samples to the softmax.
    #[must_use]
    pub fn layers(&self) -> impl ExactSizeIterator<Item = DenseView<'_, T>> {
        self.network.layers.iter().map(|layer| DenseView {
            weights: layer.weights(&self.theta),
            bias: DVectorView::from_slice(&self.theta[layer.bias.clone()], layer.above),
            activation: layer.activation,
        })
    }

    /// Returns the network and θ for training, which must write finite values only.
    pub(crate) fn network_and_theta_mut(&mut self) -> (&Network<T>, &mut [T]) {
        self.packed.iter_mut().for_each(Packed::clear);
        (&self.network, &mut self.theta)
    }

    /// Returns the flat parameter vector θ.
    #[must_use]
    pub fn theta(&self) -> &[T] {
        &self.theta
    }

    /// Replaces the flat parameter vector θ.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] for another length, [`Error::NonFinite`] for NaN and infinities;
    /// the classifier is then unchanged.
    pub fn set_theta(&mut self, theta: &[T]) -> Result<(), Error> {
        check_len("parameters", self.theta.len(), theta.len())?;
        check_finite("parameters", theta)?;
        self.network_and_theta_mut().1.copy_from_slice(theta);
        Ok(())
    }
}
