//! All parameters of a model in one flat vector θ.
//!
//! Optimizers, norms, the gradient check, and files loop over the slice. The passes see matrices. A column of
//! weights belongs to a unit, in the encoder and the decoder, so a unit's weights are contiguous.

use std::ops::Range;

use nalgebra::{DMatrix, DMatrixView, DVector};

use super::{Layer, LayerView, Layout};
use crate::error::{Error, unknown_name};
use crate::linalg::{Aligned, Packed};
use crate::validate::{check_batch, check_finite, check_len, check_shape, refuse_non_finite};
use crate::{Activation, Real};

/// All parameters of a model: weights, biases, and blocks of the activations.
///
/// They lie in one flat vector θ, whose order [`Layout`] describes.
///
/// ```
/// use sparse_autoencoder::{Layer, Parameters, SparseAutoencoder, nalgebra::{DMatrix, DVector}};
///
/// let parameters = Parameters::from_layers(&[Layer {
///     encoder_weights: DMatrix::from_element(3, 2, 0.5),
///     encoder_bias: DVector::zeros(2),
///     decoder_weights: None,
///     decoder_bias: DVector::zeros(3),
/// }])?;
/// let sae = SparseAutoencoder::builder().parameters(parameters).build()?;
/// assert_eq!(sae.parameters().layer(0).unwrap().decoder_weights.shape(), (3, 2));
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters<T> {
    layout: Layout,
    theta: Aligned<T>,
    /// Packed encoder weights of each layer, empty after a change of θ.
    packed: Vec<Packed<T>>,
}

impl<T: Real> Parameters<T> {
    /// Takes the flat vector θ, ordered as [`Layout`] describes.
    ///
    /// # Errors
    ///
    /// - [`Error::DimensionMismatch`] if θ does not have [`Layout::len`] entries.
    /// - [`Error::NonFinite`] for NaN and infinities.
    pub fn new(layout: Layout, theta: Vec<T>) -> Result<Self, Error> {
        Self::from_aligned(layout, theta.into())
    }

    /// [`new`](Self::new) for a vector that is aligned to cache lines.
    pub(crate) fn from_aligned(layout: Layout, theta: Aligned<T>) -> Result<Self, Error> {
        check_theta(&layout, &theta)?;
        let packed = layout.blocks().iter().map(|_| Packed::default()).collect();
        Ok(Self {
            layout,
            theta,
            packed,
        })
    }

    /// Copies matrices, one [`Layer`] per hidden layer, the outermost first.
    ///
    /// # Errors
    ///
    /// | error | cause |
    /// |---|---|
    /// | [`Error::InvalidParameter`] | no layers, or a layer of size 0 |
    /// | [`Error::DimensionMismatch`] | a shape does not fit its layer or the layer below |
    /// | [`Error::Incompatible`] | only some layers are tied |
    /// | [`Error::NonFinite`] | NaN or infinities |
    pub fn from_layers(layers: &[Layer<T>]) -> Result<Self, Error> {
        let input_size = layers.first().map(|layer| layer.encoder_weights.nrows());
        let sizes: Vec<usize> = input_size
            .into_iter()
            .chain(layers.iter().map(|layer| layer.encoder_weights.ncols()))
            .collect();
        let tied = layers
            .iter()
            .filter(|layer| layer.decoder_weights.is_none())
            .count();
        if tied != 0 && tied != layers.len() {
            return Err(Error::Incompatible {
                what: "a layer with tied weights",
                other: "a layer without",
            });
        }
        Self::fill(Layout::new(&sizes, tied != 0)?, layers)
    }

    /// Copies matrices of a [transcoder](crate::SparseAutoencoderBuilder::output_size) with one hidden layer, and its
    /// [skip connection](crate::SparseAutoencoderBuilder::skip) if it has one, output × input.
    ///
    /// The output size is the length of the decoder bias. Deep ones take [`new`](Self::new) with a
    /// [layout](Layout::transcoder).
    ///
    /// ```
    /// use sparse_autoencoder::{Layer, Parameters, SparseAutoencoder, nalgebra::{DMatrix, DVector}};
    ///
    /// let layer = Layer {
    ///     encoder_weights: DMatrix::from_element(3, 5, 0.5),
    ///     encoder_bias: DVector::zeros(5),
    ///     decoder_weights: Some(DMatrix::from_element(2, 5, 0.1)),
    ///     decoder_bias: DVector::zeros(2),
    /// };
    /// let parameters = Parameters::from_transcoder(&layer, Some(&DMatrix::zeros(2, 3)))?;
    /// let transcoder = SparseAutoencoder::builder().parameters(parameters).build()?;
    /// assert_eq!(transcoder.layout().output_size(), 2);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`from_layers`](Self::from_layers), and [`Error::Incompatible`] for tied weights.
    pub fn from_transcoder(layer: &Layer<T>, skip: Option<&DMatrix<T>>) -> Result<Self, Error> {
        if layer.decoder_weights.is_none() {
            return Err(Error::Incompatible {
                what: "tied weights",
                other: "a transcoder",
            });
        }
        let (input, units) = layer.encoder_weights.shape();
        let layout = Layout::transcoder(&[input, units], layer.decoder_bias.len(), skip.is_some())?;
        if let Some(skip) = skip {
            let shape = (layout.output_size(), input);
            check_shape("skip connection", shape, skip.shape())?;
        }
        let place = layout.skip();
        let mut parameters = Self::fill(layout, std::slice::from_ref(layer))?;
        if let (Some(place), Some(skip)) = (place, skip) {
            refuse_non_finite(skip.as_view(), "skip connection")?;
            parameters.theta_mut()[place].copy_from_slice(skip.as_slice());
        }
        Ok(parameters)
    }

