//! Elementwise units: the activation is a function of the pre-activation alone.
//!
//! ```text
//! hⱼᵢ = f(zⱼᵢ),     Δ(H) = ∂J/∂H ⊙ f′(H)
//! ```

use super::{ActiveGradient, Arriving, Buffers, Chooses, Own, OwnMut, State, Traits, Units};
use crate::linalg::{self, Scalar, Scratch};
use crate::sparse::{ActiveUnits, UnitOperands};
use crate::{Activation, Real};

/// The elementwise activations. A decoder has no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Elementwise {
    Sigmoid,
    Tanh,
    Relu,
    Identity,
    SaturatingLinear,
}

impl From<Elementwise> for Activation {
    fn from(function: Elementwise) -> Self {
        match function {
            Elementwise::Sigmoid => Self::Sigmoid,
            Elementwise::Tanh => Self::Tanh,
            Elementwise::Relu => Self::Relu,
            Elementwise::Identity => Self::Identity,
            Elementwise::SaturatingLinear => Self::SaturatingLinear,
        }
    }
}

/// An elementwise activation as a type, so that loops are compiled for each.
pub(crate) trait Function<T: Real>: Copy + Send + Sync {
    /// Returns `h = f(z)`.
    fn value(self, z: T) -> T;

    /// Returns `f′(z)`, from `h = f(z)`.
    fn slope(self, h: T) -> T;
}

macro_rules! function {
    ($name:ident: $z:ident => $value:expr, $h:ident => $slope:expr) => {
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $name;

        impl<T: Real> Function<T> for $name {
            #[inline(always)]
            fn value(self, $z: T) -> T {
                $value
            }

            #[inline(always)]
            fn slope(self, $h: T) -> T {
                $slope
            }
        }
    };
}

#[inline(always)]
fn one_where<T: Real>(condition: bool) -> T {
    if condition { T::one() } else { T::zero() }
}

// A NaN passes the comparisons, so that divergence shows in the loss.
function!(Sigmoid: z => Scalar::sigmoid(z), h => h * (T::one() - h));
function!(Tanh: z => z.hyperbolic_tangent(), h => Scalar::fma(-h, h, T::one()));
function!(Identity: z => z, _h => T::one());
function!(
    Relu:
    z => if z < T::zero() { T::zero() } else { z },
    h => one_where(h > T::zero())
);
function!(
    SaturatingLinear:
    z => if z < T::zero() { T::zero() } else if z > T::one() { T::one() } else { z },
    h => one_where(h > T::zero() && h < T::one())
);
// The activations that a selection has kept.
function!(Selected: z => z, h => one_where(h != T::zero()));

/// Evaluates `$body` with `$f` bound to the [`Function`] of an [`Elementwise`] activation.
macro_rules! with_function {
    ($elementwise:expr, $f:ident => $body:expr) => {{
        use $crate::units::{Elementwise, elementwise};
        match $elementwise {
            Elementwise::Sigmoid => {
                let $f = elementwise::Sigmoid;
                $body
            }
            Elementwise::Tanh => {
                let $f = elementwise::Tanh;
                $body
            }
            Elementwise::Relu => {
                let $f = elementwise::Relu;
                $body
            }
            Elementwise::Identity => {
                let $f = elementwise::Identity;
                $body
            }
            Elementwise::SaturatingLinear => {
                let $f = elementwise::SaturatingLinear;
                $body
            }
        }
    }};
}
pub(crate) use with_function;

impl<T: Real> Units<T> for Elementwise {
    fn traits(&self) -> Traits {
        Traits {
            range: match self {
                Self::Sigmoid | Self::SaturatingLinear => Some((0.0, 1.0)),
                Self::Tanh => Some((-1.0, 1.0)),
                Self::Relu | Self::Identity => None,
            },
            signed: matches!(self, Self::Tanh | Self::Identity),
            vanishes: matches!(self, Self::Relu | Self::SaturatingLinear),
            scales: matches!(self, Self::Relu | Self::Identity),
            mirror: *self,
            ..Traits::selecting(Chooses::Nothing)
        }
    }

    fn forward(&self, own: &Own<'_, T>, z: &mut [T], buffers: Buffers<'_, T>) {
        let sums = &mut buffers.sums[..=own.bias.len()];
        with_function!(*self, f => linalg::activate(z, own.bias, |z| f.value(z), sums, buffers.scratch));
    }

    fn backward(
        &self,
        _own: &Own<'_, T>,
        arriving: Arriving<'_, T>,
        h: &[T],
        delta: &mut [T],
        gradient: OwnMut<'_, T>,
        buffers: Buffers<'_, T>,
    ) {
        with_function!(*self, f => arriving.through(f, h, delta, gradient, buffers.scratch));
    }

    fn backward_active(
        &self,
        _own: &Own<'_, T>,
        _per_frequency: &[T],
        operands: &UnitOperands<'_, T>,
        gradient: ActiveGradient<'_, T>,
        active: &mut ActiveUnits<T>,
        buffers: Buffers<'_, T>,
    ) {
        with_function!(*self, f => backward_active(f, operands, gradient.decoder, gradient.own.bias, active, buffers.scratch));
    }

    fn infer(&self, own: &Own<'_, T>, z: &mut [T], _state: &mut State, scratch: &mut Scratch<T>) {
        with_function!(*self, f => linalg::activate(z, own.bias, |z| f.value(z), &mut [], scratch));
    }
}

impl<T: Real> Arriving<'_, T> {
    /// `δ ← (δ + per_unit) ⊙ f′(h)`. Writes the gradient of the bias.
    pub(super) fn through(
        &self,
        f: impl Function<T>,
        h: &[T],
        delta: &mut [T],
        gradient: OwnMut<'_, T>,
        scratch: &mut Scratch<T>,
    ) {
        let per_unit = if self.penalized { self.per_unit } else { &[] };
        linalg::backpropagate(delta, h, per_unit, |h| f.slope(h), gradient.bias, scratch);
    }
}

/// Writes the gradients of D and b from the active units: `δ = (∂J/∂h + β ∂Ω) f′(h)`.
pub(super) fn backward_active<T: Real>(
    f: impl Function<T>,
    operands: &UnitOperands<'_, T>,
    weights: &mut [T],
    bias: &mut [T],
    active: &mut ActiveUnits<T>,
    scratch: &Scratch<T>,
) {
    let rule = move |_, h, g: T, p| {
        let delta = (g + p) * f.slope(h);
        (delta, [delta])
    };
    active.backpropagate(operands, weights, [bias], rule, scratch);
}
