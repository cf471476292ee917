//! Opens an output: takes up what an earlier run left, checks what has to be checked.

#![expect(
    clippy::cast_possible_truncation,
    reason = "a piece is counted by 32 bits"
)]

mod judge;
mod places;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::beneath::{Dir, Kind};
use super::files::{Files, Location, below_top};
use super::finish::Output;
use super::journal::{Past, Subject};
use super::ledger::{Home, Ledger};
use super::spans::{Spans, piece_range};
use super::{Allocate, FetchOptions, HashCache, Meter, Opened, StorageError, Store};
use crate::bitfield::Bitfield;
use crate::hash;
use crate::layout::PieceIndex;
use crate::metainfo::{FileKind, Metainfo};
use places::{Part, output_name, part_name};

pub(super) use places::is_part_name;

impl Store {
    /// Opens the output for fetching: takes up what an earlier run left, checks what has to be.
    ///
    /// # Errors
    /// [`StorageError::Exists`] if the output is there and differs, [`StorageError::Locked`] if
    /// another process is at it, [`StorageError::NoSpace`], [`StorageError::ReadOnly`] …
    pub fn fetch(
        meta: Arc<Metainfo>,
        options: &FetchOptions,
        meter: &Meter,
    ) -> Result<Opened, StorageError> {
        let plan = Plan::new(meta, options, meter)?;
        let part = match plan.kind(&plan.part_name)? {
            Some(Kind::Directory) => Some(plan.enter_part()?),
            Some(_) => return Err(plan.refused(&plan.part_name)),
            None => None,
        };
        let is_fresh = part.is_none();
        let opened = match plan.kind(&plan.name)? {
            Some(kind) => plan.over_existing(kind, part),
            None => plan.in_part(part),
        };
        if opened.is_err() && is_fresh {
            plan.clear_away();
        }
        opened
    }
}

/// What is to be opened, and how.
struct Plan<'a> {
    meta: Arc<Metainfo>,
    options: &'a FetchOptions,
    meter: &'a Meter,
    dir: Dir,
    /// Of the content's top entry.
    name: PathBuf,
    part_name: PathBuf,
    is_bare: bool,
    selected: Vec<bool>,
    wanted: Bitfield,
}

impl<'a> Plan<'a> {
    fn new(
        meta: Arc<Metainfo>,
        options: &'a FetchOptions,
        meter: &'a Meter,
    ) -> Result<Self, StorageError> {
        let dir = Dir::open(&options.dir)
            .map_err(|error| StorageError::of("open", &options.dir, error))?;
        let name = output_name(&meta, options)?;
        let flags = options.selected.as_deref();
        let is_selected =
            |number: usize| flags.is_none_or(|flags| flags.get(number).copied().unwrap_or(false));
        let files = meta.files().iter().enumerate();
        let selected: Vec<bool> = files
            .map(|(number, file)| file.kind == FileKind::Regular && is_selected(number))
            .collect();
        let mut wanted = Bitfield::empty(meta.layout().piece_count());
        for (file, _) in meta.files().iter().zip(&selected).filter(|(_, is)| **is) {
            for piece in meta.layout().pieces_of(file.offset..file.offset + file.len) {
                wanted.insert(piece);
            }
        }
        Ok(Self {
            is_bare: below_top(&meta, 0).as_os_str().is_empty(),
            part_name: part_name(&name),
            name,
            meta,
            options,
            meter,
            dir,
            selected,
            wanted,
        })
    }

