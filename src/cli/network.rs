//! From the network flags, and what a magnet link says, to how a session behaves.

use std::fs;
use std::net::SocketAddr;

use rand::TryRng;
use rand::rngs::SysRng;

use super::args::Network;
use super::error::{CliError, Exit};
use super::fault::shown;
use super::{App, scope};
use crate::ids::PeerId;
use crate::runtime::{SessionConfig, SessionError};
use crate::torrent::TorrentConfig;
use crate::torrent::event::PeerSource;

/// Ports that are tried if none is named (BEP 3), before any free one.
const PORTS: std::ops::RangeInclusive<u16> = 6881..=6889;

/// What a magnet link says of a swarm, and a search for its metadata found.
#[derive(Clone, Debug, Default)]
pub(super) struct Hints {
    /// Peers to ask, as `host:port`.
    pub(super) peers: Vec<String>,
    /// Peers that are known, and who named them.
    pub(super) known: Vec<(PeerSource, SocketAddr)>,
    /// The port that others were told of.
    pub(super) port: Option<u16>,
}

/// The session that the flags ask for.
pub(super) fn session_config(
    network: &Network,
    hints: &Hints,
    app: &App<'_>,
) -> Result<SessionConfig, CliError> {
    scope::check(network)?;
    let mut torrent = TorrentConfig::new(PeerId::ours(random()?), 0);
    torrent.peers_max = network.max_peers.into();
    torrent.pex = network.pex();
    torrent.canonical_priority = true;
    torrent.download_limit = network.download_limit.filter(|limit| *limit > 0);
    torrent.upload_limit = network.upload_limit.filter(|limit| *limit > 0);
    Ok(SessionConfig {
        ports: match (hints.port, &network.port) {
            (Some(port), _) => port..=port,
            (None, ports) => ports.clone().unwrap_or(PORTS),
        },
        any_port: network.port.is_none(),
        bind: network.bind,
        peers: [peers(network, app)?, hints.peers.clone()].concat(),
        known: hints.known.clone(),
        torrent,
        memory: usize::try_from(network.memory).unwrap_or(usize::MAX),
        disk_threads: app.threads,
        local_discovery: network.lpd(),
        rng_seed: u64::from_le_bytes(random()?),
        trackers: Some(network.tracker.clone()).filter(|tiers| !tiers.is_empty()),
        scope: network.session_scope(),
        dht: None,
        port_mapping: None,
        serve: false,
        web_seeds: Vec::new(),
    })
}

/// Random bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> Result<[u8; N], CliError> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(|error| {
        CliError::new(Exit::Other, "the operating system gives no random numbers").because(&error)
    })?;
    Ok(bytes)
}

/// The peers named one by one and those in a file: a `HOST:PORT` per line, `#` starts a remark.
fn peers(network: &Network, app: &App<'_>) -> Result<Vec<String>, CliError> {
    let mut peers = network.peer.clone();
    let Some(file) = &network.peers_from else {
        return Ok(peers);
    };
    let path = app.dir.join(file);
    let typed = shown(&path, app.dir);
    let text = fs::read_to_string(&path).map_err(|error| {
        CliError::new(Exit::Input, format!("cannot read {typed}: {error}")).because(&error)
    })?;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        peers.push(super::args::peer(line).map_err(|error| {
            CliError::new(Exit::Usage, format!("{typed}: line {number}: {error}"))
        })?);
    }
    Ok(peers)
}

/// What the network refused, in the words of the command line.
pub(super) fn of_session(error: &SessionError, app: &App<'_>) -> CliError {
    match error {
        SessionError::PortInUse { port } => {
            let next = port.checked_add(1).unwrap_or(6881);
            CliError::new(Exit::Network, error.to_string())
                .help(format!("-p {next}, or omit -p to take any free port"))
        }
        SessionError::Bind { source, .. } => {
            CliError::new(Exit::Network, error.to_string()).because(source)
        }
        SessionError::Start(_) => CliError::new(Exit::Other, error.to_string()).because(error),
        SessionError::Storage(error) => app.fault(error),
    }
}
