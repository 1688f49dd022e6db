//! Numbers that know how wrong they may be.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Add, Div, Mul, Neg, Sub};

use sparse_autoencoder::Real;

/// A value in `f64`, and a radius around it in which *any* evaluation of the same formula in the
/// scalar `T` must end: with the terms of a sum in any order, and with fused multiplications or not.
///
/// This is where the tolerances of the tests come from. With the unit roundoff `u = ε/2`, each
/// operation in `T` is off by at most `u` times its result, and so is each in `f64` here; `ε` times
/// the result covers both. The error of a sum of `n` terms, in any order, is at most
/// `(n − 1) u Σ|terms|` to first order (Higham, *Accuracy and Stability of Numerical Algorithms*,
/// section 4.2). Higher orders are smaller by a factor of `n u`, which the products that are rounded
/// here and fused there make up for. An error that comes in is carried on by each operation in
/// full, not to first order.
#[derive(Clone, Copy)]
pub(crate) struct Ball<T> {
    pub(crate) middle: f64,
    pub(crate) radius: f64,
    scalar: PhantomData<T>,
}

impl<T> fmt::Debug for Ball<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ± {:e}", self.middle, self.radius)
    }
}

fn epsilon<T: Real>() -> f64 {
    T::default_epsilon().to_f64()
}

impl<T: Real> Ball<T> {
    pub(crate) fn exact(value: f64) -> Self {
        Self::around(value, 0.0)
    }

    pub(crate) fn around(middle: f64, radius: f64) -> Self {
        Self {
            middle,
            radius,
            scalar: PhantomData,
        }
    }

    /// One rounding more.
    fn rounded(middle: f64, radius: f64) -> Self {
        Self::around(middle, radius + epsilon::<T>() * (middle.abs() + radius))
    }

    pub(crate) fn is_exactly(self, value: f64) -> bool {
        self.radius <= 0.0 && (self.middle - value).abs() <= 0.0
    }

    pub(crate) fn low(self) -> f64 {
        self.middle - self.radius
    }

    pub(crate) fn high(self) -> f64 {
        self.middle + self.radius
    }

    pub(crate) fn contains(self, value: T) -> bool {
        (value.to_f64() - self.middle).abs() <= self.radius
    }

    pub(crate) fn sum(terms: impl IntoIterator<Item = Self>) -> Self {
        let (mut count, mut middle, mut radius, mut size) = (0.0, 0.0, 0.0, 0.0);
        for term in terms {
            count += 1.0;
            middle += term.middle;
            radius += term.radius;
            size += term.middle.abs() + term.radius;
        }
        Self::around(
            middle,
            radius + f64::max(count - 1.0, 0.0) * epsilon::<T>() * size,
        )
    }

    /// `f` of the ball, for `f` with this value and this first derivative at its middle and a
    /// second derivative of at most `2 · bend`.
    fn map(self, value: f64, slope: f64, bend: f64) -> Self {
        Self::function(value, self.radius * (slope.abs() + bend * self.radius))
    }

    /// The value of a function, with the error carried on from its argument and its own. The
    /// functions of the crate and of the standard library are right to a few units in the last
    /// place, 5e-16 and 3e-7 by the tests of the crate, hence 4 ε; and there is underflow.
    fn function(value: f64, carried: f64) -> Self {
        let own = 4.0 * epsilon::<T>() * (value.abs() + carried) + 1e-37;
        Self::around(value, carried + own)
    }

    pub(crate) fn sigmoid(self) -> Self {
        let value = 1.0 / (1.0 + (-self.middle).exp());
        self.map(value, value * (1.0 - value), 0.05) // |σ″| ≤ 0.0963
    }

    pub(crate) fn tanh(self) -> Self {
        let value = self.middle.tanh();
        self.map(value, 1.0 - value * value, 0.39) // |tanh″| ≤ 0.770
    }

    /// `ln(1 + eᶻ)`
    pub(crate) fn softplus(self) -> Self {
        let z = self.middle;
        let value = z.max(0.0) + (-z.abs()).exp().ln_1p();
        self.map(value, 1.0 / (1.0 + (-z).exp()), 0.125) // its second derivative is σ′ ≤ ¼
    }

    pub(crate) fn ln(self) -> Self {
        let value = self.middle.ln();
        if self.low() <= 0.0 {
            return Self::around(value, f64::INFINITY);
        }
        Self::function(value, self.radius / self.low())
    }

    pub(crate) fn abs(self) -> Self {
        Self::around(self.middle.abs(), self.radius)
    }

    pub(crate) fn positive_part(self) -> Self {
        if self.high() < 0.0 {
            Self::exact(0.0)
        } else {
            Self::around(self.middle.max(0.0), self.radius)
        }
    }

    pub(crate) fn at_most_one(self) -> Self {
        if self.low() > 1.0 {
            Self::exact(1.0)
        } else {
            Self::around(self.middle.min(1.0), self.radius)
        }
    }
}

impl<T: Real> Add for Ball<T> {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::sum([self, other])
    }
}

impl<T: Real> Sub for Ball<T> {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl<T: Real> Neg for Ball<T> {
    type Output = Self;
    fn neg(self) -> Self {
        Self::around(-self.middle, self.radius)
    }
}

impl<T: Real> Mul for Ball<T> {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let middle = self.middle * other.middle;
        let carried = self.middle.abs() * other.radius
            + self.radius * other.middle.abs()
            + self.radius * other.radius;
        let unit = |ball: Self| ball.is_exactly(1.0) || ball.is_exactly(-1.0);
        if unit(self) || unit(other) {
            Self::around(middle, carried)
        } else {
            Self::rounded(middle, carried)
        }
    }
}

impl<T: Real> Div for Ball<T> {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let middle = self.middle / other.middle;
        let least = other.middle.abs() - other.radius;
        if least <= 0.0 {
            return Self::around(middle, f64::INFINITY);
        }
        if other.is_exactly(1.0) {
            return self;
        }
        Self::rounded(middle, (self.radius + middle.abs() * other.radius) / least)
    }
}
