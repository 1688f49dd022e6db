//! Once its buffers have grown, no pass and no step of training allocates.
//!
//! One thing below the crate does, and is told apart by the stack that it is called from: a pass that
//! enters rayon's pool from outside takes a job or a block of its queue. Everything else counts.

// A global allocator cannot be implemented without it; everything is handed on to the system's.
#![allow(unsafe_code)]

mod common;

use std::alloc::{GlobalAlloc, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use common::fractions::fractions;
use common::variants::ACTIVATIONS;
use sparse_autoencoder::metrics::{SparsityMetrics, UnitStatistics};
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::penalty::Scaled;
use sparse_autoencoder::{
    Activation, Adam, Corruption, DeadUnits, Event, KlDivergence, L1, Lbfgs, LogWriter, NpyFile,
    Optimizer, Penalty, Proportion, Real, ReconstructionLoss, Samples, Schedule, SetPoint, Sgd,
    SparseAutoencoder, SparseAutoencoderBuilder, SparseHidden, SquaredDeviation, TargetL0, Trainer,
    Workspace,
};

thread_local! {
    /// Whether this thread belongs to the crate's work, and not to the test harness.
    static COUNTED: Cell<bool> = const { Cell::new(false) };
    /// What is done to account for an allocation allocates itself.
    static ACCOUNTING: Cell<bool> = const { Cell::new(false) };
}

/// The stacks of the allocations while something is measured.
static STACKS: Mutex<Option<Vec<String>>> = Mutex::new(None);

fn stacks() -> MutexGuard<'static, Option<Vec<String>>> {
    STACKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bytes allocated now, and the most since they were last equal.
static LIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

struct Counting;

impl Counting {
    fn account() {
        if !COUNTED.get() || ACCOUNTING.replace(true) {
            return;
        }
        if let Some(stacks) = &mut *stacks() {
            stacks.push(Backtrace::force_capture().to_string());
        }
        ACCOUNTING.set(false);
    }
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        Self::account();
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(live, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: std::alloc::Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The libraries below that may allocate.
const BELOW: [&str; 2] = ["rayon_core", "crossbeam"];

/// Whether an allocation was made by a library below the crate: whoever of both comes first on
/// the way up from the allocator has made it.
///
/// A frame is known by its path where there are symbols alone, by its file where there is more.
fn is_below(stack: &str) -> bool {
    let mut in_allocator = false;
    for line in stack.lines() {
        let line = line.trim_start();
        let (name, file) = match line.strip_prefix("at ") {
            Some(file) => ("", file.replace('-', "_")),
            None => (
                line.split_once(": ").map_or("", |(_, name)| name),
                String::new(),
            ),
        };
        if !name.is_empty() {
            in_allocator = ["account", "alloc"].contains(&name)
                || name.starts_with("__rust")
                || name.contains("Counting");
        }
        let name = name.trim_start_matches(['<', '&', '_', '*']);
        if BELOW
            .iter()
            .any(|library| name.starts_with(library) || file.contains(&format!("/{library}")))
        {
            return true;
        }
        let is_own = name.starts_with("sparse_autoencoder") || file.starts_with("./src/");
        let is_test = name.starts_with("allocations::") || file.starts_with("./tests/");
        if is_own || is_test && !in_allocator {
            return false;
        }
    }
    false
}

/// Measures one thing at a time, with threads of rayon's that are counted too.
fn alone() -> MutexGuard<'static, ()> {
    static POOL: OnceLock<()> = OnceLock::new();
    static ALONE: Mutex<()> = Mutex::new(());
    POOL.get_or_init(|| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(4)
            .start_handler(|_| COUNTED.set(true))
            .build_global()
            .expect("no pool was used before");
        rayon::broadcast(|_| ()); // threads that still start would allocate in the first test
    });
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The stacks of the crate's own allocations, and the number of those of the libraries below.
#[inline(never)]
fn measure(action: impl FnOnce()) -> (Vec<String>, usize) {
    *stacks() = Some(Vec::new());
    COUNTED.set(true);
    action();
    COUNTED.set(false);
    let stacks = stacks().take().unwrap_or_default();
    let all = stacks.len();
    let own: Vec<String> = stacks
        .into_iter()
        .filter(|stack| !is_below(stack))
        .collect();
    let below = all - own.len();
    (own, below)
}

/// Two calls to grow, two that allocate nothing.
#[track_caller]
fn assert_no_allocation(name: &str, mut action: impl FnMut()) {
    action();
    action();
    assert_never_allocates(name, || {
        action();
        action();
    });
}

#[track_caller]
fn assert_never_allocates(name: &str, action: impl FnOnce()) {
    let (own, _) = measure(action);
    assert!(
        own.is_empty(),
        "{name}: {} allocations, the first\n{}",
        own.len(),
        own[0]
    );
}

fn samples<T: Real>(input_size: usize, count: usize) -> DMatrix<T> {
    fractions(input_size, count, |phase| phase)
}

/// Every kind of model whose passes differ.
fn models<T: Real>(input_size: usize, hidden: usize) -> Vec<SparseAutoencoder<T>> {
    let builder = || {
        SparseAutoencoder::builder()
            .layers([input_size, hidden])
            .weight_decay(1e-3)
    };
    let penalties: [Box<dyn Penalty<T>>; 6] = [
        Box::new(()),
        Box::new(KlDivergence),
        Box::new(L1),
        Box::new(Proportion),
        Box::new(SquaredDeviation),
        Box::new((Scaled::new(0.5, Proportion), (L1, KlDivergence))),
    ];
    let mut builders: Vec<SparseAutoencoderBuilder<T>> = penalties
        .into_iter()
        .map(|penalty| builder().penalty(penalty))
        .collect();
    builders.extend([
        builder().hidden_activation(Activation::WinnerTakeAll(0.05)),
        builder().hidden_activation(Activation::BatchTopK(1)),
        builder()
            .hidden_activation(Activation::JumpRelu)
            .penalty(TargetL0),
        builder().tied(true),
        builder().layers([input_size, hidden, hidden / 2, hidden / 3]),
        builder()
            .layers([input_size, hidden, hidden / 2])
            .tied(true)
            .penalty(Proportion),
        builder().reconstruction_loss(ReconstructionLoss::BinaryCrossEntropy),
    ]);
    let mut models: Vec<_> = builders
        .iter()
        .map(|builder| builder.build().unwrap())
        .collect();
    let mut nested = 0;
    for &f in ACTIVATIONS {
        let builder = builder().hidden_activation(f).penalty(());
        let centered = builder
            .clone()
            .output_activation(Activation::Identity)
            .pre_encoder_bias(true)
            .penalty((L1, Proportion))
            .norm_weighted(f.range().is_none());
        models.extend([&builder, &centered].map(|builder| builder.build().unwrap()));
        let penalty: Box<dyn Penalty<T>> = match f.kept(hidden) {
            Some(_) => Box::new(()), // by the sparse passes
            None => Box::new(L1),
        };
        let build = builder.matryoshka([2, hidden / 2]).penalty(penalty).build();
        nested += usize::from(build.is_ok());
        models.extend(build);
    }
    assert!(nested >= ACTIVATIONS.len() - 1, "{nested}"); // gated units are refused
    let transcoder = |f| {
        builder()
            .layers([input_size / 4, hidden])
            .output_size(input_size - input_size / 4)
            .hidden_activation(f)
            .output_activation(Activation::Identity)
    };
    // Dense passes, sparse ones, and those through a frozen decoder.
    models.extend(
        [
            transcoder(Activation::Relu).penalty(L1).norm_weighted(true),
            transcoder(Activation::Relu).penalty(L1).skip(true),
            transcoder(Activation::TopK(1)).skip(true),
            transcoder(Activation::TopK(1)).skip(true).matryoshka([2]),
            transcoder(Activation::Gated).penalty(L1).skip(true),
        ]
        .map(|builder| builder.build().unwrap()),
    );
    models
}

fn assert_passes<T: Real>(
    model: &SparseAutoencoder<T>,
    x: &DMatrix<T>,
    mut workspace: Workspace<T>,
) {
    let ws = &mut workspace;
    let mut gradient = vec![T::zero(); model.layout().len()];
    assert_no_allocation("loss_and_gradient", || {
        model.loss_and_gradient(x, &mut gradient, ws).unwrap();
    });
    let layout = model.layout();
    let (pairs, x) = (x, &x.rows(0, layout.input_size()).into_owned());
    let mut hidden = DMatrix::zeros(layout.hidden_size(), x.ncols());
    assert_no_allocation("encode_into", || {
        model.encode_into(x, &mut hidden, ws).unwrap()
    });
    let mut sparse = SparseHidden::new();
    assert_no_allocation("encode_sparse_into", || {
        model.encode_sparse_into(x, &mut sparse, ws).unwrap();
    });
    let mut statistics = UnitStatistics::new(hidden.nrows(), 3);
    assert_never_allocates("UnitStatistics", || {
        statistics.add(&hidden).unwrap();
        statistics.add_sparse(&sparse).unwrap();
    });
    let mut sparsity = SparsityMetrics::new(hidden.nrows());
    assert_never_allocates("SparsityMetrics", || {
        sparsity.add(&hidden).unwrap();
        sparsity.add_sparse(&sparse).unwrap();
    });
    let mut decoded = DMatrix::zeros(layout.output_size(), x.ncols());
    assert_no_allocation("decode_sparse_into", || {
        model.decode_sparse_into(&sparse, &mut decoded, ws).unwrap();
    });
    assert_no_allocation("decode_into", || {
        model.decode_into(&hidden, &mut decoded, ws).unwrap();
    });
    assert_no_allocation("reconstruct_into", || {
        model.reconstruct_into(x, &mut decoded, ws).unwrap();
    });
    let mut errors = DVector::zeros(x.ncols());
    assert_no_allocation("reconstruction_errors_into", || {
        model
            .reconstruction_errors_into(pairs, &mut errors, ws)
            .unwrap();
    });
}

#[inline(never)]
fn allocate() {
    drop(std::hint::black_box(vec![0_u8; 100]));
}

#[test]
fn an_allocation_is_seen_and_told_apart() {
    // Otherwise none of the other tests could fail.
    let _alone = alone();
    let (own, below) = measure(allocate);
    assert_eq!((own.len(), below), (1, 0), "{own:?}");

    let model = SparseAutoencoder::<f32>::builder()
        .layers([70, 80])
        .build()
        .unwrap();
    let x = samples(70, 90);
    let (own, _) = measure(|| drop(model.encode(&x)));
    assert!(own.len() >= 2, "the result and the workspace");

    let (own, _) = measure(|| {
        rayon::join(allocate, allocate);
    });
    assert_eq!(own.len(), 2, "{own:?}"); // on whichever thread
}

#[test]
fn passes_over_small_batches_do_not_allocate() {
    let _alone = alone();
    for model in models::<f64>(8, 12) {
        assert_passes(&model, &samples(8, 7), Workspace::new().with_threads(1));
    }
    for model in models::<f32>(20, 33) {
        assert_passes(&model, &samples(20, 50), Workspace::new().with_threads(1));
    }
}

#[test]
fn passes_over_large_batches_do_not_allocate() {
    let _alone = alone();
    for model in models::<f32>(784, 300) {
        assert_passes(&model, &samples(784, 256), Workspace::new());
    }
    // More samples than go through inference at a time.
    let model = SparseAutoencoder::<f64>::builder()
        .layers([70, 90])
        .build()
        .unwrap();
    assert_passes(&model, &samples(70, 2100), Workspace::new());
}

#[test]
fn a_batch_smaller_than_the_last_fits_the_workspace() {
    let _alone = alone();
    let (mut workspace, (large, small)) = (
        Workspace::new().with_threads(1),
        (samples(8, 100), samples(8, 3)),
    );
    for model in models::<f32>(8, 12) {
        let mut gradient = vec![0.0; model.layout().len()];
        assert_no_allocation("batches of two sizes", || {
            model
                .loss_and_gradient(&large, &mut gradient, &mut workspace)
                .unwrap();
            model
                .loss_and_gradient(&small, &mut gradient, &mut workspace)
                .unwrap();
        });
    }
}

fn trainers() -> Vec<(&'static str, Trainer<f32>)> {
    let adam = || Trainer::new(Adam::new(1e-3).unwrap());
    let sgd = || Sgd::new(1e-3).unwrap();
    vec![
        ("Adam", adam()),
        ("Sgd", Trainer::new(sgd())),
        (
            "momentum",
            Trainer::new(sgd().momentum(0.9).unwrap().nesterov()),
        ),
        ("bias rate", adam().bias_rate(3.0)),
        ("unit norm", adam().unit_norm_decoder(true)),
        ("clipping", adam().clip_gradient(1e-3)),
        (
            "set point",
            adam().set_point(SetPoint::mean_activation(0.1)),
        ),
        (
            "Gaussian",
            adam().corruption(Corruption::Gaussian {
                standard_deviation: 0.1,
            }),
        ),
        (
            "masking",
            adam().corruption(Corruption::Masking { fraction: 0.1 }),
        ),
        (
            "salt and pepper",
            adam().corruption(Corruption::SaltAndPepper {
                fraction: 0.1,
                low: 0.0,
                high: 1.0,
            }),
        ),
    ]
}

#[test]
fn steps_of_partial_fit_do_not_allocate() {
    let _alone = alone();
    for (input_size, hidden, count) in [(8, 12, 20), (784, 300, 256)] {
        let x = samples(input_size, count);
        for (name, trainer) in trainers() {
            let builder = SparseAutoencoder::builder().layers([input_size, hidden]);
            let mut model = builder.build().unwrap();
            let mut trainer = if count < 256 {
                trainer.threads(1)
            } else {
                trainer
            };
            assert_no_allocation(name, || {
                trainer.partial_fit(&mut model, &x).unwrap();
            });
        }
    }
}

#[test]
fn steps_of_transcoders_do_not_allocate() {
    let _alone = alone();
    let x = samples(20, 30);
    for (hidden, set_point) in [
        (Activation::Relu, SetPoint::active_units(3.0)),
        (Activation::Gated, SetPoint::active_units(3.0)),
        (Activation::Sigmoid, SetPoint::mean_activation(0.1)),
    ] {
        for skip in [false, true] {
            let mut model = SparseAutoencoder::<f32>::builder()
                .layers([5, 40])
                .output_size(15)
                .skip(skip)
                .hidden_activation(hidden)
                .output_activation(Activation::Identity)
                .penalty(L1)
                .build()
                .unwrap();
            let trainer = Trainer::new(Adam::new(1e-3).unwrap()).threads(1);
            let mut trainer = trainer.set_point(set_point);
            assert_no_allocation(&format!("{hidden:?}, skip {skip}"), || {
                trainer.partial_fit(&mut model, &x).unwrap();
            });
        }
    }
}

#[test]
fn steps_with_dead_units_do_not_allocate() {
    let _alone = alone();
    for (input_size, hidden, count) in [(8, 40, 20), (784, 300, 256)] {
        let x = samples(input_size, count);
        let mut model = SparseAutoencoder::<f32>::builder()
            .layers([input_size, hidden])
            .hidden_activation(Activation::TopK(2))
            .output_activation(Activation::Identity)
            .pre_encoder_bias(true)
            .build()
            .unwrap();
        // So slow that no unit comes back: the buffers do not grow any more.
        let mut trainer = Trainer::new(Sgd::new(1e-9).unwrap())
            .dead_units(DeadUnits::after(count).auxiliary(4, 0.1));
        trainer.partial_fit(&mut model, &x).unwrap();
        assert_no_allocation("dead units", || {
            let loss = trainer.partial_fit(&mut model, &x).unwrap();
            assert!(loss.auxiliary > 0.0);
        });
    }
}

#[test]
fn epochs_of_a_fit_do_not_allocate() {
    let _alone = alone();
    // Batches of 33 and 34 samples, and one of all.
    let x = samples(8, 125);
    let mut cases = trainers();
    cases.push(("L-BFGS", Trainer::new(Lbfgs::new().history(3).unwrap())));
    #[cfg(feature = "files")]
    let path = std::env::temp_dir().join(format!("allocations-{}.ckpt", std::process::id()));
    #[cfg(feature = "files")]
    {
        // Between checkpoints: the only one is that of the end.
        let trainer = Trainer::new(Adam::new(1e-3).unwrap());
        let every = sparse_autoencoder::Every::Steps(1000);
        cases.push(("checkpoints", trainer.checkpoint(&path, every)));
    }
    for (name, trainer) in cases {
        let mut trainer = trainer.epochs(7).validation_split(0.2).threads(1);
        if name != "set point" {
            trainer = trainer.patience(100); // refused there
        }
        if name != "L-BFGS" {
            trainer = trainer.batch_size(34);
        }
        if name == "Adam" {
            trainer = trainer.schedule(Schedule::cosine(0.1).warm_up(0.2));
        }
        assert_epochs_do_not_allocate(name, trainer, &x);
    }
    #[cfg(feature = "files")]
    std::fs::remove_file(path).unwrap();
}

#[test]
fn epochs_over_a_file_do_not_allocate() {
    let _alone = alone();
    // Read by one thread, and by several.
    for (input_size, count, batch_size) in [(8, 125, 34), (128, 1000, 300)] {
        let x = samples::<f64>(input_size, count);
        let file = open(&x);
        let trainer = Trainer::new(Adam::new(1e-3).unwrap()).epochs(7);
        let trainer = trainer.batch_size(batch_size).validation_split(0.2);
        assert_epochs_do_not_allocate("a file", trainer, file);
    }
}

/// Writes samples to a file and opens it.
fn open<T: Real>(samples: &DMatrix<f64>) -> NpyFile<T> {
    let (process, entries) = (std::process::id(), samples.nrows());
    let name = format!("sparse-autoencoder-allocations-{process}-{entries}.npy");
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, common::file_bytes::npy_f64(samples)).unwrap();
    let file = NpyFile::open(&path);
    std::fs::remove_file(&path).unwrap();
    file.unwrap()
}

/// Neither do the steps, nor the logs of what an observer sees.
fn assert_epochs_do_not_allocate(name: &str, mut trainer: Trainer<f32>, x: impl Samples<f32>) {
    let mut csv = LogWriter::csv(std::io::sink());
    let mut json = LogWriter::json_lines(std::io::sink());
    let builder = SparseAutoencoder::builder().layers([x.entries(), 12]);
    let mut model = builder.build().unwrap();
    let (mut own, mut epochs) = (Vec::new(), 0);
    let fit = trainer.fit_with_steps(&mut model, x, |event| {
        json.write(event)?;
        let Event::Epoch(epoch) = event else {
            return csv.write(event);
        };
        COUNTED.set(false);
        // From the end of the second epoch to the end of the last.
        if let Some(stacks) = stacks().take() {
            own.extend(stacks.into_iter().filter(|stack| !is_below(stack)));
        }
        epochs = epoch.number;
        COUNTED.set((2..7).contains(&epochs));
        *stacks() = COUNTED.get().then(Vec::new);
        Ok(())
    });
    COUNTED.set(false);
    assert_eq!(fit.unwrap().epochs, 7, "{name}");
    assert_eq!(epochs, 7);
    assert!(
        own.is_empty(),
        "{name}: {} allocations, the first\n{}",
        own.len(),
        own[0]
    );
}

#[test]
fn annealed_steps_of_partial_fit_do_not_allocate() {
    let _alone = alone();
    let x = samples(8, 20);
    let builder = SparseAutoencoder::<f32>::builder()
        .layers([8, 12])
        .hidden_activation(Activation::TopK(2))
        .penalty(L1);
    let mut model = builder.build().unwrap();
    let mut trainer = Trainer::new(Adam::new(1e-3).unwrap())
        .schedule(Schedule::cosine(0.1).warm_up(0.2))
        .anneal_k(2, 0.5)
        .sparsity_warm_up(0.5)
        .stream_steps(10)
        .threads(1);
    assert_no_allocation("annealing", || {
        trainer.partial_fit(&mut model, &x).unwrap();
    });
    // Few samples, two sizes of batches, and more than thresholds are set from.
    for counts in [[5, 5], [33, 34], [1030, 1030]] {
        let batches = counts.map(|count| samples::<f32>(8, count));
        let builder = SparseAutoencoder::<f32>::builder()
            .layers([8, 12])
            .hidden_activation(Activation::JumpRelu)
            .penalty(TargetL0)
            .sparsity_target(2.0 / 12.0)
            .output_activation(Activation::Identity)
            .pre_encoder_bias(true);
        let mut model = builder.build().unwrap();
        let mut trainer = Trainer::new(Adam::new(1e-3).unwrap())
            .anneal_k(4, 1.0)
            .stream_steps(10)
            .threads(1);
        assert_no_allocation("thresholds", || {
            for batch in &batches {
                trainer.partial_fit(&mut model, batch).unwrap();
            }
        });
    }
}

#[test]
fn steps_of_optimizers_after_the_first_do_not_allocate() {
    let _alone = alone();
    let mut sgd = Sgd::<f32>::new(1e-4).unwrap();
    let mut momentum = Sgd::<f32>::new(1e-4).unwrap().momentum(0.9).unwrap();
    let mut adam = Adam::<f32>::new(1e-3).unwrap();
    let mut lbfgs = Lbfgs::<f32>::new().history(3).unwrap();
    let optimizers: [(&str, &mut dyn Optimizer<f32>); 4] = [
        ("descent", &mut sgd),
        ("momentum", &mut momentum),
        ("Adam", &mut adam),
        ("L-BFGS", &mut lbfgs),
    ];
    for (name, optimizer) in optimizers {
        let mut theta = vec![1.0_f32; 1000];
        let mut quartic = |x: &[f32], gradient: &mut [f32]| {
            let mut value = 0.0;
            for (i, (g, &x)) in gradient.iter_mut().zip(x).enumerate() {
                let weight = 1.0 + i as f32;
                *g = weight * x * x * x;
                value += 0.25 * weight * x * x * x * x;
            }
            value
        };
        optimizer.step(&mut theta, &mut quartic);
        assert_never_allocates(name, || {
            for _ in 0..20 {
                optimizer.step(&mut theta, &mut quartic);
            }
        });
    }
}

/// Compares the estimate of a fit with the most bytes that it takes at any time. Returns a text if they differ
/// by more than a tenth.
fn misestimated<T: Real>(
    name: &str,
    mut model: SparseAutoencoder<T>,
    mut trainer: Trainer<T>,
    samples: &dyn Samples<T>,
) -> Option<String> {
    let estimate = trainer.memory(&model, samples).unwrap();
    let of_model = size_of_val(model.parameters().as_slice());
    let before = LIVE.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    trainer.fit(&mut model, samples).unwrap();
    let taken = MOST.load(Ordering::Relaxed) - before + of_model;
    let ratio = estimate as f64 / taken as f64;
    let settings = model.settings();
    (!(0.9..1.1).contains(&ratio))
        .then(|| format!("{name}: {estimate} bytes for {taken}, {ratio:.3}: {settings:?}\n"))
}

fn estimates_are_close<T: Real>() {
    let (input_size, hidden) = (784, 300);
    let x = samples::<T>(input_size, 700);
    let file = common::file_bytes::npy_f64(&samples(input_size, 700));
    let file = NpyFile::<T>::from_bytes("samples.npy", file).unwrap();
    let adam = |batch_size| {
        Trainer::new(Adam::new(1e-4).unwrap())
            .epochs(1)
            .batch_size(batch_size)
    };
    let mut wrong = Vec::new();
    for model in models::<T>(input_size, hidden) {
        wrong.extend(misestimated(
            "a batch",
            model.clone(),
            adam(256).threads(1),
            &x,
        ));
        if size_of::<T>() < 8 {
            wrong.extend(misestimated("threads", model.clone(), adam(256), &x));
            wrong.extend(misestimated("all", model.clone(), adam(700), &x));
        }
        let held_out = adam(100).validation_split(0.4).patience(3);
        wrong.extend(misestimated("held out", model, held_out, &file));
    }
    let noise = Corruption::Masking { fraction: 0.1 };
    let model = || {
        let builder = SparseAutoencoder::builder().layers([input_size, hidden]);
        builder.build().unwrap()
    };
    wrong.extend(misestimated(
        "noise",
        model(),
        adam(300).corruption(noise),
        &file,
    ));
    let wide = |hidden| {
        SparseAutoencoder::builder()
            .layers([64, 2048])
            .hidden_activation(hidden)
            .output_activation(Activation::Identity)
            .pre_encoder_bias(true)
    };
    let thresholds = || {
        wide(Activation::JumpRelu)
            .penalty(TargetL0)
            .sparsity_target(0.01)
    };
    let (x_wide, long) = (samples::<T>(64, 700), samples::<T>(64, 1300));
    for (name, builder, trainer, x) in [
        (
            "thresholds",
            thresholds(),
            adam(1300).anneal_k(40, 1.0),
            &long,
        ),
        (
            "thresholds of many units",
            thresholds(),
            adam(350).anneal_k(600, 1.0),
            &x_wide,
        ),
        (
            "k that falls until few units are active",
            wide(Activation::BatchTopK(100)).penalty(()),
            adam(650).epochs(4).anneal_k(1000, 0.5),
            &long,
        ),
        (
            "samples held out while k falls",
            wide(Activation::TopK(100)).penalty(()),
            adam(130)
                .epochs(4)
                .anneal_k(1000, 0.5)
                .validation_split(0.6),
            &long,
        ),
        (
            "thresholds until few units are active",
            thresholds(),
            adam(650).epochs(4).anneal_k(600, 0.5),
            &long,
        ),
        (
            "resampling",
            wide(Activation::Relu).penalty(()),
            adam(100)
                .epochs(2)
                .dead_units(DeadUnits::after(1).resampled(1)),
            &long,
        ),
        (
            "signs",
            wide(Activation::AbsTopK(16))
                .penalty(L1)
                .norm_weighted(true),
            adam(350),
            &x_wide,
        ),
        (
            "few of a large batch",
            wide(Activation::TopK(16)).penalty(()),
            adam(1300),
            &long,
        ),
        (
            "a skip connection to a wide output",
            SparseAutoencoder::builder()
                .layers([10, 2000])
                .hidden_activation(Activation::TopK(4))
                .output_activation(Activation::Identity)
                .output_size(774)
                .skip(true),
            adam(300),
            &x,
        ),
        (
            "a transcoder",
            wide(Activation::Gated)
                .layers([20, 600])
                .output_size(44)
                .skip(true)
                .pre_encoder_bias(false)
                .penalty(L1),
            adam(350),
            &x_wide,
        ),
    ] {
        wrong.extend(misestimated(
            name,
            builder.build().unwrap(),
            trainer.threads(1),
            x,
        ));
    }
    let many = open::<T>(&samples(24, 60_000));
    let small = SparseAutoencoder::builder().layers([24, 64]);
    let small = small.build().unwrap();
    wrong.extend(misestimated("read ahead", small, adam(200), &many));
    let sgd = || Trainer::new(Sgd::new(1e-4).unwrap());
    wrong.extend(misestimated("descent", model(), sgd().epochs(2), &x));
    let lbfgs = Trainer::new(Lbfgs::new().history(7).unwrap()).epochs(3);
    wrong.extend(misestimated("L-BFGS", model(), lbfgs, &x));
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn the_memory_of_a_fit_is_estimated() {
    let _alone = alone();
    estimates_are_close::<f32>();
    estimates_are_close::<f64>();
}

#[test]
fn the_memory_of_an_invalid_fit_is_an_error() {
    let _alone = alone();
    let model = SparseAutoencoder::<f32>::builder().layers([8, 12]);
    let model = model.build().unwrap();
    let trainer = || Trainer::new(Adam::new(1e-3).unwrap());
    let x = samples(8, 20);
    assert!(trainer().memory(&model, &x).is_ok());
    assert!(trainer().memory(&model, samples(9, 20)).is_err());
    assert!(trainer().memory(&model, samples(8, 0)).is_err());
    assert!(trainer().batch_size(0).memory(&model, &x).is_err());
    assert!(trainer().validation_split(0.99).memory(&model, &x).is_err());
}
