//! One connection: handshake, then receiving and sending until either side ends it.
//!
//! A task owns its socket. It accepts payload only for blocks it was asked to get, reports what
//! arrives in one event per read, and ends when the driver closes its link.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::disk::{ReadDone, ReadJob};
use super::hub::Hub;
use super::link::Link;
use super::outbox::{TooSlow, Waiting};
use super::receive::Receiver;
use crate::layout::Block;
use crate::torrent::Event;
use crate::torrent::event::{CloseReason, Direction, PeerKey, Received, ServeOutcome};
use crate::wire::metadata::piece_range;
use crate::wire::{HANDSHAKE_LEN, Handshake, Message, MetadataMessage};

/// A handshake takes this long at most.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A peer that takes no byte for this long is gone.
const WRITE_STALL: Duration = Duration::from_secs(30);

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

/// How long what nobody waits for may wait for something to go with. Chosen: nobody sees a tenth of a
/// second, and most of a swarm's `have` messages go with something else in it.
const LATER: Duration = Duration::from_millis(100);

/// The pause between two writes that carry nothing but `have` messages. At a thousand pieces a
/// second they would be a thousand tiny writes a second to every peer. Measured: a swarm of nine
/// at 10 MiB/s each is as fast as without it; with 20 ms it is 5 % slower.
const HAVE_PAUSE: Duration = Duration::from_millis(4);

/// Blocks read from the disk at a time: 256 KiB, which the pread + send path needs.
const SERVE_BATCH: usize = 16;

/// No metadata is queued for a peer for whom more than this waits. Chosen: a few pieces.
const METADATA_ROOM: usize = 64 << 10;

/// Batches being read or waiting to be written: one is read while the other is written.
const SERVE_BATCHES: usize = 2;

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
    let mut outbound = Outbound {
        hub: &hub,
        link: &link,
        peer,
        reads: 0,
        spare: Vec::new(),
    };
    let reason = tokio::select! {
        reason = inbound.run(peer, &mut read) => reason,
        reason = outbound.run(&mut write) => reason,
    };
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
                    let messages = std::mem::take(&mut self.received);
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
        let mut staging = self.hub.staging.borrow_mut();
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

struct Outbound<'a> {
    hub: &'a Hub,
    link: &'a Link,
    peer: PeerKey,
    /// Batches that a disk worker is reading.
    reads: usize,
    /// Memory for the next batches.
    spare: Vec<Vec<u8>>,
}

