//! What waits to be written to one socket, in which order: control messages overtake blocks, but
//! never cut one in two.
//!
//! Pure. Invariant: a frame and the control bytes are never both partly written, because each is
//! only begun when the other is at a boundary.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::AddAssign;

use bytes::{Buf, BytesMut};

use crate::layout::Block;
use crate::wire::codec;
use crate::wire::{BlockRequest, Message};

pub(super) use codec::PIECE_HEADER_LEN;

/// Control bytes that may wait for one socket. A window of 2,048 requests is 34 KiB, a bitfield at
/// most 256 KiB; a peer that lets a MiB pile up has stopped reading.
const CONTROL_BYTES_MAX: usize = 1 << 20;

/// The peer does not read what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooSlow;

/// Bytes beside payload that were queued for peers, by what they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlBytes {
    /// `have` messages.
    pub have: u64,
    /// `request` and `cancel` messages.
    pub request: u64,
    /// All others, and what precedes each block's payload; handshakes are left out.
    pub other: u64,
}

impl AddAssign for ControlBytes {
    fn add_assign(&mut self, more: Self) {
        self.have += more.have;
        self.request += more.request;
        self.other += more.other;
    }
}

/// What waits for one socket.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    control: BytesMut,
    /// What was ever queued.
    queued: ControlBytes,
    /// The most urgent of what is in `control`.
    urgency: Waiting,
    frames: VecDeque<Frames>,
}

/// What waits, in order of urgency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Waiting {
    /// Nothing.
    #[default]
    Nothing,
    /// Only what nobody waits for.
    Later,
    /// Only `have` messages, which cost less in one write.
    Haves,
    /// Something that somebody waits for.
    More,
}

/// Blocks as they go over the wire: header, payload, header, payload…
#[derive(Debug)]
pub(super) struct Frames {
    /// The blocks, in the order of `bytes`.
    pub(super) blocks: Vec<Block>,
    /// Their headers and payloads.
    pub(super) bytes: Vec<u8>,
    written: usize,
    /// Blocks of which every byte is written.
    done: usize,
    /// Where the first block that is not done ends in `bytes`.
    boundary: usize,
}

impl Frames {
    /// Bytes that these blocks take on the wire.
    pub(super) fn len_of(blocks: &[Block]) -> usize {
        blocks.iter().map(|block| frame_len(*block)).sum()
    }

    /// `bytes` holds the frames of `blocks` and nothing else.
    pub(super) fn new(blocks: Vec<Block>, bytes: Vec<u8>) -> Self {
        assert_eq!(
            Self::len_of(&blocks),
            bytes.len(),
            "one frame for each block"
        );
        let boundary = blocks.first().map_or(0, |block| frame_len(*block));
        Self {
            blocks,
            bytes,
            written: 0,
            done: 0,
            boundary,
        }
    }

    /// Bytes that must follow before anything else may be sent.
    fn unfinished(&self) -> &[u8] {
        let begun = self.boundary - self.blocks.get(self.done).map_or(0, |b| frame_len(*b));
        if self.written > begun {
            &self.bytes[self.written..self.boundary]
        } else {
            &[]
        }
    }

    fn advance(&mut self, count: usize) {
        self.written += count;
        while self.done < self.blocks.len() && self.boundary <= self.written {
            self.done += 1;
            self.boundary += self.blocks.get(self.done).map_or(0, |b| frame_len(*b));
        }
    }

    fn is_done(&self) -> bool {
        self.written == self.bytes.len()
    }
}

impl Outbox {
    /// Queues a control message.
    pub(super) fn send(&mut self, message: &Message) -> Result<(), TooSlow> {
        let is_have = matches!(message, Message::Have(_));
        self.queue(
            message,
            if is_have {
                Waiting::Haves
            } else {
                Waiting::More
            },
        )
    }

    /// Queues a control message that nobody waits for.
    pub(super) fn send_later(&mut self, message: &Message) -> Result<(), TooSlow> {
        self.queue(message, Waiting::Later)
    }

    fn queue(&mut self, message: &Message, urgency: Waiting) -> Result<(), TooSlow> {
        let is_have = matches!(message, Message::Have(_));
        self.raise(urgency);
        let before = self.control.len();
        message.encode(&mut self.control);
        let len = (self.control.len() - before) as u64;
        if is_have {
            self.queued.have += len;
        } else {
            self.queued.other += len;
        }
        self.check_control()
    }

    /// Queues a request for each block.
    pub(super) fn request(&mut self, blocks: &[Block]) -> Result<(), TooSlow> {
        self.raise(Waiting::More);
        let before = self.control.len();
        for &block in blocks {
            Message::Request(on_wire(block)).encode(&mut self.control);
        }
        self.queued.request += (self.control.len() - before) as u64;
        self.check_control()
    }

