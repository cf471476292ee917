//! A tracker on its own: one thread that answers HTTP and UDP on one port number.
//!
//! The decisions are those of [`crate::tracker::server`]; here are sockets, seats and the clock.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{oneshot, watch};
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::{MissedTickBehavior, interval};

use super::clock::Clock;
use super::http::{Body, Visitor, bencoded, converse, said};
use super::listener::{accepted, listen};
use super::seats::{SeatLimits, Seats};
use crate::tracker::server::udp::{PACKET_LEN_MAX, Packet, Secret};
use crate::tracker::server::{self, ServerConfig, TrackerServer};

/// Connections at a time; each costs a few KiB while it is idle.
const VISITORS: SeatLimits = SeatLimits {
    total: 8_192,
    per_v4: 256,
    per_v6_net: 256,
};

/// Packets answered before the others have their turn.
const PACKET_BATCH: usize = 64;

/// What the kernel keeps of packets while we are busy: 20 ms at 100,000 a second. Best effort.
const RECEIVE_BUFFER_LEN: usize = 4 << 20;

/// Ports tried when any will do, until one is free for both protocols.
const PORT_TRIES: usize = 16;

/// What a tracker is started with.
#[derive(Clone, Debug)]
pub struct TrackerConfig {
    /// The address to listen on; all of them if `None`.
    pub ip: Option<IpAddr>,
    /// The port for both protocols; 0 for any.
    pub port: u16,
    /// What it allows.
    pub server: ServerConfig,
    /// Decides who is named to whom.
    pub rng_seed: u64,
    /// The key of the UDP connection ids.
    pub secret: Secret,
}

/// How a tracker stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackerProgress {
    /// Swarms with anybody in them.
    pub swarms: usize,
    /// Peers over all swarms.
    pub peers: usize,
    /// Requests since the start, refused ones too.
    pub requests: u64,
}

