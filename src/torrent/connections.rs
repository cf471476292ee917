//! Connections come and go: dials, duplicates, bans, and who is unchoked.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::choker::{Candidate, Side};
use super::dialer::Teller;
use super::event::{Action, CloseReason, Direction, Notice, PeerKey, PeerSource};
use super::peer::{Opening, Peer};
use super::{Phase, Torrent};
use crate::bitfield::Bitfield;
use crate::ids::PeerId;
use crate::time::Time;
use crate::wire::{Handshake, Message};

/// How long after our choke a peer's requests may still be those from before it. Chosen: several
/// round trips of any link.
const CROSSING: Duration = Duration::from_secs(5);

/// A peer that asked for nothing while it had a slot comes behind others for this long.
const DECLINED_FOR: Duration = Duration::from_secs(1);

/// Who has less than this part of the pieces is a newcomer.
const NEWCOMER_SHARE: u32 = 20;

/// Slots of a newcomer, at least: the fewer share its uplink, the sooner the first of them can pass on
/// what it got.
const NEWCOMER_SLOTS: u64 = 3;

/// A newcomer has as many slots as get a piece each in this time: until a peer asks for the next one, a
/// round trip passes. 60 ms and 300 ms are worse by 1 to 6 % for fast uplinks (`swarm sim`).
const NEWCOMER_TURNS: Duration = Duration::from_millis(150);

/// A web seed is asked for so many times as much as a peer at first: each request costs it a
/// connection.
const WEB_SEED_WINDOW: u32 = 16;

/// Peer ids remembered as having been complete. Chosen: more than any fleet of the target size.
pub(super) const SEEN_MAX: usize = 100_000;

impl Torrent {
    /// Addresses were named by somebody.
    pub(super) fn peers_found(&mut self, teller: Teller, addrs: &[SocketAddr], now: Time) {
        self.dialer.add(teller, addrs, now);
        self.due.dials = true;
    }

    /// A dial failed.
    pub(super) fn connect_failed(&mut self, addr: SocketAddr, now: Time) {
        self.dialer.failed(addr, now, &mut self.rng);
        self.due.dials = true;
    }

    /// A connection is up.
    pub(super) fn connected(
        &mut self,
        key: PeerKey,
        addr: SocketAddr,
        (direction, theirs): (Direction, Handshake),
        now: Time,
    ) {
        let mut peer = Peer::new(
            addr,
            direction,
            theirs,
            self.content.layout.piece_count(),
            now,
        );
        peer.window = self.config.window_start;
        if direction == Direction::Outgoing {
            peer.source = self.dialer.source_of(addr).unwrap_or(PeerSource::Manual);
            self.dialer.connected(addr, now);
        }
        if direction == Direction::WebSeed {
            peer.source = PeerSource::WebSeed;
            peer.window *= WEB_SEED_WINDOW;
        }
        let source = peer.source;
        self.peers.insert(key, peer);
        if let Some(reason) = self.refusal(key, direction, theirs.peer_id, now) {
            self.disconnect(key, reason, now);
            return;
        }
        self.greet(key, now);
        self.actions
            .push_back(Action::Notify(Notice::PeerConnected {
                addr,
                direction,
                source,
            }));
    }

    /// The driver says that a connection is gone.
    pub(super) fn closed(&mut self, key: PeerKey, reason: CloseReason, now: Time) {
        self.release_all(key);
        self.take_suggestions_back(key);
        let Some(peer) = self.peers.remove(key) else {
            return;
        };
        self.unspread(&peer);
        if peer.is_seed() {
            self.availability.remove_seed();
        } else {
            for index in peer.have.iter_ones() {
                let piece = self
                    .content
                    .layout
                    .piece(index)
                    .expect("peers' bits are in range");
                self.availability.remove(piece, &mut self.rng);
            }
        }
        self.due.choking = true;
        self.due.dials = true;
        // What lay in its socket is room for others.
        self.due.uploads = true;
        if let Some(addr) = peer.listen_addr {
            self.forget_address(addr, &peer, now);
        }
        self.actions.push_back(Action::Notify(Notice::PeerLost {
            addr: peer.addr,
            client: peer.client,
            reason,
        }));
    }

    /// Closes a connection.
    pub(super) fn disconnect(&mut self, key: PeerKey, reason: CloseReason, now: Time) {
        if self.peers.find(key).is_some() {
            self.actions.push_back(Action::Disconnect {
                peer: key,
                reason: reason.clone(),
            });
            self.closed(key, reason, now);
        }
    }

