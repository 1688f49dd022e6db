//! Learns the normal rows of an Arrow table, and adds anomaly scores, p-values, and contributions to those of
//! another.
//!
//! ```sh
//! cargo run --release -- NORMAL.arrow NEW.arrow SCORED.arrow
//! ```
//!
//! Without arguments, it makes tables of handwritten digits, and inverts pixels of some.

mod demo;
mod table;

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{ArrayRef, Float32Array, Float64Array};
use sparse_autoencoder::{AnomalyEnsemble, MissingValues};
use table::{Result, matrix, with_columns};

/// The names of the added columns, which are no features.
const ADDED: [&str; 3] = ["anomaly_score", "p_value", "contributions"];

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [normal, new, scored] = match <[PathBuf; 3]>::try_from(arguments) {
        Ok(paths) => paths,
        Err(none) if none.is_empty() => demo::write()?,
        Err(_) => return Err("expected NORMAL.arrow NEW.arrow SCORED.arrow".into()),
    };

    let normal = table::read(&normal)?;
    let schema = normal.first().ok_or("no rows to learn from")?.schema();
    let mut features = table::numeric(&schema);
    features.retain(|name| !ADDED.contains(&name.as_str()));
    let samples = matrix(&normal, &features)?;
    let detector = AnomalyEnsemble::builder()
        .missing_values(MissingValues::Impute)
        .fit(&samples)?;
    println!(
        "learned {} features of {} rows",
        features.len(),
        samples.ncols()
    );

    // A batch at a time: only its numbers are copied.
    let mut batches = Vec::new();
    for batch in table::read(&new)? {
        let samples = matrix(std::slice::from_ref(&batch), &features)?;
        let scores = Float32Array::from(Vec::from(detector.scores(&samples)?.data));
        let p_values = Float64Array::from(Vec::from(detector.p_values(&samples)?.data));
        let contributions = table::column_of_vectors(detector.contributions(&samples)?)?;
        let added: [ArrayRef; 3] = [
            Arc::new(scores),
            Arc::new(p_values),
            Arc::new(contributions),
        ];
        let added = ADDED.into_iter().zip(added).collect();
        batches.push(with_columns(&batch, added)?);
    }
    table::write(&scored, &batches)?;
    println!("wrote {}", scored.display());

    let (mut rows, mut alarms) = (Vec::new(), 0);
    for batch in table::read(&scored)? {
        let column = |name| batch.column_by_name(name).ok_or("a column is missing");
        let scores = column(ADDED[0])?.as_primitive::<Float32Type>().values();
        let p_values = column(ADDED[1])?.as_primitive::<Float64Type>().values();
        let contributions = table::vectors(column(ADDED[2])?.as_fixed_size_list())?;
        alarms += p_values.iter().filter(|p| **p <= 0.01).count();
        for (row, contributions) in contributions.column_iter().enumerate() {
            let most = contributions.imax();
            let share = 100.0 * contributions[most] / scores[row];
            rows.push((scores[row], p_values[row], share, &features[most]));
        }
    }
    println!(
        "{alarms} of {} rows have a p-value of at most 0.01. The highest scores:",
        rows.len()
    );
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (score, p_value, share, feature) in rows.iter().take(5) {
        println!("  score {score:.0}, p-value {p_value:.4}, {share:.0} % by {feature}");
    }
    Ok(())
}
