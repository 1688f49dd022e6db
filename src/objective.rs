//! The objective J(θ) and its gradient: the forward and the backward pass.
//!
//! # Legend
//!
//! `m` samples, `L` hidden layers. Layer `l` joins level `l` below to level `l + 1` above, level 0
//! being the input one; a column is a sample.
//!
//! ```text
//! H₀ = X̃                     the input: the samples X, or X with noise
//! H_{l+1} = f(W_lᵀ H_l + b_l)             l = 0 … L−1          encoder, f of layer l
//! R_L = H_L
//! R_l = g(D_l R_{l+1} + c_l)              l = L−1 … 0          decoder, g of level l; X̂ = R₀
//!
//! J = 1/m Σᵢ ℓ(x̂ᵢ, xᵢ) + λ/2 Σ‖W‖² + β Σ_l Ω(H_l; ρ)
//! ```
//!
//! With `Δ` for `∂J/∂(pre-activation)`, level by level from the output back:
//!
//! ```text
//! Δ(R₀) = 1/m ∂ℓ/∂x̂ ⊙ g′
//! ∂D_l = Δ(R_l) R_{l+1}ᵀ + λ D_l,    ∂c_l = Δ(R_l) 1
//! Δ(R_{l+1}) = D_lᵀ Δ(R_l) ⊙ g′
//! Δ(H_L) = (D_{L−1}ᵀ Δ(R_{L−1}) + β ∂Ω) ⊙ f′
//! Δ(H_l) = (W_l Δ(H_{l+1}) + β ∂Ω) ⊙ f′
//! ∂W_l = H_l Δ(H_{l+1})ᵀ + λ W_l,    ∂b_l = Δ(H_{l+1}) 1
//! ```
//!
//! Ng, *CS294A Lecture notes: Sparse autoencoder*, for one hidden layer with sigmoid units. (There
//! `W₁ = Wᵀ` and `W₂ = D`.) What some models do otherwise is in files of their own.

mod backward;
mod forward;
mod frozen;
mod inference;
mod matryoshka;
mod norm_weighted;
mod pre_encoder_bias;
mod residual;
mod sparse_path;
mod workspace;

pub use workspace::Workspace;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use nalgebra::{DMatrixView, DMatrixViewMut};

use crate::linalg::{Aligned, Packed};
use crate::model::{Layout, Settings};
use crate::penalty::Penalty;
use crate::training::all_reduce::Shares;
use crate::units::{Own, State, Units};
use crate::{Activation, Real};

/// What the difference between a sample and its reconstruction costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ReconstructionLoss {
    /// `ℓ(x̂, x) = ½ ‖x̂ − x‖²`
    #[default]
    SquaredError,
    /// `ℓ(x̂, x) = −Σₖ xₖ ln x̂ₖ + (1 − xₖ) ln(1 − x̂ₖ)`, for data in [0, 1] and a sigmoid output.
    ///
    /// Computed from the pre-activations, so that a saturated output costs neither infinity nor
    /// precision.
    BinaryCrossEntropy,
}

/// The terms of the objective, kept apart.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Loss<T> {
    /// `1/m Σᵢ ℓ(x̂ᵢ, xᵢ)`; the sum of those of all prefixes, where hidden units are
    /// [nested](crate::SparseAutoencoderBuilder::matryoshka)
    pub reconstruction: T,
    /// `λ/2 Σ‖W‖²`
    pub weight_decay: T,
    /// `β Σ_l Ω(H_l; ρ)`
    pub sparsity: T,
    /// What some models and some ways of training add, so that units learn which the reconstruction
    /// does not reach, such as the reconstruction from the gates of [`Activation::Gated`]; 0 for the
    /// others.
    pub auxiliary: T,
}

impl<T: Real> Loss<T> {
    pub(crate) fn zero() -> Self {
        Self {
            reconstruction: T::zero(),
            weight_decay: T::zero(),
            sparsity: T::zero(),
            auxiliary: T::zero(),
        }
    }

    /// The objective: the sum of the terms.
    #[must_use]
    pub fn total(&self) -> T {
        self.reconstruction + self.weight_decay + self.sparsity + self.auxiliary
    }
}

/// Everything that defines J except θ and the samples: the settings of a model, and its penalty.
#[derive(Debug, Clone)]
pub(crate) struct Objective<T> {
    pub(crate) settings: Settings,
    /// What the settings describe.
    pub(crate) penalty: Arc<dyn Penalty<T>>,
    /// The numbers of the settings as the scalar of the model.
    pub(crate) penalty_weight: T,
    pub(crate) sparsity_target: T,
    pub(crate) weight_decay: T,
    pub(crate) bandwidth: T,
}

impl<T> Deref for Objective<T> {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
    }
}

impl<T> DerefMut for Objective<T> {
    fn deref_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }
}

impl<T: Real> Objective<T> {
    /// The objective by settings that were checked, and the penalty that they describe.
    pub(crate) fn new(settings: Settings, penalty: Arc<dyn Penalty<T>>) -> Self {
        Self {
            penalty,
            penalty_weight: T::of(settings.penalty_weight),
            sparsity_target: T::of(settings.sparsity_target),
            weight_decay: T::of(settings.weight_decay),
            bandwidth: T::of(settings.bandwidth),
            settings,
        }
    }

    /// Whether level `l + 1` is penalized at all.
    pub(crate) fn penalizes(&self, l: usize, penalty_weight: T) -> bool {
        self.is_penalized(l) && penalty_weight > T::zero() && !self.penalty.is_zero()
    }
}

/// A batch: what the encoder sees, and what the reconstruction is compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch<'a, T: Real> {
    pub(crate) input: DMatrixView<'a, T>,
    pub(crate) target: DMatrixView<'a, T>,
    /// Where other processes have more of it.
    pub(crate) shares: Option<Shares<'a, T>>,
}

