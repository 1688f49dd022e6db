//! What units are like: their traits, and the kinds of their parameters.

use super::Elementwise;

/// How units become active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chooses {
    /// By their pre-activation alone.
    Nothing,
    /// By comparison within a sample.
    PerSample,
    /// By comparison over a batch, in training.
    OverBatch,
    /// By comparison of each unit's samples over a batch, in training.
    PerUnit,
    /// By parameters of their own, such as thresholds or gates.
    Alone,
}

impl Chooses {
    /// Whether the units select a number of active units that is set.
    pub(crate) const fn fixes_number(self) -> bool {
        matches!(self, Self::PerSample | Self::OverBatch | Self::PerUnit)
    }

    /// Whether an activation depends on other samples of a batch, in training.
    pub(crate) const fn mixes_samples(self) -> bool {
        matches!(self, Self::OverBatch | Self::PerUnit)
    }
}

/// What the builder, the trainer, and the applications ask of units.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traits {
    /// The interval of bounded activations.
    pub(crate) range: Option<(f64, f64)>,
    /// Whether activations can be negative.
    pub(crate) signed: bool,
    /// Whether inactive units are exactly 0, with slope 0.
    pub(crate) vanishes: bool,
    pub(crate) chooses: Chooses,
    /// Whether the first block is a threshold per unit, which learns from penalties on the number of active
    /// units.
    pub(crate) threshold: bool,
    /// Whether a model of several hidden layers can have these units.
    pub(crate) deep: bool,
    /// Whether Matryoshka groups can nest these units.
    pub(crate) nested: bool,
    /// Whether the units also learn from a reconstruction through a [frozen
    /// decoder](crate::objective).
    pub(crate) frozen: bool,
    /// Whether a positive factor on weights and own parameters multiplies the activation.
    pub(crate) scales: bool,
    /// The activation of the decoder layer that mirrors these units.
    pub(crate) mirror: Elementwise,
}

impl Traits {
    /// Whether units become active where their pre-activation rises above 0.
    pub(crate) const fn opens_at_zero(&self) -> bool {
        !matches!(self.chooses, Chooses::PerSample | Chooses::OverBatch) && !self.threshold
    }

    /// Returns the traits of units that select: `max(z, 0)` for some units, 0 for the others.
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

/// A kind of parameters besides weights and bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    /// The name in files and in [`LayerView::block`](crate::LayerView::block).
    pub(crate) name: &'static str,
    pub(crate) len: Len,
    /// Whether the optimizer moves them. The objective does not depend on the others.
    pub(crate) learns: bool,
    /// Whether they are added to pre-activations, as the bias is.
    pub(crate) is_bias: bool,
}

/// The number of parameters of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Len {
    One,
    PerUnit,
}

impl Len {
    /// Returns the number for a layer of `units` units.
    pub(crate) fn of(self, units: usize) -> usize {
        match self {
            Self::One => 1,
            Self::PerUnit => units,
        }
    }
}
