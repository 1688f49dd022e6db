//! Our side of the comparison: a server that times training steps on request.
//!
//! It reads requests from its standard input, one per line, and answers each with one line. A
//! `step` is `kl`, `relu`, `relu-sparse`, `topk`, `batch-topk`, `gated`, `gated-sparse`, `jump`,
//! `jump-sparse`, or `encode`; a `shape` is `samples x input x hidden`, as in `128x784x256`.
//!
//! ```text
//! <step> <shape> <iterations> <threads>   milliseconds per step
//! check <step> <shape> <threads>          the objective and the norm of its gradient at the start;
//!                                         for encode the sum of the activations
//! active <step> <shape> <threads>         the proportion of activations above 0
//! peak <threads>                          f32 multiply-adds, GFLOP/s
//! bandwidth <bytes> <threads>             reading a buffer again and again, GB/s
//! clear                                   forgets the models
//! ```
//!
//! `compare.py` starts it, together with the servers of the peers in `peers.py`.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use pulp::{Arch, Simd, WithSimd};
use sparse_autoencoder::nalgebra::{DMatrix, DVector};
use sparse_autoencoder::{
    Activation, Adam, Error, KlDivergence, L0, L1, Layout, Parameters, SparseAutoencoder, Trainer,
    Workspace,
};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    if io::stdin().is_terminal() {
        eprintln!("This is the server that benches/compare/compare.py talks to: see its README.");
        return Ok(());
    }
    let mut contests = HashMap::new();
    for line in io::stdin().lock().lines() {
        let answer = answer(&line?, &mut contests)?;
        println!("{answer}");
        io::stdout().flush()?;
    }
    Ok(())
}

/// The models that are being timed, by step, shape, and threads.
type Contests = HashMap<String, Contest>;

fn answer(request: &str, contests: &mut Contests) -> Outcome<String> {
    let words: Vec<&str> = request.split_whitespace().collect();
    Ok(match words[..] {
        ["clear"] => {
            contests.clear();
            "cleared".to_owned()
        }
        ["peak", threads] => format!("{:.2}", peak(threads.parse()?)),
        ["bandwidth", bytes, threads] => {
            format!("{:.2}", bandwidth(bytes.parse()?, threads.parse()?))
        }
        ["check", step, shape, threads] => contest(contests, step, shape, threads)?.check()?,
        ["active", step, shape, threads] => contest(contests, step, shape, threads)?.active()?,
        [step, shape, iterations, threads] => {
            let contest = contest(contests, step, shape, threads)?;
            format!("{:.6}", contest.milliseconds(iterations.parse()?)?)
        }
        _ => return Err(format!("cannot understand '{request}'").into()),
    })
}

fn contest<'a>(
    contests: &'a mut Contests,
    step: &str,
    shape: &str,
    threads: &str,
) -> Outcome<&'a mut Contest> {
    let key = format!("{step} {shape} {threads}");
    if !contests.contains_key(&key) {
        let sizes: Vec<usize> = shape.split('x').map(str::parse).collect::<Result<_, _>>()?;
        let [samples, input_size, hidden] = sizes[..] else {
            return Err(format!("'{shape}' is no samples x input x hidden").into());
        };
        let made = Contest::new(step, samples, input_size, hidden, threads.parse()?)?;
        contests.insert(key.clone(), made);
    }
    Ok(contests.get_mut(&key).expect("inserted above"))
}

// The settings of every contestant. `peers.py` has the same numbers.
const TARGET: f64 = 0.05;
const KL_WEIGHT: f64 = 3.0;
const WEIGHT_DECAY: f64 = 1e-4;
const L1_WEIGHT: f64 = 0.01;
const L0_WEIGHT: f64 = 1e-3;
const K: usize = 32;
/// The threshold of JumpReLU units.
const THRESHOLD: f32 = 0.1;
const BANDWIDTH: f64 = 0.05;
/// So small that the model, and with it the work of a step, stays the same.
const LEARNING_RATE: f64 = 1e-9;

/// A model, a batch, and the trainer.
#[derive(Debug)]
struct Contest {
    training: bool,
    model: SparseAutoencoder<f32>,
    samples: DMatrix<f32>,
    trainer: Trainer<f32>,
    hidden: DMatrix<f32>,
    workspace: Workspace<f32>,
}

