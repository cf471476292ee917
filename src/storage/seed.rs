//! Opens data for sharing: only read, and links on the way followed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::beneath::Dir;
use super::create::FileList;
use super::files::{Files, Location, below_top};
use super::finish::Output;
use super::ledger::Ledger;
use super::spans::Spans;
use super::{StorageError, Store};
use crate::bitfield::Bitfield;
use crate::metainfo::{FileKind, Metainfo};

impl Store {
    /// Opens data for reading only. `data` is the content's top file or directory itself.
    /// No piece counts as verified before [`Store::recheck`].
    ///
    /// # Errors
    /// If `data` does not exist or cannot be read.
    pub fn seed(meta: Arc<Metainfo>, data: &Path) -> Result<Self, StorageError> {
        let fault = |error| StorageError::of("read", data, error);
        let is_bare = below_top(&meta, 0).as_os_str().is_empty();
        let location = if is_bare {
            std::fs::metadata(data).map_err(fault)?;
            Location::Paths(vec![data.to_path_buf()])
        } else {
            Location::Shared {
                dir: Dir::open(data).map_err(fault)?,
                path: data.to_path_buf(),
                meta: Arc::clone(&meta),
            }
        };
        Ok(Self::sharing(meta, location, data))
    }

    /// Opens for reading what [`super::create::hash_files`] has just hashed: every piece counts as
    /// verified, as long as the files stay as they were.
    ///
    /// # Errors
    /// [`StorageError::OtherContent`] if the manifest was not made from this list.
    pub fn seed_created(meta: Arc<Metainfo>, list: &FileList) -> Result<Self, StorageError> {
        let mut found = list.files.iter();
        let mut paths = Vec::with_capacity(meta.files().len());
        let mut stamps = Vec::with_capacity(meta.files().len());
        for (number, file) in meta.files().iter().enumerate() {
            if file.kind != FileKind::Regular {
                paths.push(PathBuf::new());
                continue;
            }
            let Some(scanned) = found.next().filter(|scanned| scanned.len == file.len) else {
                return Err(StorageError::OtherContent {
                    path: list.name.clone().into(),
                });
            };
            paths.push(scanned.source.clone());
            stamps.push((number, scanned.stamp));
        }
        let store = Self::sharing(meta, Location::Paths(paths), Path::new(&list.name));
        for (file, stamp) in stamps {
            store.files.trust(file, stamp);
        }
        let layout = store.meta.layout();
        let mut all = Bitfield::full(layout.piece_count());
        store.ledger().found(layout, &mut all);
        Ok(store)
    }

    fn sharing(meta: Arc<Metainfo>, location: Location, data: &Path) -> Self {
        let all = Bitfield::full(meta.layout().piece_count());
        let is_regular = |number: usize| meta.files()[number].kind == FileKind::Regular;
        let spans = Spans::of_selection(
            meta.files(),
            is_regular,
            meta.layout(),
            &Bitfield::empty(all.len()),
        );
        let lengths = meta.files().iter().map(|file| file.len).collect();
        Self {
            files: Files::new(spans, lengths, location),
            ledger: Mutex::new(Ledger::new(all)),
            output: Mutex::new(Output::Complete(data.to_path_buf())),
            meta,
        }
    }
}
