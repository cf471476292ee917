//! A swarm of which only the name is known: finds peers and gets the metadata from them (BEP 9).
//!
//! It speaks the same [`Event`]s and [`Action`]s as [`super::Torrent`], and no more of them than it
//! needs: it has nothing to give and asks for no blocks. It is done when it holds bytes whose hash
//! is the name of the swarm; which peers fill which copy is decided in `copies`.

mod asking;
mod copies;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use self::copies::{Copies, CopyId};
use super::announcer::{Announcer, Due};
use super::dialer::{Dialer, Teller};
use super::event::{CloseReason, Command, Direction, Notice, PeerKey, PeerSource};
use super::extensions::CLIENT;
use super::pex::Intake;
use super::progress::{Progress, WaitReason};
use super::{Action, Event, TorrentConfig};
use crate::ids::{InfoHash, PeerId};
use crate::time::Time;
use crate::tracker::AnnounceRequest;
use crate::wire::extended::ExtendedHandshake;
use crate::wire::metadata::{NAME, OUR_ID};
use crate::wire::pex;
use crate::wire::{Handshake, Message, Reserved};

/// A copy that stands still this long makes room for one of another length.
const STALL: Duration = Duration::from_secs(8);
/// Between ticks. Chosen: what is late is noticed soon enough.
const TICK: Duration = Duration::from_millis(250);
/// What we tell trackers that we lack: the length is not known, and 0 would make us a seed.
const LEFT: u64 = 16 << 10;
/// Peers asked for from a tracker.
const NUM_WANT: u32 = 80;

/// The search for the metadata of one swarm.
#[derive(Debug)]
pub struct MetadataFetch {
    info_hash: InfoHash,
    config: TorrentConfig,
    rng: ChaCha8Rng,
    dialer: Dialer,
    announcer: Announcer,
    peers: BTreeMap<PeerKey, Source>,
    copies: Copies,
    /// Peers that lied, and until when they stay away.
    banned: BTreeMap<(IpAddr, PeerId), Time>,
    found: Option<Vec<u8>>,
    phase: Phase,
    next_tick: Time,
    /// When a piece of the metadata came last.
    moved: Time,
    actions: VecDeque<Action>,
}

/// Where the search stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Goodbyes are on their way.
    Stopping,
    Stopped,
}

/// One connection.
#[derive(Debug)]
struct Source {
    addr: SocketAddr,
    listen_addr: Option<SocketAddr>,
    id: PeerId,
    client: String,
    heard: Time,
    spoke: Time,
    /// What it calls the extension, and how long it says that the metadata is.
    offers: Option<(u8, u32)>,
    /// The copy that it fills.
    copy: Option<CopyId>,
    /// Pieces that it is asked for, and since when.
    asked: Vec<(u32, Time)>,
    /// When a piece came of it last.
    moved: Time,
    /// It is not asked before this moment.
    resumes: Time,
    failures: u32,
    /// When it told us of others.
    named: Intake,
    unasked_bytes: usize,
}

