//! Finds peers on the networks that this machine is on, by multicast (BEP 14).
//!
//! One pair of sockets for each interface and family: what is heard on one is answered there. New
//! interfaces are found within seconds. Nothing of it leaves the network (its hop limit is 1), and
//! never is it run for a private manifest.

mod schedule;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::rc::Rc;
use std::time::Duration;

use if_addrs::get_if_addrs;
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use self::schedule::{ANSWER_DELAY_MAX, Schedule, Turn};
use super::clock::Clock;
use crate::ids::InfoHash;
use crate::time::Time;
use crate::torrent::Event;
use crate::torrent::event::PeerSource;
use crate::wire::LocalAnnounce;
use crate::wire::lsd::{DATAGRAM_LEN_MAX, GROUP_V4, GROUP_V6, PORT};

/// How often interfaces are looked for: a machine may start before its network.
const SCAN_INTERVAL: Duration = Duration::from_secs(5);

/// Interfaces and families that are listened on at most. Chosen: a host of many containers has
/// hundreds, of which few lead to other machines.
const WIRES_MAX: usize = 64;

/// Datagrams that wait to be read.
const HEARD_MAX: usize = 64;

/// What came of looking around.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalStatus {
    /// Announces sent, on all interfaces together.
    pub sent: u32,
    /// Announces of other machines heard, of any swarm.
    pub heard: u32,
    /// Why nothing can be sent, if the last announce on every network failed.
    pub fault: Option<String>,
}

/// What is announced, and to whom it is told who was found.
pub(super) struct Lsd {
    pub(super) info_hash: InfoHash,
    /// The port that peers can connect to.
    pub(super) port: u16,
    /// The only address of ours that counts.
    pub(super) bind: Option<IpAddr>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) clock: Clock,
    pub(super) seed: u64,
}

/// What came of it so far, for the tasks of one thread.
pub(super) type Shared = Rc<RefCell<LocalStatus>>;

/// An interface of this machine, in one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct WireId {
    index: u32,
    is_v6: bool,
}

/// A network that is announced to.
struct Wire {
    /// Our address there, which all that is sent bears.
    ours: IpAddr,
    socket: UdpSocket,
    group: SocketAddr,
    schedule: Schedule,
    /// Why the last announce could not be sent.
    fault: Option<String>,
    listener: JoinHandle<()>,
}

/// A datagram, where it was heard and from whom.
type Heard = (WireId, SocketAddr, Vec<u8>);

impl Lsd {
    /// Announces and listens from here on, for as long as the session lives.
    pub(super) fn start(self) -> Shared {
        let status = Shared::default();
        spawn_local(self.run(Rc::clone(&status)));
        status
    }

