//! What a peer says it has, and what that means for availability and our interest.

#![expect(clippy::cast_possible_truncation, reason = "pieces are counted in u32")]

use std::time::Duration;

use super::Torrent;
use super::event::{CloseReason, PeerKey};
use super::inbound::Violation;
use super::peer::Opening;
use crate::bitfield::{Bitfield, Change};
use crate::layout::PieceIndex;
use crate::time::Time;

/// How long a peer that rejected a block while it serves us is not asked for that piece.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// Pieces that a peer may refuse at a time before it is taken to be of no use.
const REFUSED_MAX: usize = 4_096;

impl Torrent {
    /// `Have`: one piece more.
    pub(super) fn peer_has(
        &mut self,
        key: PeerKey,
        index: u32,
        now: Time,
    ) -> Result<(), Violation> {
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
        self.note_spread(key, piece, now);
        let Some(peer) = self.peers.find_mut(key) else {
            return Ok(());
        };
        if peer.is_seed() {
            self.unspread_whole(key);
            let Some(peer) = self.peers.find_mut(key) else {
                return Ok(());
            };
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
            peer.refill |= peer.lets_ask();
            self.update_interest(key, now);
        }
        self.part_if_both_complete(key, now);
        Ok(())
    }

    /// The peer will not send this piece for a while: as if it did not have it.
    pub(super) fn peer_refuses(&mut self, key: PeerKey, piece: PieceIndex, now: Time) {
        let Some(peer) = self.peers.find_mut(key) else {
            return;
        };
        let was_seed = peer.is_seed();
        if peer.refused.len() >= REFUSED_MAX {
            self.disconnect(key, CloseReason::Violation("rejects what it has"), now);
            return;
        }
        if peer.have.remove(piece) == Change::None {
            return;
        }
        peer.refused.push((piece, now + REFUSED_FOR));
        let asked = std::mem::take(&mut peer.asked);
        let (theirs, others) = asked.into_iter().partition(|block| block.piece() == piece);
        peer.asked = others;
        if was_seed {
            self.availability.remove_seed();
            for index in (0..self.have.len()).filter(|&other| other != piece.get()) {
                let other = self.content.layout.piece(index).expect("in range");
                self.availability.add(other, &mut self.rng);
            }
        } else {
            self.availability.remove(piece, &mut self.rng);
        }
        self.withdraw(key, theirs, now);
        if self.is_missing(piece)
            && let Some(peer) = self.peers.find_mut(key)
        {
            peer.interesting -= 1;
            self.update_interest(key, now);
        }
    }

    /// `Bitfield`: BEP 3 has it as the first word about pieces only, but aria2 also sends one where
    /// it would be shorter than the `have` messages that are due.
    pub(super) fn peer_lists(
        &mut self,
        key: PeerKey,
        have: Bitfield,
        now: Time,
    ) -> Result<(), Violation> {
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
    pub(super) fn peer_opens(
        &mut self,
        key: PeerKey,
        have: Bitfield,
        now: Time,
    ) -> Result<(), Violation> {
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
            if self.spread.is_some() {
                let theirs: Vec<u32> = peer.have.iter_ones().collect();
                for index in theirs {
                    let piece = self
                        .content
                        .layout
                        .piece(index)
                        .expect("the length was checked");
                    self.note_spread(key, piece, now);
                }
            }
        }
        self.note_complete(key);
        self.update_interest(key, now);
        self.part_if_both_complete(key, now);
        Ok(())
    }
}
