//! GET over HTTP and HTTPS, for trackers, manifests and web seeds: no credentials, no cookies, no
//! cache; a connection for each request, unless the asker keeps it for its next one.
//!
//! Addresses are resolved once and dialled as resolved; `reach` keeps a stranger's URL or redirect
//! from leading into networks that the stranger cannot see. Name resolution runs on a thread that
//! cannot be stopped: a runtime that has asked is to be shut down in the background.

pub(super) mod connect;
pub mod manifest;
pub mod reach;

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::Clock;
use super::scope::Scope;
use crate::tracker::url::{Host, Scheme};
use crate::tracker::{AnnounceFailure, TrackerUrl};
use connect::{connect, resolve, unreachable};
use reach::{Reach, reach};

/// Redirects followed.
const REDIRECTS_MAX: usize = 5;

/// The longest response head read, in bytes. Chosen, untested.
const HEAD_LEN_MAX: usize = 64 << 10;

const USER_AGENT: &str = concat!("swarm/", env!("CARGO_PKG_VERSION"));

/// How far the URL is trusted: what it may ask of machines on this network and of this very one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caution {
    /// A tracker's: machines on this network, and this very one, are asked for nothing but
    /// announces, so that a manifest cannot press the buttons of some other local service.
    Tracker,
    /// A web seed's: machines on this network, or this one, get no query, and the services that
    /// clouds keep at link-local addresses nothing at all.
    WebSeed,
    /// The user typed it: nothing is kept from it but the metadata services of clouds.
    Typed,
}

/// What to ask for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// How far the URL is trusted.
    pub caution: Caution,
    /// The only type wanted, if one is.
    pub accept: Option<&'static str>,
    /// The only bytes wanted, if not all are.
    pub range: Option<Range<u64>>,
    /// Whether the answer may come compressed with gzip.
    pub gzip: bool,
    /// Whether the connection may be wanted for another request ([`Answer::kept`]).
    pub keep: bool,
}

