//! Checkpoints that lie although their checksum is right.

use super::*;
use sparse_autoencoder::nalgebra::DMatrix;
use sparse_autoencoder::{Adam, Corruption, DeadUnits, Every, Trainer};

fn samples() -> DMatrix<f32> {
    DMatrix::from_fn(3, 10, |i, j| ((i + 2 * j) % 5) as f32 / 4.0)
}

fn start() -> (SparseAutoencoder<f32>, Trainer<f32>) {
    let model = SparseAutoencoder::builder()
        .layers([3, 4])
        .hidden_activation(Activation::Relu)
        .penalty(())
        .build();
    let trainer = Trainer::new(Adam::new(0.01).unwrap())
        .epochs(3)
        .batch_size(4)
        .validation_split(0.2)
        .patience(9)
        .dead_units(DeadUnits::after(3).resampled(1))
        .corruption(Corruption::Masking { fraction: 0.2 });
    (model.unwrap(), trainer)
}

/// One from the midst of an epoch.
fn valid() -> Vec<u8> {
    let scratch = Scratch::new("valid", &[]);
    let (mut model, trainer) = start();
    let mut trainer = trainer.checkpoint(&scratch.0, Every::Steps(3));
    // A folder in the place of the file cannot be replaced: the fit is paused there.
    fs::remove_file(&scratch.0).unwrap();
    fs::create_dir(&scratch.0).unwrap();
    fs::write(scratch.0.join("full"), []).unwrap();
    assert!(matches!(
        trainer.fit(&mut model, samples()),
        Err(Error::Io { .. })
    ));
    fs::remove_dir_all(&scratch.0).unwrap();
    trainer.save(&model, &scratch.0).unwrap();
    fs::read(&scratch.0).unwrap()
}

fn repair(file: &mut [u8]) {
    if let Some(end) = file.len().checked_sub(4) {
        let mut crc = flate2::Crc::new();
        crc.update(&file[..end]);
        file[end..].copy_from_slice(&crc.sum().to_le_bytes());
    }
}

/// Resumes and goes on; whatever comes of it, it returns.
fn go_on(file: &[u8]) -> Result<(), Error> {
    let scratch = Scratch::new("resumed", file);
    let (mut model, mut trainer) = start();
    let before = model.clone();
    let (resumed, most) = measured(|| trainer.resume(&mut model, &scratch.0));
    assert!(
        most < ALLOWANCE + 16 * file.len(),
        "{most} of {} bytes",
        file.len()
    );
    if resumed.is_err() {
        assert_eq!(model.parameters(), before.parameters());
        assert_eq!(trainer.steps_taken(), 0);
    }
    resumed?;
    trainer.fit(&mut model, samples()).map(|_| ())
}

/// The same file with other text in its header.
fn with(file: &[u8], old: &str, new: &str) -> Vec<u8> {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&file[8..8 + length]).unwrap();
    assert!(header.contains(old), "{old} in {header}");
    let header = header.replacen(old, new, 1);
    let mut changed = (header.len() as u64).to_le_bytes().to_vec();
    changed.extend_from_slice(header.as_bytes());
    changed.extend_from_slice(&file[8 + length..]);
    repair(&mut changed);
    changed
}

#[test]
fn a_position_that_cannot_be_is_refused() {
    let file = valid();
    assert_eq!(go_on(&file), Ok(()));
    for (old, new) in [
        (r#"\"done\":1"#, r#"\"done\":99"#),
        (r#"\"epochs\":1,"#, r#"\"epochs\":123456789012345678,"#),
        (r#"\"best_epoch\":1"#, r#"\"best_epoch\":2"#),
        (r#"\"batches\":2"#, r#"\"batches\":1"#),
        (r#"\"steps\":"#, r#"\"steps\":1844674407370955161"#), // and the digit that was there
        (r#"\"samples\":8"#, r#"\"samples\":7"#),
        (r#"\"prepared\":true"#, r#"\"prepared\":false"#),
        (r#"\"random\":["#, r#"\"random\":[1,"#),
        (r#"\"converged\":false"#, r#"\"converged\":0"#),
        (r#""checkpoint":"1""#, r#""checkpoint":"2""#),
        (r#"optimizer.first_moment"#, r#"optimizer.firstmoment"#),
        (r#"\"seed\":0"#, r#"\"seed\":0,\"bandwidth\":-1.0"#),
        (r#"\"seed\":0"#, r#"\"seed\":0,\"bandwidth\":1e99"#),
    ] {
        let error = go_on(&with(&file, old, new)).expect_err(new);
        let typed = matches!(
            error,
            Error::Malformed { .. } | Error::Unsupported { .. } | Error::DimensionMismatch { .. }
        );
        assert!(typed, "{new}: {error}");
    }
}

#[test]
fn an_order_that_is_none_is_refused() {
    let file = valid();
    let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let text = std::str::from_utf8(&file[8..8 + header]).unwrap();
    let entry = &text[text.find(r#""order":"#).unwrap()..];
    let offsets = &entry[entry.find("[").unwrap() + 1..];
    let begin: usize = offsets[..offsets.find(',').unwrap()].parse().unwrap();
    let place = 8 + header + begin;
    for index in [i64::MAX, -1, 10] {
        let mut changed = file.clone();
        changed[place..place + 8].copy_from_slice(&index.to_le_bytes());
        repair(&mut changed);
        let error = go_on(&changed).unwrap_err();
        let typed = matches!(error, Error::Malformed { .. } | Error::Incompatible { .. });
        assert!(typed, "{index}: {error}");
    }
    let mut twice = file.clone();
    twice.copy_within(place..place + 8, place + 8);
    repair(&mut twice);
    assert!(matches!(go_on(&twice), Err(Error::Incompatible { .. })));
}

#[test]
fn a_forged_checkpoint_is_an_error_or_goes_on() {
    check_damaged(2048, &[valid()], |file| {
        let mut file = file.to_vec();
        repair(&mut file);
        let _ = go_on(&file);
    });
}
