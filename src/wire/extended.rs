//! The handshake of the extension protocol (BEP 10): what each side calls itself and puts up with.
//!
//! Every field is a hint from a stranger: one that is missing or malformed is as good as absent,
//! only a body that is no dictionary is an error.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::bencode::{self, BencodeError, Document, Limits, Value};

use super::codec::EXTENDED_LEN_MAX;

/// How much handshake is read. A client with thirty extensions sends about a hundred values.
const HANDSHAKE: Limits = Limits {
    input: EXTENDED_LEN_MAX as usize,
    depth: 16,
    tokens: 1_000,
};

/// The longest client name kept, in characters (CVE-2008-0364 and others).
const CLIENT_CHARS_MAX: usize = 64;

/// Extensions of one peer remembered at most. Chosen, untested.
const EXTENSIONS_MAX: usize = 64;

/// The longest name of an extension, in bytes. Chosen, untested.
const EXTENSION_NAME_LEN_MAX: usize = 64;

/// An extension handshake; its fields are named as in BEP 10 and BEP 21.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtendedHandshake {
    /// Name and version of the client: at most 64 characters, any of which may be hostile to a
    /// terminal.
    pub v: Option<String>,
    /// How many requests the sender queues for us.
    pub reqq: Option<u32>,
    /// Our address as the sender sees it.
    pub yourip: Option<IpAddr>,
    /// The sender does not want anything any more (BEP 21).
    pub upload_only: bool,
    /// The port that the sender accepts peers on.
    pub p: Option<u16>,
    /// Length of the metadata that the sender has, in bytes (BEP 9).
    pub metadata_size: Option<u32>,
    /// The message id that the sender chose for each extension it speaks.
    pub m: BTreeMap<String, u8>,
}

impl ExtendedHandshake {
    /// Reads the payload of an extended message with id 0.
    ///
    /// # Errors
    /// If it is not a bencoded dictionary of reasonable size.
    pub fn decode(payload: &[u8]) -> Result<Self, ExtendedError> {
        let document = Document::scan_prefix(payload, &HANDSHAKE)?;
        let root = document.root();
        if root.dict().is_none() {
            return Err(ExtendedError::NotADictionary);
        }
        let number = |key| root.get(key).and_then(Value::uint);
        Ok(Self {
            v: root.get(b"v").and_then(Value::bytes).map(client_name),
            reqq: number(b"reqq").map(|reqq| u32::try_from(reqq).unwrap_or(u32::MAX)),
            yourip: root.get(b"yourip").and_then(Value::bytes).and_then(read_ip),
            upload_only: number(b"upload_only").is_some_and(|flag| flag != 0),
            p: number(b"p")
                .and_then(|p| u16::try_from(p).ok())
                .filter(|&p| p != 0),
            metadata_size: number(b"metadata_size")
                .filter(|&len| len != 0)
                .map(|len| u32::try_from(len).unwrap_or(u32::MAX)),
            m: root.get(b"m").map(read_extensions).unwrap_or_default(),
        })
    }

    /// The payload of an extended message with id 0.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![b'd'];
        // Keys in the order of their bytes, as bencode wants them.
        bencode::put_bytes(&mut out, b"m");
        out.push(b'd');
        for (name, &id) in &self.m {
            put_number(&mut out, name, i64::from(id));
        }
        out.push(b'e');
        if let Some(len) = self.metadata_size {
            put_number(&mut out, "metadata_size", i64::from(len));
        }
        if let Some(p) = self.p {
            put_number(&mut out, "p", i64::from(p));
        }
        if let Some(reqq) = self.reqq {
            put_number(&mut out, "reqq", i64::from(reqq));
        }
        if self.upload_only {
            put_number(&mut out, "upload_only", 1);
        }
        if let Some(v) = &self.v {
            put_string(&mut out, "v", v.as_bytes());
        }
        match self.yourip {
            Some(IpAddr::V4(ip)) => put_string(&mut out, "yourip", &ip.octets()),
            Some(IpAddr::V6(ip)) => put_string(&mut out, "yourip", &ip.octets()),
            None => {}
        }
        out.push(b'e');
        out
    }
}

/// The payload of an extension handshake is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtendedError {
    /// It is not bencode.
    #[error("extension handshake {0}")]
    Bencode(#[from] BencodeError),
    /// It is bencode, but no dictionary.
    #[error("extension handshake is not a dictionary")]
    NotADictionary,
}

