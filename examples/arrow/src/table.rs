//! Arrow tables as matrices of samples, and matrices as Arrow columns.
//!
//! A column of numbers is a feature, and a row is a sample. The library stores the features of a sample side by
//! side, and Arrow the rows of a column. [`matrix`] therefore copies each number once. A column of vectors has
//! the order of the library, so that [`vectors`] and [`column_of_vectors`] copy nothing.

use std::error::Error;
use std::fs::{File, create_dir_all};
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, FixedSizeListArray, Float32Array, RecordBatch};
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use sparse_autoencoder::nalgebra::{DMatrix, DMatrixView};
use sparse_autoencoder::{into_rows, view_rows};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Reads the batches of an Arrow IPC file, except empty ones.
pub fn read(path: &Path) -> Result<Vec<RecordBatch>> {
    let file = FileReader::try_new_buffered(File::open(path)?, None)?;
    let has_rows = |batch: &std::result::Result<RecordBatch, ArrowError>| {
        batch.as_ref().map_or(true, |batch| batch.num_rows() > 0)
    };
    Ok(file
        .filter(has_rows)
        .collect::<std::result::Result<_, _>>()?)
}

/// Writes batches of the same columns to an Arrow IPC file, and creates its folder.
pub fn write(path: &Path, batches: &[RecordBatch]) -> Result<()> {
    let first = batches.first().ok_or("a table without rows")?;
    path.parent().map_or(Ok(()), create_dir_all)?;
    let mut file = FileWriter::try_new_buffered(File::create(path)?, &first.schema())?;
    for batch in batches {
        file.write(batch)?;
    }
    Ok(file.finish()?)
}

/// Returns the names of the columns of numbers.
pub fn numeric(schema: &Schema) -> Vec<String> {
    let fields = schema.fields().iter();
    let numbers = fields.filter(|field| field.data_type().is_numeric());
    numbers.map(|field| field.name().clone()).collect()
}

/// Copies columns of numbers to a matrix, features × rows of all batches. A null becomes NaN.
pub fn matrix(batches: &[RecordBatch], features: &[String]) -> Result<DMatrix<f32>> {
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    let mut matrix = DMatrix::zeros(features.len(), rows);
    let mut first = 0;
    for batch in batches {
        for (feature, name) in features.iter().enumerate() {
            let mut row = matrix.view_mut((feature, first), (1, batch.num_rows()));
            let numbers = column(batch, name)?;
            copy(numbers, row.iter_mut()).map_err(|error| format!("column {name}: {error}"))?;
        }
        first += batch.num_rows();
    }
    Ok(matrix)
}

/// Views a column of vectors as a matrix, entries × rows, without a copy.
pub fn vectors(column: &FixedSizeListArray) -> Result<DMatrixView<'_, f32>> {
    let values = column.values().as_primitive_opt::<Float32Type>();
    let values = values.ok_or_else(|| format!("no vectors of f32: {}", column.data_type()))?;
    if column.null_count() + values.null_count() > 0 {
        return Err("the vectors have nulls".into());
    }
    Ok(view_rows(
        values.values(),
        usize::try_from(column.value_length())?,
    )?)
}

/// Makes a column of vectors from a matrix, entries × rows, without a copy.
pub fn column_of_vectors(matrix: DMatrix<f32>) -> Result<FixedSizeListArray> {
    let entries = i32::try_from(matrix.nrows())?;
    let field = Arc::new(Field::new_list_field(DataType::Float32, false));
    let values = Arc::new(Float32Array::from(into_rows(matrix)));
    Ok(FixedSizeListArray::try_new(field, entries, values, None)?)
}

/// Adds columns to a batch, instead of those of the same names. The others are shared, not copied.
pub fn with_columns(batch: &RecordBatch, added: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let schema = batch.schema();
    let kept = schema.fields().iter().zip(batch.columns());
    let kept = kept.filter(|(field, _)| added.iter().all(|(name, _)| field.name() != name));
    let (mut fields, mut columns): (Vec<_>, Vec<_>) =
        kept.map(|(f, c)| (Arc::clone(f), Arc::clone(c))).unzip();
    for (name, column) in added {
        fields.push(Arc::new(Field::new(
            name,
            column.data_type().clone(),
            false,
        )));
        columns.push(column);
    }
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array> {
    let column = batch.column_by_name(name);
    Ok(column.ok_or_else(|| format!("there is no column {name}"))?)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // rounded to f32
fn copy<'a>(column: &dyn Array, target: impl Iterator<Item = &'a mut f32>) -> Result<()> {
    fn each<'a, P: ArrowPrimitiveType>(
        column: &dyn Array,
        target: impl Iterator<Item = &'a mut f32>,
        number: impl Fn(P::Native) -> f32,
    ) {
        for (target, value) in target.zip(column.as_primitive::<P>()) {
            *target = value.map_or(f32::NAN, &number);
        }
    }
    match column.data_type() {
        DataType::Float32 => each::<Float32Type>(column, target, |x| x),
        DataType::Float64 => each::<Float64Type>(column, target, |x| x as f32),
        DataType::Int8 => each::<Int8Type>(column, target, f32::from),
        DataType::Int16 => each::<Int16Type>(column, target, f32::from),
        DataType::Int32 => each::<Int32Type>(column, target, |x| x as f32),
        DataType::Int64 => each::<Int64Type>(column, target, |x| x as f32),
        DataType::UInt8 => each::<UInt8Type>(column, target, f32::from),
        DataType::UInt16 => each::<UInt16Type>(column, target, f32::from),
        DataType::UInt32 => each::<UInt32Type>(column, target, |x| x as f32),
        DataType::UInt64 => each::<UInt64Type>(column, target, |x| x as f32),
        other => return Err(format!("{other} must be converted to a float first").into()),
    }
    Ok(())
}
