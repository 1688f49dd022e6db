//! The formulas of the activations: a row for each, functions with their slopes, and choices.

use std::cell::Cell;

use super::{Ball, Batch, Samples, Vector};
use crate::common::variants::ACTIVATIONS;
use sparse_autoencoder::{Activation, Real};

/// `max(z, 0)` or another function, of the units that are chosen.
struct Formula {
    function: Function,
    choice: Choice,
    /// of the decoder layer that mirrors it
    mirror: Activation,
}

enum Function {
    Sigmoid,
    Tanh,
    Identity,
    PositivePart,
    SaturatingLinear,
}

/// Of which the largest magnitudes stay, and the others become 0.
enum Choice {
    Everything,
    /// the number for so many units
    OfEachSample(Box<dyn Fn(usize) -> usize>),
    /// the number for each sample
    OfTheBatch(usize),
    /// the proportion of the samples
    OfEachUnit(f64),
}

fn formula(f: Activation) -> Option<Formula> {
    let all = |function| Formula {
        function,
        choice: Choice::Everything,
        mirror: f,
    };
    let positive = |choice| Formula {
        function: Function::PositivePart,
        choice,
        mirror: Activation::Relu,
    };
    Some(match f {
        Activation::Sigmoid => all(Function::Sigmoid),
        Activation::Tanh => all(Function::Tanh),
        Activation::Relu => all(Function::PositivePart),
        Activation::Identity => all(Function::Identity),
        Activation::SaturatingLinear => all(Function::SaturatingLinear),
        Activation::TopK(k) => positive(Choice::OfEachSample(Box::new(move |_| k))),
        Activation::TopProportion(p) => positive(Choice::OfEachSample(Box::new(move |units| {
            proportion_of(p, units)
        }))),
        Activation::AbsTopK(k) => Formula {
            function: Function::Identity,
            choice: Choice::OfEachSample(Box::new(move |_| k)),
            mirror: Activation::Identity,
        },
        Activation::WinnerTakeAll(p) => positive(Choice::OfEachUnit(p)),
        Activation::BatchTopK(k) => positive(Choice::OfTheBatch(k)),
        _ => return None,
    })
}

fn known(f: Activation) -> Formula {
    formula(f).unwrap_or_else(|| panic!("the twin does not know {f:?}"))
}

pub(crate) fn knows(f: Activation) -> bool {
    formula(f).is_some()
}

/// Every activation but those whose units have parameters of their own.
pub(crate) fn activations() -> Vec<Activation> {
    let (known, others): (Vec<_>, Vec<_>) = ACTIVATIONS.iter().copied().partition(|f| knows(*f));
    assert_eq!(others, [Activation::JumpRelu, Activation::Gated]);
    known
}

pub(super) fn value<T: Real>(f: Activation, z: Ball<T>) -> Ball<T> {
    match known(f).function {
        Function::Sigmoid => z.sigmoid(),
        Function::Tanh => z.tanh(),
        Function::Identity => z,
        Function::SaturatingLinear => z.positive_part().at_most_one(),
        Function::PositivePart => z.positive_part(),
    }
}

/// `f′` from the output, 0 at a kink and where a unit is not chosen.
pub(super) fn slope<T: Real>(f: Activation, h: Ball<T>, sure: &Certainty) -> Ball<T> {
    let one = Ball::exact(1.0);
    let indicator = |inside| Ball::exact(f64::from(u8::from(inside)));
    let formula = known(f);
    match formula.function {
        Function::Sigmoid => h * (one - h),
        Function::Tanh => one - h * h,
        Function::Identity if matches!(formula.choice, Choice::Everything) => one,
        Function::Identity => indicator(!h.is_exactly(0.0)),
        Function::SaturatingLinear => {
            indicator(sure.above(h, 0.0) && !(sure.above(h, 1.0) || h.middle >= 1.0))
        }
        Function::PositivePart => indicator(sure.above(h, 0.0)),
    }
}

pub(super) fn mirror(f: Activation) -> Activation {
    known(f).mirror
}

/// Makes 0 of what is not chosen. What is chosen over a whole batch is chosen where the samples are one.
pub(super) fn choose<T: Real>(f: Activation, h: &mut Batch<T>, samples: Samples, sure: &Certainty) {
    let keep = |entries: Vec<&mut Ball<T>>, k| {
        let magnitudes: Vector<T> = entries.iter().map(|h| h.abs()).collect();
        for (h, chosen) in entries.into_iter().zip(largest(&magnitudes, k, sure)) {
            if !chosen {
                *h = Ball::exact(0.0);
            }
        }
    };
    match (known(f).choice, samples) {
        (Choice::OfEachSample(k), _) => {
            for h in h {
                let k = k(h.len());
                keep(h.iter_mut().collect(), k);
            }
        }
        (Choice::OfTheBatch(k), Samples::OneBatch) => {
            let k = k * h.len();
            keep(h.iter_mut().flatten().collect(), k);
        }
        (Choice::OfEachUnit(p), Samples::OneBatch) => {
            let k = proportion_of(p, h.len());
            for j in 0..h[0].len() {
                keep(h.iter_mut().map(|h| &mut h[j]).collect(), k);
            }
        }
        _ => {}
    }
}

/// Whether every decision so far was certain.
pub(super) struct Certainty(Cell<bool>);

impl Certainty {
    pub(super) fn new() -> Self {
        Self(Cell::new(true))
    }

    pub(super) fn is_sure(&self) -> bool {
        self.0.get()
    }

    fn require(&self, certain: bool) {
        self.0.set(self.0.get() && certain);
    }

    /// Whether `a > b`.
    pub(super) fn above<T: Real>(&self, a: Ball<T>, b: f64) -> bool {
        self.require(a.radius <= 0.0 || (a.middle - b).abs() > a.radius);
        a.middle > b
    }
}

/// Which `k` of the values are the largest; of equal values the first.
pub(super) fn largest<T: Real>(values: &[Ball<T>], k: usize, sure: &Certainty) -> Vec<bool> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| {
        values[b]
            .middle
            .total_cmp(&values[a].middle)
            .then(a.cmp(&b))
    });
    let (kept, dropped) = order.split_at(k.min(order.len()));
    for &a in kept {
        for &b in dropped {
            let (a, b) = (values[a], values[b]);
            let exact = a.radius <= 0.0 && b.radius <= 0.0;
            // An exact 0 is worth the same kept and dropped, to whatever is within rounding of it.
            sure.require(exact || b.is_exactly(0.0) || a.low() > b.high());
        }
    }
    let mut chosen = vec![false; values.len()];
    kept.iter().for_each(|&j| chosen[j] = true);
    chosen
}

/// `⌈p · units⌉`, where rounding does not decide.
pub(super) fn proportion_of(p: f64, units: usize) -> usize {
    let exact = p * units as f64;
    let distance = (exact - exact.round()).abs();
    assert!(distance <= 0.0 || distance > 1e-9, "{p} of {units}");
    (1..units).find(|&k| k as f64 >= exact).unwrap_or(units)
}
