//! The edge of a simulated machine: which blocks of its open pieces are here. It keeps to what the
//! core may expect of an edge: a payload is stored only if this connection was asked for it and
//! nobody else has filled it.

use crate::layout::{Block, PieceIndex};
use crate::torrent::event::Placed;

/// The buffer of one open piece.
#[derive(Debug)]
struct Buffer {
    /// The how many-th buffer of this machine.
    number: u32,
    /// One bit per block that is here.
    filled: Vec<u64>,
    /// It holds a corrupt block.
    is_spoiled: bool,
}

/// What the buffer of a piece came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Every block in it was sound.
    Sound,
    /// One was not.
    Spoiled,
}

/// All open pieces of a machine.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    pieces: Vec<PieceIndex>,
    /// In the order of `pieces`.
    held: Vec<Buffer>,
    opened: u32,
}

impl Buffers {
    /// The number of the piece's buffer, which is reserved if there is none; `blocks` is how many
    /// the piece has.
    pub(super) fn open(&mut self, piece: PieceIndex, blocks: u32) -> u32 {
        if let Some(place) = self.place_of(piece) {
            return self.held[place].number;
        }
        self.opened += 1;
        self.pieces.push(piece);
        self.held.push(Buffer {
            number: self.opened,
            filled: vec![0; blocks.div_ceil(64) as usize],
            is_spoiled: false,
        });
        self.opened
    }

    /// A payload came that was asked for when the piece had this buffer.
    pub(super) fn fill(&mut self, block: Block, number: u32, content: Content) -> Placed {
        let (Some(place), Some(nth)) = (self.place_of(block.piece()), block.number()) else {
            return Placed::Discarded;
        };
        let buffer = &mut self.held[place];
        let word = &mut buffer.filled[nth as usize / 64];
        let bit = 1 << (nth % 64);
        if buffer.number != number || *word & bit != 0 {
            return Placed::Discarded;
        }
        *word |= bit;
        buffer.is_spoiled |= content == Content::Spoiled;
        Placed::Stored
    }

    /// The buffer is free again; says what it held.
    pub(super) fn close(&mut self, piece: PieceIndex) -> Content {
        let Some(place) = self.place_of(piece) else {
            return Content::Sound;
        };
        self.pieces.swap_remove(place);
        if self.held.swap_remove(place).is_spoiled {
            Content::Spoiled
        } else {
            Content::Sound
        }
    }

    fn place_of(&self, piece: PieceIndex) -> Option<usize> {
        self.pieces.iter().position(|&other| other == piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{BLOCK_LEN, Layout};

    #[test]
    fn a_block_is_stored_once_and_only_in_the_buffer_it_was_asked_for() {
        let layout = Layout::new(200 * u64::from(BLOCK_LEN), 100 * BLOCK_LEN).expect("valid");
        let piece = layout.piece(1).expect("exists");
        let block = layout.nth_block(piece, 70).expect("exists");
        let mut buffers = Buffers::default();
        let number = buffers.open(piece, 100);
        assert_eq!(buffers.open(piece, 100), number);
        assert_eq!(buffers.fill(block, number, Content::Sound), Placed::Stored);
        assert_eq!(
            buffers.fill(block, number, Content::Sound),
            Placed::Discarded
        );
        assert_eq!(buffers.close(piece), Content::Sound);
        assert_eq!(
            buffers.fill(block, number, Content::Sound),
            Placed::Discarded
        );
        let again = buffers.open(piece, 100);
        assert_eq!(
            buffers.fill(block, number, Content::Sound),
            Placed::Discarded
        );
        assert_eq!(buffers.fill(block, again, Content::Spoiled), Placed::Stored);
        assert_eq!(buffers.close(piece), Content::Spoiled);
    }
}
