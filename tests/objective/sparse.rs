//! The sparse path: the same gradients, by the same tolerance as the dense ones (see
//! `gradients.rs`), and the same bits for any number of threads.

use crate::common::fractions::fractions;
use crate::common::variants::{ACTIVATIONS, blocks};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Initialization, L1, Penalty, Proportion, ReconstructionLoss, SparseAutoencoder,
    SquaredDeviation, Workspace, gradient_check,
};

const TOLERANCE: f64 = 1e-7;

fn samples(input_size: usize, count: usize) -> DMatrix<f64> {
    fractions(input_size, count, |phase| 0.05 + 0.9 * phase)
}

/// A model of which at most one unit in sixteen is active: by selection, or by a bias that is far
/// below zero.
fn model(
    hidden: Activation,
    penalty: Box<dyn Penalty<f64>>,
    tied: bool,
    weight_decay: f64,
    reconstruction: ReconstructionLoss,
) -> SparseAutoencoder<f64> {
    let (input_size, units) = (4, 64);
    let output = match reconstruction {
        ReconstructionLoss::BinaryCrossEntropy => Activation::Sigmoid,
        _ => Activation::Identity,
    };
    let mut model = SparseAutoencoder::builder()
        .initialization(Initialization::Glorot)
        .layers([input_size, units])
        .hidden_activation(hidden)
        .output_activation(output)
        .reconstruction_loss(reconstruction)
        .penalty(penalty)
        .penalty_weight(0.3)
        .sparsity_target(0.02)
        .weight_decay(weight_decay)
        .tied(tied)
        .seed(5)
        .build()
        .unwrap();
    let mut theta = model.parameters().as_slice().to_vec();
    for (k, theta) in theta.iter_mut().enumerate() {
        let phase = (k * 29 + 5) as f64 * 0.414_213_562_373_095;
        *theta += 0.3 * (phase.fract() - 0.5);
    }
    if hidden.kept(units).is_none() {
        // Low enough that few units rise above zero, each by its own margin.
        let bias = input_size * units..input_size * units + units;
        theta[bias].iter_mut().for_each(|b| *b -= 0.5);
    }
    model.set_theta(&theta).unwrap();
    model
}

/// Of the hidden activations of the batch, before some are chosen over the batch.
fn active_proportion(model: &SparseAutoencoder<f64>, x: &DMatrix<f64>) -> f64 {
    let hidden = model.encode(x).unwrap();
    hidden.iter().filter(|&&h| h != 0.0).count() as f64 / hidden.len() as f64
}

#[test]
fn gradients_agree_with_central_differences() {
    let x = samples(4, 14);
    #[allow(clippy::type_complexity)]
    let penalties: [fn() -> Box<dyn Penalty<f64>>; 4] = [
        || Box::new(()),
        || Box::new(L1),
        || Box::new(SquaredDeviation),
        || Box::new(Proportion), // fills the channel per activation
    ];
    // Others have parameters in each unit, and gradients by rules and tests of their own.
    let derivative = |f: &Activation| !blocks(*f, 64).contains(&64);
    let one_winner = Activation::WinnerTakeAll(1.0 / 14.0);
    let more = [Activation::TopK(4), one_winner, Activation::BatchTopK(4)];
    let mut checked = 0;
    for hidden in ACTIVATIONS.iter().copied().filter(derivative).chain(more) {
        for penalty in penalties {
            for tied in [false, true] {
                for weight_decay in [0.0, 0.01] {
                    for reconstruction in [
                        ReconstructionLoss::SquaredError,
                        ReconstructionLoss::BinaryCrossEntropy,
                    ] {
                        let model = model(hidden, penalty(), tied, weight_decay, reconstruction);
                        let active = active_proportion(&model, &x);
                        if active >= 1.0 {
                            continue; // units that are never exactly 0
                        }
                        checked += 1;
                        assert!(
                            active > 0.005 && active <= 1.0 / 16.0,
                            "{hidden:?} {active}"
                        );
                        let check = gradient_check::model(&model, &x).unwrap();
                        let error = check.relative_error();
                        assert!(
                            error < TOLERANCE,
                            "{hidden:?} {:?} tied {tied} {weight_decay} {reconstruction:?}: {error:e}, {:?}",
                            model.penalty(),
                            check.worst(),
                        );
                    }
                }
            }
        }
    }
    // Sigmoid, Tanh, and Identity at least are never 0.
    assert!(checked >= (6 + more.len()) * 4 * 2 * 2 * 2, "{checked}");
}

