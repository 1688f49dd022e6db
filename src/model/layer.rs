//! The parameters of one layer as matrices: owned, or views into θ.

use std::ops::Range;

use nalgebra::{DMatrix, DMatrixView, DVector, DVectorView};

use super::blocks::Blocks;
use crate::Real;
use crate::units::Block;

/// The parameters of one layer, as owned matrices.
///
/// Weights are below × above: column `j` belongs to unit `j` above. Transpose matrices whose rows are units, as
/// in CS294A's `W₁` and `torch.nn.Linear`, or use [`Convention::layer`](crate::Convention::layer).
#[derive(Debug, Clone, PartialEq)]
pub struct Layer<T> {
    /// `W`, below × above.
    pub encoder_weights: DMatrix<T>,
    /// `b`, one per unit above.
    pub encoder_bias: DVector<T>,
    /// `D`, below × above, or output × above in a transcoder; `None` for tied weights.
    pub decoder_weights: Option<DMatrix<T>>,
    /// `c`, one per unit below, or per entry of the output.
    pub decoder_bias: DVector<T>,
}

/// Views of the parameters of one layer.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LayerView<'a, T: Real> {
    /// `W`, below × above: column `j` is the pattern that unit `j` detects.
    pub encoder_weights: DMatrixView<'a, T>,
    /// `b`, one per unit above.
    pub encoder_bias: DVectorView<'a, T>,
    /// `D`, below × above, or output × above in a transcoder: column `j` is what unit `j` contributes to the
    /// reconstruction. Tied weights are `W`.
    pub decoder_weights: DMatrixView<'a, T>,
    /// `c`, one per unit below, or per entry of the output.
    pub decoder_bias: DVectorView<'a, T>,
    blocks: &'static [Block],
    own: [&'a [T]; 2],
}

impl<'a, T: Real> LayerView<'a, T> {
    /// Views the parameters of a layer in θ.
    pub(super) fn of(blocks: &Blocks, theta: &'a [T]) -> Self {
        let vector = |range: Range<usize>| {
            let values = &theta[range];
            DVectorView::from_slice(values, values.len())
        };
        Self {
            encoder_weights: blocks.encoder_weights(theta),
            encoder_bias: vector(blocks.encoder_bias.clone()),
            decoder_weights: blocks.decoder_weights(theta),
            decoder_bias: vector(blocks.decoder_bias.clone()),
            blocks: blocks.names,
            own: blocks.own(theta, T::zero()).blocks,
        }
    }

    /// Returns the block `name`: parameters of the units besides weights and bias.
    ///
    /// A block has one entry, or one per unit. [`Layout`](crate::Layout) lists the names. `None` if the units have
    /// no such block.
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

    /// Returns the values of all blocks.
    pub(crate) fn own(&self) -> [&'a [T]; 2] {
        self.own
    }

    /// Returns the names of the blocks, in their order in θ.
    #[must_use]
    pub fn block_names(&self) -> impl ExactSizeIterator<Item = &'static str> {
        self.blocks.iter().map(|block| block.name)
    }
}