    async fn run(self, status: Shared) {
        let mut rng = ChaCha12Rng::seed_from_u64(self.seed);
        let announce = LocalAnnounce {
            port: self.port,
            info_hashes: vec![self.info_hash],
            cookie: Some(format!("{:016x}", rng.random::<u64>())),
        };
        let (ears, mut heard) = mpsc::channel(HEARD_MAX);
        let mut wires = BTreeMap::new();
        let mut scan = interval(SCAN_INTERVAL);
        scan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = wires.values().map(|wire: &Wire| wire.schedule.next()).min();
            let wake = self.clock.instant(next.unwrap_or(Time::MAX));
            tokio::select! {
                _ = scan.tick() => self.scan(&mut wires, &ears, &status),
                Some((id, from, datagram)) = heard.recv() => {
                    let Some(theirs) = LocalAnnounce::decode(&datagram) else {
                        continue;
                    };
                    if theirs.cookie == announce.cookie {
                        continue;
                    }
                    status.borrow_mut().heard += 1;
                    if theirs.info_hashes.contains(&self.info_hash)
                        && let Some(wire) = wires.get_mut(&id)
                    {
                        let delay = rng.random_range(Duration::ZERO..ANSWER_DELAY_MAX);
                        wire.schedule.heard(delay, self.clock.now());
                        self.found(from, theirs.port).await;
                    }
                }
                () = sleep_until(wake) => {
                    self.announce(&mut wires, &announce, &status).await;
                }
            }
        }
    }

    async fn found(&self, mut from: SocketAddr, port: u16) {
        from.set_port(port);
        let found = Event::PeersFound {
            source: PeerSource::Lsd,
            addrs: vec![from],
        };
        // Without a driver the session is ending.
        let _ = self.events.send(found).await;
    }

    async fn announce(
        &self,
        wires: &mut BTreeMap<WireId, Wire>,
        announce: &LocalAnnounce,
        status: &Shared,
    ) {
        let now = self.clock.now();
        for wire in wires.values_mut() {
            if wire.schedule.due(now) == Turn::Wait {
                continue;
            }
            // As BEP 14 writes it: without the zone.
            let host = match wire.group {
                SocketAddr::V4(group) => group.to_string(),
                SocketAddr::V6(group) => format!("[{}]:{}", group.ip(), group.port()),
            };
            let sent = wire
                .socket
                .send_to(&announce.encode(&host), wire.group)
                .await;
            wire.fault = sent.err().map(|error| error.to_string());
            match &wire.fault {
                None => status.borrow_mut().sent += 1,
                Some(fault) => tracing::debug!("no announce to {}: {fault}", wire.group),
            }
        }
        let faults: Option<Vec<&String>> = wires.values().map(|wire| wire.fault.as_ref()).collect();
        status.borrow_mut().fault = faults.and_then(|all| all.first().copied().cloned());
    }

    /// Takes in new interfaces and lets go of those that are gone, that have another address, and
    /// that nothing could be sent on: those are opened anew.
    fn scan(
        &self,
        wires: &mut BTreeMap<WireId, Wire>,
        ears: &mpsc::Sender<Heard>,
        status: &Shared,
    ) {
        let there = match get_if_addrs() {
            Ok(interfaces) => self.wires_of(interfaces),
            Err(error) => {
                status.borrow_mut().fault = Some(error.to_string());
                return;
            }
        };
        wires.retain(|id, wire| wire.fault.is_none() && there.get(id) == Some(&wire.ours));
        for (&id, &addr) in &there {
            if wires.contains_key(&id) || wires.len() >= WIRES_MAX {
                continue;
            }
            match Wire::open(id, addr, ears.clone(), self.clock.now()) {
                Ok(wire) => {
                    wires.insert(id, wire);
                }
                Err(error) => {
                    tracing::debug!("no local discovery on interface {}: {error}", id.index);
                    if wires.is_empty() {
                        status.borrow_mut().fault = Some(error.to_string());
                    }
                }
            }
        }
    }

    /// The interfaces that lead to other machines, with an address of ours on each.
    fn wires_of(&self, interfaces: Vec<if_addrs::Interface>) -> BTreeMap<WireId, IpAddr> {
        let bind = self.bind.filter(|bind| !bind.is_unspecified());
        let mut wires = BTreeMap::new();
        let leading_out = interfaces
            .into_iter()
            .filter(|interface| !interface.is_loopback())
            .filter(|interface| bind.is_none_or(|bind| bind == interface.ip()));
        for interface in leading_out {
            let Some(index) = interface.index else {
                continue;
            };
            let ours = interface.ip();
            let is_v6 = ours.is_ipv6();
            // The least of several: it stays the same from scan to scan.
            wires
                .entry(WireId { index, is_v6 })
                .and_modify(|known: &mut IpAddr| *known = ours.min(*known))
                .or_insert(ours);
        }
        wires
    }
}

impl Wire {
    fn open(id: WireId, ours: IpAddr, ears: mpsc::Sender<Heard>, now: Time) -> io::Result<Self> {
        let group = if id.is_v6 {
            SocketAddr::V6(SocketAddrV6::new(GROUP_V6, PORT, 0, id.index))
        } else {
            SocketAddr::from((GROUP_V4, PORT))
        };
        let ear = ear(id, group)?;
        let socket = mouth(id, ours)?;
        let listener = spawn_local(async move {
            let mut datagram = [0; DATAGRAM_LEN_MAX];
            // An error here is about one datagram; if the interface is gone, nothing more comes.
            while let Ok((len, from)) = ear.recv_from(&mut datagram).await {
                let heard = (id, from, datagram[..len].to_vec());
                if ears.send(heard).await.is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            ours,
            socket,
            group,
            schedule: Schedule::new(now),
            fault: None,
            listener,
        })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// A socket that hears the group on one interface. Bound to the group, it hears nothing else;
/// other programs may listen there, too.
fn ear(id: WireId, group: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    if id.is_v6 {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&group.into())?;
    if id.is_v6 {
        socket.join_multicast_v6(&GROUP_V6, id.index)?;
    } else {
        let on = InterfaceIndexOrAddress::Index(id.index);
        socket.join_multicast_v4_n(&GROUP_V4, &on)?;
    }
    // Else it hears what other sockets of this machine joined on other interfaces.
    #[cfg(target_os = "linux")]
    if id.is_v6 {
        socket.set_multicast_all_v6(false)?;
    } else {
        socket.set_multicast_all_v4(false)?;
    }
    UdpSocket::from_std(socket.into())
}

/// A socket that speaks to the group on one interface, and no further.
fn mouth(id: WireId, ours: IpAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match ours {
        IpAddr::V4(ours) => (ours, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = Socket::new(Domain::for_address(any), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if let IpAddr::V4(ours) = ours {
        socket.set_multicast_if_v4(&ours)?;
        socket.set_multicast_ttl_v4(1)?;
    } else {
        socket.set_only_v6(true)?;
        socket.set_multicast_if_v6(id.index)?;
        socket.set_multicast_hops_v6(1)?;
    }
    socket.bind(&any.into())?;
    UdpSocket::from_std(socket.into())
}
