//! The hashes of pieces that were read before, kept from run to run: what nobody wrote to since
//! need not be read again.
//!
//! A piece is known by what it is made of: which bytes of which files, and the stamps that these
//! had. So what the cache says stays true for ever, or is never asked for again. It is a copy of
//! what can be computed: it is not synced, one that is damaged in any way is as good as none, and
//! nothing that goes wrong with it is an error.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hashlink::LinkedHashMap;

use super::beneath::{Access, Dir};
use super::each::each;
use super::files::Files;
use super::finish::Output;
use super::spans::{Place, piece_range};
use super::stamp::TICK;
use super::{Meter, Store};
use crate::bitfield::Bitfield;
use crate::hash;
use crate::ids::PieceHash;
use crate::layout::{Layout, PieceIndex};

// file     "swarmhsh" version:u32 entry* sum:20     sum = SHA-1 of the SHA-1s of the parts before it
// entry    key:20 hash:20                           newest first

/// The name of the cache in the state directory.
const NAME: &str = "hashes";
const MAGIC: &[u8; 8] = b"swarmhsh";
const VERSION: u32 = 2;
const HEAD_LEN: usize = 8 + 4;
const ENTRY_LEN: usize = 20 + 20;
const SUM_LEN: usize = 20;

/// Bytes summed side by side with others: a full cache is 320 such parts.
const PART_LEN: usize = 16 << 10;

/// The oldest entries beyond so many are dropped. Chosen: 5 MiB, enough for 65 contents of 2,000
/// pieces, the usual most, or for 2 TiB in pieces of 16 MiB. A run that writes such a
/// cache anew needs some 15 ms of processor time for it (docs/performance.md).
const ENTRIES_MAX: usize = 1 << 17;

/// What a piece is made of, hashed.
type Key = [u8; 20];

type Entry = [u8; ENTRY_LEN];

/// Where hashes are remembered from run to run, if anywhere.
#[derive(Clone, Debug, Default)]
pub struct HashCache {
    /// The state directory.
    dir: Option<PathBuf>,
    /// When it was opened, in nanoseconds since 1970.
    opened: i64,
}

impl HashCache {
    /// For so long after a write another one may leave the same times, but for file systems that
    /// count in more than hundredths of a second; no file as young as that is remembered.
    pub const TICK: Duration = TICK;

    /// The cache in the state directory `dir`. `now` must be before anything is read that is to be
    /// remembered: files as young as that are not believed to tell by their stamp of a later write.
    pub fn new(dir: Option<PathBuf>, now: SystemTime) -> Self {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            dir,
            opened: i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        }
    }

    /// What the pieces are known by, as far as any are remembered; `None` for one that cannot be.
    pub(super) fn keys(&self, files: &Files, layout: &Layout) -> Vec<Option<Key>> {
        if self.dir.is_none() {
            return Vec::new();
        }
        let ids = self.file_ids(files);
        let pieces = layout.pieces().take(ENTRIES_MAX);
        let mut parts = Vec::new();
        let keys = pieces.map(|piece| {
            parts.clear();
            for segment in files.segments(piece_range(layout, piece)) {
                parts.extend(match segment.place {
                    Place::File(file) => ids[file]?,
                    Place::Zeros => Key::default(),
                    Place::Side | Place::Nowhere => return None,
                });
                parts.extend(segment.offset.to_le_bytes());
                parts.extend((segment.len as u64).to_le_bytes());
            }
            Some(hash::one(&parts))
        });
        keys.collect()
    }

    /// Path and stamp of each file, hashed; `None` where they would not tell of a later write.
    fn file_ids(&self, files: &Files) -> Vec<Option<Key>> {
        let mut dir = PathBuf::new();
        let mut real_dir = PathBuf::new();
        let mut id = |file| {
            let stamp = files.stamp(file)?;
            if !stamp.is_settled(self.opened) {
                return None;
            }
            let path = files.path(file);
            let parent = path.parent()?;
            if dir != parent {
                // However the user came there; asked once for all files of a directory.
                real_dir = fs::canonicalize(parent).ok()?;
                parent.clone_into(&mut dir);
            }
            let mut bytes = stamp.to_bytes().to_vec();
            let real = real_dir.join(path.file_name()?);
            bytes.extend_from_slice(real.as_os_str().as_encoded_bytes());
            Some(hash::one(&bytes))
        };
        (0..files.side_number()).map(&mut id).collect()
    }

    /// The hashes of the pieces with these keys, where they are remembered.
    pub(super) fn recall(&self, keys: &[Option<Key>]) -> Vec<Option<PieceHash>> {
        let mut known: LinkedHashMap<Key, Option<PieceHash>> =
            keys.iter().flatten().map(|&key| (key, None)).collect();
        for (key, hash) in entries(&self.read()).iter().map(split) {
            if let Some(found) = known.get_mut(&key) {
                *found = Some(hash);
            }
        }
        let hash = |key: &Option<Key>| *known.get(key.as_ref()?)?;
        keys.iter().map(hash).collect()
    }

    /// Remembers these hashes, and forgets those keys that have none.
    pub(super) fn keep(
        &self,
        keys: &[Option<Key>],
        hashes: impl Iterator<Item = Option<PieceHash>>,
    ) {
        let Some(dir) = &self.dir else {
            return;
        };
        let pairs = keys.iter().zip(hashes);
        let ours: LinkedHashMap<Key, Option<PieceHash>> = pairs
            .filter_map(|(key, hash)| Some(((*key)?, hash)))
            .collect();
        // Another process may have written since this one read.
        let read = self.read();
        let (old, others): (Vec<&Entry>, Vec<&Entry>) = entries(&read)
            .iter()
            .partition(|entry| ours.contains_key(&split(entry).0));
        let old: BTreeMap<Key, PieceHash> = old.into_iter().map(split).collect();
        let new = ours.iter().filter_map(|(&key, &hash)| Some((key, hash?)));
        if old == new.clone().collect() {
            return;
        }
        let kept = new.map(join).chain(others.into_iter().copied());
        if let Err(error) = write(dir, &encode(kept.take(ENTRIES_MAX))) {
            tracing::debug!("hashes not remembered: {error}");
        }
    }

    /// What the file holds; nothing if it is not to be believed.
    fn read(&self) -> Vec<u8> {
        let Some(dir) = &self.dir else {
            return Vec::new();
        };
        let read = || -> io::Result<Option<Vec<u8>>> {
            // What is no plain file is not waited for.
            let file = Dir::open(dir)?.file(Path::new(NAME), Access::Read)?;
            let len_max = HEAD_LEN + ENTRIES_MAX * ENTRY_LEN + SUM_LEN;
            let mut bytes = Vec::new();
            file.take(len_max as u64 + 1).read_to_end(&mut bytes)?;
            Ok(decode(&bytes).is_some().then_some(bytes))
        };
        match read() {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                tracing::debug!("the remembered hashes are damaged or of another version");
                Vec::new()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                tracing::debug!("no hashes remembered: {error}");
                Vec::new()
            }
        }
    }
}

