//! The error type of the crate, and the functions that build its most frequent variants.

use std::io;
use std::path::{Path, PathBuf};

use crate::validate::SAMPLES;
use crate::{Activation, Real};

/// The error of every fallible function of the crate.
///
/// Variants name the parameter or quantity, the requirement, and the value that violates it. Numbers
/// are `f64`, which represents every `f32` exactly.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter is outside its range.
    #[error("{name} must be {requirement}, got {}", figure(*value))]
    InvalidParameter {
        /// The setter or argument.
        name: &'static str,
        /// The accepted values.
        requirement: &'static str,
        /// The given value.
        value: f64,
    },
    /// A penalty, a loss, or another setting is not defined for an activation.
    #[error("{what} is not defined for {activation:?} activations: {requirement}")]
    UnsupportedActivation {
        /// The setting, such as a penalty.
        what: &'static str,
        /// The refused activation.
        activation: Activation,
        /// The requirement on the activation.
        requirement: &'static str,
    },
    /// Two settings exclude each other.
    #[error("{what} cannot be used with {other}")]
    Incompatible {
        /// The refused setting.
        what: &'static str,
        /// The setting that excludes it.
        other: &'static str,
    },
    /// A matrix, vector, or slice has the wrong size.
    #[error("{what}: expected {expected}, got {actual}{}", remedy(what))]
    DimensionMismatch {
        /// The quantity, such as "rows of the samples".
        what: &'static str,
        /// The required size.
        expected: usize,
        /// The given size.
        actual: usize,
    },
    /// A matrix or array has gaps in memory, or another order than required.
    #[error("{what} must be contiguous in memory: {remedy}")]
    NotContiguous {
        /// The matrix or array.
        what: &'static str,
        /// How to copy it into the required order.
        remedy: &'static str,
    },
    /// A batch has no samples.
    #[error("{what}: at least one sample is needed, got none")]
    EmptyBatch {
        /// The batch.
        what: &'static str,
    },
    /// A class has no samples: no label names it.
    #[error(
        "class {class}: at least one sample is needed, got none; every class from 0 on needs samples besides those \
         held out (see `validation_split`)"
    )]
    EmptyClass {
        /// The class, counted from 0.
        class: usize,
    },
    /// Data or parameters contain NaN or an infinity.
    #[error(
        "{what} must be finite, got {} at row {row}, column {column}{}",
        figure(*value),
        remedy_of_missing(what, *value)
    )]
    NonFinite {
        /// The matrix.
        what: &'static str,
        /// Its row, counted from 0.
        row: usize,
        /// Its column, counted from 0; for data, the index of the sample.
        column: usize,
        /// The value found.
        value: f64,
    },
    /// A value of the data is outside the required range.
    #[error("{what} must be {requirement}, got {} at row {row}, column {column}", figure(*value))]
    OutOfRange {
        /// The matrix.
        what: &'static str,
        /// The accepted values.
        requirement: &'static str,
        /// Its row, counted from 0.
        row: usize,
        /// Its column, counted from 0; for data, the index of the sample.
        column: usize,
        /// The value found.
        value: f64,
    },
    /// There are fewer samples than the operation needs.
    #[error(
        "{what}: at least {needed} are needed, got {actual}{}",
        remedy_of_few(what)
    )]
    TooFewSamples {
        /// The samples and their purpose.
        what: &'static str,
        /// The smallest sufficient number.
        needed: usize,
        /// The given number.
        actual: usize,
    },
    /// A feature is constant and has no scale.
    #[error(
        "feature {feature} is {value} in every sample that the scaling learns from, or nearly so, and cannot be \
         scaled: drop it, or call `keep_constant_features`"
    )]
    ConstantFeature {
        /// The row of the samples, counted from 0.
        feature: usize,
        /// Its value.
        value: f64,
    },
    /// A feature has no value: it is missing in every sample.
    #[error("feature {feature} is missing in every sample: drop it")]
    MissingFeature {
        /// The row of the samples, counted from 0.
        feature: usize,
    },
    /// All labels are of one class where both are needed.
    #[error("the labels must contain both classes, got {samples} samples, all {class}")]
    OneClass {
        /// Whether this class is the positive one, such as anomalies.
        class: bool,
        /// The number of samples.
        samples: usize,
    },
    /// The loss or its gradient is no longer finite. The model keeps its last finite parameters, or with `patience`
    /// those of the best epoch.
    #[error(
        "training diverged at step {step}: the loss or its gradient is not finite (loss {loss}); lower the learning \
         rate, clip the gradient (see `clip_gradient`), or scale the samples (see `Scaling`)"
    )]
    Diverged {
        /// The step, counted from 1. A loss on samples held out is that after the step.
        step: u64,
        /// The loss; finite if only its gradient is not.
        loss: f64,
    },
    /// Nothing has the given name.
    #[error("there is no {what} {name:?}{}", listed(known, *of))]
    UnknownName {
        /// What was looked for, such as a tensor.
        what: &'static str,
        /// The given name.
        name: String,
        /// The names that exist, or the first of many.
        known: Vec<String>,
        /// The number of names that exist.
        of: usize,
    },
    /// A file could not be read or written.
    #[error("{}: {message}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The kind of the system's error, for programs.
        kind: io::ErrorKind,
        /// The message of the system, for people.
        message: String,
    },
    /// [Samples](crate::Samples) could not be read from their source.
    #[error("samples could not be read: {message}")]
    Unreadable {
        /// The kind of the source's error, for programs.
        kind: io::ErrorKind,
        /// The message of the source, for people.
        message: String,
    },
    /// Input or output in your own code failed. `?` converts an [`io::Error`] to this.
    ///
    /// In [`Samples::read`](crate::Samples::read) it becomes an [`Error::Unreadable`], in
    /// [`AllReduce::sum`](crate::AllReduce::sum) an [`Error::Processes`].
    #[error("input or output failed: {message}")]
    InputOutput {
        /// The kind of the error, for programs.
        kind: io::ErrorKind,
        /// The message of the error, for people.
        message: String,
    },
    /// A sum over processes failed: see [`AllReduce`](crate::AllReduce).
    #[error("a sum over the processes failed: {message}")]
    Processes {
        /// The kind of the error, for programs.
        kind: io::ErrorKind,
        /// The message of the error, for people.
        message: String,
    },
    /// A log could not be written.
    #[error("the log could not be written: {message}")]
    Unwritable {
        /// The kind of the writer's error, for programs.
        kind: io::ErrorKind,
        /// The message of the writer, for people.
        message: String,
    },
    /// A file violates its format: it is damaged, cut off, or forged.
    #[error("{} is malformed: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The requirement and the contents found.
        reason: String,
    },
    /// A setting differs from the one stored in the checkpoint.
    #[error("{}: {setting} must be {saved} as in the checkpoint, got {given}", path.display())]
    OtherSetting {
        /// The checkpoint.
        path: PathBuf,
        /// The setting of the model, the trainer, or the optimizer.
        setting: String,
        /// The value in the checkpoint.
        saved: String,
        /// The value now.
        given: String,
    },
    /// A file has contents that the crate cannot represent, or a model has parts that the format
    /// cannot.
    #[error("{}: {reason}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The contents, and why they are not supported.
        reason: String,
    },
}

