//! Compares codes of few and of many units with principal components of the same size.
//!
//! ```text
//! cargo run --release -p experiments --bin dimensionality_reduction                     # the digits of this repository
//! cargo run --release -p experiments --bin dimensionality_reduction -- FOLDER [SEEDS]   # MNIST, 3 seeds by default
//! ```
//!
//! `FOLDER` holds the four files of MNIST, with or without `.gz`. Seeds draw the initial weights and the
//! order of the samples.
//!
//! A deep autoencoder with a linear code of 30 units reconstructs the digits (Hinton & Salakhutdinov
//! 2006). One with 2 units draws a map of them. A wide sparse code separates the classes.
//!
//! A *linear probe* (softmax regression) and a vote of the nearest neighbors measure the accuracy of a
//! code. Both use the training samples of the autoencoders. Validation samples choose the weight decay
//! of the probe and the number of neighbors. All figures are for test samples. Pictures go to
//! `out/dimensionality_reduction`.
//!
//! The table has the number of units of the code, the nonzero units per sample, and the mean of
//! ‖x̂ − x‖². The accuracies of the probe and of the neighbors follow, then the time to learn the code.

mod models;

use std::error::Error;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use experiments::chart::Map;
use experiments::mnist::Labeled;
use experiments::neighbors::Neighbors;
use experiments::pca::Pca;
use experiments::picture::{Contrast, Layout, Picture};
use experiments::report::mean_and_deviation;
use experiments::{chart, digits, mnist, neighbors, probe};
use models::{DIGITS, MNIST, Settings};
use sparse_autoencoder::SparseAutoencoder;
use sparse_autoencoder::metrics::SparsityMetrics;
use sparse_autoencoder::nalgebra::DMatrix;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Iterations of the probe for each weight decay.
const ITERATIONS: usize = 60;

/// Candidate numbers of neighbors, the largest last.
const NEIGHBORS: [usize; 6] = [1, 3, 5, 7, 9, 15];

/// Training, validation, and test samples.
struct Task {
    name: &'static str,
    training: Labeled,
    validation: Labeled,
    test: Labeled,
}

/// The codes of the samples of a task, and the reconstructions from them.
struct Code {
    training: DMatrix<f32>,
    validation: DMatrix<f32>,
    test: DMatrix<f32>,
    /// Reconstructions of the test samples.
    reconstructions: DMatrix<f32>,
    /// The time to learn the code.
    seconds: f64,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next() else {
        return digits();
    };
    let seeds = arguments.next().map_or(Ok(MNIST.seeds), |n| n.parse())?;
    let (training, test) = mnist::read(Path::new(&folder))?;
    let held_out = |index: usize| index.is_multiple_of(30);
    let task = Task {
        name: "mnist",
        validation: training.select(|index, _| held_out(index)),
        training: training.select(|index, _| !held_out(index)),
        test,
    };
    compare(&task, Settings { seeds, ..MNIST })
}

/// Runs the comparison on 1797 digits of 8 x 8 pixels, in seconds.
fn digits() -> Result<()> {
    let (rest, test) = digits::load()?.split(500, 1)?;
    let (training, validation) = rest.split(200, 1)?;
    let task = Task {
        name: "digits",
        training,
        validation,
        test,
    };
    let short = Settings {
        epochs: 20,
        seeds: 1,
        ..DIGITS
    };
    let is_short = std::env::var_os("EXAMPLE_SHORT").is_some();
    compare(&task, if is_short { short } else { DIGITS })
}

/// Prints a table of all codes, and draws maps and reconstructions.
fn compare(task: &Task, settings: Settings) -> Result<()> {
    let Settings { few, seeds, .. } = settings;
    let [training, validation, test] =
        [&task.training, &task.validation, &task.test].map(|part| part.labels.len());
    println!("{training} training, {validation} validation, {test} test samples; {seeds} seeds");
    println!(
        "{:<17}{:>5} {:>8} {:7} {:>8} {:7} {:>8} {:7} {:>8} {:7} {:>8}",
        "", "units", "active", "", "error", "", "probe, %", "", "k-NN, %", "", "seconds"
    );
    let samples = &task.training.samples;
    let start = Instant::now();
    let pca = Pca::fit(samples);
    let seconds = start.elapsed().as_secs_f64();
    let components = |units| {
        let encode = |x: &DMatrix<f32>| Ok(pca.encode(x, units));
        row(task, "PCA", 0..1, |_| {
            Code::of(task, seconds, encode, |code| Ok(pca.decode(code)))
        })
    };
    let autoencoder = |name, fitted: &dyn Fn(u64) -> Result<SparseAutoencoder<f32>>| {
        row(task, name, 0..seeds, |seed| {
            let start = Instant::now();
            let sae = fitted(seed)?;
            let seconds = start.elapsed().as_secs_f64();
            Code::of(
                task,
                seconds,
                |x| Ok(sae.encode(x)?),
                |h| Ok(sae.decode(h)?),
            )
        })
    };

    let clone = |samples: &DMatrix<f32>| Ok(samples.clone());
    row(task, "pixels", 0..1, |_| Code::of(task, 0.0, clone, clone))?;
    let pca_2 = components(2)?;
    let deep_2 = autoencoder("deep", &|seed| models::deep(samples, settings, 2, seed))?;
    let pca_few = components(few)?;
    let deep_few = autoencoder("deep", &|seed| models::deep(samples, settings, few, seed))?;
    autoencoder("deep, pretrained", &|seed| {
        models::pretrained(samples, settings, few, seed)
    })?;
    autoencoder("sparse", &|seed| models::sparse(samples, settings, seed))?;

    draw_maps(task, &pca_2, &deep_2)?;
    draw_reconstructions(task, &[&deep_few, &pca_few, &deep_2, &pca_2])
}

