//! What an address says by itself: whether it can name a peer, and who its neighbours are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use crate::torrent::event::PeerSource;

/// The /24 or /48 on the internet that an address is in; `None` for private networks.
pub(super) fn network_of(ip: IpAddr) -> Option<RangeInclusive<SocketAddr>> {
    let (first, last): (IpAddr, IpAddr) = match ip {
        IpAddr::V4(ip) if ip.is_private() || ip.is_loopback() || ip.is_link_local() => return None,
        IpAddr::V6(ip) if ip.is_unique_local() || ip.is_loopback() => return None,
        IpAddr::V4(ip) => {
            let host = u32::MAX >> 24;
            let [first, last] =
                [ip.to_bits() & !host, ip.to_bits() | host].map(Ipv4Addr::from_bits);
            (first.into(), last.into())
        }
        IpAddr::V6(ip) => {
            let host = u128::MAX >> 48;
            let [first, last] =
                [ip.to_bits() & !host, ip.to_bits() | host].map(Ipv6Addr::from_bits);
            (first.into(), last.into())
        }
    };
    Some(SocketAddr::new(first, 0)..=SocketAddr::new(last, u16::MAX))
}

/// Whether an address can name a peer at all. A stranger's word is not enough to dial a port of the
/// system's own services.
pub(super) fn is_dialable(addr: &SocketAddr, source: PeerSource) -> bool {
    let ip = addr.ip().to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    let port_min = match source {
        PeerSource::Manual | PeerSource::Tracker => 1,
        PeerSource::Lsd
        | PeerSource::Pex
        | PeerSource::Incoming
        | PeerSource::Dht
        | PeerSource::WebSeed => 1_024,
    };
    addr.port() >= port_min && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}