    /// Sends a control message.
    pub(super) fn send(&mut self, key: PeerKey, message: Message, now: Time) {
        if let Some(peer) = self.peers.find_mut(key) {
            peer.spoke = now;
            self.actions.push_back(Action::Send { peer: key, message });
        }
    }

    /// Learned where a peer listens; a dial to the same place would only meet it again.
    pub(super) fn listens_at(&mut self, key: PeerKey, port: u16, now: Time) {
        let Some(peer) = self.peers.find_mut(key) else {
            return;
        };
        if peer.listen_addr.is_some() || port == 0 {
            return;
        }
        // With the zone, if it has one.
        let mut addr = peer.addr;
        addr.set_port(port);
        peer.listen_addr = Some(addr);
        self.dialer
            .add(Teller::all(PeerSource::Incoming), &[addr], now);
        self.dialer.connected(addr, now);
    }

    /// Keeps a peer that sent corrupt data away.
    pub(super) fn ban(&mut self, key: PeerKey, now: Time) {
        let Some(peer) = self.peers.find(key) else {
            return;
        };
        let until = now + self.config.ban;
        self.banned.insert((peer.addr.ip(), peer.id), until);
        if let Some(addr) = peer.listen_addr {
            self.dialer.ban(addr, until);
        }
        self.disconnect(key, CloseReason::Corrupt, now);
    }

    /// Closes the connection if neither side can want anything of the other.
    pub(super) fn part_if_both_complete(&mut self, key: PeerKey, now: Time) {
        let Some(peer) = self.peers.find(key) else {
            return;
        };
        let is_known = peer.opening == Opening::Over;
        if self.is_complete()
            && is_known
            && peer.upload_only
            && (peer.is_seed() || peer.interesting == 0)
        {
            self.note_complete(key);
            self.disconnect(key, CloseReason::BothComplete, now);
        }
    }

    /// Remembers that this peer has everything.
    pub(super) fn note_complete(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.find(key) else {
            return;
        };
        if peer.is_seed() && self.seen_complete.len() < SEEN_MAX {
            self.seen_complete.insert(peer.id);
        }
    }

