//! Laws that hold whatever the parameters: symmetries of the objective, how penalties combine, and
//! the choices made at kinks, ties, and the ends of ranges.
//!
//! Equality is exact where the same operations are done on the same numbers, or on twice the
//! numbers. Where a law reorders a sum, both sides lie in the balls of the [naive twin](crate::twin),
//! and so are apart by at most the sum of the two radii.

#![allow(clippy::float_cmp)] // where equality is the law

use std::sync::{Arc, Mutex};

use crate::twin::{Omega, Stream, Twin, columns, matrix};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::penalty::{Description, HiddenBatch, HiddenGradient, Scaled, evaluate};
use sparse_autoencoder::{
    Activation, Error, KlDivergence, L0, L1, Layer, Layout, Loss, Parameters, Penalty, Proportion,
    Real, Reconstruction, SparseAutoencoder, SparseAutoencoderBuilder, SquaredDeviation, TargetL0,
    Workspace,
};

const PENALTIES: [Omega; 4] = [
    Omega::Kl,
    Omega::L1,
    Omega::Proportion,
    Omega::SquaredDeviation,
];

const ACTIVATIONS: [Activation; 8] = [
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Relu,
    Activation::Identity,
    Activation::SaturatingLinear,
    Activation::TopK(2),
    Activation::TopProportion(0.375),
    Activation::BatchTopK(2),
];

fn twin(sizes: &[usize], tied: bool, hidden: Activation, omega: Omega) -> Twin {
    let mut stream = Stream(7);
    Twin {
        theta: (0..Twin::parameters(sizes, tied))
            .map(|_| stream.signed())
            .collect(),
        sizes: sizes.to_vec(),
        tied,
        hidden: vec![hidden; sizes.len() - 1],
        output: Activation::Sigmoid,
        reconstruction: Reconstruction::SquaredError,
        omega,
        target: 0.3125,
        penalty_weight: 0.75,
        penalized: (0..sizes.len() - 1).collect(),
        weight_decay: 0.015_625,
    }
}

fn samples(visible: usize, count: usize) -> Vec<Vec<f64>> {
    let mut stream = Stream(23);
    (0..count)
        .map(|_| (0..visible).map(|_| stream.unit()).collect())
        .collect()
}

fn gradient<T: Real>(model: &SparseAutoencoder<T>, samples: &DMatrix<T>) -> (Loss<T>, Vec<T>) {
    let mut gradient = vec![T::of(f64::NAN); model.layout().len()];
    let loss = model.loss_and_gradient(samples, &mut gradient, &mut Workspace::new());
    (loss.unwrap(), gradient)
}

/// A small model with whatever penalty the test brings.
fn model<T: Real>(penalty: impl Penalty<T> + 'static) -> SparseAutoencoderBuilder<T> {
    SparseAutoencoder::builder()
        .layers([5, 6, 4])
        .hidden_activation(Activation::Tanh)
        .penalty(penalty)
        .sparsity_target(0.3)
        .penalty_weight(0.7)
        .weight_decay(0.01)
        .seed(1)
}

/// What two batches that must mean the same give: every term of the loss, then the gradient.
fn assert_same_objective<T: Real>(twin: &Twin, a: &[Vec<f64>], b: &[Vec<f64>]) {
    let [a, b] = [a, b].map(|samples| {
        let (loss, gradient) = gradient(&twin.build::<T>(), &matrix(samples));
        let expected = twin.evaluate::<T>(samples);
        assert!(
            expected.sure,
            "a kink within rounding says nothing: choose other samples"
        );
        assert!(expected.looseness() < 4096.0 * T::default_epsilon().to_f64());
        let mut values = vec![loss.reconstruction, loss.weight_decay, loss.sparsity];
        values.extend(gradient);
        let mut balls = vec![
            expected.reconstruction,
            expected.weight_decay,
            expected.sparsity,
        ];
        balls.extend(expected.gradient);
        (values, balls)
    });
    for k in 0..a.0.len() {
        let difference = (a.0[k].to_f64() - b.0[k].to_f64()).abs();
        assert!(
            difference <= a.1[k].radius + b.1[k].radius,
            "{k}: {} and {}",
            a.0[k],
            b.0[k]
        );
    }
}

