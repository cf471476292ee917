//! Holds the walls of the architecture and those rules of style that a machine can check.
//!
//! Every rule is a function from the project's own source files to a list of complaints, and every
//! rule is shown below to catch what it forbids.

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use source::{Kind, Source};

fn hold(rule: fn(&Source) -> Vec<String>) {
    let complaints: Vec<String> = source::project().iter().flat_map(rule).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn caught(rule: fn(&Source) -> Vec<String>, path: &str, text: &str) -> bool {
    !rule(&Source::new(path, text.to_owned())).is_empty()
}

#[test]
fn modules_import_only_what_their_layer_may() {
    hold(rules::imports);
}

#[test]
fn pure_modules_have_no_clock_no_chance_and_no_io() {
    hold(rules::purity);
}

#[test]
fn unsafe_code_lives_in_the_hash_module_only() {
    hold(rules::unsafety);
}

#[test]
fn files_are_at_most_500_lines() {
    hold(rules::file_length);
}

#[test]
fn functions_are_at_most_70_lines() {
    hold(rules::function_length);
}

#[test]
fn names_are_words_of_the_specification() {
    hold(rules::names);
}

#[test]
fn nothing_is_left_for_later() {
    hold(rules::leftovers);
}

#[test]
fn every_module_says_what_it_is() {
    hold(rules::module_doc);
}

#[test]
fn every_bench_opens_with_its_question() {
    hold(rules::bench_question);
}

#[test]
fn tests_and_product_are_the_same_code() {
    hold(rules::no_test_branches);
}

#[test]
fn the_project_is_found() {
    let files = source::project();
    for kind in [Kind::Product, Kind::Test, Kind::Script] {
        assert!(
            files.iter().any(|file| file.kind == kind),
            "no file of kind {kind:?}"
        );
    }
}

#[test]
fn a_wrong_import_is_caught_in_every_spelling() {
    let path = "src/torrent/picker.rs";
    assert!(caught(rules::imports, path, "use crate::runtime::Session;"));
    assert!(caught(
        rules::imports,
        path,
        "use crate::{layout::Block, storage::Store};"
    ));
    assert!(caught(
        rules::imports,
        path,
        "use super::super::metainfo::Metainfo;"
    ));
    assert!(caught(
        rules::imports,
        path,
        "fn f() -> crate::cli::Args { todo() }"
    ));
    assert!(caught(
        rules::imports,
        "src/main.rs",
        "fn main() { swarm::runtime::start() }"
    ));
    assert!(!caught(
        rules::imports,
        path,
        "use crate::{layout::{Block, PieceIndex}, wire};"
    ));
    assert!(!caught(
        rules::imports,
        path,
        "// crate::runtime says so\nuse super::peer::Peer;"
    ));
    assert!(!caught(
        rules::imports,
        path,
        "#[cfg(test)]\nmod tests { use crate::metainfo::Metainfo; }"
    ));
}

#[test]
fn impure_code_is_caught() {
    let path = "src/wire/codec.rs";
    for text in [
        "use tokio::net::TcpStream;",
        "fn f() { std::fs::read(p); }",
        "use std::{fs, fmt};",
        "use std::net::{SocketAddr, UdpSocket};",
        "fn f() { let t = Instant::now(); }",
        "struct S(HashMap<u8, u8>);",
        "fn f() { println!(\"x\"); }",
        "fn f() { rand::random() }",
    ] {
        assert!(caught(rules::purity, path, text), "not caught: {text}");
        assert!(
            !caught(rules::purity, "src/cli/mod.rs", text),
            "caught at the edge: {text}"
        );
    }
    assert!(!caught(
        rules::purity,
        path,
        "use std::net::SocketAddr; // not Instant, not tokio"
    ));
    assert!(!caught(rules::purity, path, "const S: &str = \"HashMap\";"));
}

#[test]
fn the_other_rules_catch_what_they_forbid() {
    assert!(caught(
        rules::unsafety,
        "src/wire/mod.rs",
        "fn f() { unsafe { g() } }"
    ));
    assert!(!caught(
        rules::unsafety,
        "src/hash/lanes.rs",
        "fn f() { unsafe { g() } }"
    ));
    assert!(caught(rules::file_length, "src/a.rs", &"//\n".repeat(501)));
    assert!(!caught(rules::file_length, "src/a.rs", &"//\n".repeat(500)));
    let body = |lines| format!("fn long() {{\n{}}}\n", "    f();\n".repeat(lines));
    assert!(caught(rules::function_length, "src/a.rs", &body(69)));
    assert!(!caught(rules::function_length, "src/a.rs", &body(68)));
    assert!(caught(rules::names, "src/a.rs", "fn get_peer() {}"));
    assert!(caught(rules::names, "src/a.rs", "struct PeerManager;"));
    assert!(caught(rules::names, "src/utils.rs", ""));
    assert!(!caught(rules::names, "src/a.rs", "fn target_peer() {}"));
    let later = ["TO", "DO: more"].concat();
    assert!(caught(rules::leftovers, "src/a.rs", &format!("// {later}")));
    assert!(caught(rules::module_doc, "src/a.rs", "use std::fmt;"));
    assert!(caught(
        rules::module_doc,
        "src/a.rs",
        &"//! long\n".repeat(11)
    ));
    assert!(caught(
        rules::bench_question,
        "benches/a.rs",
        "//! Measures things.\n"
    ));
    assert!(!caught(
        rules::bench_question,
        "benches/a.rs",
        "//! How fast?\n"
    ));
    assert!(caught(
        rules::no_test_branches,
        "src/a.rs",
        "if cfg!(test) {}"
    ));
}
