//! Sessions against each other, and against scripted peers, over real sockets and real files.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its scene fails"
)]

#[path = "loopback/pex.rs"]
mod pex;
#[path = "loopback/rig.rs"]
mod rig;
#[path = "loopback/site.rs"]
mod site;
#[path = "loopback/web_seed.rs"]
mod web_seed;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use rig::{Content, await_complete, await_notice, config, with_peers};
use swarm::ids::{InfoHash, PeerId};
use swarm::runtime::{Session, SessionError};
use swarm::torrent::event::{Command, Notice};
use swarm::wire::{BlockRequest, HANDSHAKE_LEN, Handshake, Message, Reserved};

fn several_files(piece_len: u32) -> Content {
    let files = [
        ("a/first.bin", 1_000_000),
        ("a/empty", 0),
        ("b/one byte", 1),
        ("b/ünïcode/last.bin", 2_345_679),
    ];
    Content::new(&files, piece_len)
}

fn dial(session: &Session) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, session.port())).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

fn handshake(info_hash: InfoHash) -> Handshake {
    Handshake {
        reserved: Reserved::OURS,
        info_hash,
        peer_id: PeerId::new(*b"-XX0000-scripted----"),
    }
}

/// Connects and exchanges handshakes.
fn greet(session: &Session, content: &Content) -> TcpStream {
    let mut stream = dial(session);
    stream
        .write_all(&handshake(content.meta.info_hash()).encode())
        .unwrap();
    let mut theirs = [0; HANDSHAKE_LEN];
    stream.read_exact(&mut theirs).unwrap();
    let theirs = Handshake::decode(&theirs).unwrap();
    assert_eq!(theirs.info_hash, content.meta.info_hash());
    stream
}

fn say(stream: &mut TcpStream, messages: &[Message]) {
    let mut bytes = BytesMut::new();
    for message in messages {
        message.encode(&mut bytes);
    }
    stream.write_all(&bytes).unwrap();
}

/// Whether the other side closes without another byte.
fn is_closed_silently(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_))
}

#[test]
fn one_fetcher_copies_one_seed() {
    let content = several_files(32 << 10);
    let dir = tempfile::tempdir().unwrap();
    let seed = content.seed();
    let mut fetcher = content.fetch(dir.path(), &[seed.port()]);
    assert_eq!(await_complete(&mut fetcher), dir.path().join("content"));
    content.assert_copied_to(dir.path());
    let progress = fetcher.progress();
    assert!(progress.complete);
    assert_eq!((progress.bad_pieces, progress.wasted), (0, 0));
    fetcher.stop().unwrap();
    seed.stop().unwrap();
}

#[test]
fn a_seed_sees_its_fetcher_complete() {
    let content = several_files(32 << 10);
    let dir = tempfile::tempdir().unwrap();
    let mut seed = content.seed();
    let mut fetcher = content.fetch(dir.path(), &[seed.port()]);
    await_complete(&mut fetcher);
    await_notice(&mut seed, |n| matches!(n, Notice::PeerLost { .. }));
    seed.command(Command::Stop);
    await_notice(&mut seed, |n| *n == Notice::Stopped);
    assert_eq!(seed.progress().completed_seen, 1);
}

#[test]
fn four_fetchers_trade_with_each_other() {
    let content = Content::new(&[("data.bin", 12 << 20)], 64 << 10);
    let mut limited = config();
    limited.torrent.upload_limit = Some(8 << 20);
    let seed = content.seed_with(limited);
    let mut ports = vec![seed.port()];
    let mut fetchers = Vec::new();
    for _ in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let session = content.fetch(dir.path(), &ports);
        ports.push(session.port());
        fetchers.push((dir, session));
    }
    for (dir, session) in &mut fetchers {
        await_complete(session);
        content.assert_copied_to(dir.path());
    }
    let sent = seed.progress().sent;
    let copies = sent as f64 / f64::from(12 << 20);
    assert!(
        copies < 3.0,
        "the seed gave {copies:.1} copies: nobody traded"
    );
}

#[test]
fn pieces_larger_than_the_memory_are_fetched() {
    let content = several_files(512 << 10);
    let dir = tempfile::tempdir().unwrap();
    let seed = content.seed();
    let mut little = with_peers(config(), &[seed.port()]);
    little.memory = 64 << 10;
    let mut fetcher = content.fetch_with(dir.path(), little);
    await_complete(&mut fetcher);
    content.assert_copied_to(dir.path());
}

