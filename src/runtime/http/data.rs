//! The files of a seed over HTTP, with ranges: what makes it a web seed (BEP 19).
//!
//! The bytes go the way of blocks that peers ask for, through the disk workers, and count against
//! the same upload limit. While peers are connected all visitors together get half of it.

use std::cell::Cell;
use std::cmp::Ordering;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::channel::Sender;
use http_body_util::{Channel, Either};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::sync::{Mutex, mpsc};
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::{Body, answered, said};
use crate::layout::{BLOCK_LEN, Block};
use crate::metainfo::{FileKind, Metainfo};
use crate::runtime::clock::Clock;
use crate::runtime::disk::ReadJob;
use crate::runtime::hub::Hub;
use crate::runtime::outbox::PIECE_HEADER_LEN;
use crate::torrent::Event;
use crate::torrent::rate::TokenBucket;

/// Bytes read for one visitor at a time.
const PART_LEN: u64 = 8 * BLOCK_LEN as u64;

/// Parts on their way to one visitor's socket.
const PARTS_AHEAD: usize = 2;

/// Files being sent at a time: without a limit each takes as much of the link as a peer does, and
/// peers come first.
const TRANSFERS_MAX: usize = 16;

/// The wait for room in the queue of the disk.
const DISK_PAUSE: Duration = Duration::from_millis(20);

/// The files of one seed.
pub(super) struct Data {
    hub: Rc<Hub>,
    meta: Arc<Metainfo>,
    clock: Clock,
    /// Places in the file list, in the order of the paths.
    by_path: Vec<u32>,
    etag: HeaderValue,
    /// Who waits gets its turn in the order in which it came.
    pace: Mutex<TokenBucket>,
    transfers: Cell<usize>,
}

/// One file being sent; counts as long as it lives.
struct Transfer(Rc<Data>);

impl Transfer {
    fn begin(data: &Rc<Data>) -> Option<Self> {
        let under_way = data.transfers.get();
        (under_way < TRANSFERS_MAX).then(|| {
            data.transfers.set(under_way + 1);
            Self(Rc::clone(data))
        })
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.0.transfers.set(self.0.transfers.get() - 1);
    }
}

/// What a `Range` header asks for of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part(Range<u64>),
    /// Nothing that is in it.
    Beyond,
}

impl Data {
    pub(super) fn new(hub: Rc<Hub>, meta: Arc<Metainfo>, clock: Clock) -> Self {
        let mut by_path: Vec<u32> = (0..)
            .zip(meta.files())
            .filter(|(_, file)| file.kind == FileKind::Regular)
            .map(|(place, _)| place)
            .collect();
        by_path.sort_by(|&a, &b| path(&meta, a).cmp(path(&meta, b)));
        let etag = format!("\"{}\"", meta.info_hash());
        Self {
            by_path,
            etag: HeaderValue::from_str(&etag).expect("hexadecimal digits"),
            pace: Mutex::new(TokenBucket::new(hub.upload_limit.get(), clock.now())),
            transfers: Cell::new(0),
            hub,
            meta,
            clock,
        }
    }

