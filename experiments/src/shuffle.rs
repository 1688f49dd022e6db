//! A shuffle that the Python scripts of the peers draw alike (`peers/shuffle.py`).

/// Shuffles rows by Fisher & Yates with [SplitMix64](split_mix).
pub fn shuffle(rows: &mut [usize], seed: u64) {
    let mut numbers = split_mix(seed);
    for i in (1..rows.len()).rev() {
        #[allow(clippy::cast_possible_truncation)] // below the number of rows
        let j = (numbers() % (i as u64 + 1)) as usize;
        rows.swap(i, j);
    }
}

/// SplitMix64 (Steele, Lea & Flood 2014): a stream of numbers.
pub fn split_mix(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
