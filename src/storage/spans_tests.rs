//! Every byte has exactly one place, whatever is selected.

use proptest::prelude::*;

use super::*;
use crate::metainfo::build::{Builder, NewFile};

/// Lengths of files and whether each is selected.
fn selections() -> impl Strategy<Value = Vec<(u64, bool)>> {
    prop::collection::vec((0u64..100_000, any::<bool>()), 1..12)
        .prop_filter("there is data", |files| {
            files.iter().any(|(len, _)| *len > 0)
        })
}

fn entries(files: &[(u64, bool)], pad: bool) -> (Vec<FileEntry>, Layout) {
    let files = files.iter().enumerate().map(|(number, (len, _))| NewFile {
        path: vec![format!("{number:02}")],
        len: *len,
        executable: false,
    });
    let mut builder = Builder::new("t", files.collect());
    builder.piece_len = 16 << 10;
    builder.pad = pad;
    let entries = builder.arrange().expect("valid");
    let total = entries.iter().map(|entry| entry.len).sum();
    (
        entries,
        Layout::new(total, builder.piece_len).expect("has data"),
    )
}

proptest! {
    #[test]
    fn segments_cover_any_range_in_order_and_each_file_is_where_the_manifest_says(
        files in selections(), pad: bool, start in 0u64..400_000, len in 0u64..100_000
    ) {
        let (entries, layout) = entries(&files, pad);
        let mut wishes = files.iter().map(|(_, wish)| *wish);
        let selected: Vec<bool> = entries
            .iter()
            .map(|entry| entry.kind == FileKind::Regular && wishes.next() == Some(true))
            .collect();
        let mut wanted = Bitfield::empty(layout.piece_count());
        for (entry, _) in entries.iter().zip(&selected).filter(|(_, is)| **is) {
            for piece in layout.pieces_of(entry.offset..entry.offset + entry.len) {
                wanted.insert(piece);
            }
        }
        let spans = Spans::of_selection(&entries, |number| selected[number], &layout, &wanted);
        let end = (start + len).min(layout.total_len());
        let mut at = start;
        for segment in spans.segments(start..end) {
            if let Place::File(number) = segment.place {
                prop_assert!(selected[number]);
                prop_assert_eq!(entries[number].offset + segment.offset, at);
            }
            if segment.place == Place::Side {
                prop_assert!(segment.offset + segment.len as u64 <= spans.side_len());
            }
            prop_assert!(segment.len > 0);
            at += segment.len as u64;
        }
        prop_assert_eq!(at, end.max(start));
        for piece in layout.pieces().filter(|&piece| wanted.has(piece)) {
            let mut places = spans.segments(piece_range(&layout, piece));
            prop_assert!(places.all(|segment| segment.place != Place::Nowhere), "all of it is kept");
        }
        prop_assert!(spans.side_len() <= 2 * u64::from(layout.nominal_piece_len()) * files.len() as u64);
    }
}

#[test]
fn the_side_file_holds_each_byte_once() {
    let files = [
        (20_000, true),
        (50_000, false),
        (10, true),
        (5, false),
        (16_000, true),
    ];
    let (entries, layout) = entries(&files, false);
    let wanted = Bitfield::full(layout.piece_count());
    let spans = Spans::of_selection(&entries, |number| files[number].1, &layout, &wanted);
    let all = spans.segments(0..layout.total_len());
    let on_side: Vec<_> = all.filter(|segment| segment.place == Place::Side).collect();
    let mut end = 0;
    for segment in &on_side {
        assert_eq!(segment.offset, end);
        end += segment.len as u64;
    }
    assert_eq!(end, spans.side_len());
}
