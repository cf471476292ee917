use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use super::*;
use crate::layout::BLOCK_LEN;

const PIECE_LEN: u32 = 4 * BLOCK_LEN;
const PEER: PeerKey = PeerKey(7);

fn layout() -> Layout {
    // Three full pieces and one of a block and a half.
    Layout::new(
        u64::from(3 * PIECE_LEN + BLOCK_LEN + BLOCK_LEN / 2),
        PIECE_LEN,
    )
    .unwrap()
}

fn buffers(pool_count: usize, padding: Vec<Range<u64>>) -> PieceBuffers {
    let pool = Pool::new(pool_count, PIECE_LEN as usize);
    PieceBuffers::new(layout(), padding, pool, std::env::temp_dir())
}

fn piece(index: u32) -> PieceIndex {
    layout().piece(index).unwrap()
}

fn fill_with(buffers: &mut PieceBuffers, block: Block, byte: u8) {
    let claim = buffers.claim(block).expect("nobody has filled it");
    let bytes = vec![byte; block.len() as usize];
    let (head, tail) = bytes.split_at(bytes.len() / 3);
    buffers.write(&claim, 0, head);
    buffers.write(&claim, head.len(), tail);
    assert_eq!(buffers.fill(&claim, PEER), Placed::Stored);
}

fn content(body: Body, piece: PieceIndex) -> Vec<u8> {
    let len = layout().piece_len(piece) as usize;
    match body {
        Body::Memory(buffer) => buffer[..len].to_vec(),
        Body::Spilled(file) => {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, 0).unwrap();
            bytes
        }
    }
}

/// Fills every block of the piece with its number and takes the piece.
fn complete(buffers: &mut PieceBuffers, piece: PieceIndex) -> Body {
    buffers.open(piece);
    for (number, block) in (1u8..).zip(layout().blocks(piece)) {
        fill_with(buffers, block, number);
    }
    buffers.take(piece).expect("every block is filled")
}

#[test]
fn a_block_can_be_claimed_until_it_is_filled() {
    let mut buffers = buffers(2, Vec::new());
    let block = layout().nth_block(piece(0), 1).unwrap();
    assert!(buffers.claim(block).is_none(), "its piece is not open");
    buffers.open(piece(0));
    let claim = buffers.claim(block).unwrap();
    buffers.release(&claim);
    fill_with(&mut buffers, block, 7);
    assert!(buffers.claim(block).is_none(), "it is filled");
}

#[test]
fn a_claimed_block_is_taken_over_whole() {
    let mut buffers = buffers(1, Vec::new());
    let (last, len) = (piece(3), BLOCK_LEN as usize);
    let blocks: Vec<Block> = layout().blocks(last).collect();
    buffers.open(last);
    let slow = buffers.claim(blocks[0]).unwrap();
    buffers.write(&slow, 0, &vec![1; len / 2]);
    let fast = buffers.claim(blocks[0]).expect("the first one hangs");
    buffers.write(&fast, 0, &vec![2; len]);
    buffers.write(&slow, len / 2, &vec![1; len / 2]);
    assert_eq!(buffers.fill(&slow, PEER), Placed::Discarded);
    assert_eq!(buffers.fill(&fast, PEER), Placed::Stored);
    fill_with(&mut buffers, blocks[1], 3);
    let bytes = content(buffers.take(last).unwrap(), last);
    assert!(bytes[blocks[0].range()].iter().all(|&byte| byte == 2));
}

#[test]
fn only_the_last_claim_can_release_a_block() {
    let mut buffers = buffers(1, Vec::new());
    let block = layout().nth_block(piece(0), 0).unwrap();
    buffers.open(piece(0));
    let first = buffers.claim(block).unwrap();
    let second = buffers.claim(block).expect("the first one hangs");
    buffers.release(&first);
    buffers.release(&second);
    assert_eq!(buffers.fill(&second, PEER), Placed::Discarded);
    assert_eq!(buffers.fill(&first, PEER), Placed::Discarded);
    fill_with(&mut buffers, block, 1);
}

