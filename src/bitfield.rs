//! A set of pieces: bits of known length, most significant bit first as on the wire (BEP 3).
//!
//! Bits past the end are always zero, so counting and comparing whole words is sound.

#![expect(
    clippy::cast_possible_truncation,
    reason = "bits are counted in u32, and the words hold no more"
)]

use std::fmt;

use crate::layout::PieceIndex;

const WORD_BITS: u32 = u64::BITS;

/// Bytes from a peer are not a bitfield of the expected length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BitfieldError {
    /// The number of bytes differs from `ceil(bits / 8)`.
    #[error("bitfield has {got} bytes, want: {want}")]
    Length {
        /// Bytes received.
        got: usize,
        /// Bytes that this many pieces need.
        want: usize,
    },
    /// A bit past the last piece is set.
    #[error("bitfield has a bit set past the last piece")]
    SpareBits,
}

/// Which pieces somebody has, or wants.
#[derive(Clone, PartialEq, Eq)]
pub struct Bitfield {
    words: Vec<u64>,
    len: u32,
    ones: u32,
}

impl Bitfield {
    /// `len` bits, none set.
    pub fn empty(len: u32) -> Self {
        Self {
            words: vec![0; len.div_ceil(WORD_BITS) as usize],
            len,
            ones: 0,
        }
    }

    /// `len` bits, all set.
    pub fn full(len: u32) -> Self {
        let mut words = vec![u64::MAX; len.div_ceil(WORD_BITS) as usize];
        if let (Some(last), spare @ 1..) = (words.last_mut(), len % WORD_BITS) {
            *last = u64::MAX << (WORD_BITS - spare);
        }
        Self {
            words,
            len,
            ones: len,
        }
    }

    /// Reads the payload of a `bitfield` message.
    ///
    /// # Errors
    /// If the length is not exactly `ceil(len / 8)` or a spare bit is set (BEP 3).
    pub fn from_bytes(bytes: &[u8], len: u32) -> Result<Self, BitfieldError> {
        let want = len.div_ceil(8) as usize;
        if bytes.len() != want {
            return Err(BitfieldError::Length {
                got: bytes.len(),
                want,
            });
        }
        let mut field = Self::empty(len);
        for (i, &byte) in bytes.iter().enumerate() {
            field.words[i / 8] |= u64::from(byte) << (56 - 8 * (i % 8));
        }
        field.ones = field.words.iter().map(|word| word.count_ones()).sum();
        if let (Some(last), spare @ 1..) = (field.words.last(), len % WORD_BITS)
            && last << spare != 0
        {
            return Err(BitfieldError::SpareBits);
        }
        Ok(field)
    }

    /// The payload of a `bitfield` message.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self
            .words
            .iter()
            .flat_map(|word| word.to_be_bytes())
            .collect();
        bytes.truncate(self.len.div_ceil(8) as usize);
        bytes
    }

    /// How many bits there are.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// How many bits are set.
    pub const fn count(&self) -> u32 {
        self.ones
    }

    /// Whether no bit is set.
    pub const fn is_empty(&self) -> bool {
        self.ones == 0
    }

    /// Whether every bit is set.
    pub const fn is_full(&self) -> bool {
        self.ones == self.len
    }

    /// Whether the piece is in the set.
    ///
    /// # Panics
    /// If the piece belongs to content with more pieces than this has bits.
    pub fn has(&self, piece: PieceIndex) -> bool {
        assert!(piece.get() < self.len, "the piece belongs to other content");
        self.words[(piece.get() / WORD_BITS) as usize] & mask(piece) != 0
    }

    /// Adds the piece; says whether it was new.
    ///
    /// # Panics
    /// As [`Bitfield::has`].
    pub fn insert(&mut self, piece: PieceIndex) -> Change {
        if self.has(piece) {
            return Change::None;
        }
        self.words[(piece.get() / WORD_BITS) as usize] |= mask(piece);
        self.ones += 1;
        Change::Made
    }

    /// Takes the piece out; says whether it was in.
    ///
    /// # Panics
    /// As [`Bitfield::has`].
    pub fn remove(&mut self, piece: PieceIndex) -> Change {
        if !self.has(piece) {
            return Change::None;
        }
        self.words[(piece.get() / WORD_BITS) as usize] &= !mask(piece);
        self.ones -= 1;
        Change::Made
    }

    /// The numbers of the set bits, ascending.
    pub fn iter_ones(&self) -> impl Iterator<Item = u32> + '_ {
        self.words
            .iter()
            .enumerate()
            .flat_map(|(i, &word)| ones_of(i, word))
    }

    /// The numbers of the bits set here and not in `other`, ascending.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn iter_difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u32> + 'a {
        assert_eq!(self.len, other.len, "bitfields of different content");
        let words = self.words.iter().zip(&other.words);
        words
            .enumerate()
            .flat_map(|(i, (ours, theirs))| ones_of(i, ours & !theirs))
    }

    /// The numbers of the bits set in both, ascending.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn iter_both<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u32> + 'a {
        assert_eq!(self.len, other.len, "bitfields of different content");
        let words = self.words.iter().zip(&other.words);
        words
            .enumerate()
            .flat_map(|(i, (ours, theirs))| ones_of(i, ours & theirs))
    }

    /// How many bits are set here and not in `other`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn count_difference(&self, other: &Self) -> u32 {
        assert_eq!(self.len, other.len, "bitfields of different content");
        self.words
            .iter()
            .zip(&other.words)
            .map(|(a, b)| (a & !b).count_ones())
            .sum()
    }
}

