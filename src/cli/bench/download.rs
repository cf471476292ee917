//! One machine that gets the file by plain HTTP, as a user without a swarm would.

use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytes::{Buf, Bytes};
use crossbeam_channel::Sender;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Mutex;

use super::gather::{News, Seen};
use super::member::{Gate, REPORT_INTERVAL, failed};
use super::site::pass;
use crate::torrent::rate::TokenBucket;

/// How long a machine waits for bytes before it looks whether the run is over.
const PATIENCE: Duration = Duration::from_millis(100);

/// One machine before it starts.
#[derive(Debug)]
pub(super) struct Download {
    /// Its index among the hosts of the run.
    pub(super) host: usize,
    /// Its address.
    pub(super) ip: IpAddr,
    /// Where the file is to be had.
    pub(super) server: SocketAddr,
    /// Where it is to be written.
    pub(super) path: PathBuf,
    /// What it may receive per second.
    pub(super) limit: Option<u64>,
}

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("HTTP status {0}")]
    Status(StatusCode),
    #[error("the file ends after {0} bytes")]
    Short(u64),
}

impl Download {
    /// Runs until the file is there or the run is over. A failure is reported.
    pub(super) fn run(self, gate: &Gate, news: &Sender<News>) {
        gate.wait();
        if gate.is_over() {
            return;
        }
        let host = self.host;
        if let Err(error) = self.work(gate, news) {
            let error = failed(host, &error);
            // Nobody listens any more when the run failed already.
            let _ = news.send(News::Failed { error });
        }
    }

    fn work(self, gate: &Gate, news: &Sender<News>) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let stream = connect(self.ip, self.server).await?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            let request = Request::get("/bench.bin")
                .header(header::HOST, self.server.to_string())
                .body(Empty::<Bytes>::new())
                .expect("every part is valid");
            let fetched = async {
                let response = sender.send_request(request).await?;
                if response.status() != StatusCode::OK {
                    return Err(Failure::Status(response.status()));
                }
                self.store(response.into_body(), gate, news).await
            };
            let driven = async {
                connection.await?;
                std::future::pending().await
            };
            tokio::select! {
                fetched = fetched => fetched,
                broken = driven => broken,
            }
        })
    }

    /// Writes what comes, within the limit.
    async fn store(
        &self,
        mut body: hyper::body::Incoming,
        gate: &Gate,
        news: &Sender<News>,
    ) -> Result<(), Failure> {
        use hyper::body::Body;
        let len = body.size_hint().exact().unwrap_or(0);
        let mut file = File::create_new(&self.path)?;
        let downlink = Mutex::new(TokenBucket::new(self.limit, gate.clock.now()));
        let (mut done, mut reported) = (0, gate.clock.now());
        while !gate.is_over() {
            let Ok(frame) = tokio::time::timeout(PATIENCE, body.frame()).await else {
                continue;
            };
            let Some(frame) = frame else {
                break;
            };
            let Ok(part) = frame?.into_data() else {
                continue;
            };
            pass(&downlink, part.remaining() as u64, &gate.clock).await;
            file.write_all(&part)?;
            done += part.remaining() as u64;
            let now = gate.clock.now();
            if now.since(reported) >= REPORT_INTERVAL {
                reported = now;
                tell(news, self.moved(done));
            }
        }
        if done < len {
            return if gate.is_over() {
                Ok(())
            } else {
                Err(Failure::Short(done))
            };
        }
        let (host, at) = (self.host, gate.clock.now());
        tell(news, self.moved(done));
        tell(news, News::Complete { host, at });
        tell(news, News::Published);
        Ok(())
    }

    fn moved(&self, done: u64) -> News {
        let seen = Seen {
            done,
            received: done,
            from_complete: done,
            ..Seen::default()
        };
        News::Moved {
            host: self.host,
            seen,
        }
    }
}

fn tell(news: &Sender<News>, what: News) {
    // Nobody listens any more when the run failed.
    let _ = news.send(what);
}

async fn connect(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}
