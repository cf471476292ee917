//! The port of a seed spoken to in HTTP, by visitors that behave and by some that do not.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use swarm::metainfo::Metainfo;
use swarm::runtime::{Clock, Session, SessionConfig};
use swarm::time::Time;
use swarm::tracker::http::decode;

use crate::rig::{Content, await_complete, config};

fn serving() -> SessionConfig {
    SessionConfig {
        serve: true,
        ..config()
    }
}

fn content() -> Content {
    Content::new(
        &[("a/first.bin", 300_000), ("b/two words", 50_001)],
        32 << 10,
    )
}

/// The head and the body of an answer.
fn ask(session: &Session, request: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, session.port())).unwrap();
    let ample = Some(Duration::from_secs(20));
    stream.set_read_timeout(ample).unwrap();
    let request = format!("{request}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = answer.split_off(end.expect("an answer of HTTP") + 4);
    (String::from_utf8(answer).unwrap(), body)
}

fn get(session: &Session, path: &str, headers: &str) -> (String, Vec<u8>) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: seed.test:1234\r\n{headers}");
    ask(session, &request)
}

/// The info-hash as a query names it.
fn escaped_hash(content: &Content) -> String {
    let hash = content.meta.info_hash();
    let bytes = hash.as_bytes().iter();
    bytes.fold(String::new(), |query, byte| query + &format!("%{byte:02x}"))
}

/// What a peer asks of the tracker that listens on this port and misses a byte.
fn announce(content: &Content, port: u16) -> String {
    let hash = escaped_hash(content);
    format!("/announce?info_hash={hash}&peer_id=abcdefghij0123456789&left=1&port={port}")
}

#[test]
fn the_page_says_what_to_type() {
    let content = content();
    let seed = content.seed_with(serving());
    let (head, page) = get(&seed, "/", "");
    let page = String::from_utf8(page).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    for line in [
        "content\n350001 bytes, 2 files\n",
        "\n  swarm fetch http://seed.test:1234/\n",
        "\n  aria2c --seed-time=0 http://seed.test:1234/content.torrent\n",
        "\n  curl -O http://seed.test:1234/data/content/a/first.bin\n",
    ] {
        assert!(page.contains(line), "{page}");
    }
    let port = seed.port();
    let (_, page) = ask(&seed, "GET / HTTP/1.0\r\n");
    let reached = format!("swarm fetch http://127.0.0.1:{port}/\n");
    assert!(String::from_utf8(page).unwrap().contains(&reached));
    let (_, page) = ask(&seed, "GET / HTTP/1.1\r\nHost: evil\"host/\r\n");
    assert!(String::from_utf8(page).unwrap().contains(&reached));
}

#[test]
fn the_manifest_names_the_tracker_that_it_came_from() {
    let content = content();
    let seed = content.seed_with(serving());
    let kind = "Accept: application/x-bittorrent\r\n";
    for (path, headers) in [("/", kind), ("/content.torrent", "")] {
        let (head, manifest) = get(&seed, path, headers);
        assert!(
            head.contains("content-type: application/x-bittorrent\r\n"),
            "{head}"
        );
        let meta = Metainfo::from_vec(manifest).unwrap();
        assert_eq!(meta.info_hash(), content.meta.info_hash());
        assert_eq!(meta.trackers(), [["http://seed.test:1234/announce"]]);
    }
}

#[test]
fn files_are_given_whole_and_in_ranges() {
    let content = content();
    let seed = content.seed_with(serving());
    for (path, bytes) in &content.files {
        let path = path.to_str().unwrap().replace(' ', "%20");
        let path = format!("/data/{path}");
        let (head, body) = get(&seed, &path, "");
        assert!(head.contains("200 OK") && body == *bytes, "{head}");
        let (head, body) = get(&seed, &path, "Range: bytes=20000-49999\r\n");
        assert!(body == bytes[20_000..50_000], "{head}");
        let range = format!("content-range: bytes 20000-49999/{}\r\n", bytes.len());
        assert!(
            head.contains("206 Partial") && head.contains(&range),
            "{head}"
        );
        let (head, _) = get(&seed, &path, "Range: bytes=400000-\r\n");
        assert!(head.contains("416 "), "{head}");
        let stale = "Range: bytes=1-2\r\nIf-Range: \"other\"\r\n";
        assert!(get(&seed, &path, stale).1 == *bytes);
        let (head, body) = ask(&seed, &format!("HEAD {path} HTTP/1.1\r\nHost: h\r\n"));
        let len = format!("content-length: {}\r\n", bytes.len());
        assert!(head.contains(&len) && body.is_empty(), "{head}");
    }
    // A round trip through the driver: the last of it is told after it was sent.
    let sent = 2 * 350_001 + 2 * 30_000;
    let clock = Clock::start();
    while seed.progress().sent < sent {
        assert!(
            clock.now() < Time::ZERO + Duration::from_secs(20),
            "{}",
            seed.progress().sent
        );
    }
}

