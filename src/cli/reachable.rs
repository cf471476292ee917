//! By which address other machines most likely reach this one: what a seed prints and puts into its
//! links. Nothing is sent to find out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use if_addrs::{Interface, get_if_addrs};

use crate::runtime::web::reach::{Reach, reach};

/// Addresses of the internet that are kept for documentation (RFC 5737, RFC 3849): whatever has a
/// route to them has a default route.
const FAR: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// The address that other machines most likely reach this one by: `bind`, if it is one; else that
/// of the default route; else the best of the interfaces that are up; else loopback.
pub(super) fn reachable_ip(bind: Option<IpAddr>) -> IpAddr {
    if let Some(bound) = bind.filter(|bind| !bind.is_unspecified()) {
        return bound;
    }
    let is_v4_only = bind.is_some_and(|bind| bind.is_ipv4());
    let is_fit = |ip: &IpAddr| rank(*ip).is_some() && !(is_v4_only && ip.is_ipv6());
    let routed = FAR.into_iter().filter_map(source_towards).find(is_fit);
    let interfaces = get_if_addrs().unwrap_or_default();
    let up = interfaces.iter().filter(|interface| interface.is_oper_up());
    routed
        .or_else(|| best(up.map(Interface::ip).filter(is_fit)))
        .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Our own address on the way to another. Connecting a UDP socket only asks the routing table.
fn source_towards(far: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match far {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(SocketAddr::new(far, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The first of the best kind.
fn best(ips: impl Iterator<Item = IpAddr>) -> Option<IpAddr> {
    ips.min_by_key(|ip| rank(*ip))
}

/// How well others may reach an address, the best first; `None` if they cannot. A link-local address
/// of IPv6 is none to tell: it means nothing without the name of the asker's own interface.
fn rank(ip: IpAddr) -> Option<u8> {
    match (ip, reach(ip)?) {
        (IpAddr::V4(_), Reach::Site | Reach::Global) => Some(0),
        (IpAddr::V4(ip), Reach::Host) => ip.is_link_local().then_some(1),
        (IpAddr::V6(_), Reach::Global) => Some(2),
        (IpAddr::V6(_), Reach::Site) => Some(3),
        (IpAddr::V6(_), Reach::Host) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best_of(ips: &str) -> Option<IpAddr> {
        let ips = ips.split_whitespace().map(|ip| ip.parse().unwrap());
        best(ips.filter(|ip| rank(*ip).is_some()))
    }

    #[test]
    fn of_several_addresses_the_one_is_told_that_most_machines_reach() {
        let cases = [
            ("127.0.0.1 ::1 fe80::1", None),
            ("127.0.0.1 192.168.1.7 ::1", Some("192.168.1.7")),
            ("169.254.3.4 10.1.2.3", Some("10.1.2.3")),
            ("127.0.0.1 fe80::1 169.254.3.4", Some("169.254.3.4")),
            ("::1 fe80::1 fd00::7 2a00::7", Some("2a00::7")),
            ("::1 fe80::1 fd00::7", Some("fd00::7")),
            ("2a00::7 192.168.1.7", Some("192.168.1.7")),
            ("192.168.1.7 10.0.0.7", Some("192.168.1.7")),
        ];
        for (ips, want) in cases {
            let want = want.map(|ip| ip.parse().unwrap());
            assert_eq!(best_of(ips), want, "{ips}");
        }
    }

    #[test]
    fn a_bound_address_is_the_one_that_is_told() {
        let bound = "10.9.8.7".parse().unwrap();
        assert_eq!(reachable_ip(Some(bound)), bound);
    }
}
