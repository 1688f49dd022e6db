//! Tensors of any type and shape, without the bytes they claim.

use super::*;
use common::cases::{Rng, check, list, one_of};
use common::file_bytes;
use rand::RngExt;
use sparse_autoencoder::files::{TensorFile, sae_lens};
use sparse_autoencoder::{Error, IdxFile};
use std::fs;

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
            for (_, text) in tensor.as_object_mut().unwrap() {
                let parsed = serde_json::from_str(text.as_str().unwrap());
                let Ok(mut described @ serde_json::Value::Object(_)) = parsed else {
                    continue;
                };
                for key in ["layers", "sizes"] {
                    let sizes = described
                        .get_mut(key)
                        .and_then(|sizes| sizes.as_array_mut());
                    for size in sizes.into_iter().flatten() {
                        *size = (size.as_u64().unwrap() * factor as u64).into();
                    }
                }
                *text = described.to_string().into();
            }
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

/// Refuses a file of this type of numbers, before room is made for what it claims.
fn assert_refused_in_little_room(numbers: &str, read: impl FnOnce() -> Result<(), Error>) {
    let (result, most) = measured(read);
    let refused = matches!(
        result,
        Err(Error::Malformed { .. } | Error::Unsupported { .. })
    );
    assert!(
        refused && most < ALLOWANCE,
        "{numbers}: {result:?}, {most} bytes"
    );
}

/// As JSON, a number of two characters takes 32 bytes.
#[test]
fn long_lists_in_descriptions_take_no_more_memory_than_other_files() {
    let mut lengthened = 0;
    for (file, (kind, _, load)) in of_this_crate().iter().zip(common::stored::KINDS) {
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
        for (name, text) in header["__metadata__"].as_object().unwrap() {
            let parsed = serde_json::from_str(text.as_str().unwrap());
            let Ok(mut described @ serde_json::Value::Object(_)) = parsed else {
                continue;
            };
            let first = described.as_object().unwrap().keys().next().cloned();
            described[first.unwrap_or_default()] = vec![0; 1 << 21].into();
            let mut header = header.clone();
            header["__metadata__"][name] = described.to_string().into();
            let mut long = safetensors(&header.to_string(), 0);
            long.extend_from_slice(&file[8 + length..]);
            let path = Scratch::new("long", &long);
            let (result, most) = measured(|| load(&path.0));
            assert!(result.is_err(), "{kind}, {name}");
            let allowed = ALLOWANCE + 16 * long.len();
            assert!(most < allowed, "{kind}, {name}: {most} of {}", long.len());
            lengthened += 1;
        }
    }
    assert!(lengthened >= 6, "{lengthened}");
}

#[test]
fn tensors_of_any_type_without_bytes_are_refused_before_room_is_made() {
    let own = of_this_crate();
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
            for (file, (_, _, load)) in own.iter().zip(common::stored::KINDS) {
                let path = Scratch::new("forged", &forged(file, dtype, factor));
                assert_refused_in_little_room(dtype, || load(&path.0));
                assert_refused_in_little_room(dtype, || {
                    let mut file = TensorFile::open(&path.0)?;
                    let names: Vec<String> = file.names().map(str::to_owned).collect();
                    names
                        .iter()
                        .try_for_each(|name| file.samples::<f64>(name).map(drop))
                });
            }

            let sizes = [("\"d_in\": ", 8), ("\"d_sae\": ", 16)];
            let larger = sizes.iter().fold(text.clone(), |text, (key, size)| {
                text.replace(&format!("{key}{size}"), &format!("{key}{}", size * factor))
            });
            fs::write(&config, larger).unwrap();
            fs::write(&weights, forged(&lens, dtype, factor)).unwrap();
            assert_refused_in_little_room(dtype, || sae_lens::load::<f64>(&folder).map(drop));
        }
    }
    fs::remove_dir_all(&folder).unwrap();
    for kind in KINDS {
        for deflated in [false, true] {
            let array = file_bytes::npy_with(
                &file_bytes::header(kind, false, &[1 << 20, 1 << 20]),
                &[0; 16],
            );
            let path = Scratch::new(
                "forged",
                &file_bytes::zip(&[("w.npy", &array)], deflated, 0),
            );
            assert_refused_in_little_room(kind, || {
                TensorFile::open(&path.0)?.samples::<f64>("w").map(drop)
            });
            fs::write(&path.0, &array).unwrap();
            assert_refused_in_little_room(kind, || read_samples(&path.0));
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
    let array = file_bytes::npy_with(
        &file_bytes::header("|u1", false, &[1, noise.len() + more]),
        &noise,
    );
    let archive = file_bytes::zip(&[("w.npy", &array)], true, more as u32);
    let path = Scratch::new("claims", &archive);
    let (result, most) = measured(|| TensorFile::open(&path.0)?.samples::<f64>("w").map(drop));
    let refused =
        matches!(&result, Err(Error::Malformed { reason, .. }) if reason.contains("cut off"));
    assert!(refused && most < ALLOWANCE, "{result:?}, {most} bytes");

    let images = file_bytes::gzip(&file_bytes::idx(&[501, 1 << 20], &noise));
    let path = Scratch::new("claims-idx", &images);
    let (result, most) = measured(|| IdxFile::<f64>::open(&path.0).map(drop));
    assert!(matches!(result, Err(Error::Malformed { .. })), "{result:?}");
    assert!(most < ALLOWANCE + 4 * noise.len(), "{most} bytes");

    let path = Scratch::new("claims-npy", &file_bytes::gzip(&array));
    let (result, most) = measured(|| NpyFile::<f64>::open(&path.0).map(drop));
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
        let array =
            file_bytes::npy_with(&file_bytes::header(kind, fortran, &shape), &vec![1; bytes]);
        let members = [
            ("README.txt", &b"text"[..]),
            ("w.npy", &array),
            ("__MACOSX/._w.npy", b""),
        ];
        let sizes: Vec<u32> = shape.iter().map(|&size| size as u32).collect();
        for file in [
            safetensors(&header, bytes),
            file_bytes::zip(&members, deflated, more),
            array.clone(),
            file_bytes::idx(&sizes, &vec![1; bytes]),
            file_bytes::gzip(&file_bytes::idx(&sizes, &vec![1; bytes])),
            file_bytes::gzip(&array),
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
