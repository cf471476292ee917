//! What a transfer looks like: pure functions of a [`Progress`] to lines of text.
//!
//! No clock, no terminal, no state; so every screen is a snapshot test.

mod asking;
mod benching;
mod fetching;
mod hashing;
mod mapping;
mod results;
mod seeding;
mod simulating;
#[cfg(test)]
mod tests;
mod waiting;

use std::time::Duration;

use console::measure_text_width;

use super::event;
use super::text::{Style, Text};
use super::units::{show_count, show_counted};
use crate::torrent::Progress;

pub(super) use asking::Asking;
pub(super) use benching::Benching;
pub(super) use fetching::{Fetching, done_parts, stopped_line};
pub(super) use hashing::Hashing;
pub(super) use mapping::{mapping_event, mapping_trouble, mapping_words};
pub(super) use results::results_lines;
pub(super) use seeding::{Fleet, Seeding, copies_sent};
pub(super) use simulating::{Simulating, millions};
pub(super) use waiting::{WAIT_SHOWN_AFTER, still_looking, tracker_fault, waiting, why};

/// Columns of a bar: shorter says nothing, longer says no more.
const BAR_COLUMNS: std::ops::RangeInclusive<usize> = 8..=40;

/// Columns a rate takes, so that the line does not jump: `1023 KiB/s`.
const RATE_COLUMNS: usize = 10;

/// Seconds to completion at the present rate.
pub(super) fn eta(progress: &Progress) -> Option<Duration> {
    let left = progress.wanted_bytes.saturating_sub(progress.done_bytes);
    (progress.down > 0).then(|| Duration::from_secs(left / progress.down))
}

fn progress_event(
    progress: &Progress,
    waiting: Option<String>,
    trackers: &[String],
) -> event::Progress {
    event::Progress {
        done: progress.done_bytes,
        have: progress.have,
        down: progress.down,
        up: progress.up,
        received: progress.received,
        sent: progress.sent,
        wasted: progress.wasted,
        peers: progress.peers,
        complete_peers: progress.complete_peers,
        availability_min: progress.availability_min,
        eta: eta(progress).map(|eta| eta.as_secs_f64()),
        waiting,
        tracker: tracker_fault(progress, trackers),
    }
}

fn peers_text(progress: &Progress) -> String {
    let peers = show_counted(progress.peers.into(), "peer");
    match progress.complete_peers {
        0 => peers,
        complete => format!("{peers} ({} complete)", show_count(complete.into())),
    }
}

fn bar_spans(line: Text, done: u64, total: u64, columns: usize) -> Text {
    let ratio = if total == 0 {
        1.0
    } else {
        done as f64 / total as f64
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and twice the width of a terminal"
    )]
    let halves = (ratio.clamp(0.0, 1.0) * columns as f64 * 2.0) as usize;
    let (full, half) = (halves / 2, halves % 2);
    line.styled(
        Style::Good,
        "━".repeat(full) + if half == 1 { "╸" } else { "" },
    )
    .styled(Style::Dim, "─".repeat(columns - full - half))
}

/// The text on lines of at most `width` columns, each after one space.
fn wrapped(text: &str, width: usize) -> Vec<Text> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a first line");
        if line.is_empty() || measure_text_width(line) + 1 + measure_text_width(word) <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(format!(" {word}"));
        }
    }
    let styled = |line| Text::default().styled(Style::Warn, line).fitted(width);
    lines.into_iter().map(styled).collect()
}

/// Without the spaces that would split a log line's value.
fn dense(text: &str) -> String {
    text.replace(' ', "")
}
