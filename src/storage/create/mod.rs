//! From files on the disk to what a manifest says of them.

use std::path::PathBuf;

use super::{Meter, StorageError};
use crate::ids::PieceHash;

/// What to do with symbolic links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Symlinks {
    /// Share what they point at.
    #[default]
    Follow,
    /// Leave them out.
    Skip,
    /// Refuse them.
    Error,
}

/// A gitignore-style pattern and what it does; the last match wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Leaves out what matches.
    Exclude(String),
    /// Takes in again what matches.
    Include(String),
}

/// Which files of a tree to share.
#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// The name of the content; that of the path if there is only one and none is given.
    pub name: Option<String>,
    /// Patterns in the order they were given.
    pub rules: Vec<Rule>,
    /// Whether `.gitignore` files are obeyed.
    pub gitignore: bool,
    /// Whether names that start with a dot are shared.
    pub hidden: bool,
    /// Whether `.DS_Store`, `Thumbs.db` and `desktop.ini` are shared.
    pub junk: bool,
    /// What to do with symbolic links.
    pub symlinks: Symlinks,
}

/// The files to share, in the order of the manifest.
#[derive(Clone, Debug)]
pub struct FileList {
    /// The name of the content.
    pub name: String,
    /// Whether it is one bare file.
    pub single: bool,
    /// The files: raw bytes of the path, element by element, ascending.
    pub files: Vec<ScannedFile>,
    /// Junk files that were left out.
    pub junk_dropped: Vec<PathBuf>,
    /// Symbolic links that were left out.
    pub links_skipped: Vec<PathBuf>,
}

/// One file to share.
#[derive(Clone, Debug)]
pub struct ScannedFile {
    /// The elements of its path below the content's name; none for a bare file.
    pub path: Vec<String>,
    /// Its length in bytes.
    pub len: u64,
    /// Whether its owner may execute it.
    pub executable: bool,
}

impl FileList {
    /// Bytes of all files together, at least 1.
    pub fn total_len(&self) -> u64 {
        self.files.iter().map(|file| file.len).sum()
    }
}

/// Finds the files to share.
///
/// # Errors
/// If a path cannot be read, a name is not UTF-8, a link is dangling or a loop, or nothing is left.
pub fn scan(_paths: &[PathBuf], _options: &ScanOptions) -> Result<FileList, StorageError> {
    Err(StorageError::Cancelled)
}

/// Hashes the content in pieces of `piece_len` bytes, on `threads` threads.
///
/// # Errors
/// If a file cannot be read or changed since it was found, or the meter was cancelled.
pub fn hash_files(
    _list: &FileList,
    _piece_len: u32,
    _threads: usize,
    _meter: &Meter,
) -> Result<Vec<PieceHash>, StorageError> {
    Err(StorageError::Cancelled)
}
