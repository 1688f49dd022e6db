//! Several sources side by side.

use std::marker::PhantomData;
use std::ops::Range;

use super::Samples;
use super::samples::{AT_A_TIME, check_read, pieces};
use crate::Real;
use crate::error::{Error, require_some};
use crate::linalg::reserve;
use crate::validate::check_len;

/// Several sources side by side: a sample has the entries of all of them, one source after another.
///
/// An autoencoder of the joined activations of several layers, or of one layer in several networks, is a *crosscoder*
/// (Lindsey et al. 2024, *Sparse Crosscoders for Cross-Layer Features and Model Diffing*). The part of a unit's decoder
/// column that belongs to a source tells how much of the unit's feature is there. Scale the sources first, so that
/// each counts alike. Samples are read and checked batch by batch, also from matrices. A full-batch optimizer needs
/// them [in one matrix](Samples::to_matrix). Use `Box<dyn Samples<T>>` for sources of different types.
///
/// ```
/// use sparse_autoencoder::nalgebra::DMatrix;
/// use sparse_autoencoder::{Joined, Recipe, Scaling, Variant};
///
/// // Two layers of a network; usually an `NpyFile` each.
/// let early = DMatrix::from_fn(8, 600, |i, j| ((i * 7 + j * j) % 13) as f32);
/// let late = DMatrix::from_fn(6, 600, |i, j| ((i * 5 + j * j) % 11) as f32 * 40.0);
/// let layers = [&early, &late].map(|layer| {
///     Scaling::mean_norm(1.0).fit(layer)?.apply_on_read(layer)
/// });
/// let layers = layers.into_iter().collect::<Result<_, _>>()?;
///
/// let recipe = Recipe::new(Variant::BatchTopK, 40, 4).samples(30_000);
/// let crosscoder = recipe.fit(Joined::new(layers)?)?.model;
/// let decoder = crosscoder.parameters().layer(0).unwrap().decoder_weights;
/// let unit = decoder.column(3);
/// println!("{} early, {} late", unit.rows(0, 8).norm(), unit.rows(8, 6).norm());
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Joined<T, S> {
    /// Never empty.
    sources: Vec<S>,
    scalar: PhantomData<fn() -> T>,
}

impl<T: Real, S: Samples<T>> Joined<T, S> {
    /// Joins the sources in the given order. Samples `i` of all of them belong together.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] without sources, [`Error::DimensionMismatch`] if they differ in the number of
    /// samples, [`Error::Incompatible`] for [`Pairs`](crate::Pairs).
    pub fn new(sources: Vec<S>) -> Result<Self, Error> {
        require_some("joined sources", sources.len())?;
        for source in &sources {
            let what = "number of samples of a joined source";
            check_len(what, sources[0].count(), source.count())?;
            if source.input_entries().is_some() {
                return Err(Error::Incompatible {
                    what: "Pairs",
                    other: "other joined sources: join the inputs, join the targets, and then pair them",
                });
            }
        }
        Ok(Self {
            sources,
            scalar: PhantomData,
        })
    }

    /// Returns the sources, in their order.
    #[must_use]
    pub fn sources(&self) -> &[S] {
        &self.sources
    }
}

impl<T: Real, S: Samples<T>> Samples<T> for Joined<T, S> {
    fn count(&self) -> usize {
        self.sources[0].count()
    }

    fn entries(&self) -> usize {
        let entries = self.sources.iter().map(Samples::entries);
        entries.fold(0, usize::saturating_add)
    }

    fn reads_ahead(&self) -> bool {
        self.sources.iter().any(Samples::reads_ahead)
    }

    fn read(&self, indices: &[usize], batch: &mut [T]) -> Result<(), Error> {
        let sources: Vec<_> = self.sources.iter().map(|s| s as &dyn Samples<T>).collect();
        read_joined(&sources, indices, batch)
    }
}

