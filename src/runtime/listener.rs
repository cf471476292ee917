//! Accepts peers: binds the port, limits who may wait with a handshake, passes on who finished one.
//!
//! The limits are on handshakes under way, not on connections: how many
//! of those are kept is the core's decision.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

use super::connection::{self, Connected};
use super::hub::Hub;
use super::session::SessionError;
use crate::torrent::event::Direction;

/// Handshakes under way at most.
const PENDING_MAX: usize = 256;

/// Handshakes under way from one IPv4 address at most.
const PENDING_PER_V4_MAX: usize = 5;

/// Handshakes under way from one IPv6 /64 at most.
const PENDING_PER_V6_NET_MAX: usize = 16;

/// The wait after a failed accept: without it, running out of file descriptors becomes a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that the kernel keeps for us until we accept them.
const BACKLOG: i32 = 1_024;

/// Binds the first free port of `ports`, or any free one if allowed.
///
/// # Errors
/// [`SessionError::PortInUse`] if none is free, [`SessionError::Bind`] for anything else.
pub(super) fn bind(
    ip: Option<IpAddr>,
    ports: RangeInclusive<u16>,
    any_port: bool,
) -> Result<std::net::TcpListener, SessionError> {
    let first = *ports.start();
    for port in ports.chain(any_port.then_some(0)) {
        match bind_port(ip, port) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(source) => return Err(SessionError::Bind { port, source }),
        }
    }
    Err(SessionError::PortInUse { port: first })
}

fn bind_port(ip: Option<IpAddr>, port: u16) -> io::Result<std::net::TcpListener> {
    match ip {
        Some(ip) => listen(SocketAddr::new(ip, port)),
        // One socket for both families, unless the machine has no IPv6.
        None => match listen((Ipv6Addr::UNSPECIFIED, port).into()) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                listen((Ipv4Addr::UNSPECIFIED, port).into())
            }
            bound => bound,
        },
    }
}

fn listen(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    // A restarted seed gets its port back while old connections linger in the kernel.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts peers for as long as the session lives.
pub(super) async fn accept(hub: Rc<Hub>, listener: TcpListener) {
    let pending = Rc::new(Pending::default());
    loop {
        match listener.accept().await {
            Ok((stream, addr)) => {
                let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
                if let Some(seat) = Pending::enter(&pending, addr.ip()) {
                    spawn_local(welcome(Rc::clone(&hub), stream, addr, seat));
                }
            }
            Err(error) => {
                tracing::debug!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn welcome(hub: Rc<Hub>, mut stream: TcpStream, addr: SocketAddr, seat: Seat) {
    connection::tune(&stream);
    let answered = connection::answer(&mut stream, &hub.ours).await;
    drop(seat);
    match answered {
        Ok(theirs) => {
            let direction = Direction::Incoming;
            let connected = Connected {
                stream,
                addr,
                direction,
                theirs,
            };
            connection::run(hub, connected).await;
        }
        Err(error) => tracing::debug!("{addr} did not complete a handshake: {error}"),
    }
}

/// Handshakes under way, by address or IPv6 network.
#[derive(Debug, Default)]
struct Pending {
    origins: RefCell<BTreeMap<IpAddr, usize>>,
}

/// The right to a handshake; given back when dropped.
#[derive(Debug)]
struct Seat {
    pending: Rc<Pending>,
    origin: IpAddr,
}

impl Pending {
    fn enter(this: &Rc<Self>, ip: IpAddr) -> Option<Seat> {
        let (origin, limit) = match ip {
            // Programs on this machine are not each other's enemies, and all have one address.
            _ if ip.is_loopback() => (ip, PENDING_MAX),
            IpAddr::V4(_) => (ip, PENDING_PER_V4_MAX),
            IpAddr::V6(ip) => (network(ip).into(), PENDING_PER_V6_NET_MAX),
        };
        let mut origins = this.origins.borrow_mut();
        if origins.values().sum::<usize>() >= PENDING_MAX {
            return None;
        }
        let count = origins.entry(origin).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Seat {
            pending: Rc::clone(this),
            origin,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut origins = self.pending.origins.borrow_mut();
        if let Some(count) = origins.get_mut(&self.origin) {
            *count -= 1;
            if *count == 0 {
                origins.remove(&self.origin);
            }
        }
    }
}

/// The /64 that the address lies in.
fn network(ip: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(pending: &Rc<Pending>, ip: &str, tries: usize) -> Vec<Seat> {
        let ip: IpAddr = ip.parse().unwrap();
        (0..tries)
            .filter_map(|_| Pending::enter(pending, ip))
            .collect()
    }

    #[test]
    fn one_address_cannot_take_every_seat() {
        let pending = Rc::default();
        let taken = seats(&pending, "192.0.2.1", 10);
        assert_eq!(taken.len(), PENDING_PER_V4_MAX);
        assert_eq!(seats(&pending, "192.0.2.2", 1).len(), 1);
        drop(taken);
        assert_eq!(seats(&pending, "192.0.2.1", 1).len(), 1);
    }

    #[test]
    fn addresses_of_one_v6_network_share_their_seats() {
        let pending = Rc::default();
        let one = seats(&pending, "2001:db8::1", 10);
        let other = seats(&pending, "2001:db8::2", 10);
        assert_eq!(one.len() + other.len(), PENDING_PER_V6_NET_MAX);
        assert_eq!(seats(&pending, "2001:db8:0:1::1", 1).len(), 1);
    }

    #[test]
    fn loopback_is_bound_by_the_total_only() {
        let pending = Rc::default();
        let taken = seats(&pending, "127.0.0.1", 1_000);
        assert_eq!(taken.len(), PENDING_MAX);
        assert_eq!(seats(&pending, "192.0.2.1", 1).len(), 0);
    }

    #[test]
    fn a_port_in_use_is_named_or_passed_over() {
        let ip = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let first = bind(ip, 0..=0, false).unwrap();
        let port = first.local_addr().unwrap().port();
        let refused = bind(ip, port..=port, false);
        assert!(matches!(refused, Err(SessionError::PortInUse { port: p }) if p == port));
        let other = bind(ip, port..=port, true).unwrap();
        assert_ne!(other.local_addr().unwrap().port(), port);
    }
}
