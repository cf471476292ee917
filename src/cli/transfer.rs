//! One swarm under way, for `seed` and `fetch`: starts the session, turns notices into warnings
//! and events, samples the progress four times a second.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::args::Network;
use super::error::{CliError, Exit};
use super::event::{Event, lossy};
use super::gateway::Gateway;
use super::hashing::SAMPLE_INTERVAL;
use super::network::{Hints, of_session, session_config};
use super::output::Status;
use super::pace::{Arrivals, Pace, Peak, bound_of_seed, share_of};
use super::scope::Named;
use super::screen::{Fetching, Fleet, Seeding, WAIT_SHOWN_AFTER, still_looking};
use super::{App, scope};
use crate::bitfield::Bitfield;
use crate::metainfo::Metainfo;
use crate::runtime::dht::DhtUse;
use crate::runtime::{NextNotice, Session};
use crate::storage::{StorageError, Store};
use crate::torrent::Progress;
use crate::torrent::event::{CloseReason, DiskFault, Notice, PeerSource, TrackerId};

/// Nobody connected for this long: the status says where was looked.
pub(super) const LOOKING_SHOWN_AFTER: Duration = Duration::from_secs(15);

/// Different warnings printed at most: a swarm of liars must not fill a log.
const WARNINGS_MAX: usize = 100;

/// What a session is started with.
#[derive(Debug)]
pub(super) struct Content {
    /// What it is.
    pub(super) meta: Arc<Metainfo>,
    /// What it is called on this machine.
    pub(super) name: String,
    /// Where it lies.
    pub(super) store: Arc<Store>,
    /// The pieces that are here.
    pub(super) have: Bitfield,
    /// The pieces that shall be.
    pub(super) wanted: Bitfield,
    /// Whether it is given over HTTP, too.
    pub(super) serve: bool,
}

/// One swarm under way.
#[derive(Debug)]
pub(super) struct Transfer {
    session: Session,
    dht: Option<DhtUse>,
    gateway: Gateway,
    meta: Arc<Metainfo>,
    name: String,
    trackers: Vec<String>,
    progress: Progress,
    started: Duration,
    /// When the last useful payload came.
    fed_last: Duration,
    /// Since when nobody is connected.
    alone_since: Option<Duration>,
    has_met_peer: bool,
    /// How much of the trouble the user was told of: nothing, that it stands still, where we look.
    told: Trouble,
    /// What our link was seen to do.
    down: Peak,
    up: Peak,
    arrivals: Arrivals,
    warned: BTreeSet<String>,
}

/// What keeps a transfer from moving, as far as the user was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    None,
    Waiting,
    Looking,
}

/// What a step brought that the command must act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// Nothing in particular.
    Nothing,
    /// Every wanted piece is stored.
    Complete,
    /// The disk refused a piece.
    DiskFault(DiskFault),
}

impl Transfer {
    /// Listens, dials and announces from here on.
    pub(super) fn start(
        content: Content,
        (network, hints): (&Network, &Hints),
        app: &App<'_>,
    ) -> Result<Self, CliError> {
        let Content {
            meta,
            name,
            store,
            have,
            wanted,
            serve,
        } = content;
        let mut config = session_config(network, hints, app)?;
        config.serve = serve;
        config.web_seeds = meta.web_seeds().to_vec();
        let tiers = config
            .trackers
            .clone()
            .unwrap_or_else(|| meta.trackers().to_vec());
        let named = Named {
            trackers: &tiers,
            nodes: meta.nodes(),
            others: !meta.web_seeds().is_empty() || !hints.peers.is_empty(),
            private: meta.is_private(),
            complete: have.is_full(),
        };
        config.dht = scope::dht(network, named, app);
        config.port_mapping = scope::port_mapping(network, meta.is_private());
        let dht = config.dht.as_ref().map(|dht| dht.when);
        let session = Session::start(Arc::clone(&meta), store, have, wanted, config)
            .map_err(|error| of_session(&error, app))?;
        let now = app.printer.elapsed();
        Ok(Self {
            progress: session.progress(),
            session,
            dht,
            gateway: Gateway::default(),
            meta,
            name,
            trackers: tiers.into_iter().flatten().collect(),
            started: now,
            fed_last: now,
            alone_since: Some(now),
            has_met_peer: false,
            told: Trouble::None,
            down: Peak::default(),
            up: Peak::default(),
            arrivals: Arrivals::default(),
            warned: BTreeSet::new(),
        })
    }

    /// Tells a program that it runs.
    pub(super) fn tell_start(
        &self,
        command: &'static str,
        have: u32,
        dir: &Path,
        app: &mut App<'_>,
    ) {
        let layout = self.meta.layout();
        app.printer.event(&Event::Start {
            command,
            infohash: self.meta.info_hash().to_string(),
            name: self.name.clone(),
            size: layout.total_len(),
            piece_length: layout.nominal_piece_len(),
            pieces: layout.piece_count(),
            have,
            dir: lossy(dir),
            port: self.session.port(),
        });
    }

