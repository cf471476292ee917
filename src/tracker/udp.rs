//! The packets of UDP trackers (BEP 15, BEP 41) and when to send one again.
//!
//! An exchange is two round trips: `connect` proves that we are where we say we are and yields a
//! connection id, good for a minute; `announce` uses it. A packet whose transaction id is not the
//! one we drew is not an answer to us.

use std::time::Duration;

use bytes::{Buf, BufMut};

use super::compact::{self, Family, PEERS_MAX};
use super::{
    AnnounceEvent, AnnounceFailure, AnnounceRequest, AnnounceResponse, clamp_interval, shortened,
};

/// How long a connection id may be used (BEP 15).
pub const CONNECTION_ID_LIFE: Duration = Duration::from_secs(60);

/// The longest answer read: as many peers as are ever kept, at their longest.
pub const PACKET_LEN_MAX: usize = ANNOUNCE_HEADER_LEN + PEERS_MAX * 18;

/// The first wait for an answer; each further one is twice as long (BEP 15, "time outs").
const FIRST_WAIT: Duration = Duration::from_secs(15);

/// What every connect begins with (BEP 15).
pub(super) const PROTOCOL_ID: u64 = 0x0417_2710_1980;
const ANNOUNCE_HEADER_LEN: usize = 20;

pub(super) const CONNECT: u32 = 0;
pub(super) const ANNOUNCE: u32 = 1;
pub(super) const SCRAPE: u32 = 2;
pub(super) const ERROR: u32 = 3;

/// The option of BEP 41 that carries path and query.
const URL_DATA: u8 = 2;

/// How long to wait for an answer to the `attempt`th try (from 0), with `left` until the deadline.
///
/// 15·2ⁿ seconds as BEP 15 wants it, but the first try never uses up all the time there is: one
/// lost packet is not a failure.
pub fn wait(attempt: u32, left: Duration) -> Duration {
    let wait = FIRST_WAIT * 2_u32.pow(attempt.min(8));
    wait.min(if attempt == 0 { left / 2 } else { left })
}

/// A packet that asks for a connection id.
pub fn connect(transaction: u32) -> [u8; 16] {
    let mut packet = [0; 16];
    let mut out = &mut packet[..];
    out.put_u64(PROTOCOL_ID);
    out.put_u32(CONNECT);
    out.put_u32(transaction);
    packet
}

/// A packet that announces; `target` is path and query of the tracker's URL (BEP 41).
pub fn announce(
    connection: u64,
    transaction: u32,
    request: &AnnounceRequest,
    target: &str,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(98 + target.len() + 16);
    out.put_u64(connection);
    out.put_u32(ANNOUNCE);
    out.put_u32(transaction);
    out.put_slice(request.info_hash.as_bytes());
    out.put_slice(request.peer_id.as_bytes());
    out.put_u64(request.downloaded);
    out.put_u64(request.left);
    out.put_u64(request.uploaded);
    out.put_u32(match request.event {
        AnnounceEvent::Periodic => 0,
        AnnounceEvent::Completed => 1,
        AnnounceEvent::Started => 2,
        AnnounceEvent::Stopped => 3,
    });
    // Our address: the tracker takes that of the packet.
    out.put_u32(0);
    out.put_u32(request.key);
    out.put_u32(request.num_want);
    out.put_u16(request.port);
    put_url_data(&mut out, target);
    out
}

fn put_url_data(out: &mut Vec<u8>, target: &str) {
    if target == "/" {
        return;
    }
    for part in target.as_bytes().chunks(usize::from(u8::MAX)) {
        let len = u8::try_from(part.len()).expect("the parts are at most that long");
        out.put_slice(&[URL_DATA, len]);
        out.put_slice(part);
    }
}

/// The connection id in the answer to [`connect`]; `None` if the packet is none of ours.
///
/// # Errors
/// If the tracker refused, or answered something else.
pub fn read_connected(packet: &[u8], transaction: u32) -> Option<Result<u64, AnnounceFailure>> {
    let (action, mut body) = read_header(packet, transaction)?;
    Some(match action {
        CONNECT if body.len() >= 8 => Ok(body.get_u64()),
        ERROR => Err(refusal(body)),
        _ => Err(bad("not an answer to connect")),
    })
}

/// The answer to [`announce`]; `None` if the packet is none of ours.
///
/// # Errors
/// If the tracker refused, or answered something else.
pub fn read_announced(
    packet: &[u8],
    transaction: u32,
    family: Family,
) -> Option<Result<AnnounceResponse, AnnounceFailure>> {
    let (action, mut body) = read_header(packet, transaction)?;
    Some(match action {
        ANNOUNCE if body.len() >= ANNOUNCE_HEADER_LEN - 8 => {
            let interval = clamp_interval(u64::from(body.get_u32()));
            let (incomplete, complete) = (body.get_u32(), body.get_u32());
            Ok(AnnounceResponse {
                interval,
                complete: Some(complete),
                incomplete: Some(incomplete),
                peers: compact::peers(body, family),
                ..AnnounceResponse::default()
            })
        }
        ERROR => Err(refusal(body)),
        _ => Err(bad("not an answer to announce")),
    })
}

fn read_header(packet: &[u8], transaction: u32) -> Option<(u32, &[u8])> {
    let (mut header, body) = packet.split_at_checked(8)?;
    let action = header.get_u32();
    (header.get_u32() == transaction).then_some((action, body))
}

fn refusal(message: &[u8]) -> AnnounceFailure {
    AnnounceFailure::Refused(shortened(message))
}

fn bad(reason: &str) -> AnnounceFailure {
    AnnounceFailure::BadResponse(reason.to_owned())
}

#[cfg(test)]
mod tests;
