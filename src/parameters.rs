//! All parameters of a model in one flat vector θ, and matrix views into it.
//!
//! Optimizers, norms, the gradient check, and files are loops over one slice; the passes see
//! matrices. Weights are stored *one unit per column*, in the encoder and in the decoder alike:
//! both matrices of a layer are `below × above`, column `j` belongs to hidden unit `j`, and what a
//! unit reads and writes is contiguous.

use std::ops::Range;

use nalgebra::{DMatrix, DMatrixView, DMatrixViewMut, DVector, DVectorView};

use crate::Real;
use crate::error::{Error, check_shape, require};

/// The sizes of the layers, and where each block of parameters lies in the flat vector θ.
///
/// For sizes `n₀, n₁, …, n_L` (visible, hidden, hidden, …), layer `l` joins size `n_l` below to
/// size `n_{l+1}` above. θ holds, in this order,
///
/// ```text
/// W_0, b_0, …, W_{L−1}, b_{L−1}     encoder: W_l is n_l × n_{l+1}, b_l has n_{l+1} entries
/// D_0, c_0, …, D_{L−1}, c_{L−1}     decoder: D_l is n_l × n_{l+1}, c_l has n_l entries
/// ```
///
/// each matrix column by column. With tied weights there is no `D_l`: the decoder reads `W_l`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    sizes: Vec<usize>,
    tied: bool,
    blocks: Vec<Blocks>,
    len: usize,
}

/// Where the parameters of one layer lie in θ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blocks {
    pub(crate) below: usize,
    pub(crate) above: usize,
    pub(crate) encoder_weights: Range<usize>,
    pub(crate) encoder_bias: Range<usize>,
    pub(crate) decoder_weights: Range<usize>,
    pub(crate) decoder_bias: Range<usize>,
}

impl Layout {
    /// The layout for layer sizes `[visible, hidden, hidden, …]`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for fewer than two sizes, a size of 0, or more parameters than
    /// the machine can address.
    pub fn new(sizes: &[usize], tied: bool) -> Result<Self, Error> {
        require(
            sizes.len() >= 2,
            "layers",
            "at least a visible and a hidden size",
            f64::of_count(sizes.len()),
        )?;
        if let Some(position) = sizes.iter().position(|&size| size == 0) {
            return Err(Error::InvalidParameter {
                name: "layers",
                requirement: "sizes of at least 1",
                value: f64::of_count(sizes[position]),
            });
        }
        let mut len = 0_usize;
        let mut fits = true;
        let mut take = |count: Option<usize>| {
            let start = len;
            let end = count
                .and_then(|count| start.checked_add(count))
                .filter(|&end| end <= isize::MAX as usize / size_of::<f64>());
            fits &= end.is_some();
            len = end.unwrap_or(start);
            start..len
        };
        let joins = || sizes.windows(2).map(|pair| (pair[0], pair[1]));
        let encoder: Vec<_> = joins()
            .map(|(below, above)| (take(below.checked_mul(above)), take(Some(above))))
            .collect();
        let blocks = joins()
            .zip(encoder)
            .map(|((below, above), (encoder_weights, encoder_bias))| Blocks {
                below,
                above,
                decoder_weights: if tied {
                    encoder_weights.clone()
                } else {
                    take(below.checked_mul(above))
                },
                decoder_bias: take(Some(below)),
                encoder_weights,
                encoder_bias,
            })
            .collect();
        if !fits {
            return Err(Error::InvalidParameter {
                name: "layers",
                requirement: "small enough for the parameters to be addressed",
                value: sizes.iter().map(|&size| f64::of_count(size)).product(),
            });
        }
        Ok(Self {
            sizes: sizes.to_vec(),
            tied,
            blocks,
            len,
        })
    }

    /// The sizes `[visible, hidden, hidden, …]`.
    #[must_use]
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// The size of a sample.
    #[must_use]
    pub fn visible(&self) -> usize {
        self.sizes[0]
    }

