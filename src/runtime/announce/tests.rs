//! Announces to trackers on loopback that behave well, badly and not at all.

mod udp;

use std::io::Write;
use std::rc::Rc;

use flate2::{Compression, write::GzEncoder};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use super::*;
use crate::ids::{InfoHash, PeerId};
use crate::runtime::scope::Scope;
use crate::runtime::web::reach::Reach;
use crate::runtime::web::{Caution, connect};
use crate::tracker::AnnounceEvent;

const AMPLE: Duration = Duration::from_secs(20);
const CERT: &[u8] = include_bytes!("../../../fixtures/tls/cert.der");
const KEY: &[u8] = include_bytes!("../../../fixtures/tls/key.der");

/// An answer with the peer 10.0.0.1:6881.
const BODY: &[u8] = b"d8:intervali1800e5:peers6:\x0a\0\0\x01\x1a\xe1e";

type Outcome = Result<AnnounceResponse, AnnounceFailure>;

fn request() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash::new([1; 20]),
        peer_id: PeerId::new([2; 20]),
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        left: 1,
        event: AnnounceEvent::Started,
        num_want: 50,
        key: 7,
    }
}

/// Runs as the session does: everything on one thread.
fn run<F: Future>(test: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, test)
}

fn ok(headers: &str, body: &[u8]) -> Vec<u8> {
    let len = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

fn moved(location: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a whole request"));
    }
    String::from_utf8(head).expect("ASCII")
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: impl Fn(&str) -> Vec<u8>) {
    let head = read_head(&mut stream).await;
    // The client may hang up in the middle of what it does not want to hear.
    let _ = stream.write_all(&answer(&head)).await;
    let _ = stream.shutdown().await;
}

/// A tracker that answers each request head with raw bytes; returns its port.
async fn http_tracker(answer: impl Fn(&str) -> Vec<u8> + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let answer = Rc::new(answer);
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::task::spawn_local(serve(stream, move |head| answer(head)));
        }
    });
    port
}

/// What comes of one announce to a tracker that always answers with these bytes.
fn announce_to(answer: Vec<u8>) -> Outcome {
    run(async {
        let port = http_tracker(move |_| answer.clone()).await;
        let url = format!("http://127.0.0.1:{port}/announce");
        Announcer::new(None, Scope::Any, 1)
            .announce(&url, request(), AMPLE)
            .await
    })
}

fn assert_good(outcome: Outcome) {
    let answer = outcome.expect("an answer");
    assert_eq!(answer.peers, ["10.0.0.1:6881".parse().expect("valid")]);
}

