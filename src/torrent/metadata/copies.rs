//! Copies of the metadata on their way: which piece is asked of whom, and who sent what.
//!
//! Several peers fill one copy together. If its hash is wrong nobody knows who lied, so it is put
//! aside and from then on each copy of that length comes from one peer alone: a wrong one is proof.
//! Against the right one those put aside are compared, which names every other liar.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use crate::hash;
use crate::ids::InfoHash;
use crate::time::Time;
use crate::torrent::event::PeerKey;
use crate::wire::metadata::{piece_count, piece_range};

/// Lengths that are believed at a time: that of the honest and that of a liar.
const SHARED_MAX: usize = 2;
/// Copies from one peer alone that are fetched at a time.
const SOLE_MAX: usize = 3;
/// Copies with a wrong hash that are kept to compare.
const REFUTED_MAX: usize = 2;

/// Names one copy; numbers are not reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CopyId(u64);

/// One attempt at the metadata.
#[derive(Clone, Debug)]
struct Copy {
    id: CopyId,
    len: u32,
    /// The only peer that fills it; anybody does if `None`.
    sole: Option<PeerKey>,
    slots: Vec<Slot>,
    missing: u32,
    /// When a piece of it came last.
    moved: Time,
}

/// One piece of a copy.
#[derive(Clone, Debug, Default)]
struct Slot {
    /// The piece and who sent it.
    filled: Option<(Bytes, PeerKey)>,
    /// How many peers are asked for it.
    asked: u32,
}

/// What a piece led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// More is missing, or it came twice.
    Partial,
    /// The copy is complete and its hash is wrong; these peers are proven liars.
    Wrong(BTreeSet<PeerKey>),
    /// This is the metadata; these peers are proven liars.
    Right(Vec<u8>, BTreeSet<PeerKey>),
}

/// All copies.
#[derive(Clone, Debug)]
pub(super) struct Copies {
    info_hash: InfoHash,
    open: Vec<Copy>,
    refuted: Vec<Copy>,
    /// Lengths of which a copy that several peers filled was wrong.
    doubted: BTreeSet<u32>,
    next_id: u64,
}

impl Copies {
    /// No copies of the metadata of this swarm.
    pub(super) const fn new(info_hash: InfoHash) -> Self {
        Self {
            info_hash,
            open: Vec::new(),
            refuted: Vec::new(),
            doubted: BTreeSet::new(),
            next_id: 0,
        }
    }

    /// The copy that a peer who says that the metadata has `len` bytes is to fill; `None` if there
    /// is no room for another one.
    pub(super) fn place(&mut self, peer: PeerKey, len: u32, now: Time) -> Option<CopyId> {
        let sole = self.doubted.contains(&len).then_some(peer);
        let known = self
            .open
            .iter()
            .find(|copy| copy.len == len && copy.sole == sole);
        if let Some(copy) = known {
            return Some(copy.id);
        }
        let kin = self
            .open
            .iter()
            .filter(|copy| copy.sole.is_some() == sole.is_some());
        let most = if sole.is_some() { SOLE_MAX } else { SHARED_MAX };
        if kin.count() >= most {
            return None;
        }
        let id = CopyId(self.next_id);
        self.next_id += 1;
        self.open.push(Copy {
            id,
            len,
            sole,
            slots: vec![Slot::default(); piece_count(len) as usize],
            missing: piece_count(len),
            moved: now,
        });
        Some(id)
    }

    /// The next piece to ask of a peer: one that nobody is asked for, or, with `also_late`, one
    /// that a single other peer is asked for. It counts as asked for.
    pub(super) fn next(&mut self, id: CopyId, also_late: bool) -> Option<u32> {
        let copy = self.find(id)?;
        let wanted = |most: u32| move |slot: &Slot| slot.filled.is_none() && slot.asked <= most;
        let fresh = copy.slots.iter().position(wanted(0));
        let late = || copy.slots.iter().position(wanted(1)).filter(|_| also_late);
        let place = fresh.or_else(late)?;
        copy.slots[place].asked += 1;
        u32::try_from(place).ok()
    }

    /// A peer is no longer asked for a piece.
    pub(super) fn unask(&mut self, id: CopyId, piece: u32) {
        let slot = self
            .find(id)
            .and_then(|copy| copy.slots.get_mut(piece as usize));
        if let Some(slot) = slot {
            slot.asked = slot.asked.saturating_sub(1);
        }
    }

