//! The files that content lies in: a bounded set of open ones, read and written by content offset.
//!
//! Each file carries the stamp it had when its pieces were last known good. Our own writes renew
//! it; anybody else's make every read fail until the file has been checked again.

mod handles;
mod location;
mod now;
mod prefetch;
mod reader;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rustix::fs::Stat;
use rustix::io::Errno;

use super::Allocate;
use super::error::StorageError;
use super::spans::{Place, Segment, Spans};
use super::stamp::Stamp;
use handles::Handles;
use location::Purpose;

pub(super) use location::{Location, below_top};
pub use now::ReadNow;
pub(super) use reader::Reader;

/// With more files than this to make durable, one `syncfs` is cheaper. Chosen.
pub(super) const SYNC_SINGLY_MAX: usize = 64;

#[derive(Debug, Default)]
struct State {
    /// What the file was when its pieces were last known good; `None` before.
    stamp: Option<Stamp>,
    /// Writes of ours under way; the stamp means nothing while there are any.
    writers: u32,
    /// Somebody else wrote to it.
    foreign: bool,
}

/// All files of some content.
#[derive(Debug)]
pub(super) struct Files {
    spans: Spans,
    /// The length that each file should have.
    lengths: Vec<u64>,
    location: RwLock<Location>,
    side: Option<Arc<File>>,
    allocate: Allocate,
    /// Files that writing only compares.
    kept: BTreeSet<usize>,
    /// One per file, then one for the side file.
    states: Vec<Mutex<State>>,
    /// As many, each held by whoever writes content: the kernel lets one write to a file at a time,
    /// and has the others spin.
    turns: Vec<Mutex<()>>,
    handles: Mutex<Handles>,
}

impl Files {
    /// Files of these lengths, to be read.
    pub(super) fn new(spans: Spans, lengths: Vec<u64>, location: Location) -> Self {
        Self {
            states: (0..=lengths.len()).map(|_| Mutex::default()).collect(),
            turns: (0..=lengths.len()).map(|_| Mutex::default()).collect(),
            spans,
            lengths,
            location: RwLock::new(location),
            side: None,
            allocate: Allocate::default(),
            kept: BTreeSet::new(),
            handles: Mutex::default(),
        }
    }

    /// What writing needs: the side file, and a way to take space.
    pub(super) fn attach(&mut self, side: Option<File>, allocate: Allocate) {
        self.side = side.map(Arc::new);
        self.allocate = allocate;
    }

    /// From now on, writing to these files only makes sure that they say the same already.
    pub(super) fn keep_content(&mut self, files: BTreeSet<usize>) {
        self.kept = files;
    }

    /// Size that the side file has to have, in bytes.
    pub(super) fn side_len(&self) -> u64 {
        self.spans.side_len()
    }

