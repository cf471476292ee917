//! Who is served when: turn by turn among the unchoked, block by block, within the upload limit.

use std::collections::BTreeMap;

use super::Torrent;
use super::event::{Action, PeerKey, ServeOutcome};
use super::peer::Peer;
use crate::layout::Block;
use crate::time::Time;
use crate::wire::{BlockRequest, Message};

impl Torrent {
    /// Hands blocks to sockets until the limit is reached, nobody wants more, or every socket has
    /// enough.
    pub(super) fn serve(&mut self, now: Time) {
        let mut turns: Vec<PeerKey> = self
            .peers
            .iter_unchoked()
            .filter(|(_, peer)| self.can_be_served(peer, now))
            .map(|(key, _)| key)
            .collect();
        // The first after the one who was served last has the first turn.
        let first = turns.partition_point(|&key| key <= self.last_served);
        turns.rotate_left(first);
        let mut batches: BTreeMap<PeerKey, Vec<Block>> = BTreeMap::new();
        while !turns.is_empty() && self.upload.is_open(now) {
            turns.retain(|&key| {
                if !self.upload.is_open(now) {
                    return true;
                }
                let Some(peer) = self.peers.find_mut(key) else {
                    return false;
                };
                let Some(block) = peer.wants.pop_front() else {
                    return false;
                };
                peer.serving += block.len();
                let credit = peer.serve_credit(&self.config, now);
                let more = !peer.wants.is_empty() && peer.serving < credit;
                self.upload.take(u64::from(block.len()), now);
                batches.entry(key).or_default().push(block);
                self.last_served = key;
                more
            });
        }
        for (peer, blocks) in batches {
            self.actions.push_back(Action::Serve { peer, blocks });
        }
        self.note_who_waits(now);
    }

    /// Blocks went out, or could not be read.
    pub(super) fn served(
        &mut self,
        key: PeerKey,
        blocks: &[Block],
        outcome: &ServeOutcome,
        now: Time,
    ) {
        let Some(peer) = self.peers.find_mut(key) else {
            return;
        };
        let bytes: u32 = blocks.iter().map(|block| block.len()).sum();
        peer.serving = peer.serving.saturating_sub(bytes);
        self.due.uploads = true;
        if *outcome == ServeOutcome::Unreadable {
            for &block in blocks {
                self.reject(key, block, now);
            }
            return;
        }
        peer.sent += u64::from(bytes);
        peer.up.add(u64::from(bytes), now);
        peer.spoke = now;
        self.totals.sent += u64::from(bytes);
        self.totals.up.add(u64::from(bytes), now);
        self.totals.moved = now;
    }

    /// Tells a peer that a request will not be answered, where it understands that (BEP 6).
    pub(super) fn reject(&mut self, key: PeerKey, block: Block, now: Time) {
        if self
            .peers
            .find(key)
            .is_some_and(|peer| peer.reserved.fast())
        {
            self.send(key, Message::Reject(request_of(block)), now);
        }
    }

    /// Notes whether anybody could be served but for the upload limit.
    fn note_who_waits(&mut self, now: Time) {
        self.upload_waits = self.config.upload_limit.is_some()
            && self
                .peers
                .iter_unchoked()
                .any(|(_, peer)| self.can_be_served(peer, now));
    }

    fn can_be_served(&self, peer: &Peer, now: Time) -> bool {
        !peer.wants.is_empty() && peer.serving < peer.serve_credit(&self.config, now)
    }
}

/// A block as it is named on the wire.
pub(super) const fn request_of(block: Block) -> BlockRequest {
    BlockRequest {
        index: block.piece().get(),
        begin: block.begin(),
        length: block.len(),
    }
}
