//! Whom to unchoke: tit for tat with an optimistic slot while we miss something, turns while we
//! are complete (BEP 3, "choking and optimistic unchoking").
//!
//! It is asked whenever a slot may be free, not only on a tick: nobody waits ten seconds for a
//! slot that is there.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;

use super::config::TorrentConfig;
use super::event::PeerKey;
use crate::time::Time;

/// A slot that nobody uses for this long goes to somebody else: a few round trips of a LAN. It doubles
/// whenever that turns out to have been too short.
const IDLE_FIRST: Duration = Duration::from_millis(25);
/// The longest that it grows to.
const IDLE_MAX: Duration = Duration::from_secs(2);
/// What the choker knows of a connection.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent marks, not a state"
)]
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
    /// Payload bytes sent to it since it has its slot.
    pub(super) sent: u64,
    /// Since when nothing is queued for it, or on its way to it; `None` while there is.
    pub(super) idle_since: Option<Time>,
    /// It passes on nothing of what it gets first.
    pub(super) is_miser: bool,
    /// It had a slot a moment ago and asked for nothing.
    pub(super) declined: bool,
    /// It had a piece of us at least and never gave anything.
    pub(super) only_takes: bool,
}

/// Whether we still need pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// We miss pieces: those who give get.
    Leech,
    /// We have next to nothing, and so have others: who gets it first does not matter, that all
    /// have something to trade does.
    Newcomer,
    /// We are complete: everyone has a turn.
    Seed,
}

/// The state between two decisions.
#[derive(Clone, Debug)]
pub(super) struct Choker {
    slots: usize,
    /// What a newcomer's or a first copy's turn lasts for, in payload bytes.
    turn_bytes: u64,
    idle_max: Duration,
    interval: Duration,
    optimistic_interval: Duration,
    /// When rates are compared next.
    next_round: Time,
    optimistic: Option<PeerKey>,
    /// When the optimistic slot goes to somebody else.
    optimistic_until: Time,
}

