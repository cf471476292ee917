//! Whom to unchoke: tit for tat with an optimistic slot while we miss something, turns while we
//! are complete (BEP 3, "choking and optimistic unchoking").
//!
//! It is asked whenever a slot may be free, not only on a tick: nobody waits ten seconds for a
//! slot that is there.

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::config::TorrentConfig;
use super::event::PeerKey;
use crate::time::Time;

/// What the choker knows of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// The connection.
    pub(super) peer: PeerKey,
    /// Whether it wants something of us.
    pub(super) interested: bool,
    /// Whether we unchoke it at present.
    pub(super) unchoked: bool,
    /// Bytes per second that it gives us.
    pub(super) gives: u64,
    /// Whether it owes us blocks and sends none.
    pub(super) snubbing: bool,
    /// When it was last unchoked or choked.
    pub(super) changed: Time,
}

/// Whether we still need pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// We miss pieces: those who give get.
    Leech,
    /// We are complete: everyone has a turn.
    Seed,
}

/// The state between two decisions.
#[derive(Clone, Debug)]
pub(super) struct Choker {
    slots: usize,
    interval: std::time::Duration,
    optimistic_interval: std::time::Duration,
    /// When rates are compared next.
    next_round: Time,
    optimistic: Option<PeerKey>,
    /// When the optimistic slot goes to somebody else.
    optimistic_until: Time,
}

impl Choker {
    /// A choker that has unchoked nobody.
    pub(super) fn new(config: &TorrentConfig, now: Time) -> Self {
        Self {
            slots: config.unchoke_slots.max(1),
            interval: config.choke_interval,
            optimistic_interval: config.optimistic_interval,
            next_round: now + config.choke_interval,
            optimistic: None,
            optimistic_until: now,
        }
    }

    /// Who is to be unchoked, in no particular order; everyone else is to be choked.
    ///
    /// Between two rounds nobody who still wants something loses a slot: free ones are filled.
    pub(super) fn decide(
        &mut self,
        candidates: &[Candidate],
        side: Side,
        now: Time,
        rng: &mut ChaCha8Rng,
    ) -> Vec<PeerKey> {
        let mut wanting: Vec<Candidate> = candidates
            .iter()
            .filter(|candidate| candidate.interested)
            .copied()
            .collect();
        let is_round = now >= self.next_round;
        if is_round {
            self.next_round = now + self.interval;
        }
        if wanting.len() <= self.slots {
            return wanting.iter().map(|candidate| candidate.peer).collect();
        }
        match side {
            Side::Leech => self.reciprocate(&mut wanting, is_round, now, rng),
            Side::Seed => self.take_turns(&mut wanting, is_round, now),
        }
    }

    /// When rates are compared next.
    pub(super) const fn next_round(&self) -> Time {
        self.next_round
    }

    fn reciprocate(
        &mut self,
        wanting: &mut [Candidate],
        is_round: bool,
        now: Time,
        rng: &mut ChaCha8Rng,
    ) -> Vec<PeerKey> {
        let keeps = |candidate: &Candidate| !is_round && candidate.unchoked;
        let gives = |candidate: &Candidate| {
            if candidate.snubbing {
                0
            } else {
                candidate.gives
            }
        };
        // Best first: who keeps the slot, who gives most, who waited longest.
        wanting.sort_by_key(|c| (!keeps(c), std::cmp::Reverse(gives(c)), c.changed, c.peer));
        let regular = self.slots - 1;
        // Whose turn is over competes with what it gave meanwhile, but has no second turn in a row.
        let expired = now >= self.optimistic_until;
        let former = if expired {
            self.optimistic.take()
        } else {
            None
        };
        let mut chosen: Vec<PeerKey> = wanting
            .iter()
            .map(|c| c.peer)
            .filter(|&peer| Some(peer) != self.optimistic)
            .collect();
        chosen.truncate(regular);
        let rest: Vec<PeerKey> = wanting
            .iter()
            .map(|c| c.peer)
            .filter(|peer| !chosen.contains(peer))
            .collect();
        let holder = self.optimistic.filter(|peer| rest.contains(peer));
        let optimistic = holder.unwrap_or_else(|| {
            self.optimistic_until = now + self.optimistic_interval;
            // Not the one who just had it, if there is any other.
            let fresh: Vec<PeerKey> = rest
                .iter()
                .copied()
                .filter(|&peer| Some(peer) != former)
                .collect();
            let pool = if fresh.is_empty() { &rest } else { &fresh };
            pool[rng.random_range(0..pool.len())]
        });
        self.optimistic = Some(optimistic);
        chosen.push(optimistic);
        chosen
    }

