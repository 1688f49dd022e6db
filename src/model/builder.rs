//! The builder of a model.

use std::sync::Arc;

use super::per_layer::PerLayer;
use super::{Initialization, Layout, ModelSettings, Parameters, SparseAutoencoder};
use crate::error::Error;
use crate::objective::{Objective, ReconstructionLoss};
use crate::penalty::Penalty;
use crate::validate::check_len;
use crate::{Activation, Real};

/// Builds a [`SparseAutoencoder`].
///
/// ```text
/// J(θ) = 1/m Σᵢ ℓ(x̂ᵢ, xᵢ)  +  λ/2 Σ‖W‖²  +  Σ_l β_l Ω_l(H_l; ρ_l)
/// ```
///
/// | setter | default | range | meaning |
/// |---|---|---|---|
/// | [`layers`](Self::layers) | required | ≥ 2 sizes, each ≥ 1 | input, hidden, hidden, …; the decoder mirrors them |
/// | [`hidden_activation`](Self::hidden_activation) | `Sigmoid` | any; `Gated` for one layer | f of all hidden layers |
/// | [`hidden_activations`](Self::hidden_activations) | | one per layer | f of each hidden layer |
/// | [`output_activation`](Self::output_activation) | `Sigmoid` | any that does not select units | g of the reconstruction |
/// | [`reconstruction_loss`](Self::reconstruction_loss) | `SquaredError` | | ℓ |
/// | [`penalty`](Self::penalty) | by f: `KlDivergence` if bounded, `SquaredDeviation` for `Relu`, otherwise none | any [`Penalty`] | Ω of all hidden layers |
/// | [`penalties`](Self::penalties) | | one per layer | Ω of each hidden layer |
/// | [`sparsity_target`](Self::sparsity_target) | 0.05 | (0, 1) | ρ of all hidden layers |
/// | [`sparsity_targets`](Self::sparsity_targets) | | one per layer | ρ of each hidden layer |
/// | [`penalty_weight`](Self::penalty_weight) | 1 | ≥ 0 | β of all hidden layers |
/// | [`penalty_weights`](Self::penalty_weights) | | one per layer | β of each hidden layer |
/// | [`penalized_layers`](Self::penalized_layers) | all | indices of hidden layers | where Ω applies |
/// | [`weight_decay`](Self::weight_decay) | 0 | ≥ 0 | λ; biases are not decayed |
/// | [`norm_weighted`](Self::norm_weighted) | `false` | unbounded f | Ω sees `hⱼ ‖dⱼ‖` in place of `hⱼ` |
/// | [`matryoshka`](Self::matryoshka) | none | ascending, one hidden layer | groups of units that reconstruct by themselves |
/// | [`tied`](Self::tied) | `false` | | the decoder shares the encoder's weights |
/// | [`pre_encoder_bias`](Self::pre_encoder_bias) | `false` | `Identity` output | the encoder sees x − c |
/// | [`output_size`](Self::output_size) | none | ≥ 1 | makes a transcoder: it predicts targets of this size |
/// | [`skip`](Self::skip) | `false` | transcoders | a linear map from the input to the output, beside the units |
/// | [`bandwidth`](Self::bandwidth) | 0.05, or as calibrated | > 0 | ε of the pseudo-derivative of `JumpRelu`'s thresholds |
/// | [`initialization`](Self::initialization) | by the activations | | distribution of the initial weights |
/// | [`seed`](Self::seed) | 0 | | seed of the initial weights |
/// | [`parameters`](Self::parameters) | none | | initial parameters, instead of random ones |
/// | [`settings`](Self::settings) | | | all settings at once |
///
/// [`build`](Self::build) checks everything; the setters check nothing. `build` leaves the builder
/// unchanged, so that variations are cheap:
///
/// ```
/// use sparse_autoencoder::SparseAutoencoder;
///
/// let builder = SparseAutoencoder::<f64>::builder().layers([64, 100]).penalty_weight(3.0);
/// let models = [1, 2, 3].map(|seed| builder.clone().seed(seed).build());
/// assert!(models.iter().all(Result::is_ok));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct SparseAutoencoderBuilder<T> {
    settings: ModelSettings,
    /// Ω of each hidden layer, which the settings describe.
    penalties: Option<PerLayer<Arc<dyn Penalty<T>>>>,
    parameters: Option<Parameters<T>>,
}

impl<T: Real> Default for SparseAutoencoderBuilder<T> {
    fn default() -> Self {
        Self {
            settings: ModelSettings::default(),
            penalties: None,
            parameters: None,
        }
    }
}

