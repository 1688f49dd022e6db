//! Greedy layer-wise training of several autoencoders.

use std::ops::ControlFlow;
use std::sync::Arc;

use nalgebra::{DMatrix, DMatrixView};

use crate::error::{Error, require};
use crate::model::EncodedSamples;
use crate::model::ModelSettings;
use crate::model::per_layer::PerLayer;
use crate::model::{Layer, Parameters};
use crate::penalty::Penalty;
use crate::training::observer::{Observer, of_epochs};
use crate::training::{Event, Verdict};
use crate::validate::check_len;
use crate::{Activation, AsMatrix, Epoch, Real, Report, Samples, SparseAutoencoder, Trainer};

/// Autoencoders in series: each is fitted to the hidden activations of the one below.
///
/// ```text
/// encode:  H₁ = encode₀(X),  H₂ = encode₁(H₁),  …      decode:  …,  Ĥ₁ = decode₁(Ĥ₂),  X̂ = decode₀(Ĥ₁)
/// ```
///
/// *Greedy layer-wise training* fits one autoencoder at a time, each with its own penalty, size, and
/// trainer (Bengio et al. 2007; Ng et al., *UFLDL Tutorial*: Stacked autoencoders). Fine-tuning then
/// trains all layers together:
///
/// | fine-tuning | call |
/// |---|---|
/// | as one deep autoencoder | [`unroll`](Self::unroll) |
/// | with labels | [`SoftmaxClassifier::on_top_of`](crate::SoftmaxClassifier::on_top_of) |
///
/// The module `files` (feature `files`) saves and loads a stack.
///
/// ```
/// use sparse_autoencoder::{Adam, L1, SparseAutoencoder, Stack, Trainer, nalgebra::DMatrix};
///
/// let samples = DMatrix::from_fn(12, 100, |i, j| ((i * j) % 5) as f64 / 4.0);
/// let mut stack = Stack::new(vec![
///     SparseAutoencoder::builder().layers([12, 8]).penalty_weight(0.1).build()?,
///     SparseAutoencoder::builder().layers([8, 3]).penalty(L1).penalty_weight(1e-3).build()?,
/// ])?;
/// let mut trainer = Trainer::new(Adam::new(1e-2)?).epochs(20);
/// let reports = stack.fit(&mut trainer, &samples)?;
/// assert_eq!(reports.len(), 2);
/// assert_eq!(stack.encode(&samples)?.shape(), (3, 100));
///
/// let mut deep = stack.unroll()?;
/// trainer.fit(&mut deep, &samples)?; // fine-tuning
/// assert_eq!(deep.layout().sizes(), [12, 8, 3]);
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Stack<T> {
    /// Never empty.
    layers: Vec<SparseAutoencoder<T>>,
}

impl<T> AsRef<[SparseAutoencoder<T>]> for Stack<T> {
    fn as_ref(&self) -> &[SparseAutoencoder<T>] {
        &self.layers
    }
}

