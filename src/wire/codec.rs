//! Messages and handshakes between bytes and values (BEP 3, 6, 10); the one place that trusts a
//! length from the wire, after checking it.
//!
//! A message is judged by its length and type as soon as these five bytes are there: what is too
//! long is refused before any of it is waited for. Nothing is ever reserved for a declared length,
//! so memory grows with received bytes only. Whether a piece exists, or a peer may say this at this
//! moment, is the core's to judge.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::message::{BlockRequest, Handshake, Message, Reserved};
use crate::ids::{InfoHash, PeerId};
use crate::layout::REQUEST_LEN_MAX;

/// The longest message of any type, in bytes (libtorrent's limit too).
pub const MESSAGE_LEN_MAX: u32 = 1 << 20;

/// The longest extended message, in bytes. The longest known one carries 16 KiB (BEP 9, "data");
/// four times that leaves room for handshakes with many extensions. Chosen, untested.
pub const EXTENDED_LEN_MAX: u32 = 64 << 10;

/// Length of a handshake in bytes (BEP 3).
pub const HANDSHAKE_LEN: usize = 68;

const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

// Message types: BEP 3, then BEP 5 (port), BEP 6 and BEP 10.
const CHOKE: u8 = 0;
const UNCHOKE: u8 = 1;
const INTERESTED: u8 = 2;
const NOT_INTERESTED: u8 = 3;
const HAVE: u8 = 4;
const BITFIELD: u8 = 5;
const REQUEST: u8 = 6;
const PIECE: u8 = 7;
const CANCEL: u8 = 8;
const PORT: u8 = 9;
const SUGGEST: u8 = 13;
const HAVE_ALL: u8 = 14;
const HAVE_NONE: u8 = 15;
const REJECT: u8 = 16;
const ALLOWED_FAST: u8 = 17;
const EXTENDED: u8 = 20;

/// Length prefix, type, index and begin: what precedes the payload of a block (BEP 3).
pub const PIECE_HEADER_LEN: usize = 13;

/// Bytes that are no message of the protocol. Lengths are those of the prefix: type included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A message has a length that its type may not have here.
    #[error("message type {kind} may have length {min} to {max}, has: {got}")]
    Length {
        /// The type.
        kind: u8,
        /// The length declared.
        got: u32,
        /// The shortest allowed.
        min: u32,
        /// The longest allowed.
        max: u32,
    },
    /// The first bytes of a connection are not a handshake.
    #[error("not a BitTorrent handshake")]
    NotAHandshake,
}

/// Cuts a byte stream into messages, wherever the reads happened to split it.
///
/// After [`Message::Piece`] the next `length` bytes of the stream are the block's payload: the
/// caller takes them before it calls [`Decoder::decode`] again, first from what `input` still
/// holds, then from the socket.
#[derive(Clone, Debug)]
pub struct Decoder {
    bitfield_len_max: u32,
    /// Bytes of a message of unknown type that are still to be thrown away.
    skip: usize,
}

impl Decoder {
    /// A decoder at the first byte after the handshake, for content of `piece_count` pieces.
    pub fn new(piece_count: u32) -> Self {
        Self {
            bitfield_len_max: MESSAGE_LEN_MAX.min(1 + piece_count.div_ceil(8)),
            skip: 0,
        }
    }

    /// Takes the next message off the front of `input`; `None` if more bytes are needed.
    ///
    /// # Errors
    /// If the stream is no sequence of messages within their limits. It cannot be resumed then.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Message>, DecodeError> {
        let skipped = self.skip.min(input.len());
        input.advance(skipped);
        self.skip -= skipped;

        let Some((&prefix, rest)) = input.split_first_chunk() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes(prefix);
        if len == 0 {
            input.advance(prefix.len());
            return Ok(Some(Message::KeepAlive));
        }
        let Some((&kind, body)) = rest.split_first() else {
            return Ok(None);
        };
        let known = self.limits(kind);
        let (min, max) = known.unwrap_or((1, MESSAGE_LEN_MAX));
        if len < min || len > max {
            let got = len;
            return Err(DecodeError::Length {
                kind,
                got,
                min,
                max,
            });
        }

        let body_len = len - 1;
        let buffered_len = match known {
            Some(_) if kind == PIECE => 8,
            Some(_) => body_len as usize,
            None => 0,
        };
        let Some(body) = body.get(..buffered_len) else {
            return Ok(None);
        };
        let message = read_body(kind, body_len, body);
        input.advance(prefix.len() + 1 + buffered_len);
        if let Message::Unknown(_) = message {
            self.skip = body_len as usize;
        }
        Ok(Some(message))
    }

    /// The shortest and the longest length of a known type, type byte included.
    const fn limits(&self, kind: u8) -> Option<(u32, u32)> {
        Some(match kind {
            CHOKE | UNCHOKE | INTERESTED | NOT_INTERESTED | HAVE_ALL | HAVE_NONE => (1, 1),
            PORT => (3, 3),
            HAVE | SUGGEST | ALLOWED_FAST => (5, 5),
            REQUEST | CANCEL | REJECT => (13, 13),
            BITFIELD => (1, self.bitfield_len_max),
            PIECE => (9, 9 + REQUEST_LEN_MAX),
            EXTENDED => (2, EXTENDED_LEN_MAX),
            _ => return None,
        })
    }
}

