//! The search for metadata among scripted peers: honest, lying, silent, refusing.

use std::collections::BTreeMap;

use rand::RngExt;

use super::*;
use crate::hash;
use crate::torrent::event::Received;
use crate::wire::MetadataMessage;
use crate::wire::metadata::{METADATA_LEN_MAX, PIECE_LEN, piece_range};

/// What a scripted peer calls the extension.
const THEIR_ID: u8 = 7;

/// How a scripted peer behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Honest,
    /// Sends wrong bytes in every piece.
    Liar,
    /// Says that the metadata is longer than it is, and sends zeros.
    LongLiar,
    Silent,
    Refusing,
    /// Has no metadata.
    Empty,
}

struct Rig {
    fetch: MetadataFetch,
    truth: Vec<u8>,
    now: Time,
    peers: BTreeMap<PeerKey, Manner>,
    /// Why connections were closed by us.
    closed: BTreeMap<PeerKey, CloseReason>,
    next: u64,
    /// Requests that were not answered yet.
    asked: Vec<(PeerKey, u32)>,
}

fn addr(n: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(n).expect("few peers")], 6881))
}

impl Rig {
    fn new(len: usize) -> Self {
        let truth: Vec<u8> = (0..len).map(|i| (i % 253).to_le_bytes()[0]).collect();
        let config = TorrentConfig::new(PeerId::ours([0; 12]), 6881);
        let info_hash = InfoHash::new(hash::one(&truth));
        Self {
            fetch: MetadataFetch::new(info_hash, &[], config, 1, Time::ZERO),
            truth,
            now: Time::ZERO,
            peers: BTreeMap::new(),
            closed: BTreeMap::new(),
            next: 1,
            asked: Vec::new(),
        }
    }

    fn len(&self) -> u32 {
        u32::try_from(self.truth.len()).expect("short")
    }

    fn connect(&mut self, manner: Manner) -> PeerKey {
        let (peer, n) = (PeerKey(self.next), self.next);
        self.next += 1;
        self.peers.insert(peer, manner);
        let id = PeerId::ours([u8::try_from(n).expect("few peers"); 12]);
        let theirs = Handshake {
            reserved: Reserved::OURS,
            info_hash: self.fetch.info_hash,
            peer_id: id,
        };
        self.event(Event::PeersFound {
            source: PeerSource::Tracker,
            addrs: vec![addr(n)],
        });
        self.event(Event::Connected {
            peer,
            addr: addr(n),
            direction: Direction::Outgoing,
            theirs,
        });
        let size = match manner {
            Manner::Empty => None,
            Manner::LongLiar => Some(self.len() + 3 * PIECE_LEN),
            _ => Some(self.len()),
        };
        self.introduces(peer, size);
        peer
    }

    fn introduces(&mut self, peer: PeerKey, metadata_size: Option<u32>) {
        let theirs = ExtendedHandshake {
            metadata_size,
            m: BTreeMap::from([(NAME.to_owned(), THEIR_ID)]),
            ..ExtendedHandshake::default()
        };
        let payload = Bytes::from(theirs.encode());
        self.says(peer, Message::Extended { id: 0, payload });
    }

    fn says(&mut self, peer: PeerKey, message: Message) {
        let messages = vec![Received::Message(message)];
        self.event(Event::Received { peer, messages });
    }

    fn event(&mut self, event: Event) {
        self.fetch.handle(event, self.now);
        while let Some(action) = self.fetch.poll() {
            match action {
                Action::Send {
                    peer,
                    message: Message::Extended { id, payload },
                } if id == THEIR_ID => {
                    let message = MetadataMessage::decode(&payload).expect("ours are valid");
                    if let Some(MetadataMessage::Request { piece }) = message {
                        self.asked.push((peer, piece));
                    }
                }
                Action::Disconnect { peer, reason } => {
                    self.closed.insert(peer, reason);
                    self.asked.retain(|&(asked, _)| asked != peer);
                }
                _ => {}
            }
        }
    }

    /// The peer does with a request what its manner is.
    fn answer(&mut self, (peer, piece): (PeerKey, u32)) {
        let mut bytes = piece_range(piece, self.len())
            .map(|range| self.truth[range].to_vec())
            .unwrap_or_default();
        let mut total_len = u64::from(self.len());
        match self.peers[&peer] {
            Manner::Honest => {}
            Manner::Liar => bytes[0] ^= 0xff,
            Manner::LongLiar => {
                let len = self.len() + 3 * PIECE_LEN;
                total_len = u64::from(len);
                bytes = piece_range(piece, len).map_or(Vec::new(), |range| vec![0; range.len()]);
            }
            Manner::Refusing => return self.tells(peer, &MetadataMessage::Reject { piece }),
            Manner::Silent | Manner::Empty => return,
        }
        let data = MetadataMessage::Data {
            piece,
            total_len: Some(total_len),
            bytes: bytes.into(),
        };
        self.tells(peer, &data);
    }

    fn tells(&mut self, peer: PeerKey, message: &MetadataMessage) {
        let payload = message.encode();
        self.says(
            peer,
            Message::Extended {
                id: OUR_ID,
                payload,
            },
        );
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(deadline) = self.fetch.deadline().filter(|&at| at <= end) {
            self.now = self.now.max(deadline);
            self.event(Event::Deadline);
        }
        self.now = end;
    }

