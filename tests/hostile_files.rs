//! Files that lie: an error of the right kind, at once, and never more memory than the file has.

// A global allocator cannot be implemented without it; everything is handed on to the system's.
#![allow(unsafe_code)]

#[path = "cases/mod.rs"]
mod cases;
#[path = "stored/mod.rs"]
mod stored;

use std::alloc::{GlobalAlloc, System};
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use cases::{Rng, check, list, one_of};
use rand::RngExt;
use sparse_autoencoder::format::{
    self, TensorFile, dictionary_learning, gemma_scope, llama_scope, sae_lens, sparsify,
};
use sparse_autoencoder::{Activation, Error, IdxFile, NpyFile, Samples, SparseAutoencoder};

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

/// Reads everything that there is in a file, as a model and as tensors.
fn read_all(path: &Path) -> Result<(), Error> {
    let model = format::load::<f64>(path).map(|_| ());
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

#[test]
fn headers_that_lie_are_refused() {
    let tensor = |shape: &str, begin: &str, end: &str| {
        format!(r#"{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":[{begin},{end}]}}}}"#)
    };
    for (name, header, says) in [
        (
            "short",
            tensor("[2]", "0", "4"),
            "as many numbers as the shape",
        ),
        (
            "product",
            tensor("[4294967296,4294967296]", "0", "8"),
            "so many entries",
        ),
        (
            "dimension",
            tensor("[9223372036854775808]", "0", "8"),
            "so many entries",
        ),
        (
            "bytes",
            tensor("[4611686018427387904]", "0", "8"),
            "so many entries",
        ),
        (
            "hidden-by-zero",
            tensor("[9223372036854775807,0]", "0", "0"),
            "so many entries",
        ),
        ("beyond", tensor("[1000]", "0", "4000"), "claims 4000 bytes"),
        ("backwards", tensor("[2]", "8", "0"), "must not decrease"),
        ("gap", tensor("[1]", "4", "8"), "must begin at byte"),
        ("rest", tensor("[1]", "0", "4"), "must end with the file"),
        (
            "wrapping",
            tensor("[2]", "18446744073709551608", "18446744073709551615"),
            "as many",
        ),
        ("negative", tensor("[-2]", "0", "8"), "whole numbers"),
        ("fraction", tensor("[2.5]", "0", "8"), "whole numbers"),
        ("no-shape", tensor("2", "0", "8"), "shape must be a list"),
        (
            "no-object",
            r#"{"w":3}"#.to_owned(),
            "dtype must be a string",
        ),
        ("no-json", "{".to_owned(), "no JSON"),
        ("list", "[]".to_owned(), "not an object"),
        (
            "metadata",
            r#"{"__metadata__":{"a":1}}"#.to_owned(),
            "must be a string",
        ),
        ("deep", "[".repeat(100_000), "no JSON"),
    ] {
        assert_malformed(name, &safetensors(&header, 8), says);
    }
    let overlap = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
        "b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    assert_malformed("overlap", &safetensors(overlap, 8), "must begin at byte");
    assert_malformed("empty", b"", "header");
    assert_malformed(
        "length",
        &u64::MAX.to_le_bytes(),
        "claims 18446744073709551615",
    );
    let mut long = (1_u64 << 40).to_le_bytes().to_vec();
    long.extend_from_slice(b"{}");
    assert_malformed("long", &long, "at most 2 bytes");
}

#[test]
fn numbers_that_are_none_are_refused() {
    let header = r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut bytes = safetensors(header, 8);
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&value.to_le_bytes());
        let scratch = Scratch::new("numbers", &bytes);
        let error = TensorFile::open(&scratch.0)
            .unwrap()
            .samples::<f64>("w")
            .unwrap_err();
        assert!(
            error.to_string().contains(&format!("{value} at 1")),
            "{error}"
        );
    }
    // Finite in the file, but not as the scalar of the model.
    let mut bytes = safetensors(&header.replace("F32", "F64").replace("[2]", "[1]"), 8);
    let end = bytes.len();
    bytes[end - 8..].copy_from_slice(&1e300_f64.to_le_bytes());
    let scratch = Scratch::new("wide", &bytes);
    let mut file = TensorFile::open(&scratch.0).unwrap();
    assert!(file.samples::<f64>("w").is_ok());
    assert!(matches!(
        file.samples::<f32>("w"),
        Err(Error::Malformed { .. })
    ));
}

