//! What a node does: the actions of its core, and what becomes of its connections.

use std::time::Duration;

use rand::RngExt;

use super::buffers::Content;
use super::network::EndId;
use super::node::{Life, addr_of, node_of};
use super::occurrence::{What, Word};
use super::parcels::{Parcel, ParcelId};
use super::scenario::{Behaviour, Departure};
use super::tally::{HAVE_LEN, PREFIX_LEN, REQUEST_LEN};
use super::wheel::Turn;
use super::{STALL_NOTICED, Simulation, number_of};
use crate::layout::{Block, PieceIndex};
use crate::time::Time;
use crate::torrent::event::{
    CloseReason, Command, Direction, Notice, Placed, Received, TrackerId, VerifyOutcome,
};
use crate::torrent::{Action, Event};
use crate::tracker::AnnounceRequest;
use crate::wire::{BlockRequest, HANDSHAKE_LEN, Message};

/// How long hashing and writing a piece takes.
const VERIFY_TIME: Duration = Duration::from_millis(5);
/// How long what nobody waits for may wait, as in `runtime`.
const LATER: Duration = Duration::from_millis(500);
/// How long it takes to give up dialling an address that does not answer, as in `runtime`.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

impl Simulation {
    pub(super) fn perform(&mut self, node: u32, action: Action) {
        match action {
            Action::Connect { addr } => self.dial(node, addr),
            Action::Have {
                piece,
                news,
                others,
            } => {
                for peer in news {
                    self.say(EndId::of(peer), HAVE_LEN, Word::Have(piece.get()));
                }
                for peer in others {
                    self.say_later(node, EndId::of(peer), piece.get());
                }
            }
            Action::Send { peer, message } => self.send(node, EndId::of(peer), message),
            Action::Request { peer, blocks } => self.request(node, EndId::of(peer), &blocks),
            Action::Cancel { peer, blocks } => {
                for block in blocks {
                    let (piece, number) = (block.piece().get(), number_of(block));
                    self.say(EndId::of(peer), REQUEST_LEN, Word::Cancel(piece, number));
                }
            }
            Action::Serve { peer, blocks } => {
                if self.node(node).host.behaviour != Behaviour::Liar {
                    self.network.send(EndId::of(peer), &blocks, self.now);
                }
            }
            // Every machine of a simulation has the manifest.
            Action::GiveMetadata { .. } => {}
            Action::Verify { piece } => {
                let at = Turn::of(self.now + VERIFY_TIME);
                self.wheel.schedule(at, node, What::Verified(piece.get()));
            }
            Action::Forget { piece } => {
                self.node_mut(node).buffers.close(piece);
            }
            Action::Announce { tracker, request } => self.announce(node, tracker, &request),
            Action::Disconnect { peer, .. } => self.hang_up(EndId::of(peer)),
            Action::Notify(notice) => self.notice(node, &notice),
        }
    }

    pub(super) fn join(&mut self, node: u32) {
        if self.node(node).life != Life::Awaited {
            return;
        }
        self.node_mut(node).life = Life::Present;
        let joined = &self.nodes[node as usize];
        if joined.host.behaviour != Behaviour::Liar {
            self.tally.came(joined.torrent.have());
        }
        self.deliver(node, Event::Deadline);
    }

    pub(super) fn leave(&mut self, node: u32) {
        let leaving = self.node(node);
        match (leaving.life, leaving.host.leaves) {
            (Life::Gone, _) => return,
            (Life::Awaited, _) => {
                let host = leaving.host;
                self.tally.missed(node, &host, self.now);
                self.node_mut(node).life = Life::Gone;
                return;
            }
            (Life::Present, departure) if self.is_served_out(node, departure) => {
                self.deliver(node, Event::Command(Command::Stop));
            }
            (Life::Present, _) => {
                for end in self.network.ends_of(node) {
                    self.hang_up(end);
                }
            }
        }
        self.node_mut(node).life = Life::Gone;
        let gone = &self.nodes[node as usize];
        if gone.host.behaviour == Behaviour::Liar {
            self.tally.hosts[node as usize].left = Some(self.now);
        } else {
            let have = gone.torrent.have();
            self.tally.gone(node, &gone.host, have, self.now);
        }
    }

    /// Whether it was complete long enough to leave with a goodbye.
    fn is_served_out(&self, node: u32, departure: Departure) -> bool {
        let completed = self.tally.hosts[node as usize].completed;
        match departure {
            Departure::Completed { after } | Departure::CompletedOrAt { after, .. } => {
                completed.is_some_and(|completed| self.now.since(completed) >= after)
            }
            Departure::Stays | Departure::At(_) => false,
        }
    }

    pub(super) fn verified(&mut self, node: u32, piece: u32) {
        let piece = self.piece(piece);
        let outcome = match self.node_mut(node).buffers.close(piece) {
            Content::Sound => VerifyOutcome::Stored,
            Content::Spoiled => VerifyOutcome::HashMismatch,
        };
        self.deliver(node, Event::PieceVerified { piece, outcome });
    }

