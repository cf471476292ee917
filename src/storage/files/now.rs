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
            Place::File(file) => self.handles().find_cached(file).map(|found| (file, found)),
            Place::Side | Place::Zeros | Place::Nowhere => None,
        };
        let Some((file, (handle, cached))) = handle else {
            return ReadNow::WouldWait;
        };
        // Whoever reads it the other way says what is wrong. What was read without waiting has its
        // stamp in memory, too.
        let is_read = cached.read(&handle, segment.offset, parts) == len;
        if is_read && self.check(file, &handle).is_ok() {
            ReadNow::Done
        } else {
            ReadNow::WouldWait
        }
    }
}

/// How what the page cache has of a file can be read without waiting for anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CachedReads {
    /// The kernel says where it would wait (`RWF_NOWAIT`).
    Asked,
    /// All of it is in memory.
    All,
    /// There is no way to know, or even a question may wait, for a server or a program.
    Never,
}

#[cfg(target_os = "linux")]
impl CachedReads {
    /// By the file system, which is asked for its kind; `linux/magic.h` has the numbers.
    pub(super) fn of(file: &File) -> Self {
        const TMPFS: i128 = 0x0102_1994;
        /// ext2 to ext4, XFS, Btrfs, F2FS, bcachefs, overlayfs.
        const LOCAL: [i128; 6] = [
            0xef53,
            0x5846_5342,
            0x9123_683e,
            0xf2f5_2010,
            0xca45_1a4e,
            0x794c_7630,
        ];
        match rustix::fs::fstatfs(file).map(|stat| i128::from(stat.f_type)) {
            Ok(TMPFS) => Self::All,
            Ok(kind) if LOCAL.contains(&kind) => Self::Asked,
            _ => Self::Never,
        }
    }

    /// Says how many bytes were there.
    fn read(self, file: &File, offset: u64, parts: &mut [IoSliceMut<'_>]) -> usize {
        use rustix::io::{ReadWriteFlags, preadv, preadv2};

        let read = match self {
            Self::Asked => preadv2(file, parts, offset, ReadWriteFlags::NOWAIT),
            Self::All => preadv(file, parts, offset),
            Self::Never => return 0,
        };
        read.unwrap_or(0)
    }
}

#[cfg(not(target_os = "linux"))]
impl CachedReads {
    /// Elsewhere there is no way to know.
    pub(super) const fn of(_: &File) -> Self {
        Self::Never
    }

    const fn read(self, _: &File, _: u64, _: &mut [IoSliceMut<'_>]) -> usize {
        0
    }
}
