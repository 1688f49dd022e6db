//! Steering: edits of hidden activations that keep the reconstruction error.

use std::sync::Arc;

use nalgebra::{DMatrix, DMatrixView, DVector};

use super::per_layer::PerLayer;
use super::{Layer, Parameters, SparseAutoencoder};
use crate::error::require;
use crate::linalg::{self, Threads};
use crate::objective::Objective;
use crate::penalty::Description;
use crate::units::Chooses;
use crate::validate::check_batch;
use crate::{Activation, AsMatrix, Error, Real};

impl<T: Real> SparseAutoencoder<T> {
    /// Edits hidden activations of the innermost layer, and returns the samples with these edits, input × samples.
    ///
    /// `edit(unit, activation)` returns the new activation of one of `units` in a sample. It is called sample by
    /// sample, in the order of `units`. All other activations and the reconstruction error do not change:
    ///
    /// ```text
    /// x′ = x + x̂(h′) − x̂(h),     which is x + D(h′ − h) for one hidden layer and a linear output
    /// ```
    ///
    /// Samples in which no activation changes are returned bit for bit. Templeton et al. (2024), *Scaling
    /// Monosemanticity: Extracting Interpretable Features from Claude 3 Sonnet*, steer a language model so, and
    /// keep the error unchanged.
    ///
    /// ```
    /// use sparse_autoencoder::{Activation, SparseAutoencoder, nalgebra::DMatrix};
    ///
    /// let sae = SparseAutoencoder::<f32>::builder()
    ///     .layers([8, 64])
    ///     .hidden_activation(Activation::Relu)
    ///     .output_activation(Activation::Identity)
    ///     .build()?;
    /// let samples = DMatrix::from_fn(8, 5, |i, j| (i * j) as f32 / 28.0);
    /// let stronger = sae.steer(&samples, &[12], |_, h| h + 2.0)?;
    /// let direction = sae.parameters().layer(0).unwrap().decoder_weights.column(12) * 2.0;
    /// assert!((stronger.column(3) - samples.column(3) - direction).amax() < 1e-6);
    /// let without = sae.steer(&samples, &[3, 40], |_, _| 0.0)?; // ablates two units
    /// assert_eq!(without.shape(), samples.shape());
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// | model | cost per sample |
    /// |---|---|
    /// | one hidden layer, linear output, units that do not compete within a sample | O(edited units · input) |
    /// | one hidden layer, linear output, [`TopK`](Activation::TopK) and similar | one encoding |
    /// | deep, or another output | one encoding, two decodings |
    ///
    /// - The contribution of a unit is its activation times the norm of its decoder column. To edit in units of the
    ///   samples, divide the new activation by that norm, or call [`fold_decoder_norm`](Self::fold_decoder_norm) first
    ///   if its units allow that.
    /// - [Fold](Self::fold) the scaler of a model of scaled samples, or steer scaled samples and
    ///   [invert](crate::Scaler::invert) the result.
    /// - A [transcoder](crate::SparseAutoencoderBuilder::output_size) predicts another place, and is refused. Add
    ///   `decode(h′) − decode(h)` there instead.
    ///
    /// # Errors
    ///
    /// | error | cause |
    /// |---|---|
    /// | those of [`encode`](Self::encode) | the samples |
    /// | [`Error::Incompatible`] | a transcoder |
    /// | [`Error::InvalidParameter`] | a unit that does not exist, or is named twice |
    /// | [`Error::NonFinite`] | `edit` returns NaN or infinities, or a result overflows |
    pub fn steer(
        &self,
        samples: impl AsMatrix<T>,
        units: &[usize],
        mut edit: impl FnMut(usize, T) -> T,
    ) -> Result<DMatrix<T>, Error> {
        let samples = samples.as_matrix()?;
        self.refuse_transcoder("steering")?;
        self.check_samples(samples, Threads::at_most(1))?;
        self.check_units(units)?;
        self.steer_by(samples, units, &mut edit)
    }

