//! Every limit and interval of the core, its default and why.

use std::time::Duration;

use crate::ids::PeerId;

/// The knobs of one [`super::Torrent`].
#[derive(Clone, Debug)]
pub struct TorrentConfig {
    /// What we call ourselves.
    pub peer_id: PeerId,
    /// The port we accept peers on, told to trackers and peers.
    pub port: u16,
    /// The port that we are reached at beyond this network, if it is another.
    pub far_port: Option<u16>,
    /// Length of the metadata that peers may have of us, in bytes (BEP 9); `None` gives none away.
    /// The session sets it, never for a private manifest (BEP 27).
    pub metadata_len: Option<u32>,
    /// Whether peers are told of each other and believed (BEP 11); never for a private manifest
    /// (BEP 27).
    pub pex: bool,
    /// Whether a connection of high canonical priority takes the place of an idle one of lower
    /// priority when there are no more (BEP 40).
    pub canonical_priority: bool,
    /// Connections at most, both directions together. As other clients: 50 to 80.
    pub peers_max: usize,
    /// Connections up to which addresses are dialled that the user did not name: half of all. The
    /// others are for those who dial us. A swarm that starts together and dials all it can is full
    /// everywhere at once, and closes again what it dialled.
    pub dial_until: usize,
    /// Dials under way at most, but for `spare_dials`. Chosen: a dead address costs 10 s, 30 at a
    /// time try 3 a second.
    pub dials_max: usize,
    /// Dials beyond `dials_max` and `dial_until`, for trackers, the DHT and the local network while
    /// one of these has hardly any under way: what another named in vain must not make it wait for
    /// 10 s. Chosen: two for each of five.
    pub spare_dials: usize,
    /// Known addresses kept at most (a swarm of 3,000 machines).
    pub candidates_max: usize,
    /// Pieces in memory at most: being received or verified. The runtime sets it to its buffer
    /// pool divided by the piece length.
    pub open_pieces_max: usize,
    /// Payload bytes per second sent at most.
    pub upload_limit: Option<u64>,
    /// Payload bytes per second received at most.
    pub download_limit: Option<u64>,
    /// Requests that a peer may have queued with us (`reqq` of BEP 10).
    pub upload_queue_max: usize,
    /// Payload bytes that one peer's socket may hold whatever its rate: two round trips of a LAN.
    pub serve_bytes_min: u32,
    /// Payload bytes that one peer's socket may hold at most, however fast it is.
    pub serve_bytes_max: u32,
    /// Peers unchoked at most by us at a time, the optimistic one included, while our uplink is slower
    /// than so many times `slot_rate`.
    pub unchoke_slots: usize,
    /// A faster uplink has so many slots more that each gets this many bytes a second: who is served by
    /// eight at a time cannot be served faster than eight can pass it on.
    pub slot_rate: u64,
    /// How often the choker compares rates. BEP 3 says 10 s.
    pub choke_interval: Duration,
    /// How long an optimistic unchoke lasts. BEP 3 says 30 s.
    pub optimistic_interval: Duration,
    /// A peer that owes us blocks and sent none for this long is snubbing us. Most clients: 60 s.
    pub snub_after: Duration,
    /// Outstanding requests per peer at first; doubles with every round trip. More would pile up
    /// at a seed that a whole swarm meets at once.
    pub window_start: u32,
    /// Outstanding requests per peer at least, so that a slow peer reserves little.
    pub window_min: u32,
    /// Outstanding requests per peer at most: 32 MiB, a gigabit over a quarter second.
    pub window_max: u32,
    /// A connection over which nothing was heard for this long is dead.
    pub silence_max: Duration,
    /// A connection over which we said nothing for this long gets a keep-alive (BEP 3).
    pub keepalive_after: Duration,
    /// How long a peer that sent corrupt data stays banned.
    pub ban: Duration,
}

impl TorrentConfig {
    /// The port that trackers and peers beyond this network are told of.
    pub(super) fn far_port(&self) -> u16 {
        self.far_port.unwrap_or(self.port)
    }

    /// The defaults for a program that calls itself `peer_id` and listens on `port`.
    pub fn new(peer_id: PeerId, port: u16) -> Self {
        Self {
            peer_id,
            port,
            far_port: None,
            metadata_len: None,
            pex: false,
            canonical_priority: false,
            peers_max: 80,
            dial_until: 40,
            dials_max: 30,
            spare_dials: 10,
            candidates_max: 3_000,
            open_pieces_max: 64,
            upload_limit: None,
            download_limit: None,
            upload_queue_max: 2_000,
            serve_bytes_min: 256 << 10,
            serve_bytes_max: 1 << 20,
            unchoke_slots: 8,
            slot_rate: 20_000_000 / 8,
            choke_interval: Duration::from_secs(10),
            optimistic_interval: Duration::from_secs(30),
            snub_after: Duration::from_secs(30),
            window_start: 16,
            window_min: 8,
            window_max: 2_048,
            silence_max: Duration::from_secs(150),
            keepalive_after: Duration::from_secs(100),
            ban: Duration::from_secs(3_600),
        }
    }
}
