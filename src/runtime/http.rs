//! HTTP as we serve it: [`Site`] is what the port of a seed answers beside BitTorrent, and a
//! tracker is part of it. hyper speaks the protocol; here are the limits around it.
//!
//! A visitor has so long to ask and to take what it asked for, and there are so many seats.
//! Nothing of what a visitor sends is believed but the path, the range and the query.

mod data;
mod page;
mod site;

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Channel, Either, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_io_timeout::TimeoutStream;

use crate::tracker::server::Caller;

pub(super) use site::Site;

/// A head that takes longer than this does not come, and a connection that is idle for longer is
/// closed.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// A visitor that takes no byte for this long is gone.
const WRITE_STALL: Duration = Duration::from_secs(30);

/// Bytes of a head, and bytes that wait for one socket beside the part being written.
const BUFFER_LEN: usize = 64 << 10;

pub(super) type Body = Either<Full<Bytes>, Channel<Bytes, io::Error>>;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visitor {
    ip: IpAddr,
    /// Where it reached us; `None` if the connection is gone already.
    reached: Option<std::net::SocketAddr>,
}

impl Visitor {
    /// Whoever is at the other end of `stream`, known by its canonical address.
    pub(super) fn new(ip: IpAddr, stream: &TcpStream) -> Self {
        let reached = stream.local_addr().ok();
        Self { ip, reached }
    }

    /// As the tracker sees it.
    pub(super) fn caller(&self) -> Caller {
        Caller {
            ip: self.ip,
            reached: self.reached.map(|addr| addr.ip().to_canonical()),
        }
    }
}

/// Answers one visitor until it leaves.
pub(super) async fn converse(
    stream: TcpStream,
    visitor: Visitor,
    answer: impl Fn(&Request<Incoming>) -> Response<Body>,
) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_STALL));
    let service = service_fn(|request| {
        let response = answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_LEN)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    if let Err(error) = served.await {
        tracing::debug!("{}: {error}", visitor.ip);
    }
}

/// An answer of the tracker, whether it says yes or no.
pub(super) fn bencoded(bytes: Vec<u8>) -> Response<Body> {
    answered(StatusCode::OK, "text/plain", bytes)
}

/// A sentence for whoever looks.
pub(super) fn said(status: StatusCode, text: &str) -> Response<Body> {
    let text = format!("{text}\n");
    answered(status, "text/plain; charset=utf-8", text.into_bytes())
}

pub(super) fn answered(status: StatusCode, kind: &'static str, bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(bytes.into())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // What is shared may look like a page; no browser shall take it for one of ours.
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}
