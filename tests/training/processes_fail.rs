//! A sum over processes that fails.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, AllReduce, AnomalyDetector, DeadUnits, Error, SparseAutoencoder, TargetL0,
    Trainer, Warning,
};

/// The sum of one process, which fails at one call.
#[derive(Debug)]
struct FailsAt {
    call: usize,
    calls: AtomicUsize,
}

impl AllReduce<f64> for FailsAt {
    fn sum(&self, _: &mut [f64]) -> Result<(), Error> {
        if self.calls.fetch_add(1, Ordering::Relaxed) == self.call {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "peer left").into());
        }
        Ok(())
    }
}

#[test]
fn a_sum_that_fails_ends_the_training_with_its_error() {
    let samples = DMatrix::from_fn(5, 12, |i, j| ((i * 7 + j * 3) % 5) as f64 / 4.0);
    let model = || {
        SparseAutoencoder::<f64>::builder()
            .layers([5, 4])
            .hidden_activation(Activation::JumpRelu)
            .output_activation(Activation::Identity)
            .penalty(TargetL0)
            .sparsity_target(0.5)
            .seed(1)
            .build()
            .unwrap()
    };
    let trainer = |call| {
        let sums = Arc::new(FailsAt {
            call,
            calls: AtomicUsize::new(0),
        });
        let trainer = Trainer::new(Adam::new(1e-2).unwrap())
            .batch_size(5)
            .epochs(2)
            .stream_steps(6)
            .anneal_k(3, 0.5)
            .validation_split(0.2)
            .dead_units(DeadUnits::after(3).auxiliary(2, 0.1))
            .all_reduce(Arc::clone(&sums));
        (trainer, sums)
    };
    type Training<'a> =
        dyn Fn(&mut Trainer<f64>, &mut SparseAutoencoder<f64>) -> Result<(), Error> + 'a;
    let fit: &Training<'_> = &|trainer, model| trainer.fit(model, &samples).map(drop);
    let stream: &Training<'_> =
        &|trainer, model| (0..3).try_for_each(|_| trainer.partial_fit(model, &samples).map(drop));
    for train in [fit, stream] {
        let (mut counting, sums) = trainer(usize::MAX);
        train(&mut counting, &mut model()).unwrap();
        let calls = sums.calls.load(Ordering::Relaxed);
        assert!(calls > 10, "{calls}");
        for call in 0..calls {
            let (mut trainer, _) = trainer(call);
            let mut model = model();
            let error = train(&mut trainer, &mut model).unwrap_err();
            let Error::Processes { kind, message } = &error else {
                panic!("call {call}: {error:?}");
            };
            assert_eq!(
                (*kind, &**message),
                (io::ErrorKind::ConnectionReset, "peer left")
            );
            let finite = model.parameters().as_slice().iter().all(|x| x.is_finite());
            assert!(finite, "call {call}");
            // No sum that failed has made all units dead.
            let warnings = trainer.warnings(&model);
            let dead = |of: &Warning| matches!(of, Warning::DeadUnits { dead: 4, .. });
            assert!(!warnings.iter().any(dead), "call {call}: {warnings:?}");
            // The next sums succeed.
            assert_eq!(train(&mut trainer, &mut model), Ok(()), "call {call}");
        }
    }
}

/// Each process would scale by its own samples.
#[test]
fn a_detector_of_several_processes_is_refused() {
    let samples = DMatrix::from_fn(5, 40, |i, j| ((i * 7 + j * 3) % 5) as f64 / 4.0);
    let mut model = SparseAutoencoder::builder().layers([5, 4]).build().unwrap();
    let sums = FailsAt {
        call: usize::MAX,
        calls: AtomicUsize::new(0),
    };
    let mut trainer = Trainer::new(Adam::new(1e-2).unwrap()).all_reduce(sums);
    let fitted = AnomalyDetector::builder(&mut model).fit(&mut trainer, &samples);
    let refused = matches!(
        fitted,
        Err(Error::Incompatible {
            what: "several processes",
            ..
        })
    );
    assert!(refused);
}
