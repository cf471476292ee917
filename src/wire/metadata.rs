//! Metadata exchange (BEP 9): the `info` dictionary of a manifest, in pieces of 16 KiB.
//!
//! A bencoded dictionary says what a message is; in a `data` message the bytes follow it. Whether a
//! piece exists, and whether its bytes are true, is for others to judge.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use super::codec::EXTENDED_LEN_MAX;
use crate::bencode::{self, BencodeError, Document, Limits, Value};

/// What the extension calls itself in a handshake (BEP 10 `m`).
pub const NAME: &str = "ut_metadata";

/// The id under which we want to be sent its messages. Chosen: any but 0 would do.
pub const OUR_ID: u8 = 1;

/// Length of every piece of the metadata but the last, in bytes (BEP 9).
pub const PIECE_LEN: u32 = 16 << 10;

/// The longest metadata, in bytes: that of the longest manifest. Others: 30 to 32 MiB.
pub const METADATA_LEN_MAX: u32 = 32 << 20;

/// The dictionary of a message has three small numbers; the input is all of the message.
const MESSAGE: Limits = Limits {
    input: EXTENDED_LEN_MAX as usize,
    depth: 4,
    tokens: 32,
};

/// One message of the extension (BEP 9, "extension message").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataMessage {
    /// Asks for a piece.
    Request {
        /// Its number.
        piece: u32,
    },
    /// A piece.
    Data {
        /// Its number.
        piece: u32,
        /// Length of the whole metadata in bytes, where it is said.
        total_len: Option<u64>,
        /// The piece itself.
        bytes: Bytes,
    },
    /// A piece will not be sent.
    Reject {
        /// Its number.
        piece: u32,
    },
}

/// The payload is no message of the extension.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// It does not begin with bencode.
    #[error("metadata message {0}")]
    Bencode(#[from] BencodeError),
    /// A number is missing or out of range.
    #[error("metadata message without a usable: {0}")]
    Field(&'static str),
}

impl MetadataMessage {
    /// Reads the payload of an extended message; `None` if it is of a kind that is to be ignored.
    ///
    /// # Errors
    /// If it does not begin with a dictionary that names a kind and a piece.
    pub fn decode(payload: &Bytes) -> Result<Option<Self>, MetadataError> {
        let document = Document::scan_prefix(payload, &MESSAGE)?;
        let root = document.root();
        let number = |key| root.get(key).and_then(Value::uint);
        let kind = number(b"msg_type").ok_or(MetadataError::Field("msg_type"))?;
        let piece = number(b"piece").and_then(|piece| u32::try_from(piece).ok());
        let piece = piece.ok_or(MetadataError::Field("piece"))?;
        Ok(match kind {
            0 => Some(Self::Request { piece }),
            1 => Some(Self::Data {
                piece,
                total_len: number(b"total_size"),
                bytes: payload.slice(document.len()..),
            }),
            2 => Some(Self::Reject { piece }),
            _ => None,
        })
    }

    /// The payload of an extended message.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Request { piece } => dictionary(0, *piece, None).into(),
            Self::Data {
                piece,
                total_len,
                bytes,
            } => {
                let head = dictionary(1, *piece, *total_len);
                let mut payload = BytesMut::with_capacity(head.len() + bytes.len());
                payload.put_slice(&head);
                payload.put_slice(bytes);
                payload.freeze()
            }
            Self::Reject { piece } => dictionary(2, *piece, None).into(),
        }
    }
}

/// How many pieces metadata of `len` bytes has.
pub const fn piece_count(len: u32) -> u32 {
    len.div_ceil(PIECE_LEN)
}

/// Where a piece stands in metadata of `len` bytes; `None` if there is no such piece.
pub fn piece_range(piece: u32, len: u32) -> Option<Range<usize>> {
    let start = piece.checked_mul(PIECE_LEN).filter(|&start| start < len)?;
    let end = (start + PIECE_LEN).min(len);
    Some(start as usize..end as usize)
}

fn dictionary(kind: i64, piece: u32, total_len: Option<u64>) -> Vec<u8> {
    let mut out = vec![b'd'];
    let mut put = |key: &str, number: i64| {
        bencode::put_bytes(&mut out, key.as_bytes());
        bencode::put_int(&mut out, number);
    };
    // Keys in the order of their bytes, as bencode wants them.
    put("msg_type", kind);
    put("piece", i64::from(piece));
    if let Some(len) = total_len.and_then(|len| i64::try_from(len).ok()) {
        put("total_size", len);
    }
    out.push(b'e');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn messages() -> impl Strategy<Value = MetadataMessage> {
        let data = (
            any::<u32>(),
            prop::option::of(0..1u64 << 40),
            any::<Vec<u8>>(),
        );
        prop_oneof![
            any::<u32>().prop_map(|piece| MetadataMessage::Request { piece }),
            any::<u32>().prop_map(|piece| MetadataMessage::Reject { piece }),
            data.prop_map(|(piece, total_len, bytes)| MetadataMessage::Data {
                piece,
                total_len,
                bytes: bytes.into(),
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_message_round_trips(message in messages()) {
            prop_assert_eq!(MetadataMessage::decode(&message.encode()), Ok(Some(message)));
        }

        #[test]
        fn no_payload_panics(payload: Vec<u8>) {
            let _verdict = MetadataMessage::decode(&payload.into());
        }
    }

    #[test]
    fn messages_are_those_of_the_specification() {
        let request = Bytes::from_static(b"d8:msg_typei0e5:piecei0ee");
        let read = MetadataMessage::decode(&request);
        assert_eq!(read, Ok(Some(MetadataMessage::Request { piece: 0 })));
        let data = Bytes::from_static(b"d8:msg_typei1e5:piecei0e10:total_sizei34256eexxxx");
        let want = MetadataMessage::Data {
            piece: 0,
            total_len: Some(34_256),
            bytes: Bytes::from_static(b"xxxx"),
        };
        assert_eq!(want.encode(), data);
        assert_eq!(MetadataMessage::decode(&data), Ok(Some(want)));
    }

    #[test]
    fn what_is_unknown_is_ignored_and_what_is_no_message_an_error() {
        let read = |text: &'static str| MetadataMessage::decode(&Bytes::from(text));
        assert_eq!(read("d8:msg_typei7e5:piecei0ee"), Ok(None));
        for bad in ["", "le", "d5:piecei0ee", "d8:msg_typei0e5:piecei-1ee"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_last_piece_is_as_long_as_what_is_left() {
        assert_eq!(piece_count(PIECE_LEN), 1);
        assert_eq!(piece_count(PIECE_LEN + 1), 2);
        assert_eq!(piece_range(1, PIECE_LEN + 1), Some(16_384..16_385));
        assert_eq!(piece_range(1, PIECE_LEN), None);
        assert_eq!(piece_range(u32::MAX, u32::MAX), None);
    }
}
