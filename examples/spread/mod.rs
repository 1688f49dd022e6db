//! The spread of a figure over seeds.

#![allow(dead_code, reason = "every example uses a part of its own")]

/// The mean, and the standard deviation with Bessel's correction; a single value deviates by 0.
pub(crate) fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX));
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    (mean, (squares / (count - 1.0).max(1.0)).sqrt())
}
