//! What does the core hear while it fetches, while a swarm around it fetches, and while others want
//! something of it, for whoever measures what that costs?
//!
//! The core is driven to its end without a socket or a disk: what it asks for arrives at once, what
//! it has verified is right, what it serves is sent.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use swarm::bitfield::Bitfield;
use swarm::ids::{InfoHash, PeerId};
use swarm::layout::{BLOCK_LEN, Layout};
use swarm::time::Time;
use swarm::torrent::event::{Direction, PeerKey, Placed, Received, ServeOutcome, VerifyOutcome};
use swarm::torrent::{Action, Content, Event, Torrent, TorrentConfig};
use swarm::wire::{BlockRequest, Handshake, Message, Reserved};

/// What passes between two answers.
const STEP: Duration = Duration::from_micros(100);

/// How much content there is, and who is connected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) pieces: u32,
    pub(crate) piece_blocks: u32,
    pub(crate) peers: u64,
    /// So many of the peers have everything, the others nothing.
    pub(crate) seeds: u64,
    /// So many pieces are ours from the start.
    pub(crate) ours: u32,
}

/// A core, and peers that do as it says.
pub(crate) struct Swarm {
    torrent: Torrent,
    size: Size,
    now: Time,
    /// Whom it unchokes, latest last.
    unchoked: Vec<PeerKey>,
    /// What it suggests, and to whom, in order.
    suggested: VecDeque<(PeerKey, u32)>,
    /// `have` messages said so far.
    haves: u64,
    /// Blocks that it sent.
    sent: usize,
}

impl Swarm {
    /// All peers are connected and have said what they have.
    pub(crate) fn new(size: Size) -> Self {
        let piece_len = size.piece_blocks * BLOCK_LEN;
        let total = u64::from(size.pieces) * u64::from(piece_len);
        let layout = Layout::new(total, piece_len).expect("valid");
        let content = Content {
            info_hash: InfoHash::new([1; 20]),
            layout,
            padding: Vec::new(),
            trackers: Vec::new(),
            wanted: Bitfield::full(size.pieces),
        };
        let config = TorrentConfig {
            peers_max: 1_000,
            ..TorrentConfig::new(PeerId::ours([0; 12]), 1)
        };
        let mut have = Bitfield::empty(size.pieces);
        for piece in layout.pieces().take(size.ours as usize) {
            have.insert(piece);
        }
        let mut swarm = Self {
            torrent: Torrent::new(content, have, config, 1, Time::ZERO),
            size,
            now: Time::ZERO,
            unchoked: Vec::new(),
            suggested: VecDeque::new(),
            haves: 0,
            sent: 0,
        };
        for n in 1..=size.peers {
            swarm.connect(n, n <= size.seeds);
        }
        swarm
    }

    fn connect(&mut self, n: u64, is_seed: bool) {
        let peer = PeerKey(n);
        let mut id = [7; 12];
        id[..8].copy_from_slice(&n.to_be_bytes());
        self.settle(Event::Connected {
            peer,
            addr: SocketAddr::from(([10, 0, 0, 1], 1)),
            direction: Direction::Incoming,
            theirs: Handshake {
                reserved: Reserved::OURS,
                info_hash: InfoHash::new([1; 20]),
                peer_id: PeerId::ours(id),
            },
        });
        self.say(
            peer,
            if is_seed {
                Message::HaveAll
            } else {
                Message::HaveNone
            },
        );
    }

    /// Whether everything is fetched.
    pub(crate) fn is_complete(&self) -> bool {
        self.torrent.is_complete()
    }

    /// Everybody lets us ask, and delivers at once until nothing is left.
    pub(crate) fn fetch(&mut self) {
        for peer in self.peers() {
            self.say(peer, Message::Unchoke);
        }
    }

    /// Every peer in turn gets the next piece of its own order, `count` pieces in all.
    pub(crate) fn hear_haves(&mut self, count: u32) {
        for _ in 0..count {
            let (peer, round) = (
                PeerKey(1 + self.haves % self.size.peers),
                self.haves / self.size.peers,
            );
            self.haves += 1;
            let index = (round * 7_919 + peer.0 * 104_729) % u64::from(self.size.pieces);
            let index = u32::try_from(index).expect("below the number of pieces");
            self.say(peer, Message::Have(index));
        }
    }

    /// Everybody wants something of us.
    pub(crate) fn take_interest(&mut self) {
        for peer in self.peers() {
            self.say(peer, Message::Interested);
        }
    }

    /// Whoever has a slot asks for what is suggested to him, until all pieces are sent once.
    pub(crate) fn serve(&mut self) {
        let blocks = self.size.pieces * self.size.piece_blocks;
        while self.sent < blocks as usize {
            let Some((peer, index)) = self.suggested.pop_front() else {
                self.tick(STEP);
                continue;
            };
            let requests = (0..self.size.piece_blocks).map(|number| {
                Received::Message(Message::Request(BlockRequest {
                    index,
                    begin: number * BLOCK_LEN,
                    length: BLOCK_LEN,
                }))
            });
            let messages = requests.collect();
            self.settle(Event::Received { peer, messages });
            self.say(peer, Message::Have(index));
        }
    }

    /// Whoever got a slot last gives it back, and wants another one; `count` times.
    pub(crate) fn pass_slots_on(&mut self, count: u32) {
        for _ in 0..count {
            let peer = self.unchoked.pop().expect("somebody has a slot");
            self.say(peer, Message::NotInterested);
            self.say(peer, Message::Interested);
        }
    }

    /// Time passes.
    pub(crate) fn tick(&mut self, time: Duration) {
        self.now += time;
        self.settle(Event::Deadline);
    }

    fn peers(&self) -> impl Iterator<Item = PeerKey> + use<> {
        (1..=self.size.peers).map(PeerKey)
    }

    fn say(&mut self, peer: PeerKey, message: Message) {
        let messages = vec![Received::Message(message)];
        self.settle(Event::Received { peer, messages });
    }

    /// Feeds an event and answers every action until nothing is left to do.
    fn settle(&mut self, event: Event) {
        self.torrent.handle(event, self.now);
        while let Some(action) = self.torrent.poll() {
            if let Some(answer) = self.answer(action) {
                self.now += STEP;
                self.torrent.handle(answer, self.now);
            }
        }
    }

    fn answer(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Request { peer, blocks } => {
                let placed = Placed::Stored;
                let arrived = |block| Received::Block { block, placed };
                let messages = blocks.into_iter().map(arrived).collect();
                Some(Event::Received { peer, messages })
            }
            Action::Verify { piece } => {
                let outcome = VerifyOutcome::Stored;
                Some(Event::PieceVerified { piece, outcome })
            }
            Action::Serve { peer, blocks } => {
                self.sent += blocks.len();
                let outcome = ServeOutcome::Sent;
                Some(Event::Served {
                    peer,
                    blocks,
                    outcome,
                })
            }
            Action::Send { peer, message } => {
                self.hear(peer, &message);
                None
            }
            _ => None,
        }
    }

    fn hear(&mut self, peer: PeerKey, message: &Message) {
        match *message {
            Message::Unchoke => self.unchoked.push(peer),
            Message::Choke => {
                self.unchoked.retain(|&other| other != peer);
                self.suggested.retain(|&(other, _)| other != peer);
            }
            Message::Suggest(index) => self.suggested.push_back((peer, index)),
            _ => {}
        }
    }
}