#[test]
fn what_is_not_there_is_not_given() {
    let content = content();
    let seed = content.seed_with(serving());
    for (path, status) in [
        ("/nothing", "404"),
        ("/data/", "404"),
        ("/data/content", "404"),
        ("/data/content/a/../b/two%20words", "404"),
        ("/data/../../../../etc/passwd", "404"),
        ("/data//etc/passwd", "404"),
        ("/%zz", "400"),
        ("/%ff", "400"),
    ] {
        let (head, _) = get(&seed, path, "");
        assert_eq!(head.split(' ').nth(1), Some(status), "{path}");
    }
    let (head, _) = ask(&seed, "GETS / HTTP/1.1\r\nHost: h\r\n");
    assert_eq!(head.split(' ').nth(1), Some("405"));
}

#[test]
fn the_tracker_names_the_seed_and_those_who_announced() {
    let content = content();
    let seed = content.seed_with(serving());
    let peers = |port: u16| {
        let (_, answer) = get(&seed, &announce(&content, port), "");
        let mut ports: Vec<u16> = decode(&answer)
            .unwrap()
            .peers
            .iter()
            .map(std::net::SocketAddr::port)
            .collect();
        ports.sort_unstable();
        ports
    };
    assert_eq!(peers(1), [seed.port()]);
    assert_eq!(peers(2), [1, seed.port()]);
    let (_, scraped) = get(
        &seed,
        &format!("/scrape?info_hash={}", escaped_hash(&content)),
        "",
    );
    let scraped = String::from_utf8_lossy(&scraped).into_owned();
    assert!(scraped.contains("8:completei1e10:downloadedi0e10:incompletei2e"));
    let (_, other) = get(
        &seed,
        &format!("/announce?info_hash={}", "x".repeat(20)),
        "",
    );
    assert!(decode(&other).is_err());
}

#[test]
fn the_upload_limit_holds_for_files_over_http() {
    let content = Content::new(&[("data.bin", 1 << 20)], 32 << 10);
    let mut limited = serving();
    limited.torrent.upload_limit = Some(1 << 20);
    let seed = content.seed_with(limited);
    let clock = Clock::start();
    let (_, body) = get(&seed, "/data/content/data.bin", "");
    assert!(body == content.files[0].1);
    // What may go at once is 50 ms worth, and a part of 128 KiB beyond that.
    assert!(
        clock.now() > Time::ZERO + Duration::from_millis(800),
        "{:?}",
        clock.now()
    );
}

#[test]
fn visitors_that_dawdle_keep_no_peer_out() {
    let content = Content::new(&[("data.bin", 4 << 20)], 64 << 10);
    let seed = content.seed_with(serving());
    let dawdlers: Vec<TcpStream> = (0..400)
        .map(|number| {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, seed.port())).unwrap();
            let request = match number % 2 {
                // Never finishes its question, or never reads its answer.
                0 => "GET / HTTP/1.1\r\nX: ",
                _ => "GET /data/content/data.bin HTTP/1.1\r\nHost: h\r\n\r\n",
            };
            // Beyond the seats it is closed at once.
            let _ = stream.write_all(request.as_bytes());
            stream
        })
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let mut fetcher = content.fetch(dir.path(), &[seed.port()]);
    await_complete(&mut fetcher);
    content.assert_copied_to(dir.path());
    drop(dawdlers);
}

#[test]
fn without_being_asked_to_a_seed_speaks_no_http() {
    let content = content();
    let seed = content.seed();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, seed.port())).unwrap();
    stream
        .write_all(&b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(3))
        .unwrap();
    let mut answer = Vec::new();
    // Closed with our bytes unread, so perhaps by a reset.
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(answer, b"");
}

#[test]
fn who_announces_is_dialled_at_once() {
    let content = content();
    let seed = content.seed_with(serving());
    let newcomer = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = newcomer.local_addr().unwrap().port();
    let (head, _) = get(&seed, &announce(&content, port), "");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let (reply, dialled) = std::sync::mpsc::channel();
    std::thread::spawn(move || reply.send(newcomer.accept()));
    let ample = Duration::from_secs(20);
    dialled.recv_timeout(ample).expect("a dial").unwrap();
}
