//! A web seed (BEP 19) as a source: a connection like any other to the core, HTTP to the outside.
//!
//! To the core it is a complete peer that never chokes. What the core asks of it becomes requests
//! for ranges, as long as they are contiguous; what comes goes the way of every block. Whatever does
//! not answer exactly what was asked for is left for good; who does not answer is tried again.

mod range;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::time::{sleep, timeout};

use super::hub::Hub;
use super::link::Link;
use super::notices::Notices;
use super::outbox::{Waiting, piece_header};
use super::receive::Receiver;
use super::web::{Kept, Web};
use crate::hash;
use crate::ids::PeerId;
use crate::layout::Block;
use crate::metainfo::Metainfo;
use crate::torrent::Event;
use crate::torrent::event::{CloseReason, Direction, Notice, PeerKey, Received};
use crate::tracker::{AnnounceFailure, redacted};
use crate::wire::{BlockRequest, Decoder, ExtendedHandshake, Handshake, Message, Reserved};

use range::{Ranges, Segment};

/// Web seeds used of one manifest.
pub(super) const WEB_SEEDS_MAX: usize = 3;

/// Bytes asked for in one request at most: long enough that the round trip before it does not
/// count, short enough that a peer can take over the rest.
const RUN_LEN_MAX: u64 = 16 << 20;

/// A server that sends nothing for this long does not answer.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// The first wait after a failure; doubles up to the last.
const PAUSE_MIN: Duration = Duration::from_secs(5);

/// The longest wait after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// Requests that it may be given ahead.
const REQUESTS_AHEAD: u32 = 2_048;

/// Why a web seed brought nothing more.
#[derive(Debug)]
enum Failure {
    /// It is not what it was said to be, and will not be later.
    Useless(String),
    /// It may answer another time.
    Passing(String),
    /// There is no room for it among the connections. There may be another time.
    NoRoom,
    /// Nobody wants anything of it any more.
    Closed,
}

impl From<AnnounceFailure> for Failure {
    fn from(failure: AnnounceFailure) -> Self {
        match failure {
            AnnounceFailure::BadUrl(_) => Self::Useless(failure.to_string()),
            _ => Self::Passing(failure.to_string()),
        }
    }
}

/// One web seed of a session.
pub(super) struct WebSeed {
    pub(super) hub: Rc<Hub>,
    pub(super) web: Rc<Web>,
    pub(super) meta: Arc<Metainfo>,
    pub(super) notices: Notices,
    pub(super) url: String,
}