#[test]
fn a_range_that_is_no_block_cannot_be_claimed() {
    let mut buffers = buffers(2, Vec::new());
    buffers.open(piece(0));
    let layout = layout();
    for (begin, len) in [(0, BLOCK_LEN - 1), (1, BLOCK_LEN), (0, 2 * BLOCK_LEN)] {
        let range = layout.block(0, begin, len).unwrap();
        assert!(buffers.claim(range).is_none());
    }
}

#[test]
fn a_piece_comes_out_with_what_was_written() {
    let mut buffers = buffers(2, Vec::new());
    let last = piece(3);
    let body = complete(&mut buffers, last);
    let bytes = content(body, last);
    let (first, second) = bytes.split_at(BLOCK_LEN as usize);
    assert!(first.iter().all(|&byte| byte == 1));
    assert!(second.iter().all(|&byte| byte == 2));
    assert_eq!(second.len(), BLOCK_LEN as usize / 2);
}

#[test]
fn an_incomplete_piece_does_not_come_out() {
    let mut buffers = buffers(1, Vec::new());
    assert_eq!(buffers.take(piece(0)).unwrap_err(), NotReady::Incomplete);
    buffers.open(piece(0));
    assert_eq!(buffers.take(piece(0)).unwrap_err(), NotReady::Incomplete);
    assert!(buffers.pool.take().is_some(), "its buffer is free again");
}

#[test]
fn a_claim_does_not_outlive_the_opening_of_its_piece() {
    let mut buffers = buffers(1, Vec::new());
    let block = layout().nth_block(piece(0), 0).unwrap();
    buffers.open(piece(0));
    let late = buffers.claim(block).unwrap();
    buffers.forget(piece(0));
    buffers.open(piece(0));
    for (byte, block) in (1u8..).zip(layout().blocks(piece(0))) {
        fill_with(&mut buffers, block, byte);
    }
    buffers.write(&late, 0, &[0xee; 100]);
    assert_eq!(buffers.fill(&late, PEER), Placed::Discarded);
    let bytes = content(buffers.take(piece(0)).unwrap(), piece(0));
    assert_eq!(bytes[..100], [1; 100]);
}

#[test]
fn only_who_filled_a_block_can_have_it_taken_back() {
    let mut buffers = buffers(1, Vec::new());
    let block = layout().nth_block(piece(0), 0).unwrap();
    buffers.open(piece(0));
    fill_with(&mut buffers, block, 1);
    buffers.take_back(block, PeerKey(8));
    assert!(buffers.claim(block).is_none());
    buffers.take_back(block, PEER);
    for (byte, block) in (1u8..).zip(layout().blocks(piece(0))) {
        fill_with(&mut buffers, block, byte);
    }
    assert!(buffers.take(piece(0)).is_ok());
}

#[test]
fn padding_is_zero_and_needs_no_peer() {
    let block_len = u64::from(BLOCK_LEN);
    // All of block 1, and the second half of block 2, of piece 1.
    let start = u64::from(PIECE_LEN) + block_len;
    let zeros = vec![
        start..start + block_len,
        start + block_len + block_len / 2..start + 2 * block_len,
    ];
    let mut buffers = buffers(1, zeros);
    let mut dirty = buffers.pool.take().unwrap();
    dirty.fill(0xee);
    buffers.pool.give(dirty);

    buffers.open(piece(1));
    let blocks: Vec<Block> = layout().blocks(piece(1)).collect();
    assert!(buffers.claim(blocks[1]).is_none());
    for (byte, number) in [(1, 0), (3, 2), (4, 3)] {
        fill_with(&mut buffers, blocks[number], byte);
    }
    let bytes = content(buffers.take(piece(1)).unwrap(), piece(1));
    assert!(bytes[blocks[1].range()].iter().all(|&byte| byte == 0));
}

