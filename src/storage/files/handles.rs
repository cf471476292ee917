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
    /// The same files by their last use.
    by_use: BTreeMap<u64, usize>,
    clock: u64,
}

impl Handles {
    /// The file, if it is open.
    pub(super) fn find(&mut self, file: usize) -> Option<Arc<File>> {
        self.clock += 1;
        let (handle, used) = self.open.get_mut(&file)?;
        self.by_use.remove(used);
        self.by_use.insert(self.clock, file);
        *used = self.clock;
        Some(Arc::clone(handle))
    }

    /// Keeps the file open until others are used more.
    pub(super) fn insert(&mut self, file: usize, handle: &Arc<File>) {
        self.remove(file);
        while self.open.len() >= OPEN_MAX {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            self.open.remove(&oldest);
        }
        self.clock += 1;
        self.by_use.insert(self.clock, file);
        self.open.insert(file, (Arc::clone(handle), self.clock));
    }

    /// Forgets the file: its name may stand for another one.
    pub(super) fn remove(&mut self, file: usize) {
        if let Some((_, used)) = self.open.remove(&file) {
            self.by_use.remove(&used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_used_last_stay_open() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let mut handles = Handles::default();
        for number in 0..OPEN_MAX {
            handles.insert(number, &file);
        }
        assert!(handles.find(0).is_some(), "used again");
        handles.remove(2);
        handles.insert(2, &file);
        handles.insert(OPEN_MAX, &file);
        assert!(handles.find(1).is_none(), "used longest ago");
        for number in [0, 2, 3, OPEN_MAX] {
            assert!(handles.find(number).is_some());
        }
        assert_eq!(handles.open.len(), OPEN_MAX);
        assert_eq!(handles.by_use.len(), OPEN_MAX);
    }
}
