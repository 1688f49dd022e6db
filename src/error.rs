use std::io;
use std::path::{Path, PathBuf};

use crate::Activation;

/// What was wrong with the input, or why training could not go on.
///
/// Every variant names the thing, the requirement, and the value that broke it. Numbers are
/// carried as `f64`, which holds every `f32` exactly.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter of a builder, an optimizer, or a trainer is out of its range.
    #[error("{name} must be {requirement}, got {value}")]
    InvalidParameter {
        /// The setter or argument.
        name: &'static str,
        /// The accepted values.
        requirement: &'static str,
        /// The value given.
        value: f64,
    },
    /// A penalty, a loss, or another setting has no meaning for this activation.
    #[error("{what} is not defined for {activation:?} activations: {requirement}")]
    UnsupportedActivation {
        /// What refuses the activation, such as a penalty.
        what: &'static str,
        /// The activation refused.
        activation: Activation,
        /// What an activation must offer here.
        requirement: &'static str,
    },
    /// Two settings exclude each other.
    #[error("{what} cannot be used with {other}")]
    Incompatible {
        /// The setting refused.
        what: &'static str,
        /// The setting it contradicts.
        other: &'static str,
    },
    /// A matrix, vector, or slice has the wrong size.
    #[error("{what}: expected {expected}, got {actual}{}", remedy(what))]
    DimensionMismatch {
        /// The quantity, such as "rows of the samples".
        what: &'static str,
        /// The size required.
        expected: usize,
        /// The size given.
        actual: usize,
    },
    /// A batch without samples.
    #[error("{what}: at least one sample is needed, got none")]
    EmptyBatch {
        /// The batch.
        what: &'static str,
    },
    /// A class that no label names, so that nothing can be learned of it.
    #[error("class {class}: at least one sample is needed, got none")]
    EmptyClass {
        /// The class, counted from 0.
        class: usize,
    },
    /// NaN or an infinity in data or parameters.
    #[error("{what} must be finite, got {value} at row {row}, column {column}")]
    NonFinite {
        /// The matrix.
        what: &'static str,
        /// Its row.
        row: usize,
        /// Its column, which is the sample for data.
        column: usize,
        /// The value found.
        value: f64,
    },
    /// A value of the data lies outside the range that its use needs.
    #[error("{what} must be {requirement}, got {value} at row {row}, column {column}")]
    OutOfRange {
        /// The matrix.
        what: &'static str,
        /// The accepted values.
        requirement: &'static str,
        /// Its row.
        row: usize,
        /// Its column, which is the sample for data.
        column: usize,
        /// The value found.
        value: f64,
    },
    /// Fewer samples than the operation is defined for.
    #[error("{what}: at least {needed} are needed, got {actual}")]
    TooFewSamples {
        /// The samples, and what they are for.
        what: &'static str,
        /// The least number.
        needed: usize,
        /// The number given.
        actual: usize,
    },
    /// A feature that is the same in every sample has no scale.
    #[error(
        "feature {feature} is {value} in every sample, or nearly so, and cannot be scaled: drop \
         it, or keep constant features as they are"
    )]
    ConstantFeature {
        /// The row of the samples.
        feature: usize,
        /// Its value.
        value: f64,
    },
    /// Labels of one class, where both are needed.
    #[error("the labels must be of both classes, got {samples} samples that are all {class}")]
    OneClass {
        /// The only class: whether the samples are positives, such as anomalies.
        class: bool,
        /// The number of samples.
        samples: usize,
    },
    /// The loss or its gradient stopped being finite. The model keeps its last finite parameters.
    #[error("training diverged in epoch {epoch}: the loss is {loss}")]
    Diverged {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The loss that was met.
        loss: f64,
    },
    /// A file could not be read or written.
    #[error("{}: {message}", path.display())]
    Io {
        /// The file or the folder.
        path: PathBuf,
        /// What the system says, for programs.
        kind: io::ErrorKind,
        /// What the system says, for people.
        message: String,
    },
    /// [Samples](crate::Samples) could not be read from where they are.
    #[error("samples could not be read: {message}")]
    Unreadable {
        /// What the source says, for programs.
        kind: io::ErrorKind,
        /// What the source says, for people.
        message: String,
    },
    /// A file is not what its format asks for: it is damaged, cut off, or forged.
    #[error("{} is malformed: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The requirement, and what was found instead.
        reason: String,
    },
    /// A checkpoint was made with another setting than that which it is to go on with.
    #[error("{}: {setting} was {saved} in the training that is to go on, and is {given} now", path.display())]
    OtherSetting {
        /// The checkpoint.
        path: PathBuf,
        /// The setting of the model, the trainer, or the optimizer.
        setting: String,
        /// What it was then.
        saved: String,
        /// What it is now.
        given: String,
    },
    /// A file holds, or a file would have to hold, what the other side cannot represent.
    #[error("{}: {reason}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is, and why it cannot be represented.
        reason: String,
    },
}

/// For [samples](crate::Samples) of your own, whatever they are read from.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Unreadable {
            kind: error.kind(),
            message: error.to_string(),
        }
    }
}

/// What to try where samples are not as high as they should be.
fn remedy(what: &str) -> &'static str {
    let of_a_dictionary = ["rows of the features", "rows of the decoder"].contains(&what);
    if what.starts_with("rows of ") && !of_a_dictionary {
        " (a column is a sample: transpose?)"
    } else {
        ""
    }
}

/// Refuses a value for which `accepted` does not hold. State the accepted condition: a NaN makes
/// every comparison false, and so is refused.
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

/// Refuses a matrix, named `what`, of another shape than (rows, columns) `expected`.
pub(crate) fn check_shape(
    what: &'static str,
    expected: (usize, usize),
    actual: (usize, usize),
) -> Result<(), Error> {
    for (expected, actual) in [(expected.0, actual.0), (expected.1, actual.1)] {
        if expected != actual {
            return Err(Error::DimensionMismatch {
                what,
                expected,
                actual,
            });
        }
    }
    Ok(())
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
