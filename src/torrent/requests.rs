//! What to ask of whom: open pieces first, then the rarest, at the end what is late elsewhere.

use std::time::Duration;

use super::Torrent;
use super::event::{Action, Direction, PeerKey};
use super::peer::Peer;
use crate::layout::{BLOCK_LEN, Block, PieceIndex};
use crate::time::Time;

/// Pieces to complete before rarity counts: the first one is for having something to trade (BEP 3
/// practice, "random first piece").
const RANDOM_PIECES: u32 = 1;
/// A peer with fewer blocks outstanding than this may take over late ones. Chosen: one is on the
/// way while the next is asked for.
const IDLE_DEPTH: usize = 2;
/// Blocks at the head of a queue that may be on their way, so that a cancel comes too late.
const SENT_DEPTH: usize = 16;
/// Blocks moved to an idle peer at a time, at most.
const MOVE_MAX: usize = 16;
/// Blocks asked for twice at a time in the endgame, at most.
const TWICE_MAX: usize = 2;
/// A peer that sent no block for this long has others to serve first: nothing is on its way. Simulated,
/// eight fetchers receive 1.4 % twice with 100 ms and 0.05 % with this; 1,000 are done later with 200 ms.
const SILENT: Duration = Duration::from_millis(150);
/// A block is late if its holder needs this many times as long as the peer that could be asked.
const LATE_FACTOR: u32 = 2;
/// ... and at least this much longer: below it a duplicate costs more than it saves.
const LATE_MARGIN: Duration = Duration::from_millis(50);
/// A piece is asked for whole of whom it comes from within this time at its present rate, though the
/// window be smaller: who serves whole pieces by turns needs all of one there when a turn comes. Simulated
/// with 1,000 fetchers: without it the end is 0.2 s later, with 800 ms as well.
const WHOLE_WITHIN: Duration = Duration::from_secs(1);
/// What an unproven peer is taken to need for a block.
const UNPROVEN: Duration = Duration::from_secs(1);

impl Torrent {
    /// Asks every peer for what it can take.
    pub(super) fn fill_all(&mut self, now: Time) {
        if self.is_complete() {
            return;
        }
        for key in self.peers.askable() {
            self.fill(key, now);
        }
    }

    /// Tops up what is asked of one peer; the requests of one call go out together.
    pub(super) fn fill(&mut self, key: PeerKey, now: Time) {
        if self.is_complete() || self.disk_fault.is_some() {
            return;
        }
        let Some(peer) = self.peers.find(key) else {
            return;
        };
        let room = peer.room();
        // Refilling a quarter of the window at a time keeps the writes few.
        let window = peer.window.min(peer.reqq) as usize;
        let is_low = peer.asked.is_empty() || room * 4 >= window;
        if peer.interesting == 0 || room == 0 || !is_low || !peer.lets_ask() {
            return;
        }
        let piece = self.content.layout.nominal_piece_len();
        let want = room.max(peer.whole_within(WHOLE_WITHIN, piece, now));
        if !self.download.is_open(now) {
            self.download_waits = true;
            return;
        }
        let mut blocks = Vec::new();
        let steered = self.follows(key, now);
        self.pick(key, self.capped(want), steered, &mut blocks);
        if blocks.is_empty() && !steered {
            self.pick_late(key, now, &mut blocks);
        }
        self.ask(key, blocks, now);
    }

    /// The peer will send none of what it was asked for.
    pub(super) fn release_all(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.find_mut(key) else {
            return;
        };
        let asked = std::mem::take(&mut peer.asked);
        peer.excuse(&asked);
        for block in asked {
            self.partial.release(block, key);
            self.due.requests = true;
        }
        self.partial.end_solo(key);
    }

    /// Opens this piece for this peer alone.
    pub(super) fn ask_solo(&mut self, key: PeerKey, piece: PieceIndex, now: Time) {
        let Some(peer) = self.peers.find(key) else {
            return;
        };
        if !peer.lets_ask() || !peer.have.has(piece) || peer.peer_choking {
            return;
        }
        let room = peer.room();
        self.availability.leave(piece);
        self.partial.open_solo(piece, key);
        let mut blocks = Vec::new();
        self.partial
            .ask(key, room, |candidate, _| candidate == piece, &mut blocks);
        self.ask(key, blocks, now);
    }

