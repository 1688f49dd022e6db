//! Common parts of the Rust peers in the comparison: the server, the data, the parameters.
//!
//! A peer reads requests from its standard input, one per line, and answers each with one line,
//! as `ours.rs` does. The only step is `kl`.
//!
//! ```text
//! <step> <shape> <iterations> <threads>   milliseconds per step
//! check <step> <shape> <threads>          the objective and the norm of its gradient at the start
//! form <step> <shape> <threads>           -: there is one form only
//! clear                                   forgets the models
//! ```
//!
//! `RAYON_NUM_THREADS` sets the number of threads of both libraries.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Instant;

pub type Outcome<T> = Result<T, Box<dyn Error>>;

// The settings of every contestant. `ours.rs` has the same numbers.
pub const TARGET: f64 = 0.05;
pub const KL_WEIGHT: f64 = 3.0;
pub const WEIGHT_DECAY: f64 = 1e-4;
pub const LEARNING_RATE: f64 = 1e-9;
pub const BETAS: (f64, f64) = (0.9, 0.999);
pub const EPSILON: f64 = 1e-8;

/// A model, a batch, and an optimizer in the terms of one library.
pub trait Peer: Sized {
    fn new(start: Start) -> Outcome<Self>;

    /// One training step.
    fn step(&mut self) -> Outcome<()>;

    /// Returns the objective without the decay, and the values of the full gradient for each parameter.
    fn objective_and_gradient(&self) -> Outcome<(f64, Vec<Vec<f32>>)>;
}

/// The initial parameters: matrices by rows, the weights as inputs x outputs.
pub struct Start {
    pub samples: usize,
    pub input_size: usize,
    pub hidden: usize,
    /// samples x input
    pub x: Vec<f32>,
    /// input x hidden
    pub w: Vec<f32>,
    pub b: Vec<f32>,
    /// hidden x input
    pub d: Vec<f32>,
    pub c: Vec<f32>,
}

impl Start {
    fn new(shape: &str) -> Outcome<Self> {
        let sizes: Vec<usize> = shape.split('x').map(str::parse).collect::<Result<_, _>>()?;
        let [samples, input_size, hidden] = sizes[..] else {
            return Err(format!("'{shape}' is no samples x input x hidden").into());
        };
        let half = (6.0 / (input_size + hidden + 1) as f64).sqrt() as f32;
        // In the common formula, the weights of a hidden unit are adjacent in both matrices.
        let units = spread(2, input_size * hidden, half);
        let column = |row: usize| (0..hidden).map(move |unit| unit * input_size + row);
        let w = (0..input_size)
            .flat_map(column)
            .map(|at| units[at])
            .collect();
        Ok(Self {
            samples,
            input_size,
            hidden,
            x: uniform(1, samples * input_size),
            w,
            b: spread(3, hidden, 0.05),
            d: spread(4, input_size * hidden, half),
            c: spread(5, input_size, 0.05),
        })
    }

    /// λ/2 times the sum of squares of both weight matrices
    fn decay(&self) -> f64 {
        WEIGHT_DECAY / 2.0 * (square(&self.w) + square(&self.d))
    }
}

fn square(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v) * f64::from(v)).sum()
}

fn spread(seed: u64, count: usize, half: f32) -> Vec<f32> {
    uniform(seed, count)
        .iter()
        .map(|u| half * (2.0 * u - 1.0))
        .collect()
}

/// `count` numbers in [0, 1), the same as in `ours.rs`: SplitMix64, the upper 24 bits.
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

/// Answers requests until there are no more.
pub fn serve<P: Peer>() -> Outcome<()> {
    if io::stdin().is_terminal() {
        eprintln!("This is a server that benches/compare/compare.py talks to: see its README.");
        return Ok(());
    }
    let mut peers = HashMap::new();
    for line in io::stdin().lock().lines() {
        let answer = answer::<P>(&line?, &mut peers)?;
        println!("{answer}");
        io::stdout().flush()?;
    }
    Ok(())
}

fn answer<P: Peer>(request: &str, peers: &mut HashMap<String, P>) -> Outcome<String> {
    let words: Vec<&str> = request.split_whitespace().collect();
    Ok(match words[..] {
        ["clear"] => {
            peers.clear();
            "cleared".to_owned()
        }
        ["check", "kl", shape, _] => {
            let start = Start::new(shape)?;
            let decay = start.decay();
            let (objective, gradient) = P::new(start)?.objective_and_gradient()?;
            let norm = gradient.iter().map(|part| square(part)).sum::<f64>().sqrt();
            format!("{:.9e} {norm:.9e}", objective + decay)
        }
        ["form", "kl", _, _] => "-".to_owned(),
        ["kl", shape, iterations, _] => {
            if !peers.contains_key(shape) {
                peers.insert(shape.to_owned(), P::new(Start::new(shape)?)?);
            }
            let peer = peers.get_mut(shape).expect("inserted above");
            format!("{:.6}", milliseconds(peer, iterations.parse()?)?)
        }
        _ => return Err(format!("cannot understand '{request}'").into()),
    })
}

fn milliseconds(peer: &mut impl Peer, iterations: u32) -> Outcome<f64> {
    for _ in 0..=iterations / 10 {
        peer.step()?;
    }
    let start = Instant::now();
    for _ in 0..iterations {
        peer.step()?;
    }
    Ok(1e3 * start.elapsed().as_secs_f64() / f64::from(iterations.max(1)))
}
