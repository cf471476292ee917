//! A hash over everything that was delivered: two runs that agree in it were the same run.

use super::occurrence::What;
use crate::time::Time;

/// A running hash: one multiplication and one fold per word, the same on every machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace(u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Trace {
    /// What it comes to so far.
    pub(super) const fn hash(self) -> u64 {
        self.0
    }

    /// A node has its turn.
    pub(super) fn turn(&mut self, node: u32, now: Time) {
        self.word(now.as_nanos());
        self.word(u64::from(node));
    }

    /// Something happens to that node.
    pub(super) fn add(&mut self, what: What) {
        let [kind, a, b] = what.digits();
        self.word(u64::from(a) << 32 | u64::from(b));
        self.word(u64::from(kind));
    }

    const fn word(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}
