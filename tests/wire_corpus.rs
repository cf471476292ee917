//! Seeds and vectors of other projects through the codecs for peers and trackers: each gets the
//! verdict its origin gives, and none a panic.

use std::path::{Path, PathBuf};

use bytes::BytesMut;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde_json::Value as Json;

use swarm::tracker::compact::Family;
use swarm::tracker::{TrackerUrl, http, udp};
use swarm::wire::{DecodeError, Decoder, ExtendedHandshake, Message};

/// What the seeds' content has, as far as they go.
const PIECE_COUNT: u32 = 1_000;

/// The folder or file of the corpus, or `None`, said loudly, where there is none.
fn corpus(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SWARM_CORPUS")
        .map_or_else(|| PathBuf::from("../shared/corpus"), PathBuf::from);
    let path = root.join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("CI").is_err(), "no {}", path.display());
    let note = format!("SKIPPED: no {}; set SWARM_CORPUS\n", path.display());
    std::io::Write::write_all(&mut std::io::stderr(), note.as_bytes()).expect("stderr");
    None
}

/// Name and content of every file in a folder of the corpus.
fn seeds(folder: &str) -> Vec<(String, Vec<u8>)> {
    let Some(folder) = corpus(folder) else {
        return Vec::new();
    };
    let entries = std::fs::read_dir(folder).expect("a readable folder");
    let paths = entries.map(|entry| entry.expect("readable").path());
    let read = |path: &Path| std::fs::read(path).expect("readable");
    let name = |path: &Path| path.file_name().expect("has one").display().to_string();
    paths.map(|path| (name(&path), read(&path))).collect()
}

/// Every message of the stream, which arrives `part` bytes at a time; payloads are thrown away.
fn decode(stream: &[u8], part: usize) -> Result<Vec<Message>, DecodeError> {
    let mut decoder = Decoder::new(PIECE_COUNT);
    let mut input = BytesMut::new();
    let mut messages = Vec::new();
    let mut payload_left = 0;
    for bytes in stream.chunks(part) {
        input.extend_from_slice(bytes);
        loop {
            payload_left -= input.split_to(payload_left.min(input.len())).len();
            if payload_left > 0 {
                break;
            }
            let Some(message) = decoder.decode(&mut input)? else {
                break;
            };
            if let Message::Piece(block) = message {
                payload_left = block.length as usize;
            }
            messages.push(message);
        }
    }
    Ok(messages)
}

#[test]
fn every_wire_seed_gets_one_verdict_however_it_is_split() {
    for folder in [
        "libtorrent-fuzz-seeds/peer_conn_wire",
        "libtorrent-fuzz-seeds/peer_conn",
        "anacrolix/peer_protocol/fuzz-raw/FuzzDecoder",
    ] {
        for (name, bytes) in seeds(folder) {
            let whole = decode(&bytes, 1 << 20);
            assert_eq!(whole, decode(&bytes, 1), "{name}");
            for message in whole.into_iter().flatten() {
                if let Message::Extended { id: 0, payload } = message {
                    let _verdict = ExtendedHandshake::decode(&payload);
                }
            }
        }
    }
}

