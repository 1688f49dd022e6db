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
