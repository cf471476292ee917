//! What can go wrong between us and a disk, each with the path it happened to.

use std::io;
use std::path::{Path, PathBuf};

use super::beneath::is_obstacle;

/// The disk refused, or holds something else than it should.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// There is nothing at this path.
    #[error("no such file or directory: {}", path.display())]
    NotFound {
        /// What was looked for.
        path: PathBuf,
    },
    /// The output exists and is not the content.
    #[error("{} exists and {differs} of {pieces} pieces differ", path.display())]
    Exists {
        /// The output.
        path: PathBuf,
        /// How many pieces of it are wrong or cannot be read.
        differs: u32,
        /// How many pieces were looked at.
        pieces: u32,
    },
    /// Somebody took the output's name while it was being made.
    #[error("{} appeared during the download; the complete content is in: {}", path.display(), kept.display())]
    NameTaken {
        /// The output.
        path: PathBuf,
        /// Where the complete content is.
        kept: PathBuf,
    },
    /// The file system is too full.
    #[error("no space on {}: {free} bytes free, needed: {needed}", path.display())]
    NoSpace {
        /// The output directory, or the file that could not grow.
        path: PathBuf,
        /// Bytes that may still be written there.
        free: u64,
        /// Bytes that have to be.
        needed: u64,
    },
    /// Another process writes this output.
    #[error("{} is in use by process: {}", path.display(), pid.map_or("unknown".into(), |pid| pid.to_string()))]
    Locked {
        /// The output.
        path: PathBuf,
        /// Who, if it told.
        pid: Option<u32>,
    },
    /// An unfinished download of another manifest has the same name.
    #[error("{} holds an unfinished download of other content", path.display())]
    OtherContent {
        /// The directory of the unfinished download.
        path: PathBuf,
    },
    /// The file is no longer what was verified, or changed while it was being hashed.
    #[error("{} changed (size {before} -> {after})", path.display())]
    Changed {
        /// Its number in the manifest or file list.
        file: usize,
        /// Its path.
        path: PathBuf,
        /// Its size when it was looked at first.
        before: u64,
        /// Its size at present; may be the same.
        after: u64,
    },
    /// A link or something else that is neither file nor directory lies where output belongs.
    #[error("not a plain file or directory, refused: {}", path.display())]
    Refused {
        /// Where it lies.
        path: PathBuf,
    },
    /// A file lies where a directory belongs, or the other way round.
    #[error("something else lies where content belongs: {}", path.display())]
    InTheWay {
        /// Where the content belongs.
        path: PathBuf,
    },
    /// The file system or its permissions forbid writing.
    #[error("not writable: {}", path.display())]
    ReadOnly {
        /// What was to be written.
        path: PathBuf,
    },
    /// Content cannot be finished before every wanted piece is stored.
    #[error("pieces missing: {missing}")]
    Incomplete {
        /// How many.
        missing: u32,
    },
    /// A path given for sharing holds no file.
    #[error("{} contains no files", path.display())]
    NoFiles {
        /// The path.
        path: PathBuf,
    },
    /// Content needs a name, and the paths do not tell one.
    #[error("give a name for what is shared: {} does not tell one", path.display())]
    NoName {
        /// The first path.
        path: PathBuf,
    },
    /// Every file to share is empty.
    #[error("total size is 0 bytes; a torrent needs data")]
    NoData,
    /// A name cannot stand in a manifest.
    #[error("name is not UTF-8: {}", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
    },
    /// A symbolic link leads nowhere.
    #[error("{} → {}: target missing", path.display(), target.display())]
    DanglingLink {
        /// The link.
        path: PathBuf,
        /// What it says.
        target: PathBuf,
    },
    /// A symbolic link leads to a directory that contains it.
    #[error("{} → {}: loop", path.display(), target.display())]
    LinkLoop {
        /// The link.
        path: PathBuf,
        /// What it says.
        target: PathBuf,
    },
    /// A symbolic link where none is wanted.
    #[error("{} is a symbolic link", path.display())]
    LinkFound {
        /// The link.
        path: PathBuf,
    },
    /// An exclude or include pattern is malformed.
    #[error("bad pattern {pattern:?}: {reason}")]
    BadPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two files to share would have the same path.
    #[error("two files would both be: {path:?}")]
    SamePath {
        /// The path in the manifest.
        path: String,
    },
    /// [`super::Meter::cancel`] was called.
    #[error("cancelled")]
    Cancelled,
    /// Anything else the operating system says.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "write" …
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

impl StorageError {
    /// What an error of the operating system means for `path`.
    pub(super) fn of(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        let (free, needed) = (0, 0);
        match source.kind() {
            _ if is_obstacle(&source) => Self::Refused { path },
            io::ErrorKind::NotFound => Self::NotFound { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { path, free, needed }
            }
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::PermissionDenied if action != "read" => Self::ReadOnly { path },
            _ => Self::Io {
                action,
                path,
                source,
            },
        }
    }

    /// The same for a write of `needed` bytes where `free` are left.
    pub(super) fn of_write(path: &Path, source: io::Error, free: u64, needed: u64) -> Self {
        match Self::of("write", path, source) {
            Self::NoSpace { path, .. } => Self::NoSpace { path, free, needed },
            other => other,
        }
    }
}
