//! The sizes of the layers, and the order of the parameters.

use std::ops::Range;

use nalgebra::DMatrixView;

use super::blocks::Blocks;
use crate::error::{Error, require, require_some};
use crate::units::Block;
use crate::validate::check_len;
use crate::{Activation, Real};

/// The sizes of the layers, and the order of the parameters in the flat vector θ.
///
/// The sizes are `n₀, n₁, …, n_L`: input, hidden, hidden, …. Layer `l` joins the `n_l` units below to the
/// `n_{l+1}` units above. θ holds these blocks in this order:
///
/// ```text
/// W_0, b_0, …, W_{L−1}, b_{L−1}     encoder: W_l is n_l × n_{l+1}, b_l has n_{l+1} entries
/// D_0, c_0, …, D_{L−1}, c_{L−1}     decoder: D_l is n_l × n_{l+1}, c_l has n_l entries
/// blocks of the activations         layer by layer, those that learn first
/// ```
///
/// Matrices are stored column by column. With tied weights, θ has no `D_l`, and the decoder uses `W_l`. In a
/// [transcoder](Self::transcoder), `D_0` and `c_0` have the rows of the output, and a skip connection S, output ×
/// input, follows `c_{L−1}`. Some activations have further blocks:
///
/// | activation | block | entries | learns by gradient |
/// |---|---|---|---|
/// | `JumpRelu` | `thresholds` | n_{l+1} | yes |
/// | `Gated` | `log_magnitude` (r), `magnitude_bias` (b_mag) | n_{l+1} each | yes |
/// | `BatchTopK` | `thresholds` | 1 | no |
///
/// The `b_l` of `Gated` units is the bias of the gates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    shape: Shape,
    blocks: Vec<Blocks>,
    /// The place of S; `None` without a skip connection.
    skip: Option<Range<usize>>,
    /// The number of parameters that the optimizer moves, at the start of θ.
    learned: usize,
    len: usize,
}

/// What defines a layout, except the blocks of the activations.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shape {
    sizes: Vec<usize>,
    tied: bool,
    /// The output size of a transcoder; `None` for an autoencoder.
    output: Option<usize>,
    has_skip: bool,
}

impl Layout {
    /// Returns the layout of layers of the sizes `[input, hidden, hidden, …]`, without blocks of activations.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] for fewer than two sizes, a size of 0, or more parameters than the machine can
    /// address.
    pub fn new(sizes: &[usize], tied: bool) -> Result<Self, Error> {
        let shape = Shape {
            sizes: sizes.to_vec(),
            tied,
            output: None,
            has_skip: false,
        };
        shape.arrange(|_| &[])
    }

    /// Returns the layout of a [transcoder](crate::SparseAutoencoderBuilder::output_size) with this output size,
    /// without blocks of activations.
    ///
    /// ```
    /// use sparse_autoencoder::Layout;
    ///
    /// let layout = Layout::transcoder(&[3, 5], 2, true)?;
    /// let (encoder, decoder, skip) = (3 * 5 + 5, 2 * 5 + 2, 2 * 3);
    /// assert_eq!(layout.len(), encoder + decoder + skip);
    /// assert_eq!((layout.input_size(), layout.output_size(), layout.sample_entries()), (3, 2, 5));
    /// # Ok::<(), sparse_autoencoder::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and [`Error::InvalidParameter`] for an output size of 0.
    pub fn transcoder(sizes: &[usize], output_size: usize, has_skip: bool) -> Result<Self, Error> {
        require_some("output_size", output_size)?;
        let shape = Shape {
            sizes: sizes.to_vec(),
            tied: false,
            output: Some(output_size),
            has_skip,
        };
        shape.arrange(|_| &[])
    }

    /// Returns a layout of the same sizes with the blocks of these activations, one activation per hidden layer.
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
    /// [`Error::DimensionMismatch`] if the numbers of activations and hidden layers differ; otherwise as
    /// [`new`](Self::new).
    pub fn for_activations(&self, activations: &[Activation]) -> Result<Self, Error> {
        self.check_layers("activations of the hidden layers", activations.len())?;
        let shape = self.shape.clone();
        shape.arrange(|l| activations[l].blocks())
    }

