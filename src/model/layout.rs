//! Where each block of parameters lies.

use std::ops::Range;

use nalgebra::{DMatrixView, DMatrixViewMut};

use crate::error::{Error, require};
use crate::units::{Block, Own, OwnMut};
use crate::{Activation, Real};

/// The sizes of the layers, and where each block of parameters lies in the flat vector θ.
///
/// For sizes `n₀, n₁, …, n_L` (input, hidden, hidden, …), layer `l` joins size `n_l` below to
/// size `n_{l+1}` above. θ holds, in this order,
///
/// ```text
/// W_0, b_0, …, W_{L−1}, b_{L−1}     encoder: W_l is n_l × n_{l+1}, b_l has n_{l+1} entries
/// D_0, c_0, …, D_{L−1}, c_{L−1}     decoder: D_l is n_l × n_{l+1}, c_l has n_l entries
/// ```
///
/// each matrix column by column. With tied weights there is no `D_l`: the decoder reads `W_l`.
/// Behind them lie, layer by layer, the blocks of the activations that have parameters of their own, and at
/// the very end those that the optimizer does not move:
///
/// | activation | block | entries | learns |
/// |---|---|---|---|
/// | `JumpRelu` | `thresholds` | n_{l+1} | yes |
/// | `Gated`, whose b_l is that of the gates | `log_magnitude`, `magnitude_bias` | n_{l+1} each | yes |
/// | `BatchTopK` | `thresholds` | 1 | no |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    sizes: Vec<usize>,
    tied: bool,
    blocks: Vec<Blocks>,
    /// The parameters that the optimizer moves are those before here.
    learned: usize,
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
    /// The parameters of the units besides weights and bias, and where they lie.
    pub(crate) names: &'static [Block],
    pub(crate) own: [Range<usize>; 2],
}

impl Layout {
    /// The layout for layer sizes `[input, hidden, hidden, …]`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for fewer than two sizes, a size of 0, or more parameters than
    /// the machine can address.
    pub fn new(sizes: &[usize], tied: bool) -> Result<Self, Error> {
        Self::with_blocks(sizes, tied, |_| &[])
    }

    /// The same sizes, with room for the parameters of these activations, one for each hidden layer,
    /// as far as they have some.
    ///
    /// ```
    /// use sparse_autoencoder::{Activation, Layout};
    ///
    /// let layout = Layout::new(&[3, 5], false)?;
    /// assert_eq!(layout.len(), 2 * 3 * 5 + 5 + 3);
    /// let with_thresholds = layout.for_activations(&[Activation::JumpRelu])?;
    /// assert_eq!(with_thresholds.len(), layout.len() + 5);
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`] unless there is one for each hidden layer; else as
    /// [`new`](Self::new).
    pub fn for_activations(&self, activations: &[Activation]) -> Result<Self, Error> {
        self.check_layers("activations of the hidden layers", activations.len())?;
        Self::with_blocks(&self.sizes, self.tied, |l| activations[l].blocks())
    }

    pub(super) fn check_layers(&self, what: &'static str, actual: usize) -> Result<(), Error> {
        if actual == self.depth() {
            return Ok(());
        }
        Err(Error::DimensionMismatch {
            what,
            expected: self.depth(),
            actual,
        })
    }

    /// With these blocks in each layer.
    fn with_blocks(
        sizes: &[usize],
        tied: bool,
        names: impl Fn(usize) -> &'static [Block],
    ) -> Result<Self, Error> {
        require(
            sizes.len() >= 2,
            "layers",
            "at least a input and a hidden size",
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
        let mut blocks: Vec<_> = joins()
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
                names: &[],
                own: [0..0, 0..0],
            })
            .collect();
        let mut learned = 0;
        for learns in [true, false] {
            for (l, layer) in blocks.iter_mut().enumerate() {
                layer.names = names(l);
                for (range, block) in layer.own.iter_mut().zip(layer.names) {
                    if block.learns == learns {
                        *range = take(Some(block.len.of(layer.above)));
                    }
                }
            }
            if learns {
                learned = take(Some(0)).end;
            }
        }
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
            learned,
            len,
        })
    }

    /// Gives a layout of one layer, without blocks of its units, another number of hidden units. Allocates
    /// nothing.
    pub(crate) fn resize_hidden(&mut self, units: usize) {
        let blocks = &mut self.blocks[0];
        let weights = blocks.below * units;
        blocks.above = units;
        blocks.encoder_weights = 0..weights;
        blocks.encoder_bias = weights..weights + units;
        let mut end = weights + units;
        blocks.decoder_weights = if self.tied {
            0..weights
        } else {
            end += weights;
            end - weights..end
        };
        blocks.decoder_bias = end..end + blocks.below;
        self.len = blocks.decoder_bias.end;
        self.learned = self.len;
        self.sizes[1] = units;
    }

    /// The sizes `[input, hidden, hidden, …]`.
    #[must_use]
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// The size of a sample.
    #[must_use]
    pub fn input_size(&self) -> usize {
        self.sizes[0]
    }

    /// The size of the innermost hidden layer.
    #[must_use]
    pub fn hidden_size(&self) -> usize {
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

    /// The number of parameters that the optimizer moves: the first ones.
    pub(crate) fn learned(&self) -> usize {
        self.learned
    }

    /// Whether the units of some layer have parameters besides weights and bias.
    pub(crate) fn has_blocks(&self) -> bool {
        self.blocks.iter().any(|layer| !layer.names.is_empty())
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

    /// The block of this name.
    pub(crate) fn block(&self, name: &str) -> Option<Range<usize>> {
        let place = self.names.iter().position(|block| block.name == name)?;
        Some(self.own[place].clone())
    }

    /// What belongs to the units in θ, or in its gradient. Blocks that lie beyond the end are empty.
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

    /// [`own`](Self::own), to be written.
    pub(crate) fn own_mut<'a, T: Real>(&self, theta: &'a mut [T]) -> OwnMut<'a, T> {
        let [first, second] = &self.own; // behind the bias, the second behind the first
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

    pub(crate) fn weights_mut<'a, T: Real>(
        &self,
        theta: &'a mut [T],
        block: &Range<usize>,
    ) -> DMatrixViewMut<'a, T> {
        DMatrixViewMut::from_slice(&mut theta[block.clone()], self.below, self.above)
    }
}
