//! From how far away an address can be reached: what keeps a stranger's redirect from making us
//! talk to machines that the stranger cannot see.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far around an address can be reached, nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// This machine or the wire it hangs on: loopback, link-local, the metadata service of a cloud.
    Host,
    /// A private network: RFC 1918, RFC 6598, unique local addresses.
    Site,
    /// The internet.
    Global,
}

/// From how far away `ip` can be reached; `None` if no single machine answers there (multicast,
/// broadcast, reserved). Addresses that carry an IPv4 address in them reach as far as that one.
pub fn reach(ip: IpAddr) -> Option<Reach> {
    match ip {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => reach_v6(ip),
    }
}

/// Whether clouds keep a service there that tells a machine's secrets to whoever asks from it. As
/// they document it: Amazon EC2, ECS and EKS, Google, Azure, `OpenStack`, Alibaba, Tencent.
pub fn is_metadata_service(ip: IpAddr) -> bool {
    const V4: [[u8; 4]; 5] = [
        [169, 254, 169, 254],
        [169, 254, 170, 2],
        [169, 254, 170, 23],
        [169, 254, 0, 23],
        [100, 100, 100, 200],
    ];
    const V6: [[u16; 8]; 4] = [
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254],
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23],
        [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254],
        [0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe],
    ];
    match ip {
        IpAddr::V4(ip) => V4.contains(&ip.octets()),
        IpAddr::V6(ip) => match carried_v4(ip) {
            Some(carried) => V4.contains(&carried.octets()),
            None => V6.contains(&ip.segments()),
        },
    }
}

fn reach_v4(ip: Ipv4Addr) -> Option<Reach> {
    Some(match ip.octets() {
        [0 | 127, ..] | [169, 254, ..] => Reach::Host,
        [10, ..] | [192, 168, ..] | [192, 0, 0, _] | [198, 18 | 19, ..] => Reach::Site,
        [172, b, ..] if b & 0xf0 == 16 => Reach::Site,
        [100, b, ..] if b & 0xc0 == 64 => Reach::Site,
        [224..=255, ..] => return None,
        _ => Reach::Global,
    })
}

fn reach_v6(ip: Ipv6Addr) -> Option<Reach> {
    if let Some(carried) = carried_v4(ip) {
        return reach_v4(carried);
    }
    let [a, b, ..] = ip.segments();
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Some(Reach::Host),
        [0x64, 0xff9b, 1, ..] => Some(Reach::Site),
        _ if a & 0xff00 == 0xff00 => None,
        _ if a & 0xffc0 == 0xfe80 => Some(Reach::Host),
        _ if a & 0xffc0 == 0xfec0 || a & 0xfe00 == 0xfc00 => Some(Reach::Site),
        // Of Teredo (RFC 4380) nobody has a tracker; it tunnels to an address that we cannot check.
        _ if a == 0x2001 && b == 0 => None,
        _ => Some(Reach::Global),
    }
}

/// The IPv4 address that an address of IPv6 leads to.
fn carried_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., y, z] = ip.segments();
    let (high, low) = match ip.segments() {
        // Unspecified and loopback.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => return None,
        // Mapped and compatible addresses, and those of the NAT64 prefix (RFC 6052).
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => (y, z),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_reach(want: Option<Reach>, addresses: &str) {
        for address in addresses.split_whitespace() {
            let ip = address.parse().expect("an address");
            assert_eq!(reach(ip), want, "{address}");
        }
    }

    #[test]
    fn loopback_and_link_local_reach_no_further_than_the_host() {
        all_reach(
            Some(Reach::Host),
            "127.0.0.1 127.255.255.254 0.0.0.0 0.1.2.3 169.254.169.254 169.254.0.1 ::1 :: \
             fe80::1 febf::1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 \
             64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 2002:7f00:1:: 2002:a9fe:a9fe::1",
        );
    }

    #[test]
    fn private_networks_reach_as_far_as_the_site() {
        all_reach(
            Some(Reach::Site),
            "10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 \
             100.127.255.255 192.0.0.8 198.18.0.1 198.19.255.255 fc00::1 fd12:3456::1 \
             fec0::1 ::ffff:10.0.0.1 ::192.168.1.1 64:ff9b::10.0.0.1 64:ff9b:1::1 \
             2002:c0a8:101::1",
        );
    }

    #[test]
    fn the_rest_is_reached_by_everybody() {
        all_reach(
            Some(Reach::Global),
            "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 169.253.0.1 \
             172.15.255.255 172.32.0.0 192.167.255.255 192.0.1.0 198.20.0.0 223.255.255.255 \
             2001:4860:4860::8888 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 \
             2002:808:808::1",
        );
    }

    #[test]
    fn where_no_single_machine_answers_there_is_no_reach() {
        all_reach(
            None,
            "224.0.0.1 239.192.152.143 240.0.0.1 255.255.255.255 ff02::1 ff0e::1 \
             ::ffff:224.0.0.1 2002:e000:1:: 2001::1",
        );
    }

    #[test]
    fn the_services_of_clouds_are_known_in_every_dress() {
        for (address, want) in [
            ("169.254.169.254", true),
            ("100.100.100.200", true),
            ("fd00:ec2::254", true),
            ("fe80::a9fe:a9fe", true),
            ("::ffff:169.254.169.254", true),
            ("64:ff9b::169.254.169.254", true),
            ("2002:a9fe:a9fe::1", true),
            ("169.254.169.253", false),
            ("169.254.3.4", false),
            ("fe80::1", false),
            ("127.0.0.1", false),
        ] {
            let ip = address.parse().expect("an address");
            assert_eq!(is_metadata_service(ip), want, "{address}");
        }
    }
}
