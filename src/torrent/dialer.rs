//! Whom to dial and when: known addresses, back-off, and how many dials may be under way.
//!
//! Whoever names addresses has a share of those that are kept, and a turn among those that are
//! dialled: what a source names in vain costs itself room and time, and the others neither.

mod address;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt};

use super::config::TorrentConfig;
use super::event::{PeerSource, TrackerId};
use crate::time::Time;
use address::{is_dialable, network_of};

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
/// One source may name this part of the addresses that are kept.
const SHARE_PART: usize = 4;
/// Dials under way of a source that may have spare ones, at most.
const SPARE_EACH: usize = 2;
/// Addresses of one network of the internet that peers may name. Private networks are one network
/// each, and everybody may be in it.
const NAMED_PER_NETWORK: usize = 5;

/// Who names addresses. In the order of their turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Teller {
    source: PeerSource,
    who: Who,
}

/// Which one of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    /// They count as one.
    All,
    Tracker(TrackerId),
    Peer(IpAddr),
}

impl Teller {
    /// The user, whose addresses come before all others and have no limit.
    const USER: Self = Self::all(PeerSource::Manual);

    /// All of a kind.
    pub(super) const fn all(source: PeerSource) -> Self {
        let who = Who::All;
        Self { source, who }
    }

    /// A tracker.
    pub(super) const fn tracker(id: TrackerId) -> Self {
        let (source, who) = (PeerSource::Tracker, Who::Tracker(id));
        Self { source, who }
    }

    const fn as_tracker(&self) -> Option<TrackerId> {
        match self.who {
            Who::Tracker(id) => Some(id),
            Who::All | Who::Peer(_) => None,
        }
    }

    /// A peer, whatever connection it has.
    pub(super) const fn peer(ip: IpAddr) -> Self {
        let (source, who) = (PeerSource::Pex, Who::Peer(ip));
        Self { source, who }
    }
}

/// What a teller has of the dialer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    /// Addresses that count as its.
    known: usize,
    /// Dials to them under way.
    dialling: usize,
    /// Dials to them that failed, since there are any.
    failed: u32,
}

#[derive(Clone, Debug)]
struct Candidate {
    /// The best of those who named it: that is how we learned of it.
    source: PeerSource,
    /// Whose share it is in, of those who named it.
    teller: Teller,
    /// Whose share it was in before.
    teller_before: Option<Teller>,
    /// Whether there was a connection to it.
    answered: bool,
    failures: u32,
    next_try: Time,
    state: State,
}

impl Candidate {
    const fn new(teller: Teller, now: Time) -> Self {
        Self {
            source: teller.source,
            teller,
            teller_before: None,
            answered: false,
            failures: 0,
            next_try: now,
            state: State::Idle,
        }
    }
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
    /// Of everybody in whose share a candidate is.
    shares: BTreeMap<Teller, Share>,
    candidates_max: usize,
    dials_max: usize,
    spare_dials: usize,
    dial_until: usize,
    peers_max: usize,
    dialling: usize,
    banned: BTreeMap<SocketAddr, Time>,
    /// Trackers that named somebody who answered.
    useful: BTreeSet<TrackerId>,
}

impl Dialer {
    /// A dialer that knows nobody.
    pub(super) fn new(config: &TorrentConfig) -> Self {
        Self {
            candidates: BTreeMap::new(),
            shares: BTreeMap::new(),
            candidates_max: config.candidates_max,
            dials_max: config.dials_max,
            spare_dials: config.spare_dials,
            dial_until: config.dial_until,
            peers_max: config.peers_max,
            dialling: 0,
            banned: BTreeMap::new(),
            useful: BTreeSet::new(),
        }
    }

    /// Takes in addresses; impossible ones, and those past the limits, are dropped.
    pub(super) fn add(&mut self, teller: Teller, addrs: &[SocketAddr], now: Time) {
        let mut is_full = false;
        let is_dialable = |addr: &&SocketAddr| is_dialable(addr, teller.source);
        for &addr in addrs.iter().filter(is_dialable) {
            if self.candidates.contains_key(&addr) {
                self.named_again(addr, teller);
                continue;
            }
            if is_full || self.is_crowded(addr, teller) {
                continue;
            }
            if !self.has_room(teller) {
                self.evict_for(teller);
            }
            is_full = !self.has_room(teller);
            if !is_full {
                self.put(addr, Candidate::new(teller, now));
            }
        }
    }

