//! A tracker's memory and its decisions: who announced to which swarm, and who is named to whom.
//!
//! Pure: requests in, answers out; [`http`] and [`udp`] are its two languages, sockets belong to
//! `runtime`. An announcer is known by the address that its request came from, never by one that it
//! states. Bounded in swarms, in peers, and in what one address may ask and hold.

pub mod http;
mod pace;
mod swarm;
#[cfg(test)]
mod tests;
pub mod udp;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::Bound;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use super::{AnnounceEvent, AnnounceRequest};
use crate::ids::{InfoHash, PeerId};
use crate::time::Time;

use pace::Pace;
use swarm::{Seeks, Swarm};

/// Swarms that one scrape may ask for: as many as fit into a packet (BEP 15).
pub const SCRAPE_MAX: usize = 74;

/// In this many calls of [`TrackerServer::sweep`] every swarm is swept once.
const SWEEPS: usize = 60;

/// Swarms that one call sweeps at least.
const SWEEP_MIN: usize = 100;

/// What a tracker allows.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// How often it wants to be asked.
    pub interval: Duration,
    /// How often it may be asked (BEP 3, "min interval").
    pub interval_min: Duration,
    /// Who did not announce for so long is forgotten.
    pub expiry: Duration,
    /// Swarms at most.
    pub swarms_max: usize,
    /// Peers at most, over all swarms; whoever comes later is answered but not named.
    pub peers_max: usize,
    /// Peers of one swarm that announced from one address at most: a room behind one router, but
    /// not a swarm made up by one machine.
    pub peers_per_ip_max: usize,
    /// Peers named in one answer at most. Chosen: 200 IPv4 peers fit into one packet.
    pub named_max: usize,
    /// Which swarms may be announced.
    pub admission: Admission,
    /// The tracker's own machine, if it is a peer of every swarm.
    pub resident: Option<Resident>,
}

impl Default for ServerConfig {
    /// A tracker for the public: half a million peers take about 100 MiB.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1_800),
            interval_min: Duration::from_secs(60),
            expiry: Duration::from_secs(3_900),
            swarms_max: 100_000,
            peers_max: 1_000_000,
            peers_per_ip_max: 64,
            named_max: 200,
            admission: Admission::Any,
            resident: None,
        }
    }
}

/// Which swarms may be announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Every one.
    Any,
    /// These.
    Listed(BTreeSet<InfoHash>),
}

/// A complete peer on the machine of the tracker: named by the address that the tracker was
/// reached at, which is right for every asker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Where it accepts peers.
    pub port: u16,
    /// Its id.
    pub peer_id: PeerId,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The address that the request came from.
    pub ip: IpAddr,
    /// The address of ours that it came to, where that is known.
    pub reached: Option<IpAddr>,
}

/// One peer of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What it calls itself.
    pub peer_id: PeerId,
}

/// The answer to an announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When to ask again.
    pub interval: Duration,
    /// When to ask again at the earliest.
    pub interval_min: Duration,
    /// How the swarm stands.
    pub counts: Counts,
    /// Others.
    pub peers: Vec<Named>,
}

/// How many are in a swarm (BEP 48).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Who has everything.
    pub complete: u32,
    /// Who has not.
    pub incomplete: u32,
    /// How often somebody told that a download finished.
    pub downloaded: u32,
}

/// Why an announce is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not on the list.
    #[error("this tracker does not serve that swarm")]
    NotListed,
    /// No room for another swarm.
    #[error("this tracker is full")]
    Full,
    /// Nobody could connect to it.
    #[error("port 0 is no port to listen on")]
    NoPort,
    /// This address asks too often.
    #[error("too many requests from your address, slow down")]
    TooOften,
}

/// The tracker.
#[derive(Debug)]
pub struct TrackerServer {
    config: ServerConfig,
    swarms: BTreeMap<InfoHash, Swarm>,
    /// Peers over all swarms.
    peers: usize,
    pace: Pace,
    rng: ChaCha8Rng,
    /// Where the next sweep goes on.
    swept: Option<InfoHash>,
    /// Who announced last, if that was for the first time and something is missing there.
    newcomer: Option<SocketAddr>,
}

