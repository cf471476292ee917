//! The network thread of a session: a single-threaded event loop with every socket and the driver.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::thread::JoinHandle;

use bytes::BytesMut;
use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};

use super::announce::Announcer;
use super::buffers::PieceBuffers;
use super::clock::Clock;
use super::disk::{DiskContext, DiskQueue};
use super::driver::Driver;
use super::hub::Hub;
use super::lsd::Lsd;
use super::session::{Observed, SessionConfig};
use super::{dial, listener};
use crate::bitfield::Bitfield;
use crate::torrent::event::PeerSource;
use crate::torrent::{Content, Event, Torrent};
use crate::wire::{Handshake, Reserved};

/// What the thread is started with.
pub(super) struct Network {
    pub(super) clock: Clock,
    pub(super) content: Content,
    pub(super) have: Bitfield,
    pub(super) config: SessionConfig,
    pub(super) listener: TcpListener,
    pub(super) disk: DiskQueue,
    pub(super) context: DiskContext,
    pub(super) inbox: mpsc::Receiver<Event>,
    pub(super) progress: watch::Sender<Observed>,
}

/// Tells the core of addresses, in batches of one source each.
async fn tell_known(hub: &Hub, known: Vec<(PeerSource, SocketAddr)>) {
    let mut batches = BTreeMap::<_, Vec<_>>::new();
    for (source, addr) in known {
        batches.entry(source).or_default().push(addr);
    }
    for (source, addrs) in batches {
        hub.tell(Event::PeersFound { source, addrs }).await;
    }
}

impl Network {
    /// Starts the thread; it ends when the core has stopped.
    pub(super) fn start(self) -> io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("swarm-net".into())
            .spawn(move || {
                runtime.block_on(LocalSet::new().run_until(self.run()));
                // A name that is still being resolved must not hold us up.
                runtime.shutdown_background();
            })
    }

    async fn run(self) {
        let DiskContext {
            pool,
            events,
            notices,
            store,
            meta,
        } = self.context;
        let hub = Rc::new(Hub {
            ours: Handshake {
                reserved: Reserved::OURS,
                info_hash: self.content.info_hash,
                peer_id: self.config.torrent.peer_id,
            },
            layout: self.content.layout,
            meta,
            events,
            disk: self.disk,
            buffers: RefCell::new(PieceBuffers::new(
                self.content.layout,
                self.content.padding.clone(),
                pool.clone(),
                store.scratch_dir().unwrap_or_else(std::env::temp_dir),
            )),
            staging: RefCell::new(BytesMut::new()),
            links: RefCell::default(),
            keys: Cell::new(0),
            queued: Cell::default(),
        });
        match tokio::net::TcpListener::from_std(self.listener) {
            Ok(listener) => {
                spawn_local(listener::accept(Rc::clone(&hub), listener));
            }
            Err(error) => tracing::error!("cannot accept peers: {error}"),
        }
        for peer in self.config.peers {
            spawn_local(dial::resolve(hub.events.clone(), peer, notices.clone()));
        }
        tell_known(&hub, self.config.known).await;
        let trackers = self.content.trackers.iter().flatten().cloned().collect();
        let seed = self.config.rng_seed;
        let now = self.clock.now();
        let lsd = Lsd {
            info_hash: self.content.info_hash,
            port: self.config.torrent.port,
            bind: self.config.bind,
            events: hub.events.clone(),
            clock: self.clock,
            seed,
        };
        let local = self.config.local_discovery.then(|| lsd.start());
        Driver {
            torrent: Torrent::new(self.content, self.have, self.config.torrent, seed, now),
            clock: self.clock,
            hub,
            events: self.inbox,
            notices,
            progress: self.progress,
            pool,
            finished: VecDeque::new(),
            announcer: Rc::new(Announcer::new(self.config.bind, seed)),
            trackers,
            bind: self.config.bind,
            local,
            end: None,
        }
        .run()
        .await;
    }
}