impl Choker {
    /// A choker that has unchoked nobody.
    pub(super) fn new(config: &TorrentConfig, turn_bytes: u64, now: Time) -> Self {
        Self {
            turn_bytes,
            idle_max: IDLE_FIRST,
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
        // Equals in no order of their own: else a whole swarm would favour the same few.
        wanting.shuffle(rng);
        match side {
            Side::Newcomer => self.take_short_turns(&mut wanting, now),
            Side::Leech => self.reciprocate(&mut wanting, is_round, now, rng),
            Side::Seed => self.take_turns(&mut wanting, is_round, now),
        }
    }

    /// How many may be unchoked, the optimistic one included.
    pub(super) const fn slots(&self) -> usize {
        self.slots
    }

    /// How many may be unchoked from now on, the optimistic one included. A few less, as rates go up
    /// and down, wait for the next round: else somebody would be choked in the middle of a piece.
    pub(super) fn set_slots(&mut self, slots: usize, now: Time) {
        let slots = slots.max(1);
        let is_few_less = slots < self.slots && slots * 4 > self.slots * 3;
        if !is_few_less || now >= self.next_round {
            self.slots = slots;
        }
    }

    /// Somebody asked for something right after losing an idle slot: it was taken too soon.
    pub(super) fn be_patient(&mut self) {
        self.idle_max = (self.idle_max * 2).min(IDLE_MAX);
    }

    /// When a slot that is not used may go to somebody else; `None` if nobody waits or all are used.
    pub(super) fn next_check(&self, candidates: &[Candidate], now: Time) -> Option<Time> {
        let waits = |c: &Candidate| c.interested && !c.unchoked;
        if !candidates.iter().any(waits) {
            return None;
        }
        let idle = candidates.iter().filter(|c| c.unchoked);
        let over = idle.filter_map(|c| Some(c.changed.max(c.idle_since?) + self.idle_max));
        over.filter(|at| *at > now).min()
    }

    /// Whether a slot is given and not used.
    fn is_unused(&self, candidate: &Candidate, now: Time) -> bool {
        let idle = |since| now.since(candidate.changed.max(since)) >= self.idle_max;
        candidate.unchoked && candidate.idle_since.is_some_and(idle)
    }

    fn reciprocate(
        &mut self,
        wanting: &mut [Candidate],
        is_round: bool,
        now: Time,
        rng: &mut ChaCha8Rng,
    ) -> Vec<PeerKey> {
        let gives = |candidate: &Candidate| {
            if candidate.snubbing {
                0
            } else {
                candidate.gives
            }
        };
        let keeps = |c: &Candidate| !is_round && c.unchoked && !self.is_unused(c, now);
        // Best first: who keeps the slot, who gives most, who may give yet, who waited longest.
        let is_last = |c: &Candidate| c.declined || self.is_unused(c, now);
        wanting.sort_by_key(|c| {
            let gives = std::cmp::Reverse(gives(c));
            let is_last = !is_round && is_last(c);
            (!keeps(c), is_last, gives, c.only_takes, c.changed)
        });
        // Whose turn is over competes with what it gave meanwhile, but has no second turn in a row.
        let former = self.optimistic.filter(|_| now >= self.optimistic_until);
        let holder = self.optimistic.filter(|_| now < self.optimistic_until);
        let mut chosen: Vec<PeerKey> = wanting
            .iter()
            .map(|c| c.peer)
            .filter(|&peer| Some(peer) != holder)
            .take(self.slots - 1)
            .collect();
        let rest: Vec<&Candidate> = wanting
            .iter()
            .filter(|c| !chosen.contains(&c.peer))
            .collect();
        let holder = holder.filter(|&peer| rest.iter().any(|c| c.peer == peer));
        let optimistic = holder.unwrap_or_else(|| {
            self.optimistic_until = now + self.optimistic_interval;
            stranger(&rest, former, rng)
        });
        self.optimistic = Some(optimistic);
        chosen.push(optimistic);
        chosen
    }

    /// A piece each, to whoever waited longest.
    fn take_short_turns(&mut self, wanting: &mut [Candidate], now: Time) -> Vec<PeerKey> {
        let keeps =
            |c: &Candidate| c.unchoked && !self.is_unused(c, now) && c.sent < self.turn_bytes;
        wanting.sort_by_key(|c| (!keeps(c), c.declined, c.changed));
        wanting
            .iter()
            .take(self.slots)
            .map(|candidate| candidate.peer)
            .collect()
    }

    fn take_turns(&mut self, wanting: &mut [Candidate], is_round: bool, now: Time) -> Vec<PeerKey> {
        // A turn is one optimistic interval; those who had theirs go behind those who waited.
        let turn_over = |c: &Candidate| {
            is_round && now.since(c.changed) + self.interval / 2 >= self.optimistic_interval
        };
        // Those who pass on nothing have what is left.
        wanting.sort_by_key(|c| {
            let waits = !c.unchoked || turn_over(c);
            (c.is_miser, waits, c.unchoked, c.changed)
        });
        wanting
            .iter()
            .take(self.slots)
            .map(|candidate| candidate.peer)
            .collect()
    }
}

/// Whom to try next: not who just had the slot, nor who takes and gives nothing, if there is any
/// other. `rest` is not empty.
fn stranger(rest: &[&Candidate], former: Option<PeerKey>, rng: &mut ChaCha8Rng) -> PeerKey {
    let rank = |c: &Candidate| (Some(c.peer) == former, c.only_takes);
    let best = rest.iter().map(|c| rank(c)).min();
    let pool: Vec<_> = rest.iter().filter(|c| Some(rank(c)) == best).collect();
    pool[rng.random_range(0..pool.len())].peer
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
            sent: 0,
            idle_since: None,
            is_miser: false,
            declined: false,
            only_takes: false,
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
        let mut choker = Choker::new(&config(), 1 << 20, Time::ZERO);
        let mut peers = [candidate(1, 0), candidate(2, 0)];
        assert_eq!(
            decide(&mut choker, &mut peers, Side::Leech, Time::ZERO),
            [1, 2]
        );
    }

    #[test]
    fn who_gives_most_is_unchoked_at_the_next_round() {
        let mut choker = Choker::new(&config(), 1 << 20, Time::ZERO);
        let mut peers: Vec<Candidate> = (1..=6).map(|key| candidate(key, key * 100)).collect();
        let chosen = decide(&mut choker, &mut peers, Side::Leech, secs(10));
        assert_eq!(chosen.len(), 3);
        assert!(chosen.contains(&6) && chosen.contains(&5), "{chosen:?}");
    }

    #[test]
    fn slots_that_a_rate_lost_go_at_the_next_round() {
        let mut choker = Choker::new(&config(), 1 << 20, Time::ZERO);
        choker.set_slots(40, secs(1));
        choker.set_slots(38, secs(2));
        assert_eq!(choker.slots(), 40);
        choker.set_slots(42, secs(3));
        assert_eq!(choker.slots(), 42);
        choker.set_slots(20, secs(4));
        assert_eq!(choker.slots(), 20, "no longer the same uplink");
        choker.set_slots(19, secs(11));
        assert_eq!(choker.slots(), 19);
    }

