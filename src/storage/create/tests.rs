//! What is found, in which order, and what is refused.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tempfile::{TempDir, tempdir};

use super::*;
use crate::hash;
use crate::metainfo::build::{Builder, NewFile};

fn tree(files: &[(&str, &str)]) -> TempDir {
    let dir = tempdir().expect("made");
    for (path, text) in files {
        let path = dir.path().join("t").join(path);
        fs::create_dir_all(path.parent().expect("below")).expect("made");
        fs::write(path, text).expect("written");
    }
    dir
}

fn all() -> ScanOptions {
    ScanOptions {
        name: None,
        rules: Vec::new(),
        gitignore: false,
        hidden: true,
        junk: false,
        symlinks: Symlinks::Follow,
    }
}

fn found(dir: &TempDir, options: &ScanOptions) -> Result<Vec<String>, StorageError> {
    let list = scan(&[dir.path().join("t")], options, 2)?;
    Ok(list.files.iter().map(|file| file.path.join("/")).collect())
}

fn hashed(
    list: &FileList,
    arranged: &[FileEntry],
    piece_len: u32,
    threads: usize,
    meter: &Meter,
) -> Result<Vec<PieceHash>, StorageError> {
    let nothing = HashCache::default();
    let hashed = hash_files((list, arranged), piece_len, &nothing, threads, meter)?;
    assert_eq!(hashed.known, 0);
    Ok(hashed.pieces)
}

fn builder(list: &FileList, piece_len: u32) -> Builder {
    let files = list.files.iter().map(|file| NewFile {
        path: file.path.clone(),
        len: file.len,
        executable: file.executable,
    });
    let mut builder = Builder::new(list.name.clone(), files.collect());
    builder.piece_len = piece_len;
    builder
}

#[test]
fn files_are_ordered_by_raw_bytes_element_by_element() {
    let dir = tree(&[
        ("b", "1"),
        ("a/x", "2"),
        ("a.txt", "3"),
        ("B", "4"),
        ("a-b", "5"),
        ("é", "6"),
    ]);
    assert_eq!(
        found(&dir, &all()).unwrap(),
        ["B", "a/x", "a-b", "a.txt", "b", "é"]
    );
}

#[test]
fn hidden_and_empty_files_are_kept_and_junk_is_not() {
    let dir = tree(&[
        (".hidden", "1"),
        (".git/x", "2"),
        ("empty", ""),
        (".DS_Store", "3"),
        ("sub/Thumbs.db", "4"),
        ("desktop.ini", "5"),
    ]);
    let list = scan(&[dir.path().join("t")], &all(), 2).unwrap();
    let names: Vec<_> = list.files.iter().map(|file| file.path.join("/")).collect();
    assert_eq!(names, [".git/x", ".hidden", "empty"]);
    assert_eq!(list.junk_dropped.len(), 3);
    let bare = ScanOptions {
        hidden: false,
        junk: true,
        ..all()
    };
    assert_eq!(
        found(&dir, &bare).unwrap(),
        ["desktop.ini", "empty", "sub/Thumbs.db"]
    );
}

#[test]
fn the_last_matching_pattern_wins() {
    let dir = tree(&[
        ("a.log", "1"),
        ("keep.log", "2"),
        ("sub/b.log", "3"),
        ("c.txt", "4"),
    ]);
    let rules = vec![
        Rule::Exclude("*.log".into()),
        Rule::Include("keep.log".into()),
    ];
    assert_eq!(
        found(&dir, &ScanOptions { rules, ..all() }).unwrap(),
        ["c.txt", "keep.log"]
    );
    let rules = vec![Rule::Exclude("/sub/".into())];
    let kept = found(&dir, &ScanOptions { rules, ..all() }).unwrap();
    assert_eq!(kept, ["a.log", "c.txt", "keep.log"]);
    let rules = vec![Rule::Exclude("a{b".into())];
    let refused = found(&dir, &ScanOptions { rules, ..all() });
    assert!(matches!(refused, Err(StorageError::BadPattern { .. })));
}

