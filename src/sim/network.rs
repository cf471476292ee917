//! Links and connections: who may send when, and when it arrives.
//!
//! An uplink sends one block at a time and goes round its flows in turn. A flow may have
//! [`IN_FLIGHT`] blocks between its uplink and the far end of the receiver's downlink: a slow
//! receiver holds up its own flow and no other, and flows that fill a downlink have equal shares of
//! it. Each flow so gets what is fair at its narrowest link, in constant time per block. On one
//! connection nothing overtakes. Control messages take the delay and no capacity. Nodes live through a
//! window one after the other, so which of two came first to a downlink is not known to less than that.

use std::collections::VecDeque;
use std::time::Duration;

use super::wheel::{Turn, nanos};
use crate::layout::Block;
use crate::time::Time;
use crate::torrent::event::PeerKey;

/// Blocks of one flow that may be on the way to the receiver: one arrives while the next leaves.
const IN_FLIGHT: usize = 2;

/// One end of a connection; the other one's number differs in the lowest bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EndId(pub(super) u32);

impl EndId {
    /// The other end.
    pub(super) const fn other(self) -> Self {
        Self(self.0 ^ 1)
    }

    /// The end that its core knows by this key.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the lower half is the number"
    )]
    pub(super) const fn of(key: PeerKey) -> Self {
        Self(key.0 as u32)
    }

    const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// What can be said of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Nothing that is sent arrives.
    Stalled,
    Closed,
}

/// One end of a connection, as far as every message needs it: small, for there are many.
#[derive(Clone, Copy, Debug)]
struct End {
    node: u32,
    /// The node of the other end.
    receiver: u32,
    /// The how many-th connection of the run; with the number of the end it makes the key.
    number: u32,
    state: State,
    /// Whether its flow is on its uplink's ring or held up.
    is_queued: bool,
    /// Whether its flow keeps anything for later.
    keeps: bool,
    /// One way, in nanoseconds.
    delay: u64,
    /// Nothing that is sent from here arrives before this turn.
    arrival: Turn,
}

const _: () = assert!(size_of::<End>() == 32, "two to a cache line");

impl End {
    const fn delay(&self) -> Duration {
        Duration::from_nanos(self.delay)
    }
}

/// The blocks that go out from one end, and those asked for there.
#[derive(Debug, Default)]
struct Flow {
    /// Blocks in its socket that have not left.
    waiting: VecDeque<Block>,
    /// When its last blocks were through the receiver's downlink, oldest first.
    through: [Time; IN_FLIGHT],
    /// Blocks asked for over this end, oldest first, and in which buffer they go.
    asked: VecDeque<(Block, u32)>,
    /// Pieces of which the other end is told with what is said next.
    kept: Vec<u32>,
}

/// A machine's downlink: small, for every block goes through one that is not in the cache.
#[derive(Clone, Copy, Debug)]
struct Downlink {
    rate: u64,
    /// When it is through with all that it was sent.
    free: Time,
}

/// A machine's uplink and connections.
#[derive(Debug)]
struct Access {
    up: u64,
    delay: Duration,
    /// When the uplink ended its last block.
    up_free: Time,
    /// The block on the uplink, of which connection, and when it has left.
    sending: Option<(EndId, u32, Block, Time)>,
    /// Flows that may send, in turn.
    ring: VecDeque<EndId>,
    /// Flows that are held up by their receivers, and until when.
    held_up: Vec<(Time, EndId)>,
    /// Open ends of this node.
    ends: Vec<EndId>,
}

/// A block has left an uplink.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// The end it was sent from.
    pub(super) end: EndId,
    /// Which block.
    pub(super) block: Block,
    /// When it is at the receiver's end of the connection.
    pub(super) arrives: Turn,
}

/// All links and connections.
#[derive(Debug)]
pub(super) struct Network {
    access: Vec<Access>,
    downlinks: Vec<Downlink>,
    ends: Vec<End>,
    /// One per end.
    flows: Vec<Flow>,
    connected: u32,
    /// How long a window is, in nanoseconds.
    window: u64,
    /// The first turn of the present window: all before it has happened to everybody.
    begun: Turn,
    /// Closed connections by their first end, and from when on nothing of them is on its way.
    closed: VecDeque<(Turn, EndId)>,
}

impl Network {
    /// No machines, whose windows are so long.
    pub(super) fn new(window: Duration) -> Self {
        Self {
            window: nanos(window),
            begun: Turn(0),
            access: Vec::new(),
            downlinks: Vec::new(),
            ends: Vec::new(),
            flows: Vec::new(),
            connected: 0,
            closed: VecDeque::new(),
        }
    }

    /// One machine more, with its rates in bytes per second and its delay to the middle.
    pub(super) fn add_node(&mut self, (up, down): (u64, u64), delay: Duration) {
        self.access.push(Access {
            up: up.max(1),
            delay,
            up_free: Time::ZERO,
            sending: None,
            ring: VecDeque::new(),
            held_up: Vec::new(),
            ends: Vec::new(),
        });
        self.downlinks.push(Downlink {
            rate: down.max(1),
            free: Time::ZERO,
        });
    }

