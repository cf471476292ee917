//! What peers may have of us through extensions.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::harness::{Bench, sent};
use crate::torrent::event::PeerKey;
use crate::torrent::{Action, TorrentConfig};
use crate::wire::metadata::{self, PIECE_LEN};
use crate::wire::{ExtendedHandshake, Message, MetadataMessage};

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
