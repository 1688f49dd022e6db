//! The options of the command line.

use std::error::Error;
use std::path::PathBuf;
use std::str::FromStr;

/// The options of a run, each `--name VALUE`.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The mean number of active units.
    pub l0: usize,
    pub lr: f64,
    /// The k of the first step; `None` for a constant k.
    pub anneal_from: Option<usize>,
    /// The seed of the initial weights and of the stream of samples.
    pub seed: u64,
    pub width: usize,
    pub batch: usize,
    /// Threads; 0 for all.
    pub threads: usize,
    /// Samples of the last evaluation, and of those on the way.
    pub evaluate: usize,
    pub glance: usize,
    /// Evaluations over the training.
    pub points: usize,
    /// Seconds between two checkpoints.
    pub every: u64,
    /// The folder of the checkpoints.
    pub checkpoints: PathBuf,
    /// The folder that keeps the features of the world.
    pub cache: PathBuf,
    pub out: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            l0: 25,
            lr: 3e-4,
            anneal_from: None,
            seed: 1,
            width: 4096,
            batch: 1024,
            threads: 0,
            evaluate: 100_000,
            glance: 20_000,
            points: 10,
            every: 300,
            checkpoints: "target/synth_sae_bench".into(),
            cache: "target/synth_sae_bench".into(),
            out: None,
        }
    }
}

impl Options {
    /// Parses arguments. Returns those that are not options, in their order.
    pub fn parse(arguments: &[String]) -> Result<(Self, Vec<String>), Box<dyn Error>> {
        let (mut options, mut others) = (Self::default(), Vec::new());
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let Some(name) = argument.strip_prefix("--") else {
                others.push(argument.clone());
                continue;
            };
            let text = arguments.next().ok_or(format!("--{name} needs a value"))?;
            match name {
                "l0" => options.l0 = value(name, text)?,
                "lr" => options.lr = value(name, text)?,
                "anneal-from" => options.anneal_from = Some(value(name, text)?),
                "seed" => options.seed = value(name, text)?,
                "width" => options.width = value(name, text)?,
                "batch" => options.batch = value(name, text)?,
                "threads" => options.threads = value(name, text)?,
                "evaluate" => options.evaluate = value(name, text)?,
                "glance" => options.glance = value(name, text)?,
                "points" => options.points = value(name, text)?,
                "every" => options.every = value(name, text)?,
                "checkpoints" => options.checkpoints = text.into(),
                "cache" => options.cache = text.into(),
                "out" => options.out = Some(text.into()),
                _ => return Err(format!("unknown option --{name}").into()),
            }
        }
        Ok((options, others))
    }
}

/// Parses a value; numbers may have `_`.
pub fn value<T: FromStr>(name: &str, text: &str) -> Result<T, Box<dyn Error>> {
    let parsed = text.replace('_', "").parse();
    parsed.map_err(|_| format!("{name} has an invalid value: {text}").into())
}
