//! Sparse autoencoders: models that learn to describe each sample by a few active hidden units, and to
//! reconstruct the sample from them.
//!
//! ```
//! use sparse_autoencoder::nalgebra::DMatrixView;
//! use sparse_autoencoder::{Adam, KlDivergence, SparseAutoencoder, Trainer};
//!
//! // 200 samples of 8 entries, row by row as in NumPy or Arrow: a view, without a copy.
//! let rows: Vec<f32> = (0..1600).map(|k| f32::from((k / 8 + k % 8) % 4 == 0)).collect();
//! let samples = DMatrixView::from_slice(&rows, 8, 200);
//!
//! let mut sae = SparseAutoencoder::builder()
//!     .layers([8, 12]) // input size, hidden units
//!     .penalty(KlDivergence)
//!     .sparsity_target(0.1)
//!     .penalty_weight(0.3)
//!     .build()?;
//! Trainer::new(Adam::new(1e-2)?).epochs(300).fit(&mut sae, samples)?;
//!
//! let hidden = sae.encode(samples)?; // 12 × 200
//! let errors = sae.reconstruction_errors(samples)?; // ‖x̂ − x‖², one per sample
//! assert!(hidden.mean() < 0.2 && errors.mean() < 0.2);
//! # Ok::<(), sparse_autoencoder::Error>(())
//! ```
//!
//! # Where to start
//!
//! | you have | you want to | go to |
//! |---|---|---|
//! | **a job** | detect anomalies | [`AnomalyEnsemble`], without settings; [`AnomalyDetector`], with a model of yours |
//! | | detect them in a table with missing values | [`MissingValues`] |
//! | | find the most unusual samples of one table | [`AnomalyEnsemble::scores`] of its own samples: sort by them |
//! | | remove noise | [`Trainer::corruption`] |
//! | | reduce dimensions | [`SparseAutoencoder::encode`], with a narrow innermost [layer](SparseAutoencoderBuilder::layers) and `.penalty(())` |
//! | | pretrain a classifier | [`Stack`], [`SoftmaxClassifier::on_top_of`] |
//! | | save the result and serve it | the module `files` (feature `files`) |
//! | **a neural network** | find features in its activations | [Features of a network's activations](#features-of-a-networks-activations) |
//! | | predict what a layer computes, as a transcoder does | [`Recipe::output_size`] with [`Pairs`], [`SparseAutoencoderBuilder::skip`] |
//! | | find features that several layers share, as a crosscoder does | [`Joined`] |
//! | | load a published sparse autoencoder or transcoder | the module `files` (feature `files`) |
//! | | see what each unit responds to | [`metrics::UnitStatistics`] |
//! | **your own penalty** | write and check it | [`penalty`](penalty#writing-one): one method of about 15 lines |
//! | **your own loop** | compute the loss and its gradient | [Your own training loop](#your-own-training-loop) |
//! | **a choice to make** | choose units, a penalty, its weight, a learning rate | [`guide`] |
//! | | come from MATLAB, Keras, PyTorch, or SAELens | [the guide's last section](guide#from-other-systems), [`Convention`] |
//! | **a long fit** | show its progress, log it, stop it | [`Trainer::fit_with_steps`], [`LogWriter`] |
//! | **a table in CSV** | make it a matrix | [`view_rows`](view_rows#a-table-in-csv) |
//! | **much data** | train on files and streams | [`Samples`], [`NpyFile`], [`IdxFile`], [`Shards`], [`Subset`], [`ShuffleBuffer`] |
//! | | know the memory of a fit before it starts | [`Trainer::memory`] |
//! | | go on after an interruption | `Trainer::checkpoint`, `Trainer::resume` (feature `files`) |
//!
//! The main types: a [`SparseAutoencoderBuilder`] makes a [`SparseAutoencoder`]; a [`Trainer`] fits it with
//! an [`Optimizer`] ([`Sgd`], [`Adam`], or [`Lbfgs`]) and returns a [`Report`]. [`Scaling`] prepares samples, and
//! [`metrics`] measure the result. The README lists example programs.
//!
//! # Conventions
//!
//! - **A column is a sample**, and a row an entry (in tables, a *feature*). [nalgebra] stores columns contiguously, so
//!   a row-major `samples × entries` buffer is an `entries × samples` view of the same memory. Fits,
//!   calibrations, scores, and p-values take any [`Samples`]: a matrix, a view, or a file. Other methods, such as
//!   `encode` and `predict`, take any [`AsMatrix`], in memory; [`Samples::batches`] feeds them from a file.
//! - **Data terms are means over the samples** of a batch. Within a sample, squares are summed and halved;
//!   [`reconstruction_errors`](SparseAutoencoder::reconstruction_errors) and scores of detectors are not halved.
//! - **Weights are decayed, biases are not.** All [`Parameters`] lie in one flat vector, whose order [`Layout`]
//!   describes.
//! - **The mean activation ρ̂** of each hidden unit is taken over the batch.
//! - **At a kink the derivative is 0, and ties go to the lower index.** Thresholds of
//!   [`JumpRelu`](Activation::JumpRelu) are the exception: they learn by a pseudo-derivative around the jump.
//! - **Scalars** are `f32` or `f64` ([`Real`]). Random numbers are drawn in `f64` from a seeded Xoshiro256++.
//! - **The same seed gives the same bits** on one machine with one build, for any number of threads.
//! - **A sample's result depends on the sample and the model alone.** Its bits are the same by itself and among
//!   others. [`encode_sparse`](SparseAutoencoder::encode_sparse) returns the bits of
//!   [`encode`](SparseAutoencoder::encode);
//!   [`decode_sparse`](SparseAutoencoder::decode_sparse) agrees with [`decode`](SparseAutoencoder::decode), and a
//!   [`Loss`] with inference, up to rounding.
//! - **Nothing panics** on invalid data, settings, or parameters, unless memory runs out or your own code panics. An
//!   [`Error`] names the cause, the requirement, and the value. Before the first step it leaves the model unchanged;
//!   during training, such as by divergence or an unreadable sample, it leaves finite parameters.
//! - **A training step allocates nothing** once its buffers have grown, apart from jobs in rayon's queue. Methods
//!   ending in `_into` write to your matrices and reuse your [`Workspace`].
//!
//! # Objective
//!
//! ```text
//! J(θ) = 1/m Σᵢ ℓ(x̂ᵢ, xᵢ)  +  λ/2 Σ‖W‖²  +  Σ_l β_l Ω_l(H_l; ρ_l)
//!
//! H_{l+1} = f(W_lᵀ H_l + b_l),  H₀ = X          encoder, f for each layer
//! R_l     = g(D_l R_{l+1} + c_l),  R_L = H_L    decoder, X̂ = R₀
//!
//! m  samples of the batch         ℓ  reconstruction loss, ½‖x̂ − x‖² or binary cross-entropy
//! λ  decay of all weights W, D    Ω  penalty, on the penalized hidden layers H_l
//! β  penalty weight               ρ  sparsity target
//! ```
//!
//! ℓ is a [`ReconstructionLoss`], f and g are [`Activation`]s, and [`Initialization`] sets the first weights. A
//! [`Loss`] keeps the terms apart. Hidden layers share Ω, β, and ρ, unless a builder sets them for
//! [each](SparseAutoencoderBuilder::penalties). ([`Activation::Gated`] adds a term of its own.)
//!
//! # Penalties
//!
//! | penalty | Ω | asks for | use it |
//! |---|---|---|---|
//! | [`KlDivergence`] | `Σⱼ [ρ ln(ρ/ρ̂ⱼ) + (1−ρ) ln((1−ρ)/(1−ρ̂ⱼ))]` | mean activation ρ of every unit; 2ρ − 1 of tanh units | with sigmoid and saturating linear units: the classic choice |
//! | [`SquaredDeviation`] | `½ Σⱼ (ρ̂ⱼ − ρ)²` | the same | with unbounded units, which KL refuses |
//! | [`L1`] | `1/m Σᵢ ‖hᵢ‖₁` | a small sum of activations | with ReLU or [`Gated`](Activation::Gated) units; it shrinks ReLU activations, not gated ones |
//! | [`Proportion`] | `1/m Σᵢ Σ_{j ∉ top_k} \|hⱼᵢ\|`, `k = ⌈ρ·units⌉` | at most a proportion ρ of the units active in a sample | when you know that proportion; it does not shrink the k strongest |
//! | [`L0`] | `1/m Σᵢ ‖hᵢ‖₀` | few active units | with [`JumpRelu`](Activation::JumpRelu), whose thresholds it trains; it does not shrink |
//! | [`TargetL0`] | `(L₀/(ρ·units) − 1)²` | a proportion ρ of the units active on average | as `L0`, when you know that proportion |
//! | `()` | 0 | nothing | for a plain autoencoder, or units that are sparse by construction |
//!
//! `(a, b)` adds two penalties, and [`penalty::Scaled`] multiplies one. Units that are sparse by construction need
//! no penalty: [`TopK`](Activation::TopK), [`TopProportion`](Activation::TopProportion), and
//! [`AbsTopK`](Activation::AbsTopK) bound each sample,
//! [`BatchTopK`](Activation::BatchTopK) bounds a batch, and [`WinnerTakeAll`](Activation::WinnerTakeAll)
//! bounds each unit over a batch.
//!
//! # Features of a network's activations
//!
//! Interpretability trains wide sparse autoencoders on the activations of language models, and calls a
//! hidden unit a *latent* or a *feature*. A [`Recipe`] sets everything for a published variant, given its
//! width and its number of active units:
//!
//! ```
//! use sparse_autoencoder::nalgebra::DMatrix;
//! use sparse_autoencoder::recipe::{Recipe, Variant};
//!
//! let activations = DMatrix::<f32>::from_fn(16, 600, |i, j| ((i * 7 + j * j) % 13) as f32 - 4.0);
//! let recipe = Recipe::new(Variant::BatchTopK, 64, 4).samples(60_000);
//! let fitted = recipe.fit(&activations)?;
//! for warning in &fitted.report.warnings {
//!     println!("{warning}"); // dead units, a missed sparsity, …
//! }
//! let hidden = fitted.model.encode_sparse(&activations)?;
//! println!("{} active units in a sample", hidden.values().len() / 600);
//! # assert!(fitted.report.explained_variance.last().unwrap() > &0.9);
//! # Ok::<(), sparse_autoencoder::Error>(())
//! ```
//!
//! `fit` reads files as well, and [`Recipe::begin`] serves streams. [`Begun`](recipe::Begun) shows how to change a
//! choice. [`UnitStatistics`](metrics::UnitStatistics) lists the samples that activate each unit most, and
//! [`steer`](SparseAutoencoder::steer) edits units in samples and keeps their reconstruction error.
//!
//! # Your own training loop
//!
//! [`loss_and_gradient`](SparseAutoencoder::loss_and_gradient) evaluates the objective on one batch, and
//! [`set_theta`](SparseAutoencoder::set_theta) replaces the parameters:
//!
//! ```
//! use sparse_autoencoder::{SparseAutoencoder, Workspace, nalgebra::DMatrix};
//!
//! let samples = DMatrix::from_fn(8, 100, |i, j| f64::from(i / 2 == j % 4));
//! let mut sae = SparseAutoencoder::builder().layers([8, 4]).penalty_weight(0.01).build()?;
//! let before = sae.loss(&samples)?.total();
//!
//! let mut theta = sae.parameters().as_slice().to_vec();
//! let mut gradient = vec![0.0; theta.len()];
//! let mut workspace = Workspace::new(); // reused, so that a step allocates nothing
//! for _ in 0..100 {
//!     sae.loss_and_gradient(&samples, &mut gradient, &mut workspace)?;
//!     for (parameter, slope) in theta.iter_mut().zip(&gradient) {
//!         *parameter -= 0.5 * slope;
//!     }
//!     sae.set_theta(&theta)?;
//! }
//! assert!(sae.loss(&samples)?.total() < before);
//! # Ok::<(), sparse_autoencoder::Error>(())
//! ```
//!
//! Often less is enough: [`Trainer::partial_fit`] takes one step on a batch of yours, [`Trainer::fit_with`] shows you
//! each [`Epoch`], [`Trainer::fit_with_steps`] each [`Step`] too, and a trainer takes an [`Optimizer`] of your own.
//! [`Activation`] is closed, because files name it.
//! [`gradient_check`] compares gradients with central differences.
//!
//! # Cargo features
//!
//! - `rayon` (default): several threads for large products and passes, with the same bits.
//! - `files`: the module `files`, which saves and loads models, detectors, stacks, classifiers, scalers, and
//!   checkpoints, and reads and writes the files of SAELens, sparsify, Gemma Scope, Llama Scope, and
//!   dictionary_learning.
//! - `serde`: derives `Serialize` and `Deserialize` for settings and reports. A TOML or JSON file can then describe
//!   a run. Formats must be self-describing.
//! - `ndarray`: arrays, samples × features, wherever matrices are taken, and matrices as arrays, without a copy.
//! - `nalgebra-sparse`: conversions between [`SparseHidden`] and the `CscMatrix` of `nalgebra_sparse`.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::todo
    )
)]