/// A tracker at work. Dropping it ends it.
#[derive(Debug)]
pub struct TrackerHost {
    port: u16,
    progress: watch::Receiver<TrackerProgress>,
    end: Option<oneshot::Sender<()>>,
    /// Closed by the end of the thread; nothing ever comes through it.
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl TrackerHost {
    /// Listens from here on.
    ///
    /// # Errors
    /// If the port cannot be had for both protocols, or no thread.
    pub fn start(config: TrackerConfig) -> io::Result<Self> {
        let _ = rlimit::increase_nofile_limit(u64::MAX);
        let (tcp, udp) = bind(config.ip, config.port)?;
        let port = tcp.local_addr()?.port();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (end, asked) = oneshot::channel();
        let (running, ended) = crossbeam_channel::bounded(0);
        let (progress, latest) = watch::channel(TrackerProgress::default());
        let thread = std::thread::Builder::new()
            .name("swarm-tracker".into())
            .spawn(move || {
                let _running = running;
                let tasks = LocalSet::new();
                let served = tasks.run_until(async move {
                    tokio::select! {
                        result = serve(tcp, udp, config, progress) => result,
                        _ = asked => Ok(()),
                    }
                });
                // The loops end with an error only where the sockets cannot be used at all.
                if let Err(error) = runtime.block_on(served) {
                    tracing::error!("the tracker ends: {error}");
                }
            })?;
        Ok(Self {
            port,
            progress: latest,
            end: Some(end),
            ended,
            thread: Some(thread),
        })
    }

    /// The port of both protocols.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// How it stands, at most a second old.
    pub fn progress(&self) -> TrackerProgress {
        *self.progress.borrow()
    }

    /// Waits for `timeout`, or less if it ends by itself, and says whether it did.
    pub fn ends_within(&self, timeout: Duration) -> bool {
        let waited = self.ended.recv_timeout(timeout);
        waited == Err(RecvTimeoutError::Disconnected)
    }
}

impl Drop for TrackerHost {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// One port number for both protocols.
fn bind(ip: Option<IpAddr>, port: u16) -> io::Result<(std::net::TcpListener, std::net::UdpSocket)> {
    let mut tries = if port == 0 { PORT_TRIES } else { 1 };
    loop {
        let tcp = match ip {
            Some(ip) => listen(SocketAddr::new(ip, port))?,
            // One socket for both families, unless the machine has no IPv6.
            None => listen((Ipv6Addr::UNSPECIFIED, port).into())
                .or_else(|_| listen((Ipv4Addr::UNSPECIFIED, port).into()))?,
        };
        tries -= 1;
        match bind_udp(tcp.local_addr()?) {
            Ok(udp) => return Ok((tcp, udp)),
            Err(error) if tries == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

fn bind_udp(addr: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_LEN);
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// What both protocols share; everything here lives on one thread.
struct Shared {
    tracker: RefCell<TrackerServer>,
    clock: Clock,
    secret: Secret,
    requests: Cell<u64>,
}

impl Shared {
    fn count(&self) {
        self.requests.set(self.requests.get() + 1);
    }
}

async fn serve(
    tcp: std::net::TcpListener,
    udp: std::net::UdpSocket,
    config: TrackerConfig,
    progress: watch::Sender<TrackerProgress>,
) -> io::Result<()> {
    let (tcp, udp) = (TcpListener::from_std(tcp)?, UdpSocket::from_std(udp)?);
    let shared = Rc::new(Shared {
        tracker: RefCell::new(TrackerServer::new(config.server, config.rng_seed)),
        clock: Clock::start(),
        secret: config.secret,
        requests: Cell::new(0),
    });
    spawn_local(accept(tcp, Rc::clone(&shared)));
    spawn_local(watch_over(Rc::clone(&shared), progress));
    answer_packets(&udp, &shared).await
}

/// Forgets silent peers and tells observers, once a second.
async fn watch_over(shared: Rc<Shared>, progress: watch::Sender<TrackerProgress>) {
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let mut tracker = shared.tracker.borrow_mut();
        tracker.sweep(shared.clock.now());
        progress.send_replace(TrackerProgress {
            swarms: tracker.swarm_count(),
            peers: tracker.peer_count(),
            requests: shared.requests.get(),
        });
    }
}

async fn accept(listener: TcpListener, shared: Rc<Shared>) {
    let seats = Seats::new(VISITORS);
    loop {
        let (stream, addr) = accepted(&listener).await;
        let Some(seat) = Seats::enter(&seats, addr.ip()) else {
            continue;
        };
        let shared = Rc::clone(&shared);
        spawn_local(async move {
            let visitor = Visitor::new(addr.ip(), &stream);
            let answer = |request: &Request<Incoming>| shared.answer(request, visitor);
            converse(stream, visitor, answer).await;
            drop(seat);
        });
    }
}

impl Shared {
    fn answer<T>(&self, request: &Request<T>, visitor: Visitor) -> Response<Body> {
        self.count();
        if request.method() != Method::GET {
            return said(StatusCode::METHOD_NOT_ALLOWED, "only GET");
        }
        let mut tracker = self.tracker.borrow_mut();
        let caller = visitor.caller();
        let now = self.clock.now();
        if let Err(refusal) = tracker.admit(caller.ip, now) {
            return said(StatusCode::TOO_MANY_REQUESTS, &refusal.to_string());
        }
        let query = request.uri().query().unwrap_or_default();
        match request.uri().path() {
            "/announce" => bencoded(server::http::announce(&mut tracker, query, caller, now)),
            "/scrape" => bencoded(server::http::scrape(&tracker, query)),
            "/" => said(
                StatusCode::OK,
                "A BitTorrent tracker: announce at /announce",
            ),
            _ => said(StatusCode::NOT_FOUND, "only /announce and /scrape"),
        }
    }
}

/// Answers packets for as long as the socket lives.
async fn answer_packets(socket: &UdpSocket, shared: &Shared) -> io::Result<()> {
    let mut bytes = [0; PACKET_LEN_MAX];
    let mut out = Vec::with_capacity(PACKET_LEN_MAX);
    loop {
        socket.readable().await?;
        for _ in 0..PACKET_BATCH {
            match socket.try_recv_from(&mut bytes) {
                Ok((len, from)) => {
                    shared.count();
                    let packet = Packet {
                        bytes: &bytes[..len],
                        from,
                        reached: None,
                    };
                    let mut tracker = shared.tracker.borrow_mut();
                    let now = shared.clock.now();
                    server::udp::answer(&mut tracker, &shared.secret, &packet, now, &mut out);
                    if !out.is_empty() {
                        // An answer that cannot be sent is one lost; the asker asks again.
                        let _ = socket.try_send_to(&out, from);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Of an answer that somebody did not want (ICMP); the next packet is another's.
                Err(error) => tracing::debug!("a packet could not be read: {error}"),
            }
        }
        yield_now().await;
    }
}
