//! Which files of a manifest to fetch: by pattern, by number, or all of them.

use std::ops::RangeInclusive;

use globset::{GlobBuilder, GlobMatcher};

use super::error::{CliError, Exit};
use super::{show, units};
use crate::metainfo::escape::escape;
use crate::metainfo::{FileEntry, FileKind, Metainfo};

/// One flag per file of the manifest, or `None` for all of them.
pub(super) fn files(
    meta: &Metainfo,
    globs: &[String],
    numbers: Option<&str>,
) -> Result<Option<Vec<bool>>, CliError> {
    if globs.is_empty() && numbers.is_none() {
        return Ok(None);
    }
    let mut selected = vec![false; meta.files().len()];
    for glob in globs {
        let matcher = matcher(glob)?;
        let mut found = false;
        for (number, file) in show::numbered(meta) {
            if matches(&matcher, file) {
                selected[number - 1] = true;
                found = true;
            }
        }
        if !found {
            return Err(unmatched(&format!("no file matches {:?}", escape(glob))));
        }
    }
    for range in numbers
        .map(units::numbers)
        .transpose()
        .map_err(|error| bad_numbers(&error))?
        .unwrap_or_default()
    {
        for number in range {
            match meta.files().get(number - 1) {
                Some(file) if file.kind != FileKind::Padding => selected[number - 1] = true,
                _ => return Err(unmatched(&format!("there is no file {number}"))),
            }
        }
    }
    Ok(Some(selected))
}

/// One flag per file for the places in the manifest that a magnet link names (BEP 53), or `None` for
/// all of them. Places without a file are passed over; if none has one, the link means nothing.
pub(super) fn only(meta: &Metainfo, places: &[RangeInclusive<usize>]) -> Option<Vec<bool>> {
    let mut selected = vec![false; meta.files().len()];
    let mut ranges: Vec<_> = places
        .iter()
        .map(|range| (*range.start(), *range.end()))
        .collect();
    ranges.sort_unstable();
    // Each place is looked at once, however many ranges hold it.
    let mut next = 0;
    for (first, last) in ranges {
        let end = last.saturating_add(1).min(selected.len());
        let start = first.max(next).min(end);
        selected[start..end].fill(true);
        next = next.max(end);
    }
    selected.contains(&true).then_some(selected)
}

fn bad_numbers(error: &units::UnitError) -> CliError {
    CliError::new(Exit::Usage, format!("--select-file: {error}")).because(error)
}

fn unmatched(what: &str) -> CliError {
    CliError::new(Exit::Usage, what).help("--list shows the files and their numbers")
}

fn matcher(glob: &str) -> Result<GlobMatcher, CliError> {
    let built = GlobBuilder::new(glob).literal_separator(true).build();
    let glob = built.map_err(|error| {
        CliError::new(Exit::Usage, format!("--select: {error}")).because(&error)
    })?;
    Ok(glob.compile_matcher())
}

/// A pattern is for the whole path, for the path below the top directory, or for the name alone.
fn matches(matcher: &GlobMatcher, file: &FileEntry) -> bool {
    let path = file.path.as_str();
    let below = path.split_once('/').map_or(path, |(_, below)| below);
    let name = path.rsplit('/').next().unwrap_or(path);
    [path, below, name]
        .iter()
        .any(|path| matcher.is_match(path))
}
