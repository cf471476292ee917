//! A fetch under way, and what it comes to.

use std::fmt::Write as _;
use std::time::Duration;

use super::{BAR_COLUMNS, RATE_COLUMNS, bar_spans, dense, eta, peers_text, progress_event};
use super::{still_looking, tracker_fault, waiting, wrapped};
use crate::cli::event;
use crate::cli::output::Status;
use crate::cli::text::{Style, Text, truncated};
use crate::cli::units::{
    RateUnit, percent, show_clock, show_counted, show_size, show_size_pair, show_took,
};
use crate::metainfo::escape::escape;
use crate::runtime::{LocalStatus, MappingStatus};
use crate::torrent::Progress;
use crate::torrent::progress::WaitReason;

/// A fetch under way.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Fetching<'a> {
    /// What is fetched.
    pub name: &'a str,
    /// How far it is.
    pub progress: &'a Progress,
    /// Every tracker, in the order of their ids.
    pub trackers: &'a [String],
    /// What came of local discovery, where it is on.
    pub local: Option<&'a LocalStatus>,
    /// What came of asking the gateway, where it is asked.
    pub mapping: Option<&'a MappingStatus>,
    /// How long no peer has been connected, if that is worth a hint.
    pub looking: Option<Duration>,
}

impl Status for Fetching<'_> {
    fn block(&self, width: usize, rates: RateUnit) -> Vec<Text> {
        let progress = self.progress;
        let mut lines = vec![self.bar_line(width, rates)];
        let peers = Text::new(format!(" {}", peers_text(progress)));
        match self.why_waiting() {
            Some(why) if self.looking.is_some() => lines.extend(wrapped(&why, width)),
            Some(why) => {
                let idle = format!(" · nothing for {} s: ", progress.idle.as_secs());
                lines.push(peers.plain(idle).styled(Style::Warn, why).fitted(width));
            }
            None => {
                let mut line = peers;
                if let Some(copies) = progress.availability_min.filter(|_| progress.peers > 0) {
                    line = line.plain(format!(" · rarest piece ×{copies}"));
                }
                if progress.received > 0 {
                    let share = percent(progress.received_from_seeds, progress.received);
                    line = line.plain(format!(" · {share}% from seeds"));
                }
                if progress.sent > 0 {
                    line = line.plain(format!(" · sent {}", show_size(progress.sent)));
                }
                if let Some(fault) = tracker_fault(progress, self.trackers) {
                    line = line.plain(" · ").styled(Style::Warn, fault);
                }
                lines.push(line.fitted(width));
            }
        }
        lines
    }

    fn plain(&self, rates: RateUnit) -> String {
        let progress = self.progress;
        let mut line = format!(
            "{} {}% {} down={} up={} peers={}",
            escape(self.name),
            percent(progress.done_bytes, progress.wanted_bytes),
            dense(&show_size_pair(progress.done_bytes, progress.wanted_bytes)),
            dense(&rates.show(progress.down)),
            dense(&rates.show(progress.up)),
            progress.peers,
        );
        if let Some(eta) = eta(progress) {
            let _ = write!(
                line,
                " eta={}",
                dense(&humantime::format_duration(eta).to_string())
            );
        }
        if let Some(why) = self.why_waiting() {
            let _ = write!(line, " waiting={why:?}");
        } else if let Some(fault) = tracker_fault(progress, self.trackers) {
            let _ = write!(line, " tracker={fault:?}");
        }
        line
    }

    fn event(&self) -> event::Event {
        event::Event::Progress(progress_event(
            self.progress,
            self.why_waiting(),
            self.trackers,
        ))
    }
}

impl Fetching<'_> {
    fn bar_line(&self, width: usize, rates: RateUnit) -> Text {
        let progress = self.progress;
        let eta = eta(progress).map_or("–".into(), show_clock);
        let figures = format!(
            " {:>3}%  {}  ↓{:<RATE_COLUMNS$} ↑{:<RATE_COLUMNS$} ETA {eta:<7}",
            percent(progress.done_bytes, progress.wanted_bytes),
            show_size_pair(progress.done_bytes, progress.wanted_bytes),
            rates.show(progress.down),
            rates.show(progress.up),
        );
        let figures = Text::new(figures);
        // A space before the name and one behind it.
        let room = width.saturating_sub(figures.width() + 2);
        let name = escape(self.name);
        let name = truncated(
            &name,
            (room / 2).max(room.saturating_sub(*BAR_COLUMNS.start())),
        );
        let line = Text::new(" ").styled(Style::Strong, &name);
        let bar = (room + 1)
            .saturating_sub(line.width())
            .min(*BAR_COLUMNS.end());
        let mut line = line.plain(" ");
        if bar >= *BAR_COLUMNS.start() {
            line = bar_spans(line, progress.done_bytes, progress.wanted_bytes, bar);
        }
        line.join(figures).fitted(width)
    }

    /// Why nothing moves, if nothing has for a while.
    fn why_waiting(&self) -> Option<String> {
        let progress = self.progress;
        if let Some(WaitReason::NoPeers { .. }) = &progress.waiting
            && self.looking.is_some()
        {
            let looked = (self.local, self.mapping);
            return Some(still_looking(progress, self.trackers, looked));
        }
        waiting(progress, self.trackers)
    }
}

/// What a finished fetch comes to, in parts.
pub(in crate::cli) fn done_parts(
    title: &str,
    progress: &Progress,
    took: Duration,
    rates: RateUnit,
) -> Vec<Text> {
    let secs = took.as_secs_f64().max(0.001);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate for people, positive"
    )]
    let rate = (progress.received as f64 / secs) as u64;
    let head = Text::new(" ").styled(Style::Good, "Done").plain("  ");
    let (size, took) = (show_size(progress.wanted_bytes), show_took(took));
    let speed = format!("  {size} in {took} ({})", rates.show(rate));
    let mut parts = vec![head.styled(Style::Strong, escape(title)).plain(speed)];
    if progress.received > 0 {
        let seeds = percent(progress.received_from_seeds, progress.received);
        parts.push(Text::new(format!(
            "{seeds}% from seeds, {}% from peers",
            100 - seeds
        )));
    }
    parts.push(Text::new(format!("sent {}", show_size(progress.sent))));
    parts.push(Text::new(show_counted(
        progress.bad_pieces.into(),
        "bad piece",
    )));
    parts
}

/// How far a fetch was when it was stopped, and what to type to go on.
pub(in crate::cli) fn stopped_line(progress: &Progress, again: &str) -> Text {
    let percent = percent(progress.done_bytes, progress.wanted_bytes);
    Text::new(format!(" stopped at {percent} %, {again}"))
}
