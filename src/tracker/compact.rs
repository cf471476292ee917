//! Peers as trackers pack them: address and port, back to back (BEP 23, 7, 15).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Buf;

/// Peers taken from one answer at most: as many as are known at a time.
pub const PEERS_MAX: usize = 3_000;

/// Which addresses a list of peers holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// 6 bytes a peer.
    V4,
    /// 18 bytes a peer.
    V6,
}

impl Family {
    /// The family of an address: that of the peers which a UDP tracker behind it names (BEP 15).
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Bytes of one peer.
    pub const fn entry_len(self) -> usize {
        match self {
            Self::V4 => 6,
            Self::V6 => 18,
        }
    }
}

/// The peers of a packed list that listen on a port, at most [`PEERS_MAX`]; a last entry that was
/// cut off is left out.
pub fn peers(packed: &[u8], family: Family) -> Vec<SocketAddr> {
    packed
        .chunks_exact(family.entry_len())
        .map(|entry| peer(entry, family))
        .filter(|addr| addr.port() != 0)
        .take(PEERS_MAX)
        .collect()
}

fn peer(mut entry: &[u8], family: Family) -> SocketAddr {
    let ip = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(entry.get_u32())),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(entry.get_u128())),
    };
    SocketAddr::new(ip.to_canonical(), entry.get_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_unpacked_and_those_without_a_port_left_out() {
        let packed = [
            127, 0, 0, 1, 0x1a, 0xe1, 10, 0, 0, 1, 0, 0, 10, 0, 0, 2, 0, 1,
        ];
        let want: Vec<SocketAddr> = ["127.0.0.1:6881", "10.0.0.2:1"]
            .iter()
            .map(|addr| addr.parse().expect("valid"))
            .collect();
        assert_eq!(peers(&packed, Family::V4), want);
        assert_eq!(peers(&packed[..17], Family::V4), want[..1]);
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_told_as_what_it_is() {
        let mut packed = Ipv4Addr::new(10, 0, 0, 1)
            .to_ipv6_mapped()
            .octets()
            .to_vec();
        packed.extend([0x1a, 0xe1]);
        let want: SocketAddr = "10.0.0.1:6881".parse().expect("valid");
        assert_eq!(peers(&packed, Family::V6), [want]);
    }

    #[test]
    fn a_list_without_end_yields_a_bounded_number() {
        assert_eq!(peers(&vec![1; 6 * 5_000], Family::V4).len(), PEERS_MAX);
    }
}
