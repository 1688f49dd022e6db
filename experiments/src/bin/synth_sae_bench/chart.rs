//! The chart of the lines that runs have written.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::iter::once;
use std::path::Path;

use experiments::chart;
use experiments::chart::curves::{Axis, Curve, Panel, Place};
use experiments::report::mean_and_deviation;
use serde::Deserialize;

use crate::method::Method;

/// What the chart takes from a line.
#[derive(Deserialize)]
struct Line {
    variant: String,
    selection: String,
    samples: f64,
    target_l0: f64,
    anneal_from: Option<f64>,
    lr: f64,
    /// Whether the recipe has changed since.
    #[serde(default)]
    earlier: bool,
    seed: u64,
    samples_seen: f64,
    f1: f64,
    mcc: f64,
}

impl Line {
    /// Returns the settings that tell the curves of a method apart.
    fn settings(&self) -> String {
        let from = self.anneal_from.filter(|&k| k > self.target_l0);
        let from = from.map_or(String::new(), |k| format!(", k from {k}"));
        format!("{} million, rate {:e}{from}", self.samples / 1e6, self.lr)
    }
}

/// The least number of evaluations for a curve.
const POINTS: usize = 3;

/// F1 and MCC of each seed, for each number of samples.
type Points = BTreeMap<u64, BTreeMap<u64, [f64; 2]>>;

/// Draws F1 and MCC over the samples seen, a curve for each method and settings with at least [`POINTS`] evaluations.
/// The last line counts where a run was continued.
pub fn draw(files: &[&str], path: &Path) -> Result<(), Box<dyn Error>> {
    let mut runs: BTreeMap<usize, BTreeMap<String, Points>> = BTreeMap::new();
    for file in files {
        for line in fs::read_to_string(file)?.lines() {
            let line: Line = serde_json::from_str(line)?;
            let order = Method::ALL
                .iter()
                .position(|(name, _)| *name == line.variant);
            // Baselines that do not learn have no curve. Only the last evaluation also selects over a batch.
            let drawn = order.filter(|_| {
                line.samples_seen > 0.0 && line.selection == "inference" && !line.earlier
            });
            if let Some(order) = drawn {
                let of_method = runs.entry(order).or_default();
                let points = of_method.entry(line.settings()).or_default();
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a whole number
                let of_seeds = points.entry(line.samples_seen as u64).or_default();
                of_seeds.insert(line.seed, [line.f1, line.mcc]);
            }
        }
    }
    for of_method in runs.values_mut() {
        of_method.retain(|_, points| points.len() >= POINTS);
    }
    let panel = |name, which| Panel {
        axis: Axis::linear(name),
        curves: curves(&runs, which),
        names: Place::LowerRight,
    };
    chart::curves::panels(
        path,
        "SynthSAEBench-16k: features found again",
        Axis::logarithmic("millions of samples"),
        &[panel("MCC", 1), panel("F1", 0)],
    )
}

/// Returns the curves of a quantity. The settings are named in which those of a method differ.
fn curves(runs: &BTreeMap<usize, BTreeMap<String, Points>>, which: usize) -> Vec<Curve> {
    let mut curves = Vec::new();
    for (&order, of_method) in runs {
        let (name, _) = Method::ALL[order];
        for (settings, points) in of_method {
            let points = points.iter().map(|(&seen, of_seeds)| {
                let of_seeds = of_seeds.values().map(|values| values[which]);
                let (mean, deviation) = mean_and_deviation(&of_seeds.collect::<Vec<_>>());
                #[allow(clippy::cast_precision_loss)]
                let millions = seen as f64 / 1e6;
                ((millions, mean), deviation)
            });
            let (points, deviations): (Vec<_>, Vec<_>) = points.unzip();
            let shared = |part: &&str| {
                (of_method.keys()).all(|other| other.split(", ").any(|of| of == *part))
            };
            let own = settings.split(", ").filter(|part| !shared(part));
            let name = once(name).chain(own).collect::<Vec<_>>().join(", ");
            curves.push(Curve::new(&name, points).with_deviations(deviations));
        }
    }
    curves
}
