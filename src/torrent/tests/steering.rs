//! A seed spreads its first copy without repeating a piece, and fetchers follow it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::harness::{Bench, PIECE_BLOCKS, sent};
use crate::torrent::event::{CloseReason, PeerKey, ServeOutcome, VerifyOutcome};
use crate::torrent::{Action, Event};
use crate::wire::Message;

/// The pieces that the seed suggests in these actions.
fn suggested(actions: &[Action]) -> Vec<u32> {
    let pieces = sent(actions)
        .into_iter()
        .filter_map(|message| match message {
            Message::Suggest(piece) => Some(*piece),
            _ => None,
        });
    pieces.collect()
}

/// Connects a fetcher that has nothing and wants to have everything.
fn fetcher(bench: &mut Bench, n: u8) -> (PeerKey, Vec<u32>) {
    let (peer, _) = bench.connect(n);
    bench.says(peer, Message::HaveNone);
    let actions = bench.says(peer, Message::Interested);
    (peer, suggested(&actions))
}

/// The fetcher asks for every block of a piece.
fn asks_for(bench: &mut Bench, peer: PeerKey, piece: u32) -> Vec<u32> {
    let ask = |number| bench.request(piece, number);
    let requests: Vec<Message> = (0..PIECE_BLOCKS).map(ask).collect();
    let mut pieces = Vec::new();
    for request in requests {
        pieces.extend(suggested(&bench.says(peer, request)));
    }
    pieces
}

#[test]
fn no_piece_is_suggested_twice_before_all_were() {
    let mut bench = Bench::seed(40);
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for n in 1..=4 {
        let (peer, mut pieces) = fetcher(&mut bench, n);
        for _ in 0..5 {
            let next = *pieces.last().expect("there is always a next piece");
            all.append(&mut pieces);
            pieces = asks_for(&mut bench, peer, next);
        }
        all.append(&mut pieces);
    }
    assert!(all.len() >= 24, "{all:?}");
    assert!(all.iter().all(|piece| seen.insert(*piece)), "{all:?}");
}

#[test]
fn what_a_lost_fetcher_was_to_spread_is_given_to_another() {
    let mut bench = Bench::seed(2);
    let (first, mut given) = fetcher(&mut bench, 1);
    given.extend(asks_for(&mut bench, first, given[0]));
    assert_eq!(given.len(), 2);
    let (second, nothing) = fetcher(&mut bench, 2);
    assert!(nothing.is_empty(), "{nothing:?}");
    let reason = CloseReason::ByPeer;
    bench.event(Event::Closed {
        peer: first,
        reason,
    });
    let mut again = suggested(&bench.says(second, Message::KeepAlive));
    again.extend(asks_for(&mut bench, second, again[0]));
    again.sort_unstable();
    assert_eq!(again, [0, 1]);
}

#[test]
fn a_suggestion_that_a_fetcher_does_not_need_any_more_makes_room_for_another() {
    let mut bench = Bench::seed(40);
    let (peer, given) = fetcher(&mut bench, 1);
    let more = suggested(&bench.says(peer, Message::Have(given[0])));
    assert_eq!(more.len(), 1);
    assert!(!given.contains(&more[0]));
}

#[test]
fn what_a_fetcher_has_begun_and_lost_is_suggested_again() {
    let mut bench = Bench::seed(1);
    let (first, _) = fetcher(&mut bench, 1);
    bench.says(first, Message::Have(0));
    let (second, given) = fetcher(&mut bench, 2);
    assert_eq!(given, [0]);
    takes_all(&mut bench, second, 0);
    let later = bench.pass(Duration::from_secs(1));
    assert!(suggested(&later).contains(&0));
}

#[test]
fn pieces_are_given_again_when_the_uplink_would_idle() {
    let mut bench = Bench::seed(1);
    let (_, given) = fetcher(&mut bench, 1);
    assert_eq!(given, [0]);
    let (_, nothing) = fetcher(&mut bench, 2);
    assert!(nothing.is_empty(), "{nothing:?}");
    let later = bench.pass(Duration::from_secs(1));
    assert!(suggested(&later).contains(&0));
}

