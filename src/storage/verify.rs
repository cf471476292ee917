//! What of some data on the disk is as a manifest says, and what is not.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::each::each;
use super::{HashCache, Meter, StorageError, Store};
use crate::bitfield::Bitfield;
use crate::layout::PieceIndex;
use crate::metainfo::{FileKind, Metainfo};

/// What [`verify`] found.
#[derive(Clone, Debug)]
pub struct VerifyReport {
    /// The pieces that are right.
    pub good: Bitfield,
    /// Files that are not as they should be, in the order of the manifest.
    pub bad_files: Vec<BadFile>,
}

/// A file that is not as it should be.
#[derive(Clone, Debug)]
pub struct BadFile {
    /// Its number in the manifest.
    pub file: usize,
    /// Where it is on the disk.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: FileFault,
    /// Runs of pieces that touch it and are wrong, ascending; none if only its size is.
    pub pieces: Vec<RangeInclusive<u32>>,
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFault {
    /// It is not there.
    Missing,
    /// It has this many bytes instead of what the manifest says.
    Size(u64),
    /// A piece that touches it has the wrong hash. The fault may lie in a neighbour with which it
    /// shares the piece, unless a neighbour is known to be missing or of the wrong size.
    Content,
    /// It cannot be read.
    Unreadable,
}

impl VerifyReport {
    /// Whether everything is as the manifest says.
    pub fn is_good(&self) -> bool {
        self.good.is_full() && self.bad_files.is_empty()
    }
}

/// Compares the data (the content's top file or directory) with the manifest. All of it is read;
/// what is found goes into the cache.
///
/// # Errors
/// If `data` does not exist, or the meter was cancelled.
pub fn verify(
    meta: &Arc<Metainfo>,
    data: &Path,
    cache: &HashCache,
    threads: usize,
    meter: &Meter,
) -> Result<VerifyReport, StorageError> {
    let store = Store::seed(Arc::clone(meta), data)?;
    let all: Vec<PieceIndex> = meta.layout().pieces().collect();
    let good = store.recheck(&all, threads, meter);
    if meter.is_cancelled() {
        return Err(StorageError::Cancelled);
    }
    store.remember(cache);
    let regular = |number: &usize| meta.files()[*number].kind == FileKind::Regular;
    let numbers: Vec<usize> = (0..meta.files().len()).filter(regular).collect();
    let faults = each(&numbers, threads, |&number| {
        visible_fault(&store, number, &good)
    });
    // Wrong pieces that a fault found by looking at a file explains.
    let mut explained = BTreeSet::new();
    for (&number, fault) in numbers.iter().zip(&faults) {
        if fault.is_some() {
            explained.extend(store.pieces_of_file(number));
        }
    }
    let mut bad_files = Vec::new();
    for (number, fault) in numbers.into_iter().zip(faults) {
        let mut bad = store.pieces_of_file(number);
        bad.retain(|&piece| !good.has(piece));
        let is_suspect = bad.iter().any(|piece| !explained.contains(piece));
        let Some(fault) = fault.or(is_suspect.then_some(FileFault::Content)) else {
            continue;
        };
        bad_files.push(BadFile {
            file: number,
            path: store.files.path(number),
            fault,
            pieces: runs(&bad),
        });
    }
    Ok(VerifyReport { good, bad_files })
}

/// What is wrong with a file that one sees without hashing it.
fn visible_fault(store: &Store, number: usize, good: &Bitfield) -> Option<FileFault> {
    let Some(stamp) = store.files.stamp_on_disk(number) else {
        return Some(FileFault::Missing);
    };
    if stamp.len != store.meta.files()[number].len {
        return Some(FileFault::Size(stamp.len));
    }
    let is_bad = store
        .pieces_of_file(number)
        .iter()
        .any(|&piece| !good.has(piece));
    (is_bad && !store.files.can_open(number)).then_some(FileFault::Unreadable)
}

/// Ascending numbers as runs.
fn runs(pieces: &[PieceIndex]) -> Vec<RangeInclusive<u32>> {
    let mut runs: Vec<RangeInclusive<u32>> = Vec::new();
    for number in pieces.iter().map(|piece| piece.get()) {
        match runs.last_mut() {
            Some(run) if *run.end() + 1 == number => *run = *run.start()..=number,
            _ => runs.push(number..=number),
        }
    }
    runs
}