#[test]
fn gitignore_files_count_only_when_asked_for() {
    let dir = tree(&[(".gitignore", "*.o\n"), ("a.o", "1"), ("a.c", "2")]);
    assert_eq!(found(&dir, &all()).unwrap(), [".gitignore", "a.c", "a.o"]);
    let obeyed = ScanOptions {
        gitignore: true,
        ..all()
    };
    assert_eq!(found(&dir, &obeyed).unwrap(), [".gitignore", "a.c"]);
}

#[test]
fn links_are_followed_skipped_or_refused() {
    let dir = tree(&[("a/x", "1"), ("y", "2")]);
    symlink("a", dir.path().join("t/to-dir")).unwrap();
    symlink("y", dir.path().join("t/to-file")).unwrap();
    assert_eq!(
        found(&dir, &all()).unwrap(),
        ["a/x", "to-dir/x", "to-file", "y"]
    );
    let skip = ScanOptions {
        symlinks: Symlinks::Skip,
        ..all()
    };
    let list = scan(&[dir.path().join("t")], &skip, 2).unwrap();
    assert_eq!((list.files.len(), list.links_skipped.len()), (2, 2));
    let refuse = ScanOptions {
        symlinks: Symlinks::Error,
        ..all()
    };
    assert!(matches!(
        found(&dir, &refuse),
        Err(StorageError::LinkFound { .. })
    ));
}

#[test]
fn dangling_links_and_loops_are_named() {
    let dir = tree(&[("a/x", "1")]);
    let link = dir.path().join("t/a/latest");
    symlink("../gone", &link).unwrap();
    let refused = found(&dir, &all()).unwrap_err();
    assert!(
        matches!(&refused, StorageError::DanglingLink { path, target }
            if *path == link && target == Path::new("../gone")),
        "{refused:?}"
    );
    for target in ["..", "latest"] {
        fs::remove_file(&link).unwrap();
        symlink(target, &link).unwrap();
        let refused = found(&dir, &all()).unwrap_err();
        assert!(
            matches!(&refused, StorageError::LinkLoop { path, .. } if *path == link),
            "{target}: {refused:?}"
        );
    }
}

#[test]
fn what_cannot_stand_in_a_manifest_is_refused() {
    let dir = tree(&[("ok", "1")]);
    let name = std::ffi::OsStr::from_bytes(b"bad-\xff");
    fs::write(dir.path().join("t").join(name), "2").unwrap();
    assert!(matches!(
        found(&dir, &all()),
        Err(StorageError::NotUtf8 { .. })
    ));
    assert!(matches!(
        found(&tree(&[("a", ""), ("b", "")]), &all()),
        Err(StorageError::NoData)
    ));
    let empty = tempdir().unwrap();
    fs::create_dir(empty.path().join("t")).unwrap();
    assert!(matches!(
        found(&empty, &all()),
        Err(StorageError::NoFiles { .. })
    ));
    let missing = scan(&[empty.path().join("none")], &all(), 2);
    assert!(matches!(missing, Err(StorageError::NotFound { .. })));
}

#[test]
fn several_paths_need_a_name_and_may_not_clash() {
    let dir = tree(&[("a/x", "1"), ("b/x", "2"), ("c", "3")]);
    let paths = ["a", "b", "c"].map(|path| dir.path().join("t").join(path));
    assert!(matches!(
        scan(&paths, &all(), 2),
        Err(StorageError::NoName { .. })
    ));
    let options = ScanOptions {
        name: Some("n".into()),
        ..all()
    };
    let list = scan(&paths, &options, 2).unwrap();
    let names: Vec<_> = list.files.iter().map(|file| file.path.join("/")).collect();
    assert_eq!((list.name.as_str(), list.single), ("n", false));
    assert_eq!(names, ["a/x", "b/x", "c"]);
    let twice = [dir.path().join("t/c"), dir.path().join("t/c")];
    assert!(matches!(
        scan(&twice, &options, 2),
        Err(StorageError::SamePath { .. })
    ));
}

#[test]
fn a_bare_file_has_no_path_below_its_name() {
    let dir = tree(&[("one.bin", "data")]);
    let path = dir.path().join("t/one.bin");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let list = scan(&[path], &all(), 2).unwrap();
    assert_eq!((list.name.as_str(), list.single), ("one.bin", true));
    assert!(list.files[0].path.is_empty() && list.files[0].executable);
}

