//! Directions of features, made more orthogonal.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use rayon::prelude::*;
use sparse_autoencoder::nalgebra::{DMatrix, DMatrixView};

const STEPS: i32 = 100;
const LEARNING_RATE: f32 = 3e-4;
/// Columns of a product; the sum over blocks does not depend on the number of threads.
const BLOCK: usize = 1024;

/// Minimizes, over the columns of `directions`,
///
/// ```text
/// Σ_{i≠j} ⟨dᵢ, dⱼ⟩² + n Σᵢ (‖dᵢ‖² − 1)²     n columns
/// ```
///
/// by 100 steps of Adam with a learning rate of 3e-4, then scales the columns to norm 1. As the gradient
/// is `4 (D Dᵀ D − D diag(‖dᵢ‖² − n (‖dᵢ‖² − 1)))`, no product of all pairs is needed.
pub fn make_orthogonal(directions: &mut DMatrix<f32>) {
    normalize(directions);
    let (rows, columns) = directions.shape();
    #[allow(clippy::cast_precision_loss)]
    let n = columns as f32;
    let mut first = vec![0.0_f32; rows * columns];
    let mut second = first.clone();
    for step in 1..=STEPS {
        let spread = spread(directions);
        let unbiased = [1.0 - 0.9_f32.powi(step), 1.0 - 0.999_f32.powi(step)];
        let of_block = rows * BLOCK;
        let moments = first
            .par_chunks_mut(of_block)
            .zip(second.par_chunks_mut(of_block));
        let blocks = directions
            .as_mut_slice()
            .par_chunks_mut(of_block)
            .zip(moments);
        blocks.for_each(|(block, (first, second))| {
            let view = DMatrixView::from_slice(block, rows, block.len() / rows);
            let mut gradient = &spread * view;
            for (mut gradient, column) in gradient.column_iter_mut().zip(view.column_iter()) {
                let square = column.norm_squared();
                gradient.axpy(n * (square - 1.0) - square, &column, 1.0);
                gradient *= 4.0;
            }
            let moments = first.iter_mut().zip(second);
            for ((d, g), (first, second)) in block.iter_mut().zip(&gradient).zip(moments) {
                *first = 0.9 * *first + 0.1 * g;
                *second = 0.999 * *second + 0.001 * g * g;
                let scale = (*second / unbiased[1]).sqrt() + 1e-8;
                *d -= LEARNING_RATE * (*first / unbiased[0]) / scale;
            }
        });
    }
    normalize(directions);
}

/// D Dᵀ
fn spread(directions: &DMatrix<f32>) -> DMatrix<f32> {
    let rows = directions.nrows();
    let blocks = directions.as_slice().par_chunks(rows * BLOCK);
    let products = blocks.map(|block| {
        let block = DMatrixView::from_slice(block, rows, block.len() / rows);
        block * block.transpose()
    });
    let products = products.collect::<Vec<_>>();
    let zero = DMatrix::zeros(rows, rows);
    products.iter().fold(zero, |sum, product| sum + product)
}

pub(super) fn normalize(directions: &mut DMatrix<f32>) {
    for mut direction in directions.column_iter_mut() {
        direction.normalize_mut();
    }
}

/// Returns the mean over the directions of the largest absolute cosine with another direction.
pub fn superposition(directions: &DMatrix<f32>) -> f64 {
    let blocks = (0..directions.ncols()).step_by(BLOCK).collect::<Vec<_>>();
    let largest = blocks.par_iter().map(|&start| {
        let block = directions.columns(start, BLOCK.min(directions.ncols() - start));
        let mut cosines = directions.tr_mul(&block);
        let columns = cosines.column_iter_mut().enumerate();
        let largest = columns.map(|(index, mut column)| {
            column[start + index] = 0.0;
            f64::from(column.amax())
        });
        largest.sum::<f64>()
    });
    let sum = largest.collect::<Vec<_>>().iter().sum::<f64>();
    #[allow(clippy::cast_precision_loss)]
    let count = directions.ncols() as f64;
    sum / count
}

/// Reads a matrix of this shape from a file of little-endian numbers, column by column. `None` if there is
/// no such file, or one of another length.
pub(super) fn read(path: &Path, rows: usize, columns: usize) -> Option<DMatrix<f32>> {
    let bytes = fs::read(path).ok()?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    (rest.is_empty() && numbers.len() == rows * columns).then(|| {
        let numbers = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes));
        DMatrix::from_iterator(rows, columns, numbers)
    })
}

/// Writes such a file. Others see it only when it is complete.
pub(super) fn write(path: &Path, matrix: &DMatrix<f32>) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let part = path.with_extension(format!("part{}", std::process::id()));
    let bytes = matrix.iter().flat_map(|number| number.to_le_bytes());
    File::create(&part)?.write_all(&bytes.collect::<Vec<_>>())?;
    fs::rename(&part, path)
}