fn assert_bad(outcome: &Outcome, words: &str) {
    match outcome {
        Err(AnnounceFailure::BadResponse(reason)) => assert!(reason.contains(words), "{reason}"),
        other => panic!("want a bad answer with {words:?}, got: {other:?}"),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

#[test]
fn a_good_answer_is_read_in_every_shape_http_has() {
    assert_good(announce_to(ok("", BODY)));
    assert_good(announce_to(ok("Content-Encoding: gzip\r\n", &gzip(BODY))));
    assert_good(announce_to([b"HTTP/1.0 200 OK\r\n\r\n", BODY].concat()));
    let continued = [b"HTTP/1.1 100 Continue\r\n\r\n", &ok("", BODY)[..]].concat();
    assert_good(announce_to(continued));
    let bare = String::from_utf8_lossy(&ok("", b"")).replace("\r\n", "\n");
    let bare = bare.replace("Content-Length: 0\n", "");
    assert_good(announce_to([bare.as_bytes(), BODY].concat()));
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (first, second) = BODY.split_at(10);
    let size = format!("\r\n{:x}\r\n", second.len());
    let chunked = [
        head,
        &b"a\r\n"[..],
        first,
        size.as_bytes(),
        second,
        b"\r\n0\r\n\r\n",
    ];
    assert_good(announce_to(chunked.concat()));
}

#[test]
fn the_request_says_who_we_are_and_what_we_want() {
    run(async {
        let port = http_tracker(|head| {
            assert!(
                head.starts_with("GET /announce?k=v&info_hash=%01%01"),
                "{head}"
            );
            let head = head.to_ascii_lowercase();
            assert!(head.contains("\r\nuser-agent: swarm/"), "{head}");
            assert!(head.contains("\r\nhost: 127.0.0.1:"), "{head}");
            ok("", BODY)
        });
        let url = format!("http://127.0.0.1:{}/announce?k=v", port.await);
        assert_good(
            Announcer::new(None, Scope::Any, 1)
                .announce(&url, request(), AMPLE)
                .await,
        );
    });
}

#[test]
fn a_tracker_id_is_sent_back() {
    run(async {
        let port = http_tracker(|head| {
            let known = head.contains("&trackerid=abc");
            let words: &[u8] = if known { b"again" } else { b"first" };
            ok(
                "",
                &[b"d10:tracker id3:abc15:warning message5:", words, b"e"].concat(),
            )
        });
        let url = format!("http://127.0.0.1:{}/announce", port.await);
        let announcer = Announcer::new(None, Scope::Any, 1);
        for words in ["first", "again"] {
            let answer = announcer.announce(&url, request(), AMPLE).await;
            assert_eq!(answer.expect("an answer").warning.as_deref(), Some(words));
        }
    });
}

#[test]
fn what_is_no_answer_is_told_in_one_line() {
    assert_bad(&announce_to(ok("", b"<html>It works!</html>")), "'<'");
    assert_bad(
        &announce_to(b"\x13BitTorrent protocol, sort of\r\n\r\n".to_vec()),
        "not HTTP",
    );
    assert_bad(
        &announce_to(b"HTTP/1.1 404 Not Found\r\n\r\n".to_vec()),
        "404",
    );
    assert_bad(
        &announce_to(ok("Content-Encoding: br\r\n", BODY)),
        "compressed",
    );
    assert_bad(
        &announce_to(b"HTTP/1.1 302 Found\r\n\r\n".to_vec()),
        "nowhere",
    );
    let silent = announce_to(Vec::new());
    assert!(
        matches!(silent, Err(AnnounceFailure::Unreachable(_))),
        "{silent:?}"
    );
    let cut = announce_to(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nd5:".to_vec());
    assert!(
        matches!(cut, Err(AnnounceFailure::Unreachable(_))),
        "{cut:?}"
    );
    let refused = announce_to(ok("", b"d14:failure reason2:noe"));
    assert_eq!(refused, Err(AnnounceFailure::Refused("no".to_owned())));
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let endless = [b"HTTP/1.1 200 OK\r\n\r\n", &vec![b'i'; 2 << 20][..]].concat();
    assert_bad(&announce_to(endless), "1 MiB");
    let bomb = gzip(&vec![b'0'; 10 << 20]);
    assert_bad(
        &announce_to(ok("Content-Encoding: gzip\r\n", &bomb)),
        "inflate",
    );
    let endless_head = [b"HTTP/1.1 200 OK\r\nX: ", &vec![b'x'; 2 << 20][..]].concat();
    assert_bad(&announce_to(endless_head), "not HTTP");
}

#[test]
fn a_redirect_is_followed_but_not_for_ever() {
    run(async {
        let port = http_tracker(|head| match head.split(' ').nth(1) {
            Some("/announce2?x") => ok("", BODY),
            _ => moved("/announce2?x"),
        });
        let url = format!("http://127.0.0.1:{}/announce", port.await);
        assert_good(
            Announcer::new(None, Scope::Any, 1)
                .announce(&url, request(), AMPLE)
                .await,
        );
    });
    assert_bad(&announce_to(moved("/announce")), "redirects");
    assert_bad(&announce_to(moved("udp://127.0.0.1:1/announce")), "UDP");
    for location in [
        "file:///etc/passwd",
        "gopher://127.0.0.1/announce",
        "http://",
    ] {
        let outcome = announce_to(moved(location));
        assert!(
            matches!(outcome, Err(AnnounceFailure::BadUrl(_))),
            "{location}"
        );
    }
}

#[test]
fn a_manifest_cannot_press_the_buttons_of_a_local_service() {
    let outcome = announce_to(moved("/admin/shutdown"));
    assert!(
        matches!(outcome, Err(AnnounceFailure::BadUrl(_))),
        "{outcome:?}"
    );
    let direct = run(async {
        let announcer = Announcer::new(None, Scope::Any, 1);
        let url = "http://localhost:1/admin/shutdown";
        announcer.announce(url, request(), AMPLE).await
    });
    assert!(
        matches!(direct, Err(AnnounceFailure::BadUrl(_))),
        "{direct:?}"
    );
}

#[test]
fn a_public_tracker_cannot_lead_into_private_networks() {
    run(async {
        let web = Web::new(None, Scope::Any);
        for url in [
            "http://127.0.0.1/announce",
            "http://localhost/announce",
            "http://[::ffff:127.0.0.1]/announce",
            "http://169.254.169.254/latest/meta-data",
            "http://192.168.1.1/announce",
            "http://[fd00::1]/announce",
        ] {
            let url = TrackerUrl::parse(url).expect("good");
            let addrs = connect::resolve(&url, &web, (Caution::Tracker, Some(Reach::Global))).await;
            assert!(matches!(addrs, Err(AnnounceFailure::BadUrl(_))), "{url}");
        }
        let url = TrackerUrl::parse("http://10.0.0.5:6881/announce").expect("good");
        assert!(
            connect::resolve(&url, &web, (Caution::Tracker, None))
                .await
                .is_ok()
        );
        assert!(
            connect::resolve(&url, &web, (Caution::Tracker, Some(Reach::Site)))
                .await
                .is_ok()
        );
    });
}

#[test]
fn only_a_tracker_of_this_machine_names_peers_on_its_loopback() {
    let peers = [
        "127.0.0.1:22",
        "[::1]:22",
        "[::ffff:127.0.0.1]:22",
        "10.0.0.1:6881",
    ];
    let peers: Vec<SocketAddr> = peers.map(|peer| peer.parse().expect("valid")).to_vec();
    let named_by = |tracker: &str| {
        let response = AnnounceResponse {
            peers: peers.clone(),
            ..Default::default()
        };
        believed(response, tracker.parse().expect("valid")).peers
    };
    for tracker in ["8.8.8.8", "10.0.0.5", "2001:db8::1", "::ffff:8.8.8.8"] {
        assert_eq!(named_by(tracker), peers[3..], "{tracker}");
    }
    for tracker in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        assert_eq!(named_by(tracker), peers, "{tracker}");
    }
}

#[test]
fn a_tracker_that_hangs_is_given_up_at_the_deadline() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let deadline = Duration::from_millis(50);
        let url = format!("http://127.0.0.1:{port}/announce");
        let outcome = Announcer::new(None, Scope::Any, 1)
            .announce(&url, request(), deadline)
            .await;
        assert_eq!(outcome, Err(AnnounceFailure::Timeout(deadline)));
    });
}

