//! The files of a bench: content made of a number, a copy for each machine, all of it in one
//! directory that goes when the bench does, whichever way it ends.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use super::args::Plan;
use crate::bitfield::Bitfield;
use crate::cli::error::{CliError, Exit};
use crate::cli::hashing::{Label, sampled};
use crate::cli::units::show_size;
use crate::cli::{App, create};
use crate::metainfo::Metainfo;
use crate::metainfo::escape::escape;
use crate::storage::create::FileList;
use crate::storage::{Allocate, FetchOptions, HashCache, Meter, Opened, StorageError, Store};

/// What the content is called.
const NAME: &str = "bench.bin";

/// Room left on the disk beside the copies: journals and manifests.
const ROOM: u64 = 64 << 20;

/// Bytes made at a time.
const FILL_LEN: usize = 1 << 20;

/// Where the bench takes place.
#[derive(Debug)]
pub(super) struct Scene {
    dir: TempDir,
    list: FileList,
    meta: Arc<Metainfo>,
}

impl Scene {
    /// Makes the content and its manifest.
    pub(super) fn prepare(plan: &Plan, app: &mut App<'_>) -> Result<Self, CliError> {
        let dir = tempfile::Builder::new()
            .prefix("swarm-bench-")
            .tempdir()
            .map_err(|error| unusable(&std::env::temp_dir(), &error))?;
        check_space(dir.path(), plan)?;
        let source = dir.path().join("source");
        let path = source.join(NAME);
        let label = Label {
            verb: "Writing",
            name: NAME,
        };
        fs::create_dir(&source).map_err(|error| unusable(&source, &error))?;
        sampled(app, label, |meter| {
            fill(&path, plan.size, plan.rng_seed, meter)
        })
        .map_err(|error| unusable(&path, &error))?;
        let list = create::scanned(&[path], &create::scan_all(), app)?;
        let mut builder = create::plain_builder(&list);
        builder.piece_len = plan.piece_len;
        let nothing = HashCache::default();
        let create::Created { meta, list, .. } = create::hashed(&builder, list, &nothing, app)?;
        let meta = Arc::new(meta);
        Ok(Self { dir, list, meta })
    }

    /// What describes the content.
    pub(super) const fn meta(&self) -> &Arc<Metainfo> {
        &self.meta
    }

    /// Every piece.
    pub(super) fn all_pieces(&self) -> Bitfield {
        Bitfield::full(self.meta.layout().piece_count())
    }

    /// The content itself.
    pub(super) fn content(&self) -> PathBuf {
        self.dir.path().join("source").join(NAME)
    }

    /// The content, to be shared.
    pub(super) fn seed(&self, app: &App<'_>) -> Result<Store, CliError> {
        Store::seed_created(Arc::clone(&self.meta), &self.list).map_err(|error| app.fault(&error))
    }

    /// An empty place for the copy of one machine.
    pub(super) fn place(&self, host: usize) -> Result<PathBuf, CliError> {
        let dir = self.dir.path().join(host.to_string());
        fs::create_dir(&dir).map_err(|error| unusable(&dir, &error))?;
        Ok(dir)
    }

    /// The same, ready to be fetched into as `swarm fetch` does.
    pub(super) fn fetch(&self, host: usize, app: &App<'_>) -> Result<Opened, CliError> {
        let options = FetchOptions {
            dir: self.place(host)?,
            name: None,
            selected: None,
            allocate: Allocate::default(),
            repair: false,
            recheck: false,
            cache: HashCache::default(),
            threads: 1,
        };
        Store::fetch(Arc::clone(&self.meta), &options, &Meter::new())
            .map_err(|error| app.fault(&error))
    }

    /// Where the finished copy of a machine is.
    pub(super) fn copy_of(&self, host: usize) -> PathBuf {
        self.dir.path().join(host.to_string()).join(NAME)
    }

    /// Reads the copy of a machine back and compares every piece with its hash, then removes it.
    pub(super) fn verify(&self, host: usize, app: &mut App<'_>) -> Result<(), CliError> {
        let path = self.copy_of(host);
        let threads = app.threads;
        let label = Label {
            verb: "Checking",
            name: NAME,
        };
        let bad = sampled(app, label, |meter| {
            wrong_pieces(&self.meta, &path, threads, meter)
        })
        .map_err(|error| app.fault(&error))?;
        if let Some(exit) = app.stop_asked() {
            return Err(CliError::new(exit, "interrupted"));
        }
        if bad > 0 {
            let what = format!("{bad} pieces of the copy of machine {host} are wrong");
            return Err(CliError::new(Exit::Mismatch, what));
        }
        self.clear(host)
    }

