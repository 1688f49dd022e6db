//! Compares the variants of sparse autoencoders on activations of a transformer: reconstruction error,
//! active units, and dead units.
//!
//! ```text
//! cargo run --release -p experiments --bin activations                        # photographs of this repository
//! cargo run --release -p experiments --bin activations -- FOLDER [SEED...]    # your own activations
//! ```
//!
//! FOLDER holds two NumPy files of samples × inputs: one with `train` in its name and one with `test`.
//! Without a folder, patches of three photographs replace the activations.
//!
//! Samples are scaled to a mean norm of √inputs. All models start at the geometric median of the
//! samples and train on the same batches, for the same number of steps and at the same width. Test
//! samples are encoded one by one; BatchTopK uses its threshold. FVU is Σ‖e‖² / Σ‖x − x̄‖². A unit is
//! dead if no training sample activates it.
//!
//! Writes `out/activations.svg`: FVU over the number of active units.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use experiments::chart::curves::{Axis, Curve, Panel, Place};
use experiments::report::{Summary, mean_and_deviation};
use experiments::variants::{Learner, Scores, Setting, Variant};
use experiments::{chart, photographs, report, variants};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{DeadUnits, NpyFile, Samples};

/// Training and test samples.
struct Task {
    name: String,
    training: DMatrix<f32>,
    test: DMatrix<f32>,
}

/// The size of a run.
struct Budget {
    /// Hidden units per input, in the comparison and in the count of dead units.
    width: usize,
    overcomplete: usize,
    active: &'static [usize],
    steps: usize,
}

const BATCH: usize = 512;
/// The rate, of 1e-3 and 3e-3, with the lower error after 150 steps for all variants except Gated.
const LEARNING_RATE: f64 = 3e-3;
const FULL: Budget = Budget {
    width: 4,
    overcomplete: 16,
    active: &[16, 32, 64],
    steps: 2000,
};
const PATCHES: Budget = Budget {
    active: &[4, 8, 16],
    steps: 1000,
    ..FULL
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (task, budget) = match arguments.next() {
        Some(folder) => (activations(Path::new(&folder))?, FULL),
        None => (photographs()?, PATCHES),
    };
    let short = std::env::var_os("EXAMPLE_SHORT").is_some();
    let budget = if short {
        Budget {
            steps: 50,
            ..budget
        }
    } else {
        budget
    };
    let seeds = report::seeds(&arguments.collect::<Vec<_>>(), &[1])?;
    let input_size = task.training.nrows();
    println!(
        "{}: {} samples to train on, {} to test, {input_size} entries, {} hidden units, {} steps",
        task.name,
        task.training.ncols(),
        task.test.ncols(),
        budget.width * input_size,
        budget.steps
    );

    let quantities = [("L0", 1), ("FVU", 4), ("dead in %", 1), ("seconds", 0)];
    let mut curves = Vec::new();
    let mut table = Summary::new("target of active units", &quantities);
    for variant in Variant::ALL {
        let (mut points, mut deviations) = (Vec::new(), Vec::new());
        for &active in budget.active {
            let mut runs = Vec::new();
            for &seed in &seeds {
                let setting = setting(&task, &budget, active, seed);
                let (scores, seconds) = fit_and_score(variant, setting, &task)?;
                let name = format!("{}, {active}", variant.name());
                table.add(&name, [scores.l0, scores.fvu, scores.dead, seconds]);
                runs.push(scores);
            }
            let of = |quantity: fn(&Scores) -> f64| {
                mean_and_deviation(&runs.iter().map(quantity).collect::<Vec<_>>())
            };
            let (fvu, deviation) = of(|scores| scores.fvu);
            points.push((of(|scores| scores.l0).0, fvu));
            deviations.push(deviation);
        }
        curves.push(Curve::new(variant.name(), points).with_deviations(deviations));
    }
    println!("{table}");
    draw(curves)?;

    let mut table = Summary::new("dead units", &quantities);
    for (name, auxiliary) in [("TopK", false), ("TopK, AuxK", true)] {
        for &seed in &seeds {
            let mut setting = setting(&task, &budget, budget.active[budget.active.len() / 2], seed);
            setting.hidden = budget.overcomplete * input_size;
            if !auxiliary {
                setting.dead_units = None;
            }
            let (scores, seconds) = fit_and_score(Variant::TopK, setting, &task)?;
            table.add(name, [scores.l0, scores.fvu, scores.dead, seconds]);
        }
    }
    println!("{} hidden units\n{table}", budget.overcomplete * input_size);
    Ok(())
}

