//! The last step: everything durable, then one rename.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::beneath::{Dir, Kind};
use super::error::StorageError;
use super::files::{Files, Location, below_top};
use super::ledger::Ledger;
use super::lock::Lock;
use crate::metainfo::Metainfo;

/// The content's name inside the directory of the unfinished download.
pub(super) const DATA: &str = "data";

/// Where the content goes.
#[derive(Debug)]
pub(super) enum Output {
    /// It is there.
    Complete(PathBuf),
    /// It is being made beside its place.
    Part(Site),
    /// It is being corrected in its place.
    InPlace(Site),
}

/// The places of an output that is being made.
#[derive(Debug)]
pub(super) struct Site {
    /// The output directory.
    pub(super) dir: Dir,
    /// Its path.
    pub(super) dir_path: PathBuf,
    /// The name of the content's top entry in it.
    pub(super) name: PathBuf,
    /// The directory of the unfinished download, in the output directory.
    pub(super) part: Dir,
    /// Its name.
    pub(super) part_name: PathBuf,
    /// Which files of the manifest are to appear.
    pub(super) selected: Vec<bool>,
    /// Whether the content is one bare file.
    pub(super) is_bare: bool,
    /// Whether an earlier run may have left files that this selection does not hold.
    pub(super) may_hold_strangers: bool,
    /// Keeps others off.
    #[expect(dead_code, reason = "held as long as the output is being made")]
    pub(super) lock: Lock,
}

impl Output {
    /// Where the unfinished download keeps what is its own.
    pub(super) fn scratch_dir(&self) -> Option<PathBuf> {
        match self {
            Self::Complete(_) => None,
            Self::Part(site) | Self::InPlace(site) => Some(site.dir_path.join(&site.part_name)),
        }
    }

    /// Gives the content its real name and says what that is.
    pub(super) fn publish(
        &mut self,
        meta: &Arc<Metainfo>,
        files: &Files,
        ledger: &mut Ledger,
    ) -> Result<PathBuf, StorageError> {
        let path = match self {
            Self::Complete(path) => return Ok(path.clone()),
            Self::Part(site) => {
                Site::check_complete(ledger)?;
                site.prune(meta)?;
                site.settle(meta, files)?;
                site.rename(meta, files)?;
                site.path()
            }
            Self::InPlace(site) => {
                Site::check_complete(ledger)?;
                site.settle(meta, files)?;
                site.path()
            }
        };
        ledger.close();
        if let Self::Part(site) | Self::InPlace(site) = self {
            // What is left behind is taken away by the next run. The side file is served on.
            let remove = || site.dir.remove_all(&site.part_name);
            let _leftover = files.touching_side(remove)?;
        }
        *self = Self::Complete(path.clone());
        Ok(path)
    }
}

impl Site {
    fn path(&self) -> PathBuf {
        self.dir_path.join(&self.name)
    }

    fn check_complete(ledger: &Ledger) -> Result<(), StorageError> {
        match ledger.missing() {
            0 => Ok(()),
            missing => Err(StorageError::Incomplete { missing }),
        }
    }

    /// Deletes what is not selected, now that it would be published: what other selections left,
    /// and what nobody knows.
    fn prune(&self, meta: &Metainfo) -> Result<(), StorageError> {
        if self.is_bare || !self.may_hold_strangers {
            return Ok(());
        }
        let numbers = (0..self.selected.len()).filter(|&file| self.selected[file]);
        let keep = numbers.map(|file| below_top(meta, file)).collect();
        let data = self.part.subdir(Path::new(DATA));
        let pruned = data.and_then(|data| prune_dir(&data, Path::new(""), &keep));
        let path = self.dir_path.join(&self.part_name);
        pruned.map_err(|error| StorageError::of("clean", &path, error))
    }

    /// Every file there, with its right length, as we left it, and durable.
    fn settle(&self, meta: &Metainfo, files: &Files) -> Result<(), StorageError> {
        let numbers = 0..meta.files().len();
        let selected: BTreeSet<usize> = numbers.filter(|&file| self.selected[file]).collect();
        for &file in &selected {
            files.complete(file)?;
            files.expect_intact(file)?;
        }
        files.sync(&selected)?;
        let paths = selected.iter().map(|&file| below_top(meta, file));
        let parents: BTreeSet<&Path> = paths.flat_map(|path| path.ancestors().skip(1)).collect();
        if parents.len() > super::files::SYNC_SINGLY_MAX {
            return files.sync_all();
        }
        files.sync_dirs(
            parents
                .into_iter()
                .filter(|path| !path.as_os_str().is_empty()),
        )
    }

    fn rename(&self, meta: &Arc<Metainfo>, files: &Files) -> Result<(), StorageError> {
        let publish = || self.part.publish(Path::new(DATA), &self.dir, &self.name);
        let bare = (0..self.selected.len()).find(|&file| self.is_bare && self.selected[file]);
        // Renaming a file itself changes its stamp; renaming its directory does not.
        let renamed = match bare {
            Some(file) => files.touching(file, publish)?,
            None => publish(),
        };
        renamed.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => StorageError::NameTaken {
                path: self.path(),
                kept: self.dir_path.join(&self.part_name).join(DATA),
            },
            _ => StorageError::of("rename", &self.path(), error),
        })?;
        files.relocate(self.published(meta)?);
        let synced = self.dir.sync();
        synced.map_err(|error| StorageError::of("sync", &self.dir_path, error))
    }

    fn published(&self, meta: &Arc<Metainfo>) -> Result<Location, StorageError> {
        let opened = if self.is_bare {
            self.dir.subdir(Path::new("."))
        } else {
            self.dir.subdir(&self.name)
        };
        Ok(Location::Owned {
            dir: opened.map_err(|error| StorageError::of("open", &self.path(), error))?,
            path: if self.is_bare {
                self.dir_path.clone()
            } else {
                self.path()
            },
            meta: Arc::clone(meta),
            bare: self.is_bare.then(|| self.name.clone()),
            writable: false,
        })
    }
}

fn prune_dir(dir: &Dir, at: &Path, keep: &BTreeSet<&Path>) -> io::Result<()> {
    for name in dir.names()? {
        let path = at.join(&name);
        let leads_on = keep.range(path.as_path()..).next();
        let leads_on = leads_on.is_some_and(|kept| kept.starts_with(&path));
        match dir.kind(Path::new(&name))? {
            Some(Kind::File) if keep.contains(path.as_path()) => {}
            Some(Kind::Directory) if leads_on => {
                prune_dir(&dir.subdir(Path::new(&name))?, &path, keep)?;
            }
            _ => dir.remove_all(Path::new(&name))?,
        }
    }
    Ok(())
}
