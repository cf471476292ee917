//! How many connected peers have each piece, kept in rarity buckets so that the rarest is at hand.
//!
//! A HAVE moves one piece one bucket up: O(1). Peers that have everything count once for all
//! pieces together. Only pieces that may be picked stand in the buckets; the counts cover all.

#![expect(clippy::cast_possible_truncation, reason = "pieces are counted in u32")]

use std::collections::BTreeSet;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use crate::bitfield::Bitfield;
use crate::layout::{Layout, PieceIndex};

/// Marks a piece that stands in no bucket.
const OUTSIDE: u32 = u32::MAX;

/// Bucket entries looked at before the peer's bitfield is walked instead. Chosen: a peer that has
/// a fair share of what we miss is found within a few entries, and of one that has not the walk
/// finds few.
const SCAN_MAX: usize = 16;

/// Where a piece stands.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// Its holders that have not everything.
    count: u32,
    /// Its place in the bucket of that count, or [`OUTSIDE`].
    place: u32,
}

/// Piece counts and rarity order.
#[derive(Clone, Debug)]
pub(super) struct Availability {
    layout: Layout,
    standings: Vec<Standing>,
    /// `buckets[n]`: pickable pieces with `n` such holders, in random order.
    buckets: Vec<Vec<PieceIndex>>,
    /// Peers that have everything.
    seeds: u32,
    /// Pieces in the buckets.
    pickable: Bitfield,
}

impl Availability {
    /// Nobody has anything; the pieces of `pickable` stand in the buckets.
    pub(super) fn new(layout: Layout, pickable: &Bitfield, rng: &mut ChaCha8Rng) -> Self {
        let count = layout.piece_count();
        let mut this = Self {
            layout,
            standings: vec![
                Standing {
                    count: 0,
                    place: OUTSIDE,
                };
                count as usize
            ],
            buckets: vec![Vec::new()],
            seeds: 0,
            pickable: Bitfield::empty(count),
        };
        for piece in layout.pieces().filter(|&piece| pickable.has(piece)) {
            this.enter(piece, rng);
        }
        this
    }

    /// A peer that has everything came.
    pub(super) fn add_seed(&mut self) {
        self.seeds += 1;
    }

    /// A peer that had everything left.
    pub(super) fn remove_seed(&mut self) {
        self.seeds -= 1;
    }

    /// A peer got, or came with, this piece.
    pub(super) fn add(&mut self, piece: PieceIndex, rng: &mut ChaCha8Rng) {
        self.shift(piece, rng, |count| count + 1);
    }

    /// A peer that had this piece left.
    pub(super) fn remove(&mut self, piece: PieceIndex, rng: &mut ChaCha8Rng) {
        self.shift(piece, rng, |count| count - 1);
    }

    /// The piece may be picked from now on.
    pub(super) fn enter(&mut self, piece: PieceIndex, rng: &mut ChaCha8Rng) {
        if self.standings[piece.as_usize()].place == OUTSIDE {
            self.pickable.insert(piece);
            self.put_in(piece, rng);
        }
    }

    /// The piece must not be picked from now on.
    pub(super) fn leave(&mut self, piece: PieceIndex) {
        if self.standings[piece.as_usize()].place != OUTSIDE {
            self.take_out(piece);
            self.standings[piece.as_usize()].place = OUTSIDE;
            self.pickable.remove(piece);
        }
    }

    /// The rarest pickable piece that a peer with these pieces has; ties are random.
    pub(super) fn rarest(&self, have: &Bitfield) -> Option<PieceIndex> {
        let near = self.buckets.iter().flatten().take(SCAN_MAX);
        let mut looked_at = 0;
        for &piece in near {
            if have.has(piece) {
                return Some(piece);
            }
            looked_at += 1;
        }
        if looked_at < SCAN_MAX {
            return None;
        }
        let offered = self.offered(have);
        offered.min_by_key(|piece| {
            let standing = self.standings[piece.as_usize()];
            (standing.count, standing.place)
        })
    }

    /// The rarest pickable piece that is neither in `have` nor in `given`.
    pub(super) fn rarest_but(
        &self,
        have: &Bitfield,
        given: &BTreeSet<PieceIndex>,
    ) -> Option<PieceIndex> {
        let mut pieces = self.buckets.iter().flatten().copied();
        pieces.find(|piece| !have.has(*piece) && !given.contains(piece))
    }

    /// Any pickable piece that a peer with these pieces has.
    pub(super) fn any(&self, have: &Bitfield, rng: &mut ChaCha8Rng) -> Option<PieceIndex> {
        let count = self.offered(have).count();
        let nth = rng.random_range(0..count.max(1));
        self.offered(have).nth(nth)
    }

    /// How many connected peers have the piece.
    pub(super) fn of(&self, piece: PieceIndex) -> u32 {
        self.standings[piece.as_usize()].count + self.seeds
    }

