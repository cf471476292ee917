//! Behaviour of the core as a whole, one event at a time.

mod discovery;
mod extensions;
mod faults;
mod fuzz;
mod harness;
mod serving;
mod steering;
mod web_seed;

use std::time::Duration;

use bytes::Bytes;

use super::event::{CloseReason, Command, Notice, VerifyOutcome};
use super::progress::{TrackerFault, WaitReason};
use super::{Action, Event, TorrentConfig};
use crate::tracker::{AnnounceEvent, AnnounceFailure, AnnounceResponse};
use crate::wire::Message;
use harness::{Bench, PIECE_BLOCKS, addr, disconnects, sent};

#[test]
fn a_new_peer_is_told_what_we_have_and_who_we_are() {
    let mut bench = Bench::leech(4);
    let (_, actions) = bench.connect(1);
    let messages = sent(&actions);
    assert!(matches!(
        messages[..],
        [Message::HaveNone, Message::Extended { id: 0, .. }]
    ));
    let mut bench = Bench::seed(4);
    let (_, actions) = bench.connect(1);
    assert_eq!(sent(&actions)[0], &Message::HaveAll);
}

#[test]
fn choked_peer_gets_no_requests() {
    let mut bench = Bench::leech(4);
    let (peer, _) = bench.connect(1);
    let actions = bench.says(peer, Message::HaveAll);
    assert_eq!(sent(&actions), [&Message::Interested]);
    assert_eq!(Bench::requested(&actions), []);
}

#[test]
fn an_unchoked_peer_is_asked_in_one_batch() {
    let mut bench = Bench::leech(40);
    let (peer, _) = bench.connect(1);
    bench.says(peer, Message::HaveAll);
    let actions = bench.says(peer, Message::Unchoke);
    let batches = actions
        .iter()
        .filter(|action| matches!(action, Action::Request { .. }));
    assert_eq!(batches.count(), 1);
    assert_eq!(Bench::requested(&actions).len(), 16);
}

#[test]
fn a_bitfield_in_mid_stream_counts_as_haves() {
    let mut bench = Bench::leech(8);
    let (peer, _) = bench.connect(1);
    bench.says(peer, Message::HaveNone);
    let actions = bench.says(peer, Message::Bitfield(Bytes::from_static(&[0x80])));
    assert_eq!(sent(&actions), [&Message::Interested]);
    bench.says(peer, Message::Bitfield(Bytes::from_static(&[0xff])));
    bench.says(peer, Message::Unchoke);
    assert!(!bench.asked_of(peer).is_empty());
    let actions = bench.says(peer, Message::HaveNone);
    assert_eq!(disconnects(&actions).len(), 1);
}

#[test]
fn two_peers_are_never_asked_for_the_same_block_while_others_are_left() {
    let mut bench = Bench::leech(40);
    let (alice, bob) = (bench.connect_seed(1), bench.connect_seed(2));
    let mut blocks = bench.asked_of(alice);
    blocks.extend(bench.asked_of(bob));
    let total = blocks.len();
    blocks.sort();
    blocks.dedup();
    assert_eq!(blocks.len(), total);
    assert_eq!(total, 32);
}

#[test]
fn a_piece_is_verified_when_its_last_block_is_in_and_announced_when_it_is_stored() {
    let mut bench = Bench::leech(1);
    let alice = bench.connect_seed(1);
    let (bob, _) = bench.connect(2);
    bench.says(bob, Message::HaveNone);
    let blocks = bench.asked_of(alice);
    assert_eq!(blocks.len(), PIECE_BLOCKS as usize);
    let mut verifies = Vec::new();
    for &block in &blocks {
        verifies = bench.delivers(alice, block);
    }
    let piece = blocks[0].piece();
    assert_eq!(verifies, [Action::Verify { piece }]);
    let actions = bench.verified(piece, VerifyOutcome::Stored);
    let (news, others) = (vec![alice, bob], Vec::new());
    assert!(actions.contains(&Action::Have {
        piece,
        news,
        others
    }));
    assert!(actions.contains(&Action::Notify(Notice::Complete)));
    assert_eq!(disconnects(&actions), [&CloseReason::BothComplete]);
}