impl<'a, T: Real> From<DMatrixView<'a, T>> for Batch<'a, T> {
    fn from(samples: DMatrixView<'a, T>) -> Self {
        Self {
            input: samples,
            target: samples,
            shares: None,
        }
    }
}

fn matrix<T: Real>(buffer: &[T], rows: usize, columns: usize) -> DMatrixView<'_, T> {
    DMatrixView::from_slice(&buffer[..rows * columns], rows, columns)
}

fn matrix_mut<T: Real>(buffer: &mut [T], rows: usize, columns: usize) -> DMatrixViewMut<'_, T> {
    DMatrixViewMut::from_slice(&mut buffer[..rows * columns], rows, columns)
}

/// The objective at parameters θ.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass<'a, T> {
    pub(crate) objective: &'a Objective<T>,
    pub(crate) layout: &'a Layout,
    pub(crate) theta: &'a [T],
    pub(crate) now: Now<T>,
    /// Copies of the encoder's weights, a layer at each index: in inference, where a sample's result must
    /// not depend on how many come along. `None` in training.
    pub(crate) packed: Option<&'a [Packed<T>]>,
}

/// The settings of an objective that change over a fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Now<T> {
    /// β
    pub(crate) penalty_weight: T,
    /// The number of active units of the innermost layer, where its activation has one.
    pub(crate) k: Option<usize>,
}

impl<T: Real> Objective<T> {
    /// The settings as the model was built with them.
    pub(crate) fn now(&self) -> Now<T> {
        Now {
            penalty_weight: self.penalty_weight,
            k: self.encoder.last().and_then(Activation::k),
        }
    }
}

impl<'a, T: Real> Pass<'a, T> {
    /// The pass of a step of training.
    pub(crate) fn training(
        objective: &'a Objective<T>,
        layout: &'a Layout,
        theta: &'a [T],
        now: Now<T>,
    ) -> Self {
        Self {
            objective,
            layout,
            theta,
            now,
            packed: None,
        }
    }
}

impl<T: Real> Pass<'_, T> {
    /// The activation of layer `l`, with the k of now.
    pub(super) fn activation(&self, l: usize) -> Activation {
        let activation = self.objective.encoder[l];
        match self.now.k {
            Some(k) if l + 1 == self.layout.depth() => activation.with_k(k),
            _ => activation,
        }
    }

    /// Calls `f` with the units of layer `l`.
    pub(super) fn with_units<R>(&self, l: usize, f: impl FnOnce(&dyn Units<T>) -> R) -> R {
        self.activation(l).with(f)
    }

    /// The parameters of the units of layer `l`.
    pub(super) fn own(&self, l: usize) -> Own<'_, T> {
        self.layout.blocks()[l].own(self.theta, self.objective.bandwidth)
    }

    /// What the penalty sees of layer `l`, units × samples.
    pub(super) fn seen<'a>(
        &self,
        l: usize,
        m: usize,
        hidden: &'a [Aligned<T>],
        states: &'a [State],
    ) -> &'a [T] {
        let h = &hidden[l][..self.layout.blocks()[l].above * m];
        self.with_units(l, |units| units.seen(h, &states[l]))
    }

    /// Whether layer `l` is penalized at all.
    pub(super) fn penalizes(&self, l: usize) -> bool {
        self.objective.penalizes(l, self.now.penalty_weight)
    }

    /// J(θ), term by term; writes ∂J/∂θ over `gradient` if there is one.
    pub(crate) fn evaluate(
        &self,
        batch: Batch<'_, T>,
        mut gradient: Option<&mut [T]>,
        workspace: &mut Workspace<T>,
    ) -> Loss<T> {
        let m = batch.input.ncols();
        workspace.fit_to(self.layout);
        workspace.enter(self.layout.len() * m, |ws| {
            let centered = self.centered(batch.input, ws);
            let input_size = self.layout.input_size();
            let input = centered
                .as_ref()
                .map_or(batch.input, |x| matrix(x, input_size, m));
            let sparse = self.encode(input, ws);
            self.average_means(batch.shares, ws);
            let auxiliary = self.reconstruct_frozen(batch.target, sparse, ws);
            let reconstruction = self.reconstruct(batch.target, sparse, ws);
            let sparsity = match gradient.as_deref_mut() {
                None => (0..self.layout.depth()).rev().fold(T::zero(), |sum, l| {
                    sum + self.penalize(l, m, ws).loss // and the gradient goes unused
                }),
                Some(gradient) => {
                    gradient[self.layout.learned()..].fill(T::zero());
                    let sparsity = if sparse {
                        self.backpropagate_codes(input, gradient, ws)
                    } else {
                        self.backpropagate_decoder(m, gradient, ws);
                        self.backpropagate_encoder(input, gradient, ws)
                    };
                    if centered.is_some() {
                        self.backpropagate_centre(gradient);
                    }
                    sparsity
                }
            };
            ws.return_centered(centered);
            Loss {
                reconstruction,
                weight_decay: self.decay(gradient, ws),
                sparsity,
                auxiliary,
            }
        })
    }
}

/// Moves the parameters that do not learn, after a step whose last gradient `workspace` was used for.
pub(crate) fn after_step<T: Real>(
    objective: &Objective<T>,
    layout: &Layout,
    theta: &mut [T],
    workspace: &Workspace<T>,
) {
    let layers = layout.blocks().iter().zip(&workspace.states);
    for (f, (blocks, state)) in objective.encoder.iter().zip(layers) {
        let mut own = blocks.own_mut(theta);
        f.with(|units: &dyn Units<T>| units.after_step(&mut own, state));
    }
}
