//! All parameters of a model in one flat vector θ, and matrix views into it.
//!
//! Optimizers, norms, the gradient check, and files are loops over one slice; the passes see
//! matrices. Weights are stored *one unit per column*, in the encoder and in the decoder alike:
//! both matrices of a layer are `below × above`, column `j` belongs to hidden unit `j`, and what a
//! unit reads and writes is contiguous.

use std::ops::Range;

use nalgebra::{DMatrix, DMatrixView, DVector, DVectorView};

use super::layout::{Blocks, Layout};
use crate::error::{Error, check_shape};
use crate::linalg::{Aligned, Packed};
use crate::units::Block;
use crate::validate::check_batch;
use crate::{Activation, Real};

/// One layer's parameters as matrices of your own.
///
/// Weights are `below × above`: column `j` belongs to the hidden unit `j`. A matrix whose *rows*
/// are units (as in CS294A's `W₁`, or `torch.nn.Linear`) is transposed first.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer<T> {
    /// `W`, below × above.
    pub encoder_weights: DMatrix<T>,
    /// `b`, one per unit above.
    pub encoder_bias: DVector<T>,
    /// `D`, below × above; `None` to tie it to `W`.
    pub decoder_weights: Option<DMatrix<T>>,
    /// `c`, one per unit below.
    pub decoder_bias: DVector<T>,
}

/// Views of one layer's parameters.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LayerView<'a, T: Real> {
    /// `W`, below × above: column `j` is what hidden unit `j` looks for.
    pub encoder_weights: DMatrixView<'a, T>,
    /// `b`, one per unit above.
    pub encoder_bias: DVectorView<'a, T>,
    /// `D`, below × above: column `j` is what hidden unit `j` contributes. `W` itself where tied.
    pub decoder_weights: DMatrixView<'a, T>,
    /// `c`, one per unit below.
    pub decoder_bias: DVectorView<'a, T>,
    blocks: &'static [Block],
    own: [&'a [T]; 2],
}

impl<'a, T: Real> LayerView<'a, T> {
    /// The parameters of this name that the units have besides weights and bias, one per unit or one in
    /// all; `None` if they have none of this name. [`Layout`] lists the names.
    ///
    /// ```
    /// use sparse_autoencoder::{Activation, SparseAutoencoder};
    ///
    /// let sae = SparseAutoencoder::<f32>::builder()
    ///     .layers([3, 5])
    ///     .hidden_activation(Activation::JumpRelu)
    ///     .build()?;
    /// let layer = sae.parameters().layer(0).unwrap();
    /// assert_eq!(layer.block("thresholds").map(|thresholds| thresholds.len()), Some(5));
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    #[must_use]
    pub fn block(&self, name: &str) -> Option<DVectorView<'a, T>> {
        let place = self.blocks.iter().position(|block| block.name == name)?;
        let values = self.own[place];
        Some(DVectorView::from_slice(values, values.len()))
    }

    /// The values of all blocks.
    pub(crate) fn own(&self) -> [&'a [T]; 2] {
        self.own
    }

    /// The names of these parameters, in their order in θ.
    pub fn block_names(&self) -> impl ExactSizeIterator<Item = &'static str> {
        self.blocks.iter().map(|block| block.name)
    }
}

/// All parameters of a model.
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
    /// Copies of the encoder weights of each layer, valid as long as θ does not change.
    packed: Vec<Packed<T>>,
}

impl<T: Real> Parameters<T> {
    /// Parameters from the flat vector θ, ordered as [`Layout`] says.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] if θ has another length, [`Error::NonFinite`] if it holds NaN
    /// or an infinity.
    pub fn new(layout: Layout, theta: Vec<T>) -> Result<Self, Error> {
        Self::from_aligned(layout, theta.into())
    }

    /// [`new`](Self::new) for a vector that begins at a cache line, as that of parameters does.
    pub(crate) fn from_aligned(layout: Layout, theta: Aligned<T>) -> Result<Self, Error> {
        check_theta(&layout, &theta)?;
        let packed = layout.blocks().iter().map(|_| Packed::default()).collect();
        Ok(Self {
            layout,
            theta,
            packed,
        })
    }