    /// Copies the matrices of the layers.
    fn fill(layout: Layout, layers: &[Layer<T>]) -> Result<Self, Error> {
        // Shapes are checked before memory is allocated for them.
        for (layer, blocks) in layers.iter().zip(layout.blocks()) {
            let (below, above, decoded) = (blocks.below, blocks.above, blocks.decoded);
            let (w, b, c) = (
                &layer.encoder_weights,
                &layer.encoder_bias,
                &layer.decoder_bias,
            );
            check_shape("encoder weights of a layer", (below, above), w.shape())?;
            check_shape("encoder bias of a layer", (above, 1), b.shape())?;
            if let Some(d) = &layer.decoder_weights {
                check_shape("decoder weights of a layer", (decoded, above), d.shape())?;
            }
            check_shape("decoder bias of a layer", (decoded, 1), c.shape())?;
        }
        let mut theta = Aligned::zeros(layout.len());
        for (layer, blocks) in layers.iter().zip(layout.blocks()) {
            let mut fill =
                |range: &Range<usize>, values: &[T]| theta[range.clone()].copy_from_slice(values);
            fill(&blocks.encoder_weights, layer.encoder_weights.as_slice());
            fill(&blocks.encoder_bias, layer.encoder_bias.as_slice());
            if let Some(d) = &layer.decoder_weights {
                fill(&blocks.decoder_weights, d.as_slice());
            }
            fill(&blocks.decoder_bias, layer.decoder_bias.as_slice());
        }
        Self::from_aligned(layout, theta)
    }

    /// Adds the blocks of these activations, one activation per hidden layer. New blocks start at 0.
    ///
    /// ```
    /// use sparse_autoencoder::{Activation, Layout, Parameters};
    /// use sparse_autoencoder::nalgebra::DVector;
    ///
    /// let layout = Layout::new(&[3, 5], false)?;
    /// let parameters = Parameters::new(layout.clone(), vec![0.1; layout.len()])?;
    /// let parameters = parameters
    ///     .for_activations(&[Activation::JumpRelu])?
    ///     .with_block(0, "thresholds", &DVector::from_element(5, 0.2))?;
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::DimensionMismatch`] if the numbers of activations and hidden layers differ.
    /// - [`Error::Incompatible`] if the parameters have blocks of other activations.
    pub fn for_activations(self, activations: &[Activation]) -> Result<Self, Error> {
        let layout = self.layout.for_activations(activations)?;
        if self.layout == layout {
            return Ok(self);
        }
        if self.layout.has_blocks() {
            return Err(Error::Incompatible {
                what: "parameters with thresholds or magnitudes",
                other: "hidden activations that have others, or none",
            });
        }
        let mut theta = self.theta;
        theta.resize(layout.len());
        Self::from_aligned(layout, theta)
    }

    /// Replaces the values of block `name` of layer `index`. [`Layout`] lists the names.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidParameter`] if there is no such layer.
    /// - [`Error::UnknownName`] if the layer has no such block.
    /// - [`Error::DimensionMismatch`] for another length.
    /// - [`Error::NonFinite`] for NaN and infinities.
    pub fn with_block(
        mut self,
        index: usize,
        name: &str,
        values: &DVector<T>,
    ) -> Result<Self, Error> {
        let Some(blocks) = self.layout.blocks().get(index) else {
            return Err(Error::InvalidParameter {
                name: "index of a layer",
                requirement: "below the number of hidden layers",
                value: f64::of_count(index),
            });
        };
        let Some(range) = blocks.block(name) else {
            let known = blocks.names.iter().map(|block| block.name);
            return Err(unknown_name("block of the units", name, known));
        };
        check_batch(values.as_view(), range.len(), ["block of a layer"; 2])?;
        self.theta_mut()[range].copy_from_slice(values.as_slice());
        Ok(self)
    }

    /// Returns the sizes of the layers and the order of the parameters.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns the flat vector θ.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.theta
    }

    /// Converts into the flat vector θ.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.theta.into_vec()
    }

    /// Returns the parameters of layer `index`, counted from 0 inwards; `None` beyond the innermost.
    #[must_use]
    pub fn layer(&self, index: usize) -> Option<LayerView<'_, T>> {
        self.layout
            .blocks()
            .get(index)
            .map(|blocks| LayerView::of(blocks, &self.theta))
    }

    /// Iterates over the parameters of each layer, the outermost first.
    #[must_use]
    pub fn layers(&self) -> impl ExactSizeIterator<Item = LayerView<'_, T>> {
        self.layout
            .blocks()
            .iter()
            .map(|blocks| LayerView::of(blocks, &self.theta))
    }

    /// Views the [skip connection](crate::SparseAutoencoderBuilder::skip) of a transcoder, output × input; `None`
    /// without one.
    #[must_use]
    pub fn skip(&self) -> Option<DMatrixView<'_, T>> {
        self.layout.skip_weights(&self.theta)
    }

    pub(crate) fn packed(&self) -> &[Packed<T>] {
        &self.packed
    }

    /// Borrows θ to write to. The caller keeps it finite.
    pub(crate) fn layout_and_theta_mut(&mut self) -> (&Layout, &mut [T]) {
        self.packed.iter_mut().for_each(Packed::clear);
        (&self.layout, &mut self.theta)
    }

    /// [`layout_and_theta_mut`](Self::layout_and_theta_mut) without the layout.
    pub(crate) fn theta_mut(&mut self) -> &mut [T] {
        self.layout_and_theta_mut().1
    }
}

/// Refuses parameters that do not fit the layout, and NaN and infinities.
pub(crate) fn check_theta<T: Real>(layout: &Layout, theta: &[T]) -> Result<(), Error> {
    check_len("parameters", layout.len(), theta.len())?;
    check_finite("parameters", theta)
}