#[test]
fn a_fetcher_asks_a_seed_that_suggests_for_what_it_suggests() {
    let mut bench = Bench::leech(20);
    let (seed, _) = bench.connect(1);
    bench.says(seed, Message::HaveAll);
    bench.says(seed, Message::Suggest(7));
    bench.says(seed, Message::Unchoke);
    let pieces = |bench: &Bench| -> BTreeSet<u32> {
        let asked = bench.asked_of(seed);
        asked.iter().map(|block| block.piece().get()).collect()
    };
    assert_eq!(pieces(&bench), BTreeSet::from([7]));
    bench.says(seed, Message::Suggest(3));
    assert_eq!(pieces(&bench), BTreeSet::from([3, 7]));
}

/// A seed and another peer, of which we fetch a piece that the seed suggested meanwhile.
fn suggested_while_another_is_at_it(piece: u32) -> (Bench, PeerKey, PeerKey) {
    let mut bench = Bench::leech(20);
    let (other, _) = bench.connect(1);
    bench.says(other, Message::HaveNone);
    bench.says(other, Message::Have(piece));
    bench.says(other, Message::Unchoke);
    assert_eq!(bench.asked_of(other).len(), PIECE_BLOCKS as usize);
    let (seed, _) = bench.connect(2);
    bench.says(seed, Message::HaveAll);
    bench.says(seed, Message::Suggest(piece));
    bench.says(seed, Message::Unchoke);
    assert_eq!(bench.asked_of(seed), []);
    (bench, seed, other)
}

#[test]
fn a_suggested_piece_is_asked_of_the_seed_when_its_other_holder_leaves() {
    for delivered in [0, 1, 3] {
        let (mut bench, seed, other) = suggested_while_another_is_at_it(7);
        for number in 0..delivered {
            let block = bench.block(7, number);
            bench.delivers(other, block);
        }
        let reason = CloseReason::ByPeer;
        bench.event(Event::Closed {
            peer: other,
            reason,
        });
        let rest: Vec<_> = (delivered..PIECE_BLOCKS)
            .map(|number| bench.block(7, number))
            .collect();
        assert_eq!(bench.asked_of(seed), rest);
    }
}

#[test]
fn a_suggestion_that_is_repeated_does_not_keep_us_waiting_for_a_silent_holder() {
    let mut bench = Bench::leech_at_the_end(20);
    let silent = bench.connect_seed(1);
    assert_eq!(bench.asked_of(silent).len(), PIECE_BLOCKS as usize);
    let (seed, _) = bench.connect(2);
    bench.says(seed, Message::HaveAll);
    bench.says(seed, Message::Suggest(19));
    bench.says(seed, Message::Unchoke);
    for _ in 0..10 {
        bench.pass(Duration::from_millis(200));
        bench.says(seed, Message::Suggest(19));
    }
    assert!(!bench.asked_of(seed).is_empty());
}

#[test]
fn what_a_seed_suggested_before_it_choked_us_is_not_asked_for_afterwards() {
    let mut bench = Bench::leech(20);
    let (seed, _) = bench.connect(1);
    bench.says(seed, Message::HaveAll);
    bench.says(seed, Message::Suggest(7));
    bench.says(seed, Message::Choke);
    bench.says(seed, Message::Suggest(3));
    bench.says(seed, Message::Unchoke);
    let asked = bench.asked_of(seed);
    assert_eq!(asked.len(), PIECE_BLOCKS as usize);
    assert!(asked.iter().all(|block| block.piece().get() == 3));
}

#[test]
fn a_seed_that_suggests_nothing_any_more_is_asked_for_anything() {
    let mut bench = Bench::leech(20);
    let (seed, _) = bench.connect(1);
    bench.says(seed, Message::HaveAll);
    bench.says(seed, Message::Suggest(7));
    bench.says(seed, Message::Unchoke);
    for number in 0..PIECE_BLOCKS {
        let block = bench.block(7, number);
        bench.delivers(seed, block);
    }
    assert_eq!(bench.asked_of(seed), []);
    bench.pass(Duration::from_secs(3));
    assert!(bench.asked_of(seed).len() > PIECE_BLOCKS as usize);
}

