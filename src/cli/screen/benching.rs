//! A run of a bench or a simulation under way.

use std::time::Duration;

use super::{BAR_COLUMNS, bar_spans, dense};
use crate::cli::event;
use crate::cli::output::Status;
use crate::cli::text::Text;
use crate::cli::units::{RateUnit, show_clock, show_counted};

/// A run under way.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Benching {
    /// Which one, from 1.
    pub run: usize,
    /// Of how many.
    pub runs: usize,
    /// Who brings the content.
    pub contender: &'static str,
    /// Machines that fetch.
    pub peers: u32,
    /// Those that have everything.
    pub complete: u32,
    /// What all of them have of what they want, 0 to 1.
    pub share: f64,
    /// Bytes per second that they receive, all together.
    pub rate: f64,
    /// Seconds since the start.
    pub took: f64,
    /// The least time in seconds.
    pub bound: Option<f64>,
    /// Copies that the seeds have sent.
    pub seed_copies: f64,
    /// Copies of the rarest piece.
    pub copies_min: u32,
    /// The share of the machine's processor time that it takes.
    pub cpu: f64,
    /// Until all runs are done.
    pub eta: Option<Duration>,
}

impl Benching {
    fn percent(&self) -> u64 {
        whole(self.share * 100.0)
    }
}

impl Status for Benching {
    fn block(&self, width: usize, rates: RateUnit) -> Vec<Text> {
        let head = Text::new(format!(
            " {} to {}  run {} of {} ",
            self.contender,
            show_counted(self.peers.into(), "machine"),
            self.run,
            self.runs,
        ));
        let tail = Text::new(format!(
            " {:>3}%  ↓{}  ETA {:<7}",
            self.percent(),
            rates.show(whole(self.rate)),
            self.eta.map_or("–".into(), show_clock),
        ));
        let room = width.saturating_sub(head.width() + tail.width());
        let bar = room.min(*BAR_COLUMNS.end());
        let line = if bar < *BAR_COLUMNS.start() {
            head
        } else {
            bar_spans(head, whole(self.share * 1e6), 1_000_000, bar)
        };
        let took = match self.bound {
            Some(bound) => format!(" {:.1} s of at least {bound:.1} s", self.took),
            None => format!(" {:.1} s", self.took),
        };
        let state = format!(
            "{took} · {} complete · rarest ×{} · seed sent {:.2} copies · CPU {:.0}%",
            self.complete,
            self.copies_min,
            self.seed_copies,
            self.cpu * 100.0,
        );
        vec![
            line.join(tail).fitted(width),
            Text::new(state).fitted(width),
        ]
    }

    fn plain(&self, rates: RateUnit) -> String {
        format!(
            "{} run={}/{} machines={} {}% complete={} down={} copies={:.2} eta={}",
            self.contender,
            self.run,
            self.runs,
            self.peers,
            self.percent(),
            self.complete,
            dense(&rates.show(whole(self.rate))),
            self.seed_copies,
            self.eta.map_or("–".into(), show_clock),
        )
    }

    fn event(&self) -> event::Event {
        event::Event::RunProgress {
            run: self.run,
            runs: self.runs,
            contender: self.contender.to_owned(),
            peers: self.peers,
            complete: self.complete,
            ratio: self.share,
            down: Some(whole(self.rate)),
            seed_copies: Some(self.seed_copies),
            copies_min: Some(self.copies_min),
            virtual_s: None,
            events: None,
            eta: self.eta.map(|eta| eta.as_secs_f64()),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded down for people; saturates"
)]
fn whole(value: f64) -> u64 {
    value as u64
}
