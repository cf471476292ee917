//! How far a real run was from the least time possible, and what that takes for granted.
//!
//! A machine knows little of the others: only its own limits, what its own link was seen to do, and
//! when the others came. Whatever else the bound depends on is said beside it.

use std::time::Duration;

use super::text::{Style, Text};
use super::units::RateUnit;
use crate::report::{Bound, Inputs, Rates};

/// Over how long a rate is averaged; one that is younger may be a burst.
const RATE_WINDOW: Duration = Duration::from_secs(4);

/// The fastest that one direction of our link was seen to be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peak {
    /// Since when it has not been idle.
    busy_since: Option<Duration>,
    rate: Option<u64>,
}

impl Peak {
    /// The present rate is `rate`, at `now`.
    pub(super) fn note(&mut self, rate: u64, now: Duration) {
        if rate == 0 {
            self.busy_since = None;
            return;
        }
        let since = *self.busy_since.get_or_insert(now);
        if now.saturating_sub(since) >= RATE_WINDOW {
            self.rate = self.rate.max(Some(rate));
        }
    }
}

/// How late a sample may tell of a machine: its own interval, and that of snapshots.
const SAMPLED: Duration = Duration::from_millis(500);

/// How fast one direction of our link is, and how we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// The user said so.
    Limit(u64),
    /// It was not seen to be faster.
    Peak(u64),
}

impl Pace {
    /// What the user said, or else what was seen.
    pub(super) fn of(limit: Option<u64>, peak: Peak) -> Option<Self> {
        let limit = limit.filter(|limit| *limit > 0).map(Self::Limit);
        limit.or(peak.rate.map(Self::Peak))
    }

    const fn rate(self) -> u64 {
        match self {
            Self::Limit(rate) | Self::Peak(rate) => rate,
        }
    }

    fn told(self, rates: RateUnit) -> String {
        let rate = rates.show(self.rate());
        match self {
            Self::Limit(_) => format!("{rate}, its limit"),
            Self::Peak(_) => format!("{rate}, its peak"),
        }
    }
}

/// When the machines that a seed expects came, and how many are complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Arrivals {
    /// The most machines known at a time: connected, or complete and gone.
    pub(super) seen: u32,
    first: Option<Duration>,
    last: Duration,
}

impl Arrivals {
    /// A machine connected at `now`. Numbers come later, with the next sample.
    pub(super) fn connected(&mut self, now: Duration) {
        self.first.get_or_insert(now);
    }

    /// So many machines are known at `now`.
    pub(super) fn note(&mut self, machines: u32, now: Duration) {
        if machines > self.seen {
            self.seen = machines;
            self.connected(now);
            self.last = now;
        }
    }

    /// How long ago the first one came.
    pub(super) fn took(&self, now: Duration) -> Duration {
        self.first
            .map_or(Duration::ZERO, |first| now.saturating_sub(first))
    }

    fn spread(&self) -> Duration {
        self.took(self.last)
    }
}

/// The least time in which `machines` can get the content from one seed that sends at `pace`, if
/// each of them sends and receives as fast.
pub(super) fn bound_of_seed(size: u64, machines: u32, pace: Pace) -> Option<Bound> {
    let rate = Some(pace.rate());
    let fetcher = Rates {
        up: rate,
        down: rate,
    };
    Bound::of(&Inputs {
        size,
        piece_length: 0,
        seeds: vec![rate],
        fetchers: vec![fetcher; machines as usize],
        others: Vec::new(),
    })
}

/// The least time in which one machine can receive `size` bytes at `pace`.
pub(super) fn bound_of_fetch(size: u64, pace: Pace) -> Option<Bound> {
    Bound::of(&Inputs {
        size,
        piece_length: 0,
        seeds: vec![None],
        fetchers: vec![Rates {
            up: None,
            down: Some(pace.rate()),
        }],
        others: Vec::new(),
    })
}

