//! What survives a crash: which pieces are durable, which were about to be written, and what the
//! files looked like then.
//!
//! Within one journal file trust only grows; taking it back writes a new one. So every prefix of a
//! journal is as true as the whole, and a torn end costs no more than hashing a few pieces again.
//! Anything else that is wrong makes it worthless: then every piece is hashed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::beneath::{Access, Dir};
use super::stamp::{STAMP_LEN, Stamp};
use crate::bitfield::Bitfield;
use crate::hash;
use crate::layout::{Layout, PieceIndex};

/// The name of the journal in its directory.
pub(super) const NAME: &str = "journal";
const NEXT_NAME: &str = "journal.next";
const MAGIC: &[u8; 8] = b"swarmjnl";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 8 + 4 + 4 + 20 + 20 + SUM_LEN;
const FRAME_LEN: usize = 1 + 4 + SUM_LEN;
const SUM_LEN: usize = 8;

// header   "swarmjnl" version:u32 pieces:u32 content:20 selection:20 sum:8
// record   kind:u8 len:u32 payload:len sum:8        sum = SHA-1(offset kind len payload)[..8]

/// A larger journal is damaged.
const JOURNAL_MAX: u64 = 64 << 20;
/// Growth since the last rewriting after which another one pays. Chosen: the file of a fetch of
/// half a million pieces stays below it.
const GROWTH_MAX: u64 = 8 << 20;
/// Stamps per record, so that a record stays small.
const STAMPS_MAX: usize = 1 << 14;

/// All pieces that are durable, as a bitfield.
const DURABLE: u8 = 1;
/// One piece is going to be written.
const INTENT: u8 = 2;
/// These pieces are durable.
const VOUCHED: u8 = 3;
/// Stamps of files, taken after the pieces noted so far were written.
const STAMPS: u8 = 4;

/// What a journal must be about to be of any use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// The info hash.
    pub(super) content: [u8; 20],
    /// Which files are selected, hashed: decides where bytes live.
    pub(super) selection: [u8; 20],
    /// How many pieces and which.
    pub(super) layout: Layout,
}

/// What an earlier run left.
#[derive(Debug)]
pub(super) enum Past {
    /// No journal, or one that cannot be believed: hash everything.
    Unknown,
    /// It is about other content: this is not ours to touch.
    OtherContent,
    /// This much.
    Known(Record),
}

/// The sum of a journal.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Pieces whose data is durable, as long as the stamps of their files fit.
    pub(super) durable: Bitfield,
    /// Pieces that may or may not have been written since.
    pub(super) intents: Bitfield,
    /// Stamps of files, by number.
    pub(super) stamps: BTreeMap<usize, Stamp>,
    /// Whether the end is missing: pieces may have been written of which nothing is said.
    pub(super) is_torn: bool,
}

/// All that a new journal is to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot<'a> {
    /// As in [`Record`].
    pub(super) durable: &'a Bitfield,
    /// As in [`Record`].
    pub(super) intents: &'a Bitfield,
    /// As in [`Record`].
    pub(super) stamps: &'a [(usize, Stamp)],
}

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    file: Arc<File>,
    /// Where the next record goes.
    end: u64,
    /// Where it grew from.
    base: u64,
}

impl Journal {
    /// Reads what an earlier run left in `dir`.
    pub(super) fn read(dir: &Dir, subject: &Subject) -> io::Result<Past> {
        let file = match dir.file(Path::new(NAME), Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Past::Unknown),
            result => result?,
        };
        let mut bytes = Vec::new();
        file.take(JOURNAL_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > JOURNAL_MAX {
            return Ok(Past::Unknown);
        }
        Ok(parse(&bytes, subject))
    }

