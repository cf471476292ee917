//! The peers of one swarm: two lists, of which any number can be drawn evenly, and the place of
//! each address in them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::seq::index;

use super::{Counts, Named};
use crate::ids::PeerId;
use crate::time::Time;
use crate::tracker::{AnnounceEvent, AnnounceRequest};

/// Whom somebody wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seeks {
    /// Anybody.
    Everybody,
    /// Those who are not complete: a seed has nothing to ask of another.
    Incomplete,
}

/// Everybody who announced to one swarm.
#[derive(Debug, Default)]
pub(super) struct Swarm {
    complete: Peers,
    incomplete: Peers,
    downloaded: u32,
}

/// A set that can be drawn from.
#[derive(Debug, Default)]
struct Peers {
    list: Vec<Peer>,
    places: BTreeMap<SocketAddr, u32>,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    addr: SocketAddr,
    id: PeerId,
    seen: Time,
}

impl Swarm {
    /// Adds a peer that is not in.
    pub(super) fn insert(&mut self, addr: SocketAddr, request: &AnnounceRequest, now: Time) {
        if request.event == AnnounceEvent::Completed {
            self.downloaded = self.downloaded.saturating_add(1);
        }
        let peers = match request.left {
            0 => &mut self.complete,
            _ => &mut self.incomplete,
        };
        peers.insert(Peer {
            addr,
            id: request.peer_id,
            seen: now,
        });
    }

    /// Takes a peer out and says when it was heard of last.
    pub(super) fn remove(&mut self, addr: SocketAddr) -> Option<Time> {
        self.complete
            .remove(addr)
            .or_else(|| self.incomplete.remove(addr))
    }

    /// Forgets whom nothing was heard of for longer than `expiry`; says how many.
    pub(super) fn expire(&mut self, expiry: Duration, now: Time) -> usize {
        self.complete.expire(expiry, now) + self.incomplete.expire(expiry, now)
    }

    /// Draws so many of those who are sought, never the asker.
    pub(super) fn choose(
        &self,
        (seeks, wanted): (Seeks, usize),
        asker: SocketAddr,
        rng: &mut ChaCha8Rng,
    ) -> Vec<Named> {
        let first = match seeks {
            Seeks::Everybody => self.complete.list.as_slice(),
            Seeks::Incomplete => &[],
        };
        let second = self.incomplete.list.as_slice();
        let total = first.len() + second.len();
        // One more, in case that the asker is drawn.
        let drawn = index::sample(rng, total, (wanted + 1).min(total));
        drawn
            .into_iter()
            .map(|place| match place.checked_sub(first.len()) {
                Some(place) => &second[place],
                None => &first[place],
            })
            .filter(|peer| peer.addr != asker)
            .take(wanted)
            .map(|peer| Named {
                addr: peer.addr,
                peer_id: peer.id,
            })
            .collect()
    }

    pub(super) fn counts(&self) -> Counts {
        let count = |peers: &Peers| u32::try_from(peers.list.len()).unwrap_or(u32::MAX);
        Counts {
            complete: count(&self.complete),
            incomplete: count(&self.incomplete),
            downloaded: self.downloaded,
        }
    }

    /// Peers that announced from this address, counted up to `most`.
    pub(super) fn count_of(&self, ip: IpAddr, most: usize) -> usize {
        self.complete.of_ip(ip).take(most).count() + self.incomplete.of_ip(ip).take(most).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.complete.list.is_empty() && self.incomplete.list.is_empty()
    }
}

impl Peers {
    fn insert(&mut self, peer: Peer) {
        let place = u32::try_from(self.list.len()).expect("the server bounds its peers");
        self.places.insert(peer.addr, place);
        self.list.push(peer);
    }

    fn remove(&mut self, addr: SocketAddr) -> Option<Time> {
        let place = self.places.remove(&addr)? as usize;
        let peer = self.list.swap_remove(place);
        if let Some(moved) = self.list.get(place) {
            let place = u32::try_from(place).expect("it was one before");
            self.places.insert(moved.addr, place);
        }
        Some(peer.seen)
    }

    fn expire(&mut self, expiry: Duration, now: Time) -> usize {
        let before = self.list.len();
        let late: Vec<SocketAddr> = self
            .list
            .iter()
            .filter(|peer| now.since(peer.seen) > expiry)
            .map(|peer| peer.addr)
            .collect();
        for addr in late {
            self.remove(addr);
        }
        before - self.list.len()
    }

    fn of_ip(&self, ip: IpAddr) -> impl Iterator<Item = &SocketAddr> {
        let ports = SocketAddr::new(ip, 0)..=SocketAddr::new(ip, u16::MAX);
        self.places.range(ports).map(|(addr, _)| addr)
    }
}
