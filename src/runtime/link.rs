//! What the driver and one connection task share: what to send, what to serve, what was asked for.
//!
//! Both run on the network thread; the cells are never borrowed across an await. It is a bounded
//! queue with the bytes already encoded: the driver adds and wakes, and never waits for the peer.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use tokio::sync::Notify;

use super::outbox::{Outbox, TooSlow};
use crate::layout::Block;
use crate::wire::{BlockRequest, Message};

/// Requests remembered per peer. Four times the largest window: what was cancelled stays until it
/// arrives or is rejected, and some peers do neither.
const REQUESTED_MAX: usize = 8_192;

/// The driver's end and the connection's end of one connection.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) outbox: RefCell<Outbox>,
    pub(super) requested: RefCell<Requested>,
    /// Blocks to be read and sent, in order.
    pub(super) to_serve: RefCell<VecDeque<Block>>,
    closed: Cell<bool>,
    wake: Notify,
}

impl Link {
    /// Queues a control message.
    pub(super) fn send(&self, message: &Message) -> Result<(), TooSlow> {
        self.wake.notify_one();
        self.outbox.borrow_mut().send(message)
    }

    /// Asks for blocks; from here on the connection accepts them.
    pub(super) fn request(&self, blocks: &[Block]) -> Result<(), TooSlow> {
        self.requested.borrow_mut().extend(blocks);
        self.wake.notify_one();
        self.outbox.borrow_mut().request(blocks)
    }

    /// Takes requests back. Blocks that arrive all the same are still accepted.
    pub(super) fn cancel(&self, blocks: &[Block]) -> Result<(), TooSlow> {
        self.wake.notify_one();
        self.outbox.borrow_mut().cancel(blocks)
    }

    /// Queues blocks to be read and sent.
    pub(super) fn serve(&self, blocks: Vec<Block>) {
        self.to_serve.borrow_mut().extend(blocks);
        self.wake.notify_one();
    }

    /// Ends the connection.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.wake.notify_one();
    }

    /// Whether the driver ended the connection.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Waits until the driver did anything of the above.
    pub(super) async fn changed(&self) {
        self.wake.notified().await;
    }
}

/// Blocks asked for and not yet received, oldest first: most answers come in order, so the search
/// ends at once.
#[derive(Debug, Default)]
pub(super) struct Requested {
    blocks: VecDeque<Block>,
}

impl Requested {
    fn extend(&mut self, blocks: &[Block]) {
        self.blocks.extend(blocks);
        let surplus = self.blocks.len().saturating_sub(REQUESTED_MAX);
        self.blocks.drain(..surplus);
    }

    /// Whether nothing is owed.
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Takes out the block with these coordinates, if it was asked for.
    pub(super) fn remove(&mut self, wanted: BlockRequest) -> Option<Block> {
        let matches = |block: &Block| {
            block.begin() == wanted.begin
                && block.piece().get() == wanted.index
                && block.len() == wanted.length
        };
        let position = self.blocks.iter().position(matches)?;
        self.blocks.remove(position)
    }

    /// Forgets everything: a peer without the Fast extension that chokes drops every request.
    pub(super) fn clear(&mut self) {
        self.blocks.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::outbox::on_wire;
    use super::*;
    use crate::layout::Layout;

    #[test]
    fn a_block_is_accepted_once_for_each_request() {
        let layout = Layout::new(1 << 20, 1 << 18).unwrap();
        let blocks: Vec<Block> = layout.pieces().flat_map(|p| layout.blocks(p)).collect();
        let link = Link::default();
        link.request(&blocks).unwrap();
        let mut requested = link.requested.borrow_mut();
        for &block in blocks.iter().rev() {
            assert_eq!(requested.remove(on_wire(block)), Some(block));
            assert_eq!(requested.remove(on_wire(block)), None);
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let layout = Layout::new(1 << 30, 1 << 28).unwrap();
        let mut requested = Requested::default();
        for piece in layout.pieces() {
            let blocks: Vec<Block> = layout.blocks(piece).collect();
            requested.extend(&blocks);
        }
        assert_eq!(requested.blocks.len(), REQUESTED_MAX);
    }
}