    /// Lets the swarm work until the next sample is due, or until something happened.
    pub(super) fn step(&mut self, app: &mut App<'_>) -> Result<Happened, CliError> {
        let end = app.printer.elapsed() + SAMPLE_INTERVAL;
        let mut happened = Happened::Nothing;
        while happened == Happened::Nothing {
            let left = end.saturating_sub(app.printer.elapsed());
            if left.is_zero() {
                break;
            }
            match self.session.next_notice(left) {
                NextNotice::Notice(notice) => happened = self.heed(notice, app),
                NextNotice::TimedOut => break,
                NextNotice::Ended => {
                    return Err(CliError::new(Exit::Other, "the session ended unexpectedly"));
                }
            }
        }
        self.sample(app.printer.elapsed());
        self.gateway.heed(&self.session, app);
        Ok(happened)
    }

    /// The latest sample.
    pub(super) const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The port that peers can connect to.
    pub(super) const fn port(&self) -> u16 {
        self.session.port()
    }

    /// How the DHT is used.
    pub(super) const fn dht(&self) -> Option<DhtUse> {
        self.dht
    }

    /// Every tracker that is asked.
    pub(super) fn trackers(&self) -> &[String] {
        &self.trackers
    }

    /// How long it has been running.
    pub(super) fn took(&self, app: &App<'_>) -> Duration {
        app.printer.elapsed().saturating_sub(self.started)
    }

    /// How long no useful payload has come.
    pub(super) fn stalled(&self, app: &App<'_>) -> Duration {
        app.printer.elapsed().saturating_sub(self.fed_last)
    }

    /// Whether any peer was ever connected.
    pub(super) const fn has_met_peer(&self) -> bool {
        self.has_met_peer
    }

    /// Shows it as a fetch.
    pub(super) fn show_fetching(&mut self, app: &mut App<'_>) {
        let local = self.session.local();
        let local = local.as_ref();
        let alone = self
            .alone_since
            .map(|since| app.printer.elapsed().saturating_sub(since));
        let looking = alone.filter(|alone| *alone >= LOOKING_SHOWN_AFTER);
        let trouble = match looking {
            Some(_) => Trouble::Looking,
            None if self.stands_still() => Trouble::Waiting,
            None => Trouble::None,
        };
        if trouble == Trouble::Looking && self.told < trouble && app.printer.look().json {
            app.printer.warn(
                "no-peers",
                &still_looking(
                    &self.progress,
                    &self.trackers,
                    (local, self.gateway.status()),
                ),
            );
        }
        let view = Fetching {
            name: &self.name,
            progress: &self.progress,
            trackers: &self.trackers,
            local,
            mapping: self.gateway.status(),
            looking,
        };
        show(&view, self.told < trouble, app);
        self.told = trouble;
    }

    /// How fast we can receive, if that is known.
    pub(super) fn pace_down(&self, limit: Option<u64>) -> Option<Pace> {
        Pace::of(limit, self.down)
    }

    /// How fast we can send, if that is known.
    pub(super) fn pace_up(&self, limit: Option<u64>) -> Option<Pace> {
        Pace::of(limit, self.up)
    }

    /// When other machines came.
    pub(super) const fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    /// How far all the `machines` are that this seed expects.
    pub(super) fn fleet(&self, machines: u32, limit: Option<u64>, now: Duration) -> Fleet {
        let mut fleet = Fleet::of(&self.progress, machines, self.arrivals.seen);
        let took = self.arrivals.took(now);
        let left = took.as_secs_f64() * (1.0 - fleet.share) / fleet.share;
        fleet.eta = Duration::try_from_secs_f64(left).ok();
        let size = self.meta.layout().total_len();
        let bound = self
            .pace_up(limit)
            .and_then(|pace| bound_of_seed(size, machines, pace));
        fleet.bound = bound.map(|bound| bound.fluid_s);
        if fleet.complete == machines {
            fleet.efficiency = bound.map(|bound| share_of(&bound, took));
        }
        fleet
    }

    /// Shows it as a seed.
    pub(super) fn show_seeding(&mut self, fleet: Option<Fleet>, app: &mut App<'_>) {
        if self.progress.pieces == 0 {
            return;
        }
        let local = self.session.local();
        let view = Seeding {
            name: &self.name,
            progress: &self.progress,
            trackers: &self.trackers,
            local: local.as_ref(),
            mapping: self.gateway.status(),
            pieces: self.meta.layout().piece_count(),
            fleet,
        };
        show(&view, false, app);
    }

    /// Gives the complete content its real name, durably, and says where it is; `None` if pieces
    /// have to be fetched again because another program wrote to a file.
    pub(super) fn finish(&self, app: &App<'_>) -> Result<Option<PathBuf>, CliError> {
        // A session that ended without an answer was cancelled.
        let answer = self
            .session
            .finish()
            .recv()
            .unwrap_or(Err(StorageError::Cancelled));
        match answer {
            Ok(path) => Ok(Some(path)),
            Err(StorageError::Changed { .. } | StorageError::Incomplete { .. }) => Ok(None),
            Err(error) => Err(app.fault(&error)),
        }
    }