    /// Everybody answers, until the metadata is here or nobody is asked for anything for a minute.
    fn run(&mut self, mut choose: impl FnMut(usize) -> usize) -> Option<Vec<u8>> {
        for _ in 0..1_000 {
            while !self.asked.is_empty() {
                let place = choose(self.asked.len());
                let asked = self.asked.swap_remove(place);
                self.answer(asked);
            }
            if let Some(found) = self.fetch.take_found() {
                return Some(found);
            }
            self.pass(Duration::from_millis(500));
        }
        None
    }

    fn is_dropped_as_liar(&self, peer: PeerKey) -> bool {
        self.closed.get(&peer) == Some(&CloseReason::Corrupt)
    }
}

const PIECES: usize = 5 * PIECE_LEN as usize + 100;

#[test]
fn two_peers_give_a_part_each() {
    let mut rig = Rig::new(40 * PIECE_LEN as usize);
    let (one, other) = (rig.connect(Manner::Honest), rig.connect(Manner::Honest));
    for peer in [one, other] {
        let count = rig.asked.iter().filter(|(asked, _)| *asked == peer).count();
        assert_eq!(count, 16);
    }
    assert_eq!(rig.run(|_| 0), Some(rig.truth.clone()));
    assert_eq!(rig.fetch.deadline(), None, "it is over");
}

#[test]
fn a_liar_is_dropped_and_its_copy_thrown_away() {
    let mut rig = Rig::new(PIECES);
    let liar = rig.connect(Manner::Liar);
    let honest = rig.connect(Manner::Honest);
    assert_eq!(rig.run(|_| 0), Some(rig.truth.clone()));
    assert!(rig.is_dropped_as_liar(liar));
    assert!(!rig.is_dropped_as_liar(honest));
    let known: Vec<SocketAddr> = rig.fetch.known().into_iter().map(|(_, at)| at).collect();
    assert_eq!(known, [addr(2)], "nobody is told of the liar");
}

#[test]
fn who_says_a_wrong_length_does_not_stand_in_the_way() {
    let mut rig = Rig::new(PIECES);
    let liars = [(); 3].map(|()| rig.connect(Manner::LongLiar));
    rig.connect(Manner::Honest);
    assert_eq!(rig.run(|_| 0), Some(rig.truth.clone()));
    assert!(liars.iter().all(|liar| rig.is_dropped_as_liar(*liar)));
}

#[test]
fn metadata_beyond_the_limit_is_refused_unseen() {
    let mut rig = Rig::new(PIECES);
    let peer = rig.connect(Manner::Empty);
    rig.introduces(peer, Some(METADATA_LEN_MAX + 1));
    assert!(matches!(rig.closed[&peer], CloseReason::Violation(_)));
    let peer = rig.connect(Manner::Empty);
    rig.introduces(peer, Some(METADATA_LEN_MAX));
    assert!(!rig.closed.contains_key(&peer));
    assert_eq!(rig.asked.len(), 16);
}

#[test]
fn a_piece_of_the_wrong_length_ends_the_connection() {
    let mut rig = Rig::new(PIECES);
    let peer = rig.connect(Manner::Honest);
    let data = MetadataMessage::Data {
        piece: 0,
        total_len: None,
        bytes: Bytes::from_static(b"short"),
    };
    rig.tells(peer, &data);
    assert!(matches!(rig.closed[&peer], CloseReason::Violation(_)));
}

#[test]
fn what_nobody_asked_for_ends_the_connection_in_time() {
    let mut rig = Rig::new(PIECES);
    let peer = rig.connect(Manner::Empty);
    let data = MetadataMessage::Data {
        piece: 0,
        total_len: None,
        bytes: vec![0; PIECE_LEN as usize].into(),
    };
    for _ in 0..33 {
        assert!(!rig.closed.contains_key(&peer));
        rig.tells(peer, &data);
    }
    assert!(rig.closed.contains_key(&peer));
}

#[test]
fn who_asks_us_is_told_that_we_have_nothing() {
    let mut rig = Rig::new(PIECES);
    let peer = rig.connect(Manner::Honest);
    rig.fetch.handle(
        Event::Received {
            peer,
            messages: vec![Received::Message(Message::Extended {
                id: OUR_ID,
                payload: MetadataMessage::Request { piece: 3 }.encode(),
            })],
        },
        rig.now,
    );
    let reject = MetadataMessage::Reject { piece: 3 }.encode();
    let is_reject = |action: &Action| matches!(action, Action::Send { message: Message::Extended { payload, .. }, .. } if *payload == reject);
    let actions: Vec<Action> = std::iter::from_fn(|| rig.fetch.poll()).collect();
    assert!(actions.iter().any(is_reject), "{actions:?}");
}

#[test]
fn the_metadata_is_found_whoever_else_is_there() {
    const MANNERS: [Manner; 6] = [
        Manner::Honest,
        Manner::Liar,
        Manner::LongLiar,
        Manner::Silent,
        Manner::Refusing,
        Manner::Empty,
    ];
    for seed in 0..300 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut rig = Rig::new(rng.random_range(1..20 * PIECE_LEN as usize));
        let honest = rng.random_range(0..8);
        for n in 0..8 {
            let manner = MANNERS[rng.random_range(0..MANNERS.len())];
            rig.connect(if n == honest { Manner::Honest } else { manner });
        }
        let found = rig.run(|count| rng.random_range(0..count));
        assert_eq!(found, Some(rig.truth.clone()), "seed {seed}");
        for (peer, manner) in &rig.peers {
            let is_liar = matches!(manner, Manner::Liar | Manner::LongLiar);
            assert!(
                is_liar || !rig.is_dropped_as_liar(*peer),
                "seed {seed}: {manner:?}"
            );
        }
    }
}
