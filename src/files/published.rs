//! Builds models from published files: one hidden layer, linear output, and a few options.
//!
//! Each loader describes its files as a [`Published`], which reads the tensors into a model.

mod activations;
mod config;
pub mod dictionary_learning;
pub mod gemma_scope;
pub mod llama_scope;
mod one_layer;
pub mod sae_lens;
pub mod sparsify;
mod without_effect;

use std::io::{Read, Seek};
use std::path::Path;

use super::tensors::{Rows, Tensors};
use super::{Loaded, Note, malformed, unsupported};
use crate::linalg;
use crate::model::{Layout, Parameters};
use crate::{Activation, Error, Real, SparseAutoencoder};
use activations::{PublishedUnits, Source};
use config::Config;

/// The tensors of a published model, and their meaning.
///
/// ```text
/// z = g ⊙ (s·Wᵀ(x − c/r) + b),   h = units(z),   x̂ = (D (h ⊙ q ⊘ g) + c) / r,   + S x in a transcoder
/// ```
#[derive(Debug)]
struct Published<'a> {
    /// W
    encoder_weights: Matrix<'a>,
    /// D
    decoder_weights: Matrix<'a>,
    /// c; 0 without a tensor.
    decoder_bias: Option<&'a str>,
    /// Whether the encoder sees `x − c/r`, not `x`.
    centered: bool,
    /// Whether x̂ is another place, whose size is that of D.
    transcodes: bool,
    /// S, in a transcoder. Its outputs are what the units are of a weight tensor.
    skip: Option<Matrix<'a>>,
    /// b, and the units, which map z to h
    units: PublishedUnits<'a>,
    decoder_norms: DecoderNorms,
    /// q; 1 without a tensor.
    decoder_factors: Option<&'a str>,
    /// s
    input_scale: f64,
    /// r
    output_scale: f64,
    /// Tensors without effect on inference.
    unused: &'a [&'a str],
    /// Tensors that the layout uses in other models. If this model does not use one that the file has, the
    /// file is refused. A tensor outside the layout gets a note.
    of_layout: &'a [&'a str],
    /// The key of the input size in the configuration, and the size.
    input_size: Option<(&'a str, usize)>,
    /// The key of the output size of a transcoder, and the size.
    output_size: Option<(&'a str, usize)>,
    /// The key of the hidden size, and the size.
    hidden: Option<(&'a str, usize)>,
}

/// How the column norms of D affect the hidden units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DecoderNorms {
    /// `g = 1`
    Nowhere,
    /// `g = ‖D_j‖`, folded into the weights.
    InUnits,
    /// `g = 1`, and units are active where `z‖D_j‖ > threshold`. The threshold is divided by the norm.
    InThresholds,
}

/// A weight tensor.
#[derive(Debug, Clone, Copy)]
struct Matrix<'a> {
    name: &'a str,
    units: UnitsAre,
}

/// The index of a weight tensor that counts the hidden units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnitsAre {
    Rows,
    Columns,
}

impl<'a> Matrix<'a> {
    /// An n × d tensor, the order of this crate.
    fn units_are_rows(name: &'a str) -> Self {
        Self {
            name,
            units: UnitsAre::Rows,
        }
    }

    /// A d × n tensor.
    fn units_are_columns(name: &'a str) -> Self {
        Self {
            name,
            units: UnitsAre::Columns,
        }
    }

    /// Returns the same tensor with its indices exchanged.
    fn transposed(self) -> Self {
        let units = match self.units {
            UnitsAre::Rows => UnitsAre::Columns,
            UnitsAre::Columns => UnitsAre::Rows,
        };
        Self { units, ..self }
    }

    /// Returns (d, n).
    fn sizes<R: Read + Seek>(self, tensors: &Tensors<R>) -> Result<(usize, usize), Error> {
        let (rows, columns) = tensors.matrix_shape(self.name)?;
        Ok(match self.units {
            UnitsAre::Rows => (columns, rows),
            UnitsAre::Columns => (rows, columns),
        })
    }

