//! One live connection as the core sees it: flags, pieces, what was asked in both directions, rates.

#![expect(
    clippy::cast_possible_truncation,
    reason = "half a second is a few hundred milliseconds"
)]

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::config::TorrentConfig;
use super::event::{Direction, PeerSource};
use super::extensions::Extensions;
use super::rate::Rate;
use crate::bitfield::Bitfield;
use crate::ids::PeerId;
use crate::layout::{BLOCK_LEN, Block, PieceIndex};
use crate::time::Time;
use crate::wire::{Handshake, Message, Reserved};

/// Time's worth of blocks that is kept asked for beyond two round trips: hides the turns that an
/// uploader takes between peers. More would only reserve blocks that others could send sooner.
const WINDOW_SLACK: Duration = Duration::from_millis(60);
/// The longest time's worth, however long a round trip seems.
const WINDOW_TIME_MAX: Duration = Duration::from_secs(2);

/// Blocks asked for beyond that, so that a rate measured low can rise.
const WINDOW_SPARE: u64 = 4;

/// How long after its first block a peer's window grows with every block, as TCP's does.
const SLOW_START: Duration = Duration::from_secs(1);
/// Cancelled requests of a peer that are remembered: as many as may be under way.
const CANCELLED_MAX: usize = 2_048;
/// A cancel that was not answered for so long never will be: some clients answer none.
const CANCEL_ANSWERED: Duration = Duration::from_secs(5);

/// A peer's pieces before it said anything: none, and it may still say so (BEP 3, BEP 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// `Bitfield`, `HaveAll` or `HaveNone` may come.
    Expected,
    /// It came, or the time for it is over.
    Over,
}

/// One connection. What every `have` touches, theirs and ours, stands together at the front, in two
/// cache lines: a swarm's HAVEs go to one connection after the other, and each costs as many cache
/// misses as it has lines.
#[expect(clippy::struct_field_names, reason = "BEP 3 names the flags so")]
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Peer {
    /// The pieces it has.
    pub(super) have: Bitfield,
    /// When we last heard of it.
    pub(super) heard: Time,
    /// When we last said something to it.
    pub(super) spoke: Time,
    /// When it last suggested a piece to us.
    pub(super) steered: Option<Time>,
    /// When it was connected.
    pub(super) since: Time,
    /// Pieces that it lets us ask for while it chokes us (BEP 6), bounded by `ALLOWED_FAST_MAX`.
    pub(super) allowed_fast: Vec<u32>,
    /// How many of its pieces we miss and want.
    pub(super) interesting: u32,
    /// How many blocks may be asked for at a time.
    pub(super) window: u32,
    /// Requests it lets us queue (BEP 10 `reqq`).
    pub(super) reqq: u32,
    /// Something it said may let us ask it for more.
    pub(super) refill: bool,
    /// Whether its bitfield is still expected.
    pub(super) opening: Opening,
    /// It will never want anything (BEP 21), or has everything.
    pub(super) upload_only: bool,
    /// We told it that it has something we want.
    pub(super) am_interested: bool,
    /// It does not answer our requests.
    pub(super) peer_choking: bool,
    /// We do not answer its requests.
    pub(super) am_choking: bool,
    /// It wants something of us.
    pub(super) peer_interested: bool,
    /// It owed us for too long; one block at a time until it sends again.
    pub(super) snubbing: bool,
    /// What we asked for, oldest first.
    pub(super) asked: VecDeque<Block>,
    /// What we cancelled and it has not answered (BEP 6), and when; the latest `CANCELLED_MAX`.
    pub(super) cancelled: VecDeque<(Block, Time)>,
    /// Its remote address.
    pub(super) addr: SocketAddr,
    /// Where it listens, as far as known.
    pub(super) listen_addr: Option<SocketAddr>,
    /// Who dialled.
    pub(super) direction: Direction,
    /// The piece opened last, of a web seed.
    pub(super) run: Option<PieceIndex>,
    /// How we learned of it.
    pub(super) source: PeerSource,
    /// What it calls itself.
    pub(super) id: PeerId,
    /// Extensions it speaks.
    pub(super) reserved: Reserved,
    /// Its client's name from the extension handshake, unescaped.
    pub(super) client: String,
    /// Which extensions it speaks.
    pub(super) extensions: Extensions,
    /// Since when nothing is queued for it or on its way to it; `None` while there is.
    pub(super) idle_since: Option<Time>,
    /// When it lost a slot for which it had no use.
    pub(super) declined: Option<Time>,
    /// When we last choked or unchoked it.
    pub(super) choke_changed: Time,
    /// Since when it owes us something without sending any.
    pub(super) owes_since: Time,
    /// When an idle connection was asked for its next block: measures `latency`.
    pub(super) probe: Option<Time>,
    /// The shortest time from a request on an idle connection to its block.
    pub(super) latency: Option<Duration>,
    /// What it asked for, oldest first.
    pub(super) wants: VecDeque<Block>,
    /// Pieces that we suggested to it and that it has not asked for.
    pub(super) suggested: VecDeque<PieceIndex>,
    /// How many pieces are suggested to it in advance.
    pub(super) ahead: usize,
    /// Pieces that we suggested to it or that it asked for, and that it has not announced.
    pub(super) given: BTreeSet<PieceIndex>,
    /// The piece that it asked for last.
    pub(super) asks_for: Option<PieceIndex>,
    /// Pieces that it picked in a row against our suggestions.
    pub(super) strays: u32,
    /// When what we suggested to it was taken back last.
    pub(super) taken_back: Option<Time>,
    /// Pieces that it suggested to us.
    pub(super) suggests: VecDeque<PieceIndex>,
    /// Since when it waits to be served, or when it last had a turn.
    pub(super) waits_since: Time,
    /// Payload bytes handed to its socket and not written yet.
    pub(super) serving: u32,
    /// When its socket last took any, or was given any while it was empty.
    pub(super) socket_moved: Time,
    /// Requests made while we choke it, since the last unchoke.
    pub(super) choked_requests: u32,
    /// Until then its requests may have crossed our choke on the way.
    pub(super) crossing_until: Time,
    /// Pieces that it rejected, and when it may be asked again.
    pub(super) refused: Vec<(PieceIndex, Time)>,
    /// Payload bytes that we took back and that may come all the same.
    pub(super) excused: u32,
    /// Payload received in bytes, and its rate.
    pub(super) received: u64,
    /// Payload received that nobody asked for, in bytes.
    pub(super) unasked_bytes: u32,
    /// Payload sent in bytes.
    pub(super) sent: u64,
    /// The same when we last unchoked it.
    pub(super) sent_before: u64,
    /// Rate in.
    pub(super) down: Rate,
    /// Rate out.
    pub(super) up: Rate,
    /// When its first block came.
    pub(super) first_block: Option<Time>,
}

