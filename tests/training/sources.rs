//! The same samples in memory, in a file, and behind a trait of one's own are the same to a trainer;
//! and what cannot be read costs nothing that was learned.

use crate::common::fractions::fractions;
use std::io;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::file_bytes::npy_f64;
use crate::common::scratch::Scratch;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{
    Activation, Adam, Corruption, DeadUnits, Error, KlDivergence, Lbfgs, NpyFile, Real,
    ReconstructionLoss, Report, Samples, Schedule, Sgd, ShuffleBuffer, SparseAutoencoder,
    SparseAutoencoderBuilder, Subset, Trainer,
};

fn samples(input_size: usize, count: usize) -> DMatrix<f64> {
    fractions(input_size, count, |phase| f64::from(phase as f32)) // the same number in either scalar
}

fn file<T: Real>(samples: &DMatrix<f64>) -> NpyFile<T> {
    NpyFile::from_bytes("samples.npy", npy_f64(samples)).unwrap()
}

/// Samples of one's own, of which reads fail from some sample on.
struct Own<T> {
    samples: DMatrix<T>,
    read: AtomicUsize,
    most: usize,
    /// The number of samples of each read.
    reads: Mutex<Vec<usize>>,
}

impl<T> Own<T> {
    fn new(samples: DMatrix<T>) -> Self {
        Self::failing_after(samples, usize::MAX)
    }

    fn failing_after(samples: DMatrix<T>, most: usize) -> Self {
        Self {
            samples,
            read: AtomicUsize::new(0),
            most,
            reads: Mutex::new(Vec::new()),
        }
    }
}

impl<T: Real> Samples<T> for Own<T> {
    fn count(&self) -> usize {
        self.samples.ncols()
    }

    fn entries(&self) -> usize {
        self.samples.nrows()
    }

    fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
        self.reads.lock().unwrap().push(indices.len());
        if self.read.fetch_add(indices.len(), Ordering::Relaxed) >= self.most {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the disk is gone"))?;
        }
        self.samples.read(indices, batch)
    }
}

fn fit<T: Real>(
    builder: &SparseAutoencoderBuilder<T>,
    mut trainer: Trainer<T>,
    samples: impl Samples<T>,
) -> (Vec<u64>, Report<T>) {
    let mut model = builder.build().unwrap();
    let report = trainer.fit(&mut model, samples).unwrap();
    let theta = model.parameters().as_slice();
    (theta.iter().map(|x| x.to_f64().to_bits()).collect(), report)
}

#[track_caller]
fn assert_same_everywhere<T: Real>(
    samples: &DMatrix<f64>,
    builder: &SparseAutoencoderBuilder<T>,
    trainer: impl Fn() -> Trainer<T>,
) {
    let matrix = samples.map(T::of);
    let in_memory = fit(builder, trainer(), &matrix);
    assert_eq!(fit(builder, trainer(), matrix.as_view()), in_memory);
    assert_eq!(fit(builder, trainer(), file::<T>(samples)), in_memory);
    assert_eq!(
        fit(builder, trainer().threads(1), file::<T>(samples)),
        in_memory
    );
    let own: Box<dyn Samples<T>> = Box::new(Own::new(matrix));
    assert_eq!(fit(builder, trainer(), own), in_memory);
}

fn everywhere<T: Real>() {
    let adam = || Trainer::new(Adam::new(0.01).unwrap()).epochs(4).seed(5);
    let dense = SparseAutoencoder::<T>::builder()
        .layers([64, 40])
        .penalty(KlDivergence)
        .penalty_weight(0.1);
    // Batches that several threads read, of 250 samples; and one of all, which is not copied.
    let many = samples(140, 1000);
    assert_same_everywhere(&many, &dense.clone().layers([140, 10]), adam);
    let few = samples(64, 100);
    assert_same_everywhere(&few, &dense, adam);
    assert_same_everywhere(&few, &dense, || {
        adam()
            .batch_size(16)
            .validation_split(0.25)
            .patience(2)
            .schedule(Schedule::cosine(0.1).warm_up(0.2))
            .sparsity_warm_up(0.5)
            .corruption(Corruption::Masking { fraction: 0.2 })
    });
    assert_same_everywhere(
        &few,
        &dense
            .clone()
            .reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy),
        || {
            Trainer::new(Sgd::new(0.1).unwrap())
                .epochs(3)
                .batch_size(30)
        },
    );
    let sparse = SparseAutoencoder::<T>::builder()
        .layers([6, 90])
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .penalty(());
    // Many units for few entries: some are never active.
    let resampled = || {
        let dead_units = DeadUnits::after(40).resampled(1).auxiliary(4, 0.1);
        adam().batch_size(20).dead_units(dead_units)
    };
    let (_, report) = fit(&sparse, resampled(), samples(6, 100).map(T::of));
    assert!(report.dead_units[0] > 0);
    assert_same_everywhere(&samples(6, 100), &sparse, resampled);
}