    /// Refuses a list unless it has one entry per hidden layer.
    pub(super) fn check_layers(&self, what: &'static str, actual: usize) -> Result<(), Error> {
        check_len(what, self.depth(), actual)
    }

    /// Changes the number of hidden units of a layout with one layer, no skip connection, and no blocks. Allocates
    /// nothing.
    pub(crate) fn resize_hidden(&mut self, units: usize) {
        let blocks = &mut self.blocks[0];
        let weights = blocks.below * units;
        blocks.above = units;
        blocks.encoder_weights = 0..weights;
        blocks.encoder_bias = weights..weights + units;
        let mut end = weights + units;
        blocks.decoder_weights = if self.shape.tied {
            0..weights
        } else {
            end += blocks.decoded * units;
            weights + units..end
        };
        blocks.decoder_bias = end..end + blocks.decoded;
        self.len = blocks.decoder_bias.end;
        self.learned = self.len;
        self.shape.sizes[1] = units;
    }

    /// Returns the sizes `[input, hidden, hidden, …]`.
    #[must_use]
    pub fn sizes(&self) -> &[usize] {
        &self.shape.sizes
    }

    /// Returns the input size: the number of entries that the encoder sees.
    #[must_use]
    pub fn input_size(&self) -> usize {
        self.shape.sizes[0]
    }

    /// Returns the output size: the number of entries of a reconstruction. It is the input size, except in a
    /// transcoder.
    #[must_use]
    pub fn output_size(&self) -> usize {
        self.shape.output.unwrap_or(self.input_size())
    }

    /// Returns the number of entries of a sample to train on: the input size, plus the output size in a
    /// transcoder.
    #[must_use]
    pub fn sample_entries(&self) -> usize {
        self.input_size() + self.shape.output.unwrap_or(0)
    }

    /// Returns the entries of a sample to train on that are the input.
    pub(crate) fn input_entries(&self) -> Range<usize> {
        0..self.input_size()
    }

    /// Returns the entries of a sample to train on that the reconstruction is compared with.
    pub(crate) fn target_entries(&self) -> Range<usize> {
        self.sample_entries() - self.output_size()..self.sample_entries()
    }

    /// Returns whether the model is a [transcoder](crate::SparseAutoencoderBuilder::output_size).
    #[must_use]
    pub fn is_transcoder(&self) -> bool {
        self.shape.output.is_some()
    }

    /// Returns whether there is a [skip connection](crate::SparseAutoencoderBuilder::skip) from the input to the
    /// output.
    #[must_use]
    pub fn has_skip(&self) -> bool {
        self.skip.is_some()
    }

    /// Returns the number of units of the innermost hidden layer.
    #[must_use]
    pub fn hidden_size(&self) -> usize {
        self.shape.sizes[self.depth()]
    }

    /// Returns the number of hidden layers.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// Returns whether the decoder uses the weights of the encoder.
    #[must_use]
    pub fn is_tied(&self) -> bool {
        self.shape.tied
    }

    /// Returns the number of parameters.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // there is always at least one weight
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the number of parameters that the optimizer moves. They are the first of θ.
    pub(crate) fn learned(&self) -> usize {
        self.learned
    }

    /// Returns whether some units have parameters besides weights and bias.
    pub(crate) fn has_blocks(&self) -> bool {
        self.blocks.iter().any(|layer| !layer.names.is_empty())
    }

    pub(crate) fn blocks(&self) -> &[Blocks] {
        &self.blocks
    }

    /// Views S, output × input, if there is a skip connection.
    pub(crate) fn skip_weights<'a, T: Real>(&self, theta: &'a [T]) -> Option<DMatrixView<'a, T>> {
        let (rows, columns) = (self.output_size(), self.input_size());
        Some(DMatrixView::from_slice(&theta[self.skip()?], rows, columns))
    }

    /// Returns the layout without a skip connection and blocks of activations.
    pub(crate) fn plain(&self) -> Result<Self, Error> {
        let shape = Shape {
            has_skip: false,
            ..self.shape.clone()
        };
        shape.arrange(|_| &[])
    }

    /// Iterates over the sizes of the layers, and of the output of a transcoder.
    pub(crate) fn all_sizes(&self) -> impl Iterator<Item = usize> {
        self.shape.all_sizes()
    }

    /// Returns the place of S, output × input, if there is a skip connection.
    pub(crate) fn skip(&self) -> Option<Range<usize>> {
        self.skip.clone()
    }

    /// Iterates over the places of all weights. Tied weights appear once.
    pub(crate) fn weights(&self) -> impl Iterator<Item = Range<usize>> {
        let decoder = if self.shape.tied {
            &[]
        } else {
            &self.blocks[..]
        };
        self.blocks
            .iter()
            .map(|blocks| blocks.encoder_weights.clone())
            .chain(decoder.iter().map(|blocks| blocks.decoder_weights.clone()))
            .chain(self.skip.clone())
    }
}

