//! Values from an independent implementation: `golden/generate.py`, pure Python on the formulas.
//!
//! Tolerance: the numbers are printed to the last digit and are results of fewer than a hundred
//! operations on numbers of order one, so 1e-10 has four digits to spare in f64. In f32 also the
//! inputs are rounded: with u = 6e-8, an activation is off by ten roundings, 6e-7. The
//! largest amplification on from there is that of the penalty, β KL′ = 5 per unit in the value and
//! β KL″ f′ = 4 in the gradient: 6e-6 with two units, and 1e-5 is allowed.

#[rustfmt::skip]
mod values;

use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{
    Activation, DeadUnits, KlDivergence, L0, L1, Layer, Parameters, Real, Sgd, SparseAutoencoder,
    SparseAutoencoderBuilder, TargetL0, Trainer, Workspace, penalty,
};
use values::*;

const TOLERANCE: f64 = 1e-10;
const TOLERANCE_F32: f64 = 1e-5;

fn assert_close<T: Real>(what: &str, actual: T, expected: f64, tolerance: f64) {
    let actual = actual.to_f64();
    assert!(
        (actual - expected).abs() <= tolerance,
        "{what}: {actual} is not {expected}"
    );
}

/// `rows[i][j]` at row i and column j.
fn matrix<T: Real, const N: usize>(rows: &[[f64; N]]) -> DMatrix<T> {
    DMatrix::from_fn(rows.len(), N, |i, j| T::of(rows[i][j]))
}

fn vector<T: Real>(values: &[f64]) -> DVector<T> {
    DVector::from_fn(values.len(), |i, _| T::of(values[i]))
}

/// The network of CS294A, whose `W₁` is our `Wᵀ` and whose `W₂` is our `D`.
fn ufldl<T: Real>(decay: f64, weight: f64) -> SparseAutoencoder<T> {
    let parameters = Parameters::from_layers(&[Layer {
        encoder_weights: matrix(&W1).transpose(),
        encoder_bias: vector(&B1),
        decoder_weights: Some(matrix(&W2)),
        decoder_bias: vector(&B2),
    }]);
    SparseAutoencoder::builder()
        .parameters(parameters.unwrap())
        .penalty(KlDivergence)
        .sparsity_target(RHO)
        .penalty_weight(weight)
        .weight_decay(decay)
        .build()
        .unwrap()
}

fn check_ufldl<T: Real>(tolerance: f64) {
    let model = ufldl::<T>(LAMBDA, BETA);
    let samples = matrix::<T, 3>(&X).transpose();
    let mut gradient = vec![T::zero(); model.layout().len()];
    let loss = model
        .loss_and_gradient(&samples, &mut gradient, &mut Workspace::new())
        .unwrap();
    for (what, actual, expected) in [
        ("reconstruction", loss.reconstruction, J_RECONSTRUCTION),
        ("weight decay", loss.weight_decay, J_DECAY),
        ("sparsity", loss.sparsity, J_SPARSITY),
        ("J", loss.total(), J),
    ] {
        assert_close(what, actual, expected, tolerance);
    }

    let mean = model.encode(&samples).unwrap().column_mean();
    for (&actual, expected) in mean.iter().zip(RHO_HAT) {
        assert_close("rho_hat", actual, expected, tolerance);
    }

    // A gradient has the layout of the parameters, so it can be read as some.
    let gradient = Parameters::new(model.layout().clone(), gradient).unwrap();
    let gradient = gradient.layer(0).unwrap();
    for j in 0..2 {
        assert_close("b1", gradient.encoder_bias[j], GRADIENT_B1[j], tolerance);
        for k in 0..3 {
            assert_close(
                "W1",
                gradient.encoder_weights[(k, j)],
                GRADIENT_W1[j][k],
                tolerance,
            );
            assert_close(
                "W2",
                gradient.decoder_weights[(k, j)],
                GRADIENT_W2[k][j],
                tolerance,
            );
        }
    }
    for (&actual, expected) in gradient.decoder_bias.iter().zip(GRADIENT_B2) {
        assert_close("b2", actual, expected, tolerance);
    }
}

#[test]
fn the_autoencoder_of_cs294a() {
    check_ufldl::<f64>(TOLERANCE);
    check_ufldl::<f32>(TOLERANCE_F32);
}

#[test]
fn twice_the_weights_give_twice_the_objective_in_matlabs_convention() {
    // MATLAB's cost has no ½ before the squared error: E(2λ, 2β) = 2 J(λ, β).
    let model = ufldl::<f64>(2.0 * LAMBDA, 2.0 * BETA);
    let samples = matrix::<f64, 3>(&X).transpose();
    let loss = model.loss(&samples).unwrap();
    let squared_error = model.reconstruction_errors(&samples).unwrap().mean();
    let cost = squared_error + loss.weight_decay + loss.sparsity;
    assert_close("E", cost, MATLAB_E, TOLERANCE);
    assert_close(
        "2 J",
        2.0 * ufldl::<f64>(LAMBDA, BETA).loss(&samples).unwrap().total(),
        MATLAB_E,
        TOLERANCE,
    );
}

