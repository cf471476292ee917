//! Content on the disk: where each byte lives, which pieces are good, and how it survives crashes.
//!
//! Everything here blocks. Unverified bytes never reach the real name of a file: data lies in
//! `DIR/.NAME.swarm-part/` until every wanted piece is verified and durable, then one rename
//! publishes it.

mod beneath;
pub mod create;
mod each;
mod error;
mod fetch;
mod files;
mod finish;
mod hash_cache;
mod journal;
mod ledger;
mod lock;
mod manifest;
mod meter;
mod pieces;
mod seed;
mod spans;
mod stamp;
pub mod verify;

use std::collections::BTreeSet;
use std::io::IoSliceMut;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bitfield::Bitfield;
use crate::ids::PieceHash;
use crate::layout::PieceIndex;
use crate::metainfo::Metainfo;
use each::each;
use files::Files;
use finish::Output;
use ledger::Ledger;
use spans::piece_range;

pub use error::StorageError;
pub use files::ReadNow;
pub use hash_cache::{Checked, HashCache};
pub use manifest::kept_manifest;
pub use meter::Meter;
pub use verify::{VerifyReport, verify};

/// How space for files is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allocate {
    /// Files grow as they are written.
    None,
    /// Files have their full size at once, their space is taken as they are written.
    #[default]
    Sparse,
    /// Files have their full size and space at once.
    Full,
}

/// Where and how to fetch.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// The output directory; must exist.
    pub dir: PathBuf,
    /// The name of the top entry instead of the manifest's; one plain path element.
    pub name: Option<String>,
    /// Which files to fetch, one flag per file of the manifest; all of them if `None`.
    pub selected: Option<Vec<bool>>,
    /// How space is taken.
    pub allocate: Allocate,
    /// Whether an existing output that differs is corrected in place.
    pub repair: bool,
    /// Whether every piece is hashed again, whatever the journal says.
    pub recheck: bool,
    /// What of an existing output need not be hashed, unless it is to be repaired or rechecked.
    pub cache: HashCache,
    /// Threads for hashing what is there.
    pub threads: usize,
}

/// A store, ready to fetch into.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// Pieces that are there and verified.
    pub have: Bitfield,
    /// Pieces that hold any byte of a selected file.
    pub wanted: Bitfield,
    /// Whether the output was complete under its real name: nothing is to be done.
    pub already_complete: bool,
}

/// The content on the disk.
#[derive(Debug)]
pub struct Store {
    meta: Arc<Metainfo>,
    files: Files,
    /// Which pieces are there. Locked briefly; several disk workers share the store.
    ledger: Mutex<Ledger>,
    /// Where the content goes when it is complete. Locked for as long as a checkpoint or the
    /// finish takes, so that there is one at a time.
    output: Mutex<Output>,
}

