//! The simulated tracker: it knows who announced, and names some of them at random.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::node::addr_of;
use crate::tracker::{AnnounceEvent, AnnounceRequest, AnnounceResponse};

/// How often it wants to be asked.
const INTERVAL: Duration = Duration::from_secs(60);

/// Who is known to be there.
#[derive(Debug)]
pub(super) struct Tracker {
    members: Vec<u32>,
    /// Place of each node among the members.
    places: Vec<Option<u32>>,
}

impl Tracker {
    /// A tracker for this many nodes, none of which has announced.
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            members: Vec::new(),
            places: vec![None; nodes],
        }
    }

    /// A node announces; the answer names as many others as it wants at most. Costs as much as
    /// there are names in it, however large the swarm is.
    pub(super) fn announce(
        &mut self,
        node: u32,
        request: &AnnounceRequest,
        rng: &mut ChaCha8Rng,
    ) -> AnnounceResponse {
        self.forget(node);
        let peers = self.choose(request.num_want as usize, rng);
        if request.event != AnnounceEvent::Stopped {
            self.places[node as usize] = Some(self.len());
            self.members.push(node);
        }
        AnnounceResponse {
            interval: INTERVAL,
            peers: peers.into_iter().map(addr_of).collect(),
            ..Default::default()
        }
    }

    /// The first steps of a shuffle, done in place.
    fn choose(&mut self, wanted: usize, rng: &mut ChaCha8Rng) -> Vec<u32> {
        let len = self.len();
        let chosen = self.members.len().min(wanted);
        for step in 0..chosen {
            let from = u32::try_from(step).expect("fewer than nodes");
            let pick = rng.random_range(from..len) as usize;
            self.members.swap(step, pick);
            for place in [step, pick] {
                let member = self.members[place];
                self.places[member as usize] = u32::try_from(place).ok();
            }
        }
        self.members[..chosen].to_vec()
    }

    fn forget(&mut self, node: u32) {
        let Some(place) = self.places[node as usize].take() else {
            return;
        };
        self.members.swap_remove(place as usize);
        if let Some(&moved) = self.members.get(place as usize) {
            self.places[moved as usize] = Some(place);
        }
    }

    fn len(&self) -> u32 {
        u32::try_from(self.members.len()).expect("nodes are counted in u32")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;

    use super::*;
    use crate::ids::PeerId;
    use crate::sim::node::{INFO_HASH, node_of};

    fn request(event: AnnounceEvent) -> AnnounceRequest {
        AnnounceRequest {
            info_hash: INFO_HASH,
            peer_id: PeerId::ours([0; 12]),
            port: 6881,
            uploaded: 0,
            downloaded: 0,
            left: 0,
            event,
            num_want: 10,
            key: 0,
        }
    }

    #[test]
    fn an_answer_names_as_many_others_as_wanted_and_never_the_asker() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut tracker = Tracker::new(50);
        let mut named = BTreeSet::new();
        for round in 0..20 {
            for node in 0..50 {
                let answer = tracker.announce(node, &request(AnnounceEvent::Periodic), &mut rng);
                let peers: BTreeSet<u32> = answer
                    .peers
                    .iter()
                    .filter_map(|&addr| node_of(addr))
                    .collect();
                let known = if round == 0 { node as usize } else { 49 };
                assert_eq!(peers.len(), known.min(10), "different ones");
                assert!(!peers.contains(&node));
                named.extend(peers);
            }
        }
        assert_eq!(named.len(), 50, "everybody is named at some time");
    }

    #[test]
    fn who_said_goodbye_is_not_named() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut tracker = Tracker::new(3);
        for node in 0..3 {
            tracker.announce(node, &request(AnnounceEvent::Started), &mut rng);
        }
        tracker.announce(1, &request(AnnounceEvent::Stopped), &mut rng);
        let answer = tracker.announce(0, &request(AnnounceEvent::Periodic), &mut rng);
        assert_eq!(answer.peers, [addr_of(2)]);
    }
}
