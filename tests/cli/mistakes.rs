//! Every common mistake: its message, its exit code, and that nothing is written or lost.

use std::net::TcpListener;

use insta::assert_snapshot;
use swarm::cli::Exit;

use crate::world::{World, dict, int, manifest_of, noise, text};

/// A world with `model/w.bin` and its manifest.
fn shared() -> World {
    let world = World::new().with("model/w.bin", noise(300_000));
    assert_eq!(world.run(&["create", "model"]).exit.code(), 0);
    world
}

#[test]
fn a_manifest_that_is_not_there() {
    let world = World::new().with("node.torrent", "d").with("notes.txt", "");
    assert_snapshot!(world.refused(&["fetch", "nope.torrent"]), @r"
    exit 3
    error: cannot read nope.torrent: no such file
    help: in this directory: node.torrent
    ");
    assert_snapshot!(World::new().refused(&["show", "nope.torrent"]), @r"
    exit 3
    error: cannot read nope.torrent: no such file
    ");
    assert_snapshot!(world.refused(&["show", "sub/nope.torrent"]), @r"
    exit 3
    error: cannot read sub/nope.torrent: no such file
    ");
}

#[test]
fn a_file_that_is_no_manifest() {
    let world = World::new()
        .with("notes.txt", "Hello")
        .with("empty.torrent", "");
    assert_snapshot!(world.refused(&["fetch", "notes.txt"]), @r"
    exit 4
    error: notes.txt is not a torrent: byte 0 is 'H', a manifest starts with 'd'
    help: to share this file: swarm seed notes.txt
    ");
    assert_snapshot!(world.refused(&["fetch", "empty.torrent"]), @r"
    exit 4
    error: empty.torrent is empty
    ");
    assert_snapshot!(world.refused(&["fetch", "."]), @r"
    exit 3
    error: . is a directory, not a manifest
    help: to share it: swarm seed .
    ");
}

#[test]
fn a_truncated_manifest() {
    let world = shared();
    let whole = world.read("model.torrent");
    world.write("model.torrent", &whole[..whole.len() - 60]);
    assert_snapshot!(world.refused(&["fetch", "model.torrent"]), @r"
    exit 4
    error: model.torrent ends early: string of 100 bytes at offset 134, only 42 left (download cut off?)
    ");
    world.write("model.torrent", &whole[..100]);
    assert_snapshot!(world.refused(&["fetch", "model.torrent"]), @r"
    exit 4
    error: model.torrent ends early: string of 5 bytes at offset 97, only 1 left (download cut off?)
    ");
}

#[test]
fn a_bad_magnet_link() {
    let world = World::new();
    assert_snapshot!(world.refused(&["fetch", "magnet:?xt=urn:btih:zzz"]), @r#"
    exit 4
    error: magnet: info-hash "zzz" has 3 characters, want 40 hex or 32 base32
    "#);
    assert_snapshot!(world.refused(&["fetch", "magnet:?dn=model"]), @r"
    exit 4
    error: magnet: no info-hash, want xt=urn:btih:HASH
    ");
}

#[test]
fn a_magnet_link_of_which_the_shell_ate_the_trackers() {
    let link = "magnet:?xt=urn:btih:9f2c4d6e8a0b1c3d5e7f90a1b2c3d4e5f6a7b8c9";
    let alone = ["fetch", link, "--no-lpd", "--scope", "lan"];
    assert_snapshot!(World::new().refused(&alone), @r"
    exit 6
    error: no way to find peers: this magnet has no tracker and no peer, and local discovery and the DHT are off
    help: quote the link, or add --peer HOST:PORT
    ");
    let contradiction = ["fetch", link, "--scope", "lan", "--dht"];
    assert_snapshot!(World::new().refused(&contradiction), @r"
    exit 2
    error: --scope lan stays on this network, and the DHT does not
    help: leave one of them out
    ");
}

#[test]
fn what_names_content_where_a_manifest_is_needed() {
    let world = World::new();
    let hash = "9f2c4d6e8a0b1c3d5e7f90a1b2c3d4e5f6a7b8c9";
    let link = format!("magnet:?xt=urn:btih:{hash}&x.pe=10.0.0.5:6881");
    assert_snapshot!(world.refused(&["seed", &link]), @r"
    exit 4
    error: a magnet link names content, to seed it takes the manifest and the data
    help: swarm fetch LINK --seed gets it and then serves it
    ");
    assert_snapshot!(world.refused(&["fetch", &hash[1..]]), @r"
    exit 3
    error: cannot read f2c4d6e8a0b1c3d5e7f90a1b2c3d4e5f6a7b8c9: no such file
    help: an info-hash has 40 hexadecimal digits, this has 39
    ");
    assert_snapshot!(world.refused(&["fetch", "https://user:secret@h/model.torrent"]), @r"
    exit 2
    error: https://user:secret@h/model.torrent is not a URL that can be fetched
    help: http://HOST:PORT/ as swarm seed prints it, or any URL of a .torrent
    ");
}

#[test]
fn a_manifest_of_the_second_version_only() {
    let leaf = dict(&[(
        "",
        dict(&[("length", int(1)), ("pieces root", text(&"r".repeat(32)))]),
    )]);
    let info = dict(&[
        ("file tree", dict(&[("w.bin", leaf)])),
        ("meta version", int(2)),
        ("name", text("model")),
        ("piece length", int(16_384)),
    ]);
    let world = World::new().with("model.torrent", dict(&[("info", info)]));
    assert_snapshot!(world.refused(&["fetch", "model.torrent"]), @r"
    exit 4
    error: model.torrent is BitTorrent v2 only; swarm reads v1 and hybrid manifests so far
    ");
}

#[test]
fn a_path_that_tries_to_escape() {
    let escaping: &[&str] = &["..", "..", "etc", "cron.d", "x"];
    let files: [(&[&str], u64); 3] = [(&["a"], 5), (&["b"], 5), (escaping, 5)];
    let world = World::new().with("model.torrent", manifest_of(&files));
    assert_snapshot!(world.refused(&["fetch", "model.torrent"]), @r#"
    exit 4
    error: model.torrent: file 3 has path "../../etc/cron.d/x": refused
    "#);
}

#[test]
fn two_names_that_may_be_one_file() {
    let world = World::new().with(
        "m.torrent",
        manifest_of(&[(&["A.txt"], 5), (&["a.txt"], 5)]),
    );
    assert_snapshot!(world.refused(&["fetch", "m.torrent"]), @r#"
    exit 8
    error: "model/A.txt" and "model/a.txt" would be the same file on a filesystem that ignores case
    help: whoever made the manifest has to rename one of them
    "#);
}

#[test]
fn an_output_that_exists_and_differs() {
    let world = shared();
    world.write("out/model/w.bin", noise(100_000));
    assert_snapshot!(world.refused(&["fetch", "model.torrent", "-d", "out"]), @r"
    exit 8
    error: out/model exists and 4 of 5 pieces differ
    help: --repair to overwrite in place, or -d another directory
    ");
}

#[test]
fn a_disk_that_is_too_small() {
    let piece_len = 1 << 29;
    let info = dict(&[
        ("length", int(1 << 44)),
        ("name", text("huge")),
        ("piece length", int(piece_len)),
        ("pieces", text(&"\0".repeat(20 << 15))),
    ]);
    let world = World::new().with("huge.torrent", dict(&[("info", info)]));
    let said = world.refused(&["fetch", "huge.torrent"]);
    assert!(said.starts_with("exit 9\nerror: . has "), "{said}");
    assert!(said.contains(" free, 16 TiB needed ("), "{said}");
    assert!(said.trim_end().ends_with(" short)"), "{said}");
}

#[test]
fn a_port_that_is_taken() {
    let world = shared();
    let taken = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let said = world.refused(&["seed", "model.torrent", "-p", &port.to_string()]);
    let said = said.replace(&(port + 1).to_string(), "[NEXT]");
    assert_snapshot!(said.replace(&port.to_string(), "[PORT]"), @r"
    exit 6
    error: port [PORT] is in use by another process
    help: -p [NEXT], or omit -p to take any free port
    ");
}

#[test]
fn nothing_to_share() {
    let world = World::new().with("none/a", "").with("none/b", "");
    std::fs::create_dir(world.path("empty")).unwrap();
    assert_snapshot!(world.refused(&["create", "empty/"]), @r"
    exit 3
    error: empty/ contains no files
    ");
    assert_snapshot!(world.refused(&["create", "none"]), @r"
    exit 3
    error: total size is 0 bytes; a torrent needs data
    ");
    assert_snapshot!(world.refused(&["create", "nowhere"]), @r"
    exit 3
    error: cannot read nowhere: no such file or directory
    ");
}

#[test]
fn a_manifest_that_has_no_place() {
    let world = World::new().with("model/w.bin", "w");
    assert_snapshot!(world.refused(&["create", "model", "-o", "no/where.torrent"]), @r"
    exit 3
    error: there is no directory for no/where.torrent
    help: -o with a path that exists
    ");
    assert_snapshot!(world.refused(&["create", "model", "-o", "model/m.torrent"]), @r"
    exit 2
    error: model/m.torrent would lie in model, which it describes
    help: run swarm in another directory
    ");
    assert_snapshot!(world.refused(&["seed", "."]).replace(&world.name(), "[NAME]"), @r"
    exit 2
    error: [NAME].torrent would lie in ., which it describes
    help: run swarm in another directory
    ");
}

#[test]
fn a_piece_size_that_cannot_be() {
    let world = World::new().with("a", "a");
    assert_snapshot!(world.refused(&["create", "-s", "17K", "a"]), @r"
    exit 2
    error: piece size 17 KiB is not a power of two
    help: 16K or 32K
    ");
    assert_snapshot!(world.refused(&["create", "-s", "100", "a"]), @r"
    exit 2
    error: piece size 100 B is not a power of two
    help: 16K or 32K
    ");
    assert_snapshot!(world.refused(&["create", "-s", "1G", "a"]), @r"
    exit 2
    error: piece size 1 GiB is not between 16 KiB and 128 MiB
    help: leave -s out for a size that fits the content
    ");
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere() {
    let world = World::new().with("model/w.bin", "w");
    std::os::unix::fs::symlink("../gone", world.path("model/latest")).unwrap();
    assert_snapshot!(world.refused(&["create", "model"]), @r"
    exit 3
    error: model/latest → ../gone: target missing
    help: --symlinks skip
    ");
}

#[test]
fn a_manifest_that_would_be_overwritten() {
    let world = shared();
    assert_snapshot!(world.refused(&["create", "model", "-c", "another"]), @r"
    exit 8
    error: model.torrent exists and differs
    help: create -f to overwrite it, or create -o another name
    ");
    world.write("model/w.bin", noise(5));
    assert_snapshot!(world.refused(&["seed", "model"]), @r"
    exit 8
    error: model.torrent exists and differs
    help: swarm seed model.torrent to share what it describes, or move it away
    ");
}

#[test]
fn a_manifest_that_would_replace_what_it_describes() {
    let world = World::new().with("data.bin", vec![7; 40_000]);
    let ran = world.run(&["create", "data.bin", "-o", "data.bin", "-f"]);
    assert_eq!(ran.exit, Exit::Usage, "{ran:?}");
    assert_eq!(
        std::fs::read(world.path("data.bin")).unwrap(),
        vec![7; 40_000]
    );
}

#[test]
fn data_that_does_not_match() {
    let world = shared();
    let mut data = world.read("model/w.bin");
    data[100_000] ^= 1;
    world.write("model/w.bin", &data);
    assert_snapshot!(world.refused(&["seed", "model.torrent"]), @r"
    exit 5
    error: 1 of 5 pieces of model do not match model.torrent
    help: swarm verify model.torrent names the files, swarm fetch model.torrent --repair mends them
    ");
    world.write("other.torrent", manifest_of(&[(&["a"], 5)]));
    std::fs::rename(world.path("model"), world.path("elsewhere")).unwrap();
    assert_snapshot!(world.refused(&["verify", "other.torrent"]), @r"
    exit 3
    error: cannot find the data of other.torrent: no model
    help: --data with the directory that it is in
    ");
}

#[test]
fn files_that_are_not_there_to_select() {
    let world = shared();
    assert_snapshot!(world.refused(&["fetch", "model.torrent", "--select", "*.iso"]), @r#"
    exit 2
    error: no file matches "*.iso"
    help: --list shows the files and their numbers
    "#);
    assert_snapshot!(world.refused(&["fetch", "model.torrent", "--select-file", "2"]), @r"
    exit 2
    error: there is no file 2
    help: --list shows the files and their numbers
    ");
    assert_snapshot!(world.refused(&["fetch", "model.torrent", "--select-file", "0"]), @r"
    exit 2
    error: --select-file: want file numbers, such as 1,3-5
    ");
}

#[test]
fn a_directory_that_is_not_there() {
    assert_snapshot!(shared().refused(&["fetch", "model.torrent", "-d", "no/where"]), @r"
    exit 3
    error: no/where is no directory
    help: mkdir -p no/where
    ");
}

#[test]
fn values_that_are_none() {
    let world = World::new();
    let words: [&[&str]; 7] = [
        &["fetch", "a", "--upload-limit", "10Mb"],
        &["fetch", "a", "--upload-limit", "fast"],
        &["fetch", "a", "--linger", "30"],
        &["fetch", "a", "-p", "9-8"],
        &["fetch", "a", "--peer", "10.0.0.5"],
        &["fetch", "a", "-o", "../b"],
        &["seed", "a", "--until", "tomorrow"],
    ];
    let first_line = |words| world.refused(words).lines().nth(1).unwrap().to_owned();
    let said: Vec<String> = words.into_iter().map(first_line).collect();
    assert_snapshot!(said.join("\n"), @r#"
    error: invalid value '10Mb' for '--upload-limit <RATE>': "Mb" could be bits or bytes: write Mbit or MB
    error: invalid value 'fast' for '--upload-limit <RATE>': want a number and a unit, such as 64K, 10MB or 80Mbit
    error: invalid value '30' for '--linger <TIME>': want a duration, such as 30s, 10m or 2h
    error: invalid value '9-8' for '--port <N[-M]>': want a port or a range of ports, such as 6881 or 6881-6889
    error: invalid value '10.0.0.5' for '--peer <HOST:PORT>': want HOST:PORT, such as 10.0.0.5:6881 or [fd00::5]:6881
    error: invalid value '../b' for '--output <NAME>': want a plain name; -d takes a directory
    error: invalid value 'tomorrow' for '--until <SPEC>': want forever, copies=40, idle=10m, ratio=2 or time=2h
    "#);
}

#[test]
fn names_that_would_steer_the_terminal() {
    let world = World::new().with("a\x1b[2Jb.txt", "Hello");
    assert_snapshot!(world.refused(&["fetch", "a\x1b[2Jb.txt"]), @r"
    exit 4
    error: a\x1b[2Jb.txt is not a torrent: byte 0 is 'H', a manifest starts with 'd'
    help: to share this file: swarm seed a\x1b[2Jb.txt
    ");
}
