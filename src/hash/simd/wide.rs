//! SHA-1 of sixteen or 32 messages at once, in one or two sets of vectors of 512 bits.
//!
//! A step waits for the one before it longer than for a place in the processor: sixteen messages take
//! hardly more time than the eight of the narrower kernels, and the steps of a second set fit
//! between those of the first.

use std::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_loadu_si512, _mm512_rol_epi32, _mm512_set1_epi32,
    _mm512_set4_epi32, _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_shuffle_i32x4,
    _mm512_storeu_si512, _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64, _mm512_xor_si512,
};
use std::array;

use super::super::lanes::{Blocks, WIDE};
use super::super::{BLOCK, State};

/// Sixteen vectors of sixteen words.
type Square = [__m512i; WIDE];

/// The same variable of each set.
type Sets<const SETS: usize> = [__m512i; SETS];

/// Feeds each of 16·`SETS` states the blocks of its lane, as many as the shortest lane has.
#[expect(
    clippy::many_single_char_names,
    reason = "FIPS 180-4 names the variables so"
)]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn compress<const SETS: usize>(
    states: &mut [[State; WIDE]; SETS],
    blocks: &[Blocks<'_, WIDE>; SETS],
) {
    let mut state = load(states);
    let lanes = blocks.iter().flatten();
    let count = lanes.map(|lane| lane.len()).min().unwrap_or(0);
    for at in 0..count {
        let mut w = schedule(blocks, at);
        let [mut a, mut b, mut c, mut d, mut e] = state;
        twenty!(w, [a, b, c, d, e], choose, 0x5a82_7999_u32, 0);
        twenty!(w, [a, b, c, d, e], parity, 0x6ed9_eba1_u32, 20);
        twenty!(w, [a, b, c, d, e], majority, 0x8f1b_bcdc_u32, 40);
        twenty!(w, [a, b, c, d, e], parity, 0xca62_c1d6_u32, 60);
        state = [
            add(state[0], a),
            add(state[1], b),
            add(state[2], c),
            add(state[3], d),
            add(state[4], e),
        ];
    }
    store(&state, states);
}

/// Word `i` of one block of each lane of each set. Here and below are loops over arrays, since
/// closures are not inlined into a function of more instructions than theirs.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn schedule<const SETS: usize>(blocks: &[Blocks<'_, WIDE>; SETS], at: usize) -> [Sets<SETS>; 16] {
    let mut all = [[_mm512_setzero_si512(); SETS]; 16];
    for set in 0..SETS {
        let words = words(&blocks[set], at);
        for i in 0..16 {
            all[i][set] = words[i];
        }
    }
    all
}

/// Word `i` of one block of each lane in vector `i`.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn words(lanes: &Blocks<'_, WIDE>, at: usize) -> Square {
    let swap = _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
    let mut rows = [_mm512_setzero_si512(); WIDE];
    for i in 0..WIDE {
        let block: &[u8; BLOCK] = &lanes[i][at];
        // SAFETY: `block` has the 64 bytes that are loaded.
        let row = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
        rows[i] = _mm512_shuffle_epi8(row, swap);
    }
    transposed(&rows)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn transposed(rows: &Square) -> Square {
    // Quarter q of vector 4g + c: word 4q + c of the rows 4g to 4g + 3.
    let mut groups = [_mm512_setzero_si512(); WIDE];
    for g in (0..WIDE).step_by(4) {
        let ab = _mm512_unpacklo_epi32(rows[g], rows[g + 1]);
        let cd = _mm512_unpacklo_epi32(rows[g + 2], rows[g + 3]);
        let ab2 = _mm512_unpackhi_epi32(rows[g], rows[g + 1]);
        let cd2 = _mm512_unpackhi_epi32(rows[g + 2], rows[g + 3]);
        groups[g] = _mm512_unpacklo_epi64(ab, cd);
        groups[g + 1] = _mm512_unpackhi_epi64(ab, cd);
        groups[g + 2] = _mm512_unpacklo_epi64(ab2, cd2);
        groups[g + 3] = _mm512_unpackhi_epi64(ab2, cd2);
    }
    let mut words = [_mm512_setzero_si512(); WIDE];
    for c in 0..4 {
        let low = _mm512_shuffle_i32x4::<0x44>(groups[c], groups[4 + c]);
        let low2 = _mm512_shuffle_i32x4::<0x44>(groups[8 + c], groups[12 + c]);
        let high = _mm512_shuffle_i32x4::<0xee>(groups[c], groups[4 + c]);
        let high2 = _mm512_shuffle_i32x4::<0xee>(groups[8 + c], groups[12 + c]);
        words[c] = _mm512_shuffle_i32x4::<0x88>(low, low2);
        words[4 + c] = _mm512_shuffle_i32x4::<0xdd>(low, low2);
        words[8 + c] = _mm512_shuffle_i32x4::<0x88>(high, high2);
        words[12 + c] = _mm512_shuffle_i32x4::<0xdd>(high, high2);
    }
    words
}