/// How far a seed and the machines that it expected were from the bound.
pub(super) fn seed_parts(
    bound: &Bound,
    pace: Pace,
    (took, arrivals): (Duration, &Arrivals),
    rates: RateUnit,
) -> Vec<Text> {
    let how = format!("one copy from this seed at {}", pace.told(rates));
    let mut parts = vec![
        of_bound(bound, took, &how),
        Text::new("if each of the others can send and receive as fast"),
    ];
    let spread = arrivals.spread();
    if spread > SAMPLED && spread.as_secs_f64() > 0.02 * bound.fluid_s {
        parts.push(Text::new(format!(
            "they came within {:.1} s",
            spread.as_secs_f64()
        )));
    }
    parts
}

/// How far a fetch was from the bound.
pub(super) fn fetch_parts(bound: &Bound, pace: Pace, took: Duration, rates: RateUnit) -> Vec<Text> {
    let how = format!("this link at {}", pace.told(rates));
    vec![
        of_bound(bound, took, &how),
        Text::new("if the others can send as fast"),
    ]
}

/// The share of the possible speed, at most 1: a burst at the start is no miracle.
pub(super) fn share_of(bound: &Bound, took: Duration) -> f64 {
    bound.efficiency(took.as_secs_f64()).min(1.0)
}

fn of_bound(bound: &Bound, took: Duration, how: &str) -> Text {
    let percent = share_of(bound, took) * 100.0;
    Text::new(" ")
        .styled(Style::Strong, format!("{percent:.0}% of the bound"))
        .plain(format!(" ({:.1} s: {how})", bound.fluid_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn text(parts: &[Text]) -> String {
        let parts: Vec<String> = parts.iter().map(|part| part.render(false)).collect();
        parts.join(" · ")
    }

    #[test]
    fn a_peak_is_what_lasted() {
        let mut peak = Peak::default();
        peak.note(900, SECOND);
        peak.note(500, SECOND * 4);
        assert_eq!(Pace::of(None, peak), None);
        peak.note(400, SECOND * 5);
        peak.note(300, SECOND * 6);
        peak.note(0, SECOND * 7);
        peak.note(800, SECOND * 8);
        assert_eq!(Pace::of(None, peak), Some(Pace::Peak(400)));
        assert_eq!(Pace::of(Some(0), peak), Some(Pace::Peak(400)));
        assert_eq!(Pace::of(Some(700), peak), Some(Pace::Limit(700)));
    }

    #[test]
    fn a_seed_tells_its_bound_and_what_it_assumes() {
        let pace = Pace::Limit(10_000_000);
        let bound = bound_of_seed(100_000_000, 40, pace).unwrap();
        let mut arrivals = Arrivals::default();
        arrivals.connected(SECOND * 2);
        arrivals.note(39, SECOND * 2 + SAMPLED);
        arrivals.note(3, SECOND * 3);
        let took = arrivals.took(SECOND * 13);
        let told =
            |arrivals: Arrivals| text(&seed_parts(&bound, pace, (took, &arrivals), RateUnit::Bits));
        assert_eq!(
            told(arrivals),
            " 91% of the bound (10.0 s: one copy from this seed at 80 Mbit/s, its limit) · \
             if each of the others can send and receive as fast"
        );
        arrivals.note(40, SECOND * 5);
        assert!(told(arrivals).ends_with(" · they came within 3.0 s"));
    }

    #[test]
    fn a_fetch_tells_what_its_own_link_could_have_done() {
        let pace = Pace::Peak(20 << 20);
        let bound = bound_of_fetch(200 << 20, pace).unwrap();
        assert_eq!(
            text(&fetch_parts(&bound, pace, SECOND * 16, RateUnit::Bytes)),
            " 62% of the bound (10.0 s: this link at 20 MiB/s, its peak) · \
             if the others can send as fast"
        );
        assert!((share_of(&bound, SECOND * 9) - 1.0).abs() < 1e-9);
        assert_eq!(bound_of_fetch(0, pace), None);
    }
}
