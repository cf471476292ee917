//! From the bytes of a manifest to a [`Metainfo`].

use std::ops::Range;

use super::files::{self, FileFields};
use super::{
    About, FileMode, Metainfo, MetainfoError, PIECE_LEN_RANGE, PIECES_MAX, Renamed, hybrid, names,
};
use crate::bencode::{Document, Limits, Value};
use crate::hash;
use crate::ids::InfoHash;
use crate::layout::Layout;

/// Most trackers, and most web seeds, that are kept of one manifest.
pub(super) const URLS_MAX: usize = 256;
/// The longest URL that is kept, in bytes.
const URL_LEN_MAX: usize = 2_048;

/// The fields of `info` that are read. Each may stand once.
#[derive(Default)]
struct Info<'a> {
    name: Option<Value<'a>>,
    length: Option<Value<'a>>,
    attr: Option<Value<'a>>,
    files: Option<Value<'a>>,
    piece_length: Option<Value<'a>>,
    pieces: Option<Value<'a>>,
    private: Option<Value<'a>>,
    source: Option<Value<'a>>,
    meta_version: Option<Value<'a>>,
    file_tree: Option<Value<'a>>,
}

impl<'a> Info<'a> {
    fn read(info: Value<'a>) -> Result<Self, MetainfoError> {
        let mut read = Self::default();
        for (key, value) in info.dict().ok_or(MetainfoError::Field("info"))? {
            let (name, field) = match key {
                b"name" => ("name", &mut read.name),
                b"length" => ("length", &mut read.length),
                b"attr" => ("attr", &mut read.attr),
                b"files" => ("files", &mut read.files),
                b"piece length" => ("piece length", &mut read.piece_length),
                b"pieces" => ("pieces", &mut read.pieces),
                b"private" => ("private", &mut read.private),
                b"source" => ("source", &mut read.source),
                b"meta version" => ("meta version", &mut read.meta_version),
                b"file tree" => ("file tree", &mut read.file_tree),
                _ => continue,
            };
            set(field, name, value)?;
        }
        Ok(read)
    }

    /// The name, as raw bytes.
    fn name(&self) -> Result<&'a [u8], MetainfoError> {
        bytes(self.name)
            .filter(|name| !name.is_empty())
            .ok_or(MetainfoError::Field("name"))
    }

    fn is_v2_only(&self) -> bool {
        let v2 = self.file_tree.is_some() || int(self.meta_version) == Some(2);
        v2 && self.pieces.is_none()
    }

    fn mode(&self) -> FileMode {
        match self.files {
            Some(_) => FileMode::Directory,
            None => FileMode::Single,
        }
    }
}

/// Notes the value of a field that has not been seen.
pub(super) fn set<'a>(
    field: &mut Option<Value<'a>>,
    name: &'static str,
    value: Value<'a>,
) -> Result<(), MetainfoError> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(MetainfoError::Repeated(name)),
    }
}

pub(super) fn parse(raw: Vec<u8>) -> Result<Metainfo, MetainfoError> {
    if let Some(&first) = raw.first().filter(|&&first| first != b'd') {
        return Err(MetainfoError::NotATorrent(first));
    }
    let document = Document::scan_prefix(&raw, &Limits::MANIFEST)?;
    check_tail(&raw, document.len())?;
    let root = document.root();
    let info_value = root.get(b"info").ok_or(MetainfoError::Field("info"))?;
    let info = Info::read(info_value)?;
    if info.is_v2_only() {
        return Err(MetainfoError::V2Only);
    }
    let name = files::name(info.name()?)?;
    let files = match info.files {
        Some(list) => files::list(name.as_str(), list)?,
        None => vec![files::single(name, info.length, info.attr)?],
    };
    if let Some(tree) = info.file_tree {
        hybrid::check(tree, info.name()?, info.files, &files)?;
    }
    let (layout, pieces) = layout(&info, files::total_len(&files)?)?;
    let (mode, private) = (
        info.mode(),
        int(info.private).is_some_and(|private| private != 0),
    );
    let source = text(info.source);
    let about = about(root, mode);
    let info = info_value.span();
    drop(document);
    names::check(&files)?;
    Ok(Metainfo {
        info_hash: InfoHash::new(hash::one(&raw[info.clone()])),
        raw,
        info,
        pieces,
        layout,
        mode,
        files,
        private,
        source,
        about,
    })
}

/// White space after the manifest is common and harmless; anything else is damage.
fn check_tail(raw: &[u8], end: usize) -> Result<(), MetainfoError> {
    match raw[end..]
        .iter()
        .position(|byte| !byte.is_ascii_whitespace())
    {
        None => Ok(()),
        Some(at) => Err(MetainfoError::Trailing {
            offset: end + at,
            count: raw.len() - end - at,
        }),
    }
}

