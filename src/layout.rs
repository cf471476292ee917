//! How content divides into pieces and blocks: the only place that divides lengths or multiplies
//! indices.
//!
//! [`PieceIndex`] and [`Block`] can only be made by a [`Layout`]: holding one is the proof that it
//! is in range of the content it was made for.

use std::ops::Range;

/// The unit of request, 16 KiB (BEP 3, "peer protocol"). The last block of a piece may be shorter.
pub const BLOCK_LEN: u32 = 16 * 1024;

/// The longest block a peer may ask for. Most clients refuse more than 128 KiB.
pub const REQUEST_LEN_MAX: u32 = 128 * 1024;

/// The number of a piece that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(u32);

impl PieceIndex {
    /// The number as it goes over the wire.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number as an index into per-piece tables.
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// A range of bytes inside one piece that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    piece: PieceIndex,
    begin: u32,
    len: u32,
}

impl Block {
    /// The piece it lies in.
    pub const fn piece(self) -> PieceIndex {
        self.piece
    }

    /// Where it starts, in bytes from the start of the piece.
    pub const fn begin(self) -> u32 {
        self.begin
    }

    /// Its length in bytes, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a block is never empty")]
    pub const fn len(self) -> u32 {
        self.len
    }

    /// Its bytes within the piece, for slicing a piece buffer.
    pub const fn range(self) -> Range<usize> {
        self.begin as usize..(self.begin + self.len) as usize
    }

    /// Which of its piece's 16 KiB blocks this is, or `None` where it does not start on one.
    pub const fn number(self) -> Option<u32> {
        if self.begin.is_multiple_of(BLOCK_LEN) {
            Some(self.begin / BLOCK_LEN)
        } else {
            None
        }
    }
}

/// The size of some content and of its pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    total_len: u64,
    piece_len: u32,
    piece_count: u32,
}

impl Layout {
    /// Content of `total_len` bytes in pieces of `piece_len` bytes, the last one possibly shorter.
    ///
    /// `None` if either is zero or there would be more than `u32::MAX` pieces.
    pub fn new(total_len: u64, piece_len: u32) -> Option<Self> {
        if total_len == 0 || piece_len == 0 {
            return None;
        }
        let piece_count = u32::try_from(total_len.div_ceil(u64::from(piece_len))).ok()?;
        Some(Self {
            total_len,
            piece_len,
            piece_count,
        })
    }

    /// Length of the whole content in bytes.
    pub const fn total_len(&self) -> u64 {
        self.total_len
    }

    /// Length of every piece but perhaps the last, in bytes.
    pub const fn nominal_piece_len(&self) -> u32 {
        self.piece_len
    }

    /// How many pieces there are, at least 1.
    pub const fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// The piece with this number, if it exists.
    pub const fn piece(&self, index: u32) -> Option<PieceIndex> {
        if index < self.piece_count {
            Some(PieceIndex(index))
        } else {
            None
        }
    }

    /// All pieces in order.
    pub fn pieces(&self) -> impl DoubleEndedIterator<Item = PieceIndex> + use<> {
        (0..self.piece_count).map(PieceIndex)
    }

    /// Where a piece starts in the content, in bytes.
    pub fn piece_offset(&self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * u64::from(self.piece_len)
    }

    /// The length of this piece in bytes, at least 1.
    pub fn piece_len(&self, piece: PieceIndex) -> u32 {
        let left = self.total_len - self.piece_offset(piece);
        u32::try_from(left).map_or(self.piece_len, |left| left.min(self.piece_len))
    }

    /// The pieces that hold any byte of `range` (offsets in the content, clipped to it).
    pub fn pieces_of(
        &self,
        range: Range<u64>,
    ) -> impl DoubleEndedIterator<Item = PieceIndex> + use<> {
        let piece_len = u64::from(self.piece_len);
        let end = range.end.min(self.total_len);
        let (first, last) = if range.start < end {
            (range.start / piece_len, end.div_ceil(piece_len))
        } else {
            (0, 0)
        };
        let number = |n| u32::try_from(n).unwrap_or(self.piece_count);
        (number(first)..number(last)).map(PieceIndex)
    }

    /// How many 16 KiB blocks the piece has, the last one possibly shorter.
    pub fn block_count(&self, piece: PieceIndex) -> u32 {
        self.piece_len(piece).div_ceil(BLOCK_LEN)
    }