    /// Implements [`steer`](Self::steer) for checked samples. Compiled once for all edits.
    #[inline(never)]
    fn steer_by(
        &self,
        samples: DMatrixView<'_, T>,
        units: &[usize],
        edit: &mut dyn FnMut(usize, T) -> T,
    ) -> Result<DMatrix<T>, Error> {
        let mut steered = samples.into_owned();
        if units.is_empty() {
            return Ok(steered);
        }
        let linear = self.layout().depth() == 1 && self.output_activation() == Activation::Identity;
        let alone = self.hidden_activations()[0].traits().chooses != Chooses::PerSample;
        let edited = if linear && alone {
            Some(self.of_units(units)?)
        } else {
            None
        };
        let chunk = self.chunk(samples.ncols());
        for first in (0..samples.ncols()).step_by(chunk) {
            let count = chunk.min(samples.ncols() - first);
            let x = samples.columns(first, count);
            let at_sample = |error: Error| error.at_sample(|column| first + column);
            let mut steered = steered.columns_mut(first, count);
            if !linear {
                let mut hidden = self.encode(x).map_err(at_sample)?;
                let before = self.decode(&hidden).map_err(at_sample)?;
                let mut edited = vec![false; count];
                for (i, mut h) in hidden.column_iter_mut().enumerate() {
                    for &unit in units {
                        let after = changed(edit, unit, h[unit], first + i)?;
                        edited[i] |= after != h[unit];
                        h[unit] = after;
                    }
                }
                let change = self.decode(&hidden).map_err(at_sample)? - before;
                for i in (0..count).filter(|&i| edited[i]) {
                    steered
                        .column_mut(i)
                        .zip_apply(&change.column(i), |x, change| *x += change);
                }
                continue;
            }
            let hidden = match &edited {
                Some(edited) => edited
                    .encode(x)
                    .map_err(|error| at_sample(error.at_entry(|unit| units[unit])))?,
                None => self.encode(x).map_err(at_sample)?.select_rows(units),
            };
            let d = self.layout().blocks()[0].decoder_weights(self.parameters.as_slice());
            for (i, mut x) in steered.column_iter_mut().enumerate() {
                for (&unit, &h) in units.iter().zip(hidden.column(i).iter()) {
                    let change = changed(edit, unit, h, first + i)? - h;
                    if change != T::zero() {
                        linalg::axpy(change, d.column(unit).as_slice(), x.as_mut_slice());
                    }
                }
            }
        }
        let rows = ["steered samples", "rows of the samples"];
        check_batch(steered.as_view(), samples.nrows(), rows)?;
        Ok(steered)
    }

    /// Returns a model with these hidden units only, for its encoder. Each unit is independent of the others.
    fn of_units(&self, units: &[usize]) -> Result<Self, Error> {
        let mut settings = self.settings().clone();
        settings.matryoshka.clear();
        settings.penalty = Some(PerLayer::One(Description::None));
        let layers = self.parameters().layers().map(|layer| {
            let of_units = Layer {
                encoder_weights: layer.encoder_weights.select_columns(units),
                encoder_bias: layer.encoder_bias.select_rows(units),
                decoder_weights: Some(layer.decoder_weights.select_columns(units)),
                decoder_bias: layer.decoder_bias.into_owned(),
            };
            let own = layer.own().map(|values| match values.len() {
                len if len == self.layout().hidden_size() => {
                    units.iter().map(|&unit| values[unit]).collect()
                }
                _ => values.to_vec(),
            });
            (of_units, layer.block_names().zip(own).collect::<Vec<_>>())
        });
        let (layers, own): (Vec<_>, Vec<_>) = layers.unzip();
        let parameters = Parameters::from_layers(&layers)?;
        let mut parameters = parameters.for_activations(self.hidden_activations())?;
        for (name, values) in own.into_iter().flatten() {
            parameters = parameters.with_block(0, name, &DVector::from_vec(values))?;
        }
        settings.complete(parameters.layout())?;
        let objective = Objective::new(settings, vec![Arc::new(())]);
        Ok(Self::from_parts(parameters, objective))
    }

    /// Refuses units that do not exist, and those named twice.
    fn check_units(&self, units: &[usize]) -> Result<(), Error> {
        let hidden = self.layout().hidden_size();
        let mut named = units.to_vec();
        named.sort_unstable();
        let largest = named.last().copied().unwrap_or(0);
        let exists = units.is_empty() || largest < hidden;
        let requirement = "below the number of hidden units";
        require(exists, "unit", requirement, f64::of_count(largest))?;
        let twice = named.windows(2).find(|pair| pair[0] == pair[1]);
        let twice = twice.map_or(0.0, |pair| f64::of_count(pair[0]));
        named.dedup();
        let once = named.len() == units.len();
        require(once, "unit", "named only once", twice)
    }
}

/// Returns the edited activation of a unit. Refuses NaN and infinities.
fn changed<T: Real>(
    edit: &mut dyn FnMut(usize, T) -> T,
    unit: usize,
    activation: T,
    sample: usize,
) -> Result<T, Error> {
    let edited = edit(unit, activation);
    if edited.is_finite() {
        return Ok(edited);
    }
    Err(Error::NonFinite {
        what: "edited activations",
        row: unit,
        column: sample,
        value: edited.to_f64(),
    })
}
