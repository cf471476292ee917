//! From files on the disk to what a manifest says of them.

mod scan;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::each::each;
use super::files::{Files, Location};
use super::pieces::Job;
use super::spans::{Place, Spans};
use super::stamp::Stamp;
use super::{HashCache, Meter, StorageError};
use crate::ids::PieceHash;
use crate::layout::Layout;
use crate::metainfo::{FileEntry, FileKind};

pub use scan::scan;

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
    /// What was left out without being asked: junk files, unfinished downloads.
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
    /// Where it is on the disk.
    pub(in crate::storage) source: PathBuf,
    /// What it was when it was found.
    pub(in crate::storage) stamp: Stamp,
}

impl FileList {
    /// Bytes of all files together, at least 1.
    pub fn total_len(&self) -> u64 {
        self.files.iter().map(|file| file.len).sum()
    }
}

/// The hashes of all pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// In the order of the pieces.
    pub pieces: Vec<PieceHash>,
    /// How many of them the cache knew.
    pub known: u32,
}

/// Hashes the content in pieces of `piece_len` bytes, on `threads` threads, as far as the cache
/// does not know them. `arranged` is what `Builder::arrange` made of the list: the same files in
/// the same order, padding between them.
///
/// # Errors
/// If a file cannot be read or changed since it was found, or the meter was cancelled.
/// [`StorageError::NoData`] if there is nothing to hash.
///
/// # Panics
/// If `arranged` was made from another list.
pub fn hash_files(
    (list, arranged): (&FileList, &[FileEntry]),
    piece_len: u32,
    cache: &HashCache,
    threads: usize,
    meter: &Meter,
) -> Result<Hashed, StorageError> {
    let total_len = arranged.iter().map(|entry| entry.len).sum();
    let layout = Layout::new(total_len, piece_len).ok_or(StorageError::NoData)?;
    let mut numbers = 0..list.files.len();
    let runs = arranged.iter().map(|entry| match entry.kind {
        FileKind::Padding => (Place::Zeros, entry.len),
        FileKind::Regular | FileKind::Symlink => {
            let number = numbers.next().expect("arranged from the same list");
            assert_eq!(
                list.files[number].len, entry.len,
                "arranged from the same list"
            );
            (Place::File(number), entry.len)
        }
    });
    let spans = Spans::of(runs);
    let lengths = list.files.iter().map(|file| file.len).collect();
    let sources = list.files.iter().map(|file| file.source.clone()).collect();
    let files = Files::new(spans, lengths, Location::Paths(sources));
    for (number, file) in list.files.iter().enumerate() {
        files.trust(number, file.stamp);
    }
    let keys = cache.keys(&files, &layout);
    let mut hashes = cache.recall(&keys);
    hashes.resize(layout.piece_count() as usize, None);
    let mut unknown: Vec<_> = layout.pieces().collect();
    unknown.retain(|piece| hashes[piece.as_usize()].is_none());
    let hashes = Mutex::new(hashes);
    let job = Job {
        layout: &layout,
        files: &files,
        found: |piece: crate::layout::PieceIndex, digest| {
            let mut hashes = hashes.lock().unwrap_or_else(PoisonError::into_inner);
            hashes[piece.as_usize()] = Some(digest?);
            Ok(())
        },
    };
    job.run(&unknown, threads, meter)?;
    let numbers: Vec<usize> = (0..list.files.len()).collect();
    let looked_at = each(&numbers, threads, |&file| files.expect_intact(file));
    looked_at.into_iter().collect::<Result<(), _>>()?;
    let hashes = hashes.into_inner().unwrap_or_else(PoisonError::into_inner);
    cache.keep(&keys, hashes.iter().copied());
    let pieces: Vec<PieceHash> = hashes.into_iter().flatten().collect();
    let known = pieces.len() - unknown.len();
    Ok(Hashed {
        known: u32::try_from(known).expect("pieces are counted in 32 bits"),
        pieces,
    })
}

#[cfg(test)]
mod tests;