#[test]
fn an_archive_that_would_fill_the_memory_is_refused() {
    // 4 GiB of zeros claimed by a member that deflates to nothing.
    let mut archive = fs::read(fixture("gemma_scope/deflated/params.npz")).unwrap();
    let directory = archive
        .windows(4)
        .position(|bytes| bytes == b"PK\x01\x02")
        .unwrap();
    archive[directory + 24..directory + 28].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
    assert_malformed("bomb", &archive, "more than 1032 times its size");
}

#[test]
fn a_model_is_never_held_twice() {
    let model = SparseAutoencoder::<f32>::builder()
        .layers([512, 2048])
        .hidden_activation(Activation::Relu)
        .output_activation(Activation::Identity)
        .penalty(())
        .build()
        .unwrap();
    let bytes = 4 * model.layout().len();
    let own = Scratch::new("streamed", b"");
    let lens = std::env::temp_dir().join(format!("sparse-autoencoder-lens-{}", std::process::id()));
    for (what, (result, most)) in [
        ("save", measured(|| format::save(&model, &own.0))),
        ("sae_lens::save", measured(|| sae_lens::save(&model, &lens))),
    ] {
        result.unwrap();
        assert!(most < ALLOWANCE, "{what}: {most} bytes");
    }
    for (what, (result, most)) in [
        ("load", measured(|| format::load::<f32>(&own.0))),
        ("sae_lens::load", measured(|| sae_lens::load::<f32>(&lens))),
    ] {
        assert_eq!(result.unwrap().model.parameters(), model.parameters());
        assert!(most < bytes + ALLOWANCE, "{what}: {most} bytes of {bytes}");
    }
    fs::remove_dir_all(&lens).unwrap();
}

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/files/interop/fixtures")
        .join(path)
}

