//! Numbers that are exact in either scalar.

/// A stream of numbers that are exact in either scalar: sixteen random bits each.
#[derive(Debug, Clone)]
pub(crate) struct Stream(pub(crate) u64);

impl Stream {
    fn bits(&mut self) -> u64 {
        // SplitMix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) >> 48
    }

    /// In (−1, 1).
    pub(crate) fn signed(&mut self) -> f64 {
        (self.bits() as f64 + 0.5) / 32768.0 - 1.0
    }

    /// In (0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() as f64 + 0.5) / 65536.0
    }
}
