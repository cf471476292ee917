//! Round trips split anywhere, limits, mutations and noise.

use std::ops::RangeInclusive;

use proptest::prelude::*;
use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt, SeedableRng};

use super::*;

const PIECE_COUNT: u32 = 1_000;

/// Feeds `stream` in parts of the lengths given (cycled), takes payloads as a connection would,
/// and returns the messages and the payload bytes seen.
fn decode_split(
    decoder: &mut Decoder,
    stream: &[u8],
    parts: &[usize],
) -> Result<(Vec<Message>, Vec<u8>), DecodeError> {
    let (mut messages, mut payload) = (Vec::new(), Vec::new());
    let mut input = BytesMut::new();
    let mut payload_left = 0;
    let mut rest = stream;
    let mut parts = parts.iter().cycle();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(*parts.next().expect("cycles")));
        input.extend_from_slice(now);
        rest = later;
        loop {
            let taken = input.split_to(payload_left.min(input.len()));
            payload.extend_from_slice(&taken);
            payload_left -= taken.len();
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
        assert!(input.len() <= MESSAGE_LEN_MAX as usize + 4 + now.len());
    }
    Ok((messages, payload))
}

fn blocks(lengths: RangeInclusive<u32>) -> impl Strategy<Value = BlockRequest> {
    (any::<u32>(), any::<u32>(), lengths).prop_map(|(index, begin, length)| BlockRequest {
        index,
        begin,
        length,
    })
}

fn messages() -> impl Strategy<Value = Message> {
    let any_block = || blocks(0..=u32::MAX);
    let bytes = |max| prop::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from);
    prop_oneof![
        Just(Message::KeepAlive),
        Just(Message::Choke),
        Just(Message::Unchoke),
        Just(Message::Interested),
        Just(Message::NotInterested),
        any::<u32>().prop_map(Message::Have),
        bytes(PIECE_COUNT as usize / 8).prop_map(Message::Bitfield),
        any_block().prop_map(Message::Request),
        blocks(0..=300).prop_map(Message::Piece),
        any_block().prop_map(Message::Cancel),
        any::<u16>().prop_map(Message::Port),
        any::<u32>().prop_map(Message::Suggest),
        Just(Message::HaveAll),
        Just(Message::HaveNone),
        any_block().prop_map(Message::Reject),
        any::<u32>().prop_map(Message::AllowedFast),
        (any::<u8>(), bytes(300)).prop_map(|(id, payload)| Message::Extended { id, payload }),
        (21u8..).prop_map(Message::Unknown),
    ]
}

fn encode(message: &Message, out: &mut BytesMut) -> Vec<u8> {
    message.encode(out);
    let Message::Piece(block) = message else {
        return Vec::new();
    };
    let payload: Vec<u8> = (0..block.length).map(|i| i.to_be_bytes()[3]).collect();
    out.extend_from_slice(&payload);
    payload
}

proptest! {
    #[test]
    fn a_stream_split_anywhere_decodes_to_what_was_encoded(
        sent in prop::collection::vec(messages(), 1..20),
        parts in prop::collection::vec(1usize..400, 1..10),
    ) {
        let mut stream = BytesMut::new();
        let payload: Vec<u8> = sent.iter().flat_map(|m| encode(m, &mut stream)).collect();
        let mut decoder = Decoder::new(PIECE_COUNT);
        let decoded = decode_split(&mut decoder, &stream, &parts);
        prop_assert_eq!(decoded, Ok((sent, payload)));
    }

    #[test]
    fn a_handshake_round_trips(reserved: [u8; 8], info_hash: [u8; 20], peer_id: [u8; 20]) {
        let handshake = Handshake {
            reserved: Reserved(reserved),
            info_hash: InfoHash::new(info_hash),
            peer_id: PeerId::new(peer_id),
        };
        prop_assert_eq!(Handshake::decode(&handshake.encode()), Ok(handshake));
    }
}

fn decode_one(bytes: &[u8]) -> Result<Option<Message>, DecodeError> {
    Decoder::new(PIECE_COUNT).decode(&mut BytesMut::from(bytes))
}

#[test]
fn a_length_is_refused_as_soon_as_length_and_type_are_known() {
    for (kind, min, max) in [
        (CHOKE, 1, 1),
        (PORT, 3, 3),
        (HAVE, 5, 5),
        (BITFIELD, 1, 126),
        (REQUEST, 13, 13),
        (PIECE, 9, 9 + REQUEST_LEN_MAX),
        (EXTENDED, 2, EXTENDED_LEN_MAX),
        (99, 1, MESSAGE_LEN_MAX),
    ] {
        for got in [min - 1, max + 1, u32::MAX] {
            let mut head = got.to_be_bytes().to_vec();
            head.push(kind);
            let refused = DecodeError::Length {
                kind,
                got,
                min,
                max,
            };
            let keep_alive = Ok(Some(Message::KeepAlive));
            let want = if got == 0 { keep_alive } else { Err(refused) };
            assert_eq!(decode_one(&head), want);
        }
    }
}

