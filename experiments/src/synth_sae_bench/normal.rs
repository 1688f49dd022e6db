//! The standard normal distribution.

use std::f64::consts::PI;

/// Φ(x) = ½ + φ(x) Σₖ x²ᵏ⁺¹ / (2k+1)!!, to an absolute error of 1e-16.
pub fn cdf(x: f64) -> f64 {
    if x.abs() >= END {
        return if x < 0.0 { 0.0 } else { 1.0 };
    }
    let (mut term, mut sum, mut odd) = (x, 0.0, 1.0);
    while term.abs() > 1e-18 {
        sum += term;
        odd += 2.0;
        term *= x * x / odd;
    }
    let half = sum * (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
    (0.5 + half).clamp(0.0, 1.0)
}

/// Φ⁻¹(p) by bisection; infinite for 0 and 1.
pub fn quantile(probability: f64) -> f64 {
    if probability <= 0.0 || probability >= 1.0 {
        return if probability <= 0.0 { -1.0 } else { 1.0 } * f64::INFINITY;
    }
    let (mut low, mut high) = (-END, END);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if cdf(middle) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Φ(−9) is 1e-19, less than what a uniform number of 53 bits can be below, except 0.
const END: f64 = 9.0;
/// Cells per unit of the table.
const CELLS: f64 = 64.0;

/// Φ at the edges of small cells: bounds that decide most comparisons with Φ(z) without computing it.
#[derive(Debug, Clone)]
pub struct Table {
    cells: Vec<Cell>,
}

/// Bounds of Φ(z) for all z of a cell.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    low: f64,
    pub high: f64,
    /// −ln(1 − high): the rate of a Poisson process with an event in a unit of time with
    /// probability `high`.
    pub hazard: f64,
}

impl Default for Table {
    fn default() -> Self {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 1152
        let count = (2.0 * END * CELLS) as u32;
        let edge = |index| cdf(f64::from(index) / CELLS - END);
        let cell = |index| {
            let (low, high) = (edge(index), edge(index + 1));
            let hazard = -f64::ln_1p(-high);
            Cell { low, high, hazard }
        };
        Self {
            cells: (0..count).map(cell).collect(),
        }
    }
}

impl Table {
    /// Returns the cell of z. Numbers outside [−9, 9] belong to the outermost cells.
    pub fn cell(&self, z: f32) -> &Cell {
        let place = (f64::from(z) + END) * CELLS;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates
        let index = place as usize;
        &self.cells[index.min(self.cells.len() - 1)]
    }

    /// Returns whether `uniform` < Φ(z).
    pub fn is_below(&self, uniform: f64, z: f32) -> bool {
        let cell = self.cell(z);
        uniform < cell.low || (uniform < cell.high && uniform < cdf(f64::from(z)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_and_its_inverse_are_right() {
        // Abramowitz & Stegun, table 26.1.
        for (x, p) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_543),
            (2.0, 0.977_249_868_051_821),
            (3.0, 0.998_650_101_968_370),
        ] {
            assert!((cdf(x) - p).abs() < 1e-14);
            assert!((cdf(-x) - (1.0 - p)).abs() < 1e-14);
            assert!((quantile(p) - x).abs() < 1e-11);
        }
        assert_eq!(
            (quantile(0.0), quantile(1.0)),
            (-f64::INFINITY, f64::INFINITY)
        );
        assert_eq!((cdf(-40.0), cdf(f64::INFINITY)), (0.0, 1.0));
    }

    #[test]
    fn the_table_decides_as_the_distribution_does() {
        let table = Table::default();
        for step in -1000_i16..=1000 {
            let z = f32::from(step) / 97.0;
            let exact = cdf(f64::from(z));
            assert!(table.cell(z).high > exact - 1e-15);
            for uniform in [0.0, 1e-9, exact * 0.999, exact * 1.001, 0.3, 1.0 - 1e-16] {
                // Nearer, rounding decides.
                if (uniform - exact).abs() > 1e-15 {
                    let below = table.is_below(uniform, z);
                    assert_eq!(below, uniform < exact, "{uniform} {z}");
                }
            }
        }
        assert!(table.is_below(1.0 - f64::EPSILON, f32::INFINITY));
        assert!(!table.is_below(0.0, f32::NEG_INFINITY));
    }
}
