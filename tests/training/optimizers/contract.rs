//! The contract that every optimizer keeps.

use super::*;
use crate::common::fractions::fractions;
use crate::common::variants::{ACTIVATIONS, blocks};
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::optimizer::{Objective, Step};
use sparse_autoencoder::{
    Activation, Adam, Lbfgs, Optimizer, Real, Schedule, Sgd, SparseAutoencoder, StopReason,
    Trainer, Workspace,
};

fn assert_minimizes_the_bowl<T: Real>() {
    for mut optimizer in all::<T>() {
        let mut theta = [T::of(1.0), T::of(-2.0)];
        optimizer.reset(2);
        for _ in 0..600 {
            optimizer.step(&mut theta, &mut bowl);
        }
        for x in theta {
            assert!(x.to_f64().abs() < 1e-4, "{optimizer:?}: {theta:?}");
        }
    }
}

#[test]
fn every_optimizer_minimizes_a_bowl_in_both_scalars() {
    assert_minimizes_the_bowl::<f32>();
    assert_minimizes_the_bowl::<f64>();
}

#[test]
fn lbfgs_in_f32_reaches_the_precision_of_f32() {
    // 1 + ‖x − c‖² / n over many elements, where the loss has lost the last digits of x
    let n = 10_001;
    let center = |i: usize| (i % 17) as f32 / 17.0;
    let mut lbfgs = Lbfgs::<f32>::new().tolerance(1e-9).unwrap();
    let mut theta = vec![3.0_f32; n];
    let mut steps = 0;
    while !lbfgs
        .step(&mut theta, &mut |x, gradient| {
            let mut value = 0.0_f64;
            for (i, (g, &x)) in gradient.iter_mut().zip(x).enumerate() {
                let weight = (1 + i % 7) as f32;
                let distance = x - center(i);
                *g = 2.0 * weight * distance / n as f32;
                value += f64::from(weight * distance * distance) / n as f64;
            }
            (1.0 + value) as f32
        })
        .converged
    {
        steps += 1;
        assert!(steps < 100);
    }
    for (i, x) in theta.iter().enumerate() {
        assert!((x - center(i)).abs() < 2e-3, "{i}: {x}");
    }
}

#[test]
fn what_is_forgotten_of_some_parameters_moves_them_no_more() {
    let first_order: [Box<dyn Optimizer<f64>>; 2] = [
        Box::new(Adam::new(0.1).unwrap()),
        Box::new(Sgd::new(0.1).unwrap().momentum(0.9).unwrap()),
    ];
    for mut optimizer in first_order {
        let mut theta = [1.0; 4];
        optimizer.reset(4);
        let mut slope = 1.0;
        for forgotten in [None, Some(1..3), Some(7..9)] {
            let before = theta;
            if let Some(range) = forgotten.clone() {
                optimizer.forget(range);
            }
            optimizer.step(&mut theta, &mut |_, gradient| {
                gradient.fill(slope);
                0.0
            });
            slope = 0.0; // from now on, only what is remembered moves
            let moved = [0, 1, 2, 3].map(|k| theta[k].to_bits() != f64::to_bits(before[k]));
            let stays = forgotten.is_some();
            assert_eq!(moved, [true, !stays, !stays, true], "{optimizer:?}");
        }
    }
}

/// Neither moment of what is forgotten has a trace: the next step is that of parameters that had no gradient.
#[test]
fn what_is_forgotten_of_some_parameters_is_as_if_it_had_not_been() {
    for momentum in [false, true] {
        let moved = |before: [f64; 4], forgets: bool| {
            let mut optimizer: Box<dyn Optimizer<f64>> = match momentum {
                false => Box::new(Adam::new(0.1).unwrap()),
                true => Box::new(Sgd::new(0.1).unwrap().momentum(0.9).unwrap()),
            };
            optimizer.reset(4);
            let mut theta = [1.0; 4];
            for step in 0..4 {
                let last = step == 3;
                if last && forgets {
                    optimizer.forget(1..3);
                }
                theta = [1.0; 4];
                optimizer.step(&mut theta, &mut |_, gradient| {
                    gradient.copy_from_slice(if last { &[0.25; 4] } else { &before });
                    0.0
                });
            }
            theta.map(f64::to_bits)
        };
        let [all, others] = [[2.0; 4], [2.0, 0.0, 0.0, 2.0]];
        assert_eq!(moved(all, true), moved(others, false));
        assert_ne!(moved(all, false), moved(others, false));
    }
}