#[test]
fn a_bitfield_may_be_as_long_as_the_content_needs_and_no_longer() {
    let mut stream = BytesMut::new();
    Message::Bitfield(Bytes::from(vec![0xff; 126])).encode(&mut stream);
    assert!(Decoder::new(1_001).decode(&mut stream.clone()).is_ok());
    assert!(Decoder::new(1_000).decode(&mut stream).is_err());
}

#[test]
fn a_message_of_unknown_type_is_skipped_without_being_kept() {
    let mut decoder = Decoder::new(PIECE_COUNT);
    let mut input = BytesMut::from(&[0, 0x10, 0, 0, 99][..]);
    assert_eq!(decoder.decode(&mut input), Ok(Some(Message::Unknown(99))));
    let mut left = MESSAGE_LEN_MAX as usize - 1;
    while left > 0 {
        let part = left.min(70_000);
        input.extend_from_slice(&vec![7; part]);
        assert_eq!(decoder.decode(&mut input), Ok(None));
        assert!(input.is_empty());
        left -= part;
    }
    Message::HaveAll.encode(&mut input);
    assert_eq!(decoder.decode(&mut input), Ok(Some(Message::HaveAll)));
}

#[test]
fn a_declared_length_reserves_nothing() {
    let mut input = BytesMut::from(&[0, 0, 0xff, 0xff, EXTENDED, 1, 2, 3][..]);
    let capacity = input.capacity();
    assert_eq!(Decoder::new(PIECE_COUNT).decode(&mut input), Ok(None));
    assert_eq!((input.len(), input.capacity()), (8, capacity));
}

#[test]
fn a_piece_is_announced_before_its_payload_is_there() {
    let mut input = BytesMut::from(&[0, 0, 0x40, 9, PIECE, 0, 0, 0, 7, 0, 0, 0x80][..]);
    let mut decoder = Decoder::new(PIECE_COUNT);
    assert_eq!(decoder.decode(&mut input), Ok(None));
    input.extend_from_slice(&[0, 0xaa]);
    let announced = Message::Piece(BlockRequest {
        index: 7,
        begin: 0x8000,
        length: 0x4000,
    });
    assert_eq!(decoder.decode(&mut input), Ok(Some(announced)));
    assert_eq!(&input[..], [0xaa], "the payload is left to the caller");
}

#[test]
fn another_protocol_is_no_handshake() {
    let mut bytes = [b'G'; HANDSHAKE_LEN];
    bytes[..14].copy_from_slice(b"GET / HTTP/1.1");
    assert_eq!(Handshake::decode(&bytes), Err(DecodeError::NotAHandshake));
}

fn seeded() -> (ChaCha8Rng, u64) {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse().ok())
    };
    let seed = number("SWARM_FUZZ_SEED").unwrap_or(1);
    let iterations = number("SWARM_FUZZ_ITERS").unwrap_or(20_000);
    (ChaCha8Rng::seed_from_u64(seed), iterations)
}

/// A message with a few bytes changed gets further into a decoder than noise does.
#[test]
fn no_mutated_stream_panics_or_is_hoarded() {
    let (mut rng, iterations) = seeded();
    let mut clean = BytesMut::new();
    for message in [
        Message::Bitfield(Bytes::from(vec![0xff; 125])),
        Message::Unchoke,
        Message::Have(3),
        Message::Request(BlockRequest {
            index: 1,
            begin: 2,
            length: 3,
        }),
        Message::Piece(BlockRequest {
            index: 1,
            begin: 2,
            length: 20,
        }),
        Message::Extended {
            id: 0,
            payload: Bytes::from_static(b"d1:pi1ee"),
        },
        Message::KeepAlive,
    ] {
        encode(&message, &mut clean);
    }
    for _ in 0..iterations {
        let mut stream = clean.to_vec();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..stream.len());
            stream[at] = rng.random();
        }
        stream.truncate(rng.random_range(0..=stream.len()));
        let parts = [rng.random_range(1..50), rng.random_range(1..50)];
        let _verdict = decode_split(&mut Decoder::new(PIECE_COUNT), &stream, &parts);
    }
}

#[test]
fn no_noise_panics() {
    let (mut rng, iterations) = seeded();
    for _ in 0..iterations {
        let mut stream = vec![0; rng.random_range(0..200)];
        rng.fill_bytes(&mut stream);
        // Mostly short lengths, else every stream ends at its first message.
        for byte in stream.iter_mut().take(3) {
            *byte &= 1;
        }
        let _verdict = decode_split(&mut Decoder::new(PIECE_COUNT), &stream, &[17]);
    }
}
