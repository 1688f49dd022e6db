use std::sync::Arc;

use super::layer_activations::LayerActivations;
use super::{Initialization, Layout, Parameters, Settings, SparseAutoencoder};
use crate::error::Error;
use crate::objective::Reconstruction;
use crate::penalty::Penalty;
use crate::{Activation, Real};

/// Builds a [`SparseAutoencoder`].
///
/// ```text
/// J(θ) = 1/m Σᵢ ℓ(x̂ᵢ, xᵢ)  +  λ/2 Σ‖W‖²  +  β Σ_l Ω(H_l; ρ)
/// ```
///
/// | setter | default | range | meaning |
/// |---|---|---|---|
/// | [`layers`](Self::layers) | required | ≥ 2 sizes, each ≥ 1 | visible, hidden, hidden, …; the decoder mirrors them |
/// | [`hidden_activation`](Self::hidden_activation) | `Sigmoid` | any; `Gated` for one layer | f of all hidden layers |
/// | [`hidden_activations`](Self::hidden_activations) | | one for each | f of each hidden layer |
/// | [`output_activation`](Self::output_activation) | `Sigmoid` | none that selects units | g of the reconstruction |
/// | [`reconstruction`](Self::reconstruction) | `SquaredError` | | ℓ |
/// | [`penalty`](Self::penalty) | `KlDivergence`; none where an f selects units | any [`Penalty`] | Ω |
/// | [`sparsity_target`](Self::sparsity_target) | 0.05 | (0, 1) | ρ |
/// | [`penalty_weight`](Self::penalty_weight) | 1 | ≥ 0 | β |
/// | [`penalized_layers`](Self::penalized_layers) | all | indices of hidden layers | where Ω applies |
/// | [`weight_decay`](Self::weight_decay) | 0 | ≥ 0 | λ; biases are not decayed |
/// | [`norm_weighted`](Self::norm_weighted) | `false` | unbounded f | Ω sees `hⱼ ‖dⱼ‖` in place of `hⱼ` |
/// | [`matryoshka`](Self::matryoshka) | none | ascending, one hidden layer | sizes of prefixes that reconstruct by themselves |
/// | [`tied`](Self::tied) | `false` | | the decoder reads the encoder's weights |
/// | [`pre_encoder_bias`](Self::pre_encoder_bias) | `false` | `Identity` output | the encoder sees x − c |
/// | [`bandwidth`](Self::bandwidth) | 0.05 | > 0 | ε, by which the thresholds of `JumpRelu` learn |
/// | [`initialization`](Self::initialization) | `Glorot` | | how the weights start |
/// | [`seed`](Self::seed) | 0 | | of the initial weights |
/// | [`parameters`](Self::parameters) | none | | start from these instead |
///
/// Nothing is checked before [`build`](Self::build), which checks everything and leaves the builder
/// as it is, so that variations are cheap:
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
    settings: Settings,
    /// What the settings describe.
    penalty: Option<Arc<dyn Penalty<T>>>,
    parameters: Option<Parameters<T>>,
}

impl<T: Real> Default for SparseAutoencoderBuilder<T> {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            penalty: None,
            parameters: None,
        }
    }
}