/// Word `i` of all states in vectors `i`.
#[target_feature(enable = "avx512f")]
fn load<const SETS: usize>(states: &[[State; WIDE]; SETS]) -> [Sets<SETS>; 5] {
    array::from_fn(|word| {
        array::from_fn(|set| {
            let lanes = states[set].map(|state| state[word]);
            // SAFETY: `lanes` has the 64 bytes that are loaded.
            unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) }
        })
    })
}

#[target_feature(enable = "avx512f")]
fn store<const SETS: usize>(vectors: &[Sets<SETS>; 5], states: &mut [[State; WIDE]; SETS]) {
    for (word, sets) in vectors.iter().enumerate() {
        for (states, vector) in states.iter_mut().zip(sets) {
            let mut lanes = [0u32; WIDE];
            // SAFETY: `lanes` has room for the 64 bytes that are stored.
            unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), *vector) };
            for (state, lane) in states.iter_mut().zip(lanes) {
                state[word] = lane;
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn splat<const SETS: usize>(word: u32) -> Sets<SETS> {
    [_mm512_set1_epi32(word.cast_signed()); SETS]
}

#[target_feature(enable = "avx512f")]
#[inline]
fn add<const SETS: usize>(mut x: Sets<SETS>, y: Sets<SETS>) -> Sets<SETS> {
    for set in 0..SETS {
        x[set] = _mm512_add_epi32(x[set], y[set]);
    }
    x
}

#[target_feature(enable = "avx512f")]
#[inline]
fn xor<const SETS: usize>(mut x: Sets<SETS>, y: Sets<SETS>) -> Sets<SETS> {
    for set in 0..SETS {
        x[set] = _mm512_xor_si512(x[set], y[set]);
    }
    x
}

#[target_feature(enable = "avx512f")]
#[inline]
fn rotate_1<const SETS: usize>(x: Sets<SETS>) -> Sets<SETS> {
    rotate::<1, SETS>(x)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn rotate_5<const SETS: usize>(x: Sets<SETS>) -> Sets<SETS> {
    rotate::<5, SETS>(x)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn rotate_30<const SETS: usize>(x: Sets<SETS>) -> Sets<SETS> {
    rotate::<30, SETS>(x)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn rotate<const LEFT: i32, const SETS: usize>(mut x: Sets<SETS>) -> Sets<SETS> {
    for vector in &mut x {
        *vector = _mm512_rol_epi32::<LEFT>(*vector);
    }
    x
}

#[target_feature(enable = "avx512f")]
#[inline]
fn choose<const SETS: usize>(x: Sets<SETS>, y: Sets<SETS>, z: Sets<SETS>) -> Sets<SETS> {
    logic::<0xca, SETS>(x, y, z)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn parity<const SETS: usize>(x: Sets<SETS>, y: Sets<SETS>, z: Sets<SETS>) -> Sets<SETS> {
    logic::<0x96, SETS>(x, y, z)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn majority<const SETS: usize>(x: Sets<SETS>, y: Sets<SETS>, z: Sets<SETS>) -> Sets<SETS> {
    logic::<0xe8, SETS>(x, y, z)
}

/// The function of three bits whose truth table is `TABLE`.
#[target_feature(enable = "avx512f")]
#[inline]
fn logic<const TABLE: i32, const SETS: usize>(
    mut x: Sets<SETS>,
    y: Sets<SETS>,
    z: Sets<SETS>,
) -> Sets<SETS> {
    for set in 0..SETS {
        x[set] = _mm512_ternarylogic_epi32::<TABLE>(x[set], y[set], z[set]);
    }
    x
}
