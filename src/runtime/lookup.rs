//! Gets the metadata of a swarm of which only the name is known: the edge around
//! [`MetadataFetch`], on a network thread of its own.
//!
//! There is no content yet, so there are no disk threads and no piece buffers; connections carry
//! messages only. It ends as soon as the metadata is here, and a session takes over its port and
//! the peers that it knows.

mod link;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::announce::Announcer;
use super::clock::Clock;
use super::dht::DhtSource;
use super::driver::{ANNOUNCE_TIMEOUT, EVENT_BATCH, SNAPSHOT_INTERVAL, STOP_TIMEOUT};
use super::lsd::{self, LocalStatus, Lsd};
use super::notices::{self, NextNotice, NoticeReader, Notices};
use super::scope::Scope;
use super::session::{EVENTS_MAX, Observed, SessionConfig, SessionError};
use super::{dial, listener};
use crate::ids::InfoHash;
use crate::time::Time;
use crate::torrent::event::{Action, CloseReason, Command, Notice, PeerKey, PeerSource, TrackerId};
use crate::torrent::{Event, MetadataFetch, Progress};
use crate::tracker::{AnnounceEvent, AnnounceRequest};
use crate::wire::{Handshake, Message, Reserved};

/// Messages that may wait for one connection. The core has at most 16 requests out at each.
const MESSAGES_MAX: usize = 256;

/// What a search brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The raw `info` dictionary, whose hash is the name of the swarm.
    pub info: Vec<u8>,
    /// Peers that are known by now, and who named them.
    pub peers: Vec<(PeerSource, SocketAddr)>,
    /// The port that was listened on.
    pub port: u16,
}

/// A search under way. Dropping it stops it, too.
#[derive(Debug)]
pub struct Lookup {
    port: u16,
    events: mpsc::Sender<Event>,
    progress: watch::Receiver<Observed>,
    notices: NoticeReader,
    network: Option<JoinHandle<Option<Found>>>,
}

