//! Randomness from one number.
//!
//! A stream is a function of its seed and of nothing else, on every platform and in every version
//! of this program that keeps this file.

/// A stream of random numbers (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Rng {
    state: u64,
}

impl Rng {
    /// Starts the stream of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Starts a stream of its own for one purpose, without moving this one on.
    #[must_use]
    pub(crate) fn fork(&self, purpose: u64) -> Self {
        let mut fork = Self { state: self.state ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93) };
        fork.state = fork.next();
        fork
    }

    /// Draws 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Draws a number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // The bias is below 2⁻³² for every bound that is used here.
        self.next() % end
    }

    /// Draws a number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Is true so many times out of a thousand.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// Draws one of the items; there has to be one.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// Draws a waiting time whose mean is about `mean`: short ones are frequent, long ones rare.
    pub(crate) fn around(&mut self, mean: u64) -> u64 {
        // The sum of two halves of a uniform product is skewed enough, and needs no logarithm.
        let (a, b) = (self.below(1000), self.below(1000));
        mean * a * b * 4 / 1_000_000
    }

    /// Draws 32 bytes.
    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes());
        }
        bytes
    }
}