/// Ω and `∂Ω/∂ρ̂` for one unit with this mean activation.
fn divergence<T: Real>(activation: Activation, rho: f64, mean: f64) -> (T, T) {
    // Two different samples; each has half of the derivative by their mean.
    let hidden = matrix::<T, 2>(&[[0.75 * mean, 1.25 * mean]]);
    let (value, gradient) = penalty::evaluate(&KlDivergence, activation, rho, &hidden).unwrap();
    (value, gradient[0] + gradient[1])
}

#[test]
fn divergences_and_their_derivatives() {
    for [rho, mean, value, derivative] in KL {
        let actual = divergence::<f64>(Activation::Sigmoid, rho, mean);
        assert_close("KL", actual.0, value, TOLERANCE);
        assert_close("KL′", actual.1, derivative, TOLERANCE);
        // Relative to the terms of the derivative, which reach 100.
        let actual = divergence::<f32>(Activation::Sigmoid, rho, mean);
        assert_close("KL", actual.0, value, TOLERANCE_F32);
        assert_close(
            "KL′",
            actual.1,
            derivative,
            TOLERANCE_F32 * derivative.abs().max(1.0),
        );
    }
    let [rho, mean, value, derivative] = KL_TANH;
    let actual = divergence::<f64>(Activation::Tanh, rho, mean);
    assert_close("KL of tanh", actual.0, value, TOLERANCE);
    assert_close("KL′ of tanh", actual.1, derivative, TOLERANCE);
}

/// The parameters of the small models with linear output.
fn small<T: Real>() -> Parameters<T> {
    Parameters::from_layers(&[Layer {
        encoder_weights: matrix(&TOPK_W_ENC),
        encoder_bias: vector(&TOPK_B_ENC),
        decoder_weights: Some(matrix(&TOPK_W_DEC).transpose()),
        decoder_bias: vector(&TOPK_B_DEC),
    }])
    .unwrap()
}

fn linear<T: Real>(parameters: Parameters<T>, hidden: Activation) -> SparseAutoencoderBuilder<T> {
    SparseAutoencoder::builder()
        .parameters(parameters)
        .hidden_activation(hidden)
        .output_activation(Activation::Identity)
}

fn check_top_k<T: Real>(tolerance: f64) {
    let model = linear(small::<T>(), Activation::TopK(2))
        .pre_encoder_bias(true)
        .build()
        .unwrap();
    let samples = matrix::<T, 3>(&TOPK_X).transpose();
    let hidden = model.encode(&samples).unwrap();
    let x_hat = model.reconstruct(&samples).unwrap();
    for i in 0..3 {
        for j in 0..4 {
            assert_close("activation", hidden[(j, i)], TOPK_F[i][j], tolerance);
        }
        for k in 0..3 {
            assert_close("reconstruction", x_hat[(k, i)], TOPK_X_HAT[i][k], tolerance);
        }
    }
    let error = model.reconstruction_errors(&samples).unwrap().mean();
    assert_close("error", error, TOPK_ERROR, tolerance);
}

#[test]
fn the_largest_activations_of_a_batch_and_their_threshold() {
    let model = linear(small::<f64>(), Activation::BatchTopK(2))
        .pre_encoder_bias(true)
        .build()
        .unwrap();
    let samples = matrix::<f64, 3>(&TOPK_X).transpose();
    let loss = model.loss(&samples).unwrap();
    assert_close(
        "error",
        2.0 * loss.reconstruction,
        BATCH_TOPK_ERROR,
        TOLERANCE,
    );

    let nested = linear(small::<f64>(), Activation::BatchTopK(2))
        .pre_encoder_bias(true)
        .matryoshka([2])
        .build()
        .unwrap();
    let error = 2.0 * nested.loss(&samples).unwrap().reconstruction;
    assert_close("error of prefixes", error, MATRYOSHKA_ERROR, TOLERANCE);

    // The first batch gives the threshold.
    let mut trained = model.clone();
    let mut trainer = Trainer::new(Sgd::new(1e-6).unwrap());
    trainer.partial_fit(&mut trained, &samples).unwrap();
    let threshold = trained
        .parameters()
        .layer(0)
        .unwrap()
        .block("thresholds")
        .unwrap()[0];
    assert_close("threshold", threshold, BATCH_TOPK_SMALLEST, TOLERANCE);

    // With one just below it, inference keeps what the batch has kept: here no other is near.
    let parameters = small()
        .for_activations(&[Activation::BatchTopK(2)])
        .unwrap();
    let threshold = vector(&[BATCH_TOPK_SMALLEST - 1e-9]);
    let parameters = parameters.with_block(0, "thresholds", &threshold);
    let model = linear(parameters.unwrap(), Activation::BatchTopK(2))
        .pre_encoder_bias(true)
        .build()
        .unwrap();
    let error = model.reconstruction_errors(&samples).unwrap().mean();
    assert_close("error of inference", error, BATCH_TOPK_ERROR, TOLERANCE);
}

