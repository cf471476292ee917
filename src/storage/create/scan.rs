//! Finds the files to share.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use ignore::{DirEntry, WalkBuilder, WalkState};
use rustix::fs::Mode;

use super::{FileList, Rule, ScanOptions, ScannedFile, Symlinks};
use crate::storage::StorageError;
use crate::storage::fetch::is_part_name;
use crate::storage::stamp::Stamp;

/// Files that systems strew about and nobody means to share.
const JUNK: [&str; 3] = [".DS_Store", "Thumbs.db", "desktop.ini"];

/// Finds the files to share, on `threads` threads: one file, one directory's, or those of several
/// under one name.
///
/// # Errors
/// If a path cannot be read, a name is not UTF-8, a link is dangling or a loop, or nothing is left.
pub fn scan(
    paths: &[PathBuf],
    options: &ScanOptions,
    threads: usize,
) -> Result<FileList, StorageError> {
    let Some(first) = paths.first() else {
        return Err(StorageError::NoFiles {
            path: PathBuf::new(),
        });
    };
    let name = match (&options.name, paths) {
        (Some(name), _) => name.clone(),
        (None, [only]) => name_of(only)?,
        (None, _) => {
            return Err(StorageError::NoName {
                path: first.clone(),
            });
        }
    };
    let mut list = FileList {
        name,
        single: false,
        files: Vec::new(),
        junk_dropped: Vec::new(),
        links_skipped: Vec::new(),
    };
    for path in paths {
        let metadata = metadata(path)?;
        let prefix = match paths {
            [_] => Vec::new(),
            _ => vec![name_of(path)?],
        };
        list.single = metadata.is_file() && paths.len() == 1;
        if metadata.is_file() {
            list.files.push(scanned(path.clone(), prefix)?);
        } else {
            let walk = Walk {
                options,
                root: path,
                prefix,
            };
            walk.run(threads, &mut list)?;
        }
    }
    list.files.sort_by(|a, b| a.path.cmp(&b.path));
    list.junk_dropped.sort();
    list.links_skipped.sort();
    if let Some(twins) = list
        .files
        .windows(2)
        .find(|pair| pair[0].path == pair[1].path)
    {
        return Err(StorageError::SamePath {
            path: twins[0].path.join("/"),
        });
    }
    if list.files.is_empty() {
        return Err(StorageError::NoFiles {
            path: first.clone(),
        });
    }
    if list.total_len() == 0 {
        return Err(StorageError::NoData);
    }
    Ok(list)
}

struct Walk<'a> {
    options: &'a ScanOptions,
    root: &'a Path,
    /// Elements that stand before those of the paths found.
    prefix: Vec<String>,
}

/// What an entry of a directory is to the manifest.
enum Found {
    File(ScannedFile),
    Junk(PathBuf),
    SkippedLink(PathBuf),
}

