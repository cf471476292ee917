//! Which pieces can be believed and which have to be hashed.

use std::collections::BTreeSet;

use super::Plan;
use crate::bitfield::Bitfield;
use crate::layout::PieceIndex;
use crate::storage::StorageError;
use crate::storage::files::Files;
use crate::storage::journal::Record;
use crate::storage::spans::{Place, piece_range};

impl Plan<'_> {
    /// Which pieces a journal makes trustworthy, and which have to be hashed: also those of a file
    /// whose last write was our own and cut short, for nobody can tell that from another's.
    pub(super) fn judge(&self, record: &Record, files: &Files) -> (Bitfield, Vec<PieceIndex>) {
        let mut fitting = BTreeSet::new();
        for (&file, &stamp) in record.stamps.range(..=files.side_number()) {
            if files.stamp_on_disk(file) == Some(stamp) {
                files.trust(file, stamp);
                fitting.insert(file);
            }
        }
        let mut trusted = Bitfield::empty(self.wanted.len());
        let mut suspects: BTreeSet<_> = self.blank_pieces(files).into_iter().collect();
        for piece in self.pieces(&record.durable) {
            let mut on = files.files_of(piece_range(self.meta.layout(), piece));
            if on.all(|file| fitting.contains(&file)) {
                trusted.insert(piece);
            } else {
                suspects.insert(piece);
            }
        }
        suspects.extend(self.pieces(&record.intents));
        if record.is_torn {
            suspects.extend(self.present(files));
        }
        suspects.retain(|&piece| !trusted.has(piece));
        (trusted, suspects.into_iter().collect())
    }

    /// Pieces all of whose files are there, right or not.
    pub(super) fn present(&self, files: &Files) -> Vec<PieceIndex> {
        let numbers = 0..=self.selected.len();
        let there: BTreeSet<_> = numbers
            .filter(|&file| files.stamp_on_disk(file).is_some())
            .collect();
        let layout = self.meta.layout();
        let is_present = |piece: &PieceIndex| {
            let mut on = files.segments(piece_range(layout, *piece));
            on.all(|segment| match segment.place {
                Place::File(file) => there.contains(&file),
                Place::Side | Place::Zeros => true,
                Place::Nowhere => false,
            })
        };
        layout.pieces().filter(is_present).collect()
    }

    /// Pieces that are padding from end to end: there without being fetched.
    pub(super) fn blank_pieces(&self, files: &Files) -> Vec<PieceIndex> {
        let layout = self.meta.layout();
        let padded = self
            .meta
            .padding()
            .flat_map(|range| layout.pieces_of(range));
        let is_blank = |piece: &PieceIndex| {
            let mut on = files.segments(piece_range(layout, *piece));
            on.all(|segment| segment.place == Place::Zeros)
        };
        let mut blank: Vec<_> = padded.filter(is_blank).collect();
        blank.dedup();
        blank
    }

    /// Wanted pieces of which every byte has a place under a real name.
    pub(super) fn checkable(&self, files: &Files) -> Vec<PieceIndex> {
        let layout = self.meta.layout();
        let is_checkable = |piece: &PieceIndex| {
            let mut on = files.segments(piece_range(layout, *piece));
            on.all(|segment| matches!(segment.place, Place::File(_) | Place::Zeros))
        };
        self.pieces(&self.wanted).filter(is_checkable).collect()
    }

    /// Selected files of which there is nothing, not even a name.
    ///
    /// # Errors
    /// [`StorageError::InTheWay`] if something else has the name of a file or of its directory.
    pub(super) fn absent(&self, files: &Files) -> Result<BTreeSet<usize>, StorageError> {
        let mut absent = BTreeSet::new();
        for file in (0..self.selected.len()).filter(|&file| self.selected[file]) {
            if files.is_absent(file)? {
                absent.insert(file);
            }
        }
        Ok(absent)
    }

    /// One piece for each file that is there with the wrong size, its last one.
    pub(super) fn misfits(&self, files: &Files, absent: &BTreeSet<usize>) -> BTreeSet<PieceIndex> {
        let layout = self.meta.layout();
        let mut misfits = BTreeSet::new();
        for (number, file) in self.meta.files().iter().enumerate() {
            let fits = || {
                files
                    .stamp_on_disk(number)
                    .is_some_and(|stamp| stamp.len == file.len)
            };
            if self.selected[number] && !absent.contains(&number) && !fits() {
                let at = (file.offset + file.len).clamp(1, layout.total_len());
                misfits.extend(layout.pieces_of(at - 1..at));
            }
        }
        misfits
    }
}
