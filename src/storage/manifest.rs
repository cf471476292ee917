//! The manifest beside an unfinished download: whoever came with a magnet link need not ask for it
//! again after a crash.
//!
//! It is a copy of what peers can be asked for again, so it is neither synced nor checked but by
//! its hash: a damaged one is as good as none.

use std::io::{self, Read, Write};
use std::path::Path;

use super::beneath::{Access, Dir, Kind};
use super::fetch::is_part_name;
use super::finish::Output;
use super::{StorageError, Store};
use crate::ids::InfoHash;
use crate::metainfo::{MANIFEST_LEN_MAX, Metainfo};

/// The manifest's name in the directory of an unfinished download.
const NAME: &str = "manifest.torrent";

impl Store {
    /// Keeps the manifest beside the unfinished download, if there is one, for
    /// [`kept_manifest`] to find.
    ///
    /// # Errors
    /// What the disk says; nothing but the next start depends on it.
    pub fn keep_manifest(&self) -> Result<(), StorageError> {
        let output = self.output();
        let (Output::Part(site) | Output::InPlace(site)) = &*output else {
            return Ok(());
        };
        let write = || {
            let create = Access::Create { executable: false };
            let mut file = site.part.file(Path::new(NAME), create)?;
            file.set_len(0)?;
            file.write_all(self.meta.raw())
        };
        let path = site.dir_path.join(&site.part_name).join(NAME);
        write().map_err(|error| StorageError::of("write", &path, error))
    }
}

/// The manifest of this swarm beside an unfinished download in `dir`, if an earlier run left it.
pub fn kept_manifest(dir: &Path, info_hash: InfoHash) -> Option<Metainfo> {
    let dir = Dir::open(dir).ok()?;
    let names = dir.names().ok()?.into_iter();
    names
        .filter(|name| is_part_name(name))
        .filter_map(|name| read(&dir, Path::new(&name)).ok()?)
        .find(|meta| meta.info_hash() == info_hash)
}

/// The manifest in one directory of an unfinished download.
fn read(dir: &Dir, part: &Path) -> io::Result<Option<Metainfo>> {
    if dir.kind(part)? != Some(Kind::Directory) {
        return Ok(None);
    }
    let file = dir.subdir(part)?.file(Path::new(NAME), Access::Read)?;
    let mut bytes = Vec::new();
    file.take(MANIFEST_LEN_MAX as u64).read_to_end(&mut bytes)?;
    Ok(Metainfo::from_vec(bytes).ok())
}
