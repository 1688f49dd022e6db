//! Imputers of missing values. Detectors have one if they accept missing values.

use super::{Contents, IMPUTER, Kind, Part, Reading, invalid, malformed, vector};
use crate::{Error, Imputer, Real};

const MEANS: &str = "imputer.means";
/// 1 for each feature with a mark, 0 for the others.
const MARKED: &str = "imputer.marked";

impl<T: Real> Kind for Imputer<T> {
    type Scalar = T;
    const KIND: &'static str = IMPUTER;

    fn contents(&self) -> Contents<'_, T> {
        Contents {
            texts: Vec::new(),
            tensors: parts("", Some(self)),
        }
    }

    fn read(file: &mut Reading) -> Result<Self, Error> {
        read(file, "")
    }
}

/// Returns the tensors of an imputer, if there is one. A prefix tells several imputers of a file apart.
pub(super) fn parts<'a, T: Real>(
    prefix: &str,
    imputer: Option<&'a Imputer<T>>,
) -> Vec<Part<'a, T>> {
    let Some(imputer) = imputer else {
        return Vec::new();
    };
    let mut marked = vec![T::zero(); imputer.features()];
    imputer.marked().iter().for_each(|&k| marked[k] = T::one());
    let shape = [imputer.features()];
    vec![
        Part::new(&format!("{prefix}{MEANS}"), &shape, imputer.means()),
        Part::new(&format!("{prefix}{MARKED}"), &shape, marked),
    ]
}

/// Reads the tensors of an imputer.
pub(super) fn read<T: Real>(file: &mut Reading, prefix: &str) -> Result<Imputer<T>, Error> {
    let means: Vec<T> = vector(file, &format!("{prefix}{MEANS}"))?;
    let name = format!("{prefix}{MARKED}");
    let marked: Vec<T> = file.tensors.vector(&name, means.len())?;
    if !marked
        .iter()
        .all(|&mark| mark == T::zero() || mark == T::one())
    {
        let reason = format!("{name} must be 0 or 1 for each feature");
        return Err(malformed(&file.tensors.path, reason));
    }
    let marked = (0..means.len()).filter(|&k| marked[k] == T::one());
    Imputer::from_vectors(means, marked.collect()).map_err(invalid(file))
}

/// Reads the tensors of an imputer, if the file has them.
pub(super) fn read_any<T: Real>(
    file: &mut Reading,
    prefix: &str,
) -> Result<Option<Imputer<T>>, Error> {
    let has_one = file.tensors.has(&format!("{prefix}{MEANS}"));
    has_one.then(|| read(file, prefix)).transpose()
}
