//! Logs of steps and epochs, as CSV or JSON Lines.

use std::fmt::{Debug, Write as _};
use std::io;

use super::{Epoch, Event, Step};
use crate::objective::Loss;
use crate::{Error, Real};

/// Writes steps or epochs of a fit as CSV or [JSON Lines](https://jsonlines.org), one line each.
///
/// ```
/// use sparse_autoencoder::{Adam, Event, LogWriter, SparseAutoencoder, Trainer, nalgebra::DMatrix};
/// # let path = std::env::temp_dir().join(format!("sparse-autoencoder-log-{}.csv", std::process::id()));
///
/// let samples = DMatrix::from_fn(6, 120, |i, j| ((i + j) % 6) as f64 / 5.0);
/// let mut sae = SparseAutoencoder::builder().layers([6, 9]).build()?;
/// let mut trainer = Trainer::new(Adam::new(1e-2)?).epochs(20);
///
/// let mut log = LogWriter::csv(std::fs::File::create(&path).unwrap());
/// trainer.fit_with(&mut sae, &samples, |epoch| log.write(epoch))?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 21); // with the header
/// # std::fs::remove_file(&path).unwrap();
///
/// let mut log = LogWriter::json_lines(Vec::new());
/// trainer.fit_with_steps(&mut sae, &samples, |event| match event {
///     Event::Step(step) if step.number % 10 == 0 => log.write(step),
///     _ => Ok(()),
/// })?;
/// assert!(log.into_inner().starts_with(b"{\"kind\":\"step\",\"step\":10,\"steps\":20,"));
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
///
/// The columns of CSV, and the keys of JSON, in the order of a step's row. The row of an epoch begins with `epoch`,
/// `epochs`, `step`, `samples`:
///
/// | column | of | value |
/// |---|---|---|
/// | `kind` | both, JSON only | `"step"` or `"epoch"` |
/// | `step` | both | steps so far |
/// | `steps` | steps | steps of all epochs |
/// | `epoch` | both | epoch, counted from 1 |
/// | `epochs` | epochs | epochs of the fit |
/// | `samples` | both | samples in all steps so far |
/// | `loss` | both | the sum of the next four |
/// | `reconstruction`, `weight_decay`, `sparsity`, `auxiliary` | both | the terms of [`Loss`](crate::Loss) |
/// | `l0` | both | active units per sample |
/// | `explained_variance` | both | explained variance, at most 1 |
/// | `dead_units` | both | number of dead units |
/// | `learning_rate` | both | learning rate of the (last) step |
/// | `penalty_weight` | both | β of the innermost layer in the (last) step |
/// | `set_point` | both | measured sparsity of a [set point](crate::SetPoint) |
/// | `validation_loss`, `validation_reconstruction`, … | epochs | the loss and its terms on the samples held out |
/// | `validation_l0` | epochs | active units per sample held out |
/// | `validation_explained_variance` | epochs | explained variance on the samples held out |
///
/// Rows of a [classifier](crate::SoftmaxClassifier) begin with the same columns up to `samples`. Then follow `loss`,
/// `cross_entropy`, `weight_decay`, `learning_rate`, and of epochs `validation_loss`,
/// `validation_cross_entropy`, `validation_weight_decay`. Their kinds are `"classifier step"` and
/// `"classifier epoch"`.
///
/// Every row has all columns of its kind. A value that does not apply is empty in CSV and `null` in JSON, which also
/// has `null` for numbers that are not finite. Numbers have the fewest digits that give the same bits when read as
/// their own type: the scalar of the model, or `f64`.
///
/// Each row is one call of [`write_all`](io::Write::write_all), so that a file needs no buffer and a program can
/// follow it. A log of many short steps is faster in a [`BufWriter`](io::BufWriter), which the program flushes.
/// Once the longest row is written, no row allocates.
#[derive(Debug)]
#[must_use]
pub struct LogWriter<W> {
    out: W,
    is_json: bool,
    has_header: bool,
    /// The kind of the rows so far.
    kind: Option<&'static str>,
    line: String,
}

impl<W: io::Write> LogWriter<W> {
    fn new(out: W, is_json: bool) -> Self {
        Self {
            out,
            is_json,
            has_header: !is_json,
            kind: None,
            line: String::new(),
        }
    }

    /// Creates a log of comma-separated values, with a row of the names of the columns first.
    ///
    /// All rows must be of one kind: steps or epochs.
    pub fn csv(out: W) -> Self {
        Self::new(out, false)
    }

    /// Creates a log of one JSON object per line. Steps and epochs may alternate.
    pub fn json_lines(out: W) -> Self {
        Self::new(out, true)
    }

    /// Leaves out the names of the columns, to append to the log of a fit that resumes.
    pub fn without_header(mut self) -> Self {
        self.has_header = false;
        self
    }

