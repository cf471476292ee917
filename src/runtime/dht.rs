//! The DHT (BEP 5) as a source of peers: a node of our own that looks a swarm up again and again,
//! and announces us where that is wanted.
//!
//! The `mainline` crate is the node; it reads only until it has been reachable for a while (BEP 43),
//! speaks IPv4, and lives on a thread of its own that ends with the session. Whether there is one
//! at all the user's scope decides, and here, at the last moment, how public the swarm is already.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_lite::StreamExt;
use mainline::async_dht::AsyncDht;
use mainline::{Dht, Id};
use tokio::net::lookup_host;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::portmap::{self, MappingStatus};
use super::session::Observed;
use super::web::reach::{Reach, reach};
use crate::ids::InfoHash;
use crate::torrent::Event;
use crate::torrent::event::PeerSource;

/// Nodes that are known to everybody, asked where nobody else is named.
const PUBLIC_NODES: [&str; 3] = [
    "router.bittorrent.com:6881",
    "dht.transmissionbt.com:6881",
    "dht.libtorrent.org:25401",
];

/// The first wait between two lookups; doubles up to the last.
const PAUSE_MIN: Duration = Duration::from_secs(5);

/// The longest wait between two lookups; announces are good for half an hour.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Whom nobody is named for has so long to be found on the local network.
const ALONE_AFTER: Duration = Duration::from_secs(3);

/// Nodes remembered from run to run.
const CACHED_MAX: usize = 100;

/// The longest list of remembered nodes that is read, in bytes.
const CACHE_LEN_MAX: u64 = 16 << 10;

/// Nodes to start from, after names were resolved.
const STARTS_MAX: usize = 256;

/// Names that are resolved at a time.
const NAMES_MAX: usize = 32;

/// How long names may take to be resolved where nothing else is known. Chosen: a resolver that is
/// down takes as long to say so.
const NAMES_WAIT_MAX: Duration = Duration::from_secs(10);

/// The same where there are addresses to start from.
const NAMES_WAIT: Duration = Duration::from_secs(1);

/// Peers taken from one answer.
const ANSWER_MAX: usize = 200;

/// When the DHT is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DhtUse {
    /// From the start, and we are announced.
    Always,
    /// The same, but only if a tracker or node that is named is outside private networks: the swarm is
    /// public. Of a swarm that names nodes of private networks only, those are asked and told, as long
    /// as they know nobody beyond.
    IfPublic,
    /// Only if nobody is met within some seconds, and without announcing us.
    IfAlone,
}

/// How the DHT is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhtConfig {
    /// When it is asked.
    pub when: DhtUse,
    /// Nodes that the user named, as `host:port`: then nobody else is asked first.
    pub bootstrap: Vec<String>,
    /// Nodes that the manifest names.
    pub nodes: Vec<String>,
    /// Hosts of trackers, as `host:port`: with the nodes they tell whether the swarm is public.
    pub trackers: Vec<String>,
    /// Where nodes are remembered from run to run.
    pub cache: Option<PathBuf>,
}

/// Which DHT there is to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaches {
    /// The nodes that the user named, and whom they know.
    UsersOwn,
    /// The one of the internet; nodes that the manifest names may be nearer, up to this.
    Everybody(Reach),
    /// Nodes of private networks, from this near.
    Here(Reach),
}

/// The DHT for one swarm.
pub(super) struct DhtSource {
    pub(super) config: DhtConfig,
    pub(super) info_hash: InfoHash,
    /// Where we accept peers; also the port of the node, if it is free for UDP.
    pub(super) port: u16,
    pub(super) bind: Option<IpAddr>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) progress: watch::Receiver<Observed>,
    /// Whether others are told of us, where [`DhtUse`] lets them be: not while nobody knows whether
    /// the manifest is private (BEP 27).
    pub(super) announces: bool,
    /// The port of the gateway that leads to us, where one is asked for.
    pub(super) mapping: Option<portmap::Shared>,
}

