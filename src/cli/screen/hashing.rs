//! Hashing under way.

use std::time::Duration;

use super::{BAR_COLUMNS, RATE_COLUMNS, bar_spans, dense};
use crate::cli::event;
use crate::cli::output::Status;
use crate::cli::text::{Text, truncated};
use crate::cli::units::{RateUnit, percent, show_clock, show_counted, show_size, show_size_pair};
use crate::metainfo::escape::escape;

/// Hashing under way: on create, on verify, before a seed starts.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Hashing<'a> {
    /// `Hashing` or `Checking`.
    pub verb: &'static str,
    /// What is hashed.
    pub name: &'a str,
    /// Bytes hashed.
    pub done: u64,
    /// Bytes to hash.
    pub total: u64,
    /// Bytes per second.
    pub rate: u64,
    /// Threads at work.
    pub threads: usize,
}

impl Hashing<'_> {
    fn eta(&self) -> Option<Duration> {
        let left = self.total.saturating_sub(self.done);
        (self.rate > 0).then(|| Duration::from_secs(left / self.rate))
    }
}

impl Status for Hashing<'_> {
    fn block(&self, width: usize, rates: RateUnit) -> Vec<Text> {
        let head = format!(
            " {}  {}  ",
            self.verb,
            truncated(&escape(self.name), width / 3)
        );
        let tail = format!(
            " {:>3}%  {:<RATE_COLUMNS$}  {}  ETA {:<7}",
            percent(self.done, self.total),
            rates.show(self.rate),
            show_counted(self.threads as u64, "thread"),
            self.eta().map_or("–".into(), show_clock),
        );
        let line = Text::new(head).plain(format!("{}  ", show_size(self.total)));
        let tail = Text::new(tail);
        let bar = width
            .saturating_sub(line.width() + tail.width())
            .min(*BAR_COLUMNS.end());
        let line = if bar < *BAR_COLUMNS.start() {
            line
        } else {
            bar_spans(line, self.done, self.total, bar)
        };
        vec![line.join(tail).fitted(width)]
    }

    fn plain(&self, rates: RateUnit) -> String {
        format!(
            "{} {} {}% {} rate={}",
            self.verb.to_lowercase(),
            escape(self.name),
            percent(self.done, self.total),
            dense(&show_size_pair(self.done, self.total)),
            dense(&rates.show(self.rate)),
        )
    }

    fn event(&self) -> event::Event {
        event::Event::Hashing {
            done: self.done,
            size: self.total,
        }
    }
}
