//! Every way of hashing against the `sha1` crate.

#![expect(
    clippy::cast_possible_truncation,
    reason = "test bytes are the low bits of numbers"
)]

use proptest::prelude::*;
use sha1::{Digest, Sha1};

use super::simd::{Vectors, Wide};
use super::*;

fn expected(message: &[u8]) -> [u8; 20] {
    Sha1::digest(message).into()
}

/// Bytes that differ between messages and positions.
fn message(seed: usize, len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 7) as u8 ^ (seed.wrapping_mul(97)) as u8)
        .collect()
}

/// Every way of hashing that this processor knows.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn plans() -> Vec<Plan> {
    let vectors = [
        ("sse2", Vectors::baseline(), None),
        ("avx2", Vectors::avx2(), None),
        ("avx512vl", Vectors::avx512(), None),
        ("avx512bw", Vectors::avx512(), Wide::avx512()),
    ];
    let there = vectors.into_iter().filter_map(|(name, vectors, wide)| {
        if vectors.is_none() || (name == "avx512bw" && wide.is_none()) {
            eprintln!("SKIPPED: this processor has no {name}");
        }
        Some(Plan::always(Some(vectors?), wide))
    });
    [Plan::PORTABLE, Plan::SINGLE, Plan::get()]
        .into_iter()
        .chain(there)
        .collect()
}

fn check(messages: &[Vec<u8>]) {
    let slices: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let want: Vec<_> = slices.iter().map(|message| expected(message)).collect();
    assert_eq!(many(&slices), want, "lengths {:?}", lengths(messages));
    for plan in plans() {
        let mut hasher = Hasher::planned(plan, slices.len());
        hasher.update(&slices);
        assert_eq!(
            hasher.finish(),
            want,
            "{plan:?}, lengths {:?}",
            lengths(messages)
        );
    }
}

fn lengths(messages: &[Vec<u8>]) -> Vec<usize> {
    messages.iter().map(Vec::len).collect()
}

#[test]
fn every_short_length_agrees_with_the_reference_in_every_number_of_lanes() {
    for len in 0..=300 {
        for count in 0..=2 * LANES + 1 {
            let messages: Vec<_> = (0..count).map(|seed| message(seed, len)).collect();
            check(&messages);
        }
        assert_eq!(one(&message(1, len)), expected(&message(1, len)));
    }
}

#[test]
fn lanes_of_different_lengths_do_not_disturb_each_other() {
    let ladder: Vec<_> = (0..LANES).map(|i| message(i, i * 1_000 + i)).collect();
    check(&ladder);
    let one_long: Vec<_> = (0..LANES)
        .map(|i| message(i, if i == 3 { 500_000 } else { 10 }))
        .collect();
    check(&one_long);
    let last_short: Vec<_> = (0..LANES)
        .map(|i| message(i, if i == 7 { 1 } else { 65_536 }))
        .collect();
    check(&last_short);
}

#[test]
fn megabytes_agree_with_the_reference() {
    let messages: Vec<_> = (0..LANES).map(|i| message(i, (1 << 20) + i % 2)).collect();
    check(&messages);
}

proptest! {
    #[test]
    fn any_messages_in_any_parts_agree_with_the_reference(
        lens in prop::collection::vec(0usize..2_000, 1..=LANES),
        cuts in prop::collection::vec(0usize..500, 1..6),
    ) {
        let messages: Vec<_> = lens.iter().enumerate().map(|(i, &len)| message(i, len)).collect();
        let mut hashers: Vec<_> =
            plans().into_iter().map(|plan| Hasher::planned(plan, messages.len())).collect();
        let mut rests: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        for (round, cut) in cuts.iter().enumerate() {
            let parts: Vec<&[u8]> = rests
                .iter_mut()
                .enumerate()
                .map(|(lane, rest)| {
                    let (part, left) = rest.split_at(rest.len().min(cut + lane * round));
                    *rest = left;
                    part
                })
                .collect();
            for hasher in &mut hashers {
                hasher.update(&parts);
            }
        }
        for hasher in &mut hashers {
            hasher.update(&rests);
        }
        let want: Vec<_> = messages.iter().map(|message| expected(message)).collect();
        for hasher in hashers {
            prop_assert_eq!(hasher.finish(), want.clone());
        }
    }
}