    fn take_turns(&mut self, wanting: &mut [Candidate], is_round: bool, now: Time) -> Vec<PeerKey> {
        // A turn is one optimistic interval; those who had theirs go behind those who waited.
        let turn_over = |c: &Candidate| {
            is_round && now.since(c.changed) + self.interval / 2 >= self.optimistic_interval
        };
        wanting.sort_by_key(|c| (!c.unchoked || turn_over(c), c.unchoked, c.changed, c.peer));
        wanting
            .iter()
            .take(self.slots)
            .map(|candidate| candidate.peer)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use rand::SeedableRng;

    use super::*;
    use crate::ids::PeerId;

    fn config() -> TorrentConfig {
        TorrentConfig {
            unchoke_slots: 3,
            ..TorrentConfig::new(PeerId::ours([0; 12]), 1)
        }
    }

    fn candidate(key: u64, gives: u64) -> Candidate {
        Candidate {
            peer: PeerKey(key),
            interested: true,
            unchoked: false,
            gives,
            snubbing: false,
            changed: Time::ZERO,
        }
    }

    fn secs(secs: u64) -> Time {
        Time::from_start(Duration::from_secs(secs))
    }

    /// Decides, and notes the result in the candidates as the torrent would.
    fn decide(choker: &mut Choker, peers: &mut [Candidate], side: Side, now: Time) -> Vec<u64> {
        let mut rng = ChaCha8Rng::seed_from_u64(now.as_nanos());
        let chosen = choker.decide(peers, side, now, &mut rng);
        for peer in peers {
            let unchoked = chosen.contains(&peer.peer);
            if peer.unchoked != unchoked {
                peer.unchoked = unchoked;
                peer.changed = now;
            }
        }
        let mut keys: Vec<u64> = chosen.iter().map(|peer| peer.0).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn a_free_slot_is_filled_at_once() {
        let mut choker = Choker::new(&config(), Time::ZERO);
        let mut peers = [candidate(1, 0), candidate(2, 0)];
        assert_eq!(
            decide(&mut choker, &mut peers, Side::Leech, Time::ZERO),
            [1, 2]
        );
    }

    #[test]
    fn who_gives_most_is_unchoked_at_the_next_round() {
        let mut choker = Choker::new(&config(), Time::ZERO);
        let mut peers: Vec<Candidate> = (1..=6).map(|key| candidate(key, key * 100)).collect();
        let chosen = decide(&mut choker, &mut peers, Side::Leech, secs(10));
        assert_eq!(chosen.len(), 3);
        assert!(chosen.contains(&6) && chosen.contains(&5), "{chosen:?}");
    }

    #[test]
    fn nobody_loses_a_slot_between_rounds() {
        let mut choker = Choker::new(&config(), Time::ZERO);
        let mut peers: Vec<Candidate> = (1..=6).map(|key| candidate(key, 0)).collect();
        let before = decide(&mut choker, &mut peers, Side::Leech, secs(1));
        for peer in &mut peers {
            peer.gives = if peer.unchoked { 0 } else { 1_000 };
        }
        assert_eq!(
            decide(&mut choker, &mut peers, Side::Leech, secs(5)),
            before
        );
        assert_ne!(
            decide(&mut choker, &mut peers, Side::Leech, secs(10)),
            before
        );
    }

    #[test]
    fn a_free_rider_gets_only_the_optimistic_slot() {
        let mut choker = Choker::new(&config(), Time::ZERO);
        let mut peers: Vec<Candidate> = (1..=6).map(|key| candidate(key, 1_000)).collect();
        peers[5].gives = 0;
        let turns = (1..=100)
            .filter(|round| {
                decide(&mut choker, &mut peers, Side::Leech, secs(round * 10)).contains(&6)
            })
            .count();
        assert!((5..45).contains(&turns), "{turns} of 100 rounds");
    }

    #[test]
    fn a_snubbing_peer_loses_its_slot() {
        let mut choker = Choker::new(&config(), Time::ZERO);
        let mut peers: Vec<Candidate> = (1..=4).map(|key| candidate(key, key * 100)).collect();
        peers[3].snubbing = true;
        peers[3].unchoked = true;
        choker.optimistic = Some(PeerKey(1));
        choker.optimistic_until = secs(100);
        assert_eq!(
            decide(&mut choker, &mut peers, Side::Leech, secs(10)),
            [1, 2, 3]
        );
    }

    #[test]
    fn a_seed_gives_everyone_a_turn() {
        let mut choker = Choker::new(&config(), Time::ZERO);
        let mut peers: Vec<Candidate> = (1..=9).map(|key| candidate(key, 0)).collect();
        let mut turns = BTreeMap::new();
        for round in 0..90 {
            for key in decide(&mut choker, &mut peers, Side::Seed, secs(round * 10)) {
                *turns.entry(key).or_insert(0) += 1;
            }
        }
        assert!(
            turns.len() == 9 && turns.values().all(|&turns| (20..=40).contains(&turns)),
            "{turns:?}"
        );
    }

    #[test]
    fn who_wants_nothing_is_not_unchoked() {
        let mut choker = Choker::new(&config(), Time::ZERO);
        let mut peers = [candidate(1, 900), candidate(2, 0)];
        peers[0].interested = false;
        assert_eq!(
            decide(&mut choker, &mut peers, Side::Leech, Time::ZERO),
            [2]
        );
    }
}
