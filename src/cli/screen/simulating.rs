//! A simulation under way.

use std::time::Duration;

use super::{BAR_COLUMNS, bar_spans};
use crate::cli::event::Event;
use crate::cli::output::Status;
use crate::cli::text::Text;
use crate::cli::units::{RateUnit, percent, show_clock, show_count};
use crate::sim::Snapshot;

/// Parts of the whole that the bar is drawn in.
const BAR_PARTS: u64 = 10_000;

/// A simulation under way.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Simulating {
    /// Which run this is, counted from 1.
    pub run: usize,
    /// How many there are.
    pub runs: usize,
    /// How many peers fetch.
    pub peers: usize,
    /// How far it is.
    pub snapshot: Snapshot,
    /// How long it has taken.
    pub took: Duration,
}

impl Simulating {
    fn done(&self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share, clamped, of a small number"
        )]
        let done = (self.snapshot.mean_done.clamp(0.0, 1.0) * BAR_PARTS as f64) as u64;
        done
    }

    /// How long this run goes on if it goes on like this.
    fn eta(&self) -> Option<Duration> {
        let done = self.snapshot.mean_done;
        let left = (1.0 - done) / done * self.took.as_secs_f64();
        Duration::try_from_secs_f64(left).ok()
    }
}

/// Events per second in millions, `2.1 M`.
pub(in crate::cli) fn millions(events: u64, took: Duration) -> String {
    let secs = took.as_secs_f64();
    let rate = if secs > 0.0 {
        events as f64 / secs
    } else {
        0.0
    };
    format!("{:.1} M", rate / 1e6)
}

impl Status for Simulating {
    fn block(&self, width: usize, _: RateUnit) -> Vec<Text> {
        let which = match self.runs {
            1 => String::new(),
            runs => format!(" {} of {runs}", self.run),
        };
        let head = Text::new(format!(" Simulating{which}  "));
        let tail = Text::new(format!(
            " {:>3}%  {:.1} s  {}/{} complete  {} events/s  ETA {:<7}",
            percent(self.done(), BAR_PARTS),
            self.snapshot.now.as_secs_f64(),
            show_count(self.snapshot.complete as u64),
            show_count(self.peers as u64),
            millions(self.snapshot.events, self.took),
            self.eta().map_or("–".into(), show_clock),
        ));
        let columns = width.saturating_sub(head.width() + tail.width());
        let line = if columns < *BAR_COLUMNS.start() {
            head
        } else {
            bar_spans(
                head,
                self.done(),
                BAR_PARTS,
                columns.min(*BAR_COLUMNS.end()),
            )
        };
        vec![line.join(tail).fitted(width)]
    }

    fn plain(&self, _: RateUnit) -> String {
        format!(
            "simulating run={}/{} peers={} {}% complete={} t={:.1}s events={} eta={}",
            self.run,
            self.runs,
            self.peers,
            percent(self.done(), BAR_PARTS),
            self.snapshot.complete,
            self.snapshot.now.as_secs_f64(),
            self.snapshot.events,
            self.eta().map_or("–".into(), show_clock),
        )
    }

    fn event(&self) -> Event {
        Event::RunProgress {
            run: self.run,
            runs: self.runs,
            contender: "swarm".into(),
            peers: u32::try_from(self.peers).unwrap_or(u32::MAX),
            complete: u32::try_from(self.snapshot.complete).unwrap_or(u32::MAX),
            ratio: self.snapshot.mean_done,
            down: None,
            seed_copies: None,
            copies_min: None,
            virtual_s: Some(self.snapshot.now.as_secs_f64()),
            events: Some(self.snapshot.events),
            eta: self.eta().map(|eta| eta.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    fn halfway() -> Simulating {
        Simulating {
            run: 2,
            runs: 3,
            peers: 1_000,
            snapshot: Snapshot {
                now: Time::from_nanos(12_345_000_000),
                complete: 12,
                mean_done: 0.5,
                events: 4_200_000,
            },
            took: Duration::from_secs(2),
        }
    }

    #[test]
    fn a_run_under_way_fits_its_columns() {
        let lines = |width| halfway().block(width, RateUnit::Bytes)[0].render(false);
        insta::assert_snapshot!(lines(99), @" Simulating 2 of 3  ━━━━━━━━━─────────  50%  12.3 s  12/1,000 complete  2.1 M events/s  ETA 0:02");
        insta::assert_snapshot!(lines(70), @" Simulating 2 of 3    50%  12.3 s  12/1,000 complete  2.1 M events/s …");
        for width in 0..120 {
            assert!(halfway().block(width, RateUnit::Bytes)[0].width() <= width);
        }
    }

    #[test]
    fn a_line_for_a_log_says_the_same() {
        insta::assert_snapshot!(halfway().plain(RateUnit::Bytes), @"simulating run=2/3 peers=1000 50% complete=12 t=12.3s events=4200000 eta=0:02");
    }
}
