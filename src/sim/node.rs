//! One simulated machine: its core and the edge around it.

use std::net::SocketAddr;

use super::buffers::Buffers;
use super::scenario::Host;
use super::wheel::Turn;
use crate::ids::{InfoHash, PeerId};
use crate::torrent::Torrent;
use crate::wire::{Handshake, Reserved};

/// Where a machine is between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It has not started.
    Awaited,
    /// It is there.
    Present,
    /// It is gone.
    Gone,
}

/// One machine.
pub(super) struct Node {
    pub(super) torrent: Torrent,
    pub(super) id: PeerId,
    pub(super) host: Host,
    pub(super) life: Life,
    pub(super) buffers: Buffers,
    /// For when its core is to be woken.
    pub(super) wake: Option<Turn>,
    /// For when its uplink is looked at.
    pub(super) uplink: Option<Turn>,
}

impl Node {
    /// A machine that has not started.
    pub(super) fn new(torrent: Torrent, id: PeerId, host: Host) -> Self {
        Self {
            torrent,
            id,
            host,
            life: Life::Awaited,
            buffers: Buffers::default(),
            wake: None,
            uplink: None,
        }
    }

    /// Its side of every handshake.
    pub(super) const fn handshake(&self) -> Handshake {
        Handshake {
            reserved: Reserved::OURS,
            info_hash: INFO_HASH,
            peer_id: self.id,
        }
    }
}

/// The name of the one swarm there is.
pub(super) const INFO_HASH: InfoHash = InfoHash::new([0x5a; 20]);

/// Where a node listens.
pub(super) fn addr_of(node: u32) -> SocketAddr {
    let [_, b, c, d] = (node + 1).to_be_bytes();
    SocketAddr::from(([10, b, c, d], 6881))
}

/// Which node listens there.
pub(super) fn node_of(addr: SocketAddr) -> Option<u32> {
    let SocketAddr::V4(addr) = addr else {
        return None;
    };
    (addr.ip().to_bits() & 0x00ff_ffff).checked_sub(1)
}
