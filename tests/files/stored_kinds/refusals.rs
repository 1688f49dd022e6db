//! Files of another kind, of another version, damaged, or with contents that cannot be.

use super::*;
use crate::common::stored::{KINDS, OfFile};
use crate::edited::edit;

#[test]
fn a_file_of_another_kind_is_named() {
    let scratch = Scratch::new("named");
    let path = scratch.file();
    for (name, save, _) in KINDS {
        save(&path).unwrap();
        for (expected, _, load) in KINDS {
            match load(&path) {
                Ok(()) => assert_eq!(name, expected),
                Err(Error::Malformed { reason, .. }) => {
                    let says = format!("expected {expected}, but this is {name}: load it by");
                    assert!(name != expected && reason.starts_with(&says), "{reason}");
                }
                Err(error) => panic!("{name} as {expected}: {error}"),
            }
        }
        let mut trainer = Trainer::new(Adam::<f32>::new(0.1).unwrap());
        let resumed = trainer.resume(&mut stored::model(), &path);
        let Err(Error::Malformed { reason, .. }) = resumed else {
            panic!("{name}: {resumed:?}");
        };
        assert!(reason.contains("not a checkpoint"), "{reason}");
    }
    let trainer = Trainer::new(Adam::<f32>::new(0.1).unwrap());
    trainer.save(&stored::model(), &path).unwrap();
    for (expected, _, load) in KINDS {
        assert_eq!(load(&path).is_ok(), expected == "a model", "{expected}");
    }
}

/// What is said of the file of a kind after a change.
fn refused(kind: &str, change: impl FnOnce(&mut Value, &mut Vec<u8>)) -> Error {
    let kinds = KINDS.into_iter().chain([IMPUTING]);
    let (name, save, load) = kinds.into_iter().find(|(name, ..)| *name == kind).unwrap();
    let scratch = Scratch::new("changed");
    save(&scratch.file()).unwrap();
    edit(&scratch.file(), change);
    load(&scratch.file()).expect_err(name)
}

fn assert_says(error: &Error, is_supported: bool, says: &str) {
    let (typed, reason) = match error {
        Error::Malformed { reason, .. } => (is_supported, reason),
        Error::Unsupported { reason, .. } => (!is_supported, reason),
        error => panic!("{error}"),
    };
    assert!(typed && reason.contains(says), "{error}: {says}");
}

#[test]
fn other_versions_formats_and_kinds_are_refused() {
    for (kind, ..) in KINDS {
        let with = |key: &'static str, value: &'static str| {
            refused(kind, |header, _| header["__metadata__"][key] = value.into())
        };
        assert_says(&with("version", "2"), false, "version 2 of the format");
        assert_says(&with("version", "0"), false, "version 0 of the format");
        assert_says(&with("version", "01"), false, "version 01 of the format");
        assert_says(&with("format", "dense"), true, "not a file of this crate");
        assert_says(&with("kind", "tokenizer"), false, "the kind tokenizer");
        let unnamed = refused(kind, |header, _| {
            let metadata = header["__metadata__"].as_object_mut().unwrap();
            metadata.remove("kind").unwrap();
        });
        assert_says(&unnamed, true, "kind is missing");
    }
}

#[test]
fn a_tensor_that_no_kind_has_is_refused() {
    for (kind, ..) in KINDS {
        let error = refused(kind, |header, numbers| {
            let end = numbers.len();
            let more = json!({"dtype": "F32", "shape": [0], "data_offsets": [end, end]});
            header["layers.9.encoder_bias"] = more;
        });
        assert_says(
            &error,
            true,
            "layers.9.encoder_bias is no part of this kind of file",
        );
    }
}

/// Sets a text of the header.
fn text(key: &'static str, text: &'static str) -> impl Fn(&mut Value, &mut Vec<u8>) {
    move |header, _| header["__metadata__"][key] = text.into()
}

/// Overwrites the first number of a tensor.
fn number(name: &'static str, value: f32) -> impl Fn(&mut Value, &mut Vec<u8>) {
    move |header, numbers| {
        let begin = header[name]["data_offsets"][0].as_u64().unwrap() as usize;
        numbers[begin..begin + 4].copy_from_slice(&value.to_le_bytes());
    }
}

