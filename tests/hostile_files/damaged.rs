//! Damaged files of models.

use super::*;

#[test]
fn a_damaged_file_is_an_error_or_read_within_its_size() {
    check_damaged(4096, &valid(), |file| {
        let scratch = Scratch::new("damaged", file);
        let (_, most) = measured(|| read_all(&scratch.0));
        // Halves become eight times as many bytes; and deflate may inflate by 16.
        assert!(
            most < ALLOWANCE + 16 * file.len(),
            "{most} of {} bytes",
            file.len()
        );
    });
}

#[test]
fn a_bit_that_flips_anywhere_is_an_error_or_another_number() {
    for (name, save, load) in KINDS {
        let whole = Scratch::new("whole", &[]);
        save(&whole.0).unwrap();
        let file = fs::read(&whole.0).unwrap();
        for place in 0..file.len() {
            let mut damaged = file.clone();
            damaged[place] ^= 1 << (place % 8);
            let scratch = Scratch::new("flipped", &damaged);
            let (loaded, most) = measured(|| load(&scratch.0));
            assert!(most < ALLOWANCE, "{name}, byte {place}: {most} bytes");
            let typed = match &loaded {
                // Another number, or another setting.
                Ok(()) => true,
                Err(Error::Malformed { .. } | Error::Unsupported { .. }) => true,
                // The builder refuses the settings of a model.
                Err(
                    Error::InvalidParameter { .. }
                    | Error::UnsupportedActivation { .. }
                    | Error::Incompatible { .. }
                    | Error::DimensionMismatch { .. },
                ) => true,
                Err(_) => false,
            };
            assert!(typed, "{name}, byte {place}: {loaded:?}");
        }
    }
}
