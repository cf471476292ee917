//! The handle of one swarm on the network: starts its threads, answers questions, stops it.
//!
//! A session owns one network thread and a few disk threads; several sessions in one process share
//! nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::Receiver;
use tokio::sync::{mpsc, watch};

use super::dht::DhtConfig;
use super::disk::{self, DiskContext, DiskQueue, DiskThreads};
use super::listener;
use super::lsd::LocalStatus;
use super::network::Network;
use super::notices::{self, NextNotice, NoticeReader};
use super::outbox::ControlBytes;
use super::portmap::{MappingStatus, PortMapConfig};
use super::scope::Scope;
use super::upkeep::Task;
use super::{buffers::Pool, clock::Clock};
use crate::bitfield::Bitfield;
use crate::metainfo::Metainfo;
use crate::storage::{StorageError, Store};
use crate::torrent::event::{Command, PeerSource};
use crate::torrent::{Content, Event, Progress, TorrentConfig};

/// Events on the way to the core. A batch each: a few hundred milliseconds of a busy swarm.
pub(super) const EVENTS_MAX: usize = 1_024;

/// Pieces open at a time at least, however long they are: fewer would stop a swarm from trading.
/// Those that the memory does not hold lie in anonymous files.
const OPEN_PIECES_MIN: usize = 4;

/// How a session behaves.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Ports to try, in order.
    pub ports: RangeInclusive<u16>,
    /// Whether any other port will do if all of these are taken.
    pub any_port: bool,
    /// The address to listen on and to dial from; all of them if `None`.
    pub bind: Option<IpAddr>,
    /// Peers to dial, as `host:port`.
    pub peers: Vec<String>,
    /// Peers that are known from elsewhere, and who named them.
    pub known: Vec<(PeerSource, SocketAddr)>,
    /// How the core behaves; its port and `open_pieces_max` are set by the session.
    pub torrent: TorrentConfig,
    /// Bytes of unfinished pieces held in memory.
    pub memory: usize,
    /// Threads that hash and write, at least one.
    pub disk_threads: usize,
    /// Whether peers are looked for on the networks that this machine is on (BEP 14); never for a
    /// private manifest (BEP 27).
    pub local_discovery: bool,
    /// Seeds every random choice.
    pub rng_seed: u64,
    /// Trackers in tiers, instead of the manifest's.
    pub trackers: Option<Vec<Vec<String>>>,
    /// Whom it may talk to.
    pub scope: Scope,
    /// How the DHT is used (BEP 5), if it is; never for a private manifest (BEP 27).
    pub dht: Option<DhtConfig>,
    /// How the gateway of this network is asked to pass connections from outside on to us, if it is.
    pub port_mapping: Option<PortMapConfig>,
    /// URLs of servers that have the content (BEP 19), of which the first three are asked if anything
    /// is missing.
    pub web_seeds: Vec<String>,
    /// Whether the port also answers HTTP: the manifest, a tracker for the swarm, the files. Only
    /// with all of the content, and never for a private manifest (BEP 27).
    pub serve: bool,
}

/// A session cannot start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Another process listens there.
    #[error("port {port} is in use by another process")]
    PortInUse {
        /// The first port tried.
        port: u16,
    },
    /// The port cannot be listened on for another reason.
    #[error("cannot listen on port {port}: {source}")]
    Bind {
        /// The port.
        port: u16,
        /// What the operating system says.
        source: io::Error,
    },
    /// A thread or the event loop cannot be started.
    #[error("cannot start the network thread: {0}")]
    Start(io::Error),
    /// What was stored last could not be made durable.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// One swarm on the network. Dropping it stops it, too.
#[derive(Debug)]
pub struct Session {
    port: u16,
    events: mpsc::Sender<Event>,
    progress: watch::Receiver<Observed>,
    notices: NoticeReader,
    running: Option<Running>,
}

/// What the network thread lets others see.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    pub(super) progress: Progress,
    pub(super) local: Option<LocalStatus>,
    pub(super) mapping: Option<MappingStatus>,
    pub(super) control: ControlBytes,
}

#[derive(Debug)]
struct Running {
    network: JoinHandle<()>,
    disk: DiskQueue,
    threads: DiskThreads,
}