/// Whether an operation on a set changed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The set is different afterwards.
    Made,
    /// The set was already so.
    None,
}

impl fmt::Debug for Bitfield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bitfield({} of {})", self.ones, self.len)
    }
}

fn mask(piece: PieceIndex) -> u64 {
    1 << (WORD_BITS - 1 - piece.get() % WORD_BITS)
}

fn ones_of(word_index: usize, mut word: u64) -> impl Iterator<Item = u32> {
    let base = word_index as u32 * WORD_BITS;
    std::iter::from_fn(move || {
        let bit = word.leading_zeros();
        (bit < WORD_BITS).then(|| {
            word &= !(1 << (WORD_BITS - 1 - bit));
            base + bit
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::layout::Layout;

    fn model() -> impl Strategy<Value = Vec<bool>> {
        prop::collection::vec(any::<bool>(), 1..300)
    }

    fn field(model: &[bool]) -> Bitfield {
        let layout = Layout::new(model.len() as u64, 1).expect("not empty");
        let mut field = Bitfield::empty(model.len() as u32);
        for piece in layout.pieces().filter(|piece| model[piece.as_usize()]) {
            assert_eq!(field.insert(piece), Change::Made);
            assert_eq!(field.insert(piece), Change::None);
        }
        field
    }

    proptest! {
        #[test]
        fn bytes_round_trip(model in model()) {
            let ours = field(&model);
            prop_assert_eq!(Bitfield::from_bytes(&ours.to_bytes(), ours.len()), Ok(ours));
        }

        #[test]
        fn it_agrees_with_a_plain_vector(a in model(), b in model()) {
            let len = a.len().min(b.len());
            let (a, b) = (&a[..len], &b[..len]);
            let (ours, theirs) = (field(a), field(b));
            let ones: Vec<u32> = (0..len as u32).filter(|&i| a[i as usize]).collect();
            let difference: Vec<u32> =
                (0..len as u32).filter(|&i| a[i as usize] && !b[i as usize]).collect();
            prop_assert_eq!(ours.count() as usize, ones.len());
            prop_assert_eq!(ours.iter_ones().collect::<Vec<_>>(), ones);
            prop_assert_eq!(ours.count_difference(&theirs) as usize, difference.len());
            prop_assert_eq!(ours.iter_difference(&theirs).collect::<Vec<_>>(), difference);
        }

        #[test]
        fn full_has_every_bit_and_no_other(len in 1u32..300) {
            let full = Bitfield::full(len);
            prop_assert!(full.is_full());
            prop_assert_eq!(full.iter_ones().count() as u32, len);
            prop_assert_eq!(Bitfield::from_bytes(&full.to_bytes(), len), Ok(full));
        }
    }

    #[test]
    fn the_first_piece_is_the_most_significant_bit() {
        let layout = Layout::new(10, 1).expect("valid");
        let mut field = Bitfield::empty(10);
        field.insert(layout.piece(0).expect("exists"));
        field.insert(layout.piece(9).expect("exists"));
        assert_eq!(field.to_bytes(), [0b1000_0000, 0b0100_0000]);
        assert_eq!(field.remove(layout.piece(0).expect("exists")), Change::Made);
        assert_eq!(field.count(), 1);
    }

    #[test]
    fn a_wrong_length_or_a_spare_bit_is_refused() {
        assert_eq!(
            Bitfield::from_bytes(&[0, 0], 8),
            Err(BitfieldError::Length { got: 2, want: 1 })
        );
        assert_eq!(
            Bitfield::from_bytes(&[0, 0b0010_0000], 10),
            Err(BitfieldError::SpareBits)
        );
    }
}