    /// The output has its real name already: it is complete, or to be corrected, or in the way.
    fn over_existing(&self, kind: Kind, part: Option<Part>) -> Result<Opened, StorageError> {
        let expected = if self.is_bare {
            Kind::File
        } else {
            Kind::Directory
        };
        if kind == Kind::Other {
            return Err(self.refused(&self.name));
        }
        if kind != expected {
            return Err(StorageError::InTheWay { path: self.path() });
        }
        let store = self.store(
            self.files(self.target()?.readable()),
            Output::Complete(self.path()),
        );
        let checkable = self.checkable(&store.files);
        let is_thorough = self.options.repair || self.options.recheck;
        let nothing = HashCache::default();
        let cache = if is_thorough {
            &nothing
        } else {
            &self.options.cache
        };
        let checked = store.check(&checkable, cache, self.options.threads, self.meter);
        let mut have = checked.good;
        self.check_cancelled()?;
        let absent = self.absent(&store.files)?;
        let misfits = self.misfits(&store.files, &absent);
        for &piece in &misfits {
            have.remove(piece);
        }
        let differs = |piece: &&PieceIndex| {
            let mut on = store
                .files
                .files_of(piece_range(self.meta.layout(), **piece));
            !have.has(**piece) && !on.any(|file| absent.contains(&file))
        };
        let bad = checkable.iter().filter(differs);
        let bad: BTreeSet<_> = bad.chain(&misfits).collect();
        if !bad.is_empty() && !self.options.repair {
            return Err(self.exists(bad.len() as u32, checkable.len().max(bad.len()) as u32));
        }
        let is_checked = checkable.len() as u32 == self.wanted.count();
        if bad.is_empty() && absent.is_empty() && (is_checked || !is_thorough) {
            return Ok(self.complete(store, have, part.as_ref()));
        }
        self.in_place(&store, have, (part, absent))
    }

    /// All that can be checked is good. What of a finished selection nobody can check without its
    /// neighbours was checked when it was fetched.
    fn complete(&self, mut store: Store, have: Bitfield, part: Option<&Part>) -> Opened {
        if part.is_some_and(|part| self.check_ours(part).is_ok()) {
            // Nobody is at it, for we hold its lock, and there is nothing left to do for it.
            let _leftover = self.dir.remove_all(&self.part_name);
        }
        let mut ledger = Ledger::new(have.clone());
        ledger.found(self.meta.layout(), &mut have.clone());
        store.ledger = Mutex::new(ledger);
        Opened {
            store,
            wanted: have.clone(),
            have,
            already_complete: true,
        }
    }

    /// Corrects the output in its place, and adds the files that are absent. What `repair` does
    /// not allow to be overwritten is only compared: so boundary pieces of an earlier selection
    /// get checked.
    fn in_place(
        &self,
        reader: &Store,
        mut have: Bitfield,
        (part, absent): (Option<Part>, BTreeSet<usize>),
    ) -> Result<Opened, StorageError> {
        let part = part.map_or_else(|| self.make_part(), Ok)?;
        self.check_ours(&part)?;
        let mut files = self.files(self.target()?);
        files.attach(
            self.open_side(&part, files.side_len())?,
            self.options.allocate,
        );
        if !self.options.repair {
            let numbers = 0..self.selected.len();
            files.keep_content(numbers.filter(|file| !absent.contains(file)).collect());
        }
        for (file, stamp) in reader.files.stamps() {
            files.trust(file, stamp);
        }
        self.check_space(&files)?;
        let site = self.site(part)?;
        let store = self.store(files, Output::InPlace(site));
        store.ledger().found(self.meta.layout(), &mut have);
        let is_complete = store.ledger().missing() == 0;
        if is_complete {
            // Empty files were absent, no more.
            store.finish()?;
        }
        Ok(self.opened(store, have, is_complete))
    }

