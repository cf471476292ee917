//! A search for a manifest under way.

use std::fmt::Write as _;
use std::time::Duration;

use super::{dense, peers_text, still_looking, waiting};
use crate::cli::event;
use crate::cli::output::Status;
use crate::cli::text::{Style, Text, truncated};
use crate::cli::units::{RateUnit, show_clock, show_size_pair};
use crate::metainfo::escape::escape;
use crate::runtime::LocalStatus;
use crate::torrent::Progress;

/// A search for the manifest that a magnet link names.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Asking<'a> {
    /// What is looked for: its name, or its info hash.
    pub name: &'a str,
    /// How far the manifest is here.
    pub progress: &'a Progress,
    /// Every tracker, in the order of their ids.
    pub trackers: &'a [String],
    /// What came of local discovery, where it is on.
    pub local: Option<&'a LocalStatus>,
    /// Whether nobody has been connected for long.
    pub is_alone: bool,
    /// How long it has been going on.
    pub took: Duration,
}

impl Status for Asking<'_> {
    fn block(&self, width: usize, _rates: RateUnit) -> Vec<Text> {
        let name = escape(self.name);
        let head = Text::new(" Asking  ").styled(Style::Strong, truncated(&name, width / 2));
        let mut line = head.plain(format!("  for {}", show_clock(self.took)));
        line = line.plain(format!(" · {}", peers_text(self.progress)));
        if self.progress.wanted_bytes > 0 {
            let size = show_size_pair(self.progress.done_bytes, self.progress.wanted_bytes);
            line = line.plain(format!(" · manifest {size}"));
        }
        let mut lines = vec![line.fitted(width)];
        if let Some(why) = self.why_waiting() {
            lines.extend(super::wrapped(&why, width));
        }
        lines
    }

    fn plain(&self, _rates: RateUnit) -> String {
        let progress = self.progress;
        let size = show_size_pair(progress.done_bytes, progress.wanted_bytes);
        let mut line = format!(
            "asking {} manifest={} peers={}",
            escape(self.name),
            dense(&size),
            progress.peers
        );
        if let Some(why) = self.why_waiting() {
            let _ = write!(line, " waiting={why:?}");
        }
        line
    }

    fn event(&self) -> event::Event {
        event::Event::Asking {
            done: self.progress.done_bytes,
            size: self.progress.wanted_bytes,
            peers: self.progress.peers,
            waiting: self.why_waiting(),
        }
    }
}

impl Asking<'_> {
    fn why_waiting(&self) -> Option<String> {
        if self.is_alone {
            return Some(still_looking(
                self.progress,
                self.trackers,
                (self.local, None),
            ));
        }
        waiting(self.progress, self.trackers)
    }
}
