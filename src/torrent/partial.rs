//! The pieces that are open: partly asked for, partly received, or waiting for their hash.
//!
//! Per block it knows whether it is here and who was asked for it. Its invariant: a block that is
//! received has no holders, and `unasked` counts exactly the blocks with neither.

#![expect(
    clippy::cast_possible_truncation,
    reason = "blocks of a piece are counted in u32"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Range;

use super::event::PeerKey;
use crate::layout::{Block, Layout, PieceIndex};

/// Peers that may be asked for one block at the same time.
pub(super) const HOLDERS_MAX: usize = 3;

/// One piece between its first request and its last block.
#[derive(Clone, Debug)]
pub(super) struct PartialPiece {
    /// Opening order; older pieces are finished first.
    sequence: u64,
    blocks: Vec<BlockState>,
    /// Blocks that are neither here nor asked for.
    unasked: u32,
    /// Blocks that are not here.
    missing: u32,
    contributors: Vec<Contributor>,
    /// For whom the piece was opened.
    opener: PeerKey,
    /// The only peer that may be asked, after this piece arrived corrupt once.
    solo: Option<PeerKey>,
}

/// Who sent how much of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contributor {
    /// The connection.
    pub(super) peer: PeerKey,
    /// Where it listens, as far as known, else its remote address.
    pub(super) addr: SocketAddr,
    /// Payload bytes.
    pub(super) bytes: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct BlockState {
    received: bool,
    holders: [Option<PeerKey>; HOLDERS_MAX],
}

impl BlockState {
    fn is_unasked(&self) -> bool {
        !self.received && self.holders.iter().all(Option::is_none)
    }
}

/// What an arriving block changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It was missing. `rivals` were asked for it too and need not send it.
    Fresh {
        /// Other peers that were asked for it.
        rivals: Vec<PeerKey>,
        /// Whether it was the last one of its piece.
        completes: bool,
    },
    /// It was here already, or its piece is not open.
    Useless,
}

/// All open pieces.
#[derive(Clone, Debug)]
pub(super) struct PartialPieces {
    layout: Layout,
    padding: Vec<Range<u64>>,
    pieces: BTreeMap<PieceIndex, PartialPiece>,
    /// Pieces with unasked blocks, oldest first.
    askable: BTreeSet<(u64, PieceIndex)>,
    /// Complete pieces whose hash is being checked, and who sent them.
    verifying: BTreeMap<PieceIndex, Vec<Contributor>>,
    opened: u64,
}

impl PartialPieces {
    /// No piece is open. `padding` are the ranges of the content that are zeros.
    pub(super) fn new(layout: Layout, padding: Vec<Range<u64>>) -> Self {
        Self {
            layout,
            padding,
            pieces: BTreeMap::new(),
            askable: BTreeSet::new(),
            verifying: BTreeMap::new(),
            opened: 0,
        }
    }

    /// Opens a piece for a peer that others may help.
    ///
    /// # Panics
    /// If the piece is open already.
    pub(super) fn open(&mut self, piece: PieceIndex, opener: PeerKey) {
        self.open_as(piece, opener, None);
    }

    /// Opens a piece that only this peer may be asked for.
    ///
    /// # Panics
    /// If the piece is open already.
    pub(super) fn open_solo(&mut self, piece: PieceIndex, opener: PeerKey) {
        self.open_as(piece, opener, Some(opener));
    }

    /// Blocks that are nothing but padding count as received.
    fn open_as(&mut self, piece: PieceIndex, opener: PeerKey, solo: Option<PeerKey>) {
        let blocks: Vec<BlockState> = self
            .layout
            .blocks(piece)
            .map(|block| BlockState {
                received: self.is_padding(block),
                ..BlockState::default()
            })
            .collect();
        let missing = blocks.iter().filter(|block| !block.received).count() as u32;
        let sequence = self.opened;
        self.opened += 1;
        if missing > 0 {
            self.askable.insert((sequence, piece));
        }
        let partial = PartialPiece {
            sequence,
            blocks,
            unasked: missing,
            missing,
            contributors: Vec::new(),
            opener,
            solo,
        };
        let earlier = self.pieces.insert(piece, partial);
        assert!(earlier.is_none(), "a piece is opened once");
    }

    /// Whether every block of the piece is padding.
    pub(super) fn is_all_padding(&self, piece: PieceIndex) -> bool {
        self.layout
            .blocks(piece)
            .all(|block| self.is_padding(block))
    }

