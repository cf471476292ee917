//! Who is dialled, in which order, and who is not.

use rand::SeedableRng;

use super::*;
use crate::ids::PeerId;

fn dialer() -> (Dialer, ChaCha8Rng) {
    let config = TorrentConfig::new(PeerId::ours([0; 12]), 1);
    (Dialer::new(&config), ChaCha8Rng::seed_from_u64(1))
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 6881))
}

fn secs(secs: u64) -> Time {
    Time::from_start(Duration::from_secs(secs))
}

#[test]
fn an_address_is_dialled_once_at_a_time() {
    let (mut dialer, mut rng) = dialer();
    dialer.add(
        Teller::all(PeerSource::Tracker),
        &[addr(1), addr(1), addr(2)],
        Time::ZERO,
    );
    assert_eq!(
        sorted(dialer.due(0, Time::ZERO, &mut rng)),
        [addr(1), addr(2)]
    );
    assert_eq!(dialer.due(0, Time::ZERO, &mut rng), []);
    dialer.failed(addr(1), Time::ZERO, &mut rng);
    assert_eq!(dialer.due(0, Time::ZERO, &mut rng), []);
    assert_eq!(dialer.due(0, secs(2), &mut rng), [addr(1)]);
    assert_eq!(dialer.dialling(), 2);
}

#[test]
fn failures_wait_longer_each_time_but_not_for_given_addresses() {
    let (mut dialer, mut rng) = dialer();
    dialer.add(Teller::all(PeerSource::Tracker), &[addr(1)], Time::ZERO);
    dialer.add(Teller::all(PeerSource::Manual), &[addr(2)], Time::ZERO);
    let mut now = Time::ZERO;
    for _ in 0..20 {
        for due in dialer.due(0, now, &mut rng) {
            dialer.failed(due, now, &mut rng);
        }
        now += RETRY_MAX_MANUAL;
    }
    for due in dialer.due(0, now, &mut rng) {
        dialer.failed(due, now, &mut rng);
    }
    assert_eq!(dialer.due(0, now + RETRY_MAX_MANUAL, &mut rng), [addr(2)]);
    assert!(dialer.due(0, now + RETRY_MAX, &mut rng).contains(&addr(1)));
}

#[test]
fn given_addresses_come_first_and_impossible_ones_never() {
    let (mut dialer, mut rng) = dialer();
    let impossible = [
        "0.0.0.0:1",
        "[::ffff:0.0.0.0]:1",
        "224.0.0.1:5",
        "10.0.0.1:0",
    ];
    let impossible = impossible.map(|a| a.parse().expect("an address"));
    dialer.add(Teller::all(PeerSource::Tracker), &impossible, Time::ZERO);
    assert_eq!(dialer.known(), 0);
    dialer.add(Teller::all(PeerSource::Tracker), &[addr(1)], Time::ZERO);
    dialer.add(Teller::all(PeerSource::Manual), &[addr(9)], Time::ZERO);
    assert_eq!(dialer.due(79, Time::ZERO, &mut rng), [addr(9)]);
}

#[test]
fn one_peer_fills_no_more_than_a_quarter_and_one_network_gives_few() {
    let (mut dialer, mut rng) = dialer();
    let teller = addr(1).ip();
    let poison: Vec<SocketAddr> = (0..100_000u32)
        .map(|n| SocketAddr::from(((0x0b00_0000 + (n << 8)).to_be_bytes(), 6_881)))
        .collect();
    dialer.add(Teller::peer(teller), &poison[..2_000], Time::ZERO);
    assert_eq!(dialer.known(), 750);
    let beside: Vec<SocketAddr> = (1..=100)
        .map(|n| ([198, 51, 100, n], 6_881).into())
        .collect();
    dialer.add(Teller::peer(addr(2).ip()), &beside, Time::ZERO);
    assert_eq!(dialer.known(), 755);
    let private: Vec<SocketAddr> = (1..=100).map(addr).collect();
    dialer.add(Teller::peer(addr(2).ip()), &private, Time::ZERO);
    assert_eq!(dialer.known(), 855);
    // Who is named by a tracker comes first all the same.
    dialer.add(Teller::all(PeerSource::Tracker), &[addr(200)], Time::ZERO);
    assert_eq!(dialer.due(39, Time::ZERO, &mut rng), [addr(200)]);
}

