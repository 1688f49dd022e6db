//! Learning-rate schedules.

use std::f64::consts::PI;

use crate::error::{Error, require};

/// A learning-rate schedule: the factor of the optimizer's rate over a
/// [`fit`](crate::Trainer::fit).
///
/// | schedule | factor at progress p ∈ [0, 1) after the warm-up | `floor` |
/// |---|---|---|
/// | [`constant`](Self::constant) | 1 | |
/// | [`linear`](Self::linear) | `1 − p (1 − floor)` | [0, 1] |
/// | [`cosine`](Self::cosine) | `floor + (1 − floor)(1 + cos πp)/2` | [0, 1] |
/// | [`exponential`](Self::exponential) | `floorᵖ` | (0, 1] |
///
/// [`Trainer::fit`](crate::Trainer::fit) checks the ranges.
///
/// ```
/// use sparse_autoencoder::Schedule;
///
/// let schedule = Schedule::cosine(0.1).warm_up(0.05);
/// assert_eq!(schedule.factor(0.0), 0.0);
/// assert_eq!(schedule.factor(0.05), 1.0);
/// assert!((schedule.factor(1.0) - 0.1).abs() < 1e-12);
/// ```
#[cfg_attr(
    feature = "files",
    doc = r##"
# In a file

With the feature `serde`. TOML has the same keys as this JSON. `warm_up` is optional, and so is the `floor` of a
constant schedule.

```
use sparse_autoencoder::Schedule;

let json = r#"[
    {"decay": "constant", "warm_up": 0.05},
    {"decay": "linear", "floor": 0.0},
    {"decay": "cosine", "floor": 0.1, "warm_up": 0.05},
    {"decay": "exponential", "floor": 0.01}
]"#;
let schedules: Vec<Schedule> = serde_json::from_str(json).unwrap();
assert_eq!(schedules[0], Schedule::constant().warm_up(0.05));
assert_eq!(schedules[2], Schedule::cosine(0.1).warm_up(0.05));
```
"##
)]
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Unchecked"))]
pub struct Schedule {
    decay: Decay,
    floor: f64,
    warm_up: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(rename_all = "snake_case", deny_unknown_fields)
)]
enum Decay {
    Constant,
    Linear,
    Cosine,
    Exponential,
}

impl Schedule {
    const fn new(decay: Decay, floor: f64) -> Self {
        Self {
            decay,
            floor,
            warm_up: 0.0,
        }
    }

    /// Keeps the factor at 1, after an optional [`warm_up`](Self::warm_up).
    #[must_use]
    pub const fn constant() -> Self {
        Self::new(Decay::Constant, 1.0)
    }

    /// Decreases the factor linearly from 1 to `floor`, in [0, 1].
    #[must_use]
    pub const fn linear(floor: f64) -> Self {
        Self::new(Decay::Linear, floor)
    }

    /// Decreases the factor along half a cosine from 1 to `floor`, in [0, 1] (Loshchilov & Hutter 2017).
    #[must_use]
    pub const fn cosine(floor: f64) -> Self {
        Self::new(Decay::Cosine, floor)
    }

    /// Decreases the factor exponentially from 1 to `floor`, in (0, 1].
    #[must_use]
    pub const fn exponential(floor: f64) -> Self {
        Self::new(Decay::Exponential, floor)
    }

    /// Raises the factor linearly from 0 to 1 over the first `fraction` of the steps, in [0, 1).
    ///
    /// The first step therefore changes nothing. The decay follows over the remaining steps.
    #[must_use]
    pub const fn warm_up(mut self, fraction: f64) -> Self {
        self.warm_up = fraction;
        self
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        require(
            self.warm_up >= 0.0 && self.warm_up < 1.0,
            "warm_up of the schedule",
            "in [0, 1)",
            self.warm_up,
        )?;
        let positive = self.decay == Decay::Exponential;
        require(
            (0.0..=1.0).contains(&self.floor) && (self.floor > 0.0 || !positive),
            "floor of the schedule",
            if positive { "in (0, 1]" } else { "in [0, 1]" },
            self.floor,
        )
    }

