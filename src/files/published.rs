//! What the published layouts have in common: one hidden layer, linear output, and a handful of
//! switches. A loader says in these terms what its files mean, and the model is made here.

pub mod dictionary_learning;
pub mod gemma_scope;
pub mod llama_scope;
mod one_layer;
pub mod sae_lens;
pub mod sparsify;

use std::io::{Read, Seek};
use std::path::Path;

use super::config::Config;
use super::tensors::{Rows, Tensors};
use super::{Loaded, Note, malformed, unsupported};
use crate::model::{Layout, Parameters};
use crate::{Activation, Error, Real, SparseAutoencoder};

/// A published model: which tensors it is in, and what is done with them.
///
/// ```text
/// z = g ⊙ (Wᵀ(s·x − c) + b),   h = select(z),   x̂ = (D (h ⊙ q ⊘ g) + c) / r
/// ```
#[derive(Debug)]
pub(super) struct Published<'a> {
    /// W
    pub(super) encoder_weights: Matrix<'a>,
    /// b, unless the selection has biases of its own.
    pub(super) encoder_bias: &'a str,
    /// D
    pub(super) decoder_weights: Matrix<'a>,
    /// c, which is 0 if there is no such tensor.
    pub(super) decoder_bias: Option<&'a str>,
    /// Whether the encoder sees `x − c`, not `x`.
    pub(super) centered: bool,
    pub(super) selection: Selection<'a>,
    pub(super) decoder_norms: DecoderNorms,
    /// q, if there is such a tensor.
    pub(super) decoder_factors: Option<&'a str>,
    /// s
    pub(super) input_scale: f64,
    /// r
    pub(super) output_scale: f64,
    /// Tensors that say nothing about the model for inference.
    pub(super) unused: &'a [&'a str],
    /// Tensors of the layout that change what other models of it return. One that this model does not
    /// use is refused; a tensor that is not of the layout at all gets a note.
    pub(super) of_layout: &'a [&'a str],
    /// The key of the visible size in the configuration, and the size.
    pub(super) visible: Option<(&'a str, usize)>,
    /// The key of the hidden size, and the size.
    pub(super) hidden: Option<(&'a str, usize)>,
}

/// Where the norms of the columns of D count besides in D.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecoderNorms {
    /// `g = 1`
    Nowhere,
    /// `g = ‖D_j‖`, which is folded into the weights.
    InUnits,
    /// `g = 1`, and units are active where `z‖D_j‖` is above the threshold, which is divided.
    InThresholds,
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
    /// `max(z, 0)` where `z > t`
    Above(Threshold<'a>),
    /// The same, with one threshold for all units, that training with k of them has left.
    BatchTopK { k: usize, threshold: &'a str },
    /// [Gated](Activation::Gated) units: `max(m, 0)` where `π > 0`, with
    ///
    /// ```text
    /// y = Wᵀ(x − c),   π = y + b_gate,   m = exp(r) ⊙ y + b_mag
    /// ```
    Gated {
        gate_bias: &'a str,
        magnitude_bias: &'a str,
        /// r
        log_magnitude: &'a str,
    },
}

/// t
#[derive(Debug, Clone, Copy)]
pub(super) enum Threshold<'a> {
    PerUnit(&'a str),
    /// `exp` of the tensor
    LogPerUnit(&'a str),
    /// One number in the file for all units; below 0 it is not set.
    Common(&'a str),
    Constant(f64),
}

impl Selection<'_> {
    fn activation(&self) -> Activation {
        match *self {
            Self::Relu => Activation::Relu,
            Self::TopK(k) => Activation::TopK(k),
            Self::BatchTopK { k, .. } => Activation::BatchTopK(k),
            Self::Above(_) => Activation::JumpRelu,
            Self::Gated { .. } => Activation::Gated,
        }
    }
}

impl Published<'_> {
    /// Reads the tensors into a model. `notes` may hold some already; added are those of tensors and of
    /// keys of the configuration that were not used.
    pub(super) fn load<T: Real, R: Read + Seek>(
        &self,
        tensors: &mut Tensors<R>,
        config: &Config,
        mut notes: Vec<Note>,
    ) -> Result<Loaded<T>, Error> {
        let sizes = self.encoder_weights.sizes(tensors)?;
        for (claim, size) in [(self.visible, sizes.0), (self.hidden, sizes.1)] {
            if let Some((key, claimed)) = claim.filter(|&(_, claimed)| claimed != size) {
                let reason = format!("{key} is {claimed}, but that of the weights is {size}");
                return Err(malformed(config.path(), reason));
            }
        }
        let unused = self.check(tensors, sizes)?;
        let (d, n) = sizes;
        let activation = self.selection.activation();
        let layout = Layout::new(&[d, n], false)?.for_activations(&[activation])?;
        let mut theta = tensors.room::<T>(layout.len())?;
        let at = layout.blocks()[0].clone();
        self.encoder_weights
            .read(tensors, &mut theta[at.encoder_weights.clone()])?;
        self.decoder_weights
            .read(tensors, &mut theta[at.decoder_weights.clone()])?;
        let bias = match self.selection {
            Selection::Gated { gate_bias, .. } => gate_bias,
            _ => self.encoder_bias,
        };
        tensors.read_into(bias, Rows::Contiguous, &mut theta[at.encoder_bias.clone()])?;
        if let Some(name) = self.decoder_bias {
            let place = &mut theta[at.decoder_bias.clone()];
            tensors.read_into(name, Rows::Contiguous, place)?;
        }
        self.read_blocks(tensors, at.own_mut(&mut theta).blocks, &mut notes)?;

        if self.decoder_norms == DecoderNorms::InThresholds {
            let norms = norms(&theta[at.decoder_weights.clone()], d);
            divide_thresholds(&mut theta[at.own[0].clone()], &norms);
        }
        if self.decoder_norms == DecoderNorms::InUnits {
            let norms =
                self.positive_norms(&theta[at.decoder_weights.clone()], d, &tensors.path)?;
            let inverse: Vec<T> = norms.iter().map(|&norm| T::one() / norm).collect();
            scale_units(&mut theta[at.encoder_weights.clone()], d, &norms);
            scale_units(&mut theta[at.encoder_bias.clone()], 1, &norms);
            scale_units(&mut theta[at.decoder_weights.clone()], d, &inverse);
        }
        if let Some(name) = self.decoder_factors {
            let factors: Vec<T> = tensors.vector(name, n)?;
            scale_units(&mut theta[at.decoder_weights.clone()], d, &factors);
        }
        let (s, r) = (T::of(self.input_scale), T::of(self.output_scale));
        if s != T::one() {
            scale(&mut theta[at.encoder_weights], s);
        }
        if r != T::one() {
            scale(&mut theta[at.decoder_weights], T::one() / r);
            scale(&mut theta[at.decoder_bias], T::one() / r);
        }
        let model = SparseAutoencoder::builder()
            .hidden_activation(activation)
            .output_activation(Activation::Identity)
            .pre_encoder_bias(self.centered)
            .penalty(())
            .build_with(Parameters::from_aligned(layout, theta)?)?;
        notes.extend(unused.into_iter().map(|name| Note::UnusedTensor { name }));
        notes.extend(config.unread());
        Ok(Loaded { model, notes })
    }

    /// Refuses shapes that do not fit together, and tensors of the layout that would be ignored. Returns
    /// the names of other tensors that are not used.
    fn check<R: Read + Seek>(
        &self,
        tensors: &Tensors<R>,
        sizes: (usize, usize),
    ) -> Result<Vec<String>, Error> {
        let (d, n) = sizes;
        self.encoder_weights.check(tensors, sizes)?;
        self.decoder_weights.check(tensors, sizes)?;
        let mut known = vec![self.encoder_weights.name, self.decoder_weights.name];
        if let Some(name) = self.decoder_bias {
            tensors.check_shape(name, &[d])?;
            known.push(name);
        }
        known.extend(self.unused);
        let mut vectors: Vec<&str> = self.decoder_factors.into_iter().collect();
        match self.selection {
            Selection::Gated {
                gate_bias,
                magnitude_bias,
                log_magnitude,
            } => vectors.extend([gate_bias, magnitude_bias, log_magnitude]),
            _ => vectors.push(self.encoder_bias),
        }
        match self.selection {
            Selection::Above(Threshold::PerUnit(name) | Threshold::LogPerUnit(name)) => {
                vectors.push(name);
            }
            Selection::Above(Threshold::Common(name))
            | Selection::BatchTopK {
                threshold: name, ..
            } => known.push(name),
            _ => {}
        }
        for name in &vectors {
            tensors.check_shape(name, &[n])?;
        }
        known.extend(vectors);
        let names = tensors.entries.keys();
        let unused = names.filter(|name| !known.contains(&name.as_str()));
        let unused: Vec<String> = unused.cloned().collect();
        let of_layout = |name: &&String| self.of_layout.contains(&name.as_str());
        match unused.iter().find(of_layout) {
            None => Ok(unused),
            Some(name) => {
                let reason = format!(
                    "the tensor {name} has no counterpart in a model of this crate with these settings"
                );
                Err(unsupported(&tensors.path, reason))
            }
        }
    }

    /// Reads the thresholds that are in the file, one or one per unit, or r and `b_mag`.
    fn read_blocks<T: Real, R: Read + Seek>(
        &self,
        tensors: &mut Tensors<R>,
        [thresholds, others]: [&mut [T]; 2],
        notes: &mut Vec<Note>,
    ) -> Result<(), Error> {
        match self.selection {
            Selection::Above(Threshold::PerUnit(name)) => {
                tensors.read_into(name, Rows::Contiguous, thresholds)?;
            }
            Selection::Above(Threshold::LogPerUnit(name)) => {
                tensors.read_into(name, Rows::Contiguous, thresholds)?;
                thresholds.iter_mut().for_each(|t| *t = t.exp());
            }
            Selection::Above(Threshold::Common(name))
            | Selection::BatchTopK {
                threshold: name, ..
            } => {
                let threshold: T = tensors.scalar(name)?;
                if threshold < T::zero() {
                    notes.push(Note::ThresholdNotSet);
                }
                thresholds.fill(if threshold < T::zero() {
                    T::zero()
                } else {
                    threshold
                });
            }
            Selection::Above(Threshold::Constant(threshold)) => thresholds.fill(T::of(threshold)),
            Selection::Gated {
                magnitude_bias,
                log_magnitude,
                ..
            } => {
                tensors.read_into(log_magnitude, Rows::Contiguous, thresholds)?;
                tensors.read_into(magnitude_bias, Rows::Contiguous, others)?;
            }
            Selection::Relu | Selection::TopK(_) => {}
        }
        Ok(())
    }

    /// `‖D_j‖` of each unit, by which activations are divided.
    fn positive_norms<T: Real>(
        &self,
        decoder_weights: &[T],
        d: usize,
        path: &Path,
    ) -> Result<Vec<T>, Error> {
        let norms = norms(decoder_weights, d);
        match norms.iter().position(|&norm| norm <= T::zero()) {
            None => Ok(norms),
            Some(unit) => {
                let reason = format!(
                    "activations are divided by the norms of {}, and that of unit {unit} is 0",
                    self.decoder_weights.name
                );
                Err(malformed(path, reason))
            }
        }
    }
}

/// `‖D_j‖` of each unit.
fn norms<T: Real>(decoder_weights: &[T], d: usize) -> Vec<T> {
    let columns = decoder_weights.chunks_exact(d);
    columns
        .map(|column| T::of(dot(column, column).sqrt()))
        .collect()
}

/// Divides thresholds, none of which is below 0, by norms. A unit whose norm is 0, or nearly so, can
/// never be active: its threshold is the largest number.
fn divide_thresholds<T: Real>(thresholds: &mut [T], norms: &[T]) {
    let largest = T::max_value().unwrap_or_else(T::zero);
    for (threshold, &norm) in thresholds.iter_mut().zip(norms) {
        *threshold = if norm > T::zero() {
            (*threshold / norm).min(largest)
        } else {
            largest
        };
    }
}

pub(super) fn dot<T: Real>(a: &[T], b: &[T]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.to_f64() * b.to_f64()).sum()
}

/// Multiplies the `rows` values of each unit with its factor.
fn scale_units<T: Real>(values: &mut [T], rows: usize, factors: &[T]) {
    for (values, &factor) in values.chunks_exact_mut(rows).zip(factors) {
        scale(values, factor);
    }
}

fn scale<T: Real>(values: &mut [T], factor: T) {
    for value in values {
        *value *= factor;
    }
}
