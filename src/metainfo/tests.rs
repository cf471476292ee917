//! Which manifests are taken, and what they say.

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
fn nodes_of_the_dht_are_read_and_what_is_none_is_passed_over() {
    let info = with("6:lengthi5e");
    let info = str::from_utf8(&info).unwrap().trim_end_matches('e');
    let nodes = "5:nodesl\
        l8:10.0.0.5i6881ee\
        l12:node.examplei1ee\
        l6:fd00::i6881ee\
        l8:10.0.0.6i0ee\
        l8:10.0.0.6i65536ee\
        l8:10.0.0.6e\
        l3:a bi1ee\
        i6881e\
        e";
    let meta = Metainfo::parse(format!("{info}e{nodes}e").as_bytes()).unwrap();
    assert_eq!(
        meta.nodes(),
        ["10.0.0.5:6881", "node.example:1", "[fd00::]:6881"]
    );
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
    assert!(meta.padding().eq(std::iter::once(5..12)));
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
