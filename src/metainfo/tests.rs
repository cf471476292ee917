//! Which manifests are taken, what they say, and that what is made reads back the same.

use proptest::prelude::*;

use super::build::{Builder, NewFile, piece_len_for};
use super::*;
use crate::hash;

const PIECE: &[u8] = &[b'h'; 20];

/// A manifest with this inside `info`, besides a name, a piece length and one piece hash.
fn with(files: &str) -> Vec<u8> {
    let pieces = str::from_utf8(PIECE).unwrap();
    let info = format!("d{files}4:name4:temp12:piece lengthi16384e6:pieces20:{pieces}e");
    format!("d4:info{info}e").into_bytes()
}

fn path(elements: &[&str]) -> String {
    let elements = elements
        .iter()
        .map(|element| format!("{}:{element}", element.len()));
    format!("4:pathl{}e", elements.collect::<String>())
}

fn error(manifest: &[u8]) -> String {
    Metainfo::parse(manifest)
        .unwrap_err()
        .about("model.torrent")
}

#[test]
fn a_bare_file_is_read() {
    let raw = b"d8:announce12:udp://a:1234\
        4:infod4:attr1:x6:lengthi16385e4:name4:temp12:piece lengthi16384e\
        6:pieces40:aaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbb7:privatei1e6:source2:fge8:url-list3:w:we";
    let meta = Metainfo::parse(raw).unwrap();
    assert_eq!((meta.name(), meta.mode()), ("temp", FileMode::Single));
    assert_eq!(meta.files().len(), 1);
    assert_eq!(meta.files()[0].path.as_str(), "temp");
    assert!(meta.files()[0].executable && meta.is_private());
    let layout = meta.layout();
    assert_eq!((layout.total_len(), layout.piece_count()), (16_385, 2));
    let second = layout.piece(1).unwrap();
    assert_eq!(meta.piece_hash(second), PieceHash::new([b'b'; 20]));
    assert_eq!(meta.trackers(), [["udp://a:1234"]]);
    assert_eq!(meta.web_seeds(), ["w:w"]);
    assert_eq!(meta.source(), Some("fg"));
    assert_eq!(
        meta.info_hash(),
        InfoHash::new(hash::one(meta.info_bytes()))
    );
    assert!(meta.info_bytes().starts_with(b"d4:attr") && meta.info_bytes().ends_with(b"2:fge"));
}

#[test]
fn a_directory_is_read_with_padding_and_links() {
    let files = format!(
        "5:filesld6:lengthi5e{}ed4:attr1:p6:lengthi7eed4:attr1:l6:lengthi3e{}ed6:lengthi9e{}ee",
        path(&["a", "b"]),
        path(&["link"]),
        path(&["c"])
    );
    let meta = Metainfo::parse(&with(&files)).unwrap();
    assert_eq!(meta.mode(), FileMode::Directory);
    let seen: Vec<_> = meta
        .files()
        .iter()
        .map(|file| (file.path.as_str(), file.kind, file.offset, file.len))
        .collect();
    assert_eq!(
        seen,
        [
            ("temp/a/b", FileKind::Regular, 0, 5),
            ("temp/.pad/7", FileKind::Padding, 5, 7),
            ("temp/link", FileKind::Symlink, 12, 0),
            ("temp/c", FileKind::Regular, 12, 9),
        ]
    );
    assert_eq!(meta.padding().collect::<Vec<_>>(), [5..12]);
    assert_eq!(meta.renamed(), []);
}

#[test]
fn renamed_paths_are_shown() {
    let files = format!(
        "5:filesld6:lengthi5e{}ed4:attr1:p6:lengthi7eed6:lengthi9e{}ee",
        path(&["a/b"]),
        path(&["c"])
    );
    let renamed = Metainfo::parse(&with(&files)).unwrap().renamed();
    assert_eq!(renamed.len(), 1);
    assert_eq!(renamed[0].given, "temp/a/b");
    assert_eq!(renamed[0].path.as_str(), "temp/a%2Fb");
}

#[test]
fn errors_are_sentences_about_the_manifest() {
    assert_eq!(
        error(b"Hello"),
        "model.torrent is not a torrent: byte 0 is 'H', a manifest starts with 'd'"
    );
    assert_eq!(error(b""), "model.torrent is empty");
    assert_eq!(
        error(b"d4:info168200:xyz"),
        "model.torrent ends early: string of 168,200 bytes at offset 7, only 3 left \
         (download cut off?)"
    );
    assert_eq!(
        error(b"dx"),
        "model.torrent: byte 1 is 'x', want: a key or the end of the dictionary"
    );
    assert_eq!(error(b"de\n"), "model.torrent has no valid field: info");
    let v2 = b"d4:infod9:file treede12:meta versioni2e4:name1:a12:piece lengthi16384eee";
    assert_eq!(
        error(v2),
        "model.torrent is BitTorrent v2 only; swarm reads v1 and hybrid manifests so far"
    );
    let files = |third: &[&str]| {
        let (a, b) = (path(&["a"]), path(&["b"]));
        let third = path(third);
        with(&format!(
            "5:filesld6:lengthi1e{a}ed6:lengthi1e{b}ed6:lengthi1e{third}ee"
        ))
    };
    assert_eq!(
        error(&files(&["..", "..", "etc", "cron.d", "x"])),
        "model.torrent: file 3 has path \"../../etc/cron.d/x\": refused"
    );
    assert_eq!(
        error(&files(&["x\0"])),
        "model.torrent: file 3 has path \"x\\x00\": refused, it holds a zero byte"
    );
    assert_eq!(
        error(&files(&["A"])),
        "\"temp/a\" and \"temp/A\" would be the same file on a filesystem that ignores case"
    );
    assert_eq!(
        error(&files(&["a"])),
        "model.torrent: \"temp/a\" is listed twice"
    );
}

