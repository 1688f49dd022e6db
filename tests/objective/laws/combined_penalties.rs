//! Laws of combined and wrapped penalties.

#![allow(clippy::float_cmp)] // where equality is the law

use super::*;
use crate::twin::{Omega, Twin, columns, matrix};
use sparse_autoencoder::penalty::{Description, HiddenBatch, HiddenGradient, Scaled, evaluate};
use sparse_autoencoder::{
    Activation, Error, KlDivergence, L1, Layer, Parameters, Penalty, Real, SparseAutoencoder,
    SquaredDeviation,
};
use std::sync::{Arc, Mutex};

/// Sets both channels to something before `inner` adds to them, with a scale of its own.
#[derive(Debug)]
struct Seeded<P> {
    inner: P,
    scale: f64,
}

const SEEDS: (f64, f64) = (0.25, -1.5);

impl<T: Real, P: Penalty<T>> Penalty<T> for Seeded<P> {
    fn accumulate(
        &self,
        hidden: &HiddenBatch<'_, T>,
        _: T,
        gradient: &mut HiddenGradient<'_, T>,
    ) -> T {
        gradient.per_unit().fill(T::of(SEEDS.0));
        gradient.per_activation().fill(T::of(SEEDS.1));
        self.inner.accumulate(hidden, T::of(self.scale), gradient)
    }
}

