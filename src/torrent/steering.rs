//! How a seed steers its fetchers, so that it sends no piece twice before every piece is out once,
//! and afterwards always what is spread least.
//!
//! A swarm cannot be done before its seed has sent every piece once, so a piece that the seed sends
//! twice before that delays everybody. Fetchers cannot avoid it alone: those that pick the same rare
//! piece at the same moment do not know of each other. The seed knows, and proposes to each a piece
//! that it has given to nobody (BEP 6, Suggest Piece). Whoever ignores that loses nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;

use super::Torrent;
use super::availability::Availability;
use super::event::PeerKey;
use super::peer::Peer;
use crate::bitfield::{Bitfield, Change};
use crate::layout::{BLOCK_LEN, Layout, PieceIndex};
use crate::time::Time;
use crate::wire::Message;

/// Pieces suggested and not asked for yet, at most: enough for a gigabit at tiny pieces.
const AHEAD_MAX: usize = 64;
/// Pieces that a peer may pick against our suggestions before we take it that it ignores them.
const STRAYS_MAX: u32 = 8;
/// Suggestions of a peer that are remembered, the latest ones.
const HEEDED_MAX: usize = 64;
/// An uplink, or a peer, to which nothing was sent for this long idles: longer than what the kernel
/// still holds back.
const IDLE: Duration = Duration::from_millis(200);
/// Pieces that a peer may have kept to itself before it counts as one that passes nothing on.
const KEPT_MAX: u32 = 3;
/// A piece is kept if nobody else has it after this many turns of everybody who has a slot ...
const ROUNDS_KEPT: u64 = 4;
/// ... and after this many seconds.
const KEPT_SECONDS: u64 = 2;
/// A peer that suggested nothing for this long, and of which nothing is asked, no longer steers us; so
/// as often at most what a fetcher was given is taken back from it.
const STEERING: Duration = Duration::from_millis(1_500);

/// How far each piece is spread: holders, and those to whom it was given and who have not announced
/// it yet.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    counts: Availability,
    /// Pieces that nobody else was seen to have.
    unseen: Bitfield,
    /// To whom each piece was given first, until somebody else has it too.
    first: BTreeMap<PieceIndex, First>,
}

/// Who was given a piece before anybody else.
#[derive(Clone, Copy, Debug)]
struct First {
    peer: PeerKey,
    /// When it had all of it.
    announced: Option<Time>,
}

impl Spread {
    /// Nobody has anything yet.
    pub(super) fn new(layout: Layout, rng: &mut ChaCha8Rng) -> Self {
        let all = Bitfield::full(layout.piece_count());
        Self {
            counts: Availability::new(layout, &all, rng),
            unseen: all,
            first: BTreeMap::new(),
        }
    }

    /// Whether every piece was seen somewhere else.
    pub(super) const fn is_first_copy_out(&self) -> bool {
        self.unseen.is_empty()
    }

    /// The piece to give to a peer next: the least spread that it lacks. While the first copy is on
    /// its way nothing is given twice, unless the uplink would idle.
    fn next(&self, peer: &Peer, uplink_idles: bool) -> Option<PieceIndex> {
        if peer.have.count() as usize + peer.given.len() >= peer.have.len() as usize {
            // Without a look through all pieces, with every message of a peer that is nearly done.
            return None;
        }
        let piece = self.counts.rarest_but(&peer.have, &peer.given)?;
        let is_new = self.counts.of(piece) == 0;
        (is_new || uplink_idles || self.is_first_copy_out()).then_some(piece)
    }
}

impl Torrent {
    /// Whether the first copy is on its way, and goes where we say.
    pub(super) fn steers(&self) -> bool {
        let spread = self.spread.as_ref();
        spread.is_some_and(|spread| !spread.is_first_copy_out())
    }

