//! The chart of the lines that runs have written.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use experiments::chart;
use experiments::chart::curves::{Axis, Curve, Panel, Place};
use experiments::report::mean_and_deviation;

use crate::method::Method;
use crate::options::value;

/// The value of each seed, for each method and number of samples.
type Values = BTreeMap<(usize, u64), BTreeMap<u64, f64>>;

/// Draws F1 and MCC over the samples seen. The last line counts where a run was continued.
pub fn draw(files: &[&str], path: &Path) -> Result<(), Box<dyn Error>> {
    let [mut f1, mut mcc] = [Values::new(), Values::new()];
    for file in files {
        for line in fs::read_to_string(file)?.lines() {
            let name = field(line, "variant")?.trim_matches('"');
            let order = Method::ALL.iter().position(|(known, _)| *known == name);
            let seen: u64 = value("samples_seen", field(line, "samples_seen")?)?;
            let seed = value("seed", field(line, "seed")?)?;
            // Baselines that do not learn have no curve.
            if let Some(order) = order.filter(|_| seen > 0) {
                for (values, key) in [(&mut f1, "f1"), (&mut mcc, "mcc")] {
                    let number = value(key, field(line, key)?)?;
                    values
                        .entry((order, seen))
                        .or_default()
                        .insert(seed, number);
                }
            }
        }
    }
    let panel = |name, values| Panel {
        axis: Axis::linear(name),
        curves: curves(values),
        names: Place::LowerMiddle,
    };
    chart::curves::panels(
        path,
        "SynthSAEBench-16k: features found again",
        Axis::linear("millions of samples"),
        &[panel("F1", &f1), panel("MCC", &mcc)],
    )
}

fn curves(values: &Values) -> Vec<Curve> {
    let of_method = |(order, (name, _)): (usize, &(&'static str, Method))| {
        let range = values.range((order, 0)..=(order, u64::MAX));
        let points = range.map(|(&(_, seen), of_seeds)| {
            let of_seeds = of_seeds.values().copied().collect::<Vec<_>>();
            let (mean, deviation) = mean_and_deviation(&of_seeds);
            #[allow(clippy::cast_precision_loss)]
            let millions = seen as f64 / 1e6;
            ((millions, mean), deviation)
        });
        let (points, deviations): (Vec<_>, Vec<_>) = points.unzip();
        (!points.is_empty()).then(|| Curve::new(name, points).with_deviations(deviations))
    };
    Method::ALL
        .iter()
        .enumerate()
        .filter_map(of_method)
        .collect()
}

/// Returns the text of a value of a line of JSON without nested values.
fn field<'a>(line: &'a str, key: &str) -> Result<&'a str, Box<dyn Error>> {
    let (_, rest) = line
        .split_once(&format!("\"{key}\": "))
        .ok_or_else(|| format!("{key} is missing in {line}"))?;
    Ok(rest.split([',', '}']).next().unwrap_or(rest))
}
