//! Open pieces: what is asked for, received, and given up.

use super::*;
use crate::layout::BLOCK_LEN;

const ALICE: PeerKey = PeerKey(1);
const BOB: PeerKey = PeerKey(2);

fn addr() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 6881))
}

/// Three pieces of four blocks each.
fn partial() -> (Layout, PartialPieces) {
    let layout = Layout::new(u64::from(BLOCK_LEN) * 12, BLOCK_LEN * 4).expect("valid");
    (layout, PartialPieces::new(layout, Vec::new()))
}

fn ask(partial: &mut PartialPieces, peer: PeerKey, want: usize) -> Vec<Block> {
    let mut out = Vec::new();
    partial.ask(peer, want, |_, _| true, &mut out);
    partial.check();
    out
}

#[test]
fn older_pieces_are_asked_for_first_and_no_block_twice() {
    let (layout, mut partial) = partial();
    partial.open(layout.piece(2).expect("exists"), ALICE);
    partial.open(layout.piece(0).expect("exists"), ALICE);
    let first = ask(&mut partial, ALICE, 3);
    assert!(first.iter().all(|block| block.piece().get() == 2));
    let second = ask(&mut partial, BOB, 9);
    assert_eq!(
        second
            .iter()
            .map(|block| block.piece().get())
            .collect::<Vec<_>>(),
        [2, 0, 0, 0, 0]
    );
    assert!(ask(&mut partial, ALICE, 1).is_empty());
}

#[test]
fn a_released_block_can_be_asked_of_another() {
    let (layout, mut partial) = partial();
    partial.open(layout.piece(0).expect("exists"), ALICE);
    let blocks = ask(&mut partial, ALICE, 4);
    partial.release(blocks[1], ALICE);
    partial.release(blocks[1], BOB);
    assert_eq!(ask(&mut partial, BOB, 4), [blocks[1]]);
}

#[test]
fn the_first_copy_counts_and_names_the_rivals() {
    let (layout, mut partial) = partial();
    partial.open(layout.piece(0).expect("exists"), ALICE);
    let blocks = ask(&mut partial, ALICE, 4);
    assert!(partial.ask_again(blocks[0], BOB));
    assert!(!partial.ask_again(blocks[0], BOB));
    let fresh = Arrival::Fresh {
        rivals: vec![ALICE],
        completes: false,
    };
    assert_eq!(partial.receive(blocks[0], BOB, addr()), fresh);
    assert_eq!(partial.receive(blocks[0], ALICE, addr()), Arrival::Useless);
    assert!(!partial.ask_again(blocks[0], ALICE));
    partial.check();
}

#[test]
fn the_last_block_completes_the_piece_and_names_everyone_who_sent_it() {
    let (layout, mut partial) = partial();
    let piece = layout.piece(0).expect("exists");
    partial.open(piece, ALICE);
    let blocks = ask(&mut partial, ALICE, 4);
    for (i, &block) in blocks.iter().enumerate() {
        let from = if i == 0 { BOB } else { ALICE };
        let Arrival::Fresh { completes, .. } = partial.receive(block, from, addr()) else {
            panic!("the block was missing")
        };
        assert_eq!(completes, i == 3);
    }
    partial.start_verifying(piece);
    assert_eq!(partial.count(), 1);
    let senders = partial.end_verifying(piece).expect("was verifying");
    let bytes: Vec<(PeerKey, u32)> = senders.iter().map(|s| (s.peer, s.bytes)).collect();
    assert_eq!(bytes, [(BOB, BLOCK_LEN), (ALICE, 3 * BLOCK_LEN)]);
    assert_eq!(partial.end_verifying(piece), None);
}

#[test]
fn a_solo_piece_is_asked_of_one_peer_until_that_one_fails() {
    let (layout, mut partial) = partial();
    partial.open_solo(layout.piece(0).expect("exists"), ALICE);
    assert!(ask(&mut partial, BOB, 4).is_empty());
    let blocks = ask(&mut partial, ALICE, 1);
    assert!(!partial.ask_again(blocks[0], BOB));
    partial.release(blocks[0], ALICE);
    assert_eq!(ask(&mut partial, BOB, 4).len(), 4);
}

#[test]
fn padding_is_never_asked_for() {
    let layout = Layout::new(u64::from(BLOCK_LEN) * 4, BLOCK_LEN * 4).expect("valid");
    let padding = std::iter::once(u64::from(BLOCK_LEN) + 5..u64::from(BLOCK_LEN) * 4).collect();
    let mut partial = PartialPieces::new(layout, padding);
    partial.open(layout.piece(0).expect("exists"), ALICE);
    let asked: Vec<u32> = ask(&mut partial, ALICE, 9)
        .iter()
        .map(|b| b.begin())
        .collect();
    assert_eq!(asked, [0, BLOCK_LEN]);
}

#[test]
fn a_stranded_piece_is_forgotten_only_when_nobody_was_asked() {
    let (layout, mut partial) = partial();
    partial.open(layout.piece(0).expect("exists"), ALICE);
    partial.open(layout.piece(1).expect("exists"), ALICE);
    let blocks = ask(&mut partial, ALICE, 4);
    assert_eq!(partial.forget(|_| true), [layout.piece(1).expect("exists")]);
    for block in blocks {
        partial.release(block, ALICE);
    }
    assert_eq!(partial.forget(|_| false), []);
    assert_eq!(partial.forget(|_| true), [layout.piece(0).expect("exists")]);
    partial.check();
}