#[test]
fn what_peers_name_is_no_port_of_the_system() {
    let (mut dialer, _) = dialer();
    let ssh: SocketAddr = ([10, 0, 0, 9], 22).into();
    dialer.add(Teller::peer(addr(1).ip()), &[ssh], Time::ZERO);
    assert_eq!(dialer.known(), 0);
    dialer.add(Teller::all(PeerSource::Manual), &[ssh], Time::ZERO);
    assert_eq!(dialer.known(), 1);
}

#[test]
fn a_banned_address_is_not_dialled() {
    let (mut dialer, mut rng) = dialer();
    dialer.add(Teller::all(PeerSource::Manual), &[addr(1)], Time::ZERO);
    dialer.ban(addr(1), secs(1_000));
    assert_eq!(dialer.due(0, secs(999), &mut rng), []);
    assert_eq!(dialer.due(0, secs(1_000), &mut rng), [addr(1)]);
}

#[test]
fn half_of_the_connections_are_left_to_those_who_dial_us() {
    let (mut dialer, mut rng) = dialer();
    let many: Vec<SocketAddr> = (1..=100).map(addr).collect();
    dialer.add(Teller::all(PeerSource::Tracker), &many, Time::ZERO);
    assert_eq!(dialer.due(30, Time::ZERO, &mut rng).len(), 10);
    assert_eq!(dialer.due(30, Time::ZERO, &mut rng), []);
    dialer.add(Teller::all(PeerSource::Manual), &[addr(200)], Time::ZERO);
    assert_eq!(dialer.due(60, Time::ZERO, &mut rng), [addr(200)]);
}

#[test]
fn two_machines_that_know_the_same_addresses_dial_them_in_different_orders() {
    let many: Vec<SocketAddr> = (1..=100).map(addr).collect();
    let mut orders = [1, 2].map(|seed| {
        let (mut dialer, _) = dialer();
        dialer.add(Teller::all(PeerSource::Tracker), &many, Time::ZERO);
        dialer.due(0, Time::ZERO, &mut ChaCha8Rng::seed_from_u64(seed))
    });
    orders[0].truncate(10);
    orders[1].truncate(10);
    assert_ne!(sorted(orders[0].clone()), sorted(orders[1].clone()));
}

/// Addresses where nobody is, each in a network of its own.
fn dead(range: std::ops::Range<u32>) -> Vec<SocketAddr> {
    let nth = |n: u32| SocketAddr::from(((0x0b00_0001 + (n << 8)).to_be_bytes(), 6_881));
    range.map(nth).collect()
}

fn tracker(n: usize) -> Teller {
    Teller::tracker(TrackerId(n))
}

fn known_of(dialer: &Dialer, teller: Teller) -> usize {
    dialer.share(teller).known
}

#[test]
fn no_source_but_the_user_has_more_than_a_quarter_of_the_table() {
    let (mut dialer, _) = dialer();
    let local = Teller::all(PeerSource::Lsd);
    for (teller, from) in [(tracker(0), 0), (tracker(1), 10_000), (local, 20_000)] {
        dialer.add(teller, &dead(from..from + 10_000), Time::ZERO);
        assert_eq!(known_of(&dialer, teller), 750);
    }
    dialer.add(Teller::USER, &dead(30_000..31_000), Time::ZERO);
    assert_eq!(known_of(&dialer, Teller::USER), 1_000);
}

#[test]
fn a_full_table_makes_room_at_the_cost_of_who_has_most() {
    let (mut dialer, _) = dialer();
    for n in 0..4 {
        let from = u32::try_from(n).expect("small") * 10_000;
        dialer.add(tracker(n), &dead(from..from + 10_000), Time::ZERO);
    }
    assert_eq!(dialer.known(), 3_000);
    dialer.add(tracker(4), &dead(50_000..60_000), Time::ZERO);
    assert_eq!(dialer.known(), 3_000);
    let shares: Vec<usize> = (0..5).map(|n| known_of(&dialer, tracker(n))).collect();
    assert!(
        shares.iter().all(|share| (599..=601).contains(share)),
        "{shares:?}"
    );
}

