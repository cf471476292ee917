//! The store as a whole: what ends up on the disk, and what is refused.

#![expect(clippy::cast_possible_truncation, reason = "test content is small")]

#[path = "storage/content.rs"]
mod content;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use content::{Content, FILES, names, options, part};
use swarm::storage::{Allocate, Meter, StorageError, Store};
use tempfile::tempdir;

#[test]
fn a_tree_is_fetched_byte_for_byte_and_nothing_else_is_left() {
    for allocate in [Allocate::None, Allocate::Sparse, Allocate::Full] {
        let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
        let mut wishes = options(dir.path());
        wishes.allocate = allocate;
        let opened = content.fetch(&wishes).unwrap();
        assert!(opened.have.is_empty());
        assert!(opened.wanted.is_full());
        assert!(!opened.already_complete);
        assert!(
            !dir.path().join("tree").exists(),
            "nothing has its real name before the end"
        );
        assert_eq!(content.complete(&opened), dir.path().join("tree"));
        content.expect_put(dir.path());
        assert!(!names(dir.path()).iter().any(|name| name.starts_with('.')));
        content.expect_readable(&opened.store, &opened.wanted);
        assert_eq!(opened.store.finish().unwrap(), dir.path().join("tree"));
    }
}

#[test]
fn a_bare_file_goes_on_being_served_after_its_renaming() {
    let (dir, content) = (tempdir().unwrap(), Content::bare(100_001));
    let opened = content.fetch(&options(dir.path())).unwrap();
    assert_eq!(content.complete(&opened), dir.path().join("bare.bin"));
    content.expect_put(dir.path());
    content.expect_readable(&opened.store, &opened.wanted);
    assert_eq!(names(dir.path()), ["bare.bin"]);
}

#[test]
fn scripts_arrive_executable_and_data_does_not() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    content.complete(&content.fetch(&options(dir.path())).unwrap());
    let mode = |path| {
        fs::metadata(dir.path().join(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o100
    };
    assert_eq!(mode("tree/dir/b.sh"), 0o100);
    assert_eq!(mode("tree/a.bin"), 0);
}

#[test]
fn another_name_may_be_given_but_no_path() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    let mut wishes = options(dir.path());
    wishes.name = Some("other".into());
    assert_eq!(
        content.complete(&content.fetch(&wishes).unwrap()),
        dir.path().join("other")
    );
    for bad in ["", ".", "..", "a/b", "/a", "../a", "a/", ".tree.swarm-part"] {
        wishes.name = Some(bad.into());
        let refused = content.fetch(&wishes);
        assert!(
            matches!(refused, Err(StorageError::Refused { .. })),
            "{bad:?}"
        );
    }
}

#[test]
fn a_complete_output_needs_nothing() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    content.put(dir.path());
    let before = names(dir.path());
    let opened = content.fetch(&options(dir.path())).unwrap();
    assert!(opened.already_complete);
    assert!(opened.have.is_full());
    content.expect_readable(&opened.store, &opened.have);
    assert_eq!(opened.store.finish().unwrap(), dir.path().join("tree"));
    assert_eq!(names(dir.path()), before);
}

#[test]
fn an_output_that_differs_is_left_alone() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    content.put(dir.path());
    fs::write(dir.path().join("tree/z.bin"), "mine").unwrap();
    let refused = content.fetch(&options(dir.path())).unwrap_err();
    let StorageError::Exists {
        path,
        differs,
        pieces,
    } = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(path, dir.path().join("tree"));
    assert_eq!((differs, pieces), (2, content.pieces().len() as u32));
    assert_eq!(fs::read(dir.path().join("tree/z.bin")).unwrap(), b"mine");
    assert!(!part(dir.path(), "tree").exists());
}

#[test]
fn repair_fetches_what_is_wrong_and_keeps_what_is_right() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    content.put(dir.path());
    let tree = dir.path().join("tree");
    fs::write(tree.join("dir/sub/c.bin"), vec![1; 200_000]).unwrap();
    fs::remove_file(tree.join("dir/empty")).unwrap();
    fs::write(tree.join("e"), "too long").unwrap();
    let mut wishes = options(dir.path());
    wishes.repair = true;
    let opened = content.fetch(&wishes).unwrap();
    assert!(!opened.already_complete);
    assert!(
        opened.have.count() >= 2 && !opened.have.is_full(),
        "{:?}",
        opened.have
    );
    content.expect_readable(&opened.store, &opened.have);
    content.complete(&opened);
    content.expect_put(dir.path());
    assert!(!part(dir.path(), "tree").exists());
}

