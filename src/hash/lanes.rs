//! Advances several SHA-1 states, by the fastest way that this processor has for their number.

use std::array;
use std::sync::OnceLock;

use sha1::block_api;

use super::portable;
use super::simd::{self, Vectors, Wide};
use super::{BLOCK, State};

/// Messages that are hashed side by side at most: more at once are no faster.
pub const LANES: usize = 2 * WIDE;

/// Messages that vectors of 512 bits hold.
pub(super) const WIDE: usize = 16;

/// Messages that vectors of 256 bits hold.
pub(super) const NARROW: usize = 8;

/// With fewer messages than this, the vectors that every processor has are no faster than one after
/// the other.
const BASELINE_MIN: usize = 2;

/// The blocks of each of `N` lanes, `N` being what one vector holds.
pub(super) type Blocks<'a, const N: usize> = [&'a [[u8; BLOCK]]; N];

/// Says which way to hash, against all measurement: `portable`, `sha-ni`, `avx2` or `avx512`. For
/// tests, for tools that do not know the newer instructions, and to be as slow as an old machine.
/// What the processor lacks is not taken.
const OVERRIDE: &str = "SWARM_HASH";

/// How to hash several messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The vector instructions to use, if any.
    pub(super) vectors: Option<Vectors>,
    /// Those for more messages than fit into them, if any.
    pub(super) wide: Option<Wide>,
    /// With fewer messages than this, one after the other is faster.
    pub(super) lanes_min: usize,
    /// How to hash one after the other.
    pub(super) single: Single,
}

/// How to hash one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Single {
    /// By the `sha1` crate, with the processor's own instructions for SHA-1 if it has them.
    Crate,
    /// With what every processor has.
    Portable,
}

impl Single {
    /// Feeds the state these blocks.
    pub(super) fn compress(self, state: &mut State, blocks: &[[u8; BLOCK]]) {
        match self {
            Self::Crate => block_api::compress(state, blocks),
            Self::Portable => portable::compress(state, blocks),
        }
    }
}

impl Plan {
    /// What every processor of this kind has, and nothing else.
    pub(super) const PORTABLE: Self = Self {
        vectors: Vectors::baseline(),
        wide: None,
        lanes_min: BASELINE_MIN,
        single: Single::Portable,
    };

    /// One message after the other: the `sha1` crate, with the processor's own SHA-1 instructions
    /// if it has them.
    pub(super) const SINGLE: Self = Self {
        vectors: None,
        wide: None,
        lanes_min: usize::MAX,
        single: Single::Crate,
    };

    /// The plan for this processor and this run of the program.
    pub(super) fn get() -> Self {
        static PLAN: OnceLock<Plan> = OnceLock::new();
        *PLAN.get_or_init(|| Self::named(std::env::var(OVERRIDE).ok().as_deref()))
    }

    fn named(name: Option<&str>) -> Self {
        match name {
            Some("portable") => Self::PORTABLE,
            Some("sha-ni") if simd::has_sha() => Self::SINGLE,
            Some("avx2") => Self::always(Vectors::avx2(), None),
            Some("avx512") => Self::always(Vectors::avx512(), Wide::avx512()),
            _ => Self::measured(),
        }
    }

    /// These vectors for any number of messages.
    pub(super) const fn always(vectors: Option<Vectors>, wide: Option<Wide>) -> Self {
        Self {
            vectors,
            wide,
            lanes_min: 1,
            single: Single::Crate,
        }
    }

    /// Measured with `benches/hash.rs` at 128 KiB per message, GB/s: SHA instructions 2.08 for any
    /// number of messages; AVX-512 0.56 and AVX2 0.47 for each lane that is filled (AMD EPYC,
    /// 2026-11-22). Without SHA instructions one message goes at 0.5 (Cascade Lake).
    fn measured() -> Self {
        let (vectors, lanes_min) = match (Vectors::avx512(), Vectors::avx2()) {
            (Some(avx512), _) => (avx512, if simd::has_sha() { 4 } else { 2 }),
            (None, Some(avx2)) => (avx2, if simd::has_sha() { 5 } else { 2 }),
            (None, None) if simd::has_sha() => return Self::SINGLE,
            (None, None) => {
                return Self {
                    single: Single::Crate,
                    ..Self::PORTABLE
                };
            }
        };
        Self {
            vectors: Some(vectors),
            wide: Wide::avx512(),
            lanes_min,
            single: Single::Crate,
        }
    }

    /// Feeds each state its blocks, of which there may be different numbers.
    pub(super) fn compress_all(self, states: &mut [State], blocks: &mut [&[[u8; BLOCK]]]) {
        if let Some(vectors) = self.vectors {
            let lanes = if self.wide.is_some() { LANES } else { NARROW };
            for (states, blocks) in states.chunks_mut(lanes).zip(blocks.chunks_mut(lanes)) {
                self.side_by_side(vectors, states, blocks);
            }
        }
        for (state, blocks) in states.iter_mut().zip(blocks) {
            self.single.compress(state, blocks);
        }
    }

    /// As long as enough messages have blocks left, takes from all of them as many as the shortest
    /// has.
    fn side_by_side(self, vectors: Vectors, states: &mut [State], blocks: &mut [&[[u8; BLOCK]]]) {
        loop {
            let busy = || (0..blocks.len()).filter(|&i| !blocks[i].is_empty());
            let lanes: Vec<usize> = busy().collect();
            if lanes.is_empty() || lanes.len() < self.lanes_min {
                return;
            }
            match self.wide {
                Some(wide) if lanes.len() > WIDE => {
                    advance::<WIDE, 2>(&lanes, states, blocks, |states, parts| {
                        wide.compress(states, parts);
                    });
                }
                Some(wide) if lanes.len() > NARROW => {
                    advance::<WIDE, 1>(&lanes, states, blocks, |states, parts| {
                        wide.compress(states, parts);
                    });
                }
                _ => advance(&lanes, states, blocks, |[states], [parts]| {
                    vectors.compress(states, parts, lanes.len());
                }),
            }
        }
    }
}

/// Feeds the states of these lanes, in `SETS` vectors of `N`, as many blocks as the shortest has.
fn advance<const N: usize, const SETS: usize>(
    lanes: &[usize],
    states: &mut [State],
    blocks: &mut [&[[u8; BLOCK]]],
    compress: impl Fn(&mut [[State; N]; SETS], &[Blocks<'_, N>; SETS]),
) {
    let lens = lanes.iter().map(|&i| blocks[i].len());
    let count = lens.min().unwrap_or(0);
    // Lanes without a message repeat the first; what comes out of them is dropped.
    let lane_of = |set: usize, lane: usize| lanes.get(N * set + lane).copied().unwrap_or(lanes[0]);
    let parts = array::from_fn(|set| array::from_fn(|i| &blocks[lane_of(set, i)][..count]));
    let mut vectors = array::from_fn(|set| array::from_fn(|i| states[lane_of(set, i)]));
    compress(&mut vectors, &parts);
    for (&i, &state) in lanes.iter().zip(vectors.as_flattened()) {
        states[i] = state;
        blocks[i] = &blocks[i][count..];
    }
}