    /// Parameters from matrices, one [`Layer`] for each hidden layer, the outermost first.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] without layers, or for a layer of size 0;
    /// [`Error::DimensionMismatch`] if a shape does not fit its layer or the layer below;
    /// [`Error::Incompatible`] if some layers are tied and others not; [`Error::NonFinite`] for NaN
    /// and infinities.
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
        let layout = Layout::new(&sizes, tied != 0)?;
        // All shapes first: room is made for parameters that exist, not for sizes that are claimed.
        for (layer, blocks) in layers.iter().zip(layout.blocks()) {
            let weights = (blocks.below, blocks.above);
            let (w, b, c) = (
                &layer.encoder_weights,
                &layer.encoder_bias,
                &layer.decoder_bias,
            );
            check_shape("encoder weights of a layer", weights, w.shape())?;
            check_shape("encoder bias of a layer", (blocks.above, 1), b.shape())?;
            if let Some(d) = &layer.decoder_weights {
                check_shape("decoder weights of a layer", weights, d.shape())?;
            }
            check_shape("decoder bias of a layer", (blocks.below, 1), c.shape())?;
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

    /// The same parameters for hidden layers with these activations, one for each layer. Blocks that the
    /// activations need and that are not there start at 0.
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
    /// [`Error::DimensionMismatch`] unless there is an activation for each hidden layer;
    /// [`Error::Incompatible`] for parameters that already have other blocks.
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

    /// The same parameters with other values in the block of this name of layer `index`.
    /// [`Layout`] lists the names.
    ///
    /// # Errors
    ///
    /// [`Error::Incompatible`] for a layer that has no block of this name, [`Error::DimensionMismatch`]
    /// for another length, [`Error::NonFinite`] for NaN and infinities.
    pub fn with_block(
        mut self,
        index: usize,
        name: &str,
        values: &DVector<T>,
    ) -> Result<Self, Error> {
        let blocks = self.layout.blocks().get(index);
        let Some(range) = blocks.and_then(|blocks| blocks.block(name)) else {
            return Err(Error::Incompatible {
                what: "a block of this name",
                other: "a layer whose activation has none; see `Layout`",
            });
        };
        check_batch(values.as_view(), range.len(), ["block of a layer"; 2])?;
        self.theta_mut()[range].copy_from_slice(values.as_slice());
        Ok(self)
    }

    /// Sizes and places.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The flat vector θ.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.theta
    }

    /// The flat vector θ, by value.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.theta.into_vec()
    }

    /// The parameters of layer `index`, 0 being the outermost; `None` beyond the innermost.
    #[must_use]
    pub fn layer(&self, index: usize) -> Option<LayerView<'_, T>> {
        self.layout
            .blocks()
            .get(index)
            .map(|blocks| self.view(blocks))
    }

    /// The parameters of each layer, the outermost first.
    #[must_use]
    pub fn layers(&self) -> impl ExactSizeIterator<Item = LayerView<'_, T>> {
        self.layout.blocks().iter().map(|blocks| self.view(blocks))
    }

    fn view(&self, blocks: &Blocks) -> LayerView<'_, T> {
        let vector =
            |range: Range<usize>| DVectorView::from_slice(&self.theta[range.clone()], range.len());
        LayerView {
            encoder_weights: blocks.encoder_weights(&self.theta),
            encoder_bias: vector(blocks.encoder_bias.clone()),
            decoder_weights: blocks.decoder_weights(&self.theta),
            decoder_bias: vector(blocks.decoder_bias.clone()),
            blocks: blocks.names,
            own: blocks.own(&self.theta, T::zero()).blocks,
        }
    }

    pub(crate) fn packed(&self) -> &[Packed<T>] {
        &self.packed
    }

    /// For the passes, which keep the length; what they write is finite.
    pub(crate) fn layout_and_theta_mut(&mut self) -> (&Layout, &mut [T]) {
        self.packed.iter_mut().for_each(Packed::clear);
        (&self.layout, &mut self.theta)
    }

    /// [`layout_and_theta_mut`](Self::layout_and_theta_mut) without the layout.
    pub(crate) fn theta_mut(&mut self) -> &mut [T] {
        self.layout_and_theta_mut().1
    }
}

pub(crate) fn check_theta<T: Real>(layout: &Layout, theta: &[T]) -> Result<(), Error> {
    if theta.len() != layout.len() {
        return Err(Error::DimensionMismatch {
            what: "parameters",
            expected: layout.len(),
            actual: theta.len(),
        });
    }
    match theta.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(row) => Err(Error::NonFinite {
            what: "parameters",
            row,
            column: 0,
            value: theta[row].to_f64(),
        }),
    }
}
