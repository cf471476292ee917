//! A seed, or a fetch that has ended and serves others: who takes how much.

use std::fmt::Write as _;
use std::time::Duration;

use super::mapping_words;
use super::waiting::local_words;
use super::{RATE_COLUMNS, bar_spans, dense, peers_text, progress_event, waiting};
use crate::cli::event;
use crate::cli::output::Status;
use crate::cli::text::{Style, Text, truncated};
use crate::cli::units::{RateUnit, percent, show_clock, show_size};
use crate::metainfo::escape::escape;
use crate::runtime::{LocalStatus, MappingStatus};
use crate::torrent::Progress;
use crate::torrent::progress::{PeerProgress, WaitReason};

/// Peers listed under a seed; with its first line and the count of the rest, 10 lines.
const PEER_ROWS_MAX: usize = 8;

/// A seed, or a fetch that has ended and serves others.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Seeding<'a> {
    /// What is seeded.
    pub name: &'a str,
    /// How far it is.
    pub progress: &'a Progress,
    /// Every tracker, in the order of their ids.
    pub trackers: &'a [String],
    /// What came of local discovery, where it is on.
    pub local: Option<&'a LocalStatus>,
    /// What came of asking the gateway, where it is asked.
    pub mapping: Option<&'a MappingStatus>,
    /// Pieces of the content.
    pub pieces: u32,
    /// All machines that are expected, if it was said how many.
    pub fleet: Option<Fleet>,
}

/// All machines that a seed expects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cli) struct Fleet {
    /// How many are expected.
    pub machines: u32,
    /// How many came.
    pub seen: u32,
    /// How many have everything.
    pub complete: u32,
    /// What all of them have of what they want, 0 to 1.
    pub share: f64,
    /// Until all are complete.
    pub eta: Option<Duration>,
    /// The least time for them, in seconds.
    pub bound: Option<f64>,
    /// How near to it they came, 0 to 1.
    pub efficiency: Option<f64>,
}

impl Fleet {
    /// The machines that `progress` knows of, of so many that are expected.
    pub(in crate::cli) fn of(progress: &Progress, machines: u32, seen: u32) -> Self {
        let complete = progress.completed_seen.min(machines);
        let unfinished = progress
            .peer_list
            .iter()
            .filter(|peer| peer.have < progress.pieces);
        let pieces: u64 = unfinished.map(|peer| u64::from(peer.have)).sum();
        let share = pieces as f64 / f64::from(progress.pieces.max(1));
        Self {
            machines,
            seen,
            complete,
            share: ((f64::from(complete) + share) / f64::from(machines.max(1))).min(1.0),
            eta: None,
            bound: None,
            efficiency: None,
        }
    }

    fn line(&self) -> Text {
        let line = Text::new(format!(
            " {}/{} machines seen, {} complete",
            self.seen, self.machines, self.complete
        ));
        let eta = self.eta.map_or("–".into(), show_clock);
        let line = line.plain(format!(
            " · fleet {:.0}% · ETA {eta}",
            (self.share * 100.0).floor()
        ));
        match self.bound {
            Some(bound) => line.plain(format!(" · {bound:.1} s at the least")),
            None => line,
        }
    }

    /// The event, after so many copies.
    pub(in crate::cli) fn event(&self, seed_copies: f64) -> event::Event {
        event::Event::Fleet(event::Fleet {
            machines: self.machines,
            seen: self.seen,
            complete: self.complete,
            ratio: self.share,
            eta: self.eta.map(|eta| eta.as_secs_f64()),
            bound_s: self.bound,
            efficiency: self.efficiency,
            seed_copies,
        })
    }
}