    /// One way from one node to another.
    pub(super) fn delay(&self, one: u32, other: u32) -> Duration {
        self.access[one as usize].delay + self.access[other as usize].delay
    }

    /// A window begins with this turn.
    pub(super) const fn begin(&mut self, first: Turn) {
        self.begun = first;
    }

    /// Connects two nodes; the ends are theirs in this order.
    pub(super) fn connect(&mut self, one: u32, other: u32, now: Turn) -> EndId {
        let delay = nanos(self.delay(one, other));
        self.connected += 1;
        let first = self.place_for_two();
        for (node, receiver, id) in [(one, other, first), (other, one, first.other())] {
            self.ends[id.as_usize()] = End {
                node,
                receiver,
                number: self.connected,
                state: State::Open,
                is_queued: false,
                keeps: false,
                delay,
                arrival: now.next(),
            };
            self.flows[id.as_usize()] = Flow::default();
            self.access[node as usize].ends.push(id);
        }
        first
    }

    /// What the core of this end calls the connection; never the same again.
    pub(super) fn key(&self, end: EndId) -> PeerKey {
        PeerKey(u64::from(self.ends[end.as_usize()].number) << 32 | u64::from(end.0))
    }

    /// The number of the connection among all of the run.
    pub(super) fn number(&self, end: EndId) -> u32 {
        self.ends[end.as_usize()].number
    }

    /// The node of this end.
    pub(super) fn node(&self, end: EndId) -> u32 {
        self.ends[end.as_usize()].node
    }

    /// The node of the other end.
    pub(super) fn receiver(&self, end: EndId) -> u32 {
        self.ends[end.as_usize()].receiver
    }

    /// Whether its node has not closed this end.
    pub(super) fn is_open(&self, end: EndId) -> bool {
        self.ends[end.as_usize()].state != State::Closed
    }

    /// A message that a node says now: the turn in which it arrives, and at which node; `None` if
    /// it does not.
    pub(super) fn say(&mut self, end: EndId, now: Time) -> Option<(Turn, u32)> {
        let end = &mut self.ends[end.as_usize()];
        if end.state != State::Open {
            return None;
        }
        end.arrival = end
            .arrival
            .max(Turn::of(now).next())
            .max(Turn::of(now + end.delay()));
        Some((end.arrival, end.receiver))
    }

    /// Keeps a piece that the other end is to be told of later. Says whether it is the first.
    pub(super) fn keep_for_later(&mut self, id: EndId, piece: u32) -> bool {
        let end = &mut self.ends[id.as_usize()];
        if end.state != State::Open {
            return false;
        }
        self.flows[id.as_usize()].kept.push(piece);
        !std::mem::replace(&mut end.keeps, true)
    }

    /// Whether anything is kept for later.
    pub(super) fn keeps(&self, end: EndId) -> bool {
        self.ends[end.as_usize()].keeps
    }

    /// Moves all that is kept for later to `kept`.
    pub(super) fn take_kept(&mut self, end: EndId, kept: &mut Vec<u32>) {
        self.ends[end.as_usize()].keeps = false;
        kept.append(&mut self.flows[end.as_usize()].kept);
    }

    /// Blocks are put into a socket.
    pub(super) fn send(&mut self, id: EndId, blocks: &[Block], now: Time) {
        let end = &mut self.ends[id.as_usize()];
        if end.state != State::Open {
            return;
        }
        self.flows[id.as_usize()].waiting.extend(blocks);
        let access = &mut self.access[end.node as usize];
        if access.sending.is_none() {
            access.up_free = access.up_free.max(now);
        }
        if !end.is_queued {
            end.is_queued = true;
            access.ring.push_back(id);
        }
    }

    /// Lets the uplink work until `now`; says which blocks have left.
    pub(super) fn pump(&mut self, node: u32, now: Time, sent: &mut Vec<Sent>) {
        loop {
            if let Some((end, number, block, left)) = self.access[node as usize].sending {
                if left > now {
                    return;
                }
                self.access[node as usize].sending = None;
                self.access[node as usize].up_free = left;
                if self.number(end) == number {
                    sent.extend(self.pass_on(end, block, left));
                }
            }
            if !self.start(node, now) {
                return;
            }
        }
    }

    /// When the uplink has something to do again.
    pub(super) fn wake(&self, node: u32) -> Option<Time> {
        let access = &self.access[node as usize];
        match access.sending {
            Some((.., left)) => Some(left),
            None => access.held_up.iter().map(|&(until, _)| until).min(),
        }
    }

    /// Notes what was asked for over this end, and the number of the buffer it is for.
    pub(super) fn ask(&mut self, end: EndId, block: Block, buffer: u32) {
        self.flows[end.as_usize()].asked.push_back((block, buffer));
    }

    /// A block or its reject came over this end: the number of the buffer it was asked for.
    pub(super) fn answered(&mut self, end: EndId, block: Block) -> Option<u32> {
        let asked = &mut self.flows[end.as_usize()].asked;
        let place = asked.iter().position(|&(other, _)| other == block)?;
        asked.remove(place).map(|(_, buffer)| buffer)
    }

