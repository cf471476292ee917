//! Web seeds as sources: the HTTP side of another seed, good, lying, and somebody else's server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use swarm::runtime::{Session, SessionConfig};
use swarm::torrent::event::{CloseReason, Notice};

use crate::rig::{Content, await_complete, await_notice, config, with_peers};

fn serving() -> SessionConfig {
    SessionConfig {
        serve: true,
        ..config()
    }
}

fn below(seed: &Session) -> String {
    format!("http://127.0.0.1:{}/data/", seed.port())
}

fn from(urls: &[String]) -> SessionConfig {
    SessionConfig {
        web_seeds: urls.to_vec(),
        ..config()
    }
}

const FILES: [(&str, usize); 4] = [
    ("a/first.bin", 1_000_000),
    ("a/empty", 0),
    ("b/one byte", 1),
    ("b/ünïcode/last.bin", 2_345_679),
];

#[test]
fn everything_can_come_from_a_web_seed() {
    for pad in [false, true] {
        let content = Content::padded(&FILES, 32 << 10, pad);
        let seed = content.seed_with(serving());
        let dir = tempfile::tempdir().unwrap();
        let mut fetcher = content.fetch_with(dir.path(), from(&[below(&seed)]));
        await_complete(&mut fetcher);
        content.assert_copied_to(dir.path());
        let progress = fetcher.progress();
        assert_eq!((progress.bad_pieces, progress.wasted), (0, 0));
        assert_eq!(seed.progress().peers, 0);
    }
}

#[test]
fn a_mirror_that_serves_wrong_bytes_is_dropped_and_named() {
    let content = Content::new(&[("data.bin", 4 << 20)], 64 << 10);
    let seed = content.seed();
    let fake = Content {
        files: Vec::new(),
        dir: tempfile::tempdir().unwrap(),
        meta: content.meta.clone(),
    };
    std::fs::create_dir(fake.dir.path().join("content")).unwrap();
    std::fs::write(fake.dir.path().join("content/data.bin"), vec![7; 4 << 20]).unwrap();
    let mirror = fake.lie_with(serving());
    let dir = tempfile::tempdir().unwrap();
    // Nobody but the mirror at first, so that it is asked.
    let mut fetcher = content.fetch_with(dir.path(), from(&[below(&mirror)]));
    let lost = await_notice(&mut fetcher, |n| matches!(n, Notice::PeerLost { .. }));
    let named = format!("web seed http://127.0.0.1:{}/data/", mirror.port());
    assert!(
        matches!(&lost, Notice::PeerLost { client, reason, .. }
            if *client == named && reason.to_string() == "sent corrupt data"),
        "{lost:?}"
    );
    drop(fetcher);
    // With a peer beside it everything comes all the same.
    let both = with_peers(from(&[below(&mirror)]), &[seed.port()]);
    let mut fetcher = content.fetch_with(dir.path(), both);
    await_complete(&mut fetcher);
    content.assert_copied_to(dir.path());
}

/// A server that answers every request with this and closes.
fn server(answer: &'static str) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4_096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://127.0.0.1:{port}/")
}

#[test]
fn a_server_that_does_not_give_what_it_is_asked_for_is_named() {
    let content = Content::new(&FILES, 32 << 10);
    let seed = content.seed();
    for (answer, want) in [
        ("HTTP/1.1 404 Not Found\r\n\r\n", "HTTP status 404"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "does not serve ranges",
        ),
        (
            "HTTP/1.1 206 OK\r\nContent-Range: bytes 0-0/99\r\n\r\nx",
            "has a file of another length",
        ),
        (
            "HTTP/1.1 206 OK\r\nContent-Range: bytes 1-1/1000000\r\n\r\nx",
            "does not serve the ranges",
        ),
        ("SSH-2.0-OpenSSH\r\n", "not HTTP"),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\n\r\n",
            "may not lead to",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
            "5 redirects",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let config = with_peers(from(&[server(answer)]), &[seed.port()]);
        let mut fetcher = content.fetch_with(dir.path(), config);
        let failed = await_notice(&mut fetcher, |n| matches!(n, Notice::WebSeedFailed { .. }));
        assert!(
            matches!(&failed, Notice::WebSeedFailed { reason, .. } if reason.contains(want)),
            "{failed:?}"
        );
        drop(fetcher);
    }
}

/// What a mirror saw.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

/// A mirror of the content that ends each connection after so many answers, without a word.
fn mirror(content: &Content, answers: usize) -> (String, Arc<Seen>) {
    let (url, seen, open) = closed_mirror(content, answers);
    open.send(()).unwrap();
    (url, seen)
}

