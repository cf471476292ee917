//! From a magnet link to a manifest: asks the swarm for it, unless an earlier run left it here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::args::Network;
use super::error::{CliError, Exit};
use super::event::Event;
use super::hashing::SAMPLE_INTERVAL;
use super::network::{Hints, of_session, session_config};
use super::scope::Named;
use super::screen::Asking;
use super::text::Text;
use super::transfer::{LOOKING_SHOWN_AFTER, show, source_name};
use super::{App, manifest, scope};
use crate::metainfo::Metainfo;
use crate::metainfo::magnet::Magnet;
use crate::runtime::{Found, Lookup, NextNotice};
use crate::storage::kept_manifest;
use crate::torrent::Progress;
use crate::torrent::event::{Notice, PeerSource};

/// How a manifest was come by.
pub(super) enum Looked {
    /// Here it is, and what is known of its swarm.
    Here(Arc<Metainfo>, Hints),
    /// The user wanted no more.
    Stopped(Exit),
}

/// Gets the manifest that a magnet link names. `dir` is where an earlier run may have left it;
/// after `patience` without progress it gives up, unless that is zero.
pub(super) fn manifest_of(
    magnet: &Magnet,
    (dir, patience): (&Path, Duration),
    network: &Network,
    app: &mut App<'_>,
) -> Result<Looked, CliError> {
    let mut hints = Hints {
        peers: magnet.peers.clone(),
        ..Hints::default()
    };
    if let Some(kept) = kept_manifest(dir, magnet.info_hash) {
        // The content is what it was; who may be asked for it is said by this link.
        let meta = made_of(kept.info_bytes(), magnet)?;
        return Ok(Looked::Here(Arc::new(meta), hints));
    }
    manifest::check_ways(magnet, network)?;
    let mut config = session_config(network, &hints, app)?;
    let of_magnet = || {
        magnet
            .trackers
            .iter()
            .map(|url| vec![url.clone()])
            .collect()
    };
    let tiers: Vec<Vec<String>> = config.trackers.take().unwrap_or_else(of_magnet);
    config.dht = scope::dht(network, named_by(magnet, &tiers), app);
    config.trackers = Some(tiers.clone());
    let lookup = Lookup::start(magnet.info_hash, config).map_err(|e| of_session(&e, app))?;
    app.printer.event(&Event::Lookup {
        infohash: magnet.info_hash.to_string(),
        name: magnet.name.clone(),
        port: lookup.port(),
    });
    let mut search = Search {
        lookup,
        magnet,
        trackers: tiers.into_iter().flatten().collect(),
        progress: Progress::default(),
        started: app.printer.elapsed(),
        moved: app.printer.elapsed(),
        alone_since: Some(app.printer.elapsed()),
        is_told: false,
    };
    let ended = search.run(patience, app);
    app.printer.end_status();
    let found = search.lookup.finish();
    if let Some(exit) = ended? {
        let line = " stopped before the manifest was here, run the same command to try again";
        app.printer.say(&Text::new(line));
        app.printer.event(&Event::End {
            exit: exit.code(),
            sent: 0,
            received: 0,
        });
        return Ok(Looked::Stopped(exit));
    }
    let Some(Found { info, peers, port }) = found else {
        return Err(CliError::new(Exit::Other, "the search ended unexpectedly"));
    };
    let meta = made_of(&info, magnet)?;
    hints.known = peers;
    if meta.is_private() {
        // BEP 27: nobody but the trackers and the user may name peers of such a swarm.
        let may = |source| matches!(source, PeerSource::Manual | PeerSource::Tracker);
        hints.known.retain(|&(source, _)| may(source));
    }
    hints.port = Some(port);
    Ok(Looked::Here(Arc::new(meta), hints))
}

/// The manifest around what peers sent.
fn made_of(info: &[u8], magnet: &Magnet) -> Result<Metainfo, CliError> {
    Metainfo::from_info(info, &magnet.trackers, &magnet.web_seeds)
        .map_err(|error| manifest::refused_metadata(&error))
}

