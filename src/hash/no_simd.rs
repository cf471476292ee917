//! Stands in for the vector kernels on processors for which there are none.

use super::lanes::LANES;
use super::{BLOCK, State};

/// The blocks of each lane.
pub(super) type Blocks<'a> = [&'a [[u8; BLOCK]]; LANES];

/// There are none: a value of this cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vectors {}

/// Not that it mattered.
pub(super) fn has_sha() -> bool {
    false
}

impl Vectors {
    /// Never.
    pub(super) fn avx2() -> Option<Self> {
        None
    }

    /// Never.
    pub(super) fn avx512() -> Option<Self> {
        None
    }

    /// Cannot be called.
    pub(super) fn compress(self, _states: &mut [State; LANES], _blocks: &Blocks<'_>) {
        match self {}
    }
}