#[test]
fn activations_weighed_by_the_norms_of_the_decoder() {
    let model = linear(small::<f64>(), Activation::Relu)
        .pre_encoder_bias(true)
        .penalty(L1)
        .penalty_weight(0.5)
        .norm_weighted(true)
        .build()
        .unwrap();
    let samples = matrix::<f64, 3>(&TOPK_X).transpose();
    let loss = model.loss(&samples).unwrap();
    assert_close("L1", loss.sparsity, 0.5 * WEIGHTED_L1, TOLERANCE);
}

fn check_auxiliary<T: Real>(tolerance: f64) {
    let start = linear(small::<T>(), Activation::TopK(1))
        .pre_encoder_bias(true)
        .build()
        .unwrap();
    let samples = matrix::<T, 3>(&TOPK_X).transpose();
    let alpha = 0.5;
    let mut trainer =
        Trainer::new(Sgd::new(1.0).unwrap()).dead_units(DeadUnits::after(3).auxiliary(2, alpha));
    // Three times the first sample, in which unit 0 is active: the others are dead then.
    let first = samples.select_columns(&[0; 3]);
    let loss = trainer.partial_fit(&mut start.clone(), &first).unwrap();
    assert_close(
        "auxiliary loss while none is dead",
        loss.auxiliary,
        0.0,
        0.0,
    );

    // The share of the residual's variance.
    let variance = |of: &DMatrix<T>| -> f64 {
        let rows = of.row_iter();
        rows.map(|row| row.variance().to_f64()).sum()
    };
    let residual = &samples - start.reconstruct(&samples).unwrap();
    let weight = alpha * variance(&samples) / variance(&residual);

    let mut model = start.clone();
    let loss = trainer.partial_fit(&mut model, &samples).unwrap();
    let expected = weight * AUXK_ERROR / 2.0;
    assert_close("auxiliary loss", loss.auxiliary, expected, tolerance);

    let mut gradient = vec![T::zero(); start.layout().len()];
    start
        .loss_and_gradient(&samples, &mut gradient, &mut Workspace::new())
        .unwrap();
    let (before, after) = (start.parameters().as_slice(), model.parameters().as_slice());
    let auxiliary: Vec<T> = (before.iter().zip(after).zip(&gradient))
        .map(|((&before, &after), &g)| before - after - g)
        .collect();
    let of = Parameters::new(start.layout().clone(), auxiliary).unwrap();
    let of = of.layer(0).unwrap();
    for j in 0..4 {
        for i in 0..3 {
            let (w, d) = (AUXK_OF_W_ENC[i][j], AUXK_OF_W_DEC[j][i]);
            assert_close("∂W", of.encoder_weights[(i, j)], weight * w, tolerance);
            assert_close("∂D", of.decoder_weights[(i, j)], weight * d, tolerance);
        }
        assert_close(
            "∂b",
            of.encoder_bias[j],
            weight * AUXK_OF_B_ENC[j],
            tolerance,
        );
    }
    for (&g, of_b_dec) in of.decoder_bias.iter().zip(AUXK_OF_B_DEC) {
        assert_close("∂c", g, weight * of_b_dec, tolerance);
    }
}

#[test]
fn dead_units_learn_from_the_residual() {
    check_auxiliary::<f64>(TOLERANCE);
    check_auxiliary::<f32>(TOLERANCE_F32);
}

