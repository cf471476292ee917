//! Makes manifests: the same files and options give the same bytes on every machine.
//!
//! Files are ordered by the raw bytes of their paths, element by element; dictionaries are sorted;
//! nothing of the machine, its locale or its clock gets in.

#[cfg(test)]
mod tests;

use super::path::SafePath;
use super::{
    FILES_MAX, FileEntry, FileKind, Metainfo, MetainfoError, PIECE_LEN_RANGE, PIECES_MAX,
    TOTAL_LEN_MAX, escape, files, names,
};
use crate::bencode::{Limits, put_bytes, put_int};
use crate::ids::PieceHash;

/// What manifests say made them: no finer version, so that every build of a release writes the same.
pub const CREATED_BY: &str = "swarm/0.1";

/// The pieces that content is divided into by choice are at least and at most this long, in bytes.
/// Longer ones fail with some clients, shorter ones only add overhead.
const PIECE_LEN_CHOICE: std::ops::RangeInclusive<u64> = 64 << 10..=16 << 20;
/// What bencode adds to a URL in a list of lists, at most.
const HINT_LEN: usize = 8;
/// The most pieces that the choice aims at.
const PIECES_AIM: u64 = 2_048;

/// The piece length for content of this size: the power of two from 64 KiB to 16 MiB that gives
/// about 1,000 to 2,000 pieces.
#[expect(clippy::cast_possible_truncation, reason = "at most 16 MiB")]
pub fn piece_len_for(total_len: u64) -> u32 {
    let exact = total_len.div_ceil(PIECES_AIM).min(*PIECE_LEN_CHOICE.end());
    exact.next_power_of_two().max(*PIECE_LEN_CHOICE.start()) as u32
}

/// A file to be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// The elements of its path below the content's name; none for a bare file.
    pub path: Vec<String>,
    /// Its length in bytes.
    pub len: u64,
    /// Whether it is executable (BEP 47 `x`).
    pub executable: bool,
}

/// Everything a manifest is made from but the hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Builder {
    /// The name of the content.
    pub name: String,
    /// Its files, in any order. One with no path makes a manifest of a bare file.
    pub files: Vec<NewFile>,
    /// Length of a piece in bytes; [`piece_len_for`] chooses one.
    pub piece_len: u32,
    /// Whether each file is to start a piece of its own (BEP 47 padding).
    pub pad: bool,
    /// Whether only the trackers named here may be asked (BEP 27).
    pub private: bool,
    /// What sets swarms of the same files apart.
    pub source: Option<String>,
    /// A remark for people.
    pub comment: Option<String>,
    /// The program that made it, [`CREATED_BY`].
    pub created_by: Option<String>,
    /// When it was made, in seconds since 1970.
    pub creation_date: Option<i64>,
    /// Tracker URLs in tiers (BEP 12).
    pub trackers: Vec<Vec<String>>,
    /// URLs of servers that have the content (BEP 19).
    pub web_seeds: Vec<String>,
}

impl Builder {
    /// A manifest of these files with nothing said that need not be.
    pub fn new(name: impl Into<String>, files: Vec<NewFile>) -> Self {
        let total_len = files
            .iter()
            .map(|file| file.len)
            .fold(0, u64::saturating_add);
        Self {
            name: name.into(),
            files,
            piece_len: piece_len_for(total_len),
            pad: false,
            private: false,
            source: None,
            comment: None,
            created_by: Some(CREATED_BY.to_owned()),
            creation_date: None,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
        }
    }

    /// The content in the order in which it is to be hashed, padding included. Everything that can
    /// be wrong with names and sizes is found here, before hours of hashing.
    ///
    /// # Errors
    /// If a name cannot be shared as it is, two names are one, or a limit is passed.
    pub fn arrange(&self) -> Result<Vec<FileEntry>, MetainfoError> {
        if self.files.len() > FILES_MAX {
            return Err(MetainfoError::TooManyFiles);
        }
        if !PIECE_LEN_RANGE.contains(&self.piece_len) {
            return Err(MetainfoError::PieceLength(self.piece_len.into()));
        }
        let mut files = Vec::with_capacity(self.files.len());
        for file in &self.files {
            files.push((self.path(file)?, file));
        }
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut entries: Vec<FileEntry> = Vec::with_capacity(files.len());
        let mut offset = 0u64;
        for (path, file) in files {
            let gap = offset.next_multiple_of(u64::from(self.piece_len)) - offset;
            if self.pad && gap > 0 && file.len > 0 {
                entries.push(FileEntry {
                    path: files::padding_path(&self.name, gap),
                    len: gap,
                    offset,
                    kind: FileKind::Padding,
                    executable: false,
                });
                offset += gap;
            }
            entries.push(FileEntry {
                path,
                len: file.len,
                offset,
                kind: FileKind::Regular,
                executable: file.executable,
            });
            offset = offset
                .checked_add(file.len)
                .filter(|&end| end <= TOTAL_LEN_MAX)
                .ok_or(MetainfoError::TooLarge)?;
        }
        let total_len = files::total_len(&entries)?;
        if total_len.div_ceil(self.piece_len.into()) > PIECES_MAX.into() {
            return Err(MetainfoError::TooManyPieces);
        }
        names::check(&entries)?;
        Ok(entries)
    }