    /// Closes open pieces that nobody here can finish when they are in the way of others.
    pub(super) fn forget_stranded(&mut self) {
        if self.partial.count() < self.config.open_pieces_max {
            return;
        }
        let peers = &self.peers;
        let nobody_has = |piece| {
            !peers
                .iter()
                .any(|(_, peer)| !peer.peer_choking && peer.have.has(piece))
        };
        for piece in self.partial.forget(nobody_has) {
            self.availability.enter(piece, &mut self.rng);
            self.actions.push_back(Action::Forget { piece });
        }
    }

    fn ask(&mut self, key: PeerKey, blocks: Vec<Block>, now: Time) {
        let Some(peer) = self.peers.find_mut(key) else {
            return;
        };
        if blocks.is_empty() {
            return;
        }
        if peer.asked.is_empty() {
            peer.owes_since = now;
            peer.probe = Some(now);
        }
        peer.asked.extend(&blocks);
        peer.spoke = now;
        self.download
            .take(blocks.iter().map(|block| u64::from(block.len())).sum(), now);
        self.actions
            .push_back(Action::Request { peer: key, blocks });
    }

    /// Picks up to `want` blocks: of pieces that were opened for this peer; of open pieces that are
    /// as rare as any other; of new pieces, rarest first; then of any open piece. So a seed goes on
    /// giving out what nobody else has, and others finish what several have. Who steers us is asked
    /// for what it suggested alone.
    fn pick(&mut self, key: PeerKey, want: usize, steered: bool, blocks: &mut Vec<Block>) {
        let Some(peer) = self.peers.find(key) else {
            return;
        };
        let may_ask = |piece: PieceIndex| {
            peer.have.has(piece) && (!peer.peer_choking || peer.allowed_fast.contains(&piece.get()))
        };
        let availability = &self.availability;
        self.partial.ask(
            key,
            want,
            |piece, opener| opener == key && may_ask(piece),
            blocks,
        );
        if blocks.len() < want && !steered && self.partial.has_askable() {
            let rarest = availability
                .rarest(&peer.have)
                .map(|piece| availability.of(piece));
            let is_rare = |piece| rarest.is_some_and(|rarest| availability.of(piece) <= rarest);
            self.partial.ask(
                key,
                want,
                |piece, _| is_rare(piece) && may_ask(piece),
                blocks,
            );
        }
        while blocks.len() < want && self.partial.count() < self.config.open_pieces_max {
            let Some(piece) = self.pick_piece(key, steered) else {
                break;
            };
            self.availability.leave(piece);
            if self.partial.is_all_padding(piece) {
                self.verify_padding(piece);
                continue;
            }
            self.partial.open(piece, key);
            self.partial
                .ask(key, want, |candidate, _| candidate == piece, blocks);
        }
        let Some(peer) = self.peers.find(key) else {
            return;
        };
        let may_ask = |piece: PieceIndex| {
            peer.have.has(piece) && (!peer.peer_choking || peer.allowed_fast.contains(&piece.get()))
        };
        let is_meant = |piece| !steered || peer.suggests.contains(&piece);
        self.partial.ask(
            key,
            want,
            |piece, _| may_ask(piece) && is_meant(piece),
            blocks,
        );
    }

    /// The next piece to open for this peer.
    fn pick_piece(&mut self, key: PeerKey, steered: bool) -> Option<PieceIndex> {
        let peer = self.peers.find(key)?;
        if peer.peer_choking {
            let mut allowed = peer.allowed_fast.iter();
            return allowed.find_map(|&index| {
                let piece = self.content.layout.piece(index)?;
                let may = peer.have.has(piece) && self.availability.pickable().has(piece);
                may.then_some(piece)
            });
        }
        if steered {
            return self.heed(key);
        }
        if peer.direction == Direction::WebSeed {
            return self.next_of_run(key);
        }
        if self.have.count() < RANDOM_PIECES {
            return self.availability.any(&peer.have, &mut self.rng);
        }
        self.availability.rarest(&peer.have)
    }

    /// For a web seed, which gives a run faster than as many pieces here and there: the piece behind
    /// the last one, as long as none is rarer.
    fn next_of_run(&mut self, key: PeerKey) -> Option<PieceIndex> {
        let peer = self.peers.find(key)?;
        let rarest = self.availability.rarest(&peer.have)?;
        let behind = peer
            .run
            .and_then(|last| self.content.layout.piece(last.get() + 1))
            .filter(|&piece| self.availability.pickable().has(piece))
            .filter(|&piece| self.availability.of(piece) <= self.availability.of(rarest));
        let piece = behind.unwrap_or(rarest);
        self.peers.find_mut(key)?.run = Some(piece);
        Some(piece)
    }

