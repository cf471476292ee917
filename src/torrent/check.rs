//! What must hold after every step, said in code; tests and the simulator call it.

use super::Torrent;

impl Torrent {
    /// Panics if the state contradicts itself. Costs O(pieces × peers).
    ///
    /// # Panics
    /// That is what it is for.
    pub fn check_invariants(&self) {
        self.partial.check();
        self.check_pieces();
        self.check_peers();
        for (block, holder) in self.partial.holders() {
            let peer = self.peers.find(holder).expect("a holder is connected");
            assert!(
                peer.asked.contains(&block),
                "a holder was asked for the block"
            );
        }
    }

    fn check_pieces(&self) {
        let missing = self.content.wanted.count_difference(&self.have);
        assert_eq!(self.missing, missing, "the count of missing pieces");
        let layout = &self.content.layout;
        for piece in layout.pieces() {
            let pickable = self.is_missing(piece) && !self.partial.is_open(piece);
            assert_eq!(
                self.availability.pickable().has(piece),
                pickable,
                "pickable {piece:?}"
            );
            let holders = self
                .peers
                .iter()
                .filter(|(_, peer)| peer.have.has(piece))
                .count();
            assert_eq!(
                self.availability.of(piece) as usize,
                holders,
                "holders of {piece:?}"
            );
        }
        let done: u64 = layout
            .pieces()
            .filter(|&piece| self.have.has(piece) && self.content.wanted.has(piece))
            .map(|piece| u64::from(self.content.payload_len(piece)))
            .sum();
        assert_eq!(self.totals.done, done, "bytes done");
    }

    fn check_peers(&self) {
        self.peers.check();
        assert!(
            self.peers.len() <= self.config.peers_max,
            "connections within the limit"
        );
        let unchoked = self
            .peers
            .iter()
            .filter(|(_, peer)| !peer.am_choking)
            .count();
        let slots_max = match self.spread {
            Some(_) => self.config.peers_max,
            None => self.choker.slots(),
        };
        assert!(unchoked <= slots_max, "unchoked within the slots");
        for (key, peer) in self.peers.iter() {
            let interesting = peer
                .have
                .iter_difference(&self.have)
                .filter_map(|index| self.content.layout.piece(index))
                .filter(|&piece| self.content.wanted.has(piece))
                .count();
            assert_eq!(
                peer.interesting as usize, interesting,
                "what {key:?} has for us"
            );
            assert_eq!(peer.am_interested, interesting > 0, "interest in {key:?}");
            assert!(
                peer.wants.len() <= self.config.upload_queue_max,
                "queue of {key:?}"
            );
            assert!(
                !peer.am_choking || peer.wants.is_empty(),
                "{key:?} is choked and queued"
            );
            for block in &peer.asked {
                assert!(
                    peer.have.has(block.piece()),
                    "asked {key:?} for what it has not"
                );
            }
        }
    }
}
