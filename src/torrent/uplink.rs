//! How much all sockets together may hold: enough that the uplink never idles, and no more, because what
//! lies in its queue cannot be reordered, and requests and `have` messages wait behind it.

use std::time::Duration;

use crate::time::Time;

/// Worth of payload in sockets. Measured, 15 and 31 fetchers behind slow uplinks: 40 ms are as good,
/// 60 ms are worse.
const HELD: Duration = Duration::from_millis(30);

/// What a seed that steers its first copy holds more: what goes to whom is settled in advance, and an
/// acknowledgement that waits in a fetcher's uplink looks like a block that waits in ours. Measured, 31
/// fetchers: with 10 ms more its uplink idles 2 % of the time.
const MORE_BY_STEERING: Duration = Duration::from_millis(50);
/// ... but no more payload bytes than that: a fast uplink would give far too many pieces to too few.
const MORE_MAX: u64 = 512 << 10;

/// Payload bytes whatever the rate: one block leaves while the next one waits.
const HELD_MIN: u64 = 32 << 10;

/// While it goes on as before, ...
const USUAL: Duration = Duration::from_secs(10);
/// ... and while half as much again is held, to see whether more leaves.
const TRIAL: Duration = Duration::from_secs(1);
/// Per cent that are held in a trial, of what is held else.
const TRIED: u64 = 150;
/// Per cent that leave in a trial, of what left before, from which on it was a success.
const GAINED: u64 = 110;
/// Per cent that are held after a trial in vain, of what was held before, but never less than should do.
const SHRINKING: u64 = 90;
/// Per cent that are held at most: a quarter second's worth, as TCP alone would.
const STRETCH_MAX: u64 = 800;

/// How the uplink does.
///
/// Round trips can be longer than they seem, and others' packets can stand in the queue with ours: then
/// what should do is too little, what leaves becomes less, and so does what is held. So more is tried from
/// time to time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uplink {
    /// What is held, in per cent of what should do, trials left out.
    stretch: u64,
    is_trial: bool,
    /// Whether anybody waited because sockets held enough.
    is_held_back: bool,
    /// Bytes per second that left before the trial, if it was because of what sockets hold.
    before: Option<u64>,
    /// When this time of trial or not began, and what had left until then.
    since: Time,
    sent: u64,
}

impl Uplink {
    /// Of which nothing is known.
    pub(super) const fn new(now: Time) -> Self {
        Self {
            stretch: 100,
            is_trial: false,
            is_held_back: false,
            before: None,
            since: now,
            sent: 0,
        }
    }

    /// Payload bytes that sockets may hold while so many bytes a second leave.
    pub(super) fn may_hold(&self, rate: u64, steers: bool) -> u64 {
        let worth = |time: Duration| {
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            rate / 1_000 * millis
        };
        let more = worth(MORE_BY_STEERING).min(MORE_MAX);
        let enough = worth(HELD) + if steers { more } else { 0 };
        let enough = enough.max(HELD_MIN) * self.stretch / 100;
        if self.is_trial {
            enough * TRIED / 100
        } else {
            enough
        }
    }

    /// Somebody waits because sockets hold enough.
    pub(super) const fn hold_back(&mut self) {
        self.is_held_back = true;
    }

    /// Begins and ends trials; `sent` is what has left in all.
    pub(super) fn look(&mut self, sent: u64, now: Time) {
        let lasted = now.since(self.since);
        if lasted < if self.is_trial { TRIAL } else { USUAL } {
            return;
        }
        let bytes = u128::from(sent - self.sent);
        let rate = u64::try_from(bytes * 1_000 / lasted.as_millis()).unwrap_or(u64::MAX);
        let rate = std::mem::take(&mut self.is_held_back).then_some(rate);
        self.since = now;
        self.sent = sent;
        if !self.is_trial {
            self.before = rate;
            self.is_trial = rate.is_some();
            return;
        }
        let gained = |(rate, before): (u64, u64)| rate * 100 >= before * GAINED;
        if rate.zip(self.before).is_some_and(gained) && self.stretch < STRETCH_MAX {
            self.stretch = (self.stretch * TRIED / 100).min(STRETCH_MAX);
            self.before = rate;
        } else {
            self.stretch = (self.stretch * SHRINKING / 100).max(100);
            self.is_trial = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: u64 = 10_000_000;

    /// Megabytes a second that leave in each second of two minutes, where what is held is across once in
    /// so many milliseconds.
    fn seconds(rate: u64, round_trip: impl Fn(u64) -> u64) -> Vec<u64> {
        let mut uplink = Uplink::new(Time::ZERO);
        let (mut rate, mut sent, mut seconds) = (rate, 0, Vec::new());
        for second in 0..120 {
            let before = sent;
            for look in 0..5 {
                let reached = uplink.may_hold(rate, false) * 1_000 / round_trip(second);
                // What is known is a mean of some seconds.
                rate = (rate * 19 + reached.min(LINK)) / 20;
                sent += reached.min(LINK) / 5;
                uplink.hold_back();
                uplink.look(
                    sent,
                    Time::from_start(Duration::from_millis(second * 1_000 + look * 200)),
                );
            }
            seconds.push((sent - before) / 1_000_000);
        }
        seconds
    }

    #[test]
    fn a_link_is_soon_used_to_the_full() {
        let seconds = seconds(LINK / 10, |_| 10);
        assert!(seconds[10..].iter().all(|&rate| rate >= 9), "{seconds:?}");
    }

    #[test]
    fn a_link_is_used_to_the_full_although_round_trips_seem_too_long() {
        let seconds = seconds(LINK / 10, |_| 150);
        let late = &seconds[60..];
        assert!(
            late.iter().sum::<u64>() >= 8 * late.len() as u64,
            "{seconds:?}"
        );
    }

    #[test]
    fn what_was_reached_comes_back_when_round_trips_grow() {
        let seconds = seconds(LINK, |second| if second < 30 { 10 } else { 120 });
        let late = &seconds[60..];
        assert!(
            late.iter().sum::<u64>() >= 8 * late.len() as u64,
            "{seconds:?}"
        );
    }

    #[test]
    fn no_more_is_held_where_it_gains_nothing() {
        let mut uplink = Uplink::new(Time::ZERO);
        for look in 0..100_u32 {
            uplink.hold_back();
            uplink.look(
                u64::from(look) * LINK / 5,
                Time::ZERO + Duration::from_millis(200) * look,
            );
            let held = uplink.may_hold(LINK, false);
            assert!(held == 300_000 || held == 450_000, "{held}");
        }
        assert!(uplink.may_hold(LINK, true) > uplink.may_hold(LINK, false));
    }

    #[test]
    fn a_slow_link_holds_two_blocks() {
        let uplink = Uplink::new(Time::ZERO);
        assert_eq!(uplink.may_hold(10_000, false), 2 * 16_384);
    }
}
