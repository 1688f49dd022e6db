//! Readers of numbers: every type, one rule for shapes, and the name of whatever is something else.

#![allow(clippy::float_cmp)] // the same numbers

use std::fs;
use std::path::{Path, PathBuf};

use sparse_autoencoder::files::{
    self, TensorFile, dictionary_learning, gemma_scope, llama_scope, sae_lens, sparsify,
};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{Error, IdxFile, NpyFile, Real, Samples, SparseAutoencoder};

use crate::common::file_bytes::{gzip, header, idx, npy_with, safetensors, zip};
use crate::common::scratch::Scratch;
use crate::interop::{malformed, unsupported};

fn write(scratch: &Scratch, name: &str, bytes: &[u8]) -> PathBuf {
    let path = scratch.0.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn tensor<T: Real>(path: &Path) -> Result<DMatrix<T>, Error> {
    TensorFile::open(path)?.samples::<T>("w")
}

/// NumPy's name without the order of bytes, that of safetensors, bytes, and what they stand for.
fn types() -> Vec<(&'static str, &'static str, Vec<u8>, [f64; 2])> {
    macro_rules! numbers {
        ($npy:literal, $name:literal, $a:expr, $b:expr) => {{
            let numbers = [$a, $b];
            let bytes = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
            ($npy, $name, bytes, numbers.map(|n| n as f64))
        }};
    }
    vec![
        ("b1", "BOOL", vec![0, 1], [0.0, 1.0]),
        numbers!("u1", "U8", 3_u8, 255),
        numbers!("i1", "I8", 3_i8, -1),
        numbers!("u2", "U16", 3_u16, 65_535),
        numbers!("i2", "I16", 3_i16, -2),
        numbers!("u4", "U32", 3_u32, 16_777_217),
        numbers!("i4", "I32", 3_i32, -16_777_217),
        numbers!("u8", "U64", (1_u64 << 63) + (1 << 39) + 1, u64::MAX),
        numbers!("i8", "I64", i64::MIN, (1_i64 << 53) + 1),
        ("f2", "F16", vec![0, 0x3e, 0, 0xc0], [1.5, -2.0]),
        numbers!("f4", "F32", 0.1_f32, -3e38),
        numbers!("f8", "F64", 0.1_f64, -1e-3),
    ]
}

fn all_types<T: Real>(name: &str) {
    let scratch = Scratch::new(name);
    for (npy, dtype, bytes, values) in types() {
        // Rounded once: an integer of 64 bits to 32 bits directly, as by NumPy's astype.
        let narrow = size_of::<T>() == 4;
        let expected = match (npy, narrow) {
            ("u8", true) => [9_223_373_136_366_403_584.0, 18_446_744_073_709_551_616.0].map(T::of),
            _ => values.map(T::of),
        };
        let size = bytes.len() / 2;
        let swapped: Vec<u8> = bytes
            .chunks(size)
            .flat_map(|b| b.iter().rev().copied())
            .collect();
        for (order, data) in [
            ("<", &bytes),
            (">", &swapped),
            ("=", &bytes),
            ("", &bytes),
            ("|", &bytes),
        ] {
            let kind = format!("{order}{npy}");
            let array = npy_with(&header(&kind, false, &[1, 2]), data);
            let file = NpyFile::<T>::open(write(&scratch, "a.npy", &array)).unwrap();
            assert_eq!(file.to_matrix().unwrap().as_slice(), expected, "{kind}");
            for deflated in [false, true] {
                let archive = zip(&[("w.npy", &array)], deflated, 0);
                let read = tensor::<T>(&write(&scratch, "a.npz", &archive)).unwrap();
                assert_eq!(read.as_slice(), expected, "{kind}");
            }
        }
        let file = safetensors(&[("w", dtype, &[1, 2], &bytes)]);
        let read = tensor::<T>(&write(&scratch, "a.safetensors", &file)).unwrap();
        assert_eq!(read.as_slice(), expected, "{dtype}");
    }
}

#[test]
fn every_plain_type_is_read_by_every_reader() {
    all_types::<f32>("types-32");
    all_types::<f64>("types-64");
}

#[test]
fn other_types_are_unsupported_by_every_reader() {
    let scratch = Scratch::new("other-types");
    for kind in ["<c8", "<c16", "<U3", "|S4", "|O", "<M8[ns]", "|V2"] {
        let array = npy_with(&header(kind, false, &[1 << 40, 1 << 10]), &[0; 16]);
        let archive = write(&scratch, "a.npz", &zip(&[("w.npy", &array)], true, 0));
        for message in [
            unsupported(NpyFile::<f32>::open(write(&scratch, "a.npy", &array))),
            unsupported(tensor::<f32>(&archive)),
        ] {
            assert!(message.contains(kind), "{message}");
            assert!(
                message.contains("unsupported; supported are booleans"),
                "{message}"
            );
        }
    }
    for (dtype, bytes) in [("C64", 16), ("F8_E4M3", 2), ("F4", 1), ("X9", 16)] {
        let file = safetensors(&[("w", dtype, &[1, 2], &vec![0; bytes])]);
        let path = write(&scratch, "a.safetensors", &file);
        assert_eq!(
            TensorFile::open(&path).unwrap().shape("w"),
            Some(&[1, 2][..])
        );
        let message = unsupported(tensor::<f32>(&path));
        assert!(message.contains(dtype), "{message}");
        assert!(
            message.contains("unsupported; supported are booleans"),
            "{message}"
        );
    }
}

#[test]
fn the_first_axis_counts_the_samples_in_every_reader() {
    let scratch = Scratch::new("axes");
    let data: Vec<u8> = (0..12).collect();
    for shape in [
        &[12][..],
        &[1, 12],
        &[12, 1],
        &[3, 4],
        &[3, 2, 2],
        &[3, 4, 1],
        &[1, 2, 3, 2],
    ] {
        let expected = DMatrix::from_fn(12 / shape[0], shape[0], |i, j| {
            (j * (12 / shape[0]) + i) as f64
        });
        let array = npy_with(&header("|u1", false, shape), &data);
        let sizes: Vec<u32> = shape.iter().map(|&size| size as u32).collect();
        let images = IdxFile::<f64>::open(write(&scratch, "idx", &idx(&sizes, &data))).unwrap();
        let archive = write(&scratch, "a.npz", &zip(&[("w.npy", &array)], true, 0));
        let file = safetensors(&[("w", "U8", shape, &data)]);
        for read in [
            NpyFile::open(write(&scratch, "a.npy", &array))
                .unwrap()
                .to_matrix()
                .unwrap(),
            tensor(&archive).unwrap(),
            tensor(&write(&scratch, "a.safetensors", &file)).unwrap(),
            images.to_matrix().unwrap().map(|x| (x * 255.0).round()),
        ] {
            assert_eq!(read, expected, "{shape:?}");
        }
    }
    for shape in [&[][..], &[2, 0], &[0, 0], &[2, 3, 0]] {
        let array = npy_with(
            &header("|u1", false, shape),
            &vec![0; usize::from(shape.is_empty())],
        );
        malformed(NpyFile::<f32>::open(write(&scratch, "a.npy", &array)));
        malformed(tensor::<f32>(&write(
            &scratch,
            "a.npz",
            &zip(&[("w.npy", &array)], false, 0),
        )));
    }
    // Without samples there is nothing to transpose, nor to divide by.
    let none = npy_with(&header("<f4", true, &[0, 3]), &[]);
    let none = tensor::<f32>(&write(
        &scratch,
        "a.npz",
        &zip(&[("w.npy", &none)], false, 0),
    ));
    assert_eq!(none.unwrap().shape(), (3, 0));
    let cube = npy_with(&header("|u1", true, &[3, 2, 2]), &data);
    let archive = write(&scratch, "a.npz", &zip(&[("w.npy", &cube)], false, 0));
    for message in [
        unsupported(tensor::<f32>(&archive)),
        unsupported(NpyFile::<f32>::from_bytes("a.npy", cube)),
    ] {
        assert!(message.contains("ascontiguousarray"), "{message}");
    }
}

#[test]
fn what_is_no_array_does_not_spoil_an_archive() {
    let scratch = Scratch::new("others");
    let array = npy_with(&header("<f4", false, &[1, 2]), &[0; 8]);
    let others = [
        "README.txt",
        "params/",
        ".DS_Store",
        "__MACOSX/._w.npy",
        "params/._w.npy",
    ];
    for deflated in [false, true] {
        let mut members: Vec<(&str, &[u8])> = others
            .iter()
            .map(|&name| (name, &b"no array"[..]))
            .collect();
        members[1].1 = b"";
        members.insert(2, ("w.npy", &array));
        let path = write(&scratch, "a.npz", &zip(&members, deflated, 0));
        let file = TensorFile::open(&path).unwrap();
        assert_eq!(file.names().collect::<Vec<_>>(), ["w"]);
        assert_eq!(file.others().collect::<Vec<_>>(), others);
        assert_eq!(tensor::<f32>(&path).unwrap().shape(), (2, 1));
    }
    let empty = malformed(TensorFile::open(write(
        &scratch,
        "a.npz",
        &zip(&[], false, 0),
    )));
    assert!(empty.contains("the archive is empty"), "{empty}");
    let other = zip(&[("word/document.xml", b"<w>")], false, 0);
    let other = malformed(TensorFile::open(write(&scratch, "a.npz", &other)));
    assert!(
        other.contains("no arrays (*.npy), but word/document.xml"),
        "{other}"
    );
}

#[test]
fn what_compresses_well_is_read() {
    let scratch = Scratch::new("compressible");
    let zeros = npy_with(&header("|u1", false, &[1000, 4000]), &vec![0; 4_000_000]);
    let archive = zip(&[("w.npy", &zeros)], true, 0);
    assert!(zeros.len() > 900 * archive.len(), "{}", archive.len());
    let read = tensor::<f32>(&write(&scratch, "a.npz", &archive)).unwrap();
    assert_eq!((read.shape(), read.amax()), ((4000, 1000), 0.0));

    let images = idx(&[1000, 4000], &vec![0; 4_000_000]);
    let path = write(&scratch, "idx.gz", &gzip(&images));
    let read = IdxFile::<f32>::open(&path).unwrap();
    assert_eq!((read.count(), read.entries()), (1000, 4000));
    let path = write(&scratch, "npy.gz", &gzip(&zeros));
    let read = NpyFile::<f32>::open(&path).unwrap();
    assert_eq!((read.count(), read.entries()), (1000, 4000));
}

#[test]
fn a_compressed_npy_is_read_directly() {
    let numbers: Vec<u8> = (0..24).collect();
    let array = npy_with(&header("|u1", false, &[4, 2, 3]), &numbers);
    let plain = NpyFile::<f64>::from_bytes("plain", array.clone()).unwrap();
    // As one part, and as several behind each other.
    let parts = [gzip(&array[..9]), gzip(&array[9..])].concat();
    for compressed in [gzip(&array), parts] {
        let read = NpyFile::<f64>::from_bytes("npy.gz", compressed.clone()).unwrap();
        assert_eq!(read.shape(), [4, 2, 3]);
        assert_eq!(read.to_matrix().unwrap(), plain.to_matrix().unwrap());
        for len in 9..compressed.len() {
            let cut_off = compressed[..len].to_vec();
            malformed(NpyFile::<f64>::from_bytes("npy.gz", cut_off));
        }
    }
    let claims = |kind, shape: &[usize]| npy_with(&header(kind, false, shape), &numbers);
    for wrong in [
        gzip(&[&array[..], &[0]].concat()),
        gzip(&array[..array.len() - 1]),
        gzip(&array[..20]),
        gzip(&claims("<f8", &[usize::MAX, 8])),
        gzip(&claims("<f8", &[1 << 40, 8])),
        gzip(&claims("<f8", &[4, 0])),
        gzip(b""),
    ] {
        malformed(NpyFile::<f64>::from_bytes("npy.gz", wrong));
    }
    let texts = claims("<U1", &[6]);
    assert!(unsupported(NpyFile::<f64>::from_bytes("npy.gz", gzip(&texts))).contains("<U1"));
    let text = NpyFile::<f64>::from_bytes("npy.gz", gzip(b"a,b,c\n1.0,2.0,3.0\n"));
    assert!(unsupported(text).contains("this is text"));
}

#[test]
fn a_file_is_a_matrix_in_one_call() {
    let scratch = Scratch::new("load");
    let numbers: Vec<u8> = (0..24).collect();
    let array = npy_with(&header("|u1", false, &[4, 6]), &numbers);
    let images = idx(&[4, 2, 3], &numbers);
    let expected = DMatrix::from_fn(6, 4, |i, j| (6 * j + i) as f32);
    for (array, images) in [
        (array.clone(), images.clone()),
        (gzip(&array), gzip(&images)),
    ] {
        let matrix = NpyFile::<f32>::load(write(&scratch, "npy", &array)).unwrap();
        assert_eq!(matrix, expected);
        let matrix = IdxFile::<f32>::load(write(&scratch, "idx", &images)).unwrap();
        assert_eq!(matrix, expected.map(|byte| byte / 255.0));
    }
    let missing = scratch.0.join("missing");
    assert!(matches!(
        NpyFile::<f32>::load(&missing),
        Err(Error::Io { .. })
    ));
    assert!(matches!(
        IdxFile::<f32>::load(&missing),
        Err(Error::Io { .. })
    ));
}

#[test]
fn a_missing_value_of_a_tensor_is_kept() {
    let scratch = Scratch::new("missing");
    let bytes = [1.0, f32::NAN, 3.0, 4.0].map(f32::to_le_bytes).concat();
    let file = write(
        &scratch,
        "a.safetensors",
        &safetensors(&[("w", "F32", &[2, 2], &bytes)]),
    );
    let mut file = TensorFile::open(file).unwrap();
    let on_read = file.samples_on_read::<f64>("w").unwrap();
    assert!(on_read.reads_ahead());
    for x in [file.samples("w").unwrap(), on_read.to_matrix().unwrap()] {
        assert!(x[1].is_nan());
        assert_eq!([x[0], x[2], x[3]], [1.0, 3.0, 4.0]);
        assert!(sparse_autoencoder::Imputer::fit(&x).is_ok());
    }
}

#[test]
fn samples_of_a_tensor_are_read_when_needed() {
    let scratch = Scratch::new("on-read");
    let x = DMatrix::<f32>::from_fn(3, 500, |i, j| (j * 3 + i) as f32 / 7.0);
    let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
    let big: Vec<u8> = x.iter().flat_map(|x| x.to_be_bytes()).collect();
    let turned: Vec<u8> = x.transpose().iter().flat_map(|x| x.to_le_bytes()).collect();
    let array = |kind, fortran, bytes: &[u8]| npy_with(&header(kind, fortran, &[500, 3]), bytes);
    let (plain, swapped) = (array("<f4", false, &bytes), array(">f4", false, &big));
    let column_major = array("<f4", true, &turned);
    let members = [
        ("other.npy", &plain[..plain.len()]),
        ("big.npy", &swapped),
        ("fortran.npy", &column_major),
    ];
    let tensors = safetensors(&[
        ("before", "U8", &[3], &[1, 2, 3]),
        ("w", "F32", &[500, 3], &bytes),
        ("cube", "F32", &[250, 2, 3], &bytes),
        ("empty", "F32", &[500, 0], &[]),
        ("after", "F8_E5M2", &[2], &[0, 0]),
    ]);
    let tensors = TensorFile::open(write(&scratch, "a.safetensors", &tensors)).unwrap();
    let archive = write(&scratch, "a.npz", &zip(&members, false, 0));
    let archive = TensorFile::open(archive).unwrap();
    let chosen = [499, 3, 4, 5, 0, 0];
    let mut batch = [0.0; 18];
    let read = [
        tensors.samples_on_read::<f32>("w").unwrap(),
        archive.samples_on_read("other").unwrap(),
        archive.samples_on_read("big").unwrap(),
        archive.samples_on_read("fortran").unwrap(),
    ];
    for read in &read {
        assert_eq!((read.count(), read.entries()), (500, 3));
        assert_eq!(read.to_matrix().unwrap(), x);
        read.read(&chosen, &mut batch).unwrap();
        assert_eq!(batch, x.select_columns(&chosen).as_slice());
        assert!(read.read(&[500], &mut batch[..3]).is_err());
    }
    let cube = tensors.samples_on_read::<f64>("cube").unwrap();
    assert_eq!((cube.count(), cube.entries()), (250, 6));
    assert_eq!(
        cube.to_matrix().unwrap().as_slice(),
        x.map(f64::from).as_slice()
    );

    // A file that is open as tensors still is.
    let mut tensors = tensors;
    assert_eq!(tensors.samples::<f32>("w").unwrap(), x);
    let known = "there is no tensor \"v\": there are only \"after\", \"before\", \"cube\", \"empty\", \"w\"";
    let unknown = [
        tensors.samples_on_read::<f32>("v").err(),
        tensors.samples::<f32>("v").err(),
    ];
    for error in unknown.map(Option::unwrap) {
        assert_eq!(error.to_string(), known);
    }
    malformed(tensors.samples_on_read::<f32>("empty"));
    assert!(unsupported(tensors.samples_on_read::<f32>("after")).contains("F8_E5M2"));
    let deflated = write(&scratch, "b.npz", &zip(&members, true, 0));
    let deflated = TensorFile::open(deflated).unwrap();
    let reason = unsupported(deflated.samples_on_read::<f32>("other"));
    assert!(reason.contains("numpy.savez"), "{reason}");

    // Several files are one dataset.
    let shards = sparse_autoencoder::Shards::new(read.into()).unwrap();
    assert_eq!((shards.count(), shards.entries()), (2000, 3));
    shards.read(&[1999, 500, 3], &mut batch[..9]).unwrap();
    assert_eq!(batch[..9], *x.select_columns(&[499, 0, 3]).as_slice());
}

#[test]
fn a_compressed_idx_is_read_directly() {
    let images = idx(&[3, 2, 2], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255]);
    let plain = IdxFile::<f64>::from_bytes("plain", images.clone()).unwrap();
    // As one part, and as several behind each other.
    let parts = [gzip(&images[..9]), gzip(&images[9..])].concat();
    for compressed in [gzip(&images), parts] {
        let read = IdxFile::<f64>::from_bytes("idx.gz", compressed.clone()).unwrap();
        assert_eq!(read.shape(), [3, 2, 2]);
        assert_eq!(read.to_matrix().unwrap(), plain.to_matrix().unwrap());
        assert_eq!(read.to_bytes().unwrap(), plain.to_bytes().unwrap());
        for len in 9..compressed.len() {
            malformed(IdxFile::<f64>::from_bytes(
                "idx.gz",
                compressed[..len].to_vec(),
            ));
        }
    }
    for wrong in [
        gzip(&[&images[..], &[0]].concat()),
        gzip(&images[..20]),
        gzip(&idx(&[u32::MAX; 3], &[0; 100])),
        gzip(&idx(&[1 << 20, 16], &[0; 100])),
        gzip(b""),
    ] {
        malformed(IdxFile::<f64>::from_bytes("idx.gz", wrong));
    }
    let text = IdxFile::<f64>::from_bytes("idx.gz", gzip(b"a,b,c\n1.0,2.0,3.0\n"));
    assert!(unsupported(text).contains("this is text"));
}

