//! Pieces become ours, turn out corrupt, get lost, are found again.

use rand::RngExt;

use super::Torrent;
use super::event::{Action, DiskFault, Notice, PeerKey, VerifyOutcome};
use super::partial::Contributor;
use crate::bitfield::{Bitfield, Change};
use crate::layout::{Block, PieceIndex};
use crate::time::Time;

impl Torrent {
    /// A finished piece was checked and written, or was not.
    pub(super) fn piece_verified(&mut self, piece: PieceIndex, outcome: VerifyOutcome, now: Time) {
        let Some(from) = self.partial.end_verifying(piece) else {
            return;
        };
        self.due.requests = true;
        match outcome {
            VerifyOutcome::Stored => {
                self.gain(piece, now);
                let from = from
                    .iter()
                    .map(|sender| (sender.addr, sender.bytes))
                    .collect();
                self.actions
                    .push_back(Action::Notify(Notice::PieceStored { piece, from }));
                self.notice_completion(now);
            }
            VerifyOutcome::HashMismatch => self.piece_corrupt(piece, &from, now),
            VerifyOutcome::DiskFault(fault) => self.disk_refused(piece, fault, now),
        }
    }

    /// Pieces were found good on the disk.
    pub(super) fn pieces_found(&mut self, pieces: &[PieceIndex], now: Time) {
        for &piece in pieces {
            if let Some(asked) = self.partial.close(piece) {
                self.actions.push_back(Action::Forget { piece });
                for (block, holder) in asked {
                    self.unneeded(holder, block, now);
                }
            }
            if !self.partial.is_open(piece) {
                self.gain(piece, now);
            }
        }
        self.notice_completion(now);
    }

    /// Pieces can no longer be read: they are ours no more.
    pub(super) fn pieces_lost(&mut self, pieces: &[PieceIndex], now: Time) {
        // Who misses pieces steers nobody.
        self.spread = None;
        for &piece in pieces {
            if self.have.remove(piece) == Change::None {
                continue;
            }
            self.lost.insert(piece, now);
            if self.content.wanted.has(piece) {
                self.missing += 1;
                self.totals.done -= u64::from(self.content.payload_len(piece));
                self.availability.enter(piece, &mut self.rng);
                for (_, peer) in self
                    .peers
                    .iter_mut()
                    .filter(|(_, peer)| peer.have.has(piece))
                {
                    peer.interesting += 1;
                }
            }
            for (_, peer) in self.peers.iter_mut() {
                peer.wants.retain(|block| block.piece() != piece);
            }
        }
        for key in self.peers.keys() {
            self.update_interest(key, now);
        }
        self.due.requests = true;
    }

    /// Pieces that are nothing but padding need no peer.
    pub(super) fn verify_pure_padding(&mut self, pickable: &Bitfield) {
        if self.content.padding.is_empty() {
            return;
        }
        for piece in self
            .content
            .layout
            .pieces()
            .filter(|&piece| pickable.has(piece))
        {
            if self.partial.is_all_padding(piece) {
                self.availability.leave(piece);
                self.verify_padding(piece);
            }
        }
    }

    /// A piece that is nothing but padding goes straight to its verification.
    pub(super) fn verify_padding(&mut self, piece: PieceIndex) {
        self.partial.open(piece, PeerKey(0));
        self.partial.start_verifying(piece);
        self.actions.push_back(Action::Verify { piece });
    }

    /// A block that is on its way to nobody's use.
    fn unneeded(&mut self, holder: PeerKey, block: Block, now: Time) {
        let Some(peer) = self.peers.find_mut(holder) else {
            return;
        };
        if peer.unask(block) {
            peer.note_cancelled([&block], now);
            let (peer, blocks) = (holder, vec![block]);
            self.actions.push_back(Action::Cancel { peer, blocks });
        }
    }

    fn gain(&mut self, piece: PieceIndex, now: Time) {
        if self.have.insert(piece) == Change::None {
            return;
        }
        self.availability.leave(piece);
        let lost = self.lost.remove(&piece);
        let wanted = self.content.wanted.has(piece);
        if wanted {
            self.missing -= 1;
            self.totals.done += u64::from(self.content.payload_len(piece));
        }
        // Those who have the piece are told too: a seed must see who is complete. It costs nine
        // bytes for each piece and peer.
        let is_last = self.is_complete();
        let (mut news, mut others) = (Vec::new(), Vec::with_capacity(self.peers.len()));
        for (key, peer) in self.peers.iter_mut() {
            let was_told = lost.is_some_and(|lost| peer.since <= lost);
            if was_told {
                continue;
            }
            // It may ask at once, or tell us that it wants to; or it steers by what is spread.
            let may_act = !peer.am_choking || !peer.peer_interested;
            let is_news = may_act && !peer.have.has(piece) || peer.steered.is_some();
            if is_news || is_last {
                peer.spoke = now;
                news.push(key);
            } else {
                others.push(key);
            }
        }
        let have = Action::Have {
            piece,
            news,
            others,
        };
        self.actions.push_back(have);
        if !wanted {
            return;
        }
        for (key, peer) in self.peers.iter_mut() {
            if peer.have.has(piece) {
                peer.interesting -= 1;
                if let Some(message) = peer.change_of_interest() {
                    self.actions.push_back(Action::Send { peer: key, message });
                }
            }
        }
    }

    fn notice_completion(&mut self, now: Time) {
        if !self.is_complete() || self.is_told_complete {
            return;
        }
        self.is_told_complete = true;
        self.actions.push_back(Action::Notify(Notice::Complete));
        self.announcer.complete(now);
        self.due.announces = true;
        self.due.choking = true;
        for key in self.peers.keys() {
            self.part_if_both_complete(key, now);
        }
    }

    /// Whoever sent all of a corrupt piece is banned. If several did, the piece is asked of one of
    /// them alone, so that a second failure names the liar.
    fn piece_corrupt(&mut self, piece: PieceIndex, from: &[Contributor], now: Time) {
        self.totals.bad_pieces += 1;
        self.totals.wasted += u64::from(self.content.payload_len(piece));
        self.availability.enter(piece, &mut self.rng);
        let addrs = from.iter().map(|sender| sender.addr).collect();
        self.actions
            .push_back(Action::Notify(Notice::PieceCorrupt { piece, from: addrs }));
        match from {
            [] => {}
            [only] => self.ban(only.peer, now),
            several => {
                let suspect = several[self.rng.random_range(0..several.len())];
                self.ask_solo(suspect.peer, piece, now);
            }
        }
    }

    fn disk_refused(&mut self, piece: PieceIndex, fault: DiskFault, now: Time) {
        self.availability.enter(piece, &mut self.rng);
        self.disk_fault = Some((now, fault.clone()));
        self.actions
            .push_back(Action::Notify(Notice::DiskFault(fault)));
    }
}
