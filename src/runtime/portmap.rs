//! Asks the gateway of this network to pass connections from outside on to our port: by PCP (RFC
//! 6887), else NAT-PMP (RFC 6886), else UPnP IGD.
//!
//! A task of its own that nothing else waits for: it asks, renews at half the lease, asks anew when
//! the mapping is lost, and has it removed at the end, within 2 s. The gateway hears a port
//! and a time, and nothing of the swarm. What it answers is bounded in size and time by the crates
//! that speak to it, and none of its words are shown.

mod pmp;
mod route;
#[cfg(test)]
mod tests;
mod upnp;

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::num::NonZeroU16;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking, spawn_local};
use tokio::time::{sleep, timeout};

use super::web::reach::{Reach, reach};
use crate::torrent::Event;
use crate::torrent::event::Command;
use crate::tracker::TrackerUrl;
use crate::tracker::url::Host;

/// How long we ask a mapping for. libtorrent asks for as long; a machine that vanishes leaves it
/// behind for so long.
const LEASE: Duration = Duration::from_secs(3_600);

/// Between two renewals at least: a gateway that grants no time must not make us ask without end.
const RENEW_MIN: Duration = Duration::from_secs(1);

/// Until a gateway that refused is asked again; doubles up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_secs(30);

/// The longest wait until a gateway is asked again.
const RETRY_MAX: Duration = Duration::from_secs(900);

/// How long the end of a session waits for a mapping to be removed, as for trackers.
const STOP_MAX: Duration = Duration::from_secs(2);

/// Where UPnP devices are looked for (UPnP Device Architecture 1.1, "discovery").
const SEARCH: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 1_900);

/// Which gateway is asked, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortMapConfig {
    /// Who is asked by PCP and NAT-PMP, instead of the gateway of the default route.
    pub gateway: Option<Ipv4Addr>,
    /// Where UPnP devices are looked for: the group of its specification, or the address of one.
    pub search: SocketAddrV4,
    /// How long a mapping is asked for.
    pub lease: Duration,
}

impl Default for PortMapConfig {
    fn default() -> Self {
        Self {
            gateway: None,
            search: SEARCH,
            lease: LEASE,
        }
    }
}

/// What a gateway is asked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapProtocol {
    /// RFC 6887.
    Pcp,
    /// RFC 6886.
    NatPmp,
    /// UPnP Internet Gateway Device.
    Upnp,
}

impl MapProtocol {
    /// Its name, as people know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp => "UPnP",
        }
    }
}

/// A port of the gateway that leads to ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// What the gateway was asked by.
    pub protocol: MapProtocol,
    /// Its address towards the internet, if it says so.
    pub external_ip: Option<IpAddr>,
    /// Its port.
    pub external_port: u16,
    /// For how long, if not renewed.
    pub lease: Duration,
}

impl Mapped {
    /// Whether the gateway is itself behind another one, so that strangers may not reach it.
    pub fn is_behind_another(&self) -> bool {
        self.external_ip
            .is_some_and(|ip| reach(ip) != Some(Reach::Global))
    }
}

/// What came of asking the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MappingStatus {
    /// No answer yet.
    #[default]
    Asking,
    /// It leads to us.
    Mapped(Mapped),
    /// Why it does not, each way that was tried.
    Failed(String),
}

/// What came of it so far, for the tasks of one thread.
pub(super) type Shared = Rc<RefCell<MappingStatus>>;

/// The port that a tracker, or whoever else is at this URL, should name to others: a tracker of this
/// network names us to this network.
pub(super) fn port_for(url: &str, (near, far): (u16, u16)) -> u16 {
    let is_near = TrackerUrl::parse(url).is_ok_and(|url| match url.host() {
        Host::Ip(ip) => reach(*ip) != Some(Reach::Global),
        Host::Name(name) => name == "localhost",
    });
    if is_near { near } else { far }
}

/// The port of a session, to be mapped.
pub(super) struct PortMap {
    pub(super) config: PortMapConfig,
    /// The port that we accept peers on.
    pub(super) port: NonZeroU16,
    /// The only address of ours that counts.
    pub(super) bind: Option<IpAddr>,
    pub(super) events: mpsc::Sender<Event>,
}

/// The task that holds the mapping; dropped, it removes the mapping without being waited for.
pub(super) struct Mapping {
    status: Shared,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Mapping {
    /// What came of it so far.
    pub(super) fn status(&self) -> MappingStatus {
        self.status.borrow().clone()
    }

    /// The same, as it changes.
    pub(super) fn shared(&self) -> Shared {
        Rc::clone(&self.status)
    }

    /// Begins to remove the mapping.
    pub(super) fn stop(&mut self) {
        self.stop = None;
    }

    /// Waits until it is removed, at most [`STOP_MAX`] after it was begun.
    pub(super) async fn ended(mut self) {
        self.stop();
        // A task that panicked holds no mapping either, and none takes longer.
        let _ = timeout(STOP_MAX, self.task).await;
    }
}

/// A mapping that somebody granted.
enum Lease {
    Pmp(pmp::Lease),
    Upnp(Box<upnp::Lease>),
}

impl Lease {
    fn mapped(&self) -> Mapped {
        match self {
            Self::Pmp(lease) => lease.mapped(),
            Self::Upnp(lease) => lease.mapped(),
        }
    }

