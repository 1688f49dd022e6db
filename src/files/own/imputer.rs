//! Imputers of missing values. Detectors that accept missing values have one without marks.

use super::{Contents, IMPUTER, Kind, Part, Reading, invalid, malformed, vector};
use crate::{Error, Imputer, Real};

const MEANS: &str = "imputer.means";
/// 1 for each feature with a mark, 0 for the others.
const MARKED: &str = "imputer.marked";

impl<T: Real> Kind for Imputer<T> {
    type Scalar = T;
    const KIND: &'static str = IMPUTER;

    fn contents(&self) -> Contents<'_, T> {
        let shape = [self.features()];
        let mut marked = vec![T::zero(); self.features()];
        self.marked().iter().for_each(|&k| marked[k] = T::one());
        let marked = Part::new(MARKED, &shape, marked);
        let tensors = vec![Part::new(MEANS, &shape, self.means()), marked];
        Contents {
            texts: Vec::new(),
            tensors,
        }
    }

    fn read(file: &mut Reading) -> Result<Self, Error> {
        let means: Vec<T> = vector(file, MEANS)?;
        let marked: Vec<T> = file.tensors.vector(MARKED, means.len())?;
        let is_mark = |mark: &T| *mark == T::zero() || *mark == T::one();
        if !marked.iter().all(is_mark) {
            let reason = format!("{MARKED} must be 0 or 1 for each feature");
            return Err(malformed(&file.tensors.path, reason));
        }
        let marked = (0..means.len()).filter(|&k| marked[k] == T::one());
        Self::from_vectors(means, marked.collect()).map_err(invalid(file))
    }
}

/// Returns the tensor of an optional imputer without marks. A prefix tells several imputers of a file
/// apart.
pub(super) fn means<'a, T: Real>(
    prefix: &str,
    imputer: Option<&'a Imputer<T>>,
) -> Option<Part<'a, T>> {
    let means = imputer?.means();
    Some(Part::new(
        &format!("{prefix}{MEANS}"),
        &[means.len()],
        means,
    ))
}

/// Reads an imputer without marks, if the file has one.
pub(super) fn read_means<T: Real>(
    file: &mut Reading,
    prefix: &str,
) -> Result<Option<Imputer<T>>, Error> {
    let name = format!("{prefix}{MEANS}");
    if !file.tensors.has(&name) {
        return Ok(None);
    }
    let means = vector(file, &name)?;
    Imputer::from_vectors(means, Vec::new())
        .map(Some)
        .map_err(invalid(file))
}
