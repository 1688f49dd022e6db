//! The active units and the explained variance that a fit reports.

#![allow(clippy::float_cmp)] // what is copied

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::all_reduce::together;
use crate::common::on_read::OnRead;
use crate::common::variants::{INPUT, Variant, inputs, samples, variants};
use sparse_autoencoder::metrics::{ReconstructionMetrics, SparsityMetrics};
use sparse_autoencoder::nalgebra::{DMatrix, RowDVector};
use sparse_autoencoder::{
    Activation, Adam, ReconstructionLoss, Report, Samples, SparseAutoencoder,
    SparseAutoencoderBuilder, Trainer,
};

#[track_caller]
fn assert_close(actual: f64, expected: f64, what: &str) {
    let error = (actual - expected).abs();
    assert!(
        error < 1e-9 * expected.abs().max(1.0),
        "{what}: {actual} {expected}"
    );
}

fn explained(x: &DMatrix<f64>, x_hat: &DMatrix<f64>) -> f64 {
    let mut metrics = ReconstructionMetrics::new(x.nrows());
    metrics.add(x, x_hat).unwrap();
    metrics.explained_variance().unwrap()
}

/// The mean number of units that training keeps of a batch, which inference does not.
fn kept_over_batch(variant: &Variant, model: &SparseAutoencoder<f64>, x: &DMatrix<f64>) -> f64 {
    let (mut input, layers) = (inputs(model, x), model.parameters().layers().count());
    let m = x.ncols();
    for (index, layer) in model.parameters().layers().enumerate() {
        if index == 0 && variant.pre_encoder_bias {
            for mut column in input.column_iter_mut() {
                column -= layer.decoder_bias;
            }
        }
        let mut z = layer.encoder_weights.tr_mul(&input);
        for mut column in z.column_iter_mut() {
            column += layer.encoder_bias;
        }
        let positive = |row: &RowDVector<f64>| row.iter().filter(|&&z| z > 0.0).count();
        let rows: Vec<RowDVector<f64>> = z.row_iter().map(|row| row.into_owned()).collect();
        let kept = match variant.hidden {
            Activation::BatchTopK(k) => rows.iter().map(positive).sum::<usize>().min(k * m),
            Activation::WinnerTakeAll(p) => {
                let most = (p * m as f64 - 1e-9).ceil() as usize;
                rows.iter().map(|row| positive(row).min(most)).sum()
            }
            _ => unreachable!(),
        };
        if index + 1 == layers {
            return kept as f64 / m as f64;
        }
        assert!(layers == 1, "a deep model keeps other units above");
        input = z;
    }
    unreachable!()
}

#[test]
fn the_first_epoch_of_one_batch_has_the_metrics_of_the_model_before_it() {
    let x = samples::<f64>(40);
    let mut with_l0 = 0;
    for variant in variants() {
        let mut model = variant.model::<f64>();
        let before = model.clone();
        let mut trainer = Trainer::new(Adam::new(1e-3).unwrap()).epochs(1);
        let report = trainer.fit(&mut model, &x).unwrap();
        let what = format!("{variant:?}");
        let output = model.layout().output_size();
        let targets = x.rows(INPUT - output, output).into_owned();

        let over_batch = matches!(
            variant.hidden,
            Activation::BatchTopK(_) | Activation::WinnerTakeAll(_)
        );
        let expected = match variant.hidden {
            Activation::Sigmoid | Activation::Tanh | Activation::Identity => None,
            // What an inner layer keeps in training, inference does not tell.
            _ if over_batch && model.layout().depth() > 1 => Some(report.l0[0]),
            _ if over_batch => Some(kept_over_batch(&variant, &before, &x)),
            _ => {
                let mut metrics = SparsityMetrics::new(model.layout().hidden_size());
                metrics
                    .add(before.encode(inputs(&before, &x)).unwrap())
                    .unwrap();
                metrics.l0()
            }
        };
        assert_eq!(report.l0.len(), usize::from(expected.is_some()), "{what}");
        if let Some(expected) = expected {
            assert_close(report.l0[0], expected, &what);
            with_l0 += 1;
        }
        let expected = if over_batch {
            // Of all units, whatever the groups.
            let whole = variant.builder::<f64>().matryoshka([]).build().unwrap();
            assert_eq!(whole.parameters(), before.parameters());
            let variance = targets.column_variance().sum();
            1.0 - 2.0 * whole.loss(&x).unwrap().reconstruction / variance
        } else {
            explained(&targets, &before.reconstruct(inputs(&before, &x)).unwrap())
        };
        assert_close(report.explained_variance[0], expected, &what);
        assert!(report.validation_explained_variance.is_empty());
    }
    assert!(with_l0 > 500, "{with_l0}");
}

