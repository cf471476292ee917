//! Peers that lie, reject, flood or vanish, and disks that fail.

use std::time::Duration;

use bytes::Bytes;

use super::harness::{Bench, PIECE_BLOCKS, disconnects, sent};
use crate::layout::Block;
use crate::torrent::event::{CloseReason, DiskFault, Notice, Placed, Received, VerifyOutcome};
use crate::torrent::progress::WaitReason;
use crate::torrent::{Action, Event};
use crate::wire::{BlockRequest, Message};

#[test]
fn what_a_lost_peer_was_asked_for_is_asked_of_another_at_once() {
    let mut bench = Bench::leech(2);
    let alice = bench.connect_seed(1);
    let bob = bench.connect_seed(2);
    let hers = bench.asked_of(alice);
    assert!(!hers.is_empty());
    let reason = CloseReason::ByPeer;
    bench.event(Event::Closed {
        peer: alice,
        reason,
    });
    let his = bench.asked_of(bob);
    assert_eq!(his.len(), 2 * PIECE_BLOCKS as usize);
    assert!(hers.iter().all(|block| his.contains(block)));
}

#[test]
fn a_peer_that_owes_blocks_and_sends_none_loses_them_to_another() {
    let mut bench = Bench::leech(2);
    let alice = bench.connect_seed(1);
    let bob = bench.connect_seed(2);
    assert!(!bench.asked_of(alice).is_empty());
    bench.pass(Duration::from_secs(31));
    assert!(!bench.asked_of(bob).is_empty());
    assert!(
        bench.asked_of(alice).len() <= 1,
        "a snubbing peer is asked for one block at most"
    );
}

#[test]
fn whoever_sent_all_of_a_corrupt_piece_is_banned() {
    let mut bench = Bench::leech(2);
    let liar = bench.connect_seed(1);
    let blocks = bench.asked_of(liar);
    let piece = blocks[0].piece();
    for block in blocks.into_iter().filter(|block| block.piece() == piece) {
        bench.delivers(liar, block);
    }
    let actions = bench.verified(piece, VerifyOutcome::HashMismatch);
    assert_eq!(disconnects(&actions), [&CloseReason::Corrupt]);
    let (_, actions) = bench.connect(1);
    assert_eq!(disconnects(&actions), [&CloseReason::Corrupt]);
    assert_eq!(bench.torrent.progress(bench.now).bad_pieces, 1);
}

#[test]
fn a_corrupt_piece_of_several_senders_is_asked_of_one_alone() {
    let mut bench = Bench::leech(1);
    let alice = bench.connect_seed(1);
    let blocks = bench.asked_of(alice);
    bench.says(
        alice,
        Message::Reject(BlockRequest {
            index: 0,
            begin: blocks[3].begin(),
            length: blocks[3].len(),
        }),
    );
    let bob = bench.connect_seed(2);
    for (i, &block) in blocks.iter().enumerate() {
        bench.delivers(if i == 3 { bob } else { alice }, block);
    }
    bench.verified(blocks[0].piece(), VerifyOutcome::HashMismatch);
    let (a, b) = (bench.asked_of(alice), bench.asked_of(bob));
    assert!(
        a.is_empty() != b.is_empty(),
        "one of them is asked, the other is not"
    );
    assert_eq!(a.len() + b.len(), PIECE_BLOCKS as usize);
}

#[test]
fn a_flood_of_requests_while_choked_ends_the_connection() {
    let mut bench = Bench::seed(4);
    let (peer, _) = bench.connect(1);
    bench.says(peer, Message::HaveNone);
    let flood = vec![Received::Message(bench.request(0, 0)); 301];
    let actions = bench.receives(peer, flood);
    assert!(matches!(
        disconnects(&actions)[..],
        [CloseReason::Violation(_)]
    ));
}

#[test]
fn illegal_acts_end_the_connection() {
    let illegal = [
        Message::Have(4),
        Message::Bitfield(Bytes::from_static(&[0xff, 0xff])),
        Message::Bitfield(Bytes::from_static(&[0xff])),
        Message::Request(BlockRequest {
            index: 0,
            begin: u32::MAX,
            length: 16_384,
        }),
        Message::Request(BlockRequest {
            index: 0,
            begin: 0,
            length: 1 << 20,
        }),
    ];
    for message in illegal {
        let mut bench = Bench::leech(4);
        let (peer, _) = bench.connect(1);
        let actions = bench.says(peer, message.clone());
        assert!(
            matches!(disconnects(&actions)[..], [CloseReason::Violation(_)]),
            "{message:?}"
        );
    }
    let mut bench = Bench::leech(4);
    let (peer, _) = bench.connect(1);
    bench.says(peer, Message::HaveAll);
    let actions = bench.says(peer, Message::HaveNone);
    assert!(matches!(
        disconnects(&actions)[..],
        [CloseReason::Violation(_)]
    ));
}