impl WebSeed {
    /// Serves the core until it is complete or the server of no use.
    ///
    /// The core ends no connection to it for being idle: it may be needed when a peer is lost.
    pub(super) async fn run(self) {
        let mut pause = PAUSE_MIN;
        loop {
            let (failure, was_useful) = self.serve().await;
            match &failure {
                Failure::Closed => return,
                Failure::NoRoom => {}
                Failure::Useless(reason) | Failure::Passing(reason) => self.complain(reason),
            }
            if matches!(failure, Failure::Useless(_)) {
                return;
            }
            if was_useful {
                pause = PAUSE_MIN;
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn complain(&self, reason: &str) {
        let url = redacted(&self.url);
        tracing::debug!("web seed {url}: {reason}");
        let reason = reason.to_owned();
        self.notices.push(Notice::WebSeedFailed { url, reason });
    }

    /// From one failure to the next; also says whether anything came.
    async fn serve(&self) -> (Failure, bool) {
        let ranges = Ranges::new(&self.meta, &self.url);
        let addr = match timeout(SILENCE_MAX, ranges.probe(&self.web)).await {
            Ok(Ok(addr)) => addr,
            Ok(Err(failure)) => return (failure, false),
            Err(_) => return (silent(), false),
        };
        let mut source = Source::connect(self, addr).await;
        let mut failure = source.serve(&ranges).await;
        if matches!(failure, Failure::Closed) && source.link.is_refused() {
            failure = Failure::NoRoom;
        }
        let was_useful = source.came > 0;
        source.close(&failure).await;
        (failure, was_useful)
    }
}

/// The web seed while the core knows of it.
struct Source<'a> {
    seed: &'a WebSeed,
    peer: PeerKey,
    link: Rc<Link>,
    receiver: Receiver,
    /// Blocks asked for, in order.
    asked: RefCell<VecDeque<Block>>,
    /// What was queued for a peer, as it would read it.
    said: RefCell<BytesMut>,
    input: BytesMut,
    /// The connection that bore the last request.
    kept: Option<Kept>,
    /// Payload bytes.
    came: u64,
}

impl<'a> Source<'a> {
    /// Introduces it to the core as a complete peer that is unchoked.
    async fn connect(seed: &'a WebSeed, addr: SocketAddr) -> Self {
        let hub = &seed.hub;
        let (peer, link) = hub.add_link();
        let id = hash::one(seed.url.as_bytes());
        let theirs = Handshake {
            reserved: Reserved::OURS,
            info_hash: hub.ours.info_hash,
            peer_id: PeerId::new(id),
        };
        hub.tell(Event::Connected {
            peer,
            addr,
            direction: Direction::WebSeed,
            theirs,
        })
        .await;
        let introduction = ExtendedHandshake {
            v: Some(format!("web seed {}", redacted(&seed.url))),
            reqq: Some(REQUESTS_AHEAD),
            upload_only: true,
            ..ExtendedHandshake::default()
        };
        let messages = vec![
            Received::Message(Message::HaveAll),
            Received::Message(Message::Extended {
                id: 0,
                payload: introduction.encode().into(),
            }),
            Received::Message(Message::Unchoke),
        ];
        hub.tell(Event::Received { peer, messages }).await;
        Self {
            seed,
            peer,
            receiver: Receiver::new(hub.layout, peer, theirs.reserved),
            link,
            asked: RefCell::default(),
            said: RefCell::default(),
            input: BytesMut::new(),
            kept: None,
            came: 0,
        }
    }

    async fn serve(&mut self, ranges: &Ranges<'_>) -> Failure {
        let link = Rc::clone(&self.link);
        loop {
            self.listen().await;
            if link.is_closed() {
                return Failure::Closed;
            }
            let run = self.next_run();
            if run.is_empty() {
                link.changed().await;
                continue;
            }
            if let Err(failure) = self.fetch(ranges, run).await {
                return failure;
            }
        }
    }

    async fn close(mut self, failure: &Failure) {
        let hub = &self.seed.hub;
        self.receiver.abandon(&mut hub.buffers.borrow_mut());
        let reason = match failure {
            Failure::Useless(reason) | Failure::Passing(reason) => CloseReason::Io(reason.clone()),
            Failure::NoRoom | Failure::Closed => CloseReason::Shutdown,
        };
        let peer = self.peer;
        hub.tell(Event::Closed { peer, reason }).await;
    }

    /// Reads what the driver queued; answers what must be answered.
    async fn listen(&self) {
        let mut rejected = Vec::new();
        {
            let mut said = self.said.borrow_mut();
            let mut outbox = self.link.outbox.borrow_mut();
            while !matches!(outbox.waiting(), Waiting::Nothing) {
                let before = said.len();
                for part in outbox.slices() {
                    said.extend_from_slice(&part);
                }
                outbox.advance(said.len() - before);
            }
            drop(outbox);
            let layout = &self.seed.hub.layout;
            let mut decoder = Decoder::new(layout.piece_count());
            let mut asked = self.asked.borrow_mut();
            let named = |named: BlockRequest| layout.block(named.index, named.begin, named.length);
            // Our own words are well formed, and whole.
            while let Ok(Some(message)) = decoder.decode(&mut said) {
                match message {
                    Message::Request(request) => asked.extend(named(request)),
                    Message::Cancel(request) => {
                        let block = named(request);
                        let place = asked.iter().position(|&asked| Some(asked) == block);
                        if place.and_then(|place| asked.remove(place)).is_some() {
                            self.link
                                .requested
                                .borrow_mut()
                                .remove(block.expect("it was found"));
                            rejected.push(Received::Message(Message::Reject(request)));
                        }
                    }
                    _ => {}
                }
            }
        }
        if !rejected.is_empty() {
            let (peer, messages) = (self.peer, rejected);
            self.seed.hub.tell(Event::Received { peer, messages }).await;
        }
    }

    /// The first block asked for, and those that are asked for and follow on it.
    fn next_run(&self) -> Vec<Block> {
        let layout = &self.seed.hub.layout;
        let mut asked = self.asked.borrow_mut();
        let Some(first) = asked.pop_front() else {
            return Vec::new();
        };
        let mut rest: Vec<Block> = asked.drain(..).collect();
        rest.sort_by_key(|&block| layout.block_offset(block));
        let start = layout.block_offset(first);
        let mut end = start + u64::from(first.len());
        let mut run = vec![first];
        for block in rest {
            let offset = layout.block_offset(block);
            if offset == end && end - start < RUN_LEN_MAX {
                end += u64::from(block.len());
                run.push(block);
            } else {
                asked.push_back(block);
            }
        }
        run
    }

    /// Gets the blocks of a run and hands them over as they come.
    async fn fetch(&mut self, ranges: &Ranges<'_>, run: Vec<Block>) -> Result<(), Failure> {
        let layout = self.seed.hub.layout;
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            return Ok(());
        };
        let wanted =
            layout.block_offset(*first)..layout.block_offset(*last) + u64::from(last.len());
        let mut filling = Filling {
            blocks: run.into(),
            left: 0,
        };
        for segment in ranges.segments(wanted) {
            match segment {
                Segment::Zeros(len) => {
                    let zeros = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
                    self.take(&mut filling, &zeros).await?;
                }
                Segment::File { url, part, len } => {
                    self.fetch_part(&mut filling, (&url, part, len)).await?;
                }
            }
        }
        Ok(())
    }

    async fn fetch_part(
        &mut self,
        filling: &mut Filling,
        (url, part, len): (&str, Range<u64>, u64),
    ) -> Result<(), Failure> {
        let mut missing = part.end - part.start;
        let web = Rc::clone(&self.seed.web);
        let opened = range::open((&web, self.kept.take()), url, (part, len));
        let mut answer = self.unless_closed(opened).await??;
        while let Some(bytes) = self.unless_closed(answer.next()).await?? {
            missing = missing
                .checked_sub(bytes.len() as u64)
                .ok_or_else(|| Failure::Useless("sends more than it was asked for".into()))?;
            self.take(filling, &bytes).await?;
        }
        if missing > 0 {
            return Err(Failure::Passing("ended too early".into()));
        }
        self.kept = answer.kept();
        Ok(())
    }

    /// Waits for the server, but not for long, and not longer than it is needed.
    async fn unless_closed<T>(&self, waited: impl Future<Output = T>) -> Result<T, Failure> {
        let closed = async {
            while !self.link.is_closed() {
                self.link.changed().await;
                self.listen().await;
            }
        };
        tokio::select! {
            result = timeout(SILENCE_MAX, waited) => result.map_err(|_| silent()),
            () = closed => Err(Failure::Closed),
        }
    }

    /// Hands payload over, as if a peer had sent it block by block.
    async fn take(&mut self, filling: &mut Filling, mut bytes: &[u8]) -> Result<(), Failure> {
        let hub = &self.seed.hub;
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            if filling.left == 0 {
                let Some(block) = filling.blocks.pop_front() else {
                    return Err(Failure::Useless("sends more than it was asked for".into()));
                };
                filling.left = block.range().len();
                self.input.extend_from_slice(&piece_header(block));
            }
            let count = bytes.len().min(filling.left);
            self.input.extend_from_slice(&bytes[..count]);
            bytes.advance(count);
            filling.left -= count;
            self.came += count as u64;
            let mut buffers = hub.buffers.borrow_mut();
            let (input, link) = (&mut self.input, &self.link);
            let received = self
                .receiver
                .receive(input, &mut buffers, link, &mut messages);
            received.map_err(|error| Failure::Useless(error.to_string()))?;
        }
        if messages.is_empty() {
            return Ok(());
        }
        let peer = self.peer;
        let Ok(room) = hub.events.reserve().await else {
            hub.take_back(peer, &messages);
            return Err(Failure::Closed);
        };
        room.send(Event::Received { peer, messages });
        Ok(())
    }
}

/// How far a run is.
struct Filling {
    /// Blocks of which nothing has come.
    blocks: VecDeque<Block>,
    /// Bytes that are missing of the block before them.
    left: usize,
}

fn silent() -> Failure {
    Failure::Passing(AnnounceFailure::Timeout(SILENCE_MAX).to_string())
}