    /// A block's payload is here.
    pub(super) fn arrived(
        &mut self,
        node: u32,
        end: EndId,
        (piece, number, is_corrupt): (u32, u16, bool),
    ) -> Received {
        let block = self.block(piece, number);
        let content = if is_corrupt {
            Content::Spoiled
        } else {
            Content::Sound
        };
        let from = self.network.receiver(end);
        self.tally.received(from, node, block.len().into());
        let placed = match self.network.answered(end, block) {
            Some(buffer) => self.node_mut(node).buffers.fill(block, buffer, content),
            None => Placed::Discarded,
        };
        Received::Block { block, placed }
    }

    /// Another node dialled this one. Both handshakes take a delay each from here.
    pub(super) fn dialled(&mut self, node: u32, by: u32) {
        if self.node(by).life != Life::Present {
            return;
        }
        if self.node(node).life != Life::Present {
            let at = Turn::of(self.now + self.network.delay(node, by));
            let at = at.max(self.turn.next());
            self.wheel.schedule(at, by, What::Refused(node));
            return;
        }
        let end = self.network.connect(node, by, self.turn);
        self.tally.overhead.other += 2 * HANDSHAKE_LEN as u64;
        if let Some((at, by)) = self.network.say(end, self.now) {
            let other = end.other();
            self.wheel.schedule(at, by, What::Connected(other));
        }
        self.draw_faults(node, end);
        self.connected(node, end, Direction::Incoming);
    }

    /// The connection is up at this end.
    pub(super) fn connected(&mut self, node: u32, end: EndId, direction: Direction) {
        let other = self.network.node(end.other());
        let mut addr = addr_of(other);
        if direction == Direction::Incoming {
            // The port of an incoming connection is not the one it listens on.
            addr.set_port(50_000);
        }
        let theirs = self.node(other).handshake();
        let connected = Event::Connected {
            peer: self.network.key(end),
            addr,
            direction,
            theirs,
        };
        if self.network.is_open(end) {
            self.deliver(node, connected);
        }
    }

    /// The connection is gone at this end without this node's doing.
    pub(super) fn closed(&mut self, node: u32, end: EndId, reason: CloseReason) {
        let peer = self.network.key(end);
        if self.network.is_open(end) {
            self.network.close(end, self.turn);
            self.deliver(node, Event::Closed { peer, reason });
        }
    }

    pub(super) fn break_off(&mut self, end: EndId, number: u32) {
        if self.network.number(end) != number {
            return;
        }
        for end in [end, end.other()] {
            if self.network.is_open(end) {
                let node = self.network.node(end);
                let at = self.wheel.earliest(node, self.turn);
                self.wheel.schedule(at, node, What::Closed(end));
            }
        }
    }

    pub(super) fn stall(&mut self, end: EndId, number: u32) {
        if self.network.number(end) == number {
            self.network.stall(end);
            let (at, node) = (Turn::of(self.now + STALL_NOTICED), self.network.node(end));
            self.wheel.schedule(at, node, What::Break(end, number));
        }
    }

    pub(super) fn announced(&mut self, node: u32, parcel: ParcelId) {
        let Parcel::Answer(response) = self.parcels.take(parcel) else {
            unreachable!("trackers send answers");
        };
        let (tracker, result) = (TrackerId(0), Ok(response));
        self.deliver(node, Event::Announced { tracker, result });
    }

    fn dial(&mut self, node: u32, addr: std::net::SocketAddr) {
        let Some(target) = node_of(addr).filter(|&target| self.is_known(target)) else {
            return;
        };
        if !self.node(target).host.reachable {
            let at = Turn::of(self.now + DIAL_TIMEOUT);
            self.wheel.schedule(at, node, What::Refused(target));
            return;
        }
        // There, back, and there again with the handshake.
        let at = Turn::of(self.now + self.network.delay(node, target) * 3);
        let at = at.max(self.turn.next());
        self.wheel.schedule(at, target, What::Dialled(node));
    }

    fn is_known(&self, node: u32) -> bool {
        (node as usize) < self.nodes.len()
    }

    fn send(&mut self, node: u32, end: EndId, message: Message) {
        let word = match message {
            Message::Reject(request) => {
                let (piece, number) = spot_of(request);
                return self.say(end, REQUEST_LEN, Word::Reject(piece, number));
            }
            Message::Choke => Word::Choke,
            Message::Unchoke if self.node(node).host.behaviour == Behaviour::FreeRider => return,
            Message::Unchoke => Word::Unchoke,
            Message::Interested => Word::Interested,
            Message::NotInterested => Word::NotInterested,
            message => return self.send_parcel(end, message),
        };
        self.say(end, PREFIX_LEN, word);
    }

