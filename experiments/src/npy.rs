//! Writing NumPy files.

use std::io::{Error, Write};

/// Writes the header of a file of samples × entries. Their numbers follow as little-endian `f32`, sample after sample.
pub fn write_header(file: &mut impl Write, samples: usize, entries: usize) -> Result<(), Error> {
    let header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({samples}, {entries}), }}");
    // Magic, version, and length take 10 bytes; the numbers start at byte 128.
    file.write_all(b"\x93NUMPY\x01\x00\x76\x00")?;
    writeln!(file, "{header:<117}")
}