    /// Queues a cancel for each block.
    pub(super) fn cancel(&mut self, blocks: &[Block]) -> Result<(), TooSlow> {
        self.raise(Waiting::More);
        let before = self.control.len();
        for &block in blocks {
            Message::Cancel(on_wire(block)).encode(&mut self.control);
        }
        self.queued.request += (self.control.len() - before) as u64;
        self.check_control()
    }

    /// Queues blocks behind those already queued.
    pub(super) fn push(&mut self, frames: Frames) {
        self.queued.other += (frames.blocks.len() * PIECE_HEADER_LEN) as u64;
        self.frames.push_back(frames);
    }

    /// Control bytes that wait.
    pub(super) fn control_len(&self) -> usize {
        self.control.len()
    }

    /// Bytes beside payload that were ever queued.
    pub(super) const fn queued(&self) -> ControlBytes {
        self.queued
    }

    /// Takes the first batch of blocks off if all of it is written.
    pub(super) fn pop_done(&mut self) -> Option<Frames> {
        if self.frames.front()?.is_done() {
            self.frames.pop_front()
        } else {
            None
        }
    }

    /// How many batches of blocks wait.
    pub(super) fn frames(&self) -> usize {
        self.frames.len()
    }

    /// What waits.
    pub(super) fn waiting(&self) -> Waiting {
        if !self.frames.is_empty() {
            return Waiting::More;
        }
        if self.control.is_empty() {
            return Waiting::Nothing;
        }
        self.urgency
    }

    /// Something is about to be queued.
    fn raise(&mut self, urgency: Waiting) {
        let before = self.waiting();
        self.urgency = before.max(urgency);
    }

    /// What to write next, in this order; some slices may be empty.
    pub(super) fn slices(&self) -> [IoSlice<'_>; 3] {
        let (unfinished, rest) = match self.frames.front() {
            Some(front) => {
                let unfinished = front.unfinished();
                (unfinished, &front.bytes[front.written + unfinished.len()..])
            }
            None => (&[][..], &[][..]),
        };
        [
            IoSlice::new(unfinished),
            IoSlice::new(&self.control),
            IoSlice::new(rest),
        ]
    }

    /// The first `count` bytes of [`Outbox::slices`] are written.
    pub(super) fn advance(&mut self, count: usize) {
        let unfinished = self.frames.front().map_or(0, |f| f.unfinished().len());
        let first = count.min(unfinished);
        let control = (count - first).min(self.control.len());
        self.control.advance(control);
        if let Some(front) = self.frames.front_mut() {
            front.advance(count - control);
        }
    }

    fn check_control(&self) -> Result<(), TooSlow> {
        if self.control.len() > CONTROL_BYTES_MAX {
            return Err(TooSlow);
        }
        Ok(())
    }
}

/// The block as the wire names it.
pub(super) fn on_wire(block: Block) -> BlockRequest {
    BlockRequest {
        index: block.piece().get(),
        begin: block.begin(),
        length: block.len(),
    }
}

/// What precedes the payload of the block on the wire.
pub(super) fn piece_header(block: Block) -> [u8; PIECE_HEADER_LEN] {
    codec::piece_header(&on_wire(block))
}