/// Reads the samples with these indices from all sources, which have the same number of samples.
pub(super) fn read_joined<T: Real>(
    sources: &[&dyn Samples<T>],
    indices: &[usize],
    batch: &mut [T],
) -> Result<(), Error> {
    let entries = sources.iter().map(|source| source.entries());
    let (longest, all) = entries.fold((0, 0), |(longest, all), entries| {
        (entries.max(longest), entries.saturating_add(all))
    });
    check_read((all, sources[0].count()), indices, batch)?;
    let is_outside = sources.iter().any(|source| source.in_memory().is_none());
    let chunk = indices.len().min(AT_A_TIME);
    let len = if is_outside {
        longest.saturating_mul(chunk)
    } else {
        0
    };
    let mut room = reserve::filled(T::zero(), len, "entries of a batch")?;
    for (indices, batch) in pieces(indices, batch, all, AT_A_TIME) {
        let mut start = 0;
        for source in sources {
            let place = start..start + source.entries();
            read_part(
                *source,
                place,
                indices,
                batch.chunks_exact_mut(all.max(1)),
                &mut room,
            )
            .map_err(|error| error.at_entry(|entry| start + entry))?;
            start += source.entries();
        }
    }
    Ok(())
}

/// Reads samples into this place of each of `whole`. Samples outside memory pass through `room`.
fn read_part<'a, T: Real>(
    source: &dyn Samples<T>,
    place: Range<usize>,
    indices: &[usize],
    whole: impl Iterator<Item = &'a mut [T]>,
    room: &mut [T],
) -> Result<(), Error> {
    if let Some(in_memory) = source.in_memory() {
        for (whole, &index) in whole.zip(indices) {
            whole[place.clone()].copy_from_slice(in_memory.column(index).as_slice());
        }
        return Ok(());
    }
    let part = &mut room[..place.len() * indices.len()];
    source.read(indices, part)?;
    let parts = part.chunks_exact(place.len().max(1));
    for (whole, part) in whole.zip(parts) {
        whole[place.clone()].copy_from_slice(part);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use super::{AT_A_TIME, Joined};
    use crate::{Error, Pairs, Samples, Scaler};

    #[test]
    fn a_sample_has_the_entries_of_all_sources_wherever_they_are() {
        let count = 2 * AT_A_TIME + 7;
        let entry = |i: usize, j: usize| f64::from(u16::try_from(7 * j + i).unwrap());
        let expected = DMatrix::from_fn(6, count, entry);
        let parts = [(0, 3), (3, 0), (3, 1), (4, 2)];
        let parts = parts.map(|(start, len)| expected.rows(start, len).into_owned());
        let chosen: Vec<usize> = (0..count).map(|k| k * 11 % count).collect();
        for outside in 0..1 << parts.len() {
            let source = |(index, part): (usize, &DMatrix<f64>)| -> Box<dyn Samples<f64>> {
                if outside >> index & 1 == 0 || part.is_empty() {
                    return Box::new(part.clone());
                }
                let [center, scale] = [0.0, 1.0].map(|value| vec![value; part.nrows()]);
                let scaler = Scaler::new(&center, &scale, &center).unwrap();
                Box::new(scaler.apply_on_read(part.clone()).unwrap())
            };
            let joined = Joined::new(parts.iter().enumerate().map(source).collect()).unwrap();
            assert_eq!((joined.entries(), joined.count()), (6, count));
            assert_eq!(joined.to_matrix().unwrap(), expected);
            let subset = joined.subset(&*chosen).unwrap().to_matrix().unwrap();
            assert_eq!(subset, expected.select_columns(&chosen));
            assert!(joined.read(&[count], &mut [0.0; 6]).is_err());
            assert!(joined.read(&[0], &mut [0.0; 5]).is_err());
        }
    }

    #[test]
    fn sources_must_have_as_many_samples_and_no_targets() {
        let sources = vec![DMatrix::<f32>::zeros(3, 5), DMatrix::zeros(2, 4)];
        let expected = Error::DimensionMismatch {
            what: "number of samples of a joined source",
            expected: 5,
            actual: 4,
        };
        assert_eq!(Joined::new(sources).unwrap_err(), expected);
        let none = Joined::<f32, DMatrix<f32>>::new(Vec::new()).unwrap_err();
        assert!(matches!(none, Error::InvalidParameter { .. }), "{none}");
        let half = DMatrix::<f32>::zeros(3, 5);
        let pairs = Joined::new(vec![Pairs::new(&half, &half).unwrap()]).unwrap_err();
        assert!(matches!(pairs, Error::Incompatible { .. }), "{pairs}");
    }
}
