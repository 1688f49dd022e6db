//! Variants of sparse autoencoders at the same number of active units, trained on a stream of batches.

use std::error::Error;

use sparse_autoencoder::metrics::{ReconstructionMetrics, SparsityMetrics};
use sparse_autoencoder::nalgebra::{DMatrix, DMatrixView};
use sparse_autoencoder::{
    Activation, Adam, DeadUnits, Initialization, L1, Scaling, Schedule, SetPoint,
    SparseAutoencoder, SparseAutoencoderBuilder, TargetL0, Trainer, geometric_median,
};

/// How a sparse autoencoder selects its active units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// ReLU units with an L1 penalty on their contributions `hⱼ ‖dⱼ‖` (Conerly et al. 2024).
    L1,
    /// Gated units with the same penalty on the gates (Rajamanoharan et al. 2024, *Improving Dictionary Learning with Gated Sparse Autoencoders*).
    Gated,
    /// Gao et al. 2024.
    TopK,
    /// Bussmann et al. 2024.
    BatchTopK,
    /// Rajamanoharan et al. 2024, with a target for the number of active units.
    JumpRelu,
    /// BatchTopK where the first 1/32, 1/8, and 1/2 of the units also reconstruct alone (Bussmann et
    /// al. 2025).
    Matryoshka,
}

/// The penalty weight of JumpReLU, large enough to meet the target against the reconstruction.
const TARGET_WEIGHT: f64 = 100.0;

impl Variant {
    pub const ALL: [Self; 6] = [
        Self::L1,
        Self::Gated,
        Self::TopK,
        Self::JumpRelu,
        Self::BatchTopK,
        Self::Matryoshka,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::L1 => "ReLU, L1",
            Self::Gated => "Gated",
            Self::TopK => "TopK",
            Self::BatchTopK => "BatchTopK",
            Self::JumpRelu => "JumpReLU",
            Self::Matryoshka => "Matryoshka BatchTopK",
        }
    }

    fn builder(self, setting: &Setting) -> SparseAutoencoderBuilder<f32> {
        let builder = SparseAutoencoder::builder()
            .layers([setting.input_size, setting.hidden])
            .output_activation(Activation::Identity)
            .initialization(Initialization::TransposedDecoder { norm: 1.0 })
            .pre_encoder_bias(true)
            .seed(setting.seed);
        match self {
            Self::L1 => builder
                .hidden_activation(Activation::Relu)
                .penalty(L1)
                .penalty_weight(1e-3)
                .norm_weighted(true),
            Self::Gated => builder
                .hidden_activation(Activation::Gated)
                .penalty(L1)
                .penalty_weight(1e-3),
            Self::TopK => builder.hidden_activation(Activation::TopK(setting.active)),
            Self::BatchTopK => builder.hidden_activation(Activation::BatchTopK(setting.active)),
            Self::Matryoshka => builder
                .hidden_activation(Activation::BatchTopK(setting.active))
                .matryoshka([32, 8, 2].map(|part| setting.hidden / part)),
            Self::JumpRelu => builder
                .hidden_activation(Activation::JumpRelu)
                .bandwidth(setting.bandwidth)
                .penalty(TargetL0)
                .sparsity_target(ratio(setting.active, setting.hidden))
                .penalty_weight(TARGET_WEIGHT),
        }
    }
}

/// The settings that all variants of a comparison share.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub input_size: usize,
    pub hidden: usize,
    /// The target for the number of active units.
    pub active: usize,
    pub steps: usize,
    pub learning_rate: f64,
    /// ε, the bandwidth for the thresholds of `JumpRelu`.
    pub bandwidth: f64,
    /// The treatment of dead units.
    pub dead_units: Option<DeadUnits>,
    pub seed: u64,
}

/// A variant in training.
#[derive(Debug)]
pub struct Learner {
    pub model: SparseAutoencoder<f32>,
    pub trainer: Trainer<f32>,
}

impl Learner {
    /// Starts at the geometric median of the `first` samples.
    pub fn new(
        variant: Variant,
        setting: Setting,
        first: DMatrixView<'_, f32>,
    ) -> Result<Self, Box<dyn Error>> {
        let mut model = variant.builder(&setting).build()?;
        model.set_decoder_bias(&geometric_median(first)?)?;
        if variant == Variant::JumpRelu {
            model.calibrate_thresholds(first, ratio(setting.active, 1))?;
        }
        let mut trainer = Trainer::new(Adam::new(setting.learning_rate)?)
            .schedule(Schedule::linear(0.0).warm_up(0.02))
            .steps(setting.steps)
            .unit_norm_decoder(variant != Variant::L1);
        if let Some(dead_units) = setting.dead_units {
            trainer = trainer.dead_units(dead_units);
        }
        if matches!(variant, Variant::L1 | Variant::Gated) {
            // The penalty grows over part of the steps: a strong one at the start would silence
            // units for good.
            let gain = (30.0 / ratio(setting.steps, 1)).min(0.2);
            let set_point = SetPoint::active_units(ratio(setting.active, 1));
            trainer = trainer.set_point(set_point.gain(gain));
        }
        Ok(Self { model, trainer })
    }

    pub fn step(&mut self, batch: DMatrixView<'_, f32>) -> Result<(), Box<dyn Error>> {
        self.trainer.partial_fit(&mut self.model, batch)?;
        Ok(())
    }
}

/// The quality of a model in inference.
#[derive(Debug, Clone, Copy)]
pub struct Scores {
    pub l0: f64,
    /// Σ‖e‖² / Σ‖x − x̄‖²
    pub fvu: f64,
    /// Dead units in percent of all.
    pub dead: f64,
}

impl Scores {
    pub fn of(
        model: &SparseAutoencoder<f32>,
        samples: &DMatrix<f32>,
    ) -> Result<Self, Box<dyn Error>> {
        const CHUNK: usize = 1000; // bounds the memory for the activations
        let hidden = model.layout().sizes()[1];
        let mut reconstruction = ReconstructionMetrics::new(samples.nrows());
        let mut sparsity = SparsityMetrics::new(hidden);
        for start in (0..samples.ncols()).step_by(CHUNK) {
            let chunk = samples.columns(start, CHUNK.min(samples.ncols() - start));
            let hidden = model.encode(chunk)?;
            sparsity.add(&hidden)?;
            reconstruction.add(chunk, &model.decode(&hidden)?)?;
        }
        Ok(Self {
            l0: sparsity.l0().ok_or("no sample")?,
            fvu: reconstruction
                .fraction_of_variance_unexplained()
                .ok_or("all samples are equal")?,
            dead: 100.0 * ratio(sparsity.dead_units().len(), hidden),
        })
    }
}

/// Returns the factor that scales samples to a mean norm of √inputs. Settings then do not depend on
/// the scale of the data.
pub fn scale_to_unit_entries(samples: &DMatrix<f32>) -> Result<f32, Box<dyn Error>> {
    let scaling = Scaling::mean_norm(ratio(samples.nrows(), 1).sqrt());
    Ok(scaling.fit(samples)?.factors()[0])
}

#[allow(clippy::cast_precision_loss)] // counts
pub fn ratio(count: usize, of: usize) -> f64 {
    count as f64 / of as f64
}
