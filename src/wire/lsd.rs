//! Local service discovery (BEP 14): what machines of one network tell each other by multicast.
//!
//! An announce is a datagram in the shape of an HTTP request. Headers that are not known are passed
//! over, and so is an info hash that is none: the others of the same datagram are good.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::ids::InfoHash;

/// The port of both groups.
pub const PORT: u16 = 6771;

/// The group that IPv4 announces go to.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 192, 152, 143);

/// The group that IPv6 announces go to.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f);

/// The longest datagram that is read, in bytes: BEP 14 wants them below 1,400.
pub const DATAGRAM_LEN_MAX: usize = 1_500;

/// Info hashes that are read of one datagram: more do not fit.
const INFO_HASHES_MAX: usize = 32;

/// The longest cookie that is kept, in bytes. Chosen: ours has 16.
const COOKIE_LEN_MAX: usize = 64;

/// What one machine says: it is in these swarms, and listens there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAnnounce {
    /// The port that it accepts peers on; never 0.
    pub port: u16,
    /// The swarms.
    pub info_hashes: Vec<InfoHash>,
    /// By what it knows its own announces when it hears them.
    pub cookie: Option<String>,
}

impl LocalAnnounce {
    /// Reads a datagram; `None` if it is no announce.
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(datagram).ok()?;
        let mut lines = text.split("\r\n");
        let mut request = lines.next()?.split(' ');
        let is_search = request.next()?.eq_ignore_ascii_case("BT-SEARCH");
        if !is_search || !request.next_back()?.starts_with("HTTP/1.") {
            return None;
        }
        let mut port = None;
        let mut read = Self {
            port: 0,
            info_hashes: Vec::new(),
            cookie: None,
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("Port") {
                port = value.parse().ok().filter(|&port| port != 0);
            } else if name.eq_ignore_ascii_case("Infohash") {
                let is_full = read.info_hashes.len() >= INFO_HASHES_MAX;
                if let Some(info_hash) = value.parse().ok().filter(|_| !is_full) {
                    read.info_hashes.push(info_hash);
                }
            } else if name.eq_ignore_ascii_case("cookie") && value.len() <= COOKIE_LEN_MAX {
                read.cookie = Some(value.to_owned());
            }
        }
        read.port = port?;
        (!read.info_hashes.is_empty()).then_some(read)
    }

    /// The datagram for the group that `host` names, as `address:port`.
    pub fn encode(&self, host: &str) -> Vec<u8> {
        let mut text = format!(
            "BT-SEARCH * HTTP/1.1\r\nHost: {host}\r\nPort: {}\r\n",
            self.port
        );
        // Writing to a String cannot fail.
        for info_hash in &self.info_hashes {
            let _ = write!(text, "Infohash: {info_hash}\r\n");
        }
        if let Some(cookie) = &self.cookie {
            let _ = write!(text, "cookie: {cookie}\r\n");
        }
        text.push_str("\r\n\r\n");
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_announce_round_trips(
            port in 1u16..,
            hashes in prop::collection::vec(any::<[u8; 20]>(), 1..5),
            cookie in prop::option::of("[0-9a-f]{1,64}"),
        ) {
            let announce = LocalAnnounce {
                port,
                info_hashes: hashes.into_iter().map(InfoHash::new).collect(),
                cookie,
            };
            let datagram = announce.encode("239.192.152.143:6771");
            prop_assert!(datagram.len() < 1_400);
            prop_assert_eq!(LocalAnnounce::decode(&datagram), Some(announce));
        }

        #[test]
        fn no_datagram_panics(datagram: Vec<u8>) {
            let _verdict = LocalAnnounce::decode(&datagram);
        }
    }

    #[test]
    fn announces_of_other_programs_are_understood() {
        let hash = "8C4F3B2A1D0E9F8A7B6C5D4E3F2A1B0C9D8E7F6A";
        let datagram = format!(
            "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 51413\r\n\
             Infohash: {hash}\r\nInfohash: nonsense\r\ncookie: 1f\r\nX: y\r\n\r\n\r\n"
        );
        let want = LocalAnnounce {
            port: 51_413,
            info_hashes: vec![hash.parse().expect("a hash")],
            cookie: Some("1f".to_owned()),
        };
        assert_eq!(LocalAnnounce::decode(datagram.as_bytes()), Some(want));
    }

    #[test]
    fn what_names_no_port_or_no_swarm_is_no_announce() {
        let hash = "8c4f3b2a1d0e9f8a7b6c5d4e3f2a1b0c9d8e7f6a";
        for text in [
            String::new(),
            format!("M-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: {hash}\r\n\r\n"),
            format!("BT-SEARCH * HTTP/1.1\r\nInfohash: {hash}\r\n\r\n"),
            format!("BT-SEARCH * HTTP/1.1\r\nPort: 0\r\nInfohash: {hash}\r\n\r\n"),
            "BT-SEARCH * HTTP/1.1\r\nPort: 1\r\n\r\n".to_owned(),
        ] {
            assert_eq!(LocalAnnounce::decode(text.as_bytes()), None, "{text}");
        }
    }
}