#[test]
fn a_file_where_a_directory_belongs_is_not_replaced() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    fs::write(dir.path().join("tree"), "mine").unwrap();
    for repair in [false, true] {
        let mut wishes = options(dir.path());
        wishes.repair = repair;
        assert!(matches!(
            content.fetch(&wishes),
            Err(StorageError::InTheWay { .. })
        ));
    }
    assert_eq!(fs::read(dir.path().join("tree")).unwrap(), b"mine");
    fs::remove_file(dir.path().join("tree")).unwrap();
    content.put(dir.path());
    fs::remove_dir_all(dir.path().join("tree/dir")).unwrap();
    fs::write(dir.path().join("tree/dir"), "mine").unwrap();
    let refused = content.fetch(&options(dir.path()));
    assert!(matches!(refused, Err(StorageError::InTheWay { .. })));
}

#[test]
fn a_missing_output_directory_is_named() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    let missing = dir.path().join("nowhere");
    let refused = content.fetch(&options(&missing)).unwrap_err();
    assert!(matches!(refused, StorageError::NotFound { path } if path == missing));
}

#[test]
fn incomplete_content_is_not_published() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    let opened = content.fetch(&options(dir.path())).unwrap();
    opened
        .store
        .write_piece(content.piece(0), content.data(content.piece(0)))
        .unwrap();
    let missing = content.pieces().len() as u32 - 1;
    let refused = opened.store.finish().unwrap_err();
    assert!(matches!(refused, StorageError::Incomplete { missing: found } if found == missing));
    assert!(!dir.path().join("tree").exists());
}

#[test]
fn a_name_taken_meanwhile_is_not_overwritten() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    let opened = content.fetch(&options(dir.path())).unwrap();
    for piece in content.pieces() {
        opened
            .store
            .write_piece(piece, content.data(piece))
            .unwrap();
    }
    fs::create_dir(dir.path().join("tree")).unwrap();
    fs::write(dir.path().join("tree/mine"), "mine").unwrap();
    let refused = opened.store.finish().unwrap_err();
    let StorageError::NameTaken { kept, .. } = refused else {
        panic!("{refused:?}");
    };
    assert!(kept.join("a.bin").exists());
    assert_eq!(names(&dir.path().join("tree")), ["mine"]);
    fs::remove_dir_all(dir.path().join("tree")).unwrap();
    opened.store.finish().unwrap();
    content.expect_put(dir.path());
}

#[test]
fn padding_is_never_on_the_disk_but_reads_as_zeros() {
    let (dir, content) = (tempdir().unwrap(), Content::padded(&FILES));
    let opened = content.fetch(&options(dir.path())).unwrap();
    content.complete(&opened);
    content.expect_put(dir.path());
    content.expect_readable(&opened.store, &opened.wanted);
    assert_eq!(
        names(&dir.path().join("tree")),
        [
            "a.bin",
            "dir",
            "dir/b.sh",
            "dir/empty",
            "dir/sub",
            "dir/sub/c.bin",
            "e",
            "z.bin"
        ]
    );
}

#[test]
fn a_start_that_failed_leaves_nothing_behind() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    let meter = Meter::new();
    meter.cancel();
    let start = || Store::fetch(content.meta.clone(), &options(dir.path()), &meter);
    assert!(matches!(start(), Err(StorageError::Cancelled)));
    assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
    let opened = content.fetch(&options(dir.path())).unwrap();
    let piece = content.piece(0);
    opened
        .store
        .write_piece(piece, content.data(piece))
        .unwrap();
    drop(opened);
    assert!(matches!(start(), Err(StorageError::Cancelled)));
    assert!(content.fetch(&options(dir.path())).unwrap().have.has(piece));
}

#[test]
fn links_planted_at_any_depth_are_not_followed() {
    let content = Content::tree(&FILES);
    let outside = tempdir().unwrap();
    let victim = outside.path().join("c.bin");
    fs::write(&victim, "precious").unwrap();
    let plants = [
        "tree",
        ".tree.swarm-part",
        "data",
        "data/dir",
        "data/dir/sub",
        "data/dir/sub/c.bin",
    ];
    for plant in plants {
        let dir = tempdir().unwrap();
        let at = match plant {
            "tree" | ".tree.swarm-part" => dir.path().join(plant),
            _ => part(dir.path(), "tree").join(plant),
        };
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        let target = if plant.contains(".bin") {
            victim.as_path()
        } else {
            outside.path()
        };
        symlink(target, &at).unwrap();
        // Without a journal an unknown link is thrown away, with one it is refused.
        if let Ok(opened) = content.fetch(&options(dir.path())) {
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            let _dir_in_the_way = fs::remove_dir_all(&at);
            symlink(target, &at).unwrap();
            let results: Vec<_> = content
                .pieces()
                .into_iter()
                .map(|piece| opened.store.write_piece(piece, content.data(piece)))
                .collect();
            let refused =
                |result: &Result<_, _>| matches!(result, Err(StorageError::Refused { .. }));
            assert!(plant == "data" || results.iter().any(refused), "{plant}");
        }
        assert_eq!(fs::read(&victim).unwrap(), b"precious", "{plant}");
        assert_eq!(names(outside.path()), ["c.bin"], "{plant}");
    }
}

