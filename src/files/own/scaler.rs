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
            tensors: parts(self).into(),
        }
    }

    fn read(file: &mut Reading) -> Result<Self, Error> {
        read(file)
    }
}

/// Returns the tensors of a scaler.
pub(super) fn parts<T: Real>(scaler: &Scaler<T>) -> [Part<'_, T>; 3] {
    [
        (CENTERS, scaler.centers()),
        (FACTORS, scaler.factors()),
        (OFFSETS, scaler.offsets()),
    ]
    .map(|(name, values)| Part::new(name, &[values.len()], values))
}

/// Reads the tensors of a scaler.
pub(super) fn read<T: Real>(file: &mut Reading) -> Result<Scaler<T>, Error> {
    let centers = vector(file, CENTERS)?;
    let factors = vector(file, FACTORS)?;
    let offsets = vector(file, OFFSETS)?;
    Scaler::from_vectors(centers, factors, offsets).map_err(invalid(file))
}