    /// Returns the factor at `progress`, the fraction of all steps already taken, in [0, 1]. A fraction beyond an end
    /// counts as that end.
    #[must_use]
    pub fn factor(&self, progress: f64) -> f64 {
        let progress = progress.clamp(0.0, 1.0);
        if progress < self.warm_up {
            return progress / self.warm_up;
        }
        // Above 0 also for a warm-up over all steps, which a fit refuses.
        let rest = (1.0 - self.warm_up).max(f64::MIN_POSITIVE);
        let p = ((progress - self.warm_up) / rest).min(1.0);
        let floor = self.floor;
        match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => 1.0 - p * (1.0 - floor),
            Decay::Cosine => floor + (1.0 - floor) * 0.5 * (1.0 + (PI * p).cos()),
            Decay::Exponential => floor.powf(p),
        }
    }
}

/// A schedule as a file may hold it.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as {\"decay\": \"cosine\", \"floor\": 0.1}, with an optional `warm_up`"
)]
struct Unchecked {
    decay: Decay,
    floor: Option<f64>,
    #[serde(default)]
    warm_up: f64,
}

#[cfg(feature = "serde")]
impl TryFrom<Unchecked> for Schedule {
    type Error = &'static str;

    fn try_from(unchecked: Unchecked) -> Result<Self, Self::Error> {
        let floor = match (unchecked.decay, unchecked.floor) {
            (_, Some(floor)) => floor,
            (Decay::Constant, None) => 1.0,
            _ => return Err("missing field `floor`: the factor at the end, such as 0.1"),
        };
        Ok(Self::new(unchecked.decay, floor).warm_up(unchecked.warm_up))
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    /// The formulas of the table, at a quarter and a half of the way and at both ends.
    #[test]
    fn factors_are_those_of_the_formulas() {
        let half = 0.5_f64.sqrt();
        for (schedule, [start, quarter, middle, end]) in [
            (Schedule::constant(), [1.0; 4]),
            (Schedule::linear(0.2), [1.0, 0.8, 0.6, 0.2]),
            (Schedule::linear(0.0), [1.0, 0.75, 0.5, 0.0]),
            (
                Schedule::cosine(0.2),
                [1.0, 0.2 + 0.4 * (1.0 + half), 0.6, 0.2],
            ),
            (Schedule::cosine(0.0), [1.0, 0.5 * (1.0 + half), 0.5, 0.0]),
            (Schedule::exponential(0.0625), [1.0, 0.5, 0.25, 0.0625]),
        ] {
            let warmed = schedule.warm_up(0.2);
            for (progress, after_warm_up, expected) in [
                (0.0, 0.2, start),
                (0.25, 0.4, quarter),
                (0.5, 0.6, middle),
                (1.0, 1.0, end),
            ] {
                for (schedule, progress) in [(schedule, progress), (warmed, after_warm_up)] {
                    let factor = schedule.factor(progress);
                    let error = (factor - expected).abs();
                    assert!(error < 1e-15, "{schedule:?} at {progress}: {factor}");
                }
            }
            // A line from 0, whatever follows it.
            for (progress, expected) in [(0.0, 0.0), (0.05, 0.25), (0.15, 0.75)] {
                let error = (warmed.factor(progress) - expected).abs();
                assert!(error < 1e-15, "{warmed:?} at {progress}");
            }
        }
    }

    #[test]
    fn a_fraction_beyond_an_end_counts_as_that_end() {
        for decay in [
            Schedule::constant(),
            Schedule::linear(0.1),
            Schedule::cosine(0.2),
            Schedule::exponential(0.01),
            Schedule::exponential(0.0),
        ] {
            for warm_up in [0.0, 0.3, 1.0, 2.0] {
                let schedule = decay.warm_up(warm_up);
                let factor = |progress| schedule.factor(progress).to_bits();
                for outside in [-0.1, f64::NEG_INFINITY] {
                    assert_eq!(factor(outside), factor(0.0), "{schedule:?}");
                }
                for outside in [1.1, f64::INFINITY] {
                    assert_eq!(factor(outside), factor(1.0), "{schedule:?}");
                }
                assert!((0.0..=1.0).contains(&schedule.factor(1.0)), "{schedule:?}");
            }
        }
    }
}
