//! Euclidean norms of vectors whose squares may be out of range.

use super::divide_by;
use crate::Real;

/// Returns `‖v‖`.
pub(crate) fn norm<T: Real>(v: &[T]) -> f64 {
    let squared = T::dot(v, v);
    if is_ordinary(squared) {
        return squared.to_f64().sqrt();
    }
    let largest = largest(v).to_f64();
    if largest > 0.0 && largest.is_finite() {
        let share = |x: &T| x.to_f64() / largest;
        largest * v.iter().map(|x| share(x) * share(x)).sum::<f64>().sqrt()
    } else {
        squared.to_f64().sqrt()
    }
}

/// `v ← v / ‖v‖`. Returns `false` for zeros, NaN, and infinities, and leaves `v`.
pub(crate) fn normalize<T: Real>(v: &mut [T]) -> bool {
    let mut squared = T::dot(v, v);
    if !is_ordinary(squared) {
        let largest = largest(v);
        if !(largest > T::zero() && largest.is_finite()) {
            return false;
        }
        divide_by(v, largest);
        squared = T::dot(v, v);
    }
    let accepted = squared.is_finite();
    if accepted {
        divide_by(v, squared.sqrt());
    }
    accepted
}

/// Removes the part of `v` along `direction` d: `v ← v − (v·d/‖d‖²) d`. Leaves `v` if d is 0.
pub(crate) fn project_out<T: Real>(v: &mut [T], direction: &[T]) {
    let squared = T::dot(direction, direction);
    if is_ordinary(squared) {
        super::axpy(-T::dot(v, direction) / squared, direction, v);
        return;
    }
    let largest = largest(direction);
    if largest > T::zero() && largest.is_finite() {
        let (mut squared, mut along) = (T::zero(), T::zero());
        for (&v, &d) in v.iter().zip(direction) {
            squared += (d / largest) * (d / largest);
            along += v * (d / largest);
        }
        for (v, &d) in v.iter_mut().zip(direction) {
            *v -= along / squared * (d / largest);
        }
    }
}

/// Returns whether a sum of squares has lost no digits.
fn is_ordinary<T: Real>(squared: T) -> bool {
    let smallest_normal = T::from_magnitude_bits(1) / T::default_epsilon();
    squared >= smallest_normal / T::default_epsilon() && squared.is_finite()
}

/// Returns the largest magnitude, or NaN if an entry is NaN.
fn largest<T: Real>(v: &[T]) -> T {
    v.iter().fold(T::zero(), |most, x| {
        let x = x.abs();
        let stays = x <= most || most.to_f64().is_nan();
        if stays { most } else { x }
    })
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // 0 and infinity are exact
mod tests {
    use super::*;

    fn at_any_size<T: Real>(sizes: &[f64]) {
        for &size in sizes {
            let v = [3.0, -4.0, 12.0].map(|x| T::of(x * size));
            let error = norm(&v) / v[2].to_f64() * 12.0 - 13.0;
            assert!(error.abs() < 1e-5, "{size:e}: {error:e}");
            let mut unit = v;
            assert!(normalize(&mut unit));
            for (unit, expected) in unit.iter().zip([3.0, -4.0, 12.0]) {
                assert!((unit.to_f64() - expected / 13.0).abs() < 1e-6, "{size:e}");
            }
            let mut g = [T::of(1.0), T::of(2.0), T::of(-0.5)];
            project_out(&mut g, &v);
            let along: f64 = g
                .iter()
                .zip(unit)
                .map(|(g, d)| g.to_f64() * d.to_f64())
                .sum();
            assert!(along.abs() < 1e-6, "{size:e}: {along:e}");
        }
    }

    #[test]
    fn norms_at_the_ends_of_the_range() {
        at_any_size::<f32>(&[1e-36, 1e-25, 1e-20, 1.0, 1e18, 1e25, 2e37]);
        at_any_size::<f64>(&[1e-300, 1e-200, 1e-150, 1.0, 1e150, 1e200, 1e307]);
    }

    #[test]
    fn what_has_no_direction_stays() {
        for v in [
            [0.0; 2],
            [f32::NAN, 3.0],
            [3.0, f32::INFINITY],
            [f32::INFINITY, f32::NAN],
        ] {
            let mut unit = v;
            assert!(!normalize(&mut unit));
            assert_eq!(unit.map(f32::to_bits), v.map(f32::to_bits));
        }
        assert_eq!(norm(&[0.0_f32; 3]), 0.0);
        assert!(norm(&[f32::NAN, 1.0]).is_nan());
        assert_eq!(norm(&[f64::INFINITY, 1.0]), f64::INFINITY);
    }
}
