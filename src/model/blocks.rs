//! The parameters of one layer in the flat vector θ.

use std::ops::Range;

use nalgebra::{DMatrixView, DMatrixViewMut};

use crate::Real;
use crate::units::{ActiveGradient, Block, Own, OwnMut};

/// The places of the parameters of one layer in θ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blocks {
    pub(crate) below: usize,
    pub(crate) above: usize,
    /// The rows of D and c: `below`, or the output size of a transcoder in its outermost layer
    pub(crate) decoded: usize,
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
        let weights = &theta[self.encoder_weights.clone()];
        DMatrixView::from_slice(weights, self.below, self.above)
    }

    /// Views `D_l`, decoded × above.
    pub(crate) fn decoder_weights<'a, T: Real>(&self, theta: &'a [T]) -> DMatrixView<'a, T> {
        let weights = &theta[self.decoder_weights.clone()];
        DMatrixView::from_slice(weights, self.decoded, self.above)
    }

    /// Returns the place of the block `name`.
    pub(crate) fn block(&self, name: &str) -> Option<Range<usize>> {
        let place = self.names.iter().position(|block| block.name == name)?;
        Some(self.own[place].clone())
    }

    /// Returns the places of the encoder's biases: that of all units, and those that are blocks.
    pub(crate) fn encoder_biases(&self) -> impl Iterator<Item = Range<usize>> {
        let blocks = self.names.iter().zip(&self.own);
        let own = blocks.filter(|(block, _)| block.is_bias);
        std::iter::once(&self.encoder_bias)
            .chain(own.map(|(_, place)| place))
            .cloned()
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
    pub(crate) fn own_mut<'a, T>(&self, theta: &'a mut [T]) -> OwnMut<'a, T> {
        let ranges = [
            self.encoder_bias.clone(),
            self.own[0].clone(),
            self.own[1].clone(),
        ];
        let [bias, blocks @ ..] = views_mut(theta, ranges);
        OwnMut { bias, blocks }
    }

    /// Views the gradients that a backward pass over active units writes.
    pub(crate) fn active_gradient<'a, T>(&self, gradient: &'a mut [T]) -> ActiveGradient<'a, T> {
        let ranges = [
            self.decoder_weights.clone(),
            self.encoder_bias.clone(),
            self.own[0].clone(),
            self.own[1].clone(),
        ];
        let [decoder, bias, blocks @ ..] = views_mut(gradient, ranges);
        ActiveGradient {
            decoder,
            own: OwnMut { bias, blocks },
        }
    }

    /// Views `W_l` to write to.
    pub(crate) fn encoder_weights_mut<'a, T: Real>(
        &self,
        theta: &'a mut [T],
    ) -> DMatrixViewMut<'a, T> {
        let weights = &mut theta[self.encoder_weights.clone()];
        DMatrixViewMut::from_slice(weights, self.below, self.above)
    }

    /// Views `D_l` to write to.
    pub(crate) fn decoder_weights_mut<'a, T: Real>(
        &self,
        theta: &'a mut [T],
    ) -> DMatrixViewMut<'a, T> {
        let weights = &mut theta[self.decoder_weights.clone()];
        DMatrixViewMut::from_slice(weights, self.decoded, self.above)
    }
}

/// Views disjoint ranges. Those beyond the end of `values` are empty.
fn views_mut<T, const N: usize>(values: &mut [T], ranges: [Range<usize>; N]) -> [&mut [T]; N] {
    let len = values.len();
    let ranges = ranges.map(|range| if range.end <= len { range } else { 0..0 });
    values
        .get_disjoint_mut(ranges)
        .unwrap_or_else(|_| std::array::from_fn(|_| Default::default()))
}
