//! A sparsity penalty of one's own: Hoyer's sparseness, written outside the crate, trained on
//! handwritten digits.
//!
//! ```text
//! cargo run --release --example custom_penalty
//! ```
//!
//! It writes `out/custom_penalty.svg`: what the weight of the penalty does to the sparseness of the
//! activations, and to the reconstructions.

use std::error::Error;
use std::path::Path;

use chart::curves::{Axis, Curve, Panel, Place};
use sparse_autoencoder::metrics::{ReconstructionMetrics, SparsityIndex, SparsityMetrics};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::penalty::{HiddenBatch, HiddenGradient};
use sparse_autoencoder::{
    Activation, Adam, Error as ModelError, Penalty, Real, SparseAutoencoder, Trainer,
};

mod chart;
#[path = "data/mod.rs"]
mod data;

/// How far the activations of a sample are from one unit that is active alone.
///
/// ```text
/// Ω = 1/m Σᵢ ‖hᵢ‖₁ / (√n ‖hᵢ‖₂)
/// ∂Ω/∂hⱼᵢ = 1/(m √n) · (1 − hⱼᵢ ‖hᵢ‖₁ / ‖hᵢ‖₂²) / ‖hᵢ‖₂
/// ```
///
/// for `n` units that are never negative: `1/√n` where one unit of each sample is active, 1 where
/// all are equally so. Hoyer (2004, *Non-negative Matrix Factorization with Sparseness
/// Constraints*) calls `(√n − √n Ω) / (√n − 1)` the sparseness. Unlike the L1 norm it does not
/// depend on the size of the activations, and so it does not shrink them. A sample without an
/// active unit counts as 0.
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
                continue; // a NaN goes on, so that it shows in the loss
            }
            omega += share * l1 / l2;
            for (g, &h) in g.iter_mut().zip(h) {
                *g += scale * share * (T::one() - (h / l2) * (l1 / l2)) / l2;
            }
        }
        omega
    }

    fn check(&self, activation: &Activation, _target: T) -> Result<(), ModelError> {
        if activation.is_non_negative() {
            return Ok(());
        }
        Err(ModelError::UnsupportedActivation {
            what: "Hoyer",
            activation: *activation,
            requirement: "its values must not be negative",
        })
    }
}

/// What is printed of a model, measured on digits that it was not trained on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) l0: f64,
    pub(crate) sparseness: f64,
    pub(crate) explained_variance: f64,
}

/// A model with the penalty weight β, before and after `epochs` of training.
pub(crate) fn train(
    penalty_weight: f64,
    epochs: usize,
) -> Result<(Measured, Measured), Box<dyn Error>> {
    let (training, held_out) = data::digits()?.split(397, 1)?;
    let mut model = SparseAutoencoder::builder()
        .layers([64, 100])
        .hidden_activation(Activation::Relu)
        .penalty(Hoyer)
        .penalty_weight(penalty_weight)
        .build()?;
    let before = measure(&model, &held_out.samples)?;
    Trainer::new(Adam::new(3e-3)?)
        .epochs(epochs)
        .batch_size(100)
        .fit(&mut model, &training.samples)?;
    Ok((before, measure(&model, &held_out.samples)?))
}

fn measure(
    model: &SparseAutoencoder<f32>,
    samples: &DMatrix<f32>,
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
    let epochs = if std::env::var_os("EXAMPLE_SHORT").is_some() {
        5
    } else {
        100
    };
    println!("                     active units   sparseness   explained variance");
    let print = |name: &str, m: Measured| {
        println!(
            "{name:<20} {:>8.1}/100 {:>12.3} {:>20.3}",
            m.l0, m.sparseness, m.explained_variance
        );
    };
    let mut trained = Vec::new();
    for penalty_weight in [0.0, 0.1, 0.3, 0.6, 1.0] {
        let (before, after) = train(penalty_weight, epochs)?;
        if trained.is_empty() {
            print("before training", before);
        }
        print(&format!("trained, β = {penalty_weight}"), after);
        trained.push((penalty_weight, after));
    }
    draw(&trained)
}

fn draw(trained: &[(f64, Measured)]) -> Result<(), Box<dyn Error>> {
    let panel = |name, names, quantity: fn(&Measured) -> f64| Panel {
        axis: Axis::linear(name),
        curves: vec![Curve::new(
            name,
            trained.iter().map(|(weight, m)| (*weight, quantity(m))),
        )],
        names,
    };
    chart::curves::panels(
        Path::new("out/custom_penalty.svg"),
        "Hoyer's sparseness as a penalty, on unseen digits",
        Axis::linear("weight β of the penalty"),
        &[
            panel("sparseness", Place::LowerRight, |m| m.sparseness),
            panel("explained variance", Place::UpperRight, |m| {
                m.explained_variance
            }),
        ],
    )
}
