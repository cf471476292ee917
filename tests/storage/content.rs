//! Content to test with: files in memory, their manifest, and the same on a disk.

#![allow(
    dead_code,
    clippy::cast_possible_truncation,
    reason = "each test program uses some of it; its content is small"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use swarm::bitfield::Bitfield;
use swarm::hash;
use swarm::ids::PieceHash;
use swarm::layout::PieceIndex;
use swarm::metainfo::build::{Builder, NewFile};
use swarm::metainfo::{FileKind, Metainfo};
use swarm::storage::{Allocate, FetchOptions, HashCache, Meter, Opened, StorageError, Store};

/// A tree with everything that may go wrong at the ends of files and pieces.
pub(crate) const FILES: [(&str, usize); 6] = [
    ("a.bin", 40_000),
    ("dir/b.sh", 10),
    ("dir/empty", 0),
    ("dir/sub/c.bin", 100_000),
    ("e", 1),
    ("z.bin", 16_384),
];

/// Files, and the manifest made from them.
pub(crate) struct Content {
    pub(crate) meta: Arc<Metainfo>,
    /// All bytes in the order of the manifest, padding included.
    pub(crate) bytes: Vec<u8>,
}

pub(crate) const PIECE_LEN: u32 = 16 << 10;

impl Content {
    /// A directory "tree" with files of these paths and lengths.
    pub(crate) fn tree(files: &[(&str, usize)]) -> Self {
        Self::built(files, false)
    }

    /// The same with each file starting a piece.
    pub(crate) fn padded(files: &[(&str, usize)]) -> Self {
        Self::built(files, true)
    }

    /// One bare file "bare.bin".
    pub(crate) fn bare(len: usize) -> Self {
        let file = NewFile {
            path: Vec::new(),
            len: len as u64,
            executable: false,
        };
        Self::of(Builder::new("bare.bin", vec![file]))
    }

    fn built(files: &[(&str, usize)], pad: bool) -> Self {
        let files = files.iter().map(|(path, len)| NewFile {
            path: path.split('/').map(str::to_owned).collect(),
            len: *len as u64,
            executable: path.contains(".sh"),
        });
        let mut builder = Builder::new("tree", files.collect());
        builder.pad = pad;
        Self::of(builder)
    }

    fn of(mut builder: Builder) -> Self {
        builder.piece_len = PIECE_LEN;
        let mut bytes = Vec::new();
        for entry in builder.arrange().expect("valid names") {
            let len = entry.len as usize;
            match entry.kind {
                FileKind::Padding => bytes.resize(bytes.len() + len, 0),
                _ => bytes.extend(noise(bytes.len(), len)),
            }
        }
        let hashes: Vec<_> = bytes
            .chunks(PIECE_LEN as usize)
            .map(|piece| PieceHash::new(hash::one(piece)))
            .collect();
        let meta = Arc::new(builder.build(&hashes).expect("valid"));
        Self { meta, bytes }
    }

    pub(crate) fn pieces(&self) -> Vec<PieceIndex> {
        self.meta.layout().pieces().collect()
    }

    pub(crate) fn piece(&self, number: u32) -> PieceIndex {
        self.meta.layout().piece(number).expect("exists")
    }

    pub(crate) fn data(&self, piece: PieceIndex) -> &[u8] {
        let start = self.meta.layout().piece_offset(piece) as usize;
        &self.bytes[start..start + self.meta.layout().piece_len(piece) as usize]
    }

    /// The bytes of a file of the manifest.
    pub(crate) fn file(&self, number: usize) -> &[u8] {
        let file = &self.meta.files()[number];
        &self.bytes[file.offset as usize..][..file.len as usize]
    }

    /// Where a file goes below the output directory.
    pub(crate) fn path(&self, number: usize, dir: &Path) -> PathBuf {
        dir.join(self.meta.files()[number].path.as_path())
    }

    /// Writes all files below `dir`, under their real names.
    pub(crate) fn put(&self, dir: &Path) {
        for (number, file) in self.meta.files().iter().enumerate() {
            if file.kind == FileKind::Regular {
                let path = self.path(number, dir);
                fs::create_dir_all(path.parent().expect("below dir")).expect("made");
                fs::write(&path, self.file(number)).expect("written");
            }
        }
    }

    pub(crate) fn expect_put(&self, dir: &Path) {
        for (number, file) in self.meta.files().iter().enumerate() {
            if file.kind == FileKind::Regular {
                let found = fs::read(self.path(number, dir)).expect("readable");
                assert!(found == self.file(number), "{} is right", file.path);
            }
        }
    }

    pub(crate) fn fetch(&self, options: &FetchOptions) -> Result<Opened, StorageError> {
        Store::fetch(Arc::clone(&self.meta), options, &Meter::new())
    }

    /// Writes every piece that is wanted and not there, then publishes.
    pub(crate) fn complete(&self, opened: &Opened) -> PathBuf {
        for number in opened.wanted.iter_difference(&opened.have) {
            let piece = self.piece(number);
            opened
                .store
                .write_piece(piece, self.data(piece))
                .expect("written");
        }
        opened.store.finish().expect("published")
    }

    /// Every piece that the store claims reads back as it should.
    pub(crate) fn expect_readable(&self, store: &Store, have: &Bitfield) {
        for number in have.iter_ones() {
            let piece = self.piece(number);
            let mut found = vec![0; self.data(piece).len()];
            let offset = self.meta.layout().piece_offset(piece);
            store.read_at(offset, &mut found).expect("readable");
            assert!(found == self.data(piece), "piece {number} is right");
        }
    }
}

/// Bytes that repeat nowhere near.
fn noise(seed: usize, len: usize) -> impl Iterator<Item = u8> {
    (seed..seed + len).map(|i| {
        let mixed = (i as u64 ^ 0x9e37_79b9).wrapping_mul(0xff51_afd7_ed55_8ccd);
        (mixed >> 32) as u8
    })
}

/// The plainest way to fetch into `dir`.
pub(crate) fn options(dir: &Path) -> FetchOptions {
    FetchOptions {
        dir: dir.to_path_buf(),
        name: None,
        selected: None,
        allocate: Allocate::Sparse,
        repair: false,
        recheck: false,
        cache: HashCache::default(),
        threads: 2,
    }
}

/// The directory of the unfinished download of `name`.
pub(crate) fn part(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!(".{name}.swarm-part"))
}

/// All names below `dir`, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(at) = dirs.pop() {
        for entry in fs::read_dir(at).expect("a directory") {
            let path = entry.expect("readable").path();
            names.push(path.strip_prefix(dir).expect("below").display().to_string());
            if path.is_dir() && !path.is_symlink() {
                dirs.push(path);
            }
        }
    }
    names.sort();
    names
}