impl Outbound<'_> {
    async fn run(&mut self, socket: &mut WriteHalf<'_>) -> CloseReason {
        let (reply, mut done) = mpsc::channel(SERVE_BATCHES);
        let mut haves_at = Instant::now();
        let mut later_at = None;
        let mut stalled_at = None;
        loop {
            self.submit_reads(&reply).await;
            if let Err(TooSlow) = self.give_metadata() {
                return CloseReason::Io("does not read what it is sent".into());
            }
            let now = Instant::now();
            let write_at = match self.link.outbox.borrow().waiting() {
                Waiting::Nothing => None,
                Waiting::Later => Some(*later_at.get_or_insert(now + LATER)),
                Waiting::Haves => Some(haves_at),
                Waiting::More => Some(now),
            };
            let must_write = write_at.is_some_and(|at| at <= now);
            let soon = write_at.filter(|&at| now < at);
            let stall = if must_write {
                *stalled_at.get_or_insert(now + WRITE_STALL)
            } else {
                now
            };
            tokio::select! {
                biased;
                () = self.link.changed() => {
                    if self.link.is_closed() {
                        self.write_last_words(socket);
                        return CloseReason::Shutdown;
                    }
                }
                Some(read) = done.recv() => self.take(read).await,
                written = poll_fn(|cx| self.poll_write(socket, cx)), if must_write => {
                    if let Err(error) = written {
                        return closed_by(&error);
                    }
                    stalled_at = None;
                    haves_at = now + HAVE_PAUSE;
                    later_at = None;
                    self.report_sent().await;
                }
                () = sleep_until(soon.unwrap_or(now)), if soon.is_some() => {}
                () = sleep_until(stall), if must_write => {
                    return CloseReason::TimedOut(WRITE_STALL.as_secs());
                }
            }
        }
    }

    /// Has the next blocks read, as far as there is room for them.
    async fn submit_reads(&mut self, reply: &mpsc::Sender<ReadDone>) {
        while self.reads + self.link.outbox.borrow().frames() < SERVE_BATCHES {
            let blocks = self.next_blocks();
            if blocks.is_empty() {
                return;
            }
            let job = ReadJob {
                blocks,
                buffer: self.spare.pop().unwrap_or_default(),
                reply: reply.clone(),
            };
            match self.hub.disk.read(job) {
                Ok(()) => self.reads += 1,
                Err(job) => self.report(job.blocks, ServeOutcome::Unreadable).await,
            }
        }
    }

    /// Queues pieces of the metadata, as far as there is room for them.
    fn give_metadata(&self) -> Result<(), TooSlow> {
        let mut outbox = self.link.outbox.borrow_mut();
        while outbox.control_len() < METADATA_ROOM {
            let Some((id, piece)) = self.link.to_tell.borrow_mut().pop_front() else {
                break;
            };
            let info = self.hub.meta.info_bytes();
            let len = u32::try_from(info.len()).unwrap_or(u32::MAX);
            if let Some(range) = piece_range(piece, len) {
                let data = MetadataMessage::Data {
                    piece,
                    total_len: Some(u64::from(len)),
                    bytes: Bytes::copy_from_slice(&info[range]),
                };
                let payload = data.encode();
                outbox.send(&Message::Extended { id, payload })?;
            }
        }
        Ok(())
    }

    fn next_blocks(&self) -> Vec<Block> {
        let mut waiting = self.link.to_serve.borrow_mut();
        let count = waiting.len().min(SERVE_BATCH);
        waiting.drain(..count).collect()
    }

    async fn take(&mut self, read: ReadDone) {
        self.reads -= 1;
        if !read.frames.blocks.is_empty() {
            self.link.outbox.borrow_mut().push(read.frames);
        }
        if !read.unreadable.is_empty() {
            self.report(read.unreadable, ServeOutcome::Unreadable).await;
        }
    }

    fn poll_write(&self, socket: &mut WriteHalf<'_>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut outbox = self.link.outbox.borrow_mut();
        let count = ready!(Pin::new(socket).poll_write_vectored(cx, &outbox.slices()))?;
        outbox.advance(count);
        Poll::Ready(Ok(()))
    }

    /// Writes what the socket takes at once: the last `have` tells a seed that we are complete.
    fn write_last_words(&self, socket: &WriteHalf<'_>) {
        let mut outbox = self.link.outbox.borrow_mut();
        while !matches!(outbox.waiting(), Waiting::Nothing) {
            match socket.try_write_vectored(&outbox.slices()) {
                Ok(count) if count > 0 => outbox.advance(count),
                _ => return,
            }
        }
    }

    /// Reports the batches of which the last byte is written.
    async fn report_sent(&mut self) {
        loop {
            let Some(done) = self.link.outbox.borrow_mut().pop_done() else {
                return;
            };
            let idle = self.link.to_serve.borrow().is_empty() && self.reads == 0;
            if idle {
                self.spare.clear();
            } else {
                self.spare.push(done.bytes);
            }
            self.report(done.blocks, ServeOutcome::Sent).await;
        }
    }

    async fn report(&self, blocks: Vec<Block>, outcome: ServeOutcome) {
        self.hub
            .tell(Event::Served {
                peer: self.peer,
                blocks,
                outcome,
            })
            .await;
    }
}

fn closed_by(error: &io::Error) -> CloseReason {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => CloseReason::ByPeer,
        io::ErrorKind::TimedOut => CloseReason::TimedOut(USER_TIMEOUT.as_secs()),
        _ => CloseReason::Io(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
