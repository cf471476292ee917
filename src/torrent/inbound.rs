//! What peers say: one short method per message. A [`Violation`] ends the connection.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::Action;
use super::Torrent;
use super::event::{CloseReason, PeerKey, Placed, Received};
use super::partial::Arrival;
use super::peer::Opening;
use super::uploads::request_of;
use crate::bitfield::Bitfield;
use crate::layout::{Block, PieceIndex};
use crate::time::Time;
use crate::wire::{BlockRequest, Message};

/// Payload that nobody asked for before the connection is closed.
const UNASKED_BYTES_MAX: u32 = 64 * 1024;
/// Requests made while choked before the connection is closed.
const CHOKED_REQUESTS_MAX: u32 = 300;
/// Pieces that a peer may allow us while it chokes us (BEP 6 proposes 10).
const ALLOWED_FAST_MAX: usize = 32;

/// Legal bytes, illegal act.
pub(super) struct Violation(pub(super) &'static str);

impl Torrent {
    /// One read of a connection.
    pub(super) fn received(&mut self, key: PeerKey, messages: Vec<Received>, now: Time) {
        let Some(peer) = self.peers.find_mut(key) else {
            return;
        };
        peer.heard = now;
        // Only asked for if something may be left when the connection is gone.
        let addr = (messages.len() > 1).then_some(peer.addr);
        let mut blocks = 0;
        let mut messages = messages.into_iter();
        while let Some(message) = messages.next() {
            let result = match message {
                Received::Message(message) => self.message(key, message, now),
                Received::Block { block, placed } => {
                    blocks += 1;
                    self.block(key, block, placed, now)
                }
                Received::Stray { len } => self.stray(key, len),
            };
            if let Err(Violation(what)) = result {
                self.disconnect(key, CloseReason::Violation(what), now);
            }
            if self.peers.find(key).is_none() {
                // What it sent in the same breath lies in buffers all the same.
                for message in messages {
                    if let Received::Block { block, placed } = message
                        && placed == Placed::Stored
                        && let Some(addr) = addr
                    {
                        self.keep(block, key, addr, now);
                    }
                }
                return;
            }
        }
        self.suggest(key, now);
        if let Some(peer) = self.peers.find_mut(key) {
            if blocks > 0 {
                peer.adapt_window(blocks, &self.config, now);
            }
            if std::mem::take(&mut peer.refill) || blocks > 0 {
                self.fill(key, now);
            }
        }
    }

    fn message(&mut self, key: PeerKey, message: Message, now: Time) -> Result<(), Violation> {
        let is_opening = matches!(
            message,
            Message::Bitfield(_) | Message::HaveAll | Message::HaveNone
        );
        if !is_opening
            && !matches!(message, Message::KeepAlive | Message::Extended { .. })
            && let Some(peer) = self.peers.find_mut(key)
        {
            peer.opening = Opening::Over;
        }
        match message {
            Message::Choke => self.peer_chokes(key),
            Message::Unchoke => self.peer_unchokes(key, now),
            Message::Interested => self.peer_interest(key, true),
            Message::NotInterested => self.peer_interest(key, false),
            Message::Have(index) => self.peer_has(key, index, now)?,
            Message::Bitfield(bytes) => {
                let count = self.content.layout.piece_count();
                let have = Bitfield::from_bytes(&bytes, count)
                    .map_err(|_| Violation("a bitfield of the wrong length or with spare bits"))?;
                self.peer_lists(key, have, now)?;
            }
            Message::HaveAll => {
                self.fast_only(key)?;
                self.peer_opens(key, Bitfield::full(self.content.layout.piece_count()), now)?;
            }
            Message::HaveNone => {
                self.fast_only(key)?;
                self.peer_opens(key, Bitfield::empty(self.content.layout.piece_count()), now)?;
            }
            Message::Request(request) => self.peer_requests(key, request, now)?,
            Message::Cancel(request) => self.peer_cancels(key, request, now),
            Message::Reject(request) => {
                self.fast_only(key)?;
                self.peer_rejects(key, request, now);
            }
            Message::Suggest(index) => {
                self.fast_only(key)?;
                self.peer_suggests(key, index, now);
            }
            Message::AllowedFast(index) => self.peer_allows(key, index)?,
            Message::Extended { id, payload } => self.peer_extends(key, (id, &payload), now)?,
            Message::KeepAlive | Message::Port(_) | Message::Unknown(_) => {}
            Message::Piece(_) => return Err(Violation("a piece header without its payload")),
        }
        Ok(())
    }

    fn fast_only(&self, key: PeerKey) -> Result<(), Violation> {
        let speaks = self
            .peers
            .find(key)
            .is_some_and(|peer| peer.reserved.fast());
        if speaks {
            Ok(())
        } else {
            Err(Violation("a Fast message without the Fast extension"))
        }
    }

    fn peer_chokes(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.find_mut(key) else {
            return;
        };
        peer.peer_choking = true;
        // Meanwhile it gives that to others.
        peer.suggests.clear();
        if peer.allowed_fast.is_empty() {
            self.peers.must_not_ask(key);
        }
        self.partial.end_solo(key);
        // A peer that speaks Fast rejects each request by name (BEP 6).
        if self
            .peers
            .find(key)
            .is_some_and(|peer| !peer.reserved.fast())
        {
            self.release_all(key);
        }
    }

    fn peer_unchokes(&mut self, key: PeerKey, now: Time) {
        if let Some(peer) = self.peers.find_mut(key)
            && std::mem::take(&mut peer.peer_choking)
        {
            peer.owes_since = now;
            peer.refill = true;
            self.peers.may_ask(key);
        }
    }

    fn peer_interest(&mut self, key: PeerKey, interested: bool) {
        if let Some(peer) = self.peers.find_mut(key) {
            peer.peer_interested = interested;
            // A slot to fill, or one to free; nobody else's changes before the next round.
            let is_served = !peer.am_choking;
            let has_room = self.peers.unchoked_count() < self.choker.slots();
            self.due.choking |= if interested { has_room } else { is_served };
        }
    }

    /// Cancels blocks that are off the peer's list already, and frees them for others.
    pub(super) fn withdraw(&mut self, key: PeerKey, blocks: VecDeque<Block>, now: Time) {
        let Some(peer) = self.peers.find_mut(key) else {
            return;
        };
        if blocks.is_empty() {
            return;
        }
        peer.spoke = now;
        peer.note_cancelled(&blocks, now);
        for &block in &blocks {
            self.partial.release(block, key);
        }
        self.due.requests = true;
        let blocks = blocks.into();
        self.actions.push_back(Action::Cancel { peer: key, blocks });
    }

    fn peer_requests(
        &mut self,
        key: PeerKey,
        request: BlockRequest,
        now: Time,
    ) -> Result<(), Violation> {
        let block = self
            .content
            .layout
            .block(request.index, request.begin, request.length)
            .ok_or(Violation("a request outside of the content"))?;
        let has_piece = self.have.has(block.piece());
        let Some(peer) = self.peers.find_mut(key) else {
            return Ok(());
        };
        if peer.am_choking {
            if peer.declined == Some(peer.choke_changed) && now < peer.crossing_until {
                peer.declined = None;
                self.choker.be_patient();
            }
            // Those that crossed our choke on the way are no offence.
            peer.choked_requests += u32::from(now >= peer.crossing_until);
            if peer.choked_requests > CHOKED_REQUESTS_MAX {
                return Err(Violation("too many requests while choked"));
            }
            self.reject(key, block, now);
            return Ok(());
        }
        if !has_piece || peer.wants.len() >= self.config.upload_queue_max {
            self.reject(key, block, now);
            return Ok(());
        }
        if peer.wants.is_empty() {
            peer.waits_since = now;
        }
        peer.wants.push_back(block);
        peer.idle_since = None;
        self.due.uploads = true;
        self.note_asked(key, block.piece());
        Ok(())
    }

    fn peer_cancels(&mut self, key: PeerKey, request: BlockRequest, now: Time) {
        let Some(peer) = self.peers.find_mut(key) else {
            return;
        };
        let place = peer
            .wants
            .iter()
            .position(|&block| request_of(block) == request);
        if let Some(block) = place.and_then(|place| peer.wants.remove(place)) {
            if peer.serving == 0 && peer.wants.is_empty() {
                peer.idle_since = Some(now);
            }
            // BEP 6: a cancelled request is still answered, by a reject.
            self.reject(key, block, now);
        }
    }

    fn peer_rejects(&mut self, key: PeerKey, request: BlockRequest, now: Time) {
        let BlockRequest {
            index,
            begin,
            length,
        } = request;
        let Some(block) = self.content.layout.block(index, begin, length) else {
            return;
        };
        let Some(peer) = self.peers.find_mut(key) else {
            return;
        };
        if peer.answers_cancel(block, now) && !peer.peer_choking {
            // What it was asked for again meanwhile it still owes.
            return;
        }
        if peer.unask(block) {
            peer.allowed_fast.retain(|&allowed| allowed != index);
            let is_refusal = !peer.peer_choking;
            self.partial.release(block, key);
            self.due.requests = true;
            if is_refusal {
                self.peer_refuses(key, block.piece(), now);
            }
        }
    }

    fn peer_allows(&mut self, key: PeerKey, index: u32) -> Result<(), Violation> {
        self.fast_only(key)?;
        let Some(peer) = self.peers.find_mut(key) else {
            return Ok(());
        };
        let is_new = !peer.allowed_fast.contains(&index);
        if is_new && peer.allowed_fast.len() < ALLOWED_FAST_MAX {
            peer.allowed_fast.push(index);
            peer.refill = true;
            self.peers.may_ask(key);
        }
        Ok(())
    }

    fn block(
        &mut self,
        key: PeerKey,
        block: Block,
        placed: Placed,
        now: Time,
    ) -> Result<(), Violation> {
        let Some(peer) = self.peers.find_mut(key) else {
            return Ok(());
        };
        let len = u64::from(block.len());
        let was_asked = peer.unask(block);
        peer.answers_cancel(block, now);
        peer.received += len;
        // Only what was asked for earns a slot.
        if was_asked || placed == Placed::Stored {
            peer.note_block(len, now);
        }
        // Where it listens says which machine it is; the port that it connected from does not.
        let addr = peer.listen_addr.unwrap_or(peer.addr);
        let is_seed = peer.is_seed();
        self.totals.received += len;
        self.totals.received_from_seeds += if is_seed { len } else { 0 };
        self.totals.down.add(len, now);
        self.totals.moved = now;
        if placed == Placed::Discarded {
            self.totals.wasted += len;
            if was_asked {
                self.partial.release(block, key);
                self.due.requests = true;
            }
            // What we took back too late is ours to answer for, what was never asked for is not.
            let Some(peer) = self.peers.find_mut(key) else {
                return Ok(());
            };
            let is_late = was_asked || peer.excused >= block.len();
            if !was_asked && is_late {
                peer.excused -= block.len();
            }
            return if is_late {
                Ok(())
            } else {
                self.stray(key, block.len())
            };
        }
        self.keep(block, key, addr, now);
        Ok(())
    }

    /// A block is in its buffer.
    fn keep(&mut self, block: Block, key: PeerKey, addr: SocketAddr, now: Time) {
        match self.partial.receive(block, key, addr) {
            Arrival::Useless => self.totals.wasted += u64::from(block.len()),
            Arrival::Fresh { rivals, completes } => {
                self.cancel(block, &rivals, now);
                if completes {
                    self.partial.start_verifying(block.piece());
                    self.actions.push_back(Action::Verify {
                        piece: block.piece(),
                    });
                }
            }
        }
    }

    fn stray(&mut self, key: PeerKey, len: u32) -> Result<(), Violation> {
        let Some(peer) = self.peers.find_mut(key) else {
            return Ok(());
        };
        peer.unasked_bytes = peer.unasked_bytes.saturating_add(len);
        if peer.unasked_bytes > UNASKED_BYTES_MAX {
            return Err(Violation("too much payload that nobody asked for"));
        }
        Ok(())
    }

    fn cancel(&mut self, block: Block, rivals: &[PeerKey], now: Time) {
        for &rival in rivals {
            let Some(peer) = self.peers.find_mut(rival) else {
                continue;
            };
            if peer.unask(block) {
                peer.spoke = now;
                peer.note_cancelled([&block], now);
                self.actions.push_back(Action::Cancel {
                    peer: rival,
                    blocks: vec![block],
                });
            }
        }
    }

    /// Whether we want the piece and do not have it.
    pub(super) fn is_missing(&self, piece: PieceIndex) -> bool {
        self.content.wanted.has(piece) && !self.have.has(piece)
    }

    /// Tells the peer whether it has anything for us, if that changed.
    pub(super) fn update_interest(&mut self, key: PeerKey, now: Time) {
        let Some(peer) = self.peers.find_mut(key) else {
            return;
        };
        if let Some(message) = peer.change_of_interest() {
            self.send(key, message, now);
        }
    }
}