    /// Gives the upload slots to those who should have them now.
    pub(super) fn rechoke(&mut self, now: Time) {
        let misers = self.misers(now);
        let piece_len = u64::from(self.content.layout.nominal_piece_len());
        let mut candidates: Vec<Candidate> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.peer_interested)
            .map(|(key, peer)| Candidate {
                peer: key,
                interested: peer.peer_interested,
                unchoked: !peer.am_choking,
                gives: peer.down.per_second(now),
                snubbing: peer.snubbing,
                changed: peer.choke_changed,
                sent: peer.sent - peer.sent_before,
                idle_since: peer.idle_since,
                is_miser: misers.contains(&key),
                declined: peer.declined.is_some_and(|at| now.since(at) < DECLINED_FOR),
                only_takes: peer.only_takes(piece_len),
            })
            .collect();
        let side = self.side();
        let slots = self.slots(now);
        self.choker.set_slots(slots, now);
        let chosen = self.choker.decide(&candidates, side, now, &mut self.rng);
        for candidate in &mut candidates {
            let unchoked = chosen.contains(&candidate.peer);
            if candidate.unchoked != unchoked {
                candidate.changed = now;
                candidate.unchoked = unchoked;
            }
        }
        self.slot_check = self.choker.next_check(&candidates, now);
        let mut changed = self.peers.unchoked();
        changed.extend(&chosen);
        changed.sort_unstable();
        changed.dedup();
        for key in changed {
            if chosen.contains(&key) {
                self.unchoke(key, now);
            } else {
                self.choke(key, now);
            }
        }
    }

    /// What we are to others.
    pub(super) fn side(&self) -> Side {
        if self.is_complete() {
            Side::Seed
        } else if self.have.count() < self.have.len() / NEWCOMER_SHARE {
            Side::Newcomer
        } else {
            Side::Leech
        }
    }

    /// Peers to unchoke: the faster the uplink, the more. While the first copy is not out it is as many
    /// as get a piece each within a second: the more of them have something that nobody else has, the
    /// more can trade. A twentieth of all pieces is the most to be under way at a time.
    fn slots(&self, now: Time) -> usize {
        let least = self.config.unchoke_slots.max(1) as u64;
        let layout = &self.content.layout;
        let rate = self.totals.up.per_second(now);
        let pieces_in = |time: Duration| {
            let piece_millis = u128::from(layout.nominal_piece_len()) * 1_000;
            u64::try_from(u128::from(rate) * time.as_millis() / piece_millis).unwrap_or(u64::MAX)
        };
        let slots = if self.steers() {
            let most = u64::from(layout.piece_count() / 20);
            pieces_in(Duration::from_secs(1)).min(most).max(least)
        } else if self.side() == Side::Newcomer {
            pieces_in(NEWCOMER_TURNS).max(least.min(NEWCOMER_SLOTS))
        } else {
            (rate / self.config.slot_rate).max(least)
        };
        let most = self.config.peers_max as u64;
        usize::try_from(slots.min(most.max(least))).unwrap_or(usize::MAX)
    }

    fn unchoke(&mut self, key: PeerKey, now: Time) {
        if let Some(peer) = self.peers.unchoke(key) {
            peer.choke_changed = now;
            peer.choked_requests = 0;
            peer.sent_before = peer.sent;
            self.suggest(key, now);
            self.send(key, Message::Unchoke, now);
        }
    }

    fn choke(&mut self, key: PeerKey, now: Time) {
        let Some(peer) = self.peers.choke(key) else {
            return;
        };
        let is_idle = peer
            .idle_since
            .is_some_and(|since| since <= peer.choke_changed);
        peer.declined = is_idle.then_some(now);
        peer.choke_changed = now;
        peer.crossing_until = now + CROSSING;
        let dropped = std::mem::take(&mut peer.wants);
        if peer.serving == 0 {
            peer.idle_since.get_or_insert(now);
        }
        self.take_suggestions_back(key);
        self.send(key, Message::Choke, now);
        for block in dropped {
            self.reject(key, block, now);
        }
    }

    /// Why this new connection must not stay, if so. Of two connections between the same two peers
    /// both sides keep the one that the peer with the larger id dialled.
    fn refusal(
        &mut self,
        key: PeerKey,
        direction: Direction,
        id: PeerId,
        now: Time,
    ) -> Option<CloseReason> {
        if self.phase != Phase::Running {
            return Some(CloseReason::Shutdown);
        }
        if id == self.config.peer_id {
            if let Some(addr) = self.peers.find(key).and_then(|peer| peer.listen_addr) {
                self.dialer.drop_address(addr);
            }
            return Some(CloseReason::Duplicate);
        }
        let addr = self.peers.find(key)?.addr;
        let ip = addr.ip();
        if self.banned.contains_key(&(ip, id)) {
            return Some(CloseReason::Corrupt);
        }
        let earlier = self
            .peers
            .iter()
            .find(|(other, peer)| *other != key && peer.id == id);
        let earlier = earlier.map(|(key, peer)| (key, peer.direction, peer.addr.ip()));
        if let Some((earlier, before, place)) = earlier {
            let keeps_ours = self.config.peer_id > id;
            let is_ours = direction == Direction::Outgoing;
            let is_better = before != direction && is_ours == keeps_ours;
            if !is_better {
                if is_ours && place != ip {
                    self.dialer.discourage(addr);
                }
                return Some(CloseReason::Duplicate);
            }
            self.disconnect(earlier, CloseReason::Duplicate, now);
        }
        if self.peers.len() > self.config.peers_max {
            return self.make_room(key, now);
        }
        None
    }

    /// The first messages: what we have (BEP 3, BEP 6), then who we are (BEP 10).
    fn greet(&mut self, key: PeerKey, now: Time) {
        let Some(peer) = self.peers.find(key) else {
            return;
        };
        let (reserved, addr) = (peer.reserved, peer.addr);
        let is_empty = self.have.is_empty();
        let pieces = match (reserved.fast(), is_empty, self.have.is_full()) {
            (true, true, _) => Some(Message::HaveNone),
            (true, _, true) => Some(Message::HaveAll),
            (false, true, _) => None,
            _ => Some(Message::Bitfield(Bytes::from(Bitfield::to_bytes(
                &self.have,
            )))),
        };
        if let Some(message) = pieces {
            self.send(key, message, now);
        }
        if reserved.extended() {
            self.introduce(key, addr.ip(), now);
        }
    }

    /// The dialer learns that a connection with this listening address ended.
    fn forget_address(&mut self, addr: SocketAddr, gone: &Peer, now: Time) {
        let is_twin = |peer: &Peer| peer.id == gone.id && peer.addr.ip() == addr.ip();
        let twin = self.peers.iter_mut().find(|(_, peer)| is_twin(peer));
        if let Some((_, twin)) = twin
            && *twin.listen_addr.get_or_insert(addr) == addr
        {
            // The other connection to the same peer goes on: the address stays in use.
            self.dialer.connected(addr, now);
        } else {
            self.dialer.closed(addr, now, &mut self.rng);
        }
    }
}