impl TrackerServer {
    /// A tracker that knows nobody. `seed` seeds the choice of who is named.
    pub fn new(config: ServerConfig, seed: u64) -> Self {
        Self {
            config,
            swarms: BTreeMap::new(),
            peers: 0,
            pace: Pace::default(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            swept: None,
            newcomer: None,
        }
    }

    /// Whether this address may ask now; asking counts.
    ///
    /// # Errors
    /// [`Refusal::TooOften`].
    pub fn admit(&mut self, ip: IpAddr, now: Time) -> Result<(), Refusal> {
        self.pace.admit(ip, now)
    }

    /// Where the peer listens that announced last, if it is new and wants something: a peer that is
    /// the tracker, too, need not wait until it is dialled. Says so once.
    pub fn take_newcomer(&mut self) -> Option<SocketAddr> {
        self.newcomer.take()
    }

    /// Notes who announces and names others: to the complete only those who are not.
    ///
    /// # Errors
    /// Why nothing was noted.
    pub fn announce(
        &mut self,
        request: &AnnounceRequest,
        caller: Caller,
        now: Time,
    ) -> Result<Answer, Refusal> {
        if !self.is_listed(request.info_hash) {
            return Err(Refusal::NotListed);
        }
        let stopped = request.event == AnnounceEvent::Stopped;
        if request.port == 0 && !stopped {
            return Err(Refusal::NoPort);
        }
        let own = SocketAddr::new(caller.ip.to_canonical(), request.port);
        self.note(request, own, now)?;
        let wanted = (request.num_want as usize).min(self.config.named_max);
        let wanted = if stopped { 0 } else { wanted };
        let mut peers = Vec::with_capacity(wanted);
        let mut counts = Counts::default();
        if let Some(swarm) = self.swarms.get(&request.info_hash) {
            let seeks = match request.left {
                0 => Seeks::Incomplete,
                _ => Seeks::Everybody,
            };
            counts = swarm.counts();
            peers = swarm.choose((seeks, wanted), own, &mut self.rng);
        }
        peers.retain_mut(|peer| localized(peer, caller));
        if let Some(resident) = self.config.resident {
            counts.complete += 1;
            if request.left > 0 && wanted > 0 {
                peers.truncate(wanted - 1);
                peers.extend(caller.reached.map(|ip| resident.at(ip)));
            }
        }
        Ok(Answer {
            interval: self.config.interval,
            interval_min: self.config.interval_min,
            counts,
            peers,
        })
    }

    /// How a swarm stands; unknown ones have nobody (BEP 48).
    pub fn scrape(&self, info_hash: InfoHash) -> Counts {
        let swarm = self.swarms.get(&info_hash);
        let mut counts = swarm.map(Swarm::counts).unwrap_or_default();
        if self.config.resident.is_some() && self.is_listed(info_hash) {
            counts.complete += 1;
        }
        counts
    }

    /// Forgets those who were not heard of for long, in a part of the swarms; to be called about
    /// once a second.
    pub fn sweep(&mut self, now: Time) {
        self.pace.sweep(now);
        let count = self.swarms.len().div_ceil(SWEEPS).max(SWEEP_MIN);
        let from = self.swept.map_or(Bound::Unbounded, Bound::Excluded);
        let mut empty = Vec::new();
        let mut last = None;
        for (&info_hash, swarm) in self.swarms.range_mut((from, Bound::Unbounded)).take(count) {
            self.peers -= swarm.expire(self.config.expiry, now);
            if swarm.is_empty() {
                empty.push(info_hash);
            }
            last = Some(info_hash);
        }
        self.swept = last;
        for info_hash in empty {
            self.swarms.remove(&info_hash);
        }
    }

    /// Swarms with anybody in them.
    pub fn swarm_count(&self) -> usize {
        self.swarms.len()
    }

    /// Peers over all swarms.
    pub const fn peer_count(&self) -> usize {
        self.peers
    }

    fn is_listed(&self, info_hash: InfoHash) -> bool {
        match &self.config.admission {
            Admission::Any => true,
            Admission::Listed(listed) => listed.contains(&info_hash),
        }
    }

    fn note(
        &mut self,
        request: &AnnounceRequest,
        own: SocketAddr,
        now: Time,
    ) -> Result<(), Refusal> {
        let known = self.swarms.contains_key(&request.info_hash);
        if request.event == AnnounceEvent::Stopped {
            if let Some(swarm) = self.swarms.get_mut(&request.info_hash) {
                self.peers -= usize::from(swarm.remove(own).is_some());
            }
            return Ok(());
        }
        if !known && self.swarms.len() >= self.config.swarms_max {
            return Err(Refusal::Full);
        }
        let swarm = self.swarms.entry(request.info_hash).or_default();
        let was_known = swarm.remove(own);
        self.peers -= usize::from(was_known.is_some());
        let has_room = self.peers < self.config.peers_max
            && swarm.count_of(own.ip(), self.config.peers_per_ip_max)
                < self.config.peers_per_ip_max;
        self.newcomer = (was_known.is_none() && request.left > 0).then_some(own);
        if has_room {
            swarm.insert(own, request, now);
            self.peers += 1;
        }
        Ok(())
    }
}

impl Resident {
    const fn at(self, ip: IpAddr) -> Named {
        Named {
            addr: SocketAddr::new(ip, self.port),
            peer_id: self.peer_id,
        }
    }
}

/// Whether the asker can reach that peer. A peer on the tracker's own machine is known by a
/// loopback address, but others reach it where they reached the tracker.
fn localized(peer: &mut Named, caller: Caller) -> bool {
    if !peer.addr.ip().is_loopback() || caller.ip.to_canonical().is_loopback() {
        return true;
    }
    if let Some(ip) = caller.reached {
        peer.addr.set_ip(ip);
    }
    caller.reached.is_some()
}
