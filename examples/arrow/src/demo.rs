//! Tables of handwritten digits: a column for each pixel.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use sparse_autoencoder::NpyFile;
use sparse_autoencoder::nalgebra::{DMatrix, DMatrixView};

use crate::table::{self, Result};

const BATCH: usize = 400;

/// Writes a table of 1200 digits and one of the others, and returns their paths and one for the result.
///
/// A tenth of the others has three pixels inverted, and a few pixels of both are null.
pub fn write() -> Result<[PathBuf; 3]> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/digits.npy");
    let mut digits: DMatrix<f32> = NpyFile::load(file)?; // 64 × 1797
    let damaged = |digit: usize| digit >= 1200 && digit.is_multiple_of(10);
    for digit in (0..digits.ncols()).filter(|&digit| damaged(digit)) {
        for k in 0..3 {
            let [row, column] = [k, 2 * k].map(|k| 2 + (digit / 10 + k) % 4); // in the middle
            let pixel = &mut digits[(8 * row + column, digit)];
            *pixel = 16.0 - *pixel;
        }
    }
    let names = ["normal", "new", "scored"];
    let paths = names.map(|name| Path::new("out").join(name).with_extension("arrow"));
    for (path, range) in paths.iter().zip([0..1200, 1200..digits.ncols()]) {
        let batches = range.clone().step_by(BATCH).map(|first| {
            let rows = BATCH.min(range.end - first);
            batch(digits.columns(first, rows), first, &damaged)
        });
        table::write(path, &batches.collect::<Result<Vec<_>>>()?)?;
    }
    Ok(paths)
}

/// Returns a batch with a name for each digit, its first pixels as integers, and the others as floats.
fn batch(
    digits: DMatrixView<'_, f32>,
    first: usize,
    damaged: &dyn Fn(usize) -> bool,
) -> Result<RecordBatch> {
    let name = |digit| match damaged(digit) {
        true => format!("digit {digit}, damaged"),
        false => format!("digit {digit}"),
    };
    let names = StringArray::from_iter_values((first..first + digits.ncols()).map(name));
    let mut columns: Vec<(String, ArrayRef)> = vec![("name".into(), Arc::new(names))];
    for (pixel, values) in digits.row_iter().enumerate() {
        let known = |row: usize| !(37 * row + pixel).is_multiple_of(4001);
        let values = (0..).zip(values.iter());
        let values = values.map(|(row, &value)| known(row).then_some(value));
        #[allow(clippy::cast_possible_truncation)] // from 0 to 16
        let column: ArrayRef = match pixel {
            0..32 => Arc::new(Int32Array::from_iter(values.map(|x| x.map(|x| x as i32)))),
            _ => Arc::new(Float64Array::from_iter(values.map(|x| x.map(f64::from)))),
        };
        columns.push((format!("pixel_{pixel}"), column));
    }
    let columns = columns
        .into_iter()
        .map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}
