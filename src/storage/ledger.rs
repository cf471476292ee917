//! Which pieces are there, and which of them the journal vouches for.
//!
//! `durable` is what the journal promises after any crash; it only ever lags behind `have`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::beneath::Dir;
use super::error::StorageError;
use super::files::Files;
use super::journal::{self, Journal, Subject};
use super::stamp::Stamp;
use crate::bitfield::{Bitfield, Change};
use crate::layout::{Layout, PieceIndex};

/// Where a journal is kept.
#[derive(Debug)]
pub(super) struct Home {
    /// The directory.
    pub(super) dir: Dir,
    /// Its path, for messages.
    pub(super) path: PathBuf,
    /// What the journal is about.
    pub(super) subject: Subject,
}

/// The state of every piece.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Pieces that have to be there before the content is complete.
    wanted: Bitfield,
    /// Pieces that are there and good.
    have: Bitfield,
    /// Pieces that the journal vouches for.
    durable: Bitfield,
    /// Pieces of which the journal says that they may have been written.
    intents: Bitfield,
    /// Pieces of `have` that wait to be made durable.
    unsynced: Bitfield,
    /// Pieces that a failed sync was to make durable. The system reports a failed write once: until
    /// they are written again no sync says anything about them, and reading may find what never
    /// reached the disk.
    spoilt: Bitfield,
    /// `None` where nothing is journalled: when only reading, or correcting in place.
    home: Option<Home>,
    /// `None` until it is first written, and after it had to be thrown away.
    journal: Option<Journal>,
}

impl Ledger {
    /// Nothing there yet, nothing journalled.
    pub(super) fn new(wanted: Bitfield) -> Self {
        let empty = Bitfield::empty(wanted.len());
        Self {
            wanted,
            have: empty.clone(),
            durable: empty.clone(),
            intents: empty.clone(),
            unsynced: empty.clone(),
            spoilt: empty,
            home: None,
            journal: None,
        }
    }

    /// Takes over what a journal vouches for, and from now on keeps it at `home`.
    pub(super) fn resume(&mut self, home: Home, trusted: &Bitfield) {
        self.have = trusted.clone();
        self.durable = trusted.clone();
        self.home = Some(home);
    }

    /// Notes in the journal that the piece is going to be written.
    pub(super) fn intend(&mut self, piece: PieceIndex, files: &Files) -> Result<(), StorageError> {
        if self.durable.has(piece) {
            self.doubt(&[piece], files);
        }
        self.spoilt.remove(piece);
        let is_new = self.intents.insert(piece) == Change::Made;
        let noted = match &mut self.journal {
            Some(journal) if is_new => journal.intend(piece),
            _ => Ok(()),
        };
        noted.map_err(|error| {
            self.intents.remove(piece);
            self.fault(error)
        })
    }

    /// The piece is written.
    ///
    /// # Errors
    /// If a sync failed meanwhile.
    pub(super) fn written(&mut self, piece: PieceIndex) -> Result<(), StorageError> {
        if self.spoilt.has(piece) {
            return Err(self.fault(io::Error::other("a sync failed meanwhile")));
        }
        self.have.insert(piece);
        self.unsynced.insert(piece);
        Ok(())
    }

    /// A sync failed: whatever waited for it, or is just being written, is lost.
    pub(super) fn spoil(&mut self, layout: &Layout, files: &Files) {
        let waited = [&self.intents, &self.unsynced].map(Bitfield::iter_ones);
        let waited: Vec<u32> = waited.into_iter().flatten().collect();
        for piece in waited.into_iter().filter_map(|number| layout.piece(number)) {
            for state in [&mut self.have, &mut self.unsynced, &mut self.intents] {
                state.remove(piece);
            }
            self.spoilt.insert(piece);
        }
        if self.journal.is_some() && self.rewrite(files).is_err() {
            self.abandon();
        }
    }