fn top_k() -> SparseAutoencoderBuilder<f64> {
    SparseAutoencoder::builder()
        .layers([INPUT, 40])
        .hidden_activation(Activation::TopK(2))
        .output_activation(Activation::Identity)
        .penalty(())
}

fn trainer() -> Trainer<f64> {
    Trainer::new(Adam::new(1e-2).unwrap())
        .epochs(4)
        .batch_size(9)
}

#[test]
fn a_report_has_what_the_observer_saw() {
    let x = samples::<f64>(50);
    let others = x.columns(7, 20) * 3.0;
    let [half_variance, of_others] = [
        0.5 * x.column_variance().sum(),
        0.5 * others.column_variance().sum(),
    ];
    let mut model = top_k().build().unwrap();
    let mut seen = Vec::new();
    let report = trainer()
        .validation(others.clone())
        .fit_with(&mut model, &x, |epoch| {
            let explained = epoch.explained_variance.unwrap();
            let expected = 1.0 - epoch.loss.reconstruction / half_variance;
            assert_close(explained, expected, "training");
            let validation = epoch.validation_loss.unwrap().reconstruction;
            let held_out = epoch.validation_explained_variance.unwrap();
            assert_close(held_out, 1.0 - validation / of_others, "validation");
            let mut of_held_out = SparsityMetrics::new(epoch.model.layout().hidden_size());
            of_held_out
                .add(epoch.model.encode(&others).unwrap())
                .unwrap();
            assert_eq!(epoch.validation_l0, of_held_out.l0());
            let [l0, of_others] = [epoch.l0, epoch.validation_l0].map(Option::unwrap);
            seen.push([l0, explained, held_out, of_others]);
            ControlFlow::Continue(())
        });
    let report = report.unwrap();
    let column = |of: usize| Vec::from_iter(seen.iter().map(|epoch| epoch[of]));
    assert_eq!(report.l0, column(0));
    assert_eq!(report.explained_variance, column(1));
    assert_eq!(report.validation_explained_variance, column(2));
    assert_eq!(report.validation_l0, column(3));
    assert!(report.l0.iter().all(|&l0| l0 > 1.0 && l0 <= 2.0));
}

/// The first tokens of language models have hundreds of times the norm of the others.
#[test]
fn a_few_samples_with_most_of_the_variance_count() {
    let mut x = DMatrix::from_fn(2048, 600, |i, j| ((i * 31 + j * 17) % 23) as f32 / 23.0);
    x.column_mut(311).scale_mut(300.0);
    let half_variance = f64::from(0.5 * x.column_variance().sum());
    let mut model = SparseAutoencoder::builder()
        .layers([2048, 4])
        .hidden_activation(Activation::TopK(1))
        .output_activation(Activation::Identity)
        .build()
        .unwrap();
    let trainer = Trainer::new(Adam::new(1e-3).unwrap()).epochs(1);
    let report = trainer.batch_size(600).fit(&mut model, &x).unwrap();
    let expected = 1.0 - f64::from(report.losses[0].reconstruction) / half_variance;
    let explained = report.explained_variance[0];
    assert!(
        (explained - expected).abs() < 1e-4,
        "{explained} {expected}"
    );
}