    /// Writes a row: a [`Step`], an [`Epoch`], those of a classifier, or the [`Event`] that contains either.
    ///
    /// # Errors
    ///
    /// [`Error::Unwritable`] if the row cannot be written. [`Error::Incompatible`] for a row of another kind in
    /// CSV. Either [ends the fit](super::Verdict) if the observer returns it.
    pub fn write(&mut self, row: &impl LogRow) -> Result<(), Error> {
        let kind = row.kind();
        self.line.clear();
        if self.is_json {
            let _ = write!(self.line, "{{\"kind\":\"{kind}\""); // a string cannot fail
            row.cells(&mut Cells(&mut self.line, Style::Json));
            self.line.push_str("}\n");
        } else {
            if self.kind.is_some_and(|written| written != kind) {
                return Err(Error::Incompatible {
                    what: "a CSV log",
                    other: "rows of several kinds: write steps or epochs only, or JSON Lines",
                });
            }
            if self.has_header {
                row.cells(&mut Cells(&mut self.line, Style::Names));
                self.end_row(0);
            }
            let start = self.line.len();
            row.cells(&mut Cells(&mut self.line, Style::Csv));
            self.end_row(start);
        }
        let written = self.out.write_all(self.line.as_bytes());
        written.map_err(|error| Error::Unwritable {
            kind: error.kind(),
            message: error.to_string(),
        })?;
        // A row that failed may be written again.
        (self.has_header, self.kind) = (false, Some(kind));
        Ok(())
    }

    /// Returns the underlying writer.
    pub fn into_inner(self) -> W {
        self.out
    }

    /// Replaces the comma before the first cell of the row, and ends the line.
    fn end_row(&mut self, start: usize) {
        self.line.remove(start);
        self.line.push('\n');
    }
}

/// A row of a [`LogWriter`]: a step, an epoch, or an event. The trait is sealed.
pub trait LogRow {
    /// Returns the kind of the row, which determines its columns.
    #[doc(hidden)]
    fn kind(&self) -> &'static str;

    /// Adds the cells.
    #[doc(hidden)]
    fn cells(&self, cells: &mut Cells<'_>);
}

#[derive(Debug, Clone, Copy)]
enum Style {
    Names,
    Csv,
    Json,
}

/// The cells of a row, each after a comma.
#[doc(hidden)]
#[derive(Debug)]
pub struct Cells<'a>(&'a mut String, Style);

impl Cells<'_> {
    /// Adds a number, whose `Debug` text gives it back.
    pub(crate) fn add(&mut self, name: &str, value: Option<impl Debug>) {
        let Self(line, style) = self;
        line.push(',');
        match style {
            Style::Names => line.push_str(name),
            Style::Csv => {
                if let Some(value) = value {
                    let _ = write!(line, "{value:?}");
                }
            }
            Style::Json => {
                let _ = write!(line, "\"{name}\":");
                let start = line.len();
                if let Some(value) = value {
                    let _ = write!(line, "{value:?}");
                }
                if !line[start..].ends_with(|last: char| last.is_ascii_digit()) {
                    line.truncate(start);
                    line.push_str("null"); // absent, NaN, or infinite
                }
            }
        }
    }

    fn add_loss<T: Real>(&mut self, names: [&str; 5], loss: Option<Loss<T>>) {
        let [total, reconstruction, weight_decay, sparsity, auxiliary] = names;
        self.add(total, loss.map(|loss| loss.total()));
        self.add(reconstruction, loss.map(|loss| loss.reconstruction));
        self.add(weight_decay, loss.map(|loss| loss.weight_decay));
        self.add(sparsity, loss.map(|loss| loss.sparsity));
        self.add(auxiliary, loss.map(|loss| loss.auxiliary));
    }
}

const LOSS: [&str; 5] = [
    "loss",
    "reconstruction",
    "weight_decay",
    "sparsity",
    "auxiliary",
];
const VALIDATION: [&str; 5] = [
    "validation_loss",
    "validation_reconstruction",
    "validation_weight_decay",
    "validation_sparsity",
    "validation_auxiliary",
];

/// Adds what steps and epochs have both.
macro_rules! measured {
    ($row:ident, $cells:ident) => {
        $cells.add_loss(LOSS, Some($row.loss));
        $cells.add("l0", $row.l0);
        $cells.add("explained_variance", $row.explained_variance);
        $cells.add("dead_units", $row.dead_units);
        $cells.add("learning_rate", $row.learning_rate);
        $cells.add("penalty_weight", Some($row.penalty_weight));
        $cells.add("set_point", $row.set_point.map(|state| state.measured));
    };
}

impl<T: Real> LogRow for Step<'_, T> {
    fn kind(&self) -> &'static str {
        "step"
    }

    fn cells(&self, cells: &mut Cells<'_>) {
        cells.add("step", Some(self.number));
        cells.add("steps", Some(self.of));
        cells.add("epoch", Some(self.epoch));
        cells.add("samples", Some(self.samples));
        measured!(self, cells);
    }
}

impl<T: Real> LogRow for Epoch<'_, T> {
    fn kind(&self) -> &'static str {
        "epoch"
    }

    fn cells(&self, cells: &mut Cells<'_>) {
        cells.add("epoch", Some(self.number));
        cells.add("epochs", Some(self.of));
        cells.add("step", Some(self.steps));
        cells.add("samples", Some(self.samples));
        measured!(self, cells);
        cells.add_loss(VALIDATION, self.validation_loss);
        cells.add("validation_l0", self.validation_l0);
        let explained = self.validation_explained_variance;
        cells.add("validation_explained_variance", explained);
    }
}

/// Makes an event a row: that of its step or epoch.
macro_rules! row_of_event {
    ($event:ident) => {
        impl<T: Real> LogRow for $event<'_, T> {
            fn kind(&self) -> &'static str {
                match self {
                    Self::Step(step) => step.kind(),
                    Self::Epoch(epoch) => epoch.kind(),
                }
            }

            fn cells(&self, cells: &mut Cells<'_>) {
                match self {
                    Self::Step(step) => step.cells(cells),
                    Self::Epoch(epoch) => epoch.cells(cells),
                }
            }
        }
    };
}

pub(crate) use row_of_event;

row_of_event!(Event);
