//! Sources that name nobody who answers, and what they cost the others.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::harness::{Bench, addr};
use crate::time::Time;
use crate::torrent::event::{PeerKey, PeerSource, TrackerId};
use crate::torrent::progress::TrackerFault;
use crate::torrent::{Action, Event, TorrentConfig};
use crate::tracker::AnnounceResponse;
use crate::wire::Message;
use crate::wire::pex::{self, PexMessage, PexPeer};

/// How long a dial to nobody takes.
const DIAL: Duration = Duration::from_secs(10);

/// So many addresses of the internet where nobody is, each in a network of its own.
fn dead(count: u32) -> Vec<SocketAddr> {
    let nth = |n: u32| SocketAddr::from(((0x0b00_0001 + (n << 8)).to_be_bytes(), 6881));
    (0..count).map(nth).collect()
}

fn names(bench: &mut Bench, tracker: usize, peers: Vec<SocketAddr>) -> Vec<Action> {
    let tracker = TrackerId(tracker);
    let result = Ok(AnnounceResponse {
        interval: Duration::from_secs(1_800),
        peers,
        ..AnnounceResponse::default()
    });
    bench.event(Event::Announced { tracker, result })
}

fn dials(actions: &[Action]) -> Vec<SocketAddr> {
    let dials = actions.iter().filter_map(|action| match action {
        Action::Connect { addr } => Some(*addr),
        _ => None,
    });
    dials.collect()
}

#[test]
fn a_tracker_that_lists_ten_thousand_dead_does_not_delay_who_another_names() {
    let mut bench = Bench::leech_of_trackers(2, |config| config);
    bench.pass(Duration::ZERO);
    let first = dials(&names(&mut bench, 0, dead(10_000)));
    assert_eq!(first.len(), 30, "{first:?}");
    assert_eq!(dials(&names(&mut bench, 1, vec![addr(7)])), [addr(7)]);
}

#[test]
fn ten_thousand_dead_of_a_tracker_delay_nobody_who_is_found_in_another_way() {
    for source in [PeerSource::Manual, PeerSource::Lsd, PeerSource::Dht] {
        let mut bench = Bench::leech_of_trackers(1, |config| config);
        bench.pass(Duration::ZERO);
        names(&mut bench, 0, dead(10_000));
        let addrs = vec![addr(7)];
        let found = bench.event(Event::PeersFound { source, addrs });
        assert_eq!(dials(&found), [addr(7)], "{source:?}");
    }
}

#[test]
fn a_seed_among_ten_thousand_dead_is_dialled_as_soon_as_another_names_it() {
    let mut bench = Bench::leech_of_trackers(2, |config| config);
    bench.pass(Duration::ZERO);
    let mut listed = dead(10_000);
    let seed = listed[600];
    listed.truncate(601);
    let first = dials(&names(&mut bench, 0, listed));
    assert!(!first.contains(&seed), "the test wants it to be late");
    assert_eq!(dials(&names(&mut bench, 1, vec![seed])), [seed]);
}

#[test]
fn a_tracker_that_names_only_dead_peers_is_told_of_also_while_others_are_connected() {
    let mut bench = Bench::leech_of_trackers(3, |config| config);
    bench.pass(Duration::ZERO);
    names(&mut bench, 1, vec![addr(7)]);
    bench.connect_outgoing(7);
    let mut under_way = dials(&names(&mut bench, 0, dead(10_000)));
    let faults = |bench: &Bench| bench.torrent.progress(bench.now).tracker_faults;
    assert_eq!(faults(&bench), [], "too early");
    bench.now += DIAL;
    for _ in 0..30 {
        let addr = under_way.pop().expect("30 are dialled");
        let actions = bench.event(Event::ConnectFailed { addr });
        under_way.extend(dials(&actions));
    }
    let dead = (TrackerId(0), TrackerFault::NamesNobody);
    let silent = (TrackerId(2), TrackerFault::Silent);
    assert_eq!(faults(&bench), [dead, silent]);
}

/// A leech among peers that name addresses where nobody is: each dial takes its time, and fails.
struct Poisoned {
    bench: Bench,
    /// Where it dials, and until when.
    dials: BTreeMap<SocketAddr, Time>,
}

impl Poisoned {
    fn tells(&mut self, peer: PeerKey, addrs: &[SocketAddr]) {
        let added = addrs.iter().map(|&addr| PexPeer { addr, flags: 0 });
        let message = PexMessage {
            added: added.collect(),
            dropped: Vec::new(),
        };
        let payload = message.encode();
        let id = pex::OUR_ID;
        let actions = self.bench.says(peer, Message::Extended { id, payload });
        self.note(&actions);
    }

    fn note(&mut self, actions: &[Action]) {
        let until = self.bench.now + DIAL;
        self.dials
            .extend(dials(actions).into_iter().map(|addr| (addr, until)));
    }

    /// Lets time pass; dials that are over fail.
    fn pass(&mut self, duration: Duration) {
        const STEP: Duration = Duration::from_secs(1);
        let end = self.bench.now + duration;
        while self.bench.now < end {
            self.bench.now += STEP;
            let actions = self.bench.event(Event::Deadline);
            self.note(&actions);
            let now = self.bench.now;
            let over: Vec<_> = self
                .dials
                .extract_if(.., |_, until| *until <= now)
                .collect();
            for (addr, _) in over {
                let actions = self.bench.event(Event::ConnectFailed { addr });
                self.note(&actions);
            }
        }
    }
}

#[test]
fn a_hundred_thousand_false_addresses_of_peers_hide_a_seed_for_ten_seconds_at_most() {
    let bench = Bench::leech_of_trackers(1, |config| TorrentConfig {
        pex: true,
        ..config
    });
    let dials = BTreeMap::new();
    let mut poisoned = Poisoned { bench, dials };
    let liars: Vec<PeerKey> = (1..=30).map(|n| poisoned.bench.connect(n).0).collect();
    let mut tellers = liars.iter().cycle();
    for (n, addrs) in dead(100_000).chunks(50).enumerate() {
        let liar = *tellers.next().expect("a cycle");
        poisoned.tells(liar, addrs);
        if n % liars.len() == liars.len() - 1 {
            poisoned.pass(Duration::from_secs(26));
        }
    }
    let progress = poisoned.bench.torrent.progress(poisoned.bench.now);
    assert_eq!(progress.peers, 30);
    let (honest, _) = poisoned.bench.connect(31);
    let (seed, told) = (addr(32), poisoned.bench.now);
    poisoned.tells(honest, &[seed]);
    while !poisoned.dials.contains_key(&seed) {
        poisoned.pass(Duration::from_secs(1));
        assert!(
            poisoned.bench.now.since(told) <= DIAL,
            "not dialled in time"
        );
    }
}
