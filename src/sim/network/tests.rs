//! Shares, order and delay on links, without any core.

use super::super::wheel::TURN;
use super::*;
use crate::layout::{BLOCK_LEN, Layout};

const RATE: u64 = 100 * BLOCK_LEN as u64;
const DELAY: Duration = Duration::from_millis(10);

/// A network whose flows always have something to send.
struct Rig {
    network: Network,
    flows: Vec<EndId>,
    /// Per flow, the turns in which its blocks arrived.
    arrivals: Vec<Vec<Turn>>,
}

impl Rig {
    /// Nodes with these rates up and down, in blocks per second.
    fn new(rates: &[(u64, u64)]) -> Self {
        let mut network = Network::new(TURN);
        for &(up, down) in rates {
            let rates = (up * u64::from(BLOCK_LEN), down * u64::from(BLOCK_LEN));
            network.add_node(rates, DELAY / 2);
        }
        Self {
            network,
            flows: Vec::new(),
            arrivals: Vec::new(),
        }
    }

    fn flow(mut self, from: u32, to: u32) -> Self {
        let end = self.network.connect(from, to, Turn(0));
        self.flows.push(end);
        self.arrivals.push(Vec::new());
        self
    }

    /// Blocks per second and flow over some seconds.
    fn run(mut self, seconds: u64) -> (Vec<u64>, Self) {
        let layout = Layout::new(u64::from(BLOCK_LEN), BLOCK_LEN).expect("valid");
        let piece = layout.piece(0).expect("exists");
        let block = layout.nth_block(piece, 0).expect("exists");
        let nodes = u32::try_from(self.network.access.len()).expect("few");
        for &flow in &self.flows {
            self.network.send(flow, &[block; 4], Time::ZERO);
        }
        let end = Turn::of(Time::from_start(Duration::from_secs(seconds)));
        for turn in (0..=end.0).map(Turn) {
            for node in 0..nodes {
                let mut sent = Vec::new();
                self.network.pump(node, turn.time(), &mut sent);
                for one in sent {
                    let flow = self.flows.iter().position(|&end| end == one.end);
                    self.arrivals[flow.expect("known")].push(one.arrives);
                    self.network.send(one.end, &[block], turn.time());
                }
                self.network.pump(node, turn.time(), &mut Vec::new());
            }
        }
        let arrived = |turns: &Vec<Turn>| turns.iter().filter(|&&turn| turn <= end).count();
        let counts = self.arrivals.iter().map(|turns| arrived(turns) as u64);
        (counts.map(|count| count / seconds).collect(), self)
    }
}

fn near(got: u64, want: u64) -> bool {
    got.abs_diff(want) * 50 <= want
}

#[test]
fn one_flow_alone_has_the_full_rate_of_its_narrowest_link() {
    for (up, down) in [(100, 1_000), (1_000, 100), (100, 100)] {
        let (rates, _) = Rig::new(&[(up, 1), (1, down)]).flow(0, 1).run(20);
        assert!(near(rates[0], 100), "{rates:?} with {up} up, {down} down");
    }
}

#[test]
fn flows_share_an_uplink_equally() {
    let rig = Rig::new(&[(100, 1), (1, 1_000), (1, 1_000), (1, 1_000)]);
    let (rates, _) = rig.flow(0, 1).flow(0, 2).flow(0, 3).run(20);
    assert!(rates.iter().all(|&rate| near(rate, 33)), "{rates:?}");
}

#[test]
fn flows_share_a_downlink_equally() {
    let rig = Rig::new(&[(1, 100), (1_000, 1), (1_000, 1), (300, 1), (100, 1)]);
    let rig = rig.flow(1, 0).flow(2, 0).flow(3, 0).flow(4, 0);
    let (rates, _) = rig.run(20);
    assert!(
        rates.iter().all(|&rate| rate.abs_diff(25) <= 2),
        "{rates:?}"
    );
    assert!(near(rates.iter().sum(), 100), "{rates:?}");
}

#[test]
fn what_a_slow_uplink_leaves_of_a_downlink_goes_to_the_others() {
    let rig = Rig::new(&[(1, 100), (10, 1), (1_000, 1), (1_000, 1)]);
    let (rates, _) = rig.flow(1, 0).flow(2, 0).flow(3, 0).run(20);
    assert!(rates[0] >= 9, "{rates:?}");
    assert!(near(rates[1], 45) && near(rates[2], 45), "{rates:?}");
}