/// Valid files of every container.
fn valid() -> Vec<Vec<u8>> {
    let model = SparseAutoencoder::<f32>::builder()
        .layers([6, 9, 4])
        .hidden_activation(Activation::TopProportion(0.5))
        .build()
        .unwrap();
    let own = Scratch::new("own", b"");
    format::save(&model, &own.0).unwrap();
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
    let files = vec![
        fs::read(&own.0).unwrap(),
        weights,
        fs::read(fixture("gemma_scope/stored/params.npz")).unwrap(),
        fs::read(fixture("gemma_scope/deflated/params.npz")).unwrap(),
        fs::read(fixture("gemma_scope/second/params.safetensors")).unwrap(),
    ];
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

#[test]
fn a_damaged_file_is_an_error_or_read_within_its_size() {
    check_damaged(4096, &valid(), |file| {
        let scratch = Scratch::new("damaged", file);
        let (_, most) = measured(|| read_all(&scratch.0));
        // Halves become eight times as many bytes; and deflate may inflate by 16.
        assert!(
            most < ALLOWANCE + 16 * file.len(),
            "{most} of {} bytes",
            file.len()
        );
    });
}

/// Valid files of samples.
fn samples() -> Vec<Vec<u8>> {
    vec![
        stored::npy_with(&stored::header("<f4", false, &[3, 4]), &[0; 48]),
        stored::npy_with(&stored::header("|u1", true, &[3, 4]), &[7; 12]),
        stored::npy_with(&stored::header("<f8", false, &[2, 1, 3]), &[0; 48]),
        stored::idx(&[3, 2, 2], &[9; 12]),
        stored::idx(&[12], &[9; 12]),
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
        Err(_) => both(IdxFile::open(path)?),
    }
}

#[test]
fn headers_of_samples_that_lie_are_refused() {
    let huge = usize::MAX;
    let npy = |shape: &[usize]| stored::npy_with(&stored::header("<f4", false, shape), &[0; 48]);
    let mut long = b"\x93NUMPY\x02\x00".to_vec();
    long.extend_from_slice(&u32::MAX.to_le_bytes());
    for (name, bytes) in [
        ("more", npy(&[4, 4])),
        ("fewer", npy(&[2, 4])),
        ("product", npy(&[1 << 32, 1 << 32])),
        ("wrapping", npy(&[huge, 4])),
        ("hidden-by-zero", npy(&[0, huge])),
        ("entries-of-none", npy(&[0, 1 << 59, 1 << 59])),
        ("without-entries", npy(&[huge, 0])),
        ("long", long),
        ("idx", stored::idx(&[u32::MAX; 4], &[0; 12])),
        ("idx-dimensions", vec![0, 0, 8, 255, 0, 0, 0, 1]),
    ] {
        let scratch = Scratch::new(name, &bytes);
        let (result, most) = measured(|| read_samples(&scratch.0));
        assert!(
            matches!(result, Err(Error::Malformed { .. })),
            "{name}: {result:?}"
        );
        assert!(most < ALLOWANCE, "{name}: {most} bytes");
    }
}

/// The names of all types that safetensors has, and of one that it has not.
const DTYPES: [&str; 23] = [
    "BOOL",
    "F4",
    "F6_E2M3",
    "F6_E3M2",
    "U8",
    "I8",
    "F8_E5M2",
    "F8_E4M3",
    "F8_E8M0",
    "F8_E4M3FNUZ",
    "F8_E5M2FNUZ",
    "I16",
    "U16",
    "F16",
    "BF16",
    "I32",
    "U32",
    "F32",
    "C64",
    "F64",
    "I64",
    "U64",
    "X9",
];

/// Types of NumPy's of every kind: plain, of either order, complex, texts, times, objects.
const KINDS: [&str; 24] = [
    "|b1", "|u1", "|i1", "<u2", "<i2", "<f2", "<u4", "<i4", "<f4", "<u8", "<i8", "<f8", ">f4",
    ">u8", "=f4", "f8", "<f16", "<c8", "<c16", "<U3", "|S4", "|V2", "<M8[ns]", "|O",
];

/// A safetensors file whose tensors have another type, sizes of so many times, and no bytes.
fn forged(file: &[u8], dtype: &str, factor: usize) -> Vec<u8> {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
    for (name, tensor) in header.as_object_mut().unwrap() {
        if name == "__metadata__" {
            let Some(model) = tensor["model"].as_str() else {
                continue;
            };
            let mut model: serde_json::Value = serde_json::from_str(model).unwrap();
            for size in model["layers"].as_array_mut().unwrap() {
                *size = (size.as_u64().unwrap() * factor as u64).into();
            }
            tensor["model"] = model.to_string().into();
        } else {
            for size in tensor["shape"].as_array_mut().unwrap() {
                *size = (size.as_u64().unwrap() * factor as u64).into();
            }
            tensor["dtype"] = dtype.into();
            tensor["data_offsets"] = serde_json::json!([0, 0]);
        }
    }
    safetensors(&header.to_string(), 0)
}

#[test]
fn tensors_of_any_type_without_bytes_are_refused_before_room_is_made() {
    let model = SparseAutoencoder::<f32>::builder()
        .layers([6, 9])
        .build()
        .unwrap();
    let own = Scratch::new("own", b"");
    format::save(&model, &own.0).unwrap();
    let own = fs::read(&own.0).unwrap();
    let folder =
        std::env::temp_dir().join(format!("sparse-autoencoder-forged-{}", std::process::id()));
    copy(&fixture("sae_lens/standard"), &folder);
    let (config, weights) = (
        folder.join("cfg.json"),
        folder.join("sae_weights.safetensors"),
    );
    let (text, lens) = (
        fs::read_to_string(&config).unwrap(),
        fs::read(&weights).unwrap(),
    );
    for dtype in DTYPES {
        for factor in [1, 1 << 10, 1 << 20] {
            let path = Scratch::new("forged", &forged(&own, dtype, factor));
            let (result, most) = measured(|| format::load::<f64>(&path.0).map(drop));
            let refused = matches!(
                result,
                Err(Error::Malformed { .. } | Error::Unsupported { .. })
            );
            assert!(
                refused && most < ALLOWANCE,
                "{dtype}: {result:?}, {most} bytes"
            );
            let (result, most) = measured(|| {
                let mut file = TensorFile::open(&path.0)?;
                file.samples::<f64>("layers.0.encoder_weights").map(drop)
            });
            let refused = matches!(
                result,
                Err(Error::Malformed { .. } | Error::Unsupported { .. })
            );
            assert!(
                refused && most < ALLOWANCE,
                "{dtype}: {result:?}, {most} bytes"
            );

            let sizes = [("\"d_in\": ", 8), ("\"d_sae\": ", 16)];
            let larger = sizes.iter().fold(text.clone(), |text, (key, size)| {
                text.replace(&format!("{key}{size}"), &format!("{key}{}", size * factor))
            });
            fs::write(&config, larger).unwrap();
            fs::write(&weights, forged(&lens, dtype, factor)).unwrap();
            let (result, most) = measured(|| sae_lens::load::<f64>(&folder).map(drop));
            let refused = matches!(
                result,
                Err(Error::Malformed { .. } | Error::Unsupported { .. })
            );
            assert!(
                refused && most < ALLOWANCE,
                "{dtype}: {result:?}, {most} bytes"
            );
        }
    }
    fs::remove_dir_all(&folder).unwrap();
    for kind in KINDS {
        for deflated in [false, true] {
            let array =
                stored::npy_with(&stored::header(kind, false, &[1 << 20, 1 << 20]), &[0; 16]);
            let path = Scratch::new("forged", &stored::zip(&[("w.npy", &array)], deflated, 0));
            let (result, most) =
                measured(|| TensorFile::open(&path.0)?.samples::<f64>("w").map(drop));
            let refused = matches!(
                result,
                Err(Error::Malformed { .. } | Error::Unsupported { .. })
            );
            assert!(
                refused && most < ALLOWANCE,
                "{kind}: {result:?}, {most} bytes"
            );
            fs::write(&path.0, &array).unwrap();
            let (result, most) = measured(|| read_samples(&path.0));
            let refused = matches!(
                result,
                Err(Error::Malformed { .. } | Error::Unsupported { .. })
            );
            assert!(
                refused && most < ALLOWANCE,
                "{kind}: {result:?}, {most} bytes"
            );
        }
    }
}

/// Claims that deflate could keep, and does not.
#[test]
fn what_does_not_inflate_to_what_it_claims_takes_no_room() {
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    });
    let noise: Vec<u8> = noise.take(1 << 20).collect();
    let more = 500 << 20;
    let array = stored::npy_with(
        &stored::header("|u1", false, &[1, noise.len() + more]),
        &noise,
    );
    let archive = stored::zip(&[("w.npy", &array)], true, more as u32);
    let path = Scratch::new("claims", &archive);
    let (result, most) = measured(|| TensorFile::open(&path.0)?.samples::<f64>("w").map(drop));
    let refused =
        matches!(&result, Err(Error::Malformed { reason, .. }) if reason.contains("cut off"));
    assert!(refused && most < ALLOWANCE, "{result:?}, {most} bytes");

    let images = stored::gzip(&stored::idx(&[501, 1 << 20], &noise));
    let path = Scratch::new("claims-idx", &images);
    let (result, most) = measured(|| IdxFile::<f64>::open(&path.0).map(drop));
    assert!(matches!(result, Err(Error::Malformed { .. })), "{result:?}");
    assert!(most < ALLOWANCE + 4 * noise.len(), "{most} bytes");
}