    /// Keeps a peer supplied with pieces to ask for that few others have or get.
    pub(super) fn suggest(&mut self, key: PeerKey, now: Time) {
        if self.spread.is_none() {
            return;
        }
        let uplink_idles = now.since(self.totals.moved) >= IDLE;
        let (Some(spread), Some(peer)) = (&mut self.spread, self.peers.find_mut(key)) else {
            return;
        };
        if peer.am_choking || !peer.peer_interested || !peer.reserved.fast() {
            return;
        }
        if peer.strays > STRAYS_MAX {
            return;
        }
        let blocks_per_piece = (self.content.layout.nominal_piece_len() / BLOCK_LEN).max(1);
        let queued = peer.wants.len() / blocks_per_piece as usize;
        let want = (1 + queued).max(peer.ahead).min(AHEAD_MAX);
        let mut pieces = Vec::new();
        while peer.suggested.len() < want
            && let Some(piece) = spread.next(peer, uplink_idles)
        {
            if spread.counts.of(piece) == 0 {
                let announced = None;
                spread.first.insert(
                    piece,
                    First {
                        peer: key,
                        announced,
                    },
                );
            }
            spread.counts.add(piece, &mut self.rng);
            peer.given.insert(piece);
            peer.suggested.push_back(piece);
            pieces.push(piece);
        }
        for piece in pieces {
            self.send(key, Message::Suggest(piece.get()), now);
        }
    }

    /// Suggests anew to those who made no use of what was suggested. Once the first copy is out they
    /// are suggested again what they had begun to ask for, too: they may have lost the rest.
    pub(super) fn suggest_again(&mut self, now: Time) {
        let Some(spread) = &self.spread else {
            return;
        };
        let is_out = spread.is_first_copy_out();
        for key in self.peers.keys() {
            if let Some(peer) = self.peers.find_mut(key)
                && !peer.am_choking
                && peer
                    .idle_since
                    .is_some_and(|since| now.since(since) >= IDLE)
            {
                peer.suggested.clear();
                let is_due = |at| now.since(at) >= STEERING;
                if is_out && peer.taken_back.is_none_or(is_due) {
                    peer.taken_back = Some(now);
                    self.take_suggestions_back(key);
                }
                self.suggest(key, now);
            }
        }
    }

    /// A peer asks for a block of this piece of ours.
    pub(super) fn note_asked(&mut self, key: PeerKey, piece: PieceIndex) {
        let (Some(spread), Some(peer)) = (&mut self.spread, self.peers.find_mut(key)) else {
            return;
        };
        if peer.asks_for == Some(piece) {
            return;
        }
        peer.asks_for = Some(piece);
        if let Some(place) = peer.suggested.iter().position(|&other| other == piece) {
            peer.suggested.remove(place);
            peer.strays = 0;
            if peer.wants.len() == 1 && peer.serving == 0 {
                self.run_dry(key);
            }
        } else if !peer.given.contains(&piece) && !peer.have.has(piece) {
            spread.counts.add(piece, &mut self.rng);
            peer.given.insert(piece);
            peer.strays += u32::from(!peer.suggested.is_empty());
        }
    }

    /// A peer had nothing to wait for. If nobody else had either, its round trip wants more in
    /// advance; else the uplink is busy, and what is promised early cannot be given to who is free.
    fn run_dry(&mut self, key: PeerKey) {
        let waits = |peer: &Peer| !peer.wants.is_empty() || peer.serving > 0;
        let is_busy = self
            .peers
            .iter_unchoked()
            .any(|(other, peer)| other != key && waits(peer));
        if let Some(peer) = self.peers.find_mut(key).filter(|_| !is_busy) {
            peer.ahead = (peer.ahead * 2).min(AHEAD_MAX);
        }
    }

    /// What this peer was to spread may be given to others.
    pub(super) fn take_suggestions_back(&mut self, key: PeerKey) {
        let (Some(spread), Some(peer)) = (&mut self.spread, self.peers.find_mut(key)) else {
            return;
        };
        peer.suggested.clear();
        peer.asks_for = None;
        peer.strays = 0;
        for piece in std::mem::take(&mut peer.given) {
            spread.counts.remove(piece, &mut self.rng);
        }
    }

    /// The peer is gone, and with it what it had.
    pub(super) fn unspread(&mut self, gone: &Peer) {
        let Some(spread) = &mut self.spread else {
            return;
        };
        if !gone.is_seed() {
            for index in gone.have.iter_ones() {
                let piece = self.content.layout.piece(index).expect("in range");
                spread.counts.remove(piece, &mut self.rng);
            }
        }
    }