#[test]
fn what_is_unknown_is_left_out() {
    let x = samples::<f64>(50);
    let fit = |builder: &SparseAutoencoderBuilder<f64>, x: &dyn Samples<f64>| -> Report<f64> {
        trainer().fit(&mut builder.build().unwrap(), x).unwrap()
    };
    let known = fit(&top_k(), &x);
    assert_eq!([known.l0.len(), known.explained_variance.len()], [4, 4]);
    // Nothing else changes when the samples cannot be read before the first step.
    let fails = AtomicBool::new(true);
    let late = OnRead(x.clone(), |_: &[usize], _: &mut [f64]| {
        match fails.swap(false, Ordering::Relaxed) {
            true => Err(std::io::Error::other("not yet"))?,
            false => Ok(()),
        }
    });
    let late = fit(&top_k(), &late);
    assert!(late.explained_variance.is_empty());
    assert_eq!((late.losses, late.l0), (known.losses, known.l0));

    let sigmoid = SparseAutoencoder::builder().layers([INPUT, 9]).penalty(());
    let report = fit(&sigmoid, &x);
    assert_eq!([report.l0.len(), report.explained_variance.len()], [0, 4]);
    let entropy = sigmoid.reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy);
    assert!(fit(&entropy, &x).explained_variance.is_empty());
    let constant = DMatrix::from_element(INPUT, 50, 0.5);
    let report = fit(&top_k(), &constant);
    assert_eq!([report.l0.len(), report.explained_variance.len()], [4, 0]);
}

#[test]
fn the_variance_of_many_samples_is_that_of_some_whatever_the_period_of_all() {
    // 2²⁰ entries are fewer than a third of them all. Every fifth sample differs, or every second, fourth, …
    for period in [2, 4, 5, 8] {
        let x = DMatrix::from_fn(INPUT, 650_000, |i, j| {
            (i as f32 + 1.0) * (j % period) as f32 + 100.0
        });
        let mut model = SparseAutoencoder::<f32>::builder()
            .layers([INPUT, 2])
            .hidden_activation(Activation::Relu)
            .output_activation(Activation::Identity)
            .penalty(())
            .build()
            .unwrap();
        let mut trainer = Trainer::new(Adam::new(1e-2).unwrap())
            .epochs(1)
            .batch_size(50_000);
        let report = trainer.fit(&mut model, &x).unwrap();
        let squares = f64::from((1..=INPUT).map(|i| i * i).sum::<usize>() as u32);
        let variance = squares * (period * period - 1) as f64 / 12.0;
        let unexplained = 2.0 * f64::from(report.losses[0].reconstruction) / variance;
        let error = (1.0 - report.explained_variance[0]) / unexplained - 1.0;
        assert!(error.abs() < 0.01, "{period}: {error}");
    }
}

#[test]
fn several_processes_report_what_one_does() {
    let x = samples::<f64>(60);
    let relu = top_k()
        .hidden_activation(Activation::Relu)
        .layers([INPUT, 9]);
    for builder in [top_k(), relu, top_k().matryoshka([10])] {
        let fit = |trainer: Trainer<f64>, x: DMatrix<f64>| {
            let mut model = builder.build().unwrap();
            trainer.batch_size(60).fit(&mut model, x).unwrap()
        };
        let alone = fit(trainer(), x.clone());
        let reports = together(3, |process| {
            let own = x.columns([0, 10, 30][process.rank], [10, 20, 30][process.rank]);
            fit(trainer().all_reduce(process), own.into_owned())
        });
        for report in &reports {
            assert_eq!(report, &reports[0]);
            let pairs = [
                (&report.l0, &alone.l0),
                (&report.explained_variance, &alone.explained_variance),
            ];
            for (together, alone) in pairs {
                assert_eq!(together.len(), 4);
                for (&together, &alone) in together.iter().zip(alone) {
                    assert_close(together, alone, "processes");
                }
            }
        }
    }
}