fn setting(task: &Task, budget: &Budget, active: usize, seed: u64) -> Setting {
    let input_size = task.training.nrows();
    Setting {
        input_size,
        hidden: budget.width * input_size,
        active,
        steps: budget.steps,
        learning_rate: LEARNING_RATE,
        bandwidth: 1.0,
        // A unit is dead after one pass without an activation.
        dead_units: Some(
            DeadUnits::after(task.training.ncols()).auxiliary(input_size / 2, 1.0 / 32.0),
        ),
        seed,
    }
}

/// Returns the scores on the test samples, with the units dead in training, and the training time.
fn fit_and_score(
    variant: Variant,
    setting: Setting,
    task: &Task,
) -> Result<(Scores, f64), Box<dyn Error>> {
    let training = &task.training;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(setting.seed);
    let mut order = (0..training.ncols()).collect::<Vec<_>>();
    let mut batch = DMatrix::zeros(setting.input_size, BATCH.min(training.ncols()));
    let mut next = order.len();

    let start = Instant::now();
    let first = training.columns(0, training.ncols().min(2000));
    let mut learner = Learner::new(variant, setting, first)?;
    for _ in 0..setting.steps {
        if next + batch.ncols() > order.len() {
            order.shuffle(&mut rng);
            next = 0;
        }
        for (mut sample, &index) in batch.column_iter_mut().zip(&order[next..]) {
            sample.copy_from(&training.column(index));
        }
        next += batch.ncols();
        learner.step(batch.as_view())?;
    }
    let seconds = start.elapsed().as_secs_f64();

    let mut scores = Scores::of(&learner.model, &task.test)?;
    scores.dead = Scores::of(&learner.model, training)?.dead;
    eprintln!(
        "  {}, {} of {} active: L0 {:.2}, FVU {:.4}, {:.1} % dead, {seconds:.0} s",
        variant.name(),
        setting.active,
        setting.hidden,
        scores.l0,
        scores.fvu,
        scores.dead
    );
    Ok((scores, seconds))
}

fn draw(curves: Vec<Curve>) -> Result<(), Box<dyn Error>> {
    chart::curves::panels(
        Path::new("out/activations.svg"),
        "ReconstructionLoss by a few active units",
        Axis::logarithmic("active units, L0"),
        &[Panel {
            axis: Axis::linear("FVU"),
            curves,
            names: Place::UpperRight,
        }],
    )
}

fn activations(folder: &Path) -> Result<Task, Box<dyn Error>> {
    let files = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let files = files
        .map(|file| Ok(file?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    let read = |part: &str| -> Result<DMatrix<f32>, Box<dyn Error>> {
        let named = |file: &&PathBuf| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.contains(part) && name.ends_with(".npy")
        };
        let file = files.iter().find(named);
        let file = file.ok_or_else(|| format!("{}: no *{part}*.npy", folder.display()))?;
        Ok(NpyFile::open(file)?.to_matrix()?)
    };
    let name = folder.display().to_string();
    scaled(name, read("train")?, read("test")?)
}

/// Returns patches of 8 x 8 pixels, each minus its mean.
fn photographs() -> Result<Task, Box<dyn Error>> {
    let photographs = photographs::load()?;
    let [training, test] = [(8000, 1), (2000, 2)].map(|(count, seed)| {
        let mut patches = photographs::patches(&photographs, 8, count, seed)?;
        for mut patch in patches.column_iter_mut() {
            let mean = patch.mean();
            patch.add_scalar_mut(-mean);
        }
        Ok::<_, Box<dyn Error>>(patches)
    });
    let name = "patches of photographs (no FOLDER given)".into();
    scaled(name, training?, test?)
}

fn scaled(
    name: String,
    mut training: DMatrix<f32>,
    mut test: DMatrix<f32>,
) -> Result<Task, Box<dyn Error>> {
    if training.nrows() != test.nrows() || training.is_empty() || test.is_empty() {
        return Err(format!(
            "{name}: samples of {:?} and {:?}",
            training.shape(),
            test.shape()
        )
        .into());
    }
    let scale = variants::scale_to_unit_entries(&training)?;
    training *= scale;
    test *= scale;
    Ok(Task {
        name,
        training,
        test,
    })
}
