//! What the driver and one connection task share: what to send, what to serve, what was asked for.
//!
//! Both run on the network thread; the cells are never borrowed across an await. It is a bounded
//! queue with the bytes already encoded: the driver adds and wakes, and never waits for the peer.

use std::cell::RefCell;
use std::collections::VecDeque;

use hashlink::LinkedHashMap;
use tokio::sync::Notify;

use super::outbox::{Outbox, TooSlow};
use crate::layout::Block;
use crate::torrent::event::CloseReason;
use crate::wire::Message;

/// Different blocks remembered per peer. Four times the largest window: what was cancelled stays until it
/// arrives or is rejected, and some peers do neither.
const REQUESTED_MAX: usize = 8_192;

/// The driver's end and the connection's end of one connection.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) outbox: RefCell<Outbox>,
    pub(super) requested: RefCell<Requested>,
    /// Blocks to be read and sent, in order.
    pub(super) to_serve: RefCell<VecDeque<Block>>,
    /// Pieces of the metadata to be sent, each under the id that the peer wants; the core limits
    /// how many one peer may have.
    pub(super) to_tell: RefCell<VecDeque<(u8, u32)>>,
    /// Why the driver ended the connection.
    closed: RefCell<Option<CloseReason>>,
    wake: Notify,
}

impl Link {
    /// Queues a control message.
    pub(super) fn send(&self, message: &Message) -> Result<(), TooSlow> {
        self.wake.notify_one();
        self.outbox.borrow_mut().send(message)
    }

    /// Queues a message that nobody waits for.
    pub(super) fn send_later(&self, message: &Message) -> Result<(), TooSlow> {
        self.wake.notify_one();
        self.outbox.borrow_mut().send_later(message)
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

    /// Queues a piece of the metadata to be sent.
    pub(super) fn give_metadata(&self, id: u8, piece: u32) {
        self.to_tell.borrow_mut().push_back((id, piece));
        self.wake.notify_one();
    }

    /// Ends the connection.
    pub(super) fn close(&self, reason: CloseReason) {
        *self.closed.borrow_mut() = Some(reason);
        self.wake.notify_one();
    }

    /// Whether the driver ended the connection.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.borrow().is_some()
    }

    /// Whether the driver ended the connection for want of room: there may be some later.
    pub(super) fn is_refused(&self) -> bool {
        *self.closed.borrow() == Some(CloseReason::TooMany)
    }

    /// Waits until the driver did anything of the above.
    pub(super) async fn changed(&self) {
        self.wake.notified().await;
    }
}

/// Blocks asked for and not yet received, as often as they were asked for.
///
/// Looked up by block, because peers choose which: a search through all of them for every `reject`
/// of a flood would hold up everybody else. In the order in which they were first asked for, so
/// that the oldest can be forgotten.
#[derive(Debug, Default)]
pub(super) struct Requested {
    times: LinkedHashMap<Block, u32>,
}

impl Requested {
    fn extend(&mut self, blocks: &[Block]) {
        for &block in blocks {
            *self.times.entry(block).or_insert(0) += 1;
        }
        while self.times.len() > REQUESTED_MAX {
            self.times.pop_front();
        }
    }

    /// Whether nothing is owed.
    pub(super) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Takes out one request for the block; `false` if there is none.
    pub(super) fn remove(&mut self, block: Block) -> bool {
        let Some(times) = self.times.get_mut(&block) else {
            return false;
        };
        *times -= 1;
        if *times == 0 {
            self.times.remove(&block);
        }
        true
    }

    /// Forgets everything: a peer without the Fast extension that chokes drops every request.
    pub(super) fn clear(&mut self) {
        self.times.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
            assert!(requested.remove(block));
            assert!(!requested.remove(block));
        }
    }

    #[test]
    fn a_flood_of_rejects_costs_little() {
        let layout = Layout::new(1 << 30, 1 << 28).unwrap();
        let mut requested = Requested::default();
        let blocks: Vec<Block> = layout.pieces().flat_map(|p| layout.blocks(p)).collect();
        let (asked, others) = blocks.split_at(REQUESTED_MAX);
        requested.extend(asked);
        // As many as some hundred reads hold; searching all of them each time took 25 s.
        let many = others.iter().cycle().take(2_000_000);
        let (reply, done) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for &block in many {
                    assert!(!requested.remove(block));
                }
                reply.send(()).unwrap();
            });
            assert!(done.recv_timeout(Duration::from_secs(4)).is_ok());
        });
    }

    #[test]
    fn a_block_asked_for_again_is_accepted_after_its_first_request_is_rejected() {
        let layout = Layout::new(1 << 20, 1 << 18).unwrap();
        let block = layout
            .pieces()
            .flat_map(|p| layout.blocks(p))
            .next()
            .unwrap();
        let mut requested = Requested::default();
        requested.extend(&[block]);
        requested.extend(&[block]);
        assert!(requested.remove(block));
        assert!(requested.remove(block));
        assert!(!requested.remove(block));
        assert!(requested.is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let layout = Layout::new(1 << 30, 1 << 28).unwrap();
        let mut requested = Requested::default();
        // Descending, so that age and place differ.
        let blocks: Vec<Block> = layout.pieces().flat_map(|p| layout.blocks(p)).collect();
        for block in blocks.iter().rev() {
            requested.extend(&[*block]);
        }
        assert_eq!(requested.times.len(), REQUESTED_MAX);
        let (newest, older) = blocks.split_at(REQUESTED_MAX);
        assert!(!older.iter().any(|&block| requested.remove(block)));
        assert!(newest.iter().all(|&block| requested.remove(block)));
        assert!(requested.is_empty());
    }
}
