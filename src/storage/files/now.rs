//! Reading what the kernel has in memory, on a thread that must not wait for a disk.

use std::fs::File;
use std::io::IoSliceMut;

use super::Files;
use crate::storage::spans::Place;

/// What came of reading without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadNow {
    /// All of it was read.
    Done,
    /// Not without waiting for the disk, as far as one can tell; or it is not as it was verified.
    WouldWait,
}

impl Files {
    /// Fills `parts` with the content from `offset` on, if it lies in one open file and in memory.
    pub(in crate::storage) fn read_now(
        &self,
        offset: u64,
        parts: &mut [IoSliceMut<'_>],
    ) -> ReadNow {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let mut segments = self.segments(offset..offset + len as u64);
        let (Some(segment), None) = (segments.next(), segments.next()) else {
            return ReadNow::WouldWait;
        };
        let handle = match segment.place {
            Place::File(file) => self.handles().find(file).map(|handle| (file, handle)),
            Place::Side | Place::Zeros | Place::Nowhere => None,
        };
        let Some((file, handle)) = handle else {
            return ReadNow::WouldWait;
        };
        // Whoever reads it the other way says what is wrong.
        if self.check(file, &handle).is_ok() && read_cached(&handle, segment.offset, parts) == len {
            ReadNow::Done
        } else {
            ReadNow::WouldWait
        }
    }
}

/// Reads from the page cache alone; says how much of it was there.
#[cfg(target_os = "linux")]
fn read_cached(file: &File, offset: u64, parts: &mut [IoSliceMut<'_>]) -> usize {
    use rustix::io::{Errno, ReadWriteFlags, preadv, preadv2};

    let read = match preadv2(file, parts, offset, ReadWriteFlags::NOWAIT) {
        // A file system that cannot tell. This one has no disk.
        Err(Errno::OPNOTSUPP) if is_on_tmpfs(file) => preadv(file, parts, offset),
        read => read,
    };
    read.unwrap_or(0)
}

#[cfg(target_os = "linux")]
fn is_on_tmpfs(file: &File) -> bool {
    /// `TMPFS_MAGIC` of `linux/magic.h`.
    const TMPFS: i128 = 0x0102_1994;
    rustix::fs::fstatfs(file).is_ok_and(|stat| i128::from(stat.f_type) == TMPFS)
}

/// Elsewhere there is no way to know.
#[cfg(not(target_os = "linux"))]
fn read_cached(_: &File, _: u64, _: &mut [IoSliceMut<'_>]) -> usize {
    0
}