    /// Says goodbye to trackers, makes durable what was stored, and tells how it ended.
    pub(super) fn stop(
        self,
        ended: Result<Exit, CliError>,
        app: &mut App<'_>,
    ) -> Result<Exit, CliError> {
        app.printer.end_status();
        let stopped = self.session.stop().map_err(|error| of_session(&error, app));
        // What went wrong first is what the user must know.
        let exit = ended?;
        stopped?;
        app.printer.event(&Event::End {
            exit: exit.code(),
            sent: self.progress.sent,
            received: self.progress.received,
        });
        Ok(exit)
    }

    fn stands_still(&self) -> bool {
        self.progress.waiting.is_some() && self.progress.idle >= WAIT_SHOWN_AFTER
    }

    fn sample(&mut self, now: Duration) {
        let progress = self.session.progress();
        if useful(&progress) > useful(&self.progress) {
            self.fed_last = now;
        }
        self.has_met_peer |= progress.peers > 0;
        self.down.note(progress.down, now);
        self.up.note(progress.up, now);
        let unfinished = progress.peers - progress.complete_peers;
        self.arrivals
            .note(progress.completed_seen + unfinished, now);
        self.alone_since = match progress.peers {
            0 => self.alone_since.or(Some(now)),
            _ => None,
        };
        self.progress = progress;
    }

    fn heed(&mut self, notice: Notice, app: &mut App<'_>) -> Happened {
        match notice {
            Notice::Complete => return Happened::Complete,
            Notice::DiskFault(fault) => return Happened::DiskFault(fault),
            Notice::PeerConnected { addr, source, .. } => {
                self.arrivals.connected(app.printer.elapsed());
                app.printer.event(&Event::Peer {
                    state: "connected",
                    addr: addr.to_string(),
                    client: None,
                    via: Some(source_name(source)),
                    reason: None,
                });
            }
            Notice::PeerLost {
                addr,
                client,
                reason,
            } => {
                if reason == CloseReason::Corrupt {
                    let message = format!("{client} at {addr} sent corrupt data and is dropped");
                    self.warn("peer-dropped", &message, app);
                }
                app.printer.event(&Event::Peer {
                    state: "lost",
                    addr: addr.to_string(),
                    client: Some(client),
                    via: None,
                    reason: Some(reason.to_string()),
                });
            }
            Notice::PieceStored { piece, from } if app.printer.look().json_pieces => {
                let mut bytes = BTreeMap::new();
                for (addr, len) in from {
                    *bytes.entry(addr.to_string()).or_default() += u64::from(len);
                }
                app.printer.event(&Event::Piece {
                    index: piece.get(),
                    ok: true,
                    from: bytes,
                });
            }
            Notice::PieceStored { .. } | Notice::Stopped => {}
            Notice::PieceCorrupt { piece, from } => {
                let from: Vec<String> = from.iter().map(ToString::to_string).collect();
                let message = format!("piece {} from {} is corrupt", piece.get(), from.join(", "));
                self.warn("bad-piece", &message, app);
            }
            Notice::TrackerFailed { tracker, failure } => {
                let message = format!("tracker {}: {failure}", self.url(tracker));
                self.warn("tracker-failed", &message, app);
            }
            Notice::TrackerWarning { tracker, message } => {
                let message = format!("tracker {} says: {message}", self.url(tracker));
                self.warn("tracker-warning", &message, app);
            }
            Notice::DataDamaged { message, pieces } => {
                let message = format!("{message}; {pieces} pieces are checked again");
                self.warn("data-changed", &message, app);
            }
            Notice::WebSeedFailed { url, reason } => {
                self.warn("web-seed-failed", &format!("web seed {url}: {reason}"), app);
            }
            Notice::PeerUnresolved { peer, message } => {
                self.warn("peer-unresolved", &format!("peer {peer}: {message}"), app);
            }
        }
        Happened::Nothing
    }

    /// Warns of each thing once.
    fn warn(&mut self, code: &'static str, message: &str, app: &mut App<'_>) {
        if self.warned.len() < WARNINGS_MAX && self.warned.insert(message.to_owned()) {
            app.printer.warn(code, message);
        }
    }

    fn url(&self, tracker: TrackerId) -> &str {
        self.trackers.get(tracker.0).map_or("?", String::as_str)
    }
}

/// Payload bytes that came and were not in vain. Unfinished pieces count: on a slow link a large one
/// takes longer than a stall.
const fn useful(progress: &Progress) -> u64 {
    progress.received.saturating_sub(progress.wasted)
}

/// Shows a status as far as it is due, at once if it is news.
pub(super) fn show(status: &dyn Status, is_news: bool, app: &mut App<'_>) {
    if app.signals.take_report() {
        app.printer.status_line(status);
    }
    if is_news {
        app.printer.status_news(status);
    }
    app.printer.status(status);
}

/// What programs are told of where a peer came from.
pub(super) const fn source_name(source: PeerSource) -> &'static str {
    match source {
        PeerSource::Manual => "manual",
        PeerSource::Lsd => "lsd",
        PeerSource::Tracker => "tracker",
        PeerSource::Pex => "pex",
        PeerSource::Incoming => "incoming",
        PeerSource::WebSeed => "web-seed",
        PeerSource::Dht => "dht",
    }
}
