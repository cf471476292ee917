//! Disks that are full or read-only, and many files. A small disk of its own needs the right to
//! mount one: without it these tests say so loudly, and under `CI=true` they fail.

#[path = "storage/content.rs"]
mod content;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use content::{Content, PIECE_LEN, options, part};
use swarm::storage::create::{ScanOptions, Symlinks, hash_files, scan};
use swarm::storage::verify::FileFault;
use swarm::storage::{Allocate, HashCache, Meter, StorageError, Store, verify};
use tempfile::{TempDir, tempdir};

/// A file system in memory of a few hundred KiB.
struct SmallDisk {
    at: TempDir,
}

impl SmallDisk {
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    fn new(kib: u32) -> Option<Self> {
        let disk = Self {
            at: tempdir().expect("made"),
        };
        let size = format!("size={kib}k");
        if mount(&["-t", "tmpfs", "-o", &size, "tmpfs"], disk.path()) {
            return Some(disk);
        }
        let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!in_ci, "CI must be able to mount a small tmpfs");
        eprintln!("SKIPPED: may not mount a small tmpfs here (run as root to test full disks)");
        None
    }

    fn path(&self) -> &Path {
        self.at.path()
    }

    /// Takes all the space that is left.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("ballast");
        let mut len = 4 << 20;
        while len > 0 {
            let grown = fs::read(&path).unwrap_or_default();
            if fs::write(&path, [grown, vec![1; len]].concat()).is_err() {
                len /= 2;
            }
        }
        path
    }

    /// Gives it back. Emptied first: whatever program another test starts at this moment holds the
    /// file open for a while, and then its name alone is gone.
    fn free(ballast: &Path) {
        fs::write(ballast, "").expect("emptied");
        fs::remove_file(ballast).expect("removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn mount(args: &[&str], at: &Path) -> bool {
    let mounted = Command::new("mount").args(args).arg(at).output();
    mounted.is_ok_and(|output| output.status.success())
}

#[test]
fn a_disk_too_small_is_told_before_anything_is_written() {
    let Some(disk) = SmallDisk::new(256) else {
        return;
    };
    for content in [
        Content::bare(300_000),
        Content::tree(&[("a", 100_000), ("b", 200_000)]),
    ] {
        for allocate in [Allocate::None, Allocate::Sparse, Allocate::Full] {
            let mut wishes = options(disk.path());
            wishes.allocate = allocate;
            let refused = content.fetch(&wishes).unwrap_err();
            assert!(
                matches!(refused, StorageError::NoSpace { free, needed: 300_000, .. } if free < 300_000),
                "{refused:?}"
            );
            assert_eq!(content::names(disk.path()), [""; 0]);
        }
    }
}

#[test]
fn space_taken_by_an_earlier_run_is_not_asked_for_again() {
    let Some(disk) = SmallDisk::new(400) else {
        return;
    };
    let content = Content::bare(300_000);
    let opened = content.fetch(&options(disk.path())).unwrap();
    (0..15).for_each(|n| {
        opened
            .store
            .write_piece(content.piece(n), content.data(content.piece(n)))
            .unwrap();
    });
    drop(opened);
    let opened = content.fetch(&options(disk.path())).unwrap();
    assert_eq!(opened.have.count(), 15);
    content.complete(&opened);
    content.expect_put(disk.path());
}

#[test]
fn a_disk_that_fills_up_stops_the_download_and_nothing_else() {
    let Some(disk) = SmallDisk::new(800) else {
        return;
    };
    let content = Content::tree(&[("a", 200_000), ("b", 200_000)]);
    let opened = content.fetch(&options(disk.path())).unwrap();
    let write = |n: u32| {
        opened
            .store
            .write_piece(content.piece(n), content.data(content.piece(n)))
    };
    (0..10).for_each(|number| write(number).unwrap());
    opened.store.checkpoint().unwrap();
    let ballast = disk.fill();
    let mut refused = 0;
    for number in 10..25 {
        match write(number) {
            Ok(()) => {}
            Err(StorageError::NoSpace { .. }) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(refused >= 10, "{refused}");
    opened.store.finish().expect_err("never finished");
    let first_ten = opened
        .store
        .recheck(&content.pieces()[..10], 1, &Meter::new());
    assert_eq!(first_ten.count(), 10, "what was there is still served");
    // Space is back: the same store goes on.
    SmallDisk::free(&ballast);
    (10..25).for_each(|number| write(number).unwrap());
    opened.store.finish().unwrap();
    content.expect_put(disk.path());
}

#[test]
fn a_run_that_ended_on_a_full_disk_is_taken_up_where_it_was() {
    let Some(disk) = SmallDisk::new(800) else {
        return;
    };
    let content = Content::bare(400_000);
    let opened = content.fetch(&options(disk.path())).unwrap();
    let write = |n: u32| {
        opened
            .store
            .write_piece(content.piece(n), content.data(content.piece(n)))
    };
    (0..10).for_each(|number| write(number).unwrap());
    let ballast = disk.fill();
    (10..20).for_each(|number| assert!(matches!(write(number), Err(StorageError::NoSpace { .. }))));
    let _may_fail = opened.store.checkpoint();
    drop(opened);
    SmallDisk::free(&ballast);
    let opened = content.fetch(&options(disk.path())).unwrap();
    assert_eq!(
        opened.have.iter_ones().collect::<Vec<_>>(),
        (0..10).collect::<Vec<_>>()
    );
    content.complete(&opened);
    content.expect_put(disk.path());
}

#[test]
fn a_read_only_disk_is_told_from_a_full_one() {
    let Some(disk) = SmallDisk::new(800) else {
        return;
    };
    let content = Content::tree(&[("a", 20_000)]);
    content.put(disk.path());
    assert!(mount(&["-o", "remount,ro"], disk.path()));
    let complete = content.fetch(&options(disk.path())).unwrap();
    assert!(complete.already_complete, "reading is enough for that");
    let other = Content::bare(10);
    let refused = other.fetch(&options(disk.path())).unwrap_err();
    assert!(
        matches!(refused, StorageError::ReadOnly { .. }),
        "{refused:?}"
    );
}

#[test]
fn thousands_of_small_files_are_created_fetched_and_verified() {
    let dir = tempdir().unwrap();
    let names: Vec<String> = (0..3_000).map(|n| format!("d{}/f{n}", n % 50)).collect();
    let files: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 100)).collect();
    let content = Content::tree(&files);
    let opened = content.fetch(&options(dir.path())).unwrap();
    let half = content.pieces().len() / 2;
    for &piece in &content.pieces()[..half] {
        opened
            .store
            .write_piece(piece, content.data(piece))
            .unwrap();
    }
    opened.store.checkpoint().unwrap();
    drop(opened);
    let opened = content.fetch(&options(dir.path())).unwrap();
    assert_eq!(opened.have.count() as usize, half);
    let tree = content.complete(&opened);
    let meter = Meter::new();
    let report = verify(&content.meta, &tree, &HashCache::default(), 2, &meter).unwrap();
    assert!(report.is_good());
    let list = scan(&[tree], &everything(), 2).unwrap();
    let arranged: Vec<_> = content.meta.files().to_vec();
    let content_of = (&list, arranged.as_slice());
    let hashed = hash_files(content_of, PIECE_LEN, &HashCache::default(), 2, &meter).unwrap();
    let known = content
        .pieces()
        .into_iter()
        .map(|piece| content.meta.piece_hash(piece));
    assert_eq!(hashed.pieces, known.collect::<Vec<_>>());
    let seed = Store::seed_created(content.meta.clone(), &list).unwrap();
    content.expect_readable(&seed, &opened.wanted);
}

#[test]
fn verify_names_the_bad_files_and_spares_their_neighbours() {
    let dir = tempdir().unwrap();
    let content = Content::tree(&[("a", 10), ("b", 50_000), ("c", 20), ("d", 40_000), ("e", 0)]);
    content.put(dir.path());
    let tree = dir.path().join("tree");
    fs::write(tree.join("b"), vec![0; 49_999]).unwrap();
    let mut bytes = content.file(3).to_vec();
    bytes[39_999] ^= 1;
    fs::write(tree.join("d"), bytes).unwrap();
    fs::remove_file(tree.join("e")).unwrap();
    let (cache, meter) = (HashCache::default(), Meter::new());
    let report = verify(&content.meta, &tree, &cache, 1, &meter).unwrap();
    assert!(!report.is_good());
    let bad: Vec<_> = report
        .bad_files
        .iter()
        .map(|bad| (bad.file, bad.fault))
        .collect();
    assert_eq!(
        bad,
        [
            (1, FileFault::Size(49_999)),
            (3, FileFault::Content),
            (4, FileFault::Missing)
        ],
        "a and c share pieces with b alone"
    );
    assert_eq!(report.bad_files[0].pieces, [0..=3]);
    assert_eq!(report.bad_files[1].pieces, [3..=3, 5..=5]);
    assert_eq!(report.bad_files[1].path, tree.join("d"));
    let gone = verify(&content.meta, &dir.path().join("none"), &cache, 1, &meter);
    assert!(matches!(gone, Err(StorageError::NotFound { .. })));
    assert!(!part(dir.path(), "tree").exists());
}

fn everything() -> ScanOptions {
    ScanOptions {
        name: None,
        rules: Vec::new(),
        gitignore: false,
        hidden: true,
        junk: true,
        symlinks: Symlinks::Follow,
    }
}
