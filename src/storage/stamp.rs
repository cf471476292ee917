//! What the file system says of a file; as long as it says the same, nobody wrote to it.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::fs::{FileType, Stat};

/// Bytes of a [`Stamp`] in the journal.
pub(super) const STAMP_LEN: usize = 32;

/// For so long after a write another one may leave the same times. Chosen: twice the longest tick
/// of Linux (100 Hz), which the times of files follow.
pub(super) const TICK: Duration = Duration::from_millis(20);

/// The same where the times of files are coarse: 2 s in FAT, else a second at most.
const COARSE_TICK: Duration = Duration::from_secs(2);

/// A time that is a multiple of this is taken for coarse, in nanoseconds: exFAT counts in
/// hundredths of a second.
const COARSE_UNIT: i64 = 10_000_000;

/// Size, times and identity of a file at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Size in bytes.
    pub(super) len: u64,
    /// When its content last changed, in nanoseconds since 1970.
    pub(super) mtime: i64,
    /// When content, name or permissions last changed, in nanoseconds since 1970.
    pub(super) ctime: i64,
    /// Which file of its file system it is.
    pub(super) inode: u64,
}

impl Stamp {
    /// The stamp of an open file.
    pub(super) fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(Self::of_stat(&rustix::fs::fstat(file)?))
    }

    /// The stamp of a plain file, from what `stat` said of it; `None` if it is something else.
    pub(super) fn of_plain(stat: &Stat) -> Option<Self> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        (kind == FileType::RegularFile).then(|| Self::of_stat(stat))
    }

    /// Whether any write after `moment`, in nanoseconds since 1970, changes the stamp: the file is
    /// old enough for that. What git calls racily clean is not settled.
    pub(super) fn is_settled(&self, moment: i64) -> bool {
        // Nobody can choose this time, so it tells how the file system counts.
        let tick = if self.ctime % COARSE_UNIT == 0 {
            COARSE_TICK
        } else {
            TICK
        };
        let age = moment.saturating_sub(self.mtime.max(self.ctime));
        u128::try_from(age).is_ok_and(|age| age > tick.as_nanos())
    }

    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_fallible_conversions,
        clippy::cast_possible_wrap,
        reason = "the types of these fields differ between systems"
    )]
    fn of_stat(stat: &Stat) -> Self {
        let nanos = |secs: i64, nsec: i64| secs.saturating_mul(1_000_000_000).saturating_add(nsec);
        Self {
            len: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: nanos(stat.st_mtime.into(), stat.st_mtime_nsec as i64),
            ctime: nanos(stat.st_ctime.into(), stat.st_ctime_nsec as i64),
            inode: stat.st_ino.into(),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; STAMP_LEN] {
        let mut bytes = [0; STAMP_LEN];
        bytes[..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.mtime.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.ctime.to_le_bytes());
        bytes[24..].copy_from_slice(&self.inode.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; STAMP_LEN]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            word
        };
        Self {
            len: u64::from_le_bytes(word(0)),
            mtime: i64::from_le_bytes(word(8)),
            ctime: i64::from_le_bytes(word(16)),
            inode: u64::from_le_bytes(word(24)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_the_journal() {
        let stamp = Stamp {
            len: 1 << 40,
            mtime: -5,
            ctime: i64::MAX,
            inode: u64::MAX - 1,
        };
        assert_eq!(Stamp::from_bytes(&stamp.to_bytes()), stamp);
    }

    #[test]
    fn a_stamp_tells_of_later_writes_once_the_clock_has_moved_on() {
        let of = |mtime, ctime| Stamp {
            len: 1,
            mtime,
            ctime,
            inode: 1,
        };
        let (second, fine, tick) = (1_000_000_000, 50_001_234_567, 20_000_000);
        let cases = [
            (of(fine, fine), fine + tick, false),
            (of(fine, fine), fine + tick + 1, true),
            (of(0, fine), fine + tick, false),
            // Written in the future, by a clock that is wrong or by hand.
            (of(90 * second, fine), 60 * second, false),
            (of(50 * second, 50 * second), 52 * second, false),
            (of(50 * second, 50 * second), 52 * second + 1, true),
            (of(i64::MIN, i64::MIN), i64::MAX, true),
            (of(i64::MAX, i64::MAX), i64::MIN, false),
        ];
        for (stamp, moment, want) in cases {
            assert_eq!(stamp.is_settled(moment), want, "{stamp:?} at {moment}");
        }
    }
}