fn frame_len(block: Block) -> usize {
    PIECE_HEADER_LEN + block.len() as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::layout::Layout;

    const LAYOUT_LEN: u64 = 1 << 20;

    fn blocks(lens: &[u32]) -> Vec<Block> {
        let layout = Layout::new(LAYOUT_LEN, 1 << 20).unwrap();
        lens.iter()
            .map(|&len| layout.block(0, 0, len).unwrap())
            .collect()
    }

    /// Frames whose bytes are all `mark`, but for the first of each frame, which is `mark + 1`.
    fn frames(lens: &[u32], mark: u8) -> Frames {
        let blocks = blocks(lens);
        let mut bytes = Vec::new();
        for &block in &blocks {
            bytes.push(mark + 1);
            bytes.resize(bytes.len() + frame_len(block) - 1, mark);
        }
        Frames::new(blocks, bytes)
    }

    fn write(outbox: &mut Outbox, count: usize) -> Vec<u8> {
        let mut waiting: Vec<u8> = outbox.slices().concat_bytes();
        waiting.truncate(count);
        outbox.advance(waiting.len());
        waiting
    }

    trait ConcatBytes {
        fn concat_bytes(&self) -> Vec<u8>;
    }

    impl ConcatBytes for [IoSlice<'_>; 3] {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter()
                .flat_map(|slice| slice.iter().copied())
                .collect()
        }
    }

    #[test]
    fn control_messages_overtake_blocks_at_a_frame_boundary() {
        let mut outbox = Outbox::default();
        outbox.push(frames(&[10, 10], 40));
        assert_eq!(write(&mut outbox, 5).len(), 5);
        outbox.send(&Message::Choke).unwrap();
        let rest = write(&mut outbox, usize::MAX);
        assert_eq!(rest[..18], [40; 18], "the rest of the frame that was begun");
        assert_eq!(rest[18..23], [0, 0, 0, 1, 0], "then the message");
        assert_eq!(rest[23], 41, "then the next frame");
        assert_eq!(rest.len(), 18 + 5 + 23);
    }

    #[test]
    fn what_nobody_waits_for_goes_with_what_is_waited_for() {
        let mut outbox = Outbox::default();
        outbox.send_later(&Message::Have(1)).unwrap();
        assert_eq!(outbox.waiting(), Waiting::Later);
        outbox.send(&Message::Have(2)).unwrap();
        assert_eq!(outbox.waiting(), Waiting::Haves);
        outbox.send_later(&Message::Have(3)).unwrap();
        assert_eq!(outbox.waiting(), Waiting::Haves);
        write(&mut outbox, usize::MAX);
        outbox.send_later(&Message::Have(4)).unwrap();
        assert_eq!(outbox.waiting(), Waiting::Later);
    }

    #[test]
    fn haves_can_wait_unless_something_else_waits_with_them() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.waiting(), Waiting::Nothing);
        outbox.send(&Message::Have(1)).unwrap();
        assert_eq!(outbox.waiting(), Waiting::Haves);
        outbox.send(&Message::Unchoke).unwrap();
        outbox.send(&Message::Have(2)).unwrap();
        assert_eq!(outbox.waiting(), Waiting::More);
        write(&mut outbox, usize::MAX);
        outbox.send(&Message::Have(3)).unwrap();
        assert_eq!(outbox.waiting(), Waiting::Haves);
        outbox.push(frames(&[1], 40));
        assert_eq!(outbox.waiting(), Waiting::More);
    }

    #[test]
    fn what_is_queued_beside_payload_is_counted_by_what_it_says() {
        let mut outbox = Outbox::default();
        outbox.send(&Message::Have(1)).unwrap();
        outbox.send(&Message::Unchoke).unwrap();
        outbox.request(&blocks(&[10, 10])).unwrap();
        outbox.cancel(&blocks(&[10])).unwrap();
        let control = outbox.slices().concat_bytes().len() as u64;
        outbox.push(frames(&[10, 20], 40));
        let queued = outbox.queued();
        assert_eq!((queued.have, queued.request), (9, 3 * 17));
        assert_eq!(queued.other, 5 + 2 * PIECE_HEADER_LEN as u64);
        let headers = 2 * PIECE_HEADER_LEN as u64;
        assert_eq!(
            queued.have + queued.request + queued.other,
            control + headers
        );
    }

    #[test]
    fn a_peer_that_does_not_read_is_too_slow() {
        let mut outbox = Outbox::default();
        let mut sent = 0;
        while outbox.send(&Message::Have(1)).is_ok() {
            sent += 9;
            assert!(sent <= CONTROL_BYTES_MAX);
        }
    }

    proptest! {
        #[test]
        fn whatever_the_write_sizes_every_byte_goes_out_once_and_no_frame_is_cut(
            writes in prop::collection::vec((1usize..70, any::<bool>()), 1..200)
        ) {
            let mut outbox = Outbox::default();
            outbox.push(frames(&[7, 30, 1], 40));
            outbox.push(frames(&[20], 40));
            let (mut out, mut keepalives, mut done) = (Vec::new(), 0, 0);
            for (count, send) in writes {
                if send {
                    outbox.send(&Message::KeepAlive).unwrap();
                    keepalives += 1;
                }
                out.extend(write(&mut outbox, count));
                while let Some(frames) = outbox.pop_done() {
                    done += frames.blocks.len();
                }
            }
            while outbox.waiting() != Waiting::Nothing {
                out.extend(write(&mut outbox, usize::MAX));
                while let Some(frames) = outbox.pop_done() {
                    done += frames.blocks.len();
                }
            }
            prop_assert_eq!(done, 4);

            let (mut rest, mut seen) = (&out[..], 0);
            let mut lens = [7 + 13, 30 + 13, 1 + 13, 20 + 13].into_iter();
            while let Some(&first) = rest.first() {
                let len = if first == 41 { lens.next().expect("four frames") } else { 4 };
                let (item, tail) = rest.split_at(len);
                let filling = if first == 41 { 40 } else { 0 };
                prop_assert!(item[1..].iter().all(|&byte| byte == filling));
                seen += usize::from(first == 0);
                rest = tail;
            }
            prop_assert_eq!((lens.next(), seen), (None, keepalives));
        }
    }
}
