//! Accepts peers: binds the port, limits who may wait with a handshake, passes on who finished one,
//! and who speaks HTTP instead.
//!
//! The limits are on handshakes under way, not on connections: how many
//! of those are kept is the core's decision.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

use super::connection::{self, Connected};
use super::http::{Site, Visitor};
use super::hub::Hub;
use super::seats::{Seat, SeatLimits, Seats};
use super::session::SessionError;
use crate::torrent::event::Direction;

/// Handshakes under way.
const HANDSHAKES: SeatLimits = SeatLimits {
    total: 256,
    per_v4: 5,
    per_v6_net: 16,
};

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

/// Listens there, nonblocking; on all addresses of IPv6 for IPv4, too.
pub(super) fn listen(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
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

/// Accepts peers, and where there is a site those who speak HTTP, for as long as the session lives.
pub(super) async fn accept(hub: Rc<Hub>, site: Option<Rc<Site>>, listener: TcpListener) {
    let seats = Seats::new(HANDSHAKES);
    loop {
        let (stream, addr) = accepted(&listener).await;
        if !hub.scope.admits(addr.ip()) {
            continue;
        }
        if let Some(seat) = Seats::enter(&seats, addr.ip()) {
            spawn_local(welcome(Rc::clone(&hub), site.clone(), (stream, addr), seat));
        }
    }
}

/// The next connection and where it comes from.
pub(super) async fn accepted(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, addr)) => {
                connection::tune(&stream);
                return (stream, canonical(addr));
            }
            Err(error) => {
                tracing::debug!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// An IPv4 address in IPv6 clothes as what it is; others keep their zone.
pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip if ip == addr.ip() => addr,
        ip => SocketAddr::new(ip, addr.port()),
    }
}

/// A handshake starts with the byte 19, every request of HTTP that we answer with a G or an H.
async fn welcome(
    hub: Rc<Hub>,
    site: Option<Rc<Site>>,
    (mut stream, addr): (TcpStream, SocketAddr),
    seat: Seat,
) {
    if let Some(site) = site {
        match connection::first_byte(&stream).await {
            Some(b'G' | b'H') => {
                drop(seat);
                let visitor = Visitor::new(addr.ip(), &stream);
                return site.converse(stream, visitor).await;
            }
            Some(_) => {}
            None => return,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