pub mod applications;
#[cfg(feature = "serde")]
mod by_name;
mod compiled;
mod data;
mod error;
#[cfg(feature = "files")]
pub mod files;
pub mod gradient_check;
#[doc = include_str!("../docs/guide.md")]
pub mod guide {}
mod linalg;
mod matrix;
pub mod metrics;
mod model;
mod objective;
pub mod optimizer;
pub mod penalty;
mod real;
pub mod recipe;
mod sparse;
pub mod training;
mod units;
mod validate;

pub use applications::{
    AnomalyDetector, AnomalyDetectorBuilder, AnomalyDetectorSettings, AnomalyEnsemble,
    AnomalyEnsembleBuilder, ClassifierEpoch, ClassifierEvent, ClassifierLoss, ClassifierReport,
    ClassifierStep, ClassifierTrainer, ClassifierWorkspace, DenseView, EnsembleStep,
    FittedDetector, SoftmaxClassifier, Stack, Threshold, benjamini_hochberg,
};
pub use data::{
    Batches, Chunk, Corruption, IdxFile, ImputedSamples, Imputer, Joined, MissingValues, NpyFile,
    Pairs, Samples, ScaledSamples, Scaler, Scaling, Shards, ShuffleBuffer, Subset,
    geometric_median,
};
pub use error::Error;
pub use matrix::{AsMatrix, into_rows, view_rows};
#[cfg(feature = "ndarray")]
pub use matrix::{into_array, view_array};
pub use model::{
    Convention, EncodedSamples, Initialization, Layer, LayerView, Layout, ModelSettings,
    Parameters, SparseAutoencoder, SparseAutoencoderBuilder, SparseHidden,
};
pub use objective::{Loss, ReconstructionLoss, Workspace};
pub use optimizer::{Adam, Lbfgs, Optimizer, Schedule, Sgd};
pub use penalty::{KlDivergence, L0, L1, Penalty, Proportion, SquaredDeviation, TargetL0};
pub use real::Real;
pub use recipe::{Recipe, Variant};
#[cfg(feature = "files")]
pub use training::Every;
pub use training::{
    AllReduce, AnnealK, DeadUnits, Epoch, Event, LogWriter, Report, SetPoint, SetPointState, Step,
    StopReason, Trainer, TrainerSettings, Warning,
};
pub use units::Activation;

pub use nalgebra;
#[cfg(feature = "nalgebra-sparse")]
pub use nalgebra_sparse;
#[cfg(feature = "ndarray")]
pub use ndarray;

/// Runs the examples of the README as tests.
#[cfg(all(doctest, feature = "files"))]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
