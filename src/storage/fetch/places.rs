//! The names and directories of an output that is being made.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::Plan;
use crate::hash;
use crate::ids::InfoHash;
use crate::metainfo::Metainfo;
use crate::storage::beneath::{Access, Dir};
use crate::storage::files::Location;
use crate::storage::finish::{DATA, Site};
use crate::storage::journal::{Journal, Past};
use crate::storage::lock::Lock;
use crate::storage::{FetchOptions, StorageError};

/// The side file's name inside the directory of the unfinished download.
const SIDE: &str = "side";

/// The longest name of a file (all file systems that matter).
const NAME_MAX: usize = 255;

/// The directory of an unfinished download, locked.
pub(super) struct Part {
    pub(super) dir: Dir,
    pub(super) lock: Lock,
    /// What an earlier run left in it.
    pub(super) earlier: Past,
}

impl Plan<'_> {
    /// The output under its real name, to be written.
    pub(super) fn target(&self) -> Result<Location, StorageError> {
        let (below, bare, path) = if self.is_bare {
            (
                Path::new("."),
                Some(self.name.clone()),
                self.options.dir.clone(),
            )
        } else {
            (self.name.as_path(), None, self.path())
        };
        let dir = self.dir.subdir(below);
        Ok(Location::Owned {
            dir: dir.map_err(|error| StorageError::of("open", &self.path(), error))?,
            path,
            meta: Arc::clone(&self.meta),
            bare,
            writable: true,
        })
    }

    /// The output in the directory of the unfinished download.
    pub(super) fn data(&self, part: &Part) -> Result<Location, StorageError> {
        let path = self.options.dir.join(&self.part_name);
        let (dir, bare, path) = if self.is_bare {
            (
                part.dir.subdir(Path::new(".")),
                Some(PathBuf::from(DATA)),
                path,
            )
        } else {
            (part.dir.make_subdir(Path::new(DATA)), None, path.join(DATA))
        };
        Ok(Location::Owned {
            dir: dir.map_err(|error| StorageError::of("create", &path, error))?,
            path,
            meta: Arc::clone(&self.meta),
            bare,
            writable: true,
        })
    }

    pub(super) fn open_side(&self, part: &Part, len: u64) -> Result<Option<File>, StorageError> {
        let side = Path::new(SIDE);
        let fault = |error| {
            let path = self.options.dir.join(&self.part_name).join(SIDE);
            StorageError::of("create", &path, error)
        };
        if len == 0 {
            return Ok(None);
        }
        let file = part
            .dir
            .file(side, Access::Create { executable: false })
            .map_err(fault)?;
        // Setting the length it has would change its stamp.
        if file.metadata().map_err(fault)?.len() != len {
            file.set_len(len).map_err(fault)?;
        }
        Ok(Some(file))
    }

    pub(super) fn make_part(&self) -> Result<Part, StorageError> {
        let made = self.dir.make_subdir(&self.part_name);
        made.map_err(|error| StorageError::of("create", &self.options.dir, error))?;
        self.enter_part()
    }

    pub(super) fn enter_part(&self) -> Result<Part, StorageError> {
        let opened = self.dir.subdir(&self.part_name);
        let path = self.options.dir.join(&self.part_name);
        let dir = opened.map_err(|error| StorageError::of("open", &path, error))?;
        let lock = Lock::take(&dir, &self.path())?;
        let earlier = Journal::read(&dir, &self.subject());
        let earlier = earlier.map_err(|error| StorageError::of("read", &path, error))?;
        Ok(Part { dir, lock, earlier })
    }

    pub(super) fn site(&self, part: Part) -> Result<Site, StorageError> {
        let dir = self.dir.subdir(Path::new("."));
        Ok(Site {
            dir: dir.map_err(|error| StorageError::of("open", &self.options.dir, error))?,
            dir_path: self.options.dir.clone(),
            name: self.name.clone(),
            part: part.dir,
            part_name: self.part_name.clone(),
            selected: self.selected.clone(),
            is_bare: self.is_bare,
            may_hold_strangers: false,
            lock: part.lock,
        })
    }

    /// Takes away the directory that a failed start made and stored nothing in.
    pub(super) fn clear_away(&self) {
        let Ok(part) = self.enter_part() else {
            return;
        };
        let is_empty = match &part.earlier {
            Past::Unknown => true,
            Past::OtherContent => false,
            Past::Known(record) => record.durable.is_empty() && record.intents.is_empty(),
        };
        if is_empty {
            let _leftover = self.dir.remove_all(&self.part_name);
        }
    }
}

/// The name that the content's top entry gets.
pub(super) fn output_name(
    meta: &Metainfo,
    options: &FetchOptions,
) -> Result<PathBuf, StorageError> {
    let own = meta.files()[0].path.as_path().iter().next();
    let name = options
        .name
        .as_deref()
        .map_or(own.map(Path::new), |name| Some(Path::new(name)));
    let name = name.unwrap_or(Path::new(""));
    let mut elements = name.components();
    match (elements.next(), elements.next()) {
        (Some(Component::Normal(element)), None)
            if element == name.as_os_str() && !is_part_name(element) =>
        {
            Ok(name.to_path_buf())
        }
        _ => Err(StorageError::Refused {
            path: options.dir.join(name),
        }),
    }
}

/// Whether a directory of this name is an unfinished download.
pub(in crate::storage) fn is_part_name(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b".") && name.ends_with(b".swarm-part")
}

/// The name of the directory in which `name` is made.
pub(super) fn part_name(name: &Path) -> PathBuf {
    let name = name.to_string_lossy();
    let whole = format!(".{name}.swarm-part");
    if whole.len() <= NAME_MAX {
        return whole.into();
    }
    let mark = InfoHash::new(hash::one(name.as_bytes())).to_string();
    let mut end = NAME_MAX - ".~.swarm-part".len() - mark.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!(".{}~{mark}.swarm-part", &name[..end]).into()
}