    /// Pieces that wait to be made durable.
    pub(super) fn unsynced(&self, layout: &Layout) -> Vec<PieceIndex> {
        let numbers = self.unsynced.iter_ones();
        numbers.filter_map(|number| layout.piece(number)).collect()
    }

    /// The pieces are durable, and these are the stamps of their files. The returned file has to
    /// be synced for the journal to be durable too.
    pub(super) fn vouch(
        &mut self,
        pieces: &[PieceIndex],
        stamps: &[(usize, Stamp)],
        files: &Files,
    ) -> Result<Option<Arc<File>>, StorageError> {
        for &piece in pieces {
            self.durable.insert(piece);
            self.intents.remove(piece);
            self.unsynced.remove(piece);
        }
        let noted = match &mut self.journal {
            Some(journal) if !journal.is_bloated() => journal.vouch(pieces, stamps).map(Some),
            _ => self.rewrite(files).map(|()| None),
        };
        noted.map_err(|error| {
            for &piece in pieces {
                self.durable.remove(piece);
                self.intents.insert(piece);
                self.unsynced.insert(piece);
            }
            self.fault(error)
        })
    }

    /// These pieces are not there any more, or may not be what they were.
    pub(super) fn lost(&mut self, pieces: &[PieceIndex], files: &Files) {
        for &piece in pieces {
            self.have.remove(piece);
            self.unsynced.remove(piece);
        }
        self.doubt(pieces, files);
    }

    /// These pieces were found good; takes out those of which nobody can tell.
    pub(super) fn found(&mut self, layout: &Layout, good: &mut Bitfield) {
        let numbers: Vec<u32> = good.iter_ones().collect();
        for piece in numbers
            .into_iter()
            .filter_map(|number| layout.piece(number))
        {
            if self.spoilt.has(piece) {
                good.remove(piece);
                continue;
            }
            self.have.insert(piece);
            if !self.durable.has(piece) {
                self.unsynced.insert(piece);
            }
        }
    }

    /// The journal must not vouch for these pieces any more: another run is to hash them.
    pub(super) fn doubt(&mut self, pieces: &[PieceIndex], files: &Files) {
        let mut was_vouched_for = false;
        for &piece in pieces {
            if self.durable.remove(piece) == Change::Made {
                self.intents.insert(piece);
                was_vouched_for = true;
            }
        }
        if was_vouched_for && self.journal.is_some() && self.rewrite(files).is_err() {
            self.abandon();
        }
    }

    /// Writes the journal anew.
    pub(super) fn rewrite(&mut self, files: &Files) -> io::Result<()> {
        let Some(home) = &self.home else {
            return Ok(());
        };
        let stamps = files.stamps();
        let record = journal::Snapshot {
            durable: &self.durable,
            intents: &self.intents,
            stamps: &stamps,
        };
        self.journal = Some(Journal::create(&home.dir, &home.subject, &record)?);
        Ok(())
    }

    /// Journals no more; the content is published.
    pub(super) fn close(&mut self) {
        self.home = None;
        self.journal = None;
    }

    /// Pieces that are there.
    pub(super) fn have(&self) -> &Bitfield {
        &self.have
    }

    /// Whether the piece is wanted and not there.
    pub(super) fn is_lacking(&self, piece: PieceIndex) -> bool {
        self.wanted.has(piece) && !self.have.has(piece)
    }

    /// How many pieces are missing.
    pub(super) fn missing(&self) -> u32 {
        self.wanted.count_difference(&self.have)
    }

    fn fault(&self, error: io::Error) -> StorageError {
        let (path, free) = self.home.as_ref().map_or((Path::new(""), 0), |home| {
            (home.path.as_path(), home.dir.free_bytes().unwrap_or(0))
        });
        StorageError::of_write(path, error, free, 0)
    }

    /// Taking trust back could not be written down, so nothing may be trusted.
    fn abandon(&mut self) {
        self.journal = None;
        if let Some(home) = &self.home {
            // On a full disk this still works; where it does not, nothing can be written at all.
            let _gone = home.dir.remove(Path::new(journal::NAME));
        }
    }
}
