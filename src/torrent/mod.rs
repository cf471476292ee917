//! The pure core: one swarm as one machine sees it. It decides whom to dial, what to request, whom
//! to unchoke and when to announce; it does no I/O, reads no clock and holds no payload.
//!
//! [`event`] is the contract. [`Torrent::handle`] never fails: a peer that breaks the protocol
//! becomes an [`Action::Disconnect`]. The parts (availability, partial pieces, choker, dialer,
//! announcer) are plain structs that know nothing of each other; `Torrent` asks one and tells
//! another.

mod announcer;
mod availability;
mod check;
mod choker;
pub mod config;
mod connections;
pub mod content;
mod dialer;
pub mod event;
mod extensions;
mod holdings;
mod inbound;
pub mod metadata;
mod partial;
mod peer;
mod peer_table;
mod pex;
mod pieces;
mod priority;
pub mod progress;
pub(crate) mod rate;
mod report;
mod requests;
mod steering;
#[cfg(test)]
mod tests;
mod ticks;
mod uplink;
mod uploads;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use crate::bitfield::Bitfield;
use crate::ids::PeerId;
use crate::layout::PieceIndex;
use crate::time::Time;

use announcer::Announcer;
use availability::Availability;
use choker::Choker;
pub use config::TorrentConfig;
pub use content::Content;
use dialer::{Dialer, Teller};
pub use event::{Action, Event};
use event::{Command, DiskFault};
pub use metadata::MetadataFetch;
use partial::PartialPieces;
use peer_table::PeerTable;
use priority::SeenAs;
pub use progress::Progress;
use rate::{Rate, TokenBucket};
use steering::Spread;
use uplink::Uplink;
use uploads::{Refill, Turn};

/// One swarm.
#[derive(Debug)]
pub struct Torrent {
    content: Content,
    config: TorrentConfig,
    rng: ChaCha8Rng,
    /// Pieces that are verified and stored.
    have: Bitfield,
    /// Wanted pieces that are not in `have`.
    missing: u32,
    peers: PeerTable,
    availability: Availability,
    partial: PartialPieces,
    choker: Choker,
    /// When an unused slot may go to somebody else.
    slot_check: Option<Time>,
    /// How far each piece is spread, if we had all of them from the start.
    spread: Option<Spread>,
    dialer: Dialer,
    announcer: Announcer,
    upload: TokenBucket,
    download: TokenBucket,
    /// Somebody could be served, but for the upload limit.
    upload_waits: bool,
    /// Somebody could be asked for blocks, but for the download limit.
    download_waits: bool,
    totals: Totals,
    /// Who we are to others: decides with whom to stay when connections are scarce.
    seen_as: SeenAs,
    /// Peers that sent corrupt data, and until when they stay away.
    banned: BTreeMap<(IpAddr, PeerId), Time>,
    /// Pieces that we had and lost, and when: who was connected then has been told of them.
    lost: BTreeMap<PieceIndex, Time>,
    /// Peers that were seen to have everything; bounded by `SEEN_MAX`.
    seen_complete: BTreeSet<PeerId>,
    /// The disk refused at this moment.
    disk_fault: Option<(Time, DiskFault)>,
    /// Whose turn it was last to be served.
    turn: Turn,
    /// When sockets are given more to send.
    refill: Refill,
    /// How much they may hold.
    uplink: Uplink,
    phase: Phase,
    /// Observers were told that every wanted piece is stored, or it was so from the start.
    is_told_complete: bool,
    due: Due,
    next_tick: Time,
    actions: VecDeque<Action>,
}

/// Where the session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Goodbyes are on their way.
    Stopping,
    Stopped,
}

/// Work that events of one batch ask for and that is done once, at the end.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent marks, not a state"
)]
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    /// Slots may be free, or wanted by others.
    choking: bool,
    /// Every peer may have something new to be asked for.
    requests: bool,
    /// Somebody may be served.
    uploads: bool,
    /// Everybody may be suggested something.
    suggestions: bool,
    /// Somebody may be dialled.
    dials: bool,
    /// Somebody may be announced to.
    announces: bool,
}

/// Payload bytes since the start.
#[derive(Clone, Debug, Default)]
struct Totals {
    received: u64,
    received_from_seeds: u64,
    sent: u64,
    wasted: u64,
    done: u64,
    wanted: u64,
    bad_pieces: u32,
    down: Rate,
    up: Rate,
    /// When payload last moved in either direction.
    moved: Time,
}