#[test]
fn padding_is_neither_fetched_nor_missed() {
    let files = [("a", 100_000), ("b", 7), ("c", 300_001)];
    let content = Content::padded(&files, 64 << 10, true);
    let dir = tempfile::tempdir().unwrap();
    let seed = content.seed();
    let mut fetcher = content.fetch(dir.path(), &[seed.port()]);
    await_complete(&mut fetcher);
    content.assert_copied_to(dir.path());
}

#[test]
fn a_stopped_fetch_goes_on_where_it_was() {
    let content = Content::new(&[("data.bin", 8 << 20)], 64 << 10);
    let dir = tempfile::tempdir().unwrap();
    let mut limited = config();
    limited.torrent.upload_limit = Some(8 << 20);
    let slow = content.seed_with(limited);
    let mut first = content.fetch(dir.path(), &[slow.port()]);
    for _ in 0..20 {
        await_notice(&mut first, |notice| {
            matches!(notice, Notice::PieceStored { .. })
        });
    }
    first.stop().unwrap();

    let seed = content.seed();
    let mut second = content.fetch(dir.path(), &[seed.port()]);
    await_complete(&mut second);
    content.assert_copied_to(dir.path());
    let received = second.progress().received;
    let most = (8 << 20) - 20 * (64 << 10);
    assert!(
        received <= most,
        "{received} bytes, though 20 pieces were stored"
    );
}

#[test]
fn a_stranger_who_means_another_swarm_hears_nothing() {
    let content = several_files(32 << 10);
    let seed = content.seed();
    let mut stream = dial(&seed);
    let other = handshake(InfoHash::new([7; 20]));
    stream.write_all(&other.encode()).unwrap();
    assert!(is_closed_silently(&mut stream));
}

#[test]
fn a_peer_that_talks_nonsense_is_dropped_and_nobody_else() {
    let content = several_files(32 << 10);
    let seed = content.seed();
    let mut bad = greet(&seed, &content);
    let _ = bad.write_all(&[0xff; 64]);
    let mut rest = Vec::new();
    // Whatever it was told before, the connection ends.
    let _ = bad.read_to_end(&mut rest);
    let dir = tempfile::tempdir().unwrap();
    let mut fetcher = content.fetch(dir.path(), &[seed.port()]);
    await_complete(&mut fetcher);
}

#[test]
fn a_block_is_served_byte_for_byte() {
    let content = several_files(32 << 10);
    let seed = content.seed();
    let mut stream = greet(&seed, &content);
    let wanted = BlockRequest {
        index: 1,
        begin: 100,
        length: 5_000,
    };
    say(&mut stream, &[Message::HaveNone, Message::Interested]);
    let payload = await_block(&mut stream, wanted);
    let start = (32 << 10) + 100;
    assert_eq!(payload, content.files[0].1[start..start + 5_000]);
}

/// Asks for the block as soon as it is unchoked; returns its payload.
fn await_block(stream: &mut TcpStream, wanted: BlockRequest) -> Vec<u8> {
    loop {
        let mut body = read_message(stream);
        match body.first() {
            Some(1) => say(stream, &[Message::Request(wanted)]),
            Some(7) => return body.split_off(9),
            _ => {}
        }
    }
}

fn read_message(stream: &mut TcpStream) -> Vec<u8> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).unwrap();
    let mut body = vec![0; u32::from_be_bytes(prefix) as usize];
    stream.read_exact(&mut body).unwrap();
    body
}

#[test]
fn a_file_cut_short_under_a_seed_is_withdrawn_and_reported() {
    let content = Content::new(&[("a", 400_000), ("b", 400_000)], 32 << 10);
    let mut seed = content.seed();
    let path = content.dir.path().join("content/b");
    std::fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(1_000)
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let fetcher = content.fetch(dir.path(), &[seed.port()]);
    let damaged = await_notice(&mut seed, |n| matches!(n, Notice::DataDamaged { .. }));
    let Notice::DataDamaged { message, .. } = damaged else {
        unreachable!()
    };
    assert!(message.contains("content/b"), "{message}");
    assert_eq!(fetcher.progress().bad_pieces, 0);
}

