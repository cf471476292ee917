//! Stands in for the vector kernels on processors for which there are none.

use super::State;
use super::lanes::{Blocks, NARROW, WIDE};

/// There are none: a value of this cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vectors {}

/// There are none of these either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wide {}

/// Not that it mattered.
pub(super) fn has_sha() -> bool {
    false
}

impl Vectors {
    /// Never.
    pub(super) const fn baseline() -> Option<Self> {
        None
    }

    /// Never.
    pub(super) fn avx2() -> Option<Self> {
        None
    }

    /// Never.
    pub(super) fn avx512() -> Option<Self> {
        None
    }

    /// Cannot be called.
    pub(super) fn compress(
        self,
        _states: &mut [State; NARROW],
        _blocks: &Blocks<'_, NARROW>,
        _count: usize,
    ) {
        match self {}
    }
}

impl Wide {
    /// Never.
    pub(super) fn avx512() -> Option<Self> {
        None
    }

    /// Cannot be called.
    pub(super) fn compress<const SETS: usize>(
        self,
        _states: &mut [[State; WIDE]; SETS],
        _blocks: &[Blocks<'_, WIDE>; SETS],
    ) {
        match self {}
    }
}
