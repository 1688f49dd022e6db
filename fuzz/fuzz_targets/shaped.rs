//! Reads well-formed containers of tensors with arbitrary types, shapes, and offsets.
//!
//! Random bytes rarely form a valid header. No allocation may exceed what the size of the file
//! justifies.

#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sparse_autoencoder::files::{self, TensorFile, gemma_scope};
use sparse_autoencoder::{IdxFile, NpyFile, Samples, SparseAutoencoder};

/// The maximum size of one allocation in bytes.
static MOST: AtomicUsize = AtomicUsize::new(usize::MAX);

struct Limited;

unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > MOST.load(Ordering::Relaxed) {
            MOST.store(usize::MAX, Ordering::Relaxed);
            panic!("{} bytes are asked for", layout.size());
        }
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static LIMITED: Limited = Limited;

const DTYPES: [&str; 24] = [
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
    "",
];

const KINDS: [&str; 40] = [
    "|b1", "|u1", "|i1", "<u1", "<u2", "<i2", "<f2", "<u4", "<i4", "<f4", "<u8", "<i8", "<f8",
    ">u2", ">i2", ">f2", ">u4", ">i4", ">f4", ">u8", ">i8", ">f8", "=f4", "f4", "float32", "?",
    "d", "<f16", "<g", "<c8", "<c16", "<U3", "|S4", "|S0", "|V2", "<M8[ns]", "<m8[s]", "|O", "<f3",
    "",
];

/// Names that loaders expect, and names of other members of archives.
const NAMES: [&str; 14] = [
    "w",
    "W_enc",
    "W_dec",
    "b_enc",
    "b_dec",
    "threshold",
    "w_enc",
    "w_dec",
    "layers.0.encoder_weights",
    "README.txt",
    "params/",
    "__MACOSX/._w",
    "data.pkl",
    "",
];

#[derive(Debug, Arbitrary)]
enum Size {
    Small(u8),
    Power(u8),
    Any(u64),
}

impl Size {
    fn get(&self) -> u64 {
        match *self {
            Self::Small(size) => (size % 9).into(),
            Self::Power(power) => 1 << (power % 64),
            Self::Any(size) => size,
        }
    }
}

#[derive(Debug, Arbitrary)]
struct Tensor {
    name: u8,
    dtype: u8,
    shape: Vec<Size>,
    /// The numbers.
    bytes: Vec<u8>,
    /// The length in the header, if it differs.
    claimed: Option<Size>,
    fortran: bool,
    double_quotes: bool,
    long: bool,
    deflated: bool,
    more: Option<u32>,
}

impl Tensor {
    fn name(&self) -> &'static str {
        NAMES[usize::from(self.name) % NAMES.len()]
    }

    fn shape(&self) -> Vec<u64> {
        self.shape.iter().take(6).map(Size::get).collect()
    }

    fn npy(&self) -> Vec<u8> {
        let kind = KINDS[usize::from(self.dtype) % KINDS.len()];
        let end = if self.long { "L" } else { "" };
        let shape: String = self
            .shape()
            .iter()
            .map(|size| format!("{size}{end}, "))
            .collect();
        let order = if self.fortran { "True" } else { "False" };
        let mut text =
            format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': ({shape}), }}\n");
        if self.double_quotes {
            text = text.replace('\'', "\"");
        }
        let mut array = b"\x93NUMPY\x01\x00".to_vec();
        array.extend((text.len() as u16).to_le_bytes());
        array.extend(text.as_bytes());
        array.extend(&self.bytes);
        array
    }

    fn idx(&self) -> Vec<u8> {
        let shape = self.shape();
        let mut file = vec![0, 0, 8, shape.len() as u8];
        file.extend(shape.iter().flat_map(|&size| (size as u32).to_be_bytes()));
        file.extend(&self.bytes);
        file
    }
}