impl Store {
    /// Hashes these pieces as [`Store::recheck`] does, but not those that the cache knows. To be
    /// asked before anything is verified in another way.
    pub fn check(
        &self,
        pieces: &[PieceIndex],
        cache: &HashCache,
        threads: usize,
        meter: &Meter,
    ) -> Checked {
        let known = self.recall(pieces, cache, threads);
        let mut unknown = pieces.to_vec();
        unknown.retain(|&piece| !known.has(piece));
        let mut good = self.recheck(&unknown, threads, meter);
        // What changed meanwhile was withdrawn.
        let ledger = self.ledger();
        for &piece in pieces {
            if ledger.have().has(piece) {
                good.insert(piece);
            }
        }
        drop(ledger);
        Checked {
            good,
            known: known.count(),
        }
    }

    /// Takes those of the pieces for verified that the cache knows and whose files are as they were
    /// then. Says which.
    fn recall(&self, pieces: &[PieceIndex], cache: &HashCache, threads: usize) -> Bitfield {
        let layout = self.meta.layout();
        let files: Vec<usize> = self.files_of(pieces).into_iter().collect();
        each(&files, threads, |&file| self.files.rebase(file));
        let recalled = cache.recall(&cache.keys(&self.files, layout));
        let mut known = Bitfield::empty(layout.piece_count());
        for (piece, hash) in layout.pieces().zip(recalled) {
            if hash == Some(self.meta.piece_hash(piece)) {
                known.insert(piece);
            }
        }
        self.ledger().found(layout, &mut known);
        known
    }

    /// Remembers which pieces are there, under their real name. Those that are not are forgotten,
    /// so it is to be asked only after all of them were verified.
    pub fn remember(&self, cache: &HashCache) {
        if !matches!(*self.output(), Output::Complete(_)) {
            return;
        }
        let have = self.ledger().have().clone();
        let pieces = self.meta.layout().pieces();
        let hashes = pieces.map(|piece| have.has(piece).then(|| self.meta.piece_hash(piece)));
        cache.keep(&cache.keys(&self.files, self.meta.layout()), hashes);
    }
}

/// What [`Store::check`] found.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The pieces that are good.
    pub good: Bitfield,
    /// How many of them the cache knew.
    pub known: u32,
}

/// Another process may do the same at this moment: the file is whole whoever comes last.
fn write(dir: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.persist(dir.join(NAME))?;
    Ok(())
}

fn encode(entries: impl Iterator<Item = Entry>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    for entry in entries {
        bytes.extend_from_slice(&entry);
    }
    let sum = sum_of(&bytes);
    bytes.extend(sum);
    bytes
}

/// The entries; `None` if a single byte is wrong.
fn decode(bytes: &[u8]) -> Option<&[Entry]> {
    let (body, sum) = bytes.split_last_chunk::<SUM_LEN>()?;
    let (head, rows) = body.split_at_checked(HEAD_LEN)?;
    let is_ours = head[..8] == *MAGIC && head[8..] == VERSION.to_le_bytes();
    let is_whole = rows.len() % ENTRY_LEN == 0 && rows.len() / ENTRY_LEN <= ENTRIES_MAX;
    (is_ours && is_whole && sum_of(body) == *sum).then(|| entries(bytes))
}

/// The entries of a file that was believed, or of none.
fn entries(bytes: &[u8]) -> &[Entry] {
    let rows = bytes.get(HEAD_LEN..bytes.len().saturating_sub(SUM_LEN));
    rows.unwrap_or_default().as_chunks().0
}

fn sum_of(body: &[u8]) -> [u8; SUM_LEN] {
    let parts: Vec<&[u8]> = body.chunks(PART_LEN).collect();
    hash::one(&hash::many(&parts).concat())
}

fn join((key, hash): (Key, PieceHash)) -> Entry {
    let mut entry = [0; ENTRY_LEN];
    entry[..20].copy_from_slice(&key);
    entry[20..].copy_from_slice(hash.as_bytes());
    entry
}

fn split(entry: &Entry) -> (Key, PieceHash) {
    let (mut key, mut hash) = (Key::default(), [0; 20]);
    key.copy_from_slice(&entry[..20]);
    hash.copy_from_slice(&entry[20..]);
    (key, PieceHash::new(hash))
}

#[cfg(test)]
mod tests;
