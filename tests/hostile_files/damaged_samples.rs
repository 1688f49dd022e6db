//! Damaged files of samples, and headers that lie.

use super::*;
use common::file_bytes;
use sparse_autoencoder::Error;

#[test]
fn headers_of_samples_that_lie_are_refused() {
    let huge = usize::MAX;
    let npy =
        |shape: &[usize]| file_bytes::npy_with(&file_bytes::header("<f4", false, shape), &[0; 48]);
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
        ("idx", file_bytes::idx(&[u32::MAX; 4], &[0; 12])),
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
