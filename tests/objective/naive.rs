//! The model against its [naive twin](crate::twin), on random shapes.
//!
//! Sizes of 1 to 9 are on both sides of every vector width; batches of more than 32 samples are
//! summed in panels, and inference runs in chunks of 1024 samples.
//!
//! Tolerance: the twin carries a bound on the rounding error of every number (see
//! [`Ball`]), and each number of the crate must lie within its own. So that no bound allows
//! anything, a case counts only where all of them are below `SHARP · ε` of the largest number of
//! their kind: 1e-12 in f64, 5e-4 in f32, where a term lost or a sign flipped is off by some 1e-2.

use crate::common::cases::{Rng, check, list, one_of};
use crate::common::variants::{fits, outputs};
use crate::twin::{Ball, Omega, Outcome, Stream, Twin, activations, columns, matrix};
use rand::RngExt;
use sparse_autoencoder::nalgebra::{DMatrix, DMatrixView};
use sparse_autoencoder::{Activation, Real, ReconstructionLoss, Workspace};

const SHARP: f64 = 4096.0;

/// A model, and samples for it.
#[derive(Debug, Clone)]
struct Case {
    twin: Twin,
    samples: Vec<Vec<f64>>,
}

/// An activation that fits layers of at least `least` units. One without a place here keeps its settings,
/// and is a ReLU where they do not fit.
fn activation(f: Activation, sixteenths: usize, least: usize) -> Activation {
    match f {
        Activation::TopK(_) => Activation::TopK(1 + sixteenths % least),
        Activation::TopProportion(_) => Activation::TopProportion(sixteenths as f64 / 16.0),
        Activation::BatchTopK(_) => Activation::BatchTopK(1 + sixteenths % least),
        Activation::WinnerTakeAll(_) => Activation::WinnerTakeAll(sixteenths as f64 / 16.0),
        f if fits(f, least) => f,
        _ => Activation::Relu,
    }
}

fn case(rng: &mut Rng) -> Case {
    let sizes = list(rng, 2..5, |rng| rng.random_range(1..=9));
    let count = match rng.random_range(0..11) {
        0..8 => rng.random_range(1..=40),
        _ => one_of(rng, &[33, 64, 65]),
    };
    let hidden = list(rng, 3..4, |rng| one_of(rng, &activations()));
    let [tied, alike] = rng.random();
    let cross_entropy = rng.random_bool(0.3);
    let (output, omega) = (one_of(rng, &outputs()), rng.random_range(0..5));
    let sixteenths = (rng.random_range(1..=15), rng.random_range(1..=16));
    let weights = (rng.random_range(0..=3), rng.random_range(0..=3));
    let penalized = rng.random_range(0..8);
    let seed = rng.random();

    let mut stream = Stream(seed);
    let least = *sizes[1..].iter().min().unwrap();
    let hidden: Vec<_> = (1..sizes.len())
        .map(|l| activation(hidden[if alike { 0 } else { l - 1 }], sixteenths.1, least))
        .collect();
    let bounded = hidden.iter().all(|f| f.range().is_some());
    let omega = match omega {
        0 => Omega::None,
        1 if bounded => Omega::Kl,
        1 | 2 => Omega::L1,
        3 => Omega::Proportion,
        _ => Omega::SquaredDeviation,
    };
    let samples = (0..count)
        .map(|_| {
            (0..sizes[0])
                .map(|_| {
                    if cross_entropy {
                        // the ends of the interval among the others
                        (1.25 * stream.unit() - 0.125).clamp(0.0, 1.0)
                    } else {
                        1.5 * stream.signed()
                    }
                })
                .collect()
        })
        .collect();
    Case {
        twin: Twin {
            theta: (0..Twin::parameters(&sizes, tied))
                .map(|_| stream.signed())
                .collect(),
            tied,
            hidden,
            output: if cross_entropy {
                Activation::Sigmoid
            } else {
                output
            },
            reconstruction: if cross_entropy {
                ReconstructionLoss::BinaryCrossEntropy
            } else {
                ReconstructionLoss::SquaredError
            },
            omega,
            target: sixteenths.0 as f64 / 16.0,
            // three in four are not 0, and a mask of 0 stands for all layers
            penalty_weight: weights.0 as f64 / 4.0,
            penalized: (0..sizes.len() - 1)
                .filter(|l| penalized == 0 || penalized >> l & 1 == 1)
                .collect(),
            weight_decay: weights.1 as f64 / 64.0,
            sizes,
        },
        samples,
    }
}

