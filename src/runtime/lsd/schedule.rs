//! When to announce on one network: at the start, now and then, and in answer to others.
//!
//! Pure. Whoever comes is answered at once, so that it need not wait for our next turn; the pause
//! between two announces keeps a crowd from answering each other for ever.

use std::time::Duration;

use crate::time::Time;

/// The first announces after the start: a datagram may be lost, a network may come up late.
const FIRST: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(10),
];

/// Between two announces afterwards (BEP 14).
const INTERVAL: Duration = Duration::from_secs(300);

/// Between two announces at least, answers included. Chosen: a newcomer that was not heard speaks
/// again after this time.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest wait before an answer. It lets some speak before others in a crowd.
pub(super) const ANSWER_DELAY_MAX: Duration = Duration::from_millis(100);

/// Who hears so many others answer keeps silent: the newcomer has enough to go on.
const ANSWERS_MAX: u32 = 10;

/// The turns of one network.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    start: Time,
    /// How many of the planned announces were made.
    made: usize,
    /// When the last announce was made.
    last: Option<Time>,
    /// When an answer is due.
    answer: Option<Time>,
    /// How many others have spoken since it was decided to answer.
    others: u32,
}

impl Schedule {
    /// A network that we came to at `now`.
    pub(super) const fn new(now: Time) -> Self {
        Self {
            start: now,
            made: 0,
            last: None,
            answer: None,
            others: 0,
        }
    }

    /// When to announce next.
    pub(super) fn next(&self) -> Time {
        let planned = self.planned();
        self.answer.map_or(planned, |answer| answer.min(planned))
    }

    /// Whether to announce at `now`.
    pub(super) fn due(&mut self, now: Time) -> Turn {
        let is_planned = self.planned() <= now;
        let is_answer = self.answer.is_some_and(|at| at <= now);
        if !is_planned && !is_answer {
            return Turn::Wait;
        }
        self.answer = None;
        if !is_planned && self.others > ANSWERS_MAX {
            return Turn::Wait;
        }
        if is_planned && self.made < FIRST.len() {
            self.made += 1;
        }
        self.last = Some(now);
        Turn::Announce
    }

    /// Another machine announced our swarm; `delay` is a random time up to [`ANSWER_DELAY_MAX`].
    pub(super) fn heard(&mut self, delay: Duration, now: Time) {
        let is_fresh = self.last.is_some_and(|last| now < last + PAUSE);
        if self.answer.is_some() {
            self.others += 1;
        } else if !is_fresh {
            self.others = 0;
            self.answer = Some(now + delay);
        }
    }
}

impl Schedule {
    fn planned(&self) -> Time {
        match FIRST.get(self.made) {
            Some(&after) => self.start + after,
            None => self.last.unwrap_or(self.start) + INTERVAL,
        }
    }
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Announce,
    Wait,
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(50);

    fn at(secs: u64) -> Time {
        Time::ZERO + Duration::from_secs(secs)
    }

    /// A machine that has been there for a while.
    fn settled() -> Schedule {
        let mut schedule = Schedule::new(Time::ZERO);
        for secs in [0, 1, 10] {
            assert_eq!(schedule.due(at(secs)), Turn::Announce);
        }
        schedule
    }

    #[test]
    fn a_machine_speaks_at_once_then_again_then_every_five_minutes() {
        let mut schedule = Schedule::new(at(7));
        let mut spoken = Vec::new();
        while spoken.len() < 5 {
            let next = schedule.next();
            assert_eq!(schedule.due(next), Turn::Announce);
            spoken.push(next.since(Time::ZERO).as_secs());
        }
        assert_eq!(spoken, [7, 8, 17, 317, 617]);
    }

    #[test]
    fn a_newcomer_is_answered_within_a_tenth_of_a_second_and_once() {
        let mut schedule = settled();
        schedule.heard(DELAY, at(60));
        assert_eq!(schedule.due(at(60)), Turn::Wait);
        assert_eq!(schedule.next(), at(60) + DELAY);
        assert_eq!(schedule.due(at(60) + DELAY), Turn::Announce);
        schedule.heard(DELAY, at(60) + 2 * DELAY);
        assert_eq!(schedule.next(), at(360) + DELAY);
        schedule.heard(DELAY, at(62));
        assert_eq!(schedule.next(), at(62) + DELAY);
    }

    #[test]
    fn two_machines_do_not_answer_each_other_for_ever() {
        let mut machines = [settled(), settled()];
        machines[0].heard(DELAY, at(60));
        let mut spoken = 0;
        for millis in 60_000..120_000 {
            let now = Time::ZERO + Duration::from_millis(millis);
            for speaker in 0..2 {
                if machines[speaker].due(now) == Turn::Announce {
                    spoken += 1;
                    machines[1 - speaker].heard(DELAY, now);
                }
            }
        }
        assert!(spoken <= 2, "{spoken}");
    }

    #[test]
    fn in_a_crowd_most_keep_silent() {
        let mut schedule = settled();
        for _ in 0..12 {
            schedule.heard(DELAY, at(60));
        }
        assert_eq!(schedule.due(at(60) + DELAY), Turn::Wait);
        assert_eq!(schedule.next(), at(310));
    }
}
