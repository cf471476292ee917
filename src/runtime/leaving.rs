//! Blocks that a socket took and that have not left: the core hears of them when they have.

use std::collections::VecDeque;
use std::time::Duration;

use super::backlog::Backlog;
use super::outbox::Frames;
use crate::layout::Block;

/// Blocks to wait for before the next look, so that looks are few.
const TOGETHER: usize = 4;
/// The shortest time between two looks: finer would cost more than it tells.
const LOOK_MIN: Duration = Duration::from_millis(2);
/// The longest: a slow socket must not be taken for a stuck one.
const LOOK_MAX: Duration = Duration::from_millis(20);

/// What one connection's socket took, in order.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    /// Bytes that the socket took since the beginning.
    written: u64,
    /// Blocks that have not left, and how many bytes were written when each ended.
    blocks: VecDeque<(u64, Block)>,
}

impl Leaving {
    /// The socket took so many bytes.
    pub(super) const fn wrote(&mut self, count: usize) {
        self.written += count as u64;
    }

    /// It just took the last byte of these blocks.
    pub(super) fn push(&mut self, blocks: &[Block]) {
        let mut end = self.written.saturating_sub(Frames::len_of(blocks) as u64);
        for &block in blocks {
            end += Frames::len_of(&[block]) as u64;
            self.blocks.push_back((end, block));
        }
    }

    /// Whether everything has left.
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Takes off what has left while so much waits.
    pub(super) fn take(&mut self, waits: Option<Backlog>) -> Vec<Block> {
        let count = match waits {
            None => self.blocks.len(),
            Some(waits) => {
                let left = self.written.saturating_sub(waits.bytes);
                self.blocks.partition_point(|&(end, _)| end <= left)
            }
        };
        self.blocks.drain(..count).map(|(_, block)| block).collect()
    }

    /// How long until a few more will have left.
    pub(super) fn look_again(&self, waits: Backlog) -> Duration {
        let left = self.written.saturating_sub(waits.bytes);
        let next = self.blocks.get(TOGETHER - 1).or(self.blocks.back());
        let bytes = next.map_or(0, |&(end, _)| end.saturating_sub(left));
        let micros = u128::from(bytes) * 1_000_000 / u128::from(waits.rate.max(1));
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)).clamp(LOOK_MIN, LOOK_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;

    fn blocks() -> Vec<Block> {
        let layout = Layout::new(8 * 16_384, 8 * 16_384).unwrap();
        layout.pieces().flat_map(|p| layout.blocks(p)).collect()
    }

    fn waits(bytes: usize) -> Backlog {
        let bytes = bytes as u64;
        let rate = 1_000_000;
        Backlog { bytes, rate }
    }

    #[test]
    fn a_block_has_left_when_no_more_waits_than_came_after_it() {
        let (mut leaving, blocks) = (Leaving::default(), blocks());
        leaving.wrote(68 + Frames::len_of(&blocks));
        leaving.push(&blocks);
        assert!(
            leaving
                .take(Some(waits(Frames::len_of(&blocks))))
                .is_empty()
        );
        let rest = Frames::len_of(&blocks[3..]);
        assert!(leaving.take(Some(waits(rest + 20_000))).len() == 1);
        assert_eq!(leaving.take(Some(waits(rest))), blocks[1..3]);
        // Later messages wait behind them.
        leaving.wrote(1_000);
        assert_eq!(leaving.take(Some(waits(1_000 + rest))), []);
        assert_eq!(leaving.take(None), blocks[3..]);
        assert!(leaving.is_empty());
    }

    #[test]
    fn the_next_look_is_when_a_few_have_left() {
        let (mut leaving, blocks) = (Leaving::default(), blocks());
        leaving.wrote(Frames::len_of(&blocks));
        leaving.push(&blocks);
        let all = Frames::len_of(&blocks);
        let looks = |rate| {
            let bytes = all as u64;
            leaving.look_again(Backlog { bytes, rate })
        };
        assert_eq!(looks(6_500_000).as_millis(), 10);
        assert_eq!(looks(1_000), LOOK_MAX);
        assert_eq!(looks(1 << 40), LOOK_MIN);
    }
}
