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
    /// The same, but only if one of these hosts is outside private networks: the swarm is public.
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
    /// Hosts of trackers and nodes, as `host:port`, that tell whether the swarm is public.
    pub named: Vec<String>,
    /// Where nodes are remembered from run to run.
    pub cache: Option<PathBuf>,
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
        if !self.is_wanted().await {
            return tracing::debug!("no DHT: nothing public is named");
        }
        let Some(node) = self.start().await else {
            return;
        };
        let id = Id::from(*self.info_hash.as_bytes());
        let mut pause = PAUSE_MIN;
        loop {
            let mut found = node.get_peers(id);
            while let Some(peers) = found.next().await {
                self.tell(peers.into_iter().map(SocketAddr::V4)).await;
            }
            if self.announces
                && self.config.when != DhtUse::IfAlone
                && let Err(error) = node.announce_peer(id, Some(self.far_port())).await
            {
                tracing::debug!("not announced in the DHT: {error}");
            }
            self.remember(&node).await;
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// The port that strangers reach us at.
    fn far_port(&self) -> u16 {
        match self
            .mapping
            .as_ref()
            .map(|mapping| mapping.borrow())
            .as_deref()
        {
            Some(MappingStatus::Mapped(mapped)) => mapped.external_port,
            _ => self.port,
        }
    }

    async fn is_wanted(&self) -> bool {
        match self.config.when {
            DhtUse::Always => true,
            DhtUse::IfPublic => {
                let addrs = resolved(&self.config.named, NAMES_WAIT_MAX).await;
                addrs.iter().any(|addr| is_public(addr.ip()))
            }
            DhtUse::IfAlone => {
                sleep(ALONE_AFTER).await;
                while self.progress.borrow().progress.peers > 0 {
                    sleep(ALONE_AFTER).await;
                }
                true
            }
        }
    }

    /// A node that knows where to start; it may find nobody there.
    async fn start(&self) -> Option<AsyncDht> {
        let mut starts = if self.config.bootstrap.is_empty() {
            let mut starts = self.remembered().await;
            let names = [&self.config.nodes[..], &PUBLIC_NODES.map(str::to_owned)].concat();
            let is_known = !starts.is_empty() || names.iter().any(|name| literal(name).is_some());
            let wait = if is_known { NAMES_WAIT } else { NAMES_WAIT_MAX };
            starts.extend(resolved(&names, wait).await);
            starts
        } else {
            resolved(&self.config.bootstrap, NAMES_WAIT_MAX).await
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

    /// Of strangers only those are believed who name somebody that strangers can reach.
    async fn tell(&self, peers: impl Iterator<Item = SocketAddr>) {
        let is_ours = !self.config.bootstrap.is_empty();
        let addrs: Vec<_> = peers
            .filter(|addr| is_ours || is_public(addr.ip()))
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

    async fn remember(&self, node: &AsyncDht) {
        // A network of the user's own is not what the next swarm should start from.
        let Some(path) = self
            .config
            .cache
            .clone()
            .filter(|_| self.config.bootstrap.is_empty())
        else {
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
