//! The store of a seed: what it serves, and how it notices that files change under it.

#[path = "storage/content.rs"]
mod content;

use std::fs;
use std::io::IoSliceMut;

use content::{Content, FILES};
use swarm::storage::{Meter, ReadNow, StorageError, Store};
use tempfile::tempdir;

#[test]
fn a_seed_serves_what_it_verified_until_somebody_changes_it() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    content.put(dir.path());
    let store = Store::seed(content.meta.clone(), &dir.path().join("tree")).unwrap();
    let good = store.recheck(&content.pieces(), 2, &Meter::new());
    assert!(good.is_full());
    content.expect_readable(&store, &good);
    let victim = content.path(3, dir.path());
    let mut bytes = fs::read(&victim).unwrap();
    bytes[99_999] ^= 1;
    fs::write(&victim, &bytes).unwrap();
    let mut buf = [0; 10];
    let refused = store.read_at(60_000, &mut buf).unwrap_err();
    let StorageError::Changed { file, path, .. } = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!((*file, path), (3, &victim));
    let lost = store.damaged(content.piece(3), &refused);
    assert_eq!(lost, store.pieces_of_file(3));
    store
        .read_at(0, &mut buf)
        .expect("another file is as good as before");
    let found = store.recheck(&lost, 1, &Meter::new());
    let bad: Vec<_> = lost
        .iter()
        .filter(|&&piece| !found.has(piece))
        .map(|p| p.get())
        .collect();
    assert_eq!(bad, [8], "one byte spoils one piece");
    content.expect_readable(&store, &found);
}

#[test]
fn a_truncated_or_replaced_file_is_noticed() {
    let (dir, content) = (tempdir().unwrap(), Content::bare(100_000));
    content.put(dir.path());
    let path = content.path(0, dir.path());
    let store = Store::seed(content.meta.clone(), &path).unwrap();
    assert!(store.recheck(&content.pieces(), 1, &Meter::new()).is_full());
    let mut buf = [0; 10];
    store.read_at(0, &mut buf).unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(50_000)
        .unwrap();
    let refused = store.read_at(90_000, &mut buf).unwrap_err();
    assert!(matches!(
        refused,
        StorageError::Changed {
            before: 100_000,
            after: 50_000,
            ..
        }
    ));
    let found = store.recheck(&content.pieces(), 1, &Meter::new());
    assert_eq!(found.iter_ones().collect::<Vec<_>>(), [0, 1, 2]);
    // Somebody puts the whole file back by renaming: the open one is not it.
    let copy = dir.path().join("copy");
    fs::write(&copy, &content.bytes).unwrap();
    fs::rename(&copy, &path).unwrap();
    let found = store.recheck(&content.pieces(), 1, &Meter::new());
    assert!(found.is_full());
    content.expect_readable(&store, &found);
}

/// Reads without waiting: two parts, from `offset` on.
fn read_now(store: &Store, offset: u64) -> (ReadNow, Vec<u8>) {
    let (mut first, mut second) = ([0; 7], [0; 20]);
    let mut parts = [&mut first[..], &mut second[..]].map(IoSliceMut::new);
    let read = store.read_now(offset, &mut parts);
    (read, [&first[..], &second[..]].concat())
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_in_memory_is_read_without_waiting_unless_it_changed() {
    let (dir, content) = (tempdir().unwrap(), Content::bare(100_000));
    content.put(dir.path());
    let path = content.path(0, dir.path());
    let store = Store::seed(content.meta.clone(), &path).unwrap();
    // Opening a file may take time, so somebody who may wait does it first.
    assert_eq!(read_now(&store, 5_000).0, ReadNow::WouldWait);
    assert!(store.recheck(&content.pieces(), 1, &Meter::new()).is_full());
    let (read, bytes) = read_now(&store, 5_000);
    assert_eq!(read, ReadNow::Done);
    assert_eq!(bytes, content.bytes[5_000..5_027]);
    fs::write(&path, "changed").unwrap();
    assert_eq!(read_now(&store, 5_000).0, ReadNow::WouldWait);
}

#[test]
fn what_lies_in_two_files_is_not_read_without_waiting() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    content.put(dir.path());
    let store = Store::seed(content.meta.clone(), &dir.path().join("tree")).unwrap();
    store.recheck(&content.pieces(), 1, &Meter::new());
    let second = content.meta.files()[1].offset;
    assert_eq!(read_now(&store, second - 3).0, ReadNow::WouldWait);
}