#[test]
fn a_start_that_is_not_finite_leaves_theta_as_it_is() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for mut optimizer in all::<f64>() {
            let start = [1.0, -0.0, f64::MIN_POSITIVE / 4.0];
            let mut theta = start;
            let step = optimizer.step(&mut theta, &mut |_, gradient| {
                gradient.fill(f64::NAN);
                bad
            });
            assert_eq!(step.loss.to_bits(), bad.to_bits());
            assert!(!step.converged);
            assert_eq!(theta.map(f64::to_bits), start.map(f64::to_bits));

            // and leaves no trace in the optimizer
            let mut again = [1.0, -2.0];
            for _ in 0..600 {
                optimizer.step(&mut again, &mut bowl);
            }
            assert_close(&again, &[0.0, 0.0], 1e-4);
        }
    }
}

/// A step of rate 1 is the gradient, or that of the norm of the clip.
#[test]
fn a_clipped_step_has_the_direction_of_the_gradient_and_the_norm_of_the_clip() {
    let x = DMatrix::from_fn(5, 12, |i, j| ((i * 7 + j * 3) as f64 * 0.7).sin());
    let builder = SparseAutoencoder::<f64>::builder().layers([5, 7]);
    let start = builder.output_activation(Activation::Identity).build();
    let start = start.unwrap();
    let step = |clip: Option<f64>| {
        let mut model = start.clone();
        let mut trainer = Trainer::new(Sgd::new(1.0).unwrap());
        if let Some(norm) = clip {
            trainer = trainer.clip_gradient(norm);
        }
        trainer.partial_fit(&mut model, &x).unwrap();
        DVector::from_column_slice(model.parameters().as_slice())
    };
    let theta = DVector::from_column_slice(start.parameters().as_slice());
    let free = &theta - step(None);
    let norm = free.norm();
    assert!(norm > 0.1, "{norm}");
    for share in [0.9, 0.5, 1e-2] {
        let clipped = &theta - step(Some(share * norm));
        // Parameters of order one are rounded.
        assert!((clipped - share * &free).amax() < 1e-15, "{share}");
    }
    assert_eq!(step(Some(1.01 * norm)), step(None));
}

#[test]
fn lbfgs_does_not_take_a_gradient_of_nan_for_convergence() {
    let mut theta = [1.0, 2.0];
    let step = Lbfgs::new().step(&mut theta, &mut |_, gradient| {
        gradient.fill(f64::NAN);
        1.0
    });
    assert!(step.loss.is_nan() && !step.converged);
    assert_close(&theta, &[1.0, 2.0], 0.0);
}

fn assert_stays_finite<T: Real>(largest: T) {
    let extreme = |factor: T| -> Vec<Box<dyn Optimizer<T>>> {
        let mut list: Vec<Box<dyn Optimizer<T>>> = vec![
            Box::new(Sgd::new(1e300).unwrap()),
            Box::new(Sgd::new(1e300).unwrap().momentum(0.999).unwrap()),
            Box::new(Sgd::new(10.0).unwrap().momentum(0.999).unwrap().nesterov()),
            Box::new(Adam::new(1e300).unwrap().weight_decay(1e300).unwrap()),
            Box::new(Adam::new(1e-3).unwrap().epsilon(1e-320).unwrap()),
            Box::new(Adam::new(1e-3).unwrap().epsilon(1e300).unwrap()),
        ];
        for optimizer in &mut list {
            optimizer.scale_learning_rate(factor).unwrap();
        }
        list.push(Box::new(Lbfgs::new()));
        list
    };
    for factor in [0.0, 1e-30, 1.0, 1e30] {
        for mut optimizer in extreme(T::of(factor)) {
            let mut theta = vec![largest, -largest, T::zero(), T::one()];
            for t in 0..20 {
                let sign = if t % 3 == 0 { T::one() } else { -T::one() };
                optimizer.step(&mut theta, &mut |_, gradient| {
                    gradient.copy_from_slice(&[
                        -largest * sign,
                        largest * sign,
                        T::zero(),
                        T::of(1e-30) * sign,
                    ]);
                    T::one()
                });
                assert!(
                    theta.iter().all(|x| x.is_finite()),
                    "{factor} {t} {theta:?} {optimizer:?}"
                );
            }
        }
    }
}

#[test]
fn theta_stays_finite_whatever_the_finite_gradient() {
    assert_stays_finite(f32::MAX);
    assert_stays_finite(f64::MAX);
}

#[test]
fn another_length_of_theta_starts_anew() {
    for (mut used, mut fresh) in all::<f64>().into_iter().zip(all()) {
        let mut long = [1.0; 5];
        used.step(&mut long, &mut |x, gradient| {
            gradient.copy_from_slice(x);
            x.iter().map(|x| 0.5 * x * x).sum()
        });
        let (mut theta, mut expected) = ([1.0, -2.0], [1.0, -2.0]);
        for _ in 0..3 {
            used.step(&mut theta, &mut bowl);
            fresh.step(&mut expected, &mut bowl);
        }
        assert_close(&theta, &expected, 0.0);
    }
}