    /// Pieces that may be picked.
    pub(super) const fn pickable(&self) -> &Bitfield {
        &self.pickable
    }

    fn offered<'a>(&'a self, have: &'a Bitfield) -> impl Iterator<Item = PieceIndex> + 'a {
        self.pickable
            .iter_both(have)
            .filter_map(|index| self.layout.piece(index))
    }

    fn shift(&mut self, piece: PieceIndex, rng: &mut ChaCha8Rng, step: impl Fn(u32) -> u32) {
        let standing = self.standings[piece.as_usize()];
        let is_inside = standing.place != OUTSIDE;
        if is_inside {
            self.take_out(piece);
        }
        self.standings[piece.as_usize()].count = step(standing.count);
        if is_inside {
            self.put_in(piece, rng);
        }
    }

    /// Into the bucket of its count, at a random place.
    fn put_in(&mut self, piece: PieceIndex, rng: &mut ChaCha8Rng) {
        let count = self.standings[piece.as_usize()].count as usize;
        if self.buckets.len() <= count {
            self.buckets.resize(count + 1, Vec::new());
        }
        let bucket = &mut self.buckets[count];
        let spot = rng.random_range(0..=bucket.len());
        bucket.push(piece);
        let last = bucket.len() - 1;
        bucket.swap(spot, last);
        self.standings[bucket[last].as_usize()].place = last as u32;
        self.standings[piece.as_usize()].place = spot as u32;
    }

    /// Out of its bucket, whose last piece takes the place.
    fn take_out(&mut self, piece: PieceIndex) {
        let Standing { count, place } = self.standings[piece.as_usize()];
        let bucket = &mut self.buckets[count as usize];
        bucket.swap_remove(place as usize);
        if let Some(&moved) = bucket.get(place as usize) {
            self.standings[moved.as_usize()].place = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(1)
    }

    fn layout(pieces: u32) -> Layout {
        Layout::new(u64::from(pieces), 1).expect("not empty")
    }

    #[test]
    fn the_rarest_piece_that_the_peer_has_is_picked() {
        let (layout, mut rng) = (layout(3), rng());
        let mut availability = Availability::new(layout, &Bitfield::full(3), &mut rng);
        let [a, b, c] = [0, 1, 2].map(|i| layout.piece(i).expect("exists"));
        availability.add(a, &mut rng);
        availability.add(a, &mut rng);
        availability.add(b, &mut rng);
        let mut have = Bitfield::empty(3);
        have.insert(a);
        assert_eq!(availability.rarest(&have), Some(a));
        have.insert(b);
        assert_eq!(availability.rarest(&have), Some(b));
        have.insert(c);
        assert_eq!(availability.rarest(&have), Some(c));
        availability.leave(c);
        assert_eq!(availability.rarest(&have), Some(b));
    }

    #[test]
    fn ties_are_broken_at_random() {
        let layout = layout(50);
        let mut firsts: Vec<u32> = (0..20)
            .map(|seed| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let availability = Availability::new(layout, &Bitfield::full(50), &mut rng);
                availability
                    .rarest(&Bitfield::full(50))
                    .expect("there is one")
                    .get()
            })
            .collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert!(firsts.len() > 10, "{firsts:?}");
    }

    proptest! {
        #[test]
        fn buckets_agree_with_a_plain_count(
            ops in prop::collection::vec((0u32..300, 0u8..4), 0..600), have in any::<[u64; 5]>()
        ) {
            let (layout, mut rng) = (layout(300), rng());
            let mut availability = Availability::new(layout, &Bitfield::full(300), &mut rng);
            let mut counts = [0u32; 300];
            for (index, op) in ops {
                let piece = layout.piece(index).expect("exists");
                match op {
                    0 if counts[index as usize] > 0 => {
                        availability.remove(piece, &mut rng);
                        counts[index as usize] -= 1;
                    }
                    1 => availability.leave(piece),
                    2 => availability.enter(piece, &mut rng),
                    _ => {
                        availability.add(piece, &mut rng);
                        counts[index as usize] += 1;
                    }
                }
            }
            let mut theirs = Bitfield::empty(300);
            for piece in layout.pieces() {
                if have[piece.as_usize() / 64] >> (piece.get() % 64) & 1 == 1 {
                    theirs.insert(piece);
                }
                prop_assert_eq!(availability.of(piece), counts[piece.as_usize()]);
            }
            let best = availability
                .pickable()
                .iter_both(&theirs)
                .map(|index| counts[index as usize])
                .min();
            let picked = availability.rarest(&theirs);
            prop_assert_eq!(picked.map(|piece| counts[piece.as_usize()]), best);
            if let Some(piece) = picked {
                prop_assert!(theirs.has(piece) && availability.pickable().has(piece));
            }
        }
    }
}
