//! A bounded set of open files: the ones used last.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use super::now::CachedReads;

/// Files open at a time. Chosen: a quarter of the usual limit of 1,024 descriptors.
const OPEN_MAX: usize = 256;

/// An open file.
#[derive(Debug)]
struct Open {
    file: Arc<File>,
    /// When it was used last.
    used: u64,
    /// Once somebody asked.
    cached: Option<CachedReads>,
}

/// Open files by number, the ones used last.
#[derive(Debug, Default)]
pub(super) struct Handles {
    open: BTreeMap<usize, Open>,
    /// The same files by their last use.
    by_use: BTreeMap<u64, usize>,
    clock: u64,
}

impl Handles {
    /// The file, if it is open.
    pub(super) fn find(&mut self, file: usize) -> Option<Arc<File>> {
        self.touch(file).map(|open| Arc::clone(&open.file))
    }

    /// The file, if it is open, and how what is in memory of it can be read. Asks the file system
    /// the first time.
    pub(super) fn find_cached(&mut self, file: usize) -> Option<(Arc<File>, CachedReads)> {
        let open = self.touch(file)?;
        let cached = *open
            .cached
            .get_or_insert_with(|| CachedReads::of(&open.file));
        Some((Arc::clone(&open.file), cached))
    }

    /// Keeps the file open until others are used more. What it displaces is for the caller to
    /// drop when others may use the handles again, since closing may wait for the file system.
    #[must_use]
    pub(super) fn insert(&mut self, file: usize, handle: &Arc<File>) -> Option<Arc<File>> {
        self.remove(file);
        let displaced = if self.open.len() < OPEN_MAX {
            None
        } else {
            let oldest = self.by_use.pop_first();
            oldest.and_then(|(_, oldest)| self.open.remove(&oldest))
        };
        self.clock += 1;
        self.by_use.insert(self.clock, file);
        let open = Open {
            file: Arc::clone(handle),
            used: self.clock,
            cached: None,
        };
        self.open.insert(file, open);
        displaced.map(|open| open.file)
    }

    /// Forgets the file: its name may stand for another one.
    pub(super) fn remove(&mut self, file: usize) {
        if let Some(open) = self.open.remove(&file) {
            self.by_use.remove(&open.used);
        }
    }

    fn touch(&mut self, file: usize) -> Option<&mut Open> {
        self.clock += 1;
        let open = self.open.get_mut(&file)?;
        self.by_use.remove(&open.used);
        self.by_use.insert(self.clock, file);
        open.used = self.clock;
        Some(open)
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
            assert!(handles.insert(number, &file).is_none());
        }
        assert!(handles.find(0).is_some(), "used again");
        handles.remove(2);
        assert!(handles.insert(2, &file).is_none());
        assert!(handles.insert(OPEN_MAX, &file).is_some(), "one must go");
        assert!(handles.find(1).is_none(), "used longest ago");
        for number in [0, 2, 3, OPEN_MAX] {
            assert!(handles.find(number).is_some());
        }
        assert_eq!(handles.open.len(), OPEN_MAX);
        assert_eq!(handles.by_use.len(), OPEN_MAX);
    }
}
