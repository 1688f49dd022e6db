//! What the objective, the model, and training know of hidden units.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;

use super::Elementwise;
use crate::linalg::{Aligned, Scratch, add_column, vectorize};
use crate::sparse::{ActiveUnits, UnitOperands, compact_pairs};
use crate::{Activation, Error, Real};

/// The units of a hidden layer: what happens between pre-activation and activation, forward and backward.
///
/// A variant implements it in a file of its own. There is one dynamic call per layer and pass; the
/// loops are compiled for each variant. `z`, `h`, and `delta` are units × samples.
pub(crate) trait Units<T: Real>: Sync {
    fn traits(&self) -> Traits;

    /// Refuses settings that do not fit a layer of this many units.
    fn check(&self, _units: usize) -> Result<(), Error> {
        Ok(())
    }

    /// The parameters of a unit besides its weights and its bias.
    fn blocks(&self) -> &'static [Block] {
        &[]
    }

    /// The number of active units that the settings name, and the same units with another number.
    fn k(&self) -> Option<(usize, fn(usize) -> Activation)> {
        None
    }

    /// The selection among the units of each sample, where it needs nothing but the sample.
    fn per_sample(&self) -> Option<&dyn PerSample<T>> {
        None
    }

    /// Training: `z = Wᵀ X` becomes `h`. Writes `Σᵢ` of what the penalty sees to the first entries of
    /// `sums`, and the number of active entries behind them.
    fn forward(&self, own: &Own<'_, T>, z: &mut [T], buffers: Buffers<'_, T>);

    /// What the penalty, the mean activations, and the frozen decoder see in place of `h`.
    fn seen<'a>(&self, h: &'a [T], _state: &'a State) -> &'a [T] {
        h
    }

    /// Collects the entries that take part in the backward pass, of what is [`seen`](Self::seen).
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

    /// `∂J/∂h` in `delta` becomes `∂J/∂z`. Writes the gradients of the bias and the blocks.
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

    /// The same from the active entries alone, with the gradient of the decoder's weights.
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

    /// `Σᵢ ∂J/∂zⱼᵢ`, from the gradients of the unit's own parameters.
    fn through_bias(&self, _own: &Own<'_, T>, gradient: &Own<'_, T>, j: usize) -> T {
        gradient.bias[j]
    }

    /// Moves the blocks that do not learn, after a step.
    fn after_step(&self, _own: &mut OwnMut<'_, T>, _state: &State) {}

    /// Inference: `z = Wᵀ X` becomes `h`, each sample by itself.
    fn infer(&self, own: &Own<'_, T>, z: &mut [T], state: &mut State, scratch: &mut Scratch<T>);

    /// Adds `shifts` to the pre-activations, by the unit's own parameters.
    fn shift(&self, own: &mut OwnMut<'_, T>, shifts: &[T]) {
        for (b, &shift) in own.bias.iter_mut().zip(shifts) {
            *b += shift;
        }
    }

    /// Multiplies the activation of unit `j` with `factor > 0`, by its own parameters; the weights are
    /// multiplied by the caller. For units that [scale](Traits::scales).
    fn scale(&self, own: &mut OwnMut<'_, T>, j: usize, factor: f64) {
        own.bias[j] = T::of(own.bias[j].to_f64() * factor);
    }
}

/// Units of which each sample keeps some, in training as in inference.
pub(crate) trait PerSample<T: Real>: Sync {
    /// How many of `units` a sample keeps at most.
    fn kept(&self, units: usize) -> usize;

    /// The pre-activations of a sample, without the bias, become its activations.
    fn activate(&self, bias: &[T], z: &mut [T]);

    /// Writes the active units of a sample, ascending, and their activations. Returns their number. Leaves
    /// `z` undefined.
    fn pick(&self, bias: &[T], z: &mut [T], units: &mut [u32], values: &mut [T]) -> usize {
        self.activate(bias, z);
        compact_pairs(z, |h| h != T::zero(), units, values)
    }
}

impl<T: Real> dyn PerSample<T> + '_ {
    /// `H` from `Wᵀ X`. Writes the sums over the samples and the number of active units behind them, if
    /// `sums` is not empty.
    pub(super) fn activate_all(
        &self,
        bias: &[T],
        z: &mut [T],
        sums: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        scratch.run(z, bias.len(), sums, |_, panel, sums| {
            for column in panel.chunks_exact_mut(bias.len()) {
                self.activate(bias, column);
                vectorize(
                    #[inline(always)]
                    || add_column(column, sums),
                );
            }
        });
    }
}

/// How units become active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chooses {
    /// By their pre-activation alone.
    Nothing,
    /// By comparison within a sample.
    PerSample,
    /// By comparison over a batch, in training.
    OverBatch,
    /// Each by itself, with parameters of its own.
    Alone,
}