#[test]
fn hashes_are_those_of_the_concatenated_content() {
    let contents = [
        "x".repeat(70_000),
        String::new(),
        "y".repeat(16_384),
        "z".into(),
    ];
    let names = ["a", "b", "c", "d"];
    let files: Vec<_> = names
        .into_iter()
        .zip(contents.iter().map(String::as_str))
        .collect();
    let dir = tree(&files);
    let list = scan(&[dir.path().join("t")], &all(), 2).unwrap();
    let whole = contents.concat();
    for (piece_len, threads) in [(16 << 10, 1), (16 << 10, 3), (1 << 20, 2)] {
        let meter = Meter::new();
        let arranged = builder(&list, piece_len).arrange().unwrap();
        let hashes = hashed(&list, &arranged, piece_len, threads, &meter).unwrap();
        let want = whole.as_bytes().chunks(piece_len as usize).map(hash::one);
        assert_eq!(hashes, want.map(PieceHash::new).collect::<Vec<_>>());
        assert_eq!(
            (meter.done(), meter.total()),
            (whole.len() as u64, whole.len() as u64)
        );
    }
}

#[test]
fn padding_is_hashed_as_zeros() {
    let dir = tree(&[("a", "xyz"), ("b", "q")]);
    let list = scan(&[dir.path().join("t")], &all(), 2).unwrap();
    let mut padded = builder(&list, 16 << 10);
    padded.pad = true;
    let arranged = padded.arrange().unwrap();
    let hashes = hashed(&list, &arranged, 16 << 10, 1, &Meter::new()).unwrap();
    let mut first = b"xyz".to_vec();
    first.resize(16 << 10, 0);
    let want = [hash::one(&first), hash::one(b"q")].map(PieceHash::new);
    assert_eq!(hashes, want);
}

#[test]
fn nobody_waits_for_the_end_of_a_big_file_that_somebody_writes_to() {
    const LEN: u64 = 256 << 20;
    let dir = tree(&[("a", "")]);
    let file = fs::File::options()
        .write(true)
        .open(dir.path().join("t/a"))
        .unwrap();
    file.set_len(LEN).unwrap();
    let list = scan(&[dir.path().join("t")], &all(), 2).unwrap();
    let arranged = builder(&list, 1 << 20).arrange().unwrap();
    file.set_len(LEN + 1).unwrap();
    let meter = Meter::new();
    let refused = hashed(&list, &arranged, 1 << 20, 2, &meter).unwrap_err();
    assert!(
        matches!(refused, StorageError::Changed { .. }),
        "{refused:?}"
    );
    assert!(
        meter.done() < LEN / 2,
        "{} bytes were hashed in vain",
        meter.done()
    );
}

#[test]
fn a_file_that_changes_after_it_was_found_is_an_error() {
    let dir = tree(&[("a", "four"), ("b", "same")]);
    let list = scan(&[dir.path().join("t")], &all(), 2).unwrap();
    let arranged = builder(&list, 16 << 10).arrange().unwrap();
    let hash = || hashed(&list, &arranged, 16 << 10, 1, &Meter::new());
    hash().expect("nothing changed yet");
    let path = dir.path().join("t/a");
    fs::write(&path, "eight888").unwrap();
    let refused = hash().unwrap_err();
    assert!(
        matches!(&refused, StorageError::Changed { path: named, before: 4, after: 8, .. }
            if *named == path),
        "{refused:?}"
    );
    fs::write(&path, "1").unwrap();
    assert!(matches!(
        hash(),
        Err(StorageError::Changed { after: 1, .. })
    ));
    fs::remove_file(&path).unwrap();
    hash().unwrap_err();
}

#[test]
fn unfinished_downloads_are_left_out_and_reported() {
    let dir = tree(&[
        ("a", "1"),
        (".x.swarm-part/data/half", "2"),
        ("sub/.y.swarm-part/journal", "3"),
    ]);
    let list = scan(&[dir.path().join("t")], &all(), 2).unwrap();
    assert_eq!(list.files.len(), 1, "{:?}", list.files);
    assert_eq!(list.junk_dropped.len(), 2, "{:?}", list.junk_dropped);
}