impl Error {
    /// Replaces the column of a sample, counted within a batch, by its index.
    pub(crate) fn at_sample(mut self, index: impl Fn(usize) -> usize) -> Self {
        if let Self::NonFinite { column, .. } | Self::OutOfRange { column, .. } = &mut self {
            *column = index(*column);
        }
        self
    }

    /// Replaces the index of an entry, counted in a part of a sample, by that in the whole.
    pub(crate) fn at_entry(mut self, index: impl Fn(usize) -> usize) -> Self {
        if let Self::NonFinite { row, .. }
        | Self::OutOfRange { row, .. }
        | Self::ConstantFeature { feature: row, .. }
        | Self::MissingFeature { feature: row } = &mut self
        {
            *row = index(*row);
        }
        self
    }

    /// Converts the index of a sample among the `chosen` ones to that in their source.
    pub(crate) fn at_chosen(self, chosen: &[usize]) -> Self {
        let is_of_sample = match &self {
            Self::NonFinite { what, .. } | Self::OutOfRange { what, .. } => {
                what.starts_with(SAMPLES[0])
            }
            _ => false,
        };
        let whole = |column: usize| chosen.get(column).copied().unwrap_or(column);
        if is_of_sample {
            self.at_sample(whole)
        } else {
            self
        }
    }

    /// Converts the index of a kept feature to that in the source.
    pub(crate) fn at_kept(self, kept: &[usize]) -> Self {
        let other = |feature: usize| feature.saturating_sub(kept.len());
        self.at_entry(|feature| kept.get(feature).copied().unwrap_or(other(feature)))
    }

    /// Converts the index of a feature in the source to that among the kept ones, which all others follow.
    pub(crate) fn among_kept(self, kept: &[usize]) -> Self {
        let other = |feature: usize| feature.saturating_add(kept.len());
        self.at_entry(|feature| kept.binary_search(&feature).unwrap_or(other(feature)))
    }

    /// Says in which samples the values are, or the sizes.
    pub(crate) fn of_what(mut self, name: &'static str) -> Self {
        if let Self::NonFinite { what, .. }
        | Self::OutOfRange { what, .. }
        | Self::EmptyBatch { what }
        | Self::DimensionMismatch { what, .. } = &mut self
        {
            *what = name;
        }
        self
    }

    /// Says that the input or output that failed is that of a sum over processes.
    pub(crate) fn of_sum(self) -> Self {
        match self {
            Self::InputOutput { kind, message } => Self::Processes { kind, message },
            other => other,
        }
    }