/// Draws the size of an axis: small, or one that makes a product too large.
fn size(rng: &mut Rng) -> usize {
    match rng.random_range(0..5) {
        0 => one_of(rng, &[1 << 20, 1 << 31, 1 << 40, 1 << 60, usize::MAX]),
        _ => rng.random_range(0..5),
    }
}

#[test]
fn a_tensor_of_any_type_and_shape_is_an_error_or_read_within_its_size() {
    #[derive(Debug)]
    struct Claim {
        dtype: &'static str,
        kind: &'static str,
        shape: Vec<usize>,
        begin: usize,
        length: usize,
        bytes: usize,
        fortran: bool,
        deflated: bool,
        more: u32,
    }
    let draw = |rng: &mut Rng| Claim {
        dtype: one_of(rng, &DTYPES),
        kind: one_of(rng, &KINDS),
        shape: list(rng, 0..4, size),
        begin: if rng.random_ratio(3, 4) { 0 } else { size(rng) },
        length: if rng.random() {
            size(rng)
        } else {
            rng.random_range(0..65)
        },
        bytes: rng.random_range(0..65),
        fortran: rng.random(),
        deflated: rng.random(),
        more: if rng.random_ratio(3, 4) {
            0
        } else {
            rng.random::<u32>() >> 12
        },
    };
    check(4096, draw, |claim| {
        let Claim {
            dtype,
            kind,
            shape,
            begin,
            length,
            bytes,
            fortran,
            deflated,
            more,
        } = claim;
        let header = format!(
            r#"{{"w":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{begin},{}]}}}}"#,
            begin.saturating_add(length)
        );
        let array = stored::npy_with(&stored::header(kind, fortran, &shape), &vec![1; bytes]);
        let members = [
            ("README.txt", &b"text"[..]),
            ("w.npy", &array),
            ("__MACOSX/._w.npy", b""),
        ];
        let sizes: Vec<u32> = shape.iter().map(|&size| size as u32).collect();
        for file in [
            safetensors(&header, bytes),
            stored::zip(&members, deflated, more),
            array.clone(),
            stored::idx(&sizes, &vec![1; bytes]),
            stored::gzip(&stored::idx(&sizes, &vec![1; bytes])),
        ] {
            let scratch = Scratch::new("shaped", &file);
            let (_, most) = measured(|| (read_all(&scratch.0), read_samples(&scratch.0)));
            assert!(
                most < ALLOWANCE + 16 * file.len(),
                "{most} of {} bytes",
                file.len()
            );
        }
    });
}

