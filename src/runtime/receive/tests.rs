use proptest::prelude::*;

use super::super::buffers::{Body, Pool};
use super::super::outbox::{on_wire, piece_header};
use super::*;
use crate::layout::{BLOCK_LEN, PieceIndex};

const FAST: Reserved = Reserved::OURS;
const SLOW: Reserved = Reserved([0; 8]);

/// One end of a connection, with what it shares.
struct Rig {
    layout: Layout,
    buffers: PieceBuffers,
    link: Link,
    receiver: Receiver,
    input: BytesMut,
}

impl Rig {
    fn new(theirs: Reserved) -> Self {
        let layout = Layout::new(u64::from(8 * BLOCK_LEN), 4 * BLOCK_LEN).unwrap();
        let pool = Pool::new(2, 4 * BLOCK_LEN as usize);
        Self {
            layout,
            buffers: PieceBuffers::new(layout, Vec::new(), pool, std::env::temp_dir()),
            link: Link::default(),
            receiver: Receiver::new(layout, PeerKey(1), theirs),
            input: BytesMut::new(),
        }
    }

    fn piece(&self, index: u32) -> PieceIndex {
        self.layout.piece(index).unwrap()
    }

    fn block(&self, piece: u32, number: u32) -> Block {
        self.layout.nth_block(self.piece(piece), number).unwrap()
    }

    fn request(&mut self, blocks: &[Block]) {
        for block in blocks {
            self.buffers.open(block.piece());
        }
        self.link.request(blocks).unwrap();
    }

    fn receive(&mut self, bytes: &[u8]) -> Vec<Received> {
        let mut out = Vec::new();
        self.input.extend_from_slice(bytes);
        self.receiver
            .receive(&mut self.input, &mut self.buffers, &self.link, &mut out)
            .expect("well-formed");
        out
    }
}

fn encoded(message: &Message) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    message.encode(&mut bytes);
    bytes.to_vec()
}

/// The block as it goes over the wire, every byte of it `fill`.
fn frame(block: Block, fill: u8) -> Vec<u8> {
    let mut bytes = piece_header(block).to_vec();
    bytes.resize(bytes.len() + block.len() as usize, fill);
    bytes
}

fn placed(block: Block, placed: Placed) -> Received {
    Received::Block { block, placed }
}

#[test]
fn a_block_that_was_asked_for_is_stored_once() {
    let mut rig = Rig::new(FAST);
    let block = rig.block(0, 1);
    rig.request(&[block]);
    let twice = [frame(block, 7), frame(block, 8)].concat();
    assert_eq!(
        rig.receive(&twice),
        [
            placed(block, Placed::Stored),
            placed(block, Placed::Discarded)
        ]
    );
}

#[test]
fn a_block_that_nobody_asked_for_is_discarded() {
    let mut rig = Rig::new(FAST);
    let (asked, unasked) = (rig.block(0, 0), rig.block(0, 1));
    rig.request(&[asked]);
    assert_eq!(
        rig.receive(&frame(unasked, 1)),
        [placed(unasked, Placed::Discarded)]
    );
}

#[test]
fn a_range_outside_the_content_is_stray() {
    let mut rig = Rig::new(FAST);
    let named = BlockRequest {
        index: 9,
        begin: 0,
        length: 100,
    };
    let mut bytes = encoded(&Message::Piece(named));
    bytes.resize(bytes.len() + 100, 0);
    bytes.extend(encoded(&Message::Unchoke));
    assert_eq!(
        rig.receive(&bytes),
        [
            Received::Stray { len: 100 },
            Received::Message(Message::Unchoke)
        ]
    );
}

#[test]
fn a_cancelled_block_that_arrives_all_the_same_is_stored() {
    let mut rig = Rig::new(FAST);
    let block = rig.block(0, 0);
    rig.request(&[block]);
    rig.link.cancel(&[block]).unwrap();
    assert_eq!(
        rig.receive(&frame(block, 1)),
        [placed(block, Placed::Stored)]
    );
}