    async fn renew(&mut self) -> Result<(), String> {
        match self {
            Self::Pmp(lease) => lease.renew().await,
            Self::Upnp(lease) => lease.renew().await,
        }
    }

    async fn remove(self) -> Result<(), String> {
        match self {
            Self::Pmp(lease) => lease.remove().await,
            Self::Upnp(lease) => lease.remove().await,
        }
    }
}

/// How holding a mapping ended.
enum Held {
    Lost(String),
    Stopped,
}

impl PortMap {
    /// Asks, and holds what is granted, from here on.
    pub(super) fn start(self) -> Mapping {
        let status = Shared::default();
        let (stop, stopped) = oneshot::channel();
        Mapping {
            task: spawn_local(self.run(Rc::clone(&status), stopped)),
            stop: Some(stop),
            status,
        }
    }

    async fn run(self, status: Shared, mut stop: oneshot::Receiver<()>) {
        let mut pause = RETRY_FIRST;
        loop {
            let mut asking = pin!(self.ask());
            let asked = tokio::select! {
                asked = &mut asking => asked,
                _ = &mut stop => return end(asking).await,
            };
            let why = match asked {
                Ok(lease) => {
                    pause = RETRY_FIRST;
                    self.tell(&lease, &status).await;
                    match self.hold(lease, &status, &mut stop).await {
                        Held::Stopped => return,
                        // Asked anew at once: the gateway may have started afresh.
                        Held::Lost(why) => {
                            tracing::debug!("the mapping is lost: {why}");
                            continue;
                        }
                    }
                }
                Err(why) => why,
            };
            tracing::debug!("port {} is not mapped: {why}", self.port);
            *status.borrow_mut() = MappingStatus::Failed(why);
            self.reached_at(self.port.get()).await;
            tokio::select! {
                () = sleep(pause) => {}
                _ = &mut stop => return,
            }
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Tries one way after the other.
    ///
    /// # Errors
    /// Why each of them failed.
    async fn ask(&self) -> Result<Lease, String> {
        let bind = match self.bind {
            None => Ipv4Addr::UNSPECIFIED,
            Some(IpAddr::V4(bind)) => bind,
            Some(IpAddr::V6(_)) => return Err("only IPv4 ports are mapped".into()),
        };
        let by_pmp = match self.gateway().await {
            Some(gateway) => pmp::map(gateway, bind, (self.port, self.config.lease)).await,
            None => Err("no gateway is known for PCP and NAT-PMP".into()),
        };
        let why_not = match by_pmp {
            Ok(lease) => return Ok(Lease::Pmp(lease)),
            Err(why) => why,
        };
        match upnp::map(&self.config, bind, self.port.get()).await {
            Ok(lease) => Ok(Lease::Upnp(Box::new(lease))),
            Err(why) => Err(format!("{why_not}; UPnP: {why}")),
        }
    }

    async fn gateway(&self) -> Option<Ipv4Addr> {
        match self.config.gateway {
            None => spawn_blocking(route::default_gateway).await.ok().flatten(),
            given => given,
        }
    }

    /// Keeps a mapping until it is lost or nobody wants it any more.
    async fn hold(
        &self,
        mut lease: Lease,
        status: &Shared,
        stop: &mut oneshot::Receiver<()>,
    ) -> Held {
        loop {
            let pause = (lease.mapped().lease / 2).clamp(RENEW_MIN, self.config.lease);
            let renewed = tokio::select! {
                renewed = async { sleep(pause).await; lease.renew().await } => renewed,
                _ = &mut *stop => {
                    end(async { Ok(lease) }).await;
                    return Held::Stopped;
                }
            };
            match renewed {
                Ok(()) => self.tell(&lease, status).await,
                Err(why) => return Held::Lost(why),
            }
        }
    }

    async fn tell(&self, lease: &Lease, status: &Shared) {
        let mapped = lease.mapped();
        tracing::debug!("port {} is mapped: {mapped:?}", self.port);
        *status.borrow_mut() = MappingStatus::Mapped(mapped);
        self.reached_at(mapped.external_port).await;
    }

    async fn reached_at(&self, port: u16) {
        let told = Event::Command(Command::FarPort(port));
        // Without a driver the session is ending.
        let _ = self.events.send(told).await;
    }
}

/// Removes what is or is about to be granted.
async fn end(lease: impl Future<Output = Result<Lease, String>>) {
    let removed = timeout(STOP_MAX, async { lease.await?.remove().await }).await;
    match removed {
        Ok(Ok(())) => {}
        Ok(Err(why)) => tracing::debug!("no mapping removed: {why}"),
        Err(_) => tracing::debug!("no mapping removed in time; it ends with its lease"),
    }
}

/// The address of ours that packets to `there` leave by. Nothing is sent.
fn local_towards(there: SocketAddr, bind: Ipv4Addr) -> Result<Ipv4Addr, String> {
    let connected = std::net::UdpSocket::bind((bind, 0)).and_then(|socket| {
        socket.connect(there)?;
        socket.local_addr()
    });
    match connected.map(|addr| addr.ip()) {
        Ok(IpAddr::V4(ip)) => Ok(ip),
        Ok(IpAddr::V6(_)) => Err("the gateway has no IPv4 address".into()),
        Err(error) => Err(format!("no way to the gateway: {error}")),
    }
}
