//! Headers and contents that lie.

use super::*;
use sparse_autoencoder::files::{self, Stored, TensorFile, sae_lens};
use sparse_autoencoder::{
    Activation, AnomalyDetector, Error, Scaler, SoftmaxClassifier, SparseAutoencoder, Stack,
    Threshold,
};
use std::{fs, slice};

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
    for value in [f32::INFINITY, f32::NEG_INFINITY] {
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

fn is_never_held_twice<S: Stored>(stored: &S, bytes: usize) {
    let scratch = Scratch::new("held", b"");
    let (saved, most) = measured(|| files::save(stored, &scratch.0));
    saved.unwrap();
    assert!(most < ALLOWANCE, "{most} bytes to save");
    let (loaded, most) = measured(|| files::load::<S>(&scratch.0));
    assert!(loaded.unwrap().notes.is_empty());
    assert!(most < bytes + ALLOWANCE, "{most} bytes of {bytes} to load");
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
    // A detector, a stack, and a classifier hold as many numbers, and some more.
    let scaler = Scaler::new(&[0.0; 512], &[1.0; 512], &[0.0; 512]).unwrap();
    let rule = Threshold::Quantile(0.5);
    let detector = AnomalyDetector::from_scores(&model, &scaler, &[1.0, 2.0], rule).unwrap();
    is_never_held_twice(&detector, bytes);
    let head = SoftmaxClassifier::new(2048, 2).unwrap();
    is_never_held_twice(&head.on_top_of(slice::from_ref(&model)).unwrap(), bytes);
    is_never_held_twice(&Stack::new(vec![model.clone()]).unwrap(), bytes);
    let ones = vec![1.0_f32; 1 << 20];
    is_never_held_twice(&Scaler::new(&ones, &ones, &ones).unwrap(), 12 << 20);
    for (what, (result, most)) in [
        ("save", measured(|| files::save(&model, &own.0))),
        ("sae_lens::save", measured(|| sae_lens::save(&model, &lens))),
    ] {
        result.unwrap();
        assert!(most < ALLOWANCE, "{what}: {most} bytes");
    }
    for (what, (result, most)) in [
        (
            "load",
            measured(|| files::load::<SparseAutoencoder<f32>>(&own.0)),
        ),
        ("sae_lens::load", measured(|| sae_lens::load::<f32>(&lens))),
    ] {
        assert_eq!(result.unwrap().model.parameters(), model.parameters());
        assert!(most < bytes + ALLOWANCE, "{what}: {most} bytes of {bytes}");
    }
    fs::remove_dir_all(&lens).unwrap();
}