    /// The peer has everything: it counts for no piece any more.
    pub(super) fn unspread_whole(&mut self, key: PeerKey) {
        let (Some(spread), Some(peer)) = (&mut self.spread, self.peers.find_mut(key)) else {
            return;
        };
        for piece in std::mem::take(&mut peer.given) {
            spread.counts.remove(piece, &mut self.rng);
        }
        for index in peer.have.iter_ones() {
            let piece = self.content.layout.piece(index).expect("in range");
            spread.counts.remove(piece, &mut self.rng);
        }
    }

    /// This peer has this piece.
    pub(super) fn note_spread(&mut self, key: PeerKey, piece: PieceIndex, now: Time) {
        let (Some(spread), Some(peer)) = (&mut self.spread, self.peers.find_mut(key)) else {
            return;
        };
        if spread.unseen.remove(piece) == Change::Made && spread.is_first_copy_out() {
            self.due.suggestions = true;
        }
        match spread.first.get_mut(&piece) {
            Some(first) if first.peer == key => first.announced = Some(now),
            Some(_) => {
                spread.first.remove(&piece);
            }
            None => {}
        }
        peer.suggested.retain(|&suggested| suggested != piece);
        if !peer.given.remove(&piece) {
            spread.counts.add(piece, &mut self.rng);
        }
    }

    /// A peer suggests a piece of its own. What we have or do not want steers nobody, and who wants a
    /// part only follows nobody: no seed knows which part.
    pub(super) fn peer_suggests(&mut self, key: PeerKey, index: u32, now: Time) {
        let Some(piece) = self.content.layout.piece(index) else {
            return;
        };
        if !self.is_missing(piece) || !self.content.wanted.is_full() {
            return;
        }
        let Some(peer) = self.peers.find_mut(key) else {
            return;
        };
        if !peer.suggests.contains(&piece) {
            if peer.suggests.len() == HEEDED_MAX {
                peer.suggests.pop_front();
            }
            peer.suggests.push_back(piece);
            peer.steered = Some(now);
        }
        peer.refill = true;
    }

    /// Those who keep to themselves what they were given first. Nobody is blamed before everybody who
    /// has a slot could be served several times over.
    pub(super) fn misers(&self, now: Time) -> Vec<PeerKey> {
        let Some(spread) = &self.spread else {
            return Vec::new();
        };
        let round = self.choker.slots() as u64 * u64::from(self.content.layout.nominal_piece_len());
        let rate = self.totals.up.per_second(now);
        let seconds = (round * ROUNDS_KEPT).checked_div(rate).unwrap_or(0);
        let patience = Duration::from_secs(seconds.max(KEPT_SECONDS));
        let is_old = |first: &&First| first.announced.is_some_and(|at| now.since(at) >= patience);
        let mut kept: BTreeMap<PeerKey, u32> = BTreeMap::new();
        for first in spread.first.values().filter(is_old) {
            *kept.entry(first.peer).or_default() += 1;
        }
        kept.retain(|_, count| *count >= KEPT_MAX);
        kept.into_keys().collect()
    }

    /// Whether this peer tells us what to ask it for. Once it has stopped, it is asked for anything
    /// until it suggests something of use again.
    pub(super) fn follows(&mut self, key: PeerKey, now: Time) -> bool {
        let Some(peer) = self.peers.find_mut(key) else {
            return false;
        };
        let is_over =
            |at: Time| peer.asked.is_empty() && now.since(at.max(peer.owes_since)) >= STEERING;
        if peer.steered.is_some_and(is_over) {
            peer.steered = None;
        }
        peer.steered.is_some()
    }

    /// The piece to ask this peer for because it suggested it. A suggestion holds until the piece is
    /// here: who is asked for it may leave, and a seed suggests it again late, if at all.
    pub(super) fn heed(&mut self, key: PeerKey) -> Option<PieceIndex> {
        let peer = self.peers.find_mut(key)?;
        let pickable = self.availability.pickable();
        peer.suggests.retain(|&piece| !self.have.has(piece));
        let mut suggests = peer.suggests.iter().copied();
        suggests.find(|&piece| pickable.has(piece) && peer.have.has(piece))
    }
}
