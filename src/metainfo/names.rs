//! Two files of a manifest must never be one file on the disk, on any system.

use std::collections::BTreeMap;

use super::{FileEntry, FileKind, MetainfoError, escape};

/// FNV-1a, 64 bits.
const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;
const HASH_PRIME: u64 = 0x0100_0000_01b3;

/// Checks that no path of a file is that of another, or of a directory, be it in other letter case.
///
/// A hash per file finds out whether anything needs a closer look; this keeps a million files to
/// eight megabytes. Padding and links never come to the disk, so they do not count.
pub(super) fn check(files: &[FileEntry]) -> Result<(), MetainfoError> {
    let mut hashes: Vec<u64> = regular(files)
        .map(|path| path.chars().fold(HASH_START, mix))
        .collect();
    hashes.sort_unstable();
    let doubled = hashes.windows(2).any(|pair| pair[0] == pair[1]);
    if doubled || any_directory_in(files, &hashes) {
        look_closely(files)
    } else {
        Ok(())
    }
}

fn regular(files: &[FileEntry]) -> impl Iterator<Item = &str> {
    files
        .iter()
        .filter(|file| file.kind == FileKind::Regular)
        .map(|file| file.path.as_str())
}

/// Whether the hash of any file's directory is among `hashes`.
fn any_directory_in(files: &[FileEntry], hashes: &[u64]) -> bool {
    let mut checked = "";
    for path in regular(files) {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        if directory == checked {
            continue;
        }
        checked = directory;
        let mut hash = HASH_START;
        for c in directory.chars().chain(['/']) {
            if c == '/' && hashes.binary_search(&hash).is_ok() {
                return true;
            }
            hash = mix(hash, c);
        }
    }
    false
}

/// The same check without false alarms, and with names.
fn look_closely(files: &[FileEntry]) -> Result<(), MetainfoError> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for path in regular(files) {
        if let Some(other) = seen.insert(folded(path).collect(), path) {
            return Err(if other == path {
                MetainfoError::Duplicate(escape::escape(path))
            } else {
                MetainfoError::SameButCase(escape::escape(other), escape::escape(path))
            });
        }
    }
    for path in regular(files) {
        for (end, _) in path.match_indices('/') {
            let directory: String = folded(&path[..end]).collect();
            if let Some(file) = seen.get(&directory) {
                return Err(MetainfoError::FileAndDirectory(escape::escape(file)));
            }
        }
    }
    Ok(())
}

fn folded(path: &str) -> impl Iterator<Item = char> + '_ {
    path.chars().flat_map(char::to_lowercase)
}

/// Takes a character into a hash, as if it were in lower case.
fn mix(hash: u64, c: char) -> u64 {
    let step = |hash: u64, c: char| (hash ^ u64::from(c)).wrapping_mul(HASH_PRIME);
    if c.is_ascii() {
        step(hash, c.to_ascii_lowercase())
    } else {
        c.to_lowercase().fold(hash, step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metainfo::SafePath;

    fn verdict(paths: &[&str]) -> Result<(), MetainfoError> {
        let files: Vec<FileEntry> = paths
            .iter()
            .map(|path| FileEntry {
                path: SafePath::new(path.split('/').map(str::as_bytes)).unwrap(),
                len: 1,
                offset: 0,
                kind: FileKind::Regular,
                executable: false,
            })
            .collect();
        check(&files)
    }

    #[test]
    fn different_names_pass() {
        assert_eq!(verdict(&["t/a", "t/b", "t/a.d/a", "t/ab/a", "u"]), Ok(()));
        assert_eq!(verdict(&["t/A/x", "t/a/y"]), Ok(()));
    }

    #[test]
    fn a_name_that_stands_twice_is_refused() {
        let error = verdict(&["t/a", "t/b", "t/a"]).unwrap_err();
        assert_eq!(error.to_string(), "\"t/a\" is listed twice");
    }

    #[test]
    fn names_that_differ_in_case_only_are_refused() {
        let error = verdict(&["t/A.txt", "t/a.txt"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"t/A.txt\" and \"t/a.txt\" would be the same file on a filesystem that ignores case"
        );
        assert!(verdict(&["t/É", "t/é"]).is_err());
    }

    #[test]
    fn a_file_that_is_also_a_directory_is_refused() {
        let error = verdict(&["t/a/b/c", "t/x", "t/A"]).unwrap_err();
        assert_eq!(error.to_string(), "\"t/A\" is both a file and a directory");
        assert!(verdict(&["t", "t/a"]).is_err());
    }
}