impl Status for Seeding<'_> {
    fn block(&self, width: usize, rates: RateUnit) -> Vec<Text> {
        let progress = self.progress;
        let head = Text::new(" ")
            .styled(Style::Strong, escape(self.name))
            .plain(format!("  {}", show_size(progress.wanted_bytes)))
            .plain(format!(" · {}", peers_text(progress)))
            .plain(format!(" · ↑{}", rates.show(progress.up)))
            .plain(format!(
                " · sent {} = {}",
                show_size(progress.sent),
                copies(progress)
            ));
        let mut lines = vec![head.fitted(width)];
        lines.extend(self.fleet.map(|fleet| fleet.line().fitted(width)));
        let mut peers: Vec<&PeerProgress> = progress.peer_list.iter().collect();
        peers.sort_by_key(|peer| (peer.have, peer.addr));
        let rows = peers.iter().take(PEER_ROWS_MAX);
        lines.extend(rows.map(|peer| self.peer_row(peer, width, rates).fitted(width)));
        if let Some(more @ 1..) = peers.len().checked_sub(PEER_ROWS_MAX) {
            lines.push(
                Text::default()
                    .styled(Style::Dim, format!(" … {more} more, further on"))
                    .fitted(width),
            );
        }
        if let Some(why) = self.why_waiting() {
            lines.push(Text::new(" ").styled(Style::Dim, why).fitted(width));
        }
        lines
    }

    fn plain(&self, rates: RateUnit) -> String {
        let progress = self.progress;
        let mut line = format!(
            "{} seeding up={} sent={} copies={:.2} peers={} complete={}",
            escape(self.name),
            dense(&rates.show(progress.up)),
            dense(&show_size(progress.sent)),
            copies_sent(progress),
            progress.peers,
            progress.complete_peers,
        );
        if let Some(fleet) = self.fleet {
            let percent = (fleet.share * 100.0).floor();
            let _ = write!(
                line,
                " machines={}/{} fleet={percent:.0}%",
                fleet.complete, fleet.machines
            );
        }
        if let Some(why) = self.why_waiting() {
            let _ = write!(line, " waiting={why:?}");
        }
        line
    }

    fn event(&self) -> event::Event {
        let why = self.why_waiting();
        event::Event::Progress(progress_event(self.progress, why, self.trackers))
    }

    fn fleet(&self) -> Option<event::Event> {
        let fleet = self.fleet?;
        Some(fleet.event(copies_sent(self.progress)))
    }
}

impl Seeding<'_> {
    /// Why nothing moves. A seed knows of no peers until they come; that is no news.
    fn why_waiting(&self) -> Option<String> {
        match &self.progress.waiting {
            Some(WaitReason::NoPeers { .. }) if self.progress.tracker_faults.is_empty() => {
                let local = self.local.map(local_words);
                let mapping = self.mapping.map(mapping_words);
                let words = std::iter::once("nobody is connected".to_owned());
                let words: Vec<String> = words.chain(local).chain(mapping).collect();
                Some(words.join("; "))
            }
            _ => waiting(self.progress, self.trackers),
        }
    }

    /// One peer. It has at least what it says it has, and at least what we sent it.
    fn peer_row(&self, peer: &PeerProgress, width: usize, rates: RateUnit) -> Text {
        let all = self.progress.wanted_bytes;
        let said = u128::from(all) * u128::from(peer.have) / u128::from(self.pieces.max(1));
        let have = u64::try_from(said).unwrap_or(all).max(peer.sent).min(all);
        let client = if peer.client.is_empty() {
            "–".into()
        } else {
            escape(&peer.client)
        };
        let columns = if width < 100 { 11 } else { 18 };
        let line = Text::new(format!(" {:<21} ", peer.addr.to_string()))
            .plain(format!("{:<columns$} ", truncated(&client, columns)));
        let line = bar_spans(line, have, all, 10)
            .plain(format!(" {:>3}%", percent(have, all)))
            .plain(format!("  ↑{:<RATE_COLUMNS$}", rates.show(peer.up)))
            .plain(format!(" {:>9}  ", show_size(peer.sent)));
        match peer {
            _ if peer.have == self.pieces => line.styled(Style::Good, "complete"),
            _ if !peer.peer_interested => line.styled(Style::Dim, "wants nothing"),
            _ if peer.am_choking => line.styled(Style::Dim, "waits for a slot"),
            _ => line,
        }
    }
}

/// How often the whole content was sent.
pub(in crate::cli) fn copies_sent(progress: &Progress) -> f64 {
    progress.sent as f64 / progress.wanted_bytes.max(1) as f64
}

fn copies(progress: &Progress) -> String {
    let copies = copies_sent(progress);
    let noun = if (0.995..1.005).contains(&copies) {
        "copy"
    } else {
        "copies"
    };
    format!("{copies:.2} {noun}")
}