    /// A piece arrived that the peer was asked for.
    pub(super) fn fill(
        &mut self,
        id: CopyId,
        (piece, bytes): (u32, Bytes),
        peer: PeerKey,
        now: Time,
    ) -> Outcome {
        let Some(copy) = self.find(id) else {
            return Outcome::Partial;
        };
        let Some(slot) = copy.slots.get_mut(piece as usize) else {
            return Outcome::Partial;
        };
        if slot.filled.is_some() {
            return Outcome::Partial;
        }
        slot.filled = Some((bytes, peer));
        copy.moved = now;
        copy.missing -= 1;
        if copy.missing > 0 {
            return Outcome::Partial;
        }
        self.judge(id)
    }

    /// A peer is gone: what only it could fill is given up.
    pub(super) fn release(&mut self, peer: PeerKey) {
        self.open.retain(|copy| copy.sole != Some(peer));
    }

    /// Gives up the copy that has not moved for the longest, and for `stall` at least, to make room
    /// for another.
    pub(super) fn drop_stalled(&mut self, stall: Duration, now: Time) {
        let stands = |copy: &&Copy| now.since(copy.moved) >= stall;
        let stalled = self.open.iter().filter(stands);
        if let Some(id) = stalled.min_by_key(|copy| copy.moved).map(|copy| copy.id) {
            self.open.retain(|copy| copy.id != id);
        }
    }

    /// The length of the copy that is furthest, and how much of it is here, in bytes.
    pub(super) fn progress(&self) -> Option<(u32, u64)> {
        let arrived = |copy: &Copy| {
            let filled = copy.slots.iter().filter_map(|slot| slot.filled.as_ref());
            filled.map(|(bytes, _)| bytes.len() as u64).sum::<u64>()
        };
        let all = self.open.iter().map(|copy| (copy.len, arrived(copy)));
        all.max_by_key(|(_, arrived)| *arrived)
    }

    fn find(&mut self, id: CopyId) -> Option<&mut Copy> {
        self.open.iter_mut().find(|copy| copy.id == id)
    }

    /// The copy is complete.
    fn judge(&mut self, id: CopyId) -> Outcome {
        let Some(place) = self.open.iter().position(|copy| copy.id == id) else {
            return Outcome::Partial;
        };
        let copy = self.open.swap_remove(place);
        let whole = copy.whole();
        if InfoHash::new(hash::one(&whole)) == self.info_hash {
            let liars = self.refuted.iter().flat_map(|copy| copy.liars(&whole));
            let liars = liars.collect();
            return Outcome::Right(whole, liars);
        }
        let sources = copy.sources();
        if sources.len() <= 1 {
            return Outcome::Wrong(sources);
        }
        self.doubted.insert(copy.len);
        if self.refuted.len() >= REFUTED_MAX {
            self.refuted.remove(0);
        }
        self.refuted.push(copy);
        Outcome::Wrong(BTreeSet::new())
    }
}

impl Copy {
    fn whole(&self) -> Vec<u8> {
        let mut whole = Vec::with_capacity(self.len as usize);
        for (bytes, _) in self.slots.iter().filter_map(|slot| slot.filled.as_ref()) {
            whole.extend_from_slice(bytes);
        }
        whole
    }

    fn sources(&self) -> BTreeSet<PeerKey> {
        let filled = self.slots.iter().filter_map(|slot| slot.filled.as_ref());
        filled.map(|(_, peer)| *peer).collect()
    }

