//! Files of samples, as other programs write them.

#![allow(dead_code, reason = "every test uses a part of its own")]

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
