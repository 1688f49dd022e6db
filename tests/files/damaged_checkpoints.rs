//! A checkpoint that is damaged, cut off, or of another version is refused, and nothing is lost.

use std::fs;
use std::path::Path;

use sparse_autoencoder::files::{self, Number};
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{Adam, Error, Every, SparseAutoencoder, Trainer};

use crate::common::scratch::Scratch;

fn start() -> (SparseAutoencoder<f32>, Trainer<f32>) {
    let model = SparseAutoencoder::builder().layers([3, 4]).build().unwrap();
    let trainer = Trainer::new(Adam::new(0.01).unwrap())
        .epochs(2)
        .batch_size(4)
        .patience(9);
    (model, trainer)
}

/// The bytes of a small one.
fn checkpoint(path: &Path) -> Vec<u8> {
    let (mut model, trainer) = start();
    let x = DMatrix::from_fn(3, 10, |i, j| ((i + 2 * j) % 5) as f32 / 4.0);
    let mut trainer = trainer.checkpoint(path, Every::Steps(4));
    trainer.fit(&mut model, &x).unwrap();
    fs::read(path).unwrap()
}

/// What is said of these bytes, which must be an error that leaves model and trainer alone.
fn refused(path: &Path, bytes: &[u8], what: &str) -> Error {
    fs::write(path, bytes).unwrap();
    let (mut model, mut trainer) = start();
    let before = model.clone();
    let error = trainer.resume(&mut model, path).expect_err(what);
    assert_eq!(model.parameters(), before.parameters(), "{what}");
    assert_eq!(trainer.steps_taken(), 0, "{what}");
    error
}

#[test]
fn damage_of_any_byte_is_found() {
    let scratch = Scratch::new("damaged");
    let path = scratch.file();
    let whole = checkpoint(&path);
    for index in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[index] ^= 1 << (index % 8);
        let error = refused(&path, &bytes, &format!("byte {index}"));
        // One of them is the version.
        let typed = matches!(error, Error::Malformed { .. } | Error::Unsupported { .. });
        assert!(typed, "byte {index}: {error}");
    }
}

#[test]
fn a_file_that_is_cut_off_or_too_long_is_refused() {
    let scratch = Scratch::new("cut");
    let path = scratch.file();
    let whole = checkpoint(&path);
    for length in 0..whole.len() {
        let error = refused(&path, &whole[..length], &format!("{length} bytes"));
        assert!(
            matches!(error, Error::Malformed { .. }),
            "{length}: {error}"
        );
    }
    let longer = [&whole[..], &[0]].concat();
    assert!(matches!(
        refused(&path, &longer, "longer"),
        Error::Malformed { .. }
    ));
}

#[test]
fn another_version_is_refused_by_its_number() {
    let scratch = Scratch::new("version");
    let path = scratch.file();
    let mut bytes = checkpoint(&path);
    let version = br#""checkpoint":"1""#;
    let at = bytes
        .windows(version.len())
        .position(|part| part == version);
    bytes[at.unwrap() + version.len() - 2] = b'7';
    match refused(&path, &bytes, "version 7") {
        Error::Unsupported { reason, .. } => assert!(reason.contains("version 7"), "{reason}"),
        other => panic!("{other}"),
    }
}

/// A checkpoint loads as a model; its checksum holds there, too.
#[test]
fn a_damaged_checkpoint_is_no_model() {
    let scratch = Scratch::new("damaged_model");
    let path = scratch.file();
    let whole = checkpoint(&path);
    let model = || files::load::<SparseAutoencoder<f32>>(&path);
    let loaded = model().unwrap().model;
    // Half of the numbers, which come last.
    for index in (whole.len() / 2..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[index] ^= 1;
        fs::write(&path, bytes).unwrap();
        let error = model().unwrap_err();
        assert!(
            matches!(error, Error::Malformed { .. }),
            "byte {index}: {error}"
        );
        let converted = files::convert(&path, scratch.0.join("converted"), Number::F64);
        assert_eq!(converted.unwrap_err(), error, "byte {index}");
    }

    fs::write(&path, &whole).unwrap();
    let converted = Scratch::new("converted_checkpoint");
    files::convert(&path, converted.file(), Number::F64).unwrap();
    let error = files::convert(&path, &path, Number::F64).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), whole);
    let wider = files::load::<SparseAutoencoder<f32>>(converted.file()).unwrap();
    assert_eq!(wider.model.parameters(), loaded.parameters());
    // Of the checkpoint, the parameters alone: the state of a training may have larger numbers.
    let of_model = Scratch::new("converted_model");
    files::save(&loaded, of_model.file()).unwrap();
    for number in [Number::F16, Number::F64] {
        files::convert(&path, converted.file(), number).unwrap();
        files::convert(of_model.file(), of_model.0.join("again"), number).unwrap();
        let [of_checkpoint, of_model] = [converted.file(), of_model.0.join("again")];
        assert_eq!(
            fs::read(of_checkpoint).unwrap(),
            fs::read(of_model).unwrap()
        );
    }
}
