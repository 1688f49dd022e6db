//! Files of samples, as other programs write them.

#![allow(dead_code, reason = "every test uses a part of its own")]

#[cfg(feature = "files")]
use std::io::Write;

use sparse_autoencoder::nalgebra::DMatrix;

/// An `npy` file of this header.
pub(crate) fn npy_with(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

pub(crate) fn header(kind: &str, fortran: bool, shape: &[usize]) -> String {
    let order = if fortran { "True" } else { "False" };
    let shape: String = shape.iter().map(|size| format!("{size},")).collect();
    format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': ({shape}), }}\n")
}

/// An `npy` file of 64-bit numbers, a sample in each row.
pub(crate) fn npy_f64(samples: &DMatrix<f64>) -> Vec<u8> {
    let shape = [samples.ncols(), samples.nrows()];
    let data: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
    npy_with(&header("<f8", false, &shape), &data)
}

/// An IDX file of bytes.
pub(crate) fn idx(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut content = vec![0, 0, 8, u8::try_from(sizes.len()).unwrap()];
    content.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    content.extend(bytes);
    content
}

/// A safetensors file of tensors one behind the other: name, type, shape, bytes.
pub(crate) fn safetensors(tensors: &[(&str, &str, &[usize], &[u8])]) -> Vec<u8> {
    let (mut texts, mut data) = (Vec::new(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let begin = data.len();
        data.extend_from_slice(bytes);
        texts.push(format!(
            r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{begin},{}]}}"#,
            data.len()
        ));
    }
    let header = format!("{{{}}}", texts.join(","));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

/// A ZIP archive of these members, as NumPy writes it; it claims so many bytes more of each than there are.
#[cfg(feature = "files")]
pub(crate) fn zip(members: &[(&str, &[u8])], deflated: bool, more: u32) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let stored = if deflated {
            let mut encoder =
                flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        } else {
            content.to_vec()
        };
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let mut common = vec![20, 0, 0, 0, if deflated { 8 } else { 0 }, 0, 0, 0, 33, 0];
        common.extend(crc.sum().to_le_bytes());
        common.extend((stored.len() as u32).to_le_bytes());
        common.extend((content.len() as u32 + more).to_le_bytes());
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
    let (start, count) = (archive.len() as u32, members.len() as u16);
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend([count, count].map(u16::to_le_bytes).concat());
    archive.extend((directory.len() as u32).to_le_bytes());
    archive.extend(start.to_le_bytes());
    archive.extend([0, 0]);
    archive
}

#[cfg(feature = "files")]
pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}