    /// Answers a request for the file at `path`, which begins with the name of the content.
    pub(super) fn answer<T>(self: &Rc<Self>, path: &str, request: &Request<T>) -> Response<Body> {
        let Some(file) = self.find(path) else {
            return said(StatusCode::NOT_FOUND, "no such file");
        };
        let wanted = self.wanted(request.headers(), file.end - file.start);
        let (status, part) = match wanted {
            Wanted::All => (StatusCode::OK, 0..file.end - file.start),
            Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
            Wanted::Beyond => return self.beyond(file.end - file.start),
        };
        let kind = "application/octet-stream";
        let mut response = answered(status, kind, Vec::new());
        if request.method() != hyper::Method::HEAD && !part.is_empty() {
            let Some(transfer) = Transfer::begin(self) else {
                let mut busy = said(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too many downloads, try again",
                );
                let soon = HeaderValue::from_static("2");
                busy.headers_mut().insert(header::RETRY_AFTER, soon);
                return busy;
            };
            let (parts, body) = Channel::new(PARTS_AHEAD);
            let bytes = file.start + part.start..file.start + part.end;
            spawn_local(send(transfer, bytes, parts));
            *response.body_mut() = Either::Right(body);
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, (part.end - part.start).into());
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::ETAG, self.etag.clone());
        if status == StatusCode::PARTIAL_CONTENT {
            let total = file.end - file.start;
            let range = format!("bytes {}-{}/{total}", part.start, part.end - 1);
            let range = HeaderValue::from_str(&range).expect("digits");
            headers.insert(header::CONTENT_RANGE, range);
        }
        response
    }

    /// Where the file at `path` lies in the content.
    fn find(&self, wanted: &str) -> Option<Range<u64>> {
        let found = self
            .by_path
            .binary_search_by(|&place| path(&self.meta, place).cmp(wanted));
        let file = &self.meta.files()[self.by_path[found.ok()?] as usize];
        Some(file.offset..file.offset + file.len)
    }

    fn wanted(&self, headers: &HeaderMap, len: u64) -> Wanted {
        let same = |header: &HeaderValue| *header == self.etag;
        if !headers.get(header::IF_RANGE).is_none_or(same) {
            return Wanted::All;
        }
        let range = headers
            .get(header::RANGE)
            .and_then(|range| range.to_str().ok());
        range.map_or(Wanted::All, |range| read_range(range, len))
    }

    fn beyond(&self, len: u64) -> Response<Body> {
        let mut response = said(StatusCode::RANGE_NOT_SATISFIABLE, "the file is shorter");
        let range = HeaderValue::from_str(&format!("bytes */{len}")).expect("digits");
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_RANGE, range);
        headers.insert(header::ETAG, self.etag.clone());
        response
    }

    /// Waits until `bytes` may go.
    async fn pass(&self, bytes: u64) {
        let mut pace = self.pace.lock().await;
        loop {
            let now = self.clock.now();
            let limit = self.hub.upload_limit.get();
            let shared = !self.hub.links.borrow().is_empty();
            let share = |limit: u64| if shared { limit.div_ceil(2) } else { limit };
            pace.set_limit(limit.map(share), now);
            if pace.is_open(now) {
                return pace.take(bytes, now);
            }
            sleep(pace.open_at().since(now)).await;
        }
    }

    /// Reads bytes of the content; they come in parts of a block. `None` if the disk refuses.
    async fn read(&self, bytes: &Range<u64>) -> Option<Vec<Bytes>> {
        let blocks = self.blocks(bytes);
        let (reply, mut done) = mpsc::channel(1);
        let mut job = ReadJob {
            blocks: blocks.clone(),
            buffer: Vec::new(),
            reply,
        };
        while let Err(refused) = self.hub.disk.read(job) {
            job = refused;
            sleep(DISK_PAUSE).await;
        }
        let read = done
            .recv()
            .await
            .filter(|read| read.unreadable.is_empty())?;
        let mut frames = Bytes::from(read.frames.bytes);
        let layout = self.meta.layout();
        let parts = blocks.into_iter().map(|block| {
            let mut frame = frames.split_to(PIECE_HEADER_LEN + block.range().len());
            let payload = frame.split_off(PIECE_HEADER_LEN);
            let start = layout.block_offset(block);
            let within = |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
            payload.slice(within(bytes.start)..within(bytes.end).min(payload.len()))
        });
        Some(parts.collect())
    }

    /// The blocks that hold any of these bytes.
    fn blocks(&self, bytes: &Range<u64>) -> Vec<Block> {
        let layout = self.meta.layout();
        let mut blocks = Vec::new();
        for piece in layout.pieces_of(bytes.clone()) {
            let start = layout.piece_offset(piece);
            let first = bytes.start.saturating_sub(start) / u64::from(BLOCK_LEN);
            let first = u32::try_from(first).expect("a piece is shorter than 4 GiB");
            let from = (first..).map_while(|number| layout.nth_block(piece, number));
            blocks.extend(from.take_while(|&block| layout.block_offset(block) < bytes.end));
        }
        blocks
    }
}

fn path(meta: &Metainfo, place: u32) -> &str {
    meta.files()[place as usize].path.as_str()
}

/// Sends bytes of the content to one visitor, part by part, whenever it is their turn.
async fn send(transfer: Transfer, mut bytes: Range<u64>, mut parts: Sender<Bytes, io::Error>) {
    let data = &transfer.0;
    while !bytes.is_empty() {
        let end = bytes.end.min((bytes.start / PART_LEN + 1) * PART_LEN);
        let part = bytes.start..end;
        let len = end - bytes.start;
        data.pass(len).await;
        let Some(read) = data.read(&part).await else {
            return parts.abort(io::Error::other("the file cannot be read"));
        };
        for block in read {
            if parts.send_data(block).await.is_err() {
                return;
            }
        }
        data.hub.tell(Event::SentBeside { bytes: len }).await;
        bytes.start = end;
    }
}

/// A single range as RFC 9110 writes it. Several, or what is none, is as if nothing was asked for.
fn read_range(header: &str, len: u64) -> Wanted {
    let Some((first, last)) = header
        .strip_prefix("bytes=")
        .filter(|ranges| !ranges.contains(','))
        .and_then(|range| range.trim().split_once('-'))
    else {
        return Wanted::All;
    };
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| !text.starts_with('+'));
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(len),
        (Some(first), None) if last.is_empty() => first..len,
        (None, Some(count)) if first.is_empty() => len.saturating_sub(count)..len,
        _ => return Wanted::All,
    };
    match range.start.cmp(&range.end) {
        Ordering::Less => Wanted::Part(range),
        _ => Wanted::Beyond,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_http_writes_it() {
        for (header, want) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=2-5", Wanted::Part(2..6)),
            ("bytes=2-500", Wanted::Part(2..10)),
            ("bytes=2-18446744073709551615", Wanted::Part(2..10)),
            ("bytes=9-", Wanted::Part(9..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-30", Wanted::Part(0..10)),
            ("bytes=10-", Wanted::Beyond),
            ("bytes=10-11", Wanted::Beyond),
            ("bytes=-0", Wanted::Beyond),
            ("bytes=5-2", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=99999999999999999999-", Wanted::All),
            ("lines=0-1", Wanted::All),
        ] {
            assert_eq!(read_range(header, 10), want, "{header}");
        }
    }
}