#[test]
fn a_liar_is_found_out_and_the_copy_is_right() {
    let content = Content::new(&[("data.bin", 4 << 20)], 64 << 10);
    let honest = content.seed();
    let fake = Content::new(&[("data.bin", 4 << 20)], 64 << 10);
    let path = fake.dir.path().join("content/data.bin");
    std::fs::write(path, vec![0xee; 4 << 20]).unwrap();
    let liar = fake.lie();

    let dir = tempfile::tempdir().unwrap();
    let mut fetcher = content.fetch(dir.path(), &[liar.port()]);
    await_notice(&mut fetcher, |n| matches!(n, Notice::PieceCorrupt { .. }));
    fetcher.stop().unwrap();
    let mut fetcher = content.fetch(dir.path(), &[liar.port(), honest.port()]);
    await_complete(&mut fetcher);
    content.assert_copied_to(dir.path());
}

#[test]
fn a_peer_that_dies_in_the_middle_of_a_block_is_replaced() {
    let content = Content::new(&[("data.bin", 1 << 20)], 64 << 10);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut fetcher = content.fetch(dir.path(), &[port]);
    let stream = send_half_a_block(&listener, &content);
    drop((stream, listener));
    await_notice(&mut fetcher, |n| matches!(n, Notice::PeerLost { .. }));

    let mut dialler = config();
    dialler.peers = with_peers(config(), &[fetcher.port()]).peers;
    let _seed = content.seed_with(dialler);
    await_complete(&mut fetcher);
    content.assert_copied_to(dir.path());
    assert_eq!(fetcher.progress().bad_pieces, 0);
}

#[test]
fn a_peer_that_hangs_in_the_middle_of_a_block_is_overtaken() {
    let content = Content::new(&[("data.bin", 1 << 20)], 64 << 10);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut fetcher = content.fetch(dir.path(), &[port]);
    let hanging = send_half_a_block(&listener, &content);
    let _seed = content.seed_with(with_peers(config(), &[fetcher.port()]));
    // It stays connected and silent, and silence is only an end after longer than a test waits.
    await_complete(&mut fetcher);
    content.assert_copied_to(dir.path());
    assert_eq!(fetcher.progress().bad_pieces, 0);
    drop(hanging);
}

/// Takes a call, claims to have everything, and stops in the middle of the first block asked for.
fn send_half_a_block(listener: &TcpListener, content: &Content) -> TcpStream {
    let (mut stream, _) = listener.accept().unwrap();
    let mut theirs = [0; HANDSHAKE_LEN];
    stream.read_exact(&mut theirs).unwrap();
    stream
        .write_all(&handshake(content.meta.info_hash()).encode())
        .unwrap();
    say(&mut stream, &[Message::HaveAll, Message::Unchoke]);
    let asked = await_request(&mut stream);
    say(&mut stream, &[Message::Piece(asked)]);
    stream.write_all(&[0xee; 5_000]).unwrap();
    stream
}

/// The first block that the other side asks for.
fn await_request(stream: &mut TcpStream) -> BlockRequest {
    loop {
        let body = read_message(stream);
        if body.first() == Some(&6) {
            let number = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap());
            return BlockRequest {
                index: number(1),
                begin: number(5),
                length: number(9),
            };
        }
    }
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let content = several_files(32 << 10);
    let first = content.seed();
    let mut same = config();
    same.ports = first.port()..=first.port();
    let store =
        swarm::storage::Store::seed(content.meta.clone(), &content.dir.path().join("content"))
            .unwrap();
    let all = swarm::bitfield::Bitfield::full(content.meta.layout().piece_count());
    let error = Session::start(content.meta.clone(), store.into(), all.clone(), all, same);
    match error {
        Err(SessionError::PortInUse { port }) => assert_eq!(port, first.port()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn peers_of_both_families_are_heard_on_one_port() {
    let content = several_files(32 << 10);
    let mut everywhere = config();
    everywhere.bind = None;
    let seed = content.seed_with(everywhere);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, seed.port())).is_ok());
    // A machine without IPv6 has no such address to test with.
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        assert!(TcpStream::connect((Ipv6Addr::LOCALHOST, seed.port())).is_ok());
    }
}

#[test]
fn a_dropped_session_frees_its_port() {
    let content = several_files(32 << 10);
    let port = content.seed().port();
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
}
