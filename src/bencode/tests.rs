//! What the scanner takes, refuses and finds.

use proptest::prelude::*;
use serde_bencode::value::Value as Reference;

use super::*;

const SMALL: Limits = Limits {
    input: 1 << 20,
    depth: 32,
    tokens: 10_000,
};

/// Our view of a value, as the reference library's type.
fn to_reference(value: Value<'_>) -> Reference {
    if let Some(list) = value.list() {
        return Reference::List(list.map(to_reference).collect());
    }
    if let Some(dict) = value.dict() {
        let entries = dict.map(|(key, value)| (key.to_vec(), to_reference(value)));
        return Reference::Dict(entries.collect());
    }
    match value.bytes() {
        Some(bytes) => Reference::Bytes(bytes.to_vec()),
        None => Reference::Int(value.int().expect("the only kind left")),
    }
}

fn any_value() -> impl Strategy<Value = Reference> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Reference::Int),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Reference::Bytes),
    ];
    leaf.prop_recursive(6, 80, 6, |inner| {
        let key = prop::collection::vec(any::<u8>(), 0..6);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Reference::List),
            prop::collection::btree_map(key, inner, 0..6)
                .prop_map(|entries| Reference::Dict(entries.into_iter().collect())),
        ]
    })
}

/// Bytes that are often nearly bencode.
fn near_bencode() -> impl Strategy<Value = Vec<u8>> {
    let parts: &[&[u8]] = &[
        b"d", b"l", b"e", b"i", b"-", b"0", b"12", b"1:a", b"2:bb", b"3:cc", b"0:", b":", b"i7e",
        b"de", b"le", b"\xff",
    ];
    let part = prop::sample::select(parts);
    let salad = prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat());
    let mutated = (any_value(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(value, index, byte)| {
            let mut bytes = serde_bencode::to_bytes(&value).unwrap();
            let index = index.index(bytes.len());
            bytes[index] = byte;
            bytes
        },
    );
    prop_oneof![salad, mutated]
}

