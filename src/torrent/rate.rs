//! How fast something goes ([`Rate`]), and holding it to a limit ([`TokenBucket`]).

#![expect(
    clippy::cast_possible_truncation,
    reason = "slots are few and rates fit u64"
)]

use std::time::Duration;

use crate::time::Time;

/// One slot of the moving window. Chosen: short enough to follow a link that just opened.
const SLOT: Duration = Duration::from_millis(500);
/// Slots in the window: 4 s, so that a choker sees several round trips of any link.
const SLOTS: usize = 8;

/// Bytes per second over the last 4 s.
#[derive(Clone, Debug, Default)]
pub(super) struct Rate {
    /// Bytes per slot; a slot holds 4 GiB, which is 8 GiB/s.
    slots: [u32; SLOTS],
    /// Number of the newest slot since the start of time.
    newest: u64,
    /// When the first byte was counted; the window never reaches before it.
    since: Option<Time>,
}

impl Rate {
    /// Counts `bytes` that passed at `now`.
    pub(super) fn add(&mut self, bytes: u64, now: Time) {
        self.advance(now);
        self.since.get_or_insert(now);
        let slot = &mut self.slots[slot_of(now) as usize % SLOTS];
        *slot = slot.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Bytes per second at `now`.
    pub(super) fn per_second(&self, now: Time) -> u64 {
        let Some(since) = self.since else { return 0 };
        let current = slot_of(now);
        let oldest = (current + 1).saturating_sub(SLOTS as u64);
        let bytes: u64 = if current == self.newest {
            self.slots.iter().map(|&bytes| u64::from(bytes)).sum()
        } else {
            (oldest..=current)
                .filter(|&slot| slot <= self.newest && slot + SLOTS as u64 > self.newest)
                .map(|slot| u64::from(self.slots[slot as usize % SLOTS]))
                .sum()
        };
        if bytes == 0 {
            return 0;
        }
        let window_start = Time::ZERO + SLOT * oldest as u32;
        let span = now.since(window_start.max(since)).max(SLOT / 2);
        // 32 GiB at most, so a million times that fits.
        bytes * 1_000_000 / span.as_micros() as u64
    }

    fn advance(&mut self, now: Time) {
        let current = slot_of(now);
        for slot in (self.newest + 1..=current).take(SLOTS) {
            self.slots[slot as usize % SLOTS] = 0;
        }
        // After a long pause every slot is stale, whichever numbers they had.
        if current > self.newest + SLOTS as u64 {
            self.slots = [0; SLOTS];
        }
        self.newest = self.newest.max(current);
    }
}

fn slot_of(now: Time) -> u64 {
    now.as_nanos() / SLOT.as_nanos() as u64
}

/// Lets a number of bytes per second through, in bursts of at most [`TokenBucket::BURST`].
///
/// A whole block may pass as soon as the balance is positive: the balance then goes below zero, so
/// the long-run rate is exact whatever the block size.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    /// Bytes per second; `None` lets everything through.
    limit: Option<u64>,
    /// In billionths of a byte, so that no rounding is lost between calls.
    balance: i128,
    updated: Time,
}

impl TokenBucket {
    /// What may pass at once after a pause: 50 ms worth. Chosen: hides a timer's lateness, is still
    /// smooth for the other side's rate measurement.
    pub(crate) const BURST: Duration = Duration::from_millis(50);

    /// A bucket for `limit` bytes per second, full at `now`.
    pub(crate) fn new(limit: Option<u64>, now: Time) -> Self {
        let mut bucket = Self {
            limit,
            balance: 0,
            updated: now,
        };
        bucket.balance = bucket.capacity();
        bucket
    }

    /// Changes the limit; what was saved up under the old one is capped to the new burst.
    pub(crate) fn set_limit(&mut self, limit: Option<u64>, now: Time) {
        self.refill(now);
        self.limit = limit;
        self.balance = self.balance.min(self.capacity());
    }

    /// Whether a block may pass at `now`.
    pub(crate) fn is_open(&mut self, now: Time) -> bool {
        self.refill(now);
        self.limit.is_none() || self.balance > 0
    }

    /// Takes `bytes` that pass at `now`.
    pub(crate) fn take(&mut self, bytes: u64, now: Time) {
        self.refill(now);
        if self.limit.is_some() {
            self.balance -= i128::from(bytes) * 1_000_000_000;
        }
    }

    /// When [`TokenBucket::is_open`] turns true, a tenth of a burst late so that several blocks go
    /// with one wake-up.
    pub(crate) fn open_at(&self) -> Time {
        match self.limit {
            None => self.updated,
            Some(0) => Time::MAX,
            Some(limit) => {
                let missing = (self.capacity() / 10 - self.balance).max(0);
                let nanos = missing / i128::from(limit) + 1;
                self.updated + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            }
        }
    }

    fn refill(&mut self, now: Time) {
        let elapsed = i128::from(now.since(self.updated).as_nanos() as u64);
        self.updated = self.updated.max(now);
        if let Some(limit) = self.limit {
            let earned = elapsed.saturating_mul(i128::from(limit));
            self.balance = self.balance.saturating_add(earned).min(self.capacity());
        }
    }

    fn capacity(&self) -> i128 {
        i128::from(self.limit.unwrap_or(0)) * i128::from(Self::BURST.as_nanos() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_start(Duration::from_millis(millis))
    }

    #[test]
    fn a_steady_flow_is_measured_right_from_the_start() {
        let mut rate = Rate::default();
        for ms in (0..10_000).step_by(10) {
            rate.add(1_000, at(ms));
            if ms > 1_000 {
                let measured = rate.per_second(at(ms));
                assert!(
                    (80_000..=120_000).contains(&measured),
                    "{measured} at {ms} ms"
                );
            }
        }
    }

    #[test]
    fn a_rate_dies_away_when_nothing_comes() {
        let mut rate = Rate::default();
        rate.add(1_000_000, at(100));
        assert!(rate.per_second(at(1_000)) > 0);
        assert_eq!(rate.per_second(at(5_000)), 0);
        rate.add(4, at(60_000));
        assert!(rate.per_second(at(61_000)) <= 4);
    }

    #[test]
    fn a_bucket_passes_its_limit_and_not_more() {
        let mut bucket = TokenBucket::new(Some(1_000_000), Time::ZERO);
        let mut now = Time::ZERO;
        let mut passed = 0;
        while now < at(10_000) {
            while bucket.is_open(now) {
                bucket.take(16_384, now);
                passed += 16_384;
            }
            let next = bucket.open_at();
            assert!(next > now, "a closed bucket opens later");
            now = next;
        }
        assert!((9_900_000..10_200_000).contains(&passed), "{passed}");
    }

    #[test]
    fn no_limit_is_always_open() {
        let mut bucket = TokenBucket::new(None, Time::ZERO);
        bucket.take(u64::MAX, Time::ZERO);
        assert!(bucket.is_open(Time::ZERO));
        bucket.set_limit(Some(0), Time::ZERO);
        assert_eq!(bucket.open_at(), Time::MAX);
    }
}
