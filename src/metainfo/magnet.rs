//! Magnet links: a swarm's name and hints on where to find it (BEP 9, "magnet URI format").
//!
//! What is not understood is passed over, as BEP 9 asks; only a link without a usable info hash is
//! an error.

use std::fmt;
use std::ops::RangeInclusive;

use super::escape::escape;
use super::parse::{URLS_MAX, url};
use crate::ids::InfoHash;

/// The longest link that is read, in bytes.
pub const LINK_LEN_MAX: usize = 64 << 10;

/// Ranges of files that are taken from one link at most. Chosen: what the longest link holds.
const RANGES_MAX: usize = 10_000;

/// What a magnet link says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Magnet {
    /// The swarm (`xt`).
    pub info_hash: InfoHash,
    /// What to call it until its manifest is known (`dn`). Foreign text: escape it before showing it.
    pub name: Option<String>,
    /// Tracker URLs (`tr`).
    pub trackers: Vec<String>,
    /// URLs of servers that have the content (`ws`).
    pub web_seeds: Vec<String>,
    /// Peers to ask, as `host:port` (`x.pe`).
    pub peers: Vec<String>,
    /// Numbers of the only files that are wanted, from 0 in manifest order; all if there are none
    /// (`so`, BEP 53).
    pub select_only: Vec<RangeInclusive<usize>>,
}

/// A text is not a magnet link that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MagnetError {
    /// It is neither a link nor an info hash.
    #[error("magnet: starts with \"{}\", want \"magnet:?\"", escape(.0))]
    NotAMagnet(String),
    /// It is longer than [`LINK_LEN_MAX`].
    #[error("magnet: longer than the limit in bytes: {LINK_LEN_MAX}")]
    TooLong,
    /// It names no swarm.
    #[error("magnet: no info-hash, want xt=urn:btih:HASH")]
    NoHash,
    /// It names a swarm of the second version only (BEP 52).
    #[error("magnet is BitTorrent v2 only; swarm reads v1 and hybrid manifests so far")]
    V2Only,
    /// Its info hash has another length than those of either form.
    #[error("magnet: info-hash \"{hash}\" has {len} characters, want 40 hex or 32 base32")]
    HashLength {
        /// The hash, escaped.
        hash: String,
        /// How many characters it has.
        len: usize,
    },
    /// Its info hash has a character that the form of its length does not.
    #[error("magnet: info-hash \"{hash}\" is not {form}")]
    HashDigit {
        /// The hash, escaped.
        hash: String,
        /// What its length asks for.
        form: &'static str,
    },
}

impl Magnet {
    /// The bare name of a swarm.
    pub const fn new(info_hash: InfoHash) -> Self {
        Self {
            info_hash,
            name: None,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            peers: Vec::new(),
            select_only: Vec::new(),
        }
    }

    /// Reads a link, or an info hash alone.
    ///
    /// # Errors
    /// If it is too long or has no usable info hash.
    pub fn parse(text: &str) -> Result<Self, MagnetError> {
        if text.len() > LINK_LEN_MAX {
            return Err(MagnetError::TooLong);
        }
        let Some(query) = query(text) else {
            return match parse_hash(text) {
                Ok(hash) => Ok(Self::new(hash)),
                Err(_) => Err(MagnetError::NotAMagnet(text.chars().take(8).collect())),
            };
        };
        let pairs = || query.split('&').filter_map(|pair| pair.split_once('='));
        let mut magnet = Self::new(topic(pairs())?);
        for (key, value) in pairs() {
            let key = parameter(key);
            if key == "dn" {
                magnet.name = Some(decode(&value.replace('+', " ")));
            }
            let value = decode(value);
            match key {
                "tr" => add(&mut magnet.trackers, url(&value)),
                "ws" => add(&mut magnet.web_seeds, url(&value)),
                "so" => magnet.select_only = select_only(&value),
                "x.pe" => add(&mut magnet.peers, Some(value).filter(|peer| is_peer(peer))),
                _ => {}
            }
        }
        Ok(magnet)
    }
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "magnet:?xt=urn:btih:{}", self.info_hash)?;
        let name = self.name.iter().map(|name| ("dn", name));
        let trackers = self.trackers.iter().map(|url| ("tr", url));
        let web_seeds = self.web_seeds.iter().map(|url| ("ws", url));
        for (key, value) in name.chain(trackers).chain(web_seeds) {
            write!(f, "&{key}={}", Percent(value))?;
        }
        // An address needs no escapes, and people read it.
        self.peers
            .iter()
            .try_for_each(|peer| write!(f, "&x.pe={peer}"))?;
        for (place, range) in self.select_only.iter().enumerate() {
            f.write_str(if place == 0 { "&so=" } else { "," })?;
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{first}")?,
                (first, last) => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// What follows the `?`, if the text is a magnet link.
fn query(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let is_magnet = scheme.eq_ignore_ascii_case("magnet");
    let rest = rest.trim_start_matches('/');
    is_magnet.then(|| rest.strip_prefix('?'))?
}

/// The key without the number that tells parameters of one kind apart: `tr.1` is `tr`.
fn parameter(key: &str) -> &str {
    match key.rsplit_once('.') {
        Some((kind, number)) if number.parse::<u16>().is_ok() => kind,
        _ => key,
    }
}

/// The info hash among the exact topics.
fn topic<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<InfoHash, MagnetError> {
    let mut error = MagnetError::NoHash;
    for (_, value) in pairs.filter(|(key, _)| parameter(key) == "xt") {
        let topic = decode(value);
        if let Some(hash) = strip_urn(&topic, "urn:btih:") {
            return parse_hash(hash);
        }
        if strip_urn(&topic, "urn:btmh:").is_some() {
            error = MagnetError::V2Only;
        }
    }
    Err(error)
}

fn strip_urn<'a>(topic: &'a str, urn: &str) -> Option<&'a str> {
    let (head, hash) = topic.split_at_checked(urn.len())?;
    head.eq_ignore_ascii_case(urn).then_some(hash)
}