fn client_name(v: &[u8]) -> String {
    // No character is longer than four bytes, so what is cut off here would not be kept anyway.
    let start = &v[..v.len().min(4 * CLIENT_CHARS_MAX)];
    String::from_utf8_lossy(start)
        .chars()
        .take(CLIENT_CHARS_MAX)
        .collect()
}

fn read_ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::V4(Ipv4Addr::from(octets)));
    }
    let octets = <[u8; 16]>::try_from(bytes).ok()?;
    Some(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical())
}

/// Extensions by name. Id 0 means that the sender switched the extension off (BEP 10).
fn read_extensions(m: Value<'_>) -> BTreeMap<String, u8> {
    let entries = m.dict().into_iter().flatten();
    entries
        .filter_map(|(name, id)| Some((std::str::from_utf8(name).ok()?, id.uint()?)))
        .filter_map(|(name, id)| Some((name, u8::try_from(id).ok().filter(|&id| id != 0)?)))
        .filter(|(name, _)| name.len() <= EXTENSION_NAME_LEN_MAX)
        .take(EXTENSIONS_MAX)
        .map(|(name, id)| (name.to_owned(), id))
        .collect()
}

fn put_number(out: &mut Vec<u8>, key: &str, number: i64) {
    bencode::put_bytes(out, key.as_bytes());
    bencode::put_int(out, number);
}

fn put_string(out: &mut Vec<u8>, key: &str, string: &[u8]) {
    bencode::put_bytes(out, key.as_bytes());
    bencode::put_bytes(out, string);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn handshakes() -> impl Strategy<Value = ExtendedHandshake> {
        let ip = prop_oneof![
            any::<Ipv4Addr>().prop_map(IpAddr::V4),
            (1u128 << 96..).prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
        ];
        (
            prop::option::of("\\PC{0,64}"),
            any::<Option<u32>>(),
            prop::option::of(ip),
            any::<bool>(),
            prop::option::of(1u16..),
            prop::option::of(1u32..),
            prop::collection::btree_map("[a-z_]{1,20}", 1u8.., 0..5),
        )
            .prop_map(|(v, reqq, yourip, upload_only, p, metadata_size, m)| {
                ExtendedHandshake {
                    v,
                    reqq,
                    yourip,
                    upload_only,
                    p,
                    metadata_size,
                    m,
                }
            })
    }

    proptest! {
        #[test]
        fn a_handshake_round_trips_in_canonical_form(ours in handshakes()) {
            let payload = ours.encode();
            let document = Document::scan(&payload, &HANDSHAKE).expect("bencode");
            prop_assert_eq!(document.flaw(), None);
            prop_assert_eq!(ExtendedHandshake::decode(&payload), Ok(ours));
        }

        #[test]
        fn no_payload_panics(payload: Vec<u8>) {
            let _verdict = ExtendedHandshake::decode(&payload);
        }
    }

    #[test]
    fn a_malformed_field_is_as_good_as_absent() {
        let payload = b"d1:mi1e1:pi65536e4:reqqi-1e11:upload_only3:yes1:vi1e6:yourip3:abce";
        let blank = ExtendedHandshake::default();
        assert_eq!(ExtendedHandshake::decode(payload), Ok(blank.clone()));
        assert_eq!(ExtendedHandshake::decode(b"d1:pi0ee"), Ok(blank.clone()));
        assert_eq!(ExtendedHandshake::decode(b"de"), Ok(blank));
    }

    #[test]
    fn only_a_dictionary_is_a_handshake() {
        for payload in ["", "le", "i1e", "d1:m", "hello"] {
            assert!(ExtendedHandshake::decode(payload.as_bytes()).is_err());
        }
    }

    #[test]
    fn a_long_client_name_is_cut_at_a_character() {
        let name = "\u{1f41d}".repeat(100);
        let payload = format!("d1:v{}:{name}e", name.len());
        let theirs = ExtendedHandshake::decode(payload.as_bytes()).expect("valid");
        assert_eq!(theirs.v, Some("\u{1f41d}".repeat(64)));
    }

    #[test]
    fn extensions_are_kept_in_bounded_number_and_those_switched_off_are_not() {
        let many: Vec<String> = (100..600).map(|i| format!("4:x{i}i1e")).collect();
        let payload = format!("d1:md{}ee", many.concat());
        let theirs = ExtendedHandshake::decode(payload.as_bytes()).expect("valid");
        assert_eq!(theirs.m.len(), EXTENSIONS_MAX);
        let off = ExtendedHandshake::decode(b"d1:md6:ut_pexi0eee").expect("valid");
        assert!(off.m.is_empty());
    }
}