    /// Fills `out` up to `want` unasked blocks of pieces that `may_ask` (given the piece and for whom
    /// it was opened) accepts, oldest piece first, and notes `peer` as their holder.
    pub(super) fn ask(
        &mut self,
        peer: PeerKey,
        want: usize,
        may_ask: impl Fn(PieceIndex, PeerKey) -> bool,
        out: &mut Vec<Block>,
    ) {
        let mut exhausted = Vec::new();
        for &(sequence, piece) in &self.askable {
            if out.len() >= want {
                break;
            }
            let partial = self
                .pieces
                .get_mut(&piece)
                .expect("askable pieces are open");
            if !may_ask(piece, partial.opener) || partial.solo.is_some_and(|solo| solo != peer) {
                continue;
            }
            for block in self.layout.blocks(piece) {
                let state = &mut partial.blocks[number(block)];
                if out.len() < want && state.is_unasked() {
                    state.holders[0] = Some(peer);
                    partial.unasked -= 1;
                    out.push(block);
                }
            }
            if partial.unasked == 0 {
                exhausted.push((sequence, piece));
            }
        }
        for key in exhausted {
            self.askable.remove(&key);
        }
    }

    /// Whether any block may be asked for of pieces that are open.
    pub(super) fn has_askable(&self) -> bool {
        !self.askable.is_empty()
    }

    /// Notes one more holder of a block that is asked for elsewhere; refuses (`false`) if it is
    /// here, is this peer's already, or has [`HOLDERS_MAX`] holders.
    pub(super) fn ask_again(&mut self, block: Block, peer: PeerKey) -> bool {
        let Some(partial) = self.pieces.get_mut(&block.piece()) else {
            return false;
        };
        let state = &mut partial.blocks[number(block)];
        if state.received
            || partial.solo.is_some_and(|solo| solo != peer)
            || state.holders.contains(&Some(peer))
        {
            return false;
        }
        let Some(free) = state.holders.iter_mut().find(|holder| holder.is_none()) else {
            return false;
        };
        *free = Some(peer);
        true
    }

    /// The peer will not send this block; it may be asked of others.
    pub(super) fn release(&mut self, block: Block, peer: PeerKey) {
        let Some(partial) = self.pieces.get_mut(&block.piece()) else {
            return;
        };
        if partial.solo == Some(peer) {
            partial.solo = None;
        }
        let state = &mut partial.blocks[number(block)];
        let Some(holder) = state
            .holders
            .iter_mut()
            .find(|holder| **holder == Some(peer))
        else {
            return;
        };
        *holder = None;
        if state.is_unasked() {
            partial.unasked += 1;
            self.askable.insert((partial.sequence, block.piece()));
        }
    }

    /// The peer is asked alone for nothing any more.
    pub(super) fn end_solo(&mut self, peer: PeerKey) {
        for partial in self.pieces.values_mut() {
            partial.solo = partial.solo.filter(|&solo| solo != peer);
        }
    }

    /// Closes an open piece that is not needed any more; returns who was asked for what of it.
    /// `None` if it is not open, or being verified.
    pub(super) fn close(&mut self, piece: PieceIndex) -> Option<Vec<(Block, PeerKey)>> {
        let partial = self.pieces.remove(&piece)?;
        self.askable.remove(&(partial.sequence, piece));
        let blocks = self.layout.blocks(piece).zip(partial.blocks);
        let asked = blocks.flat_map(|(block, state)| {
            let holders = state.holders.into_iter().flatten();
            holders.map(move |peer| (block, peer))
        });
        Some(asked.collect())
    }

    /// A block is in its buffer.
    pub(super) fn receive(&mut self, block: Block, peer: PeerKey, addr: SocketAddr) -> Arrival {
        let Some(partial) = self.pieces.get_mut(&block.piece()) else {
            return Arrival::Useless;
        };
        let Some(state) = partial.blocks.get_mut(number(block)) else {
            return Arrival::Useless;
        };
        if state.received {
            return Arrival::Useless;
        }
        if state.is_unasked() {
            partial.unasked -= 1;
        }
        let holders = std::mem::take(&mut state.holders);
        let rivals = holders
            .into_iter()
            .flatten()
            .filter(|&holder| holder != peer)
            .collect();
        state.received = true;
        partial.missing -= 1;
        if partial.unasked == 0 {
            self.askable.remove(&(partial.sequence, block.piece()));
        }
        match partial
            .contributors
            .iter_mut()
            .find(|contributor| contributor.peer == peer)
        {
            Some(contributor) => contributor.bytes += block.len(),
            None => partial.contributors.push(Contributor {
                peer,
                addr,
                bytes: block.len(),
            }),
        }
        Arrival::Fresh {
            rivals,
            completes: partial.missing == 0,
        }
    }

