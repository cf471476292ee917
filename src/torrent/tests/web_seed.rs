//! A web seed among peers: what it is asked for, and that it is one source among others.

use super::*;
use crate::layout::Block;
use crate::torrent::event::{Direction, PeerKey};

fn web_seed(bench: &mut Bench) -> (PeerKey, Vec<Block>) {
    let addr = "192.0.2.1:80".parse().unwrap();
    let (key, _) = bench.connect_as(9, addr, Direction::WebSeed);
    bench.says(key, Message::HaveAll);
    let actions = bench.says(key, Message::Unchoke);
    (key, Bench::requested(&actions))
}

/// The pieces in the order in which they are asked for.
fn pieces(blocks: &[Block]) -> Vec<u32> {
    let mut pieces: Vec<u32> = blocks.iter().map(|block| block.piece().get()).collect();
    pieces.dedup();
    pieces
}

#[test]
fn a_web_seed_is_asked_for_a_run_of_pieces() {
    let mut bench = Bench::leech(200);
    let (_, asked) = web_seed(&mut bench);
    let pieces = pieces(&asked);
    let breaks = pieces.windows(2).filter(|pair| pair[1] != pair[0] + 1);
    // A run ends at the end of the content or at another run, and goes on somewhere else.
    assert!(pieces.len() > 60 && breaks.count() <= 5, "{pieces:?}");
}

#[test]
fn a_run_goes_where_no_peer_has_anything() {
    let mut bench = Bench::leech(64);
    let (peer, _) = bench.connect(1);
    // The peer has the first half.
    let half = [[0xff; 4], [0; 4]].concat();
    bench.says(peer, Message::Bitfield(Bytes::from(half)));
    let (_, asked) = web_seed(&mut bench);
    let pieces = pieces(&asked);
    let first = &pieces[..32];
    assert!(first.iter().all(|&piece| piece >= 32), "{pieces:?}");
}

#[test]
fn nobody_dials_a_web_seed_that_is_gone() {
    let mut bench = Bench::leech(8);
    let (key, _) = web_seed(&mut bench);
    let reason = CloseReason::Io("HTTP status 500".into());
    let mut actions = bench.event(Event::Closed { peer: key, reason });
    actions.extend(bench.pass(Duration::from_secs(7_200)));
    let dials = actions
        .iter()
        .filter(|action| matches!(action, Action::Connect { .. }));
    assert_eq!(dials.count(), 0);
}

#[test]
fn a_web_seed_that_says_nothing_for_hours_stays() {
    let mut bench = Bench::leech(8);
    let (key, _) = web_seed(&mut bench);
    let actions = bench.pass(Duration::from_secs(7_200));
    assert_eq!(disconnects(&actions), [] as [&CloseReason; 0]);
    assert_ne!(bench.asked_of(key), []);
}
