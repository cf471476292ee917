//! SHA-1 of four, eight, sixteen or 32 messages at once: lane `i` of every vector belongs to message `i`.
//!
//! The same code for eight is compiled twice. With AVX-512VL the compiler makes one instruction of each
//! rotation and of each three-way logic function, and keeps a whole block in registers.

#![expect(
    unsafe_code,
    reason = "vector loads take pointers, and a kernel may only run where its instructions exist"
)]

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_loadu_si256, _mm256_or_si256,
    _mm256_permute2x128_si256, _mm256_set1_epi32, _mm256_setr_epi8, _mm256_shuffle_epi8,
    _mm256_slli_epi32, _mm256_srli_epi32, _mm256_storeu_si256, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
};

use super::lanes::{Blocks, NARROW, WIDE};
use super::{BLOCK, State};

/// A set of vector instructions; holding one is the proof that this processor has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vectors(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Sse2,
    Avx2,
    Avx512,
}

impl Vectors {
    /// What every processor of this kind has.
    #[expect(clippy::unnecessary_wraps, reason = "other kinds have none")]
    pub(super) const fn baseline() -> Option<Self> {
        Some(Self(Set::Sse2))
    }

    /// AVX2, if it is there.
    pub(super) fn avx2() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(Set::Avx2))
    }

    /// AVX-512 with 256-bit vectors, if it is there.
    pub(super) fn avx512() -> Option<Self> {
        let is_there = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
        is_there.then_some(Self(Set::Avx512))
    }

    /// Feeds each state the blocks of its lane, as many as the shortest lane has. The first `count`
    /// states matter.
    pub(super) fn compress(
        self,
        states: &mut [State; NARROW],
        blocks: &Blocks<'_, NARROW>,
        count: usize,
    ) {
        match self.0 {
            // SAFETY: it is part of what every x86-64 has.
            Set::Sse2 => unsafe { sse2::compress(states, blocks, count) },
            // SAFETY: `self` was made only where the processor has the instructions.
            Set::Avx2 => unsafe { avx2::compress(states, blocks) },
            // SAFETY: as above.
            Set::Avx512 => unsafe { avx512::compress(states, blocks) },
        }
    }
}

/// Vectors for sixteen messages each; holding one is the proof that this processor has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wide(());

impl Wide {
    /// AVX-512 with 512-bit vectors, if it is there.
    pub(super) fn avx512() -> Option<Self> {
        let is_there = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        is_there.then_some(Self(()))
    }

