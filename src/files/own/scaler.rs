//! Scalers.

use super::{Contents, Kind, Part, Reading, SCALER, invalid, vector};
use crate::{Error, Real, Scaler};

const CENTERS: &str = "scaler.centers";
const FACTORS: &str = "scaler.factors";
const OFFSETS: &str = "scaler.offsets";

impl<T: Real> Kind for Scaler<T> {
    type Scalar = T;
    const KIND: &'static str = SCALER;

    fn contents(&self) -> Contents<'_, T> {
        Contents {
            texts: Vec::new(),
            tensors: parts("", self).into(),
        }
    }

    fn read(file: &mut Reading) -> Result<Self, Error> {
        read(file, "")
    }
}

/// Returns the tensors of a scaler. A prefix tells several scalers of a file apart.
pub(super) fn parts<'a, T: Real>(prefix: &str, scaler: &'a Scaler<T>) -> [Part<'a, T>; 3] {
    [
        (CENTERS, scaler.centers()),
        (FACTORS, scaler.factors()),
        (OFFSETS, scaler.offsets()),
    ]
    .map(|(name, values)| Part::new(&format!("{prefix}{name}"), &[values.len()], values))
}

/// Reads the tensors of a scaler.
pub(super) fn read<T: Real>(file: &mut Reading, prefix: &str) -> Result<Scaler<T>, Error> {
    let mut values = |name| vector(file, &format!("{prefix}{name}"));
    let (centers, factors, offsets) = (values(CENTERS)?, values(FACTORS)?, values(OFFSETS)?);
    Scaler::from_vectors(centers, factors, offsets).map_err(invalid(file))
}
