//! What a seed answers over HTTP: its manifest, a tracker for its swarm, its files, and a page that
//! says what to type.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Channel, Either};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::data::Data;
use super::{Body, Visitor, bencoded, converse, page, said};
use crate::metainfo::Metainfo;
use crate::metainfo::announced::Announced;
use crate::runtime::clock::Clock;
use crate::runtime::hub::Hub;
use crate::runtime::seats::{SeatLimits, Seats};
use crate::torrent::event::PeerSource;
use crate::tracker::TrackerUrl;
use crate::tracker::server::{self, Admission, Resident, ServerConfig, TrackerServer};
use crate::tracker::url::unescaped;

/// Visitors at a time. A machine opens one connection, aria2 up to 16; a lab room has 40 machines.
const VISITORS: SeatLimits = SeatLimits {
    total: 128,
    per_v4: 16,
    per_v6_net: 32,
};

/// The type that manifests have.
pub(in crate::runtime) const MANIFEST_TYPE: &str = "application/x-bittorrent";

/// What a swarm's own tracker allows: one swarm on a network of one's own.
fn tracker_config(meta: &Metainfo, resident: Resident) -> ServerConfig {
    ServerConfig {
        // Often enough that machines which started together soon know each other.
        interval: Duration::from_secs(120),
        interval_min: Duration::from_secs(30),
        expiry: Duration::from_secs(300),
        swarms_max: 1,
        peers_max: 10_000,
        admission: Admission::Listed(BTreeSet::from([meta.info_hash()])),
        resident: Some(resident),
        ..ServerConfig::default()
    }
}

/// The site of one seed.
pub(in crate::runtime) struct Site {
    meta: Arc<Metainfo>,
    manifest: Announced,
    tracker: RefCell<TrackerServer>,
    data: Rc<Data>,
    hub: Rc<Hub>,
    clock: Clock,
    seats: Rc<Seats>,
}

impl Site {
    /// A site for content of which we have every byte.
    pub(in crate::runtime) fn new(
        hub: &Rc<Hub>,
        meta: Arc<Metainfo>,
        resident: Resident,
        (clock, seed): (Clock, u64),
    ) -> Rc<Self> {
        let config = tracker_config(&meta, resident);
        Rc::new(Self {
            manifest: Announced::new(&meta),
            tracker: RefCell::new(TrackerServer::new(config, seed)),
            data: Rc::new(Data::new(Rc::clone(hub), Arc::clone(&meta), clock)),
            hub: Rc::clone(hub),
            meta,
            clock,
            seats: Seats::new(VISITORS),
        })
    }

    /// Forgets peers of the tracker that went without a word; runs as long as the site.
    pub(in crate::runtime) async fn sweep(self: Rc<Self>) {
        loop {
            sleep(Duration::from_secs(1)).await;
            self.tracker.borrow_mut().sweep(self.clock.now());
        }
    }

    /// Answers one visitor until it leaves, if there is a seat for it.
    pub(in crate::runtime) async fn converse(&self, stream: TcpStream, visitor: Visitor) {
        let Some(_seat) = Seats::enter(&self.seats, visitor.ip) else {
            return tracing::debug!("{}: no seat left for HTTP", visitor.ip);
        };
        let answer = |request: &Request<Incoming>| self.answer(request, visitor);
        converse(stream, visitor, answer).await;
    }

    fn answer<T>(&self, request: &Request<T>, visitor: Visitor) -> Response<Body> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = said(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(header::ALLOW, allowed);
            return response;
        }
        let now = self.clock.now();
        if let Err(refusal) = self.tracker.borrow_mut().admit(visitor.ip, now) {
            return said(StatusCode::TOO_MANY_REQUESTS, &refusal.to_string());
        }
        let query = request.uri().query().unwrap_or_default();
        match request.uri().path() {
            "/" if wants_manifest(request) => self.send_manifest(request, visitor),
            "/" => page::page(&self.meta, &authority(request, visitor)),
            "/announce" => {
                let mut tracker = self.tracker.borrow_mut();
                let caller = visitor.caller();
                let answer = server::http::announce(&mut tracker, query, caller, now);
                if let Some(newcomer) = tracker.take_newcomer() {
                    self.hub.mention(PeerSource::Incoming, newcomer);
                }
                bencoded(answer)
            }
            "/scrape" => bencoded(server::http::scrape(&self.tracker.borrow(), query)),
            path => self.send_file(path, request, visitor),
        }
    }

    fn send_file<T>(&self, path: &str, request: &Request<T>, visitor: Visitor) -> Response<Body> {
        let decoded = unescaped(path).and_then(|bytes| String::from_utf8(bytes).ok());
        let Some(path) = decoded else {
            return said(StatusCode::BAD_REQUEST, "this path is no text");
        };
        if let Some(file) = path.strip_prefix("/data/") {
            return self.data.answer(file, request);
        }
        let name = path
            .strip_prefix('/')
            .and_then(|path| path.strip_suffix(".torrent"));
        if name == Some(self.meta.name()) {
            return self.send_manifest(request, visitor);
        }
        said(
            StatusCode::NOT_FOUND,
            "there is nothing here; / says what there is",
        )
    }

    /// The manifest, with this very tracker in it as whoever asks reached it.
    fn send_manifest<T>(&self, request: &Request<T>, visitor: Visitor) -> Response<Body> {
        let tracker = format!("http://{}/announce", authority(request, visitor));
        let parts = self.manifest.with_tracker(&tracker);
        let len: usize = parts.iter().map(Bytes::len).sum();
        let (mut sender, body) = Channel::new(parts.len());
        for part in parts {
            // There is room for every part.
            let _ = sender.try_send(hyper::body::Frame::data(part));
        }
        let mut response = Response::new(Either::Right(body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, len.into());
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(MANIFEST_TYPE),
        );
        response
    }
}

/// Whether a program asks that wants a manifest rather than a page.
fn wants_manifest<T>(request: &Request<T>) -> bool {
    let accepted = request.headers().get(header::ACCEPT);
    accepted.is_some_and(|accepted| accepted == MANIFEST_TYPE)
}

/// Host and port as the visitor names us, or else as it reached us.
fn authority<T>(request: &Request<T>, visitor: Visitor) -> String {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    let named = host.and_then(|host| TrackerUrl::parse(&format!("http://{host}/")).ok());
    match (named, visitor.reached) {
        // What it says goes back to nobody else, and is a plain host and port or it does not parse.
        (Some(named), _) if named.target() == "/" => named.authority(),
        (_, Some(reached)) => {
            SocketAddr::new(reached.ip().to_canonical(), reached.port()).to_string()
        }
        (_, None) => "localhost".to_owned(),
    }
}
