//! Dials peers, and finds out the addresses of those that the user named.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::connection::{self, Connected};
use super::hub::Hub;
use super::notices::Notices;
use crate::torrent::Event;
use crate::torrent::event::{Direction, Notice, PeerSource};

/// A peer that does not take the connection within this time is not there.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The first wait after a name could not be resolved; doubles up to the last.
const RESOLVE_PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest wait between tries to resolve a name.
const RESOLVE_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Dials `addr`, from our address `from` if given, and runs the connection to its end.
pub(super) async fn dial(hub: Rc<Hub>, addr: SocketAddr, from: Option<IpAddr>) {
    let connected = async {
        if !hub.scope.admits(addr.ip()) {
            return Err(io::Error::other("beyond the local network"));
        }
        let mut stream = timeout(CONNECT_TIMEOUT, connect(addr, from))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        connection::tune(&stream);
        let theirs = connection::greet(&mut stream, &hub.ours).await?;
        Ok::<_, io::Error>(Connected {
            stream,
            addr,
            direction: Direction::Outgoing,
            theirs,
        })
    };
    match connected.await {
        Ok(connected) => connection::run(hub, connected).await,
        Err(error) => {
            tracing::debug!("cannot connect to {addr}: {error}");
            hub.tell(Event::ConnectFailed { addr }).await;
        }
    }
}

/// Connects to `addr`, from our address `from` if given and of the same family.
pub(super) async fn connect(addr: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // An address of the other family says nothing about this connection.
    if let Some(from) = from.filter(|from| from.is_ipv4() == addr.is_ipv4()) {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    socket.connect(addr).await
}

/// Tells the core where `peer` (`host:port`) listens, as soon as that can be found out.
pub(super) async fn resolve(events: mpsc::Sender<Event>, peer: String, notices: Notices) {
    let mut pause = RESOLVE_PAUSE_MIN;
    loop {
        match lookup_host(&peer).await {
            Ok(addrs) => {
                let addrs = addrs.collect();
                let source = PeerSource::Manual;
                // Without a driver the session is ending.
                let _ = events.send(Event::PeersFound { source, addrs }).await;
                return;
            }
            Err(error) => {
                if pause == RESOLVE_PAUSE_MIN {
                    notices.push(Notice::PeerUnresolved {
                        peer: peer.clone(),
                        message: error.to_string(),
                    });
                }
                sleep(pause).await;
                pause = (pause * 2).min(RESOLVE_PAUSE_MAX);
            }
        }
    }
}