#[test]
fn the_last_blocks_are_asked_of_a_fast_peer_too_and_cancelled_elsewhere() {
    let mut bench = Bench::leech(2);
    let slow = bench.connect_seed(1);
    let fast = bench.connect_seed(2);
    bench.pass(Duration::from_secs(3));
    let late = bench.asked_of(fast);
    assert!(!late.is_empty(), "blocks were due for three seconds");
    let actions = bench.delivers(fast, late[0]);
    let cancelled = actions.iter().any(|action| {
        matches!(action, Action::Cancel { peer, blocks } if *peer == slow && blocks.contains(&late[0]))
    });
    let was_moved = !bench.asked_of(slow).contains(&late[0]);
    assert!(cancelled || was_moved);
}

/// The most that is asked for at a time of a peer that sends so many blocks in 3 s, with a window of
/// half a piece, once its rate is known.
fn most_asked(blocks: u32) -> u32 {
    let window = PIECE_BLOCKS / 2;
    let mut bench = Bench::leech_with(200, |config| TorrentConfig {
        window_start: window,
        window_min: window,
        window_max: window,
        ..config
    });
    let peer = bench.connect_seed(1);
    let asked = (0..blocks).map(|_| {
        bench.pass(Duration::from_secs(3) / blocks);
        let block = bench.next_of(peer);
        let actions = bench.delivers(peer, block);
        u32::try_from(Bench::requested(&actions).len()).unwrap()
    });
    asked.skip(PIECE_BLOCKS as usize).max().unwrap()
}

#[test]
fn a_piece_is_asked_for_whole_of_whom_it_comes_from_within_a_second() {
    assert_eq!(most_asked(3 * (PIECE_BLOCKS + 1)), PIECE_BLOCKS);
    let slow = most_asked(3 * (PIECE_BLOCKS - 1));
    assert!(
        slow <= PIECE_BLOCKS / 2,
        "more would lie about at a slow peer: {slow}"
    );
}

#[test]
fn an_interested_peer_is_unchoked_at_once_and_served() {
    let mut bench = Bench::seed(4);
    let (peer, _) = bench.connect(1);
    bench.says(peer, Message::HaveNone);
    let actions = bench.says(peer, Message::Interested);
    assert_eq!(sent(&actions).last(), Some(&&Message::Unchoke));
    let actions = bench.says(peer, bench.request(1, 0));
    let blocks = vec![bench.block(1, 0)];
    assert!(actions.contains(&Action::Serve { peer, blocks }));
}

#[test]
fn a_request_while_choked_or_for_a_missing_piece_is_rejected() {
    let mut bench = Bench::leech(4);
    let (peer, _) = bench.connect(1);
    bench.says(peer, Message::HaveNone);
    let actions = bench.says(peer, bench.request(1, 0));
    assert!(matches!(sent(&actions)[..], [Message::Reject(_)]));
    bench.says(peer, Message::Interested);
    let actions = bench.says(peer, bench.request(1, 0));
    assert!(matches!(sent(&actions)[..], [Message::Reject(_)]));
}

#[test]
fn we_do_not_stay_connected_to_ourselves() {
    let mut bench = Bench::leech(4);
    bench.event(Event::PeersFound {
        source: super::event::PeerSource::Tracker,
        addrs: vec![addr(0)],
    });
    let (_, actions) = bench.connect_outgoing(0);
    assert_eq!(disconnects(&actions), [&CloseReason::Duplicate]);
    let actions = bench.pass(Duration::from_secs(600));
    assert!(!actions.contains(&Action::Connect { addr: addr(0) }));
}

#[test]
fn of_two_connections_to_one_peer_the_same_one_stays_on_both_sides() {
    for (n, incoming_stays) in [(1, false), (200, true)] {
        // Our id is in the middle: lower than that of peer 200, higher than that of peer 1.
        let mut bench = Bench::leech(4);
        bench.connect(n);
        let (_, actions) = bench.connect_outgoing(n);
        assert_eq!(disconnects(&actions), [&CloseReason::Duplicate]);
        let closes_new =
            matches!(actions.first(), Some(Action::Disconnect { peer, .. }) if peer.0 == 2);
        assert_eq!(closes_new, incoming_stays, "peer {n}");
    }
}