#[test]
fn damaged_samples_are_an_error_or_read_within_their_size() {
    let files = samples();
    for file in &files {
        assert_eq!(read_samples(&Scratch::new("samples", file).0), Ok(()));
    }
    check_damaged(4096, &files, |file| {
        let scratch = Scratch::new("samples", file);
        let (_, most) = measured(|| read_samples(&scratch.0));
        assert!(
            most < ALLOWANCE + 16 * file.len(),
            "{most} of {} bytes",
            file.len()
        );
    });
}

/// Folders with a configuration, and what loads them.
type Load = fn(&Path) -> Result<(), Error>;
const FOLDERS: [(&str, &str, Load); 5] = [
    ("sae_lens/topk_rescaled", "cfg.json", |path| {
        sae_lens::load::<f64>(path).map(|_| ())
    }),
    ("sae_lens/legacy_topk", "cfg.json", |path| {
        sae_lens::load::<f64>(path).map(|_| ())
    }),
    ("sparsify/expansion", "cfg.json", |path| {
        sparsify::load::<f64>(path).map(|_| ())
    }),
    ("llama_scope/jumprelu", "hyperparams.json", |path| {
        llama_scope::load::<f64>(path).map(|_| ())
    }),
    ("dictionary_learning/top_k", "config.json", |path| {
        dictionary_learning::load::<f64>(path).map(|_| ())
    }),
];

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

#[test]
fn a_damaged_configuration_is_an_error_or_another_model() {
    let draw = |rng: &mut Rng| (rng.random_range(0..FOLDERS.len()), damages(rng));
    check(256, draw, |(index, damages)| {
        let (folder, config, load) = FOLDERS[index];
        let scratch =
            std::env::temp_dir().join(format!("sparse-autoencoder-damaged-{}", std::process::id()));
        copy(&fixture(folder), &scratch);
        assert_eq!(load(&scratch), Ok(()));
        let mut bytes = fs::read(scratch.join(config)).unwrap();
        for damage in &damages {
            damage.apply(&mut bytes);
        }
        fs::write(scratch.join(config), &bytes).unwrap();
        let (_, most) = measured(|| load(&scratch));
        fs::remove_dir_all(&scratch).unwrap();
        assert!(most < ALLOWANCE, "{most} bytes");
    });
}

/// Checkpoints that lie although their checksum is right.
mod checkpoints {
    use super::*;
    use sparse_autoencoder::nalgebra::DMatrix;
    use sparse_autoencoder::{Adam, Corruption, DeadUnits, Every, Trainer};

    fn samples() -> DMatrix<f32> {
        DMatrix::from_fn(3, 10, |i, j| ((i + 2 * j) % 5) as f32 / 4.0)
    }

    fn start() -> (SparseAutoencoder<f32>, Trainer<f32>) {
        let model = SparseAutoencoder::builder()
            .layers([3, 4])
            .hidden_activation(Activation::Relu)
            .penalty(())
            .build();
        let trainer = Trainer::new(Adam::new(0.01).unwrap())
            .epochs(3)
            .batch_size(4)
            .validation_split(0.2)
            .patience(9)
            .dead_units(DeadUnits::after(3).resampled(1))
            .corruption(Corruption::Masking { fraction: 0.2 });
        (model.unwrap(), trainer)
    }

