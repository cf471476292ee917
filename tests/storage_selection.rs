//! Some files of some content: which appear, when they are complete, and what is only added.

#[path = "storage/content.rs"]
mod content;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use content::{Content, FILES, names, options, part};
use swarm::storage::StorageError;
use tempfile::tempdir;

#[test]
fn only_selected_files_appear_and_shared_pieces_still_verify() {
    let content = Content::tree(&FILES);
    let selections: [&[usize]; 5] = [&[0], &[1], &[3], &[0, 5], &[2]];
    for chosen in selections {
        let dir = tempdir().unwrap();
        let mut wishes = options(dir.path());
        let flags = (0..FILES.len()).map(|number| chosen.contains(&number));
        wishes.selected = Some(flags.collect());
        let opened = content.fetch(&wishes).unwrap();
        content.complete(&opened);
        content.expect_readable(&opened.store, &opened.wanted);
        for number in 0..FILES.len() {
            let path = content.path(number, dir.path());
            assert_eq!(
                path.exists(),
                chosen.contains(&number),
                "{}",
                path.display()
            );
            if path.exists() {
                assert_eq!(fs::read(path).unwrap(), content.file(number));
            }
        }
        assert!(!part(dir.path(), "tree").exists());
    }
}

#[test]
fn a_selection_fetched_before_is_complete_and_needs_no_right_to_write() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    let mut wishes = options(dir.path());
    wishes.selected = Some((0..FILES.len()).map(|number| number == 3).collect());
    content.complete(&content.fetch(&wishes).unwrap());
    let before = names(dir.path());
    let file = content.path(3, dir.path());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let again = content.fetch(&wishes).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(again.already_complete);
    assert_eq!(again.have, again.wanted);
    let have: Vec<_> = again.have.iter_ones().collect();
    assert_eq!(have, (3..8).collect::<Vec<_>>(), "what its own bytes prove");
    content.expect_readable(&again.store, &again.have);
    again.store.finish().unwrap();
    assert_eq!(names(dir.path()), before);
    // A piece that can be checked still is.
    let mut bytes = content.file(3).to_vec();
    bytes[50_000] ^= 1;
    fs::remove_file(&file).unwrap();
    fs::write(&file, bytes).unwrap();
    let refused = content.fetch(&wishes).unwrap_err();
    assert!(
        matches!(refused, StorageError::Exists { differs: 1, .. }),
        "{refused:?}"
    );
}

#[test]
fn what_is_merely_absent_is_added_and_nothing_that_is_there_is_written() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    let mut wishes = options(dir.path());
    wishes.selected = Some((0..FILES.len()).map(|number| number == 3).collect());
    content.complete(&content.fetch(&wishes).unwrap());
    let file = content.path(3, dir.path());
    let written = || fs::metadata(&file).unwrap().modified().unwrap();
    let before = written();
    let opened = content.fetch(&options(dir.path())).unwrap();
    let have: Vec<_> = opened.have.iter_ones().collect();
    assert_eq!(have, (3..8).collect::<Vec<_>>());
    content.complete(&opened);
    drop(opened);
    content.expect_put(dir.path());
    fs::remove_file(content.path(0, dir.path())).unwrap();
    let opened = content.fetch(&options(dir.path())).unwrap();
    let lacking: Vec<_> = opened.wanted.iter_difference(&opened.have).collect();
    assert_eq!(lacking, [0, 1, 2]);
    content.complete(&opened);
    content.expect_put(dir.path());
    assert_eq!(written(), before);
    assert!(!part(dir.path(), "tree").exists());
}

#[test]
fn an_empty_file_that_is_absent_costs_no_piece() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    content.put(dir.path());
    fs::remove_file(dir.path().join("tree/dir/empty")).unwrap();
    let opened = content.fetch(&options(dir.path())).unwrap();
    assert!(opened.already_complete && opened.have.is_full());
    content.expect_put(dir.path());
    assert!(!part(dir.path(), "tree").exists());
}

#[test]
fn a_selection_fetched_before_is_checked_without_being_overwritten() {
    let (dir, content) = (tempdir().unwrap(), Content::tree(&FILES));
    let mut wishes = options(dir.path());
    wishes.selected = Some((0..FILES.len()).map(|number| number == 3).collect());
    content.complete(&content.fetch(&wishes).unwrap());
    wishes.recheck = true;
    let again = content.fetch(&wishes).unwrap();
    let unknown: Vec<_> = again.wanted.iter_difference(&again.have).collect();
    assert_eq!(
        unknown,
        [2, 8],
        "only pieces shared with unselected files are open"
    );
    content.complete(&again);
    assert_eq!(
        fs::read(content.path(3, dir.path())).unwrap(),
        content.file(3)
    );
    drop(again);
    // The file's first bytes lie in piece 2, which nobody can check without its neighbours.
    let mut bytes = content.file(3).to_vec();
    bytes[0] ^= 1;
    fs::write(content.path(3, dir.path()), &bytes).unwrap();
    let again = content.fetch(&wishes).unwrap();
    let piece = content.piece(2);
    let refused = again
        .store
        .write_piece(piece, content.data(piece))
        .unwrap_err();
    assert!(matches!(refused, StorageError::Exists { .. }));
    assert_eq!(fs::read(content.path(3, dir.path())).unwrap(), bytes);
}
