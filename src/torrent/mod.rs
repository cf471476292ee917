//! The pure core: one swarm as one machine sees it. It decides whom to dial, what to request, whom
//! to unchoke and when to announce; it does no I/O, reads no clock and holds no payload.

pub mod config;
pub mod event;
pub mod progress;

use std::ops::Range;

use crate::bitfield::Bitfield;
use crate::ids::InfoHash;
use crate::layout::Layout;
use crate::time::Time;

pub use config::TorrentConfig;
pub use event::{Action, Event};
pub use progress::Progress;

/// What the core must know of the content.
#[derive(Clone, Debug)]
pub struct Content {
    /// The name of the swarm.
    pub info_hash: InfoHash,
    /// Pieces and blocks.
    pub layout: Layout,
    /// Byte ranges that are zeros (BEP 47), ascending: never fetched.
    pub padding: Vec<Range<u64>>,
    /// Tracker URLs in tiers (BEP 12). [`event::TrackerId`] counts through all tiers in this order.
    pub trackers: Vec<Vec<String>>,
    /// Pieces that we want; the others are neither fetched nor waited for.
    pub wanted: Bitfield,
}

/// One swarm.
#[derive(Debug)]
pub struct Torrent {}

impl Torrent {
    /// A swarm of which we have the pieces in `have`. `seed` seeds every random choice.
    pub fn new(
        _content: Content,
        _have: Bitfield,
        _config: TorrentConfig,
        _seed: u64,
        _now: Time,
    ) -> Self {
        Self {}
    }

    /// Something happened at `now`.
    pub fn handle(&mut self, _event: Event, _now: Time) {}

    /// The next thing to do; drain to `None` after each batch of events.
    pub fn poll(&mut self) -> Option<Action> {
        None
    }

    /// When to send [`Event::Deadline`] if nothing else happens before.
    pub fn deadline(&self) -> Option<Time> {
        None
    }

    /// A snapshot for observers.
    pub fn progress(&self, _now: Time) -> Progress {
        Progress::default()
    }
}