#[test]
fn long_headers_are_read() {
    let scratch = Scratch::new("long");
    let names: Vec<String> = (0..20_000)
        .map(|k| format!("model.layers.{k}.a \"tensor\""))
        .collect();
    let names: Vec<String> = names.iter().map(|name| name.replace('"', "\\\"")).collect();
    let numbers: Vec<[u8; 4]> = (0..20_000).map(|k| (k as f32).to_le_bytes()).collect();
    let tensors: Vec<(&str, &str, &[usize], &[u8])> = names
        .iter()
        .zip(&numbers)
        .map(|(name, number)| (&**name, "F32", &[1_usize, 1][..], &number[..]))
        .collect();
    let path = write(&scratch, "many", &safetensors(&tensors));
    let mut file = TensorFile::open(&path).unwrap();
    assert_eq!(file.names().count(), 20_000);
    let last = file
        .samples::<f32>("model.layers.19999.a \"tensor\"")
        .unwrap();
    assert_eq!(last[0], 19_999.0);

    let text = "x{[,:\\\"".repeat(1 << 18);
    let header = format!(
        r#" {{ "__metadata__" : {{"a":"{text}", "b": "" }}, "w":{{"shape":[1],"data_offsets":[0,4],"dtype":"F32"}} }} "#
    );
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend([0; 4]);
    tensor::<f32>(&write(&scratch, "metadata", &bytes)).unwrap();

    let layers = vec![2; 3001];
    let model = SparseAutoencoder::<f32>::builder()
        .layers(layers)
        .build()
        .unwrap();
    let path = scratch.0.join("deep");
    files::save(&model, &path).unwrap();
    assert_eq!(
        files::load::<SparseAutoencoder<f32>>(&path)
            .unwrap()
            .model
            .parameters(),
        model.parameters()
    );
}

