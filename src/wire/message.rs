//! The values of the peer protocol, raw as the peer sent them: nothing here is checked against the
//! content yet.

use bytes::Bytes;

use crate::ids::{InfoHash, PeerId};

/// A range of a piece as named on the wire; becomes a [`crate::layout::Block`] once checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockRequest {
    /// Number of the piece.
    pub index: u32,
    /// Offset in the piece, in bytes.
    pub begin: u32,
    /// Length in bytes.
    pub length: u32,
}

/// One message of the peer protocol after the handshake.
///
/// `Piece` carries coordinates only: the payload itself never leaves the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A message of length zero, sent so that an idle connection stays open (BEP 3).
    KeepAlive,
    /// The sender will not answer requests (BEP 3).
    Choke,
    /// The sender will answer requests (BEP 3).
    Unchoke,
    /// The receiver has something that the sender wants (BEP 3).
    Interested,
    /// The receiver has nothing that the sender wants (BEP 3).
    NotInterested,
    /// The sender completed this piece (BEP 3).
    Have(u32),
    /// Raw bits of the pieces that the sender has; its length is not checked yet (BEP 3).
    Bitfield(Bytes),
    /// Asks for a block (BEP 3).
    Request(BlockRequest),
    /// Announces the payload of a block (BEP 3).
    Piece(BlockRequest),
    /// Takes a request back (BEP 3).
    Cancel(BlockRequest),
    /// The DHT port of the sender (BEP 5).
    Port(u16),
    /// Proposes a piece to ask for (BEP 6).
    Suggest(u32),
    /// The sender has every piece (BEP 6).
    HaveAll,
    /// The sender has no piece (BEP 6).
    HaveNone,
    /// A request will not be answered (BEP 6).
    Reject(BlockRequest),
    /// A piece that may be asked for while choked (BEP 6).
    AllowedFast(u32),
    /// An extension message and its id; 0 is the extension handshake (BEP 10).
    Extended {
        /// The id that the receiver chose for this extension.
        id: u8,
        /// The body, usually bencoded.
        payload: Bytes,
    },
    /// A message of a type that we do not know, skipped (its type byte).
    Unknown(u8),
}

/// The eight reserved bytes of a handshake: which extensions its sender speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved(pub [u8; 8]);

impl Reserved {
    /// What we speak: the Fast extension (BEP 6) and the extension protocol (BEP 10).
    pub const OURS: Self = Self([0, 0, 0, 0, 0, 0x10, 0, 0x04]);

    /// Whether the sender speaks the Fast extension (BEP 6).
    pub const fn fast(self) -> bool {
        self.0[7] & 0x04 != 0
    }

    /// Whether the sender speaks the extension protocol (BEP 10).
    pub const fn extended(self) -> bool {
        self.0[5] & 0x10 != 0
    }
}

/// The first 68 bytes that each side sends (BEP 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// Extensions that the sender speaks.
    pub reserved: Reserved,
    /// The swarm that the sender means.
    pub info_hash: InfoHash,
    /// What the sender calls itself.
    pub peer_id: PeerId,
}