#[test]
fn a_block_that_comes_together_with_an_illegal_act_is_not_asked_for_again() {
    let mut bench = Bench::leech(1);
    let rude = bench.connect_seed(1);
    let block = bench.asked_of(rude)[0];
    let placed = Placed::Stored;
    let actions = bench.receives(
        rude,
        vec![
            Received::Message(Message::Have(u32::MAX)),
            Received::Block { block, placed },
        ],
    );
    assert_eq!(disconnects(&actions).len(), 1);
    let polite = bench.connect_seed(2);
    let asked = bench.asked_of(polite);
    assert_eq!(asked.len(), PIECE_BLOCKS as usize - 1);
    assert!(!asked.contains(&block), "it lies in its buffer");
}

#[test]
fn payload_that_nobody_asked_for_is_counted_and_then_ends_the_connection() {
    let mut bench = Bench::leech(40);
    let (peer, _) = bench.connect(1);
    let (block, placed) = (bench.block(30, 0), Placed::Discarded);
    let received = vec![Received::Block { block, placed }; 4];
    assert_eq!(
        disconnects(&bench.receives(peer, received)),
        [] as [&CloseReason; 0]
    );
    let actions = bench.receives(peer, vec![Received::Block { block, placed }]);
    assert!(matches!(
        disconnects(&actions)[..],
        [CloseReason::Violation(_)]
    ));
    assert_eq!(bench.torrent.progress(bench.now).wasted, 5 * 16_384);
}

#[test]
fn a_full_disk_pauses_requests_and_blames_nobody() {
    let mut bench = Bench::leech(3);
    let alice = bench.connect_seed(1);
    let blocks = bench.asked_of(alice);
    let piece = blocks[0].piece();
    for block in blocks.into_iter().filter(|block| block.piece() == piece) {
        bench.delivers(alice, block);
    }
    let fault = DiskFault::NoSpace("/full".to_owned());
    let actions = bench.verified(piece, VerifyOutcome::DiskFault(fault.clone()));
    assert!(actions.contains(&Action::Notify(Notice::DiskFault(fault.clone()))));
    assert_eq!(disconnects(&actions), [] as [&CloseReason; 0]);
    bench.pass(Duration::from_secs(3));
    let progress = bench.torrent.progress(bench.now);
    assert_eq!(progress.waiting, Some(WaitReason::DiskFault(fault)));
    assert_eq!(progress.bad_pieces, 0);
    let actions = bench.pass(Duration::from_secs(3));
    assert!(!Bench::requested(&actions).is_empty(), "it is tried again");
}

#[test]
fn a_piece_that_is_lost_is_neither_served_nor_counted_and_comes_back() {
    let mut bench = Bench::seed(2);
    let (peer, _) = bench.connect(1);
    bench.says(peer, Message::HaveNone);
    bench.says(peer, Message::Interested);
    let piece = bench.block(1, 0).piece();
    bench.event(Event::PiecesLost {
        pieces: vec![piece],
    });
    let actions = bench.says(peer, bench.request(1, 0));
    assert!(matches!(sent(&actions)[..], [Message::Reject(_)]));
    assert!(!bench.torrent.is_complete());
    bench.event(Event::PiecesFound {
        pieces: vec![piece],
    });
    assert!(bench.torrent.is_complete());
}

#[test]
fn a_piece_asked_of_one_alone_is_free_for_others_when_that_one_goes() {
    let mut bench = Bench::leech(40);
    let (alice, bob) = (bench.connect_seed(1), bench.connect_seed(2));
    let piece = bench.asked_of(alice)[0].piece();
    let of_piece = |blocks: Vec<Block>| -> Vec<Block> {
        let mine = blocks.into_iter().filter(|block| block.piece() == piece);
        mine.collect()
    };
    for (i, block) in of_piece(bench.asked_of(alice)).into_iter().enumerate() {
        bench.delivers(if i == 3 { bob } else { alice }, block);
    }
    bench.verified(piece, VerifyOutcome::HashMismatch);
    let is_alice = !of_piece(bench.asked_of(alice)).is_empty();
    let (suspect, other) = if is_alice { (alice, bob) } else { (bob, alice) };
    for block in of_piece(bench.asked_of(suspect)) {
        bench.delivers(suspect, block);
    }
    let reason = CloseReason::ByPeer;
    bench.event(Event::Closed {
        peer: suspect,
        reason,
    });
    bench.fetch_all(other);
    assert!(bench.torrent.is_complete());
}

#[test]
fn a_peer_that_rejects_a_piece_is_not_asked_for_it_at_once_again() {
    let mut bench = Bench::leech(8);
    let alice = bench.connect_seed(1);
    let piece = bench.asked_of(alice)[0].piece();
    let mut rejects = 0;
    for _ in 0..20 {
        for block in bench.asked_of(alice) {
            if block.piece() == piece {
                rejects += 1;
                let (index, begin, length) = (piece.get(), block.begin(), block.len());
                bench.says(
                    alice,
                    Message::Reject(BlockRequest {
                        index,
                        begin,
                        length,
                    }),
                );
            }
        }
    }
    assert!(rejects <= PIECE_BLOCKS, "{rejects} rejects at one moment");
    assert!(!bench.asked_of(alice).is_empty(), "it is asked for others");
    bench.pass(Duration::from_secs(11));
    bench.fetch_all(alice);
    assert!(bench.torrent.is_complete(), "and for this one later");
}