const _: () = assert!(
    std::mem::offset_of!(Peer, asked) <= 128,
    "what a `have` touches has two cache lines"
);

impl Peer {
    /// A fresh connection: both sides choking, neither interested (BEP 3).
    pub(super) fn new(
        addr: SocketAddr,
        direction: Direction,
        theirs: Handshake,
        piece_count: u32,
        now: Time,
    ) -> Self {
        Self {
            addr,
            listen_addr: (direction == Direction::Outgoing).then_some(addr),
            direction,
            run: None,
            source: PeerSource::Incoming,
            id: theirs.peer_id,
            reserved: theirs.reserved,
            client: String::new(),
            extensions: Extensions::default(),
            am_choking: true,
            am_interested: false,
            peer_choking: true,
            peer_interested: false,
            choke_changed: now,
            idle_since: Some(now),
            declined: None,
            have: Bitfield::empty(piece_count),
            opening: Opening::Expected,
            upload_only: false,
            interesting: 0,
            allowed_fast: Vec::new(),
            asked: VecDeque::new(),
            cancelled: VecDeque::new(),
            window: 0,
            reqq: u32::MAX,
            owes_since: now,
            probe: None,
            latency: None,
            snubbing: false,
            wants: VecDeque::new(),
            suggested: VecDeque::new(),
            asks_for: None,
            ahead: 2,
            given: BTreeSet::new(),
            steered: None,
            strays: 0,
            taken_back: None,
            suggests: VecDeque::new(),
            waits_since: now,
            serving: 0,
            socket_moved: now,
            choked_requests: 0,
            crossing_until: Time::ZERO,
            refill: false,
            refused: Vec::new(),
            excused: 0,
            since: now,
            received: 0,
            unasked_bytes: 0,
            sent: 0,
            sent_before: 0,
            down: Rate::default(),
            up: Rate::default(),
            first_block: None,
            heard: now,
            spoke: now,
        }
    }

    /// Whether it has every piece.
    pub(super) const fn is_seed(&self) -> bool {
        self.have.is_full()
    }

    /// Whether it had a piece of us at least and never gave anything that we asked for.
    pub(super) const fn only_takes(&self, piece_len: u64) -> bool {
        self.received <= self.unasked_bytes as u64 && self.sent >= piece_len
    }

    /// Whether it may be asked for anything.
    pub(super) fn lets_ask(&self) -> bool {
        !self.peer_choking || !self.allowed_fast.is_empty()
    }

    /// What to tell it if it has something for us that it had not, or the other way round.
    pub(super) fn change_of_interest(&mut self) -> Option<Message> {
        let interested = self.interesting > 0;
        if self.am_interested == interested {
            return None;
        }
        self.am_interested = interested;
        Some(if interested {
            Message::Interested
        } else {
            Message::NotInterested
        })
    }

