//! The sending half of a connection: control messages, and blocks out of files.
//!
//! Blocks that the kernel has in memory are read and written here, a batch at a time, without a
//! thread being woken. What the disk would have to be waited for is read by a disk worker, so that
//! a cold file holds up nobody but who asked for it.

use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::net::tcp::WriteHalf;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::backlog;
use super::connection::closed_by;
use super::disk::{ReadDone, ReadJob};
use super::hub::Hub;
use super::leaving::Leaving;
use super::link::Link;
use super::outbox::{Frames, PIECE_HEADER_LEN, TooSlow, Waiting, piece_header};
use crate::layout::Block;
use crate::storage::ReadNow;
use crate::torrent::Event;
use crate::torrent::event::{CloseReason, PeerKey, ServeOutcome};
use crate::wire::metadata::piece_range;
use crate::wire::{Message, MetadataMessage};

/// A peer that takes no byte for this long is gone.
const WRITE_STALL: Duration = Duration::from_secs(30);

/// How long what nobody waits for may wait for something to go with. At a tenth of a second most
/// writes of a swarm of 32 were nothing but `have` messages to peers that could not act on them;
/// simulated swarms of 8 to 100 are as fast with half a second.
const LATER: Duration = Duration::from_millis(500);

/// The pause between two writes that carry nothing but `have` messages. At a thousand pieces a
/// second they would be a thousand tiny writes a second to every peer. Measured: a swarm of nine
/// at 10 MiB/s each is as fast as without it; with 20 ms it is 5 % slower.
const HAVE_PAUSE: Duration = Duration::from_millis(4);

/// Blocks read and written at a time: 16 in one write cost half of what 16 writes cost, at both ends,
/// and `sendfile` for each costs 1.5 times as much (docs/performance.md).
const SERVE_BATCH: usize = 16;

/// No metadata is queued for a peer for whom more than this waits. Chosen: a few pieces.
const METADATA_ROOM: usize = 64 << 10;

/// Batches being read or waiting to be written: one is read while the other is written.
const SERVE_BATCHES: usize = 2;

/// The sending half of one connection.
pub(super) struct Outbound<'a> {
    hub: &'a Hub,
    link: &'a Link,
    peer: PeerKey,
    /// Batches that a disk worker is reading.
    reads: usize,
    /// What the socket took and the core has not heard of.
    leaving: Leaving,
}

impl<'a> Outbound<'a> {
    /// With nothing under way.
    pub(super) fn new(hub: &'a Hub, link: &'a Link, peer: PeerKey) -> Self {
        Self {
            hub,
            link,
            peer,
            reads: 0,
            leaving: Leaving::default(),
        }
    }

    /// Sends what the driver queues, until it ends the connection or the peer takes nothing.
    pub(super) async fn run(&mut self, socket: &mut WriteHalf<'_>) -> CloseReason {
        let (reply, mut done) = mpsc::channel(SERVE_BATCHES);
        let mut haves_at = Instant::now();
        let mut later_at = None;
        let mut stalled_at = None;
        let mut look_at: Option<Instant> = None;
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
                    look_at = self.report_sent(socket).await;
                }
                () = sleep_until(look_at.unwrap_or(now)), if look_at.is_some() => {
                    look_at = self.report_sent(socket).await;
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
            // In order: not before what a disk worker is reading.
            let read = (self.reads == 0).then(|| self.read_now(&blocks)).flatten();
            if let Some(bytes) = read {
                let frames = Frames::new(blocks, bytes);
                self.link.outbox.borrow_mut().push(frames);
                continue;
            }
            let job = ReadJob {
                blocks,
                buffer: self.hub.scratch.take(),
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

    /// The next blocks of those that wait, as far as one follows on the other.
    fn next_blocks(&self) -> Vec<Block> {
        let layout = &self.hub.layout;
        let mut waiting = self.link.to_serve.borrow_mut();
        let follows = |(a, b): (&Block, &Block)| {
            layout.block_offset(*a) + u64::from(a.len()) == layout.block_offset(*b)
        };
        let run = waiting.iter().zip(waiting.iter().skip(1));
        let count = 1 + run.take_while(|pair| follows(*pair)).count();
        let count = count.min(SERVE_BATCH).min(waiting.len());
        waiting.drain(..count).collect()
    }

    /// The frames of consecutive blocks, if the disk need not be waited for.
    fn read_now(&self, blocks: &[Block]) -> Option<Vec<u8>> {
        let first = *blocks.first()?;
        let mut bytes = self.hub.scratch.take();
        bytes.resize(Frames::len_of(blocks), 0);
        let mut payloads = Vec::with_capacity(blocks.len());
        let mut rest = bytes.as_mut_slice();
        for &block in blocks {
            let (frame, behind) = rest.split_at_mut(Frames::len_of(&[block]));
            let (header, payload) = frame.split_at_mut(PIECE_HEADER_LEN);
            header.copy_from_slice(&piece_header(block));
            payloads.push(IoSliceMut::new(payload));
            rest = behind;
        }
        let offset = self.hub.layout.block_offset(first);
        match self.hub.store.read_now(offset, &mut payloads) {
            ReadNow::Done => Some(bytes),
            ReadNow::WouldWait => {
                self.hub.scratch.give(bytes);
                None
            }
        }
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

    fn poll_write(
        &mut self,
        socket: &mut WriteHalf<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut outbox = self.link.outbox.borrow_mut();
        let count = ready!(Pin::new(socket).poll_write_vectored(cx, &outbox.slices()))?;
        outbox.advance(count);
        self.leaving.wrote(count);
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

    /// Reports the blocks that have left. Says when to look again, if some have not.
    async fn report_sent(&mut self, socket: &WriteHalf<'_>) -> Option<Instant> {
        while let Some(done) = self.link.outbox.borrow_mut().pop_done() {
            self.hub.scratch.give(done.bytes);
            self.leaving.push(&done.blocks);
        }
        if self.leaving.is_empty() {
            return None;
        }
        let waits = backlog::of(socket.as_ref());
        let left = self.leaving.take(waits);
        if !left.is_empty() {
            self.report(left, ServeOutcome::Sent).await;
        }
        let waits = waits.filter(|_| !self.leaving.is_empty())?;
        Some(Instant::now() + self.leaving.look_again(waits))
    }

    /// Reports what the socket took before the connection ended: all of it counts as sent.
    pub(super) async fn report_rest(&mut self) {
        let rest = self.leaving.take(None);
        if !rest.is_empty() {
            self.report(rest, ServeOutcome::Sent).await;
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
