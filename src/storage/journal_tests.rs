//! A journal that was cut or damaged anywhere is read without panic and without undue trust.

use std::fs;

use super::*;

const PIECES: u32 = 100;

fn subject() -> Subject {
    Subject {
        content: [1; 20],
        selection: [2; 20],
        layout: Layout::new(u64::from(PIECES), 1).expect("valid"),
    }
}

fn piece(number: u32) -> PieceIndex {
    subject().layout.piece(number).expect("exists")
}

fn stamp(len: u64) -> Stamp {
    Stamp {
        len,
        mtime: 3,
        ctime: 4,
        inode: 5,
    }
}

fn bits(numbers: &[u32]) -> Bitfield {
    let mut bits = Bitfield::empty(PIECES);
    for &number in numbers {
        bits.insert(piece(number));
    }
    bits
}

/// A journal that says a bit of everything: 1, 2 and 7 are durable, 9 was to be written.
fn written(dir: &Path) -> Vec<u8> {
    let dir_handle = Dir::open(dir).expect("opens");
    let snapshot = Snapshot {
        durable: &bits(&[1, 2]),
        intents: &bits(&[7]),
        stamps: &[(0, stamp(10)), (3, stamp(30))],
    };
    let mut journal = Journal::create(&dir_handle, &subject(), &snapshot).expect("created");
    journal.intend(piece(9)).expect("noted");
    journal
        .vouch(&[piece(7)], &[(0, stamp(11))])
        .expect("noted");
    fs::read(dir.join(NAME)).expect("readable")
}

fn known(past: Past) -> Option<Record> {
    match past {
        Past::Known(record) => Some(record),
        Past::Unknown | Past::OtherContent => None,
    }
}

#[test]
fn a_journal_says_what_was_written() {
    let dir = tempfile::tempdir().expect("made");
    written(dir.path());
    let past = Journal::read(&Dir::open(dir.path()).expect("opens"), &subject());
    let record = known(past.expect("readable")).expect("believable");
    assert_eq!(record.durable, bits(&[1, 2, 7]));
    assert_eq!(record.intents, bits(&[9]));
    assert_eq!(
        record.stamps,
        BTreeMap::from([(0, stamp(11)), (3, stamp(30))])
    );
}

#[test]
fn a_journal_cut_anywhere_vouches_for_no_more_than_the_whole() {
    let dir = tempfile::tempdir().expect("made");
    let bytes = written(dir.path());
    let whole = bits(&[1, 2, 7]);
    for len in 0..bytes.len() {
        let cut = known(parse(&bytes[..len], &subject()));
        let vouched = cut.map_or(Bitfield::empty(PIECES), |record| record.durable);
        assert_eq!(vouched.count_difference(&whole), 0, "cut to {len}");
    }
    let mut zeroed = bytes.clone();
    zeroed.resize(bytes.len() + 5_000, 0);
    let record = known(parse(&zeroed, &subject())).expect("a power cut leaves zeros behind");
    assert_eq!(record.durable, whole);
}

#[test]
fn a_journal_damaged_anywhere_vouches_for_no_more_than_the_whole() {
    let dir = tempfile::tempdir().expect("made");
    let bytes = written(dir.path());
    let whole = bits(&[1, 2, 7]);
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            let read = known(parse(&damaged, &subject()));
            let vouched = read.map_or(Bitfield::empty(PIECES), |record| record.durable);
            assert_eq!(vouched.count_difference(&whole), 0, "byte {at} ^ {flip}");
        }
    }
}

#[test]
fn a_record_counts_only_where_it_was_written() {
    let dir = tempfile::tempdir().expect("made");
    let bytes = written(dir.path());
    let mut twice = bytes.clone();
    twice.extend_from_slice(&bytes[HEADER_LEN..]);
    assert!(known(parse(&twice, &subject())).is_none());
}

#[test]
fn a_journal_of_other_content_is_told_from_a_broken_one() {
    let dir = tempfile::tempdir().expect("made");
    let bytes = written(dir.path());
    let mut other = subject();
    other.content = [9; 20];
    assert!(matches!(parse(&bytes, &other), Past::OtherContent));
    let mut selection = subject();
    selection.selection = [9; 20];
    assert!(matches!(parse(&bytes, &selection), Past::Unknown));
    let mut version = bytes;
    version[8] += 1;
    assert!(matches!(parse(&version, &subject()), Past::Unknown));
}

#[test]
fn a_journal_larger_than_the_limit_is_not_read() {
    let dir = tempfile::tempdir().expect("made");
    written(dir.path());
    let file = fs::OpenOptions::new()
        .write(true)
        .open(dir.path().join(NAME))
        .expect("opens");
    file.set_len(JOURNAL_MAX + 1).expect("sparse");
    let past = Journal::read(&Dir::open(dir.path()).expect("opens"), &subject());
    assert!(known(past.expect("readable")).is_none());
}

#[test]
fn a_half_record_is_taken_back() {
    let dir = tempfile::tempdir().expect("made");
    written(dir.path());
    let path = dir.path().join(NAME);
    let mut journal = Journal {
        file: Arc::new(File::open(&path).expect("opens")),
        end: 0,
        base: 0,
    };
    journal
        .intend(piece(5))
        .expect_err("opened for reading only");
    assert_eq!(journal.end, 0, "as if nothing had been tried");
}
