//! Advances several SHA-1 states.

use sha1::block_api::compress;

use super::{BLOCK, State};

/// Messages that are hashed side by side.
pub const LANES: usize = 8;

/// Feeds each state its blocks, of which there may be different numbers.
pub(super) fn compress_all(states: &mut [State], blocks: &mut [&[[u8; BLOCK]]]) {
    for (state, blocks) in states.iter_mut().zip(blocks) {
        compress(state, blocks);
    }
}
