//! A hash over everything that was delivered: two runs that agree in it were the same run.

use crate::time::Time;
use crate::torrent::Event;
use crate::torrent::event::Received;
use crate::wire::Message;

/// A running hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace(u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Trace {
    /// What it comes to so far.
    pub(super) const fn hash(self) -> u64 {
        self.0
    }

    /// An event is delivered to a node.
    pub(super) fn add(&mut self, now: Time, node: usize, event: &Event) {
        self.word(now.as_nanos());
        self.word(node as u64);
        match event {
            Event::Received { peer, messages } => {
                self.word(peer.0);
                for message in messages {
                    match message {
                        Received::Block { block, placed } => {
                            self.word(u64::from(block.piece().get()) << 32);
                            self.word(u64::from(block.begin()) << 1 | u64::from(*placed as u8));
                        }
                        Received::Message(Message::Have(index)) => self.word(u64::from(*index)),
                        Received::Message(Message::Request(request)) => {
                            self.word(u64::from(request.index) << 32 | u64::from(request.begin));
                        }
                        _ => self.word(1),
                    }
                }
            }
            Event::PieceVerified { piece, .. } => self.word(u64::from(piece.get())),
            Event::Connected { peer, .. } | Event::Closed { peer, .. } => self.word(peer.0),
            _ => self.word(2),
        }
    }

    /// One multiplication and one fold per word; the same on every machine.
    const fn word(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}