    /// Replaces the journal in `dir` by one that says exactly this, durably.
    pub(super) fn create(
        dir: &Dir,
        subject: &Subject,
        snapshot: &Snapshot<'_>,
    ) -> io::Result<Self> {
        let mut bytes = header(subject);
        push_record(&mut bytes, DURABLE, &snapshot.durable.to_bytes());
        push_stamps(&mut bytes, 0, snapshot.stamps);
        for piece in snapshot.intents.iter_ones() {
            push_record(&mut bytes, INTENT, &piece.to_le_bytes());
        }
        let create = Access::Create { executable: false };
        let file = dir.file(Path::new(NEXT_NAME), create)?;
        file.set_len(0)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        dir.replace(Path::new(NEXT_NAME), Path::new(NAME))?;
        dir.sync()?;
        let end = bytes.len() as u64;
        Ok(Self {
            file: Arc::new(file),
            end,
            base: end,
        })
    }

    /// Notes that a piece is going to be written. Survives the process, not a power cut.
    pub(super) fn intend(&mut self, piece: PieceIndex) -> io::Result<()> {
        let mut bytes = Vec::new();
        push_record_at(&mut bytes, self.end, INTENT, &piece.get().to_le_bytes());
        self.append(&bytes)
    }

    /// Notes that these pieces are durable and what their files look like. To be durable itself,
    /// the returned file must be synced.
    pub(super) fn vouch(
        &mut self,
        pieces: &[PieceIndex],
        stamps: &[(usize, Stamp)],
    ) -> io::Result<Arc<File>> {
        let mut bytes = Vec::new();
        push_stamps(&mut bytes, self.end, stamps);
        let numbers: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| piece.get().to_le_bytes())
            .collect();
        let at = self.end + bytes.len() as u64;
        push_record_at(&mut bytes, at, VOUCHED, &numbers);
        self.append(&bytes)?;
        Ok(Arc::clone(&self.file))
    }

    /// Whether it has grown so much that writing it anew pays.
    pub(super) fn is_bloated(&self) -> bool {
        self.end - self.base > GROWTH_MAX
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.file.write_all_at(bytes, self.end) {
            Ok(()) => self.end += bytes.len() as u64,
            Err(error) => {
                // A half record in the middle would make the whole journal worthless.
                self.file.set_len(self.end)?;
                return Err(error);
            }
        }
        Ok(())
    }
}

/// What these bytes say; never more than what is vouched for, whatever they are.
fn parse(bytes: &[u8], subject: &Subject) -> Past {
    let Some((head, mut rest)) = bytes.split_at_checked(HEADER_LEN) else {
        return Past::Unknown;
    };
    let expected = header(subject);
    if head != expected {
        let is_sound = head[HEADER_LEN - SUM_LEN..] == sum(&head[..HEADER_LEN - SUM_LEN]);
        let is_ours = head[..12] == expected[..12] && head[16..36] == expected[16..36];
        return if is_sound && head[..12] == expected[..12] && !is_ours {
            Past::OtherContent
        } else {
            Past::Unknown
        };
    }
    let pieces = subject.layout.piece_count();
    let mut record = Record {
        durable: Bitfield::empty(pieces),
        intents: Bitfield::empty(pieces),
        stamps: BTreeMap::new(),
        is_torn: false,
    };
    let mut offset = HEADER_LEN;
    while !rest.is_empty() {
        match next_record(rest, offset as u64) {
            // The first record came with the file, at once: it cannot be torn by a crash.
            Next::Torn if offset == HEADER_LEN => return Past::Unknown,
            Next::Torn => {
                record.is_torn = true;
                break;
            }
            Next::Damaged => return Past::Unknown,
            Next::Record { kind, payload, len } => {
                if record.apply(kind, payload, &subject.layout).is_none() {
                    return Past::Unknown;
                }
                offset += len;
                rest = &rest[len..];
            }
        }
    }
    if offset == HEADER_LEN {
        return Past::Unknown;
    }
    Past::Known(record)
}

