//! The settings of a model: the builder fills them in, `build` checks them, the objective reads them, and
//! files store them.

mod checks;

use std::sync::Arc;

use super::per_layer::PerLayer;
use super::{Initialization, Layout};
use crate::error::Error;
use crate::objective::{Objective, ReconstructionLoss};
use crate::penalty::{Description, Penalty};
use crate::{Activation, Real};

/// The settings of a model: everything that defines it, except its parameters.
///
/// A [builder](crate::SparseAutoencoderBuilder) sets them one by one, or
/// [all at once](crate::SparseAutoencoderBuilder::settings). With the feature `serde` they can be read
/// from and written to any self-describing format of serde, such as JSON, TOML, or CBOR, with these keys:
///
/// | key | default | setter |
/// |---|---|---|
/// | `layers` | `[]`, refused | [`layers`](crate::SparseAutoencoderBuilder::layers) |
/// | `tied` | `false` | [`tied`](crate::SparseAutoencoderBuilder::tied) |
/// | `output_size` | none: an autoencoder | [`output_size`](crate::SparseAutoencoderBuilder::output_size) |
/// | `skip` | `false` | [`skip`](crate::SparseAutoencoderBuilder::skip) |
/// | `hidden_activations` | `"sigmoid"` | [`hidden_activations`](crate::SparseAutoencoderBuilder::hidden_activations); one activation stands for all layers |
/// | `decoder_activations` | `"sigmoid"` | [`output_activation`](crate::SparseAutoencoderBuilder::output_activation), mirrored inwards; a list has one for each level |
/// | `reconstruction_loss` | `"squared_error"` | [`reconstruction_loss`](crate::SparseAutoencoderBuilder::reconstruction_loss) |
/// | `penalty` | by the activation | [`penalty`](crate::SparseAutoencoderBuilder::penalty), by its [`Description`]; a list has one for each hidden layer |
/// | `penalty_weight` | 1 | [`penalty_weight`](crate::SparseAutoencoderBuilder::penalty_weight); a list has one for each hidden layer |
/// | `sparsity_target` | 0.05 | [`sparsity_target`](crate::SparseAutoencoderBuilder::sparsity_target); a list has one for each hidden layer |
/// | `penalized_layers` | all | [`penalized_layers`](crate::SparseAutoencoderBuilder::penalized_layers) |
/// | `weight_decay` | 0 | [`weight_decay`](crate::SparseAutoencoderBuilder::weight_decay) |
/// | `norm_weighted` | `false` | [`norm_weighted`](crate::SparseAutoencoderBuilder::norm_weighted) |
/// | `matryoshka` | `[]` | [`matryoshka`](crate::SparseAutoencoderBuilder::matryoshka) |
/// | `pre_encoder_bias` | `false` | [`pre_encoder_bias`](crate::SparseAutoencoderBuilder::pre_encoder_bias) |
/// | `bandwidth` | 0.05, or as calibrated | [`bandwidth`](crate::SparseAutoencoderBuilder::bandwidth) |
/// | `bandwidth_is_calibrated` | `false` | none: set by calibration, which may then replace `bandwidth` |
/// | `initialization` | by the activations | [`initialization`](crate::SparseAutoencoderBuilder::initialization) |
/// | `seed` | 0 | [`seed`](crate::SparseAutoencoderBuilder::seed) |
///
/// The keys `hidden_activation` and `output_activation` are accepted, too. Values are in snake case, with
/// their parameter if they have one: `"relu"`, `{"top_k": 32}`. An unknown key is an error.
///
/// A file can then hold a whole run:
///
/// ```toml
/// [scaling.target.range]
/// low = 0.1
/// high = 0.9
///
/// [model]
/// layers = [64, 100]
/// penalty = "kl_divergence"
/// sparsity_target = 0.1
///
/// [optimizer.adam]
/// learning_rate = 0.01
///
/// [trainer]
/// epochs = 50
/// ```
#[cfg_attr(
    feature = "files",
    doc = r###"
