//! The only clock read of the program's working parts: monotonic, so a jump of the wall clock
//! changes nothing.

use std::time::Duration;

use tokio::time::Instant;

use crate::time::Time;

/// Far enough to mean "never", near enough for every timer implementation.
const NEVER: Duration = Duration::from_secs(365 * 86_400);

/// Turns real moments into the [`Time`] of one session and back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that reads zero at this moment.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// The present moment.
    pub fn now(&self) -> Time {
        Time::from_start(self.start.elapsed())
    }

    /// The moment to sleep until; at most a year after the start.
    pub(super) fn instant(&self, time: Time) -> Instant {
        self.start + time.since(Time::ZERO).min(NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_moment_of_all_can_be_slept_for() {
        let clock = Clock::start();
        assert!(clock.instant(Time::MAX) > clock.instant(clock.now()));
    }
}
