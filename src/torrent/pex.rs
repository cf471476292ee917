//! Peer exchange (BEP 11): whom we tell of whom, how often, and what we believe of others.
//!
//! A peer may name addresses that its own network can reach, no nearer to us: a stranger on the
//! internet cannot make us dial machines beside us, nor hears of them from us.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Torrent;
use super::dialer::Teller;
use super::event::{PeerKey, PeerSource};
use super::inbound::Violation;
use crate::time::Time;
use crate::wire::Message;
use crate::wire::pex::{self, PexMessage, PexPeer};

/// Between the first message and the second. Those who come together meet all others with it.
/// BEP 11 has one a minute; libtorrent takes six.
const SECOND_AFTER: Duration = Duration::from_secs(5);
/// Between messages afterwards (BEP 11).
const INTERVAL: Duration = Duration::from_secs(60);
/// Between looks at whether there is anything to tell.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Messages that one peer may send in [`INTAKE_TIME`]; more are passed over.
const INTAKE_MAX: usize = 2;
/// A little less than a minute: timers of others are not exact.
const INTAKE_TIME: Duration = Duration::from_secs(50);
/// Peers that one is told of at most: the latest. Who knows so many hears of others from them.
const TOLD_MAX: usize = 200;

/// What was exchanged with one peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchange {
    /// What it calls the extension.
    pub(super) id: Option<u8>,
    /// Whom it knows that we are connected to.
    told: BTreeSet<SocketAddr>,
    /// Messages sent.
    sent: u32,
    /// When it may be told more.
    next: Time,
    /// When it sent its latest messages.
    intake: Intake,
}

/// How often a peer has told us of others.
#[derive(Clone, Debug, Default)]
pub(super) struct Intake(VecDeque<Time>);

impl Intake {
    /// Reads a message of the peer exchange from `teller`: addresses to dial, fewer than it holds
    /// if it names too many or what it may not name, none if it comes too often.
    pub(super) fn read(
        &mut self,
        payload: &[u8],
        teller: IpAddr,
        now: Time,
    ) -> Result<Vec<PexPeer>, Violation> {
        self.0.retain(|&at| now.since(at) < INTAKE_TIME);
        if self.0.len() >= INTAKE_MAX {
            return Ok(Vec::new());
        }
        self.0.push_back(now);
        let message = PexMessage::decode(payload);
        let mut named = message
            .map_err(|_| Violation("no message of ut_pex"))?
            .added;
        named.retain(|peer| may_name(teller, peer.addr.ip()));
        Ok(named)
    }
}

impl Torrent {
    /// A peer told us whom it is connected to.
    pub(super) fn peer_names(
        &mut self,
        key: PeerKey,
        payload: &[u8],
        now: Time,
    ) -> Result<(), Violation> {
        let is_complete = self.is_complete();
        let Some(peer) = self.peers.find_mut(key).filter(|_| self.config.pex) else {
            return Ok(());
        };
        let teller = peer.addr.ip();
        let named = peer.extensions.pex.intake.read(payload, teller, now)?;
        // Two that have everything have nothing to say to each other.
        let useful = |peer: &&PexPeer| !is_complete || peer.flags & pex::SEED == 0;
        let addrs: Vec<SocketAddr> = named.iter().filter(useful).map(|peer| peer.addr).collect();
        self.dialer.add(Teller::peer(teller), &addrs, now);
        self.due.dials = true;
        Ok(())
    }

    /// Tells everybody who is due of the others.
    pub(super) fn exchange_peers(&mut self, now: Time) {
        let is_due = |(_, peer): &(PeerKey, &super::peer::Peer)| {
            peer.extensions.pex.id.is_some() && peer.extensions.pex.next <= now
        };
        let due: Vec<PeerKey> = self
            .peers
            .iter()
            .filter(is_due)
            .map(|(key, _)| key)
            .collect();
        if due.is_empty() || !self.config.pex {
            return;
        }
        let listening = self.listening();
        let latest: Vec<PexPeer> = {
            let mut all: Vec<_> = listening.iter().collect();
            all.sort_by_key(|(_, (since, _))| std::cmp::Reverse(*since));
            all.truncate(TOLD_MAX);
            all.into_iter()
                .map(|(&addr, &(_, flags))| PexPeer { addr, flags })
                .collect()
        };
        for key in due {
            let Some(peer) = self.peers.find_mut(key) else {
                continue;
            };
            let theirs = (peer.addr.ip(), peer.listen_addr);
            let exchange = &mut peer.extensions.pex;
            let message = exchange.news(theirs, &latest, &listening);
            exchange.next = now + LOOK_INTERVAL;
            let Some(id) = exchange.id.filter(|_| !message.is_empty()) else {
                continue;
            };
            exchange.note(&message, now);
            let payload = message.encode();
            self.send(key, Message::Extended { id, payload }, now);
        }
    }

