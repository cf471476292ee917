//! Peer exchange (BEP 11): which peers a peer is connected to, and which no longer.
//!
//! A hint from a stranger. Nothing here says that anybody listens there, or that it should be
//! dialled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BufMut, Bytes};

use super::codec::EXTENDED_LEN_MAX;
use crate::bencode::{self, BencodeError, Document, Limits, Value};

/// What the extension calls itself in a handshake (BEP 10 `m`).
pub const NAME: &str = "ut_pex";

/// The id under which we want to be sent its messages. Chosen: any but 0 and that of the metadata.
pub const OUR_ID: u8 = 2;

/// Peers that one message adds at most, and as many that it drops (BEP 11).
pub const PEERS_MAX: usize = 50;

/// The peer has everything, or wants nothing more (BEP 11 `added.f`).
pub const SEED: u8 = 0x02;
/// The peer takes connections (BEP 11 `added.f`).
pub const REACHABLE: u8 = 0x10;

/// The dictionary of a message has six strings.
const MESSAGE: Limits = Limits {
    input: EXTENDED_LEN_MAX as usize,
    depth: 4,
    tokens: 64,
};

/// One message of the extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PexMessage {
    /// Peers that the sender is connected to since its last message, at most [`PEERS_MAX`].
    pub added: Vec<PexPeer>,
    /// Peers that it is no longer connected to, at most [`PEERS_MAX`].
    pub dropped: Vec<SocketAddr>,
}

/// A peer that somebody is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PexPeer {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What it is, [`SEED`] and [`REACHABLE`] among others.
    pub flags: u8,
}

/// The payload is no message of the extension.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PexError {
    /// It is not bencode.
    #[error("peer exchange {0}")]
    Bencode(#[from] BencodeError),
    /// It is bencode, but no dictionary.
    #[error("peer exchange is not a dictionary")]
    NotADictionary,
}

impl PexMessage {
    /// Reads the payload of an extended message. Addresses beyond the limit, a last one that was cut
    /// off, and those without a port are left out.
    ///
    /// # Errors
    /// If it is not a bencoded dictionary.
    pub fn decode(payload: &[u8]) -> Result<Self, PexError> {
        let document = Document::scan_prefix(payload, &MESSAGE)?;
        let root = document.root();
        if root.dict().is_none() {
            return Err(PexError::NotADictionary);
        }
        let string = |key: &[u8]| root.get(key).and_then(Value::bytes).unwrap_or_default();
        let added = |list: &[u8], flags: &[u8]| {
            let addrs = addresses(string(list), list.ends_with(b"6"));
            let mut flags = string(flags).iter().copied();
            addrs
                .map(|addr| PexPeer {
                    addr,
                    flags: flags.next().unwrap_or_default(),
                })
                .collect::<Vec<_>>()
        };
        let mut all = added(b"added", b"added.f");
        all.extend(added(b"added6", b"added6.f"));
        all.retain(|peer| peer.addr.port() != 0);
        all.truncate(PEERS_MAX);
        let v4 = addresses(string(b"dropped"), false);
        let dropped = v4.chain(addresses(string(b"dropped6"), true));
        Ok(Self {
            added: all,
            dropped: dropped.take(PEERS_MAX).collect(),
        })
    }

    /// The payload of an extended message.
    pub fn encode(&self) -> Bytes {
        let (mut v4, mut v4_flags) = (Vec::new(), Vec::new());
        let (mut v6, mut v6_flags) = (Vec::new(), Vec::new());
        for peer in &self.added {
            let (list, flags) = match peer.addr {
                SocketAddr::V4(_) => (&mut v4, &mut v4_flags),
                SocketAddr::V6(_) => (&mut v6, &mut v6_flags),
            };
            put_address(list, peer.addr);
            flags.push(peer.flags);
        }
        let (mut dropped, mut dropped6) = (Vec::new(), Vec::new());
        for &addr in &self.dropped {
            let list = if addr.is_ipv4() {
                &mut dropped
            } else {
                &mut dropped6
            };
            put_address(list, addr);
        }
        let mut out = vec![b'd'];
        // Keys in the order of their bytes, as bencode wants them.
        for (key, string) in [
            ("added", v4),
            ("added.f", v4_flags),
            ("added6", v6),
            ("added6.f", v6_flags),
            ("dropped", dropped),
            ("dropped6", dropped6),
        ] {
            bencode::put_bytes(&mut out, key.as_bytes());
            bencode::put_bytes(&mut out, &string);
        }
        out.push(b'e');
        out.into()
    }

