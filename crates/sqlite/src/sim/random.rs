//! The only source of chance on a simulated disk: a seed and how often it was asked.

/// A generator of numbers that look random (SplitMix64); equal seeds give equal numbers.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, but not including, the bound, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Tells whether something happens that happens so many times in a thousand.
    pub(super) fn per_mille(&mut self, times: u16) -> bool {
        times > 0 && self.below(1_000) < usize::from(times)
    }

    /// How many of so many things done one after the other have taken effect: often all.
    pub(super) fn prefix(&mut self, things: usize) -> usize {
        if self.below(2) == 0 { things } else { self.below(things + 1) }
    }
}