/// The message of a type whose length was checked. Payloads are copied, not sliced: a slice would
/// keep the whole read buffer alive for as long as somebody holds the message.
fn read_body(kind: u8, body_len: u32, mut body: &[u8]) -> Message {
    match kind {
        CHOKE => Message::Choke,
        UNCHOKE => Message::Unchoke,
        INTERESTED => Message::Interested,
        NOT_INTERESTED => Message::NotInterested,
        HAVE => Message::Have(body.get_u32()),
        BITFIELD => Message::Bitfield(Bytes::copy_from_slice(body)),
        REQUEST => Message::Request(read_block(body)),
        PIECE => Message::Piece(BlockRequest {
            index: body.get_u32(),
            begin: body.get_u32(),
            length: body_len - 8,
        }),
        CANCEL => Message::Cancel(read_block(body)),
        PORT => Message::Port(body.get_u16()),
        SUGGEST => Message::Suggest(body.get_u32()),
        HAVE_ALL => Message::HaveAll,
        HAVE_NONE => Message::HaveNone,
        REJECT => Message::Reject(read_block(body)),
        ALLOWED_FAST => Message::AllowedFast(body.get_u32()),
        EXTENDED => Message::Extended {
            id: body.get_u8(),
            payload: Bytes::copy_from_slice(body),
        },
        unknown => Message::Unknown(unknown),
    }
}

fn read_block(mut body: &[u8]) -> BlockRequest {
    BlockRequest {
        index: body.get_u32(),
        begin: body.get_u32(),
        length: body.get_u32(),
    }
}

impl Message {
    /// Appends the message as it goes over the wire; of [`Message::Piece`] the 13 bytes that
    /// precede the payload.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::KeepAlive => out.put_u32(0),
            Self::Choke => put_bare(out, CHOKE),
            Self::Unchoke => put_bare(out, UNCHOKE),
            Self::Interested => put_bare(out, INTERESTED),
            Self::NotInterested => put_bare(out, NOT_INTERESTED),
            Self::Have(index) => put_index(out, HAVE, *index),
            Self::Bitfield(bits) => put_bytes(out, &[BITFIELD], bits),
            Self::Request(block) => put_block(out, REQUEST, block),
            Self::Piece(block) => out.extend_from_slice(&piece_header(block)),
            Self::Cancel(block) => put_block(out, CANCEL, block),
            Self::Port(port) => put_bytes(out, &[PORT], &port.to_be_bytes()),
            Self::Suggest(index) => put_index(out, SUGGEST, *index),
            Self::HaveAll => put_bare(out, HAVE_ALL),
            Self::HaveNone => put_bare(out, HAVE_NONE),
            Self::Reject(block) => put_block(out, REJECT, block),
            Self::AllowedFast(index) => put_index(out, ALLOWED_FAST, *index),
            Self::Extended { id, payload } => put_bytes(out, &[EXTENDED, *id], payload),
            Self::Unknown(kind) => put_bare(out, *kind),
        }
    }
}

fn put_bare(out: &mut BytesMut, kind: u8) {
    out.extend_from_slice(&[0, 0, 0, 1, kind]);
}

fn put_index(out: &mut BytesMut, kind: u8, index: u32) {
    let mut bytes = [0, 0, 0, 5, kind, 0, 0, 0, 0];
    bytes[5..].copy_from_slice(&index.to_be_bytes());
    out.extend_from_slice(&bytes);
}

fn put_block(out: &mut BytesMut, kind: u8, block: &BlockRequest) {
    let mut bytes = [0; 17];
    bytes[3] = 13;
    bytes[4] = kind;
    bytes[5..9].copy_from_slice(&block.index.to_be_bytes());
    bytes[9..13].copy_from_slice(&block.begin.to_be_bytes());
    bytes[13..].copy_from_slice(&block.length.to_be_bytes());
    out.extend_from_slice(&bytes);
}

/// What precedes the payload of a block.
pub fn piece_header(block: &BlockRequest) -> [u8; PIECE_HEADER_LEN] {
    let mut bytes = [0; PIECE_HEADER_LEN];
    // What we send is at most REQUEST_LEN_MAX long, so nothing is lost by saturating.
    bytes[..4].copy_from_slice(&block.length.saturating_add(9).to_be_bytes());
    bytes[4] = PIECE;
    bytes[5..9].copy_from_slice(&block.index.to_be_bytes());
    bytes[9..].copy_from_slice(&block.begin.to_be_bytes());
    bytes
}

fn put_bytes(out: &mut BytesMut, head: &[u8], payload: &[u8]) {
    let len = u32::try_from(head.len() + payload.len()).expect("payloads are at most 1 MiB");
    out.reserve(4 + len as usize);
    out.put_u32(len);
    out.put_slice(head);
    out.put_slice(payload);
}

impl Handshake {
    /// The handshake as it goes over the wire.
    ///
    /// ```text
    /// 0   19, "BitTorrent protocol"
    /// 20  reserved
    /// 28  info hash
    /// 48  peer id
    /// ```
    pub fn encode(&self) -> [u8; HANDSHAKE_LEN] {
        let mut bytes = [0; HANDSHAKE_LEN];
        bytes[..20].copy_from_slice(PROTOCOL);
        bytes[20..28].copy_from_slice(&self.reserved.0);
        bytes[28..48].copy_from_slice(self.info_hash.as_bytes());
        bytes[48..].copy_from_slice(self.peer_id.as_bytes());
        bytes
    }

    /// Reads a handshake.
    ///
    /// # Errors
    /// If it does not begin with the name of the protocol.
    pub fn decode(bytes: &[u8; HANDSHAKE_LEN]) -> Result<Self, DecodeError> {
        if !bytes.starts_with(PROTOCOL) {
            return Err(DecodeError::NotAHandshake);
        }
        Ok(Self {
            reserved: Reserved(array_at(bytes, 20)),
            info_hash: InfoHash::new(array_at(bytes, 28)),
            peer_id: PeerId::new(array_at(bytes, 48)),
        })
    }
}

fn array_at<const N: usize>(bytes: &[u8; HANDSHAKE_LEN], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}

#[cfg(test)]
mod tests;