#[test]
fn the_same_samples_give_the_same_bits_wherever_they_are() {
    everywhere::<f32>();
    everywhere::<f64>();
}

#[test]
fn a_read_that_fails_leaves_what_was_learned() {
    let x = samples(8, 100);
    let builder = SparseAutoencoder::<f64>::builder().layers([8, 12]);
    let trainer = || {
        Trainer::new(Adam::new(0.01).unwrap())
            .epochs(10)
            .batch_size(10)
    };

    let start = builder.build().unwrap();
    let mut model = start.clone();
    let failing = Own::failing_after(x.clone(), 350);
    let error = trainer().fit(&mut model, &failing).unwrap_err();
    let Error::Unreadable { kind, message } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*kind, io::ErrorKind::TimedOut);
    assert_eq!(message, "the disk is gone");
    // All are read before the first step. As after two epochs and a half: 25 steps.
    assert_ne!(model.parameters(), start.parameters());
    let mut two_epochs = start.clone();
    let mut seen = Vec::new();
    let _ = trainer().fit_with(&mut two_epochs, &x, |epoch| {
        seen.push(epoch.model.parameters().clone());
        match epoch.number {
            3 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    let loss = |theta: &[f64]| {
        let mut model = start.clone();
        model.set_theta(theta).unwrap(); // so it is finite
        model.loss(&x).unwrap().total()
    };
    let between = loss(model.parameters().as_slice());
    assert!(between < loss(seen[1].as_slice()) && between > loss(seen[2].as_slice()));

    // With patience, the best epoch: here the second.
    let mut model = start.clone();
    let failing = Own::failing_after(x.clone(), 350);
    trainer().patience(5).fit(&mut model, &failing).unwrap_err();
    assert_eq!(model.parameters(), &seen[1]);

    // Those held out are read first, and nothing is learned without them.
    let mut model = start.clone();
    let failing = Own::failing_after(x, 0);
    let result = trainer().validation_split(0.1).fit(&mut model, &failing);
    assert!(matches!(result, Err(Error::Unreadable { .. })));
    assert_eq!(model.parameters(), start.parameters());
}

/// Small samples are read ahead, a whole epoch here.
#[test]
fn a_file_that_shrinks_leaves_what_was_learned() {
    let x = samples(8, 100);
    let scratch = Scratch::new("shrinks");
    let path = scratch.0.join("samples.npy");
    std::fs::write(&path, npy_f64(&x)).unwrap();
    let file = NpyFile::<f64>::open(&path).unwrap();
    let start = SparseAutoencoder::<f64>::builder().layers([8, 12]);
    let start = start.build().unwrap();
    let trainer = || {
        Trainer::new(Adam::new(0.01).unwrap())
            .epochs(4)
            .batch_size(10)
    };
    let (mut model, mut seen) = (start.clone(), Vec::new());
    let mut interrupted = trainer();
    let fit = interrupted.fit_with(&mut model, &file, |epoch| {
        seen.push(epoch.model.parameters().clone());
        if epoch.number == 2 {
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.set_len(1000).unwrap();
        }
    });
    assert!(matches!(fit, Err(Error::Io { .. })), "{fit:?}");
    assert_eq!(seen.len(), 2);
    assert_eq!(model.parameters(), &seen[1]);

    // Nothing that was read before is left in the trainer.
    std::fs::write(&path, npy_f64(&x)).unwrap();
    let (mut again, mut expected) = (start.clone(), start);
    interrupted.fit(&mut again, &file).unwrap();
    trainer().fit(&mut expected, &x).unwrap();
    assert_eq!(again.parameters(), expected.parameters());
}

#[test]
fn a_batch_is_read_by_any_number_of_threads() {
    // 120 · 300 entries: enough for a thread to read a part of them.
    let mut x = samples(120, 600);
    let builder = SparseAutoencoder::<f64>::builder().layers([120, 8]);
    let trainer = |threads| {
        Trainer::new(Adam::new(0.01).unwrap())
            .epochs(2)
            .batch_size(300)
            .threads(threads)
    };
    let expected = fit(&builder, trainer(1), &x);
    for threads in 1..=4 {
        assert!(fit(&builder, trainer(threads), file::<f64>(&x)) == expected);
    }
    if cfg!(feature = "rayon") {
        let parts = Own::new(x.clone());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build();
        pool.unwrap()
            .install(|| fit(&builder, trainer(2).epochs(1), &parts));
        let reads = parts.reads.into_inner().unwrap();
        let halves = reads.iter().filter(|&&count| count == 150).count();
        assert_eq!(halves, 4, "two of each batch: {reads:?}");
    }
    x[(5, 517)] = f64::NAN;
    let mut model = builder.build().unwrap();
    let error = trainer(4).fit(&mut model, Own::new(x)).unwrap_err();
    let Error::NonFinite { row, column, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!((row, column), (5, 517));
}

#[test]
fn a_number_that_is_none_is_named_by_its_sample() {
    let builder = SparseAutoencoder::<f32>::builder().layers([64, 12]);
    let mut x = samples(64, 1000);
    x[(7, 801)] = f64::NAN;
    let mut model = builder.build().unwrap();
    let start = model.clone();
    let mut trainer = Trainer::new(Adam::new(0.01).unwrap());
    let in_file = trainer.fit(&mut model, file::<f32>(&x)).unwrap_err();
    assert!(
        matches!(
            in_file,
            Error::NonFinite {
                row: 7,
                column: 801,
                ..
            }
        ),
        "{in_file}"
    );
    assert!(model.parameters().as_slice().iter().all(|x| x.is_finite()));

    let mut model = start.clone();
    let in_memory = trainer.fit(&mut model, x.map(|x| x as f32)).unwrap_err();
    assert_eq!(in_file.to_string(), in_memory.to_string());
    assert_eq!(model.parameters(), start.parameters()); // checked before the first step

    x[(7, 801)] = 1e300; // infinite as the scalar of the model
    let error = trainer.fit(&mut model, file::<f32>(&x)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::NonFinite {
                row: 7,
                column: 801,
                ..
            }
        ),
        "{error}"
    );

    x[(7, 801)] = 1.5;
    let builder = builder.reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy);
    let mut model = builder.build().unwrap();
    let error = trainer.fit(&mut model, file::<f32>(&x)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::OutOfRange {
                row: 7,
                column: 801,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn samples_that_do_not_fit_are_refused_before_they_are_read() {
    let mut model = SparseAutoencoder::<f64>::builder()
        .layers([8, 12])
        .build()
        .unwrap();
    let mut adam = Trainer::new(Adam::new(0.01).unwrap());
    let never = |input_size, count| Own::failing_after(samples(input_size, count), 0);
    assert!(matches!(
        adam.fit(&mut model, never(9, 10)),
        Err(Error::DimensionMismatch {
            expected: 8,
            actual: 9,
            ..
        })
    ));
    assert!(matches!(
        adam.fit(&mut model, never(8, 0)),
        Err(Error::EmptyBatch { .. })
    ));
    // A step of L-BFGS needs all of them, several times.
    let error = Trainer::new(Lbfgs::new())
        .fit(&mut model, never(8, 10))
        .unwrap_err();
    let Error::Incompatible { what, other } = error else {
        panic!("{error:?}");
    };
    assert_eq!(
        (what, other),
        (
            "samples that are not in memory",
            "a full-batch optimizer: read them by `Samples::to_matrix`"
        )
    );
}

/// A model after so many steps, each on all samples.
fn stepped(trainer: Trainer<f64>, x: &DMatrix<f64>, steps: usize) -> SparseAutoencoder<f64> {
    let builder = SparseAutoencoder::builder()
        .layers([8, 12])
        .hidden_activation(Activation::TopK(2))
        .output_activation(Activation::Identity);
    let (mut model, mut trainer) = (builder.build().unwrap(), trainer);
    for _ in 0..steps {
        trainer.partial_fit(&mut model, x).unwrap();
    }
    model
}

#[test]
fn steps_of_a_known_number_are_those_of_a_fit() {
    let x = samples(8, 50);
    let trainer = || {
        Trainer::new(Adam::new(0.01).unwrap())
            .batch_size(50)
            .schedule(Schedule::linear(0.1).warm_up(0.3))
            .anneal_k(6, 0.5)
            .clip_gradient(0.5)
    };
    let mut fitted = stepped(trainer(), &x, 0);
    trainer().epochs(20).fit(&mut fitted, &x).unwrap();
    let known = stepped(trainer().stream_steps(20), &x, 20);
    assert_eq!(known.parameters(), fitted.parameters());
    assert_ne!(stepped(trainer(), &x, 20).parameters(), fitted.parameters());
    assert_ne!(
        stepped(trainer().stream_steps(40), &x, 20).parameters(),
        fitted.parameters()
    );

    // Beyond their number it stays at the end, and `reset` begins again.
    let moves = |trainer: &mut Trainer<f64>, model: &mut SparseAutoencoder<f64>| {
        let before = model.parameters().as_slice().to_vec();
        trainer.partial_fit(model, &x).unwrap();
        let after = model.parameters().as_slice();
        before
            .iter()
            .zip(after)
            .any(|(a, b)| a.to_bits() != b.to_bits())
    };
    let mut model = stepped(trainer(), &x, 0);
    let mut trainer = trainer().schedule(Schedule::linear(0.0)).stream_steps(3);
    let moved: Vec<bool> = (0..5).map(|_| moves(&mut trainer, &mut model)).collect();
    assert_eq!(moved, [true, true, true, false, false]);
    trainer.reset();
    assert!(moves(&mut trainer, &mut model));
}

#[test]
fn another_model_is_annealed_by_its_own_objective() {
    // Of as many parameters, so that the trainer goes on.
    let x = samples(8, 50);
    let build = |weight: f64| {
        let builder = SparseAutoencoder::<f64>::builder().layers([8, 12]);
        builder.penalty_weight(weight).build().unwrap()
    };
    let trainer = || {
        Trainer::new(Sgd::new(0.1).unwrap())
            .sparsity_warm_up(0.5)
            .stream_steps(10)
    };
    let (mut light, mut heavy, mut alone) = (build(0.1), build(3.0), build(3.0));
    let mut both = trainer();
    both.partial_fit(&mut light, &x).unwrap();
    both.partial_fit(&mut heavy, &x).unwrap();
    let mut own = trainer();
    own.partial_fit(&mut build(3.0), &x).unwrap();
    own.partial_fit(&mut alone, &x).unwrap();
    assert_eq!(heavy.parameters(), alone.parameters());
}

#[test]
fn a_stream_through_a_shuffle_buffer_is_learned() {
    let x = samples(8, 1000);
    let builder = SparseAutoencoder::<f64>::builder().layers([8, 12]);
    let mut model = builder.build().unwrap();
    let before = model.loss(&x).unwrap().reconstruction;
    let mut trainer = Trainer::new(Adam::new(0.01).unwrap())
        .schedule(Schedule::cosine(0.0))
        .stream_steps(100);
    let stream = || std::iter::repeat_with(|| x.batches(70)).take(10).flatten();
    for batch in ShuffleBuffer::new(stream(), 300)
        .unwrap()
        .batch_size(100)
        .unwrap()
    {
        trainer.partial_fit(&mut model, batch.unwrap()).unwrap();
    }
    let after = model.loss(&x).unwrap().reconstruction;
    assert!(after < 0.8 * before, "{before} {after}");
}

/// An iterator may go on after its first `None`, as that of a channel does.
#[test]
fn a_shuffle_buffer_ends_with_its_stream() {
    let x = samples(8, 30);
    let mut parts = [Some(0), None, Some(15)].into_iter();
    let stream = std::iter::from_fn(|| {
        let first: usize = parts.next().flatten()?;
        Some(x.columns(first, 15).into_owned())
    });
    let buffer = ShuffleBuffer::new(stream, 100).unwrap();
    let batches = buffer.batch_size(4).unwrap();
    let counts: Vec<usize> = batches.map(|batch| batch.unwrap().ncols()).collect();
    assert_eq!(counts, [4, 4, 4, 3]);
}

/// Whole weights, and the same samples as often as their weights say.
#[test]
fn training_on_weights_is_training_on_repeated_samples() {
    let x = samples(8, 30);
    let weights: Vec<usize> = (0..30).map(|k| k * k % 4).collect();
    let repeated = weights.iter().enumerate();
    let repeated: Vec<usize> = repeated
        .flat_map(|(index, &times)| std::iter::repeat_n(index, times))
        .collect();
    let weights: Vec<f64> = weights.iter().map(|&weight| weight as f64).collect();
    let weighted = Subset::weighted(&x, &weights, repeated.len(), 5).unwrap();
    assert_eq!(weighted.indices(), repeated);
    let copies = x.select_columns(&repeated);

    let builder = SparseAutoencoder::<f64>::builder().layers([8, 12]);
    let fit = |samples: &dyn Samples<f64>| {
        let mut model = builder.build().unwrap();
        let trainer = Trainer::new(Adam::new(0.01).unwrap()).epochs(5);
        let mut trainer = trainer.batch_size(7).validation_split(0.2);
        trainer.fit(&mut model, samples).unwrap();
        model.parameters().clone()
    };
    assert_eq!(fit(&weighted), fit(&copies));
    assert_ne!(fit(&weighted), fit(&x));
}
