//! What peers say to each other: BEP 3, 6, 9, 10, 11 and 14 messages as bytes and as values.
//!
//! Pure: it checks lengths and shapes, never whether a piece exists or a peer may say this now.

pub mod codec;
pub mod extended;
pub mod lsd;
pub mod message;
pub mod metadata;
pub mod pex;

pub use codec::{DecodeError, Decoder, HANDSHAKE_LEN};
pub use extended::ExtendedHandshake;
pub use lsd::LocalAnnounce;
pub use message::{BlockRequest, Handshake, Message, Reserved};
pub use metadata::MetadataMessage;
pub use pex::PexMessage;