```
use sparse_autoencoder::{ModelSettings, Scaling, SparseAutoencoder, Trainer, TrainerSettings, optimizer};

#[derive(serde::Deserialize)]
struct Run {
    scaling: Scaling,
    model: ModelSettings,
    optimizer: optimizer::Description,
    trainer: TrainerSettings,
}

let json = r##"{
    "scaling": {"target": {"range": {"low": 0.1, "high": 0.9}}},
    "model": {"layers": [64, 100], "penalty": "kl_divergence", "sparsity_target": 0.1},
    "optimizer": {"adam": {"learning_rate": 0.01}},
    "trainer": {"epochs": 50}
}"##;
let run: Run = serde_json::from_str(json).unwrap();
let sae = SparseAutoencoder::<f32>::builder().settings(run.model).build()?;
let trainer: Trainer<f32> = Trainer::with_settings(run.optimizer.optimizer()?, run.trainer);
assert_eq!(run.scaling, Scaling::min_max(0.1, 0.9));
# Ok::<(), sparse_autoencoder::Error>(())
```
"###
)]
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        default,
        deny_unknown_fields,
        expecting = "a table with settings of a model, such as `layers`"
    )
)]
pub struct ModelSettings {
    pub(crate) layers: Vec<usize>,
    pub(crate) tied: bool,
    /// The output size of a transcoder; `None` for an autoencoder
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) output_size: Option<usize>,
    /// Whether a transcoder has a skip connection
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "std::ops::Not::not"))]
    pub(crate) skip: bool,
    /// f of each hidden layer, the outermost first
    #[cfg_attr(
        feature = "serde",
        serde(rename = "hidden_activations", alias = "hidden_activation")
    )]
    pub(crate) encoder: PerLayer<Activation>,
    /// g of each level, the output's first
    #[cfg_attr(
        feature = "serde",
        serde(rename = "decoder_activations", alias = "output_activation")
    )]
    pub(crate) decoder: PerLayer<Activation>,
    pub(crate) reconstruction_loss: ReconstructionLoss,
    /// Ω of each hidden layer; `None` for the default
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) penalty: Option<PerLayer<Description>>,
    /// β of each hidden layer
    pub(crate) penalty_weight: PerLayer<f64>,
    /// ρ of each hidden layer
    pub(crate) sparsity_target: PerLayer<f64>,
    /// `None` for all
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) penalized_layers: Option<Vec<usize>>,
    /// λ
    pub(crate) weight_decay: f64,
    /// Whether Ω sees `hⱼᵢ ‖dⱼ‖` in place of `hⱼᵢ`
    pub(crate) norm_weighted: bool,
    /// Sizes of the groups of the only hidden layer, excluding its width
    pub(crate) matryoshka: Vec<usize>,
    /// Whether the encoder sees `X̃ − c₀ 1ᵀ`
    pub(crate) pre_encoder_bias: bool,
    /// ε of the pseudo-derivative of thresholds; `None` for the default, which calibration replaces
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) bandwidth: Option<f64>,
    /// Whether calibration has found the bandwidth, and may replace it
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "std::ops::Not::not"))]
    pub(crate) bandwidth_is_calibrated: bool,
    /// `None` for the one that suits the activations
    #[cfg_attr(
        feature = "serde",
        serde(
            skip_serializing_if = "Option::is_none",
            deserialize_with = "crate::by_name::optional_choice"
        )
    )]
    pub(crate) initialization: Option<Initialization>,
    pub(crate) seed: u64,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            layers: Vec::new(),
            tied: false,
            output_size: None,
            skip: false,
            encoder: PerLayer::default(),
            decoder: PerLayer::default(),
            reconstruction_loss: ReconstructionLoss::default(),
            penalty: None,
            penalty_weight: PerLayer::One(1.0),
            sparsity_target: PerLayer::One(0.05),
            penalized_layers: None,
            weight_decay: 0.0,
            norm_weighted: false,
            matryoshka: Vec::new(),
            pre_encoder_bias: false,
            bandwidth: None,
            bandwidth_is_calibrated: false,
            initialization: None,
            seed: 0,
        }
    }
}

impl ModelSettings {
    /// Returns the layout of these sizes, without blocks of activations.
    pub(crate) fn layout(&self) -> Result<Layout, Error> {
        let refuse = |what, other| Err(Error::Incompatible { what, other });
        match self.output_size {
            None if self.skip => refuse(
                "a skip connection",
                "an autoencoder, which it would make the identity: set `output_size`",
            ),
            Some(_) if self.tied => refuse("tied weights", "a transcoder"),
            None => Layout::new(&self.layers, self.tied),
            Some(output) => Layout::transcoder(&self.layers, output, self.skip),
        }
    }

    /// Fills in every default, for a model of this layout.
    pub(crate) fn complete(&mut self, layout: &Layout) -> Result<(), Error> {
        self.layers = layout.sizes().to_vec();
        self.tied = layout.is_tied();
        self.output_size = layout.is_transcoder().then(|| layout.output_size());
        self.skip = layout.has_skip();
        let depth = layout.depth();
        if let PerLayer::One(activation) = self.encoder {
            self.encoder = PerLayer::Each(vec![activation; depth]);
        }
        layout.check_layers("hidden_activations", self.encoder.len())?;
        if let PerLayer::One(output) = self.decoder {
            let mirrored = self.encoder[..depth - 1]
                .iter()
                .map(|f| f.traits().mirror.into());
            let decoder = std::iter::once(output).chain(mirrored).collect();
            self.decoder = PerLayer::Each(decoder);
        }
        layout.check_layers("decoder_activations", self.decoder.len())?;
        self.penalty_weight.complete("penalty_weights", layout)?;
        self.sparsity_target.complete("sparsity_targets", layout)?;
        let suited = self.encoder.iter().map(|&f| Description::suited_to(f));
        let suited = || PerLayer::Each(suited.collect());
        let penalty = self.penalty.get_or_insert_with(suited);
        penalty.complete("penalties", layout)
    }

