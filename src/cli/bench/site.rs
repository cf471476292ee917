//! A small HTTP server on loopback: the tracker that machines find each other by, or the file of
//! the contender that has no swarm.
//!
//! One thread and one event loop for each; what it may send per second all its clients share.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use crossbeam_channel::Sender;
use http_body_util::{Channel, Either, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, oneshot};
use tokio::task::{LocalSet, spawn_local};

use crate::bencode::{put_bytes, put_int};
use crate::layout::BLOCK_LEN;
use crate::runtime::Clock;
use crate::torrent::rate::TokenBucket;

/// Peers that an answer names unless it was asked for fewer; as other trackers.
const PEERS_MAX: usize = 200;

/// Seconds between announces. Longer than any bench: a swarm finds itself at the start.
const INTERVAL: i64 = 1_800;

/// Parts of the file on their way to one client's socket.
const PARTS_AHEAD: usize = 2;

type Body = Either<Full<Bytes>, Channel<Bytes, io::Error>>;

/// What a server is made of.
#[derive(Debug)]
pub(super) enum Site {
    /// Answers announces; whoever announces first is told to `heard`.
    Tracker {
        /// Hears of every new machine.
        heard: Sender<SocketAddr>,
        /// Decides who is named to whom.
        rng_seed: u64,
    },
    /// Gives a file to everybody, all of them together at `limit` bytes per second.
    Content {
        /// The file.
        path: PathBuf,
        /// Its length.
        len: u64,
        /// Bytes per second; `None` is unlimited.
        limit: Option<u64>,
    },
}

/// A server at work. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Server {
    /// Where it listens.
    pub(super) addr: SocketAddr,
    sent: Arc<AtomicU64>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on any port of `ip`.
    pub(super) fn start(ip: IpAddr, site: Site) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((ip, 0))?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (end, ended) = oneshot::channel();
        let sent = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&sent);
        let thread = std::thread::Builder::new()
            .name("swarm-site".into())
            .spawn(move || {
                let tasks = LocalSet::new();
                let served = tasks.run_until(async move {
                    tokio::select! {
                        result = serve(listener, site, counted) => result,
                        _ = ended => Ok(()),
                    }
                });
                if let Err(error) = runtime.block_on(served) {
                    tracing::error!("{addr}: {error}");
                }
            })?;
        Ok(Self {
            addr,
            sent,
            end: Some(end),
            thread: Some(thread),
        })
    }
}