    /// What nobody waits for goes with what is said next, or after a while.
    fn say_later(&mut self, node: u32, end: EndId, piece: u32) {
        if self.network.keep_for_later(end, piece) {
            let at = Turn::of(self.now + LATER);
            let number = self.network.number(end);
            self.wheel.schedule(at, node, What::Later(end, number));
        }
    }

    /// What was kept for later is said now.
    pub(super) fn say_kept(&mut self, end: EndId) {
        let mut kept = std::mem::take(&mut self.kept);
        self.network.take_kept(end, &mut kept);
        for piece in kept.drain(..) {
            self.say(end, HAVE_LEN, Word::Have(piece));
        }
        self.kept = kept;
    }

    fn send_parcel(&mut self, end: EndId, message: Message) {
        if self.network.keeps(end) {
            self.say_kept(end);
        }
        let Some((at, receiver)) = self.network.say(end, self.now) else {
            return;
        };
        self.tally.said(&message);
        let parcel = self.parcels.put(Parcel::Message(message));
        let (other, word) = (end.other(), Word::Parcel(parcel));
        self.wheel
            .schedule(at, receiver, What::Message(other, word));
    }

    /// Sends a message of so many bytes.
    fn say(&mut self, end: EndId, len: u64, word: Word) {
        if self.network.keeps(end) {
            self.say_kept(end);
        }
        let Some((at, receiver)) = self.network.say(end, self.now) else {
            return;
        };
        let counter = match word {
            Word::Have(_) => &mut self.tally.overhead.have,
            Word::Request(..) | Word::Cancel(..) | Word::Reject(..) => {
                &mut self.tally.overhead.request
            }
            _ => &mut self.tally.overhead.other,
        };
        *counter += len;
        let other = end.other();
        self.wheel
            .schedule(at, receiver, What::Message(other, word));
    }

    fn request(&mut self, node: u32, end: EndId, blocks: &[Block]) {
        for &block in blocks {
            let piece = block.piece();
            let count = self.scenario.layout.block_count(piece);
            let buffer = self.node_mut(node).buffers.open(piece, count);
            self.network.ask(end, block, buffer);
            let word = Word::Request(piece.get(), number_of(block));
            self.say(end, REQUEST_LEN, word);
        }
    }

    fn announce(&mut self, node: u32, tracker: TrackerId, request: &AnnounceRequest) {
        debug_assert_eq!(tracker, TrackerId(0), "there is one tracker");
        let answer = self.tracker.announce(node, request, &mut self.rng);
        let parcel = self.parcels.put(Parcel::Answer(answer));
        let at = Turn::of(self.now + self.node(node).host.delay * 2);
        let at = at.max(self.turn.next());
        self.wheel.schedule(at, node, What::Announced(parcel));
    }

    /// This node closes a connection; the other side hears of it after all that was said before.
    fn hang_up(&mut self, end: EndId) {
        let heard = self.network.close(end, self.turn);
        let other = end.other();
        if let Some(at) = heard
            && self.network.is_open(other)
        {
            let node = self.network.node(other);
            self.wheel.schedule(at, node, What::Closed(other));
        }
    }

    fn notice(&mut self, node: u32, notice: &Notice) {
        let host = self.node(node).host;
        match notice {
            Notice::PieceStored { piece, .. } => self.tally.stored(&host, piece.as_usize()),
            Notice::Complete => {
                self.tally.completed(node, &host, self.now);
                if let Departure::Completed { after } | Departure::CompletedOrAt { after, .. } =
                    host.leaves
                {
                    let at = Turn::of(self.now + after).max(self.turn.next());
                    self.wheel.schedule(at, node, What::Leave);
                }
            }
            _ => {}
        }
    }

    /// Decides when this connection breaks and stalls.
    fn draw_faults(&mut self, node: u32, end: EndId) {
        let number = self.network.number(end);
        let faults = self.scenario.faults;
        for (mean, what) in [
            (faults.breaks_after, What::Break(end, number)),
            (faults.stalls_after, What::Stall(end, number)),
        ] {
            if let Some(mean) = mean {
                let at = self.chance(mean);
                self.wheel.schedule(at, node, what);
            }
        }
    }

    /// A turn to come, `mean` from now on average: any up to twice that is as likely.
    fn chance(&mut self, mean: Duration) -> Turn {
        let longest = u64::try_from(mean.as_nanos() * 2).unwrap_or(u64::MAX);
        let nanos = self.rng.random_range(0..=longest);
        let at: Time = self.now + Duration::from_nanos(nanos);
        Turn::of(at).max(self.turn.next())
    }

    fn piece(&self, index: u32) -> PieceIndex {
        let piece = self.scenario.layout.piece(index);
        piece.expect("a core names pieces that exist")
    }
}

fn spot_of(request: BlockRequest) -> (u32, u16) {
    let number = request.begin / crate::layout::BLOCK_LEN;
    let number = u16::try_from(number).expect("a piece has at most 8,192 blocks");
    (request.index, number)
}