#[test]
fn whoever_stopped_steering_is_asked_on_and_on() {
    let mut bench = Bench::leech(200);
    let (seed, _) = bench.connect(1);
    bench.says(seed, Message::HaveAll);
    bench.says(seed, Message::Suggest(7));
    bench.says(seed, Message::Unchoke);
    for number in 0..PIECE_BLOCKS {
        let block = bench.block(7, number);
        bench.delivers(seed, block);
    }
    bench.pass(Duration::from_secs(3));
    for _ in 0..40 {
        let asked = bench.asked_of(seed);
        assert!(!asked.is_empty(), "the seed idles");
        bench.delivers(seed, asked[0]);
    }
}

#[test]
fn what_we_have_already_does_not_steer_us() {
    let mut bench = Bench::leech(20);
    let (seed, _) = bench.connect(1);
    bench.says(seed, Message::HaveAll);
    bench.says(seed, Message::Suggest(7));
    bench.says(seed, Message::Unchoke);
    for number in 0..PIECE_BLOCKS {
        let block = bench.block(7, number);
        bench.delivers(seed, block);
    }
    let piece = bench.block(7, 0).piece();
    bench.verified(piece, VerifyOutcome::Stored);
    for _ in 0..10 {
        bench.pass(Duration::from_millis(500));
        bench.says(seed, Message::Suggest(7));
    }
    assert!(!bench.asked_of(seed).is_empty());
}

#[test]
fn a_fetcher_that_follows_no_suggestion_is_left_alone() {
    let mut bench = Bench::seed(40);
    let (peer, mut known) = fetcher(&mut bench, 1);
    let mut last = Vec::new();
    for _ in 0..12 {
        let other = (0..40)
            .find(|piece| !known.contains(piece))
            .expect("there are 40");
        last = asks_for(&mut bench, peer, other);
        known.push(other);
        known.extend(&last);
    }
    assert!(last.is_empty(), "{last:?}");
}

#[test]
fn who_passes_nothing_on_is_told_from_who_does() {
    let mut bench = Bench::seed(40);
    let (giver, mut givers) = fetcher(&mut bench, 1);
    let (keeper, mut keepers) = fetcher(&mut bench, 2);
    for _ in 0..4 {
        let next = givers.pop().expect("there is always a next piece");
        givers.extend(asks_for(&mut bench, giver, next));
        bench.says(giver, Message::Have(next));
        bench.says(keeper, Message::Have(next));
        let next = keepers.pop().expect("there is always a next piece");
        keepers.extend(asks_for(&mut bench, keeper, next));
        bench.says(keeper, Message::Have(next));
    }
    assert!(
        bench.torrent.misers(bench.now).is_empty(),
        "too early to say"
    );
    let later = bench.now + Duration::from_secs(600);
    assert_eq!(bench.torrent.misers(later), [keeper]);
}

/// All that this peer waits for leaves; says what is suggested meanwhile.
fn takes_all(bench: &mut Bench, peer: PeerKey, piece: u32) -> Vec<u32> {
    let mut pieces = Vec::new();
    for number in 0..PIECE_BLOCKS {
        let mut actions = bench.says(peer, bench.request(piece, number));
        while let Some(serve) = actions
            .iter()
            .position(|action| matches!(action, Action::Serve { peer: to, .. } if *to == peer))
        {
            let Action::Serve { peer, blocks } = actions.swap_remove(serve) else {
                break;
            };
            let outcome = ServeOutcome::Sent;
            actions.extend(bench.event(Event::Served {
                peer,
                blocks,
                outcome,
            }));
        }
        pieces.extend(suggested(&actions));
    }
    pieces
}

#[test]
fn pieces_are_promised_early_only_if_the_uplink_runs_dry() {
    let promised = |is_busy: bool| {
        let mut bench = Bench::seed(60);
        if is_busy {
            let (other, given) = fetcher(&mut bench, 1);
            asks_for(&mut bench, other, given[0]);
        }
        let (peer, mut pieces) = fetcher(&mut bench, 2);
        for asked in 0..4 {
            let next = pieces[asked];
            pieces.extend(takes_all(&mut bench, peer, next));
        }
        pieces.len() - 4
    };
    let (dry, busy) = (promised(false), promised(true));
    assert!(dry >= 2 * busy && busy > 0, "{dry} {busy}");
}
