//! Whom to dial and when: known addresses, back-off, and how many dials may be under way.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt};

use super::config::TorrentConfig;
use super::event::PeerSource;
use crate::time::Time;

/// Wait after the first failure; doubles with each. Chosen: a seed that restarts is found again
/// within seconds.
const RETRY_FIRST: Duration = Duration::from_secs(2);
/// Longest wait for an address the user gave.
const RETRY_MAX_MANUAL: Duration = Duration::from_secs(8);
/// Longest wait for others.
const RETRY_MAX: Duration = Duration::from_secs(3_600);
/// A connection that lasted this long was a good one: its failures are forgiven.
const GOOD_CONNECTION: Duration = Duration::from_secs(30);

/// What another address of a connected peer counts as: the next try is after some ten minutes.
const ALIAS_FAILURES: u32 = 9;
/// One peer may name this part of the addresses that are kept.
const NAMED_PART: usize = 4;
/// Addresses of one network of the internet that peers may name. Private networks are one network
/// each, and everybody may be in it.
const NAMED_PER_NETWORK: usize = 5;

#[derive(Clone, Debug)]
struct Candidate {
    source: PeerSource,
    /// The peer that named it, if one did.
    named_by: Option<IpAddr>,
    failures: u32,
    next_try: Time,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Dialling,
    Connected(Time),
}

/// Known addresses and what became of them.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    candidates: BTreeMap<SocketAddr, Candidate>,
    candidates_max: usize,
    dials_max: usize,
    dial_until: usize,
    peers_max: usize,
    dialling: usize,
    banned: BTreeMap<SocketAddr, Time>,
}

impl Dialer {
    /// A dialer that knows nobody.
    pub(super) fn new(config: &TorrentConfig) -> Self {
        Self {
            candidates: BTreeMap::new(),
            candidates_max: config.candidates_max,
            dials_max: config.dials_max,
            dial_until: config.dial_until,
            peers_max: config.peers_max,
            dialling: 0,
            banned: BTreeMap::new(),
        }
    }

    /// Takes in addresses; impossible ones, and those past the limit, are dropped.
    pub(super) fn add(&mut self, source: PeerSource, addrs: &[SocketAddr], now: Time) {
        for &addr in addrs.iter().filter(|addr| is_dialable(addr, source)) {
            let known = self.candidates.get_mut(&addr);
            if let Some(candidate) = known {
                candidate.source = candidate.source.min(source);
                continue;
            }
            if self.candidates.len() >= self.candidates_max {
                self.evict();
            }
            if self.candidates.len() >= self.candidates_max && source != PeerSource::Manual {
                continue;
            }
            let candidate = Candidate {
                source,
                named_by: None,
                failures: 0,
                next_try: now,
                state: State::Idle,
            };
            self.candidates.insert(addr, candidate);
        }
    }

    /// Takes in addresses that the peer at `teller` named: no more than a quarter of all that are
    /// kept come from one peer, and no more than a few from one network of the internet.
    pub(super) fn add_named(&mut self, teller: IpAddr, addrs: &[SocketAddr], now: Time) {
        for &addr in addrs {
            if self.candidates.contains_key(&addr) {
                continue;
            }
            let named = || self.candidates.iter().filter(|(_, c)| c.named_by.is_some());
            let by_it = named().filter(|(_, c)| c.named_by == Some(teller)).count();
            let net = network_of(addr.ip());
            let beside = named().filter(|(addr, _)| net.is_some() && network_of(addr.ip()) == net);
            if by_it >= self.candidates_max / NAMED_PART || beside.count() >= NAMED_PER_NETWORK {
                continue;
            }
            self.add(PeerSource::Pex, &[addr], now);
            if let Some(candidate) = self.candidates.get_mut(&addr) {
                candidate.named_by = Some(teller);
            }
        }
    }

    /// The addresses to dial now, with so many connections up; they count as being dialled. Equals
    /// come in no order of their own: else a whole swarm would dial the same few first.
    pub(super) fn due(
        &mut self,
        connected: usize,
        now: Time,
        rng: &mut ChaCha8Rng,
    ) -> Vec<SocketAddr> {
        let taken = connected + self.dialling;
        if taken >= self.peers_max || self.dialling >= self.dials_max {
            return Vec::new();
        }
        let banned = &self.banned;
        let mut due: Vec<(PeerSource, u32, Time, u32, SocketAddr)> = self
            .candidates
            .iter()
            .filter(|(addr, c)| {
                let is_banned = banned.get(addr).is_some_and(|until| *until > now);
                c.state == State::Idle && c.next_try <= now && !is_banned
            })
            .map(|(&addr, c)| (c.source, c.failures, c.next_try, rng.next_u32(), addr))
            .collect();
        due.sort_unstable();
        let manual = due.partition_point(|(source, ..)| *source == PeerSource::Manual);
        let others = self.dial_until.saturating_sub(taken + manual);
        due.truncate(manual + others);
        due.truncate((self.peers_max - taken).min(self.dials_max - self.dialling));
        for (.., addr) in &due {
            self.set_state(*addr, State::Dialling);
        }
        due.into_iter().map(|(.., addr)| addr).collect()
    }