fn layout(info: &Info<'_>, total_len: u64) -> Result<(Layout, Range<usize>), MetainfoError> {
    let piece_len = info
        .piece_length
        .and_then(Value::uint)
        .ok_or(MetainfoError::Field("piece length"))?;
    let layout = u32::try_from(piece_len)
        .ok()
        .filter(|len| PIECE_LEN_RANGE.contains(len))
        .ok_or(MetainfoError::PieceLength(piece_len))
        .map(|len| Layout::new(total_len, len))?
        .filter(|layout| layout.piece_count() <= PIECES_MAX)
        .ok_or(MetainfoError::TooManyPieces)?;
    let pieces = info.pieces.ok_or(MetainfoError::Field("pieces"))?;
    let hashes = pieces.bytes().ok_or(MetainfoError::Field("pieces"))?;
    let (got, want) = (hashes.len() as u64, 20 * u64::from(layout.piece_count()));
    if got != want {
        return Err(MetainfoError::PieceHashes { got, want });
    }
    let end = pieces.span().end;
    Ok((layout, end - hashes.len()..end))
}

fn about(root: Value<'_>, mode: FileMode) -> About {
    About {
        trackers: trackers(root),
        web_seeds: web_seeds(root, mode),
        nodes: nodes(root),
        comment: text(root.get(b"comment")),
        created_by: text(root.get(b"created by")),
        creation_date: int(root.get(b"creation date")),
    }
}

/// The tiers of `announce-list`, or else `announce` alone (BEP 12).
fn trackers(root: Value<'_>) -> Vec<Vec<String>> {
    let mut seen = Vec::new();
    let mut tier = |urls: &mut dyn Iterator<Item = Value<'_>>| {
        let mut tier = Vec::new();
        for url in urls.filter_map(Value::text).filter_map(url) {
            if seen.len() < URLS_MAX && !seen.contains(&url) {
                seen.push(url.clone());
                tier.push(url);
            }
        }
        tier
    };
    let mut tiers: Vec<Vec<String>> = root
        .get(b"announce-list")
        .and_then(Value::list)
        .into_iter()
        .flatten()
        .filter_map(Value::list)
        .map(|mut urls| tier(&mut urls))
        .collect();
    tiers.retain(|tier| !tier.is_empty());
    if tiers.is_empty() {
        tiers.push(tier(&mut root.get(b"announce").into_iter()));
        tiers.retain(|tier| !tier.is_empty());
    }
    tiers
}

/// The URLs of `url-list`, which is a list or one string (BEP 19). Those of a directory end in `/`.
fn web_seeds(root: Value<'_>, mode: FileMode) -> Vec<String> {
    let Some(list) = root.get(b"url-list") else {
        return Vec::new();
    };
    let one = list.bytes().map(|_| list);
    let mut seeds: Vec<String> = Vec::new();
    for text in list
        .list()
        .into_iter()
        .flatten()
        .chain(one)
        .filter_map(Value::text)
    {
        let Some(mut url) = url(&text.trim().replace(' ', "%20")) else {
            continue;
        };
        if mode == FileMode::Directory && !url.ends_with('/') {
            url.push('/');
        }
        if seeds.len() < URLS_MAX && !seeds.contains(&url) {
            seeds.push(url);
        }
    }
    seeds
}

/// The pairs of host and port of `nodes` (BEP 5).
fn nodes(root: Value<'_>) -> Vec<String> {
    let list = root.get(b"nodes").and_then(Value::list);
    let node = |pair: Value<'_>| {
        let mut pair = pair.list()?;
        let host = pair.next()?.text().filter(|host| is_host(host))?;
        let port = u16::try_from(pair.next()?.uint()?).ok()?;
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        (port != 0).then(|| format!("{host}:{port}"))
    };
    list.into_iter()
        .flatten()
        .filter_map(node)
        .take(URLS_MAX)
        .collect()
}

fn is_host(host: &str) -> bool {
    let fits = (1..=253).contains(&host.len());
    fits && host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':'))
}

/// What can be a URL: not empty, not too long, nothing in it that could break out of a request line.
pub(super) fn url(text: &str) -> Option<String> {
    let url = text.trim();
    let fits = (1..=URL_LEN_MAX).contains(&url.len());
    let clean = !url.contains(|c: char| c.is_whitespace() || c.is_control());
    (fits && clean).then(|| url.to_owned())
}

pub(super) fn bytes(value: Option<Value<'_>>) -> Option<&[u8]> {
    value.and_then(Value::bytes)
}

fn int(value: Option<Value<'_>>) -> Option<i64> {
    value.and_then(Value::int)
}

fn text(value: Option<Value<'_>>) -> Option<String> {
    Some(String::from_utf8_lossy(bytes(value)?).into_owned())
}

pub(super) fn renamed(meta: &Metainfo) -> Vec<Renamed> {
    let Ok(document) = Document::scan(meta.info_bytes(), &Limits::MANIFEST) else {
        return Vec::new();
    };
    let name = bytes(document.root().get(b"name")).unwrap_or_default();
    let list = document.root().get(b"files").and_then(Value::list);
    let paths: Vec<Option<Value<'_>>> = match list {
        Some(list) => list.map(|file| FileFields::read(file).ok()?.path).collect(),
        None => vec![None],
    };
    let entries = meta.files.iter().zip(paths);
    entries
        .filter(|(entry, _)| entry.kind != super::FileKind::Padding)
        .filter_map(|(entry, path)| {
            let given = files::joined(name, path);
            (given != entry.path.as_str().as_bytes()).then(|| Renamed {
                given: super::escape::escape(given),
                path: entry.path.clone(),
            })
        })
        .collect()
}