#[test]
fn a_slow_downlink_does_not_hold_up_the_uplink_for_others() {
    let rig = Rig::new(&[(100, 1), (1, 5), (1, 1_000), (1, 1_000)]);
    let (rates, _) = rig.flow(0, 1).flow(0, 2).flow(0, 3).run(20);
    assert!((4..=5).contains(&rates[0]), "{rates:?}");
    assert!(near(rates[1], 47) && near(rates[2], 47), "{rates:?}");
}

#[test]
fn blocks_take_the_delay_and_arrive_in_order() {
    let (_, rig) = Rig::new(&[(100, 1), (1, 100)]).flow(0, 1).run(2);
    let arrivals = &rig.arrivals[0];
    assert!(arrivals.is_sorted(), "{arrivals:?}");
    let first = arrivals[0].time().as_secs_f64();
    assert!(
        (0.020..0.021).contains(&first),
        "10 ms to send, 10 ms on the way: {first}"
    );
}

#[test]
fn a_message_takes_the_delay_and_overtakes_no_block() {
    let mut rig = Rig::new(&[(100, 1), (1, 50)]).flow(0, 1);
    let end = rig.flows[0];
    let said = rig.network.say(end, Time::ZERO).expect("it is open");
    assert_eq!(said, (Turn::of(Time::ZERO + DELAY), 1));
    let (_, mut rig) = rig.run(1);
    let last = *rig.arrivals[0].last().expect("blocks arrived");
    let now = Time::from_start(Duration::from_secs(1));
    let (said, _) = rig.network.say(end, now).expect("it is open");
    assert!(said >= last);
}

#[test]
fn nothing_leaves_a_connection_that_is_closed_or_stalled_and_others_go_on() {
    let mut rig = Rig::new(&[(100, 1), (1, 100), (1, 100), (1, 100)]);
    rig = rig.flow(0, 1).flow(0, 2).flow(0, 3);
    rig.network.close(rig.flows[0], Turn(0));
    rig.network.stall(rig.flows[1]);
    let (rates, rig) = rig.run(10);
    assert_eq!(rates[..2], [0, 0]);
    assert!(near(rates[2], 100), "{rates:?}");
    assert_eq!(
        rig.network.ends_of(1),
        [rig.flows[0].other()],
        "its end is still open"
    );
}

#[test]
fn the_place_of_a_closed_connection_is_used_again_under_another_key() {
    let mut network = Network::new(TURN);
    network.add_node((RATE, RATE), DELAY);
    network.add_node((RATE, RATE), DELAY);
    let first = network.connect(0, 1, Turn(0));
    let key = network.key(first);
    let quiet = network.close(first, Turn(5)).expect("it was open");
    network.close(first.other(), quiet);
    assert_ne!(
        network.connect(0, 1, quiet),
        first,
        "its last words may be on the way"
    );
    let later = Turn(quiet.0 + 1_000);
    network.begin(later);
    assert_eq!(network.connect(0, 1, later), first);
    assert_ne!(network.key(first), key);
}

#[test]
fn a_block_of_a_closed_connection_does_not_arrive_over_the_next_one_in_its_place() {
    let mut network = Network::new(TURN);
    let slow = u64::from(BLOCK_LEN) / 10;
    network.add_node((slow, RATE), DELAY);
    network.add_node((RATE, RATE), DELAY);
    let first = network.connect(0, 1, Turn(0));
    let layout = Layout::new(RATE, BLOCK_LEN).expect("valid");
    let block = layout
        .nth_block(layout.piece(0).expect("exists"), 0)
        .expect("exists");
    network.send(first, &[block], Time::ZERO);
    network.pump(0, Time::ZERO, &mut Vec::new());
    let quiet = network.close(first, Turn(5)).expect("it was open");
    network.close(first.other(), quiet);
    network.begin(Turn(quiet.0 + 100));
    assert_eq!(network.connect(0, 1, Turn(quiet.0 + 100)), first);
    let mut sent = Vec::new();
    network.pump(0, Time::from_start(Duration::from_secs(20)), &mut sent);
    assert!(sent.is_empty(), "{sent:?}");
}