#[test]
fn a_choke_drops_requests_only_without_the_fast_extension() {
    for (theirs, expected) in [(SLOW, Placed::Discarded), (FAST, Placed::Stored)] {
        let mut rig = Rig::new(theirs);
        let block = rig.block(0, 0);
        rig.request(&[block]);
        rig.receive(&encoded(&Message::Choke));
        assert_eq!(rig.receive(&frame(block, 1)), [placed(block, expected)]);
    }
}

#[test]
fn a_rejected_block_is_no_longer_accepted() {
    let mut rig = Rig::new(FAST);
    let block = rig.block(0, 0);
    rig.request(&[block]);
    rig.receive(&encoded(&Message::Reject(on_wire(block))));
    assert_eq!(
        rig.receive(&frame(block, 1)),
        [placed(block, Placed::Discarded)]
    );
}

#[test]
fn a_block_is_free_again_when_its_connection_dies_half_way() {
    let mut rig = Rig::new(FAST);
    let block = rig.block(0, 0);
    rig.request(&[block]);
    assert_eq!(rig.receive(&frame(block, 1)[..5_000]), []);
    rig.receiver.abandon(&mut rig.buffers);
    assert!(rig.buffers.claim(block).is_some());
}

#[test]
fn whoever_starts_a_block_later_takes_it_over() {
    let mut rig = Rig::new(FAST);
    let block = rig.block(0, 0);
    rig.request(&[block]);
    rig.receive(&frame(block, 1)[..5_000]);

    let (link, mut out) = (Link::default(), Vec::new());
    link.request(&[block]).unwrap();
    let mut other = Receiver::new(rig.layout, PeerKey(2), FAST);
    let mut input = BytesMut::from(&frame(block, 2)[..]);
    other
        .receive(&mut input, &mut rig.buffers, &link, &mut out)
        .unwrap();
    assert_eq!(out, [placed(block, Placed::Stored)]);
    assert_eq!(
        rig.receive(&frame(block, 1)[5_000..]),
        [placed(block, Placed::Discarded)]
    );
}

#[test]
fn bytes_that_are_no_message_are_an_error() {
    let mut rig = Rig::new(FAST);
    rig.input.extend_from_slice(&[0xff; 16]);
    let result = rig
        .receiver
        .receive(&mut rig.input, &mut rig.buffers, &rig.link, &mut Vec::new());
    assert!(result.is_err());
}

proptest! {
    #[test]
    fn wherever_the_stream_is_split_the_pieces_are_whole(
        reads in prop::collection::vec(1usize..40_000, 1..40)
    ) {
        let mut rig = Rig::new(FAST);
        let layout = rig.layout;
        let blocks: Vec<Block> = layout.pieces().flat_map(|p| layout.blocks(p)).collect();
        rig.request(&blocks);
        let mut stream = Vec::new();
        for (fill, &block) in (1u8..).zip(&blocks) {
            stream.extend(encoded(&Message::Have(u32::from(fill))));
            stream.extend(frame(block, fill));
        }

        let (mut rest, mut out) = (&stream[..], Vec::new());
        let mut lens = reads.into_iter().cycle();
        while !rest.is_empty() {
            let (read, tail) = rest.split_at(lens.next().unwrap().min(rest.len()));
            out.extend(rig.receive(read));
            rest = tail;
        }
        let stored = blocks.iter().map(|&block| placed(block, Placed::Stored));
        out.retain(|received| !matches!(received, Received::Message(_)));
        prop_assert_eq!(out, stored.collect::<Vec<_>>());
        for piece in layout.pieces() {
            let Ok(Body::Memory(buffer)) = rig.buffers.take(piece) else { unreachable!() };
            for (number, block) in (1u8..).zip(layout.blocks(piece)) {
                let fill = u8::try_from(piece.get()).unwrap() * 4 + number;
                prop_assert!(buffer[block.range()].iter().all(|&byte| byte == fill));
            }
        }
    }
}
