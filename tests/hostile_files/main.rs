//! Files that lie: an error of the right kind, at once, and never more memory than the file has.

// A global allocator cannot be implemented without unsafe code; it passes everything to the system's.
#![allow(unsafe_code)]

mod checkpoints;
#[path = "../common/mod.rs"]
mod common;
mod configurations;
mod damaged;
mod damaged_samples;
mod forged;
mod headers;

use common::cases::{Rng, check, list, one_of};
use common::file_bytes;
use common::stored::KINDS;
use rand::RngExt;
use sparse_autoencoder::files::{self, TensorFile, gemma_scope, sae_lens};
use sparse_autoencoder::{Activation, Error, IdxFile, NpyFile, Samples, SparseAutoencoder};
use std::alloc::{GlobalAlloc, System};
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

thread_local! {
    /// Bytes that this thread holds, and the most that it held.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

struct Measuring;

impl Measuring {
    fn add(bytes: isize) {
        let (held, most) = HELD.get();
        HELD.set((held + bytes, most.max(held + bytes)));
    }
}

unsafe impl GlobalAlloc for Measuring {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        Self::add(layout.size().cast_signed());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: std::alloc::Layout) {
        Self::add(-layout.size().cast_signed());
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static MEASURING: Measuring = Measuring;

/// What `read` returns, and the most memory that it held on the way.
fn measured<R>(read: impl FnOnce() -> R) -> (R, usize) {
    HELD.set((0, 0));
    let result = read();
    (result, HELD.get().1.unsigned_abs())
}

/// Buffers of a fixed size, and what a message takes.
const ALLOWANCE: usize = 1 << 20;

/// A file that is gone when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let thread = std::thread::current()
            .name()
            .unwrap_or_default()
            .replace("::", "-");
        let name = format!("sparse-autoencoder-{}-{thread}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Loads and uses whatever kind of file of this crate it is.
fn load_any(path: &Path) -> Result<(), Error> {
    let [first, others @ ..] = KINDS;
    let others = others.into_iter();
    others.fold(first.2(path), |loaded, (_, _, load)| loaded.or(load(path)))
}

/// Reads everything that there is in a file, as one of this crate and as tensors.
fn read_all(path: &Path) -> Result<(), Error> {
    let model = load_any(path);
    let scope = gemma_scope::load::<f64>(path).map(|_| ());
    let tensors = TensorFile::open(path).and_then(|mut file| {
        let names: Vec<String> = file.names().map(str::to_owned).collect();
        names
            .iter()
            .try_for_each(|name| file.samples::<f64>(name).map(|_| ()))
    });
    model.or(scope).and(tensors)
}

/// A safetensors file with this header and so many bytes of zeros behind it.
fn safetensors(header: &str, bytes: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.resize(file.len() + bytes, 0);
    file
}

fn assert_malformed(name: &str, bytes: &[u8], says: &str) {
    let scratch = Scratch::new(name, bytes);
    let (result, most) = measured(|| TensorFile::open(&scratch.0).map(|_| ()));
    match result {
        Err(Error::Malformed { reason, .. }) => assert!(reason.contains(says), "{name}: {reason}"),
        other => panic!("{name}: {other:?}"),
    }
    assert!(most < ALLOWANCE + 4 * bytes.len(), "{name}: {most} bytes");
}

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/files/interop/fixtures")
        .join(path)
}

/// A valid file of each kind of this crate.
fn of_this_crate() -> Vec<Vec<u8>> {
    let scratch = Scratch::new("kind", b"");
    let kinds = KINDS.into_iter().map(|(name, save, load)| {
        save(&scratch.0).unwrap();
        assert_eq!(load(&scratch.0), Ok(()), "{name}");
        fs::read(&scratch.0).unwrap()
    });
    kinds.collect()
}

/// Valid files of every container.
fn valid() -> Vec<Vec<u8>> {
    let model = SparseAutoencoder::<f32>::builder()
        .layers([6, 9, 4])
        .hidden_activation(Activation::TopProportion(0.5))
        .build()
        .unwrap();
    let own = Scratch::new("own", b"");
    files::save(&model, &own.0).unwrap();
    let folder = std::env::temp_dir().join(format!("sparse-autoencoder-{}", std::process::id()));
    let lens = SparseAutoencoder::<f64>::builder()
        .layers([6, 9])
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .penalty(())
        .build()
        .unwrap();
    sae_lens::save(&lens, &folder).unwrap();
    let weights = fs::read(folder.join("sae_weights.safetensors")).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    let mut files = of_this_crate();
    files.extend([
        fs::read(&own.0).unwrap(),
        weights,
        fs::read(fixture("gemma_scope/stored/params.npz")).unwrap(),
        fs::read(fixture("gemma_scope/deflated/params.npz")).unwrap(),
        fs::read(fixture("gemma_scope/second/params.safetensors")).unwrap(),
    ]);
    for (index, file) in files.iter().enumerate() {
        let scratch = Scratch::new("valid", file);
        let read = TensorFile::open(&scratch.0);
        assert!(read.is_ok_and(|file| file.names().count() > 0), "{index}");
    }
    files
}

/// One way to damage a file.
#[derive(Debug, Clone)]
enum Damage {
    Byte(usize, u8),
    Word(usize, u64),
    Cut(usize),
    Insert(usize, u8),
    Repeat(usize, usize),
}

fn damage(rng: &mut Rng) -> Damage {
    // Directories are at the ends of files, and most of the lies are told there.
    let place = match rng.random_range(0..3) {
        0 => rng.random_range(0..400),
        1 => rng.random_range(0..4000),
        _ => usize::MAX - rng.random_range(1..400),
    };
    match rng.random_range(0..11) {
        0..4 => Damage::Byte(place, rng.random()),
        // Digits, in a header of JSON.
        4..6 => Damage::Byte(place, rng.random_range(b'0'..=b'9')),
        6..8 => {
            let [any, few] = [rng.random(), rng.random_range(0..100_000)];
            let words = [any, u64::MAX, 1 << 63, u64::from(u32::MAX), few];
            Damage::Word(place, one_of(rng, &words))
        }
        8 => Damage::Cut(place),
        9 => Damage::Insert(place, rng.random()),
        _ => Damage::Repeat(place, rng.random_range(1..64)),
    }
}

fn damages(rng: &mut Rng) -> Vec<Damage> {
    list(rng, 1..4, damage)
}

impl Damage {
    fn apply(&self, file: &mut Vec<u8>) {
        // Places near `usize::MAX` count from the end.
        let at = |place: usize| match file.len() {
            0 => 0,
            len if place > usize::MAX / 2 => len.saturating_sub(usize::MAX - place),
            len => place % len,
        };
        match *self {
            Self::Byte(place, byte) => {
                let place = at(place);
                if let Some(old) = file.get_mut(place) {
                    *old = byte;
                }
            }
            Self::Word(place, word) => {
                let place = at(place);
                for (old, new) in file[place..].iter_mut().zip(word.to_le_bytes()) {
                    *old = new;
                }
            }
            Self::Cut(place) => file.truncate(at(place)),
            Self::Insert(place, byte) => file.insert(at(place), byte),
            Self::Repeat(place, count) => {
                let place = at(place);
                let part = file[place..]
                    .iter()
                    .take(count)
                    .copied()
                    .collect::<Vec<_>>();
                file.splice(place..place, part);
            }
        }
    }
}

/// Damages each of `files` in many ways, and returns what is left of them to `test`.
fn check_damaged(count: u64, files: &[Vec<u8>], mut test: impl FnMut(&[u8])) {
    let draw = |rng: &mut Rng| (rng.random_range(0..files.len()), damages(rng));
    check(count, draw, |(index, damages)| {
        let mut file = files[index].clone();
        for damage in &damages {
            damage.apply(&mut file);
        }
        test(&file);
    });
}

/// Valid files of samples.
fn samples() -> Vec<Vec<u8>> {
    vec![
        file_bytes::gzip(&file_bytes::idx(&[3, 2, 2], &[9; 12])),
        file_bytes::npy_with(&file_bytes::header("<f4", false, &[3, 4]), &[0; 48]),
        file_bytes::npy_with(&file_bytes::header("|u1", true, &[3, 4]), &[7; 12]),
        file_bytes::npy_with(&file_bytes::header("<f8", false, &[2, 1, 3]), &[0; 48]),
        file_bytes::idx(&[3, 2, 2], &[9; 12]),
        file_bytes::idx(&[12], &[9; 12]),
    ]
}

/// Opens a file of samples, as either format, and reads all.
fn read_samples(path: &Path) -> Result<(), Error> {
    fn both(samples: impl Samples<f64>) -> Result<(), Error> {
        samples.to_matrix()?;
        samples.batches(2).try_for_each(|batch| batch.map(|_| ()))
    }
    match NpyFile::open(path) {
        Ok(file) => both(file),
        Err(_) if fs::read(path).is_ok_and(|bytes| !bytes.starts_with(b"\x93NUMPY")) => {
            both(IdxFile::open(path)?)
        }
        Err(error) => Err(error),
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