#[test]
fn two_tensors_of_one_name_are_refused() {
    let scratch = Scratch::new("one-name");
    let file = safetensors(&[("w", "F32", &[1], &[0; 4]), ("w", "F32", &[1], &[0; 4])]);
    assert!(malformed(TensorFile::open(write(&scratch, "a", &file))).contains("one name"));
}

/// Everything that reads a file which is given as it is.
type Read = fn(&Path) -> Result<(), Error>;
const READERS: [(&str, Read); 6] = [
    ("a safetensors or npz file", |path| {
        files::load::<SparseAutoencoder<f32>>(path).map(drop)
    }),
    ("a safetensors or npz file", |path| {
        TensorFile::open(path).map(drop)
    }),
    ("a safetensors or npz file", |path| {
        gemma_scope::load::<f32>(path).map(drop)
    }),
    ("a safetensors or npz file", |path| {
        dictionary_learning::load_as::<f32>(path, dictionary_learning::Dictionary::AutoEncoder)
            .map(drop)
    }),
    ("a NumPy npy file", |path| {
        NpyFile::<f32>::open(path).map(drop)
    }),
    ("an IDX file", |path| IdxFile::<f32>::open(path).map(drop)),
];

/// Everything that reads a folder, and the files in it.
const FOLDERS: [(&str, [&str; 2], Read); 5] = [
    (
        "sae_lens",
        ["cfg.json", "sae_weights.safetensors"],
        |path| sae_lens::load::<f32>(path).map(drop),
    ),
    ("sparsify", ["cfg.json", "sae.safetensors"], |path| {
        sparsify::load::<f32>(path).map(drop)
    }),
    (
        "llama_scope",
        ["hyperparams.json", "checkpoints/final.safetensors"],
        |path| llama_scope::load::<f32>(path).map(drop),
    ),
    (
        "dictionary_learning",
        ["config.json", "ae.safetensors"],
        |path| dictionary_learning::load::<f32>(path).map(drop),
    ),
    (
        "gemma_scope",
        ["config.json", "params.safetensors"],
        |path| gemma_scope::load::<f32>(path).map(drop),
    ),
];