    /// Feeds each state the blocks of its lane, as many as the shortest lane has. Two sets
    /// take half as long again as one.
    pub(super) fn compress<const SETS: usize>(
        self,
        states: &mut [[State; WIDE]; SETS],
        blocks: &[Blocks<'_, WIDE>; SETS],
    ) {
        let Self(()) = self;
        // SAFETY: `self` was made only where the processor has the instructions.
        unsafe { wide::compress(states, blocks) }
    }
}

/// Whether the processor has instructions for SHA-1, which the `sha1` crate then uses.
pub(super) fn has_sha() -> bool {
    is_x86_feature_detected!("sha")
}

/// Eight vectors of eight words.
type Square = [__m256i; 8];

/// Twenty steps of a block with one function and one constant (FIPS 180-4, 6.1.2).
macro_rules! twenty {
    ($w:ident, $vars:tt, $f:ident, $k:expr, $t:literal) => {
        let k = splat($k);
        five!($w, $vars, $f, k, $t);
        five!($w, $vars, $f, k, $t + 5);
        five!($w, $vars, $f, k, $t + 10);
        five!($w, $vars, $f, k, $t + 15);
    };
}

/// Five steps, after which each variable has its own name again.
macro_rules! five {
    ($w:ident, [$a:ident, $b:ident, $c:ident, $d:ident, $e:ident], $f:ident, $k:ident, $t:expr) => {
        step!($w, $f, $k, $t, $a, $b, $c, $d, $e);
        step!($w, $f, $k, $t + 1, $e, $a, $b, $c, $d);
        step!($w, $f, $k, $t + 2, $d, $e, $a, $b, $c);
        step!($w, $f, $k, $t + 3, $c, $d, $e, $a, $b);
        step!($w, $f, $k, $t + 4, $b, $c, $d, $e, $a);
    };
}

macro_rules! step {
    ($w:ident, $f:ident, $k:ident, $t:expr, $a:ident, $b:ident, $c:ident, $d:ident, $e:ident) => {
        if $t >= 16 {
            let mixed = xor(
                xor($w[($t + 13) % 16], $w[($t + 8) % 16]),
                $w[($t + 2) % 16],
            );
            $w[$t % 16] = rotate_1(xor(mixed, $w[$t % 16]));
        }
        let sum = add(add($e, $k), add($w[$t % 16], $f($b, $c, $d)));
        $e = add(sum, rotate_5($a));
        $b = rotate_30($b);
    };
}

// Below the macros, which they share.
mod sse2;
mod wide;

/// A module `$name` compiled for the instructions `$features`. It is repeated whole, because what
/// is compiled for fewer instructions is not inlined with more.
macro_rules! kernel {
    ($name:ident, $features:literal) => {
        mod $name {
            use super::*;

            #[target_feature(enable = $features)]
            pub(super) fn compress(states: &mut [State; NARROW], blocks: &Blocks<'_, NARROW>) {
                let mut state = load(states);
                let count = blocks.iter().map(|lane| lane.len()).min().unwrap_or(0);
                for i in 0..count {
                    let lanes = blocks.map(|lane| &lane[i]);
                    let [w0, w1, w2, w3, w4, w5, w6, w7] = words(lanes, 0);
                    let [w8, w9, w10, w11, w12, w13, w14, w15] = words(lanes, 1);
                    let mut w = [
                        w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15,
                    ];
                    let [mut a, mut b, mut c, mut d, mut e] = state;
                    twenty!(w, [a, b, c, d, e], choose, 0x5a82_7999_u32, 0);
                    twenty!(w, [a, b, c, d, e], parity, 0x6ed9_eba1_u32, 20);
                    twenty!(w, [a, b, c, d, e], majority, 0x8f1b_bcdc_u32, 40);
                    twenty!(w, [a, b, c, d, e], parity, 0xca62_c1d6_u32, 60);
                    let sum = |i: usize, x| add(state[i], x);
                    state = [sum(0, a), sum(1, b), sum(2, c), sum(3, d), sum(4, e)];
                }
                store(state, states);
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn transposed(rows: Square) -> Square {
                let [a, b, c, d, e, f, g, h] = rows;
                let lo = |x, y| _mm256_unpacklo_epi32(x, y);
                let hi = |x, y| _mm256_unpackhi_epi32(x, y);
                let (ab, cd, ef, gh) = (lo(a, b), lo(c, d), lo(e, f), lo(g, h));
                let (ab2, cd2, ef2, gh2) = (hi(a, b), hi(c, d), hi(e, f), hi(g, h));
                let lo = |x, y| _mm256_unpacklo_epi64(x, y);
                let hi = |x, y| _mm256_unpackhi_epi64(x, y);
                let upper = [lo(ab, cd), hi(ab, cd), lo(ab2, cd2), hi(ab2, cd2)];
                let lower = [lo(ef, gh), hi(ef, gh), lo(ef2, gh2), hi(ef2, gh2)];
                let left = |i: usize| _mm256_permute2x128_si256::<0x20>(upper[i], lower[i]);
                let right = |i: usize| _mm256_permute2x128_si256::<0x31>(upper[i], lower[i]);
                [
                    left(0),
                    left(1),
                    left(2),
                    left(3),
                    right(0),
                    right(1),
                    right(2),
                    right(3),
                ]
            }

            /// Words 8·`half` to 8·`half` + 7 of one block of each lane.
            #[target_feature(enable = $features)]
            #[inline]
            fn words(lanes: [&[u8; BLOCK]; NARROW], half: usize) -> Square {
                let swap = _mm256_setr_epi8(
                    3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, //
                    3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12,
                );
                let rows = lanes.map(|block| {
                    let bytes = &block[32 * half..32 * half + 32];
                    // SAFETY: `bytes` has the 32 bytes that are loaded.
                    let row = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
                    _mm256_shuffle_epi8(row, swap)
                });
                transposed(rows)
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn splat(word: u32) -> __m256i {
                _mm256_set1_epi32(word.cast_signed())
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn add(x: __m256i, y: __m256i) -> __m256i {
                _mm256_add_epi32(x, y)
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn xor(x: __m256i, y: __m256i) -> __m256i {
                _mm256_xor_si256(x, y)
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn rotate_1(x: __m256i) -> __m256i {
                rotate::<1, 31>(x)
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn rotate_5(x: __m256i) -> __m256i {
                rotate::<5, 27>(x)
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn rotate_30(x: __m256i) -> __m256i {
                rotate::<30, 2>(x)
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn rotate<const LEFT: i32, const RIGHT: i32>(x: __m256i) -> __m256i {
                _mm256_or_si256(_mm256_slli_epi32::<LEFT>(x), _mm256_srli_epi32::<RIGHT>(x))
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn choose(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
                xor(z, _mm256_and_si256(x, xor(y, z)))
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn parity(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
                xor(xor(x, y), z)
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn majority(x: __m256i, y: __m256i, z: __m256i) -> __m256i {
                xor(_mm256_and_si256(x, y), _mm256_and_si256(z, xor(x, y)))
            }
        }
    };
}

kernel!(avx2, "avx2");
kernel!(avx512, "avx512f,avx512vl");

/// Word `i` of all states in vector `i`.
#[target_feature(enable = "avx2")]
fn load(states: &[State; NARROW]) -> [__m256i; 5] {
    std::array::from_fn(|word| {
        let lanes = states.map(|state| state[word]);
        // SAFETY: `lanes` has the 32 bytes that are loaded.
        unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
    })
}

#[target_feature(enable = "avx2")]
fn store(vectors: [__m256i; 5], states: &mut [State; NARROW]) {
    for (word, vector) in vectors.into_iter().enumerate() {
        let mut lanes = [0u32; NARROW];
        // SAFETY: `lanes` has room for the 32 bytes that are stored.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), vector) };
        for (state, lane) in states.iter_mut().zip(lanes) {
            state[word] = lane;
        }
    }
}