    /// Says that the input that failed is samples.
    pub(crate) fn of_samples(self) -> Self {
        match self {
            Self::InputOutput { kind, message } => Self::Unreadable { kind, message },
            other => other,
        }
    }
}

/// Converts the errors of your own code, such as an observer, to [`Error::InputOutput`].
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::InputOutput {
            kind: error.kind(),
            message: error.to_string(),
        }
    }
}

/// Returns the text of a number, without hundreds of digits.
fn figure(value: f64) -> String {
    let plain = value == 0.0 || !value.is_finite() || (1e-5..1e16).contains(&value.abs());
    if plain {
        value.to_string()
    } else {
        format!("{value:e}")
    }
}

/// Returns the remedy for a wrong number of rows of samples.
fn remedy(what: &str) -> &'static str {
    match what {
        "rows of the features" | "rows of the decoder" => "",
        "rows of the pairs of a transcoder" => " (the input and then its target: see `Pairs`)",
        "rows of the input of a transcoder" => " (without the target)",
        "validation samples" => " rows (a column is a sample; those of a transcoder are pairs)",
        "samples of the fit that continues" | "batches of the fit that continues" => {
            " (without samples held out; to start anew, call `Trainer::reset`)"
        }
        "features of the scaler of a transcoder" => {
            " (those of the input and of the target: see `Scaler::with_targets`)"
        }
        what if what.starts_with("rows of ") => " (a column is a sample: transpose?)",
        _ => "",
    }
}

/// Returns the remedy for too few samples.
fn remedy_of_few(what: &str) -> &'static str {
    match what {
        "calibration samples for this false-alarm rate"
        | "calibration samples for this false discovery rate" => {
            " (raise the rate, or calibrate with more samples)"
        }
        _ => "",
    }
}

/// Returns the remedy for NaN in samples.
fn remedy_of_missing(what: &str, value: f64) -> &'static str {
    if value.is_nan() && what.ends_with("samples") {
        " (if values are missing, impute them: see `Imputer` and `MissingValues`)"
    } else {
        ""
    }
}

/// The largest number of names in an error.
const MOST_NAMES: usize = 8;

/// Returns the error of a name that is not among the `known` ones.
pub(crate) fn unknown_name(
    what: &'static str,
    name: &str,
    mut known: impl Iterator<Item = impl Into<String>>,
) -> Error {
    let first: Vec<String> = known.by_ref().take(MOST_NAMES).map(Into::into).collect();
    Error::UnknownName {
        what,
        name: name.chars().take(100).collect(),
        of: first.len() + known.count(),
        known: first,
    }
}

/// Returns the end of a message, which names what exists.
fn listed(known: &[String], of: usize) -> String {
    let names = known.iter().map(|name| format!("{name:?}"));
    let names = names.collect::<Vec<_>>().join(", ");
    match of.saturating_sub(known.len()) {
        _ if of == 0 => ": there is none".to_owned(),
        0 => format!(": there are only {names}"),
        others => format!(": there are only {names}, and {others} others"),
    }
}

/// Refuses a value unless `accepted`.
///
/// State the accepted condition, not its opposite: NaN makes every comparison false.
pub(crate) fn require(
    accepted: bool,
    name: &'static str,
    requirement: &'static str,
    value: f64,
) -> Result<(), Error> {
    if accepted {
        Ok(())
    } else {
        Err(Error::InvalidParameter {
            name,
            requirement,
            value,
        })
    }
}

/// Refuses 0.
pub(crate) fn require_some(name: &'static str, count: usize) -> Result<(), Error> {
    require(count >= 1, name, "at least 1", f64::of_count(count))
}

/// Refuses what is not finite and above 0, also in `T`: 1e-300 is 0 in `f32`.
pub(crate) fn require_above_0<T: Real>(name: &'static str, value: f64) -> Result<(), Error> {
    let rounded = T::of(value);
    let accepted = rounded > T::zero() && rounded.is_finite();
    require(accepted, name, "finite and above 0", value)
}

/// Refuses what is not finite and at least 0, also in `T`: 1e300 is not finite in `f32`.
pub(crate) fn require_at_least_0<T: Real>(name: &'static str, value: f64) -> Result<(), Error> {
    let accepted = value >= 0.0 && T::of(value).is_finite();
    require(accepted, name, "finite and at least 0", value)
}

pub(crate) fn io_error(path: &Path, error: &io::Error) -> Error {
    Error::Io {
        path: path.to_owned(),
        kind: error.kind(),
        message: error.to_string(),
    }
}

pub(crate) fn malformed(path: &Path, reason: impl Into<String>) -> Error {
    Error::Malformed {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

pub(crate) fn unsupported(path: &Path, reason: impl Into<String>) -> Error {
    Error::Unsupported {
        path: path.to_owned(),
        reason: reason.into(),
    }
}
