//! Canonical peer priority (BEP 40): a number that both sides of a connection compute alike.
//!
//! When connections are scarce everybody keeps those with the highest numbers. Who came first then
//! does not matter, and the swarm is a random graph instead of cliques with newcomers outside.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Torrent;
use super::event::{CloseReason, PeerKey, PeerSource};
use super::peer::Peer;
use crate::time::Time;

/// How long a connection is left alone, so that a swarm that starts together settles first.
const SETTLED: Duration = Duration::from_secs(10);

/// Our own addresses, as others see them (BEP 10 `yourip`).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SeenAs {
    v4: Option<IpAddr>,
    v6: Option<IpAddr>,
}

impl SeenAs {
    /// Somebody sees us at this address.
    pub(super) const fn note(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(_) => self.v4 = Some(ip),
            IpAddr::V6(_) => self.v6 = Some(ip),
        }
    }

    /// Our side of a connection to `other`.
    fn beside(self, other: IpAddr) -> Option<IpAddr> {
        if other.is_ipv4() { self.v4 } else { self.v6 }
    }
}

impl Torrent {
    /// Makes room for a new connection where there is none left: one of lower priority over which
    /// nothing moves goes. Without such a one the new connection must.
    pub(super) fn make_room(&mut self, key: PeerKey, now: Time) -> Option<CloseReason> {
        let refused = Some(CloseReason::TooMany);
        let newcomer = self.peers.find(key).and_then(|peer| self.priority_of(peer));
        let Some(newcomer) = newcomer.filter(|_| self.config.canonical_priority) else {
            return refused;
        };
        let idle = self
            .peers
            .iter()
            .filter(|(other, peer)| *other != key && is_dispensable(peer, now));
        let least = idle
            .filter_map(|(other, peer)| Some((self.priority_of(peer)?, other)))
            .min();
        match least {
            Some((priority, victim)) if priority < newcomer => {
                self.disconnect(victim, CloseReason::TooMany, now);
                None
            }
            _ => refused,
        }
    }

    /// What both sides make of this connection; `None` while we do not know our own address.
    fn priority_of(&self, peer: &Peer) -> Option<u32> {
        let theirs = peer.listen_addr.unwrap_or(peer.addr);
        let ours = self.seen_as.beside(theirs.ip())?;
        Some(priority(SocketAddr::new(ours, self.config.port), theirs))
    }
}

/// Whether a connection may make room for another: the user did not ask for it, and nothing moves.
fn is_dispensable(peer: &Peer, now: Time) -> bool {
    let is_asked_for = matches!(peer.source, PeerSource::Manual | PeerSource::WebSeed);
    let is_idle = peer.asked.is_empty() && peer.wants.is_empty() && peer.serving == 0;
    let is_still = peer.down.per_second(now) == 0 && peer.up.per_second(now) == 0;
    !is_asked_for && is_idle && is_still && now.since(peer.since) >= SETTLED
}

/// The priority of a connection between these two.
fn priority(a: SocketAddr, b: SocketAddr) -> u32 {
    let (a, b) = if a <= b { (a, b) } else { (b, a) };
    let bytes = match (a.ip().to_canonical(), b.ip().to_canonical()) {
        (a_ip, b_ip) if a_ip == b_ip => [a.port().min(b.port()), a.port().max(b.port())]
            .map(u16::to_be_bytes)
            .concat(),
        (IpAddr::V4(a), IpAddr::V4(b)) => masked(&a.octets(), &b.octets(), (2, 1)),
        (IpAddr::V6(a), IpAddr::V6(b)) => masked(&a.octets(), &b.octets(), (6, 1)),
        // Of two families both sides know but one address each: they cannot agree.
        _ => return 0,
    };
    crc32c(&bytes)
}

/// Both addresses in ascending order, of which only the networks count where they differ: the first
/// `whole` bytes, and `more` for each further level at which they are the same. Of the rest every
/// other bit is left.
fn masked(a: &[u8], b: &[u8], (whole, more): (usize, usize)) -> Vec<u8> {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let kept = if same < whole {
        whole
    } else {
        (same / more * more + more).max(whole + more)
    };
    let mask = |(place, &byte): (usize, &u8)| if place < kept { byte } else { byte & 0x55 };
    let mut both = [a, b].map(|ip| ip.iter().enumerate().map(mask).collect::<Vec<u8>>());
    both.sort_unstable();
    both.concat()
}

/// CRC-32C (Castagnoli), bit by bit: of 32 bytes at most, and only when connections are scarce.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    let eat = |crc: u32, &byte: &u8| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc));
    !bytes.iter().fold(!0, eat)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(a: &str, b: &str) -> u32 {
        let addr = |text: &str| text.parse().expect("an address");
        assert_eq!(priority(addr(a), addr(b)), priority(addr(b), addr(a)));
        priority(addr(a), addr(b))
    }

    #[test]
    fn the_examples_of_the_specification_come_out() {
        assert_eq!(of("123.213.32.10:0", "98.76.54.32:0"), 0xec2d_7224);
        assert_eq!(of("123.213.32.10:0", "123.213.32.234:0"), 0x9956_8189);
    }

    #[test]
    fn the_check_value_of_the_polynomial_comes_out() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn machines_behind_one_address_are_told_apart_by_their_ports() {
        assert_ne!(
            of("10.0.0.1:1", "10.0.0.1:2"),
            of("10.0.0.1:1", "10.0.0.1:3")
        );
    }

    #[test]
    fn who_has_a_whole_network_has_few_priorities() {
        let of_host = |host: u8| of("198.51.100.7:1", &format!("203.0.{host}.1:1"));
        let mut seen: Vec<u32> = (0..=255).map(of_host).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 16);
    }
}