fn check_jump_relu<T: Real>(tolerance: f64) {
    let parameters = small().for_activations(&[Activation::JumpRelu]).unwrap();
    let parameters = parameters.with_block(0, "thresholds", &vector(&JUMP_THRESHOLDS));
    let builder = linear(parameters.unwrap(), Activation::JumpRelu)
        .bandwidth(JUMP_BANDWIDTH)
        .sparsity_target(0.25); // one of four units
    let samples = matrix::<T, 3>(&TOPK_X).transpose();
    let hidden = builder.build().unwrap().encode(&samples).unwrap();
    for i in 0..3 {
        for j in 0..4 {
            assert_close("activation", hidden[(j, i)], JUMP_F[i][j], tolerance);
        }
    }
    // There the error has no factor ½.
    for (weight, builder, value, of_value) in [
        (0.0, builder.clone(), 0.0, [0.0; 4]),
        (0.05, builder.clone().penalty(L0), JUMP_L0, JUMP_OF_L0),
        (0.05, builder.penalty(TargetL0), JUMP_TARGET, JUMP_OF_TARGET),
    ] {
        let model = builder.penalty_weight(weight).build().unwrap();
        let mut gradient = vec![T::zero(); model.layout().len()];
        let loss = model
            .loss_and_gradient(&samples, &mut gradient, &mut Workspace::new())
            .unwrap();
        let two = T::of(2.0);
        assert_close("error", two * loss.reconstruction, JUMP_ERROR, tolerance);
        assert_close("penalty", loss.sparsity, weight * value, tolerance);
        let thresholds = &gradient[gradient.len() - 4..];
        for (j, &actual) in thresholds.iter().enumerate() {
            let expected = JUMP_OF_ERROR[j] + 2.0 * weight * of_value[j];
            assert_close("threshold", two * actual, expected, tolerance);
        }
    }
}

#[test]
fn thresholds_and_their_pseudo_gradients() {
    check_jump_relu::<f64>(TOLERANCE);
    check_jump_relu::<f32>(TOLERANCE_F32);
}

fn check_gated<T: Real>(tolerance: f64) {
    let samples = matrix::<T, 3>(&TOPK_X).transpose();
    let parameters = Parameters::from_layers(&[Layer {
        encoder_weights: matrix::<T, 4>(&TOPK_W_ENC),
        encoder_bias: vector(&GATED_B_GATE),
        decoder_weights: Some(matrix(&TOPK_W_DEC).transpose()),
        decoder_bias: vector(&TOPK_B_DEC),
    }])
    .unwrap()
    .for_activations(&[Activation::Gated])
    .and_then(|parameters| parameters.with_block(0, "log_magnitude", &vector(&GATED_R_MAG)))
    .and_then(|parameters| parameters.with_block(0, "magnitude_bias", &vector(&GATED_B_MAG)))
    .unwrap();
    for (norm_weighted, l1, expected) in [
        (false, GATED_L1, &GATED_OF_L1),
        (true, GATED_WEIGHTED_L1, &GATED_OF_WEIGHTED_L1),
    ] {
        let model = linear(parameters.clone(), Activation::Gated)
            .pre_encoder_bias(true)
            .penalty(L1)
            .penalty_weight(GATED_WEIGHT)
            .norm_weighted(norm_weighted)
            .weight_decay(GATED_DECAY)
            .build()
            .unwrap();
        let hidden = model.encode(&samples).unwrap();
        for i in 0..3 {
            for j in 0..4 {
                assert_close("activation", hidden[(j, i)], GATED_F[i][j], tolerance);
            }
        }
        let mut gradient = vec![T::zero(); model.layout().len()];
        let loss = model
            .loss_and_gradient(&samples, &mut gradient, &mut Workspace::new())
            .unwrap();
        for (what, actual, expected) in [
            ("reconstruction", loss.reconstruction, GATED_RECONSTRUCTION),
            ("auxiliary", loss.auxiliary, GATED_AUXILIARY),
            ("weight decay", loss.weight_decay, GATED_WEIGHT_DECAY),
            ("sparsity", loss.sparsity, GATED_WEIGHT * l1),
        ] {
            assert_close(what, actual, expected, tolerance);
        }
        let of = Parameters::new(model.layout().clone(), gradient).unwrap();
        let of = of.layer(0).unwrap();
        let in_rows = |w: DMatrix<T>| w.transpose().as_slice().to_vec();
        let actual = [
            in_rows(of.encoder_weights.into_owned()),
            of.decoder_weights.into_owned().as_slice().to_vec(),
            of.encoder_bias.as_slice().to_vec(),
            of.block("log_magnitude").unwrap().as_slice().to_vec(),
            of.block("magnitude_bias").unwrap().as_slice().to_vec(),
            of.decoder_bias.as_slice().to_vec(),
        ]
        .concat();
        assert_eq!(actual.len(), expected.len());
        // The expected ones are central differences: their error is some 1e-11 of terms of order one.
        let tolerance = tolerance.max(1e-9);
        for (&actual, &expected) in actual.iter().zip(expected) {
            assert_close("gradient", actual, expected, tolerance);
        }
    }
}

#[test]
fn gated_units_and_what_their_gates_learn_from() {
    check_gated::<f64>(TOLERANCE);
    check_gated::<f32>(TOLERANCE_F32);
}

#[test]
fn the_two_largest_activations() {
    check_top_k::<f64>(TOLERANCE);
    check_top_k::<f32>(TOLERANCE_F32);
}
