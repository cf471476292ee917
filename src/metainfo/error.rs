//! Why bytes are no manifest we can use.

use super::path::PathError;
use crate::bencode::{BencodeError, Byte, Grouped};

/// Bytes are not a manifest that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// It does not even start as one.
    #[error("is not a torrent: byte 0 is {}, a manifest starts with 'd'", Byte(*.0))]
    NotATorrent(u8),
    /// It is not bencode, or more of it than the limits allow.
    #[error("{0}")]
    Bencode(#[from] BencodeError),
    /// Something other than white space follows the manifest.
    #[error("has {} unexpected bytes after its end, from offset: {}", Grouped(*count as u64), offset)]
    Trailing {
        /// Where the first of them is.
        offset: usize,
        /// How many bytes there are from there on.
        count: usize,
    },
    /// A field is missing or of the wrong kind.
    #[error("has no valid field: {0}")]
    Field(&'static str),
    /// A field stands twice, and readers would disagree on which counts.
    #[error("has two fields: {0}")]
    Repeated(&'static str),
    /// It describes the content in the second version's way only (BEP 52).
    #[error("is BitTorrent v2 only; swarm reads v1 and hybrid manifests so far")]
    V2Only,
    /// It is a hybrid whose two halves describe different files.
    #[error("has v1 and v2 halves that differ from file: {0}")]
    HalvesDiffer(usize),
    /// The piece length is outside what is allowed.
    #[error(
        "has a piece length outside 16,384 to 536,870,912 bytes: {}",
        Grouped(*.0)
    )]
    PieceLength(u64),
    /// The number of piece hashes is not what the size asks for.
    #[error("has {} bytes of piece hashes, want: {}", Grouped(*got), Grouped(*want))]
    PieceHashes {
        /// Bytes there are.
        got: u64,
        /// Bytes the content's size asks for.
        want: u64,
    },
    /// More pieces than allowed.
    #[error("has too many pieces, limit: {}", Grouped(super::PIECES_MAX.into()))]
    TooManyPieces,
    /// More files than allowed.
    #[error("has too many files, limit: {}", Grouped(super::FILES_MAX as u64))]
    TooManyFiles,
    /// There is nothing in it to share.
    #[error("contains no files")]
    NoFiles,
    /// All files are empty.
    #[error("total size is 0 bytes; a torrent needs data")]
    NoData,
    /// The sizes add up to more than allowed.
    #[error("has a total size above the limit of 2^60 bytes")]
    TooLarge,
    /// The name cannot name an output file.
    #[error("has name \"{name}\": refused, it {reason}")]
    Name {
        /// The name, escaped.
        name: String,
        /// Why not.
        reason: PathError,
    },
    /// A path tries to leave the output directory.
    #[error("file {number} has path \"{path}\": refused")]
    Escapes {
        /// The number of the file, from 1.
        number: usize,
        /// Its path, escaped.
        path: String,
    },
    /// A path cannot name an output file.
    #[error("file {number} has path \"{path}\": refused, it {reason}")]
    Path {
        /// The number of the file, from 1.
        number: usize,
        /// Its path, escaped.
        path: String,
        /// Why not.
        reason: PathError,
    },
    /// A path stands twice.
    #[error("\"{0}\" is listed twice")]
    Duplicate(String),
    /// A path is the directory of another.
    #[error("\"{0}\" is both a file and a directory")]
    FileAndDirectory(String),
    /// Two paths differ in the case of letters only.
    #[error("\"{0}\" and \"{1}\" would be the same file on a filesystem that ignores case")]
    SameButCase(String, String),
    /// A file to share has a name that would not arrive as it is.
    #[error("\"{given}\" cannot be shared: it would arrive as \"{arrives}\"")]
    NameChanges {
        /// The path as it is, escaped.
        given: String,
        /// The path as a fetcher would write it.
        arrives: String,
    },
}

impl MetainfoError {
    /// The whole sentence about a manifest of this name: `model.torrent ends early: …`.
    pub fn about(&self, manifest: &str) -> String {
        match self {
            Self::SameButCase(..) => self.to_string(),
            Self::Escapes { .. }
            | Self::Path { .. }
            | Self::Duplicate(_)
            | Self::FileAndDirectory(_)
            | Self::NameChanges { .. }
            | Self::NoData
            | Self::Bencode(
                BencodeError::Unexpected { .. }
                | BencodeError::TooManyTokens { .. }
                | BencodeError::TooDeep { .. }
                | BencodeError::NumberTooLarge { .. },
            ) => {
                format!("{manifest}: {self}")
            }
            _ => format!("{manifest} {self}"),
        }
    }
}