/// What the link says of where its swarm is.
fn named_by<'a>(magnet: &Magnet, tiers: &'a [Vec<String>]) -> Named<'a> {
    Named {
        trackers: tiers,
        nodes: &[],
        others: !magnet.peers.is_empty() || !magnet.web_seeds.is_empty(),
        private: false,
        complete: false,
    }
}

/// A search as the user sees it.
struct Search<'a> {
    lookup: Lookup,
    magnet: &'a Magnet,
    trackers: Vec<String>,
    progress: Progress,
    started: Duration,
    /// When a piece of the manifest came last.
    moved: Duration,
    alone_since: Option<Duration>,
    is_told: bool,
}

impl Search<'_> {
    /// Waits until the search has ended; gives how the user stopped it, if that is why.
    fn run(&mut self, patience: Duration, app: &mut App<'_>) -> Result<Option<Exit>, CliError> {
        loop {
            match self.lookup.next_notice(SAMPLE_INTERVAL) {
                NextNotice::Notice(Notice::Stopped) | NextNotice::Ended => return Ok(None),
                NextNotice::Notice(notice) => self.heed(notice, app),
                NextNotice::TimedOut => {}
            }
            if let Some(exit) = app.stop_asked() {
                return Ok(Some(exit));
            }
            if app.printer.is_abandoned() {
                return Ok(Some(Exit::Incomplete));
            }
            self.sample(app);
            let stood = app.printer.elapsed().saturating_sub(self.moved);
            if !patience.is_zero() && stood >= patience {
                return Err(self.gave_up(patience));
            }
        }
    }

    fn sample(&mut self, app: &mut App<'_>) {
        let now = app.printer.elapsed();
        let progress = self.lookup.progress();
        if progress.done_bytes > self.progress.done_bytes {
            self.moved = now;
        }
        self.alone_since = match progress.peers {
            0 => self.alone_since.or(Some(now)),
            _ => None,
        };
        self.progress = progress;
        let alone = self.alone_since.map(|since| now.saturating_sub(since));
        let local = self.lookup.local();
        let hash = self.magnet.info_hash.to_string();
        let view = Asking {
            name: self.magnet.name.as_deref().unwrap_or(&hash),
            progress: &self.progress,
            trackers: &self.trackers,
            local: local.as_ref(),
            is_alone: alone.is_some_and(|alone| alone >= LOOKING_SHOWN_AFTER),
            took: now.saturating_sub(self.started),
        };
        let is_news = view.is_alone && !self.is_told;
        self.is_told = view.is_alone;
        show(&view, is_news, app);
    }

    fn heed(&self, notice: Notice, app: &mut App<'_>) {
        match notice {
            Notice::PeerConnected { addr, source, .. } => app.printer.event(&Event::Peer {
                state: "connected",
                addr: addr.to_string(),
                client: None,
                via: Some(source_name(source)),
                reason: None,
            }),
            Notice::PeerLost {
                addr,
                client,
                reason,
            } => app.printer.event(&Event::Peer {
                state: "lost",
                addr: addr.to_string(),
                client: Some(client),
                via: None,
                reason: Some(reason.to_string()),
            }),
            Notice::TrackerFailed { tracker, failure } => {
                let url = self.trackers.get(tracker.0).map_or("?", String::as_str);
                let message = format!("tracker {url}: {failure}");
                app.printer.warn("tracker-failed", &message);
            }
            Notice::PeerUnresolved { peer, message } => {
                let message = format!("peer {peer}: {message}");
                app.printer.warn("peer-unresolved", &message);
            }
            _ => {}
        }
    }

    fn gave_up(&self, patience: Duration) -> CliError {
        let waited = humantime::format_duration(patience);
        let what = match self.progress.peers {
            0 => format!("no peer was found within {waited}"),
            _ => format!("nobody sent the manifest within {waited}"),
        };
        CliError::new(Exit::Network, what)
            .help("--peer HOST:PORT of a machine that has it, or -t with a tracker")
    }
}