impl Store {
    /// Fills `buf` with the content from `offset` on. Padding reads as zeros.
    ///
    /// # Errors
    /// [`StorageError::Changed`] if a file is not what it was when its pieces were verified.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        self.files.read(offset, buf)
    }

    /// Fills `parts`, one after the other, with the content from `offset` on, if the disk need not
    /// be waited for.
    pub fn read_now(&self, offset: u64, parts: &mut [IoSliceMut<'_>]) -> ReadNow {
        self.files.read_now(offset, parts)
    }

    /// Writes a piece whose hash is right.
    ///
    /// # Errors
    /// [`StorageError::NoSpace`] and whatever else the disk says; the piece is then not stored.
    ///
    /// # Panics
    /// If `data` is not as long as the piece.
    pub fn write_piece(&self, piece: PieceIndex, data: &[u8]) -> Result<(), StorageError> {
        let range = piece_range(self.meta.layout(), piece);
        assert_eq!(data.len() as u64, range.end - range.start, "a whole piece");
        self.ledger().intend(piece, &self.files)?;
        self.files.write(range.start, data)?;
        self.ledger().written(piece)
    }

    /// Makes everything written so far durable and notes it in the journal.
    ///
    /// # Errors
    /// Whatever the disk says; nothing is vouched for then that was not before. What could not be
    /// synced is lost: [`Store::lacking`] says what has to be written again.
    pub fn checkpoint(&self) -> Result<(), StorageError> {
        let _one_at_a_time = self.output();
        self.make_durable()
    }

    /// Publishes the complete content under its real name and says what that is. Reading goes on.
    ///
    /// # Errors
    /// [`StorageError::Incomplete`], [`StorageError::NameTaken`] if somebody was faster,
    /// [`StorageError::Changed`] if somebody else wrote to a file.
    pub fn finish(&self) -> Result<PathBuf, StorageError> {
        let mut output = self.output();
        self.make_durable()?;
        output.publish(&self.meta, &self.files, &mut self.ledger())
    }

    /// Hashes the pieces again, and with them every other piece of a file that somebody else
    /// wrote to. Says which are good; these count as verified from now on, the others do not.
    /// After a cancellation the rest counts as bad.
    pub fn recheck(&self, pieces: &[PieceIndex], threads: usize, meter: &Meter) -> Bitfield {
        let suspects = self.withdraw(pieces, threads);
        let good = Mutex::new(Bitfield::empty(self.meta.layout().piece_count()));
        let job = pieces::Job {
            layout: self.meta.layout(),
            files: &self.files,
            found: |piece, digest: Result<PieceHash, StorageError>| {
                if digest.is_ok_and(|digest| digest == self.meta.piece_hash(piece)) {
                    let mut good = good.lock().unwrap_or_else(PoisonError::into_inner);
                    good.insert(piece);
                }
                Ok(())
            },
        };
        // The only error there can be is a cancellation, after which the rest is not good.
        let _cancelled = job.run(&suspects, threads, meter);
        let mut good = good.into_inner().unwrap_or_else(PoisonError::into_inner);
        for file in self.files_of(&suspects) {
            if !self.files.is_intact(file) {
                for piece in self.pieces_touching(file) {
                    good.remove(piece);
                }
            }
        }
        let layout = self.meta.layout();
        self.ledger().found(layout, &mut good);
        good
    }

    /// The pieces that hold any byte of this file of the manifest.
    pub fn pieces_of_file(&self, file: usize) -> Vec<PieceIndex> {
        let file = &self.meta.files()[file];
        let range = file.offset..file.offset + file.len;
        self.meta.layout().pieces_of(range).collect()
    }

    /// The pieces that can no longer be vouched for after reading `piece` failed with `error`: all
    /// of a file that changed, else this one.
    pub fn damaged(&self, piece: PieceIndex, error: &StorageError) -> Vec<PieceIndex> {
        match error {
            StorageError::Changed { file, .. } => self.pieces_touching(*file),
            _ => vec![piece],
        }
    }

    /// Wanted pieces that are not there.
    pub fn lacking(&self) -> Vec<PieceIndex> {
        let layout = self.meta.layout();
        let ledger = self.ledger();
        let is_lacking = |piece: &PieceIndex| ledger.is_lacking(*piece);
        layout.pieces().filter(is_lacking).collect()
    }

    /// Whether what is missing is written under its real name, since a part of it was there.
    pub fn is_in_place(&self) -> bool {
        matches!(*self.output(), Output::InPlace(_))
    }

    /// A directory on the file system that is written to, for files that have no name; `None` when
    /// everything is there.
    pub fn scratch_dir(&self) -> Option<PathBuf> {
        self.output().scratch_dir()
    }

    /// The caller holds the output, so that there is one at a time.
    fn make_durable(&self) -> Result<(), StorageError> {
        let batch = self.ledger().unsynced(self.meta.layout());
        if batch.is_empty() {
            return Ok(());
        }
        self.vouch_for(batch)
    }

    /// Writes the journal for the first time in this run.
    fn open_journal(&self) -> Result<(), StorageError> {
        let found = self.ledger().unsynced(self.meta.layout());
        self.vouch_for(found)
    }

    /// Syncs, then journals. A piece of a file that somebody else wrote to is left out, and taken
    /// back if it was vouched for before.
    fn vouch_for(&self, batch: Vec<PieceIndex>) -> Result<(), StorageError> {
        let touched = self.files_of(&batch);
        if let Err(error) = self.files.sync(&touched) {
            self.ledger().spoil(self.meta.layout(), &self.files);
            return Err(error);
        }
        let (mut stamps, mut doubtful) = (Vec::new(), BTreeSet::new());
        for file in touched {
            match self.files.stamp(file) {
                Some(stamp) => stamps.push((file, stamp)),
                None => doubtful.extend(self.pieces_touching(file)),
            }
        }
        let mut sound = batch;
        sound.retain(|piece| !doubtful.contains(piece));
        let doubtful: Vec<_> = doubtful.into_iter().collect();
        let mut ledger = self.ledger();
        ledger.doubt(&doubtful, &self.files);
        let journal = ledger.vouch(&sound, &stamps, &self.files)?;
        drop(ledger);
        if let Some(journal) = journal {
            let synced = journal.sync_data();
            synced.map_err(|error| StorageError::of("sync", Path::new("journal"), error))?;
        }
        Ok(())
    }

    /// Stops vouching for these pieces and says which have to be hashed for it.
    fn withdraw(&self, pieces: &[PieceIndex], threads: usize) -> Vec<PieceIndex> {
        let mut suspects: BTreeSet<PieceIndex> = pieces.iter().copied().collect();
        let files: Vec<usize> = self.files_of(pieces).into_iter().collect();
        let rebased = each(&files, threads, |&file| {
            let is_stale = self.files.stamp(file).is_none() || !self.files.is_intact(file);
            if is_stale {
                self.files.rebase(file);
            }
            is_stale.then_some(file)
        });
        let ledger = self.ledger();
        let is_any_good = !ledger.have().is_empty();
        for file in rebased.into_iter().flatten().filter(|_| is_any_good) {
            let had = self.pieces_touching(file).into_iter();
            suspects.extend(had.filter(|&piece| ledger.have().has(piece)));
        }
        drop(ledger);
        let suspects: Vec<_> = suspects.into_iter().collect();
        self.ledger().lost(&suspects, &self.files);
        suspects
    }

    /// The pieces that hold any byte of this file, or of the side file.
    fn pieces_touching(&self, file: usize) -> Vec<PieceIndex> {
        if file < self.meta.files().len() {
            return self.pieces_of_file(file);
        }
        let layout = self.meta.layout();
        let on_side = |piece: &PieceIndex| {
            let mut files = self.files.files_of(piece_range(layout, *piece));
            files.any(|on| on == file)
        };
        layout.pieces().filter(on_side).collect()
    }

    fn files_of(&self, pieces: &[PieceIndex]) -> BTreeSet<usize> {
        let layout = self.meta.layout();
        let ranges = pieces.iter().map(|&piece| piece_range(layout, piece));
        ranges
            .flat_map(|range| self.files.files_of(range))
            .collect()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