/// Reads 40 hexadecimal or 32 base32 digits (BEP 9).
fn parse_hash(text: &str) -> Result<InfoHash, MagnetError> {
    let wrong = |form| MagnetError::HashDigit {
        hash: escape(text),
        form,
    };
    match text.chars().count() {
        40 => text.parse().map_err(|_| wrong("hexadecimal")),
        32 => parse_base32(text).ok_or_else(|| wrong("base32")),
        len => Err(MagnetError::HashLength {
            hash: escape(text),
            len,
        }),
    }
}

/// 32 digits of five bits each (RFC 4648, section 6).
fn parse_base32(text: &str) -> Option<InfoHash> {
    let mut hash = [0; 20];
    let mut bits = 0u16;
    let mut count = 0;
    let mut bytes = hash.iter_mut();
    for c in text.bytes() {
        let digit = match c.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            number @ b'2'..=b'7' => number - b'2' + 26,
            _ => return None,
        };
        bits = bits << 5 | u16::from(digit);
        count += 5;
        if count >= 8 {
            count -= 8;
            *bytes.next()? = (bits >> count).to_be_bytes()[1];
            bits &= (1 << count) - 1;
        }
    }
    Some(InfoHash::new(hash))
}

/// `host:port` of an address or a host name.
fn is_peer(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let named = !host.is_empty()
        && host.len() <= 253
        && host
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-'));
    let numbered = text.parse::<std::net::SocketAddr>().is_ok();
    (named || numbered) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// `0,2,4,6-8`; what is no number or range is passed over (BEP 53).
fn select_only(text: &str) -> Vec<RangeInclusive<usize>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = first.parse().ok()?..=last.parse().ok()?;
        (!range.is_empty()).then_some(range)
    };
    text.split(',').filter_map(range).take(RANGES_MAX).collect()
}

/// Adds a value that is usable and new, up to a limit.
fn add(values: &mut Vec<String>, value: Option<String>) {
    if let Some(value) = value
        && values.len() < URLS_MAX
        && !values.contains(&value)
    {
        values.push(value);
    }
}

/// Undoes percent-encoding; what is not UTF-8 afterwards becomes U+FFFD.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digit = |i: usize| char::from(*tail.get(i)?).to_digit(16);
        if let (b'%', Some((high, low))) = (byte, digit(0).zip(digit(1))) {
            bytes.push((high << 4 | low).to_be_bytes()[3]);
            rest = &tail[2..];
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Percent-encodes all but the unreserved characters (RFC 3986, section 2.3).
struct Percent<'a>(&'a str);

