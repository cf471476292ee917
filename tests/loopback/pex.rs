//! Who is told of other peers (BEP 11), over real connections.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use swarm::ids::PeerId;
use swarm::runtime::{Session, SessionConfig};
use swarm::wire::{
    BlockRequest, ExtendedHandshake, HANDSHAKE_LEN, Handshake, Message, PexMessage, pex,
};

use crate::rig::{Content, config};
use crate::{dial, handshake, read_message, say};

/// The id that we want to be told of others under.
const TELL_US: u8 = 5;

fn exchanging() -> SessionConfig {
    let mut config = config();
    config.torrent.pex = true;
    config
}

/// A peer that accepts others on `port`, and wants to hear of them.
fn meet(session: &Session, content: &Content, port: u16) -> TcpStream {
    let mut stream = dial(session);
    let mut peer_id = *b"-XX0000-scripted----";
    peer_id[18..].copy_from_slice(&port.to_be_bytes());
    let ours = Handshake {
        peer_id: PeerId::new(peer_id),
        ..handshake(content.meta.info_hash())
    };
    stream.write_all(&ours.encode()).unwrap();
    let extensions = ExtendedHandshake {
        m: BTreeMap::from([(pex::NAME.to_owned(), TELL_US)]),
        p: Some(port),
        ..ExtendedHandshake::default()
    };
    let extended = Message::Extended {
        id: 0,
        payload: extensions.encode().into(),
    };
    say(&mut stream, &[extended, Message::HaveNone]);
    let mut theirs = [0; HANDSHAKE_LEN];
    stream.read_exact(&mut theirs).unwrap();
    stream
}

/// The payload of the next extended message of this id.
fn next_extended(stream: &mut TcpStream, wanted: u8) -> Vec<u8> {
    loop {
        let body = read_message(stream);
        if body.starts_with(&[20, wanted]) {
            return body[2..].to_vec();
        }
    }
}

fn extensions_of(stream: &mut TcpStream) -> ExtendedHandshake {
    ExtendedHandshake::decode(&next_extended(stream, 0)).unwrap()
}

#[test]
fn peers_are_told_of_each_other_but_not_those_of_a_private_swarm() {
    let files = [("data.bin", 100_000)];
    let private = Content::private(&files, 32 << 10);
    let secret = private.seed_with(exchanging());
    let mut told_nothing = meet(&secret, &private, 7_001);
    let other = meet(&secret, &private, 7_002);
    assert!(!extensions_of(&mut told_nothing).m.contains_key(pex::NAME));

    let public = Content::new(&files, 32 << 10);
    let open = public.seed_with(exchanging());
    let mut told = meet(&open, &public, 7_001);
    let another = meet(&open, &public, 7_002);
    assert!(extensions_of(&mut told).m.contains_key(pex::NAME));
    let named = PexMessage::decode(&next_extended(&mut told, TELL_US)).unwrap();
    let ports: Vec<u16> = named.added.iter().map(|peer| peer.addr.port()).collect();
    assert_eq!(ports, [7_002]);

    // By now the peers of the private swarm would have been told, too.
    say(&mut told_nothing, &[Message::Interested]);
    let wanted = BlockRequest {
        index: 0,
        begin: 0,
        length: 16 << 10,
    };
    loop {
        let body = read_message(&mut told_nothing);
        match body[..] {
            [1, ..] => say(&mut told_nothing, &[Message::Request(wanted)]),
            [7, ..] => break,
            [20, id, ..] => assert_ne!(id, TELL_US, "a private swarm was told of"),
            _ => {}
        }
    }
    drop((other, another));
}
