//! What was hashed in an earlier run: when it counts, and when it must not.
#![expect(clippy::unwrap_used, reason = "a test that fails must say where")]

#[path = "storage/content.rs"]
mod content;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use content::{Content, FILES, PIECE_LEN, options};
use swarm::bitfield::Bitfield;
use swarm::metainfo::build::{Builder, NewFile};
use swarm::storage::create::{Hashed, ScanOptions, Symlinks, hash_files, scan};
use swarm::storage::{FetchOptions, HashCache, Meter, StorageError, Store, verify};
use tempfile::{TempDir, tempdir};

/// The tree, and a cache that was verified into.
struct Disk {
    dir: TempDir,
    content: Content,
}

impl Disk {
    fn new() -> Self {
        let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
        content.put(dir.path());
        Self { dir, content }
    }

    fn verified() -> Self {
        let disk = Self::new();
        assert!(disk.verify(&disk.cache()).is_full());
        disk
    }

    fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    /// Opened when all that was written by now is long ago.
    fn cache(&self) -> HashCache {
        self.cache_at(now() + Duration::from_secs(10))
    }

    fn cache_at(&self, now: SystemTime) -> HashCache {
        HashCache::new(Some(self.dir.path().join("state")), now)
    }

    fn verify(&self, cache: &HashCache) -> Bitfield {
        let meta = &self.content.meta;
        verify(meta, &self.tree(), cache, 2, &Meter::new())
            .unwrap()
            .good
    }

    /// The pieces that need not be read.
    fn known(&self) -> Vec<u32> {
        known(&self.content, &self.tree(), &self.cache())
    }

    fn all(&self) -> Vec<u32> {
        self.content.pieces().iter().map(|p| p.get()).collect()
    }

    /// All but the pieces of this file of the manifest.
    fn all_but(&self, file: usize) -> Vec<u32> {
        let file = &self.content.meta.files()[file];
        let range = file.offset..file.offset + file.len;
        let touched: Vec<_> = self.content.meta.layout().pieces_of(range).collect();
        let mut pieces = self.content.pieces();
        pieces.retain(|piece| !touched.contains(piece));
        pieces.iter().map(|p| p.get()).collect()
    }

    /// Changes a byte of the file and gives it back the time that it had.
    fn tamper(&self, file: usize) {
        let path = self.content.path(file, self.dir.path());
        let before = fs::metadata(&path).unwrap();
        let time = before.modified().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[0] ^= 1;
        fs::write(&path, bytes).unwrap();
        give_time(&path, time);
        let changed = || fs::metadata(&path).unwrap();
        // Only a test is so fast that it meets the same tick of an old kernel's clock.
        while (changed().ctime(), changed().ctime_nsec()) == (before.ctime(), before.ctime_nsec()) {
            give_time(&path, time);
        }
        assert_eq!(changed().modified().unwrap(), time);
    }

    fn hash(&self, piece_len: u32, cache: &HashCache) -> Hashed {
        let list = scan(&[self.tree()], &everything(), 2).unwrap();
        let files = list.files.iter().map(|file| NewFile {
            path: file.path.clone(),
            len: file.len,
            executable: file.executable,
        });
        let mut builder = Builder::new("tree", files.collect());
        builder.piece_len = piece_len;
        let arranged = builder.arrange().unwrap();
        let content = (&list, arranged.as_slice());
        hash_files(content, piece_len, cache, 2, &Meter::new()).unwrap()
    }
}