/// What the builder, the trainer, and the applications ask of units.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits {
    /// The interval that bounded activations fill.
    pub(crate) range: Option<(f64, f64)>,
    /// Whether activations can be below 0.
    pub(crate) signed: bool,
    /// Whether inactive units are exactly 0, with slope 0.
    pub(crate) vanishes: bool,
    pub(crate) chooses: Chooses,
    /// Whether each has a threshold, its first block, which learns from penalties on the number of
    /// active units.
    pub(crate) threshold: bool,
    /// Whether they can be one of several hidden layers.
    pub(crate) deep: bool,
    /// Whether they can be nested in Matryoshka groups.
    pub(crate) nested: bool,
    /// Whether they also learn from a reconstruction of what is [`seen`](Units::seen), through a decoder
    /// that is held constant.
    pub(crate) frozen: bool,
    /// Whether a positive factor on weights and own parameters is a factor of the activation.
    pub(crate) scales: bool,
    /// The activation of the decoder layer that mirrors them.
    pub(crate) mirror: Elementwise,
}

impl Traits {
    /// Those of units that select: `max(z, 0)` of some, 0 for the others.
    pub(crate) const fn selecting(chooses: Chooses) -> Self {
        Self {
            range: None,
            signed: false,
            vanishes: true,
            chooses,
            threshold: false,
            deep: true,
            nested: true,
            frozen: false,
            scales: false,
            mirror: Elementwise::Relu,
        }
    }
}

/// Parameters of the units of a layer besides weights and bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    /// The name in files and in [`LayerView::block`](crate::LayerView::block).
    pub(crate) name: &'static str,
    pub(crate) len: Len,
    /// Whether the optimizer moves them. The objective does not depend on those that do not learn.
    pub(crate) learns: bool,
}

/// How many parameters a block has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Len {
    One,
    PerUnit,
}

impl Len {
    pub(crate) fn of(self, units: usize) -> usize {
        match self {
            Self::One => 1,
            Self::PerUnit => units,
        }
    }
}

/// The parameters of a layer that belong to its units, or their gradient. Blocks that a variant does
/// not have are empty.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own<'a, T> {
    pub(crate) bias: &'a [T],
    pub(crate) blocks: [&'a [T]; 2],
    /// ε, by which thresholds learn.
    pub(crate) bandwidth: T,
}

impl<'a, T: Real> Own<'a, T> {
    /// Of units without blocks.
    pub(crate) fn of_bias(bias: &'a [T]) -> Self {
        Self {
            bias,
            blocks: [&[]; 2],
            bandwidth: T::zero(),
        }
    }
}

/// [`Own`] to be written.
#[derive(Debug)]
pub(crate) struct OwnMut<'a, T> {
    pub(crate) bias: &'a mut [T],
    pub(crate) blocks: [&'a mut [T]; 2],
}

/// The gradient that a backward pass from the active entries writes.
#[derive(Debug)]
pub(crate) struct ActiveGradient<'a, T> {
    /// Of the decoder's weights, input size × units.
    pub(crate) decoder: &'a mut [T],
    pub(crate) own: OwnMut<'a, T>,
}

/// The room that a pass lends to the units of a layer.
#[derive(Debug)]
pub(crate) struct Buffers<'a, T> {
    pub(crate) state: &'a mut State,
    /// As large as the layer's activations once grown, and undefined.
    pub(crate) spare: &'a mut Aligned<T>,
    /// At least two entries for each unit.
    pub(crate) sums: &'a mut [T],
    pub(crate) scratch: &'a mut Scratch<T>,
}

/// What reaches the units of a layer from the penalty and from the reconstruction.
pub(crate) struct Arriving<'a, T> {
    /// Whether there is a penalty: the channels are 0 otherwise.
    pub(crate) penalized: bool,
    /// `β ∂Ω` by each activation of a unit.
    pub(crate) per_unit: &'a [T],
    /// `1/m β ∂Ω/∂φ` by the frequency φ of each unit.
    pub(crate) per_frequency: &'a [T],
    /// Writes `Dᵀ Δ(R₀)`.
    pub(crate) pull: &'a mut dyn FnMut(&mut [T], &mut Scratch<T>),
}

impl<'a, T> Arriving<'a, T> {
    pub(crate) fn without_penalty(pull: &'a mut dyn FnMut(&mut [T], &mut Scratch<T>)) -> Self {
        Self {
            penalized: false,
            per_unit: &[],
            per_frequency: &[],
            pull,
        }
    }
}

/// What the units of a layer keep from the forward to the backward pass: a type of the variant's own.
///
/// A clone starts empty. A pass writes the state before it reads it, so a panic between passes leaves nothing
/// broken.
#[derive(Default)]
pub(crate) struct State(Option<AssertUnwindSafe<Box<dyn Any + Send + Sync>>>);

impl State {
    /// Lends the state to `f`; it starts as the default.
    pub(crate) fn with<S: Any + Default + Send + Sync, R>(
        &mut self,
        f: impl FnOnce(&mut S) -> R,
    ) -> R {
        let kept = self.0.take().and_then(|state| state.0.downcast::<S>().ok());
        let mut state = kept.unwrap_or_default();
        let result = f(&mut state);
        self.0 = Some(AssertUnwindSafe(state));
        result
    }

    /// The state, if it is of this type.
    pub(crate) fn get<S: Any>(&self) -> Option<&S> {
        self.0.as_ref()?.downcast_ref()
    }
}

impl Clone for State {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}
