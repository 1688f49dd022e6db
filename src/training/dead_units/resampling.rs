//! Replaces dead units by samples with a large reconstruction error.
//!
//! ```text
//! P(i) ∝ ‖x̂ᵢ − xᵢ‖⁴,     v = (xᵢ − c)/‖xᵢ − c‖
//! dⱼ = v,     wⱼ = v/5 · mean ‖w‖ of the living units,     bⱼ = 0
//! ```
//!
//! In a transcoder, wⱼ has the direction of the input, and dⱼ that of the target.
//!
//! Bricken et al. (2023), *Towards Monosemanticity*, appendix *Neuron Resampling*; c is 0 without a
//! pre-encoder bias.

use std::ops::Range;

use nalgebra::DVector;
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

use crate::data::samples::read;
use crate::data::spread::spread;
use crate::error::Error;
use crate::linalg::reserve;
use crate::linalg::wide::{scale_of, shift};
use crate::model::Layout;
use crate::objective::Workspace;
use crate::optimizer::Optimizer;
use crate::{Real, Samples, SparseAutoencoder, linalg};

/// The most samples whose errors are computed.
pub(in crate::training) const CANDIDATES: usize = 1 << 16;
/// The largest number of samples read together, and of their entries and activations, which bound the memory.
const TOGETHER: usize = 1024;
const ENTRIES: usize = 1 << 22;
/// The norm of new encoder columns, relative to the mean of the living units.
const SHARE: f64 = 0.2;

/// Returns the largest number of samples read together.
pub(in crate::training) fn together(layout: &Layout) -> usize {
    let of_sample = (layout.sample_entries()).saturating_add(layout.hidden_size());
    (ENTRIES / of_sample.max(1)).clamp(1, TOGETHER)
}

/// Replaces the `dead` units of a model with one hidden layer by some of the `chosen` samples. Returns the units
/// replaced, ascending: none if every sample is reconstructed exactly.
pub(in crate::training) fn resample<T: Real>(
    dead: &[usize],
    model: &mut SparseAutoencoder<T>,
    samples: &dyn Samples<T>,
    chosen: &[usize],
    optimizer: &mut dyn Optimizer<T>,
    rng: &mut Xoshiro256PlusPlus,
    workspace: &mut Workspace<T>,
) -> Result<Vec<usize>, Error> {
    // Of samples in one batch, which are never shuffled, the first may differ from the others.
    let mut candidates = spread(chosen.len(), CANDIDATES, 0);
    candidates.iter_mut().for_each(|i| *i = chosen[*i]);
    let mut total = 0.0;
    let mut cumulated = Vec::with_capacity(candidates.len());
    let (entries, most) = (model.layout().sample_entries(), together(model.layout()));
    let most = most.min(candidates.len());
    let mut batch = reserve::matrix(entries, most, "samples for dead units")?;
    for chunk in candidates.chunks(most.max(1)) {
        let mut errors = DVector::zeros(chunk.len());
        batch.resize_horizontally_mut(chunk.len(), T::zero());
        read(samples, chunk, batch.as_mut_slice())?;
        model
            .reconstruction_errors_into(&batch, &mut errors, workspace)
            .map_err(|error| error.at_chosen(chunk))?;
        cumulated.extend(errors.iter().map(|error| error.to_f64()));
    }
    // Scaled by a power of two where the squares would overflow or vanish.
    let scale = scale_of(cumulated.iter().copied().fold(0.0, f64::max));
    for weight in &mut cumulated {
        total += shift(*weight, -scale).powi(2);
        *weight = total;
    }
    if !(total > 0.0 && total.is_finite()) {
        return Ok(Vec::new());
    }

    let centered = model.has_pre_encoder_bias();
    let (_, parameters) = model.objective_and_parameters();
    let (layout, theta) = parameters.layout_and_theta_mut();
    let blocks = layout.blocks()[0].clone();
    let (mut norms, mut living) = (0.0, 0.0);
    for (j, w) in theta[blocks.encoder_weights.clone()]
        .chunks_exact(blocks.below)
        .enumerate()
    {
        if dead.binary_search(&j).is_err() {
            norms += linalg::norm(w);
            living += 1.0;
        }
    }
    let size = if living > 0.0 { norms / living } else { 1.0 };

    let mut replaced = Vec::with_capacity(dead.len());
    for &j in dead {
        let threshold = rng.random::<f64>() * total;
        let drawn = cumulated.partition_point(|&sum| sum <= threshold);
        let sample = candidates[drawn.min(candidates.len() - 1)];
        let mut v = DVector::zeros(layout.sample_entries());
        read(samples, &[sample], v.as_mut_slice())?;
        if centered {
            for (v, &c) in v.iter_mut().zip(&theta[blocks.decoder_bias.clone()]) {
                *v -= c;
            }
        }
        let direction = |entries: Range<usize>| {
            let mut direction = v.as_slice()[entries].to_vec();
            linalg::normalize(&mut direction).then_some(direction)
        };
        let (input, target) = (layout.input_entries(), layout.target_entries());
        let (Some(w), Some(d)) = (direction(input), direction(target)) else {
            continue;
        };
        let column = |block: &Range<usize>, rows: usize| {
            let start = block.start + j * rows;
            start..start + rows
        };
        let encoder = column(&blocks.encoder_weights, blocks.below);
        let decoder = column(&blocks.decoder_weights, blocks.decoded);
        let bias = blocks.encoder_bias.start + j;
        if !layout.is_tied() {
            theta[decoder.clone()].copy_from_slice(&d);
            optimizer.forget(decoder);
        }
        let factor = T::of(SHARE * size);
        for (to, w) in theta[encoder.clone()].iter_mut().zip(w) {
            *to = w * factor;
        }
        theta[bias] = T::zero();
        optimizer.forget(encoder);
        optimizer.forget(bias..bias + 1);
        replaced.push(j);
    }
    Ok(replaced)
}