    /// The size of the innermost hidden layer.
    #[must_use]
    pub fn hidden(&self) -> usize {
        self.sizes[self.sizes.len() - 1]
    }

    /// The number of hidden layers.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// Whether the decoder reads the weights of the encoder.
    #[must_use]
    pub fn is_tied(&self) -> bool {
        self.tied
    }

    /// The number of parameters.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // there is always at least one weight
    pub fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn blocks(&self) -> &[Blocks] {
        &self.blocks
    }

    /// The weight blocks, each once, also where they are tied. Biases are not among them.
    pub(crate) fn weights(&self) -> impl Iterator<Item = Range<usize>> {
        let decoder = if self.tied { &[] } else { &self.blocks[..] };
        self.blocks
            .iter()
            .map(|blocks| blocks.encoder_weights.clone())
            .chain(decoder.iter().map(|blocks| blocks.decoder_weights.clone()))
    }
}

impl Blocks {
    /// `W_l`, below × above.
    pub(crate) fn encoder_weights<'a, T: Real>(&self, theta: &'a [T]) -> DMatrixView<'a, T> {
        self.weights(&theta[self.encoder_weights.clone()])
    }

    /// `D_l`, below × above.
    pub(crate) fn decoder_weights<'a, T: Real>(&self, theta: &'a [T]) -> DMatrixView<'a, T> {
        self.weights(&theta[self.decoder_weights.clone()])
    }

    fn weights<'a, T: Real>(&self, block: &'a [T]) -> DMatrixView<'a, T> {
        DMatrixView::from_slice(block, self.below, self.above)
    }

    pub(crate) fn weights_mut<'a, T: Real>(
        &self,
        theta: &'a mut [T],
        block: &Range<usize>,
    ) -> DMatrixViewMut<'a, T> {
        DMatrixViewMut::from_slice(&mut theta[block.clone()], self.below, self.above)
    }
}

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
    theta: Vec<T>,
}

impl<T: Real> Parameters<T> {
    /// Parameters from the flat vector θ, ordered as [`Layout`] says.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] if θ has another length, [`Error::NonFinite`] if it holds NaN
    /// or an infinity.
    pub fn new(layout: Layout, theta: Vec<T>) -> Result<Self, Error> {
        check_theta(&layout, &theta)?;
        Ok(Self { layout, theta })
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
        let visible = layers.first().map(|layer| layer.encoder_weights.nrows());
        let sizes: Vec<usize> = visible
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
        let mut theta = vec![T::zero(); layout.len()];
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
        Self::new(layout, theta)
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
        self.theta
    }

    /// The parameters of layer `index`, 0 being the outermost; `None` beyond the innermost.
    #[must_use]
    pub fn layer(&self, index: usize) -> Option<LayerView<'_, T>> {
        self.layout
            .blocks
            .get(index)
            .map(|blocks| self.view(blocks))
    }

    /// The parameters of each layer, the outermost first.
    #[must_use]
    pub fn layers(&self) -> impl ExactSizeIterator<Item = LayerView<'_, T>> {
        self.layout.blocks.iter().map(|blocks| self.view(blocks))
    }

    fn view(&self, blocks: &Blocks) -> LayerView<'_, T> {
        LayerView {
            encoder_weights: blocks.encoder_weights(&self.theta),
            encoder_bias: DVectorView::from_slice(
                &self.theta[blocks.encoder_bias.clone()],
                blocks.above,
            ),
            decoder_weights: blocks.decoder_weights(&self.theta),
            decoder_bias: DVectorView::from_slice(
                &self.theta[blocks.decoder_bias.clone()],
                blocks.below,
            ),
        }
    }

    pub(crate) fn layout_and_theta_mut(&mut self) -> (&Layout, &mut [T]) {
        (&self.layout, &mut self.theta)
    }

    /// For the passes, which keep the length; what they write is finite.
    pub(crate) fn theta_mut(&mut self) -> &mut [T] {
        &mut self.theta
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
