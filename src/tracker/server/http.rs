//! The tracker's answers over HTTP: the query of a request in, bencode out (BEP 3, 7, 23, 48).
//!
//! Refusals are answers, too: clients show the `failure reason` and nothing else.

use std::net::IpAddr;

use super::{Answer, Caller, Named, SCRAPE_MAX, TrackerServer};
use crate::bencode::{put_bytes, put_int};
use crate::ids::{InfoHash, PeerId};
use crate::time::Time;
use crate::tracker::url::unescaped;
use crate::tracker::{AnnounceEvent, AnnounceRequest};

/// Peers named where the request does not say how many (as opentracker and chihaya).
const NAMED_DEFAULT: u32 = 50;

/// How peers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Back to back (BEP 23).
    Compact,
    /// A dictionary each (BEP 3).
    Dictionaries,
    /// The same without ids.
    DictionariesWithoutId,
}

/// Answers `GET /announce?query`.
pub fn announce(server: &mut TrackerServer, query: &str, caller: Caller, now: Time) -> Vec<u8> {
    let answered = read_announce(query)
        .map_err(str::to_owned)
        .and_then(|(request, form)| {
            server
                .announce(&request, caller, now)
                .map(|answer| write_answer(&answer, form))
                .map_err(|refusal| refusal.to_string())
        });
    answered.unwrap_or_else(|reason| failure(&reason))
}

/// Answers `GET /scrape?query`. Nobody is told of every swarm there is.
pub fn scrape(server: &TrackerServer, query: &str) -> Vec<u8> {
    let asked = fields(query).filter(|(key, _)| *key == "info_hash");
    let mut hashes: Vec<InfoHash> = asked
        .filter_map(|(_, value)| id(value).map(InfoHash::new))
        .take(SCRAPE_MAX)
        .collect();
    if hashes.is_empty() {
        return failure("info_hash is missing");
    }
    // Keys of a dictionary ascend, and stand in it once.
    hashes.sort_unstable();
    hashes.dedup();
    let mut out = b"d5:filesd".to_vec();
    for info_hash in hashes {
        let counts = server.scrape(info_hash);
        put_bytes(&mut out, info_hash.as_bytes());
        out.push(b'd');
        put_number(&mut out, "complete", counts.complete.into());
        put_number(&mut out, "downloaded", counts.downloaded.into());
        put_number(&mut out, "incomplete", counts.incomplete.into());
        out.push(b'e');
    }
    out.extend(b"ee");
    out
}

/// A refusal in these words.
pub fn failure(reason: &str) -> Vec<u8> {
    let mut out = b"d".to_vec();
    put_bytes(&mut out, b"failure reason");
    put_bytes(&mut out, reason.as_bytes());
    out.push(b'e');
    out
}

fn read_announce(query: &str) -> Result<(AnnounceRequest, Form), &'static str> {
    let (mut info_hash, mut peer_id) = (None, None);
    let mut request = AnnounceRequest {
        info_hash: InfoHash::new([0; 20]),
        peer_id: PeerId::new([0; 20]),
        port: 0,
        uploaded: 0,
        downloaded: 0,
        // Who does not say is taken for somebody who needs peers.
        left: u64::MAX,
        event: AnnounceEvent::Periodic,
        num_want: NAMED_DEFAULT,
        key: 0,
    };
    let (mut form, mut with_id) = (Form::Compact, true);
    for (key, value) in fields(query) {
        match key {
            "info_hash" => info_hash = id(value),
            "peer_id" => peer_id = id(value),
            "port" => request.port = value.parse().map_err(|_| "port is not a number")?,
            "left" => request.left = value.parse().unwrap_or(u64::MAX),
            // Some clients write -1 for "as you like".
            "numwant" => request.num_want = value.parse().unwrap_or(NAMED_DEFAULT),
            "event" => request.event = event(value),
            "compact" if value == "0" => form = Form::Dictionaries,
            "no_peer_id" => with_id = value != "1",
            _ => {}
        }
    }
    request.info_hash = InfoHash::new(info_hash.ok_or("info_hash is not 20 bytes")?);
    request.peer_id = PeerId::new(peer_id.ok_or("peer_id is not 20 bytes")?);
    if form == Form::Dictionaries && !with_id {
        form = Form::DictionariesWithoutId;
    }
    Ok((request, form))
}

fn event(value: &str) -> AnnounceEvent {
    match value {
        "started" => AnnounceEvent::Started,
        "completed" => AnnounceEvent::Completed,
        "stopped" => AnnounceEvent::Stopped,
        _ => AnnounceEvent::Periodic,
    }
}

fn write_answer(answer: &Answer, form: Form) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + 6 * answer.peers.len());
    out.push(b'd');
    put_number(&mut out, "complete", answer.counts.complete.into());
    put_number(&mut out, "downloaded", answer.counts.downloaded.into());
    put_number(&mut out, "incomplete", answer.counts.incomplete.into());
    let secs = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    put_number(&mut out, "interval", secs(answer.interval));
    put_number(&mut out, "min interval", secs(answer.interval_min));
    if form == Form::Compact {
        put_compact(&mut out, &answer.peers);
    } else {
        put_bytes(&mut out, b"peers");
        out.push(b'l');
        for peer in &answer.peers {
            put_dictionary(&mut out, peer, form);
        }
        out.push(b'e');
    }
    out.push(b'e');
    out
}

fn put_compact(out: &mut Vec<u8>, peers: &[Named]) {
    let (mut v4, mut v6) = (Vec::with_capacity(6 * peers.len()), Vec::new());
    for peer in peers {
        let packed = match peer.addr.ip() {
            IpAddr::V4(ip) => {
                v4.extend(ip.octets());
                &mut v4
            }
            IpAddr::V6(ip) => {
                v6.extend(ip.octets());
                &mut v6
            }
        };
        packed.extend(peer.addr.port().to_be_bytes());
    }
    put_bytes(out, b"peers");
    put_bytes(out, &v4);
    if !v6.is_empty() {
        put_bytes(out, b"peers6");
        put_bytes(out, &v6);
    }
}

fn put_dictionary(out: &mut Vec<u8>, peer: &Named, form: Form) {
    out.push(b'd');
    put_bytes(out, b"ip");
    put_bytes(out, peer.addr.ip().to_string().as_bytes());
    if form == Form::Dictionaries {
        put_bytes(out, b"peer id");
        put_bytes(out, peer.peer_id.as_bytes());
    }
    put_number(out, "port", peer.addr.port().into());
    out.push(b'e');
}

fn put_number(out: &mut Vec<u8>, key: &str, number: i64) {
    put_bytes(out, key.as_bytes());
    put_int(out, number);
}

fn fields(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter_map(|field| field.split_once('='))
}

/// The 20 bytes that a value stands for.
fn id(value: &str) -> Option<[u8; 20]> {
    // At its longest every byte is three characters.
    let value = (value.len() <= 60).then(|| value.replace('+', " "))?;
    unescaped(&value)?.try_into().ok()
}
