//! Stacks as one deep autoencoder.

use std::sync::Arc;

use super::Stack;
use crate::error::Error;
use crate::model::per_layer::PerLayer;
use crate::model::{Layer, ModelSettings, Parameters};
use crate::penalty::Penalty;
use crate::{Activation, Real, SparseAutoencoder};

impl<T: Real> Stack<T> {
    /// Returns one deep autoencoder that encodes and decodes as the stack does, for fine-tuning.
    ///
    /// | setting | value |
    /// |---|---|
    /// | parameters, activations | copied from each layer |
    /// | sparsity targets | those of each layer |
    /// | penalty | none; see [`unroll_with_penalties`](Self::unroll_with_penalties) and [`unroll_penalized`](Self::unroll_penalized) |
    /// | reconstruction loss, weight decay | those of the outermost autoencoder |
    /// | bandwidth | that of the outermost one with [`JumpRelu`](crate::Activation::JumpRelu) units |
    /// | tied weights | if all autoencoders are tied |
    ///
    /// # Errors
    ///
    /// [`Error::Incompatible`] if an autoencoder above the outermost has a pre-encoder bias,
    /// [`Error::UnsupportedActivation`] if one of several has [`Gated`](crate::Activation::Gated) units. Deep
    /// autoencoders have neither.
    pub fn unroll(&self) -> Result<SparseAutoencoder<T>, Error> {
        self.unroll_to(|autoencoder, l| OfLayer {
            penalty: Arc::new(()),
            weight: 0.0,
            target: autoencoder.settings().sparsity_target_of(l),
        })
    }

    /// Runs [`unroll`](Self::unroll) and keeps the penalty of each hidden layer, with its weight β and its
    /// sparsity target ρ.
    ///
    /// Penalties are norm-weighted if that of the outermost autoencoder is.
    ///
    /// ```
    /// # use sparse_autoencoder::{Activation, SparseAutoencoder, Stack};
    /// let builder = SparseAutoencoder::<f32>::builder;
    /// let stack = Stack::new(vec![
    ///     builder().layers([9, 6]).sparsity_target(0.1).build()?,
    ///     builder().layers([6, 4]).penalty_weight(0.01).build()?,
    /// ])?;
    /// let deep = stack.unroll_with_penalties()?;
    /// assert_eq!(deep.penalty_weights(), [1.0, 0.01]);
    /// assert_eq!(deep.sparsity_targets(), [0.1, 0.05]);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`unroll`](Self::unroll), and [`Error::Incompatible`] for a norm-weighted penalty with bounded
    /// activations.
    pub fn unroll_with_penalties(&self) -> Result<SparseAutoencoder<T>, Error> {
        self.unroll_to(|autoencoder, l| OfLayer {
            penalty: Arc::clone(&autoencoder.objective().penalties[l]),
            weight: autoencoder.settings().penalty_weight_of(l),
            target: autoencoder.settings().sparsity_target_of(l),
        })
    }

    /// Runs [`unroll`](Self::unroll) with a penalty, its weight β, and its sparsity target ρ in (0, 1).
    ///
    /// The penalty applies to the hidden layers that are penalized in the stack. It is norm-weighted if
    /// the penalty of the outermost autoencoder is.
    ///
    /// ```
    /// # use sparse_autoencoder::{KlDivergence, SparseAutoencoder, Stack};
    /// let stack = Stack::new(vec![
    ///     SparseAutoencoder::<f32>::builder().layers([9, 6]).build()?,
    ///     SparseAutoencoder::builder().layers([6, 4]).build()?,
    /// ])?;
    /// let deep = stack.unroll_penalized(KlDivergence, 0.1, 0.05)?;
    /// assert_eq!(deep.penalty_weight(), 0.1);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`unroll`](Self::unroll), and:
    ///
    /// | error | cause |
    /// |---|---|
    /// | [`Error::InvalidParameter`] | a weight or target that the builder refuses |
    /// | [`Error::UnsupportedActivation`] | a penalty undefined for the activation of a penalized layer |
    /// | [`Error::Incompatible`] | a norm-weighted penalty with bounded activations |
    pub fn unroll_penalized(
        &self,
        penalty: impl Penalty<T> + 'static,
        penalty_weight: f64,
        sparsity_target: f64,
    ) -> Result<SparseAutoencoder<T>, Error> {
        let penalty: Arc<dyn Penalty<T>> = Arc::new(penalty);
        self.unroll_to(|_, _| OfLayer {
            penalty: Arc::clone(&penalty),
            weight: penalty_weight,
            target: sparsity_target,
        })
    }