proptest! {
    #[test]
    fn what_the_reference_writes_reads_back_the_same(value in any_value()) {
        let bytes = serde_bencode::to_bytes(&value).unwrap();
        let document = Document::scan(&bytes, &SMALL).unwrap().canonical().unwrap();
        prop_assert_eq!(to_reference(document.root()), value);
        prop_assert_eq!(document.root().raw(), &bytes[..]);
    }

    #[test]
    fn every_cut_is_noticed_and_every_prefix_found(value in any_value(), tail: Vec<u8>) {
        let bytes = serde_bencode::to_bytes(&value).unwrap();
        for cut in 0..bytes.len() {
            let error = Document::scan(&bytes[..cut], &SMALL).unwrap_err().to_string();
            prop_assert!(error.contains("ends early") || error == "is empty", "{}", error);
        }
        let longer = [&bytes[..], &tail].concat();
        let document = Document::scan_prefix(&longer, &SMALL).unwrap();
        prop_assert_eq!(document.len(), bytes.len());
    }

    /// The reference takes trailing bytes, leading zeros and unsorted keys, as we do on request.
    /// It wants UTF-8 nowhere in a `Value`, and its integers have a sign, as ours.
    #[test]
    fn what_we_take_the_reference_takes_and_means_the_same(bytes in near_bencode()) {
        let Ok(document) = Document::scan_prefix(&bytes, &SMALL) else { return Ok(()) };
        if document.flaw().is_some() {
            return Ok(());
        }
        let theirs: Reference = serde_bencode::from_bytes(&bytes[..document.len()]).unwrap();
        prop_assert_eq!(to_reference(document.root()), theirs.clone());
        prop_assert_eq!(serde_bencode::to_bytes(&theirs).unwrap(), document.root().raw());
    }

    #[test]
    fn what_the_reference_writes_back_unchanged_we_take(bytes in near_bencode()) {
        let Ok(theirs) = serde_bencode::from_bytes::<Reference>(&bytes) else { return Ok(()) };
        if serde_bencode::to_bytes(&theirs).unwrap() == bytes {
            prop_assert!(Document::scan(&bytes, &SMALL).and_then(Document::canonical).is_ok());
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
        if let Ok(document) = Document::scan_prefix(&bytes, &SMALL) {
            let _ = format!("{:?}", document.root());
        }
    }
}

fn error(input: &[u8]) -> String {
    Document::scan(input, &SMALL).unwrap_err().to_string()
}

#[test]
fn errors_say_where_and_what() {
    assert_eq!(
        error(b"d1:a168200:xyz"),
        "ends early: string of 168,200 bytes at offset 4, only 3 left (download cut off?)"
    );
    assert_eq!(
        error(b"d1:ali1e"),
        "ends early: list at offset 4 is not complete (download cut off?)"
    );
    assert_eq!(error(b"Hello"), "byte 0 is 'H', want: a value");
    assert_eq!(error(b"i\x1fe"), "byte 1 is 0x1f, want: a digit");
    assert_eq!(
        error(b"i1ei2e"),
        "3 unexpected bytes after the end at offset: 3"
    );
    assert_eq!(error(b""), "is empty");
    assert_eq!(
        error(b"99999999999999999999:"),
        "number is too large at offset: 0"
    );
    assert_eq!(error(b"d1:ae"), "byte 4 is 'e', want: a value");
}

#[test]
fn limits_hold_exactly() {
    let nested = |depth| [vec![b'l'; depth], vec![b'e'; depth]].concat();
    assert!(Document::scan(&nested(32), &SMALL).is_ok());
    assert_eq!(
        error(&nested(33)),
        "nesting at offset 32 is too deep, limit: 32"
    );
    let list = |len| [b"l".to_vec(), b"0:".repeat(len), b"e".to_vec()].concat();
    assert!(Document::scan(&list(9_999), &SMALL).is_ok());
    assert_eq!(error(&list(10_000)), "too many values, limit: 10,000");
    let long = vec![b'0'; SMALL.input + 1];
    assert_eq!(error(&long), "is 1,048,577 bytes long, limit: 1,048,576");
}

#[test]
fn a_million_open_lists_are_refused_without_recursion() {
    let limits = Limits::MANIFEST;
    let error = Document::scan(&vec![b'l'; 1_000_000], &limits).unwrap_err();
    assert_eq!(
        error,
        BencodeError::TooDeep {
            offset: 128,
            limit: 128
        }
    );
}

#[test]
fn flaws_are_read_and_named() {
    let flaw = |input: &[u8]| Document::scan(input, &SMALL).unwrap().flaw();
    let at = |offset, kind| Some(Flaw { offset, kind });
    assert_eq!(flaw(b"d1:bi1e1:ai2ee"), at(7, FlawKind::UnsortedKey));
    assert_eq!(flaw(b"d1:ai1e1:ai2ee"), at(7, FlawKind::DuplicateKey));
    assert_eq!(flaw(b"i01e"), at(1, FlawKind::LeadingZero));
    assert_eq!(flaw(b"i-0e"), at(0, FlawKind::LeadingZero));
    assert_eq!(flaw(b"01:a"), at(0, FlawKind::LeadingZero));
    assert_eq!(
        flaw(b"i9223372036854775808e"),
        at(0, FlawKind::IntegerRange)
    );
    assert_eq!(flaw(b"i-9223372036854775808e"), None);
    let strict = Document::scan(b"i01e", &SMALL).unwrap().canonical();
    assert_eq!(
        strict.unwrap_err().to_string(),
        "not canonical: number with a leading zero at offset: 1"
    );
}

#[test]
fn an_integer_out_of_range_is_no_integer() {
    let document = Document::scan(b"i9223372036854775808e", &SMALL).unwrap();
    assert_eq!(document.root().int(), None);
    let document = Document::scan(b"i-9223372036854775808e", &SMALL).unwrap();
    assert_eq!(document.root().int(), Some(i64::MIN));
    assert_eq!(document.root().uint(), None);
}

#[test]
fn a_dictionary_is_looked_up_by_key() {
    let document = Document::scan(b"d1:ad1:xi1ee1:bl1:c2:dde1:ci-3ee", &SMALL).unwrap();
    let root = document.root();
    let inner = root.get(b"a").unwrap();
    assert_eq!(inner.get(b"x").unwrap().int(), Some(1));
    assert_eq!(inner.span(), 4..12);
    let list: Vec<_> = root.get(b"b").unwrap().list().unwrap().collect();
    assert_eq!(list[1].bytes(), Some(&b"dd"[..]));
    assert_eq!(list[0].text(), Some("c"));
    assert_eq!(root.get(b"c").unwrap().int(), Some(-3));
    assert!(root.get(b"d").is_none());
    assert!(root.list().is_none() && root.int().is_none() && root.bytes().is_none());
    assert!(list[0].get(b"c").is_none());
}

#[test]
fn what_is_put_reads_back() {
    let mut out = b"l".to_vec();
    put_bytes(&mut out, b"spam");
    put_int(&mut out, -42);
    out.push(b'e');
    assert_eq!(out, b"l4:spami-42ee");
}
