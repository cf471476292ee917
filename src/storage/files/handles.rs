//! A bounded set of open files: the ones used last.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

/// Files open at a time. Chosen: a quarter of the usual limit of 1,024 descriptors.
const OPEN_MAX: usize = 256;

/// Open files by number, the ones used last.
#[derive(Debug, Default)]
pub(super) struct Handles {
    open: BTreeMap<usize, (Arc<File>, u64)>,
    clock: u64,
}

impl Handles {
    /// The file, if it is open.
    pub(super) fn find(&mut self, file: usize) -> Option<Arc<File>> {
        self.clock += 1;
        let (handle, used) = self.open.get_mut(&file)?;
        *used = self.clock;
        Some(Arc::clone(handle))
    }

    /// Keeps the file open until others are used more.
    pub(super) fn insert(&mut self, file: usize, handle: &Arc<File>) {
        while self.open.len() >= OPEN_MAX {
            let oldest = self.open.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(&file, _)| file) else {
                break;
            };
            self.open.remove(&oldest);
        }
        self.open.insert(file, (Arc::clone(handle), self.clock));
    }

    /// Forgets the file: its name may stand for another one.
    pub(super) fn remove(&mut self, file: usize) {
        self.open.remove(&file);
    }
}
