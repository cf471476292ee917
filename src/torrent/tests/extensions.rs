//! What peers may have of us through extensions.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::harness::{Bench, addr, sent};
use crate::torrent::event::{CloseReason, Command, Notice, PeerKey, VerifyOutcome};
use crate::torrent::{Action, Event, TorrentConfig};
use crate::tracker::AnnounceEvent;
use crate::wire::metadata::{self, PIECE_LEN};
use crate::wire::pex::{self, PexPeer};
use crate::wire::{ExtendedHandshake, Message, MetadataMessage, PexMessage};

/// Two pieces of metadata.
const METADATA_LEN: u32 = PIECE_LEN + 1;

fn bench() -> Bench {
    Bench::seed_with(4, |config| TorrentConfig {
        metadata_len: Some(METADATA_LEN),
        ..config
    })
}

/// A peer that calls the metadata exchange 9.
fn introduced(bench: &mut Bench) -> PeerKey {
    let (peer, _) = bench.connect(1);
    let theirs = ExtendedHandshake {
        m: BTreeMap::from([(metadata::NAME.to_owned(), 9)]),
        ..ExtendedHandshake::default()
    };
    let payload = Bytes::from(theirs.encode());
    bench.says(peer, Message::Extended { id: 0, payload });
    peer
}

fn asks(bench: &mut Bench, peer: PeerKey, piece: u32) -> Vec<Action> {
    let payload = MetadataMessage::Request { piece }.encode();
    let id = metadata::OUR_ID;
    bench.says(peer, Message::Extended { id, payload })
}

fn ours(actions: &[Action]) -> ExtendedHandshake {
    let handshake = sent(actions).into_iter().find_map(|message| match message {
        Message::Extended { id: 0, payload } => Some(payload),
        _ => None,
    });
    let payload = handshake.expect("an extension handshake");
    ExtendedHandshake::decode(payload).expect("valid")
}

#[test]
fn only_what_is_beyond_our_network_hears_of_the_port_of_the_gateway() {
    let mut bench = bench();
    let near = bench.announced(AnnounceEvent::Started).port;
    let actions = bench.event(Event::Command(Command::FarPort(40_001)));
    let told = bench.answered(&actions, AnnounceEvent::Periodic);
    assert_eq!(told.port, 40_001);
    let again = bench.event(Event::Command(Command::FarPort(40_001)));
    assert_eq!(again, [], "nothing has changed");
    let (_, actions) = bench.connect_from(1, "10.0.0.7:6881");
    assert_eq!(ours(&actions).p, Some(near));
    let (_, actions) = bench.connect_from(2, "198.51.100.7:6881");
    assert_eq!(ours(&actions).p, Some(40_001));
}

#[test]
fn whoever_asks_gets_metadata_but_not_without_end() {
    let mut bench = bench();
    let peer = introduced(&mut bench);
    for _ in 0..3 {
        for piece in 0..2 {
            let give = Action::GiveMetadata { peer, id: 9, piece };
            assert!(asks(&mut bench, peer, piece).contains(&give));
        }
    }
    let payload = MetadataMessage::Reject { piece: 0 }.encode();
    let reject = Message::Extended { id: 9, payload };
    assert_eq!(sent(&asks(&mut bench, peer, 0)), [&reject]);
}

#[test]
fn metadata_that_is_not_there_is_rejected() {
    let mut bench = bench();
    let peer = introduced(&mut bench);
    let payload = MetadataMessage::Reject { piece: 2 }.encode();
    let reject = Message::Extended { id: 9, payload };
    assert_eq!(sent(&asks(&mut bench, peer, 2)), [&reject]);
}

#[test]
fn metadata_is_offered_where_it_may_be_given() {
    let (_, actions) = bench().connect(1);
    assert_eq!(ours(&actions).metadata_size, Some(METADATA_LEN));
    assert!(ours(&actions).m.contains_key(metadata::NAME));
    let mut closed = Bench::seed(4);
    let (_, actions) = closed.connect(1);
    assert_eq!(ours(&actions).metadata_size, None);
    assert!(!ours(&actions).m.contains_key(metadata::NAME));
    let peer = introduced(&mut closed);
    let given = asks(&mut closed, peer, 0);
    assert!(
        !given
            .iter()
            .any(|action| matches!(action, Action::GiveMetadata { .. }))
    );
}

/// A leech that exchanges peers.
fn exchanging() -> Bench {
    Bench::seed_with(4, |config| TorrentConfig {
        pex: true,
        ..config
    })
}

/// Peer `n` connects, listens on its port and calls the peer exchange 5.
fn exchanges(bench: &mut Bench, n: u8) -> PeerKey {
    let (peer, _) = bench.connect(n);
    let theirs = ExtendedHandshake {
        p: Some(6_881),
        m: BTreeMap::from([(pex::NAME.to_owned(), 5)]),
        ..ExtendedHandshake::default()
    };
    let payload = Bytes::from(theirs.encode());
    bench.says(peer, Message::Extended { id: 0, payload });
    peer
}

/// What each peer was told of others.
fn told(actions: &[Action]) -> Vec<(PeerKey, PexMessage)> {
    let messages = actions.iter().filter_map(|action| match action {
        Action::Send {
            peer,
            message: Message::Extended { id: 5, payload },
        } => Some((*peer, PexMessage::decode(payload).expect("ours are valid"))),
        _ => None,
    });
    messages.collect()
}

fn added(message: &PexMessage) -> Vec<SocketAddr> {
    message.added.iter().map(|peer| peer.addr).collect()
}

