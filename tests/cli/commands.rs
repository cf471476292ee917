//! create, show, verify and magnet: what they print and what they leave behind.

use std::fs;

use insta::assert_snapshot;
use swarm::cli::Exit;

use crate::world::{World, noise};

fn shared() -> World {
    let world = World::new()
        .with("model/weights.bin", noise(300_000))
        .with("model/readme.txt", "hello")
        .with("model/.hidden", "")
        .with("model/.DS_Store", "junk");
    let ran = world.run(&[
        "create",
        "model",
        "-c",
        "a remark",
        "-t",
        "http://t.example/announce",
    ]);
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    world
}

#[test]
fn create_tells_what_it_wrote_and_what_it_left_out() {
    let world = World::new()
        .with("model/w.bin", noise(300_000))
        .with("model/.DS_Store", "junk");
    let ran = world.run(&["create", "model"]);
    assert_snapshot!(ran.out, @r"
     Wrote  model.torrent  293 KiB · 1 file · 5 pieces × 64 KiB · 9957c9…85
    ");
    assert_snapshot!(ran.err, @" Left out 1 junk file: model/.DS_Store");
    assert_eq!(world.run(&["create", "-q", "model"]).out, "model.torrent\n");
    assert_eq!(world.run(&["create", "-qq", "model"]).out, "");
    assert_eq!(world.run(&["-qq", "create", "model"]).err, "");
}

#[test]
fn create_twice_gives_the_same_bytes_and_force_overwrites() {
    let world = shared();
    let first = world.read("model.torrent");
    let again = world.run(&["create", "model", "-o", "again.torrent", "-c", "a remark"]);
    assert_eq!(again.exit, Exit::Done);
    let ran = world.run(&["create", "model", "-c", "another", "--force"]);
    assert!(
        ran.out.starts_with(" Replaced  model.torrent"),
        "{}",
        ran.out
    );
    assert_ne!(world.read("model.torrent"), first);
    world.run(&[
        "create",
        "model",
        "-f",
        "-c",
        "a remark",
        "-t",
        "http://t.example/announce",
    ]);
    assert_eq!(world.read("model.torrent"), first);
}

#[test]
fn create_to_stdout_writes_nothing_else_there() {
    let world = World::new().with("a.bin", noise(100));
    let ran = world.run(&["create", "a.bin", "-o", "-"]);
    assert!(ran.out.starts_with("d8:encoding5:UTF-8") || ran.out.starts_with("d10:created by"));
    assert!(ran.out.ends_with("ee"));
    assert!(!world.path("a.bin.torrent").exists());
}

#[test]
fn a_dry_run_writes_nothing() {
    let world = World::new()
        .with("model/w.bin", noise(300_000))
        .with("model/x/y", "y");
    let before = world.tree();
    let ran = world.run(&["create", "model", "--dry-run"]);
    assert!(world.tree() == before);
    assert_snapshot!(ran.out, @r"
    293 KiB  model/w.bin
        1 B  model/x/y
    ");
    assert_snapshot!(ran.err, @r"
     Would write model.torrent: 293 KiB · 2 files · 5 pieces × 64 KiB
    ");
}

#[test]
fn the_last_matching_pattern_decides() {
    let world = World::new()
        .with("m/a.log", "a")
        .with("m/b.log", "b")
        .with("m/c.txt", "c");
    let files = |words: &[&str]| {
        let words = [&["create", "m", "--dry-run"], words].concat();
        world
            .run(&words)
            .out
            .lines()
            .map(|line| line[11..].to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        files(&["--exclude", "*.log", "--include", "b.log"]),
        ["m/b.log", "m/c.txt"]
    );
    assert_eq!(
        files(&["--include", "b.log", "--exclude", "*.log"]),
        ["m/c.txt"]
    );
}

#[test]
fn show_says_everything() {
    let world = shared();
    assert_snapshot!(world.run(&["show", "model.torrent", "--files"]).out, @r"
    name        model
    size        293 KiB (300,005 bytes)
    files       3
    pieces      5 × 64 KiB
    info-hash   36ec264ef0a401abdfa5d5bdc4ad71b31b291658
    comment     a remark
    made        by swarm/0.1
    tracker     http://t.example/announce  tier 1

        1        0 B  model/.hidden
        2        5 B  model/readme.txt
        3    293 KiB  model/weights.bin
    ");
    assert_eq!(world.run(&["info", "model.torrent"]).exit, Exit::Done);
    let json = world
        .run(&["show", "model.torrent", "--files", "--json"])
        .out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["event"], "manifest");
    assert_eq!(json["size"], 300_005);
    assert_eq!(json["files"][2]["path"], "model/weights.bin");
}

#[test]
fn verify_finds_the_bad_files_and_pieces() {
    let world = shared();
    let ran = world.run(&["verify", "model.torrent"]);
    assert_snapshot!(ran.out, @r"
     OK  model  293 KiB · 3 files · 5 pieces × 64 KiB · 36ec26…58
    ");
    let mut data = world.read("model/weights.bin");
    data[200_000] ^= 1;
    world.write("model/weights.bin", &data);
    fs::remove_file(world.path("model/.hidden")).unwrap();
    world.write("model/readme.txt", "hello, longer");
    let ran = world.run(&["verify", "model.torrent"]);
    assert_snapshot!(ran.out, @r"
    bad  model/.hidden: missing
    bad  model/readme.txt: 13 bytes long, want 5
    bad  model/weights.bin: wrong content, piece 3
    ");
    assert_snapshot!(ran.err, @r"
    error: 3 of 3 files and 1 of 5 pieces do not match model.torrent
    help: swarm fetch model.torrent --repair fetches only what is bad
    ");
    assert_eq!(ran.exit, Exit::Mismatch);
    let ran = world.run(&["check", "model.torrent", "model", "--delete-bad"]);
    assert_eq!(ran.exit, Exit::Mismatch);
    assert!(!world.path("model/weights.bin").exists());
}

#[test]
fn a_file_that_may_be_good_is_not_deleted() {
    let world = World::new()
        .with("m/a.bin", noise(70_000))
        .with("m/b.txt", "right");
    assert_eq!(world.run(&["create", "m"]).exit, Exit::Done);
    let mut data = world.read("m/a.bin");
    data[69_999] ^= 1;
    world.write("m/a.bin", &data);
    let ran = world.run(&["verify", "m.torrent", "--delete-bad"]);
    assert!(ran.out.contains("kept  m/b.txt"), "{}", ran.out);
    assert_eq!(world.read("m/b.txt"), b"right");
}

#[test]
fn magnet_links_carry_what_is_asked_for() {
    let world = shared();
    assert_snapshot!(world.run(&["magnet", "model.torrent"]).out, @r"
    magnet:?xt=urn:btih:36ec264ef0a401abdfa5d5bdc4ad71b31b291658&dn=model&tr=http%3A%2F%2Ft.example%2Fannounce
    ");
    assert_snapshot!(world.run(&["magnet", "model.torrent", "--peer", "10.0.0.5:6881"]).out, @r"
    magnet:?xt=urn:btih:36ec264ef0a401abdfa5d5bdc4ad71b31b291658&dn=model&tr=http%3A%2F%2Ft.example%2Fannounce&x.pe=10.0.0.5:6881
    ");
    assert_snapshot!(world.run(&["magnet", "model.torrent", "--short"]).out, @"magnet:?xt=urn:btih:36ec264ef0a401abdfa5d5bdc4ad71b31b291658");
}

#[test]
fn foreign_text_is_escaped_everywhere() {
    let world = World::new().with("m/a", "a");
    let ran = world.run(&["create", "m", "-c", "\x1b]0;title\x07 \u{202e}"]);
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    let shown = world.run(&["show", "m.torrent"]).out;
    assert!(shown.contains("\\x1b]0;title\\x07 \\u{202e}"), "{shown}");
    let json = world.run(&["show", "m.torrent", "--json"]).out;
    assert!(json.is_ascii(), "{json}");
}