    /// Unrolls the stack, with `of_layer(autoencoder, l)` for hidden layer `l` of each autoencoder.
    fn unroll_to(
        &self,
        of_layer: impl Fn(&SparseAutoencoder<T>, usize) -> OfLayer<T>,
    ) -> Result<SparseAutoencoder<T>, Error> {
        let tied = self.layers.iter().all(|layer| layer.layout().is_tied());
        let (mut layers, mut of_activations) = (Vec::new(), Vec::new());
        let mut of_layers = Vec::new();
        let (mut encoder, mut decoder, mut penalized) = (Vec::new(), Vec::new(), Vec::new());
        for (index, autoencoder) in self.layers.iter().enumerate() {
            if index > 0 && autoencoder.has_pre_encoder_bias() {
                return Err(Error::Incompatible {
                    what: "unrolling",
                    other: "a pre-encoder bias above the outermost autoencoder",
                });
            }
            layers.extend(autoencoder.parameters().layers().map(|layer| Layer {
                encoder_weights: layer.encoder_weights.into_owned(),
                encoder_bias: layer.encoder_bias.into_owned(),
                decoder_weights: (!tied).then(|| layer.decoder_weights.into_owned()),
                decoder_bias: layer.decoder_bias.into_owned(),
            }));
            of_activations.extend(autoencoder.parameters().layers().map(|layer| layer.own()));
            let settings = autoencoder.settings();
            of_layers.extend((0..settings.encoder.len()).map(|l| of_layer(autoencoder, l)));
            let penalized_here = (0..settings.encoder.len()).filter(|&l| settings.is_penalized(l));
            penalized.extend(penalized_here.map(|l| encoder.len() + l));
            encoder.extend_from_slice(&settings.encoder);
            decoder.extend_from_slice(&settings.decoder);
        }
        let outermost = self.layers[0].settings();
        let with_thresholds = self.layers.iter().find(|autoencoder| {
            let activations = autoencoder.hidden_activations();
            let by_threshold = |f: &Activation| f.traits().threshold;
            activations.iter().any(by_threshold)
        });
        let of_thresholds = with_thresholds.map_or(outermost, |of| of.settings());
        let mut parameters = Parameters::from_layers(&layers)?.for_activations(&encoder)?;
        let descriptions = of_layers.iter().map(|of| of.penalty.description());
        let mut settings = ModelSettings {
            encoder: PerLayer::Each(encoder),
            decoder: PerLayer::Each(decoder),
            penalty: Some(PerLayer::Each(descriptions.collect())),
            penalty_weight: PerLayer::Each(of_layers.iter().map(|of| of.weight).collect()),
            sparsity_target: PerLayer::Each(of_layers.iter().map(|of| of.target).collect()),
            penalized_layers: Some(penalized),
            bandwidth: of_thresholds.bandwidth,
            bandwidth_is_calibrated: of_thresholds.bandwidth_is_calibrated,
            ..outermost.clone()
        };
        if self.layers.len() > 1 {
            settings.matryoshka.clear(); // they belong to one hidden layer
        }
        settings.complete(parameters.layout())?;
        let penalties = of_layers.into_iter().map(|of| of.penalty);
        let objective = settings.objective(Some(PerLayer::Each(penalties.collect())))?;
        let (layout, theta) = parameters.layout_and_theta_mut();
        for (layer, values) in layout.blocks().iter().zip(of_activations) {
            for (range, values) in layer.own.iter().zip(values) {
                theta[range.clone()].copy_from_slice(values);
            }
        }
        Ok(SparseAutoencoder::from_parts(parameters, objective))
    }
}

/// What an unrolled hidden layer has of the sparsity term.
struct OfLayer<T> {
    penalty: Arc<dyn Penalty<T>>,
    /// β
    weight: f64,
    /// ρ
    target: f64,
}
