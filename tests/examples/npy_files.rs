//! The reader of NumPy files, and what it says of damaged ones.

#[path = "../../examples/data/npy.rs"]
mod npy;

use npy::Array;

fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn header(kind: &str, shape: &str) -> String {
    format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n")
}

#[test]
fn all_types_are_read() {
    for (kind, data) in [
        ("<f4", [1.5_f32, -2.0].map(f32::to_le_bytes).concat()),
        ("<f8", [1.5_f64, -2.0].map(f64::to_le_bytes).concat()),
        ("<f2", [0x3e00_u16, 0xc000].map(u16::to_le_bytes).concat()),
    ] {
        let array = Array::parse(&file(&header(kind, "(2,)"), &data)).unwrap();
        assert_eq!(
            (array.shape, array.values),
            (vec![2], vec![1.5, -2.0]),
            "{kind}"
        );
    }
    for (kind, data) in [
        ("|u1", vec![3, 0]),
        ("|b1", vec![3, 0]),
        ("<i8", [3_i64, 0].map(i64::to_le_bytes).concat()),
    ] {
        let array = Array::parse(&file(&header(kind, "(2,)"), &data)).unwrap();
        assert_eq!(array.values, [3.0, 0.0], "{kind}");
        assert_eq!(array.into_flags(), [true, false]);
    }
    let subnormal = 3_u16.to_le_bytes();
    let array = Array::parse(&file(&header("<f2", "(1,)"), &subnormal)).unwrap();
    assert_eq!(array.values, [3.0 * 2_f32.powi(-24)]);
}

#[test]
fn a_row_becomes_a_column() {
    let bytes = file(&header("|u1", "(2, 3)"), &[1, 2, 3, 4, 5, 6]);
    let samples = Array::parse(&bytes).unwrap().into_samples();
    assert_eq!(samples.shape(), (3, 2));
    assert_eq!(samples.column(1).as_slice(), [4.0, 5.0, 6.0]);
}

#[test]
fn damaged_files_are_refused() {
    let good = file(&header("<f4", "(2,)"), &[0; 8]);
    Array::parse(&good).unwrap();
    for len in 0..good.len() {
        Array::parse(&good[..len]).unwrap_err();
    }
    let fortran = header("<f4", "(2,)").replace("False", "True");
    Array::parse(&file(&fortran, &[0; 8])).unwrap_err();
    Array::parse(&file(&header(">f4", "(2,)"), &[0; 8])).unwrap_err();
    Array::parse(&file(&header("<f4", "(3,)"), &[0; 8])).unwrap_err();
    Array::parse(&file("{}", &[0; 8])).unwrap_err();
    assert!(
        Array::read("no such file")
            .unwrap_err()
            .to_string()
            .contains("no such file")
    );
}
