//! Where each byte of the content lives: in which file, in the side file, or nowhere.
//!
//! The side file holds what pieces of selected files need of unselected ones, so that those pieces
//! can be verified and shared while no unselected file ever appears.

use std::ops::Range;

use crate::bitfield::Bitfield;
use crate::layout::{Layout, PieceIndex};
use crate::metainfo::{FileEntry, FileKind};

/// Where a run of content lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this file of the list.
    File(usize),
    /// In the side file.
    Side,
    /// It is zeros: padding.
    Zeros,
    /// It is kept nowhere: the middle of an unselected file.
    Nowhere,
}

/// A run of content in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Where it lives.
    pub(super) place: Place,
    /// Where it starts there, in bytes.
    pub(super) offset: u64,
    /// Its length, at least 1.
    pub(super) len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u64,
    len: u64,
    place: Place,
    /// Offset of `start` in the place.
    offset: u64,
}

/// The places of the whole content, ascending and without gaps.
#[derive(Debug)]
pub(super) struct Spans {
    spans: Vec<Span>,
    side_len: u64,
}

impl Spans {
    /// Runs of these lengths, each from the start of its place, one after the other.
    pub(super) fn of(runs: impl Iterator<Item = (Place, u64)>) -> Self {
        let mut spans = Self::empty();
        for (place, len) in runs {
            spans.push(len, place, 0);
        }
        spans
    }

    /// The files of a manifest, of which those in `selected` are wanted, in pieces of `wanted`.
    pub(super) fn of_selection(
        files: &[FileEntry],
        selected: impl Fn(usize) -> bool,
        layout: &Layout,
        wanted: &Bitfield,
    ) -> Self {
        let mut spans = Self::empty();
        for (number, file) in files.iter().enumerate() {
            match file.kind {
                FileKind::Padding => spans.push(file.len, Place::Zeros, 0),
                FileKind::Regular if selected(number) => {
                    spans.push(file.len, Place::File(number), 0);
                }
                FileKind::Regular | FileKind::Symlink => {
                    spans.push_unselected(file.offset..file.offset + file.len, layout, wanted);
                }
            }
        }
        spans
    }

    /// The runs that make up `range` of the content, in order.
    pub(super) fn segments(&self, range: Range<u64>) -> impl Iterator<Item = Segment> + '_ {
        let first = self
            .spans
            .partition_point(|span| span.start + span.len <= range.start);
        self.spans[first..]
            .iter()
            .take_while(move |span| span.start < range.end)
            .map(move |span| {
                let start = range.start.max(span.start);
                let end = range.end.min(span.start + span.len);
                Segment {
                    place: span.place,
                    offset: span.offset + (start - span.start),
                    len: usize::try_from(end - start).expect("a range in memory"),
                }
            })
    }

    /// Size of the side file in bytes.
    pub(super) fn side_len(&self) -> u64 {
        self.side_len
    }

    fn empty() -> Self {
        Self {
            spans: Vec::new(),
            side_len: 0,
        }
    }

    fn push(&mut self, len: u64, place: Place, offset: u64) {
        if len > 0 {
            let start = self.spans.last().map_or(0, |span| span.start + span.len);
            self.spans.push(Span {
                start,
                len,
                place,
                offset,
            });
        }
    }

    fn push_unselected(&mut self, range: Range<u64>, layout: &Layout, wanted: &Bitfield) {
        let mut pieces = layout.pieces_of(range.clone());
        // Only its first and last piece can reach into a selected file.
        let ends = [pieces.next(), pieces.next_back()];
        let mut at = range.start;
        for piece in ends.into_iter().flatten().filter(|&p| wanted.has(p)) {
            let bytes = piece_range(layout, piece);
            let (start, end) = (bytes.start.max(range.start), bytes.end.min(range.end));
            self.push(start - at, Place::Nowhere, 0);
            self.push(end - start, Place::Side, self.side_len);
            self.side_len += end - start;
            at = end;
        }
        self.push(range.end - at, Place::Nowhere, 0);
    }
}

/// The bytes of a piece, as offsets in the content.
pub(super) fn piece_range(layout: &Layout, piece: PieceIndex) -> Range<u64> {
    let start = layout.piece_offset(piece);
    start..start + u64::from(layout.piece_len(piece))
}

#[cfg(test)]
#[path = "spans_tests.rs"]
mod tests;