    fn check<R: Read + Seek>(
        self,
        tensors: &Tensors<R>,
        (d, n): (usize, usize),
    ) -> Result<(), Error> {
        match self.units {
            UnitsAre::Rows => tensors.check_shape(self.name, &[n, d]),
            UnitsAre::Columns => tensors.check_shape(self.name, &[d, n]),
        }
    }

    fn read<T: Real, R: Read + Seek>(
        self,
        tensors: &mut Tensors<R>,
        place: &mut [T],
    ) -> Result<(), Error> {
        let rows = match self.units {
            UnitsAre::Rows => Rows::Contiguous,
            UnitsAre::Columns => Rows::Strided,
        };
        tensors.read_into(self.name, rows, place)
    }
}

/// Refuses a folder with files that a loader would prefer to those that are to be written, or read with them.
fn refuse_beside(folder: &Path, others: &[&str]) -> Result<(), Error> {
    match others
        .iter()
        .map(|other| folder.join(other))
        .find(|path| path.exists())
    {
        None => Ok(()),
        Some(path) => {
            let reason = "a loader would take it for a part of the model to be saved: save to another folder, or \
                          remove it";
            Err(unsupported(&path, reason))
        }
    }
}

impl Published<'_> {
    /// Reads the tensors into a model. Adds notes on unused tensors and unused configuration keys to
    /// `notes`.
    fn load<T: Real, R: Read + Seek>(
        &self,
        tensors: &mut Tensors<R>,
        config: &Config,
        mut notes: Vec<Note>,
    ) -> Result<Loaded<SparseAutoencoder<T>>, Error> {
        let sizes = self.encoder_weights.sizes(tensors)?;
        let (d, n) = sizes;
        let output = if self.transcodes {
            self.decoder_weights.sizes(tensors)?.0
        } else {
            d
        };
        for (claim, size) in [
            (self.input_size, d),
            (self.output_size, output),
            (self.hidden, n),
        ] {
            if let Some((key, claimed)) = claim.filter(|&(_, claimed)| claimed != size) {
                let reason = format!("{key} is {claimed}, but that of the weights is {size}");
                return Err(malformed(config.path(), reason));
            }
        }
        let unused = self.check(tensors, sizes, output)?;
        let activation = self.units.activation;
        let path = tensors.path.clone();
        let refused = |error: Error| match error {
            Error::InvalidParameter { .. } | Error::NonFinite { .. } => {
                malformed(&path, error.to_string())
            }
            error => error,
        };
        let layout = if self.transcodes {
            Layout::transcoder(&[d, n], output, self.skip.is_some())?
        } else {
            Layout::new(&[d, n], false)?
        };
        let layout = layout.for_activations(&[activation])?;
        let mut theta = tensors.room::<T>(layout.len(), &unused)?;
        let at = layout.blocks()[0].clone();
        self.encoder_weights
            .read(tensors, &mut theta[at.encoder_weights.clone()])?;
        self.decoder_weights
            .read(tensors, &mut theta[at.decoder_weights.clone()])?;
        let place = &mut theta[at.encoder_bias.clone()];
        tensors.read_into(self.units.bias, Rows::Contiguous, place)?;
        if let Some(name) = self.decoder_bias {
            let place = &mut theta[at.decoder_bias.clone()];
            tensors.read_into(name, Rows::Contiguous, place)?;
        }
        if let (Some(skip), Some(place)) = (self.skip, layout.skip()) {
            skip.transposed().read(tensors, &mut theta[place])?;
        }
        self.read_blocks(tensors, at.own_mut(&mut theta).blocks, &mut notes)?;

        if self.decoder_norms == DecoderNorms::InThresholds {
            let norms = norms(&theta[at.decoder_weights.clone()], output);
            divide_thresholds(&mut theta[at.own[0].clone()], &norms);
        }
        if self.decoder_norms == DecoderNorms::InUnits {
            let norms =
                self.positive_norms(&theta[at.decoder_weights.clone()], output, &tensors.path)?;
            let inverse: Vec<T> = norms.iter().map(|&norm| T::one() / norm).collect();
            scale_units(&mut theta[at.encoder_weights.clone()], d, &norms);
            scale_units(&mut theta[at.encoder_bias.clone()], 1, &norms);
            scale_units(&mut theta[at.decoder_weights.clone()], output, &inverse);
        }
        if let Some(name) = self.decoder_factors {
            let factors: Vec<T> = tensors.vector(name, n)?;
            scale_units(&mut theta[at.decoder_weights.clone()], output, &factors);
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
            .build_with(Parameters::from_aligned(layout, theta).map_err(refused)?)
            .map_err(refused)?;
        notes.extend(unused.into_iter().map(|name| Note::UnusedTensor { name }));
        notes.extend(config.unread());
        Ok(Loaded { model, notes })
    }

    /// Refuses inconsistent shapes, and unused tensors of the layout. Returns the names of other unused
    /// tensors.
    fn check<R: Read + Seek>(
        &self,
        tensors: &Tensors<R>,
        (d, n): (usize, usize),
        output: usize,
    ) -> Result<Vec<String>, Error> {
        self.encoder_weights.check(tensors, (d, n))?;
        self.decoder_weights.check(tensors, (output, n))?;
        let mut known = vec![self.encoder_weights.name, self.decoder_weights.name];
        if let Some(name) = self.decoder_bias {
            tensors.check_shape(name, &[output])?;
            known.push(name);
        }
        if let Some(skip) = self.skip {
            skip.check(tensors, (d, output))?;
            known.push(skip.name);
        }
        known.extend(self.unused);
        let mut vectors: Vec<&str> = self.decoder_factors.into_iter().collect();
        vectors.push(self.units.bias);
        for source in &self.units.blocks {
            match *source {
                Source::PerUnit(name) | Source::LogPerUnit(name) => vectors.push(name),
                Source::Common(name) => known.push(name),
                Source::Constant(_) => {}
            }
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

    /// Reads the units' own parameters, such as thresholds.
    fn read_blocks<T: Real, R: Read + Seek>(
        &self,
        tensors: &mut Tensors<R>,
        blocks: [&mut [T]; 2],
        notes: &mut Vec<Note>,
    ) -> Result<(), Error> {
        for (source, place) in self.units.blocks.iter().zip(blocks) {
            match *source {
                Source::PerUnit(name) => tensors.read_into(name, Rows::Contiguous, place)?,
                Source::LogPerUnit(name) => {
                    tensors.read_into(name, Rows::Contiguous, place)?;
                    place.iter_mut().for_each(|t| *t = t.exp());
                }
                Source::Common(name) => {
                    let threshold: T = tensors.scalar(name)?;
                    let is_set = threshold >= T::zero();
                    if !is_set {
                        notes.push(Note::ThresholdNotSet);
                    }
                    place.fill(if is_set { threshold } else { T::zero() });
                }
                Source::Constant(threshold) => place.fill(T::of(threshold)),
            }
        }
        Ok(())
    }

    /// Returns `‖D_j‖` of each unit, the divisor of its activations. Refuses a norm of 0.
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

/// Returns `‖D_j‖` of each unit.
fn norms<T: Real>(decoder_weights: &[T], d: usize) -> Vec<T> {
    let columns = decoder_weights.chunks_exact(d);
    columns.map(|column| T::of(linalg::norm(column))).collect()
}

/// Divides thresholds ≥ 0 by norms. A unit with a norm of about 0 is never active: its threshold becomes
/// the largest number.
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

fn dot<T: Real>(a: &[T], b: &[T]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.to_f64() * b.to_f64()).sum()
}

/// Multiplies the `rows` values of each unit by its factor.
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