#[test]
fn a_penalty_adds_its_gradient_times_the_scale_and_returns_its_value_without() {
    fn check<T: Real>() {
        for activation in [Activation::Sigmoid, Activation::Tanh] {
            let hidden = hidden::<T>(activation);
            for penalty in every_penalty::<T>() {
                let (value, plain) = evaluate(&penalty, activation, 0.3, &hidden).unwrap();
                for scale in [0.0, 1.0, 3.0] {
                    let seeded = Seeded {
                        inner: penalty.clone(),
                        scale,
                    };
                    let (again, sum) = evaluate(&seeded, activation, 0.3, &hidden).unwrap();
                    assert_eq!(value, again, "{penalty:?}");
                    for (&g, &sum) in plain.iter().zip(&sum) {
                        let expected = scale * g.to_f64() + SEEDS.0 + SEEDS.1;
                        // Eight roundings at most, of numbers up to this one.
                        let size = scale * g.to_f64().abs() + SEEDS.0.abs() + SEEDS.1.abs();
                        let bound = 4.0 * T::default_epsilon().to_f64() * size;
                        assert!(
                            (sum.to_f64() - expected).abs() <= bound,
                            "{penalty:?} × {scale}"
                        );
                    }
                }
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn no_penalty_is_a_penalty_of_weight_zero_and_one_of_no_layer() {
    let samples = matrix::<f64>(&samples(5, 40));
    let none = gradient(&model(()).build().unwrap(), &samples);
    assert_eq!(none.0.sparsity, 0.0);
    for penalty in every_penalty::<f64>() {
        let weightless = model(penalty.clone()).penalty_weight(0.0).build().unwrap();
        assert_eq!(gradient(&weightless, &samples), none, "{penalty:?}");
        let nowhere = model(penalty.clone()).penalized_layers([]).build().unwrap();
        assert_eq!(gradient(&nowhere, &samples), none, "{penalty:?}");
        let scaled = model(Scaled::new(0.0, penalty.clone())).build().unwrap();
        assert_eq!(gradient(&scaled, &samples), none, "{penalty:?}");
        let present = gradient(&model(penalty.clone()).build().unwrap(), &samples);
        assert_eq!(present == none, penalty.is_zero(), "{penalty:?}");
    }
}

/// Where a penalty changes nothing, neither it nor the norms by which it would be weighed are refused.
#[test]
fn what_changes_nothing_refuses_nothing() {
    let samples = matrix::<f64>(&samples(5, 40));
    for variant in crate::common::variants::variants() {
        let none = Description::None.penalty::<f64>().unwrap();
        let plain = variant.builder::<f64>().penalty(none).norm_weighted(false);
        let expected = gradient(&plain.build().unwrap(), &samples);
        for penalty in every_penalty::<f64>() {
            let weighted = variant.builder().norm_weighted(true);
            for builder in [
                weighted.clone().penalty(()),
                weighted
                    .clone()
                    .penalty(penalty.clone())
                    .penalty_weight(0.0),
                weighted
                    .clone()
                    .penalty(penalty.clone())
                    .penalized_layers([]),
                weighted.penalty((Scaled::new(0.0, penalty), ())),
            ] {
                let model = builder.build();
                let model = model.unwrap_or_else(|error| panic!("{variant:?}: {error}"));
                assert_eq!(gradient(&model, &samples), expected, "{variant:?}");
            }
        }
    }
}

/// A factor out of range is refused wherever it stands.
#[test]
fn a_factor_must_be_one_even_where_it_changes_nothing() {
    for factor in [-1.0, f64::NAN, f64::INFINITY] {
        let nothing = Scaled::new(factor, ());
        for builder in [
            model::<f64>(nothing),
            model((L1, nothing)),
            model(Scaled::new(factor, L1)).penalty_weight(0.0),
            model(Scaled::new(factor, L1)).penalized_layers([]),
        ] {
            let error = builder.build().unwrap_err();
            let name = "factor of Scaled";
            let named = matches!(error, Error::InvalidParameter { name: n, .. } if n == name);
            assert!(named, "{error}");
        }
    }
}

#[test]
fn twice_a_penalty_is_the_penalty_and_the_penalty() {
    fn check<T: Real>() {
        let samples = matrix::<T>(&samples(5, 40));
        for penalty in every_penalty::<T>() {
            let twice = model(Scaled::new(2.0, penalty.clone())).build().unwrap();
            let pair = model((penalty.clone(), penalty.clone())).build().unwrap();
            let weight = model(penalty.clone()).penalty_weight(1.4).build().unwrap();
            let twice = gradient(&twice, &samples);
            // Twice a number is exact, and so is its sum with itself.
            assert_eq!(twice, gradient(&pair, &samples), "{penalty:?}");
            assert_eq!(twice, gradient(&weight, &samples), "{penalty:?}");
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn a_pair_is_a_sum() {
    for activation in [Activation::Sigmoid, Activation::Tanh] {
        let hidden = hidden::<f64>(activation);
        for a in every_penalty::<f64>() {
            for b in every_penalty::<f64>() {
                let apart = [&a, &b].map(|p| evaluate(p, activation, 0.3, &hidden).unwrap());
                let pair = (a.clone(), b.clone());
                let (value, gradient) = evaluate(&pair, activation, 0.3, &hidden).unwrap();
                assert_eq!(value, apart[0].0 + apart[1].0);
                // Up to four parts, each below 1, in another order: three roundings on either side
                // of sums up to 4.
                assert!(apart.iter().all(|(_, gradient)| gradient.amax() < 1.0));
                let difference = gradient - (&apart[0].1 + &apart[1].1);
                assert!(difference.amax() <= 12.0 * f64::EPSILON, "{a:?}, {b:?}");
            }
        }
    }
}

/// Refuses everything, or is zero: what a wrapper must not keep to itself.
#[derive(Debug)]
struct Particular {
    refuses: bool,
}

impl<T: Real> Penalty<T> for Particular {
    fn accumulate(
        &self,
        hidden: &HiddenBatch<'_, T>,
        scale: T,
        gradient: &mut HiddenGradient<'_, T>,
    ) -> T {
        Penalty::<T>::accumulate(&SquaredDeviation, hidden, scale, gradient)
    }

    fn check(&self, activation: Activation, target: T) -> Result<(), Error> {
        match self.refuses {
            false => Ok(()),
            true => Err(Error::UnsupportedActivation {
                what: "Particular",
                activation,
                requirement: if target > T::of(0.5) {
                    "above"
                } else {
                    "below"
                },
            }),
        }
    }

    fn is_zero(&self) -> bool {
        !self.refuses
    }
}

fn assert_forwards(wrap: impl Fn(Particular) -> Box<dyn Penalty<f64>>) {
    for refuses in [false, true] {
        let (bare, wrapped) = (Particular { refuses }, wrap(Particular { refuses }));
        assert_eq!(wrapped.is_zero(), !refuses);
        for target in [0.25, 0.75] {
            for activation in [Activation::Relu, Activation::TopK(3)] {
                let expected = Penalty::<f64>::check(&bare, activation, target);
                assert_eq!(wrapped.check(activation, target), expected);
                assert_eq!(expected.is_err(), refuses);
            }
        }
    }
    let hidden = hidden::<f64>(Activation::Sigmoid);
    let expected = evaluate(&SquaredDeviation, Activation::Sigmoid, 0.3, &hidden).unwrap();
    let wrapped = wrap(Particular { refuses: false });
    assert_eq!(
        evaluate(&wrapped, Activation::Sigmoid, 0.3, &hidden).unwrap(),
        expected
    );
    assert!(expected.0 > 0.0);
}

#[test]
fn wrappers_forward_every_method() {
    assert_forwards(|p| Box::new(p));
    assert_forwards(|p| Box::new(Box::new(p)));
    assert_forwards(|p| Box::new(Arc::new(p)));
    assert_forwards(|p| Box::new(&*Box::leak(Box::new(p))));
    assert_forwards(|p| Box::new(Box::new(p) as Box<dyn Penalty<f64>>));
    assert_forwards(|p| Box::new(Arc::new(p) as Arc<dyn Penalty<f64>>));
    assert_forwards(|p| Box::new(Scaled::new(1.0, p)));
    assert_forwards(|p| Box::new(((), p)));
    assert_forwards(|p| Box::new((p, ())));
}

/// Keeps what it is shown, layer by layer.
#[derive(Debug, Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Seen>>>);

/// The activations of one layer, and their mean.
type Seen = (Vec<f64>, Vec<f64>);

impl Penalty<f64> for Recorder {
    fn accumulate(
        &self,
        hidden: &HiddenBatch<'_, f64>,
        _: f64,
        _: &mut HiddenGradient<'_, f64>,
    ) -> f64 {
        assert_eq!(
            hidden.activations().len(),
            hidden.units() * hidden.samples()
        );
        let seen = (hidden.activations().to_vec(), hidden.mean().to_vec());
        self.0.lock().unwrap().push(seen);
        0.0
    }
}

#[test]
fn each_hidden_layer_has_its_own_mean() {
    // Layers of one size, so that the mean of one would fit the other.
    let twin = twin(&[5, 4, 4], false, Activation::Sigmoid, Omega::Kl);
    let samples = matrix::<f64>(&samples(5, 40));
    let inner = twin.build::<f64>();
    let outer = Parameters::from_layers(&[{
        let layer = inner.parameters().layer(0).unwrap();
        Layer {
            encoder_weights: layer.encoder_weights.into_owned(),
            encoder_bias: layer.encoder_bias.into_owned(),
            decoder_weights: None,
            decoder_bias: layer.decoder_bias.into_owned(),
        }
    }]);
    let outer = SparseAutoencoder::builder()
        .parameters(outer.unwrap())
        .build()
        .unwrap();
    let layers = [&outer, &inner].map(|model| model.encode(&samples).unwrap());

    let recorder = Recorder::default();
    let recording = SparseAutoencoder::builder()
        .parameters(inner.parameters().clone())
        .penalty(recorder.clone());
    recording.build().unwrap().loss(&samples).unwrap();
    let seen = std::mem::take(&mut *recorder.0.lock().unwrap());
    assert_eq!(seen.len(), 2);
    for (activations, mean) in &seen {
        let layer = layers
            .iter()
            .find(|h| h.as_slice() == activations)
            .expect("a hidden layer");
        // 40 additions and a product of numbers below 1
        assert!(
            (layer.column_mean().as_slice().iter().zip(mean))
                .all(|(a, b)| (a - b).abs() < 42.0 * f64::EPSILON)
        );
    }
    assert_ne!(seen[0], seen[1]);

    // Ω is the sum over the layers, each on its own, and one layer alone if asked for.
    let omega = layers.map(|h| {
        evaluate(&KlDivergence, Activation::Sigmoid, twin.target, &h)
            .unwrap()
            .0
    });
    assert!(
        (omega[0] - omega[1]).abs() > 0.1,
        "the layers must differ: {omega:?}"
    );
    for (penalized, omega) in [
        (vec![0, 1], omega[0] + omega[1]),
        (vec![0], omega[0]),
        (vec![1], omega[1]),
    ] {
        let twin = Twin {
            penalized: penalized.clone(),
            ..twin.clone()
        };
        let ball = twin.evaluate::<f64>(&columns(&samples)).sparsity;
        let sparsity = twin.build::<f64>().loss(&samples).unwrap().sparsity;
        assert!(
            (sparsity - twin.penalty_weight * omega).abs() <= ball.radius,
            "{penalized:?}"
        );
    }

    // Only the parameters below a penalized layer feel its penalty.
    let only = |penalized: &[usize], omega| {
        let twin = Twin {
            penalized: penalized.to_vec(),
            omega,
            ..twin.clone()
        };
        gradient(&twin.build::<f64>(), &samples).1
    };
    let (none, first, second) = (
        only(&[], Omega::Kl),
        only(&[0], Omega::Kl),
        only(&[1], Omega::Kl),
    );
    let below_first = 5 * 4 + 4;
    let encoder = below_first + 4 * 4 + 4;
    assert_eq!(first[below_first..], none[below_first..]);
    assert!((0..below_first).all(|k| first[k] != none[k]));
    assert_eq!(second[encoder..], none[encoder..]);
    assert!((0..encoder).all(|k| second[k] != none[k]));
}

/// Summed in `f32`, a unit's small activations would be lost beside a large one.
#[test]
fn means_of_many_activations_keep_their_digits() {
    let of = |x: f64| if x == 0.0 { 1.0 } else { 5e-8 };
    let hidden = DMatrix::from_fn(1, 20_001, |_, j| of(j as f64));
    let single = hidden.map(|h| h as f32);
    let (expected, _) = evaluate(&SquaredDeviation, Activation::Relu, 0.0, &hidden).unwrap();
    let (value, _) = evaluate(&SquaredDeviation, Activation::Relu, 0.0, &single).unwrap();
    assert!(
        (f64::from(value) / expected - 1.0).abs() < 1e-6,
        "{value} {expected}"
    );
}
