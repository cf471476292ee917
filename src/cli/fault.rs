//! What the storage refuses, in the words and with the exit codes of the command line.

use std::path::Path;

use super::error::{CliError, Exit};
use super::units::{show_count, show_size};
use crate::metainfo::escape::escape;
use crate::storage::StorageError;

/// The failure as the user sees it; paths below `dir` are shown relative to it.
pub(super) fn of_storage(error: &StorageError, dir: &Path) -> CliError {
    let failure = CliError::new(exit(error), worded(error, dir)).because(error);
    match advice(error) {
        Some(help) => failure.help(help),
        None => failure,
    }
}

/// A path as the user would type it in `dir`.
pub(super) fn shown(path: &Path, dir: &Path) -> String {
    match path.strip_prefix(dir) {
        Ok(below) if below.as_os_str().is_empty() => ".".into(),
        Ok(below) => escape(below.as_os_str().as_encoded_bytes()),
        Err(_) => escape(path.as_os_str().as_encoded_bytes()),
    }
}

fn exit(error: &StorageError) -> Exit {
    match error {
        StorageError::NotFound { .. }
        | StorageError::Changed { .. }
        | StorageError::NoFiles { .. }
        | StorageError::NoData
        | StorageError::NotUtf8 { .. }
        | StorageError::DanglingLink { .. }
        | StorageError::LinkLoop { .. }
        | StorageError::LinkFound { .. }
        | StorageError::Io { action: "read", .. } => Exit::Input,
        StorageError::Exists { .. }
        | StorageError::NameTaken { .. }
        | StorageError::OtherContent { .. }
        | StorageError::InTheWay { .. }
        | StorageError::Refused { .. } => Exit::Exists,
        StorageError::NoSpace { .. } | StorageError::ReadOnly { .. } | StorageError::Io { .. } => {
            Exit::Disk
        }
        StorageError::BadPattern { .. }
        | StorageError::SamePath { .. }
        | StorageError::NoName { .. } => Exit::Usage,
        StorageError::Cancelled => Exit::Interrupted,
        StorageError::Locked { .. } | StorageError::Incomplete { .. } => Exit::Other,
    }
}

fn worded(error: &StorageError, dir: &Path) -> String {
    let shown = |path| shown(path, dir);
    match error {
        StorageError::NotFound { path } => {
            format!("cannot read {}: no such file or directory", shown(path))
        }
        StorageError::Exists {
            path,
            differs,
            pieces,
        } => {
            let (differs, pieces) = (show_count((*differs).into()), show_count((*pieces).into()));
            format!(
                "{} exists and {differs} of {pieces} pieces differ",
                shown(path)
            )
        }
        StorageError::NoSpace { path, free, needed } => {
            let short = show_size(needed.saturating_sub(*free));
            let (free, needed) = (show_size(*free), show_size(*needed));
            format!(
                "{} has {free} free, {needed} needed ({short} short)",
                shown(path)
            )
        }
        StorageError::Locked { path, pid } => {
            let who = pid.map_or("another process".into(), |pid| format!("process {pid}"));
            format!("{} is in use by {who}", shown(path))
        }
        StorageError::Changed {
            path,
            before,
            after,
            ..
        } => {
            let sizes = match (show_count(*before), show_count(*after)) {
                (before, after) if before == after => "same size".into(),
                (before, after) => format!("size {before} → {after}"),
            };
            format!("{} changed while being hashed ({sizes})", shown(path))
        }
        StorageError::InTheWay { path } => {
            format!("something else lies where {} belongs", shown(path))
        }
        StorageError::NoFiles { path } => {
            let slash = if path.is_dir() { "/" } else { "" };
            format!("{}{slash} contains no files", shown(path))
        }
        StorageError::NameTaken { path, kept } => {
            let (path, kept) = (shown(path), shown(kept));
            format!("{path} appeared during the download; the complete content is in {kept}")
        }
        StorageError::DanglingLink { path, target } => {
            let target = escape(target.as_os_str().as_encoded_bytes());
            format!("{} → {target}: target missing", shown(path))
        }
        StorageError::LinkLoop { path, target } => {
            let target = escape(target.as_os_str().as_encoded_bytes());
            format!("{} → {target}: leads in a circle", shown(path))
        }
        StorageError::Io {
            action,
            path,
            source,
        } => {
            format!("cannot {action} {}: {source}", shown(path))
        }
        _ => error.to_string(),
    }
}

fn advice(error: &StorageError) -> Option<&'static str> {
    Some(match error {
        StorageError::Exists { .. } => "--repair to overwrite in place, or -d another directory",
        StorageError::Locked { .. } => "wait for it to end, or -d another directory",
        StorageError::OtherContent { .. } => "remove it, or -d another directory",
        StorageError::Changed { .. } => "run again when it is stable",
        StorageError::Refused { .. } | StorageError::InTheWay { .. } => {
            "move it away, or -d another directory"
        }
        StorageError::ReadOnly { .. } => "-d a directory that you may write to",
        StorageError::NotUtf8 { .. } => "rename it; a manifest holds UTF-8 names only",
        StorageError::DanglingLink { .. } | StorageError::LinkLoop { .. } => "--symlinks skip",
        StorageError::NoName { .. } => "-n NAME",
        StorageError::NameTaken { .. } => "move it away and run the same command again",
        StorageError::LinkFound { .. } => "--symlinks follow, or --symlinks skip",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn told(error: &StorageError) -> String {
        let error = of_storage(error, Path::new("/home/me"));
        let help = error
            .help
            .map(|help| format!("\nhelp: {help}"))
            .unwrap_or_default();
        format!("{} {}{help}", error.exit.code(), error.what)
    }

    #[test]
    fn a_file_that_changes_is_named_with_both_sizes() {
        let changed = |after| StorageError::Changed {
            file: 0,
            path: PathBuf::from("/home/me/model/w.bin"),
            before: 4_096,
            after,
        };
        insta::assert_snapshot!(told(&changed(8_192)), @r"
        3 model/w.bin changed while being hashed (size 4,096 → 8,192)
        help: run again when it is stable
        ");
        insta::assert_snapshot!(told(&changed(4_096)), @r"
        3 model/w.bin changed while being hashed (same size)
        help: run again when it is stable
        ");
    }

    #[test]
    fn a_disk_that_is_too_small_is_named_with_what_is_short() {
        let error = StorageError::NoSpace {
            path: PathBuf::from("/srv"),
            free: 3_328_599_654,
            needed: 6_077_415_424,
        };
        insta::assert_snapshot!(told(&error), @"9 /srv has 3.1 GiB free, 5.66 GiB needed (2.56 GiB short)");
    }

    #[test]
    fn an_output_in_use_names_the_process() {
        let path = PathBuf::from("/home/me");
        insta::assert_snapshot!(told(&StorageError::Locked { path, pid: Some(4_711) }), @r"
        1 . is in use by process 4711
        help: wait for it to end, or -d another directory
        ");
    }
}