const CASES: [&str; 5] = ["standard", "topk", "jumprelu", "top_k", "second"];

#[test]
fn a_file_of_another_kind_is_named_by_every_reader() {
    let scratch = Scratch::new("kinds");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    let array = npy_with(&header("<f4", false, &[1, 2]), &[0; 8]);
    let compressed = gzip(&array);
    let inflate = ["a NumPy npy file", "an IDX file"];
    for (content, says, readable) in [
        (&pointer[..], "git lfs pull", None),
        (
            b"<!DOCTYPE html>\n<html><body>404</body></html>",
            "HTML",
            None,
        ),
        (
            br#"{"metadata": {"total_size": 8}, "weight_map": {}}"#,
            "JSON",
            None,
        ),
        (&compressed, "gunzip", None),
        (&array, "NpyFile", Some("a NumPy npy file")),
        (&idx(&[1, 2], &[0; 2]), "IdxFile", Some("an IDX file")),
        (
            &zip(&[("w.npy", &array)], false, 0),
            "TensorFile",
            Some("a safetensors or npz file"),
        ),
        (
            &zip(&[("archive/data.pkl", b"")], false, 0),
            "weights_only",
            None,
        ),
        (
            &safetensors(&[("w", "F32", &[1], &[0; 4])]),
            "TensorFile",
            Some("a safetensors or npz file"),
        ),
        (b"\x89HDF\r\n\x1a\n\0\0\0\0", "HDF5", None),
        (b"0.5,1.5\n2.5,3.5\n", "text", None),
    ] {
        let path = write(&scratch, "file", content);
        for (expected, read) in READERS {
            let inflates = content == compressed && inflate.contains(&expected);
            if readable == Some(expected) || inflates {
                continue;
            }
            let message = refused(read(&path));
            assert!(
                message.contains(&format!("expected {expected}, but this is")),
                "{message}"
            );
            assert!(message.contains(says), "{message}");
        }
        if content == array || readable == Some("a safetensors or npz file") {
            continue;
        }
        for ((project, [_, weights], read), case) in FOLDERS.into_iter().zip(CASES) {
            let folder = Scratch::copy_of(project, case, "kinds-folder");
            fs::write(folder.0.join(weights), content).unwrap();
            assert!(refused(read(&folder.0)).contains(says), "{project}");
        }
    }
    let path = write(&scratch, "file", b"");
    for (_, read) in READERS {
        assert!(malformed(read(&path)).contains("the file is empty"));
    }
}