    /// A dial failed.
    pub(super) fn failed(&mut self, addr: SocketAddr, now: Time, rng: &mut ChaCha8Rng) {
        self.set_state(addr, State::Idle);
        self.back_off(addr, now, rng);
    }

    /// A connection from or to this listening address is up.
    pub(super) fn connected(&mut self, addr: SocketAddr, now: Time) {
        self.set_state(addr, State::Connected(now));
    }

    /// The connection from or to this listening address is gone.
    pub(super) fn closed(&mut self, addr: SocketAddr, now: Time, rng: &mut ChaCha8Rng) {
        let Some(candidate) = self.candidates.get_mut(&addr) else {
            return;
        };
        if let State::Connected(since) = candidate.state
            && now.since(since) >= GOOD_CONNECTION
        {
            candidate.failures = 0;
        }
        self.set_state(addr, State::Idle);
        self.back_off(addr, now, rng);
    }

    /// Another address of a peer that is connected already: it is tried again, but much later.
    pub(super) fn discourage(&mut self, addr: SocketAddr) {
        if let Some(candidate) = self.candidates.get_mut(&addr) {
            candidate.failures = candidate.failures.max(ALIAS_FAILURES);
        }
    }

    /// Do not dial this address before `until`.
    pub(super) fn ban(&mut self, addr: SocketAddr, until: Time) {
        // Bounded by the candidates: only addresses that were connected are banned.
        if self.banned.len() < self.candidates_max {
            self.banned.insert(addr, until);
        }
    }

    /// This address is ourselves, or will never be of use: it is forgotten and refused.
    pub(super) fn drop_address(&mut self, addr: SocketAddr) {
        self.set_state(addr, State::Idle);
        self.ban(addr, Time::MAX);
        self.candidates.remove(&addr);
    }

    /// Where the address came from.
    pub(super) fn source_of(&self, addr: SocketAddr) -> Option<PeerSource> {
        self.candidates.get(&addr).map(|candidate| candidate.source)
    }

    /// Every known address, those that answered first, with who named it.
    pub(super) fn all(&self) -> Vec<(PeerSource, SocketAddr)> {
        let mut all: Vec<_> = self.candidates.iter().collect();
        all.sort_by_key(|(_, candidate)| candidate.failures);
        all.into_iter()
            .map(|(&addr, candidate)| (candidate.source, addr))
            .collect()
    }

    /// How many addresses are known.
    pub(super) fn known(&self) -> usize {
        self.candidates.len()
    }

    /// How many dials are under way.
    pub(super) const fn dialling(&self) -> usize {
        self.dialling
    }

    /// Makes room by forgetting the idle address that failed most often.
    fn evict(&mut self) {
        let worst = self
            .candidates
            .iter()
            .filter(|(_, c)| c.state == State::Idle && c.source != PeerSource::Manual)
            .filter(|(_, c)| c.failures > 0)
            .max_by_key(|(_, c)| c.failures)
            .map(|(&addr, _)| addr);
        if let Some(addr) = worst {
            self.candidates.remove(&addr);
        }
    }

    fn back_off(&mut self, addr: SocketAddr, now: Time, rng: &mut ChaCha8Rng) {
        let Some(candidate) = self.candidates.get_mut(&addr) else {
            return;
        };
        let longest = if candidate.source == PeerSource::Manual {
            RETRY_MAX_MANUAL
        } else {
            RETRY_MAX
        };
        let wait = RETRY_FIRST
            .saturating_mul(1 << candidate.failures.min(12))
            .min(longest);
        candidate.failures += 1;
        // Half of the wait is random, so that a swarm does not come back in one wave.
        candidate.next_try = now + wait.mul_f64(rng.random_range(0.5..1.0));
    }

    fn set_state(&mut self, addr: SocketAddr, state: State) {
        let Some(candidate) = self.candidates.get_mut(&addr) else {
            return;
        };
        let before = std::mem::replace(&mut candidate.state, state);
        self.dialling -= usize::from(before == State::Dialling);
        self.dialling += usize::from(state == State::Dialling);
    }
}

/// The /24 or /48 on the internet that an address is in; `None` for private networks.
fn network_of(ip: IpAddr) -> Option<[u8; 6]> {
    match ip {
        IpAddr::V4(ip) if ip.is_private() || ip.is_loopback() || ip.is_link_local() => None,
        IpAddr::V6(ip) if ip.is_unique_local() || ip.is_loopback() => None,
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            Some([a, b, c, 0, 0, 0])
        }
        IpAddr::V6(ip) => ip.octets().first_chunk().copied(),
    }
}

/// Whether an address can name a peer at all. A stranger's word is not enough to dial a port of the
/// system's own services.
fn is_dialable(addr: &SocketAddr, source: PeerSource) -> bool {
    let ip = addr.ip().to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    let port_min = match source {
        PeerSource::Manual | PeerSource::Tracker => 1,
        PeerSource::Lsd
        | PeerSource::Pex
        | PeerSource::Incoming
        | PeerSource::Dht
        | PeerSource::WebSeed => 1_024,
    };
    addr.port() >= port_min && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}