    /// How many more blocks may be asked for.
    pub(super) fn room(&self) -> usize {
        let window = if self.snubbing {
            1
        } else {
            self.window.min(self.reqq)
        };
        (window as usize).saturating_sub(self.asked.len())
    }

    /// How many blocks may be asked for because they are a whole piece of `piece_len` bytes, which comes
    /// within `time` at the present rate; 0 if it does not.
    pub(super) fn whole_within(&self, time: Duration, piece_len: u32, now: Time) -> usize {
        let in_time = u128::from(self.down.per_second(now)) * time.as_millis() / 1_000;
        if self.snubbing || in_time < u128::from(piece_len) {
            return 0;
        }
        let blocks = piece_len.div_ceil(BLOCK_LEN) as usize;
        blocks.min((self.reqq as usize).saturating_sub(self.asked.len()))
    }

    /// Payload that we asked for arrived.
    pub(super) fn note_block(&mut self, len: u64, now: Time) {
        self.down.add(len, now);
        self.first_block.get_or_insert(now);
        self.owes_since = now;
        self.snubbing = false;
        if let Some(asked) = self.probe.take() {
            let latency = now.since(asked);
            self.latency = Some(self.latency.map_or(latency, |least| least.min(latency)));
        }
    }

    /// Remembers that these blocks may come though nobody waits for them any more.
    pub(super) fn excuse<'a>(&mut self, blocks: impl IntoIterator<Item = &'a Block>) {
        let bytes = blocks.into_iter().map(|block| block.len()).sum::<u32>();
        self.excused = self.excused.saturating_add(bytes);
    }

    /// Adapts the window to the blocks that just came.
    pub(super) fn adapt_window(&mut self, blocks: u32, config: &TorrentConfig, now: Time) {
        let per_second = self.down.per_second(now);
        let time =
            (self.latency.unwrap_or(WINDOW_TIME_MAX) * 2 + WINDOW_SLACK).min(WINDOW_TIME_MAX);
        let in_time = per_second * time.as_millis() as u64 / 1_000 / u64::from(BLOCK_LEN);
        let target = u32::try_from(in_time + WINDOW_SPARE).unwrap_or(u32::MAX);
        let is_starting = self
            .first_block
            .is_none_or(|first| now.since(first) < SLOW_START);
        self.window = if is_starting {
            (self.window + blocks).max(target)
        } else {
            target
        }
        .clamp(config.window_min, config.window_max);
    }

    /// How long it needs for `blocks` blocks at its present rate; `None` if it sends nothing.
    pub(super) fn time_for(&self, blocks: usize, now: Time) -> Option<Duration> {
        let per_second = self.down.per_second(now);
        let nanos = blocks as u64 * u64::from(BLOCK_LEN) * 1_000_000_000;
        nanos.checked_div(per_second).map(Duration::from_nanos)
    }

    /// Payload bytes that may wait in its socket: what it takes in a tenth of a second, so that a
    /// cancel still finds most of a slow peer's queue here.
    pub(super) fn serve_credit(&self, config: &TorrentConfig, now: Time) -> u32 {
        let tenth = u32::try_from(self.up.per_second(now) / 10).unwrap_or(u32::MAX);
        tenth.clamp(config.serve_bytes_min, config.serve_bytes_max)
    }

    /// These blocks may come all the same; and a reject of one says that it was cancelled in time, not
    /// that it is refused.
    pub(super) fn note_cancelled<'a>(
        &mut self,
        blocks: impl IntoIterator<Item = &'a Block> + Clone,
        now: Time,
    ) {
        self.excuse(blocks.clone());
        if !self.reserved.fast() {
            return;
        }
        self.forget_cancelled(now);
        self.cancelled
            .extend(blocks.into_iter().map(|&block| (block, now)));
        let excess = self.cancelled.len().saturating_sub(CANCELLED_MAX);
        self.cancelled.drain(..excess);
    }

    fn forget_cancelled(&mut self, now: Time) {
        let is_old = |&(_, at): &(Block, Time)| now.since(at) >= CANCEL_ANSWERED;
        while self.cancelled.front().is_some_and(is_old) {
            self.cancelled.pop_front();
        }
    }

    /// Whether this block, or its reject, is the answer to a request that was cancelled.
    pub(super) fn answers_cancel(&mut self, block: Block, now: Time) -> bool {
        self.forget_cancelled(now);
        let place = self.cancelled.iter().position(|&(other, _)| other == block);
        place.is_some_and(|place| self.cancelled.remove(place).is_some())
    }

    /// Takes a block off the list of what it was asked; `false` if it was not on it.
    pub(super) fn unask(&mut self, block: Block) -> bool {
        let Some(place) = self.asked.iter().position(|&asked| asked == block) else {
            return false;
        };
        self.asked.remove(place);
        true
    }
}
