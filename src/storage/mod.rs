//! Content on the disk: where each byte lives, which pieces are good, and how it survives crashes.
//!
//! Everything here blocks. Unverified bytes never reach the real name of a file: data lies in
//! `DIR/.NAME.swarm-part/` until every wanted piece is verified and durable, then one rename
//! publishes it.

pub mod create;
mod error;
mod meter;
pub mod verify;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bitfield::Bitfield;
use crate::layout::PieceIndex;
use crate::metainfo::Metainfo;

pub use error::StorageError;
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

/// A range of one open file, for handing to the kernel whole.
#[derive(Clone, Debug)]
pub struct FileRange {
    /// The file.
    pub file: Arc<File>,
    /// Where the range starts in it.
    pub offset: u64,
}

/// The content on the disk.
#[derive(Debug)]
pub struct Store {
    meta: Arc<Metainfo>,
}

impl Store {
    /// Opens the output for fetching: takes up what an earlier run left, checks what has to be.
    ///
    /// # Errors
    /// [`StorageError::Exists`] if the output is there and differs, [`StorageError::Locked`] if
    /// another process is at it, [`StorageError::NoSpace`], [`StorageError::ReadOnly`] …
    pub fn fetch(
        _meta: Arc<Metainfo>,
        _options: &FetchOptions,
        _meter: &Meter,
    ) -> Result<Opened, StorageError> {
        Err(StorageError::Cancelled)
    }

    /// Opens data for reading only. `data` is the content's top file or directory itself.
    /// No piece counts as verified before [`Store::recheck`].
    ///
    /// # Errors
    /// If `data` does not exist or cannot be read.
    pub fn seed(meta: Arc<Metainfo>, _data: &Path) -> Result<Self, StorageError> {
        Ok(Self { meta })
    }

    /// Opens for reading what [`create::hash_files`] has just hashed: every piece counts as
    /// verified, as long as the files stay as they were.
    ///
    /// # Errors
    /// If the list is not the one that the manifest was made from.
    pub fn seed_created(
        meta: Arc<Metainfo>,
        _list: &create::FileList,
    ) -> Result<Self, StorageError> {
        Ok(Self { meta })
    }

    /// Fills `buf` with the content from `offset` on. Padding reads as zeros.
    ///
    /// # Errors
    /// [`StorageError::Changed`] if a file is not what it was when its pieces were verified.
    pub fn read_at(&self, _offset: u64, _buf: &mut [u8]) -> Result<(), StorageError> {
        Err(StorageError::Cancelled)
    }

    /// Where `len` bytes of content from `offset` on lie, if that is in one file.
    ///
    /// # Errors
    /// As [`Store::read_at`].
    pub fn file_range(&self, _offset: u64, _len: u64) -> Result<Option<FileRange>, StorageError> {
        Ok(None)
    }

    /// Writes a piece whose hash is right.
    ///
    /// # Errors
    /// [`StorageError::NoSpace`] and whatever else the disk says; the piece is then not stored.
    pub fn write_piece(&self, _piece: PieceIndex, _data: &[u8]) -> Result<(), StorageError> {
        Err(StorageError::Cancelled)
    }

    /// Makes everything written so far durable and notes it in the journal.
    ///
    /// # Errors
    /// Whatever the disk says; nothing is vouched for then that was not before.
    pub fn checkpoint(&self) -> Result<(), StorageError> {
        Ok(())
    }

    /// Publishes the complete content under its real name and says what that is. Reading goes on.
    ///
    /// # Errors
    /// [`StorageError::Incomplete`], [`StorageError::Exists`] if somebody took the name meanwhile.
    pub fn finish(&self) -> Result<PathBuf, StorageError> {
        Err(StorageError::Cancelled)
    }

    /// Hashes the pieces again and says which of them are good; these count as verified from now
    /// on, the others do not. After a cancellation the rest counts as bad.
    pub fn recheck(&self, _pieces: &[PieceIndex], _threads: usize, _meter: &Meter) -> Bitfield {
        Bitfield::empty(self.meta.layout().piece_count())
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
            StorageError::Changed { file, .. } => self.pieces_of_file(*file),
            _ => vec![piece],
        }
    }
}
