//! Checkpoint files: a model file with the state of its training.
//!
//! A checkpoint has the metadata and the tensors of a [model](super::own), and can be loaded as one. It
//! adds the version, `checkpoint: 1`; the JSON text `training`, which the [trainer](crate::training)
//! fills; and more tensors. The last tensor is `crc32`, the checksum of all bytes before its own four.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;

use flate2::CrcWriter;
use serde_json::Value;

use super::atomic::{Draft, folder};
use super::checksum::{CHECKPOINT, CHECKSUM, check_sum};
use super::json::Object;
use super::own;
use super::safetensors::{header, write_numbers, write_parts};
use super::tensors::{CHUNK, Tensors};
use super::{io_error, malformed, unsupported};
use crate::data::dtype::{Element, count, filled};
use crate::linalg::Aligned;
use crate::model::{Layout, ModelSettings};
use crate::{Error, Real, SparseAutoencoder};

const VERSION: &str = "1";

/// The numbers of a tensor to write.
#[derive(Debug)]
pub(crate) enum Numbers<'a, T: Real> {
    Scalars(Cow<'a, [T]>),
    Doubles(Vec<f64>),
    Counts(Cow<'a, [usize]>),
}

/// A tensor to write in addition to those of the model.
#[derive(Debug)]
pub(crate) struct Tensor<'a, T: Real> {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) numbers: Numbers<'a, T>,
}

impl<T: Real> Numbers<'_, T> {
    fn element(&self) -> Element {
        match self {
            Self::Scalars(_) => Element::of::<T>(),
            Self::Doubles(_) => Element::F64,
            Self::Counts(_) => Element::I64,
        }
    }

    fn write(&self, out: &mut impl Write, bytes: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Scalars(values) => write_numbers(out, values, bytes),
            Self::Doubles(values) => write_numbers(out, values, bytes),
            Self::Counts(counts) => counts.chunks(CHUNK).try_for_each(|counts| {
                bytes.clear();
                for &count in counts {
                    let count = i64::try_from(count).unwrap_or(i64::MAX);
                    bytes.extend_from_slice(&count.to_le_bytes());
                }
                out.write_all(bytes)
            }),
        }
    }
}

/// Refuses a path into a folder that does not exist, before a long training.
pub(crate) fn check_folder(path: &Path) -> Result<(), Error> {
    if folder(path).is_dir() {
        return Ok(());
    }
    Err(Error::Io {
        path: path.to_owned(),
        kind: io::ErrorKind::NotFound,
        message: "its folder does not exist: create it, or check the path".to_owned(),
    })
}

/// Writes a checkpoint. On an error, an existing one stays unchanged.
pub(crate) fn write<T: Real>(
    path: &Path,
    model: &SparseAutoencoder<T>,
    training: &Value,
    tensors: &[Tensor<'_, T>],
) -> Result<(), Error> {
    let own::Contents {
        texts: mut metadata,
        tensors: parts,
    } = own::contents(model);
    let scalar = Element::of::<T>();
    let directory = parts
        .iter()
        .map(|part| (&*part.name, scalar.name(), scalar.size(), &*part.shape))
        .chain(tensors.iter().map(|tensor| {
            let element = tensor.numbers.element();
            (
                &*tensor.name,
                element.name(),
                element.size(),
                &*tensor.shape,
            )
        }))
        .chain([(CHECKSUM, "U32", 4, &[][..])]);
    metadata.push((CHECKPOINT.to_owned(), VERSION.to_owned()));
    metadata.push(("training".to_owned(), training.to_string()));
    let header = header(&metadata, directory).map_err(|error| io_error(path, &error))?;
    Draft::write(path, |out| {
        let mut out = CrcWriter::new(out);
        out.write_all(&header)?;
        write_parts(&mut out, &parts)?;
        let mut bytes = Vec::new();
        for tensor in tensors {
            tensor.numbers.write(&mut out, &mut bytes)?;
        }
        let checksum = out.crc().sum();
        out.into_inner().write_all(&checksum.to_le_bytes())
    })?
    .commit()
}

/// A checkpoint to read.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    tensors: Tensors<BufReader<File>>,
    /// The settings of the model that affect its training, and the description of the training.
    pub(crate) model: Object,
    pub(crate) training: Object,
    /// All settings of the model.
    pub(crate) settings: ModelSettings,
}

