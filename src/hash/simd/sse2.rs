//! SHA-1 of four messages at once, in vectors of 128 bits, with what every x86-64 has.
//!
//! Eight are done as two times four: there are no registers for more.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_and_si128, _mm_or_si128, _mm_set_epi32, _mm_set1_epi32,
    _mm_slli_epi32, _mm_srli_epi32, _mm_storeu_si128, _mm_xor_si128,
};
use std::array;

use super::super::lanes::{Blocks, NARROW};
use super::super::{BLOCK, State};

/// Messages in a vector.
const QUAD: usize = 4;

/// Feeds each of the first `count` states the blocks of its lane, as many as the shortest lane has.
#[target_feature(enable = "sse2")]
pub(super) fn compress(states: &mut [State; NARROW], blocks: &Blocks<'_, NARROW>, count: usize) {
    let (states, _) = states.as_chunks_mut::<QUAD>();
    let (blocks, _) = blocks.as_chunks::<QUAD>();
    for (states, blocks) in states.iter_mut().zip(blocks).take(count.div_ceil(QUAD)) {
        four(states, blocks);
    }
}

#[expect(
    clippy::many_single_char_names,
    reason = "FIPS 180-4 names the variables so"
)]
#[target_feature(enable = "sse2")]
fn four(states: &mut [State; QUAD], blocks: &Blocks<'_, QUAD>) {
    let mut state: [__m128i; 5] = array::from_fn(|word| gathered(|lane| states[lane][word]));
    let count = blocks.iter().map(|lane| lane.len()).min().unwrap_or(0);
    for at in 0..count {
        let mut w = words(blocks, at);
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
    for (word, vector) in state.into_iter().enumerate() {
        let mut lanes = [0u32; QUAD];
        // SAFETY: `lanes` has room for the 16 bytes that are stored.
        unsafe { _mm_storeu_si128(lanes.as_mut_ptr().cast(), vector) };
        for (state, lane) in states.iter_mut().zip(lanes) {
            state[word] = lane;
        }
    }
}

/// Word `i` of one block of each lane in vector `i`.
#[target_feature(enable = "sse2")]
#[inline]
fn words(lanes: &Blocks<'_, QUAD>, at: usize) -> [__m128i; 16] {
    let blocks = lanes.map(|lane| -> &[u8; BLOCK] { &lane[at] });
    array::from_fn(|word| {
        gathered(|lane| {
            let (words, _) = blocks[lane].as_chunks();
            u32::from_be_bytes(words[word])
        })
    })
}

/// A word of each lane.
#[target_feature(enable = "sse2")]
#[inline]
fn gathered(word: impl Fn(usize) -> u32) -> __m128i {
    let [w0, w1, w2, w3] = array::from_fn(|lane| word(lane).cast_signed());
    _mm_set_epi32(w3, w2, w1, w0)
}

#[target_feature(enable = "sse2")]
#[inline]
fn splat(word: u32) -> __m128i {
    _mm_set1_epi32(word.cast_signed())
}

#[target_feature(enable = "sse2")]
#[inline]
fn add(x: __m128i, y: __m128i) -> __m128i {
    _mm_add_epi32(x, y)
}

#[target_feature(enable = "sse2")]
#[inline]
fn xor(x: __m128i, y: __m128i) -> __m128i {
    _mm_xor_si128(x, y)
}

#[target_feature(enable = "sse2")]
#[inline]
fn rotate_1(x: __m128i) -> __m128i {
    rotate::<1, 31>(x)
}

#[target_feature(enable = "sse2")]
#[inline]
fn rotate_5(x: __m128i) -> __m128i {
    rotate::<5, 27>(x)
}

#[target_feature(enable = "sse2")]
#[inline]
fn rotate_30(x: __m128i) -> __m128i {
    rotate::<30, 2>(x)
}

#[target_feature(enable = "sse2")]
#[inline]
fn rotate<const LEFT: i32, const RIGHT: i32>(x: __m128i) -> __m128i {
    _mm_or_si128(_mm_slli_epi32::<LEFT>(x), _mm_srli_epi32::<RIGHT>(x))
}

#[target_feature(enable = "sse2")]
#[inline]
fn choose(x: __m128i, y: __m128i, z: __m128i) -> __m128i {
    xor(z, _mm_and_si128(x, xor(y, z)))
}

#[target_feature(enable = "sse2")]
#[inline]
fn parity(x: __m128i, y: __m128i, z: __m128i) -> __m128i {
    xor(xor(x, y), z)
}

#[target_feature(enable = "sse2")]
#[inline]
fn majority(x: __m128i, y: __m128i, z: __m128i) -> __m128i {
    xor(_mm_and_si128(x, y), _mm_and_si128(z, xor(x, y)))
}