    /// Makes the output beside its place, from what is there of it.
    fn in_part(&self, part: Option<Part>) -> Result<Opened, StorageError> {
        let is_fresh = part.is_none();
        if is_fresh {
            // Before anything is created, so that nothing is left behind.
            self.check_space(&self.files(Location::Paths(self.nowhere())))?;
        }
        let part = part.map_or_else(|| self.make_part(), Ok)?;
        self.check_ours(&part)?;
        let within = self.options.dir.join(&self.part_name);
        let fault = |error| StorageError::of("open", &within, error);
        let mut files = self.files(self.data(&part)?);
        files.attach(
            self.open_side(&part, files.side_len())?,
            self.options.allocate,
        );
        if !is_fresh {
            self.check_space(&files)?;
        }
        if self.options.allocate == Allocate::Full {
            let numbers = 0..self.selected.len();
            numbers
                .filter(|&file| self.selected[file])
                .try_for_each(|file| files.reserve(file))?;
        }
        let home = Home {
            dir: part.dir.subdir(Path::new(".")).map_err(fault)?,
            path: within.clone(),
            subject: self.subject(),
        };
        let (trusted, suspects) = match &part.earlier {
            Past::Known(record) if !self.options.recheck => self.judge(record, &files),
            _ if is_fresh => (
                Bitfield::empty(self.wanted.len()),
                self.blank_pieces(&files),
            ),
            _ => (Bitfield::empty(self.wanted.len()), self.present(&files)),
        };
        let mut site = self.site(part)?;
        site.may_hold_strangers = !is_fresh;
        let store = self.store(files, Output::Part(site));
        store.ledger().resume(home, &trusted);
        store.recheck(&suspects, self.options.threads, self.meter);
        self.check_cancelled()?;
        store.open_journal()?;
        let have = store.ledger().have().clone();
        Ok(self.opened(store, have, false))
    }

    fn check_ours(&self, part: &Part) -> Result<(), StorageError> {
        if matches!(part.earlier, Past::OtherContent) {
            let path = self.options.dir.join(&self.part_name);
            return Err(StorageError::OtherContent { path });
        }
        Ok(())
    }

    fn check_space(&self, files: &Files) -> Result<(), StorageError> {
        let fault = |error| StorageError::of("stat", &self.options.dir, error);
        let numbers = (0..self.selected.len()).filter(|&file| self.selected[file]);
        let missing: u64 = numbers.map(|file| files.space_missing(file)).sum();
        let needed = missing + files.side_len();
        let free = self.dir.free_bytes().map_err(fault)?;
        if needed > free {
            let path = self.options.dir.clone();
            return Err(StorageError::NoSpace { path, free, needed });
        }
        Ok(())
    }

    fn store(&self, files: Files, output: Output) -> Store {
        Store {
            meta: Arc::clone(&self.meta),
            files,
            ledger: Mutex::new(Ledger::new(self.wanted.clone())),
            output: Mutex::new(output),
        }
    }

    fn opened(&self, store: Store, have: Bitfield, already_complete: bool) -> Opened {
        Opened {
            store,
            have,
            wanted: self.wanted.clone(),
            already_complete,
        }
    }

    fn files(&self, location: Location) -> Files {
        let is_selected = |file: usize| self.selected[file];
        let layout = self.meta.layout();
        let spans = Spans::of_selection(self.meta.files(), is_selected, layout, &self.wanted);
        let lengths = self.meta.files().iter().map(|file| file.len).collect();
        Files::new(spans, lengths, location)
    }

    fn subject(&self) -> Subject {
        let flags: Vec<u8> = self.selected.iter().map(|&is| u8::from(is)).collect();
        Subject {
            content: *self.meta.info_hash().as_bytes(),
            selection: hash::one(&flags),
            layout: *self.meta.layout(),
        }
    }

    fn pieces<'b>(&'b self, bits: &'b Bitfield) -> impl Iterator<Item = PieceIndex> + 'b {
        bits.iter_ones()
            .filter_map(|number| self.meta.layout().piece(number))
    }

    /// Paths at which nothing is: a fresh download has taken no space yet.
    fn nowhere(&self) -> Vec<PathBuf> {
        vec![PathBuf::new(); self.selected.len()]
    }

    fn path(&self) -> PathBuf {
        self.options.dir.join(&self.name)
    }

    fn kind(&self, name: &Path) -> Result<Option<Kind>, StorageError> {
        let kind = self.dir.kind(name);
        kind.map_err(|error| StorageError::of("stat", &self.options.dir.join(name), error))
    }

    fn refused(&self, name: &Path) -> StorageError {
        StorageError::Refused {
            path: self.options.dir.join(name),
        }
    }

    fn exists(&self, differs: u32, pieces: u32) -> StorageError {
        StorageError::Exists {
            path: self.path(),
            differs,
            pieces,
        }
    }

    fn check_cancelled(&self) -> Result<(), StorageError> {
        if self.meter.is_cancelled() {
            return Err(StorageError::Cancelled);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
