//! Laws of the objective: order, multiplicity, and precision change nothing.

#![allow(clippy::float_cmp)] // where equality is the law

use super::*;
use crate::common::variants::{ACTIVATIONS, outputs};
use crate::twin::{Omega, Stream, activations, knows, matrix};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, L0, L1, Layout, Penalty, Real, ReconstructionLoss, SparseAutoencoder,
    SquaredDeviation, TargetL0,
};
use std::sync::Arc;

#[test]
fn the_order_of_the_samples_and_their_multiplicity_change_nothing() {
    for hidden in activations() {
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
        let kinds = ACTIVATIONS.iter().filter(|f| !knows(**f));
        for (hidden, penalty) in kinds.flat_map(|f| penalties.iter().map(move |p| (*f, p))) {
            if penalty.check(hidden, T::of(0.25)).is_err() {
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
        for hidden in activations() {
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
    let (activations, outputs) = (activations(), outputs());
    for sizes in [&[5, 7][..], &[5, 6, 4], &[5, 6, 4, 3]] {
        for tied in [false, true] {
            for &hidden in &activations {
                for omega in [Omega::None].into_iter().chain(PENALTIES) {
                    if omega == Omega::Kl && hidden.range().is_none() {
                        continue;
                    }
                    let mut twin = twin(sizes, tied, hidden, omega);
                    let plain = samples(5, 37);
                    for output in 0..=outputs.len() {
                        twin.output = outputs.get(output).copied().unwrap_or_default();
                        if output == outputs.len() {
                            twin.reconstruction = ReconstructionLoss::BinaryCrossEntropy;
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
    // KL needs a range, and cross-entropy one of the outputs.
    let bounded = activations.iter().filter(|f| f.range().is_some()).count();
    let penalties = activations.len() * 4 + bounded;
    assert_eq!(checked + skipped, 3 * 2 * (outputs.len() + 1) * penalties);
    assert!(
        skipped * 10 < checked,
        "{skipped} cases skipped of {checked}"
    );
}
