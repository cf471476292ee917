//! What peers say: one short method per message. A [`Violation`] ends the connection.

#![expect(clippy::cast_possible_truncation, reason = "pieces are counted in u32")]

use std::net::SocketAddr;

use super::Action;
use super::Torrent;
use super::event::{CloseReason, PeerKey, Placed, Received};
use super::partial::Arrival;
use super::peer::Opening;
use super::uploads::request_of;
use crate::bitfield::{Bitfield, Change};
use crate::layout::{Block, PieceIndex};
use crate::time::Time;
use crate::wire::extended::ExtendedHandshake;
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
        let addr = peer.addr;
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
                    {
                        self.keep(block, key, addr, now);
                    }
                }
                return;
            }
        }
        if blocks > 0 {
            if let Some(peer) = self.peers.find_mut(key) {
                peer.adapt_window(blocks, &self.config, now);
            }
            self.fill(key, now);
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
                self.peer_rejects(key, request);
            }
            Message::AllowedFast(index) => self.peer_allows(key, index, now)?,
            Message::Extended { id: 0, payload } => self.peer_introduces(key, &payload, now),
            Message::KeepAlive
            | Message::Port(_)
            | Message::Suggest(_)
            | Message::Unknown(_)
            | Message::Extended { .. } => {}
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
        // A peer that speaks Fast rejects each request by name (BEP 6).
        if !peer.reserved.fast() {
            self.release_all(key);
        }
    }

    fn peer_unchokes(&mut self, key: PeerKey, now: Time) {
        if let Some(peer) = self.peers.find_mut(key) {
            peer.peer_choking = false;
            peer.owes_since = now;
        }
        self.fill(key, now);
    }

    fn peer_interest(&mut self, key: PeerKey, interested: bool) {
        if let Some(peer) = self.peers.find_mut(key) {
            peer.peer_interested = interested;
            self.due.choking = true;
        }
    }

    fn peer_has(&mut self, key: PeerKey, index: u32, now: Time) -> Result<(), Violation> {
        let piece = self
            .content
            .layout
            .piece(index)
            .ok_or(Violation("no such piece"))?;
        let Some(peer) = self.peers.find_mut(key) else {
            return Ok(());
        };
        if peer.have.insert(piece) == Change::None {
            return Ok(());
        }
        if peer.is_seed() {
            // From the last piece on it counts with those that have everything.
            for index in (0..peer.have.len()).filter(|&other| other != index) {
                let other = self.content.layout.piece(index).expect("in range");
                self.availability.remove(other, &mut self.rng);
            }
            self.availability.add_seed();
            peer.upload_only = true;
            self.note_complete(key);
        } else {
            self.availability.add(piece, &mut self.rng);
        }
        if self.is_missing(piece) {
            let Some(peer) = self.peers.find_mut(key) else {
                return Ok(());
            };
            peer.interesting += 1;
            self.update_interest(key, now);
            self.fill(key, now);
        }
        self.part_if_both_complete(key, now);
        Ok(())
    }

    /// `Bitfield`: BEP 3 has it as the first word about pieces only, but aria2 also sends one where
    /// it would be shorter than the `have` messages that are due.
    fn peer_lists(&mut self, key: PeerKey, have: Bitfield, now: Time) -> Result<(), Violation> {
        let Some(peer) = self.peers.find(key) else {
            return Ok(());
        };
        if peer.opening != Opening::Over {
            return self.peer_opens(key, have, now);
        }
        let news: Vec<u32> = have.iter_difference(&peer.have).collect();
        news.into_iter()
            .try_for_each(|index| self.peer_has(key, index, now))
    }

    /// `Bitfield`, `HaveAll` or `HaveNone` as the first word about pieces.
    fn peer_opens(&mut self, key: PeerKey, have: Bitfield, now: Time) -> Result<(), Violation> {
        let Some(peer) = self.peers.find_mut(key) else {
            return Ok(());
        };
        if peer.opening == Opening::Over {
            return Err(Violation("a second or late word on all pieces"));
        }
        peer.opening = Opening::Over;
        let missing = have.iter_difference(&self.have);
        let layout = &self.content.layout;
        let wanted = |index: u32| {
            layout
                .piece(index)
                .is_some_and(|p| self.content.wanted.has(p))
        };
        peer.interesting = missing.filter(|&index| wanted(index)).count() as u32;
        peer.have = have;
        if peer.is_seed() {
            peer.upload_only = true;
            self.availability.add_seed();
        } else {
            for index in peer.have.iter_ones() {
                let piece = layout.piece(index).expect("the length was checked");
                self.availability.add(piece, &mut self.rng);
            }
        }
        self.note_complete(key);
        self.update_interest(key, now);
        self.part_if_both_complete(key, now);
        Ok(())
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
            peer.choked_requests += 1;
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
        peer.wants.push_back(block);
        self.due.uploads = true;
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
            // BEP 6: a cancelled request is still answered, by a reject.
            self.reject(key, block, now);
        }
    }

    fn peer_rejects(&mut self, key: PeerKey, request: BlockRequest) {
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
        if peer.unask(block) {
            peer.allowed_fast.retain(|&allowed| allowed != index);
            self.partial.release(block, key);
            self.due.requests = true;
        }
    }

    fn peer_allows(&mut self, key: PeerKey, index: u32, now: Time) -> Result<(), Violation> {
        self.fast_only(key)?;
        let Some(peer) = self.peers.find_mut(key) else {
            return Ok(());
        };
        let is_new = !peer.allowed_fast.contains(&index);
        if is_new && peer.allowed_fast.len() < ALLOWED_FAST_MAX {
            peer.allowed_fast.push(index);
            self.fill(key, now);
        }
        Ok(())
    }

    fn peer_introduces(&mut self, key: PeerKey, payload: &[u8], now: Time) {
        // A handshake that cannot be read is a poor client, not an attack: go on without it.
        let Ok(theirs) = ExtendedHandshake::decode(payload) else {
            return;
        };
        let Some(peer) = self.peers.find_mut(key) else {
            return;
        };
        if let Some(client) = theirs.v {
            peer.client = client;
        }
        peer.reqq = theirs.reqq.unwrap_or(peer.reqq).max(1);
        peer.upload_only |= theirs.upload_only;
        if let Some(port) = theirs.p {
            self.listens_at(key, port, now);
        }
        self.part_if_both_complete(key, now);
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
        peer.received += len;
        peer.down.add(len, now);
        peer.first_block.get_or_insert(now);
        peer.owes_since = now;
        peer.snubbing = false;
        if let Some(asked) = peer.probe.take() {
            let latency = now.since(asked);
            peer.latency = Some(peer.latency.map_or(latency, |least| least.min(latency)));
        }
        let (addr, is_seed) = (peer.addr, peer.is_seed());
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
            // Late duplicates are ours to answer for; blocks of pieces we never asked are not.
            let is_late = was_asked || self.have.has(block.piece()) || self.is_open(block.piece());
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
                self.actions.push_back(Action::Cancel {
                    peer: rival,
                    blocks: vec![block],
                });
            }
        }
    }

    fn is_open(&self, piece: PieceIndex) -> bool {
        self.partial.is_open(piece)
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
        let interested = peer.interesting > 0;
        if peer.am_interested != interested {
            peer.am_interested = interested;
            let message = if interested {
                Message::Interested
            } else {
                Message::NotInterested
            };
            self.send(key, message, now);
        }
    }
}