    /// The addresses to dial now, with so many connections up; they count as being dialled. The user's
    /// come first. Others take turns: who has the fewest dials under way comes first, of equals of a
    /// kind who named the fewest dead. Equals of one source come in no order of their own: else a
    /// whole swarm would dial the same few first.
    pub(super) fn due(
        &mut self,
        connected: usize,
        now: Time,
        rng: &mut ChaCha8Rng,
    ) -> Vec<SocketAddr> {
        if connected + self.dialling >= self.peers_max {
            return Vec::new();
        }
        let mut due: Vec<(Teller, u32, Time, u32, SocketAddr)> = self
            .candidates
            .iter()
            .filter(|(addr, c)| {
                let is_banned = self.banned.get(addr).is_some_and(|until| *until > now);
                c.state == State::Idle
                    && c.next_try <= now
                    && !is_banned
                    && self.may_dial(c.teller, connected)
            })
            .map(|(&addr, c)| (c.teller, c.failures, c.next_try, rng.next_u32(), addr))
            .collect();
        due.sort_unstable();
        let mut turns = Vec::with_capacity(due.len());
        for of_one in due.chunk_by(|(a, ..), (b, ..)| a == b) {
            for (nth, &(teller, .., addr)) in of_one.iter().enumerate() {
                let Share {
                    dialling, failed, ..
                } = self.share(teller);
                let is_users = teller == Teller::USER;
                turns.push((
                    !is_users,
                    dialling + nth,
                    teller.source,
                    failed,
                    teller,
                    addr,
                ));
            }
        }
        turns.sort_unstable();
        let mut dialled = Vec::new();
        for (.., teller, addr) in turns {
            if self.may_dial(teller, connected) {
                self.set_state(addr, State::Dialling);
                dialled.push(addr);
            }
        }
        dialled
    }

    /// A dial failed.
    pub(super) fn failed(&mut self, addr: SocketAddr, now: Time, rng: &mut ChaCha8Rng) {
        self.set_state(addr, State::Idle);
        self.back_off(addr, now, rng);
        let teller = self.candidates.get(&addr).map(|candidate| candidate.teller);
        if let Some(share) = teller.and_then(|teller| self.shares.get_mut(&teller)) {
            share.failed = share.failed.saturating_add(1);
        }
    }

    /// A connection from or to this listening address is up.
    pub(super) fn connected(&mut self, addr: SocketAddr, now: Time) {
        if let Some(candidate) = self.candidates.get_mut(&addr) {
            candidate.answered = true;
            let tellers = [Some(candidate.teller), candidate.teller_before];
            let trackers = tellers.iter().flatten().filter_map(Teller::as_tracker);
            self.useful.extend(trackers);
        }
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
        self.ban(addr, Time::MAX);
        self.take(addr);
    }

    /// Where the address came from.
    pub(super) fn source_of(&self, addr: SocketAddr) -> Option<PeerSource> {
        self.candidates.get(&addr).map(|candidate| candidate.source)
    }

    /// Every known address, those that answered first, with who named it.
    pub(super) fn all(&self) -> Vec<(PeerSource, SocketAddr)> {
        let mut all: Vec<_> = self.candidates.iter().collect();
        all.sort_by_key(|(_, candidate)| (!candidate.answered, candidate.failures));
        all.into_iter()
            .map(|(&addr, candidate)| (candidate.source, addr))
            .collect()
    }

    /// Whether a round of dials to whom this tracker named was in vain, and nobody ever answered.
    pub(super) fn names_only_dead(&self, id: TrackerId) -> bool {
        let failed = self.share(Teller::tracker(id)).failed;
        failed as usize >= self.dials_max && !self.useful.contains(&id)
    }

    /// How many addresses are known.
    pub(super) fn known(&self) -> usize {
        self.candidates.len()
    }

    /// How many dials are under way.
    pub(super) const fn dialling(&self) -> usize {
        self.dialling
    }

    fn share(&self, teller: Teller) -> Share {
        self.shares.get(&teller).copied().unwrap_or_default()
    }

    /// Whether `teller` may add one more address.
    fn has_room(&self, teller: Teller) -> bool {
        let is_within = self.share(teller).known < self.candidates_max / SHARE_PART;
        teller == Teller::USER || is_within && self.candidates.len() < self.candidates_max
    }