impl Contest {
    fn new(
        step: &str,
        samples: usize,
        input_size: usize,
        hidden: usize,
        threads: usize,
    ) -> Outcome<Self> {
        let kl = matches!(step, "kl" | "encode");
        let mut parameters = parameters(input_size, hidden, step.ends_with("-sparse"))?;
        if step.starts_with("jump") {
            parameters = parameters
                .for_activations(&[Activation::JumpRelu])?
                .with_block(0, "thresholds", &DVector::from_element(hidden, THRESHOLD))?;
        }
        let builder = SparseAutoencoder::builder().parameters(parameters);
        let linear = |builder: sparse_autoencoder::SparseAutoencoderBuilder<f32>, f| {
            builder
                .hidden_activation(f)
                .output_activation(Activation::Identity)
        };
        let builder = match step {
            "kl" | "encode" => builder
                .penalty(KlDivergence)
                .sparsity_target(TARGET)
                .penalty_weight(KL_WEIGHT)
                .weight_decay(WEIGHT_DECAY),
            "relu" | "relu-sparse" => linear(builder, Activation::Relu)
                .penalty(L1)
                .penalty_weight(L1_WEIGHT),
            "topk" => linear(builder, Activation::TopK(K)),
            "batch-topk" => linear(builder, Activation::BatchTopK(K)),
            "gated" | "gated-sparse" => linear(builder, Activation::Gated)
                .penalty(L1)
                .penalty_weight(L1_WEIGHT),
            "jump" | "jump-sparse" => linear(builder, Activation::JumpRelu)
                .penalty(L0)
                .penalty_weight(L0_WEIGHT)
                .bandwidth(BANDWIDTH),
            _ => return Err(format!("no step '{step}'").into()),
        };
        let training = step != "encode";
        // In [0, 1) for sigmoid outputs, in [-1, 1) for linear ones.
        let mut batch = uniform(1, input_size * samples);
        if !kl {
            batch.iter_mut().for_each(|x| *x = 2.0 * *x - 1.0);
        }
        Ok(Self {
            training,
            model: builder.build()?,
            samples: DMatrix::from_vec(input_size, samples, batch),
            trainer: Trainer::new(Adam::new(LEARNING_RATE)?).threads(threads),
            hidden: if training {
                DMatrix::zeros(0, 0)
            } else {
                DMatrix::zeros(hidden, samples)
            },
            workspace: Workspace::new().with_threads(threads),
        })
    }

    fn step(&mut self) -> Result<(), Error> {
        if self.training {
            black_box(self.trainer.partial_fit(&mut self.model, &self.samples)?);
        } else {
            let (hidden, workspace) = (&mut self.hidden, &mut self.workspace);
            self.model.encode_into(&self.samples, hidden, workspace)?;
            black_box(hidden);
        }
        Ok(())
    }

    fn milliseconds(&mut self, iterations: u32) -> Result<f64, Error> {
        for _ in 0..=iterations / 10 {
            self.step()?;
        }
        let start = Instant::now();
        for _ in 0..iterations {
            self.step()?;
        }
        Ok(1e3 * start.elapsed().as_secs_f64() / f64::from(iterations.max(1)))
    }

    fn check(&mut self) -> Result<String, Error> {
        if !self.training {
            self.step()?;
            let sum: f64 = self.hidden.iter().copied().map(f64::from).sum();
            return Ok(format!("{sum:.9e}"));
        }
        let mut gradient = vec![0.0; self.model.layout().len()];
        let (samples, workspace) = (&self.samples, &mut self.workspace);
        let loss = self
            .model
            .loss_and_gradient(samples, &mut gradient, workspace)?;
        let square = |&g: &f32| f64::from(g) * f64::from(g);
        let norm = gradient.iter().map(square).sum::<f64>().sqrt();
        Ok(format!("{:.9e} {norm:.9e}", loss.total()))
    }

    #[allow(clippy::cast_precision_loss)]
    fn active(&self) -> Result<String, Error> {
        let hidden = self.model.encode(&self.samples)?;
        let active = hidden.iter().filter(|&&h| h > 0.0).count();
        Ok(format!("{:.6}", active as f64 / hidden.len() as f64))
    }
}