fn safetensors(tensors: &[Tensor]) -> Vec<u8> {
    let (mut texts, mut data) = (Vec::new(), Vec::<u8>::new());
    for tensor in tensors {
        let dtype = DTYPES[usize::from(tensor.dtype) % DTYPES.len()];
        let begin = data.len() as u64;
        data.extend(&tensor.bytes);
        let length = tensor
            .claimed
            .as_ref()
            .map_or(tensor.bytes.len() as u64, Size::get);
        let (name, shape, end) = (tensor.name(), tensor.shape(), begin.saturating_add(length));
        texts.push(format!(
            r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#
        ));
    }
    let header = format!("{{{}}}", texts.join(","));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

fn zip(tensors: &[Tensor]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::<u8>::new(), Vec::<u8>::new());
    for tensor in tensors {
        let (content, name) = (tensor.npy(), tensor.name());
        let is_array = !["README.txt", "params/", "data.pkl"].contains(&name);
        let name = if is_array {
            format!("{name}.npy")
        } else {
            name.to_owned()
        };
        let mut stored = content.clone();
        if tensor.deflated {
            let mut encoder =
                flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&content).unwrap();
            stored = encoder.finish().unwrap();
        }
        let mut crc = flate2::Crc::new();
        crc.update(&content);
        let claimed = (content.len() as u32).wrapping_add(tensor.more.unwrap_or(0));
        let mut common = vec![
            20,
            0,
            0,
            0,
            if tensor.deflated { 8 } else { 0 },
            0,
            0,
            0,
            33,
            0,
        ];
        common.extend(crc.sum().to_le_bytes());
        common.extend((stored.len() as u32).to_le_bytes());
        common.extend(claimed.to_le_bytes());
        common.extend((name.len() as u32).to_le_bytes());
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend((archive.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        archive.extend(b"PK\x03\x04");
        archive.extend(&common);
        archive.extend(name.as_bytes());
        archive.extend(&stored);
    }
    let (start, count) = (archive.len() as u32, tensors.len() as u16);
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend([count, count].map(u16::to_le_bytes).concat());
    archive.extend((directory.len() as u32).to_le_bytes());
    archive.extend(start.to_le_bytes());
    archive.extend([0, 0]);
    archive
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn read_all(file: &[u8], inflated: usize) {
    let path = std::env::temp_dir().join(format!("fuzz-shaped-{}", std::process::id()));
    std::fs::write(&path, file).unwrap();
    // A byte becomes a number of 8 bytes, in a vector whose capacity doubles as it grows.
    MOST.store((1 << 20) + 16 * inflated.max(file.len()), Ordering::Relaxed);
    if let Ok(mut file) = TensorFile::open(&path) {
        let names: Vec<String> = file.names().map(str::to_owned).collect();
        for name in names {
            if let Ok(samples) = file.samples::<f64>(&name) {
                assert!(!samples.iter().any(|value| value.is_infinite()));
            }
        }
    }
    let _ = files::load::<SparseAutoencoder<f64>>(&path);
    let _ = gemma_scope::load::<f64>(&path);
    let arrays = NpyFile::<f64>::open(&path).and_then(|file| file.to_matrix());
    let images = IdxFile::<f64>::open(&path).and_then(|file| file.to_matrix());
    assert!(arrays.is_err() || images.is_err(), "a file has one kind");
    MOST.store(usize::MAX, Ordering::Relaxed);
}

fuzz_target!(|tensors: Vec<Tensor>| {
    let tensors = &tensors[..tensors.len().min(6)];
    let bytes: usize = tensors.iter().map(|tensor| tensor.bytes.len()).sum();
    read_all(&safetensors(tensors), bytes);
    read_all(&zip(tensors), bytes);
    if let Some(tensor) = tensors.first() {
        read_all(&tensor.npy(), bytes);
        read_all(&tensor.idx(), bytes);
        read_all(&gzip(&tensor.idx()), bytes);
    }
});
