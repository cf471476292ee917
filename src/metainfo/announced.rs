//! A manifest as a tracker of our own hands it out: with that tracker named first.
//!
//! `info` stays byte for byte what it was, so the swarm is the same.

use std::ops::Range;

use bytes::Bytes;

use super::Metainfo;
use crate::bencode::{Document, Limits, put_bytes};

/// A manifest that trackers can be put in front of without copying it.
#[derive(Clone, Debug)]
pub struct Announced {
    /// Tiers that it names, as bencode.
    tiers: Vec<u8>,
    /// Everything else in it, in order.
    rest: Vec<Bytes>,
}

impl Announced {
    /// Takes a manifest apart.
    pub fn new(meta: &Metainfo) -> Self {
        let mut tiers = Vec::new();
        for tier in meta.trackers() {
            tiers.push(b'l');
            for url in tier {
                put_bytes(&mut tiers, url.as_bytes());
            }
            tiers.push(b'e');
        }
        let raw = Bytes::copy_from_slice(meta.raw());
        let kept = kept(meta.raw()).into_iter();
        Self {
            tiers,
            rest: kept.map(|range| raw.slice(range)).collect(),
        }
    }

    /// The manifest with `tracker` before those that it names, in parts. All parts but the first
    /// are shared between calls.
    pub fn with_tracker(&self, tracker: &str) -> Vec<Bytes> {
        let mut head = b"d".to_vec();
        put_bytes(&mut head, b"announce");
        put_bytes(&mut head, tracker.as_bytes());
        if !self.tiers.is_empty() {
            put_bytes(&mut head, b"announce-list");
            head.extend(b"ll");
            put_bytes(&mut head, tracker.as_bytes());
            head.push(b'e');
            head.extend(&self.tiers);
            head.push(b'e');
        }
        let mut parts = vec![head.into()];
        parts.extend(self.rest.iter().cloned());
        parts.push(Bytes::from_static(b"e"));
        parts
    }
}

/// Where everything stands but the trackers: keys with their values.
fn kept(raw: &[u8]) -> Vec<Range<usize>> {
    let document = Document::scan_prefix(raw, &Limits::MANIFEST);
    let Ok(document) = document else {
        return Vec::new();
    };
    // Each key begins where the value before it ends; the first after the `d`.
    let mut start = 1;
    let mut kept = Vec::new();
    for (key, value) in document.root().dict().into_iter().flatten() {
        let end = value.span().end;
        if !matches!(key, b"announce" | b"announce-list") {
            kept.push(start..end);
        }
        start = end;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(trackers: &str) -> Metainfo {
        let info =
            "4:infod6:lengthi3e4:name1:a12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
        let raw = format!("d{trackers}7:comment2:hi{info}8:url-list0:e\n");
        Metainfo::parse(raw.as_bytes()).unwrap()
    }

    fn served(meta: &Metainfo) -> Metainfo {
        let parts = Announced::new(meta).with_tracker("http://h:1/announce");
        Metainfo::from_vec(parts.concat()).unwrap()
    }

    #[test]
    fn a_manifest_without_trackers_gets_one() {
        let meta = manifest("");
        let served = served(&meta);
        assert_eq!(served.trackers(), [["http://h:1/announce"]]);
        assert_eq!(served.info_bytes(), meta.info_bytes());
        assert_eq!(served.comment(), Some("hi"));
    }

    #[test]
    fn trackers_that_are_named_come_after_it() {
        let list = "8:announce8:http://x13:announce-listll8:http://x8:http://yel7:udp://zee";
        let served = served(&manifest(list));
        let tiers: Vec<Vec<String>> = served.trackers().to_vec();
        assert_eq!(
            tiers,
            [
                vec!["http://h:1/announce"],
                vec!["http://x", "http://y"],
                vec!["udp://z"]
            ]
        );
        let one = "8:announce8:http://x";
        let served = self::served(&manifest(one));
        assert_eq!(served.trackers().len(), 2);
    }
}