impl<T: Real> SparseAutoencoderBuilder<T> {
    /// Replaces all settings, such as those of a file or of [another
    /// model](SparseAutoencoder::settings). Setters that follow change some of them. A penalty of another
    /// crate is not in settings: set it by [`penalty`](Self::penalty) again.
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
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self.penalty = None;
        self
    }

    /// The sizes of the layers: visible, hidden, and further hidden layers inwards. The decoder
    /// mirrors them. A hidden layer may be larger than the visible one.
    pub fn layers(mut self, sizes: impl Into<Vec<usize>>) -> Self {
        self.settings.layers = sizes.into();
        self
    }

    /// The activation of every hidden layer. In a deep decoder the mirrored layers have it too,
    /// but for the selecting activations, which are mirrored by [`Activation::Relu`].
    pub fn hidden_activation(mut self, activation: Activation) -> Self {
        self.settings.encoder = LayerActivations::One(activation);
        self
    }

    /// The activation of each hidden layer, the outermost first; takes the place of
    /// [`hidden_activation`](Self::hidden_activation). In a deep decoder every layer has the
    /// activation of the hidden layer of its level, mirrored as there, so that of the innermost is
    /// not mirrored: nothing else has its level.
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
    ///     .penalty(()) // the default, KlDivergence, is not defined for linear units
    ///     .build()?;
    /// assert_eq!(sae.hidden_activations(), [Sigmoid, Sigmoid, Identity]);
    /// assert_eq!(sae.decoder_activations(), [Sigmoid; 3]); // of levels 0, the output, to 2
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    pub fn hidden_activations(mut self, activations: impl Into<Vec<Activation>>) -> Self {
        self.settings.encoder = LayerActivations::Each(activations.into());
        self
    }

    /// The activation of the reconstruction: choose it by the range of the data.
    pub fn output_activation(mut self, activation: Activation) -> Self {
        self.settings.decoder = LayerActivations::One(activation);
        self
    }

    /// What the difference between a sample and its reconstruction costs.
    pub fn reconstruction(mut self, reconstruction: Reconstruction) -> Self {
        self.settings.reconstruction = reconstruction;
        self
    }

    /// The sparsity penalty Ω: one of [`penalty`](crate::penalty), a combination, or your own.
    pub fn penalty(mut self, penalty: impl Penalty<T> + 'static) -> Self {
        self.settings.penalty = Some(penalty.description());
        self.penalty = Some(Arc::new(penalty));
        self
    }

    /// The sparsity target ρ, which reaches the penalty: the mean activation, or the proportion of
    /// active units, that is wanted. Penalties without a target, such as [`L1`](crate::L1), do not
    /// use it.
    pub fn sparsity_target(mut self, target: f64) -> Self {
        self.settings.sparsity_target = target;
        self
    }

    /// The weight β of the penalty. With a weight of 0 there is none, whatever the penalty.
    pub fn penalty_weight(mut self, weight: f64) -> Self {
        self.settings.penalty_weight = weight;
        self
    }

    /// The hidden layers that are penalised, counted from 0 inwards. Each has its own ρ̂.
    pub fn penalized_layers(mut self, indices: impl Into<Vec<usize>>) -> Self {
        self.settings.penalized_layers = Some(indices.into());
        self
    }

    /// The weight decay λ.
    pub fn weight_decay(mut self, weight: f64) -> Self {
        self.settings.weight_decay = weight;
        self
    }

    /// Whether the decoder reads the weights of the encoder, transposed.
    pub fn tied(mut self, tied: bool) -> Self {
        self.settings.tied = tied;
        self
    }

    /// Whether the penalty sees every activation times the norm of its unit's column of the decoder:
    /// `hⱼ ‖dⱼ‖`, the size of what the unit contributes. Then it cannot be evaded by small
    /// activations and long columns, and [`L1`](crate::L1) is that of Conerly et al. (2024),
    /// *Circuits Updates: Update on how we train SAEs*. The gradient reaches the decoder, too.
    /// Bounded activations, which then are bounded no more, are refused where they are penalised.
    pub fn norm_weighted(mut self, weighted: bool) -> Self {
        self.settings.norm_weighted = weighted;
        self
    }

    /// Nests the hidden units: the first `sizes[0]` of them have to reconstruct the samples by
    /// themselves, and so have the first `sizes[1]`, and so on, and all of them,
    ///
    /// ```text
    /// J = 1/m Σᵢ Σ_g ℓ(x̂ᵍᵢ, xᵢ) + …,     X̂ᵍ = g(D H⁽ᵍ⁾ + c),   H⁽ᵍ⁾ being H without the units behind the prefix
    /// ```
    ///
    /// with weight 1 for each (Bussmann et al. 2025, *Learning Multi-Level Features with Matryoshka
    /// Sparse Autoencoders*). The first units then learn what is common and the last what is special,
    /// rather than a common feature being absorbed by special ones. It belongs to one hidden layer,
    /// there of [`Activation::BatchTopK`] units; inference knows nothing of it.
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
    /// assert_eq!(sae.prefixes(), [32, 128]);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    pub fn matryoshka(mut self, sizes: impl Into<Vec<usize>>) -> Self {
        self.settings.prefixes = sizes.into();
        self
    }

    /// Whether the encoder sees the samples less the bias `c` of the decoder, outermost: then
    /// `H = f(Wᵀ(X − c1ᵀ) + b)` and `X̂ = D H + c`, so that `c` stands for what all samples share
    /// (Bricken et al. 2023, *Towards Monosemanticity*). It needs an output of
    /// [`Activation::Identity`], where `c` is a sample. A good start is the mean of the samples, or
    /// their [geometric median](crate::geometric_median):
    /// [`set_decoder_bias`](SparseAutoencoder::set_decoder_bias).
    pub fn pre_encoder_bias(mut self, subtracted: bool) -> Self {
        self.settings.pre_encoder_bias = subtracted;
        self
    }

    /// The bandwidth ε of the pseudo-gradient by which the thresholds of [`Activation::JumpRelu`]
    /// learn: pre-activations within ε/2 of a threshold move it. Choose it by the scale of the
    /// pre-activations; other activations do not use it.
    pub fn bandwidth(mut self, bandwidth: f64) -> Self {
        self.settings.bandwidth = bandwidth;
        self
    }

    /// How the weights start.
    pub fn initialization(mut self, initialization: Initialization) -> Self {
        self.settings.initialization = initialization;
        self
    }

    /// The seed of the initial weights.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// Parameters to start from, instead of random ones. Layer sizes and tying are theirs;
    /// [`layers`](Self::layers), if it is called too, must agree. Thresholds and magnitudes that the
    /// hidden activations need, and that are not among them, start at 0; such as they do not need are
    /// refused.
    pub fn parameters(mut self, parameters: Parameters<T>) -> Self {
        self.parameters = Some(parameters);
        self
    }

    /// Checks everything and makes the model.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for a setting outside the range in the
    /// [table](SparseAutoencoderBuilder), [`Error::UnsupportedActivation`] for a penalty, a loss,
    /// or an output for which the activation is not defined, [`Error::DimensionMismatch`] if
    /// parameters do not fit the layers, or if there is not one activation for each hidden layer,
    /// [`Error::Incompatible`] if their thresholds or magnitudes do not fit the activations, and for
    /// gated units in several hidden layers.
    #[inline(never)]
    pub fn build(&self) -> Result<SparseAutoencoder<T>, Error> {
        self.build_with(self.initial_parameters()?)
    }

    /// [`build`](Self::build) with parameters that are moved, not copied.
    pub(crate) fn build_with(
        &self,
        parameters: Parameters<T>,
    ) -> Result<SparseAutoencoder<T>, Error> {
        let mut settings = self.settings.clone();
        settings.complete(parameters.layout())?;
        let parameters = parameters.for_activations(&settings.encoder)?;
        let objective = settings.objective(self.penalty.clone())?;
        Ok(SparseAutoencoder::from_parts(parameters, objective))
    }

    fn initial_parameters(&self) -> Result<Parameters<T>, Error> {
        let settings = &self.settings;
        let Some(parameters) = &self.parameters else {
            let layout = Layout::new(&settings.layers, settings.tied)?;
            let theta = settings.initialization.draw(&layout, settings.seed)?;
            return Parameters::from_aligned(layout, theta);
        };
        if !settings.layers.is_empty() {
            let sizes = parameters.layout().sizes();
            let given = std::iter::once((sizes.len(), settings.layers.len()))
                .chain(sizes.iter().copied().zip(settings.layers.iter().copied()));
            for (actual, expected) in given {
                if expected != actual {
                    return Err(Error::DimensionMismatch {
                        what: "layers of the parameters",
                        expected,
                        actual,
                    });
                }
            }
        }
        Ok(parameters.clone())
    }
}
