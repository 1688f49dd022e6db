//! A threshold that keeps a number of pre-activations, and its bandwidth.

use crate::Real;

/// Moves the positive ones of these pre-activations to the start, and returns them.
pub(crate) fn positive<T: Real>(z: &mut [T]) -> &mut [T] {
    let mut count = 0;
    for i in 0..z.len() {
        z[count] = z[i];
        count += usize::from(z[i] > T::zero());
    }
    &mut z[..count]
}

/// Returns the number of activations above 0 of `samples` samples, each with this number of active units.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // at most all activations
pub(crate) fn activations_of(active_units: f64, samples: usize) -> usize {
    (active_units * f64::of_count(samples)).round() as usize
}

/// What calibration finds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calibration<T> {
    pub(crate) threshold: T,
    /// 0 if ties allow none.
    pub(crate) bandwidth: T,
}

impl<T: Real> Calibration<T> {
    /// Returns the threshold above which `kept` of these pre-activations are, and a bandwidth for it.
    pub(crate) fn of(positive: &mut [T], kept: usize) -> Self {
        let [lower, threshold, upper] =
            [kept + kept / 2, kept, kept.div_ceil(2)].map(|kept| threshold_of(positive, kept));
        Self {
            threshold,
            bandwidth: upper - lower,
        }
    }
}

/// The largest of many values.
pub(super) struct Largest<T> {
    pub(super) values: Vec<T>,
    /// The number of all values.
    pub(super) found: usize,
    pub(super) most: usize,
}

impl<T: Real> Largest<T> {
    pub(super) fn add(&mut self, values: &[T]) {
        self.found += values.len();
        self.values.extend_from_slice(values);
        // Rarely, so that each value is compared a few times.
        if self.values.len() > room_of(self.most) {
            let (_, &mut least, rest) =
                (self.values).select_nth_unstable_by(self.most - 1, descending);
            // If all are equal, the threshold lies between them and the next value.
            let next = greatest(rest.iter().copied().filter(|&z| z < least));
            self.values.truncate(self.most);
            self.values.extend(next);
        }
    }
}

/// Returns how many of the largest values a threshold and its bandwidth, which looks at 1.5 `kept` of them, need. A
/// longer run of equal values is farther from their number with them than without.
pub(super) fn most_values(kept: usize) -> usize {
    3 * kept + 1
}

/// Returns how many values are collected before all but the `most` largest are dropped.
pub(super) fn room_of(most: usize) -> usize {
    most + most / 2
}

fn greatest<T: Real>(values: impl Iterator<Item = T>) -> Option<T> {
    values.reduce(|a, b| if b > a { b } else { a })
}

fn descending<T: Real>(a: &T, b: &T) -> std::cmp::Ordering {
    b.to_f64().total_cmp(&a.to_f64())
}

/// Returns the middle between the `kept` largest values and the others, or 0: rounding must not change which is which.
/// Equal values are all above it or all below, whichever is nearer to `kept`.
fn threshold_of<T: Real>(positive: &mut [T], kept: usize) -> T {
    if kept >= positive.len() {
        return T::zero();
    }
    let (largest, &mut next, rest) = positive.select_nth_unstable_by(kept, descending);
    let larger = largest.iter().copied().filter(|&z| z > next);
    // Above all equal values, and below them. Some units are active, if any are asked for.
    let kept_above = larger.clone().count();
    let lost = kept - kept_above;
    let gained = || 1 + rest.iter().filter(|&&z| z == next).count();
    if lost == 0 || (kept_above > 0 && lost <= gained()) {
        let above = larger.reduce(|a, b| if b < a { b } else { a });
        return above.map_or(next, |above| middle(next, above));
    }
    let below = greatest(rest.iter().copied().filter(|&z| z < next));
    middle(below.unwrap_or(T::zero()), next)
}

/// Returns a value from `below` on that is not `above`.
fn middle<T: Real>(below: T, above: T) -> T {
    let middle = below + (above - below) * T::of(0.5);
    if middle < above { middle } else { below }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // middles of small integers
mod tests {
    use super::threshold_of;

    #[test]
    fn a_threshold_lies_between_values_on_the_side_nearer_to_the_number_kept() {
        let values = [9.0, 7.0, 5.0, 5.0, 5.0, 5.0, 5.0, 2.0, 1.0];
        for (kept, expected, active) in [
            (0, 9.0, 0),
            (1, 8.0, 1),
            (2, 6.0, 2),
            (3, 6.0, 2),
            (4, 6.0, 2), // 2 and 7 are 2 and 3 away
            (5, 3.5, 7),
            (7, 3.5, 7),
            (8, 1.5, 8),
            (9, 0.0, 9),
        ] {
            let mut shuffled = values;
            shuffled.rotate_left(4);
            assert_eq!(threshold_of(&mut shuffled, kept), expected, "{kept}");
            let above = values.iter().filter(|&&z| z > expected).count();
            assert_eq!(above, active, "{kept}");
        }
        assert_eq!(threshold_of(&mut [3.0; 5], 4), 1.5);
        assert_eq!(threshold_of(&mut [3.0; 5], 1), 1.5);
    }
}
