//! Where payload lives between socket and disk: one buffer per open piece.
//!
//! A block is written by one connection at a time: whoever claimed it last, all of it. A slot goes
//! `Empty → Claimed → Filled` (or back to `Empty` when its claimer dies), and a piece goes to the
//! disk only with every slot filled. A slot is filled if and only if the core knows, or is about
//! to be told: a block that it never hears of is taken back, or it would be asked for for ever.
//! Padding (BEP 47) is zeros from the start. Pieces that do not fit into memory are kept in files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::layout::{Block, Layout, PieceIndex};
use crate::torrent::event::{DiskFault, PeerKey, Placed};

/// The bytes of one piece.
#[derive(Debug)]
pub(super) enum Body {
    /// In a buffer of the pool, which may be longer than the piece.
    Memory(Vec<u8>),
    /// In an anonymous file of its own, from its first byte on.
    Spilled(File),
}

/// All open pieces of a session. Its owner is the network thread.
#[derive(Debug)]
pub(super) struct PieceBuffers {
    layout: Layout,
    padding: Vec<Range<u64>>,
    open: BTreeMap<PieceIndex, OpenPiece>,
    pool: Pool,
    spill_dir: PathBuf,
    claims: u64,
}

#[derive(Debug)]
struct OpenPiece {
    body: Body,
    slots: Vec<Slot>,
    missing: usize,
    fault: Option<DiskFault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Empty,
    /// By the claim of this number.
    Claimed(u64),
    /// By this connection.
    Filled(PeerKey),
    /// Nothing but padding.
    Zeros,
}

/// The right to write one block: write all of it, then `fill`, or else `release`.
///
/// It ends when somebody else claims the block or its piece leaves; should the piece be opened
/// again, it stays ended.
#[derive(Debug)]
pub(super) struct Claim {
    block: Block,
    /// No other claim has it.
    number: u64,
}

impl Claim {
    /// The block.
    pub(super) const fn block(&self) -> Block {
        self.block
    }
}

/// Why a piece cannot be handed to the disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotReady {
    /// It is not open, or a block is missing.
    Incomplete,
    /// It could not be kept.
    Fault(DiskFault),
}

impl PieceBuffers {
    /// No open pieces; those for which `pool` has no buffer go to anonymous files in `spill_dir`.
    /// `padding` ascends.
    pub(super) fn new(
        layout: Layout,
        padding: Vec<Range<u64>>,
        pool: Pool,
        spill_dir: PathBuf,
    ) -> Self {
        Self {
            layout,
            padding,
            open: BTreeMap::new(),
            pool,
            spill_dir,
            claims: 0,
        }
    }

    /// Makes room for the piece, unless it is open already.
    pub(super) fn open(&mut self, piece: PieceIndex) {
        if self.open.contains_key(&piece) {
            return;
        }
        let slots: Vec<Slot> = self
            .layout
            .blocks(piece)
            .map(|b| self.first_slot(b))
            .collect();
        let (body, fault) = self.reserve(piece);
        let opened = OpenPiece {
            missing: slots.iter().filter(|&&slot| slot == Slot::Empty).count(),
            slots,
            body,
            fault,
        };
        self.open.insert(piece, opened);
    }

    /// Reserves the block for the caller alone; `None` if nobody needs it. Whoever is at it loses
    /// it: the core asks a second peer only when the first one is late, and that one may hang.
    pub(super) fn claim(&mut self, block: Block) -> Option<Claim> {
        let number = block.number()?;
        if self.layout.nth_block(block.piece(), number) != Some(block) {
            return None;
        }
        let piece = self.open.get_mut(&block.piece())?;
        let slot = piece.slots.get_mut(number as usize)?;
        if !matches!(slot, Slot::Empty | Slot::Claimed(_)) {
            return None;
        }
        self.claims += 1;
        let number = self.claims;
        *slot = Slot::Claimed(number);
        Some(Claim { block, number })
    }

    /// Writes a part of a claimed block, `offset` bytes from its start.
    pub(super) fn write(&mut self, claim: &Claim, offset: usize, bytes: &[u8]) {
        assert!(
            offset + bytes.len() <= claim.block.len() as usize,
            "a block is written within its bounds"
        );
        if let Some((piece, _)) = self.claimed(claim) {
            piece.write(claim.block.begin() as usize + offset, bytes);
        }
    }

    /// The claimed block is complete; `peer` sent it.
    pub(super) fn fill(&mut self, claim: &Claim, peer: PeerKey) -> Placed {
        let Some((piece, number)) = self.claimed(claim) else {
            return Placed::Discarded;
        };
        piece.slots[number] = Slot::Filled(peer);
        piece.missing -= 1;
        Placed::Stored
    }

    /// The claimed block will not be completed.
    pub(super) fn release(&mut self, claim: &Claim) {
        if let Some((piece, number)) = self.claimed(claim) {
            piece.slots[number] = Slot::Empty;
        }
    }

    /// Empties a block that `peer` filled without the core ever hearing of it.
    pub(super) fn take_back(&mut self, block: Block, peer: PeerKey) {
        let (Some(number), Some(piece)) = (block.number(), self.open.get_mut(&block.piece()))
        else {
            return;
        };
        let slot = &mut piece.slots[number as usize];
        if *slot == Slot::Filled(peer) {
            *slot = Slot::Empty;
            piece.missing += 1;
        }
    }