impl Code {
    fn of(
        task: &Task,
        seconds: f64,
        encode: impl Fn(&DMatrix<f32>) -> Result<DMatrix<f32>>,
        decode: impl Fn(&DMatrix<f32>) -> Result<DMatrix<f32>>,
    ) -> Result<Self> {
        let test = encode(&task.test.samples)?;
        Ok(Self {
            training: encode(&task.training.samples)?,
            validation: encode(&task.validation.samples)?,
            reconstructions: decode(&test)?,
            test,
            seconds,
        })
    }

    /// Returns the accuracy of softmax regression on the code.
    fn probe(&self, task: &Task) -> Result<f64> {
        Ok(probe::accuracy(
            (&self.training, &task.training.labels),
            (&self.validation, &task.validation.labels),
            (&self.test, &task.test.labels),
            ITERATIONS,
        )?)
    }
}

/// Learns and measures the code of each seed, prints means and standard deviations, and returns the
/// first code.
fn row(
    task: &Task,
    name: &str,
    seeds: Range<u64>,
    code: impl Fn(u64) -> Result<Code>,
) -> Result<Code> {
    let mut first = None;
    let mut measured: [Vec<f64>; 5] = Default::default();
    for seed in seeds {
        let code = code(seed)?;
        let values = [
            active_units(&code.test)?,
            squared_error(&code.reconstructions, &task.test.samples),
            100.0 * code.probe(task)?,
            100.0 * nearest_neighbors(task, &code),
            code.seconds,
        ];
        for (all, value) in measured.iter_mut().zip(values) {
            all.push(value);
        }
        first.get_or_insert(code);
    }
    let code = first.ok_or("no seeds")?;
    let [active, error, probe, neighbors, seconds] = measured.map(|values| {
        let (mean, deviation) = mean_and_deviation(&values);
        let deviation = format!("± {deviation:.2}");
        let deviation = Some(deviation).filter(|_| values.len() > 1);
        format!("{mean:>8.2} {:<7}", deviation.unwrap_or_default())
    });
    let units = code.test.nrows();
    let line = format!("{name:<17}{units:>5} {active} {error} {probe} {neighbors} {seconds}");
    println!("{}", line.trim_end());
    Ok(code)
}

/// Returns the mean number of nonzero units per sample.
fn active_units(code: &DMatrix<f32>) -> Result<f64> {
    let mut metrics = SparsityMetrics::new(code.nrows());
    metrics.add(code)?;
    Ok(metrics.l0().ok_or("no samples")?)
}

/// Returns the mean of ‖x̂ − x‖².
fn squared_error(reconstructions: &DMatrix<f32>, samples: &DMatrix<f32>) -> f64 {
    let difference = reconstructions - samples;
    let errors = difference
        .column_iter()
        .map(|e| f64::from(e.norm_squared()));
    mean_and_deviation(&errors.collect::<Vec<_>>()).0
}

/// Returns the accuracy of the nearest neighbors. The validation samples choose their number.
fn nearest_neighbors(task: &Task, code: &Code) -> f64 {
    let neighbors = Neighbors::new(&code.training, &task.training.labels);
    let most = NEIGHBORS[NEIGHBORS.len() - 1];
    let [validation, test] =
        [&code.validation, &code.test].map(|queries| neighbors.nearest(queries, most));
    let of = |k| neighbors::accuracy(&validation, k, &task.validation.labels);
    let best = NEIGHBORS
        .into_iter()
        .max_by(|&a, &b| of(a).total_cmp(&of(b)));
    neighbors::accuracy(&test, best.unwrap_or(1), &task.test.labels)
}

/// Draws test samples in the planes of two principal components and of two units.
fn draw_maps(task: &Task, pca: &Code, deep: &Code) -> Result<()> {
    const POINTS: usize = 2000;
    let shown = POINTS.min(task.test.labels.len());
    let [pca, deep] = [pca, deep].map(|code| code.test.columns(0, shown).into_owned());
    let classes = &task.test.labels[..shown];
    let maps = [
        Map {
            title: "two principal components",
            axes: ["first component", "second component"],
            points: &pca,
            classes,
        },
        Map {
            title: "deep autoencoder with a code of two units",
            axes: ["first unit", "second unit"],
            points: &deep,
            classes,
        },
    ];
    let path = format!("out/dimensionality_reduction/{}_maps.svg", task.name);
    chart::maps(Path::new(&path), &maps)
}

/// Draws test samples and, below, their reconstructions by each code.
fn draw_reconstructions(task: &Task, codes: &[&Code]) -> Result<()> {
    const SHOWN: usize = 20;
    let side = task.test.samples.nrows().isqrt();
    let layout = Layout {
        tile: (side, side),
        columns: SHOWN,
        zoom: 32_usize.div_ceil(side),
        contrast: Contrast::Unit,
    };
    let all = codes.iter().map(|code| &code.reconstructions);
    let rows = std::iter::once(&task.test.samples)
        .chain(all)
        .map(|samples| Picture::tiles(&samples.columns(0, SHOWN).into_owned(), layout));
    let path = format!(
        "out/dimensionality_reduction/{}_reconstructions.png",
        task.name
    );
    Picture::stack(&rows.collect::<Result<Vec<_>>>()?).save(path)
}
