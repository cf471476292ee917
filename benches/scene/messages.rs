//! What do the three kinds of messages that come in streams look like, for whoever measures what the
//! codec makes of them?

use std::hint::black_box;

use bytes::{Buf, BytesMut};

use swarm::layout::BLOCK_LEN;
use swarm::wire::{BlockRequest, Decoder, Message};

/// Messages of one refill: the most requests that are sent to a peer at a time.
pub(crate) const COUNT: u32 = 2_048;
const PIECE_COUNT: u32 = 2_000;

/// A kind of message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Request,
    Have,
    Piece,
}

impl Kind {
    /// The `i`th message of a stream of this kind.
    fn message(self, i: u32) -> Message {
        let block = BlockRequest {
            index: i / 64,
            begin: i % 64 * BLOCK_LEN,
            length: BLOCK_LEN,
        };
        match self {
            Self::Request => Message::Request(block),
            Self::Have => Message::Have(i % PIECE_COUNT),
            // The payload is skipped, so a short one does: a long one would measure the memory.
            Self::Piece => Message::Piece(BlockRequest {
                length: 16,
                ..block
            }),
        }
    }

    /// The messages of a stream.
    pub(crate) fn messages(self) -> Vec<Message> {
        (0..COUNT).map(|i| self.message(i)).collect()
    }

    /// The bytes of a stream, payloads included, and who takes them apart.
    pub(crate) fn stream(self) -> (Decoder, BytesMut) {
        let mut stream = BytesMut::new();
        for message in self.messages() {
            message.encode(&mut stream);
            if let Message::Piece(block) = message {
                stream.resize(stream.len() + block.length as usize, 0);
            }
        }
        (Decoder::new(PIECE_COUNT), stream)
    }
}

/// Room for the bytes of any stream, so that it need not grow.
pub(crate) fn room() -> BytesMut {
    BytesMut::with_capacity(64 << 10)
}

/// Appends all messages to `out`.
pub(crate) fn encode_all(messages: &[Message], out: &mut BytesMut) -> usize {
    for message in black_box(messages) {
        message.encode(out);
    }
    out.len()
}

/// Takes a whole stream apart.
pub(crate) fn decode_all(decoder: &mut Decoder, input: &mut BytesMut) -> u32 {
    let mut count = 0;
    while let Ok(Some(message)) = decoder.decode(input) {
        if let Message::Piece(block) = black_box(message) {
            // As a connection does, which reads the payload elsewhere: no byte is touched here.
            input.advance(block.length as usize);
        }
        count += 1;
    }
    assert_eq!(count, COUNT);
    count
}