    /// Removes the copy of a machine.
    fn clear(&self, host: usize) -> Result<(), CliError> {
        let dir = self.dir.path().join(host.to_string());
        fs::remove_dir_all(&dir).map_err(|error| unusable(&dir, &error))
    }
}

/// How many pieces of the copy do not have their hash.
fn wrong_pieces(
    meta: &Arc<Metainfo>,
    copy: &Path,
    threads: usize,
    meter: &Meter,
) -> Result<u32, StorageError> {
    let store = Store::seed(Arc::clone(meta), copy)?;
    let pieces: Vec<_> = meta.layout().pieces().collect();
    let good = store.recheck(&pieces, threads, meter);
    Ok(good.len() - good.count())
}

/// Writes the content: bytes that look random and follow from the number alone.
fn fill(path: &Path, size: u64, rng_seed: u64, meter: &Meter) -> io::Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(rng_seed);
    let mut file = BufWriter::new(File::create_new(path)?);
    let mut bytes = vec![0; FILL_LEN];
    meter.expect(size);
    let mut left = size;
    while left > 0 && !meter.is_cancelled() {
        let len = usize::try_from(left).map_or(FILL_LEN, |left| left.min(FILL_LEN));
        rng.fill_bytes(&mut bytes);
        file.write_all(&bytes[..len])?;
        meter.advance(len as u64);
        left -= len as u64;
    }
    file.flush()
}

/// Finds out before minutes of work that the disk is too small.
fn check_space(dir: &Path, plan: &Plan) -> Result<(), CliError> {
    let stat = rustix::fs::statvfs(dir).map_err(|error| unusable(dir, &error.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let needed = plan.disk_bytes().saturating_add(ROOM);
    if free >= needed {
        return Ok(());
    }
    let what = format!(
        "{} has {} free, {} needed ({} short)",
        shown(&std::env::temp_dir()),
        show_size(free),
        show_size(needed),
        show_size(needed - free),
    );
    let help = "a smaller --size, fewer --peers, or TMPDIR=DIR for a directory on another disk";
    Err(CliError::new(Exit::Disk, what).help(help))
}

fn unusable(path: &Path, error: &io::Error) -> CliError {
    let what = format!("cannot use {}: {error}", shown(path));
    CliError::new(Exit::Disk, what)
        .because(error)
        .help("TMPDIR=DIR for another directory")
}

fn shown(path: &Path) -> String {
    escape(path.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::create::{hash_files, scan};

    fn filled(dir: &Path, name: &str, rng_seed: u64) -> Vec<u8> {
        let path = dir.join(name);
        fill(&path, 2_000_000, rng_seed, &Meter::new()).unwrap();
        fs::read(path).unwrap()
    }

    #[test]
    fn the_content_follows_from_the_number_alone() {
        let dir = tempfile::tempdir().unwrap();
        let content = filled(dir.path(), "a", 7);
        assert_eq!(content.len(), 2_000_000);
        assert!(content == filled(dir.path(), "b", 7));
        assert!(content != filled(dir.path(), "c", 8));
    }

    #[test]
    fn a_copy_with_one_wrong_byte_is_found_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut content = filled(dir.path(), NAME, 7);
        let path = dir.path().join(NAME);
        let list = scan(std::slice::from_ref(&path), &create::scan_all(), 1).unwrap();
        let mut builder = create::plain_builder(&list);
        builder.piece_len = 65_536;
        let arranged = builder.arrange().unwrap();
        let list = (&list, arranged.as_slice());
        let (cache, meter) = (HashCache::default(), Meter::new());
        let hashed = hash_files(list, 65_536, &cache, 1, &meter).unwrap();
        let meta = Arc::new(builder.build(&hashed.pieces).unwrap());
        assert_eq!(wrong_pieces(&meta, &path, 1, &Meter::new()).unwrap(), 0);
        content[1_234_567] ^= 1;
        fs::write(&path, &content).unwrap();
        assert_eq!(wrong_pieces(&meta, &path, 1, &Meter::new()).unwrap(), 1);
        fs::write(&path, &content[..1_000_000]).unwrap();
        assert!(wrong_pieces(&meta, &path, 1, &Meter::new()).unwrap() >= 15);
    }
}