#[test]
fn trailing_white_space_is_tolerated_and_nothing_else() {
    let mut manifest = with("6:lengthi5e");
    manifest.extend(b" \r\n\t");
    assert!(Metainfo::parse(&manifest).is_ok());
    let end = manifest.len();
    manifest.extend(b"xy");
    assert_eq!(
        error(&manifest),
        format!("model.torrent has 2 unexpected bytes after its end, from offset: {end}")
    );
}

#[test]
fn sizes_out_of_bounds_are_refused() {
    assert_eq!(
        error(&with("6:lengthi16385e")),
        "model.torrent has 20 bytes of piece hashes, want: 40"
    );
    assert_eq!(
        error(&with("6:lengthi0e")),
        "model.torrent: total size is 0 bytes; a torrent needs data"
    );
    assert_eq!(
        error(&with("6:lengthi-1e")),
        "model.torrent has no valid field: length"
    );
    assert_eq!(
        error(&with(&format!("6:lengthi{}e", (1u64 << 60) + 1))),
        "model.torrent has a total size above the limit of 2^60 bytes"
    );
    let pieces = u64::from(PIECES_MAX);
    assert_eq!(
        error(&with(&format!("6:lengthi{}e", pieces * 16_384 + 1))),
        "model.torrent has too many pieces, limit: 2,097,152"
    );
    let short = String::from_utf8(with("6:lengthi5e"))
        .unwrap()
        .replace("16384", "16383");
    assert_eq!(
        error(short.as_bytes()),
        "model.torrent has a piece length outside 16,384 to 536,870,912 bytes: 16,383"
    );
    assert_eq!(error(&with("5:filesle")), "model.torrent contains no files");
}

#[test]
fn a_field_that_stands_twice_is_refused() {
    let twice = with("6:lengthi5e6:lengthi6e");
    assert_eq!(error(&twice), "model.torrent has two fields: length");
    let other = with("3:abci1e3:abci2e6:lengthi5e");
    assert!(
        Metainfo::parse(&other).is_ok(),
        "fields that are not read do not matter"
    );
}

#[test]
fn trackers_come_in_tiers_once_each() {
    let about = "8:announce3:z:z13:announce-listll3:a:a4: b:be0:l3:a:a3:c:cel5:no ta0:ee";
    let info = String::from_utf8(with("6:lengthi5e")).unwrap();
    let manifest = info.replacen('d', &format!("d{about}"), 1);
    let meta = Metainfo::parse(manifest.as_bytes()).unwrap();
    assert_eq!(meta.trackers(), [vec!["a:a", "b:b"], vec!["c:c"]]);
    let empty = info.replacen('d', "d8:announce3:z:z13:announce-listle", 1);
    assert_eq!(
        Metainfo::parse(empty.as_bytes()).unwrap().trackers(),
        [["z:z"]]
    );
}

#[test]
fn a_hybrid_must_agree_with_itself() {
    let root = "r".repeat(32);
    let leaf = |len: u64| format!("d0:d6:lengthi{len}e11:pieces root32:{root}ee");
    let hybrid = |tree: &str| {
        let files = format!(
            "9:file treed{tree}e5:filesld6:lengthi5e{}ed4:attr1:p6:lengthi3eed6:lengthi7e{}ee",
            path(&["a", "x"]),
            path(&["b"])
        );
        Metainfo::parse(&with(&files)).map(|meta| meta.files().len())
    };
    let (five, six, seven) = (leaf(5), leaf(6), leaf(7));
    assert_eq!(hybrid(&format!("1:ad1:x{five}e1:b{seven}")), Ok(3));
    let differ = |number| Err(MetainfoError::HalvesDiffer(number));
    assert_eq!(hybrid(&format!("1:ad1:x{six}e1:b{seven}")), differ(1));
    assert_eq!(hybrid(&format!("1:ad1:y{five}e1:b{seven}")), differ(1));
    assert_eq!(hybrid(&format!("1:ad1:x{five}e")), differ(3));
    assert_eq!(
        hybrid(&format!("1:ad1:x{five}e1:b{seven}1:c{five}")),
        differ(4)
    );
    assert_eq!(hybrid("1:ai5e"), Err(MetainfoError::Field("file tree")));
}

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

#[test]
fn too_many_files_are_refused() {
    let mut list = b"5:filesl".to_vec();
    for _ in 0..=FILES_MAX {
        list.extend(b"le");
    }
    list.push(b'e');
    let manifest = with(str::from_utf8(&list).unwrap());
    assert_eq!(
        error(&manifest),
        "model.torrent has too many files, limit: 1,000,000"
    );
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
        let document = crate::bencode::Document::scan(meta.raw(), &crate::bencode::Limits::MANIFEST);
        prop_assert!(document.unwrap().canonical().is_ok());
    }

    #[test]
    fn the_order_of_discovery_does_not_matter(builder in builders(), seed: u64) {
        let mut shuffled = builder.clone();
        let len = shuffled.files.len();
        shuffled.files.rotate_left((seed as usize) % len);
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