/// Lengthened by `SWARM_FUZZ_SEED` and `SWARM_FUZZ_ITERS`.
#[test]
fn no_mutated_seed_panics_any_decoder() {
    let number = |name| {
        let value: Option<u64> = std::env::var(name).ok()?.parse().ok();
        value
    };
    let mut rng = ChaCha8Rng::seed_from_u64(number("SWARM_FUZZ_SEED").unwrap_or(1));
    let mut bases: Vec<Vec<u8>> = ["peer_conn_wire", "udp_tracker", "ut_pex", "ut_metadata"]
        .iter()
        .flat_map(|folder| seeds(&format!("libtorrent-fuzz-seeds/{folder}")))
        .map(|(_, bytes)| bytes)
        .filter(|bytes| !bytes.is_empty())
        .collect();
    bases.push(b"d1:md6:ut_pexi1ee1:pi6881e4:reqqi500e1:v5:swarm6:yourip4:\x0a\0\0\x01e".to_vec());
    bases.push(b"d8:intervali9e5:peersld2:ip7:1.2.3.44:porti1eee6:peers60:e".to_vec());
    for _ in 0..number("SWARM_FUZZ_ITERS").unwrap_or(20_000) {
        let mut bytes = bases[rng.random_range(0..bases.len())].clone();
        for _ in 0..rng.random_range(1..5) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        let _verdict = decode(&bytes, rng.random_range(1..100));
        let _verdict = ExtendedHandshake::decode(&bytes);
        let _verdict = http::decode(&bytes);
        let packet = [&[0, 0, 0, rng.random_range(0..4), 0, 0, 0, 1], &bytes[..]].concat();
        let _verdict = udp::read_connected(&packet, 1);
        let _verdict = udp::read_announced(&packet, 1, Family::V6);
        let _verdict = TrackerUrl::parse(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn wire_seeds_of_a_wrong_fixed_length_are_refused() {
    let wrong = [
        "choke_extra",
        "have_short",
        "have_long",
        "have_all_extra",
        "have_none_extra",
        "request_short",
        "cancel_short",
        "piece_short",
        "dht_port_short",
        "dht_port_long",
    ];
    let seeds = seeds("libtorrent-fuzz-seeds/peer_conn_wire");
    let is_wrong = |name: &str| wrong.iter().any(|prefix| name.starts_with(prefix));
    let mut refused = 0;
    for (name, bytes) in seeds.iter().filter(|(name, _)| is_wrong(name)) {
        let verdict = decode(bytes, 1 << 20);
        assert!(verdict.is_err(), "{name}: {verdict:?}");
        refused += 1;
    }
    assert!(seeds.is_empty() || refused >= 15, "only {refused} matched");
}

/// These seeds are frames of action (1 byte), length (2 bytes) and the body of an answer.
#[test]
fn every_udp_tracker_seed_gets_a_verdict() {
    let seeds = seeds("libtorrent-fuzz-seeds/udp_tracker");
    let mut with_peers = 0;
    for (name, bytes) in &seeds {
        let mut rest = &bytes[..];
        while let Some((&[action, high, low], after)) = rest.split_first_chunk() {
            let len = usize::from(u16::from_be_bytes([high, low])).min(after.len());
            let (body, next) = after.split_at(len);
            rest = next;
            let packet = [&[0, 0, 0, action, 0, 0, 0, 1], body].concat();
            assert!(udp::read_connected(&packet, 1).is_some(), "{name}");
            let read = udp::read_announced(&packet, 1, Family::V4).expect("its id is right");
            with_peers += u32::from(read.is_ok_and(|answer| !answer.peers.is_empty()));
        }
    }
    assert!(seeds.is_empty() || with_peers >= 3, "only {with_peers}");
}

fn bytes(vector: &Json) -> Vec<u8> {
    let digits = vector["hex"].as_str().expect("every row has it");
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// Scrapes are not spoken. The `http_response` rows are for the HTTP library: the tests of
/// `runtime::announce` serve the same shapes.
#[test]
fn every_tracker_vector_gets_the_verdict_of_its_origin() {
    let Some(path) = corpus("vectors/tracker.jsonl") else {
        return;
    };
    let text = std::fs::read_to_string(path).expect("readable");
    let mut judged = 0;
    for line in text.lines() {
        let vector: Json = serde_json::from_str(line).expect("JSON lines");
        let input = bytes(&vector);
        let accepted = match vector["kind"].as_str() {
            Some("announce") => http::decode(&input).is_ok(),
            Some("tracker_url") => TrackerUrl::parse(&String::from_utf8_lossy(&input)).is_ok(),
            Some("peer") => {
                let answer = [b"d5:peersl", &input[..], b"ee"].concat();
                http::decode(&answer).is_ok_and(|answer| !answer.peers.is_empty())
            }
            Some("scrape" | "http_response") => continue,
            other => panic!("a kind nobody expected: {other:?}"),
        };
        assert_eq!(vector["expect"] == "accept", accepted, "{vector}");
        judged += 1;
    }
    assert!(judged >= 30, "only {judged} judged");
}
