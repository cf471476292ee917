//! What is said to trackers and what they answer (BEP 3, 7, 12, 15, 23), as values and as bytes;
//! and a tracker itself ([`server`]).
//!
//! Pure: sockets and retries over time belong to `runtime` and `torrent::announcer`.

pub mod compact;
pub mod http;
pub mod server;
pub mod udp;
pub mod url;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::ids::{InfoHash, PeerId};

pub use url::{TrackerUrl, redacted};

/// Why an announce is made (BEP 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnounceEvent {
    /// The first announce of this session.
    Started,
    /// The regular announce.
    Periodic,
    /// The download just finished.
    Completed,
    /// The session ends.
    Stopped,
}

/// What is told to a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceRequest {
    /// The swarm.
    pub info_hash: InfoHash,
    /// Our id in this session.
    pub peer_id: PeerId,
    /// The port we accept peers on.
    pub port: u16,
    /// Payload bytes sent since the start.
    pub uploaded: u64,
    /// Payload bytes received since the start.
    pub downloaded: u64,
    /// Payload bytes that are still missing.
    pub left: u64,
    /// Why this announce is made.
    pub event: AnnounceEvent,
    /// How many peers we would like to hear of.
    pub num_want: u32,
    /// Tells announces of one session apart from others behind the same address (BEP 3 `key`).
    pub key: u32,
}

/// What a tracker answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnounceResponse {
    /// How long to wait before the next announce.
    pub interval: Duration,
    /// How long to wait at least, where the tracker says so.
    pub min_interval: Option<Duration>,
    /// Peers of the swarm.
    pub peers: Vec<SocketAddr>,
    /// How many have everything, where the tracker says so.
    pub complete: Option<u32>,
    /// How many do not, where the tracker says so.
    pub incomplete: Option<u32>,
    /// A message for the user.
    pub warning: Option<String>,
    /// To be sent back with the next announce.
    pub tracker_id: Option<String>,
}

/// Why an announce brought no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnounceFailure {
    /// The tracker understood and refused, in its own words (escaped before it is shown).
    #[error("refused: {0}")]
    Refused(String),
    /// No connection, or it broke.
    #[error("{0}")]
    Unreachable(String),
    /// No answer within the time allowed.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The answer is not one.
    #[error("bad answer: {0}")]
    BadResponse(String),
    /// The URL is not one that we can ask.
    #[error("cannot be asked: {0}")]
    BadUrl(String),
}

/// How often a tracker may want to be asked, in seconds: 30 s to 6 h.
const INTERVAL_SECS: RangeInclusive<u64> = 30..=6 * 3_600;

/// The longest text taken over from a tracker, in characters.
const TEXT_CHARS_MAX: usize = 256;

fn clamp_interval(secs: u64) -> Duration {
    Duration::from_secs(secs.clamp(*INTERVAL_SECS.start(), *INTERVAL_SECS.end()))
}

/// Text of a tracker, cut to a length that can be shown; control characters are still in it.
fn shortened(text: &[u8]) -> String {
    // No character is longer than four bytes, so what is cut off here could not be shown anyway.
    let start = &text[..text.len().min(4 * TEXT_CHARS_MAX)];
    String::from_utf8_lossy(start)
        .chars()
        .take(TEXT_CHARS_MAX)
        .collect()
}