    /// Everything this peer has is asked for elsewhere: takes blocks over from the peer that needs
    /// longest of those that were asked for any of it. What is deep in the other's queue is moved:
    /// cancelled there, asked for here. What may be on its way is asked for twice, but only of the
    /// slowest and in the endgame, when nothing is left to be asked for.
    fn pick_late(&mut self, key: PeerKey, now: Time, blocks: &mut Vec<Block>) {
        let holders = self.late_holders(key, now);
        for &holder_key in &holders {
            let (Some(peer), Some(holder)) = (self.peers.find(key), self.peers.find(holder_key))
            else {
                return;
            };
            let fair = (holder.asked.len() - peer.asked.len()) / 2;
            let room = peer.room().min(MOVE_MAX).min(fair);
            let is_silent = now.since(holder.owes_since) >= SILENT;
            let sent = if is_silent { 0 } else { SENT_DEPTH };
            let unsent = holder.asked.iter().skip(sent).rev();
            let movable = unsent.filter(|block| peer.have.has(block.piece()));
            blocks.extend(movable.copied().take(room));
            blocks.retain(|&block| self.partial.ask_again(block, key));
            if !blocks.is_empty() {
                self.take_back(holder_key, blocks.clone(), now);
                return;
            }
        }
        let slowest = holders.first().and_then(|&holder| self.peers.find(holder));
        if let (Some(peer), Some(holder)) = (self.peers.find(key), slowest)
            && self.availability.pickable().is_empty()
        {
            let sent = holder.asked.iter().take(SENT_DEPTH).rev();
            let theirs = sent.filter(|block| peer.have.has(block.piece()));
            blocks.extend(theirs.copied().take(TWICE_MAX));
            blocks.retain(|&block| self.partial.ask_again(block, key));
        }
    }

    /// Who needs much longer for what it was asked than this peer would, slowest first; nobody if
    /// this peer is not idle.
    fn late_holders(&self, key: PeerKey, now: Time) -> Vec<PeerKey> {
        let Some(peer) = self.peers.find(key) else {
            return Vec::new();
        };
        if peer.asked.len() >= IDLE_DEPTH || peer.peer_choking {
            return Vec::new();
        }
        let count = |asked: usize| u32::try_from(asked).unwrap_or(u32::MAX);
        let pace = peer.time_for(1, now);
        let is_late = |theirs: Duration, asked: usize| {
            // Of an unproven peer we know nothing: it is taken to be as fast as the other.
            let pace = pace.unwrap_or(theirs / count(asked));
            theirs > pace * (count(peer.asked.len()) + 1) * LATE_FACTOR + LATE_MARGIN
        };
        let mut late: Vec<(Duration, PeerKey)> = self
            .peers
            .iter_askable()
            .filter(|(other, holder)| *other != key && holder.asked.len() > peer.asked.len())
            .map(|(other, holder)| (expected(holder, now), holder.asked.len(), other))
            .filter(|&(theirs, asked, _)| is_late(theirs, asked))
            .map(|(theirs, _, other)| (theirs, other))
            .collect();
        late.sort_unstable();
        late.into_iter().rev().map(|(_, holder)| holder).collect()
    }

    /// Cancels blocks that somebody else was asked for.
    fn take_back(&mut self, key: PeerKey, blocks: Vec<Block>, now: Time) {
        let Some(peer) = self.peers.find_mut(key) else {
            return;
        };
        if blocks.is_empty() {
            return;
        }
        for &block in &blocks {
            peer.unask(block);
        }
        self.withdraw(key, blocks.into(), now);
    }

    /// No more at a time than a quarter second of the download limit.
    fn capped(&self, room: usize) -> usize {
        let Some(limit) = self.config.download_limit else {
            return room;
        };
        let blocks = limit / u64::from(BLOCK_LEN) / 4;
        room.min(usize::try_from(blocks).unwrap_or(usize::MAX).max(1))
    }
}

/// How long a peer still needs for what it was asked.
fn expected(holder: &Peer, now: Time) -> Duration {
    let silent = now.since(holder.owes_since);
    holder
        .time_for(holder.asked.len(), now)
        .unwrap_or(UNPROVEN)
        .max(silent)
}