    /// The runs that make up `range` of the content.
    pub(super) fn segments(&self, range: Range<u64>) -> impl Iterator<Item = Segment> + '_ {
        self.spans.segments(range)
    }

    /// The number under which the side file is known here.
    pub(super) fn side_number(&self) -> usize {
        self.lengths.len()
    }

    /// The files (the side file included) that `range` of the content touches.
    pub(super) fn files_of(&self, range: Range<u64>) -> impl Iterator<Item = usize> + '_ {
        self.spans
            .segments(range)
            .filter_map(|segment| match segment.place {
                Place::File(file) => Some(file),
                Place::Side => Some(self.side_number()),
                Place::Zeros | Place::Nowhere => None,
            })
    }

    /// Fills `buf` from `offset` of the content on.
    ///
    /// # Errors
    /// [`StorageError::Changed`] if a file has another stamp than its pieces were verified with.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        Reader::looking_always(self).read(offset, buf)
    }

    /// Writes `data` from `offset` of the content on; what is padding or kept nowhere is dropped.
    pub(super) fn write(&self, offset: u64, mut data: &[u8]) -> Result<(), StorageError> {
        for segment in self.spans.segments(offset..offset + data.len() as u64) {
            let (part, rest) = data.split_at(segment.len);
            data = rest;
            match segment.place {
                Place::File(file) => self.write_file(file, segment.offset, part)?,
                Place::Side => self.write_file(self.side_number(), segment.offset, part)?,
                Place::Zeros | Place::Nowhere => {}
            }
        }
        Ok(())
    }

    /// Takes what a file is at present as the state from which changes count, and forgets the
    /// ones before. Only sound if all its pieces are hashed again afterwards.
    pub(super) fn rebase(&self, file: usize) {
        self.handles().remove(file);
        let stamp = self.stamp_on_disk(file);
        let mut state = self.state(file);
        state.stamp = stamp;
        state.foreign = false;
    }

    /// Sets the stamp that a file must have; for pieces verified in an earlier life.
    pub(super) fn trust(&self, file: usize, stamp: Stamp) {
        self.state(file).stamp = Some(stamp);
    }

    /// Whether nobody but us wrote to the file since [`Files::rebase`] or [`Files::trust`].
    pub(super) fn is_intact(&self, file: usize) -> bool {
        let on_disk = self.stamp_on_disk(file);
        let state = self.state(file);
        !state.foreign && (state.writers > 0 || state.stamp.is_none() || state.stamp == on_disk)
    }

    /// # Errors
    /// [`StorageError::Changed`] if it is not.
    pub(super) fn expect_intact(&self, file: usize) -> Result<(), StorageError> {
        if self.is_intact(file) {
            return Ok(());
        }
        let after = self.stamp_on_disk(file).map_or(0, |stamp| stamp.len);
        Err(self.changed(file, after))
    }

    /// The stamp with which the file's pieces are vouched for, if they are.
    pub(super) fn stamp(&self, file: usize) -> Option<Stamp> {
        let state = self.state(file);
        state.stamp.filter(|_| !state.foreign)
    }

    /// The stamps of all files that have one.
    pub(super) fn stamps(&self) -> Vec<(usize, Stamp)> {
        let numbers = 0..self.states.len();
        numbers
            .filter_map(|file| Some((file, self.stamp(file)?)))
            .collect()
    }

    /// The stamp that the file system has for the name of the file; `None` if there is no plain
    /// file.
    pub(super) fn stamp_on_disk(&self, file: usize) -> Option<Stamp> {
        if file == self.side_number() {
            return self.side.as_ref().and_then(|side| Stamp::of(side).ok());
        }
        Stamp::of_plain(&self.stat(file)?)
    }

    /// Whether nothing has the name of the file.
    ///
    /// # Errors
    /// [`StorageError::InTheWay`] if something else than a plain file has it, or a file that of
    /// one of its directories.
    pub(super) fn is_absent(&self, file: usize) -> Result<bool, StorageError> {
        let path = self.path(file);
        match self.location().stat(file) {
            Ok(stat) if Stamp::of_plain(&stat).is_none() => Err(StorageError::InTheWay { path }),
            Err(Errno::NOTDIR) => Err(StorageError::InTheWay { path }),
            Err(Errno::NOENT) => Ok(true),
            _ => Ok(false),
        }
    }

    /// Whether the file can be opened for reading.
    pub(super) fn can_open(&self, file: usize) -> bool {
        self.location().open(file, Purpose::Read).is_ok()
    }

    /// How much of the file's space is still to be taken.
    pub(super) fn space_missing(&self, file: usize) -> u64 {
        let taken = self
            .stat(file)
            .map_or(0, |stat| u64::try_from(stat.st_blocks).unwrap_or(0) * 512);
        self.lengths[file].saturating_sub(taken)
    }

    /// Creates the file if it is missing and gives it exactly its length.
    pub(super) fn complete(&self, file: usize) -> Result<(), StorageError> {
        let len = self.lengths[file];
        if self
            .stamp_on_disk(file)
            .is_some_and(|stamp| stamp.len == len)
        {
            return Ok(());
        }
        let handle = self.handle(file, Purpose::Write)?;
        self.touching(file, || handle.set_len(len))?
            .map_err(|error| self.fault("resize", file, error))
    }

    /// Does something to the file that changes its stamp without changing its content.
    pub(super) fn touching<T>(
        &self,
        file: usize,
        work: impl FnOnce() -> T,
    ) -> Result<T, StorageError> {
        let handle = self.handle(file, Purpose::Read)?;
        self.begin_write(file, &handle)?;
        let result = work();
        self.end_write(file, &handle)?;
        Ok(result)
    }

    /// The same for the side file, if there is one.
    pub(super) fn touching_side<T>(&self, work: impl FnOnce() -> T) -> Result<T, StorageError> {
        if self.side.is_some() {
            self.touching(self.side_number(), work)
        } else {
            Ok(work())
        }
    }

    /// Takes the space of the whole file now.
    pub(super) fn reserve(&self, file: usize) -> Result<(), StorageError> {
        let handle = self.handle(file, Purpose::Write)?;
        let len = self.lengths[file];
        if len == 0 {
            return Ok(());
        }
        let none = rustix::fs::FallocateFlags::empty();
        match self.touching(file, || rustix::fs::fallocate(&*handle, none, 0, len))? {
            // The length is right already; its space is taken later then.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(errno) => Err(self.write_fault(file, &handle, len, errno.into())),
        }
    }

    /// Makes these files durable, times included (so that their stamps still fit after a crash).
    pub(super) fn sync(&self, files: &BTreeSet<usize>) -> Result<(), StorageError> {
        if files.len() > SYNC_SINGLY_MAX {
            return self.sync_all();
        }
        for &file in files {
            let handle = self.handle(file, Purpose::Write)?;
            let synced = handle.sync_all();
            synced.map_err(|error| self.write_fault(file, &handle, 0, error))?;
        }
        Ok(())
    }

    /// Makes the names in these directories below the content's durable, and in itself.
    pub(super) fn sync_dirs<'a>(
        &self,
        dirs: impl Iterator<Item = &'a Path>,
    ) -> Result<(), StorageError> {
        let location = self.location();
        let Location::Owned { dir, path, .. } = &*location else {
            return Ok(());
        };
        for below in dirs {
            let synced = dir.subdir(below).and_then(|dir| dir.sync());
            synced.map_err(|error| StorageError::of("sync", &path.join(below), error))?;
        }
        dir.sync()
            .map_err(|error| StorageError::of("sync", path, error))
    }

    /// Makes everything on the file system of the content durable.
    pub(super) fn sync_all(&self) -> Result<(), StorageError> {
        let location = self.location();
        let (Location::Owned { dir, path, .. } | Location::Shared { dir, path, .. }) = &*location
        else {
            return Ok(());
        };
        dir.sync_file_system()
            .map_err(|error| StorageError::of("sync", path, error))
    }

    /// The files are elsewhere, and only to be read: they were renamed.
    pub(super) fn relocate(&self, to: Location) {
        *self
            .location
            .write()
            .unwrap_or_else(PoisonError::into_inner) = to;
    }

    /// The path of a file, for messages.
    pub(super) fn path(&self, file: usize) -> PathBuf {
        let location = self.location();
        if file == self.side_number() {
            location.top().join("(side file)")
        } else {
            location.path(file)
        }
    }

    fn stat(&self, file: usize) -> Option<Stat> {
        self.location().stat(file).ok()
    }

    fn read_file(&self, file: usize, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        let handle = self.handle(file, Purpose::Read)?;
        self.fill(file, &handle, offset, buf)?;
        // Only now: it may have been written to while it was read.
        self.check(file, &handle)
    }

    fn write_file(&self, file: usize, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        if self.kept.contains(&file) {
            return self.compare(file, offset, data);
        }
        let handle = self.handle(file, Purpose::Write)?;
        let turn = &self.turns[file];
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.begin_write(file, &handle)?;
        let written = handle.write_all_at(data, offset);
        self.end_write(file, &handle)?;
        written.map_err(|error| self.write_fault(file, &handle, data.len() as u64, error))
    }

    fn compare(&self, file: usize, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        let mut there = vec![0; data.len()];
        self.read_file(file, offset, &mut there)?;
        if there == data {
            return Ok(());
        }
        Err(StorageError::Exists {
            path: self.path(file),
            differs: 1,
            pieces: 1,
        })
    }

    fn begin_write(&self, file: usize, handle: &File) -> Result<(), StorageError> {
        let mut state = self.state(file);
        if state.writers == 0 && state.stamp.is_some() {
            let now = Stamp::of(handle).map_err(|error| self.fault("stat", file, error))?;
            state.foreign |= state.stamp != Some(now);
        }
        state.writers += 1;
        Ok(())
    }

    fn end_write(&self, file: usize, handle: &File) -> Result<(), StorageError> {
        let mut state = self.state(file);
        state.writers -= 1;
        if state.writers == 0 {
            let now = Stamp::of(handle).map_err(|error| self.fault("stat", file, error))?;
            state.stamp = Some(now);
        }
        Ok(())
    }

    fn check(&self, file: usize, handle: &File) -> Result<(), StorageError> {
        let mut state = self.state(file);
        if state.writers > 0 && !state.foreign {
            return Ok(());
        }
        let Some(stamp) = state.stamp else {
            return Ok(());
        };
        let now = Stamp::of(handle).map_err(|error| self.fault("stat", file, error))?;
        state.foreign |= now != stamp;
        if state.foreign {
            Err(self.changed(file, now.len))
        } else {
            Ok(())
        }
    }

    fn handle(&self, file: usize, purpose: Purpose) -> Result<Arc<File>, StorageError> {
        if file == self.side_number() {
            let path = || self.path(file);
            return self
                .side
                .clone()
                .ok_or_else(|| StorageError::NotFound { path: path() });
        }
        if let Some(handle) = self.handles().find(file) {
            return Ok(handle);
        }
        let opened = self.location().open(file, purpose);
        let action = match purpose {
            Purpose::Read => "read",
            Purpose::Write => "write",
        };
        let handle = opened.map_err(|error| self.fault(action, file, error))?;
        if purpose == Purpose::Write {
            self.begin_write(file, &handle)?;
            let sized = self.presize(file, &handle);
            self.end_write(file, &handle)?;
            sized.map_err(|error| self.write_fault(file, &handle, 0, error))?;
        }
        let handle = Arc::new(handle);
        let displaced = self.handles().insert(file, &handle);
        drop(displaced);
        Ok(handle)
    }

    fn presize(&self, file: usize, handle: &File) -> io::Result<()> {
        let (len, want) = (handle.metadata()?.len(), self.lengths[file]);
        if len > want || (len < want && self.allocate != Allocate::None) {
            handle.set_len(want)?;
        }
        Ok(())
    }

    fn changed(&self, file: usize, after: u64) -> StorageError {
        StorageError::Changed {
            file,
            path: self.path(file),
            before: self
                .lengths
                .get(file)
                .copied()
                .unwrap_or(self.spans.side_len()),
            after,
        }
    }

    fn fault(&self, action: &'static str, file: usize, error: io::Error) -> StorageError {
        StorageError::of(action, &self.path(file), error)
    }

    fn write_fault(&self, file: usize, handle: &File, len: u64, error: io::Error) -> StorageError {
        let free = rustix::fs::fstatvfs(handle).map_or(0, |stat| stat.f_bavail * stat.f_frsize);
        StorageError::of_write(&self.path(file), error, free, len)
    }

    fn state(&self, file: usize) -> MutexGuard<'_, State> {
        self.states[file]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn handles(&self) -> MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn location(&self) -> std::sync::RwLockReadGuard<'_, Location> {
        self.location.read().unwrap_or_else(PoisonError::into_inner)
    }
}
