//! Detects anomalies in tables without any settings, for the comparison of `experiments/peers/anomaly_tables.py`.
//!
//! ```text
//! cargo run --release -p experiments --bin anomaly_tables -- FOLDER RUNS.jsonl [SEEDS]
//! cargo run --release -p experiments --bin anomaly_tables    # a chart of experiments/results/anomaly_tables.jsonl
//! ```
//!
//! FOLDER holds tables of ADBench (github.com/Minqi824/ADBench, `datasets/Classical`): `X` and `y` of each `.npz` as
//! `NAME_x_f32.npy` and `NAME_y.npy`, which `anomaly_tables.py --prepare` writes. RUNS.jsonl gets a line per run; runs
//! that it has already are skipped.
//!
//! | setting | training samples | test samples |
//! |---|---|---|
//! | semi-supervised | a half of the normal samples | the other half and all anomalies |
//! | contaminated | all samples | the same |
//!
//! Without arguments, draws the ROC AUC of each method on its tables from the easiest to the hardest:
//! `out/anomaly_tables.svg`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use experiments::chart::curves::{Axis, Curve, Panel, Place, panels};
use experiments::shuffle::shuffle;
use serde::{Deserialize, Serialize};
use sparse_autoencoder::metrics::{average_precision, roc_auc};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{AnomalyEnsemble, NpyFile, Samples};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The method of this program. The Python script appends others to the same file.
const METHOD: &str = "AnomalyEnsemble";

/// What was run, and what came out.
#[derive(Serialize, Deserialize)]
struct Run {
    table: String,
    setting: String,
    seed: u64,
    method: String,
    auc: f64,
    ap: f64,
    seconds: f64,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, runs, seeds) = match arguments.as_slice() {
        [] => {
            return chart(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/results/anomaly_tables.jsonl"
            ));
        }
        [folder, runs] => (folder, runs, 5),
        [folder, runs, seeds] => (folder, runs, seeds.parse()?),
        _ => return Err("usage: anomaly_tables FOLDER RUNS.jsonl [SEEDS]".into()),
    };
    let done = if Path::new(runs).exists() {
        read(runs)?
    } else {
        Vec::new()
    };
    let mut file = OpenOptions::new().create(true).append(true).open(runs)?;
    for seed in 0..seeds {
        for table in tables(folder)? {
            for setting in ["semi-supervised", "contaminated"] {
                let same = |run: &Run| {
                    (&run.table, &*run.setting, run.seed) == (&table, setting, seed)
                        && run.method == METHOD
                };
                if done.iter().any(same) {
                    continue;
                }
                let run = run(folder, &table, setting, seed)?;
                println!(
                    "{table:<16} {setting:<16} {seed}  AUC {:.4}  AP {:.4}  {:.1} s",
                    run.auc, run.ap, run.seconds
                );
                writeln!(file, "{}", serde_json::to_string(&run)?)?;
            }
        }
    }
    Ok(())
}

fn read(runs: &str) -> Result<Vec<Run>> {
    let lines = fs::read_to_string(runs)?;
    let runs = lines.lines().map(serde_json::from_str);
    Ok(runs.collect::<std::result::Result<_, _>>()?)
}

/// Draws the mean ROC AUC over seeds of each method, sorted over the tables, and prints the means over tables.
fn chart(runs: &str) -> Result<()> {
    let mut runs_of: BTreeMap<(String, String), BTreeMap<String, Vec<f64>>> = BTreeMap::new();
    for run in read(runs)? {
        let of_method = runs_of.entry((run.setting, run.method)).or_default();
        of_method.entry(run.table).or_default().push(run.auc);
    }
    let mut curves: BTreeMap<String, Vec<Curve>> = BTreeMap::new();
    for ((setting, method), tables) in runs_of {
        let mean = |of: &Vec<f64>| of.iter().sum::<f64>() / of.len() as f64;
        let mut aucs: Vec<f64> = tables.values().map(mean).collect();
        println!("{setting:<16} {method:<16} mean ROC AUC {:.3}", mean(&aucs));
        aucs.sort_by(|a, b| b.total_cmp(a));
        let points = aucs.into_iter().enumerate();
        let points = points.map(|(rank, auc)| ((rank + 1) as f64, auc));
        let of_setting = curves.entry(setting).or_default();
        of_setting.push(Curve::new(&method, points));
    }
    let axis = |setting: &str| match setting {
        "contaminated" => "ROC AUC, contaminated",
        _ => "ROC AUC, semi-supervised",
    };
    let drawn: Vec<Panel> = curves
        .into_iter()
        .map(|(setting, curves)| Panel {
            axis: Axis::linear(axis(&setting)),
            curves,
            names: Place::LowerLeft,
        })
        .collect();
    panels(
        Path::new("out/anomaly_tables.svg"),
        "Anomalies in 41 tables",
        Axis::linear("table, from the easiest to the hardest of each method"),
        &drawn,
    )
}

/// Returns the names of the tables in a folder, in order.
fn tables(folder: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix("_x_f32.npy").map(String::from));
    }
    names.sort();
    Ok(names)
}

fn run(folder: &str, table: &str, setting: &str, seed: u64) -> Result<Run> {
    let path = |end: &str| Path::new(folder).join(format!("{table}_{end}.npy"));
    let samples: DMatrix<f32> = NpyFile::open(path("x_f32"))?.to_matrix()?;
    let labels = NpyFile::<f32>::open(path("y"))?.to_matrix()?;
    let anomalous: Vec<bool> = labels.iter().map(|&label| label != 0.0).collect();
    let all: Vec<usize> = (0..anomalous.len()).collect();
    let (training, test) = match setting {
        "contaminated" => (all.clone(), all),
        _ => halves(&anomalous, seed),
    };
    let start = Instant::now();
    let detector = AnomalyEnsemble::builder()
        .seed(seed)
        .fit(samples.select_columns(&training))?;
    let scores = detector.scores(samples.select_columns(&test))?;
    let seconds = start.elapsed().as_secs_f64();
    let test: Vec<bool> = test.into_iter().map(|row| anomalous[row]).collect();
    Ok(Run {
        table: table.into(),
        setting: setting.into(),
        seed,
        method: METHOD.into(),
        auc: roc_auc(scores.as_slice(), &test)?,
        ap: average_precision(scores.as_slice(), &test)?,
        seconds,
    })
}

/// Shuffles the normal rows, and returns the first half, and all others. The Python script draws the same rows.
fn halves(anomalous: &[bool], seed: u64) -> (Vec<usize>, Vec<usize>) {
    let (anomalies, mut normal): (Vec<usize>, Vec<usize>) =
        (0..anomalous.len()).partition(|&row| anomalous[row]);
    shuffle(&mut normal, seed);
    let others = normal.split_off(normal.len() / 2);
    (normal, others.into_iter().chain(anomalies).collect())
}
