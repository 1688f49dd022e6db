//! The parameters of one layer in the flat vector θ.

use std::ops::Range;

use nalgebra::{DMatrixView, DMatrixViewMut};

use crate::Real;
use crate::units::{Block, Own, OwnMut};

/// The places of the parameters of one layer in θ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blocks {
    pub(crate) below: usize,
    pub(crate) above: usize,
    pub(crate) encoder_weights: Range<usize>,
    pub(crate) encoder_bias: Range<usize>,
    pub(crate) decoder_weights: Range<usize>,
    pub(crate) decoder_bias: Range<usize>,
    /// The parameters of the units besides weights and bias.
    pub(crate) names: &'static [Block],
    /// Their places.
    pub(crate) own: [Range<usize>; 2],
}

impl Blocks {
    /// Views `W_l`, below × above.
    pub(crate) fn encoder_weights<'a, T: Real>(&self, theta: &'a [T]) -> DMatrixView<'a, T> {
        self.weights(&theta[self.encoder_weights.clone()])
    }

    /// Views `D_l`, below × above.
    pub(crate) fn decoder_weights<'a, T: Real>(&self, theta: &'a [T]) -> DMatrixView<'a, T> {
        self.weights(&theta[self.decoder_weights.clone()])
    }

    /// Returns the place of the block `name`.
    pub(crate) fn block(&self, name: &str) -> Option<Range<usize>> {
        let place = self.names.iter().position(|block| block.name == name)?;
        Some(self.own[place].clone())
    }

    /// Views the parameters of the units in θ, or in a gradient. Blocks beyond its end are empty.
    pub(crate) fn own<'a, T: Real>(&self, theta: &'a [T], bandwidth: T) -> Own<'a, T> {
        Own {
            bias: &theta[self.encoder_bias.clone()],
            blocks: self
                .own
                .each_ref()
                .map(|range| theta.get(range.clone()).unwrap_or_default()),
            bandwidth,
        }
    }

    /// Views the same to write to.
    pub(crate) fn own_mut<'a, T: Real>(&self, theta: &'a mut [T]) -> OwnMut<'a, T> {
        let [first, second] = &self.own; // in this order, after the bias
        let (before, rest) =
            theta.split_at_mut(first.start.max(self.encoder_bias.end).min(theta.len()));
        let (of_first, of_second) = rest.split_at_mut(first.len().min(rest.len()));
        let skipped = second.start.saturating_sub(first.end);
        OwnMut {
            bias: &mut before[self.encoder_bias.clone()],
            blocks: [
                of_first,
                of_second
                    .get_mut(skipped..skipped + second.len())
                    .unwrap_or_default(),
            ],
        }
    }

    fn weights<'a, T: Real>(&self, block: &'a [T]) -> DMatrixView<'a, T> {
        DMatrixView::from_slice(block, self.below, self.above)
    }

    /// Views the weights at `block` to write to, below × above.
    pub(crate) fn weights_mut<'a, T: Real>(
        &self,
        theta: &'a mut [T],
        block: &Range<usize>,
    ) -> DMatrixViewMut<'a, T> {
        DMatrixViewMut::from_slice(&mut theta[block.clone()], self.below, self.above)
    }
}