#[test]
fn a_piece_found_good_while_it_is_open_is_ours() {
    let mut bench = Bench::seed(2);
    let (alice, _) = bench.connect(1);
    bench.says(alice, Message::Bitfield(Bytes::from_static(&[0b1000_0000])));
    bench.says(alice, Message::Unchoke);
    let pieces = vec![bench.block(0, 0).piece(), bench.block(1, 0).piece()];
    bench.event(Event::PiecesLost {
        pieces: pieces.clone(),
    });
    let actions = bench.event(Event::PiecesFound { pieces });
    assert!(bench.torrent.is_complete());
    let told = |action: &Action| matches!(action, Action::Have { news, others, .. } if news.contains(&alice) || others.contains(&alice));
    assert!(
        !actions.iter().any(told),
        "alice was told before: {actions:?}"
    );
}

#[test]
fn requests_that_crossed_our_choke_are_no_offence() {
    let mut bench = Bench::seed(200);
    let mut peers = Vec::new();
    for n in 1..=20 {
        let (peer, _) = bench.connect(n);
        bench.says(peer, Message::HaveNone);
        bench.says(peer, Message::Interested);
        peers.push(peer);
    }
    let choked = |actions: &[Action]| {
        actions.iter().find_map(|action| match action {
            Action::Send {
                peer,
                message: Message::Choke,
            } => Some(*peer),
            _ => None,
        })
    };
    let peer = (0..60)
        .find_map(|_| choked(&bench.pass(Duration::from_secs(1))))
        .expect("turns end");
    let flight = vec![Received::Message(bench.request(1, 0)); 600];
    assert_eq!(disconnects(&bench.receives(peer, flight.clone())).len(), 0);
    bench.pass(Duration::from_secs(6));
    assert_eq!(disconnects(&bench.receives(peer, flight)).len(), 1);
}

#[test]
fn a_stolen_peer_id_does_not_lock_its_owner_out() {
    let mut bench = Bench::leech(2);
    let thief = bench.connect_seed(1);
    let blocks = bench.asked_of(thief);
    let piece = blocks[0].piece();
    for block in blocks.into_iter().filter(|block| block.piece() == piece) {
        bench.delivers(thief, block);
    }
    let actions = bench.verified(piece, VerifyOutcome::HashMismatch);
    assert_eq!(disconnects(&actions), [&CloseReason::Corrupt]);
    let (_, actions) = bench.connect_from(1, "10.9.9.9:1000");
    assert_eq!(disconnects(&actions).len(), 0);
}

#[test]
fn a_reject_that_answers_a_cancel_refuses_nothing_that_is_asked_for_again() {
    let mut bench = Bench::leech_at_the_end(20);
    let alice = bench.connect_seed(1);
    let all = bench.asked_of(alice);
    bench.pass(Duration::from_millis(600));
    let bob = bench.connect_seed(2);
    bench.pass(Duration::from_millis(100));
    let left = bench.asked_of(alice);
    let moved = all.iter().find(|block| !left.contains(block));
    let block = *moved.expect("it was cancelled there and asked for here");
    assert!(bench.asked_of(bob).contains(&block));
    let reason = CloseReason::ByPeer;
    bench.event(Event::Closed { peer: bob, reason });
    assert_eq!(bench.asked_of(alice), all);
    let reject = Message::Reject(BlockRequest {
        index: block.piece().get(),
        begin: block.begin(),
        length: block.len(),
    });
    bench.says(alice, reject.clone());
    assert_eq!(bench.asked_of(alice), all, "that was for the cancel");
    bench.says(alice, reject);
    assert_eq!(bench.asked_of(alice), [], "that was for the request");
}

#[test]
fn a_reject_of_who_chokes_us_frees_the_block_whatever_was_cancelled() {
    let mut bench = Bench::leech_at_the_end(20);
    let alice = bench.connect_seed(1);
    let block = bench.asked_of(alice)[0];
    let now = bench.now;
    let peer = bench.torrent.peers.find_mut(alice).expect("connected");
    peer.note_cancelled([&block], now);
    bench.says(alice, Message::Choke);
    let reject = Message::Reject(BlockRequest {
        index: block.piece().get(),
        begin: block.begin(),
        length: block.len(),
    });
    bench.says(alice, reject);
    assert!(!bench.asked_of(alice).contains(&block));
}

#[test]
fn a_cancel_that_nobody_answers_is_forgotten() {
    let mut bench = Bench::leech(2);
    let alice = bench.connect_seed(1);
    let (block, now) = (bench.block(0, 0), bench.now);
    let peer = bench.torrent.peers.find_mut(alice).expect("connected");
    let answered_after = |peer: &mut crate::torrent::peer::Peer, time| {
        peer.note_cancelled([&block], now);
        peer.answers_cancel(block, now + time)
    };
    assert!(answered_after(peer, Duration::from_secs(4)));
    assert!(!answered_after(peer, Duration::from_secs(6)));
}