    /// Takes a complete piece out, whose buffer then comes back through the pool. A piece that is
    /// not complete is lost.
    pub(super) fn take(&mut self, piece: PieceIndex) -> Result<Body, NotReady> {
        let opened = self.open.remove(&piece).ok_or(NotReady::Incomplete)?;
        let refusal = match opened.fault {
            None if opened.missing == 0 => return Ok(opened.body),
            None => NotReady::Incomplete,
            Some(fault) => NotReady::Fault(fault),
        };
        self.discard(opened.body);
        Err(refusal)
    }

    /// Gives up an unfinished piece. A block of it that is still arriving goes nowhere.
    pub(super) fn forget(&mut self, piece: PieceIndex) {
        if let Some(opened) = self.open.remove(&piece) {
            self.discard(opened.body);
        }
    }

    fn discard(&self, body: Body) {
        if let Body::Memory(buffer) = body {
            self.pool.give(buffer);
        }
    }

    /// A body for the piece, zeros where it has padding.
    fn reserve(&self, piece: PieceIndex) -> (Body, Option<DiskFault>) {
        if let Some(mut buffer) = self.pool.take() {
            for zeros in self.padding_in(piece) {
                buffer[zeros].fill(0);
            }
            return (Body::Memory(buffer), None);
        }
        let len = u64::from(self.layout.piece_len(piece));
        let spilled = tempfile::tempfile_in(&self.spill_dir)
            .and_then(|file| file.set_len(len).map(|()| Body::Spilled(file)));
        match spilled {
            Ok(body) => (body, None),
            Err(error) => (Body::Memory(Vec::new()), Some(fault(&error))),
        }
    }

    /// The open piece and the number of the block, while the claim lasts.
    fn claimed(&mut self, claim: &Claim) -> Option<(&mut OpenPiece, usize)> {
        let number = claim.block.number()? as usize;
        let piece = self.open.get_mut(&claim.block.piece())?;
        (piece.slots[number] == Slot::Claimed(claim.number)).then_some((piece, number))
    }

    /// How the slot of the block begins.
    fn first_slot(&self, block: Block) -> Slot {
        let start = self.layout.block_offset(block);
        let end = start + u64::from(block.len());
        match self.padding_from(start).next() {
            Some(zeros) if zeros.start <= start && end <= zeros.end => Slot::Zeros,
            _ => Slot::Empty,
        }
    }

    /// Padding ranges that end after `offset`, ascending.
    fn padding_from(&self, offset: u64) -> impl Iterator<Item = &Range<u64>> {
        let first = self.padding.partition_point(|zeros| zeros.end <= offset);
        self.padding[first..].iter()
    }

    /// The ranges of the piece that are padding.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a piece is shorter than 4 GiB"
    )]
    fn padding_in(&self, piece: PieceIndex) -> impl Iterator<Item = Range<usize>> {
        let start = self.layout.piece_offset(piece);
        let end = start + u64::from(self.layout.piece_len(piece));
        self.padding_from(start)
            .take_while(move |zeros| zeros.start < end)
            .map(move |zeros| zeros.start.max(start) - start..zeros.end.min(end) - start)
            .map(|zeros| zeros.start as usize..zeros.end as usize)
    }
}

impl OpenPiece {
    fn write(&mut self, start: usize, bytes: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        match &mut self.body {
            Body::Memory(buffer) => buffer[start..start + bytes.len()].copy_from_slice(bytes),
            Body::Spilled(file) => {
                self.fault = file
                    .write_all_at(bytes, start as u64)
                    .err()
                    .map(|error| fault(&error));
            }
        }
    }
}

fn fault(error: &io::Error) -> DiskFault {
    let text = format!("cannot keep a piece in a temporary file: {error}");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskFault::NoSpace(text),
        _ => DiskFault::Other(text),
    }
}

/// The buffers of a session that nobody uses.
///
/// Shared and locked because disk workers give back what the network thread takes; once per piece,
/// not per block. Last in, first out, so that the buffer taken is the one still in the cache.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    buffers: Arc<Mutex<Vec<Vec<u8>>>>,
    buffer_len: usize,
}

impl Pool {
    /// `count` buffers of `buffer_len` bytes, each allocated when it is first taken.
    pub(super) fn new(count: usize, buffer_len: usize) -> Self {
        Self {
            buffers: Arc::new(Mutex::new(vec![Vec::new(); count])),
            buffer_len,
        }
    }

    /// A buffer with anything in it, if one is left.
    pub(super) fn take(&self) -> Option<Vec<u8>> {
        let buffer = self.lock().pop()?;
        Some(if buffer.len() == self.buffer_len {
            buffer
        } else {
            vec![0; self.buffer_len]
        })
    }

    /// Puts a buffer back that was taken.
    pub(super) fn give(&self, buffer: Vec<u8>) {
        self.lock().push(buffer);
    }

    /// Gives the memory of unused buffers back to the system; they can still be taken.
    pub(super) fn shrink(&self) {
        self.lock().fill(Vec::new());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        // No holder can panic half way through a change.
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
