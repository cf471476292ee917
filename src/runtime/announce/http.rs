//! One announce over HTTP or HTTPS: a connection per hop, no credentials, no cookies, no cache.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::rustls::pki_types::ServerName;

use super::Announcer;
use super::connect::{connect, resolve, unreachable};
use super::inflate::inflate;
use super::reach::reach;
use crate::tracker::http::{ANSWER, announce_url, decode};
use crate::tracker::url::{Host, Scheme};
use crate::tracker::{AnnounceFailure, AnnounceRequest, AnnounceResponse, TrackerUrl};

/// Redirects followed.
const REDIRECTS_MAX: usize = 5;

/// The longest response head read, in bytes. Chosen, untested.
const HEAD_LEN_MAX: usize = 64 << 10;

const USER_AGENT: &str = concat!("swarm/", env!("CARGO_PKG_VERSION"));

/// What one hop answered.
enum Answer {
    Body(Vec<u8>),
    Moved(String),
}

pub(super) async fn announce(
    announcer: &Announcer,
    tracker: &TrackerUrl,
    request: &AnnounceRequest,
    tracker_id: Option<&str>,
) -> Result<AnnounceResponse, AnnounceFailure> {
    let mut url = announce_url(tracker, request, tracker_id);
    let mut floor = None;
    for _ in 0..=REDIRECTS_MAX {
        let addrs = resolve(&url, announcer.bind, floor).await?;
        let stream = connect(announcer, &addrs).await?;
        let peer = stream.peer_addr().map_err(|error| unreachable(&error))?;
        floor = floor.max(reach(peer.ip()));
        let answer = if url.scheme() == Scheme::Https {
            let tls = announcer.tls.connect(server_name(&url)?, stream).await;
            exchange(tls.map_err(|error| unreachable(&error))?, &url).await?
        } else {
            exchange(stream, &url).await?
        };
        match answer {
            Answer::Body(body) => return decode(&body),
            Answer::Moved(location) => url = url.join(&location)?,
        }
        if url.scheme() == Scheme::Udp {
            return Err(bad("redirected to UDP"));
        }
    }
    Err(bad("more than 5 redirects"))
}

fn server_name(url: &TrackerUrl) -> Result<ServerName<'static>, AnnounceFailure> {
    match url.host() {
        Host::Ip(ip) => Ok(ServerName::from(*ip)),
        Host::Name(name) => ServerName::try_from(name.clone())
            .map_err(|_| AnnounceFailure::BadUrl("no name that a certificate has".to_owned())),
    }
}

/// Sends the request and reads the answer; the connection is not used again.
async fn exchange<S>(stream: S, url: &TrackerUrl) -> Result<Answer, AnnounceFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_LEN_MAX)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    let answer = async {
        let response = sender.send_request(get(url)?).await;
        read_answer(response.map_err(|error| broken(&error))?).await
    };
    // The connection must be polled for the answer to come, but its end is no answer.
    let driven = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = answer => answer,
        never = driven => never,
    }
}

fn get(url: &TrackerUrl) -> Result<Request<Empty<Bytes>>, AnnounceFailure> {
    Request::get(url.target())
        .header(header::HOST, url.authority())
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT_ENCODING, "gzip")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| AnnounceFailure::BadUrl(error.to_string()))
}

async fn read_answer(response: Response<hyper::body::Incoming>) -> Result<Answer, AnnounceFailure> {
    let (head, body) = response.into_parts();
    match head.status {
        StatusCode::OK => {}
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => {
            let location = text(&head.headers, header::LOCATION);
            let location = location.ok_or(bad("redirected to nowhere"))?;
            return Ok(Answer::Moved(location.to_owned()));
        }
        status => return Err(bad(&format!("HTTP status {status}"))),
    }
    let collected = Limited::new(body, ANSWER.input).collect().await;
    let bytes = collected
        .map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => broken(&error),
            Err(error) if error.is::<LengthLimitError>() => bad("longer than 1 MiB"),
            Err(error) => bad(&error.to_string()),
        })?
        .to_bytes();
    match text(&head.headers, header::CONTENT_ENCODING) {
        None | Some("" | "identity") => Ok(Answer::Body(bytes.into())),
        Some("gzip" | "x-gzip") => inflate(&bytes).map(Answer::Body),
        Some(_) => Err(bad("compressed in a way that nobody asked for")),
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn broken(error: &hyper::Error) -> AnnounceFailure {
    if error.is_parse() {
        bad(&format!("not HTTP: {error}"))
    } else {
        AnnounceFailure::Unreachable(error.to_string())
    }
}

fn bad(reason: &str) -> AnnounceFailure {
    AnnounceFailure::BadResponse(reason.to_owned())
}
