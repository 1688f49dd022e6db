//! The strong-Wolfe line search of L-BFGS, over a function of one variable.

/// `c₁`: the fraction of the decrease predicted by the slope that a step must reach.
const DECREASE: f64 = 1e-4;
/// `c₂`: the fraction of the slope that may remain. Loose, because evaluations pay off more in the
/// next direction than in a longer search along this one.
const CURVATURE: f64 = 0.9;
const MAX_EVALUATIONS: usize = 20;

/// A point along the direction: the step, `φ(step)`, and `φ′(step)`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial {
    pub(super) step: f64,
    pub(super) value: f64,
    pub(super) slope: f64,
}

impl Trial {
    fn is_finite(&self) -> bool {
        self.value.is_finite() && self.slope.is_finite()
    }
}

/// Returns a step with `φ(step) ≤ φ(0) + c₁ step φ′(0)` and `|φ′(step)| ≤ c₂ |φ′(0)|`.
///
/// The last call of `evaluate` is at the returned step. After [`MAX_EVALUATIONS`] any step that
/// decreases φ is accepted.
///
/// Runs Nocedal & Wright, Algorithms 3.5 and 3.6, as one loop: `low` is the best step so far, `high`
/// the other end of the bracket once one is found. A trial that is not finite is too long.
///
/// `rounding` is the error of φ. Where the required decrease is smaller, a step only must not
/// increase φ, similar to the approximate Wolfe conditions of Hager & Zhang (2005).
pub(super) fn strong_wolfe(
    start: Trial,
    first_step: f64,
    rounding: f64,
    evaluate: &mut impl FnMut(f64) -> Trial,
) -> Option<Trial> {
    if !(start.slope < 0.0 && start.is_finite()) {
        return None;
    }
    let decreases = |trial: &Trial| {
        let promised = -DECREASE * trial.step * start.slope;
        let demanded = if promised > rounding { promised } else { 0.0 };
        trial.is_finite() && trial.value <= start.value - demanded
    };
    let mut low = start;
    let mut high: Option<Trial> = None;
    let mut width = f64::INFINITY;
    let mut step = first_step;
    for _ in 0..MAX_EVALUATIONS {
        let trial = evaluate(step);
        if decreases(&trial) && trial.slope.abs() <= -CURVATURE * start.slope {
            return Some(trial);
        }
        let previous = low;
        if !decreases(&trial) || trial.value > low.value {
            high = Some(trial);
        } else {
            let ahead = high.map_or(1.0, |high| high.step - low.step);
            if trial.slope * ahead >= 0.0 {
                high = Some(low);
            }
            low = trial;
        }
        step = match high {
            None => extrapolate(&previous, &low),
            Some(high) => {
                let shrunk = (high.step - low.step).abs();
                let slow = shrunk > 0.66 * width;
                width = shrunk;
                if slow && high.is_finite() {
                    f64::midpoint(low.step, high.step)
                } else {
                    interpolate(&low, &high)
                }
            }
        };
    }
    (low.step > 0.0)
        .then(|| evaluate(low.step))
        .filter(decreases)
}

/// Returns a step between two others, away from both ends so that the bracket shrinks.
fn interpolate(low: &Trial, high: &Trial) -> f64 {
    let width = high.step - low.step;
    if !high.is_finite() {
        return low.step + 0.25 * width;
    }
    let fraction = (cubic_minimum(low, high) - low.step) / width;
    let fraction = if fraction.is_nan() { 0.5 } else { fraction };
    low.step + fraction.clamp(0.1, 0.9) * width
}

/// Returns a step beyond `last`, within the bounds of Moré & Thuente (1994).
fn extrapolate(previous: &Trial, last: &Trial) -> f64 {
    let width = last.step - previous.step;
    let growth = (cubic_minimum(previous, last) - last.step) / width;
    // Without a minimum ahead the slope gets steeper: take the largest step.
    let growth = if growth > 0.0 { growth } else { 4.0 };
    last.step + growth.clamp(1.1, 4.0) * width
}

/// Returns the minimizer of the cubic through the values and slopes at both ends (Nocedal & Wright
/// 3.59), NaN if it has none.
fn cubic_minimum(a: &Trial, b: &Trial) -> f64 {
    let width = b.step - a.step;
    let d1 = a.slope + b.slope - 3.0 * (b.value - a.value) / width;
    let d2 = (d1 * d1 - a.slope * b.slope).sqrt().copysign(width);
    b.step - width * (b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2)
}