/// Tests 1024 cases that are sharp and sure. At most one case in five is neither.
fn check_sharp(mut test: impl FnMut(&Case) -> Option<()>) {
    let mut sharp = 0;
    check(1280, case, |case| {
        sharp += usize::from(test(&case).is_some())
    });
    assert!(sharp >= 1024, "{sharp}");
}

/// Compares every term of the loss and every entry of the gradient, written into a dirty buffer.
/// Returns `None` if the case is not sharp or not sure.
fn compare<T: Real>(case: &Case) -> Option<()> {
    let expected: Outcome<T> = case.twin.evaluate(&case.samples);
    let sharp = expected.looseness() < SHARP * T::default_epsilon().to_f64();
    if !expected.sure || !sharp {
        return None;
    }

    let model = case.twin.build::<T>();
    let samples = matrix::<T>(&case.samples);
    let mut gradient = vec![T::of(f64::NAN); model.layout().len()];
    let mut workspace = Workspace::new();
    let loss = model
        .loss_and_gradient(&samples, &mut gradient, &mut workspace)
        .unwrap();
    for (name, actual, expected) in [
        (
            "reconstruction",
            loss.reconstruction,
            expected.reconstruction,
        ),
        ("weight decay", loss.weight_decay, expected.weight_decay),
        ("sparsity", loss.sparsity, expected.sparsity),
    ] {
        assert!(
            expected.contains(actual),
            "{name}: {actual} is not {expected:?}"
        );
    }
    assert_eq!(gradient.len(), expected.gradient.len());
    for (k, (&actual, expected)) in gradient.iter().zip(&expected.gradient).enumerate() {
        assert!(
            expected.contains(actual),
            "gradient {k}: {actual} is not {expected:?}"
        );
    }
    Some(())
}

fn within<T: Real>(what: &str, actual: &DMatrix<T>, expected: &[Vec<Ball<T>>]) -> Option<()> {
    assert_eq!(actual.ncols(), expected.len());
    for (i, (actual, expected)) in actual.column_iter().zip(expected).enumerate() {
        assert_eq!(actual.nrows(), expected.len());
        for (j, (&actual, expected)) in actual.iter().zip(expected).enumerate() {
            let sharp = SHARP * T::default_epsilon().to_f64() * expected.middle.abs().max(1.0);
            if expected.radius.is_nan() || expected.radius >= sharp {
                return None;
            }
            assert!(
                expected.contains(actual),
                "{what} of unit {j} for sample {i}: {actual} is not {expected:?}"
            );
        }
    }
    Some(())
}

/// Encode, decode, reconstruct, and the errors, on any view.
fn infer<T: Real>(twin: &Twin, samples: DMatrixView<'_, T>) -> Option<()> {
    let model = twin.build::<T>();
    let plain = columns(&samples.into_owned());
    let (Some(hidden), Some(x_hat), Some(errors)) = (
        twin.encode::<T>(&plain),
        twin.reconstruct::<T>(&plain),
        twin.reconstruction_errors::<T>(&plain),
    ) else {
        return None; // a tie within rounding
    };
    let encoded = model.encode(samples).unwrap();
    within("hidden activation", &encoded, &hidden)?;
    within(
        "reconstruction",
        &model.reconstruct(samples).unwrap(),
        &x_hat,
    )?;
    let actual = model.reconstruction_errors(samples).unwrap();
    let actual = DMatrix::from_row_slice(1, actual.len(), actual.as_slice());
    let errors: Vec<_> = errors.into_iter().map(|error| vec![error]).collect();
    within("error", &actual, &errors)?;

    // Decoded from what the crate encoded, which is exact as an input of the twin, and through the
    // same kind of view as the samples came in.
    let decoded = twin.decode::<T>(&columns(&encoded));
    within(
        "reconstruction of a code",
        &model.decode(&encoded).unwrap(),
        &decoded,
    )?;
    let units = encoded.nrows();
    let taller =
        encoded
            .clone()
            .insert_rows(0, 2, T::of(7.0))
            .insert_rows(units + 2, 1, T::of(7.0));
    let view = taller.rows(2, units);
    within(
        "reconstruction of rows",
        &model.decode(view).unwrap(),
        &decoded,
    )
}

