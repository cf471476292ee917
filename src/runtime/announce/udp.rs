//! One announce over UDP: packets sent, answers awaited, lost ones sent again (BEP 15).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::{Announcer, believed};
use crate::runtime::web::Caution;
use crate::runtime::web::connect::{fair_share, resolve, unreachable};
use crate::time::Time;
use crate::tracker::compact::Family;
use crate::tracker::udp::{self, PACKET_LEN_MAX};
use crate::tracker::{AnnounceFailure, AnnounceRequest, AnnounceResponse, TrackerUrl};

/// One tracker at one address.
struct Exchange<'a> {
    announcer: &'a Announcer,
    socket: UdpSocket,
    addr: SocketAddr,
    request: &'a AnnounceRequest,
    target: &'a str,
}

pub(super) async fn announce(
    announcer: &Announcer,
    tracker: &TrackerUrl,
    request: &AnnounceRequest,
    allowed: Duration,
) -> Result<AnnounceResponse, AnnounceFailure> {
    let end = announcer.web.clock.now() + allowed;
    let addrs = resolve(tracker, &announcer.web, (Caution::Tracker, None)).await?;
    let mut failure = AnnounceFailure::Timeout(allowed);
    for (i, &addr) in addrs.iter().enumerate() {
        let now = announcer.web.clock.now();
        let share = fair_share(end - now, addrs.len() - i);
        let socket = open(addr, announcer.web.bind).await;
        let exchange = Exchange {
            announcer,
            socket: socket.map_err(|error| unreachable(&error))?,
            addr,
            request,
            target: tracker.target(),
        };
        failure = match exchange.until(now + share).await {
            None => AnnounceFailure::Timeout(allowed),
            Some(Err(unreachable @ AnnounceFailure::Unreachable(_))) => unreachable,
            Some(answer) => return answer.map(|response| believed(response, addr.ip())),
        };
    }
    Err(failure)
}

async fn open(addr: SocketAddr, bind: Option<IpAddr>) -> io::Result<UdpSocket> {
    let any = match addr {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((bind.unwrap_or(any), 0)).await?;
    // A connected socket hears this tracker only, and hears when its port is closed.
    socket.connect(addr).await?;
    Ok(socket)
}

impl Exchange<'_> {
    /// Tries again and again until `end`; `None` if there was no answer by then.
    async fn until(&self, end: Time) -> Option<Result<AnnounceResponse, AnnounceFailure>> {
        let mut attempt = 0;
        loop {
            let left = end - self.announcer.web.clock.now();
            if left.is_zero() {
                return None;
            }
            if let Ok(answer) = timeout(udp::wait(attempt, left), self.ask()).await {
                return Some(answer);
            }
            self.announcer.forget_connection(self.addr);
            attempt += 1;
        }
    }

    async fn ask(&self) -> Result<AnnounceResponse, AnnounceFailure> {
        if let Some(connection) = self.announcer.connection(self.addr) {
            let answer = self.ask_announce(connection).await;
            // It may have forgotten the id before its time was up, and says so in its own words.
            if !matches!(answer, Err(AnnounceFailure::Refused(_))) {
                return answer;
            }
        }
        let connection = self.ask_connect().await?;
        self.announcer.remember_connection(self.addr, connection);
        self.ask_announce(connection).await
    }

    async fn ask_connect(&self) -> Result<u64, AnnounceFailure> {
        let transaction = self.announcer.transaction();
        self.send(&udp::connect(transaction)).await?;
        self.hear(|packet| udp::read_connected(packet, transaction))
            .await
    }

    async fn ask_announce(&self, connection: u64) -> Result<AnnounceResponse, AnnounceFailure> {
        let transaction = self.announcer.transaction();
        let packet = udp::announce(connection, transaction, self.request, self.target);
        self.send(&packet).await?;
        let family = Family::of(self.addr.ip());
        self.hear(|packet| udp::read_announced(packet, transaction, family))
            .await
    }

    async fn send(&self, packet: &[u8]) -> Result<(), AnnounceFailure> {
        let sent = self.socket.send(packet).await;
        sent.map(drop).map_err(|error| unreachable(&error))
    }

    /// Waits for the packet that `read` knows as the answer.
    async fn hear<T>(
        &self,
        read: impl Fn(&[u8]) -> Option<Result<T, AnnounceFailure>>,
    ) -> Result<T, AnnounceFailure> {
        let mut packet = vec![0; PACKET_LEN_MAX];
        loop {
            let heard = self.socket.recv(&mut packet).await;
            let len = heard.map_err(|error| unreachable(&error))?;
            if let Some(answer) = read(&packet[..len]) {
                return answer;
            }
        }
    }
}
