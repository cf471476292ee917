//! Who is served first when more is wanted than the uplink takes.

use std::time::Duration;

use super::harness::{Bench, PIECE_BLOCKS};
use crate::torrent::event::{CloseReason, Command, PeerKey, ServeOutcome};
use crate::torrent::{Action, Event, TorrentConfig};
use crate::wire::Message;

/// Connects a peer that has these pieces and is unchoked.
fn fetcher(bench: &mut Bench, n: u8, has: &[u32]) -> PeerKey {
    let (peer, _) = bench.connect(n);
    bench.says(peer, Message::HaveNone);
    for &piece in has {
        bench.says(peer, Message::Have(piece));
    }
    bench.says(peer, Message::Interested);
    peer
}

/// Asks for every block of a piece; says what is handed to sockets.
fn asks_for(bench: &mut Bench, peer: PeerKey, piece: u32) -> Vec<Action> {
    let ask = |number| bench.request(piece, number);
    let requests: Vec<Message> = (0..PIECE_BLOCKS).map(ask).collect();
    let actions = requests
        .into_iter()
        .flat_map(|request| bench.says(peer, request));
    actions
        .filter(|action| matches!(action, Action::Serve { .. }))
        .collect()
}

/// A seed whose sockets are full, and what is in them.
fn busy_seed() -> (Bench, Vec<Action>) {
    let mut bench = Bench::seed(20);
    let busy = fetcher(&mut bench, 1, &[]);
    let served = asks_for(&mut bench, busy, 0);
    (bench, served)
}

/// These blocks leave, and all that is served after them; says in which order pieces went to whom.
fn sends(bench: &mut Bench, mut serving: Vec<Action>) -> Vec<(PeerKey, u32)> {
    let mut next = Vec::new();
    while let Some(action) = serving.pop() {
        let Action::Serve { peer, blocks } = action else {
            continue;
        };
        let outcome = ServeOutcome::Sent;
        for action in bench.event(Event::Served {
            peer,
            blocks,
            outcome,
        }) {
            if let Action::Serve { peer, blocks } = &action {
                next.extend(blocks.iter().map(|block| (*peer, block.piece().get())));
                serving.push(action);
            }
        }
    }
    next.dedup();
    next
}

#[test]
fn what_fewest_have_is_served_first() {
    let (mut bench, serving) = busy_seed();
    let common = fetcher(&mut bench, 2, &[8]);
    let rare = fetcher(&mut bench, 3, &[9]);
    fetcher(&mut bench, 4, &[9]);
    assert_eq!(asks_for(&mut bench, common, 9), []);
    assert_eq!(asks_for(&mut bench, rare, 8), []);
    let next = sends(&mut bench, serving);
    let place = |wanted| next.iter().position(|&served| served == wanted);
    let (rare, common) = (place((rare, 8)), place((common, 9)));
    assert!(rare.is_some() && rare < common, "{next:?}");
}

/// Whether a peer that is behind is served before one that is further and wants what fewest have.
fn is_behind_first(bench: &mut Bench, behind: PeerKey) -> bool {
    let busy = fetcher(bench, 1, &[]);
    let serving = asks_for(bench, busy, 0);
    let far = fetcher(bench, 3, &[0, 1, 2, 3, 8]);
    fetcher(bench, 4, &[8]);
    assert_eq!(asks_for(bench, behind, 8), []);
    assert_eq!(asks_for(bench, far, 9), []);
    let next = sends(bench, serving);
    let place = |wanted| next.iter().position(|&served| served == wanted);
    let [far, behind] = [(far, 9), (behind, 8)].map(place);
    assert!(far.is_some() && behind.is_some(), "{next:?}");
    behind < far
}

#[test]
fn who_is_behind_is_served_before_what_fewest_have() {
    let mut bench = Bench::leech_at_the_end(20);
    let behind = fetcher(&mut bench, 2, &[]);
    assert!(is_behind_first(&mut bench, behind));
}

#[test]
fn who_is_behind_and_only_takes_has_no_precedence() {
    let mut bench = Bench::leech_at_the_end(20);
    let taker = fetcher(&mut bench, 2, &[]);
    let serving = asks_for(&mut bench, taker, 5);
    sends(&mut bench, serving);
    assert!(!is_behind_first(&mut bench, taker));
}

#[test]
fn who_was_sent_much_is_not_behind_whatever_he_announces() {
    let mut bench = Bench::leech_at_the_end(20);
    let silent = fetcher(&mut bench, 2, &[19]);
    bench.says(silent, Message::Unchoke);
    let block = bench.next_of(silent);
    bench.delivers(silent, block);
    for piece in 10..16 {
        let serving = asks_for(&mut bench, silent, piece);
        sends(&mut bench, serving);
    }
    assert!(!is_behind_first(&mut bench, silent));
}

#[test]
fn to_a_seed_nobody_is_behind() {
    let mut bench = Bench::seed(20);
    let behind = fetcher(&mut bench, 2, &[]);
    assert!(!is_behind_first(&mut bench, behind));
}

#[test]
fn nobody_is_passed_over_for_longer_than_a_second() {
    let slow = |config| TorrentConfig {
        upload_limit: Some(1),
        ..config
    };
    let mut bench = Bench::seed_with(20, slow);
    let first = fetcher(&mut bench, 1, &[]);
    let serving = asks_for(&mut bench, first, 0);
    assert_eq!(sends(&mut bench, serving), [], "the limit is reached");
    let common = fetcher(&mut bench, 2, &[8]);
    let rare = fetcher(&mut bench, 3, &[9]);
    fetcher(&mut bench, 4, &[9]);
    assert_eq!(asks_for(&mut bench, common, 9), []);
    bench.pass(Duration::from_millis(1_100));
    assert_eq!(asks_for(&mut bench, rare, 8), []);
    let lifted = bench.event(Event::Command(Command::LimitUpload(None)));
    let next = sends(&mut bench, lifted);
    let place = |wanted| next.iter().position(|&served| served == wanted);
    let (rare, common) = (place((rare, 8)), place((common, 9)));
    assert!(common.is_some() && common < rare, "{next:?}");
}

#[test]
fn a_socket_that_takes_nothing_holds_up_its_own_peer_only() {
    let (mut bench, _stuck) = busy_seed();
    let other = fetcher(&mut bench, 2, &[]);
    assert_eq!(asks_for(&mut bench, other, 3), []);
    let served = bench.pass(Duration::from_millis(500));
    let is_served =
        |action: &Action| matches!(action, Action::Serve { peer, .. } if *peer == other);
    assert!(served.iter().any(is_served), "{served:?}");
}

#[test]
fn what_lay_in_the_socket_of_a_lost_peer_is_room_for_others_at_once() {
    let (mut bench, _serving) = busy_seed();
    let other = fetcher(&mut bench, 2, &[]);
    assert_eq!(asks_for(&mut bench, other, 3), []);
    let closed = bench.event(Event::Closed {
        peer: PeerKey(1),
        reason: CloseReason::ByPeer,
    });
    let is_served =
        |action: &Action| matches!(action, Action::Serve { peer, .. } if *peer == other);
    assert!(closed.iter().any(is_served), "{closed:?}");
}