#[test]
fn the_order_of_the_samples_and_their_multiplicity_change_nothing() {
    for hidden in ACTIVATIONS {
        for omega in PENALTIES {
            if omega == Omega::Kl && hidden.range().is_none() {
                continue;
            }
            let twin = twin(&[5, 6, 4], false, hidden, omega);
            let once = samples(5, 70); // three panels
            let mut permuted: Vec<_> = (0..70).map(|i| once[i * 27 % 70].clone()).collect();
            assert_ne!(once, permuted);
            assert_same_objective::<f64>(&twin, &once, &permuted);
            assert_same_objective::<f32>(&twin, &once, &permuted);
            permuted.extend(once.clone());
            assert_same_objective::<f64>(&twin, &once, &permuted);
            assert_same_objective::<f32>(&twin, &once, &permuted);
        }
    }
}

/// Thresholds and gates, which the twin does not know, at parameters and samples of so few bits that
/// every sum is exact in whatever order.
#[test]
fn thresholds_and_gates_know_no_order_and_no_multiplicity() {
    fn check<T: Real>() {
        let penalties: [Arc<dyn Penalty<T>>; 5] = [
            Arc::new(()),
            Arc::new(L0),
            Arc::new(TargetL0),
            Arc::new(L1),
            Arc::new(SquaredDeviation),
        ];
        let kinds = [Activation::JumpRelu, Activation::Gated];
        for (hidden, penalty) in kinds
            .iter()
            .flat_map(|f| penalties.iter().map(move |p| (*f, p)))
        {
            if penalty.check(&hidden, T::of(0.25)).is_err() {
                continue; // L0 needs thresholds
            }
            let mut model = SparseAutoencoder::<T>::builder()
                .layers([4, 8])
                .hidden_activation(hidden)
                .output_activation(Activation::Identity)
                .pre_encoder_bias(true)
                .penalty(penalty.clone())
                .penalty_weight(0.25)
                .sparsity_target(0.25)
                .bandwidth(0.5)
                .build()
                .unwrap();
            let mut stream = Stream(11);
            let mut eighth = || (8.0 * stream.signed()).round() / 8.0;
            let mut theta: Vec<_> = (0..model.layout().len()).map(|_| T::of(eighth())).collect();
            let before = Layout::new(&[4, 8], false).unwrap().len();
            let of_activation = &mut theta[before..];
            if hidden == Activation::Gated {
                of_activation[..8].fill(T::zero()); // eʳ is a power of two
            } else {
                of_activation.iter_mut().for_each(|t| *t = t.abs());
            }
            model.set_theta(&theta).unwrap();

            let once = DMatrix::from_fn(4, 64, |_, _| T::of(eighth()));
            let permuted = DMatrix::from_fn(4, 64, |k, i| once[(k, i * 27 % 64)]);
            let twice = DMatrix::from_fn(4, 128, |k, i| once[(k, i * 27 % 64)]);
            let (loss, of_once) = gradient(&model, &once);
            assert_ne!(once, permuted);
            for other in [permuted, twice] {
                let again = gradient(&model, &other);
                assert_eq!(again, (loss, of_once.clone()), "{hidden:?} {penalty:?}");
            }
            assert_eq!(model.loss(&once).unwrap(), loss);
            let learn = of_once[before..].iter().filter(|&&g| g != T::zero());
            assert!(learn.count() > 4 && loss.reconstruction > T::zero());
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn the_loss_alone_is_the_loss_beside_the_gradient() {
    fn check<T: Real>() {
        for hidden in ACTIVATIONS {
            for omega in [Omega::None, Omega::L1, Omega::Proportion] {
                let twin = twin(&[7, 70, 4], false, hidden, omega);
                let model = twin.build::<T>();
                let samples = matrix(&samples(7, 70));
                let (beside, _) = gradient(&model, &samples);
                let alone = model.loss(&samples).unwrap();
                assert_eq!(alone.reconstruction, beside.reconstruction);
                assert_eq!(alone.sparsity, beside.sparsity);
                // A sum of squares in two orders: each is off by at most n u of it.
                let bound = model.layout().len() as f64 * T::default_epsilon().to_f64();
                let (alone, beside) = (alone.weight_decay.to_f64(), beside.weight_decay.to_f64());
                assert!((alone - beside).abs() <= bound * alone && alone > 0.0);
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

/// The gradient in f32 against that in f64, at parameters and samples that are exact in both. The
/// f64 gradient is the one that central differences confirm; its own rounding is some 1e-9 of the
/// radius.
#[test]
fn gradients_in_f32_agree_with_those_in_f64() {
    let (mut checked, mut skipped) = (0, 0);
    for sizes in [&[5, 7][..], &[5, 6, 4], &[5, 6, 4, 3]] {
        for tied in [false, true] {
            for hidden in ACTIVATIONS {
                for omega in [Omega::None].into_iter().chain(PENALTIES) {
                    if omega == Omega::Kl && hidden.range().is_none() {
                        continue;
                    }
                    let mut twin = twin(sizes, tied, hidden, omega);
                    let plain = samples(5, 37);
                    for output in 0..6 {
                        twin.output = ACTIVATIONS[output % 5];
                        if output == 5 {
                            twin.reconstruction = Reconstruction::BinaryCrossEntropy;
                        }
                        let expected = twin.evaluate::<f32>(&plain);
                        let sharp = 4096.0 * f64::from(f32::EPSILON);
                        if !expected.sure || expected.looseness() > sharp {
                            skipped += 1; // where no difference could be called wrong
                            continue;
                        }
                        let (_, narrow) = gradient(&twin.build::<f32>(), &matrix(&plain));
                        let (_, wide) = gradient(&twin.build::<f64>(), &matrix(&plain));
                        for ((&narrow, &wide), ball) in
                            narrow.iter().zip(&wide).zip(&expected.gradient)
                        {
                            assert!(
                                (f64::from(narrow) - wide).abs() <= ball.radius * (1.0 + 1e-6),
                                "{twin:?}: {narrow} is not {wide} ± {:e}",
                                ball.radius
                            );
                        }
                        checked += 1;
                    }
                }
            }
        }
    }
    assert_eq!(checked + skipped, 3 * 2 * 6 * (3 * 5 + 5 * 4));
    assert!(
        skipped * 10 < checked,
        "{skipped} cases skipped of {checked}"
    );
}

fn rows<const N: usize>(rows: &[[f64; N]]) -> DMatrix<f64> {
    DMatrix::from_fn(rows.len(), N, |i, j| rows[i][j])
}

// ---- How penalties combine

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

fn every_penalty<T: Real>() -> Vec<Arc<dyn Penalty<T>>> {
    vec![
        Arc::new(()),
        Arc::new(KlDivergence),
        Arc::new(L1),
        Arc::new(Proportion),
        Arc::new(SquaredDeviation),
        Arc::new((KlDivergence, Scaled::new(0.5, Proportion))),
    ]
}

/// Activations in (0, 1) for Sigmoid, in (−1, 1) for Tanh.
fn hidden<T: Real>(activation: Activation) -> DMatrix<T> {
    let mut stream = Stream(3);
    let (low, high) = activation.range().unwrap();
    DMatrix::from_fn(6, 9, |_, _| T::of(low + (high - low) * stream.unit()))
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
    for variant in crate::variants::variants() {
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

    fn check(&self, activation: &Activation, target: T) -> Result<(), Error> {
        match self.refuses {
            false => Ok(()),
            true => Err(Error::UnsupportedActivation {
                what: "Particular",
                activation: *activation,
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
                let expected = Penalty::<f64>::check(&bare, &activation, target);
                assert_eq!(wrapped.check(&activation, target), expected);
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

    // Only the parameters below a penalised layer feel its penalty.
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

// ---- Each penalty

#[test]
fn the_divergence_is_zero_at_the_target_and_nowhere_else() {
    fn check<T: Real>() {
        for p in 1..64 {
            for q in 1..64 {
                let (p, q) = (f64::from(p) / 64.0, f64::from(q) / 64.0);
                for (activation, mean) in
                    [(Activation::Sigmoid, q), (Activation::Tanh, 2.0 * q - 1.0)]
                {
                    let hidden = DMatrix::from_element(1, 1, T::of(mean));
                    let (value, gradient) =
                        evaluate(&KlDivergence, activation, p, &hidden).unwrap();
                    let (value, slope) = (value.to_f64(), gradient[0].to_f64());
                    if p == q {
                        assert_eq!((value, slope), (0.0, 0.0), "{p}");
                    } else {
                        // Pinsker's inequality; the two terms, below 4, are off by 2 u each.
                        let least = 2.0 * (p - q) * (p - q);
                        assert!(
                            value >= least - 16.0 * T::default_epsilon().to_f64(),
                            "{p} {q}"
                        );
                        assert!(value > 0.0 && slope * (q - p) > 0.0, "{p} {q}");
                    }
                }
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn the_divergence_is_clamped_where_a_unit_is_silent_or_saturated() {
    fn check<T: Real>() {
        let (one, epsilon) = (T::one(), T::default_epsilon());
        let rho = T::of(0.3);
        let at = |q: T| rho * (rho / q).ln() + (one - rho) * ((one - rho) / (one - q)).ln();
        for (activation, low, high) in [
            (Activation::Sigmoid, 0.0, 1.0),
            (Activation::SaturatingLinear, 0.0, 1.0),
            (Activation::Tanh, -1.0, 1.0),
        ] {
            for (end, clamped) in [(low, epsilon), (high, one - epsilon)] {
                // Of many counts of samples, so that 1/m is rounded this way and that.
                for samples in 1..200 {
                    let hidden = DMatrix::from_element(1, samples, T::of(end));
                    let (value, gradient) =
                        evaluate(&KlDivergence, activation, 0.3, &hidden).unwrap();
                    assert_eq!(value, at(clamped), "{activation:?}, {samples} times {end}");
                    assert!(value.is_finite() && value > one);
                    // The derivative of the clamped function, which is constant here.
                    assert!(gradient.iter().all(|&g| g == T::zero()));
                }
            }
            // Inside, the derivative is steep and points to the target.
            for (q, sign) in [
                (T::of(2.0) * epsilon, -1.0),
                (one - T::of(4.0) * epsilon, 1.0),
            ] {
                let mean = T::of(low) + T::of(high - low) * q;
                let hidden = DMatrix::from_element(1, 1, mean);
                let (_, gradient) = evaluate(&KlDivergence, activation, 0.3, &hidden).unwrap();
                assert!(
                    gradient[0].to_f64() * sign > 1e4,
                    "{activation:?} at {mean}: {gradient}"
                );
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn the_proportion_is_zero_exactly_where_few_units_are_active() {
    // 0.4 of 5 units: two may be active.
    let few = rows(&[
        [0.0, 3.0, 0.0],
        [-2.0, 0.0, 0.0],
        [0.0, 1e-9, 0.0],
        [0.5, 0.0, 0.0],
        [0.0, 0.0, 0.0],
    ]);
    let (value, gradient) = evaluate(&Proportion, Activation::Identity, 0.4, &few).unwrap();
    assert_eq!(value, 0.0);
    assert!(gradient.iter().all(|&g| g == 0.0));

    // The third active unit is the weakest, whatever its sign; the mean is over four samples.
    let mut more = few.insert_column(3, 0.0);
    more[(4, 0)] = -0.25;
    let (value, gradient) = evaluate(&Proportion, Activation::Identity, 0.4, &more).unwrap();
    assert_eq!(value, 0.25 / 4.0);
    for (k, &g) in gradient.iter().enumerate() {
        assert_eq!(g, if k == 4 { -0.25 } else { 0.0 });
    }
    // A larger share, and it is zero again.
    assert_eq!(
        evaluate(&Proportion, Activation::Identity, 0.6, &more)
            .unwrap()
            .0,
        0.0
    );
}

#[test]
fn the_number_of_active_units_is_the_mean_over_the_samples() {
    // Three and one of five units: two in the mean, where a fifth of five is one.
    let hidden = rows(&[[0.5, 0.0], [2.0, 0.0], [0.0, 1e-9], [1.0, 0.0], [0.0, 0.0]]);
    let of = |penalty: &dyn Penalty<f64>, target| {
        evaluate(penalty, Activation::JumpRelu, target, &hidden)
            .unwrap()
            .0
    };
    assert_eq!(of(&L0, 0.2), 2.0);
    assert_eq!(of(&TargetL0, 0.2), 1.0);
    assert_eq!(of(&TargetL0, 0.1), 9.0);
    assert_eq!(of(&TargetL0, 0.4), 0.0);
}

#[test]
fn of_equal_magnitudes_the_proportion_spares_the_first() {
    let tied = rows(&[
        [-1.0, 0.5],
        [1.0, 1.0],
        [-1.0, -1.0],
        [1.0, 1.0],
        [0.5, 0.5],
    ]);
    let (value, gradient) = evaluate(&Proportion, Activation::Identity, 0.4, &tied).unwrap();
    assert_eq!(value, (2.5 + 2.0) / 2.0);
    assert_eq!(
        gradient,
        rows(&[[0.0, 0.5], [0.0, 0.0], [-0.5, 0.0], [0.5, 0.5], [0.5, 0.5]])
    );
}

#[test]
fn the_two_ways_to_the_l1_norm_agree() {
    fn check<T: Real>() {
        let mut hidden = hidden::<T>(Activation::Sigmoid);
        // The first asks only for means, as activations of ReLU are never negative.
        let (by_mean, per_unit) = evaluate(&L1, Activation::Relu, 0.3, &hidden).unwrap();
        let (by_entry, per_entry) = evaluate(&L1, Activation::Identity, 0.3, &hidden).unwrap();
        let means = hidden
            .column_mean()
            .iter()
            .map(|mean| mean.to_f64())
            .sum::<f64>();
        // 54 positive terms, a rounding each for their sum, their mean, and their conversion
        let bound = 60.0 * T::default_epsilon().to_f64() * means;
        assert!((by_mean.to_f64() - means).abs() <= bound);
        assert!((by_entry.to_f64() - means).abs() <= bound);
        assert_eq!(per_unit, per_entry);

        // They differ at 0, where the derivative of the activation is 0 and hides it.
        hidden[(2, 3)] = T::zero();
        let (_, per_unit) = evaluate(&L1, Activation::Relu, 0.3, &hidden).unwrap();
        let (_, per_entry) = evaluate(&L1, Activation::Identity, 0.3, &hidden).unwrap();
        assert_eq!(per_entry[(2, 3)], T::zero());
        assert_eq!(per_unit[(2, 3)], per_unit[(0, 0)]);
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn the_l1_norm_has_the_sign_as_its_gradient_and_zero_at_zero() {
    let hidden = rows(&[[0.5, -0.25], [0.0, -0.0], [-3.0, 1e-300]]);
    let (value, gradient) = evaluate(&L1, Activation::Tanh, 0.3, &hidden).unwrap();
    assert_eq!(value, 3.75 / 2.0);
    assert_eq!(gradient, rows(&[[0.5, -0.5], [0.0, 0.0], [-0.5, 0.5]]));
}

// ---- Kinks and ties of the activations

/// A model whose hidden pre-activations are its hidden biases, whatever the samples.
fn with_biases(
    hidden: Activation,
    biases: &[f64],
    penalty: impl Penalty<f64> + 'static,
) -> SparseAutoencoder<f64> {
    let units = biases.len();
    let parameters = Parameters::from_layers(&[Layer {
        encoder_weights: DMatrix::zeros(3, units),
        encoder_bias: biases.to_vec().into(),
        decoder_weights: Some(DMatrix::from_fn(3, units, |k, j| {
            0.5 + k as f64 - 0.25 * j as f64
        })),
        decoder_bias: vec![0.5, -0.25, 1.0].into(),
    }]);
    SparseAutoencoder::builder()
        .parameters(parameters.unwrap())
        .hidden_activation(hidden)
        .output_activation(Activation::Identity)
        .penalty(penalty)
        .build()
        .unwrap()
}

/// Which hidden biases have a gradient.
fn feels(model: &SparseAutoencoder<f64>) -> Vec<bool> {
    let (_, gradient) = gradient(model, &matrix(&samples(3, 4)));
    let gradient = Parameters::new(model.layout().clone(), gradient).unwrap();
    gradient
        .layer(0)
        .unwrap()
        .encoder_bias
        .iter()
        .map(|&g| g != 0.0)
        .collect()
}

#[test]
fn a_kink_counts_as_flat() {
    let tiny = f64::MIN_POSITIVE;
    let relu = with_biases(Activation::Relu, &[-1.0, -tiny, 0.0, -0.0, tiny, 1.0], L1);
    assert_eq!(feels(&relu), [false, false, false, false, true, true]);

    let below_one = 1.0 - f64::EPSILON / 2.0;
    let biases = [-1.0, 0.0, tiny, 0.5, below_one, 1.0, 2.0];
    let saturating = with_biases(Activation::SaturatingLinear, &biases, L1);
    assert_eq!(
        feels(&saturating),
        [false, false, true, true, true, false, false]
    );
    let hidden = saturating.encode(&matrix(&samples(3, 1))).unwrap();
    assert_eq!(
        hidden.as_slice(),
        [0.0, 0.0, tiny, 0.5, below_one, 1.0, 1.0]
    );
}

#[test]
fn of_equal_activations_the_first_are_kept() {
    let x = matrix(&samples(3, 1));
    for activation in [Activation::TopK(2), Activation::TopProportion(0.4)] {
        let tied = with_biases(activation, &[0.5, 2.0, 1.0, 1.0, 1.0], ());
        assert_eq!(
            tied.encode(&x).unwrap().as_slice(),
            [0.0, 2.0, 1.0, 0.0, 0.0]
        );
        assert_eq!(feels(&tied), [false, true, true, false, false]);

        // Fewer than k are positive: the others are 0, not the least negative.
        let few = with_biases(activation, &[-3.0, -1.0, 0.0, 0.25, -2.0], ());
        assert_eq!(
            few.encode(&x).unwrap().as_slice(),
            [0.0, 0.0, 0.0, 0.25, 0.0]
        );
        assert_eq!(feels(&few), [false, false, false, true, false]);
    }
}

// ---- Cross-entropy

fn cross_entropy<T: Real>(biases: &[f64]) -> SparseAutoencoder<T> {
    // No weights: the output's pre-activations are its biases.
    let visible = biases.len();
    let parameters = Parameters::from_layers(&[Layer {
        encoder_weights: DMatrix::zeros(visible, 1),
        encoder_bias: vec![T::zero()].into(),
        decoder_weights: Some(DMatrix::zeros(visible, 1)),
        decoder_bias: biases.iter().map(|&b| T::of(b)).collect::<Vec<_>>().into(),
    }]);
    SparseAutoencoder::builder()
        .parameters(parameters.unwrap())
        .reconstruction(Reconstruction::BinaryCrossEntropy)
        .penalty(())
        .build()
        .unwrap()
}

#[test]
fn cross_entropy_is_its_formula() {
    let biases = [-3.0, -0.5, 0.0, 0.25, 2.0];
    let plain = samples(5, 33);
    let (loss, gradient) = gradient(&cross_entropy::<f64>(&biases), &matrix(&plain));
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    let mut expected = 0.0;
    let mut bias_gradient = [0.0; 5];
    for sample in &plain {
        for (k, (&x, z)) in sample.iter().zip(biases).enumerate() {
            let x_hat = sigmoid(z);
            expected -= (x * x_hat.ln() + (1.0 - x) * (1.0 - x_hat).ln()) / 33.0;
            bias_gradient[k] += (x_hat - x) / 33.0;
        }
    }
    // 165 terms below 0.1, and each has two logarithms of numbers off by 4 u of at most 1/(1 − x̂),
    // which is below 21: some 100 u of the term
    assert!((loss.reconstruction - expected).abs() < 300.0 * f64::EPSILON);
    for (actual, expected) in gradient[gradient.len() - 5..].iter().zip(bias_gradient) {
        assert!((actual - expected).abs() < 40.0 * f64::EPSILON);
    }
}

#[test]
fn cross_entropy_stays_finite_where_the_output_saturates() {
    fn check<T: Real>() {
        let biases = [1e4, -1e4, 1e4, -1e4, 200.0];
        let model = cross_entropy::<T>(&biases);
        // Wrong, wrong, right, right, and in between.
        let x = DMatrix::from_column_slice(5, 1, &[0.0, 1.0, 1.0, 0.0, 0.5].map(T::of));
        let (loss, gradient) = gradient(&model, &x);
        assert_eq!(loss.reconstruction.to_f64(), 1e4 + 1e4 + 0.0 + 0.0 + 100.0);
        let of_biases: Vec<f64> = gradient[gradient.len() - 5..]
            .iter()
            .map(|g| g.to_f64())
            .collect();
        // 0 to the smallest normal number: the exponential does not go below it.
        for (actual, expected) in of_biases.into_iter().zip([1.0, -1.0, 0.0, 0.0, 0.5]) {
            assert!(
                (actual - expected).abs() <= 2e-38,
                "{actual} is not {expected}"
            );
        }
    }
    check::<f32>();
    check::<f64>();
}