impl Record {
    fn apply(&mut self, kind: u8, payload: &[u8], layout: &Layout) -> Option<()> {
        match kind {
            DURABLE => {
                self.durable = Bitfield::from_bytes(payload, layout.piece_count()).ok()?;
            }
            INTENT => {
                self.intents.insert(piece(payload, layout)?);
            }
            VOUCHED => {
                for number in payload.chunks(4) {
                    let piece = piece(number, layout)?;
                    self.durable.insert(piece);
                    self.intents.remove(piece);
                }
            }
            STAMPS => {
                for entry in payload.chunks(4 + STAMP_LEN) {
                    let (file, stamp) = entry.split_at_checked(4)?;
                    let file = u32::from_le_bytes(file.try_into().ok()?);
                    let stamp = Stamp::from_bytes(stamp.try_into().ok()?);
                    self.stamps.insert(file as usize, stamp);
                }
            }
            _ => return None,
        }
        Some(())
    }
}

enum Next<'a> {
    /// The file ends within the record: a crash, or a power cut.
    Torn,
    Damaged,
    Record {
        kind: u8,
        payload: &'a [u8],
        /// Of the whole record.
        len: usize,
    },
}

fn next_record(bytes: &[u8], offset: u64) -> Next<'_> {
    // A power cut may leave zeros where data was to follow; no record starts with one.
    if bytes.iter().all(|&byte| byte == 0) {
        return Next::Torn;
    }
    let Some((&[kind, a, b, c, d], after)) = bytes.split_first_chunk::<5>() else {
        return Next::Torn;
    };
    let payload_len = u32::from_le_bytes([a, b, c, d]) as usize;
    if !(DURABLE..=STAMPS).contains(&kind) || payload_len as u64 > JOURNAL_MAX {
        return Next::Damaged;
    }
    let Some((payload, after)) = after.split_at_checked(payload_len) else {
        return Next::Torn;
    };
    let Some((found, _)) = after.split_first_chunk::<SUM_LEN>() else {
        return Next::Torn;
    };
    if *found != record_sum(offset, &bytes[..5 + payload_len]) {
        return Next::Damaged;
    }
    Next::Record {
        kind,
        payload,
        len: payload_len + FRAME_LEN,
    }
}

fn header(subject: &Subject) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&subject.layout.piece_count().to_le_bytes());
    bytes.extend_from_slice(&subject.content);
    bytes.extend_from_slice(&subject.selection);
    let sum = sum(&bytes);
    bytes.extend_from_slice(&sum);
    bytes
}

fn push_stamps(bytes: &mut Vec<u8>, base: u64, stamps: &[(usize, Stamp)]) {
    for stamps in stamps.chunks(STAMPS_MAX) {
        let mut payload = Vec::with_capacity(stamps.len() * (4 + STAMP_LEN));
        for (file, stamp) in stamps {
            // At most a million files plus the side file: a manifest has no more.
            let file = u32::try_from(*file).unwrap_or(u32::MAX);
            payload.extend_from_slice(&file.to_le_bytes());
            payload.extend_from_slice(&stamp.to_bytes());
        }
        let at = base + bytes.len() as u64;
        push_record_at(bytes, at, STAMPS, &payload);
    }
}

fn push_record(bytes: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let at = bytes.len() as u64;
    push_record_at(bytes, at, kind, payload);
}

fn push_record_at(bytes: &mut Vec<u8>, at: u64, kind: u8, payload: &[u8]) {
    let start = bytes.len();
    let len = u32::try_from(payload.len()).expect("a record is far below 4 GiB");
    bytes.push(kind);
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(payload);
    let sum = record_sum(at, &bytes[start..]);
    bytes.extend_from_slice(&sum);
}

/// The offset is part of it, so that a record counts only where it was written.
fn record_sum(offset: u64, record: &[u8]) -> [u8; SUM_LEN] {
    let mut bytes = offset.to_le_bytes().to_vec();
    bytes.extend_from_slice(record);
    sum(&bytes)
}

fn sum(bytes: &[u8]) -> [u8; SUM_LEN] {
    let digest = hash::one(bytes);
    std::array::from_fn(|i| digest[i])
}

fn piece(payload: &[u8], layout: &Layout) -> Option<PieceIndex> {
    layout.piece(u32::from_le_bytes(payload.try_into().ok()?))
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