impl Walk<'_> {
    fn run(&self, threads: usize, list: &mut FileList) -> Result<(), StorageError> {
        let rules = compile(self.root, &self.options.rules)?;
        // The root itself may be a link whatever is said of links: the user named it.
        let root = fs::canonicalize(self.root)
            .map_err(|error| StorageError::of("read", self.root, error))?;
        let mut walk = WalkBuilder::new(&root);
        walk.standard_filters(false)
            .hidden(!self.options.hidden)
            .git_ignore(self.options.gitignore)
            .require_git(false)
            .follow_links(self.options.symlinks == Symlinks::Follow)
            .threads(threads.max(1));
        let base = root.clone();
        walk.filter_entry(move |entry| {
            let below = entry.path().strip_prefix(&base).unwrap_or(entry.path());
            let is_dir = entry.file_type().is_some_and(|kind| kind.is_dir());
            entry.depth() == 0 || !rules.matched(below, is_dir).is_ignore()
        });
        let found = Mutex::new(Vec::new());
        walk.build_parallel().run(|| {
            Box::new(|entry| {
                let result = match entry {
                    Ok(entry) => self.find(&root, &entry).transpose(),
                    Err(error) => Some(Err(self.explain(&root, &error))),
                };
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                found.extend(result);
                WalkState::Continue
            })
        });
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Of several errors always the same is told, whichever thread was first.
        let mut faults = Vec::new();
        for result in found {
            match result {
                Ok(Found::File(file)) => list.files.push(file),
                Ok(Found::Junk(path)) => list.junk_dropped.push(path),
                Ok(Found::SkippedLink(path)) => list.links_skipped.push(path),
                Err(fault) => faults.push(fault),
            }
        }
        match faults.into_iter().min_by_key(ToString::to_string) {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    fn find(&self, root: &Path, entry: &DirEntry) -> Result<Option<Found>, StorageError> {
        let Ok(below) = entry.path().strip_prefix(root) else {
            return Ok(None);
        };
        let Some(kind) = entry.file_type() else {
            return Ok(None);
        };
        let path = self.root.join(below);
        if kind.is_dir() && is_part_name(entry.file_name()) {
            return Ok(Some(Found::Junk(path)));
        }
        if kind.is_dir() || Self::is_unfinished(below) {
            return Ok(None);
        }
        if kind.is_symlink() && self.options.symlinks == Symlinks::Error {
            return Err(StorageError::LinkFound { path });
        }
        if kind.is_symlink() {
            return Ok(Some(Found::SkippedLink(path)));
        }
        if !self.options.junk && JUNK.iter().any(|junk| entry.file_name() == *junk) {
            return Ok(Some(Found::Junk(path)));
        }
        let mut elements = self.prefix.clone();
        for element in below {
            let element = element
                .to_str()
                .ok_or_else(|| StorageError::NotUtf8 { path: path.clone() })?;
            elements.push(element.to_owned());
        }
        Ok(Some(Found::File(scanned(path, elements)?)))
    }

    /// Whether it lies in an unfinished download.
    fn is_unfinished(below: &Path) -> bool {
        below.iter().any(is_part_name)
    }

    /// What an error of the walk means; it reports broken links as files that are missing.
    fn explain(&self, root: &Path, error: &ignore::Error) -> StorageError {
        let (path, source) = parts(error);
        let path = path.map_or(root, |path| path.strip_prefix(root).unwrap_or(path));
        let path = self.root.join(path);
        let target = fs::read_link(&path).ok();
        let source = source.unwrap_or(std::io::ErrorKind::Other);
        match (target, source) {
            (Some(target), std::io::ErrorKind::NotFound) => {
                StorageError::DanglingLink { path, target }
            }
            (Some(target), _) => StorageError::LinkLoop { path, target },
            (None, _) => StorageError::of("read", &path, source.into()),
        }
    }
}

/// The path that an error of the walk is about, and what the system said.
fn parts(error: &ignore::Error) -> (Option<&Path>, Option<std::io::ErrorKind>) {
    match error {
        ignore::Error::WithPath { path, err } => (Some(parts(err).0.unwrap_or(path)), parts(err).1),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
            parts(err)
        }
        ignore::Error::Loop { child, .. } => (Some(child), None),
        ignore::Error::Io(source) => (None, Some(source.kind())),
        _ => (None, None),
    }
}

fn compile(root: &Path, rules: &[Rule]) -> Result<Gitignore, StorageError> {
    let mut builder = GitignoreBuilder::new("");
    for rule in rules {
        let (pattern, line) = match rule {
            Rule::Exclude(pattern) => (pattern, pattern.clone()),
            Rule::Include(pattern) => (pattern, format!("!{pattern}")),
        };
        builder
            .add_line(None, &line)
            .map_err(|error| StorageError::BadPattern {
                pattern: pattern.clone(),
                reason: error.to_string(),
            })?;
    }
    builder.build().map_err(|error| StorageError::BadPattern {
        pattern: root.display().to_string(),
        reason: error.to_string(),
    })
}

fn scanned(source: PathBuf, path: Vec<String>) -> Result<ScannedFile, StorageError> {
    let fault = |error: rustix::io::Errno| StorageError::of("read", &source, error.into());
    let stat = rustix::fs::stat(&source).map_err(fault)?;
    let Some(stamp) = Stamp::of_plain(&stat) else {
        return Err(StorageError::Refused { path: source });
    };
    Ok(ScannedFile {
        path,
        len: stamp.len,
        executable: Mode::from_raw_mode(stat.st_mode).contains(Mode::XUSR),
        source,
        stamp,
    })
}

fn metadata(path: &Path) -> Result<fs::Metadata, StorageError> {
    fs::metadata(path).map_err(|error| match (error.kind(), fs::read_link(path)) {
        (std::io::ErrorKind::NotFound, Ok(target)) => StorageError::DanglingLink {
            path: path.to_path_buf(),
            target,
        },
        _ => StorageError::of("read", path, error),
    })
}

/// The last element of a path, found out if it is `.` or `..`.
fn name_of(path: &Path) -> Result<String, StorageError> {
    let fault = |error| StorageError::of("read", path, error);
    let whole = if path.file_name().is_some() {
        path.to_path_buf()
    } else {
        fs::canonicalize(path).map_err(fault)?
    };
    let name = whole.file_name().ok_or_else(|| StorageError::NoName {
        path: path.to_path_buf(),
    })?;
    name.to_owned()
        .into_string()
        .map_err(|_| StorageError::NotUtf8 {
            path: path.to_path_buf(),
        })
}