impl Lookup {
    /// Listens, dials and announces from here on. Of `config` what concerns content means nothing.
    ///
    /// # Errors
    /// If no port can be had, or no thread.
    pub fn start(info_hash: InfoHash, mut config: SessionConfig) -> Result<Self, SessionError> {
        let listener = listener::bind(config.bind, config.ports.clone(), config.any_port)?;
        let port = listener.local_addr().map_err(SessionError::Start)?.port();
        config.torrent.port = port;
        let (events, inbox) = mpsc::channel(EVENTS_MAX);
        let (notices, notice_reader) = notices::queue();
        let (progress, latest) = watch::channel(Observed::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(SessionError::Start)?;
        let network = Network {
            info_hash,
            listener,
            config,
            events: events.clone(),
            inbox,
            notices,
            progress,
        };
        let thread = std::thread::Builder::new()
            .name("swarm-lookup".into())
            .spawn(move || {
                let found = runtime.block_on(LocalSet::new().run_until(network.run()));
                // A name that is still being resolved must not hold us up.
                runtime.shutdown_background();
                found
            });
        Ok(Self {
            port,
            events,
            progress: latest,
            notices: notice_reader,
            network: Some(thread.map_err(SessionError::Start)?),
        })
    }

    /// The port that peers can connect to.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The latest snapshot, at most a quarter of a second old; its sizes are those of the metadata.
    pub fn progress(&self) -> Progress {
        self.progress.borrow().progress.clone()
    }

    /// What came of local discovery, where it is on; as old as [`Lookup::progress`].
    pub fn local(&self) -> Option<LocalStatus> {
        self.progress.borrow().local.clone()
    }

    /// Waits for the next notice, for `timeout` at most; [`NextNotice::Ended`] when there is
    /// something for [`Lookup::finish`].
    pub fn next_notice(&mut self, timeout: Duration) -> NextNotice {
        let ended = |thread: &JoinHandle<_>| thread.is_finished();
        match self.notices.next(timeout) {
            NextNotice::TimedOut if self.network.as_ref().is_none_or(ended) => NextNotice::Ended,
            next => next,
        }
    }

    /// Ends the search, with a goodbye to trackers (for 2 s at most) if nothing was found.
    pub fn finish(mut self) -> Option<Found> {
        self.end()
    }

    fn end(&mut self) -> Option<Found> {
        let network = self.network.take()?;
        // One that has ended wants nothing any more.
        let _ = self.events.blocking_send(Event::Command(Command::Stop));
        network.join().expect("the network thread does not panic")
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the thread is started with.
struct Network {
    info_hash: InfoHash,
    listener: TcpListener,
    config: SessionConfig,
    events: mpsc::Sender<Event>,
    inbox: mpsc::Receiver<Event>,
    notices: Notices,
    progress: watch::Sender<Observed>,
}

/// What all local tasks of the thread share; its cells are never borrowed across an await.
struct Hub {
    ours: Handshake,
    bind: Option<IpAddr>,
    scope: Scope,
    events: mpsc::Sender<Event>,
    links: RefCell<BTreeMap<PeerKey, mpsc::Sender<Message>>>,
    keys: Cell<u64>,
    /// Handshakes of strangers under way.
    pending: Cell<usize>,
}

/// The loop of a search.
struct Driver {
    fetch: MetadataFetch,
    clock: Clock,
    hub: Rc<Hub>,
    inbox: mpsc::Receiver<Event>,
    notices: Notices,
    progress: watch::Sender<Observed>,
    announcer: Rc<Announcer>,
    trackers: Vec<String>,
    port: u16,
    local: Option<lsd::Shared>,
    end: Option<Time>,
}

impl Network {
    async fn run(self) -> Option<Found> {
        let config = self.config;
        let tiers = config.trackers.unwrap_or_default();
        let hub = Rc::new(Hub {
            ours: Handshake {
                reserved: Reserved::OURS,
                info_hash: self.info_hash,
                peer_id: config.torrent.peer_id,
            },
            bind: config.bind,
            scope: config.scope,
            events: self.events.clone(),
            links: RefCell::default(),
            keys: Cell::new(0),
            pending: Cell::new(0),
        });
        match tokio::net::TcpListener::from_std(self.listener) {
            Ok(listener) => {
                spawn_local(link::accept(Rc::clone(&hub), listener));
            }
            Err(error) => tracing::error!("cannot accept peers: {error}"),
        }
        for peer in config.peers {
            spawn_local(dial::resolve(
                self.events.clone(),
                peer,
                self.notices.clone(),
            ));
        }
        let clock = Clock::start();
        let port = config.torrent.port;
        if let Some(dht) = config.dht {
            let dht = DhtSource {
                config: dht,
                info_hash: self.info_hash,
                port,
                bind: config.bind,
                events: self.events.clone(),
                progress: self.progress.subscribe(),
                announces: false,
                mapping: None,
            };
            spawn_local(dht.run());
        }
        let lsd = Lsd {
            info_hash: self.info_hash,
            port,
            bind: config.bind,
            events: self.events,
            clock,
            seed: config.rng_seed,
        };
        let local = config.local_discovery.then(|| lsd.start());
        let (seed, now) = (config.rng_seed, clock.now());
        Driver {
            fetch: MetadataFetch::new(self.info_hash, &tiers, config.torrent, seed, now),
            clock,
            hub,
            inbox: self.inbox,
            notices: self.notices,
            progress: self.progress,
            announcer: Rc::new(Announcer::new(config.bind, config.scope, seed)),
            trackers: tiers.into_iter().flatten().collect(),
            port,
            local,
            end: None,
        }
        .run()
        .await
    }
}

impl Driver {
    /// Runs until the metadata is here, or until told to stop.
    async fn run(mut self) -> Option<Found> {
        let mut batch = Vec::with_capacity(EVENT_BATCH);
        let mut snapshot = interval(SNAPSHOT_INTERVAL);
        snapshot.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.perform_all();
        while self.end.is_none_or(|end| self.clock.now() < end) {
            let deadline = self.fetch.deadline().unwrap_or(Time::MAX);
            let wake = self.end.map_or(deadline, |end| end.min(deadline));
            tokio::select! {
                _ = self.inbox.recv_many(&mut batch, EVENT_BATCH) => {}
                () = sleep_until(self.clock.instant(wake)) => batch.push(Event::Deadline),
                _ = snapshot.tick() => self.publish(),
            }
            let now = self.clock.now();
            for event in batch.drain(..) {
                if matches!(event, Event::Command(Command::Stop)) {
                    self.end = self.end.or(Some(now + STOP_TIMEOUT));
                }
                if self.concerns_core(&event) {
                    self.fetch.handle(event, now);
                    self.perform_all();
                }
            }
        }
        self.publish();
        let (info, peers) = (self.fetch.take_found()?, self.fetch.known());
        let port = self.port;
        Some(Found { info, peers, port })
    }

    /// False for what comes from a connection that is gone: its key is never seen again.
    fn concerns_core(&self, event: &Event) -> bool {
        let mut links = self.hub.links.borrow_mut();
        match event {
            Event::Closed { peer, .. } => links.remove(peer).is_some(),
            Event::Connected { peer, .. } | Event::Received { peer, .. } => {
                links.contains_key(peer)
            }
            _ => true,
        }
    }

    fn perform_all(&mut self) {
        while let Some(action) = self.fetch.poll() {
            match action {
                Action::Connect { addr } => {
                    spawn_local(link::dial(Rc::clone(&self.hub), addr));
                }
                Action::Send { peer, message } => self.send(peer, message),
                Action::Announce { tracker, request } => self.announce(tracker, request),
                Action::Disconnect { peer, reason } => {
                    tracing::debug!("closing connection {}: {reason}", peer.0);
                    self.hub.links.borrow_mut().remove(&peer);
                }
                Action::Notify(notice) => {
                    if notice == Notice::Stopped {
                        self.end = Some(Time::ZERO);
                    }
                    self.notices.push(notice);
                }
                // Of content nothing is known.
                Action::Have { .. }
                | Action::Request { .. }
                | Action::Cancel { .. }
                | Action::Serve { .. }
                | Action::GiveMetadata { .. }
                | Action::Verify { .. }
                | Action::Forget { .. } => {}
            }
        }
    }

    fn send(&mut self, peer: PeerKey, message: Message) {
        let sent = {
            let links = self.hub.links.borrow();
            links.get(&peer).map(|link| link.try_send(message))
        };
        if let Some(Err(_)) = sent {
            self.hub.links.borrow_mut().remove(&peer);
            let reason = CloseReason::Io("does not read what it is sent".into());
            let closed = Event::Closed { peer, reason };
            self.fetch.handle(closed, self.clock.now());
        }
    }

    fn announce(&self, tracker: TrackerId, request: AnnounceRequest) {
        let timeout = match request.event {
            AnnounceEvent::Stopped => STOP_TIMEOUT,
            _ => ANNOUNCE_TIMEOUT,
        };
        let url = self.trackers[tracker.0].clone();
        let (hub, announcer) = (Rc::clone(&self.hub), Rc::clone(&self.announcer));
        spawn_local(async move {
            let result = announcer.announce(&url, request, timeout).await;
            hub.tell(Event::Announced { tracker, result }).await;
        });
    }

    fn publish(&self) {
        self.progress.send_replace(Observed {
            progress: self.fetch.progress(self.clock.now()),
            local: self.local.as_ref().map(|local| local.borrow().clone()),
            ..Observed::default()
        });
    }
}

impl Hub {
    /// Tells the driver, waiting while it is busy.
    async fn tell(&self, event: Event) {
        // Without a driver the search is over, and this task with it.
        let _ = self.events.send(event).await;
    }
}
