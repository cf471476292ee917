//! What is remembered, what is forgotten, and what no cache is made of.

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

use super::*;

fn cache() -> (TempDir, HashCache) {
    let dir = tempdir().expect("made");
    let cache = HashCache::new(Some(dir.path().join("state")), UNIX_EPOCH);
    (dir, cache)
}

fn key(number: usize) -> Key {
    hash::one(&number.to_le_bytes())
}

/// As many keys and hashes as there are numbers.
fn keep(cache: &HashCache, numbers: std::ops::Range<usize>) {
    let keys: Vec<_> = numbers.clone().map(|number| Some(key(number))).collect();
    cache.keep(&keys, numbers.map(|n| Some(PieceHash::new(key(n + 1)))));
}

/// Which of these numbers are known.
fn known(cache: &HashCache, numbers: std::ops::Range<usize>) -> Vec<usize> {
    let keys: Vec<_> = numbers.clone().map(|number| Some(key(number))).collect();
    let known = numbers.zip(cache.recall(&keys)).filter_map(|(n, hash)| {
        assert!(hash.is_none_or(|hash| hash == PieceHash::new(key(n + 1))));
        hash.map(|_| n)
    });
    known.collect()
}

#[test]
fn what_is_kept_is_recalled_and_what_was_found_bad_is_forgotten() {
    let (_dir, cache) = cache();
    assert_eq!(known(&cache, 0..3), [0; 0]);
    keep(&cache, 0..3);
    assert_eq!(known(&cache, 0..4), [0, 1, 2]);
    let keys = [Some(key(0)), None, Some(key(2))];
    cache.keep(
        &keys,
        [Some(PieceHash::new(key(1))), None, None].into_iter(),
    );
    assert_eq!(known(&cache, 0..4), [0, 1]);
    assert_eq!(cache.recall(&[None, Some(key(0))])[0], None);
}

#[test]
fn the_oldest_are_dropped_and_a_run_that_learnt_nothing_writes_nothing() {
    let (dir, cache) = cache();
    let inode = || {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(dir.path().join("state").join(NAME))
            .expect("there")
            .ino()
    };
    keep(&cache, 0..10);
    let written = inode();
    keep(&cache, 3..10);
    assert_eq!(inode(), written);
    let new = 10..ENTRIES_MAX + 4;
    keep(&cache, new.clone());
    assert_eq!(known(&cache, 0..10).len(), 6);
    assert_eq!(known(&cache, new.clone()).len(), new.len());
}

#[test]
fn runs_at_the_same_time_leave_a_whole_cache_and_none_takes_anothers_away() {
    let (_dir, cache) = cache();
    let other = cache.clone();
    keep(&cache, 0..2);
    keep(&other, 5..7);
    assert_eq!(known(&cache, 0..10), [0, 1, 5, 6]);
    std::thread::scope(|scope| {
        for run in 1..5 {
            let cache = &cache;
            scope.spawn(move || keep(cache, run * 100..run * 100 + 50));
        }
    });
    assert!(known(&cache, 0..500).len() >= 50);
}

#[test]
fn where_nothing_can_be_kept_nothing_is_known() {
    let (dir, cache) = cache();
    let at = dir.path().join("state");
    fs::write(&at, "no directory").expect("written");
    keep(&cache, 0..2);
    assert_eq!(known(&cache, 0..2), [0; 0]);
    fs::remove_file(&at).expect("there");
    fs::create_dir_all(at.join(NAME).join("below")).expect("made");
    keep(&cache, 0..2);
    assert_eq!(known(&cache, 0..2), [0; 0]);
    fs::remove_dir_all(at.join(NAME)).expect("there");
    let made = std::process::Command::new("mkfifo")
        .arg(at.join(NAME))
        .status();
    assert!(made.is_ok_and(|status| status.success()));
    assert_eq!(known(&cache, 0..2), [0; 0]);
    let nothing = HashCache::default();
    keep(&nothing, 0..2);
    assert_eq!(known(&nothing, 0..2), [0; 0]);
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    vec(vec(any::<u8>(), ENTRY_LEN), 0..20).prop_map(|entries| {
        let entries = entries.into_iter();
        entries
            .map(|entry| entry.try_into().expect("as long"))
            .collect()
    })
}

proptest! {
    #[test]
    fn entries_survive_the_file(entries in entries()) {
        let bytes = encode(entries.iter().copied());
        prop_assert_eq!(decode(&bytes), Some(entries.as_slice()));
        for entry in entries {
            prop_assert_eq!(join(split(&entry)), entry);
        }
    }

    #[test]
    fn one_wrong_bit_or_a_wrong_length_makes_it_worthless(
        entries in entries(), at in any::<prop::sample::Index>(), bit in 0..8_u8, more in any::<u8>()
    ) {
        let bytes = encode(entries.into_iter());
        let at = at.index(bytes.len());
        prop_assert_eq!(decode(&bytes[..at]), None);
        let longer = [bytes.as_slice(), &[more]].concat();
        prop_assert_eq!(decode(&longer), None);
        let mut bytes = bytes;
        bytes[at] ^= 1_u8 << bit;
        prop_assert_eq!(decode(&bytes), None);
    }

    #[test]
    fn no_bytes_are_a_cache_by_chance(mut bytes in vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(decode(&bytes), None);
        // Nor with a sum that is right.
        bytes.extend(sum_of(&bytes));
        prop_assert_eq!(decode(&bytes), None);
    }
}

#[test]
fn another_version_is_not_read() {
    let mut bytes = encode([[7; ENTRY_LEN]].into_iter());
    let body_len = bytes.len() - SUM_LEN;
    bytes[8] += 1;
    let sum = sum_of(&bytes[..body_len]);
    bytes[body_len..].copy_from_slice(&sum);
    assert_eq!(decode(&bytes), None);
}
