//! Sparse autoencoders: a model learns to describe each sample by a few active hidden units, and to
//! reconstruct the sample from them.
//!
//! ```
//! use sparse_autoencoder::nalgebra::DMatrixView;
//! use sparse_autoencoder::{Adam, KlDivergence, SparseAutoencoder, Trainer};
//!
//! // 200 samples of 8 entries, row by row as NumPy and Arrow have them: a view, no copy.
//! let rows: Vec<f32> = (0..1600).map(|k| f32::from((k / 8 + k % 8) % 4 == 0)).collect();
//! let samples = DMatrixView::from_slice(&rows, 8, 200);
//!
//! let mut sae = SparseAutoencoder::builder()
//!     .layers([8, 12]) // visible, hidden; more hidden units than entries is usual
//!     .penalty(KlDivergence)
//!     .sparsity_target(0.1)
//!     .penalty_weight(0.3)
//!     .build()?;
//! let report = Trainer::new(Adam::new(1e-2)?).epochs(300).fit(&mut sae, samples)?;
//! assert_eq!(report.epochs, 300);
//!
//! let hidden = sae.encode(samples)?; // 12 × 200, and decode leads back
//! let errors = sae.reconstruction_errors(samples)?; // ‖x̂ − x‖², one per sample
//! assert!(hidden.mean() < 0.2 && errors.mean() < 0.2);
//! # Ok::<(), sparse_autoencoder::Error>(())
//! ```
//!
//! A [`SparseAutoencoder`] is made by its [builder](SparseAutoencoderBuilder) and fitted by a
//! [`Trainer`] with an [`Optimizer`]: [`Sgd`], [`Adam`], or [`Lbfgs`], with a [`Schedule`] of the
//! learning rate and [`Corruption`] of the input if you like. An observer of `fit_with` sees every
//! [`Epoch`]; a [`Report`] says how it went and by which [`StopReason`] it ended. [`metrics`] measure
//! the result. [`Scaling`] makes a [`Scaler`] of the data, and an [`AnomalyDetector`], from its own
//! [builder](AnomalyDetectorBuilder), tells by a [`Threshold`] which samples a model does not know.
//! [`SparseHidden`] holds hidden activations without their zeros, and
//! [`metrics::UnitStatistics`] tells what each unit does over a stream of samples.
//! [`Samples`] that do not fit into memory are read as they are needed, from an [`NpyFile`], an
//! [`IdxFile`], or a source of your own; a [`ShuffleBuffer`] makes batches
//! of a stream of [`Chunk`]s.
//! A [`Stack`] fits one autoencoder on the codes of another, and a [`SoftmaxClassifier`] on top of
//! it fine-tunes them all.
//!
//! # Conventions
//!
//! - **A column is a sample.** Matrices are those of [nalgebra], which stores columns contiguously,
//!   so a row-major `samples × entries` buffer is an `entries × samples` view of the same memory.
//!   Methods take anything that converts into a `DMatrixView`; a [`Trainer`] takes any [`Samples`].
//! - **Data terms are means over the samples** of a batch; within a sample, squares are *summed* and
//!   halved. A [`Loss`] keeps the terms of the objective apart.
//! - **Weights are decayed, biases are not.** Weights of the encoder and of the decoder have one
//!   hidden unit per column; all [`Parameters`] lie in one flat vector, ordered as [`Layout`] says.
//!   They come in from matrices of your own as [`Layer`]s, and out as [`LayerView`]s.
//! - **The mean activation ρ̂ is that of the batch**, and each hidden layer has its own.
//! - **Kinks count as flat, ties go to the lower index**: see [`Activation`] and each penalty. Thresholds of
//!   [`Activation::JumpRelu`] are the exception: they learn by a pseudo-derivative around the jump.
//! - **Scalars** are `f32` or `f64` ([`Real`]). Random numbers are drawn in `f64` from a seeded,
//!   portable generator, Xoshiro256++.
//! - **The same seed gives the same bits** of a program on a machine, for any number of threads.
//! - **A sample's result depends on the sample and the model alone.** Encoding, decoding, scores, p-values,
//!   and probabilities have the same bits for a sample by itself, among others in any order and number,
//!   and on any number of threads. [`encode_sparse`](SparseAutoencoder::encode_sparse) has the bits of
//!   [`encode`](SparseAutoencoder::encode). Two ways of adding the same terms agree to rounding only:
//!   [`decode_sparse`](SparseAutoencoder::decode_sparse) with [`decode`](SparseAutoencoder::decode), a
//!   [`Loss`] with the results of inference, and a training step over few active units with one over all.
//! - **Nothing panics.** Whatever is wrong with data, settings, or parameters comes back as an
//!   [`Error`] that names it, the requirement, and the value, and the model stays as it was.
//!   Training that diverges is an error too, and leaves the last finite parameters. (Not this
//!   crate's: a lack of memory, a penalty or an observer of yours that panics, and nalgebra's own
//!   constructors, such as that of a view which is longer than its slice.)
//! - **A step of training allocates nothing** once its buffers have grown, but for jobs in
//!   rayon's queue. Methods that end in `_into` write to your matrices and reuse your
//!   [`Workspace`].
//!
//! # Objective
//!
//! ```text
//! J(θ) = 1/m Σᵢ ℓ(x̂ᵢ, xᵢ)  +  λ/2 Σ‖W‖²  +  β Σ_l Ω(H_l; ρ)
//!
//! H_{l+1} = f(W_lᵀ H_l + b_l),  H₀ = X          encoder, f of its own for each layer
//! R_l     = g(D_l R_{l+1} + c_l),  R_L = H_L    decoder, X̂ = R₀
//!
//! m  samples of the batch         ℓ  reconstruction loss, ½‖x̂ − x‖² or binary cross-entropy
//! λ  weight decay                 Ω  penalty, on the hidden layers H_l that are penalised
//! β  penalty weight               ρ  sparsity target
//! ```
//!
//! ℓ is a [`Reconstruction`], f and g are [`Activation`]s, and weights start as
//! [`Initialization`] says. ([`Activation::Gated`] adds a term of its own.) The gradient is written by hand;
//! [`loss_and_gradient`](SparseAutoencoder::loss_and_gradient) is public, and [`gradient_check`]
//! compares it with central differences.
//!
//! # Choosing a penalty
//!
//! | penalty | Ω | asks for | choose it |
//! |---|---|---|---|
//! | [`KlDivergence`] | `Σⱼ ρ ln(ρ/ρ̂ⱼ) + (1−ρ) ln((1−ρ)/(1−ρ̂ⱼ))` | every unit to have mean activation ρ | with bounded units (sigmoid, tanh, saturating linear): the classic choice |
//! | [`L1`] | `1/m Σᵢ ‖hᵢ‖₁` | a small sum of activations | with ReLU units, and where β may set the sparsity; it shrinks what it keeps, but for [`Gated`](Activation::Gated) units, whose gates it sees |
//! | [`Proportion`] | `1/m Σᵢ Σ_{j ∉ top_k} \|hⱼᵢ\|`, `k = ⌈ρ·units⌉` | at most a proportion ρ of the units active in each sample | where you know how many units may be active; it does not shrink the k strongest |
//! | [`L0`] | `1/m Σᵢ ‖hᵢ‖₀` | a small number of active units | with [`JumpRelu`](Activation::JumpRelu), whose thresholds learn of it; it does not shrink |
//! | [`TargetL0`] | `(L₀/(ρ·units) − 1)²` | a proportion ρ of the units active, on average | as `L0`, where you know how many units may be active |
//! | [`SquaredDeviation`] | `½ Σⱼ (ρ̂ⱼ − ρ)²` | every unit to have mean activation ρ | with unbounded units, which KL refuses |
//! | `()` | 0 | nothing | for a plain autoencoder, or one that is sparse by its activation |
//!
//! [`Activation::TopK`] and [`Activation::TopProportion`] are sparse by construction: a hard bound
//! per sample, no β to tune; [`Activation::BatchTopK`] bounds a batch as a whole, and
//! [`Activation::WinnerTakeAll`] each unit over the samples of a batch. Penalties combine: `(a, b)` is a sum, [`penalty::Scaled`] a multiple.
//! The activations can shrink while the weights of the decoder grow, which evades `L1` and
//! `Proportion`: give these a weight decay.
//!
//! # Features of a network's activations
//!
//! Most sparse autoencoders today are wide ones of the activations of language models. What is usual
//! there, in one piece: a mean norm of √d, a bias that starts at the median, a decoder with columns of
//! norm 1 and an encoder that starts as its transpose, units that compete over the batch and are
//! nested ([`matryoshka`](SparseAutoencoderBuilder::matryoshka)), and [`DeadUnits`] that learn from what
//! the others leave.
//!
//! ```
//! use sparse_autoencoder::nalgebra::DMatrix;
//! use sparse_autoencoder::*;
//!
//! let d = 16; // and here are its activations, one sample per column
//! let activations = DMatrix::<f32>::from_fn(d, 600, |i, j| ((i * 7 + j * j) % 13) as f32 - 4.0);
//!
//! let scaler = Scaling::mean_norm((d as f64).sqrt()).fit(&activations)?;
//! let samples = scaler.apply(&activations)?;
//! let mut sae = SparseAutoencoder::builder()
//!     .layers([d, 8 * d])
//!     .hidden_activation(Activation::BatchTopK(4))
//!     .output_activation(Activation::Identity)
//!     .initialization(Initialization::TransposedDecoder)
//!     .pre_encoder_bias(true)
//!     .matryoshka([d, 3 * d])
//!     .build()?;
//! sae.set_decoder_bias(&geometric_median(&samples)?)?;
//! let report = Trainer::new(Adam::new(1e-3)?)
//!     .epochs(10)
//!     .batch_size(100)
//!     .schedule(Schedule::linear(0.0).warm_up(0.1))
//!     .unit_norm_decoder(true)
//!     .dead_units(DeadUnits::after(1_200).auxiliary(d / 2, 1.0 / 32.0))
//!     .fit(&mut sae, &samples)?;
//! sae.fold(&scaler)?; // now it is one of the activations as they are
//!
//! let hidden = sae.encode_sparse(&activations)?;
//! println!("{} of {} units dead", report.dead_units[9], 8 * d);
//! println!("{} active units in a sample", hidden.values().len() / 600);
//! # Ok::<(), sparse_autoencoder::Error>(())
//! ```
//!
//! [`JumpRelu`](Activation::JumpRelu) with [`L0`] and [`Gated`](Activation::Gated) with [`L1`] need a
//! weight of the penalty: a [`SetPoint`] finds it from the number of active units that is wanted.
//! Thresholds should start near that number:
//! [`calibrate_thresholds`](SparseAutoencoder::calibrate_thresholds).
//!
//! # Writing a penalty
//!
//! [`Penalty`] is one method of about 15 lines, and one call of [`gradient_check::penalty`] checks
//! it: the module [`penalty`](penalty#writing-one) shows a whole one.
//!
//! # Features
//!
//! - `rayon` (default): several threads for large products and passes. Results are the same bits
//!   with and without it.
//! - `nalgebra-sparse`: conversions between [`SparseHidden`] and the `CscMatrix` of
//!   `nalgebra_sparse`.
//! - `safetensors`: the module `format`, which saves and loads models, and reads and writes the
//!   files in which sparse autoencoders are published: those of SAELens, sparsify, Gemma Scope,
//!   Llama Scope, and dictionary_learning.
//! - `serde`: `Trainer::checkpoint`, `save`, and `resume`, by which a training that was interrupted
//!   goes on, bit for bit; and the traits of serde for settings and reports. Includes `safetensors`.

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
mod data;
mod error;
#[cfg(feature = "safetensors")]
pub mod files;
#[cfg(feature = "safetensors")]
#[doc(hidden)]
pub use files as format;
pub mod gradient_check;
#[doc = include_str!("../docs/guide.md")]
pub mod guide {}
mod linalg;
pub mod metrics;
mod model;
mod objective;
pub mod optimizer;
pub mod penalty;
mod real;
mod sparse;
mod training;
mod units;
mod validate;

pub use applications::{
    AnomalyDetector, AnomalyDetectorBuilder, ClassifierEpoch, ClassifierLoss, ClassifierReport,
    ClassifierWorkspace, DenseView, SoftmaxClassifier, Stack, Threshold,
};
pub use data::{
    Batches, Chunk, Corruption, IdxFile, NpyFile, Samples, Scaler, Scaling, ShuffleBuffer,
    geometric_median,
};
pub use error::Error;
pub use model::{
    Convention, Initialization, Layer, LayerView, Layout, Parameters, SparseAutoencoder,
    SparseAutoencoderBuilder, SparseHidden,
};
pub use objective::{Loss, Reconstruction, Workspace};
pub use optimizer::{Adam, Lbfgs, Optimizer, Schedule, Sgd};
pub use penalty::{KlDivergence, L0, L1, Penalty, Proportion, SquaredDeviation, TargetL0};
pub use real::Real;
#[cfg(feature = "serde")]
pub use training::Every;
pub use training::{
    AllReduce, DeadUnits, Epoch, Report, SetPoint, SetPointState, StopReason, Trainer, Warning,
};
pub use units::Activation;

pub use nalgebra;
#[cfg(feature = "nalgebra-sparse")]
pub use nalgebra_sparse;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