#[test]
fn a_closed_port_and_an_unknown_name_are_told_apart() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let announcer = Announcer::new(None, Scope::Any, 1);
        let url = format!("http://127.0.0.1:{port}/announce");
        let closed = announcer.announce(&url, request(), AMPLE).await;
        let refused = AnnounceFailure::Unreachable("connection refused".to_owned());
        assert_eq!(closed, Err(refused));
        let bound = Announcer::new(Some("::1".parse().expect("valid")), Scope::Any, 1);
        let other_family = bound.announce(&url, request(), AMPLE).await;
        assert!(matches!(other_family, Err(AnnounceFailure::Unreachable(_))));
    });
}

/// A tracker over TLS with the certificate of the fixtures.
async fn https_tracker() -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(KEY.to_vec()).expect("a key");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(CERT.to_vec())], key)
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, |_| ok("", BODY)).await;
            }
        }
    });
    port
}

fn assert_untrusted(outcome: &Outcome) {
    match outcome {
        Err(AnnounceFailure::Unreachable(reason)) => {
            assert!(reason.contains("certificate"), "{reason}");
        }
        other => panic!("want a doubted certificate, got: {other:?}"),
    }
}

#[test]
fn a_certificate_counts_only_if_somebody_we_trust_vouches_for_it() {
    run(async {
        let port = https_tracker().await;
        let url = format!("https://127.0.0.1:{port}/announce");
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from(CERT))
            .expect("a certificate");
        let trusting = Announcer::over(Web::with_roots(None, roots), 1);
        assert_good(trusting.announce(&url, request(), AMPLE).await);
        let other_name = url.replace("127.0.0.1", "[::ffff:127.0.0.1]");
        let misnamed = trusting.announce(&other_name, request(), AMPLE).await;
        assert_untrusted(&misnamed);
        let wary = Announcer::new(None, Scope::Any, 1);
        assert_untrusted(&wary.announce(&url, request(), AMPLE).await);
    });
}

#[test]
fn no_url_makes_the_announcer_panic() {
    run(async {
        let announcer = Announcer::new(None, Scope::Any, 1);
        for url in [
            "",
            "http://",
            "udp://127.0.0.1",
            "ftp://h/",
            "http://h:1/\r\nX: y",
        ] {
            let outcome = announcer.announce(url, request(), AMPLE).await;
            assert!(matches!(outcome, Err(AnnounceFailure::BadUrl(_))), "{url}");
        }
    });
}