    /// Who sent something that differs from the true metadata.
    fn liars(&self, truth: &[u8]) -> BTreeSet<PeerKey> {
        let mut liars = BTreeSet::new();
        for (piece, slot) in (0..).zip(&self.slots) {
            let range = piece_range(piece, self.len);
            let Some((bytes, peer)) = slot.filled.as_ref() else {
                continue;
            };
            let same = range.and_then(|range| truth.get(range)) == Some(&bytes[..]);
            if !same || self.len as usize != truth.len() {
                liars.insert(*peer);
            }
        }
        liars
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::metadata::PIECE_LEN;

    const LEN: u32 = 3 * PIECE_LEN + 5;
    const GOOD: PeerKey = PeerKey(1);
    const LIAR: PeerKey = PeerKey(2);
    const THIRD: PeerKey = PeerKey(3);

    fn truth() -> Vec<u8> {
        (0..LEN).map(|i| (i % 251).to_be_bytes()[3]).collect()
    }

    fn copies() -> Copies {
        Copies::new(InfoHash::new(hash::one(&truth())))
    }

    fn piece(number: u32, peer: PeerKey) -> Bytes {
        let range = piece_range(number, LEN).expect("exists");
        let mut bytes = truth()[range].to_vec();
        if peer == LIAR {
            bytes[0] ^= 1;
        }
        bytes.into()
    }

    /// The peer answers whatever it is asked for next.
    fn answer(copies: &mut Copies, id: CopyId, peer: PeerKey) -> Outcome {
        let number = copies.next(id, false).expect("something is missing");
        copies.fill(id, (number, piece(number, peer)), peer, Time::ZERO)
    }

    fn fill_all(copies: &mut Copies, id: CopyId, peer: PeerKey) -> Outcome {
        loop {
            match answer(copies, id, peer) {
                Outcome::Partial => {}
                outcome => return outcome,
            }
        }
    }

    #[test]
    fn peers_fill_one_copy_together() {
        let mut copies = copies();
        let id = copies.place(GOOD, LEN, Time::ZERO).expect("room");
        assert_eq!(copies.place(THIRD, LEN, Time::ZERO), Some(id));
        for peer in [GOOD, THIRD, GOOD] {
            assert_eq!(answer(&mut copies, id, peer), Outcome::Partial);
        }
        let outcome = answer(&mut copies, id, THIRD);
        assert_eq!(outcome, Outcome::Right(truth(), BTreeSet::new()));
    }

    #[test]
    fn a_liar_among_several_is_named_by_the_right_copy() {
        let mut copies = copies();
        let id = copies.place(GOOD, LEN, Time::ZERO).expect("room");
        for peer in [GOOD, LIAR, GOOD] {
            assert_eq!(answer(&mut copies, id, peer), Outcome::Partial);
        }
        let outcome = answer(&mut copies, id, THIRD);
        assert_eq!(outcome, Outcome::Wrong(BTreeSet::new()), "nobody knows who");
        let sole = copies.place(GOOD, LEN, Time::ZERO).expect("room");
        assert_ne!(copies.place(THIRD, LEN, Time::ZERO), Some(sole));
        let outcome = fill_all(&mut copies, sole, GOOD);
        assert_eq!(outcome, Outcome::Right(truth(), [LIAR].into()));
    }

    #[test]
    fn a_wrong_copy_from_one_peer_alone_is_proof() {
        let mut copies = copies();
        let id = copies.place(LIAR, LEN, Time::ZERO).expect("room");
        let outcome = fill_all(&mut copies, id, LIAR);
        assert_eq!(outcome, Outcome::Wrong([LIAR].into()));
        let id = copies.place(GOOD, LEN, Time::ZERO).expect("room");
        assert_eq!(copies.place(THIRD, LEN, Time::ZERO), Some(id), "no doubt");
    }

    #[test]
    fn two_lengths_are_believed_at_a_time_until_one_stands_still() {
        let mut copies = copies();
        let stall = Duration::from_secs(9);
        let later = Time::ZERO + stall;
        copies.place(LIAR, 1, Time::ZERO).expect("room");
        copies.place(THIRD, 2, later).expect("room");
        assert_eq!(copies.place(GOOD, LEN, later), None);
        copies.drop_stalled(stall, later);
        assert!(copies.place(GOOD, LEN, later).is_some());
        assert_eq!(copies.place(LIAR, 1, later), None);
    }

    #[test]
    fn what_nobody_answers_is_asked_of_another() {
        let mut copies = copies();
        let id = copies.place(GOOD, LEN, Time::ZERO).expect("room");
        let asked: Vec<u32> = std::iter::from_fn(|| copies.next(id, false)).collect();
        assert_eq!(asked, [0, 1, 2, 3]);
        assert_eq!(copies.next(id, true), Some(0));
        copies.unask(id, 2);
        assert_eq!(copies.next(id, false), Some(2));
    }
}