#[test]
fn selection_agrees_with_the_dense_passes() {
    // A penalty that is there but weighs next to nothing makes the model take the dense passes.
    // The units of many samples are selected in parts.
    for (units, k, count) in [(2000, 7, 70), (64, 3, 1500)] {
        let x = samples(6, count);
        let gradient = |weight: f64| {
            let model = SparseAutoencoder::<f64>::builder()
                .layers([6, units])
                .hidden_activation(Activation::TopK(k))
                .output_activation(Activation::Identity)
                .penalty(SquaredDeviation)
                .penalty_weight(weight)
                .seed(1)
                .build()
                .unwrap();
            let mut gradient = vec![0.0; model.layout().len()];
            let loss = model
                .loss_and_gradient(&x, &mut gradient, &mut Workspace::new())
                .unwrap();
            (loss.reconstruction, gradient)
        };
        let (sparse, dense) = (gradient(0.0), gradient(1e-300));
        assert!((sparse.0 - dense.0).abs() <= 1e-13 * dense.0);
        let norm = dense.1.iter().map(|g| g * g).sum::<f64>().sqrt();
        for (a, b) in sparse.1.iter().zip(&dense.1) {
            assert!((a - b).abs() <= 1e-14 * norm, "{a} {b}");
        }
    }
}

#[test]
fn threads_change_no_bit() {
    let x = DMatrix::<f32>::from_fn(60, 300, |i, j| ((i * 31 + j * 17) as f32 * 0.618).fract());
    for hidden in ACTIVATIONS.iter().copied().chain([Activation::TopK(9)]) {
        let selects = hidden.kept(1500).is_some();
        let mut model = SparseAutoencoder::<f32>::builder()
            .layers([60, 1500])
            .hidden_activation(hidden)
            .output_activation(Activation::Identity)
            .penalty(L1)
            .penalty_weight(if selects { 0.0 } else { 1e-3 })
            .build()
            .unwrap();
        if !selects {
            let mut theta = model.parameters().as_slice().to_vec();
            theta[60 * 1500..61 * 1500].fill(-0.5);
            model.set_theta(&theta).unwrap();
        }
        let run = |threads: usize| {
            let mut gradient = vec![0.0; model.layout().len()];
            let mut workspace = Workspace::new().with_threads(threads);
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let loss = pool.install(|| {
                model
                    .loss_and_gradient(&x, &mut gradient, &mut workspace)
                    .unwrap()
            });
            (loss, gradient)
        };
        let one = run(1);
        assert!(one.1.iter().any(|&g| g != 0.0), "{hidden:?}");
        assert_eq!(one, run(2), "{hidden:?}");
        assert_eq!(one, run(4), "{hidden:?}");
    }
}

#[test]
fn equal_pre_activations_are_kept_by_the_lower_index() {
    // All units alike: every pre-activation is equal, and the first k win.
    let model = SparseAutoencoder::<f64>::builder()
        .layers([2, 400])
        .hidden_activation(Activation::TopK(3))
        .output_activation(Activation::Identity)
        .build()
        .unwrap();
    let mut model = model;
    let theta = vec![0.5; model.layout().len()];
    model.set_theta(&theta).unwrap();
    let x = DMatrix::from_element(2, 1, 1.0);
    let mut gradient = vec![0.0; theta.len()];
    model
        .loss_and_gradient(&x, &mut gradient, &mut Workspace::new())
        .unwrap();
    let bias = &gradient[800..1200];
    assert!(bias[..3].iter().all(|&g| g != 0.0));
    assert!(bias[3..].iter().all(|&g| g == 0.0));
}