impl fmt::Display for Percent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";

    fn error(text: &str) -> String {
        Magnet::parse(text).unwrap_err().to_string()
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_the_same(
            hash: [u8; 20],
            name in prop::option::of(".{1,20}"),
            trackers in prop::collection::btree_set("udp://[!-~]{1,20}", 0..3),
            web_seeds in prop::collection::btree_set("http://[!-~é]{1,20}", 0..3),
            port in 1u16..,
        ) {
            let magnet = Magnet {
                info_hash: hash.into(),
                name,
                trackers: trackers.into_iter().collect(),
                web_seeds: web_seeds.into_iter().collect(),
                peers: vec![format!("10.0.0.5:{port}"), format!("[::1]:{port}"), format!("a-b.c:{port}")],
                select_only: Vec::new(),
            };
            let text = magnet.to_string();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{}", text);
            prop_assert_eq!(Magnet::parse(&text), Ok(magnet));
        }

        #[test]
        fn no_text_panics(text in "(magnet:/{0,3}\\?)?(xt=urn:bt[im]h:|[a-z=&%.0-9]|\\PC){0,30}") {
            let _ = Magnet::parse(&text);
        }
    }

    #[test]
    fn a_link_is_printed_as_other_programs_do() {
        let mut magnet = Magnet::new(HASH.parse().unwrap());
        assert_eq!(magnet.to_string(), format!("magnet:?xt=urn:btih:{HASH}"));
        magnet.name = Some("a b+ü".to_owned());
        magnet
            .trackers
            .push("http://10.0.0.5:6881/announce".to_owned());
        magnet.peers.push("10.0.0.5:6881".to_owned());
        assert_eq!(
            magnet.to_string(),
            format!(
                "magnet:?xt=urn:btih:{HASH}&dn=a%20b%2B%C3%BC\
                 &tr=http%3A%2F%2F10.0.0.5%3A6881%2Fannounce&x.pe=10.0.0.5:6881"
            )
        );
        assert_eq!(Magnet::parse(&magnet.to_string()), Ok(magnet));
    }

    #[test]
    fn a_bare_info_hash_is_a_link() {
        assert_eq!(Magnet::parse(HASH), Ok(Magnet::new(HASH.parse().unwrap())));
        let base32 = Magnet::parse("MFRGCYTBMJQWEYLCMFRGCYTBMJQWEYLC").unwrap();
        assert_eq!(base32.info_hash.as_bytes(), b"abababababababababab");
    }

    #[test]
    fn errors_name_what_is_wrong() {
        assert_eq!(
            error("magnet:?xt=urn:btih:zzz"),
            "magnet: info-hash \"zzz\" has 3 characters, want 40 hex or 32 base32"
        );
        assert_eq!(
            error(&format!("magnet:?xt=urn:btih:{}", "z".repeat(40))),
            format!(
                "magnet: info-hash \"{}\" is not hexadecimal",
                "z".repeat(40)
            )
        );
        assert_eq!(
            error(&format!("magnet:?xt=urn:btih:{}", "1".repeat(32))),
            format!("magnet: info-hash \"{}\" is not base32", "1".repeat(32))
        );
        assert_eq!(
            error("magnet:?dn=x"),
            "magnet: no info-hash, want xt=urn:btih:HASH"
        );
        assert_eq!(
            error(&format!("magnet:?xt=urn:btmh:1220{}", "ab".repeat(32))),
            "magnet is BitTorrent v2 only; swarm reads v1 and hybrid manifests so far"
        );
        assert_eq!(
            error("http://x/y.torrent"),
            "magnet: starts with \"http://x\", want \"magnet:?\""
        );
        let long = format!("magnet:?xt=urn:btih:{HASH}&dn={}", "x".repeat(LINK_LEN_MAX));
        assert_eq!(
            error(&long),
            "magnet: longer than the limit in bytes: 65536"
        );
    }

    #[test]
    fn a_link_may_want_some_files_only() {
        let read = |so: &str| {
            let link = format!("magnet:?xt=urn:btih:{HASH}&so={so}");
            Magnet::parse(&link).unwrap()
        };
        let magnet = read("0,2,4,6-8");
        assert_eq!(magnet.select_only, [0..=0, 2..=2, 4..=4, 6..=8]);
        assert_eq!(Magnet::parse(&magnet.to_string()), Ok(magnet));
        assert_eq!(read("x,,9-3,-1,5").select_only, [5..=5]);
    }

    #[test]
    fn trackers_of_one_link_are_limited() {
        let trackers: Vec<_> = (0..2 * URLS_MAX)
            .map(|i| format!("&tr=udp://{i}"))
            .collect();
        let trackers = trackers.concat();
        let magnet = Magnet::parse(&format!("magnet:?xt=urn:btih:{HASH}{trackers}")).unwrap();
        assert_eq!(magnet.trackers.len(), URLS_MAX);
    }
}