/// The same; it takes no connection before it is told to open.
fn closed_mirror(content: &Content, answers: usize) -> (String, Arc<Seen>, mpsc::Sender<()>) {
    let (open, opened) = mpsc::channel();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (root, seen) = (content.dir.path().to_owned(), Arc::new(Seen::default()));
    let watched = Arc::clone(&seen);
    std::thread::spawn(move || {
        let _ = opened.recv();
        for stream in listener.incoming() {
            watched.connections.fetch_add(1, Ordering::Relaxed);
            let (root, watched) = (root.clone(), Arc::clone(&watched));
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.unwrap());
                for _ in 0..answers {
                    let Some((path, range)) = read_request(&mut reader) else {
                        return;
                    };
                    watched.requests.fetch_add(1, Ordering::Relaxed);
                    let file = std::fs::read(root.join(path)).unwrap();
                    let head = format!(
                        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\n\
                         Content-Range: bytes {}-{}/{}\r\n\r\n",
                        range.len(),
                        range.start,
                        range.end - 1,
                        file.len()
                    );
                    let _ = reader.get_mut().write_all(head.as_bytes());
                    let _ = reader.get_mut().write_all(&file[range]);
                }
            });
        }
    });
    (url, seen, open)
}

/// The path and the range that are asked for; `None` at the end of the connection.
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, Range<usize>)> {
    let (mut path, mut range) = (None, None);
    for line in reader.lines() {
        let line = line.ok()?;
        if line.is_empty() {
            return path.zip(range);
        }
        if let Some(rest) = line.strip_prefix("GET /") {
            path = rest.split(' ').next().map(str::to_owned);
        }
        if let Some((_, bytes)) = line.split_once("bytes=") {
            let (first, last) = bytes.split_once('-')?;
            range = Some(first.parse().ok()?..last.parse::<usize>().ok()? + 1);
        }
    }
    None
}

const MANY: [(&str, usize); 5] = [
    ("a", 300_000),
    ("b", 300_000),
    ("c", 300_000),
    ("d", 300_000),
    ("e", 300_000),
];

#[test]
fn a_web_seed_is_asked_over_one_connection() {
    let content = Content::new(&MANY, 32 << 10);
    let (url, seen) = mirror(&content, usize::MAX);
    let dir = tempfile::tempdir().unwrap();
    let mut fetcher = content.fetch_with(dir.path(), from(&[url]));
    await_complete(&mut fetcher);
    content.assert_copied_to(dir.path());
    let requests = seen.requests.load(Ordering::Relaxed);
    assert!(
        requests > MANY.len(),
        "one for each file and the first look: {requests}"
    );
    // The first look has one of its own.
    let connections = seen.connections.load(Ordering::Relaxed);
    assert!(connections <= 2, "{connections} for {requests} requests");
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_made_anew() {
    let content = Content::new(&MANY, 32 << 10);
    let (url, seen) = mirror(&content, 1);
    let dir = tempfile::tempdir().unwrap();
    let mut fetcher = content.fetch_with(dir.path(), from(&[url]));
    await_complete(&mut fetcher);
    content.assert_copied_to(dir.path());
    assert!(seen.connections.load(Ordering::Relaxed) > MANY.len());
}

#[test]
fn a_web_seed_that_found_no_room_comes_back() {
    let content = Content::new(&MANY, 32 << 10);
    let (url, _, open) = closed_mirror(&content, usize::MAX);
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let guest = content.fetch_with(dirs[0].path(), config());
    let mut config = with_peers(from(&[url]), &[guest.port()]);
    config.torrent.peers_max = 1;
    let mut fetcher = content.fetch_with(dirs[1].path(), config);
    await_notice(&mut fetcher, |n| matches!(n, Notice::PeerConnected { .. }));
    open.send(()).unwrap();
    let refused = |n: &Notice| {
        matches!(
            n,
            Notice::PeerLost {
                reason: CloseReason::TooMany,
                ..
            }
        )
    };
    await_notice(&mut fetcher, refused);
    drop(guest);
    await_complete(&mut fetcher);
    content.assert_copied_to(dirs[1].path());
}

#[test]
fn no_more_than_three_web_seeds_are_asked() {
    let content = Content::new(&MANY, 32 << 10);
    let mirrors: Vec<_> = (0..5).map(|_| mirror(&content, usize::MAX)).collect();
    let urls: Vec<String> = mirrors.iter().map(|(url, _)| url.clone()).collect();
    let dir = tempfile::tempdir().unwrap();
    let mut fetcher = content.fetch_with(dir.path(), from(&urls));
    await_complete(&mut fetcher);
    let asked = |(_, seen): &(String, Arc<Seen>)| seen.connections.load(Ordering::Relaxed) > 0;
    assert_eq!(
        mirrors.iter().map(asked).collect::<Vec<_>>()[3..],
        [false, false]
    );
}