/// Weights uniform in `±√6 / √(input + hidden + 1)`, biases in `±0.05`. For the model that has
/// become sparse, encoder biases 2.2 standard deviations of the pre-activation below 0.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn parameters(input_size: usize, hidden: usize, sparse: bool) -> Result<Parameters<f32>, Error> {
    let layout = Layout::new(&[input_size, hidden], false)?;
    let range = (6.0 / (input_size + hidden + 1) as f64).sqrt();
    let shift = if sparse {
        2.2 * range * (input_size as f64).sqrt() / 3.0
    } else {
        0.0
    };
    let mut theta = Vec::with_capacity(layout.len());
    let mut block = |seed, count, range: f32, shift: f32| {
        theta.extend(
            uniform(seed, count)
                .iter()
                .map(|u| range * (2.0 * u - 1.0) - shift),
        );
    };
    block(2, input_size * hidden, range as f32, 0.0);
    block(3, hidden, 0.05, shift as f32);
    block(4, input_size * hidden, range as f32, 0.0);
    block(5, input_size, 0.05, 0.0);
    Parameters::new(layout, theta)
}

/// `count` numbers in [0, 1), the same as in `peers.py`: SplitMix64, the upper 24 bits.
#[allow(clippy::cast_precision_loss)]
fn uniform(seed: u64, count: usize) -> Vec<f32> {
    (0..count as u64)
        .map(|index| {
            let mut z = ((seed << 40) + index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
        })
        .collect()
}

const CHUNK: Duration = Duration::from_millis(10);
const CHUNKS: usize = 10;
/// The number of independent chains: enough for the latency of two fused units, few enough for registers.
const CHAINS: usize = 12;

/// A block of fused multiply-adds that never leaves the registers.
struct MultiplyAdds(u32);

impl WithSimd for MultiplyAdds {
    /// Floating-point operations
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (a, b) = (
            simd.splat_f32s(black_box(0.999)),
            simd.splat_f32s(black_box(1e-3)),
        );
        let mut chains = [simd.splat_f32s(1.0); CHAINS];
        for _ in 0..self.0 {
            for chain in &mut chains {
                *chain = simd.mul_add_f32s(a, *chain, b);
            }
        }
        black_box(&chains);
        #[allow(clippy::cast_precision_loss)]
        let chain = (CHAINS * S::F32_LANES) as f64;
        2.0 * chain * f64::from(self.0)
    }
}

/// Returns the sum of a buffer.
struct Sum<'a>(&'a [f32]);

impl WithSimd for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let (vectors, _) = S::as_simd_f32s(self.0);
        let (blocks, _) = pulp::as_arrays::<CHAINS, _>(vectors);
        let mut chains = [simd.splat_f32s(0.0); CHAINS];
        for block in blocks {
            for (chain, &value) in chains.iter_mut().zip(block) {
                *chain = simd.add_f32s(*chain, value);
            }
        }
        let sum = chains.into_iter().reduce(|a, b| simd.add_f32s(a, b));
        sum.map_or(0.0, |sum| simd.reduce_sum_f32s(sum))
    }
}

/// Returns the GFLOP/s of f32 multiply-adds: the best of several short measurements.
fn peak(threads: usize) -> f64 {
    let arch = Arch::new();
    best(threads, |_| {
        let mut flops = 0.0;
        let start = Instant::now();
        while start.elapsed() < CHUNK {
            flops += arch.dispatch(MultiplyAdds(10_000));
        }
        flops / start.elapsed().as_secs_f64() / 1e9
    })
}

/// Returns the GB/s of reading a buffer, in one part per thread.
#[allow(clippy::cast_precision_loss)]
fn bandwidth(bytes: usize, threads: usize) -> f64 {
    let arch = Arch::new();
    let buffer = vec![1.0_f32; bytes / size_of::<f32>()];
    let part = buffer.len().div_ceil(threads.max(1));
    best(threads, |thread| {
        let part = &buffer[thread * part..((thread + 1) * part).min(buffer.len())];
        let mut bytes = 0;
        let start = Instant::now();
        while start.elapsed() < CHUNK {
            black_box(arch.dispatch(Sum(black_box(part))));
            bytes += size_of_val(part);
        }
        bytes as f64 / start.elapsed().as_secs_f64() / 1e9
    })
}

/// Returns the best sum over the threads of the results of `measure`.
fn best(threads: usize, measure: impl Fn(usize) -> f64 + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let rates: Vec<Vec<f64>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let (barrier, measure) = (&barrier, &measure);
                scope.spawn(move || {
                    let chunk = |_| {
                        barrier.wait();
                        measure(thread)
                    };
                    (0..CHUNKS).map(chunk).collect()
                })
            })
            .collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, Vec<f64>>| worker.join();
        workers
            .into_iter()
            .map(join)
            .filter_map(Result::ok)
            .collect()
    });
    (0..CHUNKS)
        .map(|chunk| rates.iter().map(|rates| rates[chunk]).sum())
        .fold(0.0, f64::max)
}
