//! The question and the answer of HTTP trackers (BEP 3, 7, 23).
//!
//! Host names among the peers of an answer are left out: resolving names of a stranger's choice is
//! a way to make us talk to whom they like, and trackers have sent addresses for two decades.

use std::net::{IpAddr, SocketAddr};

use super::compact::{self, Family, PEERS_MAX};
use super::url::{TrackerUrl, push_percent};
use super::{
    AnnounceEvent, AnnounceFailure, AnnounceRequest, AnnounceResponse, clamp_interval, shortened,
};
use crate::bencode::{Document, Limits, Value};

/// How much answer is read: 1 MiB after inflation. Every peer as a
/// dictionary of its own is four values and three levels; the rest is room.
pub const ANSWER: Limits = Limits {
    input: 1 << 20,
    depth: 16,
    tokens: 100_000,
};

/// When to ask again where the tracker does not say, in seconds. Trackers commonly say 30 minutes.
const INTERVAL_DEFAULT: u64 = 1_800;

/// The longest tracker id that is sent back, in bytes. Chosen, untested.
const TRACKER_ID_LEN_MAX: usize = 256;

/// The URL to fetch: that of the tracker, its own query kept, with the announce added.
///
/// `tracker_id` is what the last answer of this tracker carried.
pub fn announce_url(
    tracker: &TrackerUrl,
    request: &AnnounceRequest,
    tracker_id: Option<&str>,
) -> TrackerUrl {
    let mut query = String::with_capacity(256);
    push_field(&mut query, "info_hash", request.info_hash.as_bytes());
    push_field(&mut query, "peer_id", request.peer_id.as_bytes());
    let key = format!("{:08x}", request.key);
    for (name, value) in [
        ("port", request.port.to_string()),
        ("uploaded", request.uploaded.to_string()),
        ("downloaded", request.downloaded.to_string()),
        ("left", request.left.to_string()),
        ("numwant", request.num_want.to_string()),
        ("key", key),
        ("compact", "1".to_owned()),
    ] {
        push_field(&mut query, name, value.as_bytes());
    }
    let event = match request.event {
        AnnounceEvent::Started => Some("started"),
        AnnounceEvent::Completed => Some("completed"),
        AnnounceEvent::Stopped => Some("stopped"),
        AnnounceEvent::Periodic => None,
    };
    for (name, value) in [("event", event), ("trackerid", tracker_id)] {
        if let Some(value) = value {
            push_field(&mut query, name, value.as_bytes());
        }
    }
    tracker.with_query(&query)
}

/// Appends `name=value`; of the value everything but RFC 3986's unreserved characters is encoded,
/// because it is raw bytes to the tracker.
fn push_field(query: &mut String, name: &str, value: &[u8]) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(name);
    query.push('=');
    for &byte in value {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            query.push(char::from(byte));
        } else {
            push_percent(query, byte);
        }
    }
}

/// Reads the body of an answer.
///
/// # Errors
/// [`AnnounceFailure::Refused`] if it is a refusal, [`AnnounceFailure::BadResponse`] if it is not
/// an answer.
pub fn decode(body: &[u8]) -> Result<AnnounceResponse, AnnounceFailure> {
    let document = Document::scan_prefix(body, &ANSWER).map_err(|error| bad(&error.to_string()))?;
    let answer = document.root();
    if answer.dict().is_none() {
        return Err(bad("not a dictionary"));
    }
    if let Some(reason) = answer.get(b"failure reason") {
        let reason = reason.bytes().unwrap_or(b"no reason given");
        return Err(AnnounceFailure::Refused(shortened(reason)));
    }
    let mut peers = match answer.get(b"peers") {
        Some(peers) => read_peers(peers, Family::V4)?,
        None => Vec::new(),
    };
    if let Some(peers6) = answer.get(b"peers6") {
        peers.extend(read_peers(peers6, Family::V6)?);
        peers.truncate(PEERS_MAX);
    }
    let number = |key| answer.get(key).and_then(Value::uint);
    let count = |key| number(key).map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    let warning = answer.get(b"warning message").and_then(Value::bytes);
    let tracker_id = answer.get(b"tracker id").and_then(Value::text);
    Ok(AnnounceResponse {
        interval: clamp_interval(number(b"interval").unwrap_or(INTERVAL_DEFAULT)),
        min_interval: number(b"min interval").map(clamp_interval),
        peers,
        complete: count(b"complete"),
        incomplete: count(b"incomplete"),
        warning: warning.map(shortened),
        tracker_id: tracker_id
            .filter(|id| id.len() <= TRACKER_ID_LEN_MAX)
            .map(str::to_owned),
    })
}

fn read_peers(peers: Value<'_>, family: Family) -> Result<Vec<SocketAddr>, AnnounceFailure> {
    if let Some(list) = peers.list() {
        // One bad entry says nothing about the others.
        return Ok(list.filter_map(read_peer).take(PEERS_MAX).collect());
    }
    match peers.bytes() {
        Some(packed) if packed.len() % family.entry_len() == 0 => {
            Ok(compact::peers(packed, family))
        }
        Some(_) => Err(bad("peers are cut off")),
        None => Err(bad("peers are neither a string nor a list")),
    }
}

/// A peer as a dictionary, if it names an address and a port.
fn read_peer(peer: Value<'_>) -> Option<SocketAddr> {
    let ip: IpAddr = peer.get(b"ip")?.text()?.parse().ok()?;
    let port = u16::try_from(peer.get(b"port")?.uint()?).ok()?;
    (port != 0).then(|| SocketAddr::new(ip.to_canonical(), port))
}

fn bad(reason: &str) -> AnnounceFailure {
    AnnounceFailure::BadResponse(reason.to_owned())
}

#[cfg(test)]
mod tests;
