//! The file list of `info` (BEP 3, BEP 47).

use super::parse::{bytes, set};
use super::path::PathError;
use super::{FILES_MAX, FileEntry, FileKind, MetainfoError, SafePath, TOTAL_LEN_MAX, escape};
use crate::bencode::Value;

/// The fields of an entry that are read. Each may stand once.
#[derive(Default)]
pub(super) struct FileFields<'a> {
    pub(super) path: Option<Value<'a>>,
    length: Option<Value<'a>>,
    attr: Option<Value<'a>>,
}

impl<'a> FileFields<'a> {
    pub(super) fn read(file: Value<'a>) -> Result<Self, MetainfoError> {
        let mut read = Self::default();
        for (key, value) in file.dict().ok_or(MetainfoError::Field("files"))? {
            let (name, field) = match key {
                b"path" => ("path", &mut read.path),
                b"length" => ("length", &mut read.length),
                b"attr" => ("attr", &mut read.attr),
                _ => continue,
            };
            set(field, name, value)?;
        }
        Ok(read)
    }
}

/// The name of the content, made safe.
pub(super) fn name(name: &[u8]) -> Result<SafePath, MetainfoError> {
    SafePath::new([name]).map_err(|reason| MetainfoError::Name {
        name: escape::escape(name),
        reason,
    })
}

/// The only entry of content that is one bare file.
pub(super) fn single(
    name: SafePath,
    length: Option<Value<'_>>,
    attr: Option<Value<'_>>,
) -> Result<FileEntry, MetainfoError> {
    Ok(FileEntry {
        path: name,
        len: len(length)?,
        offset: 0,
        kind: FileKind::Regular,
        executable: has_attr(attr, b'x'),
    })
}

/// The entries of content that is a directory of this name.
pub(super) fn list(name: &str, list: Value<'_>) -> Result<Vec<FileEntry>, MetainfoError> {
    let list = list.list().ok_or(MetainfoError::Field("files"))?;
    let count = list.clone().count();
    if count > FILES_MAX {
        return Err(MetainfoError::TooManyFiles);
    }
    let mut files: Vec<FileEntry> = Vec::with_capacity(count);
    let mut offset = 0u64;
    for (number, file) in (1..).zip(list) {
        let entry = entry(name, number, &FileFields::read(file)?, offset)?;
        offset = end(&entry)?;
        files.push(entry);
    }
    Ok(files)
}

fn entry(
    name: &str,
    number: usize,
    file: &FileFields<'_>,
    offset: u64,
) -> Result<FileEntry, MetainfoError> {
    let kind = match file.attr {
        attr if has_attr(attr, b'p') => FileKind::Padding,
        attr if has_attr(attr, b'l') => FileKind::Symlink,
        _ => FileKind::Regular,
    };
    // A link takes no room in the content, whatever length it states (as libtorrent reads BEP 47).
    let len = if kind == FileKind::Symlink {
        0
    } else {
        len(file.length)?
    };
    let path = match kind {
        FileKind::Padding => padding_path(name, len),
        FileKind::Regular | FileKind::Symlink => path(name, number, file.path)?,
    };
    Ok(FileEntry {
        path,
        len,
        offset,
        kind,
        executable: has_attr(file.attr, b'x'),
    })
}

/// What padding is called, whatever the manifest calls it: it never comes to the disk (BEP 47).
pub(super) fn padding_path(name: &str, len: u64) -> SafePath {
    let len = len.to_string();
    SafePath::new([name.as_bytes(), b".pad", len.as_bytes()]).expect("a name is a safe element")
}

fn path(name: &str, number: usize, path: Option<Value<'_>>) -> Result<SafePath, MetainfoError> {
    let list = path
        .and_then(Value::list)
        .ok_or(MetainfoError::Field("path"))?;
    if list.clone().any(|element| element.bytes().is_none()) {
        return Err(MetainfoError::Field("path"));
    }
    let elements = list.filter_map(Value::bytes);
    let named = elements
        .clone()
        .any(|element| !matches!(element, b"" | b"."));
    let safe = if named {
        SafePath::new(std::iter::once(name.as_bytes()).chain(elements))
    } else {
        Err(PathError::Empty)
    };
    safe.map_err(|reason| {
        let path = escape::escape(joined(b"", path));
        match reason {
            PathError::Escapes => MetainfoError::Escapes { number, path },
            _ => MetainfoError::Path {
                number,
                path,
                reason,
            },
        }
    })
}

/// The path as the manifest gives it.
pub(super) fn joined(name: &[u8], path: Option<Value<'_>>) -> Vec<u8> {
    let elements = path.and_then(Value::list).into_iter().flatten();
    let mut joined = name.to_vec();
    for element in elements.filter_map(Value::bytes) {
        if !joined.is_empty() {
            joined.push(b'/');
        }
        joined.extend_from_slice(element);
    }
    joined
}

fn len(length: Option<Value<'_>>) -> Result<u64, MetainfoError> {
    length
        .and_then(Value::uint)
        .ok_or(MetainfoError::Field("length"))
}

fn end(entry: &FileEntry) -> Result<u64, MetainfoError> {
    entry
        .offset
        .checked_add(entry.len)
        .filter(|&end| end <= TOTAL_LEN_MAX)
        .ok_or(MetainfoError::TooLarge)
}

/// The size of the content, at least 1.
pub(super) fn total_len(files: &[FileEntry]) -> Result<u64, MetainfoError> {
    if !files.iter().any(|file| file.kind == FileKind::Regular) {
        return Err(MetainfoError::NoFiles);
    }
    match files.last().map(end).transpose()? {
        Some(total @ 1..) => Ok(total),
        _ => Err(MetainfoError::NoData),
    }
}

fn has_attr(attr: Option<Value<'_>>, flag: u8) -> bool {
    bytes(attr).is_some_and(|attr| attr.contains(&flag))
}
