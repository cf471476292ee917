//! One connection of a search: handshake, then messages both ways until either side ends it.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::{Hub, MESSAGES_MAX};
use crate::metainfo::PIECES_MAX;
use crate::runtime::connection;
use crate::runtime::dial::{CONNECT_TIMEOUT, connect};
use crate::runtime::listener::canonical;
use crate::torrent::Event;
use crate::torrent::event::{CloseReason, Direction, PeerKey, Received};
use crate::wire::{Decoder, Handshake, Message};

/// Handshakes of strangers under way at most. A search is short, and has little to offer.
const PENDING_MAX: usize = 64;

/// The wait after a failed accept: without it, running out of file descriptors becomes a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A peer that takes no byte for this long is gone.
const WRITE_STALL: Duration = Duration::from_secs(30);

/// Bytes read from a socket at a time: four pieces of metadata.
const READ_LEN: usize = 64 << 10;

/// Accepts peers for as long as the search lasts.
pub(super) async fn accept(hub: Rc<Hub>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, addr)) => {
                let addr = canonical(addr);
                if hub.pending.get() < PENDING_MAX && hub.scope.admits(addr.ip()) {
                    hub.pending.set(hub.pending.get() + 1);
                    spawn_local(welcome(Rc::clone(&hub), stream, addr));
                }
            }
            Err(error) => {
                tracing::debug!("cannot accept a connection: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn welcome(hub: Rc<Hub>, mut stream: TcpStream, addr: SocketAddr) {
    connection::tune(&stream);
    let answered = connection::answer(&mut stream, &hub.ours).await;
    hub.pending.set(hub.pending.get() - 1);
    match answered {
        Ok(theirs) => run(hub, stream, addr, (Direction::Incoming, theirs)).await,
        Err(error) => tracing::debug!("{addr} did not complete a handshake: {error}"),
    }
}

/// Dials `addr` and runs the connection to its end.
pub(super) async fn dial(hub: Rc<Hub>, addr: SocketAddr) {
    let connected = async {
        if !hub.scope.admits(addr.ip()) {
            return Err(io::Error::other("beyond the local network"));
        }
        let mut stream = timeout(CONNECT_TIMEOUT, connect(addr, hub.bind))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        connection::tune(&stream);
        let theirs = connection::greet(&mut stream, &hub.ours).await?;
        Ok::<_, io::Error>((stream, theirs))
    };
    match connected.await {
        Ok((stream, theirs)) => run(hub, stream, addr, (Direction::Outgoing, theirs)).await,
        Err(error) => {
            tracing::debug!("cannot connect to {addr}: {error}");
            hub.tell(Event::ConnectFailed { addr }).await;
        }
    }
}

async fn run(
    hub: Rc<Hub>,
    mut stream: TcpStream,
    addr: SocketAddr,
    (direction, theirs): (Direction, Handshake),
) {
    let peer = PeerKey(hub.keys.get());
    hub.keys.set(peer.0 + 1);
    let (link, messages) = mpsc::channel(MESSAGES_MAX);
    hub.links.borrow_mut().insert(peer, link);
    hub.tell(Event::Connected {
        peer,
        addr,
        direction,
        theirs,
    })
    .await;
    let (read, write) = stream.split();
    let reason = tokio::select! {
        reason = receive(&hub, peer, read) => reason,
        reason = send(messages, write) => reason,
    };
    hub.tell(Event::Closed { peer, reason }).await;
}

async fn receive(hub: &Hub, peer: PeerKey, mut socket: ReadHalf<'_>) -> CloseReason {
    let mut decoder = Decoder::new(PIECES_MAX);
    let mut input = BytesMut::new();
    loop {
        input.reserve(READ_LEN);
        match socket.read_buf(&mut (&mut input).limit(READ_LEN)).await {
            Ok(0) => return CloseReason::ByPeer,
            Ok(_) => {}
            Err(error) => return CloseReason::Io(error.to_string()),
        }
        let mut messages = Vec::new();
        loop {
            match decoder.decode(&mut input) {
                Ok(None) => break,
                Ok(Some(Message::Piece(named))) => {
                    // Whoever sends what it was not asked for is cut off by the core.
                    let len = named.length;
                    messages.push(Received::Stray { len });
                    input.clear();
                    break;
                }
                Ok(Some(message)) => messages.push(Received::Message(message)),
                Err(error) => return CloseReason::Malformed(error.to_string()),
            }
        }
        if !messages.is_empty() {
            hub.tell(Event::Received { peer, messages }).await;
        }
    }
}

/// Sends what the driver hands over, until it hands over nothing any more.
async fn send(mut messages: mpsc::Receiver<Message>, mut socket: WriteHalf<'_>) -> CloseReason {
    let mut output = BytesMut::new();
    while let Some(message) = messages.recv().await {
        message.encode(&mut output);
        while let Ok(message) = messages.try_recv() {
            message.encode(&mut output);
        }
        match timeout(WRITE_STALL, socket.write_all_buf(&mut output)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return CloseReason::Io(error.to_string()),
            Err(_) => return CloseReason::TimedOut(WRITE_STALL.as_secs()),
        }
        debug_assert!(!output.has_remaining(), "all of it is written");
    }
    CloseReason::Shutdown
}
