use std::io::{self, Write};
use std::path::Path;

use super::atomic::Draft;
use super::checksum::{become_model, check_sum_of_checkpoint};
use super::own;
use super::safetensors::header;
use super::tensors::Tensors;
use crate::Error;
use crate::data::dtype::Element;
use crate::error::{io_error, unsupported};

/// The type of the numbers in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Number {
    /// IEEE 754 binary16: 11 significant bits, up to 65,504.
    F16,
    /// The first half of an `f32`: 8 significant bits, the range of `f32`.
    BF16,
    /// `f32`
    F32,
    /// `f64`
    F64,
}

/// Numbers per chunk.
const CHUNK: usize = 1 << 13;

/// Converts the floating-point numbers of the safetensors file `source` to `number`, and writes them to
/// `target`, which may be the same file.
///
/// Numbers are rounded to the nearest, ties to even. Integers and metadata stay unchanged, and so do the scaler, the
/// imputer, and the calibration scores of a file of this crate: only its models are converted. It still loads. Of a
/// [checkpoint](crate::Trainer::checkpoint), the model alone is written. Published files usually have 16 bits per
/// number. Measure the effect on a model with [metrics](crate::metrics).
/// [Recalibrate](crate::AnomalyDetector::recalibrate) a detector whose errors change.
///
/// ```
/// use sparse_autoencoder::{SparseAutoencoder, files};
/// # let path = std::env::temp_dir().join(format!("sparse-autoencoder-bf16-{}", std::process::id()));
///
/// let sae = SparseAutoencoder::<f32>::builder().layers([64, 96]).build()?;
/// files::save(&sae, &path)?;
/// files::convert(&path, &path, files::Number::BF16)?;
/// let half = files::load::<SparseAutoencoder<f32>>(&path)?.model;
/// let theta = |sae: &SparseAutoencoder<f32>| sae.parameters().as_slice().to_vec();
/// assert!(theta(&half).iter().zip(theta(&sae)).all(|(a, b)| (a - b).abs() <= b.abs() / 256.0));
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), sparse_autoencoder::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Malformed`] if the file is damaged. [`Error::Unsupported`] for numbers that are too large for the type, for
/// scales of an ensemble that would become 0, for types that this crate does not read, and for a checkpoint that would
/// replace itself. [`Error::Io`]. The target then stays unchanged.
pub fn convert(
    source: impl AsRef<Path>,
    target: impl AsRef<Path>,
    number: Number,
) -> Result<(), Error> {
    let mut tensors = Tensors::open(source.as_ref())?;
    check_sum_of_checkpoint(&mut tensors)?;
    if become_model(&mut tensors) && are_one(source.as_ref(), target.as_ref()) {
        let reason =
            "it is a checkpoint, of which only the model would be left: write to another file";
        return Err(unsupported(source.as_ref(), reason));
    }
    let to = match number {
        Number::F16 => Element::F16,
        Number::BF16 => Element::BF16,
        Number::F32 => Element::F32,
        Number::F64 => Element::F64,
    };
    if let Some((name, _)) = tensors.entries.iter().find(|(_, entry)| entry.column_major) {
        let reason = format!("{name} lies column after column, which safetensors cannot say");
        return Err(unsupported(source.as_ref(), reason));
    }
    // In the order of the file.
    let mut entries: Vec<_> = tensors.entries.clone().into_iter().collect();
    entries.sort_by_key(|(_, entry)| entry.place.offset);
    let elements: Vec<Option<Element>> = entries
        .iter()
        .map(|(name, entry)| match own::is_of_samples(&tensors, name) {
            true => entry.element,
            false => entry.element.map(|from| from.or_float(to)),
        })
        .collect();
    let metadata: Vec<_> = tensors.metadata.clone().into_iter().collect();
    let listed = entries
        .iter()
        .zip(&elements)
        .map(|((name, entry), element)| {
            let known = element.map(|element| (element.name(), element.size()));
            let (dtype, size) = known.unwrap_or((&entry.dtype, 0));
            (name.as_str(), dtype, size, &*entry.shape)
        });
    let header = header(&metadata, listed);
    let mut failed = None;
    let draft = Draft::write(target.as_ref(), |out| {
        out.write_all(&header?)?;
        for ((name, _), element) in entries.iter().zip(&elements) {
            let (element, out) = (element.unwrap_or(to), (target.as_ref(), &mut *out));
            if let Err(error) = write_converted(&mut tensors, name, element, out) {
                failed = Some(error);
                return Err(io::ErrorKind::Other.into());
            }
        }
        Ok(())
    });
    match failed {
        Some(error) => Err(error),
        None => draft?.commit(),
    }
}

/// Returns whether two paths lead to the same file.
fn are_one(source: &Path, target: &Path) -> bool {
    let [source, target] = [source, target].map(|path| path.canonicalize().ok());
    source.is_some() && source == target
}

fn write_converted<R: io::Read + io::Seek>(
    tensors: &mut Tensors<R>,
    name: &str,
    element: Element,
    (target, out): (&Path, &mut impl Write),
) -> Result<(), Error> {
    let path = tensors.path.clone();
    let refuses_0 = own::refuses_0(tensors, name);
    let (mut values, mut converted) = (vec![0.0_f64; CHUNK], Vec::new());
    tensors.for_each_bytes(name, CHUNK, |_, from, bytes| {
        converted.clear();
        if element == from {
            converted.extend_from_slice(bytes);
        } else {
            let values = &mut values[..bytes.len() / from.size()];
            from.decode(bytes, values);
            for &value in &*values {
                let first = converted.len();
                let fits = element.encode(value, &mut converted);
                let lost = refuses_0 && converted[first..].iter().all(|&byte| byte == 0);
                if !fits || lost {
                    let size = if fits { "small" } else { "large" };
                    let reason = format!("{value} in {name} is too {size} for the type");
                    return Err(unsupported(&path, reason));
                }
            }
        }
        out.write_all(&converted)
            .map_err(|error| io_error(target, &error))
    })
}
