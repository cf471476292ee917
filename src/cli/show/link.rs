//! What a magnet link says by itself: nobody is asked for the manifest that it names.

use std::ops::RangeInclusive;

use serde::Serialize;

use super::{ShowArgs, URLS_SHOWN, fact};
use crate::cli::App;
use crate::cli::event::Event;
use crate::cli::text::{Style, Text};
use crate::metainfo::escape::escape;
use crate::metainfo::magnet::Magnet;

/// Ranges of files and peers shown; all of them are in `--json`.
const LISTED_MAX: usize = 20;

/// What a magnet link says, for a program.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Link {
    infohash: String,
    name: Option<String>,
    trackers: Vec<String>,
    peers: Vec<String>,
    web_seeds: Vec<String>,
    /// Ranges of the only files wanted, counted from 1 as `--select-file` does; empty for all.
    selected: Vec<(usize, usize)>,
}

/// Shows it.
pub(super) fn show(magnet: &Magnet, args: &ShowArgs, app: &mut App<'_>) {
    let selected = selected(&magnet.select_only);
    app.printer.event(&Event::Link(Box::new(Link {
        infohash: magnet.info_hash.to_string(),
        name: magnet.name.clone(),
        trackers: magnet.trackers.clone(),
        peers: magnet.peers.clone(),
        web_seeds: magnet.web_seeds.clone(),
        selected: selected.clone(),
    })));
    fact("info-hash", magnet.info_hash.to_string(), app);
    if let Some(name) = &magnet.name {
        fact("name", escape(name), app);
    }
    let trackers_max = if args.trackers {
        usize::MAX
    } else {
        URLS_SHOWN
    };
    list("tracker", &magnet.trackers, trackers_max, app);
    list("peer", &magnet.peers, LISTED_MAX, app);
    list("web seed", &magnet.web_seeds, LISTED_MAX, app);
    let ranges: Vec<String> = selected.iter().map(range_text).collect();
    if !ranges.is_empty() {
        let more = ranges.len().saturating_sub(LISTED_MAX);
        let shown = ranges[..ranges.len() - more].join(",");
        let rest = if more > 0 { ", …" } else { "" };
        fact("only files", format!("{shown}{rest}"), app);
    }
    if !app.printer.look().json {
        let names = [&magnet.trackers, &magnet.peers, &magnet.web_seeds];
        let words = if names.iter().all(|named| named.is_empty()) {
            "names nobody: it is looked for on this network, and in the DHT"
        } else {
            "its manifest is not here: swarm fetch --list LINK gets it from peers"
        };
        app.printer
            .line(&Text::new(format!("{:12}", "")).styled(Style::Dim, words));
    }
}

fn list(label: &str, all: &[String], max: usize, app: &mut App<'_>) {
    for (place, item) in all.iter().take(max).enumerate() {
        fact(if place == 0 { label } else { "" }, escape(item), app);
    }
    let more = all.len().saturating_sub(max);
    if more > 0 {
        fact("", format!("… {more} more (--json)"), app);
    }
}

/// From 0 to from 1.
fn selected(ranges: &[RangeInclusive<usize>]) -> Vec<(usize, usize)> {
    let from_one = |range: &RangeInclusive<usize>| {
        (
            range.start().saturating_add(1),
            range.end().saturating_add(1),
        )
    };
    ranges.iter().map(from_one).collect()
}

fn range_text(&(first, last): &(usize, usize)) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}
