//! What a journal may claim, and what names may be.

use super::*;
use crate::ids::PieceHash;
use crate::metainfo::build::{Builder, NewFile};
use crate::storage::journal::{Journal, Snapshot};
use crate::storage::stamp::Stamp;

fn meta() -> Arc<Metainfo> {
    let file = NewFile {
        path: Vec::new(),
        len: 50_000,
        executable: false,
    };
    let mut builder = Builder::new("bare", vec![file]);
    builder.piece_len = 16 << 10;
    let hashes = vec![PieceHash::new([7; 20]); 4];
    Arc::new(builder.build(&hashes).expect("valid"))
}

fn options(dir: &Path) -> FetchOptions {
    FetchOptions {
        dir: dir.to_path_buf(),
        name: None,
        selected: None,
        allocate: Allocate::Sparse,
        repair: false,
        recheck: false,
        cache: HashCache::default(),
        threads: 1,
    }
}

#[test]
fn a_journal_that_claims_the_impossible_is_not_believed() {
    let dir = tempfile::tempdir().expect("made");
    let options = options(dir.path());
    let meter = Meter::new();
    let plan = Plan::new(meta(), &options, &meter).expect("opens");
    let part = plan.make_part().expect("made");
    let stamp = Stamp {
        len: 50_000,
        mtime: 0,
        ctime: 0,
        inode: 0,
    };
    let all = Bitfield::full(4);
    let snapshot = Snapshot {
        durable: &all,
        intents: &all,
        stamps: &[(0, stamp), (1, stamp), (2, stamp), (999_999, stamp)],
    };
    Journal::create(&part.dir, &plan.subject(), &snapshot).expect("written");
    drop(part);
    let opened = Store::fetch(meta(), &options, &meter).expect("opens");
    assert!(opened.have.is_empty());
}

#[test]
fn the_name_of_the_unfinished_download_always_fits() {
    assert_eq!(part_name(Path::new("a")), Path::new(".a.swarm-part"));
    let names: Vec<PathBuf> = ["é", "x"]
        .map(|letter| letter.repeat(255 / letter.len()).into())
        .into();
    for name in names {
        let part = part_name(&name);
        assert!(part.as_os_str().len() <= 255, "{}", part.display());
        let other = name.to_string_lossy().replace('x', "y").replace('é', "è");
        assert_ne!(part_name(Path::new(&other)), part);
    }
}

#[test]
fn what_a_failed_sync_was_to_make_durable_is_never_vouched_for() {
    let files = ["a", "b"].map(|name| NewFile {
        path: vec![name.into()],
        len: 20_000,
        executable: false,
    });
    let mut builder = Builder::new("tree", files.into());
    builder.piece_len = 16 << 10;
    let hashes = vec![PieceHash::new([7; 20]); 3];
    let meta = Arc::new(builder.build(&hashes).expect("valid"));
    let dir = tempfile::tempdir().expect("made");
    let mut options = options(dir.path());
    options.selected = Some(vec![true, false]);
    let fetch = || Store::fetch(Arc::clone(&meta), &options, &Meter::new()).expect("opens");
    let mut store = fetch().store;
    let piece = |number| meta.layout().piece(number).expect("exists");
    store
        .write_piece(piece(0), &[1; 16 << 10])
        .expect("written");
    store.checkpoint().expect("durable");
    // A side file that takes every write and cannot be synced; then one that can.
    let side = |path: &Path| {
        let mut how = std::fs::OpenOptions::new();
        Some(
            how.read(true)
                .write(true)
                .create(true)
                .open(path)
                .expect("opens"),
        )
    };
    store
        .files
        .attach(side(Path::new("/dev/null")), Allocate::Sparse);
    store
        .write_piece(piece(1), &[1; 16 << 10])
        .expect("written");
    store.checkpoint().expect_err("not durable");
    assert_eq!(store.lacking(), [piece(1)]);
    store
        .files
        .attach(side(&dir.path().join("side")), Allocate::Sparse);
    store.checkpoint().expect("nothing to do");
    let refused = store.finish().expect_err("a piece is lost");
    assert!(matches!(refused, StorageError::Incomplete { missing: 1 }));
    drop(store);
    let opened = fetch();
    assert_eq!(opened.have.iter_ones().collect::<Vec<_>>(), [0]);
    opened
        .store
        .write_piece(piece(1), &[1; 16 << 10])
        .expect("written");
    opened.store.finish().expect("a piece written again counts");
}
