//! What a run leaves behind when it is cut short: nothing verified is lost, nothing unverified is
//! believed.

#![expect(clippy::cast_possible_truncation, reason = "test content is small")]

#[path = "storage/content.rs"]
mod content;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use content::{Content, FILES, options, part};
use proptest::prelude::*;
use swarm::storage::Opened;
use tempfile::tempdir;

/// Set for the process that is to be killed: where it works.
const VICTIM_DIR: &str = "SWARM_TEST_VICTIM_DIR";

fn write(content: &Content, opened: &Opened, number: u32) {
    let piece = content.piece(number);
    opened
        .store
        .write_piece(piece, content.data(piece))
        .expect("written");
}

fn have(opened: &Opened) -> BTreeSet<u32> {
    opened.have.iter_ones().collect()
}

/// Everything the store claims is right, and it can still be completed.
fn expect_sound(content: &Content, dir: &Path) -> BTreeSet<u32> {
    let opened = content.fetch(&options(dir)).expect("opens");
    content.expect_readable(&opened.store, &opened.have);
    have(&opened)
}

#[test]
fn what_was_written_is_there_after_a_crash_without_any_checkpoint() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    let opened = content.fetch(&options(dir.path())).unwrap();
    write(&content, &opened, 1);
    write(&content, &opened, 4);
    drop(opened);
    assert_eq!(expect_sound(&content, dir.path()), [1, 4].into());
}

#[test]
fn durable_pieces_are_believed_and_announced_ones_are_hashed() {
    let (dir, content) = (tempdir().unwrap(), Content::bare(200_000));
    let opened = content.fetch(&options(dir.path())).unwrap();
    (0..4).for_each(|number| write(&content, &opened, number));
    opened.store.checkpoint().unwrap();
    write(&content, &opened, 6);
    drop(opened);
    // The write of piece 6 was cut short: half of it is something else.
    let data = part(dir.path(), "bare.bin").join("data");
    let file = fs::OpenOptions::new().write(true).open(&data).unwrap();
    file.write_all_at(&[0xee; 100], 6 * 16_384 + 8_000).unwrap();
    assert_eq!(expect_sound(&content, dir.path()), [0, 1, 2, 3].into());
}

#[test]
fn a_file_changed_between_two_runs_is_hashed_again() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    let opened = content.fetch(&options(dir.path())).unwrap();
    content
        .pieces()
        .iter()
        .for_each(|piece| write(&content, &opened, piece.get()));
    opened.store.checkpoint().unwrap();
    drop(opened);
    let data = part(dir.path(), "tree").join("data/dir/sub/c.bin");
    let file = fs::OpenOptions::new().write(true).open(&data).unwrap();
    file.write_all_at(&[content.file(3)[50_000] ^ 1], 50_000)
        .unwrap();
    let all: BTreeSet<u32> = content.pieces().iter().map(|piece| piece.get()).collect();
    let lost = &all - &expect_sound(&content, dir.path());
    assert_eq!(lost.len(), 1, "one byte spoils one piece");
}

#[test]
fn a_file_changed_right_after_a_kill_is_hashed_though_a_write_of_ours_was_under_way() {
    let (dir, content) = (tempdir().unwrap(), Content::bare(200_000));
    let opened = content.fetch(&options(dir.path())).unwrap();
    (0..4).for_each(|number| write(&content, &opened, number));
    opened.store.checkpoint().unwrap();
    write(&content, &opened, 6);
    drop(opened);
    // At once, and in a piece that the journal vouches for.
    let data = part(dir.path(), "bare.bin").join("data");
    let file = fs::OpenOptions::new().write(true).open(&data).unwrap();
    file.write_all_at(&[0xee; 100], 16_384 + 8_000).unwrap();
    assert_eq!(expect_sound(&content, dir.path()), [0, 2, 3, 6].into());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Writes, checkpoints, deaths in any order: all that was written is there at the end.
    #[test]
    fn no_order_of_writes_checkpoints_and_crashes_loses_a_piece(
        steps in prop::collection::vec((0u32..12, 0u8..5), 1..60)
    ) {
        let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
        let count = content.pieces().len() as u32;
        let mut opened = content.fetch(&options(dir.path())).unwrap();
        let mut written = BTreeSet::new();
        for (number, what) in steps {
            match what {
                0 => opened.store.checkpoint().unwrap(),
                1 => {
                    drop(opened);
                    opened = content.fetch(&options(dir.path())).unwrap();
                    prop_assert_eq!(have(&opened), written.clone());
                }
                _ => {
                    write(&content, &opened, number % count);
                    written.insert(number % count);
                }
            }
        }
        drop(opened);
        prop_assert_eq!(expect_sound(&content, dir.path()), written);
    }
}