fn known(content: &Content, data: &Path, cache: &HashCache) -> Vec<u32> {
    let store = Store::seed(content.meta.clone(), data).unwrap();
    let meter = Meter::new();
    meter.cancel();
    let checked = store.check(&content.pieces(), cache, 1, &meter);
    assert_eq!(checked.known, checked.good.count(), "nothing was read");
    content.expect_readable(&store, &checked.good);
    checked.good.iter_ones().collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the times of files are wall-clock times"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

fn give_time(path: &Path, time: SystemTime) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
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

#[test]
fn what_was_verified_is_known_to_a_seed_and_to_create() {
    let disk = Disk::new();
    assert_eq!(disk.known(), [0; 0]);
    assert!(disk.verify(&disk.cache()).is_full());
    assert_eq!(disk.known(), disk.all());
    let hashed = disk.hash(PIECE_LEN, &disk.cache());
    assert_eq!(hashed.known as usize, disk.all().len());
    let pieces = disk.content.pieces().into_iter();
    let right: Vec<_> = pieces.map(|p| disk.content.meta.piece_hash(p)).collect();
    assert_eq!(hashed.pieces, right);
}

#[test]
fn what_create_hashed_is_known_by_whatever_way_one_comes_there() {
    let disk = Disk::new();
    let first = disk.hash(PIECE_LEN, &disk.cache());
    assert_eq!(first.known, 0);
    assert_eq!(disk.known(), disk.all());
    let other_way = disk.dir.path().join("link");
    std::os::unix::fs::symlink(disk.dir.path(), &other_way).unwrap();
    let data = other_way.join("./tree/../tree");
    assert_eq!(known(&disk.content, &data, &disk.cache()), disk.all());
}

#[test]
fn pieces_of_another_length_are_hashed() {
    let disk = Disk::verified();
    assert_eq!(disk.hash(2 * PIECE_LEN, &disk.cache()).known, 0);
    let again = disk.hash(2 * PIECE_LEN, &disk.cache());
    assert_eq!(again.known as usize, again.pieces.len());
    assert_eq!(disk.known(), disk.all(), "and both are remembered");
}

#[test]
fn a_file_that_was_written_to_costs_its_own_pieces_whatever_its_time_says() {
    let disk = Disk::verified();
    disk.tamper(3);
    assert_eq!(disk.known(), disk.all_but(3));
    let hashed = disk.hash(PIECE_LEN, &disk.cache());
    assert_eq!(hashed.known as usize, disk.all_but(3).len());
    let right = disk.content.meta.piece_hash(disk.content.piece(2));
    assert_ne!(hashed.pieces[2], right);
    let good = disk.verify(&disk.cache());
    assert!(!good.has(disk.content.piece(2)));
    assert_eq!(
        known(&disk.content, &disk.tree(), &disk.cache()),
        good.iter_ones().collect::<Vec<_>>()
    );
}

#[test]
fn a_file_that_took_the_place_of_another_is_not_it() {
    let disk = Disk::verified();
    let path = disk.content.path(0, disk.dir.path());
    let copy = disk.dir.path().join("copy");
    fs::copy(&path, &copy).unwrap();
    give_time(&copy, fs::metadata(&path).unwrap().modified().unwrap());
    fs::rename(&copy, &path).unwrap();
    assert_eq!(disk.known(), disk.all_but(0));
    fs::remove_file(&path).unwrap();
    assert_eq!(disk.known(), disk.all_but(0));
}

#[test]
fn files_as_young_as_the_run_are_not_remembered() {
    let before = now();
    let disk = Disk::new();
    assert!(disk.verify(&disk.cache_at(before)).is_full());
    disk.hash(PIECE_LEN, &disk.cache_at(before));
    assert!(!disk.dir.path().join("state/hashes").exists());
    // And if a run with a better clock remembered them, they are not believed.
    disk.verify(&disk.cache());
    let cache = disk.cache_at(before);
    assert_eq!(known(&disk.content, &disk.tree(), &cache), [0; 0]);
    assert_eq!(disk.known(), disk.all());
}

#[test]
fn what_is_not_known_is_checked_and_what_changes_later_is_noticed() {
    let disk = Disk::verified();
    disk.tamper(0);
    let store = Store::seed(disk.content.meta.clone(), &disk.tree()).unwrap();
    let pieces = disk.content.pieces();
    let checked = store.check(&pieces, &disk.cache(), 2, &Meter::new());
    assert_eq!(checked.known as usize, disk.all_but(0).len());
    assert_eq!(checked.good.count() as usize, pieces.len() - 1);
    let lacking: Vec<u32> = store.lacking().iter().map(|p| p.get()).collect();
    assert_eq!(lacking, [0], "one byte is wrong");
    disk.tamper(3);
    let offset = disk.content.meta.files()[3].offset;
    store.read_at(offset, &mut [0; 10]).unwrap_err();
    store.remember(&disk.cache());
    assert!(!disk.known().contains(&0));
}

#[test]
fn what_a_fetch_wrote_is_known_to_a_seed_once_it_is_published() {
    for content in [
        Content::tree(&FILES),
        Content::bare(100_000),
        Content::padded(&FILES),
    ] {
        let (dir, state) = (tempdir().unwrap(), tempdir().unwrap());
        let later = now() + Duration::from_secs(10);
        let cache = HashCache::new(Some(state.path().into()), later);
        let opened = content.fetch(&options(dir.path())).unwrap();
        let piece = content.piece(0);
        opened
            .store
            .write_piece(piece, content.data(piece))
            .unwrap();
        opened.store.remember(&cache);
        assert!(
            !state.path().join("hashes").exists(),
            "nothing has its name yet"
        );
        let path = content.complete(&opened);
        opened.store.remember(&cache);
        let known = known(&content, &path, &cache);
        assert_eq!(known.len(), content.pieces().len());
    }
}

#[test]
fn an_output_that_is_known_is_not_read_again_unless_that_is_asked_for() {
    let disk = Disk::verified();
    let mut wishes = options(disk.dir.path());
    wishes.cache = disk.cache();
    let read = |wishes: &FetchOptions| {
        let meter = Meter::new();
        let opened = Store::fetch(disk.content.meta.clone(), wishes, &meter).unwrap();
        assert!(opened.already_complete && opened.have.is_full());
        disk.content.expect_readable(&opened.store, &opened.have);
        meter.total()
    };
    let all = disk.content.bytes.len() as u64;
    assert_eq!(read(&wishes), 0);
    wishes.recheck = true;
    assert_eq!(read(&wishes), all);
    (wishes.recheck, wishes.repair) = (false, true);
    assert_eq!(read(&wishes), all);
    wishes.repair = false;
    disk.tamper(3);
    let refused = disk.content.fetch(&wishes).unwrap_err();
    assert!(
        matches!(refused, StorageError::Exists { differs: 1, .. }),
        "{refused:?}"
    );
}

#[test]
fn whatever_lies_in_the_place_of_the_cache_is_hashed_around() {
    let disk = Disk::verified();
    let path = disk.dir.path().join("state/hashes");
    let whole = fs::read(&path).unwrap();
    for len in [0, 7, 12, 31, whole.len() - 1] {
        fs::write(&path, &whole[..len]).unwrap();
        assert_eq!(disk.known(), [0; 0], "{len} bytes");
    }
    fs::write(&path, vec![0xff; 8 << 20]).unwrap();
    assert_eq!(disk.known(), [0; 0]);
    assert_eq!(disk.hash(PIECE_LEN, &disk.cache()).known, 0);
    assert_eq!(
        fs::read(&path).unwrap().len(),
        whole.len(),
        "and it is mended"
    );
    assert_eq!(disk.known(), disk.all());
}