    /// The manifest, given the hash of every piece in order; [`Metainfo::raw`] is what to write.
    ///
    /// # Errors
    /// As [`Builder::arrange`], or if there are not as many hashes as pieces.
    pub fn build(&self, hashes: &[PieceHash]) -> Result<Metainfo, MetainfoError> {
        let entries = self.arrange()?;
        let mut out = vec![b'd'];
        self.put_trackers(&mut out);
        put_text(&mut out, "comment", self.comment.as_deref());
        put_text(&mut out, "created by", self.created_by.as_deref());
        if let Some(date) = self.creation_date {
            put_bytes(&mut out, b"creation date");
            put_int(&mut out, date);
        }
        put_text(&mut out, "encoding", Some("UTF-8"));
        put_bytes(&mut out, b"info");
        self.put_info(&mut out, &entries, hashes);
        if !self.web_seeds.is_empty() {
            put_bytes(&mut out, b"url-list");
            put_list(&mut out, self.web_seeds.iter());
        }
        out.push(b'e');
        Metainfo::from_vec(out)
    }

    fn path(&self, file: &NewFile) -> Result<SafePath, MetainfoError> {
        let elements = || std::iter::once(&self.name).chain(&file.path);
        let given = || elements().map(String::as_str).collect::<Vec<_>>().join("/");
        let path = SafePath::new(elements().map(String::as_bytes)).map_err(|reason| {
            MetainfoError::Name {
                name: escape::escape(given()),
                reason,
            }
        })?;
        if path.elements().eq(elements()) {
            return Ok(path);
        }
        Err(MetainfoError::NameChanges {
            given: escape::escape(given()),
            arrives: path.to_string(),
        })
    }

    fn put_trackers(&self, out: &mut Vec<u8>) {
        let mut urls = self.trackers.iter().flatten();
        if let Some(first) = urls.next() {
            put_text(out, "announce", Some(first));
        }
        if urls.next().is_some() {
            put_bytes(out, b"announce-list");
            out.push(b'l');
            for tier in &self.trackers {
                put_list(out, tier.iter());
            }
            out.push(b'e');
        }
    }

    fn put_info(&self, out: &mut Vec<u8>, entries: &[FileEntry], hashes: &[PieceHash]) {
        out.push(b'd');
        match entries {
            [file] if self.files[0].path.is_empty() => put_attr_and_len(out, file),
            _ => put_files(out, entries),
        }
        put_text(out, "name", Some(&self.name));
        put_bytes(out, b"piece length");
        put_int(out, self.piece_len.into());
        put_bytes(out, b"pieces");
        out.extend_from_slice(format!("{}:", 20 * hashes.len()).as_bytes());
        out.extend(hashes.iter().flat_map(PieceHash::as_bytes));
        if self.private {
            put_bytes(out, b"private");
            put_int(out, 1);
        }
        put_text(out, "source", self.source.as_deref());
        out.push(b'e');
    }
}

/// A manifest around a raw `info` dictionary. What does not fit the longest manifest is left out:
/// trackers are hints, `info` is the content.
pub(super) fn around(info: &[u8], trackers: &[String], web_seeds: &[String]) -> Vec<u8> {
    let hints = trackers.iter().chain(web_seeds);
    let hints_len: usize = hints.map(|url| url.len() + HINT_LEN).sum();
    if info.len() + hints_len + 64 > Limits::MANIFEST.input {
        return [b"d4:info", info, b"e"].concat();
    }
    let mut out = vec![b'd'];
    put_text(&mut out, "announce", trackers.first().map(String::as_str));
    if trackers.len() > 1 {
        put_bytes(&mut out, b"announce-list");
        out.push(b'l');
        for url in trackers {
            put_list(&mut out, [url].into_iter());
        }
        out.push(b'e');
    }
    put_bytes(&mut out, b"info");
    out.extend_from_slice(info);
    if !web_seeds.is_empty() {
        put_bytes(&mut out, b"url-list");
        put_list(&mut out, web_seeds.iter());
    }
    out.push(b'e');
    out
}

fn put_files(out: &mut Vec<u8>, entries: &[FileEntry]) {
    put_bytes(out, b"files");
    out.push(b'l');
    for file in entries {
        out.push(b'd');
        put_attr_and_len(out, file);
        put_bytes(out, b"path");
        put_list(out, file.path.elements().skip(1));
        out.push(b'e');
    }
    out.push(b'e');
}

fn put_attr_and_len(out: &mut Vec<u8>, file: &FileEntry) {
    let attr = match (file.kind, file.executable) {
        (FileKind::Padding, _) => Some("p"),
        (_, true) => Some("x"),
        _ => None,
    };
    put_text(out, "attr", attr);
    put_bytes(out, b"length");
    put_int(out, i64::try_from(file.len).expect("at most TOTAL_LEN_MAX"));
}

fn put_text(out: &mut Vec<u8>, key: &str, text: Option<&str>) {
    if let Some(text) = text {
        put_bytes(out, key.as_bytes());
        put_bytes(out, text.as_bytes());
    }
}

fn put_list(out: &mut Vec<u8>, texts: impl Iterator<Item = impl AsRef<str>>) {
    out.push(b'l');
    for text in texts {
        put_bytes(out, text.as_ref().as_bytes());
    }
    out.push(b'e');
}
