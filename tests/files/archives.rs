//! NumPy's archives with another directory: sizes of 64 bits, and names that come twice.

use std::fs;
use std::path::PathBuf;

use sparse_autoencoder::files::{self, Number, TensorFile, gemma_scope};

use crate::common::file_bytes::{header, npy_with, safetensors, zip};
use crate::common::scratch::Scratch;
use crate::interop::{malformed, unsupported};

const WIDE: u32 = u32::MAX;

fn number<const N: usize>(bytes: &[u8], place: usize) -> u64 {
    let mut number = [0; 8];
    number[..N].copy_from_slice(&bytes[place..place + N]);
    u64::from_le_bytes(number)
}

fn size<const N: usize>(bytes: &[u8], place: usize) -> usize {
    number::<N>(bytes, place).try_into().unwrap()
}

/// An archive whose directory has been changed, member by member, and ends with a record of 64 bits
/// or, as before, of 32.
fn with_directory(name: &str, wide: bool, change: impl Fn(&mut Vec<u8>)) -> (Scratch, PathBuf) {
    let scratch = Scratch::copy_of("gemma_scope", "stored", &format!("archive-{name}"));
    let path = scratch.0.join("params.npz");
    let archive = fs::read(&path).unwrap();
    let end = archive.len() - 22; // without a comment
    let start = size::<4>(&archive, end + 16);
    let mut changed = archive[..start].to_vec();
    let (mut rest, mut count) = (&archive[start..end], 0_u64);
    while !rest.is_empty() {
        let lengths = [28, 30, 32].map(|place| size::<2>(rest, place));
        let (member, others) = rest.split_at(46 + lengths.iter().sum::<usize>());
        let mut member = member.to_vec();
        change(&mut member);
        changed.extend(member);
        (rest, count) = (others, count + 1);
    }
    let directory = (changed.len() - start) as u64;
    if wide {
        let record = changed.len() as u64;
        changed.extend(b"PK\x06\x06");
        changed.extend(44_u64.to_le_bytes()); // bytes that follow
        changed.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]); // versions and disks
        for number in [count, count, directory, start as u64] {
            changed.extend(number.to_le_bytes());
        }
        changed.extend(b"PK\x06\x07\x00\x00\x00\x00");
        changed.extend(record.to_le_bytes());
        changed.extend(1_u32.to_le_bytes());
        changed.extend(b"PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff");
        changed.extend([WIDE; 2].map(u32::to_le_bytes).concat());
    } else {
        changed.extend(&archive[end..end + 12]);
        changed.extend(u32::try_from(directory).unwrap().to_le_bytes());
        changed.extend(u32::try_from(start).unwrap().to_le_bytes());
    }
    changed.extend([0, 0]);
    fs::write(&path, changed).unwrap();
    (scratch, path)
}

/// As archives of 4 GiB and more have it, which is also how some programs write smaller ones.
#[test]
fn sizes_of_64_bits_are_read() {
    let narrow = Scratch::copy_of("gemma_scope", "stored", "archive-narrow");
    let (wide, _) = with_directory("wide", true, |member| {
        // After a field of another kind: the sizes inflated and in the file, and the place.
        let mut extra = vec![0x75, 0x70, 1, 0, 0, 1, 0, 24, 0];
        for place in [24, 20, 42] {
            extra.extend(number::<4>(member, place).to_le_bytes());
            member[place..place + 4].copy_from_slice(&WIDE.to_le_bytes());
        }
        assert_eq!(size::<2>(member, 30), 0, "no extra field before");
        member[30] = u8::try_from(extra.len()).unwrap();
        let name = size::<2>(member, 28);
        member.splice(46 + name..46 + name, extra);
    });
    let load = |folder: &Scratch| gemma_scope::load::<f32>(&folder.0).unwrap().model;
    assert_eq!(load(&wide).parameters(), load(&narrow).parameters());
}