impl Totals {
    /// Nothing has moved, and the pieces of `missing` are not stored.
    fn new(content: &Content, missing: &Bitfield, now: Time) -> Self {
        let payload = |set: &Bitfield| -> u64 {
            let pieces = set
                .iter_ones()
                .filter_map(|index| content.layout.piece(index));
            let lens = pieces.map(|piece| u64::from(content.payload_len(piece)));
            lens.sum()
        };
        let wanted = payload(&content.wanted);
        Self {
            wanted,
            done: wanted - payload(missing),
            moved: now,
            ..Self::default()
        }
    }
}

impl Torrent {
    /// A swarm of which we have the pieces in `have`. `seed` seeds every random choice.
    ///
    /// # Panics
    /// If `have` or `content.wanted` is not as long as the content has pieces.
    pub fn new(
        content: Content,
        have: Bitfield,
        config: TorrentConfig,
        seed: u64,
        now: Time,
    ) -> Self {
        let layout = content.layout;
        assert_eq!(
            have.len(),
            layout.piece_count(),
            "`have` belongs to other content"
        );
        assert_eq!(
            content.wanted.len(),
            layout.piece_count(),
            "`wanted` is of other content"
        );
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut pickable = content.wanted.clone();
        for piece in layout.pieces().filter(|&piece| have.has(piece)) {
            pickable.remove(piece);
        }
        let totals = Totals::new(&content, &pickable, now);
        let mut torrent = Self {
            missing: pickable.count(),
            availability: Availability::new(layout, &pickable, &mut rng),
            partial: PartialPieces::new(layout, content.padding.clone()),
            choker: Choker::new(&config, u64::from(layout.nominal_piece_len()), now),
            slot_check: None,
            spread: have.is_full().then(|| Spread::new(layout, &mut rng)),
            dialer: Dialer::new(&config),
            announcer: Announcer::new(&content.trackers, now, &mut rng),
            upload: TokenBucket::new(config.upload_limit, now),
            download: TokenBucket::new(config.download_limit, now),
            upload_waits: false,
            download_waits: false,
            peers: PeerTable::default(),
            seen_as: SeenAs::default(),
            banned: BTreeMap::new(),
            lost: BTreeMap::new(),
            seen_complete: BTreeSet::new(),
            disk_fault: None,
            turn: Turn::NONE,
            refill: Refill::default(),
            uplink: Uplink::new(now),
            phase: Phase::Running,
            is_told_complete: pickable.is_empty(),
            due: Due::default(),
            next_tick: now,
            actions: VecDeque::new(),
            totals,
            content,
            config,
            rng,
            have,
        };
        torrent.verify_pure_padding(&pickable);
        torrent
    }

    /// Something happened at `now`.
    pub fn handle(&mut self, event: Event, now: Time) {
        match event {
            Event::Deadline => {}
            Event::PeersFound { source, addrs } => {
                self.peers_found(Teller::all(source), &addrs, now);
            }
            Event::Connected {
                peer,
                addr,
                direction,
                theirs,
            } => {
                self.connected(peer, addr, (direction, theirs), now);
            }
            Event::ConnectFailed { addr } => self.connect_failed(addr, now),
            Event::Received { peer, messages } => self.received(peer, messages, now),
            Event::Served {
                peer,
                blocks,
                outcome,
            } => self.served(peer, &blocks, &outcome, now),
            Event::SentBeside { bytes } => self.sent_beside(bytes, now),
            Event::PieceVerified { piece, outcome } => self.piece_verified(piece, outcome, now),
            Event::PiecesLost { pieces } => self.pieces_lost(&pieces, now),
            Event::PiecesFound { pieces } => self.pieces_found(&pieces, now),
            Event::Announced { tracker, result } => self.announced(tracker, result, now),
            Event::Closed { peer, reason } => self.closed(peer, reason, now),
            Event::Command(command) => self.command(&command, now),
        }
        self.work_off(now);
    }

    /// The next thing to do; drain to `None` after each batch of events.
    pub fn poll(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if action.is_none() {
            // Back to the start of the ring, which is in the cache.
            self.actions.clear();
        }
        action
    }

    /// Whether every wanted piece is stored.
    pub const fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Pieces that are verified and stored.
    pub const fn have(&self) -> &Bitfield {
        &self.have
    }

    fn command(&mut self, command: &Command, now: Time) {
        match *command {
            Command::Stop => self.stop(now),
            Command::LimitUpload(limit) => {
                self.config.upload_limit = limit;
                self.upload.set_limit(limit, now);
                self.due.uploads = true;
            }
            Command::LimitDownload(limit) => {
                self.config.download_limit = limit;
                self.download.set_limit(limit, now);
                self.due.requests = true;
            }
            Command::FarPort(port) if port != self.config.far_port() => {
                self.config.far_port = Some(port);
                self.announcer.tell_again(now);
                self.due.announces = true;
            }
            Command::FarPort(_) => {}
        }
    }
}