impl Session {
    /// Listens, dials and announces from here on. `have` are the pieces that `store` vouches for,
    /// `wanted` those to be fetched.
    ///
    /// # Errors
    /// If no port can be had, or no thread.
    pub fn start(
        meta: Arc<Metainfo>,
        store: Arc<Store>,
        have: Bitfield,
        wanted: Bitfield,
        mut config: SessionConfig,
    ) -> Result<Self, SessionError> {
        // The soft limit of 1,024 is below what 80 peers with open files may need. Best effort.
        let _ = rlimit::increase_nofile_limit(u64::MAX);
        let listener = listener::bind(config.bind, config.ports.clone(), config.any_port)?;
        let port = listener.local_addr().map_err(SessionError::Start)?.port();

        let piece_len = meta.layout().nominal_piece_len() as usize;
        let in_memory = config.memory / piece_len;
        config.local_discovery &= !meta.is_private();
        config.torrent.pex &= !meta.is_private();
        config.torrent.port = port;
        config.torrent.metadata_len = (!meta.is_private())
            .then(|| u32::try_from(meta.info_bytes().len()).ok())
            .flatten();
        let lacks = wanted.iter_ones().any(|index| {
            let piece = meta.layout().piece(index);
            piece.is_some_and(|piece| !have.has(piece))
        });
        if !lacks {
            config.web_seeds.clear();
        }
        if meta.is_private() {
            config.dht = None;
        }
        config.serve &= have.is_full() && !meta.is_private();
        config.torrent.open_pieces_max = in_memory.max(OPEN_PIECES_MIN);
        let pool = Pool::new(in_memory, piece_len);

        let (events, inbox) = mpsc::channel(EVENTS_MAX);
        let (notices, notice_reader) = notices::queue();
        let (progress, latest) = watch::channel(Observed::default());
        let context = DiskContext {
            meta,
            store,
            pool,
            events: events.clone(),
            notices,
        };
        let (disk, threads) =
            disk::start(&context, config.disk_threads).map_err(SessionError::Start)?;
        let network = Network {
            clock: Clock::start(),
            content: content(&context.meta, wanted, config.trackers.take()),
            have,
            listener,
            disk: disk.clone(),
            context,
            inbox,
            progress,
            config,
        };
        Ok(Self {
            port,
            events,
            progress: latest,
            notices: notice_reader,
            running: Some(Running {
                network: network.start().map_err(SessionError::Start)?,
                disk,
                threads,
            }),
        })
    }

    /// The port that peers can connect to.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The latest snapshot, at most a quarter of a second old.
    pub fn progress(&self) -> Progress {
        self.progress.borrow().progress.clone()
    }

    /// What came of local discovery, where it is on; as old as [`Session::progress`].
    pub fn local(&self) -> Option<LocalStatus> {
        self.progress.borrow().local.clone()
    }

    /// What came of asking the gateway, where it is asked; as old as [`Session::progress`].
    pub fn mapping(&self) -> Option<MappingStatus> {
        self.progress.borrow().mapping.clone()
    }

    /// Bytes beside payload that were ever queued for peers; as old as [`Session::progress`].
    pub fn control_bytes(&self) -> ControlBytes {
        self.progress.borrow().control
    }

    /// Waits for the next notice, for `timeout` at most.
    pub fn next_notice(&mut self, timeout: Duration) -> NextNotice {
        match self.notices.next(timeout) {
            NextNotice::TimedOut if self.has_ended() => NextNotice::Ended,
            next => next,
        }
    }

    /// How many notices were lost because nobody read them.
    pub fn dropped_notices(&self) -> u64 {
        self.notices.dropped()
    }

    /// Tells the core what the user wants.
    pub fn command(&self, command: Command) {
        // A session that has ended wants nothing any more.
        let _ = self.events.blocking_send(Event::Command(command));
    }

    /// Makes the complete content durable and publishes it under its real name; serving goes on.
    /// The answer comes when that is done.
    pub fn finish(&self) -> Receiver<Result<PathBuf, StorageError>> {
        let (reply, answer) = crossbeam_channel::bounded(1);
        if let Some(running) = &self.running {
            running.disk.task(Task::Finish(reply));
        }
        answer
    }

    /// Says goodbye to trackers and has the port mapping removed (for 2 s at most), makes durable
    /// what was stored, ends the threads.
    ///
    /// # Errors
    /// If what was stored last could not be made durable.
    pub fn stop(mut self) -> Result<(), SessionError> {
        self.end()
    }

    fn has_ended(&self) -> bool {
        let network = self.running.as_ref().map(|running| &running.network);
        network.is_none_or(JoinHandle::is_finished)
    }

    fn end(&mut self) -> Result<(), SessionError> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        self.command(Command::Stop);
        let ended = running.network.join();
        drop(running.disk);
        let saved = running.threads.join();
        ended.expect("the network thread does not panic");
        Ok(saved?)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!("{error}");
        }
    }
}

fn content(meta: &Metainfo, wanted: Bitfield, trackers: Option<Vec<Vec<String>>>) -> Content {
    Content {
        info_hash: meta.info_hash(),
        layout: *meta.layout(),
        padding: meta.padding().collect(),
        trackers: trackers.unwrap_or_else(|| meta.trackers().to_vec()),
        wanted,
    }
}