    #[test]
    fn nobody_loses_a_slot_between_rounds() {
        let mut choker = Choker::new(&config(), 1 << 20, Time::ZERO);
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
    fn a_slot_that_is_not_used_goes_to_another() {
        let mut choker = Choker::new(&config(), 1 << 20, Time::ZERO);
        let mut peers: Vec<Candidate> = (1..=6).map(|key| candidate(key, 500)).collect();
        let before = decide(&mut choker, &mut peers, Side::Leech, secs(1));
        let idle = before
            .iter()
            .find(|key| choker.optimistic != Some(PeerKey(**key)));
        let idle = *idle.expect("two slots are regular");
        let place = peers.iter().position(|peer| peer.peer.0 == idle);
        peers[place.expect("it is one of them")].idle_since = Some(secs(1));
        let check = choker.next_check(&peers, secs(1)).expect("somebody waits");
        assert_eq!(check, secs(1) + IDLE_FIRST);
        let after = decide(&mut choker, &mut peers, Side::Leech, check);
        assert!(!after.contains(&idle), "{before:?} {after:?}");
    }

    #[test]
    fn a_newcomer_gives_everyone_a_piece_in_turn() {
        let mut choker = Choker::new(&config(), 1 << 20, Time::ZERO);
        let mut peers: Vec<Candidate> = (1..=9).map(|key| candidate(key, 0)).collect();
        let mut served = Vec::new();
        for round in 1..=3 {
            served.extend(decide(&mut choker, &mut peers, Side::Newcomer, secs(round)));
            for peer in &mut peers {
                peer.sent = if peer.unchoked { 1 << 20 } else { 0 };
            }
        }
        served.sort_unstable();
        assert_eq!(served, (1..=9).collect::<Vec<u64>>());
    }

    #[test]
    fn a_seed_serves_those_last_who_pass_nothing_on() {
        let mut choker = Choker::new(&config(), 1 << 20, Time::ZERO);
        let mut peers: Vec<Candidate> = (1..=5).map(|key| candidate(key, 0)).collect();
        peers[0].is_miser = true;
        peers[1].is_miser = true;
        peers[0].unchoked = true;
        let chosen = decide(&mut choker, &mut peers, Side::Seed, secs(1));
        assert_eq!(chosen, [3, 4, 5]);
    }

    #[test]
    fn a_free_rider_gets_only_the_optimistic_slot() {
        let mut choker = Choker::new(&config(), 1 << 20, Time::ZERO);
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
    fn who_took_and_gave_nothing_gets_no_slot_while_others_wait() {
        let mut choker = Choker::new(&config(), 1 << 20, Time::ZERO);
        let mut peers: Vec<Candidate> = (1..=6).map(|key| candidate(key, 0)).collect();
        peers[4].only_takes = true;
        peers[5].only_takes = true;
        let mut served = BTreeMap::new();
        for round in 1..=100 {
            for key in decide(&mut choker, &mut peers, Side::Leech, secs(round * 10)) {
                *served.entry(key).or_insert(0) += 1;
            }
        }
        assert!(served.keys().eq(&[1, 2, 3, 4]), "{served:?}");
    }

    #[test]
    fn who_took_and_gave_nothing_gets_the_slot_that_nobody_else_wants() {
        let mut choker = Choker::new(&config(), 1 << 20, Time::ZERO);
        let mut peers: Vec<Candidate> = (1..=4).map(|key| candidate(key, 900)).collect();
        peers[2].only_takes = true;
        peers[3].only_takes = true;
        (peers[2].gives, peers[3].gives) = (0, 0);
        let turns =
            (1..=40).map(|round| decide(&mut choker, &mut peers, Side::Leech, secs(round * 10)));
        let served: Vec<Vec<u64>> = turns.collect();
        for rider in [3, 4] {
            assert!(
                served.iter().any(|chosen| chosen.contains(&rider)),
                "{served:?}"
            );
        }
    }

    #[test]
    fn a_snubbing_peer_loses_its_slot() {
        let mut choker = Choker::new(&config(), 1 << 20, Time::ZERO);
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
        let mut choker = Choker::new(&config(), 1 << 20, Time::ZERO);
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
        let mut choker = Choker::new(&config(), 1 << 20, Time::ZERO);
        let mut peers = [candidate(1, 900), candidate(2, 0)];
        peers[0].interested = false;
        assert_eq!(
            decide(&mut choker, &mut peers, Side::Leech, Time::ZERO),
            [2]
        );
    }
}