#[test]
fn contents_that_cannot_be_are_refused() {
    let (detector, stack) = ("an anomaly detector", "a stack");
    let (classifier, scaler) = ("a classifier", "a scaler");
    let malformed = |kind, change: &dyn Fn(&mut Value, &mut Vec<u8>), says: &str| {
        assert_says(&refused(kind, change), true, says);
    };
    let rule = |rule| text("threshold", rule);
    malformed(detector, &rule(r#"{"quantile":1.5}"#), "quantile must be");
    malformed(
        detector,
        &rule(r#"{"false_alarm_rate":0.01}"#),
        "at least 99",
    );
    malformed(
        detector,
        &rule(r#"{"quantile":"all"}"#),
        "threshold: invalid type",
    );
    malformed(detector, &rule("{"), "threshold: EOF");
    let error = refused(detector, rule(r#"{"median":0.5}"#));
    assert_says(&error, false, "threshold: unknown variant `median`");
    for (kind, text) in [
        (detector, "threshold"),
        (detector, "model"),
        (stack, "autoencoders"),
        (stack, "autoencoders.1.model"),
        (classifier, "classifier"),
    ] {
        let error = refused(kind, |header, _| {
            let metadata = header["__metadata__"].as_object_mut().unwrap();
            metadata.remove(text).unwrap();
        });
        assert_says(&error, true, &format!("{text} is missing"));
    }

    malformed(
        scaler,
        &number("scaler.factors", 0.0),
        "factors must be finite and above 0",
    );
    malformed(
        detector,
        &number("scaler.factors", -1.0),
        "factors must be finite and above 0",
    );
    malformed(
        scaler,
        &number("scaler.centers", f32::NAN),
        "must be finite numbers",
    );
    malformed(
        detector,
        &number("calibration_scores", f32::NEG_INFINITY),
        "must be finite numbers",
    );
    malformed(
        classifier,
        &number("layers.1.weights", f32::NAN),
        "must be finite numbers",
    );
    malformed(
        stack,
        &number("autoencoders.1.layers.0.encoder_bias", f32::NAN),
        "must be finite",
    );

    // Tensors of other shapes, which agree with their bytes.
    let one_score = |header: &mut Value, numbers: &mut Vec<u8>| {
        let begin = header["calibration_scores"]["data_offsets"][0]
            .as_u64()
            .unwrap();
        header["calibration_scores"]["data_offsets"][1] = (begin + 4).into();
        header["calibration_scores"]["shape"] = json!([1]);
        numbers.truncate(begin as usize + 4);
    };
    malformed(
        detector,
        &one_score,
        "calibration samples: at least 2 are needed, got 1",
    );
    let shape = |name: &'static str, shape: Value| {
        move |header: &mut Value, _: &mut Vec<u8>| header[name]["shape"] = shape.clone()
    };
    let scores = shape("calibration_scores", json!([3, 4]));
    malformed(
        detector,
        &scores,
        "must have one dimension, has the shape [3, 4]",
    );
    let centers = shape("scaler.centers", json!([INPUT, 1]));
    malformed(scaler, &centers, "must have one dimension");
    let weights = shape("layers.0.weights", json!([INPUT, 4]));
    malformed(
        classifier,
        &weights,
        "layers.0.weights must have the shape [4, 5]",
    );

    let of_classifier = |description| text("classifier", description);
    for (description, says) in [
        (
            r#"{"sizes":[5,4,3],"hidden_activations":[],"weight_decay":0}"#,
            "0 hidden layers must have 2 sizes, have 3",
        ),
        (
            r#"{"sizes":[],"hidden_activations":[],"weight_decay":0}"#,
            "0 hidden layers must have 2 sizes, have 0",
        ),
        (
            r#"{"sizes":[5,4,3],"hidden_activations":[{"top_k":5}],"weight_decay":0}"#,
            "at most the units of its layer",
        ),
        (
            r#"{"sizes":[5,4,3],"hidden_activations":["jump_relu"],"weight_decay":0}"#,
            "thresholds or gates",
        ),
        (
            r#"{"sizes":[5,4,3],"hidden_activations":["relu"],"weight_decay":-1}"#,
            "weight_decay must be finite and at least 0",
        ),
        (
            r#"{"sizes":[5,4,7],"hidden_activations":["relu"],"weight_decay":0}"#,
            "layers.1.weights must have the shape [7, 4]",
        ),
        (
            r#"{"sizes":[5,4,3],"hidden_activations":["relu"]}"#,
            "missing field `weight_decay`",
        ),
    ] {
        malformed(classifier, &of_classifier(description), says);
    }
    for description in [
        r#"{"sizes":[5,4,3],"hidden_activations":["swish"],"weight_decay":0}"#,
        r#"{"sizes":[5,4,3],"hidden_activations":["relu"],"weight_decay":0,"bias":true}"#,
    ] {
        let error = refused(classifier, of_classifier(description));
        assert_says(&error, false, "classifier: unknown ");
    }

    let count = |count| text("autoencoders", count);
    malformed(stack, &count("0"), "layers of a stack must be at least 1");
    malformed(
        stack,
        &count("1"),
        "autoencoders.1.layers.0.decoder_bias is no part",
    );
    malformed(stack, &count("3"), "autoencoders.2.model is missing");
    malformed(
        stack,
        &count("18446744073709551615"),
        "autoencoders.2.model is missing",
    );
    malformed(stack, &count("-1"), "autoencoders: invalid");
    for (kind, from, to) in [
        (detector, "scaler.offsets", "scaler.offset"),
        (classifier, "layers.0.bias", "layers.0.biases"),
        (stack, "autoencoders.0.layers.0.thresholds", "thresholds"),
    ] {
        let error = refused(kind, |header, _| {
            let tensors = header.as_object_mut().unwrap();
            let tensor = tensors.remove(from).unwrap();
            tensors.insert(to.to_owned(), tensor);
        });
        assert_says(&error, true, &format!("there is no tensor {from}"));
    }
}

/// A detector that accepts missing values.
const IMPUTING: (&str, OfFile, OfFile) = (
    "a detector that imputes",
    |path| files::save(&stored::imputing::<f32>(), path),
    |path| load::<AnomalyDetector<f64>>(path).map(drop),
);

#[test]
fn imputers_that_cannot_be_are_refused() {
    let (imputer, ensemble) = ("an imputer", "an anomaly ensemble");
    let malformed = |kind, change: &dyn Fn(&mut Value, &mut Vec<u8>), says: &str| {
        assert_says(&refused(kind, change), true, says);
    };
    let not_finite = "must be finite numbers";
    malformed(imputer, &number("imputer.means", f32::NAN), not_finite);
    malformed(
        IMPUTING.0,
        &number("imputer.means", f32::INFINITY),
        not_finite,
    );
    let of_fold = number("folds.0.imputer.means", f32::NAN);
    malformed(ensemble, &of_fold, not_finite);
    for mark in [0.5, -1.0, 2.0] {
        let says = "imputer.marked must be 0 or 1 for each feature";
        malformed(imputer, &number("imputer.marked", mark), says);
    }
    let renamed = |from: &'static str, to: &'static str| {
        move |header: &mut Value, _: &mut Vec<u8>| {
            let tensors = header.as_object_mut().unwrap();
            let tensor = tensors.remove(from).unwrap();
            tensors.insert(to.to_owned(), tensor);
        }
    };
    let marks = renamed("imputer.marked", "imputer.marks");
    malformed(imputer, &marks, "there is no tensor imputer.marked");
    let means = renamed("imputer.means", "means");
    malformed(imputer, &means, "there is no tensor imputer.means");
    malformed(IMPUTING.0, &means, "the tensor means is no part");
    // The means and the scores trade places.
    let swapped = |header: &mut Value, _: &mut Vec<u8>| {
        let [means, scores] = ["imputer.means", "calibration_scores"];
        let tensor = header[means].take();
        header[means] = header[scores].take();
        header[scores] = tensor;
    };
    let says = "features of the imputer: expected 5, got 12";
    malformed(IMPUTING.0, &swapped, says);
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    // A scaler of four features in a file of a model of five.
    let error = refused("an anomaly detector", |header, numbers| {
        for name in ["centers", "factors", "offsets"] {
            let name = format!("scaler.{name}");
            let offsets = header[&name]["data_offsets"].clone();
            let [begin, end] = [0, 1].map(|k| offsets[k].as_u64().unwrap());
            header[&name]["shape"] = json!([4]);
            header[&name]["data_offsets"] = json!([begin, end - 4]);
            for (_, tensor) in header.as_object_mut().unwrap() {
                let places = tensor.get_mut("data_offsets").and_then(Value::as_array_mut);
                for place in places.into_iter().flatten() {
                    let at = place.as_u64().unwrap();
                    *place = (at - if at >= end { 4 } else { 0 }).into();
                }
            }
            numbers.drain(end as usize - 4..end as usize);
        }
    });
    assert_says(&error, true, "features of the scaler: expected 5, got 4");
    // Two autoencoders whose order is changed.
    let error = refused("a stack", |header, _| {
        let rename = |key: &str| match key.strip_prefix("autoencoders.") {
            Some(rest) if rest.starts_with('0') => format!("autoencoders.1{}", &rest[1..]),
            Some(rest) if rest.starts_with('1') => format!("autoencoders.0{}", &rest[1..]),
            _ => key.to_owned(),
        };
        let swapped = |object: &Value| -> Value {
            let fields = object.as_object().unwrap().iter();
            fields
                .map(|(key, value)| (rename(key), value.clone()))
                .collect()
        };
        *header = swapped(header);
        header["__metadata__"] = swapped(&header["__metadata__"]);
    });
    assert_says(&error, true, "input size of a stacked autoencoder");
}

/// A factor that is above 0 in `f64` only.
#[test]
fn numbers_that_another_scalar_cannot_hold_are_refused() {
    let scratch = Scratch::new("narrow");
    let path = scratch.file();
    let scaler = |center, factor| Scaler::new(&[center], &[factor], &[0.0_f64]).unwrap();
    for (scaler, says) in [
        (scaler(0.0, 1e-300), "factors must be finite and above 0"),
        (
            scaler(0.0, 1e300),
            "must be finite numbers of the model's scalar",
        ),
        (
            scaler(1e300, 1.0),
            "must be finite numbers of the model's scalar",
        ),
    ] {
        files::save(&scaler, &path).unwrap();
        assert_same_scaler(&scaler, &load(&path).unwrap());
        let narrow = load::<Scaler<f32>>(&path).unwrap_err();
        assert_says(&narrow, true, says);
    }
}

#[test]
fn a_file_of_any_kind_that_is_cut_off_or_too_long_is_refused() {
    let scratch = Scratch::new("cut-kinds");
    let path = scratch.file();
    for (name, save, load) in KINDS {
        save(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        let refuses = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let error = load(&path).expect_err(name);
            assert!(matches!(error, Error::Malformed { .. }), "{name}: {error}");
        };
        (0..whole.len()).for_each(|length| refuses(&whole[..length]));
        refuses(&[&whole[..], &[0]].concat());
    }
}

/// The scores of a model are divided by its scale.
#[test]
fn a_scale_is_not_narrowed_to_0() {
    let (_, save, _) = KINDS
        .into_iter()
        .find(|(name, ..)| *name == "an anomaly ensemble")
        .unwrap();
    let scratch = Scratch::new("narrow_scale");
    let path = scratch.file();
    save(&path).unwrap();
    edit(&path, number("folds.0.levels.0.scale", 1e-9));
    let before = fs::read(&path).unwrap();
    let error = files::convert(&path, &path, files::Number::F16).unwrap_err();
    assert_says(&error, false, "too small");
    assert_eq!(fs::read(&path).unwrap(), before);
    files::convert(&path, &path, files::Number::BF16).unwrap();
}
