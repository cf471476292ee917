//! What happens when: a wheel of windows.
//!
//! Virtual time goes in turns, and turns in windows. What a node does reaches another after a delay at
//! least, so in a window that is no longer than the least delay no node hears of another: each lives
//! through the whole window before the next one does, and its state is fetched into the cache once per
//! window and not once per message. A run depends on nothing but its seed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::occurrence::{Occurrence, What};
use crate::time::Time;

/// The length of a turn: how often a machine looks at its sockets. Chosen: a quarter of the
/// smallest round trip that matters.
pub(super) const TURN: Duration = Duration::from_micros(500);

/// The longest window: a downlink does not know which of two blocks of one window came first.
/// Chosen: what a switch holds back.
const WINDOW_MAX: Duration = Duration::from_millis(10);
/// Windows that the wheel holds; what lies further ahead waits beside it.
const SPOKES: usize = 1_024;
/// Nodes of a wheel, at most: as many as there are addresses for.
const NODES_MAX: usize = 1 << 24;

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

/// Occurrences by window.
#[derive(Debug)]
pub(super) struct Wheel {
    /// Turns of a window.
    span: u64,
    spokes: Vec<Vec<Occurrence>>,
    /// How many occurrences are on the spokes.
    held: usize,
    far: BTreeMap<u64, Vec<Occurrence>>,
    /// The next window to be handed out.
    next: u64,
    /// The node whose turns are handed out, and what it has scheduled for itself in this window.
    node: u32,
    own: Vec<(Turn, What)>,
    /// Empty lists with room, for spokes to come.
    spare: Vec<Vec<Occurrence>>,
    /// Per node: how many occurrences, then where its next one goes.
    places: Vec<u32>,
    /// A window from turn to turn; empty between windows.
    by_turn: Vec<Occurrence>,
}

impl Wheel {
    /// An empty wheel for this many nodes that hear of each other after `delay` at the soonest.
    ///
    /// # Panics
    /// If there are more than 2²⁴ nodes.
    pub(super) fn new(nodes: usize, delay: Duration) -> Self {
        assert!(nodes <= NODES_MAX, "there are no addresses for so many");
        Self {
            span: (nanos(delay.min(WINDOW_MAX)) / nanos(TURN)).max(1),
            spokes: vec![Vec::new(); SPOKES],
            held: 0,
            far: BTreeMap::new(),
            next: 0,
            node: 0,
            own: Vec::new(),
            spare: Vec::new(),
            places: vec![0; nodes],
            by_turn: Vec::new(),
        }
    }

    /// How long a window is.
    pub(super) fn window(&self) -> Duration {
        TURN * u32::try_from(self.span).expect("a window has few turns")
    }

    /// Something happens to a node in a turn to come: of this window only to the node whose turn it
    /// is.
    pub(super) fn schedule(&mut self, turn: Turn, node: u32, what: What) {
        let window = turn.0 / self.span;
        if window + 1 == self.next {
            assert_eq!(node, self.node, "nobody hears of others in the same window");
            self.own.push((turn, what));
            return;
        }
        assert!(window >= self.next, "the past is past");
        let occurrence = Occurrence::new(node, self.offset_of(turn), what);
        if window - self.next >= SPOKES as u64 {
            self.far.entry(window).or_default().push(occurrence);
            return;
        }
        let spoke = &mut self.spokes[spoke_of(window)];
        if spoke.capacity() == 0
            && let Some(spare) = self.spare.pop()
        {
            *spoke = spare;
        }
        spoke.push(occurrence);
        self.held += 1;
    }

    /// The first turn after this one in which something may happen to a node.
    pub(super) fn earliest(&self, node: u32, now: Turn) -> Turn {
        if node == self.node {
            now.next()
        } else {
            Turn(self.next * self.span)
        }
    }

    /// The next window in which anything happens, by its first turn; `all` gets it, node by node, each
    /// from turn to turn.
    pub(super) fn advance(&mut self, all: &mut Vec<Occurrence>) -> Option<Turn> {
        if self.held == 0 {
            let (&first, _) = self.far.first_key_value()?;
            self.next = self.next.max(first);
        }
        loop {
            let window = self.next;
            self.next = window + 1;
            // What waited beside the wheel was scheduled first.
            let mut happens = self.far.remove(&window).unwrap_or_default();
            let near = std::mem::take(&mut self.spokes[spoke_of(window)]);
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
                return Some(Turn(window * self.span));
            }
        }
    }

    /// The next turn of one node in the window handed out last, of which `rest` is to come: `whats`
    /// gets what happens in it. `None` when the node is through.
    pub(super) fn next_turn(
        &mut self,
        node: u32,
        rest: &mut &[Occurrence],
        whats: &mut Vec<What>,
    ) -> Option<Turn> {
        self.node = node;
        let first = Turn((self.next - 1) * self.span);
        let turn_of = |one: &Occurrence| Turn(first.0 + u64::from(one.offset()));
        let own = self.own.iter().map(|&(turn, _)| turn).min();
        let turn = rest.first().map(turn_of).into_iter().chain(own).min()?;
        whats.clear();
        let now = rest.iter().take_while(|one| turn_of(one) == turn).count();
        let (happens, later) = rest.split_at(now);
        *rest = later;
        whats.extend(happens.iter().map(|one| one.what));
        let own = self.own.extract_if(.., |(at, _)| *at == turn);
        whats.extend(own.map(|(_, what)| what));
        Some(turn)
    }

    /// By node, then by turn; what happens to a node in one turn stays in order. Many are counted out,
    /// few are sorted.
    fn sort(&mut self, happens: &[Occurrence], all: &mut Vec<Occurrence>) {
        all.clear();
        all.extend_from_slice(happens);
        if happens.len() * 16 < self.places.len() {
            all.sort_by_key(|occurrence| occurrence.place());
            return;
        }
        let mut by_turn = std::mem::take(&mut self.by_turn);
        by_turn.clear();
        by_turn.extend_from_slice(happens);
        let turns = &mut [0; 256];
        count_out(happens, &mut by_turn, turns, |one| one.offset().into());
        count_out(&by_turn, all, &mut self.places, |one| one.node() as usize);
        self.by_turn = by_turn;
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a window has fewer turns than a byte has values"
    )]
    const fn offset_of(&self, turn: Turn) -> u8 {
        (turn.0 % self.span) as u8
    }
}

/// Sorts by what `key` says, which is less than `places` is long; equals stay in order.
fn count_out(
    from: &[Occurrence],
    to: &mut [Occurrence],
    places: &mut [u32],
    key: impl Fn(Occurrence) -> usize,
) {
    places.fill(0);
    for &occurrence in from {
        places[key(occurrence)] += 1;
    }
    let mut place = 0;
    for count in places.iter_mut() {
        place += std::mem::replace(count, place);
    }
    for &occurrence in from {
        let place = &mut places[key(occurrence)];
        to[*place as usize] = occurrence;
        *place += 1;
    }
}

const _: () = assert!(
    WINDOW_MAX.as_nanos() / TURN.as_nanos() < 256,
    "offsets fit into a byte"
);

#[expect(
    clippy::cast_possible_truncation,
    reason = "less than the number of spokes"
)]
const fn spoke_of(window: u64) -> usize {
    (window % SPOKES as u64) as usize
}

#[cfg(test)]
mod tests;