    /// Whether it says nothing.
    pub const fn is_empty(&self) -> bool {
        self.added.is_empty() && self.dropped.is_empty()
    }
}

/// Addresses packed as 6 bytes each (IPv4) or 18 (IPv6).
fn addresses(packed: &[u8], is_v6: bool) -> impl Iterator<Item = SocketAddr> {
    packed
        .chunks_exact(if is_v6 { 18 } else { 6 })
        .map(move |mut entry| {
            let ip = if is_v6 {
                IpAddr::V6(Ipv6Addr::from_bits(entry.get_u128()))
            } else {
                IpAddr::V4(Ipv4Addr::from_bits(entry.get_u32()))
            };
            SocketAddr::new(ip.to_canonical(), entry.get_u16())
        })
}

fn put_address(list: &mut Vec<u8>, addr: SocketAddr) {
    match addr.ip() {
        IpAddr::V4(ip) => list.put_slice(&ip.octets()),
        IpAddr::V6(ip) => list.put_slice(&ip.octets()),
    }
    list.put_u16(addr.port());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addrs() -> impl Strategy<Value = SocketAddr> {
        let v6 = (1u128 << 96..).prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)));
        let ip = prop_oneof![any::<Ipv4Addr>().prop_map(IpAddr::V4), v6];
        (ip, 1u16..).prop_map(SocketAddr::from)
    }

    proptest! {
        #[test]
        fn a_message_round_trips(
            added in prop::collection::vec((addrs(), any::<u8>()), 0..PEERS_MAX),
            dropped in prop::collection::vec(addrs(), 0..PEERS_MAX),
        ) {
            let by_family = |addr: &SocketAddr| addr.is_ipv6();
            let mut added: Vec<_> = added
                .into_iter()
                .map(|(addr, flags)| PexPeer { addr, flags })
                .collect();
            let mut dropped = dropped;
            added.sort_by_key(|peer| by_family(&peer.addr));
            dropped.sort_by_key(by_family);
            let message = PexMessage { added, dropped };
            let payload = message.encode();
            let document = Document::scan(&payload, &MESSAGE).expect("bencode");
            prop_assert_eq!(document.flaw(), None);
            prop_assert_eq!(PexMessage::decode(&payload), Ok(message));
        }

        #[test]
        fn no_payload_panics(payload: Vec<u8>) {
            let _verdict = PexMessage::decode(&payload);
        }
    }

    #[test]
    fn a_flood_of_addresses_is_cut_off() {
        let packed = [10, 0, 0, 1, 0x1a, 0xe1].repeat(5_000);
        let mut payload = b"d5:added".to_vec();
        bencode::put_bytes(&mut payload, &packed);
        payload.push(b'e');
        let message = PexMessage::decode(&payload).expect("valid");
        assert_eq!(message.added.len(), PEERS_MAX);
        assert_eq!(
            message.added[0].addr,
            SocketAddr::from(([10, 0, 0, 1], 6881))
        );
    }

    #[test]
    fn what_is_missing_or_malformed_is_as_good_as_empty() {
        for payload in ["de", "d5:addedi1ee", "d5:added5:12345e", "d7:added.f3:abce"] {
            let read = PexMessage::decode(payload.as_bytes());
            assert_eq!(read, Ok(PexMessage::default()), "{payload}");
        }
        for payload in ["", "le", "d5:added"] {
            assert!(PexMessage::decode(payload.as_bytes()).is_err(), "{payload}");
        }
    }
}
