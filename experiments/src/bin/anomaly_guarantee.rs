//! Measures the false alarms and false discoveries of `AnomalyEnsemble` on simulated samples.
//!
//! ```text
//! cargo run --release -p experiments --bin anomaly_guarantee [SEED...]    # 0 to 99 by default
//! ```
//!
//! Normal samples have 10 features, W (u, v, u², uv) + 0.3 e. u and v are normal. e has Student's t-distribution with
//! 3 degrees of freedom. Each seed draws a W of normal entries. Anomalies have 3 e in place of 0.3 e. Two cases
//! add 50 flags, which are 1 with probability 1/1000, and else 0. Many of these are constant in the fit.
//!
//! Each seed fits the default ensemble to normal samples: 1,000 of them give conformal p-values, and 300 give
//! cross-conformal ones. Five batches of 200 new samples follow, with 20 anomalies each.
//!
//! | column | what it is |
//! |---|---|
//! | constant | C/(N + 1), the most that C constant features add to alarms, for N samples in the fit |
//! | alarm | the share of p-values of at most the rate among the new normal samples |
//! | false | the share of normal samples among those that `select` returns from a batch, 0 if it returns none |
//! | found | the share of the anomalies of a batch that `select` returns |
//!
//! All are in percent, at the rates in percent that follow their names.
//!
//! Prints mean ± standard error over the seeds. Writes `out/anomaly_guarantee.svg`: alarms over the rate.

use std::path::Path;

use experiments::chart::curves::{Axis, Curve, Panel, Place, panels};
use experiments::report::{mean_and_deviation, seeds};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::{StandardNormal, StudentT};
use rayon::prelude::*;
use sparse_autoencoder::nalgebra::{DMatrix, SMatrix, Vector4};
use sparse_autoencoder::{AnomalyEnsemble, Error, benjamini_hochberg};

const FEATURES: usize = 10;
/// The factors of e in normal samples and in anomalies.
const NOISE: [f32; 2] = [0.3, 3.0];
/// The probability of a flag.
const RARE: f64 = 0.001;

const BATCHES: usize = 5;
const NORMAL: usize = 180;
const ANOMALIES: usize = 20;

const ALARM_RATES: [f64; 4] = [0.01, 0.05, 0.1, 0.2];
const DISCOVERY_RATES: [f64; 2] = [0.1, 0.2];
const COLUMNS: [&str; 9] = [
    "constant", "alarm 1", "alarm 5", "alarm 10", "alarm 20", "false 10", "found 10", "false 20",
    "found 20",
];

/// The name of a case, its samples in the fit, and its flags.
const CASES: [(&str, usize, usize); 4] = [
    ("1,000 samples", 1000, 0),
    ("1,000 samples, 50 flags", 1000, 50),
    ("300 samples", 300, 0),
    ("300 samples, 50 flags", 300, 50),
];

type Mix = SMatrix<f32, FEATURES, 4>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let default = std::env::var_os("EXAMPLE_SHORT").map_or(100, |_| 1);
    let seeds = seeds(&arguments, &Vec::from_iter(0..default))?;
    print!("{:<24}", "percent");
    COLUMNS.iter().for_each(|name| print!(" {name:>13}"));
    println!();
    let mut curves = vec![Curve::new("the rate", [(0.0, 0.0), (20.0, 20.0)]).dashed()];
    for (name, samples, flags) in CASES {
        let runs = seeds.par_iter().map(|&seed| run(samples, flags, seed));
        let runs = runs.collect::<Result<Vec<_>, _>>()?;
        print!("{name:<24}");
        let column = |column: usize| {
            let values: Vec<f64> = runs.iter().map(|run| 100.0 * run[column]).collect();
            let (mean, deviation) = mean_and_deviation(&values);
            let standard_error = deviation / (values.len() as f64).sqrt();
            print!(" {:>13}", format!("{mean:.2} ± {standard_error:.2}"));
            (mean, standard_error)
        };
        let columns: Vec<(f64, f64)> = (0..COLUMNS.len()).map(column).collect();
        println!();
        let (means, errors): (Vec<f64>, Vec<f64>) = columns[1..5].iter().copied().unzip();
        let percent = ALARM_RATES.map(|rate| 100.0 * rate);
        let curve = Curve::new(name, percent.into_iter().zip(means));
        curves.push(curve.with_deviations(errors));
    }
    panels(
        Path::new("out/anomaly_guarantee.svg"),
        "Alarms on new normal samples",
        Axis::linear("rate of false alarms in %"),
        &[Panel {
            axis: Axis::linear("alarms in %"),
            curves,
            names: Place::UpperLeft,
        }],
    )
}

/// Returns the columns as shares.
fn run(samples: usize, flags: usize, seed: u64) -> Result<[f64; COLUMNS.len()], Error> {
    let rng = &mut Xoshiro256PlusPlus::seed_from_u64(seed);
    let mix = Mix::from_fn(|_, _| rng.sample(StandardNormal));
    let training = with_flags(draw(&mix, NOISE[0], samples, rng), flags, rng);
    let detector = AnomalyEnsemble::builder().seed(seed).fit(training)?;
    let constant = detector.constant_features().count() as f64;
    let mut columns = [0.0; COLUMNS.len()];
    columns[0] = constant / (samples as f64 + 1.0);
    for _ in 0..BATCHES {
        let mut batch = draw(&mix, NOISE[1], NORMAL + ANOMALIES, rng);
        let normal = draw(&mix, NOISE[0], NORMAL, rng);
        batch.columns_mut(0, NORMAL).copy_from(&normal);
        let p_values = detector.p_values(with_flags(batch, flags, rng))?;
        let alarms = |rate| p_values.iter().take(NORMAL).filter(|&&p| p <= rate).count();
        let mut shares = Vec::from(ALARM_RATES.map(|rate| alarms(rate) as f64 / NORMAL as f64));
        for rate in DISCOVERY_RATES {
            // As `select` does.
            let selected = benjamini_hochberg(p_values.as_slice(), rate)?;
            let [wrong, found] = [&selected[..NORMAL], &selected[NORMAL..]]
                .map(|part| part.iter().filter(|&&selected| selected).count() as f64);
            shares.extend([wrong / (wrong + found).max(1.0), found / ANOMALIES as f64]);
        }
        for (mean, share) in columns[1..].iter_mut().zip(shares) {
            *mean += share / BATCHES as f64;
        }
    }
    Ok(columns)
}

fn draw(mix: &Mix, noise: f32, count: usize, rng: &mut Xoshiro256PlusPlus) -> DMatrix<f32> {
    let mut samples = DMatrix::zeros(FEATURES, count);
    for mut sample in samples.column_iter_mut() {
        let [u, v]: [f32; 2] = [(); 2].map(|()| rng.sample(StandardNormal));
        sample.copy_from(&(mix * Vector4::new(u, v, u * u, u * v)));
        for value in &mut sample {
            *value += noise * rng.sample(StudentT::new(3.0_f32).expect("above 0"));
        }
    }
    samples
}

fn with_flags(samples: DMatrix<f32>, flags: usize, rng: &mut Xoshiro256PlusPlus) -> DMatrix<f32> {
    let mut samples = samples.insert_rows(FEATURES, flags, 0.0);
    for flag in samples.rows_mut(FEATURES, flags).iter_mut() {
        *flag = f32::from(u8::from(rng.random_bool(RARE)));
    }
    samples
}
