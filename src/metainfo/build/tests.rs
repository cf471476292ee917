//! What is made is the same on every machine, and reads back the same.

use proptest::prelude::*;

use super::*;
use crate::bencode::{Document, Limits};
use crate::metainfo::FileMode;

#[test]
fn piece_lengths_give_one_to_two_thousand_pieces() {
    let mib = 1u64 << 20;
    for (size, want) in [
        (1, 64 << 10),
        (100 * mib, 64 << 10),
        (128 * mib, 64 << 10),
        (128 * mib + 1, 128 << 10),
        (1024 * mib, 512 << 10),
        (16 * 1024 * mib, 8 << 20),
        (1 << 50, 16 << 20),
        (u64::MAX, 16 << 20),
    ] {
        assert_eq!(piece_len_for(size), want, "{size}");
    }
}

fn new_file(path: &[&str], len: u64) -> NewFile {
    NewFile {
        path: path.iter().map(ToString::to_string).collect(),
        len,
        executable: false,
    }
}

fn hashes(builder: &Builder) -> Vec<PieceHash> {
    let end = builder
        .arrange()
        .unwrap()
        .last()
        .map_or(0, |file| file.offset + file.len);
    let count = end.div_ceil(builder.piece_len.into());
    (0..count)
        .map(|i| PieceHash::new([i.to_le_bytes()[0]; 20]))
        .collect()
}

#[test]
fn a_manifest_is_built_byte_for_byte() {
    let mut script = new_file(&["bin", "run"], 70_000);
    script.executable = true;
    let mut builder = Builder::new("tree", vec![new_file(&["empty"], 0), script]);
    builder.trackers = vec![vec!["http://t/announce".to_owned()]];
    let meta = builder.build(&hashes(&builder)).unwrap();
    let hashes = [[0u8; 20], [1; 20]].concat();
    let mut want =
        b"d8:announce17:http://t/announce10:created by9:swarm/0.18:encoding5:UTF-84:infod\
        5:filesld4:attr1:x6:lengthi70000e4:pathl3:bin3:runeed6:lengthi0e4:pathl5:emptyeee\
        4:name4:tree12:piece lengthi65536e6:pieces40:"
            .to_vec();
    want.extend(hashes);
    want.extend(b"ee");
    assert_eq!(
        meta.raw().escape_ascii().to_string(),
        want.escape_ascii().to_string()
    );
}

#[test]
fn padding_starts_each_file_on_a_piece() {
    let files = vec![
        new_file(&["b"], 70_000),
        new_file(&["c"], 0),
        new_file(&["a"], 5),
        new_file(&["d"], 1),
    ];
    let mut builder = Builder::new("tree", files);
    builder.pad = true;
    let entries = builder.arrange().unwrap();
    let starts: Vec<_> = entries
        .iter()
        .filter(|file| file.kind == FileKind::Regular)
        .map(|file| (file.path.as_str(), file.offset))
        .collect();
    assert_eq!(
        starts,
        [
            ("tree/a", 0),
            ("tree/b", 65_536),
            ("tree/c", 135_536),
            ("tree/d", 196_608)
        ]
    );
    assert_eq!(builder.build(&hashes(&builder)).unwrap().files(), entries);
}

#[test]
fn what_cannot_be_shared_is_named_before_hashing() {
    let error = |files: Vec<NewFile>| {
        Builder::new("tree", files)
            .arrange()
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(vec![new_file(&["Icon\r"], 1)]),
        "\"tree/Icon\\x0d\" cannot be shared: it would arrive as \"tree/Icon%0D\""
    );
    assert_eq!(
        error(vec![new_file(&["a"], 0)]),
        "total size is 0 bytes; a torrent needs data"
    );
    assert_eq!(error(vec![]), "contains no files");
    assert!(error(vec![new_file(&["a"], 1), new_file(&["A"], 1)]).contains("ignores case"));
    assert!(error(vec![new_file(&[], 1), new_file(&["a"], 1)]).contains("file and a directory"));
    let mut builder = Builder::new("tree", vec![new_file(&["a"], 1)]);
    builder.piece_len = 0;
    assert!(matches!(
        builder.arrange(),
        Err(MetainfoError::PieceLength(0))
    ));
}

fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 ._-]{0,12}é?"
}

fn names() -> impl Strategy<Value = Vec<Vec<String>>> {
    // Digits in front keep names apart, whatever their case, and files from being directories.
    let file = (
        prop::collection::vec("[a-cA-C]{1,3}", 0..3),
        "[xyz. ]{1,4}q",
    );
    prop::collection::vec(file, 1..12).prop_map(|files| {
        let name = |(i, (mut path, last)): (usize, (Vec<String>, String))| {
            path.push(format!("{i}{last}"));
            path
        };
        files.into_iter().enumerate().map(name).collect()
    })
}

fn builders() -> impl Strategy<Value = Builder> {
    let sizes = prop::collection::vec((0u64..300_000, any::<bool>()), 12);
    let urls = || prop::collection::vec("[a-z]{3,5}://[a-z]{1,9}/", 0..3);
    let about = (
        prop::collection::vec(prop::collection::vec("[a-z]{3,5}://[a-z]{1,9}", 1..3), 0..3),
        urls(),
        prop::option::of(text()),
        prop::option::of(any::<i64>()),
    );
    let flags = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        prop::option::of(text()),
    );
    (names(), sizes, about, flags).prop_map(|(names, sizes, about, flags)| {
        let (trackers, web_seeds, comment, creation_date) = about;
        let (single, pad, private, source) = flags;
        let mut files: Vec<NewFile> = std::iter::zip(names, sizes)
            .map(|(path, (len, executable))| NewFile {
                path,
                len,
                executable,
            })
            .collect();
        files[0].len += 1;
        if single {
            files.truncate(1);
            files[0].path.clear();
        }
        Builder {
            piece_len: 16_384,
            pad,
            private,
            source,
            comment,
            creation_date,
            trackers,
            web_seeds,
            ..Builder::new("some name", files)
        }
    })
}

proptest! {
    #[test]
    fn what_is_built_reads_back_the_same(builder in builders()) {
        let meta = builder.build(&hashes(&builder)).unwrap();
        prop_assert_eq!(&Metainfo::parse(meta.raw()).unwrap(), &meta);
        prop_assert_eq!(meta.files(), builder.arrange().unwrap());
        prop_assert_eq!(meta.name(), &builder.name);
        let single = builder.files[0].path.is_empty();
        prop_assert_eq!(meta.mode() == FileMode::Single, single);
        prop_assert_eq!(meta.is_private(), builder.private);
        prop_assert_eq!(meta.source(), builder.source.as_deref());
        prop_assert_eq!(meta.comment(), builder.comment.as_deref());
        prop_assert_eq!(meta.created_by(), builder.created_by.as_deref());
        prop_assert_eq!(meta.creation_date(), builder.creation_date);
        let mut urls: Vec<String> = builder.trackers.concat();
        let mut seen = Vec::new();
        urls.retain(|url| !seen.contains(url) && { seen.push(url.clone()); true });
        prop_assert_eq!(meta.trackers().concat(), urls);
        prop_assert_eq!(meta.renamed(), vec![]);
        let document = Document::scan(meta.raw(), &Limits::MANIFEST);
        prop_assert!(document.unwrap().canonical().is_ok());
    }

    #[test]
    fn the_order_of_discovery_does_not_matter(builder in builders(), at: prop::sample::Index) {
        let mut shuffled = builder.clone();
        let len = shuffled.files.len();
        shuffled.files.rotate_left(at.index(len));
        shuffled.files.reverse();
        let hashes = hashes(&builder);
        prop_assert_eq!(builder.build(&hashes).unwrap(), shuffled.build(&hashes).unwrap());
    }

    #[test]
    fn damaged_manifests_never_panic(
        builder in builders(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index
    ) {
        let mut raw = builder.build(&hashes(&builder)).unwrap().raw().to_vec();
        let at = at.index(raw.len());
        raw[at] = byte;
        let _ = Metainfo::parse(&raw);
        raw.truncate(cut.index(raw.len()));
        prop_assert!(Metainfo::parse(&raw).is_err());
    }
}