#[test]
fn trackers_hear_started_completed_and_stopped() {
    let mut bench = Bench::leech(1);
    let started = bench.announced(AnnounceEvent::Started);
    assert_eq!(started.left, u64::from(PIECE_BLOCKS) * 16_384);
    let alice = bench.connect_seed(1);
    for block in bench.asked_of(alice) {
        bench.delivers(alice, block);
    }
    let piece = bench.block(0, 0).piece();
    let actions = bench.verified(piece, VerifyOutcome::Stored);
    let completed = bench.answered(&actions, AnnounceEvent::Completed);
    assert_eq!((completed.left, completed.downloaded), (0, 4 * 16_384));
    let actions = bench.event(Event::Command(Command::Stop));
    let tracker = super::event::TrackerId(0);
    Bench::find_announce(&actions, AnnounceEvent::Stopped);
    assert!(!actions.contains(&Action::Notify(Notice::Stopped)));
    let result = Ok(AnnounceResponse::default());
    let actions = bench.event(Event::Announced { tracker, result });
    assert_eq!(actions, [Action::Notify(Notice::Stopped)]);
    assert_eq!(bench.torrent.deadline(), None);
}

#[test]
fn nobody_connected_names_the_trackers_that_failed() {
    let mut bench = Bench::leech(1);
    let tracker = super::event::TrackerId(0);
    bench.pass(Duration::from_secs(5));
    let faults = bench.torrent.progress(bench.now).tracker_faults;
    assert_eq!(faults, [(tracker, TrackerFault::Silent)]);
    let failure = AnnounceFailure::Refused("not registered".to_owned());
    let result = Err(failure.clone());
    let actions = bench.event(Event::Announced { tracker, result });
    assert!(matches!(
        actions[..],
        [Action::Notify(Notice::TrackerFailed { .. })]
    ));
    bench.pass(Duration::from_secs(5));
    let progress = bench.torrent.progress(bench.now);
    let (known, dialling) = (0, 0);
    let nobody = WaitReason::NoPeers { known, dialling };
    assert_eq!(progress.waiting, Some(nobody));
    let failed = TrackerFault::Failed(failure);
    assert_eq!(progress.tracker_faults, [(tracker, failed)]);
}

#[test]
fn the_reason_for_waiting_is_known() {
    let mut bench = Bench::leech(2);
    let (alice, _) = bench.connect(1);
    bench.says(alice, Message::HaveNone);
    bench.pass(Duration::from_secs(5));
    let waiting = |bench: &Bench| bench.torrent.progress(bench.now).waiting;
    assert_eq!(
        waiting(&bench),
        Some(WaitReason::Unavailable {
            missing: 2,
            peers: 1
        })
    );
    bench.says(alice, Message::Have(0));
    assert_eq!(
        waiting(&bench),
        Some(WaitReason::Choked {
            choking: 1,
            peers: 1
        })
    );
    bench.says(alice, Message::Unchoke);
    let blocks = PIECE_BLOCKS;
    assert_eq!(
        waiting(&bench),
        Some(WaitReason::Unanswered { blocks, peers: 1 })
    );
}

#[test]
fn limits_hold_in_both_directions() {
    let mut bench = Bench::leech_limited(200, 64 * 1024);
    let alice = bench.connect_seed(1);
    let mut received = 0;
    for _ in 0..500 {
        for block in bench.asked_of(alice) {
            received += u64::from(block.len());
            bench.delivers(alice, block);
            if bench.is_verifiable(block.piece()) {
                bench.verified(block.piece(), VerifyOutcome::Stored);
            }
        }
        bench.pass(Duration::from_millis(20));
    }
    // Ten seconds at 64 KiB/s, and what may go at once.
    assert!((500_000..900_000).contains(&received), "{received}");
}
