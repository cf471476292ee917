//! What of some data on the disk is as a manifest says, and what is not.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::{Meter, StorageError};
use crate::bitfield::Bitfield;
use crate::metainfo::Metainfo;

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
    /// A piece that touches it has the wrong hash (the fault may lie in its neighbour there).
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

/// Compares the data (the content's top file or directory) with the manifest.
///
/// # Errors
/// If `data` does not exist, or the meter was cancelled.
pub fn verify(
    _meta: &Metainfo,
    _data: &Path,
    _threads: usize,
    _meter: &Meter,
) -> Result<VerifyReport, StorageError> {
    Err(StorageError::Cancelled)
}