    /// Whether peers have named enough addresses of the network that this one is in.
    fn is_crowded(&self, addr: SocketAddr, teller: Teller) -> bool {
        let Some(network) = network_of(addr.ip()).filter(|_| teller.source == PeerSource::Pex)
        else {
            return false;
        };
        let beside = self.candidates.range(network);
        let named = beside.filter(|(_, c)| c.teller.source == PeerSource::Pex);
        named.count() >= NAMED_PER_NETWORK
    }

    /// Forgets the idle address that failed most often, for one more of `teller`: of whoever has most,
    /// also one that was not tried if he has more than `teller`; of `teller` if it has its share.
    fn evict_for(&mut self, teller: Teller) {
        let own = self.share(teller).known;
        let giver = if own >= self.candidates_max / SHARE_PART {
            Some((teller, own))
        } else {
            let others = self
                .shares
                .iter()
                .map(|(&giver, share)| (giver, share.known));
            let others = others.filter(|&(giver, _)| giver != Teller::USER);
            others.max_by_key(|&(_, known)| known)
        };
        let Some((giver, known)) = giver else { return };
        let worst = self
            .candidates
            .iter()
            .filter(|(_, c)| c.teller == giver && c.state == State::Idle)
            .filter(|(_, c)| c.failures > 0 || known > own)
            .max_by_key(|(_, c)| c.failures)
            .map(|(&addr, _)| addr);
        if let Some(addr) = worst {
            self.take(addr);
        }
    }

    /// An address that several name counts as that of who names the fewest: nobody can hide it among
    /// many. Who says where he listens himself names nobody.
    fn named_again(&mut self, addr: SocketAddr, teller: Teller) {
        let Some(candidate) = self.candidates.get_mut(&addr) else {
            return;
        };
        candidate.source = candidate.source.min(teller.source);
        if candidate.answered {
            self.useful.extend(teller.as_tracker());
        }
        let before = candidate.teller;
        let is_better = match (before.source, teller.source) {
            (_, PeerSource::Manual) => true,
            (PeerSource::Manual, _) | (_, PeerSource::Incoming) => false,
            (PeerSource::Incoming, _) => true,
            _ => self.share(teller).known < self.share(before).known,
        };
        if is_better && let Some(candidate) = self.take(addr) {
            let candidate = Candidate {
                teller,
                teller_before: Some(before),
                ..candidate
            };
            self.put(addr, candidate);
        }
    }

    /// Whether one more dial may go to an address of `teller`.
    fn may_dial(&self, teller: Teller, connected: usize) -> bool {
        let own = self.share(teller).dialling;
        let taken = connected + self.dialling;
        if teller == Teller::USER {
            return taken < self.peers_max && own < self.dials_max;
        }
        let is_spared = own < SPARE_EACH
            && connected + own < self.dial_until
            && !matches!(teller.source, PeerSource::Pex | PeerSource::Incoming);
        let beyond = if is_spared { self.spare_dials } else { 0 };
        taken < self.peers_max
            && taken < self.dial_until + beyond
            && self.dialling < self.dials_max + beyond
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
        let share = self.shares.entry(candidate.teller).or_default();
        for count in [&mut share.dialling, &mut self.dialling] {
            *count -= usize::from(before == State::Dialling);
            *count += usize::from(state == State::Dialling);
        }
    }

    /// Adds a candidate, and counts it.
    fn put(&mut self, addr: SocketAddr, candidate: Candidate) {
        let dials = usize::from(candidate.state == State::Dialling);
        let share = self.shares.entry(candidate.teller).or_default();
        share.known += 1;
        share.dialling += dials;
        self.dialling += dials;
        self.candidates.insert(addr, candidate);
    }

    /// Removes a candidate, from the counts too.
    fn take(&mut self, addr: SocketAddr) -> Option<Candidate> {
        let candidate = self.candidates.remove(&addr)?;
        let dials = usize::from(candidate.state == State::Dialling);
        let share = self.shares.entry(candidate.teller).or_default();
        share.known -= 1;
        share.dialling -= dials;
        self.dialling -= dials;
        if share.known == 0 {
            self.shares.remove(&candidate.teller);
        }
        Some(candidate)
    }
}