#[test]
fn no_parameters_are_no_problem() {
    for mut optimizer in all::<f64>() {
        assert_close(
            &[optimizer.step(&mut [], &mut |_, _| 2.0).loss],
            &[2.0],
            0.0,
        );
    }
}

/// A fit by full batches is nothing but the steps of its optimizer, whatever else the units have that moves
/// with the batches, such as the threshold of `BatchTopK`. Noticing that θ is not what it was, L-BFGS would
/// start again with each step, and take slow ones for convergence.
#[test]
fn a_fit_takes_the_steps_of_its_optimizer_for_every_kind_of_units() {
    let samples = fractions(6, 40, |phase| phase - 0.3);
    for &activation in ACTIVATIONS {
        for (index, mut by_hand) in all::<f64>().into_iter().enumerate() {
            let builder = SparseAutoencoder::builder()
                .layers([6, 12])
                .hidden_activation(activation)
                .output_activation(Activation::Identity)
                .penalty(())
                .seed(2);
            let mut fitted = builder.build().unwrap();
            let mut model = fitted.clone();
            let mut trainer = Trainer::new(all::<f64>().swap_remove(index))
                .batch_size(40)
                .epochs(200);
            let report = trainer.fit(&mut fitted, &samples).unwrap();

            let mut theta = model.parameters().as_slice().to_vec();
            let mut workspace = Workspace::new();
            let mut last = Step::moved(0.0);
            for _ in 0..report.epochs {
                last = by_hand.step(&mut theta, &mut |theta, gradient| {
                    model.set_theta(theta).unwrap();
                    let loss = model.loss_and_gradient(&samples, gradient, &mut workspace);
                    loss.unwrap().total()
                });
            }
            // One threshold for all units is none of what learns.
            let learned = theta.len() - usize::from(blocks(activation, 12).contains(&1));
            let name = format!("{activation:?}, {by_hand:?}");
            assert_eq!(
                fitted.parameters().as_slice()[..learned],
                theta[..learned],
                "{name}"
            );
            assert_eq!(
                last.converged,
                report.stop == StopReason::Converged,
                "{name}"
            );
        }
    }
}

#[test]
fn an_optimizer_chosen_at_run_time_is_the_same_one() {
    let samples = DMatrix::from_fn(4, 30, |i, j| 0.5 + 0.4 * ((i * 3 + j) as f64).sin());
    let fit = |mut trainer: Trainer<f64>| {
        let mut model = SparseAutoencoder::builder().layers([4, 6]).build().unwrap();
        trainer.fit(&mut model, &samples).unwrap();
        model.parameters().clone()
    };
    let boxed = |name: &str| -> Box<dyn Optimizer<f64>> {
        match name {
            "Adam" => Box::new(Adam::new(1e-2).unwrap()),
            _ => Box::new(Lbfgs::new()),
        }
    };
    let cosine = Schedule::cosine(0.1);
    let adam = |trainer: Trainer<f64>| fit(trainer.epochs(5).batch_size(8).schedule(cosine));
    assert_eq!(
        adam(Trainer::new(boxed("Adam"))),
        adam(Trainer::new(Adam::new(1e-2).unwrap()))
    );
    let full = |trainer: Trainer<f64>| fit(trainer.epochs(5));
    assert_eq!(
        full(Trainer::new(boxed(""))),
        full(Trainer::new(Lbfgs::new()))
    );
}

/// An optimizer that does not call the objective, as one may that has cached a loss. Its fit has nothing to count by but
/// the loss that it evaluates itself.
#[test]
fn an_optimizer_need_not_call_the_objective() {
    #[derive(Debug)]
    struct Idle;
    impl Optimizer<f64> for Idle {
        fn reset(&mut self, _: usize) {}

        fn step(&mut self, _: &mut [f64], _: &mut Objective<'_, f64>) -> Step<f64> {
            Step::moved(1.0)
        }
    }
    let samples = fractions(6, 40, |phase| phase - 0.3);
    for &activation in ACTIVATIONS {
        let builder = SparseAutoencoder::builder().layers([6, 160]);
        let builder = builder.hidden_activation(activation).penalty(());
        let mut model = builder
            .output_activation(Activation::Identity)
            .build()
            .unwrap();
        let start = model.clone();
        let mut trainer = Trainer::new(Idle).epochs(3).batch_size(10);
        let report = trainer.fit(&mut model, &samples).unwrap();
        assert_eq!(report.steps, 12, "{activation:?}");
        let learned = start.parameters().as_slice().len() - 1;
        assert_eq!(
            model.parameters().as_slice()[..learned],
            start.parameters().as_slice()[..learned],
            "{activation:?}"
        );
    }
}