impl Shape {
    /// Iterates over the sizes of the layers, and of the output of a transcoder.
    fn all_sizes(&self) -> impl Iterator<Item = usize> {
        self.sizes.iter().chain(&self.output).copied()
    }

    /// Returns the layout with the blocks `names(l)` in layer `l`.
    fn arrange(self, names: impl Fn(usize) -> &'static [Block]) -> Result<Layout, Error> {
        check_sizes(&self.sizes)?;
        let mut places = Places::default();
        let joins = || self.sizes.windows(2).map(|pair| (pair[0], pair[1]));
        let encoder: Vec<_> = joins()
            .map(|(below, above)| (places.weights(below, above), places.take(Some(above))))
            .collect();
        let mut decoded = self.output; // of the outermost layer
        let mut blocks: Vec<_> = joins()
            .zip(encoder)
            .map(|((below, above), (encoder_weights, encoder_bias))| {
                let decoded = decoded.take().unwrap_or(below);
                Blocks {
                    below,
                    above,
                    decoded,
                    decoder_weights: if self.tied {
                        encoder_weights.clone()
                    } else {
                        places.weights(decoded, above)
                    },
                    decoder_bias: places.take(Some(decoded)),
                    encoder_weights,
                    encoder_bias,
                    names: &[],
                    own: [0..0, 0..0],
                }
            })
            .collect();
        let output = self.output.filter(|_| self.has_skip);
        let skip = output.map(|output| places.weights(output, self.sizes[0]));
        let mut learned = 0;
        for learns in [true, false] {
            for (l, layer) in blocks.iter_mut().enumerate() {
                layer.names = names(l);
                for (range, block) in layer.own.iter_mut().zip(layer.names) {
                    if block.learns == learns {
                        *range = places.take(Some(block.len.of(layer.above)));
                    }
                }
            }
            if learns {
                learned = places.len;
            }
        }
        if places.overflow {
            return Err(Error::InvalidParameter {
                name: "layers",
                requirement: "small enough for the parameters to be addressed",
                value: self.all_sizes().map(f64::of_count).product(),
            });
        }
        Ok(Layout {
            shape: self,
            blocks,
            skip,
            learned,
            len: places.len,
        })
    }
}

/// Refuses fewer than two sizes, and sizes of 0.
fn check_sizes(sizes: &[usize]) -> Result<(), Error> {
    require(
        sizes.len() >= 2,
        "layers",
        "at least an input and a hidden size",
        f64::of_count(sizes.len()),
    )?;
    match sizes.iter().find(|&&size| size == 0) {
        None => Ok(()),
        Some(&size) => Err(Error::InvalidParameter {
            name: "layers",
            requirement: "sizes of at least 1",
            value: f64::of_count(size),
        }),
    }
}

/// Places in θ, taken one after another.
#[derive(Default)]
struct Places {
    len: usize,
    /// Whether more parameters were asked for than the machine can address.
    overflow: bool,
}

impl Places {
    /// Takes the next `count` entries; `None` is too many.
    fn take(&mut self, count: Option<usize>) -> Range<usize> {
        let start = self.len;
        let end = count
            .and_then(|count| start.checked_add(count))
            .filter(|&end| end <= isize::MAX as usize / size_of::<f64>());
        self.overflow |= end.is_none();
        self.len = end.unwrap_or(start);
        start..self.len
    }

    fn weights(&mut self, below: usize, above: usize) -> Range<usize> {
        self.take(below.checked_mul(above))
    }
}
