//! Packets byte by byte, and answers good and bad.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;
use crate::ids::{InfoHash, PeerId};

fn request() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash::new([1; 20]),
        peer_id: PeerId::new([2; 20]),
        port: 6881,
        uploaded: 3,
        downloaded: 4,
        left: 5,
        event: AnnounceEvent::Started,
        num_want: 50,
        key: 6,
    }
}

fn answer(action: u32, transaction: u32, body: &[u8]) -> Vec<u8> {
    [&action.to_be_bytes(), &transaction.to_be_bytes(), body].concat()
}

#[test]
fn an_announce_lies_as_bep_15_says() {
    let packet = announce(0x0102_0304_0506_0708, 9, &request(), "/");
    assert_eq!(packet.len(), 98);
    assert_eq!(packet[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(packet[8..16], [0, 0, 0, 1, 0, 0, 0, 9]);
    assert_eq!(packet[16..36], [1; 20]);
    assert_eq!(packet[36..56], [2; 20]);
    let numbers: Vec<u64> = packet[56..80]
        .chunks(8)
        .map(|mut word| word.get_u64())
        .collect();
    assert_eq!(numbers, [4, 5, 3], "downloaded, left, uploaded");
    assert_eq!(packet[80..84], [0, 0, 0, 2], "started");
    assert_eq!(packet[84..96], [0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 50]);
    assert_eq!(packet[96..], [0x1a, 0xe1]);
}

#[test]
fn path_and_query_ride_along_in_parts_of_255_bytes() {
    let target = format!("/announce?{}", "k".repeat(300));
    let packet = announce(0, 0, &request(), &target);
    let options = &packet[98..];
    assert_eq!(options[..2], [URL_DATA, 255]);
    assert_eq!(options[257..259], [URL_DATA, 55]);
    let carried = [&options[2..257], &options[259..]].concat();
    assert_eq!(carried, target.as_bytes());
}

#[test]
fn a_connection_id_is_read_and_strangers_are_not_heard() {
    let body = 0xfeed_u64.to_be_bytes();
    let packet = answer(CONNECT, 7, &body);
    assert_eq!(read_connected(&packet, 7), Some(Ok(0xfeed)));
    assert_eq!(read_connected(&packet, 8), None);
    assert_eq!(read_connected(&packet[..7], 7), None);
    let short = read_connected(&packet[..15], 7);
    assert!(matches!(short, Some(Err(AnnounceFailure::BadResponse(_)))));
}

#[test]
fn an_answer_is_read_in_the_family_of_the_socket() {
    let mut body = vec![0, 0, 7, 8, 0, 0, 0, 10, 0, 0, 0, 50];
    let v4: SocketAddr = "127.0.0.1:6881".parse().expect("valid");
    body.extend([127, 0, 0, 1, 0x1a, 0xe1]);
    let read = read_announced(&answer(ANNOUNCE, 1, &body), 1, Family::V4);
    let answered = read.expect("ours").expect("good");
    assert_eq!(answered.interval, Duration::from_secs(0x708));
    assert_eq!(
        (answered.incomplete, answered.complete),
        (Some(10), Some(50))
    );
    assert_eq!(answered.peers, [v4]);

    body.truncate(12);
    body.extend([
        0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80,
    ]);
    let read = read_announced(&answer(ANNOUNCE, 1, &body), 1, Family::V6);
    let v6: SocketAddr = "[2001:db8::1]:80".parse().expect("valid");
    assert_eq!(read.expect("ours").expect("good").peers, [v6]);
}

#[test]
fn an_interval_is_kept_within_reason() {
    for (told, kept) in [(0, 30), (1_800, 1_800), (u32::MAX, 6 * 3_600)] {
        let body = [told.to_be_bytes(), [0; 4], [0; 4]].concat();
        let read = read_announced(&answer(ANNOUNCE, 1, &body), 1, Family::V4);
        let answered = read.expect("ours").expect("good");
        assert_eq!(answered.interval, Duration::from_secs(kept));
    }
}

#[test]
fn a_refusal_is_passed_on_in_bounded_words() {
    let packet = answer(ERROR, 1, &b"go away ".repeat(1_000));
    let Some(Err(AnnounceFailure::Refused(words))) = read_connected(&packet, 1) else {
        panic!("not a refusal");
    };
    assert!(words.starts_with("go away") && words.len() <= 256);
    let read = read_announced(&packet, 1, Family::V4);
    assert_eq!(read, Some(Err(AnnounceFailure::Refused(words))));
}

#[test]
fn waits_double_and_the_first_leaves_time_for_a_second_try() {
    let ample = Duration::from_secs(10_000);
    let waits: Vec<u64> = (0..10).map(|n| wait(n, ample).as_secs()).collect();
    assert_eq!(waits, [15, 30, 60, 120, 240, 480, 960, 1920, 3840, 3840]);
    let two = Duration::from_secs(2);
    assert_eq!(wait(0, two), Duration::from_secs(1));
    assert_eq!(wait(1, two), two);
    assert_eq!(wait(u32::MAX, two), two);
}

proptest! {
    #[test]
    fn no_packet_panics(packet: Vec<u8>, transaction: u32, right: bool) {
        let mut packet = packet;
        if right && packet.len() >= 8 {
            packet[..3].fill(0);
            packet[3] %= 5;
            packet[4..8].copy_from_slice(&transaction.to_be_bytes());
        }
        let _verdict = read_connected(&packet, transaction);
        for family in [Family::V4, Family::V6] {
            if let Some(Ok(answer)) = read_announced(&packet, transaction, family) {
                prop_assert!(answer.peers.iter().all(|peer| peer.port() != 0));
            }
        }
    }
}
