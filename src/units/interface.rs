//! The trait of hidden units: all that the objective, the model, and training know of them.

use super::{ActiveGradient, Arriving, Block, Buffers, Chooses, Own, OwnMut, State, Traits};
use crate::linalg::{Scratch, add_column, vectorize};
use crate::sparse::{ActiveUnits, UnitOperands, compact_nonzero};
use crate::{Activation, Error, Real};

/// The number of active units k, and the constructor of the same activation with another k.
pub(crate) type AdjustableK = (usize, fn(usize) -> Activation);

/// The units of a hidden layer: what happens between pre-activation and activation, forward and backward.
///
/// Each variant implements it in a file of its own. A pass makes one dynamic call per layer; the loops are
/// compiled for each variant. `z`, `h`, and `delta` are units × samples.
pub(crate) trait Units<T: Real>: Sync {
    /// Returns what the builder, the trainer, and the applications ask of units.
    fn traits(&self) -> Traits;

    /// Refuses settings that do not fit a layer of `units` units.
    fn check(&self, _units: usize) -> Result<(), Error> {
        Ok(())
    }

    /// Returns the kinds of parameters besides weights and bias.
    fn blocks(&self) -> &'static [Block] {
        &[]
    }

    /// Returns k, for units that have one.
    fn k(&self) -> Option<AdjustableK> {
        None
    }

    /// Returns the mean number of active units of a sample in training, for units that fix it.
    fn mean_kept(&self, units: usize) -> Option<usize> {
        self.per_sample().map(|selection| selection.kept(units))
    }

    /// Returns the selection within a sample, for units that select by nothing else.
    fn per_sample(&self) -> Option<&dyn PerSample<T>> {
        None
    }

    /// Turns `z = Wᵀ X` into `h`, in training.
    ///
    /// Writes `Σᵢ` of what the penalty sees to the first entries of `sums`, and the number of active entries
    /// to the next.
    fn forward(&self, own: &Own<'_, T>, z: &mut [T], buffers: Buffers<'_, T>);

    /// Returns what the penalty, ρ̂, and the frozen decoder see in place of `h`.
    fn seen<'a>(&self, h: &'a [T], _state: &'a State) -> &'a [T] {
        h
    }

    /// Collects the entries of [`seen`](Self::seen) that take part in the backward pass.
    ///
    /// Returns `false` if a sample has too many of them.
    fn compress(
        &self,
        h: &mut [T],
        units: usize,
        _state: &mut State,
        active: &mut ActiveUnits<T>,
        scratch: &Scratch<T>,
    ) -> bool {
        active.compress(h, units, |h| h != T::zero(), scratch)
    }

    /// Turns `∂J/∂h` in `delta` into `∂J/∂z`, and writes the gradients of the bias and the blocks.
    fn backward(
        &self,
        _own: &Own<'_, T>,
        arriving: Arriving<'_, T>,
        h: &[T],
        delta: &mut [T],
        gradient: OwnMut<'_, T>,
        buffers: Buffers<'_, T>,
    ) {
        arriving.through(super::Selected, h, delta, gradient, buffers.scratch);
    }

    /// Does the same from the active units alone, and writes the gradient of the decoder's weights.
    fn backward_active(
        &self,
        _own: &Own<'_, T>,
        _per_frequency: &[T],
        operands: &UnitOperands<'_, T>,
        gradient: ActiveGradient<'_, T>,
        active: &mut ActiveUnits<T>,
        buffers: Buffers<'_, T>,
    ) {
        super::elementwise::backward_active(
            super::Selected,
            operands,
            gradient.decoder,
            gradient.own.bias,
            active,
            &*buffers.scratch,
        );
    }

    /// Returns `Σᵢ ∂J/∂zⱼᵢ`, from the gradients of unit `j`'s own parameters.
    fn through_bias(&self, _own: &Own<'_, T>, gradient: &Own<'_, T>, j: usize) -> T {
        gradient.bias[j]
    }

    /// Moves the blocks that do not learn by gradient, after a step.
    fn after_step(&self, _own: &mut OwnMut<'_, T>, _state: &State) {}

    /// Turns `z = Wᵀ X` into `h`, in inference: each sample by itself.
    fn infer(&self, own: &Own<'_, T>, z: &mut [T], state: &mut State, scratch: &mut Scratch<T>);

    /// Adds a shift to each unit's pre-activation, by its own parameters.
    fn shift(&self, own: &mut OwnMut<'_, T>, shifts: &[T]) {
        for (b, &shift) in own.bias.iter_mut().zip(shifts) {
            *b += shift;
        }
    }

    /// Multiplies the activation of unit `j` by `factor > 0`, by its own parameters.
    ///
    /// The caller multiplies the weights. Only for units that [scale](Traits::scales).
    fn scale(&self, own: &mut OwnMut<'_, T>, j: usize, factor: f64) {
        own.bias[j] = T::of(own.bias[j].to_f64() * factor);
    }
}

/// A selection within each sample, in training as in inference.
pub(crate) trait PerSample<T: Real>: Sync {
    /// Returns what [`Units::traits`] returns.
    fn traits(&self) -> Traits {
        Traits::selecting(Chooses::PerSample)
    }

    /// Does what [`Units::check`] does.
    fn check(&self, units: usize) -> Result<(), Error>;

    /// Returns what [`Units::k`] returns.
    fn k(&self) -> Option<AdjustableK>;

    /// Returns the largest number of active units of a sample, for a layer of `units` units.
    fn kept(&self, units: usize) -> usize;

    /// Turns the pre-activations of a sample, without the bias, into its activations.
    fn activate(&self, bias: &[T], z: &mut [T]);

    /// Writes the active units of a sample, ascending, and their activations. Returns their number.
    ///
    /// Leaves `z` undefined.
    fn pick(&self, bias: &[T], z: &mut [T], units: &mut [u32], values: &mut [T]) -> usize {
        self.activate(bias, z);
        compact_nonzero(z, units, values)
    }
}

/// The units of a selection within each sample.
pub(super) struct Selecting<S>(pub(super) S);

impl<T: Real, S: PerSample<T>> Units<T> for Selecting<S> {
    fn traits(&self) -> Traits {
        self.0.traits()
    }

    fn check(&self, units: usize) -> Result<(), Error> {
        self.0.check(units)
    }

    fn k(&self) -> Option<AdjustableK> {
        self.0.k()
    }

    fn per_sample(&self) -> Option<&dyn PerSample<T>> {
        Some(&self.0)
    }

    fn forward(&self, own: &Own<'_, T>, z: &mut [T], buffers: Buffers<'_, T>) {
        let sums = &mut buffers.sums[..=own.bias.len()];
        activate(&self.0, own.bias, z, sums, buffers.scratch);
    }

    fn infer(&self, own: &Own<'_, T>, z: &mut [T], _state: &mut State, scratch: &mut Scratch<T>) {
        activate(&self.0, own.bias, z, &mut [], scratch);
    }
}

/// Turns `Wᵀ X` into `H`.
///
/// Writes the sums over the samples and then the number of active units to `sums`, unless it is empty.
fn activate<T: Real>(
    selection: &impl PerSample<T>,
    bias: &[T],
    z: &mut [T],
    sums: &mut [T],
    scratch: &mut Scratch<T>,
) {
    scratch.run(z, bias.len(), sums, |_, panel, sums| {
        for column in panel.chunks_exact_mut(bias.len()) {
            selection.activate(bias, column);
            vectorize(
                #[inline(always)]
                || add_column(column, sums),
            );
        }
    });
}
