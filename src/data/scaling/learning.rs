//! What a scaling learns from samples.

use super::{Scaler, Scaling};
use crate::Real;
use crate::data::in_order::InOrder;
use crate::error::Error;
use crate::linalg::wide::{Wide, scale_of, shift};

impl Scaling {
    pub(super) fn learn_moments<T: Real>(
        &self,
        passes: &mut InOrder<'_, T>,
        scaler: &mut Scaler<T>,
    ) -> Result<(), Error> {
        let ranges = ranges(passes)?;
        let mut means = vec![0.0; ranges.len()];
        let mut squares = vec![0.0; ranges.len()];
        // Scaled by powers of two, so that squares neither overflow nor underflow.
        let scales: Vec<_> = ranges
            .iter()
            .map(|(least, most)| scale_of(most.to_f64() - least.to_f64()))
            .collect();
        // Welford's update, relative to the smallest value. Σx² − n·mean² would lose all digits for
        // data far from 0.
        passes.each(|first, batch| {
            for (index, sample) in batch.column_iter().enumerate() {
                let share = 1.0 / f64::of_count(first + index + 1);
                let moments = means.iter_mut().zip(&mut squares).zip(&ranges).zip(&scales);
                for ((((mean, square), (least, _)), &scale), x) in moments.zip(sample.iter()) {
                    let x = shift(x.to_f64() - least.to_f64(), -scale);
                    let before = x - *mean;
                    *mean += share * before;
                    *square += before * (x - *mean);
                }
            }
            Ok(())
        })?;
        for (feature, (&mean, &square)) in means.iter().zip(&squares).enumerate() {
            let ((least, most), scale) = (ranges[feature], scales[feature]);
            let deviation = shift((square / f64::of_count(passes.count())).sqrt(), scale);
            let factor = T::of(1.0 / deviation);
            if factor.to_f64() == f64::INFINITY {
                scaler.centers[feature] = self.constant(feature, least)?;
            } else if is_exact(factor) {
                scaler.centers[feature] = T::of(least.to_f64() + shift(mean, scale));
                scaler.factors[feature] = factor;
            } else {
                return Err(too_wide(passes, feature, most));
            }
        }
        Ok(())
    }

    pub(super) fn learn_range<T: Real>(
        &self,
        passes: &mut InOrder<'_, T>,
        [low, high]: [T; 2],
        scaler: &mut Scaler<T>,
    ) -> Result<(), Error> {
        let ranges = ranges(passes)?;
        for (feature, (least, most)) in ranges.into_iter().enumerate() {
            let mut factor = (high - low) / (most - least);
            // Rounding may move the largest sample just past the end of the range, where a
            // reconstruction loss may refuse it. Each iteration takes the next smaller factor.
            while is_exact(factor) && (most - least) * factor + low > high {
                factor = T::from_magnitude_bits(factor.magnitude_bits() - 1);
            }
            if !factor.is_finite() {
                scaler.centers[feature] = self.constant(feature, least)?;
                scaler.offsets[feature] = low + T::of(0.5) * (high - low);
            } else if is_exact(factor) {
                scaler.centers[feature] = least;
                scaler.factors[feature] = factor;
                scaler.offsets[feature] = low;
            } else {
                return Err(too_wide(passes, feature, most));
            }
        }
        Ok(())
    }

    /// Learns the factor that gives the samples the mean distance `norm` from the center.
    pub(super) fn learn_norm<T: Real>(
        &self,
        passes: &mut InOrder<'_, T>,
        norm: f64,
        scaler: &mut Scaler<T>,
    ) -> Result<(), Error> {
        let (mut sum, mut first) = (Wide::default(), None);
        passes.each(|_, batch| {
            first = first.or(batch.get(0).copied());
            for sample in batch.column_iter() {
                let entries = sample.iter().zip(&scaler.centers);
                let entries = entries.map(|(x, c)| (x.to_f64(), c.to_f64()));
                sum.add(Wide::squared_distance(entries).sqrt());
            }
            Ok(())
        })?;
        let first = first.unwrap_or(T::zero());
        let mean = sum.over(f64::of_count(passes.count()));
        let factor = T::of(Wide::of(norm).per(mean).to_f64());
        if !mean.is_positive() || factor.to_f64() == f64::INFINITY {
            return self.constant(0, first).map(|_| ());
        }
        if is_exact(factor) {
            scaler.factors.fill(factor);
            return Ok(());
        }
        Err(too_wide(passes, 0, first))
    }

    /// Returns the center of a constant feature, or an error if such features are refused.
    fn constant<T: Real>(&self, feature: usize, value: T) -> Result<T, Error> {
        if self.keep_constant_features {
            return Ok(value);
        }
        Err(Error::ConstantFeature {
            feature,
            value: value.to_f64(),
        })
    }
}

/// Returns whether a factor is finite and normal: subnormal numbers lose digits.
fn is_exact<T: Real>(factor: T) -> bool {
    let smallest_normal = T::from_magnitude_bits(1) / T::default_epsilon();
    factor.is_finite() && factor >= smallest_normal
}

/// Returns the smallest and the largest value of each feature.
fn ranges<T: Real>(passes: &mut InOrder<'_, T>) -> Result<Vec<(T, T)>, Error> {
    let mut ranges: Vec<(T, T)> = Vec::new();
    passes.each(|first, batch| {
        if first == 0 {
            ranges = batch.column(0).iter().map(|&x| (x, x)).collect();
        }
        for sample in batch.column_iter() {
            for ((least, most), &x) in ranges.iter_mut().zip(sample.iter()) {
                *least = if x < *least { x } else { *least };
                *most = if x > *most { x } else { *most };
            }
        }
        Ok(())
    })?;
    let wide = |&(least, most): &(T, T)| !(most - least).is_finite();
    match ranges.iter().position(wide) {
        Some(feature) => Err(too_wide(passes, feature, ranges[feature].1)),
        None => Ok(ranges),
    }
}

/// Names the first sample with this value.
#[cold]
fn too_wide<T: Real>(passes: &mut InOrder<'_, T>, feature: usize, value: T) -> Error {
    let mut found = None;
    let read = passes.each(|first, batch| {
        let mut values = batch.row(feature).into_iter();
        found = found.or_else(|| Some(first + values.position(|&x| x == value)?));
        Ok(())
    });
    read.err().unwrap_or(Error::OutOfRange {
        what: "samples",
        requirement: "of a smaller spread (divide them first, or use f64)",
        row: feature,
        column: found.unwrap_or(0),
        value: value.to_f64(),
    })
}
