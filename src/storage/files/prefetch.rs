//! Telling the system what will be read soon, so that the disk is at it meanwhile.

use super::Files;

#[cfg(target_os = "linux")]
impl Files {
    /// `len` bytes of the content from `offset` on will be read. What lies in small files is left
    /// out: whoever reads one has all of it at once. Only advice: it cannot fail.
    pub(in crate::storage) fn prefetch(&self, offset: u64, len: usize) {
        use std::num::NonZeroU64;

        use rustix::fs::Advice;

        use super::Purpose;
        use crate::storage::spans::Place;

        /// Chosen: so much is read ahead without being asked for.
        const SMALL: u64 = 256 << 10;

        for segment in self.segments(offset..offset + len as u64) {
            let Place::File(file) = segment.place else {
                continue;
            };
            if self.lengths[file] >= SMALL
                && let Ok(handle) = self.handle(file, Purpose::Read)
            {
                let len = NonZeroU64::new(segment.len as u64);
                let _ = rustix::fs::fadvise(&*handle, segment.offset, len, Advice::WillNeed);
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Files {
    /// Not told elsewhere.
    pub(in crate::storage) fn prefetch(&self, _offset: u64, _len: usize) {}
}