fn refused(result: Result<(), Error>) -> String {
    match result {
        Err(error @ (Error::Malformed { .. } | Error::Unsupported { .. })) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

fn io(result: Result<(), Error>) -> String {
    match result {
        Err(error @ Error::Io { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_folder_and_a_file_in_the_place_of_each_other_are_named() {
    let scratch = Scratch::new("places");
    let folder = scratch.0.join("params.npz");
    for weights in ["params.npz", "ae.safetensors"] {
        fs::create_dir_all(folder.join(weights)).unwrap();
    }
    for (_, read) in READERS {
        let message = io(read(&folder));
        assert!(
            message.contains("expected a file, but this is a folder"),
            "{message}"
        );
    }
    let file = write(&scratch, "file.safetensors", &safetensors(&[]));
    for (project, _, read) in &FOLDERS[..3] {
        let message = io(read(&file));
        assert!(
            message.contains("file.safetensors: expected a folder, but this is a file"),
            "{project}: {message}"
        );
    }
    for (_, read) in READERS {
        let message = io(read(&scratch.0.join("missing")));
        assert!(message.contains("missing"), "{message}");
    }
}

#[cfg(unix)]
#[test]
fn pipes_sockets_and_devices_are_refused_at_once() {
    let scratch = Scratch::new("pipes");
    let pipe = scratch.0.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let socket = scratch.0.join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (path, says) in [
        (&*pipe, "a named pipe"),
        (&*socket, "a socket"),
        (Path::new("/dev/null"), "a device"),
    ] {
        for (_, read) in READERS {
            let message = io(read(path));
            assert!(
                message.contains(&format!("expected a file, but this is {says}")),
                "{message}"
            );
        }
        for ((project, files, read), case) in FOLDERS.into_iter().zip(CASES) {
            for name in files {
                let folder = Scratch::copy_of(project, case, "pipes-folder");
                fs::remove_file(folder.0.join(name)).unwrap();
                std::os::unix::fs::symlink(path, folder.0.join(name)).unwrap();
                assert!(io(read(&folder.0)).contains(says), "{project} {name}");
            }
        }
    }
}

/// Of a sparse file, for which the machine has no memory: 4 TiB, and eight times as many.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_the_memory_is_too_small_for_is_an_error() {
    // Where the system promises any memory, it ends the process instead.
    if fs::read_to_string("/proc/sys/vm/overcommit_memory").is_ok_and(|mode| mode.trim() == "1") {
        return;
    }
    let scratch = Scratch::new("sparse");
    let size = 1_usize << 42;
    let entry = format!(r#"{{"w":{{"dtype":"U8","shape":[{size},1],"data_offsets":[0,{size}]}}}}"#);
    let mut tensors = (entry.len() as u64).to_le_bytes().to_vec();
    tensors.extend(entry.as_bytes());
    let array = npy_with(&header("|u1", false, &[size, 1]), &[]);
    let sparse = |name: &str, start: &[u8]| {
        let path = write(&scratch, name, start);
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let made = file.set_len((start.len() + size) as u64);
        made.is_ok().then_some(path) // not on every file system
    };
    let errors = [
        sparse("npy", &array).map(|path| NpyFile::<f64>::open(path).unwrap().to_matrix().map(drop)),
        sparse("safetensors", &tensors).map(|path| tensor::<f64>(&path).map(drop)),
    ];
    for error in errors.into_iter().flatten() {
        let error = error.unwrap_err();
        let (Error::Io { kind, .. } | Error::Unreadable { kind, .. }) = error else {
            panic!("{error}");
        };
        assert_eq!(kind, std::io::ErrorKind::OutOfMemory);
        assert!(
            error
                .to_string()
                .contains("no memory for 35184372088832 bytes"),
            "{error}"
        );
    }
}
