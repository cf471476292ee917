//! What observers may know of a [`super::Torrent`] at one moment; pulled by them, never pushed.

use std::net::SocketAddr;
use std::time::Duration;

use super::event::{DiskFault, TrackerId};
use crate::tracker::AnnounceFailure;

/// A snapshot. Sizes in bytes, rates in bytes per second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Wanted content in bytes, padding left out.
    pub wanted_bytes: u64,
    /// How much of it is verified and stored.
    pub done_bytes: u64,
    /// Payload of unfinished pieces that is here already.
    pub partial_bytes: u64,
    /// Pieces verified and stored.
    pub have: u32,
    /// Pieces of the content.
    pub pieces: u32,
    /// Whether every wanted piece is stored.
    pub complete: bool,
    /// Payload received since the start.
    pub received: u64,
    /// Payload sent since the start.
    pub sent: u64,
    /// Payload received in vain: duplicates, unasked blocks, corrupt pieces.
    pub wasted: u64,
    /// Payload of `received` that came from peers that had everything.
    pub received_from_seeds: u64,
    /// Pieces whose hash was wrong.
    pub bad_pieces: u32,
    /// Present rate in.
    pub down: u64,
    /// Present rate out.
    pub up: u64,
    /// Connections.
    pub peers: u32,
    /// Connections to peers that have everything.
    pub complete_peers: u32,
    /// Connected peers that have not everything yet.
    pub incomplete_peers: u32,
    /// The largest number of different peers (by id) seen complete, gone ones included.
    pub completed_seen: u32,
    /// How many connected peers hold the rarest piece that we miss; `None` when we miss none.
    pub availability_min: Option<u32>,
    /// How long no payload moved in either direction.
    pub idle: Duration,
    /// Why nothing moves, if nothing does.
    pub waiting: Option<WaitReason>,
    /// Trackers that are of no use so far, in the order of their ids.
    pub tracker_faults: Vec<(TrackerId, TrackerFault)>,
    /// One entry per connection.
    pub peer_list: Vec<PeerProgress>,
}

/// Why a tracker is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackerFault {
    /// It could not be asked when it was asked last, or refused.
    Failed(AnnounceFailure),
    /// It was asked a while ago, and has said nothing so far.
    Silent,
    /// It answered, and whomever it named is out of reach, if it named anybody.
    NamesNobody,
}

/// One connection in a [`Progress`].
#[derive(Clone, Debug, PartialEq)]
pub struct PeerProgress {
    /// Its remote address.
    pub addr: SocketAddr,
    /// What it calls itself, unescaped.
    pub client: String,
    /// Pieces it says it has.
    pub have: u32,
    /// Payload received from it.
    pub received: u64,
    /// Payload sent to it.
    pub sent: u64,
    /// Present rate in.
    pub down: u64,
    /// Present rate out.
    pub up: u64,
    /// Whether it chokes us.
    pub peer_choking: bool,
    /// Whether we choke it.
    pub am_choking: bool,
    /// Whether it wants something of us.
    pub peer_interested: bool,
}

/// Why nothing moves.
#[derive(Clone, Debug, PartialEq)]
pub enum WaitReason {
    /// Nobody is connected.
    NoPeers {
        /// Addresses known, reachable or not.
        known: u32,
        /// Dials under way.
        dialling: u32,
    },
    /// Nobody connected sends the metadata (BEP 9).
    NoMetadata {
        /// Connections.
        peers: u32,
        /// How many of them say that they have it.
        offering: u32,
    },
    /// Peers have what we miss, but choke us.
    Choked {
        /// How many of them.
        choking: u32,
        /// Of how many connections.
        peers: u32,
    },
    /// No connected peer has any of the missing pieces.
    Unavailable {
        /// How many pieces we miss.
        missing: u32,
        /// Connections.
        peers: u32,
    },
    /// Requests are out and unanswered.
    Unanswered {
        /// How many blocks.
        blocks: u32,
        /// To how many peers.
        peers: u32,
    },
    /// Finished pieces wait for the disk.
    Disk {
        /// How many.
        pieces: u32,
    },
    /// The disk refused; nothing is asked for until it takes data again.
    DiskFault(DiskFault),
    /// We have everything, and nobody connected wants any of it.
    NobodyInterested {
        /// Connections.
        peers: u32,
    },
}
