//! One connection: handshake, then receiving and sending until either side ends it.
//!
//! A task owns its socket. It accepts payload only for blocks it was asked to get, reports what
//! arrives in one event per read, and ends when the driver closes its link.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::time::timeout;

use super::hub::Hub;
use super::link::Link;
use super::receive::Receiver;
use super::send::Outbound;
use crate::torrent::Event;
use crate::torrent::event::{CloseReason, Direction, PeerKey, Received};
use crate::wire::{HANDSHAKE_LEN, Handshake};

/// A handshake takes this long at most.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The kernel gives up on unacknowledged data after this long.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// Unsent bytes in the kernel above which a socket is not writable: keeps control messages prompt
/// and memory small.
const NOT_SENT_LOW_WATER: u32 = 256 << 10;

/// Bytes taken from a socket at a time (free of runtime overhead from 256 KiB).
pub(super) const READ_LEN: usize = 256 << 10;

/// The same from a peer that owes us no block. It bounds what a flood of tiny messages makes us
/// hold: 16 KiB of them come to about 100 KiB in memory. Chosen, untested.
const IDLE_READ_LEN: usize = 16 << 10;

/// A connection whose handshakes are done.
pub(super) struct Connected {
    pub(super) stream: TcpStream,
    pub(super) addr: SocketAddr,
    pub(super) direction: Direction,
    pub(super) theirs: Handshake,
}

/// Speaks first, then listens.
///
/// # Errors
/// If the peer does not answer in time with a handshake for our swarm.
pub(super) async fn greet(stream: &mut TcpStream, ours: &Handshake) -> io::Result<Handshake> {
    in_time(async {
        stream.write_all(&ours.encode()).await?;
        read_handshake(stream, ours).await
    })
    .await
}

/// Listens first; a stranger who means another swarm hears nothing.
///
/// # Errors
/// As [`greet`].
pub(super) async fn answer(stream: &mut TcpStream, ours: &Handshake) -> io::Result<Handshake> {
    in_time(async {
        let theirs = read_handshake(stream, ours).await?;
        stream.write_all(&ours.encode()).await?;
        Ok(theirs)
    })
    .await
}

/// The first byte that a stranger sends, left where it is; `None` if it sends none in time.
pub(super) async fn first_byte(stream: &TcpStream) -> Option<u8> {
    let mut byte = [0];
    let peeked = timeout(HANDSHAKE_TIMEOUT, stream.peek(&mut byte)).await;
    matches!(peeked, Ok(Ok(1))).then_some(byte[0])
}

async fn in_time<T>(handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(HANDSHAKE_TIMEOUT, handshake)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn read_handshake(stream: &mut TcpStream, ours: &Handshake) -> io::Result<Handshake> {
    let mut bytes = [0; HANDSHAKE_LEN];
    stream.read_exact(&mut bytes).await?;
    match Handshake::decode(&bytes) {
        Ok(theirs) if theirs.info_hash == ours.info_hash => Ok(theirs),
        Ok(_) => Err(io::Error::other("another swarm")),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Sets what every connection wants of its socket. A refusal costs speed, not correctness.
pub(super) fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_nodelay(true);
    #[cfg(target_os = "linux")]
    {
        let _ = socket.set_tcp_notsent_lowat(NOT_SENT_LOW_WATER);
        let _ = socket.set_tcp_user_timeout(Some(USER_TIMEOUT));
    }
}

/// Runs the connection to its end.
pub(super) async fn run(hub: Rc<Hub>, connected: Connected) {
    let Connected {
        mut stream,
        addr,
        direction,
        theirs,
    } = connected;
    let (peer, link) = hub.add_link();
    hub.tell(Event::Connected {
        peer,
        addr,
        direction,
        theirs,
    })
    .await;

    let mut receiver = Receiver::new(hub.layout, peer, theirs.reserved);
    let (mut read, mut write) = stream.split();
    let mut inbound = Inbound {
        hub: &hub,
        link: &link,
        receiver: &mut receiver,
        carry: BytesMut::new(),
        received: Vec::new(),
    };
    let mut outbound = Outbound::new(&hub, &link, peer);
    let reason = tokio::select! {
        reason = inbound.run(peer, &mut read) => reason,
        reason = outbound.run(&mut write) => reason,
    };
    outbound.report_rest().await;
    let unheard = std::mem::take(&mut inbound.received);
    receiver.abandon(&mut hub.buffers.borrow_mut());
    hub.take_back(peer, &unheard);
    hub.tell(Event::Closed { peer, reason }).await;
}

struct Inbound<'a> {
    hub: &'a Hub,
    link: &'a Link,
    receiver: &'a mut Receiver,
    /// The beginning of a message whose rest has not arrived.
    carry: BytesMut,
    /// What arrived and was not reported yet.
    received: Vec<Received>,
}

impl Inbound<'_> {
    async fn run(&mut self, peer: PeerKey, socket: &mut ReadHalf<'_>) -> CloseReason {
        loop {
            let read = poll_fn(|cx| self.poll_receive(socket, cx)).await;
            if !self.received.is_empty() {
                // Room first: what is not told yet when this ends must be known.
                if let Ok(room) = self.hub.events.reserve().await {
                    // Reads are of a size: the next one brings about as many.
                    let next = Vec::with_capacity(self.received.len());
                    let messages = std::mem::replace(&mut self.received, next);
                    room.send(Event::Received { peer, messages });
                }
            }
            match read {
                Err(reason) => return reason,
                // There is more: let the other connections have their turn.
                Ok(count) if count >= IDLE_READ_LEN => tokio::task::yield_now().await,
                Ok(_) => {}
            }
        }
    }

    /// Reads once and takes apart what came, without leaving the staging buffer borrowed.
    fn poll_receive(
        &mut self,
        socket: &mut ReadHalf<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, CloseReason>> {
        let len = if self.link.requested.borrow().is_empty() {
            IDLE_READ_LEN
        } else {
            READ_LEN
        };
        let mut staging = self.hub.scratch.staging.borrow_mut();
        staging.clear();
        staging.reserve(len + self.carry.len());
        staging.extend_from_slice(&self.carry);
        let mut target = (&mut *staging).limit(len);
        let read = ready!(pin!(socket.read_buf(&mut target)).poll(cx));
        Poll::Ready(match read {
            Ok(0) => Err(CloseReason::ByPeer),
            Err(error) => Err(closed_by(&error)),
            Ok(count) => {
                let mut buffers = self.hub.buffers.borrow_mut();
                let result = self.receiver.receive(
                    &mut staging,
                    &mut buffers,
                    self.link,
                    &mut self.received,
                );
                self.carry.clear();
                self.carry.extend_from_slice(&staging);
                result
                    .map(|()| count)
                    .map_err(|error| CloseReason::Malformed(error.to_string()))
            }
        })
    }
}

pub(super) fn closed_by(error: &io::Error) -> CloseReason {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => CloseReason::ByPeer,
        io::ErrorKind::TimedOut => CloseReason::TimedOut(USER_TIMEOUT.as_secs()),
        _ => CloseReason::Io(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