#[test]
fn sizes_of_64_bits_that_are_missing_are_refused() {
    let (_scratch, path) = with_directory("missing", true, |member| {
        member[20..24].copy_from_slice(&WIDE.to_le_bytes());
    });
    assert!(malformed(TensorFile::open(&path)).contains("no directory"));
}

#[test]
fn a_name_that_comes_twice_is_refused() {
    let (_scratch, path) = with_directory("twice", false, |member| {
        if member[46..].starts_with(b"W_dec.npy") {
            member[46..55].copy_from_slice(b"W_enc.npy");
        }
    });
    assert!(malformed(TensorFile::open(&path)).contains("two arrays W_enc"));
}

/// An array may have any name; torch puts its pickle into a folder.
#[test]
fn only_a_pickle_in_a_folder_makes_an_archive_one_of_torch() {
    let array = npy_with(&header("<f4", false, &[2, 2]), &[0; 16]);
    for (name, is_pickle) in [
        ("data.pkl", false),
        ("metadata.pkl", false),
        ("metadata.pkl.npy", false),
        ("archive/data.pkl", true),
    ] {
        let scratch = Scratch::new("like_torch");
        fs::write(
            scratch.file(),
            zip(&[(name, &array), ("w.npy", &array)], false, 0),
        )
        .unwrap();
        match TensorFile::open(scratch.file()) {
            Ok(_) => assert!(!is_pickle, "{name}"),
            error => assert!(is_pickle && unsupported(error).contains("pickle"), "{name}"),
        }
    }
}

#[test]
fn encrypted_members_and_other_compressions_are_refused() {
    let array = npy_with(&header("<f4", false, &[2, 2]), &[0; 16]);
    let archive = zip(&[("w.npy", &array)], true, 0);
    let listed = archive.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    for (field, value) in [(8, 1), (10, 12)] {
        let mut other = archive.clone();
        other[listed + field] = value;
        let scratch = Scratch::new("other_means");
        fs::write(scratch.file(), other).unwrap();
        assert!(unsupported(TensorFile::open(scratch.file())).contains("deflate"));
    }
}

/// Names that mean something only in files of this crate.
#[test]
fn foreign_files_are_converted_whatever_their_names() {
    let scratch = Scratch::new("foreign_names");
    let of_two = [0, 0, 0, 64, 0, 0, 128, 63];
    for (key, name) in [
        ("checkpoint", "w"),
        ("training", "layers.0"),
        ("kind", "crc32"),
        ("version", "scaler.factors"),
    ] {
        let mut file = safetensors(&[("a", "F32", &[1], &[0; 4]), (name, "F32", &[2], &of_two)]);
        let header = format!(r#"{{"__metadata__":{{"{key}":"1"}},"#);
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) + header.len() as u64 - 1;
        file.splice(8..9, header.bytes());
        file[..8].copy_from_slice(&length.to_le_bytes());
        fs::write(scratch.file(), file).unwrap();
        files::convert(scratch.file(), scratch.file(), Number::BF16).unwrap();
        let converted = fs::read(scratch.file()).unwrap();
        assert!(converted.ends_with(&[0, 64, 128, 63]), "{key} {name}");
    }
}

#[test]
fn what_cannot_be_converted_is_refused() {
    let scratch = Scratch::new("not_converted");
    let of_columns = npy_with(&header("<f4", true, &[2, 3]), &[0; 24]);
    let eighths = safetensors(&[("w", "F8_E4M3", &[2], &[0; 2])]);
    for (file, says) in [
        (
            zip(&[("w.npy", &of_columns)], false, 0),
            "column after column",
        ),
        (eighths, "F8_E4M3"),
    ] {
        fs::write(scratch.file(), file).unwrap();
        let target = scratch.0.join("target");
        let message = unsupported(files::convert(scratch.file(), &target, Number::F32));
        assert!(message.contains(says), "{message}");
        assert!(!target.exists());
    }
}
