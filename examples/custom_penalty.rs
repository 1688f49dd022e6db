//! Writes a sparsity penalty outside the crate and trains with it on handwritten digits.
//!
//! ```text
//! cargo run --release --example custom_penalty
//! ```
//!
//! It prints how the penalty weight changes the sparseness of the activations and the
//! reconstructions.

use std::error::Error;

use sparse_autoencoder::metrics::{ReconstructionMetrics, SparsityIndex, SparsityMetrics};
use sparse_autoencoder::nalgebra::{DMatrix, DMatrixView};
use sparse_autoencoder::penalty::{HiddenBatch, HiddenGradient};
use sparse_autoencoder::{
    Activation, Adam, Error as ModelError, NpyFile, Penalty, Real, Samples, SparseAutoencoder,
    Trainer,
};

/// Pulls the activations of a sample toward a single active unit.
///
/// ```text
/// Ω = 1/m Σᵢ ‖hᵢ‖₁ / (√n ‖hᵢ‖₂)
/// ∂Ω/∂hⱼᵢ = 1/(m √n) · (1 − hⱼᵢ ‖hᵢ‖₁ / ‖hᵢ‖₂²) / ‖hᵢ‖₂
/// ```
///
/// The `n` units must not be negative. Ω is `1/√n` if each sample has a single active unit, and 1 if
/// all units are equally active. Hoyer (2004, *Non-negative Matrix Factorization with Sparseness
/// Constraints*) calls `(√n − √n Ω) / (√n − 1)` the sparseness. Unlike the L1 norm, Ω ignores the
/// size of the activations and does not shrink them. A sample without an active unit counts as 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hoyer;

impl<T: Real> Penalty<T> for Hoyer {
    fn accumulate(
        &self,
        hidden: &HiddenBatch<'_, T>,
        scale: T,
        gradient: &mut HiddenGradient<'_, T>,
    ) -> T {
        let (m, n) = (T::of_count(hidden.samples()), T::of_count(hidden.units()));
        let share = T::one() / (m * n.sqrt());
        let mut omega = T::zero();
        let columns = gradient.per_activation().chunks_exact_mut(hidden.units());
        for (g, h) in columns.zip(hidden.columns()) {
            let l1 = h.iter().fold(T::zero(), |sum, &h| sum + h);
            let l2 = h.iter().fold(T::zero(), |sum, &h| sum + h * h).sqrt();
            if l2 <= T::zero() {
                continue; // keeps a NaN, so that it shows in the loss
            }
            omega += share * l1 / l2;
            for (g, &h) in g.iter_mut().zip(h) {
                *g += scale * share * (T::one() - (h / l2) * (l1 / l2)) / l2;
            }
        }
        omega
    }

    fn check(&self, activation: Activation, _target: T) -> Result<(), ModelError> {
        if activation.is_non_negative() {
            return Ok(());
        }
        Err(ModelError::UnsupportedActivation {
            what: "Hoyer",
            activation,
            requirement: "its values must not be negative",
        })
    }
}

/// Measurements on held-out digits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) l0: f64,
    pub(crate) sparseness: f64,
    pub(crate) explained_variance: f64,
}

/// Trains a model with the penalty weight β and measures it on 397 other digits.
pub(crate) fn train(penalty_weight: f64, epochs: usize) -> Result<Measured, Box<dyn Error>> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/digits.npy");
    let digits: DMatrix<f32> = NpyFile::open(file)?.to_matrix()? / 16.0;
    let (training, held_out) = digits.columns_range_pair(..1400, 1400..);
    let mut model = SparseAutoencoder::builder()
        .layers([64, 100])
        .hidden_activation(Activation::Relu)
        .penalty(Hoyer)
        .penalty_weight(penalty_weight)
        .build()?;
    Trainer::new(Adam::new(3e-3)?)
        .epochs(epochs)
        .batch_size(100)
        .fit(&mut model, training)?;
    measure(&model, held_out)
}

fn measure(
    model: &SparseAutoencoder<f32>,
    samples: DMatrixView<'_, f32>,
) -> Result<Measured, Box<dyn Error>> {
    let hidden = model.encode(samples)?;
    let mut sparsity = SparsityMetrics::new(hidden.nrows());
    sparsity.add(&hidden)?;
    let mut reconstruction = ReconstructionMetrics::new(samples.nrows());
    reconstruction.add(samples, &model.decode(&hidden)?)?;
    let undefined = "no sample has an active unit";
    Ok(Measured {
        l0: sparsity.l0().ok_or(undefined)?,
        sparseness: sparsity
            .population_sparsity(SparsityIndex::Hoyer)
            .ok_or(undefined)?,
        explained_variance: reconstruction
            .explained_variance()
            .ok_or("all samples are equal")?,
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let short = std::env::var_os("EXAMPLE_SHORT").is_some();
    let epochs = if short { 5 } else { 100 };
    println!("penalty weight   active units   sparseness   explained variance");
    for penalty_weight in [0.0, 0.1, 0.3, 0.6, 1.0] {
        let m = train(penalty_weight, epochs)?;
        println!(
            "{penalty_weight:<14} {:>10.1}/100 {:>12.3} {:>20.3}",
            m.l0, m.sparseness, m.explained_variance
        );
    }
    Ok(())
}