    /// Moves a piece with no missing block on to verification.
    ///
    /// # Panics
    /// If the piece is not open or a block is missing.
    pub(super) fn start_verifying(&mut self, piece: PieceIndex) {
        let partial = self
            .pieces
            .remove(&piece)
            .expect("only open pieces are verified");
        assert_eq!(partial.missing, 0, "only complete pieces are verified");
        self.verifying.insert(piece, partial.contributors);
    }

    /// Verification ended: who sent the piece; `None` if it was not being verified.
    pub(super) fn end_verifying(&mut self, piece: PieceIndex) -> Option<Vec<Contributor>> {
        self.verifying.remove(&piece)
    }

    /// Closes open pieces of which nobody was asked anything and that `is_stranded` says nobody can
    /// finish. Returns them.
    pub(super) fn forget(&mut self, is_stranded: impl Fn(PieceIndex) -> bool) -> Vec<PieceIndex> {
        let stranded: Vec<(u64, PieceIndex)> = self
            .askable
            .iter()
            .filter(|(_, piece)| {
                let partial = &self.pieces[piece];
                partial.unasked == partial.missing && is_stranded(*piece)
            })
            .copied()
            .collect();
        for key in &stranded {
            self.askable.remove(key);
            self.pieces.remove(&key.1);
        }
        stranded.into_iter().map(|(_, piece)| piece).collect()
    }

    /// Open pieces, those being verified included.
    pub(super) fn count(&self) -> usize {
        self.pieces.len() + self.verifying.len()
    }

    /// Pieces whose hash is being checked.
    pub(super) fn verifying_count(&self) -> usize {
        self.verifying.len()
    }

    /// Whether the piece is open or being verified.
    pub(super) fn is_open(&self, piece: PieceIndex) -> bool {
        self.pieces.contains_key(&piece) || self.verifying.contains_key(&piece)
    }

    /// Payload bytes of open pieces that are here already, padding left out.
    pub(super) fn bytes_received(&self) -> u64 {
        let open = self
            .pieces
            .values()
            .flat_map(|partial| &partial.contributors);
        let verifying = self.verifying.values().flatten();
        open.chain(verifying)
            .map(|contributor| u64::from(contributor.bytes))
            .sum()
    }

    /// Every (block, holder) pair, for the invariant check.
    pub(super) fn holders(&self) -> impl Iterator<Item = (Block, PeerKey)> + '_ {
        self.pieces.iter().flat_map(|(&piece, partial)| {
            self.layout.blocks(piece).flat_map(|block| {
                let holders = partial.blocks[number(block)].holders;
                holders.into_iter().flatten().map(move |peer| (block, peer))
            })
        })
    }

    /// Panics if a count disagrees with the blocks.
    pub(super) fn check(&self) {
        for (piece, partial) in &self.pieces {
            let unasked = partial
                .blocks
                .iter()
                .filter(|block| block.is_unasked())
                .count();
            let missing = partial
                .blocks
                .iter()
                .filter(|block| !block.received)
                .count();
            assert_eq!(
                partial.unasked as usize, unasked,
                "unasked blocks of {piece:?}"
            );
            assert_eq!(
                partial.missing as usize, missing,
                "missing blocks of {piece:?}"
            );
            assert!(missing > 0, "a complete piece is being verified: {piece:?}");
            let askable = self.askable.contains(&(partial.sequence, *piece));
            assert_eq!(askable, unasked > 0, "askable index of {piece:?}");
            assert!(
                !self.verifying.contains_key(piece),
                "open and verifying: {piece:?}"
            );
        }
        assert!(
            self.askable.len() <= self.pieces.len(),
            "askable pieces are open"
        );
    }

    fn is_padding(&self, block: Block) -> bool {
        let start = self.layout.block_offset(block);
        let end = start + u64::from(block.len());
        let after = self.padding.partition_point(|range| range.end < end);
        self.padding
            .get(after)
            .is_some_and(|range| range.start <= start && end <= range.end)
    }
}

/// Which block of its piece this is; the blocks we ask for are always aligned.
fn number(block: Block) -> usize {
    block.number().map_or(usize::MAX, |number| number as usize)
}

#[cfg(test)]
mod tests;
