//! What the published layouts have in common: one hidden layer, linear output, and a handful of
//! switches. A loader says in these terms what its files mean, and the model is made here.

use std::io::{Read, Seek};
use std::path::Path;

use super::tensors::{Rows, Tensors};
use super::{Loaded, Note, malformed, unsupported};
use crate::parameters::{Layout, Parameters};
use crate::{Activation, Error, Real, SparseAutoencoder, SparseAutoencoderBuilder};

/// A published model: which tensors it is in, and what is done with them.
///
/// ```text
/// z = g ⊙ (Wᵀ(s·x − c) + b),   h = select(z),   x̂ = (D (h ⊙ q ⊘ g) + c) / s
/// ```
#[derive(Debug)]
pub(super) struct Published<'a> {
    /// W
    pub(super) encoder_weights: Matrix<'a>,
    /// b, unless the selection has biases of its own.
    pub(super) encoder_bias: &'a str,
    /// D
    pub(super) decoder_weights: Matrix<'a>,
    /// c
    pub(super) decoder_bias: &'a str,
    /// Whether the encoder sees `x − c`, not `x`.
    pub(super) centered: bool,
    pub(super) selection: Selection<'a>,
    /// Whether `g` is the norm of each column of D, not 1.
    pub(super) by_decoder_norm: bool,
    /// q, if there is such a tensor.
    pub(super) decoder_factors: Option<&'a str>,
    /// s
    pub(super) input_scale: f64,
    /// Tensors that say nothing about the model for inference. Any other one is refused.
    pub(super) unused: &'a [&'a str],
}

/// A tensor of weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix<'a> {
    name: &'a str,
    units: Units,
}

/// Which index of a tensor of weights counts the hidden units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Units {
    AreRows,
    AreColumns,
}

impl<'a> Matrix<'a> {
    /// A tensor n × d, as this crate holds weights.
    pub(super) fn units_are_rows(name: &'a str) -> Self {
        Self {
            name,
            units: Units::AreRows,
        }
    }

    /// A tensor d × n.
    pub(super) fn units_are_columns(name: &'a str) -> Self {
        Self {
            name,
            units: Units::AreColumns,
        }
    }

    /// (d, n)
    fn sizes<R: Read + Seek>(self, tensors: &Tensors<R>) -> Result<(usize, usize), Error> {
        let (rows, columns) = tensors.matrix_shape(self.name)?;
        Ok(match self.units {
            Units::AreRows => (columns, rows),
            Units::AreColumns => (rows, columns),
        })
    }

    fn check<R: Read + Seek>(
        self,
        tensors: &Tensors<R>,
        (d, n): (usize, usize),
    ) -> Result<(), Error> {
        match self.units {
            Units::AreRows => tensors.check_shape(self.name, &[n, d]),
            Units::AreColumns => tensors.check_shape(self.name, &[d, n]),
        }
    }

    fn read<T: Real, R: Read + Seek>(
        self,
        tensors: &mut Tensors<R>,
        place: &mut [T],
    ) -> Result<(), Error> {
        let rows = match self.units {
            Units::AreRows => Rows::Contiguous,
            Units::AreColumns => Rows::Strided,
        };
        tensors.read_into(self.name, rows, place)
    }
}

/// How pre-activations become hidden activations.
#[derive(Debug, Clone, Copy)]
pub(super) enum Selection<'a> {
    /// `max(z, 0)`
    Relu,
    /// `max(z, 0)` on the k largest
    TopK(usize),
    /// `max(z, 0)` where `z > θ`
    Above(Threshold<'a>),
    /// Gated units: `max(m, 0)` where `π > 0`, with
    ///
    /// ```text
    /// y = Wᵀ(x − c),   π = y + b_gate,   m = exp(r) ⊙ y + b_mag
    /// ```
    ///
    /// As `exp(r) > 0`, that is `max(m, 0)` where `m > b_mag − exp(r) ⊙ b_gate`: a threshold
    /// (Rajamanoharan et al. 2024, *Improving Dictionary Learning with Gated Sparse Autoencoders*).
    Gated {
        gate_bias: &'a str,
        magnitude_bias: &'a str,
        /// r
        log_magnitude: &'a str,
    },
}