/// The observer of a stack's fit, which is also given the index of the layer.
type ObserverOfLayers<'a, T> =
    dyn FnMut(usize, &Event<'_, T>) -> Result<ControlFlow<()>, Error> + 'a;

impl<T: Real> Stack<T> {
    /// Stacks autoencoders, fitted or not, the outermost first.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] without autoencoders, [`Error::DimensionMismatch`] unless the input
    /// size of each is the hidden size of the one below.
    pub fn new(layers: Vec<SparseAutoencoder<T>>) -> Result<Self, Error> {
        require(!layers.is_empty(), "layers of a stack", "at least 1", 0.0)?;
        for pair in layers.windows(2) {
            let (hidden, input) = (
                pair[0].layout().hidden_size(),
                pair[1].layout().input_size(),
            );
            check_len("input size of a stacked autoencoder", hidden, input)?;
        }
        Ok(Self { layers })
    }

    /// Returns the autoencoders, the outermost first.
    #[must_use]
    pub fn layers(&self) -> &[SparseAutoencoder<T>] {
        &self.layers
    }

    /// Returns the autoencoders by value, the outermost first.
    #[must_use]
    pub fn into_layers(self) -> Vec<SparseAutoencoder<T>> {
        self.layers
    }

    /// Fits the autoencoders one after the other with the same trainer, and returns a report for each.
    ///
    /// The outermost is fitted to the samples, and each other one to the hidden activations of the one below.
    /// All start from their current parameters. To use different trainers, call
    /// [`fit_layer`](Self::fit_layer) for each layer.
    ///
    /// Samples may be a matrix or a view, input × samples, or any other [`Samples`], with the same bits. For
    /// samples in memory, the hidden activations of one layer at a time are in memory, too. Those of other
    /// samples are computed when they are read, in every epoch.
    ///
    /// # Errors
    ///
    /// As [`Trainer::fit_with`]. Layers below a failed one stay fitted.
    pub fn fit(
        &mut self,
        trainer: &mut Trainer<T>,
        samples: impl Samples<T>,
    ) -> Result<Vec<Report<T>>, Error> {
        self.fit_with(trainer, samples, |_, _| ())
    }

    /// Runs [`fit`](Self::fit) with an observer of the layer, counted from 0, and the epoch.
    ///
    /// Stopping ends the training of that layer; the next layer follows. To end the whole fit, return an error.
    /// Write closures as for [`Trainer::fit_with`].
    ///
    /// # Errors
    ///
    /// As [`fit`](Self::fit), and those that the observer returns.
    pub fn fit_with<V: Verdict>(
        &mut self,
        trainer: &mut Trainer<T>,
        samples: impl Samples<T>,
        mut observer: impl FnMut(usize, &Epoch<'_, T>) -> V,
    ) -> Result<Vec<Report<T>>, Error> {
        let see = &mut |index, event: &Event<'_, T>| {
            of_epochs(|epoch: &Epoch<'_, T>| observer(index, epoch))(event)
        };
        self.fit_observed(trainer, &samples, false, see)
    }

    /// Runs [`fit`](Self::fit) with an observer of the layer, counted from 0, and of each [step and
    /// epoch](Event).
    ///
    /// A stop acts as in [`Trainer::fit_with_steps`] for that layer; the next layer follows. To end the whole
    /// fit, return an error.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use sparse_autoencoder::nalgebra::DMatrix;
    /// use sparse_autoencoder::{Adam, Event, SparseAutoencoder, Stack, Trainer};
    ///
    /// let samples = DMatrix::from_fn(12, 100, |i, j| ((i * j) % 5) as f64 / 4.0);
    /// let mut stack = Stack::new(vec![
    ///     SparseAutoencoder::builder().layers([12, 8]).build()?,
    ///     SparseAutoencoder::builder().layers([8, 3]).build()?,
    /// ])?;
    /// let mut trainer = Trainer::new(Adam::new(1e-2)?).epochs(3).batch_size(20);
    /// let reports = stack.fit_with_steps(&mut trainer, &samples, |layer, event| match event {
    ///     Event::Step(step) if layer == 0 && step.number == 7 => ControlFlow::Break(()),
    ///     _ => ControlFlow::Continue(()),
    /// })?;
    /// assert_eq!([reports[0].steps, reports[1].steps], [7, 15]); // five steps make an epoch
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`fit_with`](Self::fit_with).
    pub fn fit_with_steps<V: Verdict>(
        &mut self,
        trainer: &mut Trainer<T>,
        samples: impl Samples<T>,
        mut observer: impl FnMut(usize, &Event<'_, T>) -> V,
    ) -> Result<Vec<Report<T>>, Error> {
        let see = &mut |index, event: &Event<'_, T>| observer(index, event).verdict();
        self.fit_observed(trainer, &samples, true, see)
    }

    /// Implements the fits of all layers.
    fn fit_observed(
        &mut self,
        trainer: &mut Trainer<T>,
        samples: &dyn Samples<T>,
        sees_steps: bool,
        observer: &mut ObserverOfLayers<'_, T>,
    ) -> Result<Vec<Report<T>>, Error> {
        let last = self.layers.len() - 1;
        if last > 0 {
            trainer.or_refuse_to_fit(trainer.check_for_several())?;
        }
        let mut reports = Vec::with_capacity(self.layers.len());
        let mut hidden: Option<DMatrix<T>> = None;
        for index in 0..self.layers.len() {
            let (below, above) = self.layers.split_at_mut(index);
            let layer = &mut above[0];
            let encoded = EncodedSamples::of(below, samples);
            let input: &dyn Samples<T> = match (samples.in_memory(), &hidden) {
                (None, _) => &encoded,
                (Some(_), None) => samples,
                (Some(_), Some(hidden)) => hidden,
            };
            let see = &mut |event: &Event<'_, T>| observer(index, event);
            reports.push(trainer.fit_observed(layer, input, sees_steps, see)?);
            if let Some(input) = input.in_memory().filter(|_| index < last) {
                hidden = Some(trainer.or_refuse_to_fit(layer.encode(input))?);
            }
        }
        Ok(reports)
    }

    /// Fits only the autoencoder `index`, counted from 0 inwards, to the hidden activations of the one
    /// below.
    ///
    /// # Errors
    ///
    /// As [`fit_layer_with`](Self::fit_layer_with).
    pub fn fit_layer(
        &mut self,
        index: usize,
        trainer: &mut Trainer<T>,
        samples: impl Samples<T>,
    ) -> Result<Report<T>, Error> {
        self.fit_layer_with(index, trainer, samples, |_| ())
    }

    /// Runs [`fit_layer`](Self::fit_layer) with an observer, which may stop the training.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for an index beyond the innermost, and those of
    /// [`Trainer::fit_with`].
    pub fn fit_layer_with<V: Verdict>(
        &mut self,
        index: usize,
        trainer: &mut Trainer<T>,
        samples: impl Samples<T>,
        observer: impl FnMut(&Epoch<'_, T>) -> V,
    ) -> Result<Report<T>, Error> {
        let see = &mut of_epochs(observer);
        self.fit_layer_observed(index, trainer, &samples, false, see)
    }

    /// Runs [`fit_layer`](Self::fit_layer) with an observer of each [step and epoch](Event), as in
    /// [`Trainer::fit_with_steps`].
    ///
    /// # Errors
    ///
    /// As [`fit_layer_with`](Self::fit_layer_with).
    pub fn fit_layer_with_steps<V: Verdict>(
        &mut self,
        index: usize,
        trainer: &mut Trainer<T>,
        samples: impl Samples<T>,
        mut observer: impl FnMut(&Event<'_, T>) -> V,
    ) -> Result<Report<T>, Error> {
        let see = &mut |event: &Event<'_, T>| observer(event).verdict();
        self.fit_layer_observed(index, trainer, &samples, true, see)
    }

    /// Implements the fits of one layer.
    fn fit_layer_observed(
        &mut self,
        index: usize,
        trainer: &mut Trainer<T>,
        samples: &dyn Samples<T>,
        sees_steps: bool,
        observer: &mut Observer<'_, T>,
    ) -> Result<Report<T>, Error> {
        let place = index.min(self.layers.len());
        let (below, above) = self.layers.split_at_mut(place);
        let Some(layer) = above.first_mut() else {
            return trainer.or_refuse_to_fit(Err(Error::InvalidParameter {
                name: "index of a layer",
                requirement: "below the number of autoencoders in the stack",
                value: f64::of_count(index),
            }));
        };
        let encoded = EncodedSamples::of(below, samples);
        let hidden;
        let input: &dyn Samples<T> = match samples.in_memory() {
            _ if below.is_empty() => samples,
            None => &encoded,
            Some(whole) => {
                hidden = trainer.or_refuse_to_fit(encode_through(below, whole))?;
                &hidden
            }
        };
        trainer.fit_observed(layer, input, sees_steps, observer)
    }

    /// Encodes the samples of any source on reading, with the bits of [`encode`](Self::encode).
    ///
    /// Use it to fit a classifier to the hidden activations of a file. A batch of them is computed whenever it
    /// is read.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] if the samples have another number of entries than the input.
    pub fn encode_on_read<S: Samples<T>>(
        &self,
        samples: S,
    ) -> Result<EncodedSamples<'_, T, S>, Error> {
        EncodedSamples::checked(&self.layers, samples)
    }

    /// Returns the hidden activations of the innermost layer, units × samples.
    ///
    /// # Errors
    ///
    /// As [`SparseAutoencoder::encode`].
    pub fn encode(&self, samples: impl AsMatrix<T>) -> Result<DMatrix<T>, Error> {
        encode_through(&self.layers, samples.as_matrix()?)
    }

    /// Decodes hidden activations of the innermost layer, units × samples, to input × samples.
    ///
    /// # Errors
    ///
    /// As [`SparseAutoencoder::decode`].
    pub fn decode(&self, hidden: impl AsMatrix<T>) -> Result<DMatrix<T>, Error> {
        let mut decoded = self.layers[self.layers.len() - 1].decode(hidden)?;
        for layer in self.layers.iter().rev().skip(1) {
            decoded = layer.decode(&decoded)?;
        }
        Ok(decoded)
    }

    /// Encodes and decodes samples, input × samples.
    ///
    /// # Errors
    ///
    /// As [`SparseAutoencoder::reconstruct`].
    pub fn reconstruct(&self, samples: impl AsMatrix<T>) -> Result<DMatrix<T>, Error> {
        self.decode(&self.encode(samples)?)
    }

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
    /// [`Error::Incompatible`] if an autoencoder above the outermost has a pre-encoder bias, or if one
    /// of several has [`Gated`](crate::Activation::Gated) units. Deep autoencoders have neither.
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
    /// # use sparse_autoencoder::{Activation, L1, SparseAutoencoder, Stack};
    /// let builder = SparseAutoencoder::<f32>::builder;
    /// let stack = Stack::new(vec![
    ///     builder().layers([9, 6]).sparsity_target(0.1).build()?,
    ///     builder().layers([6, 4]).penalty(L1).penalty_weight(0.01).build()?,
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

fn encode_through<T: Real>(
    layers: &[SparseAutoencoder<T>],
    samples: DMatrixView<'_, T>,
) -> Result<DMatrix<T>, Error> {
    let mut hidden = layers[0].encode(samples)?;
    for layer in &layers[1..] {
        hidden = layer.encode(&hidden)?;
    }
    Ok(hidden)
}