#[test]
fn sources_take_turns_and_who_waits_on_the_dead_of_another_has_spare_dials() {
    let (mut dialer, mut rng) = dialer();
    dialer.add(tracker(0), &dead(0..10_000), Time::ZERO);
    assert_eq!(dialer.due(0, Time::ZERO, &mut rng).len(), 30);
    dialer.add(tracker(1), &dead(10_000..20_000), Time::ZERO);
    assert_eq!(dialer.due(0, Time::ZERO, &mut rng).len(), 2);
    dialer.add(tracker(2), &dead(20_000..20_001), Time::ZERO);
    assert_eq!(dialer.due(0, Time::ZERO, &mut rng), dead(20_000..20_001));
    // From here on every dial that fails makes room for who has the fewest.
    for _ in 0..60 {
        let dialled = dialer
            .candidates
            .iter()
            .find(|(_, c)| c.state == State::Dialling);
        let (&addr, _) = dialled.expect("some dial is under way");
        dialer.failed(addr, Time::ZERO, &mut rng);
        dialer.due(0, Time::ZERO, &mut rng);
    }
    let shares = [0, 1].map(|n| dialer.share(tracker(n)).dialling);
    assert!(
        shares.iter().all(|share| (14..=16).contains(share)),
        "{shares:?}"
    );
}

#[test]
fn who_peers_name_has_no_spare_dials() {
    let (mut dialer, mut rng) = dialer();
    dialer.add(tracker(0), &dead(0..100), Time::ZERO);
    assert_eq!(dialer.due(0, Time::ZERO, &mut rng).len(), 30);
    dialer.add(Teller::peer(addr(1).ip()), &dead(200..300), Time::ZERO);
    assert_eq!(dialer.due(0, Time::ZERO, &mut rng), []);
}

#[test]
fn of_two_peers_who_named_fewer_dead_comes_first() {
    let (mut dialer, mut rng) = dialer();
    let tellers = [addr(1), addr(2)].map(|addr| Teller::peer(addr.ip()));
    dialer.add(tellers[0], &dead(0..100), Time::ZERO);
    for addr in dialer.due(39, Time::ZERO, &mut rng) {
        dialer.failed(addr, Time::ZERO, &mut rng);
    }
    dialer.add(tellers[1], &dead(200..201), Time::ZERO);
    assert_eq!(dialer.due(39, Time::ZERO, &mut rng), dead(200..201));
}

#[test]
fn an_address_that_two_name_is_in_the_smaller_share() {
    let (mut dialer, _) = dialer();
    dialer.add(tracker(0), &dead(0..100), Time::ZERO);
    dialer.add(tracker(1), &dead(50..51), Time::ZERO);
    assert_eq!(known_of(&dialer, tracker(1)), 1);
    assert_eq!(known_of(&dialer, tracker(0)), 99);
    dialer.add(tracker(0), &dead(50..51), Time::ZERO);
    assert_eq!(known_of(&dialer, tracker(1)), 1, "it stays there");
    dialer.add(Teller::USER, &dead(50..51), Time::ZERO);
    assert_eq!(known_of(&dialer, Teller::USER), 1);
    assert_eq!((dialer.known(), dialer.shares.len()), (100, 2));
}

#[test]
fn those_who_answered_are_told_first() {
    let (mut dialer, mut rng) = dialer();
    let all = [addr(1), addr(2), addr(3)];
    dialer.add(tracker(0), &all, Time::ZERO);
    dialer.due(0, Time::ZERO, &mut rng);
    dialer.connected(addr(2), Time::ZERO);
    dialer.closed(addr(2), Time::ZERO, &mut rng);
    assert_eq!(dialer.all()[0], (PeerSource::Tracker, addr(2)));
}

fn sorted(mut addrs: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addrs.sort_unstable();
    addrs
}