    /// Returns β of layer `l`.
    pub(crate) fn penalty_weight_of(&self, l: usize) -> f64 {
        *self.penalty_weight.of(l)
    }

    /// Returns ρ of layer `l`.
    pub(crate) fn sparsity_target_of(&self, l: usize) -> f64 {
        *self.sparsity_target.of(l)
    }

    /// Returns the index of the innermost hidden layer of these [complete](Self::complete) settings.
    pub(crate) fn innermost(&self) -> usize {
        self.encoder.len().saturating_sub(1)
    }

    /// Whether the units of the innermost layer can be exactly 0.
    pub(crate) fn vanishes(&self) -> bool {
        self.encoder[self.innermost()].traits().vanishes
    }

    /// Returns the mean number of active units of the innermost layer at its sparsity target.
    pub(crate) fn target_l0(&self) -> f64 {
        let units = self.layers.last().copied().unwrap_or(0);
        self.sparsity_target_of(self.innermost()) * f64::of_count(units)
    }

    /// Returns the bandwidth ε of the thresholds.
    pub(crate) fn bandwidth(&self) -> f64 {
        self.bandwidth.unwrap_or(0.05)
    }

    /// Returns whether the innermost units have thresholds, which learn to reach the sparsity target.
    pub(crate) fn targets_l0(&self) -> bool {
        let innermost = self.encoder.last();
        let by_threshold = innermost.is_some_and(|f| f.traits().threshold);
        let penalty = self.penalty.as_ref();
        let penalty = penalty.map(|penalty| penalty.of(self.innermost()));
        by_threshold && penalty.is_some_and(Description::has_target_l0)
    }

    /// Returns the initialization of a model with these [complete](Self::complete) settings.
    pub(crate) fn initialization(&self) -> Initialization {
        let suited = match (&self.encoder[..], &self.layers[..]) {
            ([f], &[d, n]) if f.traits().vanishes && f.range().is_none() => {
                let fixed = f.traits().chooses.fixes_number();
                let norm = match self.output_size {
                    Some(_) => 0.6,
                    None if fixed => 0.1,
                    // Half of the units are active: D f(Dᵀx) ≈ norm² n/2d x is then at most x.
                    None => (2.0 * f64::of_count(d) / f64::of_count(n)).sqrt().min(1.0),
                };
                Initialization::TransposedDecoder { norm }
            }
            _ => Initialization::Glorot,
        };
        let linear = self.decoder[0] == Activation::Identity;
        let suited = if linear {
            suited
        } else {
            Initialization::Glorot
        };
        self.initialization.unwrap_or(suited)
    }

    /// Checks these [complete](Self::complete) settings and returns the objective of a model.
    ///
    /// `penalties` are those that they describe. They are required for penalties of other crates.
    pub(crate) fn objective<T: Real>(
        mut self,
        penalties: Option<PerLayer<Arc<dyn Penalty<T>>>>,
    ) -> Result<Objective<T>, Error> {
        self.check_numbers::<T>()?;
        self.check_penalized_layers()?;
        self.check_activations()?;
        self.check_groups()?;
        let penalty_of = |l: usize| match &penalties {
            Some(given) => Some(given.of(l).clone()),
            None => self.penalty.as_ref()?.of(l).penalty(),
        };
        let layers = 0..self.encoder.len();
        let Some(penalties) = layers.map(penalty_of).collect::<Option<Vec<_>>>() else {
            return Err(Error::Incompatible {
                what: "a penalty of another crate",
                other: "settings alone: give it to the builder by `.penalty(…)`",
            });
        };
        self.check_penalties(&penalties)?;
        Ok(Objective::new(self, penalties))
    }

    /// Whether hidden layer `l` is penalized, if there is a penalty.
    pub(crate) fn is_penalized(&self, l: usize) -> bool {
        self.penalized_layers
            .as_ref()
            .is_none_or(|layers| layers.contains(&l))
    }

    /// Returns the settings without those that only affect the start of a training.
    pub(crate) fn without_start(&self) -> Self {
        Self {
            bandwidth_is_calibrated: false,
            initialization: None,
            seed: 0,
            ..self.clone()
        }
    }
}