#[test]
fn peers_hear_of_each_other_at_once_then_once_a_minute() {
    let mut bench = exchanging();
    let first = exchanges(&mut bench, 1);
    assert_eq!(told(&bench.pass(Duration::from_secs(2))), []);
    let second = exchanges(&mut bench, 2);
    let news = told(&bench.pass(Duration::from_secs(2)));
    let of = |peer| {
        news.iter()
            .find(|(to, _)| *to == peer)
            .map(|(_, news)| added(news))
    };
    assert_eq!(of(first), Some(vec![addr(2)]));
    assert_eq!(of(second), Some(vec![addr(1)]));
    for n in 3..=5 {
        exchanges(&mut bench, n);
    }
    let news = told(&bench.pass(Duration::from_secs(6)));
    let to_first: Vec<_> = news.iter().filter(|(to, _)| *to == first).collect();
    assert_eq!(to_first.len(), 1, "{to_first:?}");
    assert_eq!(to_first[0].1.added.len(), 3);
    exchanges(&mut bench, 6);
    let news = told(&bench.pass(Duration::from_secs(50)));
    assert!(
        news.iter().all(|(to, _)| *to != first),
        "not within a minute"
    );
    let news = told(&bench.pass(Duration::from_secs(15)));
    assert!(
        news.iter()
            .any(|(to, news)| *to == first && added(news) == [addr(6)])
    );
}

#[test]
fn who_is_gone_is_dropped_from_what_others_know() {
    let mut bench = exchanging();
    let stays = exchanges(&mut bench, 1);
    let goes = exchanges(&mut bench, 2);
    bench.pass(Duration::from_secs(2));
    let reason = CloseReason::ByPeer;
    bench.event(Event::Closed { peer: goes, reason });
    let news = told(&bench.pass(Duration::from_secs(6)));
    let (to, message) = &news[0];
    assert_eq!((*to, &message.dropped[..]), (stays, &[addr(2)][..]));
}

#[test]
fn whom_a_peer_names_is_dialled_but_not_from_a_swarm_without_exchange() {
    let named = PexPeer {
        addr: addr(9),
        flags: 0,
    };
    let message = PexMessage {
        added: vec![named],
        dropped: Vec::new(),
    };
    let id = pex::OUR_ID;
    let payload = message.encode();
    let dial = Action::Connect { addr: addr(9) };
    let mut bench = exchanging();
    let peer = exchanges(&mut bench, 1);
    let payload_of = || payload.clone();
    let actions = bench.says(
        peer,
        Message::Extended {
            id,
            payload: payload_of(),
        },
    );
    assert!(actions.contains(&dial), "{actions:?}");

    let mut bench = Bench::seed(4);
    let peer = exchanges(&mut bench, 1);
    exchanges(&mut bench, 2);
    let mut actions = bench.says(
        peer,
        Message::Extended {
            id,
            payload: payload_of(),
        },
    );
    actions.extend(bench.pass(Duration::from_secs(60)));
    assert!(!actions.contains(&dial));
    assert_eq!(told(&actions), []);
}

/// A seed with room for two, whom others see at 10.0.0.100.
fn crowded() -> Bench {
    Bench::seed_with(4, |config| TorrentConfig {
        peers_max: 2,
        canonical_priority: true,
        ..config
    })
}

/// Peer `n` connects from its network, and says where it sees us; whether it may stay.
fn comes(bench: &mut Bench, n: u8) -> bool {
    let (peer, actions) = bench.connect_from(n, &format!("198.51.{n}.7:50000"));
    let theirs = ExtendedHandshake {
        yourip: Some([203, 0, 113, 5].into()),
        ..ExtendedHandshake::default()
    };
    let payload = Bytes::from(theirs.encode());
    bench.says(peer, Message::Extended { id: 0, payload });
    !actions.iter().any(|action| {
        let too_many = CloseReason::TooMany;
        matches!(action, Action::Disconnect { peer: gone, reason } if *gone == peer && *reason == too_many)
    })
}

#[test]
fn when_connections_are_scarce_those_of_high_priority_stay_whoever_came_first() {
    let run = |order: [u8; 6]| {
        let mut bench = crowded();
        for n in order {
            comes(&mut bench, n);
            bench.pass(Duration::from_secs(11));
        }
        let mut stay: Vec<SocketAddr> = bench
            .torrent
            .progress(bench.now)
            .peer_list
            .iter()
            .map(|peer| peer.addr)
            .collect();
        stay.sort_unstable();
        stay
    };
    let stay = run([1, 2, 3, 4, 5, 6]);
    assert_eq!(stay.len(), 2);
    assert_eq!(stay, run([6, 5, 4, 3, 2, 1]));
    assert_eq!(stay, run([3, 1, 6, 2, 5, 4]));
}

#[test]
fn a_connection_is_left_alone_at_first() {
    let mut bench = crowded();
    assert!(comes(&mut bench, 1));
    assert!(comes(&mut bench, 2));
    for n in 3..=6 {
        assert!(!comes(&mut bench, n));
    }
}

#[test]
fn who_sent_a_piece_is_named_by_where_he_listens_if_he_said_so() {
    let mut bench = Bench::leech(1);
    let peer = exchanges(&mut bench, 1);
    bench.says(peer, Message::HaveAll);
    bench.says(peer, Message::Unchoke);
    for block in bench.asked_of(peer) {
        bench.delivers(peer, block);
    }
    let piece = bench.block(0, 0).piece();
    let actions = bench.verified(piece, VerifyOutcome::Stored);
    let named = actions.iter().find_map(|action| match action {
        Action::Notify(Notice::PieceStored { from, .. }) => Some(from[0].0),
        _ => None,
    });
    assert_eq!(named, Some(addr(1)));
}
