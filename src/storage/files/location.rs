//! Where the files of some content are, and how they are opened there.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Stat};

use crate::metainfo::Metainfo;
use crate::storage::beneath::{Access, Dir};

/// Where the files are.
#[derive(Debug)]
pub(in crate::storage) enum Location {
    /// Wherever these paths lead, for reading. One path per file.
    Paths(Vec<PathBuf>),
    /// Below the directory of the content, for reading; links are followed.
    Shared {
        /// That directory.
        dir: Dir,
        /// Its path, for messages.
        path: PathBuf,
        /// Names the files.
        meta: Arc<Metainfo>,
    },
    /// Below a directory that we own; no link is followed.
    Owned {
        /// The directory of the content or, if it is one bare file, the one it is in.
        dir: Dir,
        /// Its path, for messages.
        path: PathBuf,
        /// Names the files.
        meta: Arc<Metainfo>,
        /// The name of the one bare file, if the content is that.
        bare: Option<PathBuf>,
        /// Whether files are opened for writing.
        writable: bool,
    },
}

/// What the caller is going to do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    /// It is created if it is missing.
    Write,
}

impl Location {
    /// The same, not to be written.
    pub(in crate::storage) fn readable(mut self) -> Self {
        if let Self::Owned { writable, .. } = &mut self {
            *writable = false;
        }
        self
    }

    /// Opens a file.
    pub(super) fn open(&self, file: usize, purpose: Purpose) -> io::Result<File> {
        match self {
            Self::Paths(paths) => File::open(&paths[file]),
            Self::Shared { dir, meta, .. } => dir.file_through_links(below_top(meta, file)),
            Self::Owned {
                dir,
                meta,
                bare,
                writable,
                ..
            } => {
                let access = match (writable, purpose) {
                    (false, _) => Access::Read,
                    (true, Purpose::Read) => Access::Write,
                    (true, Purpose::Write) => Access::Create {
                        executable: meta.files()[file].executable,
                    },
                };
                dir.file(
                    bare.as_deref().unwrap_or_else(|| below_top(meta, file)),
                    access,
                )
            }
        }
    }

    /// What the file system says of a file.
    pub(super) fn stat(&self, file: usize) -> rustix::io::Result<Stat> {
        match self {
            Self::Paths(paths) => rustix::fs::stat(&paths[file]),
            Self::Shared { dir, meta, .. } => {
                rustix::fs::statat(dir, below_top(meta, file), AtFlags::empty())
            }
            Self::Owned {
                dir, meta, bare, ..
            } => {
                let path = bare.as_deref().unwrap_or_else(|| below_top(meta, file));
                rustix::fs::statat(dir, path, AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }

    /// The path of a file, for messages.
    pub(super) fn path(&self, file: usize) -> PathBuf {
        match self {
            Self::Paths(paths) => paths[file].clone(),
            Self::Shared { path, meta, .. } => path.join(below_top(meta, file)),
            Self::Owned {
                path, meta, bare, ..
            } => path.join(bare.as_deref().unwrap_or_else(|| below_top(meta, file))),
        }
    }

    /// The path of all files together, for messages.
    pub(super) fn top(&self) -> PathBuf {
        match self {
            Self::Paths(_) => PathBuf::new(),
            Self::Shared { path, .. } | Self::Owned { path, .. } => path.clone(),
        }
    }
}

/// The path of a file below the content's top directory.
pub(in crate::storage) fn below_top(meta: &Metainfo, file: usize) -> &Path {
    let mut elements = meta.files()[file].path.as_path().components();
    elements.next();
    elements.as_path()
}