impl Server {
    /// Content that it has given, in bytes.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// A site with what it remembers.
enum Open {
    Tracker(Box<RefCell<Tracker>>),
    Content(Uplink),
}

struct Tracker {
    known: Vec<SocketAddr>,
    heard: Sender<SocketAddr>,
    rng: ChaCha8Rng,
}

struct Uplink {
    file: File,
    len: u64,
    /// Waiters get their turn in the order in which they came, so that clients share it evenly.
    bucket: Mutex<TokenBucket>,
    clock: Clock,
    sent: Arc<AtomicU64>,
}

async fn serve(
    listener: std::net::TcpListener,
    site: Site,
    sent: Arc<AtomicU64>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let open = Rc::new(Open::new(site, sent)?);
    loop {
        let (stream, from) = listener.accept().await?;
        spawn_local(converse(Rc::clone(&open), stream, from));
    }
}

async fn converse(open: Rc<Open>, stream: TcpStream, from: SocketAddr) {
    let answer = service_fn(|request: Request<hyper::body::Incoming>| {
        let response = open.answer(&request, from);
        async move { response }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = served.await {
        tracing::debug!("{from}: {error}");
    }
}

impl Open {
    fn new(site: Site, sent: Arc<AtomicU64>) -> io::Result<Self> {
        Ok(match site {
            Site::Tracker { heard, rng_seed } => Self::Tracker(Box::new(RefCell::new(Tracker {
                known: Vec::new(),
                heard,
                rng: ChaCha8Rng::seed_from_u64(rng_seed),
            }))),
            Site::Content { path, len, limit } => {
                let clock = Clock::start();
                Self::Content(Uplink {
                    file: File::open(path)?,
                    len,
                    bucket: Mutex::new(TokenBucket::new(limit, clock.now())),
                    clock,
                    sent,
                })
            }
        })
    }

    fn answer<T>(
        self: &Rc<Self>,
        request: &Request<T>,
        from: SocketAddr,
    ) -> hyper::http::Result<Response<Body>> {
        let answer = Response::builder();
        match &**self {
            Self::Tracker(tracker) => {
                let query = request.uri().query().unwrap_or_default();
                match tracker.borrow_mut().answer(query, from.ip()) {
                    Some(answered) => answer.body(Either::Left(answered.into())),
                    None => answer
                        .status(StatusCode::BAD_REQUEST)
                        .body(Either::Left(Full::default())),
                }
            }
            Self::Content(uplink) => {
                let (parts, body) = Channel::new(PARTS_AHEAD);
                spawn_local(send(Rc::clone(self), parts));
                answer
                    .header(hyper::header::CONTENT_LENGTH, uplink.len)
                    .body(Either::Right(body))
            }
        }
    }
}

impl Tracker {
    /// Notes who announces and names others, in the compact form (BEP 23).
    fn answer(&mut self, query: &str, ip: IpAddr) -> Option<Vec<u8>> {
        let value = |key: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
        };
        let announcing = SocketAddr::new(ip, value("port")?.parse().ok()?);
        let wanted = value("numwant").and_then(|wanted| wanted.parse().ok());
        let mut others = self.known.clone();
        others.retain(|known| *known != announcing);
        if value("event") == Some("stopped") {
            self.known.clone_from(&others);
        } else if others.len() == self.known.len() {
            self.known.push(announcing);
            // The bench may be past caring.
            let _ = self.heard.try_send(announcing);
        }
        others.shuffle(&mut self.rng);
        others.truncate(wanted.unwrap_or(PEERS_MAX).min(PEERS_MAX));
        let mut peers = Vec::new();
        for other in others {
            if let IpAddr::V4(ip) = other.ip() {
                peers.extend(ip.octets());
                peers.extend(other.port().to_be_bytes());
            }
        }
        let mut answer = b"d8:interval".to_vec();
        put_int(&mut answer, INTERVAL);
        put_bytes(&mut answer, b"peers");
        put_bytes(&mut answer, &peers);
        answer.push(b'e');
        Some(answer)
    }
}

/// Sends the whole file to one client, a block whenever it is its turn.
async fn send(open: Rc<Open>, mut parts: http_body_util::channel::Sender<Bytes, io::Error>) {
    let Open::Content(uplink) = &*open else {
        return;
    };
    let mut offset = 0;
    while offset < uplink.len {
        let len = (uplink.len - offset).min(BLOCK_LEN.into());
        let mut part = vec![0; usize::try_from(len).expect("a block fits into memory")];
        if let Err(error) = uplink.file.read_exact_at(&mut part, offset) {
            parts.abort(error);
            return;
        }
        pass(&uplink.bucket, len, &uplink.clock).await;
        if parts.send_data(part.into()).await.is_err() {
            return;
        }
        uplink.sent.fetch_add(len, Ordering::Relaxed);
        offset += len;
    }
}

/// Waits until `bytes` may pass.
pub(super) async fn pass(bucket: &Mutex<TokenBucket>, bytes: u64, clock: &Clock) {
    let mut bucket = bucket.lock().await;
    loop {
        let now = clock.now();
        if bucket.is_open(now) {
            bucket.take(bytes, now);
            return;
        }
        tokio::time::sleep(bucket.open_at().since(now)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracker_names_everybody_but_the_one_who_asks() {
        let (heard, announced) = crossbeam_channel::unbounded();
        let mut tracker = Tracker {
            known: Vec::new(),
            heard,
            rng: ChaCha8Rng::seed_from_u64(1),
        };
        let ip = |last| IpAddr::from([127, 0, 0, last]);
        let mut ask = |query: &str, last| {
            let answer = tracker.answer(query, ip(last))?;
            Some(String::from_utf8_lossy(&answer).into_owned())
        };
        let nobody = "d8:intervali1800e5:peers0:e";
        assert_eq!(ask("port=258&event=started", 1).as_deref(), Some(nobody));
        assert_eq!(ask("port=258", 1).as_deref(), Some(nobody));
        let one = "d8:intervali1800e5:peers6:\u{7f}\0\0\u{1}\u{1}\u{2}e";
        assert_eq!(ask("port=771&event=started", 2).as_deref(), Some(one));
        assert_eq!(ask("port=771&event=stopped", 2).as_deref(), Some(one));
        assert_eq!(ask("port=258&numwant=5", 1).as_deref(), Some(nobody));
        assert_eq!(ask("port=771&numwant=0", 2).as_deref(), Some(nobody));
        assert_eq!(ask("event=started", 1), None);
        let heard: Vec<_> = announced.try_iter().map(|addr| addr.port()).collect();
        assert_eq!(heard, [258, 771, 771]);
    }
}
