//! From bytes of the content to requests for parts of files, and what counts as an answer to one.

use std::net::SocketAddr;
use std::ops::Range;

use hyper::StatusCode;
use hyper::header;

use super::Failure;
use crate::metainfo::{FileKind, FileMode, Metainfo};
use crate::runtime::web::{Answer, Ask, Caution, Kept, Web};
use crate::tracker::TrackerUrl;
use crate::tracker::url::escaped;

/// The files of a manifest below one URL.
pub(super) struct Ranges<'a> {
    meta: &'a Metainfo,
    base: &'a str,
}

/// What bytes of the content are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// Padding of this length.
    Zeros(u64),
    /// A part of a file.
    File {
        /// Where it is.
        url: String,
        /// Which bytes of it.
        part: Range<u64>,
        /// How long all of it is.
        len: u64,
    },
}

impl<'a> Ranges<'a> {
    pub(super) fn new(meta: &'a Metainfo, base: &'a str) -> Self {
        Self { meta, base }
    }

    /// What these bytes of the content are made of, in order.
    pub(super) fn segments(&self, bytes: Range<u64>) -> Vec<Segment> {
        let files = self.meta.files();
        let first = files.partition_point(|file| file.offset + file.len <= bytes.start);
        let mut segments = Vec::new();
        for file in &files[first..] {
            if file.offset >= bytes.end {
                break;
            }
            let start = bytes.start.max(file.offset) - file.offset;
            let end = bytes.end.min(file.offset + file.len) - file.offset;
            if start >= end {
                continue;
            }
            segments.push(match file.kind {
                FileKind::Regular => Segment::File {
                    url: self.url(file.path.elements()),
                    part: start..end,
                    len: file.len,
                },
                FileKind::Padding | FileKind::Symlink => Segment::Zeros(end - start),
            });
        }
        segments
    }

    /// Asks for one byte: whether there is anybody, and who gives ranges. Says where it is.
    pub(super) async fn probe(&self, web: &Web) -> Result<SocketAddr, Failure> {
        let mut files = self.meta.files().iter();
        let file = files
            .find(|file| file.kind == FileKind::Regular && file.len > 0)
            .ok_or_else(|| Failure::Useless("there is nothing to fetch".into()))?;
        let url = self.url(file.path.elements());
        let answer = open((web, None), &url, (0..1, file.len)).await?;
        Ok(answer.from)
    }

    fn url<'p>(&self, path: impl Iterator<Item = &'p str>) -> String {
        let is_whole = self.meta.mode() == FileMode::Single && !self.base.ends_with('/');
        if is_whole {
            return self.base.to_owned();
        }
        let path: Vec<String> = path.map(escaped).collect();
        format!("{}{}", self.base, path.join("/"))
    }
}

/// Opens exactly this part of a file that is `len` bytes long, over the connection that was kept.
pub(super) async fn open(
    (web, kept): (&Web, Option<Kept>),
    url: &str,
    (part, len): (Range<u64>, u64),
) -> Result<Answer, Failure> {
    let url = TrackerUrl::parse(url)?;
    let ask = Ask {
        range: Some(part.clone()),
        keep: true,
        ..Ask::all(Caution::WebSeed)
    };
    let answer = web.ask_over(kept, &url, &ask).await?;
    judge(&answer, &part, len).map(|()| answer)
}

fn judge(answer: &Answer, part: &Range<u64>, len: u64) -> Result<(), Failure> {
    let status = answer.status;
    let useless = |reason: &str| Err(Failure::Useless(reason.to_owned()));
    if status == StatusCode::OK {
        let is_all =
            *part == (0..len) && answer.header(header::CONTENT_LENGTH) == Some(&len.to_string());
        return if is_all {
            Ok(())
        } else {
            useless("does not serve ranges")
        };
    }
    if status != StatusCode::PARTIAL_CONTENT {
        let reason = format!("HTTP status {status}");
        let is_lasting = status.is_client_error()
            && status != StatusCode::TOO_MANY_REQUESTS
            && status != StatusCode::REQUEST_TIMEOUT;
        return Err(if is_lasting {
            Failure::Useless(reason)
        } else {
            Failure::Passing(reason)
        });
    }
    let want = format!("bytes {}-{}/{len}", part.start, part.end - 1);
    match answer.header(header::CONTENT_RANGE) {
        Some(range) if range == want => Ok(()),
        Some(range) if !range.ends_with(&format!("/{len}")) => {
            useless("has a file of another length")
        }
        _ => useless("does not serve the ranges that it is asked for"),
    }
}