/// θ
#[derive(Debug, Clone, Copy)]
pub(super) enum Threshold<'a> {
    PerUnit(&'a str),
    /// `exp` of the tensor
    LogPerUnit(&'a str),
    /// One number in the file for all units; below 0 it is not set.
    Common(&'a str),
    Constant(f64),
}

impl Published<'_> {
    /// Reads the tensors into a model. `notes` may hold some already.
    pub(super) fn load<T: Real, R: Read + Seek>(
        &self,
        tensors: &mut Tensors<R>,
        mut notes: Vec<Note>,
    ) -> Result<Loaded<T>, Error> {
        let sizes = self.encoder_weights.sizes(tensors)?;
        self.check(tensors, sizes)?;
        let (d, n) = sizes;
        let layout = Layout::new(&[d, n], false)?;
        let mut theta = vec![T::zero(); layout.len()];
        let blocks = layout.blocks()[0].clone();
        self.encoder_weights
            .read(tensors, &mut theta[blocks.encoder_weights.clone()])?;
        self.decoder_weights
            .read(tensors, &mut theta[blocks.decoder_weights.clone()])?;
        tensors.read_into(
            self.decoder_bias,
            Rows::Contiguous,
            &mut theta[blocks.decoder_bias.clone()],
        )?;

        // Encoder first: W and c, then b and θ, follow each other in the formulas.
        let gains = self.gains(tensors, &theta[blocks.decoder_weights.clone()], sizes)?;
        let (bias, thresholds) = self.bias_and_thresholds(tensors, n, &mut notes)?;
        theta[blocks.encoder_bias.clone()].copy_from_slice(&bias);
        let factors = match self.decoder_factors {
            Some(name) => tensors.vector(name, n)?,
            None => vec![T::one(); n],
        };
        let s = T::of(self.input_scale);
        for (j, w) in theta[blocks.encoder_weights.clone()]
            .chunks_exact_mut(d)
            .enumerate()
        {
            scale(w, s * gains[j]);
        }
        for (b, &gain) in theta[blocks.encoder_bias.clone()].iter_mut().zip(&gains) {
            if !matches!(self.selection, Selection::Gated { .. }) {
                *b *= gain;
            }
        }
        for (j, column) in theta[blocks.decoder_weights.clone()]
            .chunks_exact_mut(d)
            .enumerate()
        {
            let gain = if self.by_decoder_norm {
                gains[j]
            } else {
                T::one()
            };
            scale(column, factors[j] / (s * gain));
        }
        scale(&mut theta[blocks.decoder_bias.clone()], T::one() / s);

        if self.centered {
            let (encoder, decoder) = theta.split_at_mut(blocks.encoder_bias.end);
            let c = &decoder[blocks.decoder_bias.start - blocks.encoder_bias.end..][..d];
            let (w, b) = encoder.split_at_mut(blocks.encoder_bias.start);
            for (b, w) in b.iter_mut().zip(w.chunks_exact(d)) {
                *b = T::of(b.to_f64() - dot(w, c));
            }
        }
        let activation = match self.selection {
            Selection::TopK(k) => Activation::TopK(k),
            Selection::Relu => Activation::Relu,
            Selection::Above(_) | Selection::Gated { .. } => above(&thresholds, &tensors.path)?,
        };
        let model = builder(activation).build_with(Parameters::new(layout, theta)?)?;
        Ok(Loaded { model, notes })
    }

    /// Refuses shapes that do not fit together, and tensors that would be ignored.
    fn check<R: Read + Seek>(
        &self,
        tensors: &Tensors<R>,
        sizes: (usize, usize),
    ) -> Result<(), Error> {
        let (d, n) = sizes;
        self.encoder_weights.check(tensors, sizes)?;
        self.decoder_weights.check(tensors, sizes)?;
        tensors.check_shape(self.decoder_bias, &[d])?;
        let mut known = vec![
            self.encoder_weights.name,
            self.decoder_weights.name,
            self.decoder_bias,
        ];
        known.extend(self.unused);
        let mut vectors: Vec<&str> = self.decoder_factors.into_iter().collect();
        match self.selection {
            Selection::Gated {
                gate_bias,
                magnitude_bias,
                log_magnitude,
            } => vectors.extend([gate_bias, magnitude_bias, log_magnitude]),
            Selection::Above(Threshold::PerUnit(name) | Threshold::LogPerUnit(name)) => {
                vectors.extend([self.encoder_bias, name]);
            }
            Selection::Above(Threshold::Common(name)) => {
                known.push(name);
                vectors.push(self.encoder_bias);
            }
            _ => vectors.push(self.encoder_bias),
        }
        for name in &vectors {
            tensors.check_shape(name, &[n])?;
        }
        known.extend(vectors);
        match tensors
            .entries
            .keys()
            .find(|name| !known.contains(&name.as_str()))
        {
            None => Ok(()),
            Some(name) => {
                let reason =
                    format!("the tensor {name} has no counterpart in a model of this crate");
                Err(unsupported(&tensors.path, reason))
            }
        }
    }

    /// What W is multiplied with, unit by unit: g, or exp(r).
    fn gains<T: Real, R: Read + Seek>(
        &self,
        tensors: &mut Tensors<R>,
        decoder_weights: &[T],
        (d, n): (usize, usize),
    ) -> Result<Vec<T>, Error> {
        if let Selection::Gated { log_magnitude, .. } = self.selection {
            let mut gains: Vec<T> = tensors.vector(log_magnitude, n)?;
            for gain in &mut gains {
                *gain = gain.exp();
            }
            return Ok(gains);
        }
        if !self.by_decoder_norm {
            return Ok(vec![T::one(); n]);
        }
        let norms: Vec<f64> = decoder_weights
            .chunks_exact(d)
            .map(|column| dot(column, column).sqrt())
            .collect();
        if let Some(unit) = norms.iter().position(|&norm| norm <= 0.0) {
            let reason = format!(
                "activations are divided by the norms of {}, and that of unit {unit} is 0",
                self.decoder_weights.name
            );
            return Err(malformed(&tensors.path, reason));
        }
        Ok(norms.into_iter().map(T::of).collect())
    }

    /// b before it is multiplied with g, and θ; without thresholds, none.
    fn bias_and_thresholds<T: Real, R: Read + Seek>(
        &self,
        tensors: &mut Tensors<R>,
        n: usize,
        notes: &mut Vec<Note>,
    ) -> Result<(Vec<T>, Vec<T>), Error> {
        if let Selection::Gated {
            gate_bias,
            magnitude_bias,
            log_magnitude,
        } = self.selection
        {
            let bias: Vec<T> = tensors.vector(magnitude_bias, n)?;
            let gate: Vec<T> = tensors.vector(gate_bias, n)?;
            let r: Vec<T> = tensors.vector(log_magnitude, n)?;
            let thresholds = bias.iter().zip(gate).zip(r);
            let thresholds = thresholds
                .map(|((&b, gate), r)| b - r.exp() * gate)
                .collect();
            return Ok((bias, thresholds));
        }
        let bias = tensors.vector(self.encoder_bias, n)?;
        let Selection::Above(threshold) = self.selection else {
            return Ok((bias, Vec::new()));
        };
        let thresholds = match threshold {
            Threshold::PerUnit(name) => tensors.vector(name, n)?,
            Threshold::LogPerUnit(name) => {
                let logarithms: Vec<T> = tensors.vector(name, n)?;
                logarithms.into_iter().map(T::exp).collect()
            }
            Threshold::Constant(threshold) => vec![T::of(threshold); n],
            Threshold::Common(name) => {
                let threshold: T = tensors.scalar(name)?;
                if threshold < T::zero() {
                    notes.push(Note::ThresholdNotSet);
                }
                vec![threshold; n]
            }
        };
        Ok((bias, thresholds))
    }
}

/// The activation that is `max(z, 0)` where `z > θ`.
fn above<T: Real>(thresholds: &[T], path: &Path) -> Result<Activation, Error> {
    if thresholds.iter().all(|&threshold| threshold <= T::zero()) {
        return Ok(Activation::Relu);
    }
    Err(unsupported(path, "its units have thresholds above 0"))
}

/// Hidden units with this activation, and linear output.
fn builder<T: Real>(activation: Activation) -> SparseAutoencoderBuilder<T> {
    SparseAutoencoder::builder()
        .hidden_activation(activation)
        .output_activation(Activation::Identity)
        .penalty(())
}

pub(super) fn dot<T: Real>(a: &[T], b: &[T]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.to_f64() * b.to_f64()).sum()
}

fn scale<T: Real>(values: &mut [T], factor: T) {
    if factor != T::one() {
        for value in values {
            *value *= factor;
        }
    }
}
