//! SHA-1 of one message, or of up to 32 side by side in the lanes of a vector unit.
//!
//! Knows nothing of pieces or files. What comes out does not depend on the machine.

mod lanes;
mod portable;
#[cfg(target_arch = "x86_64")]
mod simd;
#[cfg(not(target_arch = "x86_64"))]
#[path = "no_simd.rs"]
mod simd;

use std::array;

use lanes::{Plan, Single};

pub use lanes::LANES;

/// The state of SHA-1 between two blocks (FIPS 180-4, 5.3.1).
type State = [u32; 5];

const INITIAL: State = [
    0x6745_2301,
    0xefcd_ab89,
    0x98ba_dcfe,
    0x1032_5476,
    0xc3d2_e1f0,
];

/// Bytes that SHA-1 takes at a time.
const BLOCK: usize = 64;

/// The SHA-1 of `message`.
pub fn one(message: &[u8]) -> [u8; 20] {
    let mut hasher = Hasher::new(1);
    hasher.update(&[message]);
    hasher.finish()[0]
}

/// The SHA-1 of each message, in order. Messages of equal length are hashed fastest.
pub fn many(messages: &[&[u8]]) -> Vec<[u8; 20]> {
    let mut digests = Vec::with_capacity(messages.len());
    for group in messages.chunks(LANES) {
        let mut hasher = Hasher::new(group.len());
        hasher.update(group);
        digests.extend(hasher.finish());
    }
    digests
}

/// SHA-1 of several messages that arrive in parts.
#[derive(Clone, Debug)]
pub struct Hasher {
    plan: Plan,
    states: Vec<State>,
    rests: Vec<Rest>,
}

/// The end of a message that does not fill a block yet.
#[derive(Clone, Copy, Debug)]
struct Rest {
    bytes: [u8; BLOCK],
    len: usize,
    /// Of the whole message so far, in bytes.
    message_len: u64,
}

impl Hasher {
    /// A hasher of `count` empty messages; up to [`LANES`] of them go side by side.
    pub fn new(count: usize) -> Self {
        Self::planned(Plan::get(), count)
    }

    fn planned(plan: Plan, count: usize) -> Self {
        let rest = Rest {
            bytes: [0; BLOCK],
            len: 0,
            message_len: 0,
        };
        Self {
            plan,
            states: vec![INITIAL; count],
            rests: vec![rest; count],
        }
    }

    /// Appends `parts[i]` to message `i`. Parts of equal length, a multiple of 64, go fastest.
    ///
    /// # Panics
    /// If there are more parts than messages.
    pub fn update(&mut self, parts: &[&[u8]]) {
        let mut blocks: Vec<&[[u8; BLOCK]]> = Vec::with_capacity(parts.len());
        for (i, part) in parts.iter().enumerate() {
            let (state, rest) = (&mut self.states[i], &mut self.rests[i]);
            rest.message_len += part.len() as u64;
            let part = rest.fill(part, state, self.plan.single);
            let (whole, end) = part.as_chunks();
            rest.keep(end);
            blocks.push(whole);
        }
        let states = &mut self.states[..blocks.len()];
        self.plan.compress_all(states, &mut blocks);
    }

    /// The digest of each message.
    pub fn finish(mut self) -> Vec<[u8; 20]> {
        let ends: Vec<_> = self.rests.iter().map(Rest::padded).collect();
        let mut blocks: Vec<&[[u8; BLOCK]]> = ends
            .iter()
            .map(|(blocks, count)| &blocks[..*count])
            .collect();
        self.plan.compress_all(&mut self.states, &mut blocks);
        self.states.iter().map(digest).collect()
    }
}

impl Rest {
    /// Completes the block that an earlier part began and says what is left of this one.
    fn fill<'a>(&mut self, part: &'a [u8], state: &mut State, way: Single) -> &'a [u8] {
        if self.len == 0 {
            return part;
        }
        let (head, part) = part.split_at(part.len().min(BLOCK - self.len));
        self.bytes[self.len..self.len + head.len()].copy_from_slice(head);
        self.len += head.len();
        if self.len == BLOCK {
            way.compress(state, &[self.bytes]);
            self.len = 0;
        }
        part
    }

    /// Keeps the end of a part; nothing is kept already unless `end` is empty.
    fn keep(&mut self, end: &[u8]) {
        self.bytes[self.len..self.len + end.len()].copy_from_slice(end);
        self.len += end.len();
    }

    /// The last one or two blocks of the message (FIPS 180-4, 5.1.1).
    fn padded(&self) -> ([[u8; BLOCK]; 2], usize) {
        let mut bytes = [0; 2 * BLOCK];
        bytes[..self.len].copy_from_slice(&self.bytes[..self.len]);
        bytes[self.len] = 0x80;
        let count = if self.len + 9 <= BLOCK { 1 } else { 2 };
        let bits = self.message_len.wrapping_mul(8).to_be_bytes();
        bytes[count * BLOCK - 8..count * BLOCK].copy_from_slice(&bits);
        let blocks = array::from_fn(|b| array::from_fn(|i| bytes[b * BLOCK + i]));
        (blocks, count)
    }
}

fn digest(state: &State) -> [u8; 20] {
    array::from_fn(|i| state[i / 4].to_be_bytes()[i % 4])
}

#[cfg(test)]
mod tests;