impl Ask {
    /// Everything, of whatever type, as it is.
    pub const fn all(caution: Caution) -> Self {
        Self {
            caution,
            accept: None,
            range: None,
            gzip: false,
            keep: false,
        }
    }
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub struct Answer {
    /// 2xx, or whatever else is no redirect.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Who gave it.
    pub from: SocketAddr,
    body: Incoming,
    over: Kept,
}

/// A connection that may bear another request to the same server.
#[derive(Debug)]
pub struct Kept {
    server: (Scheme, String),
    from: SocketAddr,
    sender: http1::SendRequest<Empty<Bytes>>,
    /// It must be polled for anything to come.
    _connection: Driven,
}

impl Answer {
    /// The next part of the body; `None` at its end.
    ///
    /// # Errors
    /// If the connection breaks before it.
    pub async fn next(&mut self) -> Result<Option<Bytes>, AnnounceFailure> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(&error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// If it is longer than `len_max` bytes, or the connection breaks before its end.
    pub async fn collect(&mut self, len_max: usize) -> Result<Vec<u8>, AnnounceFailure> {
        let mut body = Vec::new();
        while let Some(part) = self.next().await? {
            if body.len() + part.len() > len_max {
                return Err(bad(&format!("longer than {} MiB", len_max >> 20)));
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    /// The connection, once the body has come to its end.
    pub fn kept(self) -> Option<Kept> {
        (self.body.is_end_stream() && !self.over.sender.is_closed()).then_some(self.over)
    }

    /// The value of a header, if it is text.
    pub fn header(&self, name: header::HeaderName) -> Option<&str> {
        text(&self.headers, name)
    }
}

/// Asks web servers.
pub struct Web {
    pub(super) clock: Clock,
    pub(super) bind: Option<IpAddr>,
    pub(super) scope: Scope,
    tls: TlsConnector,
}

impl Web {
    /// Asks from the local address `bind`, where given, and whom `scope` admits.
    pub fn new(bind: Option<IpAddr>, scope: Scope) -> Self {
        let roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        Self {
            scope,
            ..Self::with_roots(bind, roots)
        }
    }

    pub(super) fn with_roots(bind: Option<IpAddr>, roots: RootCertStore) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks every version of TLS that rustls does")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            clock: Clock::start(),
            bind,
            scope: Scope::Any,
            tls: TlsConnector::from(Arc::new(config)),
        }
    }

    /// Gets what is at `url`, following redirects, up to the end of the head. Without a deadline of
    /// its own.
    ///
    /// # Errors
    /// Why there is no answer. A status that is no success is an answer.
    pub async fn get(&self, url: &TrackerUrl, ask: &Ask) -> Result<Answer, AnnounceFailure> {
        self.ask_over(None, url, ask).await
    }

    /// The same over a connection that was kept, if that leads to the same server and still stands.
    ///
    /// # Errors
    /// As [`Web::get`].
    pub async fn ask_over(
        &self,
        kept: Option<Kept>,
        url: &TrackerUrl,
        ask: &Ask,
    ) -> Result<Answer, AnnounceFailure> {
        let mut url = url.clone();
        let mut floor = None;
        let mut kept = kept.filter(|kept| kept.leads_to(&url, ask));
        for _ in 0..=REDIRECTS_MAX {
            if url.scheme() == Scheme::Udp {
                return Err(bad("redirected to UDP"));
            }
            let again = match kept.take() {
                // It may have been closed meanwhile, which says nothing of the server.
                Some(kept) => exchange(kept, &url, ask).await.ok(),
                None => None,
            };
            let answer = match again {
                Some(answer) => answer,
                None => {
                    exchange(self.connect(&url, (ask.caution, floor)).await?, &url, ask).await?
                }
            };
            floor = floor.max(reach(answer.from.ip()));
            if !is_redirect(answer.status) {
                return Ok(answer);
            }
            let location = answer.header(header::LOCATION);
            url = url.join(location.ok_or(bad("redirected to nowhere"))?)?;
        }
        Err(bad("more than 5 redirects"))
    }

    async fn connect(
        &self,
        url: &TrackerUrl,
        trust: (Caution, Option<Reach>),
    ) -> Result<Kept, AnnounceFailure> {
        let addrs = resolve(url, self, trust).await?;
        let stream = connect(self, &addrs).await?;
        let from = stream.peer_addr().map_err(|error| unreachable(&error))?;
        let (sender, connection) = if url.scheme() == Scheme::Https {
            let tls = self.tls.connect(server_name(url)?, stream).await;
            drive(tls.map_err(|error| unreachable(&error))?).await?
        } else {
            drive(stream).await?
        };
        Ok(Kept {
            server: server_of(url),
            from,
            sender,
            _connection: connection,
        })
    }
}

impl Kept {
    /// Whether it may be used for this: the server is the same, and may be asked that, too.
    fn leads_to(&self, url: &TrackerUrl, ask: &Ask) -> bool {
        let trust = (ask.caution, None);
        self.server == server_of(url) && connect::admitted(url, self.from.ip(), trust)
    }
}

fn server_of(url: &TrackerUrl) -> (Scheme, String) {
    (url.scheme(), url.authority())
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

fn server_name(url: &TrackerUrl) -> Result<ServerName<'static>, AnnounceFailure> {
    match url.host() {
        Host::Ip(ip) => Ok(ServerName::from(*ip)),
        Host::Name(name) => ServerName::try_from(name.clone())
            .map_err(|_| AnnounceFailure::BadUrl("no name that a certificate has".to_owned())),
    }
}

/// Begins to speak HTTP.
async fn drive<S>(stream: S) -> Result<(http1::SendRequest<Empty<Bytes>>, Driven), AnnounceFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_LEN_MAX)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    let connection = Driven(tokio::spawn(async move {
        // How it ends, the body tells.
        let _ = connection.await;
    }));
    Ok((sender, connection))
}

/// Sends the request and reads the head of the answer.
async fn exchange(mut over: Kept, url: &TrackerUrl, ask: &Ask) -> Result<Answer, AnnounceFailure> {
    over.sender.ready().await.map_err(|error| broken(&error))?;
    let response = over.sender.send_request(request(url, ask)?).await;
    let (head, body) = response.map_err(|error| broken(&error))?.into_parts();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        from: over.from,
        body,
        over,
    })
}

/// A connection that ends when nobody waits for anything of it any more.
#[derive(Debug)]
struct Driven(JoinHandle<()>);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn request(url: &TrackerUrl, ask: &Ask) -> Result<Request<Empty<Bytes>>, AnnounceFailure> {
    let encoding = if ask.gzip { "gzip" } else { "identity" };
    let mut request = Request::get(url.target())
        .header(header::HOST, url.authority())
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT_ENCODING, encoding);
    if !ask.keep {
        request = request.header(header::CONNECTION, "close");
    }
    if let Some(accept) = ask.accept {
        request = request.header(header::ACCEPT, accept);
    }
    if let Some(range) = &ask.range {
        let range = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        request = request.header(header::RANGE, range);
    }
    request
        .body(Empty::new())
        .map_err(|error| AnnounceFailure::BadUrl(error.to_string()))
}

pub(super) fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn broken(error: &hyper::Error) -> AnnounceFailure {
    if error.is_parse() {
        bad(&format!("not HTTP: {error}"))
    } else {
        AnnounceFailure::Unreachable(error.to_string())
    }
}

pub(super) fn bad(reason: &str) -> AnnounceFailure {
    AnnounceFailure::BadResponse(reason.to_owned())
}