impl<T: Real> SparseAutoencoderBuilder<T> {
    /// Replaces all settings, such as by those of a file or of [another
    /// model](SparseAutoencoder::settings).
    ///
    /// Later setters change single ones. A penalty of another crate is not part of settings: set it again
    /// by [`penalty`](Self::penalty).
    ///
    /// Settings of a model are complete: with other activations or layers, set the penalty and the decoder's
    /// activations, too.
    ///
    /// ```
    /// use sparse_autoencoder::SparseAutoencoder;
    ///
    /// let builder = SparseAutoencoder::<f64>::builder().layers([8, 12]).penalty_weight(0.1);
    /// let settings = builder.build()?.settings().clone();
    /// let single = SparseAutoencoder::<f32>::builder().settings(settings).seed(1).build()?;
    /// assert_eq!(single.penalty_weight(), 0.1);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    pub fn settings(mut self, settings: ModelSettings) -> Self {
        self.settings = settings;
        self.penalties = None;
        self
    }

    /// Sets the sizes of the layers: input, hidden, and further hidden layers inwards.
    ///
    /// The decoder mirrors them. A hidden layer may be larger than the input.
    pub fn layers(mut self, sizes: impl Into<Vec<usize>>) -> Self {
        self.settings.layers = sizes.into();
        self
    }

    /// Sets the activation of every hidden layer.
    ///
    /// In a deep decoder the mirrored layers have the same activation. [`Activation::Relu`] mirrors
    /// activations that select units, and `Identity` mirrors [`Activation::AbsTopK`].
    pub fn hidden_activation(mut self, activation: Activation) -> Self {
        self.settings.encoder = PerLayer::One(activation);
        self
    }

    /// Sets the activation of each hidden layer, the outermost first, in place of
    /// [`hidden_activation`](Self::hidden_activation).
    ///
    /// Each layer of a deep decoder mirrors the activation of the hidden layer at its level. The
    /// innermost activation has no mirror.
    ///
    /// A linear code between logistic layers, as in Hinton & Salakhutdinov (2006, *Reducing the
    /// Dimensionality of Data with Neural Networks*):
    ///
    /// ```
    /// use sparse_autoencoder::{Activation::{Identity, Sigmoid}, SparseAutoencoder};
    ///
    /// let sae = SparseAutoencoder::<f32>::builder()
    ///     .layers([64, 50, 20, 2])
    ///     .hidden_activations([Sigmoid, Sigmoid, Identity])
    ///     .build()?;
    /// assert_eq!(sae.hidden_activations(), [Sigmoid, Sigmoid, Identity]);
    /// assert_eq!(sae.decoder_activations(), [Sigmoid; 3]); // of levels 0, the output, to 2
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    pub fn hidden_activations(mut self, activations: impl Into<Vec<Activation>>) -> Self {
        self.settings.encoder = PerLayer::Each(activations.into());
        self
    }

    /// Sets the activation of the reconstruction. Choose it by the range of the data.
    pub fn output_activation(mut self, activation: Activation) -> Self {
        self.settings.decoder = PerLayer::One(activation);
        self
    }

    /// Sets the reconstruction loss ℓ.
    pub fn reconstruction_loss(mut self, loss: ReconstructionLoss) -> Self {
        self.settings.reconstruction_loss = loss;
        self
    }

    /// Sets the sparsity penalty Ω: one of [`penalty`](crate::penalty), a combination, or your own.
    ///
    /// The default suits the activation of each hidden layer:
    ///
    /// | activation | default |
    /// |---|---|
    /// | `Sigmoid`, `SaturatingLinear` | [`KlDivergence`](crate::KlDivergence) |
    /// | `Tanh` | the same, with the mean activation 2ρ − 1: most units are near −1, and none is 0 |
    /// | `Relu` | [`SquaredDeviation`](crate::SquaredDeviation), which has the same target ρ |
    /// | `Identity` | `()`, because linear units are never inactive |
    /// | units that select, or have thresholds or gates | `()` |
    ///
    /// Give `()` to a model of `Tanh` units that need not be near −1.
    pub fn penalty(mut self, penalty: impl Penalty<T> + 'static) -> Self {
        self.settings.penalty = Some(PerLayer::One(penalty.description()));
        self.penalties = Some(PerLayer::One(Arc::new(penalty)));
        self
    }

    /// Sets the sparsity penalty Ω of each hidden layer, the outermost first, in place of
    /// [`penalty`](Self::penalty).
    ///
    /// ```
    /// use sparse_autoencoder::{Activation::{Relu, Sigmoid}, KlDivergence, L1, SparseAutoencoder};
    ///
    /// let sae = SparseAutoencoder::<f32>::builder()
    ///     .layers([64, 100, 30])
    ///     .hidden_activations([Sigmoid, Relu])
    ///     .penalties(vec![Box::new(KlDivergence), Box::new(L1)])
    ///     .penalty_weights([0.3, 0.01])
    ///     .sparsity_targets([0.1, 0.05])
    ///     .build()?;
    /// assert_eq!(sae.penalty_weights(), [0.3, 0.01]);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    pub fn penalties(mut self, penalties: Vec<Box<dyn Penalty<T>>>) -> Self {
        let descriptions = penalties.iter().map(|penalty| penalty.description());
        self.settings.penalty = Some(PerLayer::Each(descriptions.collect()));
        let penalties = penalties.into_iter().map(Arc::from);
        self.penalties = Some(PerLayer::Each(penalties.collect()));
        self
    }

    /// Sets the sparsity target ρ of the penalty, in (0, 1): a mean activation, or a proportion of active units.
    ///
    /// [`KlDivergence`](crate::KlDivergence) takes it as a part of the activation's range: the mean activation of
    /// `Tanh` units becomes 2ρ − 1. Penalties without a target, such as [`L1`](crate::L1), ignore it.
    pub fn sparsity_target(mut self, target: f64) -> Self {
        self.settings.sparsity_target = PerLayer::One(target);
        self
    }

    /// Sets the sparsity target ρ of each hidden layer, the outermost first, in place of
    /// [`sparsity_target`](Self::sparsity_target).
    pub fn sparsity_targets(mut self, targets: impl Into<Vec<f64>>) -> Self {
        self.settings.sparsity_target = PerLayer::Each(targets.into());
        self
    }

    /// Sets the weight β of the penalty. A weight of 0 turns the penalty off.
    ///
    /// The best weight depends on the size of the reconstruction loss: see [the
    /// guide](crate::guide#choosing-the-penalty-weight). For samples of 64 entries in [0, 1], the default of 1 is
    /// strong.
    pub fn penalty_weight(mut self, weight: f64) -> Self {
        self.settings.penalty_weight = PerLayer::One(weight);
        self
    }

    /// Sets the weight β of the penalty of each hidden layer, the outermost first, in place of
    /// [`penalty_weight`](Self::penalty_weight).
    pub fn penalty_weights(mut self, weights: impl Into<Vec<f64>>) -> Self {
        self.settings.penalty_weight = PerLayer::Each(weights.into());
        self
    }

    /// Sets the hidden layers that are penalized, counted from 0 inwards. Each has its own ρ̂.
    pub fn penalized_layers(mut self, indices: impl Into<Vec<usize>>) -> Self {
        self.settings.penalized_layers = Some(indices.into());
        self
    }

    /// Sets the weight decay λ.
    pub fn weight_decay(mut self, weight: f64) -> Self {
        self.settings.weight_decay = weight;
        self
    }

    /// Sets whether the decoder uses the transposed weights of the encoder.
    pub fn tied(mut self, tied: bool) -> Self {
        self.settings.tied = tied;
        self
    }

    /// Sets whether the penalty sees each activation multiplied by the norm of its decoder column:
    /// `hⱼ ‖dⱼ‖`, the size of the unit's contribution.
    ///
    /// Small activations with long columns then do not evade the penalty. [`L1`](crate::L1) becomes that
    /// of Conerly et al. (2024), *Circuits Updates: Update on how we train SAEs*. The gradient reaches
    /// the decoder, too. Penalized layers must have unbounded activations.
    ///
    /// [`L0`](crate::L0) and [`TargetL0`](crate::TargetL0) count units, whatever their size: they stay the same.
    pub fn norm_weighted(mut self, weighted: bool) -> Self {
        self.settings.norm_weighted = weighted;
        self
    }

    /// Nests the hidden units in Matryoshka groups: the first `sizes[0]` units reconstruct the samples by
    /// themselves, and so do the first `sizes[1]`, and so on, and all units. `sizes` ascend, below the hidden size.
    ///
    /// ```text
    /// J = 1/m Σᵢ Σ_p ℓ(x̂ᵖᵢ, xᵢ) + …,     X̂ᵖ = g(D H⁽ᵖ⁾ + c),   H⁽ᵖ⁾: H with the first sizes[p] units only
    /// ```
    ///
    /// Each group has weight 1 (Bussmann et al. 2025, *Learning Multi-Level Features with Matryoshka
    /// Sparse Autoencoders*). The first units learn common features, and the last learn specific ones. The
    /// model must have one hidden layer, not of `Gated` units; the paper's are [`Activation::BatchTopK`]. Inference
    /// does not depend on the groups.
    ///
    /// ```
    /// use sparse_autoencoder::{Activation, SparseAutoencoder};
    ///
    /// let sae = SparseAutoencoder::<f32>::builder()
    ///     .layers([64, 512])
    ///     .hidden_activation(Activation::BatchTopK(8))
    ///     .output_activation(Activation::Identity)
    ///     .matryoshka([32, 128])
    ///     .build()?;
    /// assert_eq!(sae.matryoshka(), [32, 128]);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    pub fn matryoshka(mut self, sizes: impl Into<Vec<usize>>) -> Self {
        self.settings.matryoshka = sizes.into();
        self
    }

    /// Sets whether the bias `c` of the outermost decoder layer is subtracted from the samples before the
    /// encoder: `H = f(Wᵀ(X − c1ᵀ) + b)`, `X̂ = D H + c` (Bricken et al. 2023, *Towards
    /// Monosemanticity*).
    ///
    /// `c` then holds what all samples share. The output must be [`Activation::Identity`]. Start from the
    /// mean of the samples or their [geometric median](crate::geometric_median), by
    /// [`set_decoder_bias`](SparseAutoencoder::set_decoder_bias).
    pub fn pre_encoder_bias(mut self, subtracted: bool) -> Self {
        self.settings.pre_encoder_bias = subtracted;
        self
    }

    /// Makes the model a transcoder, which predicts targets of this size: what a part of a network computes from the
    /// input. Few of its units are active (Dunefsky, Chlenski & Nanda 2024, *Transcoders Find Interpretable LLM
    /// Feature Circuits*).
    ///
    /// ```text
    /// H = f(Wᵀ X + b),     Ŷ = g(D H + c),     J = 1/m Σᵢ ℓ(ŷᵢ, yᵢ) + …
    /// ```
    ///
    /// D has the rows of the output, whose size may be that of the input. A sample is a pair, the input and then its
    /// target: [`Pairs`](crate::Pairs) joins two sources.
    ///
    /// | samples | methods |
    /// |---|---|
    /// | pairs | all fits, [`partial_fit`](crate::Trainer::partial_fit), [`loss`](SparseAutoencoder::loss), [`loss_and_gradient`](SparseAutoencoder::loss_and_gradient), [`reconstruction_errors`](SparseAutoencoder::reconstruction_errors), [`start_at`](SparseAutoencoder::start_at), [`gradient_check`](crate::gradient_check), scalers to [`fold`](SparseAutoencoder::fold) |
    /// | the input alone | [`encode`](SparseAutoencoder::encode), [`encode_sparse`](SparseAutoencoder::encode_sparse), [`encode_on_read`](SparseAutoencoder::encode_on_read), [`reconstruct`](SparseAutoencoder::reconstruct) |
    /// | either | [`calibrate_thresholds`](SparseAutoencoder::calibrate_thresholds) |
    ///
    /// [Noise](crate::Trainer::corruption) is added to the input alone. Tied weights, a pre-encoder bias,
    /// [steering](SparseAutoencoder::steer), stacks, and anomaly detectors are refused.
    ///
    /// ```
    /// use sparse_autoencoder::nalgebra::DMatrix;
    /// use sparse_autoencoder::{Activation, Adam, Pairs, SparseAutoencoder, Trainer};
    ///
    /// let inputs = DMatrix::from_fn(8, 300, |i, j| ((i * j) % 5) as f32);
    /// let targets = DMatrix::from_fn(3, 300, |i, j| ((i + j) % 4) as f32); // outputs of a layer on these inputs
    /// let mut transcoder = SparseAutoencoder::builder()
    ///     .layers([8, 32])
    ///     .hidden_activation(Activation::TopK(4))
    ///     .output_activation(Activation::Identity)
    ///     .output_size(3)
    ///     .build()?;
    /// let pairs = Pairs::new(&inputs, &targets)?;
    /// Trainer::new(Adam::new(1e-2)?).epochs(5).fit(&mut transcoder, &pairs)?;
    /// assert_eq!(transcoder.reconstruct(&inputs)?.shape(), (3, 300));
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    pub fn output_size(mut self, entries: usize) -> Self {
        self.settings.output_size = Some(entries);
        self
    }

    /// Sets whether a [transcoder](Self::output_size) has a skip connection S, output × input:
    /// `Ŷ = g(D H + S X + c)`.
    ///
    /// S starts at 0. It takes over what is linear, and leaves the rest to the units (Paulo, Shabalin & Belrose 2025,
    /// *Transcoders Beat Sparse Autoencoders for Interpretability*). [`reconstruct`](SparseAutoencoder::reconstruct)
    /// adds it; [`decode`](SparseAutoencoder::decode), which has no input, returns the part of the units.
    pub fn skip(mut self, skip: bool) -> Self {
        self.settings.skip = skip;
        self
    }

    /// Sets the bandwidth ε of the pseudo-derivative of [`Activation::JumpRelu`]'s thresholds:
    /// pre-activations within ε/2 of a threshold move it.
    ///
    /// Choose it by the scale of the pre-activations. Thresholds do not learn if ε is below the spacing of
    /// floating-point numbers at the threshold.
    /// [`calibrate_thresholds`](SparseAutoencoder::calibrate_thresholds) finds one if none is set. Other
    /// activations ignore it.
    pub fn bandwidth(mut self, bandwidth: f64) -> Self {
        self.settings.bandwidth = Some(bandwidth);
        self.settings.bandwidth_is_calibrated = false;
        self
    }

    /// Sets the distribution of the initial weights. [`Initialization`] names the default.
    pub fn initialization(mut self, initialization: Initialization) -> Self {
        self.settings.initialization = Some(initialization);
        self
    }

    /// Sets the seed of the initial weights, and of the samples that calibration chooses.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// Sets the initial parameters, instead of random ones.
    ///
    /// They define the sizes of the layers and whether weights are tied. [`layers`](Self::layers) must
    /// agree if called, too. Missing parameters of the hidden activations, such as thresholds, start at 0.
    /// Unneeded ones are refused.
    pub fn parameters(mut self, parameters: Parameters<T>) -> Self {
        self.parameters = Some(parameters);
        self
    }

    /// Checks all settings and builds the model.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidParameter`] for a setting outside its range in the
    ///   [table](SparseAutoencoderBuilder).
    /// - [`Error::UnsupportedActivation`] for a penalty, loss, output, or shape that is not defined for the
    ///   activation.
    /// - [`Error::DimensionMismatch`] if parameters do not fit the layers, or if the numbers of activations and
    ///   hidden layers differ.
    /// - [`Error::Incompatible`] if parameters do not fit the activations, and for settings with a penalty of
    ///   another crate.
    #[inline(never)]
    pub fn build(&self) -> Result<SparseAutoencoder<T>, Error> {
        if let Some(parameters) = &self.parameters {
            self.check_layers_of(parameters)?;
            return self.build_with(parameters.clone());
        }
        let layout = self.settings.layout()?;
        let settings = self.completed(&layout)?;
        let (start, seed) = (settings.initialization(), settings.seed);
        let objective = settings.objective(self.penalties.clone())?;
        let theta = start.draw(&layout, seed)?;
        finish(objective, Parameters::from_aligned(layout, theta)?)
    }

    /// [`build`](Self::build), with these parameters instead of copied ones.
    pub(crate) fn build_with(
        &self,
        parameters: Parameters<T>,
    ) -> Result<SparseAutoencoder<T>, Error> {
        let settings = self.completed(parameters.layout())?;
        finish(settings.objective(self.penalties.clone())?, parameters)
    }

    fn completed(&self, layout: &Layout) -> Result<ModelSettings, Error> {
        let mut settings = self.settings.clone();
        settings.complete(layout)?;
        Ok(settings)
    }

    /// Refuses parameters of other layers, or of another output, than the settings name.
    fn check_layers_of(&self, parameters: &Parameters<T>) -> Result<(), Error> {
        let (layout, layers) = (parameters.layout(), &self.settings.layers);
        if let Some(output) = self.settings.output_size {
            check_len("outputs of the parameters", output, layout.output_size())?;
        }
        let transcodes = self.settings.output_size.is_some() || self.settings.skip;
        let other = match (layout.is_transcoder(), layout.has_skip()) {
            (false, _) if transcodes => Some("parameters of an autoencoder"),
            (_, false) if self.settings.skip => Some("parameters without one"),
            _ => None,
        };
        if let Some(other) = other {
            let what = "a transcoder or its skip connection";
            return Err(Error::Incompatible { what, other });
        }
        let sizes = layout.sizes();
        if layers.is_empty() {
            return Ok(());
        }
        let what = "layers of the parameters";
        check_len(what, layers.len(), sizes.len())?;
        for (&expected, &actual) in layers.iter().zip(sizes) {
            check_len(what, expected, actual)?;
        }
        Ok(())
    }
}

fn finish<T: Real>(
    objective: Objective<T>,
    parameters: Parameters<T>,
) -> Result<SparseAutoencoder<T>, Error> {
    let parameters = parameters.for_activations(&objective.encoder)?;
    Ok(SparseAutoencoder::from_parts(parameters, objective))
}
