//! The network thread of a session: a single-threaded event loop with every socket and the driver.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU16;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};

use super::announce::Announcer;
use super::buffers::{PieceBuffers, Pool};
use super::clock::Clock;
use super::dht::DhtSource;
use super::disk::{DiskContext, DiskQueue};
use super::driver::Driver;
use super::http::Site;
use super::hub::{Hub, Scratch};
use super::lsd::{self, Lsd};
use super::notices::Notices;
use super::portmap::{Mapping, PortMap};
use super::session::{Observed, SessionConfig};
use super::web::Web;
use super::web_seed::{WEB_SEEDS_MAX, WebSeed};
use super::{dial, listener};
use crate::bitfield::Bitfield;
use crate::metainfo::Metainfo;
use crate::storage::Store;
use crate::torrent::event::PeerSource;
use crate::torrent::{Content, Event, Torrent};
use crate::tracker::server::Resident;
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
async fn tell_known(hub: &Hub, known: &[(PeerSource, SocketAddr)]) {
    let mut batches = BTreeMap::<_, Vec<_>>::new();
    for &(source, addr) in known {
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
        let buffers = buffers(&self.content, &pool, &store);
        let hub = Rc::new(Hub {
            ours: Handshake {
                reserved: Reserved::OURS,
                info_hash: self.content.info_hash,
                peer_id: self.config.torrent.peer_id,
            },
            layout: self.content.layout,
            store,
            meta,
            events,
            disk: self.disk,
            buffers: RefCell::new(buffers),
            scratch: Scratch::default(),
            links: RefCell::default(),
            keys: Cell::new(0),
            queued: Cell::default(),
            scope: self.config.scope,
            upload_limit: Cell::new(self.config.torrent.upload_limit),
        });
        let neighbours = Neighbours {
            hub: &hub,
            meta: &hub.meta,
            notices: &notices,
            clock: self.clock,
            progress: &self.progress,
        };
        neighbours.admit(self.listener, &self.config);
        let local = neighbours.look_around(&self.config);
        let mapping = neighbours.open_gateway(&self.config);
        neighbours.seek(&self.config, mapping.as_ref());
        tell_known(&hub, &self.config.known).await;
        let trackers = self.content.trackers.iter().flatten().cloned().collect();
        let (seed, now) = (self.config.rng_seed, self.clock.now());
        let port = self.config.torrent.port;
        let driver = Driver {
            torrent: Torrent::new(self.content, self.have, self.config.torrent, seed, now),
            clock: self.clock,
            hub,
            events: self.inbox,
            notices,
            progress: self.progress,
            pool,
            finished: VecDeque::new(),
            announcer: Rc::new(Announcer::new(self.config.bind, self.config.scope, seed)),
            trackers,
            port,
            bind: self.config.bind,
            local,
            mapping,
            end: None,
        };
        // As a task like those that tell it things it is heard without a look at the sockets.
        spawn_local(driver.run()).await.expect("it cannot panic");
    }
}

/// Where pieces come together.
fn buffers(content: &Content, pool: &Pool, store: &Store) -> PieceBuffers {
    PieceBuffers::new(
        content.layout,
        content.padding.clone(),
        pool.clone(),
        store.scratch_dir().unwrap_or_else(std::env::temp_dir),
    )
}

/// Everybody that a session deals with beside its trackers: each gets a task of its own.
struct Neighbours<'a> {
    hub: &'a Rc<Hub>,
    meta: &'a Arc<Metainfo>,
    notices: &'a Notices,
    clock: Clock,
    progress: &'a watch::Sender<Observed>,
}

impl Neighbours<'_> {
    /// Those who come to us.
    fn admit(&self, listener: TcpListener, config: &SessionConfig) {
        let site = config.serve.then(|| {
            let resident = Resident {
                port: config.torrent.port,
                peer_id: config.torrent.peer_id,
            };
            let chance = (self.clock, config.rng_seed);
            Site::new(self.hub, Arc::clone(self.meta), resident, chance)
        });
        if let Some(site) = &site {
            spawn_local(Rc::clone(site).sweep());
        }
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => {
                spawn_local(listener::accept(Rc::clone(self.hub), site, listener));
            }
            Err(error) => tracing::error!("cannot accept peers: {error}"),
        }
    }

    /// Those on the networks that this machine is on.
    fn look_around(&self, config: &SessionConfig) -> Option<lsd::Shared> {
        let lsd = Lsd {
            info_hash: self.hub.ours.info_hash,
            port: config.torrent.port,
            bind: config.bind,
            events: self.hub.events.clone(),
            clock: self.clock,
            seed: config.rng_seed,
        };
        config.local_discovery.then(|| lsd.start())
    }

    /// Those beyond our network who cannot come to us by themselves.
    fn open_gateway(&self, config: &SessionConfig) -> Option<Mapping> {
        let mapping = PortMap {
            config: config.port_mapping?,
            port: NonZeroU16::new(config.torrent.port)?,
            bind: config.bind.filter(|bind| !bind.is_unspecified()),
            events: self.hub.events.clone(),
        };
        Some(mapping.start())
    }

    /// Those whom the user or the manifest names.
    fn seek(&self, config: &SessionConfig, mapping: Option<&Mapping>) {
        for peer in &config.peers {
            let (events, notices) = (self.hub.events.clone(), self.notices.clone());
            spawn_local(dial::resolve(events, peer.clone(), notices));
        }
        if let Some(dht) = config.dht.clone() {
            let dht = DhtSource {
                config: dht,
                info_hash: self.hub.ours.info_hash,
                port: config.torrent.port,
                bind: config.bind,
                events: self.hub.events.clone(),
                progress: self.progress.subscribe(),
                announces: true,
                mapping: mapping.map(Mapping::shared),
            };
            spawn_local(dht.run());
        }
        let web = Rc::new(Web::new(config.bind, config.scope));
        for url in config.web_seeds.iter().take(WEB_SEEDS_MAX) {
            let seed = WebSeed {
                hub: Rc::clone(self.hub),
                web: Rc::clone(&web),
                meta: Arc::clone(self.meta),
                notices: self.notices.clone(),
                url: url.clone(),
            };
            spawn_local(seed.run());
        }
    }
}