#[test]
fn a_second_store_on_the_same_output_is_told_who_holds_it() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    let first = content.fetch(&options(dir.path())).unwrap();
    let refused = content.fetch(&options(dir.path())).unwrap_err();
    let StorageError::Locked { path, pid } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(path, dir.path().join("tree"));
    assert_eq!(pid, Some(std::process::id()));
    // Other content under the same name is locked out just as well.
    let other = Content::tree(&[("x", 5)])
        .fetch(&options(dir.path()))
        .unwrap_err();
    assert!(matches!(other, StorageError::Locked { .. }));
    drop(first);
    content.fetch(&options(dir.path())).unwrap();
}

#[test]
fn a_lock_left_by_a_dead_process_is_taken_over() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    fs::create_dir(part(dir.path(), "tree")).unwrap();
    fs::write(part(dir.path(), "tree").join("lock"), "4194304").unwrap();
    content.complete(&content.fetch(&options(dir.path())).unwrap());
    content.expect_put(dir.path());
}

#[test]
fn an_unfinished_download_of_other_content_is_left_alone() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    let opened = content.fetch(&options(dir.path())).unwrap();
    opened
        .store
        .write_piece(content.piece(0), content.data(content.piece(0)))
        .unwrap();
    drop(opened);
    let before = names(dir.path());
    let refused = Content::tree(&[("x", 5)])
        .fetch(&options(dir.path()))
        .unwrap_err();
    assert!(
        matches!(refused, StorageError::OtherContent { .. }),
        "{refused:?}"
    );
    assert_eq!(names(dir.path()), before);
}

#[test]
fn a_complete_output_does_not_cost_another_download_its_data() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    let other = Content::tree(&[("x", 50_000)]);
    let opened = other.fetch(&options(dir.path())).unwrap();
    opened
        .store
        .write_piece(other.piece(0), other.data(other.piece(0)))
        .unwrap();
    drop(opened);
    content.put(dir.path());
    assert!(
        content
            .fetch(&options(dir.path()))
            .unwrap()
            .already_complete
    );
    fs::write(dir.path().join("tree/e"), "!").unwrap();
    let mut wishes = options(dir.path());
    wishes.repair = true;
    let refused = content.fetch(&wishes).unwrap_err();
    assert!(
        matches!(refused, StorageError::OtherContent { .. }),
        "{refused:?}"
    );
    assert!(part(dir.path(), "tree").join("data/x").exists());
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_created() {
    let dir = tempdir().unwrap();
    let piece_len = 16 << 20;
    let len: u64 = 1 << 44;
    let info = format!(
        "d6:lengthi{len}e4:name4:huge12:piece lengthi{piece_len}e6:pieces{}:",
        len / piece_len * 20
    );
    let mut bytes = [b"d4:info", info.as_bytes()].concat();
    bytes.resize(bytes.len() + (len / piece_len * 20) as usize, 7);
    bytes.extend(b"ee");
    let meta = swarm::metainfo::Metainfo::parse(&bytes).unwrap();
    let refused = Store::fetch(meta.into(), &options(dir.path()), &Meter::new()).unwrap_err();
    let StorageError::NoSpace { path, free, needed } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((path.as_path(), needed), (dir.path(), len));
    assert!(free < needed);
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_file_changed_during_the_download_is_not_published() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    let opened = content.fetch(&options(dir.path())).unwrap();
    for piece in content.pieces() {
        opened
            .store
            .write_piece(piece, content.data(piece))
            .unwrap();
    }
    let path = part(dir.path(), "tree").join("data/a.bin");
    let mut bytes = fs::read(&path).unwrap();
    bytes[5] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let refused = opened.store.finish().unwrap_err();
    assert!(
        matches!(refused, StorageError::Changed { file: 0, .. }),
        "{refused:?}"
    );
    let lost = opened.store.damaged(content.piece(0), &refused);
    let found = opened.store.recheck(&lost, 1, &Meter::new());
    assert!(!found.has(content.piece(0)) && found.has(content.piece(1)));
    assert_eq!(opened.store.lacking(), [content.piece(0)]);
    opened
        .store
        .write_piece(content.piece(0), content.data(content.piece(0)))
        .unwrap();
    opened.store.finish().unwrap();
    content.expect_put(dir.path());
}

#[test]
fn a_recheck_can_be_called_off() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    content.put(dir.path());
    let meter = Meter::new();
    meter.cancel();
    let refused = Store::fetch(content.meta.clone(), &options(dir.path()), &meter).unwrap_err();
    assert!(matches!(refused, StorageError::Cancelled));
}