impl MetadataFetch {
    /// A search that knows nobody but these trackers, in tiers. `seed` seeds every random choice.
    pub fn new(
        info_hash: InfoHash,
        trackers: &[Vec<String>],
        config: TorrentConfig,
        seed: u64,
        now: Time,
    ) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Self {
            info_hash,
            dialer: Dialer::new(&config),
            announcer: Announcer::new(trackers, now, &mut rng),
            peers: BTreeMap::new(),
            copies: Copies::new(info_hash),
            banned: BTreeMap::new(),
            found: None,
            phase: Phase::Running,
            next_tick: now,
            moved: now,
            actions: VecDeque::new(),
            config,
            rng,
        }
    }

    /// Something happened at `now`.
    pub fn handle(&mut self, event: Event, now: Time) {
        match event {
            Event::PeersFound { source, addrs } => {
                self.dialer.add(Teller::all(source), &addrs, now);
            }
            Event::Connected {
                peer,
                addr,
                direction,
                theirs,
            } => self.connected(peer, addr, (direction, theirs), now),
            Event::ConnectFailed { addr } => self.dialer.failed(addr, now, &mut self.rng),
            Event::Received { peer, messages } => self.received(peer, messages, now),
            Event::Announced { tracker, result } => match result {
                Ok(response) => {
                    self.announcer.answered(tracker, &response, now);
                    let teller = Teller::tracker(tracker);
                    self.dialer.add(teller, &response.peers, now);
                }
                Err(failure) => {
                    self.announcer.failed(tracker, &failure, now, &mut self.rng);
                    let failed = Notice::TrackerFailed { tracker, failure };
                    self.actions.push_back(Action::Notify(failed));
                }
            },
            Event::Closed { peer, reason } => self.closed(peer, reason, now),
            Event::Command(Command::Stop) => self.stop(now),
            // Nothing of what these speak of was asked for.
            Event::Deadline
            | Event::Command(_)
            | Event::Served { .. }
            | Event::SentBeside { .. }
            | Event::PieceVerified { .. }
            | Event::PiecesLost { .. }
            | Event::PiecesFound { .. } => {}
        }
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            self.tick(now);
        }
        self.dial(now);
        self.ask_all(now);
        self.announce(now);
    }

    /// The next thing to do; drain to `None` after each batch of events.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to send [`Event::Deadline`] if nothing else happens before; `None` when stopped.
    pub fn deadline(&self) -> Option<Time> {
        (self.phase != Phase::Stopped).then_some(self.next_tick)
    }

    /// The metadata, once it is here: raw `info`, whose hash is the name of the swarm.
    pub const fn take_found(&mut self) -> Option<Vec<u8>> {
        self.found.take()
    }

    /// Every address that was heard of and is not that of a liar, with who named it.
    pub fn known(&self) -> Vec<(PeerSource, SocketAddr)> {
        self.dialer.all()
    }

    /// A snapshot for observers; its sizes are those of the metadata.
    pub fn progress(&self, now: Time) -> Progress {
        let (wanted, done) = self.copies.progress().unwrap_or_default();
        let peers = u32::try_from(self.peers.len()).unwrap_or(u32::MAX);
        let offering = self.peers.values().filter(|peer| peer.offers.is_some());
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let offering = count(offering.count());
        let waiting = if peers == 0 {
            Some(WaitReason::NoPeers {
                known: count(self.dialer.known()),
                dialling: count(self.dialer.dialling()),
            })
        } else {
            (offering == 0 || now.since(self.moved) >= STALL)
                .then_some(WaitReason::NoMetadata { peers, offering })
        };
        Progress {
            wanted_bytes: u64::from(wanted),
            done_bytes: done,
            peers,
            complete_peers: offering,
            idle: now.since(self.moved),
            waiting,
            tracker_faults: self.announcer.faults(|_| peers == 0, now),
            ..Progress::default()
        }
    }

    fn connected(
        &mut self,
        key: PeerKey,
        addr: SocketAddr,
        (direction, theirs): (Direction, Handshake),
        now: Time,
    ) {
        let is_ours = direction == Direction::Outgoing;
        let source = if is_ours {
            self.dialer.connected(addr, now);
            self.dialer.source_of(addr)
        } else {
            None
        };
        let peer = Source {
            addr,
            listen_addr: is_ours.then_some(addr),
            id: theirs.peer_id,
            client: String::new(),
            heard: now,
            spoke: now,
            offers: None,
            copy: None,
            asked: Vec::new(),
            moved: now,
            resumes: now,
            failures: 0,
            named: Intake::default(),
            unasked_bytes: 0,
        };
        let refusal = self.refusal(&peer);
        self.peers.insert(key, peer);
        if let Some(reason) = refusal {
            self.disconnect(key, reason, now);
            return;
        }
        self.greet(key, theirs.reserved, now);
        let connected = Notice::PeerConnected {
            addr,
            direction,
            source: source.unwrap_or(PeerSource::Incoming),
        };
        self.actions.push_back(Action::Notify(connected));
    }

    /// Why a new connection must not stay, if so.
    fn refusal(&mut self, peer: &Source) -> Option<CloseReason> {
        if self.phase != Phase::Running {
            return Some(CloseReason::Shutdown);
        }
        if peer.id == self.config.peer_id {
            if let Some(addr) = peer.listen_addr {
                self.dialer.drop_address(addr);
            }
            return Some(CloseReason::Duplicate);
        }
        if self.banned.contains_key(&(peer.addr.ip(), peer.id)) {
            return Some(CloseReason::Corrupt);
        }
        // The first stays: which one does not matter for so short a time.
        if self.peers.values().any(|other| other.id == peer.id) {
            return Some(CloseReason::Duplicate);
        }
        (self.peers.len() >= self.config.peers_max).then_some(CloseReason::TooMany)
    }

    /// We have nothing (BEP 6), and speak the extension (BEP 10).
    fn greet(&mut self, key: PeerKey, theirs: Reserved, now: Time) {
        if theirs.fast() {
            self.send(key, Message::HaveNone, now);
        }
        if !theirs.extended() {
            return;
        }
        let Some(peer) = self.peers.get(&key) else {
            return;
        };
        let mut m = BTreeMap::from([(NAME.to_owned(), OUR_ID)]);
        if self.config.pex {
            m.insert(pex::NAME.to_owned(), pex::OUR_ID);
        }
        let ours = ExtendedHandshake {
            v: Some(CLIENT.to_owned()),
            yourip: Some(peer.addr.ip()),
            p: Some(self.config.port),
            m,
            ..ExtendedHandshake::default()
        };
        let payload = Bytes::from(ours.encode());
        self.send(key, Message::Extended { id: 0, payload }, now);
    }

    fn send(&mut self, key: PeerKey, message: Message, now: Time) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.spoke = now;
            self.actions.push_back(Action::Send { peer: key, message });
        }
    }

    fn dial(&mut self, now: Time) {
        if self.phase == Phase::Running {
            for addr in self.dialer.due(self.peers.len(), now, &mut self.rng) {
                self.actions.push_back(Action::Connect { addr });
            }
        }
    }

    fn announce(&mut self, now: Time) {
        if self.phase == Phase::Stopped {
            return;
        }
        for Due { tracker, event } in self.announcer.due(self.peers.is_empty(), now) {
            let request = AnnounceRequest {
                info_hash: self.info_hash,
                peer_id: self.config.peer_id,
                port: self.config.port,
                uploaded: 0,
                downloaded: 0,
                left: LEFT,
                event,
                num_want: NUM_WANT,
                key: self.announcer.key(),
            };
            self.actions
                .push_back(Action::Announce { tracker, request });
        }
        if self.phase == Phase::Stopping && self.announcer.is_stopped() {
            self.phase = Phase::Stopped;
            self.actions.push_back(Action::Notify(Notice::Stopped));
        }
    }

    /// The metadata is here.
    fn finish(&mut self, metadata: Vec<u8>, now: Time) {
        let is_other = |peer: &Source| {
            peer.offers
                .is_some_and(|(_, len)| len as usize != metadata.len())
        };
        let liars = self.peers.iter().filter(|(_, peer)| is_other(peer));
        let liars: Vec<PeerKey> = liars.map(|(&key, _)| key).collect();
        self.ban(liars, now);
        self.found = Some(metadata);
        // No goodbye to the trackers: the download goes on at once, from the same port.
        self.hang_up(now);
        self.phase = Phase::Stopped;
        self.actions.push_back(Action::Notify(Notice::Stopped));
    }

    fn stop(&mut self, now: Time) {
        if self.phase == Phase::Running {
            self.phase = Phase::Stopping;
            self.hang_up(now);
            self.announcer.stop();
        }
    }

    fn hang_up(&mut self, now: Time) {
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for key in keys {
            self.disconnect(key, CloseReason::Shutdown, now);
        }
    }

    /// Drops peers that sent wrong metadata, and keeps them away.
    fn ban(&mut self, liars: impl IntoIterator<Item = PeerKey>, now: Time) {
        let until = now + self.config.ban;
        for key in liars {
            let Some(peer) = self.peers.get(&key) else {
                continue;
            };
            self.banned.insert((peer.addr.ip(), peer.id), until);
            let listens = peer.listen_addr;
            self.disconnect(key, CloseReason::Corrupt, now);
            if let Some(addr) = listens {
                self.dialer.drop_address(addr);
            }
        }
    }

    fn disconnect(&mut self, key: PeerKey, reason: CloseReason, now: Time) {
        if self.peers.contains_key(&key) {
            self.actions.push_back(Action::Disconnect {
                peer: key,
                reason: reason.clone(),
            });
            self.closed(key, reason, now);
        }
    }

    fn closed(&mut self, key: PeerKey, reason: CloseReason, now: Time) {
        let Some(peer) = self.peers.remove(&key) else {
            return;
        };
        if let Some(copy) = peer.copy {
            for (piece, _) in peer.asked {
                self.copies.unask(copy, piece);
            }
        }
        self.copies.release(key);
        if let Some(addr) = peer.listen_addr {
            self.dialer.closed(addr, now, &mut self.rng);
        }
        self.actions.push_back(Action::Notify(Notice::PeerLost {
            addr: peer.addr,
            client: peer.client,
            reason,
        }));
    }
}
