//! What happens when: a wheel of turns.
//!
//! Virtual time goes in turns. All that falls into one is handed out together, node by node, and
//! for one node in the order of scheduling: a node's state is fetched into the cache once per turn
//! and not once per message, and a run depends on nothing but its seed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::occurrence::{Occurrence, What};
use crate::time::Time;

/// The length of a turn: how often a machine looks at its sockets. Chosen: a quarter of the
/// smallest round trip that matters.
pub(super) const TURN: Duration = Duration::from_micros(500);

/// Turns that the wheel holds; what lies further ahead waits beside it.
const SPOKES: usize = 4_096;

/// The number of a turn; all that happens in it happens at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn(pub(super) u64);

impl Turn {
    /// The turn in which this moment falls.
    pub(super) fn of(at: Time) -> Self {
        Self(at.as_nanos().div_ceil(nanos(TURN)))
    }

    /// Its end.
    pub(super) fn time(self) -> Time {
        Time::from_nanos(self.0 * nanos(TURN))
    }

    /// The next one.
    pub(super) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A duration in nanoseconds, 584 years at most.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Occurrences by turn.
#[derive(Debug)]
pub(super) struct Wheel {
    spokes: Vec<Vec<Occurrence>>,
    /// How many occurrences are on the spokes.
    held: usize,
    far: BTreeMap<Turn, Vec<Occurrence>>,
    /// The next turn to be handed out.
    next: Turn,
    /// Empty lists with room, for spokes to come.
    spare: Vec<Vec<Occurrence>>,
    /// Per node: how many occurrences, then where its next one goes.
    places: Vec<u32>,
}

impl Wheel {
    /// An empty wheel for this many nodes.
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            spokes: vec![Vec::new(); SPOKES],
            held: 0,
            far: BTreeMap::new(),
            next: Turn(0),
            spare: Vec::new(),
            places: vec![0; nodes],
        }
    }

    /// Something happens to a node in a turn to come.
    pub(super) fn schedule(&mut self, turn: Turn, node: u32, what: What) {
        assert!(turn >= self.next, "the past is past");
        let occurrence = Occurrence { node, what };
        if turn.0 - self.next.0 >= SPOKES as u64 {
            self.far.entry(turn).or_default().push(occurrence);
            return;
        }
        let spoke = &mut self.spokes[spoke_of(turn)];
        if spoke.capacity() == 0
            && let Some(spare) = self.spare.pop()
        {
            *spoke = spare;
        }
        spoke.push(occurrence);
        self.held += 1;
    }

    /// The next turn in which anything happens; `all` gets it, node by node.
    pub(super) fn advance(&mut self, all: &mut Vec<Occurrence>) -> Option<Turn> {
        if self.held == 0 {
            let (&first, _) = self.far.first_key_value()?;
            self.next = self.next.max(first);
        }
        loop {
            let turn = self.next;
            self.next = turn.next();
            // What waited beside the wheel was scheduled first.
            let mut happens = self.far.remove(&turn).unwrap_or_default();
            let near = std::mem::take(&mut self.spokes[spoke_of(turn)]);
            self.held -= near.len();
            if happens.is_empty() {
                happens = near;
            } else {
                happens.extend(near);
            }
            if !happens.is_empty() {
                self.sort(&happens, all);
                happens.clear();
                self.spare.push(happens);
                return Some(turn);
            }
        }
    }

    /// By node; the order of one node's occurrences stays. Many are counted out, few are sorted.
    fn sort(&mut self, happens: &[Occurrence], all: &mut Vec<Occurrence>) {
        all.clear();
        all.extend_from_slice(happens);
        if happens.len() * 16 < self.places.len() {
            all.sort_by_key(|occurrence| occurrence.node);
            return;
        }
        self.places.fill(0);
        for occurrence in happens {
            self.places[occurrence.node as usize] += 1;
        }
        let mut place = 0;
        for count in &mut self.places {
            place += std::mem::replace(count, place);
        }
        for &occurrence in happens {
            let place = &mut self.places[occurrence.node as usize];
            all[*place as usize] = occurrence;
            *place += 1;
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "less than the number of spokes"
)]
const fn spoke_of(turn: Turn) -> usize {
    (turn.0 % SPOKES as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(wheel: &mut Wheel) -> Vec<(u64, u32, u32)> {
        let mut order = Vec::new();
        let mut all = Vec::new();
        while let Some(turn) = wheel.advance(&mut all) {
            for occurrence in &all {
                let What::Verified(mark) = occurrence.what else {
                    panic!("not scheduled here")
                };
                order.push((turn.0, occurrence.node, mark));
            }
        }
        order
    }

    #[test]
    fn turn_by_turn_then_node_by_node_then_in_order_of_scheduling() {
        for nodes in [3, 1_000] {
            let mut wheel = Wheel::new(nodes);
            let far = SPOKES as u64 * 3;
            for (turn, node, mark) in [
                (far, 1, 9),
                (5, 2, 1),
                (5, 0, 2),
                (1, 0, 3),
                (5, 2, 4),
                (far + 1, 0, 5),
                (5, 0, 6),
            ] {
                wheel.schedule(Turn(turn), node, What::Verified(mark));
            }
            let want = [
                (1, 0, 3),
                (5, 0, 2),
                (5, 0, 6),
                (5, 2, 1),
                (5, 2, 4),
                (far, 1, 9),
                (far + 1, 0, 5),
            ];
            assert_eq!(order(&mut wheel), want);
        }
    }

    #[test]
    fn what_waited_beside_the_wheel_comes_before_what_was_scheduled_later() {
        let mut wheel = Wheel::new(1);
        let far = SPOKES as u64 + 10;
        wheel.schedule(Turn(far), 0, What::Verified(1));
        wheel.schedule(Turn(20), 0, What::Verified(2));
        let mut all = Vec::new();
        assert_eq!(wheel.advance(&mut all), Some(Turn(20)));
        wheel.schedule(Turn(far), 0, What::Verified(3));
        assert_eq!(order(&mut wheel), [(far, 0, 1), (far, 0, 3)]);
    }

    #[test]
    fn a_turn_ends_at_or_after_the_moments_that_fall_into_it() {
        for at in [0, 1, 499_999, 500_000, 500_001] {
            let at = Time::from_nanos(at);
            assert!(Turn::of(at).time() >= at);
            assert!(Turn::of(at).time() - at < TURN);
        }
    }
}
