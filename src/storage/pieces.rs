//! Hashes pieces that are on the disk: on all cores, many of them side by side, strip by strip, so
//! that memory stays small whatever the piece length.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::files::{Files, Reader};
use super::{Meter, StorageError};
use crate::hash::{self, LANES};
use crate::ids::PieceHash;
use crate::layout::{Layout, PieceIndex};

/// Bytes of a piece read at a time; a worker holds a strip for each lane. Chosen: so little that a
/// second-level cache of 1 MiB holds what is about to be hashed.
const STRIP: usize = 16 << 10;

/// Bytes of each piece that the disk is asked for before they are read. The pieces of a group are
/// read by turns, which a disk would have to guess.
const AHEAD: usize = 512 << 10;

/// Reads content, and takes the digest of each piece. Whether somebody wrote to a file meanwhile is
/// for the caller to ask when all is done.
pub(super) struct Job<'a, F> {
    /// How the content divides into pieces.
    pub(super) layout: &'a Layout,
    /// Where it lies.
    pub(super) files: &'a Files,
    /// Takes each digest, from any thread, in any order; an error calls the rest off.
    pub(super) found: F,
}

impl<F> Job<'_, F>
where
    F: Fn(PieceIndex, Result<PieceHash, StorageError>) -> Result<(), StorageError> + Sync,
{
    /// Hashes `pieces` on `threads` threads.
    ///
    /// # Errors
    /// The first that `found` returned, or [`StorageError::Cancelled`].
    pub(super) fn run(
        &self,
        pieces: &[PieceIndex],
        threads: usize,
        meter: &Meter,
    ) -> Result<(), StorageError> {
        let lens = pieces
            .iter()
            .map(|&piece| u64::from(self.layout.piece_len(piece)));
        meter.expect(lens.sum());
        // Of a few pieces each thread has its part.
        let share = pieces.len().div_ceil(threads.max(1));
        let groups: Vec<&[PieceIndex]> = pieces.chunks(share.clamp(1, LANES)).collect();
        let next = AtomicUsize::new(0);
        let work = || -> Result<(), StorageError> {
            let strip_len = STRIP.min(self.layout.nominal_piece_len() as usize);
            let mut strips = vec![0; LANES * strip_len];
            let mut reader = self.files.reader();
            let take = || groups.get(next.fetch_add(1, Ordering::Relaxed)).copied();
            let mut group = take();
            while let Some(this) = group {
                group = take();
                let upcoming = group.unwrap_or_default();
                if let Err(error) =
                    self.hash_group((this, upcoming), &mut reader, &mut strips, meter)
                {
                    // Nobody takes another group.
                    next.store(groups.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
            Ok(())
        };
        let helpers = threads.clamp(1, groups.len().max(1)) - 1;
        thread::scope(|scope| {
            let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
            let ours = work();
            helpers.into_iter().fold(ours, |all, helper| {
                all.and(helper.join().expect("hashing does not panic"))
            })
        })
    }

    fn hash_group(
        &self,
        (group, upcoming): (&[PieceIndex], &[PieceIndex]),
        reader: &mut Reader<'_>,
        strips: &mut [u8],
        meter: &Meter,
    ) -> Result<(), StorageError> {
        let strip_len = strips.len() / LANES;
        let mut hasher = hash::Hasher::new(group.len());
        let mut faults: Vec<Option<StorageError>> = group.iter().map(|_| None).collect();
        let longest = self.layout.nominal_piece_len() as usize;
        for begin in (0..longest).step_by(strip_len) {
            if begin % AHEAD < strip_len {
                self.prefetch(group, begin + AHEAD);
            }
            if begin + strip_len >= longest {
                self.prefetch(upcoming, 0);
            }
            let mut parts: Vec<&[u8]> = Vec::with_capacity(group.len());
            for ((&piece, strip), fault) in group
                .iter()
                .zip(strips.chunks_mut(strip_len))
                .zip(&mut faults)
            {
                if meter.is_cancelled() {
                    return Err(StorageError::Cancelled);
                }
                let left = (self.layout.piece_len(piece) as usize).saturating_sub(begin);
                let strip = &mut strip[..left.min(strip_len)];
                if fault.is_none() && !strip.is_empty() {
                    let offset = self.layout.piece_offset(piece) + begin as u64;
                    *fault = reader.read(offset, strip).err();
                }
                meter.advance(strip.len() as u64);
                parts.push(strip);
            }
            hasher.update(&parts);
        }
        for ((&piece, digest), fault) in group.iter().zip(hasher.finish()).zip(faults) {
            let result = fault.map_or(Ok(PieceHash::new(digest)), Err);
            (self.found)(piece, result)?;
        }
        Ok(())
    }

    /// Has the disk begin with the part of each piece that starts here, if there is one.
    fn prefetch(&self, pieces: &[PieceIndex], begin: usize) {
        for &piece in pieces {
            let left = (self.layout.piece_len(piece) as usize).saturating_sub(begin);
            if left > 0 {
                let offset = self.layout.piece_offset(piece) + begin as u64;
                self.files.prefetch(offset, left.min(AHEAD));
            }
        }
    }
}