impl DhtSource {
    /// Looks the swarm up for as long as the session lives.
    pub(super) async fn run(self) {
        let nodes = resolved(&self.config.nodes, NAMES_WAIT_MAX).await;
        let Some(reaches) = self.wanted(&nodes).await else {
            return tracing::debug!("no DHT: nothing public is named");
        };
        let Some(node) = self.start(reaches, nodes).await else {
            return;
        };
        let id = Id::from(*self.info_hash.as_bytes());
        let mut pause = PAUSE_MIN;
        loop {
            if matches!(reaches, Reaches::Here(_)) && knows_strangers(&node).await {
                return tracing::warn!("no DHT: its nodes know others beyond the local network");
            }
            let mut found = node.get_peers(id);
            while let Some(peers) = found.next().await {
                self.tell(peers.into_iter().map(SocketAddr::V4), reaches)
                    .await;
            }
            if self.announces
                && self.config.when != DhtUse::IfAlone
                && let Err(error) = node.announce_peer(id, Some(self.far_port(reaches))).await
            {
                tracing::debug!("not announced in the DHT: {error}");
            }
            self.remember(&node, reaches).await;
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// The port that whoever is told reaches us at.
    fn far_port(&self, reaches: Reaches) -> u16 {
        match self
            .mapping
            .as_ref()
            .map(|mapping| mapping.borrow())
            .as_deref()
        {
            Some(MappingStatus::Mapped(mapped)) if !matches!(reaches, Reaches::Here(_)) => {
                mapped.external_port
            }
            _ => self.port,
        }
    }

    /// Which DHT is asked, if any, where the manifest names these nodes.
    async fn wanted(&self, nodes: &[SocketAddr]) -> Option<Reaches> {
        if !self.config.bootstrap.is_empty() {
            return Some(Reaches::UsersOwn);
        }
        let nearest = nodes.iter().filter_map(|node| reach(node.ip())).min();
        let everybody = Reaches::Everybody(nearest.unwrap_or(Reach::Global));
        match self.config.when {
            DhtUse::Always => Some(everybody),
            DhtUse::IfPublic => {
                let trackers = resolved(&self.config.trackers, NAMES_WAIT_MAX).await;
                let mut named = nodes.iter().chain(&trackers);
                if named.any(|addr| is_public(addr.ip())) {
                    return Some(everybody);
                }
                nearest.map(Reaches::Here)
            }
            DhtUse::IfAlone => {
                sleep(ALONE_AFTER).await;
                while self.progress.borrow().progress.peers > 0 {
                    sleep(ALONE_AFTER).await;
                }
                Some(everybody)
            }
        }
    }

    /// A node that knows where to start; it may find nobody there.
    async fn start(&self, reaches: Reaches, nodes: Vec<SocketAddr>) -> Option<AsyncDht> {
        let mut starts = match reaches {
            Reaches::UsersOwn => resolved(&self.config.bootstrap, NAMES_WAIT_MAX).await,
            Reaches::Here(_) => nodes,
            Reaches::Everybody(_) => {
                let mut starts = [nodes, self.remembered().await].concat();
                let wait = if starts.is_empty() {
                    NAMES_WAIT_MAX
                } else {
                    NAMES_WAIT
                };
                starts.extend(resolved(&PUBLIC_NODES.map(str::to_owned), wait).await);
                starts
            }
        };
        starts.retain(SocketAddr::is_ipv4);
        starts.truncate(STARTS_MAX);
        let mut builder = Dht::builder();
        builder.no_bootstrap().extra_bootstrap(&starts);
        if let Some(IpAddr::V4(ip)) = self.bind {
            builder.bind_address(ip);
        }
        // Its constructor waits for the thread that it starts.
        let port = self.port;
        let started = spawn_blocking(move || {
            let same_port = builder.clone().port(port).build();
            same_port.or_else(|_| builder.port(0).build())
        });
        match started.await {
            Ok(Ok(node)) => Some(node.as_async()),
            Ok(Err(error)) => {
                tracing::warn!("no DHT: {error}");
                None
            }
            Err(_) => None,
        }
    }

    async fn tell(&self, peers: impl Iterator<Item = SocketAddr>, reaches: Reaches) {
        let addrs: Vec<_> = peers
            .filter(|addr| reaches.admits(addr.ip()))
            .take(ANSWER_MAX)
            .collect();
        let source = PeerSource::Dht;
        // Without a driver the session is ending.
        let _ = self.events.send(Event::PeersFound { source, addrs }).await;
    }

    async fn remembered(&self) -> Vec<SocketAddr> {
        let Some(path) = self.config.cache.clone() else {
            return Vec::new();
        };
        let read = spawn_blocking(move || read_nodes(&path));
        read.await.unwrap_or_default()
    }

    async fn remember(&self, node: &AsyncDht, reaches: Reaches) {
        // A network of one's own is not what the next swarm should start from.
        let is_everybodys = matches!(reaches, Reaches::Everybody(_));
        let Some(path) = self.config.cache.clone().filter(|_| is_everybodys) else {
            return;
        };
        let mut nodes = node.to_bootstrap().await;
        nodes.truncate(CACHED_MAX);
        if nodes.is_empty() {
            return;
        }
        let written = spawn_blocking(move || write_nodes(&path, &nodes)).await;
        if let Ok(Err(error)) = written {
            tracing::debug!("nodes of the DHT not remembered: {error}");
        }
    }
}

impl Reaches {
    /// Whether a peer that is named may be dialled: nobody names what is nearer to us than the nearest
    /// node that we were given, and of a swarm of this network nobody beyond hears.
    fn admits(self, peer: IpAddr) -> bool {
        match (self, reach(peer)) {
            (Self::UsersOwn, _) => true,
            (_, None) => false,
            (Self::Everybody(nearest), Some(reach)) => reach >= nearest,
            (Self::Here(nearest), Some(reach)) => reach >= nearest && reach < Reach::Global,
        }
    }
}

/// Whether the node has heard of anybody on the internet. What it asks for says nothing of the swarm.
async fn knows_strangers(node: &AsyncDht) -> bool {
    let own = *node.info().await.id();
    let claimed = node.find_node(own).await;
    let known = node.to_bootstrap().await;
    let claimed = claimed.iter().map(|node| SocketAddr::V4(node.address()));
    let mut all = claimed.chain(known.iter().filter_map(|addr| literal(addr)));
    all.any(|addr| is_public(addr.ip()))
}

fn is_public(ip: IpAddr) -> bool {
    reach(ip) == Some(Reach::Global)
}

/// The addresses of hosts, as `host:port`: those that are addresses first. All names are resolved at
/// once; those that take longer than `wait` are left out.
async fn resolved(hosts: &[String], wait: Duration) -> Vec<SocketAddr> {
    let mut addrs: Vec<_> = hosts.iter().filter_map(|host| literal(host)).collect();
    let names = hosts.iter().filter(|host| literal(host).is_none());
    let mut lookups = JoinSet::new();
    for name in names.take(NAMES_MAX).cloned() {
        lookups.spawn(async move { lookup_host(name).await.map(Vec::from_iter) });
    }
    let all = async {
        while let Some(found) = lookups.join_next().await {
            addrs.extend(found.into_iter().flatten().flatten());
        }
    };
    // Whom it found by then it found.
    let _ = timeout(wait, all).await;
    addrs
}

fn literal(host: &str) -> Option<SocketAddr> {
    host.parse().ok()
}

/// One address on each line; what is none is passed over.
fn read_nodes(path: &Path) -> Vec<SocketAddr> {
    let fits = fs::metadata(path).is_ok_and(|file| file.len() <= CACHE_LEN_MAX);
    let text = fits.then(|| fs::read_to_string(path).ok()).flatten();
    let lines = text.unwrap_or_default();
    let nodes = lines.lines().filter_map(|line| line.parse().ok());
    nodes.take(CACHED_MAX).collect()
}

/// Another process may do the same at this moment: the file is whole whoever comes last.
fn write_nodes(path: &Path, nodes: &[String]) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(nodes.join("\n").as_bytes())?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hosts_that_are_addresses_come_before_names() {
        let hosts = ["localhost:7", "192.0.2.1:6881", "no name"].map(str::to_owned);
        let addrs = resolved(&hosts, NAMES_WAIT_MAX).await;
        assert_eq!(addrs[0], "192.0.2.1:6881".parse().unwrap());
        assert!(
            addrs[1..].iter().all(|addr| addr.ip().is_loopback()),
            "{addrs:?}"
        );
    }

    #[test]
    fn a_dht_names_nobody_who_is_nearer_than_its_nodes() {
        let admitted = |reaches: Reaches| -> Vec<&str> {
            ["127.0.0.1", "192.168.1.7", "8.8.8.8", "224.0.0.1"]
                .into_iter()
                .filter(|ip| reaches.admits(ip.parse().unwrap()))
                .collect()
        };
        assert_eq!(admitted(Reaches::Everybody(Reach::Global)), ["8.8.8.8"]);
        let mixed = Reaches::Everybody(Reach::Site);
        assert_eq!(admitted(mixed), ["192.168.1.7", "8.8.8.8"]);
        assert_eq!(admitted(Reaches::Here(Reach::Site)), ["192.168.1.7"]);
        let on_loopback = Reaches::Here(Reach::Host);
        assert_eq!(admitted(on_loopback), ["127.0.0.1", "192.168.1.7"]);
    }

    #[test]
    fn nodes_are_remembered_and_damage_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/dht-nodes");
        assert_eq!(read_nodes(&path), []);
        write_nodes(
            &path,
            &["192.0.2.1:6881".into(), "x".into(), "192.0.2.2:1".into()],
        )
        .unwrap();
        let want: Vec<SocketAddr> = ["192.0.2.1:6881", "192.0.2.2:1"]
            .iter()
            .map(|addr| addr.parse().unwrap())
            .collect();
        assert_eq!(read_nodes(&path), want);
        fs::write(&path, "192.0.2.1:6881\n".repeat(5_000)).unwrap();
        assert_eq!(read_nodes(&path), []);
    }
}
