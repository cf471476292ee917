//! What the core must know of the content: its shape, not its bytes.

use std::ops::Range;

use crate::bitfield::Bitfield;
use crate::ids::InfoHash;
use crate::layout::{Layout, PieceIndex};

/// What the core must know of the content.
#[derive(Clone, Debug)]
pub struct Content {
    /// The name of the swarm.
    pub info_hash: InfoHash,
    /// Pieces and blocks.
    pub layout: Layout,
    /// Byte ranges that are zeros (BEP 47), ascending: never fetched.
    pub padding: Vec<Range<u64>>,
    /// Tracker URLs in tiers (BEP 12). [`super::event::TrackerId`] counts through all tiers in
    /// this order.
    pub trackers: Vec<Vec<String>>,
    /// Pieces that we want; the others are neither fetched nor waited for.
    pub wanted: Bitfield,
}

impl Content {
    /// Bytes of the piece that are not padding.
    pub fn payload_len(&self, piece: PieceIndex) -> u32 {
        let start = self.layout.piece_offset(piece);
        let len = self.layout.piece_len(piece);
        let end = start + u64::from(len);
        let first = self.padding.partition_point(|range| range.end <= start);
        let zeros: u64 = self.padding[first..]
            .iter()
            .take_while(|range| range.start < end)
            .map(|range| range.end.min(end) - range.start.max(start))
            .sum();
        len - u32::try_from(zeros).unwrap_or(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_no_payload() {
        let layout = Layout::new(40, 10).expect("valid");
        let content = Content {
            info_hash: InfoHash::new([0; 20]),
            layout,
            padding: vec![5..10, 18..32],
            trackers: Vec::new(),
            wanted: Bitfield::full(4),
        };
        let payload: Vec<u32> = layout.pieces().map(|p| content.payload_len(p)).collect();
        assert_eq!(payload, [5, 8, 0, 8]);
    }
}
