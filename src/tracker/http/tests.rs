//! Announce URLs, and answers good and bad.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::ids::{InfoHash, PeerId};

fn request(event: AnnounceEvent) -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash::new(*b"\0\r\x1a\'4AN[hu\x82\x8f\x9c\xa9\xb6\xc3\xd0\xdd\xea\xf7"),
        peer_id: PeerId::new(*b"-SW0100-abc~ ABC/?&\xff"),
        port: 6881,
        uploaded: 1,
        downloaded: 2,
        left: 3,
        event,
        num_want: 50,
        key: 0xbeef,
    }
}

fn url(tracker: &str, event: AnnounceEvent, id: Option<&str>) -> String {
    let tracker = TrackerUrl::parse(tracker).expect("good");
    let url = announce_url(&tracker, &request(event), id);
    format!("{}://{}{}", url.scheme(), url.authority(), url.target())
}

#[test]
fn an_announce_is_one_line_of_raw_bytes_made_harmless() {
    assert_eq!(
        url("http://h:1/announce", AnnounceEvent::Started, None),
        "http://h:1/announce?\
         info_hash=%00%0D%1A%274AN%5Bhu%82%8F%9C%A9%B6%C3%D0%DD%EA%F7\
         &peer_id=-SW0100-abc~%20ABC%2F%3F%26%FF&port=6881&uploaded=1&downloaded=2&left=3\
         &numwant=50&key=0000beef&compact=1&event=started"
    );
}

#[test]
fn the_query_of_the_tracker_is_kept() {
    let periodic = AnnounceEvent::Periodic;
    for (base, start) in [
        ("http://h/a?passkey=x", "http://h/a?passkey=x&info_hash="),
        ("http://h/a?passkey=x&", "http://h/a?passkey=x&info_hash="),
        ("http://h/a?", "http://h/a?info_hash="),
        ("http://h", "http://h/?info_hash="),
    ] {
        assert!(url(base, periodic, None).starts_with(start));
    }
    let periodic = url("http://h/a", periodic, Some("a b&c"));
    assert!(periodic.ends_with("compact=1&trackerid=a%20b%26c"));
    assert!(url("http://h/", AnnounceEvent::Stopped, None).ends_with("event=stopped"));
    assert!(url("http://h/", AnnounceEvent::Completed, None).ends_with("event=completed"));
}

fn addrs(addrs: &[&str]) -> Vec<SocketAddr> {
    addrs
        .iter()
        .map(|addr| addr.parse().expect("valid"))
        .collect()
}

#[test]
fn an_answer_in_full_is_read() {
    let body = b"d8:completei5e10:incompletei6e8:intervali1042e12:min intervali40e\
        5:peers12:\x0a\0\0\x01\x1a\xe1\x0a\0\0\x02\0\0\
        6:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\0\x50\
        10:tracker id3:abc15:warning message4:slowe\n";
    let want = AnnounceResponse {
        interval: Duration::from_secs(1042),
        min_interval: Some(Duration::from_secs(40)),
        peers: addrs(&["10.0.0.1:6881", "[2001:db8::1]:80"]),
        complete: Some(5),
        incomplete: Some(6),
        warning: Some("slow".to_owned()),
        tracker_id: Some("abc".to_owned()),
    };
    assert_eq!(decode(body), Ok(want));
}

#[test]
fn peers_may_be_dictionaries_and_bad_ones_are_left_out() {
    let body = b"d5:peersl\
        d2:ip8:10.0.0.14:porti6881ee\
        d2:ip3:::14:porti80ee\
        d2:ip11:example.com4:porti80ee\
        d2:ip8:10.0.0.24:porti0ee\
        d2:ip8:10.0.0.34:porti65536ee\
        d4:porti80ee\
        4:spam\
        ee";
    let answer = decode(body).expect("an answer");
    assert_eq!(answer.peers, addrs(&["10.0.0.1:6881", "[::1]:80"]));
    assert_eq!(answer.interval, Duration::from_secs(INTERVAL_DEFAULT));
}

#[test]
fn intervals_are_kept_within_reason() {
    for (told, kept) in [
        ("0", 30),
        ("-5", 1_800),
        ("600", 600),
        ("9000000", 6 * 3_600),
    ] {
        let body = format!("d8:intervali{told}ee");
        let answer = decode(body.as_bytes()).expect("an answer");
        assert_eq!(answer.interval, Duration::from_secs(kept));
    }
}

#[test]
fn a_refusal_wins_over_everything_else() {
    let refused = |words: &str| Err(AnnounceFailure::Refused(words.to_owned()));
    let body = b"d14:failure reason7:no such5:peers0:e";
    assert_eq!(decode(body), refused("no such"));
    assert_eq!(
        decode(b"d14:failure reasoni1ee"),
        refused("no reason given")
    );
    let long = format!("d14:failure reason2000:{}e", "\u{fc}".repeat(1_000));
    assert_eq!(decode(long.as_bytes()), refused(&"\u{fc}".repeat(256)));
}

#[test]
fn what_is_no_answer_is_said_to_be_none() {
    let nested = "l".repeat(100_000);
    let huge = format!("d1:x{}:{}e", 2 << 20, "x".repeat(2 << 20));
    for body in [
        "",
        "<html><body>It works!</body></html>",
        "le",
        "d5:peersi1ee",
        "d5:peers5:aaaaae",
        "d5:peers6:aaaaa",
        &nested,
        &huge,
    ] {
        let verdict = decode(body.as_bytes());
        assert!(matches!(verdict, Err(AnnounceFailure::BadResponse(_))));
    }
}

#[test]
fn a_tracker_id_that_cannot_be_sent_back_is_forgotten() {
    let long = format!("d10:tracker id300:{}e", "x".repeat(300));
    assert_eq!(decode(long.as_bytes()).expect("an answer").tracker_id, None);
    let raw = b"d10:tracker id1:\xffe";
    assert_eq!(decode(raw).expect("an answer").tracker_id, None);
}

proptest! {
    #[test]
    fn no_body_panics(body: Vec<u8>) {
        let _verdict = decode(&body);
    }

    #[test]
    fn no_mutated_body_panics(at in 0usize..150, byte: u8) {
        let mut body = b"d8:completei5e10:incompletei6e8:intervali1042e5:peersld2:ip8:10.0.0.1\
            4:porti6881eee6:peers60:10:tracker id3:abc15:warning message4:slowe".to_vec();
        let at = at % body.len();
        body[at] = byte;
        let _verdict = decode(&body);
    }

    #[test]
    fn no_url_panics_or_smuggles(url in "(http|https|udp)://.{0,60}") {
        if let Ok(tracker) = TrackerUrl::parse(&url) {
            let asked = announce_url(&tracker, &request(AnnounceEvent::Periodic), None);
            prop_assert!(asked.target().bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}
