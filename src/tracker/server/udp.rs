//! The tracker's answers over UDP: a packet in, a packet or nothing out (BEP 15).
//!
//! Nothing is kept for a connection id: it is a keyed hash of the asker's address and the minute,
//! good in the minute it was given out in and in the next. Until an asker has shown one, it never
//! gets more bytes than it sent, so that nobody can aim the tracker at somebody else.

use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, BufMut};

use super::{Answer, Caller, SCRAPE_MAX, TrackerServer};
use crate::hash;
use crate::ids::{InfoHash, PeerId};
use crate::time::Time;
use crate::tracker::compact::Family;
use crate::tracker::udp::{ANNOUNCE, CONNECT, ERROR, PROTOCOL_ID, SCRAPE};
use crate::tracker::{AnnounceEvent, AnnounceRequest};

/// The longest packet that is read: an announce with the options of BEP 41, a scrape of 74 swarms.
pub const PACKET_LEN_MAX: usize = 2_048;

/// The longest answer: what passes a link of 1,500 bytes in one piece, headers of IPv6 counted.
const ANSWER_LEN_MAX: usize = 1_452;

const ANNOUNCE_LEN: usize = 98;
const HEADER_LEN: usize = 16;

/// How long a connection id is given out, in seconds; it is accepted for one to two of these.
const EPOCH_SECS: u64 = 60;

/// The key of the connection ids. Its random bytes must be nobody else's.
#[derive(Clone, Copy)]
pub struct Secret(pub [u8; 16]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// One packet that arrived.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Where it came from.
    pub from: SocketAddr,
    /// The address of ours that it came to, where that is known.
    pub reached: Option<IpAddr>,
}

/// Writes the answer to `packet` into `out`; nothing, if it deserves none.
pub fn answer(
    server: &mut TrackerServer,
    secret: &Secret,
    packet: &Packet<'_>,
    now: Time,
    out: &mut Vec<u8>,
) {
    out.clear();
    let ip = packet.from.ip().to_canonical();
    let Some((mut header, body)) = packet.bytes.split_at_checked(HEADER_LEN) else {
        return;
    };
    let (connection, action, transaction) = (header.get_u64(), header.get_u32(), header.get_u32());
    if server.admit(ip, now).is_err() {
        return;
    }
    let epoch = now.since(Time::ZERO).as_secs() / EPOCH_SECS;
    if action == CONNECT {
        if connection == PROTOCOL_ID {
            put_header(out, CONNECT, transaction);
            out.put_u64(connection_id(secret, ip, epoch));
        }
        return;
    }
    let ids = [epoch, epoch.wrapping_sub(1)];
    if !ids
        .iter()
        .any(|&epoch| connection == connection_id(secret, ip, epoch))
    {
        // No longer than the shortest packet that can come to this.
        return put_error(out, transaction, "expired");
    }
    let caller = Caller {
        ip,
        reached: packet.reached,
    };
    match action {
        ANNOUNCE if packet.bytes.len() >= ANNOUNCE_LEN => {
            let request = read_announce(body);
            match server.announce(&request, caller, now) {
                Ok(answer) => put_answer(out, transaction, &answer, Family::of(ip)),
                Err(refusal) => put_error(out, transaction, &refusal.to_string()),
            }
        }
        SCRAPE if body.len() >= 20 => put_scrape(out, transaction, server, body),
        _ => put_error(out, transaction, "malformed request"),
    }
}

/// Hashing with a key in front is enough here: the length of what follows is fixed.
fn connection_id(secret: &Secret, ip: IpAddr, epoch: u64) -> u64 {
    let mut keyed = Vec::with_capacity(40);
    keyed.put_slice(&secret.0);
    keyed.put_u64(epoch);
    match ip {
        IpAddr::V4(ip) => keyed.put_slice(&ip.to_ipv6_mapped().octets()),
        IpAddr::V6(ip) => keyed.put_slice(&ip.octets()),
    }
    hash::one(&keyed).as_slice().get_u64()
}

/// `body` is what follows the header, 82 bytes at least.
fn read_announce(mut body: &[u8]) -> AnnounceRequest {
    let mut id = [0; 20];
    body.copy_to_slice(&mut id);
    let info_hash = InfoHash::new(id);
    body.copy_to_slice(&mut id);
    let peer_id = PeerId::new(id);
    let (downloaded, left, uploaded) = (body.get_u64(), body.get_u64(), body.get_u64());
    let event = match body.get_u32() {
        1 => AnnounceEvent::Completed,
        2 => AnnounceEvent::Started,
        3 => AnnounceEvent::Stopped,
        _ => AnnounceEvent::Periodic,
    };
    // The address it states: that of the packet counts.
    body.advance(4);
    AnnounceRequest {
        info_hash,
        peer_id,
        uploaded,
        downloaded,
        left,
        event,
        key: body.get_u32(),
        // -1 for "as you like" is more than is ever named.
        num_want: body.get_u32(),
        port: body.get_u16(),
    }
}

fn put_answer(out: &mut Vec<u8>, transaction: u32, answer: &Answer, family: Family) {
    put_header(out, ANNOUNCE, transaction);
    out.put_u32(u32::try_from(answer.interval.as_secs()).unwrap_or(u32::MAX));
    out.put_u32(answer.counts.incomplete);
    out.put_u32(answer.counts.complete);
    let room = (ANSWER_LEN_MAX - out.len()) / family.entry_len();
    let same = answer
        .peers
        .iter()
        .filter(|peer| Family::of(peer.addr.ip()) == family);
    for peer in same.take(room) {
        match peer.addr.ip() {
            IpAddr::V4(ip) => out.put_slice(&ip.octets()),
            IpAddr::V6(ip) => out.put_slice(&ip.octets()),
        }
        out.put_u16(peer.addr.port());
    }
}

fn put_scrape(out: &mut Vec<u8>, transaction: u32, server: &TrackerServer, body: &[u8]) {
    put_header(out, SCRAPE, transaction);
    for hash in body.chunks_exact(20).take(SCRAPE_MAX) {
        let hash: [u8; 20] = hash.try_into().expect("exactly 20");
        let counts = server.scrape(InfoHash::new(hash));
        out.put_u32(counts.complete);
        out.put_u32(counts.downloaded);
        out.put_u32(counts.incomplete);
    }
}

fn put_error(out: &mut Vec<u8>, transaction: u32, reason: &str) {
    out.clear();
    put_header(out, ERROR, transaction);
    out.put_slice(reason.as_bytes());
}

fn put_header(out: &mut Vec<u8>, action: u32, transaction: u32) {
    out.put_u32(action);
    out.put_u32(transaction);
}
