//! Samples with edited activations: `x + x̂(h′) − x̂(h)`.

#![allow(clippy::float_cmp)] // what is passed through

use crate::common::fractions::fractions;
use crate::common::variants::ACTIVATIONS;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, Error, SparseAutoencoder, SparseAutoencoderBuilder, Trainer,
};

/// More samples than one panel or path of a product takes.
fn samples() -> DMatrix<f64> {
    fractions(5, 40, |phase| 0.05 + 0.9 * phase)
}

/// Models of one hidden layer of every kind, and deep ones.
fn models() -> Vec<(String, SparseAutoencoder<f64>)> {
    let mut models = Vec::new();
    let mut add = |name: String, builder: SparseAutoencoderBuilder<f64>| {
        let mut model = builder.penalty(()).build().unwrap();
        Trainer::new(Adam::new(0.03).unwrap())
            .epochs(3)
            .batch_size(10)
            .fit(&mut model, samples())
            .unwrap();
        models.push((name, model));
    };
    let builder = || SparseAutoencoder::builder().layers([5, 8]).seed(4);
    for &activation in ACTIVATIONS {
        for output in [Activation::Identity, Activation::Sigmoid] {
            let builder = builder().hidden_activation(activation);
            let builder = builder.output_activation(output);
            add(format!("{activation:?} {output:?}"), builder);
        }
        let linear = builder().hidden_activation(activation);
        let linear = linear.output_activation(Activation::Identity);
        add(
            format!("{activation:?} centered"),
            linear.clone().pre_encoder_bias(true),
        );
        add(format!("{activation:?} tied"), linear.tied(true));
    }
    let deep = builder()
        .layers([5, 7, 8])
        .hidden_activation(Activation::Tanh);
    add("deep".into(), deep.clone());
    add(
        "deep linear".into(),
        deep.output_activation(Activation::Identity),
    );
    models
}

#[test]
fn a_sample_moves_by_the_difference_of_the_reconstructions() {
    let samples = samples();
    for (name, model) in models() {
        let units = [6, 1];
        let before = model.encode(&samples).unwrap();
        let mut after = before.clone();
        for (unit, new) in [(6, 0.5), (1, 0.0)] {
            after.row_mut(unit).fill(new);
        }
        let decoded = |hidden| model.decode(hidden).unwrap();
        let expected = &samples + decoded(&after) - decoded(&before);

        let mut seen = Vec::new();
        let steered = model.steer(&samples, &units, |unit, h| {
            seen.push((unit, h));
            if unit == 6 { 0.5 } else { 0.0 }
        });
        let steered = steered.unwrap();
        assert!((&steered - &expected).amax() < 1e-12, "{name}");
        assert!((&steered - &samples).amax() > 1e-3, "{name}");
        let given = before
            .column_iter()
            .flat_map(|h| units.map(|unit| (unit, h[unit])));
        assert_eq!(seen, given.collect::<Vec<_>>(), "{name}");
        // The error is kept.
        let error = &samples - decoded(&before);
        assert!(
            (&steered - decoded(&after) - error).amax() < 1e-12,
            "{name}"
        );

        // A sample depends on itself alone, and stays as it is without a change.
        let one = model
            .steer(&samples.column(3), &[2], |_, h| h + 1.0)
            .unwrap();
        let all = model.steer(&samples, &[2], |_, h| h + 1.0).unwrap();
        assert_eq!(one, all.columns(3, 1), "{name}");
        let zeros = DMatrix::from_element(samples.nrows(), 2, -0.0);
        for unchanged in [&samples, &zeros] {
            let steered = model.steer(unchanged, &[0, 7], |_, h| h).unwrap();
            let bits = |samples: &DMatrix<f64>| samples.map(f64::to_bits);
            assert_eq!(bits(&steered), bits(unchanged), "{name}");
        }
        assert_eq!(
            model.steer(&samples, &[], |_, _| 9.0).unwrap(),
            samples,
            "{name}"
        );
    }
}

#[test]
fn bad_edits_are_refused() {
    let samples = samples();
    for (name, model) in models() {
        for (units, expected) in [
            (
                &[8][..],
                "unit must be below the number of hidden units, got 8",
            ),
            (&[2, 3, 2], "unit must be named only once, got 2"),
            (
                &[3, 9, 9],
                "unit must be below the number of hidden units, got 9",
            ),
        ] {
            let error = model.steer(&samples, units, |_, h| h).unwrap_err();
            assert_eq!(error.to_string(), expected, "{name}");
        }
        let last = model.steer(&samples, &[usize::MAX], |_, h| h);
        assert!(last.is_err(), "{name}");
        for bad in [f64::NAN, f64::INFINITY] {
            let mut calls = 0;
            let error = model.steer(&samples, &[7, 3], |_, h| {
                calls += 1;
                if calls == 6 { bad } else { h }
            });
            let at = |row, column| {
                move |error: &Error| match *error {
                    Error::NonFinite {
                        what,
                        row: r,
                        column: c,
                        ..
                    } => (what, r, c) == ("edited activations", row, column),
                    _ => false,
                }
            };
            assert!(at(3, 2)(&error.unwrap_err()), "{name}");
        }
        assert!(matches!(
            model.steer(&DMatrix::zeros(4, 3), &[0], |_, h| h),
            Err(Error::DimensionMismatch { .. })
        ));
        assert!(matches!(
            model.steer(&DMatrix::zeros(5, 0), &[0], |_, h| h),
            Err(Error::EmptyBatch { .. })
        ));
    }
    let linear = SparseAutoencoder::<f64>::builder().layers([5, 8]);
    let linear = linear
        .output_activation(Activation::Identity)
        .build()
        .unwrap();
    let huge = &samples * 1e308;
    let error = linear.steer(&huge, &[0, 1, 2, 3, 4, 5, 6, 7], |_, _| -1e308);
    assert!(matches!(
        error,
        Err(Error::NonFinite {
            what: "steered samples",
            ..
        })
    ));
}

/// Samples are steered by chunks, and only some units are computed.
#[test]
fn an_overflow_names_the_sample_and_the_unit() {
    let mut samples = DMatrix::from_element(5, 5000, 0.5);
    samples.column_mut(4321).fill(1e308);
    for (activation, output) in [
        (Activation::Relu, Activation::Identity), // of the units alone
        (Activation::TopK(8), Activation::Identity),
        (Activation::Relu, Activation::Sigmoid),
    ] {
        let mut model = SparseAutoencoder::builder()
            .layers([5, 8])
            .hidden_activation(activation)
            .output_activation(output)
            .penalty(())
            .build()
            .unwrap();
        let mut theta = vec![0.0; model.parameters().as_slice().len()];
        theta[6 * 5..7 * 5].fill(1.0); // W of unit 6
        model.set_theta(&theta).unwrap();
        let error = model.steer(&samples, &[2, 6], |_, h| h + 1.0).unwrap_err();
        let Error::NonFinite { row, column, .. } = error else {
            panic!("{activation:?} {output:?}: {error}");
        };
        assert_eq!((row, column), (6, 4321), "{activation:?} {output:?}");
    }
}