#[test]
fn loss_and_gradient_agree_in_f64() {
    check_sharp(compare::<f64>);
}

#[test]
fn loss_and_gradient_agree_in_f32() {
    check_sharp(compare::<f32>);
}

#[test]
fn inference_agrees_on_strided_views() {
    check_sharp(|case| {
        infer_from_a_larger_matrix::<f64>(case)?;
        infer_from_a_larger_matrix::<f32>(case)
    });
}

/// The samples as rows and as columns of a larger matrix whose other entries are not theirs.
fn infer_from_a_larger_matrix<T: Real>(case: &Case) -> Option<()> {
    let samples = matrix::<T>(&case.samples);
    let (rows, count) = samples.shape();
    let mut larger = DMatrix::from_element(rows + 5, count + 4, T::of(7.0));
    larger.view_mut((3, 2), (rows, count)).copy_from(&samples);
    infer(&case.twin, larger.view((3, 2), (rows, count)))?;
    let taller = larger.columns(2, count).into_owned();
    infer(&case.twin, taller.rows(3, rows))?;
    let wider = larger.rows(3, rows).into_owned();
    infer(&case.twin, wider.columns(2, count))
}

#[test]
fn inference_agrees_across_its_chunks() {
    // Without selection and kinks: among thousands of samples some would be within rounding of one.
    for hidden in [Activation::Sigmoid, Activation::Relu] {
        let mut stream = Stream(11);
        let sizes = vec![5, 4, 3];
        let twin = Twin {
            theta: (0..Twin::parameters(&sizes, false))
                .map(|_| stream.signed())
                .collect(),
            sizes,
            tied: false,
            hidden: vec![hidden; 2],
            output: Activation::Identity,
            reconstruction: ReconstructionLoss::SquaredError,
            omega: Omega::None,
            target: 0.5,
            penalty_weight: 0.0,
            penalized: Vec::new(),
            weight_decay: 0.0,
        };
        for count in [4095, 4096, 4097, 8193] {
            let samples = DMatrix::from_fn(8, count, |_, _| stream.signed());
            infer::<f64>(&twin, samples.rows(2, 5)).unwrap();
            infer::<f32>(&twin, samples.map(|v| v as f32).rows(2, 5)).unwrap();
        }
    }
}

#[test]
fn a_workspace_may_be_used_for_one_shape_after_another() {
    let mut stream = Stream(5);
    let mut workspace = Workspace::new();
    for (sizes, count) in [
        (vec![9, 7, 8, 2], 65),
        (vec![2, 3], 1),
        (vec![4, 9, 1], 40),
        (vec![9, 7, 8, 2], 3),
    ] {
        let twin = Twin {
            theta: (0..Twin::parameters(&sizes, true))
                .map(|_| stream.signed())
                .collect(),
            sizes: sizes.clone(),
            tied: true,
            hidden: vec![Activation::Tanh; sizes.len() - 1],
            output: Activation::Sigmoid,
            reconstruction: ReconstructionLoss::SquaredError,
            omega: Omega::L1,
            target: 0.5,
            penalty_weight: 0.5,
            penalized: (0..sizes.len() - 1).collect(),
            weight_decay: 0.0,
        };
        let samples: Vec<Vec<f64>> = (0..count)
            .map(|_| (0..sizes[0]).map(|_| stream.signed()).collect())
            .collect();
        let model = twin.build::<f64>();
        let expected = twin.evaluate::<f64>(&samples);
        assert!(expected.sure);
        let mut gradient = vec![f64::NAN; model.layout().len()];
        let x = matrix(&samples);
        let loss = model
            .loss_and_gradient(&x, &mut gradient, &mut workspace)
            .unwrap();
        assert!(expected.sparsity.contains(loss.sparsity));
        for (&actual, expected) in gradient.iter().zip(&expected.gradient) {
            assert!(expected.contains(actual), "{actual} is not {expected:?}");
        }
    }
}