    /// The `number`th 16 KiB block of the piece, if it exists.
    pub fn nth_block(&self, piece: PieceIndex, number: u32) -> Option<Block> {
        let begin = number.checked_mul(BLOCK_LEN)?;
        let left = self.piece_len(piece).checked_sub(begin)?;
        (left > 0).then(|| Block {
            piece,
            begin,
            len: left.min(BLOCK_LEN),
        })
    }

    /// All 16 KiB blocks of the piece in order.
    pub fn blocks(&self, piece: PieceIndex) -> impl Iterator<Item = Block> + use<> {
        let piece_len = self.piece_len(piece);
        (0..self.block_count(piece)).map(move |number| {
            let begin = number * BLOCK_LEN;
            Block {
                piece,
                begin,
                len: BLOCK_LEN.min(piece_len - begin),
            }
        })
    }

    /// The range that a peer names, if it lies inside one piece, is not empty and is not longer
    /// than [`REQUEST_LEN_MAX`].
    pub fn block(&self, index: u32, begin: u32, len: u32) -> Option<Block> {
        let piece = self.piece(index)?;
        let end = begin.checked_add(len)?;
        (len > 0 && len <= REQUEST_LEN_MAX && end <= self.piece_len(piece)).then_some(Block {
            piece,
            begin,
            len,
        })
    }

    /// Where a block starts in the content, in bytes.
    pub fn block_offset(&self, block: Block) -> u64 {
        self.piece_offset(block.piece) + u64::from(block.begin)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layouts() -> impl Strategy<Value = Layout> {
        (1u64..40_000_000, 1u32..3_000_000)
            .prop_filter_map("no layout", |(total, piece)| Layout::new(total, piece))
            .prop_filter("too many pieces to walk", |layout| {
                layout.piece_count() < 5_000
            })
    }

    proptest! {
        #[test]
        fn pieces_cover_the_content_without_gap_or_overlap(layout in layouts()) {
            let mut offset = 0;
            for piece in layout.pieces() {
                prop_assert_eq!(layout.piece_offset(piece), offset);
                prop_assert!(layout.piece_len(piece) >= 1);
                offset += u64::from(layout.piece_len(piece));
            }
            prop_assert_eq!(offset, layout.total_len());
        }

        #[test]
        fn blocks_cover_their_piece(layout in layouts(), index in 0u32..5_000) {
            let Some(piece) = layout.piece(index % layout.piece_count()) else { unreachable!() };
            let mut begin = 0;
            for (number, block) in (0u32..).zip(layout.blocks(piece)) {
                prop_assert_eq!(block.begin(), begin);
                prop_assert_eq!(block.number(), Some(number));
                prop_assert_eq!(layout.nth_block(piece, number), Some(block));
                prop_assert_eq!(layout.block(piece.get(), begin, block.len()), Some(block));
                begin += block.len();
            }
            prop_assert_eq!(begin, layout.piece_len(piece));
            prop_assert_eq!(layout.nth_block(piece, layout.block_count(piece)), None);
        }

        #[test]
        fn no_block_reaches_past_its_piece(
            layout in layouts(), index: u32, begin: u32, len: u32
        ) {
            if let Some(block) = layout.block(index, begin, len) {
                prop_assert!(block.range().end <= layout.piece_len(block.piece()) as usize);
                prop_assert!(layout.block_offset(block) + u64::from(len) <= layout.total_len());
            }
        }

        #[test]
        fn a_byte_range_maps_to_exactly_the_pieces_it_touches(
            layout in layouts(), start in 0u64..40_000_000, len in 0u64..10_000_000
        ) {
            let range = start..start + len;
            let expected: Vec<PieceIndex> = layout
                .pieces()
                .filter(|&piece| {
                    let offset = layout.piece_offset(piece);
                    let end = offset + u64::from(layout.piece_len(piece));
                    range.start < end && offset < range.end && len > 0
                })
                .collect();
            prop_assert_eq!(layout.pieces_of(range).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_request_past_the_end_or_of_zero_bytes_is_no_block() {
        let layout = Layout::new(100_000, 65_536).expect("valid");
        assert_eq!(layout.block(0, 0, 0), None);
        assert_eq!(layout.block(0, 65_535, 2), None);
        assert_eq!(layout.block(1, 0, 34_464).map(Block::len), Some(34_464));
        assert_eq!(layout.block(1, 0, 34_465), None);
        assert_eq!(layout.block(2, 0, 1), None);
        assert_eq!(layout.block(0, u32::MAX, 2), None);
    }

    #[test]
    fn empty_content_has_no_layout() {
        assert_eq!(Layout::new(0, 16_384), None);
        assert_eq!(Layout::new(1, 0), None);
        assert_eq!(Layout::new(u64::MAX, 1), None);
    }
}