#[test]
fn a_damaged_journal_costs_hashing_but_no_piece_and_no_trust() {
    let content = Content::bare(100_000);
    let prepare = |dir: &Path| {
        let opened = content.fetch(&options(dir)).unwrap();
        for number in [0, 2, 3] {
            write(&content, &opened, number);
        }
        opened.store.checkpoint().unwrap();
        drop(opened);
        part(dir, "bare.bin").join("journal")
    };
    let len = fs::read(prepare(tempdir().unwrap().path())).unwrap().len();
    let mut lost = 0;
    for at in (0..len).step_by(3) {
        let dir = tempdir().unwrap();
        let journal = prepare(dir.path());
        let mut bytes = fs::read(&journal).unwrap();
        match at % 2 {
            0 => bytes.truncate(at),
            _ => bytes[at] ^= 0x55,
        }
        fs::write(&journal, bytes).unwrap();
        let found = expect_sound(&content, dir.path());
        // Cut between two records, a journal does not know what the rest said.
        let is_whole = found == [0, 2, 3].into();
        assert!(
            is_whole || (at % 2 == 0 && found.len() < 3),
            "at {at}: {found:?}"
        );
        lost += usize::from(!is_whole);
    }
    assert!(
        lost <= 4,
        "at most one place between any two records: {lost}"
    );
    let dir = tempdir().unwrap();
    fs::remove_file(prepare(dir.path())).unwrap();
    assert_eq!(
        expect_sound(&content, dir.path()),
        [0, 2, 3].into(),
        "without any journal"
    );
}

#[test]
fn without_a_journal_what_does_not_belong_is_not_published() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    let opened = content.fetch(&options(dir.path())).unwrap();
    write(&content, &opened, 0);
    drop(opened);
    let part = part(dir.path(), "tree");
    fs::write(part.join("data/stranger"), "x").unwrap();
    fs::create_dir_all(part.join("data/dir/strange/r")).unwrap();
    fs::remove_file(part.join("journal")).unwrap();
    let opened = content.fetch(&options(dir.path())).unwrap();
    assert_eq!(have(&opened), [0].into());
    content.complete(&opened);
    assert!(!dir.path().join("tree/stranger").exists());
    assert!(!dir.path().join("tree/dir/strange").exists());
}

#[test]
fn another_selection_starts_from_what_is_there_and_hides_what_is_not_wanted_now() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    let opened = content.fetch(&options(dir.path())).unwrap();
    content
        .pieces()
        .iter()
        .for_each(|piece| write(&content, &opened, piece.get()));
    drop(opened);
    let mut wishes = options(dir.path());
    wishes.selected = Some((0..FILES.len()).map(|number| number == 3).collect());
    let opened = content.fetch(&wishes).unwrap();
    assert_eq!(
        have(&opened),
        (3..8).collect(),
        "pieces that lie in c.bin alone"
    );
    content.complete(&opened);
    assert_eq!(
        fs::read(content.path(3, dir.path())).unwrap(),
        content.file(3)
    );
    assert!(!content.path(0, dir.path()).exists());
}

#[test]
fn a_narrower_selection_for_a_while_costs_the_wider_one_nothing() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    let opened = content.fetch(&options(dir.path())).unwrap();
    (0..9).for_each(|number| write(&content, &opened, number));
    opened.store.checkpoint().unwrap();
    drop(opened);
    let mut wishes = options(dir.path());
    wishes.selected = Some((0..FILES.len()).map(|number| number == 0).collect());
    assert_eq!(have(&content.fetch(&wishes).unwrap()), [0, 1].into());
    assert_eq!(expect_sound(&content, dir.path()), (0..9).collect());
    // Only what is selected is ever published, also after another restart.
    drop(content.fetch(&wishes).unwrap());
    content.complete(&content.fetch(&wishes).unwrap());
    assert_eq!(content::names(dir.path()), ["tree", "tree/a.bin"]);
}