    /// One from the midst of an epoch.
    fn valid() -> Vec<u8> {
        let scratch = Scratch::new("valid", &[]);
        let (mut model, trainer) = start();
        let mut trainer = trainer.checkpoint(&scratch.0, Every::Steps(3));
        // A folder in the place of the file cannot be replaced: the fit is paused there.
        fs::remove_file(&scratch.0).unwrap();
        fs::create_dir(&scratch.0).unwrap();
        fs::write(scratch.0.join("full"), []).unwrap();
        assert!(matches!(
            trainer.fit(&mut model, samples()),
            Err(Error::Io { .. })
        ));
        fs::remove_dir_all(&scratch.0).unwrap();
        trainer.save(&model, &scratch.0).unwrap();
        fs::read(&scratch.0).unwrap()
    }

    fn repair(file: &mut [u8]) {
        if let Some(end) = file.len().checked_sub(4) {
            let mut crc = flate2::Crc::new();
            crc.update(&file[..end]);
            file[end..].copy_from_slice(&crc.sum().to_le_bytes());
        }
    }

    /// Resumes and goes on; whatever comes of it, it returns.
    fn go_on(file: &[u8]) -> Result<(), Error> {
        let scratch = Scratch::new("resumed", file);
        let (mut model, mut trainer) = start();
        let before = model.clone();
        let (resumed, most) = measured(|| trainer.resume(&mut model, &scratch.0));
        assert!(
            most < ALLOWANCE + 16 * file.len(),
            "{most} of {} bytes",
            file.len()
        );
        if resumed.is_err() {
            assert_eq!(model.parameters(), before.parameters());
            assert_eq!(trainer.steps_taken(), 0);
        }
        resumed?;
        trainer.fit(&mut model, samples()).map(|_| ())
    }

    /// The same file with other text in its header.
    fn with(file: &[u8], old: &str, new: &str) -> Vec<u8> {
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let header = std::str::from_utf8(&file[8..8 + length]).unwrap();
        assert!(header.contains(old), "{old} in {header}");
        let header = header.replacen(old, new, 1);
        let mut changed = (header.len() as u64).to_le_bytes().to_vec();
        changed.extend_from_slice(header.as_bytes());
        changed.extend_from_slice(&file[8 + length..]);
        repair(&mut changed);
        changed
    }

    #[test]
    fn a_position_that_cannot_be_is_refused() {
        let file = valid();
        assert_eq!(go_on(&file), Ok(()));
        for (old, new) in [
            (r#"\"done\":1"#, r#"\"done\":99"#),
            (r#"\"epochs\":1,"#, r#"\"epochs\":123456789012345678,"#),
            (r#"\"best_epoch\":1"#, r#"\"best_epoch\":2"#),
            (r#"\"batches\":2"#, r#"\"batches\":1"#),
            (r#"\"samples\":8"#, r#"\"samples\":7"#),
            (r#"\"prepared\":true"#, r#"\"prepared\":false"#),
            (r#"\"random\":["#, r#"\"random\":[1,"#),
            (r#"\"converged\":false"#, r#"\"converged\":0"#),
            (r#""checkpoint":"1""#, r#""checkpoint":"2""#),
            (r#"optimizer.first_moment"#, r#"optimizer.firstmoment"#),
        ] {
            let error = go_on(&with(&file, old, new)).expect_err(new);
            let typed = matches!(
                error,
                Error::Malformed { .. }
                    | Error::Unsupported { .. }
                    | Error::DimensionMismatch { .. }
            );
            assert!(typed, "{new}: {error}");
        }
    }

    #[test]
    fn an_order_that_is_none_is_refused() {
        let file = valid();
        let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let text = std::str::from_utf8(&file[8..8 + header]).unwrap();
        let entry = &text[text.find(r#""order":"#).unwrap()..];
        let offsets = &entry[entry.find("[").unwrap() + 1..];
        let begin: usize = offsets[..offsets.find(',').unwrap()].parse().unwrap();
        let place = 8 + header + begin;
        for index in [i64::MAX, -1, 10] {
            let mut changed = file.clone();
            changed[place..place + 8].copy_from_slice(&index.to_le_bytes());
            repair(&mut changed);
            assert!(go_on(&changed).is_err(), "{index}");
        }
        let mut twice = file.clone();
        twice.copy_within(place..place + 8, place + 8);
        repair(&mut twice);
        assert!(matches!(go_on(&twice), Err(Error::Incompatible { .. })));
    }

    #[test]
    fn a_forged_checkpoint_is_an_error_or_goes_on() {
        check_damaged(2048, &[valid()], |file| {
            let mut file = file.to_vec();
            repair(&mut file);
            let _ = go_on(&file);
        });
    }
}
