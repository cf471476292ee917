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
        PeerSource::Tracker,
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
    dialer.add(PeerSource::Tracker, &[addr(1)], Time::ZERO);
    dialer.add(PeerSource::Manual, &[addr(2)], Time::ZERO);
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
    dialer.add(PeerSource::Tracker, &impossible, Time::ZERO);
    assert_eq!(dialer.known(), 0);
    dialer.add(PeerSource::Tracker, &[addr(1)], Time::ZERO);
    dialer.add(PeerSource::Manual, &[addr(9)], Time::ZERO);
    assert_eq!(dialer.due(79, Time::ZERO, &mut rng), [addr(9)]);
}

#[test]
fn one_peer_fills_no_more_than_a_quarter_and_one_network_gives_few() {
    let (mut dialer, mut rng) = dialer();
    let teller = addr(1).ip();
    let poison: Vec<SocketAddr> = (0..100_000u32)
        .map(|n| SocketAddr::from(((0x0b00_0000 + (n << 8)).to_be_bytes(), 6_881)))
        .collect();
    dialer.add_named(teller, &poison[..2_000], Time::ZERO);
    assert_eq!(dialer.known(), 750);
    let beside: Vec<SocketAddr> = (1..=100)
        .map(|n| ([198, 51, 100, n], 6_881).into())
        .collect();
    dialer.add_named(addr(2).ip(), &beside, Time::ZERO);
    assert_eq!(dialer.known(), 755);
    let private: Vec<SocketAddr> = (1..=100).map(addr).collect();
    dialer.add_named(addr(2).ip(), &private, Time::ZERO);
    assert_eq!(dialer.known(), 855);
    // Who is named by a tracker comes first all the same.
    dialer.add(PeerSource::Tracker, &[addr(200)], Time::ZERO);
    assert_eq!(dialer.due(39, Time::ZERO, &mut rng), [addr(200)]);
}

#[test]
fn what_peers_name_is_no_port_of_the_system() {
    let (mut dialer, _) = dialer();
    let ssh: SocketAddr = ([10, 0, 0, 9], 22).into();
    dialer.add_named(addr(1).ip(), &[ssh], Time::ZERO);
    assert_eq!(dialer.known(), 0);
    dialer.add(PeerSource::Manual, &[ssh], Time::ZERO);
    assert_eq!(dialer.known(), 1);
}

#[test]
fn a_banned_address_is_not_dialled() {
    let (mut dialer, mut rng) = dialer();
    dialer.add(PeerSource::Manual, &[addr(1)], Time::ZERO);
    dialer.ban(addr(1), secs(1_000));
    assert_eq!(dialer.due(0, secs(999), &mut rng), []);
    assert_eq!(dialer.due(0, secs(1_000), &mut rng), [addr(1)]);
}

#[test]
fn half_of_the_connections_are_left_to_those_who_dial_us() {
    let (mut dialer, mut rng) = dialer();
    let many: Vec<SocketAddr> = (1..=100).map(addr).collect();
    dialer.add(PeerSource::Tracker, &many, Time::ZERO);
    assert_eq!(dialer.due(30, Time::ZERO, &mut rng).len(), 10);
    assert_eq!(dialer.due(30, Time::ZERO, &mut rng), []);
    dialer.add(PeerSource::Manual, &[addr(200)], Time::ZERO);
    assert_eq!(dialer.due(60, Time::ZERO, &mut rng), [addr(200)]);
}

#[test]
fn two_machines_that_know_the_same_addresses_dial_them_in_different_orders() {
    let many: Vec<SocketAddr> = (1..=100).map(addr).collect();
    let mut orders = [1, 2].map(|seed| {
        let (mut dialer, _) = dialer();
        dialer.add(PeerSource::Tracker, &many, Time::ZERO);
        dialer.due(0, Time::ZERO, &mut ChaCha8Rng::seed_from_u64(seed))
    });
    orders[0].truncate(10);
    orders[1].truncate(10);
    assert_ne!(sorted(orders[0].clone()), sorted(orders[1].clone()));
}

fn sorted(mut addrs: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addrs.sort_unstable();
    addrs
}
