//! What arrives on one connection: a byte stream becomes messages for the core, and payload goes
//! into piece buffers.
//!
//! No socket here: bytes come in as they were read. A payload is stored only if this connection
//! was asked for that block and nobody else has filled it or begun it later.

use bytes::{Buf, BytesMut};

use super::buffers::{Claim, PieceBuffers};
use super::link::Link;
use crate::layout::{Block, Layout};
use crate::torrent::event::{PeerKey, Placed, Received};
use crate::wire::{BlockRequest, DecodeError, Decoder, Message, Reserved};

/// The receiving half of one connection.
#[derive(Debug)]
pub(super) struct Receiver {
    decoder: Decoder,
    layout: Layout,
    peer: PeerKey,
    fast: bool,
    payload: Option<Payload>,
}

/// The block whose payload is arriving.
#[derive(Debug)]
struct Payload {
    target: Target,
    len: usize,
    received: usize,
}

#[derive(Debug)]
enum Target {
    /// Into its piece buffer.
    Buffer(Claim),
    /// Nowhere: a block that nobody needs from this peer.
    Discard(Block),
    /// Nowhere: not a block of this content.
    Stray(u32),
}

impl Receiver {
    /// At the first byte after the handshake of `peer`, which speaks `theirs`.
    pub(super) fn new(layout: Layout, peer: PeerKey, theirs: Reserved) -> Self {
        Self {
            decoder: Decoder::new(layout.piece_count()),
            layout,
            peer,
            fast: theirs.fast(),
            payload: None,
        }
    }

    /// Takes every whole message and all payload off `input`, appending to `out`; what stays in
    /// `input` is the beginning of a message.
    ///
    /// # Errors
    /// If the bytes are no messages. `out` holds what came before.
    pub(super) fn receive(
        &mut self,
        input: &mut BytesMut,
        buffers: &mut PieceBuffers,
        link: &Link,
        out: &mut Vec<Received>,
    ) -> Result<(), DecodeError> {
        loop {
            if let Some(payload) = &mut self.payload {
                payload.take(input, buffers);
                if payload.received < payload.len {
                    return Ok(());
                }
                out.push(payload.finish(buffers, self.peer));
                self.payload = None;
            }
            match self.decoder.decode(input)? {
                None => return Ok(()),
                Some(Message::Piece(named)) => {
                    self.payload = Some(Payload {
                        target: self.target(named, buffers, link),
                        len: named.length as usize,
                        received: 0,
                    });
                }
                Some(message) => {
                    self.note(&message, link);
                    out.push(Received::Message(message));
                }
            }
        }
    }

    /// Gives back the block that was arriving when the connection ended.
    pub(super) fn abandon(&mut self, buffers: &mut PieceBuffers) {
        if let Some(Payload {
            target: Target::Buffer(claim),
            ..
        }) = self.payload.take()
        {
            buffers.release(&claim);
        }
    }

    fn target(&self, named: BlockRequest, buffers: &mut PieceBuffers, link: &Link) -> Target {
        let Some(block) = self.block(named) else {
            return Target::Stray(named.length);
        };
        let was_asked = link.requested.borrow_mut().remove(block);
        let claim = was_asked.then(|| buffers.claim(block)).flatten();
        claim.map_or(Target::Discard(block), Target::Buffer)
    }

    fn block(&self, named: BlockRequest) -> Option<Block> {
        self.layout.block(named.index, named.begin, named.length)
    }

    /// Forgets requests that the peer just said it will not answer.
    fn note(&self, message: &Message, link: &Link) {
        match message {
            Message::Choke if !self.fast => link.requested.borrow_mut().clear(),
            Message::Reject(named) => {
                if let Some(block) = self.block(*named) {
                    link.requested.borrow_mut().remove(block);
                }
            }
            _ => {}
        }
    }
}

impl Payload {
    fn take(&mut self, input: &mut BytesMut, buffers: &mut PieceBuffers) {
        let count = input.len().min(self.len - self.received);
        if let Target::Buffer(claim) = &self.target {
            buffers.write(claim, self.received, &input[..count]);
        }
        input.advance(count);
        self.received += count;
    }

    fn finish(&self, buffers: &mut PieceBuffers, peer: PeerKey) -> Received {
        match &self.target {
            Target::Buffer(claim) => Received::Block {
                block: claim.block(),
                placed: buffers.fill(claim, peer),
            },
            Target::Discard(block) => Received::Block {
                block: *block,
                placed: Placed::Discarded,
            },
            Target::Stray(len) => Received::Stray { len: *len },
        }
    }
}

#[cfg(test)]
mod tests;