impl Checkpoint {
    /// Reads the header.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let mut tensors = Tensors::open(path)?;
        let Some(training) = tensors.metadata.remove("training") else {
            return Err(malformed(path, "not a checkpoint of this crate"));
        };
        let version = tensors
            .metadata
            .get(CHECKPOINT)
            .map_or("none", String::as_str);
        if version != VERSION {
            let reason = format!("version {version} of a checkpoint, this crate reads {VERSION}");
            return Err(unsupported(path, reason));
        }
        own::check_kind(&tensors, own::MODEL)?;
        let settings = own::settings(&tensors, "")?;
        let model = Object::of(path, &settings.without_start());
        let training = Object::parse(path, training.as_bytes())?;
        Ok(Self {
            tensors,
            model,
            settings,
            training,
        })
    }

    /// Refuses parameters of another layout, without reading them.
    pub(crate) fn check_layout(&self, layout: &Layout) -> Result<(), Error> {
        own::check_shapes(&self.tensors, "", layout)
    }

    /// Reads every byte and compares the checksum.
    pub(crate) fn check_sum(&mut self) -> Result<(), Error> {
        check_sum(&mut self.tensors)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.tensors.path
    }

    pub(crate) fn malformed(&self, reason: impl Into<String>) -> Error {
        malformed(self.path(), reason)
    }

    /// Reads θ of a model with this layout.
    pub(crate) fn theta<T: Real>(&mut self, layout: &Layout) -> Result<Aligned<T>, Error> {
        own::read_theta(&mut self.tensors, "", layout)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.has(name)
    }

    /// Returns the names that follow `prefix`, with the shapes.
    pub(crate) fn under(&self, prefix: &str) -> Vec<(String, Vec<usize>)> {
        let entries = self.tensors.entries.iter();
        entries
            .filter_map(|(name, entry)| {
                let name = name.strip_prefix(prefix)?;
                Some((name.to_owned(), entry.shape.clone()))
            })
            .collect()
    }

    /// Reads the scalars of a tensor, which may be NaN or infinite.
    pub(crate) fn scalars<T: Real>(
        &mut self,
        name: &str,
        shape: &[usize],
    ) -> Result<Vec<T>, Error> {
        let mut scalars = self.room(name, shape, Element::of::<T>(), T::zero())?;
        self.tensors
            .for_each_bytes(name, CHUNK, |first, element, bytes| {
                let len = bytes.len() / element.size();
                element.decode(bytes, &mut scalars[first..first + len]);
                Ok(())
            })?;
        Ok(scalars)
    }

    /// Reads the counts of a tensor.
    pub(crate) fn counts(&mut self, name: &str, shape: &[usize]) -> Result<Vec<usize>, Error> {
        let mut counts = self.room(name, shape, Element::I64, 0)?;
        let mut negative = false;
        self.tensors
            .for_each_bytes(name, CHUNK, |first, _, bytes| {
                for (place, &bytes) in counts[first..].iter_mut().zip(bytes.as_chunks().0) {
                    let count = usize::try_from(i64::from_le_bytes(bytes));
                    negative |= count.is_err();
                    *place = count.unwrap_or(0);
                }
                Ok(())
            })?;
        if negative {
            return Err(self.malformed(format!("{name} must be counts")));
        }
        Ok(counts)
    }

    /// Allocates room for the numbers of a tensor.
    fn room<V: Clone>(
        &self,
        name: &str,
        shape: &[usize],
        element: Element,
        value: V,
    ) -> Result<Vec<V>, Error> {
        self.tensors.check_shape(name, shape)?;
        let entry = self.tensors.entry(name)?;
        if entry.element != Some(element) {
            return Err(self.malformed(format!("{name} must be {element}, is {}", entry.dtype)));
        }
        filled(value, count(shape)).map_err(|error| io_error(self.path(), &error))
    }
}