    /// Everybody who is connected and known to listen: since when, and what they are.
    fn listening(&self) -> BTreeMap<SocketAddr, (Time, u8)> {
        let peers = self.peers.iter().filter_map(|(_, peer)| {
            let addr = peer.listen_addr?;
            let is_seed = peer.is_seed() || peer.upload_only;
            let reachable = peer.source != PeerSource::Incoming;
            let flags = if is_seed { pex::SEED } else { 0 };
            let flags = flags | if reachable { pex::REACHABLE } else { 0 };
            Some((addr, (peer.since, flags)))
        });
        peers.collect()
    }
}

impl Exchange {
    /// What a peer at `(ip, listen)` does not know of us yet.
    fn news(
        &self,
        (ip, listen): (IpAddr, Option<SocketAddr>),
        latest: &[PexPeer],
        listening: &BTreeMap<SocketAddr, (Time, u8)>,
    ) -> PexMessage {
        let room = TOLD_MAX.saturating_sub(self.told.len()).min(pex::PEERS_MAX);
        let is_news = |peer: &&PexPeer| {
            !self.told.contains(&peer.addr)
                && Some(peer.addr) != listen
                && may_name(ip, peer.addr.ip())
        };
        let gone = |addr: &&SocketAddr| !listening.contains_key(addr);
        PexMessage {
            added: latest.iter().filter(is_news).take(room).copied().collect(),
            dropped: self
                .told
                .iter()
                .filter(gone)
                .take(pex::PEERS_MAX)
                .copied()
                .collect(),
        }
    }

    fn note(&mut self, message: &PexMessage, now: Time) {
        self.told.extend(message.added.iter().map(|peer| peer.addr));
        for addr in &message.dropped {
            self.told.remove(addr);
        }
        self.next = now
            + if self.sent == 0 {
                SECOND_AFTER
            } else {
                INTERVAL
            };
        self.sent += 1;
    }
}

/// From how far away an address can be reached, nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Machine,
    Wire,
    Site,
    World,
}

/// Whether a peer at `teller` may name `named`, and may be told of it: nothing nearer to us than it
/// is itself. Of link-local IPv6 addresses the zone is lost on the way.
fn may_name(teller: IpAddr, named: IpAddr) -> bool {
    let is_zoned = matches!(named, IpAddr::V6(ip) if ip.is_unicast_link_local());
    !is_zoned && !named.is_multicast() && reach(teller) <= reach(named)
}

/// Whether a peer at this address is beyond our network.
pub(super) fn is_far(ip: IpAddr) -> bool {
    reach(ip) == Reach::World
}

fn reach(ip: IpAddr) -> Reach {
    let (is_wire, is_site) = match ip {
        IpAddr::V4(ip) => (
            ip.is_link_local(),
            ip.is_private() || is_shared(ip.octets()),
        ),
        IpAddr::V6(ip) => (ip.is_unicast_link_local(), ip.is_unique_local()),
    };
    match (ip.is_loopback() || ip.is_unspecified(), is_wire, is_site) {
        (true, ..) => Reach::Machine,
        (_, true, _) => Reach::Wire,
        (_, _, true) => Reach::Site,
        _ => Reach::World,
    }
}

/// Addresses behind a provider's NAT (RFC 6598).
const fn is_shared(octets: [u8; 4]) -> bool {
    octets[0] == 100 && octets[1] & 0xc0 == 64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn nobody_names_what_is_nearer_than_itself() {
        let may = |teller, named| may_name(ip(teller), ip(named));
        for (teller, named) in [
            ("10.0.0.1", "10.0.0.2"),
            ("10.0.0.1", "8.8.8.8"),
            ("8.8.8.8", "9.9.9.9"),
            ("127.0.0.1", "127.0.0.1"),
            ("fd00::1", "192.168.1.1"),
            ("2001:db8::1", "2606:4700::1"),
        ] {
            assert!(may(teller, named), "{teller} {named}");
        }
        for (teller, named) in [
            ("8.8.8.8", "10.0.0.1"),
            ("8.8.8.8", "100.64.0.1"),
            ("8.8.8.8", "169.254.169.254"),
            ("10.0.0.1", "127.0.0.1"),
            ("10.0.0.1", "169.254.169.254"),
            ("10.0.0.1", "224.0.0.1"),
            ("2001:db8::1", "fd00::1"),
            ("fe80::1", "fe80::2"),
        ] {
            assert!(!may(teller, named), "{teller} {named}");
        }
    }

    #[test]
    fn messages_that_come_too_often_are_passed_over() {
        let named = PexPeer {
            addr: "10.0.0.9:6881".parse().expect("an address"),
            flags: 0,
        };
        let payload = PexMessage {
            added: vec![named],
            dropped: Vec::new(),
        }
        .encode();
        let mut intake = Intake::default();
        let mut taken = 0;
        for secs in 0..120 {
            let now = Time::from_start(Duration::from_secs(secs));
            let read = intake.read(&payload, ip("10.0.0.1"), now);
            taken += read.map(|named| named.len()).unwrap_or_default();
        }
        assert_eq!(taken, 6);
    }
}