#[test]
fn pieces_beyond_the_pool_are_kept_in_files() {
    let mut buffers = buffers(1, Vec::new());
    buffers.open(piece(0));
    let body = complete(&mut buffers, piece(1));
    assert!(matches!(body, Body::Spilled(_)));
    let bytes = content(body, piece(1));
    for (number, block) in (1u8..).zip(layout().blocks(piece(1))) {
        assert!(bytes[block.range()].iter().all(|&byte| byte == number));
    }
}

#[test]
fn a_piece_that_cannot_be_kept_is_a_disk_fault() {
    let pool = Pool::new(0, PIECE_LEN as usize);
    let nowhere = PathBuf::from("/proc/self/no such directory");
    let mut buffers = PieceBuffers::new(layout(), Vec::new(), pool, nowhere);
    buffers.open(piece(3));
    for block in layout().blocks(piece(3)) {
        fill_with(&mut buffers, block, 1);
    }
    assert!(matches!(buffers.take(piece(3)), Err(NotReady::Fault(_))));
}

#[test]
fn a_buffer_taken_twice_is_the_one_given_last() {
    let pool = Pool::new(2, 8);
    let (first, mut second) = (pool.take().unwrap(), pool.take().unwrap());
    assert!(pool.take().is_none());
    second.fill(9);
    pool.give(first);
    pool.give(second);
    assert_eq!(pool.take().unwrap(), [9; 8]);
    pool.shrink();
    assert_eq!(pool.take().unwrap(), [0; 8]);
}

proptest! {
    /// Three connections go at one block in any order, die, and its piece is given up meanwhile.
    #[test]
    fn a_stored_block_is_all_from_one_connection(
        steps in prop::collection::vec((0u8..3, 0u8..16), 1..100)
    ) {
        let mut buffers = buffers(1, Vec::new());
        let last = piece(3);
        let (other, block) = (layout().nth_block(last, 0).unwrap(), layout().nth_block(last, 1).unwrap());
        let (len, part) = (block.len() as usize, 3_000);
        buffers.open(last);
        fill_with(&mut buffers, other, 9);
        let mut claims: [Option<(Claim, usize)>; 3] = [None, None, None];
        let (mut owner, mut filler) = (None, None);
        for (who, what) in steps {
            let claim = claims[usize::from(who)].take();
            match (what, claim) {
                (0, claim) => {
                    claims[usize::from(who)] = claim;
                    buffers.forget(last);
                    buffers.open(last);
                    fill_with(&mut buffers, other, 9);
                    (owner, filler) = (None, None);
                }
                (1, Some((claim, _))) => {
                    buffers.release(&claim);
                    owner = owner.filter(|&owner| owner != who);
                }
                (_, None) => {
                    let claim = buffers.claim(block);
                    prop_assert_eq!(claim.is_some(), filler.is_none());
                    owner = claim.is_some().then_some(who);
                    claims[usize::from(who)] = claim.map(|claim| (claim, 0));
                }
                (_, Some((claim, start))) => {
                    let end = len.min(start + part);
                    buffers.write(&claim, start, &vec![who; end - start]);
                    if end < len {
                        claims[usize::from(who)] = Some((claim, end));
                        continue;
                    }
                    let is_owner = owner == Some(who);
                    let expected = if is_owner { Placed::Stored } else { Placed::Discarded };
                    prop_assert_eq!(buffers.fill(&claim, PeerKey(who.into())), expected);
                    if is_owner {
                        (owner, filler) = (None, Some(who));
                    }
                }
            }
        }
        match (buffers.take(last), filler) {
            (Ok(body), Some(who)) => {
                prop_assert!(content(body, last)[block.range()].iter().all(|&byte| byte == who));
            }
            (taken, filler) => {
                prop_assert_eq!(taken.err(), Some(NotReady::Incomplete));
                prop_assert_eq!(filler, None);
            }
        }
    }
}
