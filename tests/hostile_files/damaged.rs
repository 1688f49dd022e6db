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
    for file in of_this_crate() {
        for place in 0..file.len() {
            let mut damaged = file.clone();
            damaged[place] ^= 1 << (place % 8);
            let scratch = Scratch::new("flipped", &damaged);
            let (loaded, most) = measured(|| load_any(&scratch.0));
            assert!(most < ALLOWANCE, "byte {place}: {most} bytes");
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
            assert!(typed, "byte {place}: {loaded:?}");
        }
    }
}
