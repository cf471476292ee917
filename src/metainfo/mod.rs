//! The manifest (`.torrent`): a value of [`Metainfo`] is valid, parsed rather than validated.
//!
//! Pure: bytes in, values out (BEP 3, 12, 19, 27, 47).

pub mod path;

use std::ops::Range;

use crate::ids::{InfoHash, PieceHash};
use crate::layout::{Layout, PieceIndex};

pub use path::SafePath;

/// Everything a manifest says, checked.
#[derive(Clone, Debug)]
pub struct Metainfo {
    info_hash: InfoHash,
    layout: Layout,
    piece_hashes: Vec<PieceHash>,
    files: Vec<FileEntry>,
    private: bool,
    trackers: Vec<Vec<String>>,
}

/// One file of the content, in manifest order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Where it goes, relative to the output directory; the first element is the manifest's name.
    pub path: SafePath,
    /// Its length in bytes; may be zero.
    pub len: u64,
    /// Where it starts in the content, in bytes.
    pub offset: u64,
    /// What it is.
    pub kind: FileKind,
    /// Whether it should be executable (BEP 47 `x`).
    pub executable: bool,
}

/// What an entry of the file list stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A file on the disk.
    Regular,
    /// Zeros that align the next file (BEP 47 `p`): hashed, never written nor fetched.
    Padding,
    /// A symbolic link (BEP 47 `l`): shown, never created.
    Symlink,
}

impl Metainfo {
    /// The name of the swarm.
    pub const fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// How the content divides into pieces.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What the piece must hash to.
    pub fn piece_hash(&self, piece: PieceIndex) -> PieceHash {
        self.piece_hashes[piece.as_usize()]
    }

    /// Every file in manifest order; offsets ascend without gaps.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// Whether only the manifest's trackers may be asked (BEP 27).
    pub const fn is_private(&self) -> bool {
        self.private
    }

    /// Tracker URLs in tiers (BEP 12).
    pub fn trackers(&self) -> &[Vec<String>] {
        &self.trackers
    }

    /// Byte ranges of the content that are padding.
    pub fn padding(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.files
            .iter()
            .filter(|file| file.kind == FileKind::Padding)
            .map(|file| file.offset..file.offset + file.len)
    }
}