    /// The node closes this end. Says whether it was open.
    pub(super) fn close(&mut self, id: EndId, now: Turn) -> Option<Turn> {
        let end = &mut self.ends[id.as_usize()];
        if end.state == State::Closed {
            return None;
        }
        let is_heard = end.state == State::Open;
        end.state = State::Closed;
        end.keeps = false;
        self.flows[id.as_usize()] = Flow::default();
        let at = Turn::of(now.time() + end.delay())
            .max(now.next())
            .max(end.arrival);
        end.arrival = at;
        let (node, is_queued) = (end.node, end.is_queued);
        let access = &mut self.access[node as usize];
        access.ends.retain(|&other| other != id);
        if is_queued {
            access.ring.retain(|&other| other != id);
            access.held_up.retain(|&(_, other)| other != id);
        }
        let other = &self.ends[id.other().as_usize()];
        if other.state == State::Closed {
            let quiet = at.max(other.arrival).next();
            self.closed.push_back((quiet, EndId(id.0 & !1)));
        }
        is_heard.then_some(at)
    }

    /// Nothing passes any more, in either direction.
    pub(super) fn stall(&mut self, end: EndId) {
        for id in [end, end.other()] {
            let end = &mut self.ends[id.as_usize()];
            if end.state == State::Open {
                end.state = State::Stalled;
                let access = &mut self.access[end.node as usize];
                access.ring.retain(|&other| other != id);
                access.held_up.retain(|&(_, other)| other != id);
            }
        }
    }

    /// The open ends of a node.
    pub(super) fn ends_of(&self, node: u32) -> Vec<EndId> {
        self.access[node as usize].ends.clone()
    }

    /// The next block of the first flow in turn that may send; `false` if there is none.
    fn start(&mut self, node: u32, now: Time) -> bool {
        let access = &mut self.access[node as usize];
        if access.ring.is_empty()
            && let Some(first) = access.held_up.iter().map(|&(until, _)| until).min()
        {
            if first > now {
                return false;
            }
            access.up_free = access.up_free.max(first);
        }
        let start = access.up_free;
        let mut index = 0;
        while let Some(&(until, end)) = access.held_up.get(index) {
            if until <= start {
                access.held_up.swap_remove(index);
                access.ring.push_back(end);
            } else {
                index += 1;
            }
        }
        while let Some(id) = access.ring.pop_front() {
            let end = &mut self.ends[id.as_usize()];
            let flow = &mut self.flows[id.as_usize()];
            if flow.through[0] > start {
                access.held_up.push((flow.through[0], id));
                continue;
            }
            let Some(block) = flow.waiting.pop_front() else {
                end.is_queued = false;
                continue;
            };
            if flow.waiting.is_empty() {
                end.is_queued = false;
            } else {
                access.ring.push_back(id);
            }
            let left = start + transfer_time(block, access.up);
            access.sending = Some((id, end.number, block, left));
            return true;
        }
        // All are held up: the uplink goes on with the first that may.
        access.held_up.iter().any(|&(until, _)| until <= now)
    }

    /// A block has left an uplink and goes through the receiver's downlink.
    fn pass_on(&mut self, id: EndId, block: Block, left: Time) -> Option<Sent> {
        let end = &mut self.ends[id.as_usize()];
        if end.state != State::Open {
            return None;
        }
        let flow = &mut self.flows[id.as_usize()];
        let downlink = &mut self.downlinks[end.receiver as usize];
        // The downlink takes a block in as it leaves the uplink; but nodes live through a window one
        // after the other, so it may have begun a window ago.
        let took = transfer_time(block, downlink.rate);
        let began = left.as_nanos().saturating_sub(nanos(took) + self.window);
        let began = Time::from_nanos(began);
        downlink.free = downlink.free.max(began) + took;
        let through = downlink.free.max(left);
        flow.through.rotate_left(1);
        flow.through[IN_FLIGHT - 1] = through;
        end.arrival = end
            .arrival
            .max(Turn::of(through + end.delay()))
            .max(Turn::of(left).next());
        Some(Sent {
            end: id,
            block,
            arrives: end.arrival,
        })
    }

    /// Two ends that nothing refers to.
    fn place_for_two(&mut self) -> EndId {
        if let Some(&(quiet, first)) = self.closed.front()
            && quiet < self.begun
        {
            self.closed.pop_front();
            return first;
        }
        let first = EndId(u32::try_from(self.ends.len()).expect("connections are counted in u32"));
        for _ in 0..2 {
            self.ends.push(End {
                node: 0,
                receiver: 0,
                number: 0,
                state: State::Closed,
                is_queued: false,
                keeps: false,
                delay: 0,
                arrival: Turn::default(),
            });
            self.flows.push(Flow::default());
        }
        first
    }
}

fn transfer_time(block: Block, bytes_per_second: u64) -> Duration {
    Duration::from_nanos(u64::from(block.len()) * 1_000_000_000 / bytes_per_second)
}

#[cfg(test)]
mod tests;
