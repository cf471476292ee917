//! SHA-1 of one message with nothing but what every processor has (FIPS 180-4, 6.1.2).
//!
//! The `sha1` crate is faster where the processor helps, and it asks for that by itself; this one
//! takes the same instructions everywhere, so what it costs can be compared.

use super::{BLOCK, State};

/// Feeds the state these blocks.
pub(super) fn compress(state: &mut State, blocks: &[[u8; BLOCK]]) {
    for block in blocks {
        let mut w = [0; 80];
        let (words, _) = block.as_chunks();
        for (w, word) in w.iter_mut().zip(words) {
            *w = u32::from_be_bytes(*word);
        }
        for t in 16..80 {
            w[t] = (w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16]).rotate_left(1);
        }
        let mut vars = *state;
        twenty(&mut vars, &w[..20], 0x5a82_7999, |b, c, d| {
            d ^ (b & (c ^ d))
        });
        twenty(&mut vars, &w[20..40], 0x6ed9_eba1, |b, c, d| b ^ c ^ d);
        twenty(&mut vars, &w[40..60], 0x8f1b_bcdc, |b, c, d| {
            (b & c) ^ (d & (b ^ c))
        });
        twenty(&mut vars, &w[60..], 0xca62_c1d6, |b, c, d| b ^ c ^ d);
        for (word, var) in state.iter_mut().zip(vars) {
            *word = word.wrapping_add(var);
        }
    }
}

/// Twenty steps with one function and one constant.
#[inline]
fn twenty(vars: &mut State, words: &[u32], constant: u32, mix: impl Fn(u32, u32, u32) -> u32) {
    for &word in words {
        let sum = vars[0]
            .rotate_left(5)
            .wrapping_add(mix(vars[1], vars[2], vars[3]))
            .wrapping_add(vars[4])
            .wrapping_add(constant)
            .wrapping_add(word);
        *vars = [sum, vars[0], vars[1].rotate_left(30), vars[2], vars[3]];
    }
}
