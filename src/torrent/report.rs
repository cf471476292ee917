//! The snapshot for observers, and the reason why nothing moves.

#![expect(
    clippy::cast_possible_truncation,
    reason = "connections and blocks are bounded by the configuration"
)]

use std::time::Duration;

use super::Torrent;
use super::event::TrackerId;
use super::progress::{PeerProgress, Progress, TrackerFault, WaitReason};
use crate::time::Time;

/// Below this pause things are taken to move. A round trip and a piece on a slow link.
const PAUSE: Duration = Duration::from_secs(2);

impl Torrent {
    /// A snapshot for observers at `now`.
    pub fn progress(&self, now: Time) -> Progress {
        let seeds = self.peers.iter().filter(|(_, peer)| peer.is_seed()).count() as u32;
        let peers = self.peers.len() as u32;
        let idle = now.since(self.totals.moved);
        Progress {
            wanted_bytes: self.totals.wanted,
            done_bytes: self.totals.done,
            partial_bytes: self.partial.bytes_received(),
            have: self.have.count(),
            pieces: self.have.len(),
            complete: self.is_complete(),
            received: self.totals.received,
            sent: self.totals.sent,
            wasted: self.totals.wasted,
            received_from_seeds: self.totals.received_from_seeds,
            bad_pieces: self.totals.bad_pieces,
            down: self.totals.down.per_second(now),
            up: self.totals.up.per_second(now),
            peers,
            complete_peers: seeds,
            incomplete_peers: self
                .peers
                .iter()
                .filter(|(_, peer)| !peer.upload_only)
                .count() as u32,
            completed_seen: self.seen_complete.len() as u32,
            availability_min: self.availability_min(),
            idle,
            waiting: (idle >= PAUSE).then(|| self.wait_reason()).flatten(),
            tracker_faults: self.tracker_faults(now),
            peer_list: self.peer_list(now),
        }
    }

    /// Who has everything needs nobody to be named.
    fn tracker_faults(&self, now: Time) -> Vec<(TrackerId, TrackerFault)> {
        let is_alone = self.peers.is_empty();
        let names_nobody =
            |id| !self.is_complete() && (is_alone || self.dialer.names_only_dead(id));
        self.announcer.faults(names_nobody, now)
    }

    fn peer_list(&self, now: Time) -> Vec<PeerProgress> {
        let peers = self.peers.iter().map(|(_, peer)| PeerProgress {
            addr: peer.addr,
            client: peer.client.clone(),
            have: peer.have.count(),
            received: peer.received,
            sent: peer.sent,
            down: peer.down.per_second(now),
            up: peer.up.per_second(now),
            peer_choking: peer.peer_choking,
            am_choking: peer.am_choking,
            peer_interested: peer.peer_interested,
        });
        peers.collect()
    }

    fn availability_min(&self) -> Option<u32> {
        let missing = self.content.wanted.iter_difference(&self.have);
        let pieces = missing.filter_map(|index| self.content.layout.piece(index));
        pieces.map(|piece| self.availability.of(piece)).min()
    }

    fn wait_reason(&self) -> Option<WaitReason> {
        let peers = self.peers.len() as u32;
        let count = |test: &dyn Fn(&super::peer::Peer) -> bool| {
            self.peers.iter().filter(|(_, peer)| test(peer)).count() as u32
        };
        if let Some((_, fault)) = &self.disk_fault {
            return Some(WaitReason::DiskFault(fault.clone()));
        }
        if peers == 0 {
            return Some(WaitReason::NoPeers {
                known: self.dialer.known() as u32,
                dialling: self.dialer.dialling() as u32,
            });
        }
        if self.is_complete() {
            let wanted_by = count(&|peer| peer.peer_interested);
            return (wanted_by == 0).then_some(WaitReason::NobodyInterested { peers });
        }
        if self.partial.verifying_count() > 0 {
            return Some(WaitReason::Disk {
                pieces: self.partial.verifying_count() as u32,
            });
        }
        let with_some = count(&|peer| peer.interesting > 0);
        if with_some == 0 {
            return Some(WaitReason::Unavailable {
                missing: self.missing,
                peers,
            });
        }
        let choking = count(&|peer| peer.interesting > 0 && peer.peer_choking);
        if choking == with_some {
            return Some(WaitReason::Choked { choking, peers });
        }
        let blocks = self
            .peers
            .iter()
            .map(|(_, peer)| peer.asked.len() as u32)
            .sum();
        let asked = count(&|peer| !peer.asked.is_empty());
        (asked > 0).then_some(WaitReason::Unanswered {
            blocks,
            peers: asked,
        })
    }
}