#[test]
fn a_crash_between_renaming_and_cleaning_up_leaves_a_complete_output() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    let opened = content.fetch(&options(dir.path())).unwrap();
    content
        .pieces()
        .iter()
        .for_each(|piece| write(&content, &opened, piece.get()));
    opened.store.checkpoint().unwrap();
    drop(opened);
    let part = part(dir.path(), "tree");
    // The empty file is made at the end only.
    fs::write(part.join("data/dir/empty"), "").unwrap();
    fs::rename(part.join("data"), dir.path().join("tree")).unwrap();
    let opened = content.fetch(&options(dir.path())).unwrap();
    assert!(opened.already_complete);
    assert!(!part.exists());
}

#[test]
fn recheck_believes_nobody() {
    let (dir, content) = (tempdir().unwrap(), Content::bare(100_000));
    let opened = content.fetch(&options(dir.path())).unwrap();
    (0..3).for_each(|number| write(&content, &opened, number));
    opened.store.checkpoint().unwrap();
    drop(opened);
    let mut wishes = options(dir.path());
    wishes.recheck = true;
    let opened = content.fetch(&wishes).unwrap();
    assert_eq!(have(&opened), (0..3).collect());
}

const VICTIM_FILES: [(&str, usize); 4] =
    [("a", 300_000), ("b/c", 10_000), ("b/d", 500_000), ("e", 3)];

/// The test that starts itself anew, to kill what it started.
const KILLED: &str = "a_process_killed_again_and_again_never_writes_a_piece_twice";

/// Runs the victim until it has said `lines` lines, then kills it. Says which pieces it had or
/// wrote, or `None` if it finished.
#[expect(clippy::unwrap_used, reason = "a failure here is one of the test")]
fn kill_after(lines: usize, dir: &Path) -> Option<BTreeSet<u32>> {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", KILLED, "--nocapture"])
        .env(VICTIM_DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let mut known = BTreeSet::new();
    let mut count = 0;
    let mut finished = false;
    for line in said {
        if let Some(number) = line.strip_prefix("have ").or(line.strip_prefix("wrote ")) {
            known.insert(number.parse().unwrap());
            count += usize::from(line.starts_with("wrote "));
        }
        finished |= line == "finished";
        if count == lines {
            victim.kill().unwrap();
            break;
        }
    }
    victim.wait().unwrap();
    (!finished).then_some(known)
}

/// What the process does that is to be killed: it says which pieces it has, then writes the rest.
#[expect(clippy::unwrap_used, reason = "a failure here is one of the test")]
fn be_killed(dir: &Path, content: &Content) {
    let opened = content.fetch(&options(dir)).unwrap();
    let mut out = std::io::stdout().lock();
    for number in opened.have.iter_ones() {
        writeln!(out, "\nhave {number}").unwrap();
    }
    for number in opened.wanted.iter_difference(&opened.have) {
        write(content, &opened, number);
        writeln!(out, "\nwrote {number}").unwrap();
        if number % 7 == 3 {
            opened.store.checkpoint().unwrap();
        }
    }
    opened.store.finish().unwrap();
    writeln!(out, "\nfinished").unwrap();
}

#[test]
fn a_process_killed_again_and_again_never_writes_a_piece_twice() {
    let content = Content::tree(&VICTIM_FILES);
    if let Some(dir) = std::env::var_os(VICTIM_DIR) {
        return be_killed(Path::new(&dir), &content);
    }
    let dir = tempdir().unwrap();
    let mut before = BTreeSet::new();
    for round in 0.. {
        let Some(known) = kill_after(1 + round % 4, dir.path()) else {
            break;
        };
        assert!(
            before.is_subset(&known),
            "round {round} lost {:?}",
            &before - &known
        );
        before = known;
        assert!(round < 100, "every round writes something");
    }
    assert!(!before.is_empty(), "it was killed at least once");
    content.expect_put(dir.path());
}
