//! The manifest (`.torrent`): a value of [`Metainfo`] is valid, parsed rather than validated.
//!
//! Pure: bytes in, values out (BEP 3, 12, 19, 27, 47; hybrids of BEP 52 by their v1 half). What is
//! taken and what is refused, and why, is in `docs/manifests.md`.

pub mod announced;
pub mod build;
mod error;
pub mod escape;
mod files;
mod hybrid;
pub mod magnet;
mod names;
mod parse;
pub mod path;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::bencode::Limits;
use crate::ids::{InfoHash, PieceHash};
use crate::layout::{Layout, PieceIndex};

pub use error::MetainfoError;
pub use path::SafePath;

/// The longest manifest, in bytes.
pub const MANIFEST_LEN_MAX: usize = Limits::MANIFEST.input;
/// Most files in a manifest.
pub const FILES_MAX: usize = 1_000_000;
/// Most pieces in a manifest, the limit of libtorrent.
pub const PIECES_MAX: u32 = 2_097_152;
/// The shortest and longest piece that a manifest may ask for, in bytes.
pub const PIECE_LEN_RANGE: std::ops::RangeInclusive<u32> = 16 << 10..=512 << 20;
/// Most bytes of content, 2^60.
pub const TOTAL_LEN_MAX: u64 = 1 << 60;

/// Everything a manifest says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metainfo {
    /// The manifest as it was read; `info` and `pieces` are ranges of it.
    raw: Vec<u8>,
    info: Range<usize>,
    pieces: Range<usize>,
    info_hash: InfoHash,
    layout: Layout,
    mode: FileMode,
    files: Vec<FileEntry>,
    private: bool,
    source: Option<String>,
    about: About,
}

/// What stands outside `info`: it may differ between manifests of one swarm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct About {
    trackers: Vec<Vec<String>>,
    web_seeds: Vec<String>,
    nodes: Vec<String>,
    comment: Option<String>,
    created_by: Option<String>,
    creation_date: Option<i64>,
}

/// Whether the content is a file or a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileMode {
    /// One bare file.
    Single,
    /// A directory of files.
    Directory,
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

/// A path that is written under another name than the manifest gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// The path as the manifest gives it, escaped for showing.
    pub given: String,
    /// The path as it is written.
    pub path: SafePath,
}

impl Metainfo {
    /// Reads a manifest.
    ///
    /// # Errors
    /// If it is not one, or not one that can be fetched safely.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetainfoError> {
        Self::from_vec(bytes.to_vec())
    }

    /// Reads a manifest and keeps its bytes without a copy.
    ///
    /// # Errors
    /// As [`Metainfo::parse`].
    pub fn from_vec(bytes: Vec<u8>) -> Result<Self, MetainfoError> {
        parse::parse(bytes)
    }

    /// Makes a manifest around a raw `info` dictionary, with trackers each in a tier of its own.
    ///
    /// # Errors
    /// As [`Metainfo::parse`], of the manifest that it makes.
    pub fn from_info(
        info: &[u8],
        trackers: &[String],
        web_seeds: &[String],
    ) -> Result<Self, MetainfoError> {
        Self::from_vec(build::around(info, trackers, web_seeds))
    }

    /// The name of the swarm.
    pub const fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// The name of the content: of its only file, or of its directory.
    pub fn name(&self) -> &str {
        self.files[0].path.elements().next().unwrap_or_default()
    }

    /// Whether the content is a file or a directory.
    pub const fn mode(&self) -> FileMode {
        self.mode
    }

    /// How the content divides into pieces.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What the piece must hash to.
    ///
    /// # Panics
    /// If the piece belongs to content with more pieces.
    pub fn piece_hash(&self, piece: PieceIndex) -> PieceHash {
        let hashes = &self.raw[self.pieces.clone()];
        let (hash, _) = hashes[20 * piece.as_usize()..]
            .split_first_chunk()
            .expect("there are 20 bytes for every piece");
        PieceHash::new(*hash)
    }

    /// Every file in manifest order; offsets ascend without gaps.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// Whether only the manifest's trackers may be asked (BEP 27).
    pub const fn is_private(&self) -> bool {
        self.private
    }

    /// What sets swarms of the same files apart, as some trackers ask for.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// Tracker URLs in tiers (BEP 12).
    pub fn trackers(&self) -> &[Vec<String>] {
        &self.about.trackers
    }

    /// URLs of servers that have the content (BEP 19).
    pub fn web_seeds(&self) -> &[String] {
        &self.about.web_seeds
    }

    /// Nodes of the DHT to start from, as `host:port` (BEP 5).
    pub fn nodes(&self) -> &[String] {
        &self.about.nodes
    }

    /// What its maker says of it. Foreign text: escape it before showing it.
    pub fn comment(&self) -> Option<&str> {
        self.about.comment.as_deref()
    }

    /// The program that made it. Foreign text: escape it before showing it.
    pub fn created_by(&self) -> Option<&str> {
        self.about.created_by.as_deref()
    }

    /// When it was made, in seconds since 1970; some programs write milliseconds.
    pub const fn creation_date(&self) -> Option<i64> {
        self.about.creation_date
    }

    /// The manifest itself.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The raw bytes of `info`, whose SHA-1 is the info hash.
    pub fn info_bytes(&self) -> &[u8] {
        &self.raw[self.info.clone()]
    }

    /// Byte ranges of the content that are padding.
    pub fn padding(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.files
            .iter()
            .filter(|file| file.kind == FileKind::Padding)
            .map(|file| file.offset..file.offset + file.len)
    }

    /// The paths that are written otherwise than the manifest gives them. Reads it once more.
    pub fn renamed(&self) -> Vec<Renamed> {
        parse::renamed(self)
    }
}
