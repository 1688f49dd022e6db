//! Deep classifiers: encoder layers below a softmax.

use super::{Dense, Network, SoftmaxClassifier};
use crate::error::{Error, require};
use crate::linalg::{Aligned, Packed};
use crate::validate::{check_finite, check_len};
use crate::{Activation, Real, SparseAutoencoder};

impl<T: Real> SoftmaxClassifier<T> {
    /// Returns a deep classifier: the encoder layers of `autoencoders`, a [`Stack`](crate::Stack) or the outermost
    /// first, below the layers of this classifier.
    ///
    /// All parameters are copied. λ of this classifier then decays the weights of all layers.
    ///
    /// ```
    /// use sparse_autoencoder::{SoftmaxClassifier, SparseAutoencoder, Stack, nalgebra::DMatrix};
    ///
    /// let stack = Stack::new(vec![
    ///     SparseAutoencoder::<f64>::builder().layers([8, 5]).build()?,
    ///     SparseAutoencoder::builder().layers([5, 4]).build()?,
    /// ])?;
    /// let samples = DMatrix::from_element(8, 3, 0.5);
    /// let head = SoftmaxClassifier::new(4, 3)?;
    /// let deep = head.on_top_of(&stack)?;
    /// assert_eq!((deep.features(), deep.classes(), deep.depth()), (8, 3, 3));
    /// assert_eq!(deep.probabilities(&samples)?, head.probabilities(&stack.encode(&samples)?)?);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] unless the innermost hidden size is the number of features of this
    /// classifier and the autoencoders fit onto each other; [`Error::Incompatible`] for hidden
    /// activations with thresholds or gates; [`Error::NonFinite`] if folding the pre-encoder bias overflows a bias.
    pub fn on_top_of(
        &self,
        autoencoders: impl AsRef<[SparseAutoencoder<T>]>,
    ) -> Result<Self, Error> {
        self.on_top_of_all(autoencoders.as_ref())
    }

    fn on_top_of_all(&self, autoencoders: &[SparseAutoencoder<T>]) -> Result<Self, Error> {
        let mut sizes = Vec::new();
        let mut blocks = Vec::new();
        let check = |expected: Option<usize>, actual, what| match expected {
            Some(expected) => check_len(what, expected, actual),
            None => Ok(()),
        };
        let top = |sizes: &[(usize, usize, Activation)]| sizes.last().map(|&(_, above, _)| above);
        for autoencoder in autoencoders {
            let input = autoencoder.layout().input_size();
            check(top(&sizes), input, "input size of a stacked autoencoder")?;
            if autoencoder.layout().has_blocks() {
                return Err(Error::Incompatible {
                    what: "a classifier on top",
                    other: "JumpRelu, BatchTopK, or Gated units, whose thresholds and gates it does not train: take Relu, \
                            TopK, or Sigmoid",
                });
            }
            let theta = autoencoder.parameters().as_slice();
            let layers = autoencoder.layout().blocks().iter();
            let activations = autoencoder.hidden_activations();
            for (l, (layer, &activation)) in layers.zip(activations).enumerate() {
                sizes.push((layer.below, layer.above, activation));
                let (weights, bias) = (&layer.encoder_weights, &layer.encoder_bias);
                let subtracted = l == 0 && autoencoder.has_pre_encoder_bias();
                let c = subtracted.then(|| &theta[layer.decoder_bias.clone()]);
                blocks.push((&theta[weights.clone()], &theta[bias.clone()], c));
            }
        }
        check(top(&sizes), self.features(), "features of the classifier")?;
        let own = self.network.layers.iter();
        sizes.extend(own.map(|layer| (layer.below, layer.above, layer.activation)));
        let mut deep = Self::from_sizes(&sizes)?;
        deep.network.weight_decay = self.network.weight_decay;
        for (layer, (weights, bias, c)) in deep.network.layers.iter().zip(&blocks) {
            let theta = &mut deep.theta;
            theta[layer.weights.clone()].copy_from_slice(weights);
            let to = &mut theta[layer.bias.clone()];
            to.copy_from_slice(bias);
            if let Some(c) = c {
                // Wᵀ (x − c) + b = Wᵀ x + (b − Wᵀ c)
                for (b, w) in to.iter_mut().zip(weights.chunks_exact(layer.below)) {
                    *b -= T::dot(w, c);
                }
            }
        }
        let start = deep.theta.len() - self.theta.len();
        deep.theta[start..].copy_from_slice(&self.theta);
        check_finite("parameters", &deep.theta)?; // Wᵀ c may overflow
        Ok(deep)
    }

    /// Creates a classifier of zeros with dense layers of sizes (below, above) and an activation each.
    pub(crate) fn from_sizes(sizes: &[(usize, usize, Activation)]) -> Result<Self, Error> {
        let (mut layers, mut len) = (Vec::new(), Some(0_usize));
        for &(below, above, activation) in sizes {
            let start = len.unwrap_or(0);
            let end = below
                .checked_mul(above)
                .and_then(|weights| weights.checked_add(start));
            len = end.and_then(|end| end.checked_add(above));
            layers.push(Dense {
                below,
                above,
                activation,
                weights: start..end.unwrap_or(start),
                bias: end.unwrap_or(start)..len.unwrap_or(start),
            });
            if len.is_none() {
                break;
            }
        }
        let theta = len.and_then(Aligned::try_zeros);
        require(
            theta.is_some(),
            "features and classes",
            "few enough for the parameters to fit into memory",
            sizes
                .iter()
                .map(|&(below, above, _)| f64::of_count(below) * f64::of_count(above))
                .sum(),
        )?;
        let theta = theta.unwrap_or_default();
        let weight_decay = T::zero();
        let network = Network {
            layers,
            weight_decay,
        };
        let packed = network.layers.iter().map(|_| Packed::default()).collect();
        Ok(Self {
            network,
            theta,
            packed,
        })
    }
}
