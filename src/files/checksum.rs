//! The checksum at the end of a checkpoint.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::Crc;

use super::tensors::Tensors;
use super::{io_error, malformed, own};
use crate::Error;

/// The key of the version of a checkpoint, in the metadata.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// The name of the last tensor.
pub(super) const CHECKSUM: &str = "crc32";

/// Compares the checksum of a checkpoint. Other files have none.
pub(super) fn check_sum_of_checkpoint(tensors: &mut Tensors<BufReader<File>>) -> Result<(), Error> {
    let is_checkpoint = tensors.metadata.contains_key(CHECKPOINT) || tensors.has(CHECKSUM);
    if is_checkpoint && own::is_own(tensors) {
        check_sum(tensors)?;
    }
    Ok(())
}

/// Takes from the directory of a checkpoint what is no part of its model. Returns whether it was one.
pub(super) fn become_model<R>(tensors: &mut Tensors<R>) -> bool {
    let is_checkpoint = own::is_own(tensors) && tensors.metadata.remove(CHECKPOINT).is_some();
    if is_checkpoint {
        tensors.metadata.remove("training");
        tensors.entries.retain(|name, _| own::is_of_model(name));
    }
    is_checkpoint
}

/// Reads every byte, and compares the checksum in the last four.
pub(super) fn check_sum(tensors: &mut Tensors<BufReader<File>>) -> Result<(), Error> {
    let path = tensors.path.clone();
    let place = tensors.entry(CHECKSUM)?.place.clone();
    let places = tensors.entries.values().map(|entry| &entry.place);
    let end = places.map(|place| place.offset + place.length).max();
    if place.length != 4 || end != Some(place.offset + 4) {
        return Err(malformed(&path, "the checksum must be the last four bytes"));
    }
    let source = &mut tensors.source;
    let mut sum = || -> io::Result<(u32, [u8; 4])> {
        source.seek(SeekFrom::Start(0))?;
        let mut crc = Crc::new();
        let mut bytes = vec![0; 1 << 16];
        let mut left = place.offset;
        while left > 0 {
            #[allow(clippy::cast_possible_truncation)] // at most that of the buffer
            let len = left.min(bytes.len() as u64) as usize;
            source.read_exact(&mut bytes[..len])?;
            crc.update(&bytes[..len]);
            left -= len as u64;
        }
        let mut stated = [0; 4];
        source.read_exact(&mut stated)?;
        Ok((crc.sum(), stated))
    };
    let (sum, stated) = sum().map_err(|error| io_error(&path, &error))?;
    if sum == u32::from_le_bytes(stated) {
        Ok(())
    } else {
        Err(malformed(&path, "the checksum does not match"))
    }
}
