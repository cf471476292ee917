//! The rules. Each takes one file and returns what is wrong with it.

use crate::source::{Kind, Source, closing};

const BASE: [&str; 4] = ["time", "ids", "layout", "bitfield"];

/// Who may import whom, beside itself and the base. `ARCHITECTURE.md` draws the same.
const LAYERS: [(&str, &[&str]); 15] = [
    ("time", &[]),
    ("ids", &[]),
    ("layout", &[]),
    ("bitfield", &[]),
    ("bencode", &[]),
    ("hash", &[]),
    ("metainfo", &["bencode", "hash"]),
    ("wire", &["bencode", "hash"]),
    ("tracker", &["bencode", "hash"]),
    ("torrent", &["wire", "tracker", "hash"]),
    ("storage", &["metainfo", "hash"]),
    ("report", &[]),
    ("sim", &["torrent", "wire", "tracker", "metainfo", "report"]),
    (
        "runtime",
        &[
            "torrent", "storage", "wire", "tracker", "metainfo", "hash", "report",
        ],
    ),
    (
        "cli",
        &[
            "runtime", "torrent", "storage", "wire", "tracker", "metainfo", "hash", "bencode",
            "report", "sim",
        ],
    ),
];

/// The modules that compute and nothing else.
const PURE: [&str; 11] = [
    "time", "ids", "layout", "bitfield", "bencode", "metainfo", "wire", "tracker", "torrent",
    "sim", "report",
];

/// Parts of the standard library that have no place in a pure module.
const IMPURE_STD: [&str; 5] = ["fs", "io", "env", "process", "thread"];

/// Nor have these words: clocks, chance, I/O, unordered iteration.
const IMPURE: [&str; 16] = [
    "tokio",
    "hyper",
    "rustix",
    "socket2",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "println",
    "eprintln",
    "print",
    "eprint",
    "Instant",
    "SystemTime",
    "HashMap",
    "HashSet",
    "thread_rng",
];

/// Every module keeps to its layer.
pub(crate) fn imports(source: &Source) -> Vec<String> {
    if source.kind != Kind::Product || source.path == "src/lib.rs" {
        return Vec::new();
    }
    let module = source.module();
    let (own, allowed): (&str, Vec<&str>) = if module == ["main"] {
        ("main", vec!["cli"])
    } else {
        let layer = LAYERS.iter().find(|(name, _)| *name == module[0]);
        let Some((own, allowed)) = layer else {
            return vec![format!("{}: no layer is set for this module", source.path)];
        };
        (own, BASE.iter().chain(*allowed).copied().collect())
    };
    let wrong = |(at, target): (usize, String)| {
        let fine = target == own || allowed.contains(&target.as_str());
        let line = source.line(at);
        (!fine).then(|| format!("{}:{line}: {own} may not import {target}", source.path))
    };
    imported(source).into_iter().filter_map(wrong).collect()
}

/// The top-level modules that a file names, with the place where it does.
fn imported(source: &Source) -> Vec<(usize, String)> {
    let climb = "super::".repeat(source.module().len());
    let mut found = Vec::new();
    for root in ["crate::", "swarm::", climb.as_str()] {
        for at in word_starts(&source.code, root) {
            if root == climb && source.code[..at].ends_with("super::") {
                continue;
            }
            let rest = at + root.len();
            found.extend(
                first_segments(&source.code, rest)
                    .into_iter()
                    .map(|name| (at, name)),
            );
        }
    }
    // A longer climb than to the root does not compile, a shorter one stays inside the module.
    found.retain(|(_, name)| LAYERS.iter().any(|(layer, _)| layer == name) || name == "main");
    found
}

/// `a::b` gives `a`; `{a::b, c}` gives `a` and `c`.
fn first_segments(code: &str, from: usize) -> Vec<String> {
    if !code[from..].starts_with('{') {
        return vec![word_at(code, from).to_owned()];
    }
    let (mut names, mut depth, mut fresh) = (Vec::new(), 0, false);
    let group = &code[from..closing(code, from)];
    for (offset, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ if fresh && depth == 1 && is_word(byte) => {
                names.push(word_at(group, offset).to_owned());
            }
            _ => {}
        }
        fresh = match byte {
            b'{' | b',' => depth == 1,
            _ => fresh && byte.is_ascii_whitespace(),
        };
    }
    names
}

/// Pure modules name nothing that has a clock, chance, I/O or an unordered map in it.
pub(crate) fn purity(source: &Source) -> Vec<String> {
    let pure = source.kind == Kind::Product
        && source
            .module()
            .first()
            .is_some_and(|module| PURE.contains(module));
    if !pure {
        return Vec::new();
    }
    let std = word_starts(&source.code, "std::")
        .into_iter()
        .flat_map(|at| {
            let line = source.line(at);
            let parts = first_segments(&source.code, at + "std::".len()).into_iter();
            parts
                .filter(|part| IMPURE_STD.contains(&part.as_str()))
                .map(move |part| (line, part))
        });
    let rand = ["rand::rng(", "rand::random"].into_iter().flat_map(|path| {
        let places = word_starts(&source.code, path).into_iter();
        places.map(move |at| (source.line(at), path.to_owned()))
    });
    let words = words(source, &IMPURE)
        .into_iter()
        .map(|(line, word)| (line, word.to_owned()));
    words
        .chain(std)
        .chain(rand)
        .map(|(line, word)| format!("{}:{line}: `{word}` in a pure module", source.path))
        .collect()
}

/// `unsafe` is for the SIMD lanes of the hash module.
pub(crate) fn unsafety(source: &Source) -> Vec<String> {
    if source.path.starts_with("src/hash/") || source.path.starts_with("tests/tidy") {
        return Vec::new();
    }
    words(source, &["unsafe"])
        .into_iter()
        .map(|(line, _)| format!("{}:{line}: unsafe code", source.path))
        .collect()
}

/// Nobody reads more than 500 lines at a time.
pub(crate) fn file_length(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let long = lines > 500;
    long.then(|| format!("{}: {lines} lines, at most 500", source.path))
        .into_iter()
        .collect()
}

/// A function fits on a screen: at most 70 lines from `fn` to its closing brace.
pub(crate) fn function_length(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    for at in word_starts(&source.code, "fn ") {
        let name = word_at(&source.code, at + 3);
        let Some(open) = body_of(&source.code, at) else {
            continue;
        };
        let lines = source.line(closing(&source.code, open) - 1) - source.line(at) + 1;
        if !name.is_empty() && lines > 70 {
            let line = source.line(at);
            let path = &source.path;
            complaints.push(format!(
                "{path}:{line}: {name} has {lines} lines, at most 70"
            ));
        }
    }
    complaints
}

/// Where the body of the function at `at` opens, if it has one.
fn body_of(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0;
    for (offset, byte) in code[at..].bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(at + offset),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// Names are the nouns and verbs of BitTorrent, not those of bureaucracy.
pub(crate) fn names(source: &Source) -> Vec<String> {
    let vague = [
        "util", "utils", "helper", "helpers", "common", "manager", "misc", "chunk",
    ];
    let mut complaints = Vec::new();
    let stem = source.path.rsplit('/').next().unwrap_or_default();
    let stem = stem.split('.').next().unwrap_or_default();
    if name_parts(stem)
        .iter()
        .any(|part| vague.contains(&part.as_str()))
    {
        complaints.push(format!(
            "{}: a file named after nothing in particular",
            source.path
        ));
    }
    for item in [
        "fn ", "struct ", "enum ", "trait ", "mod ", "type ", "const ",
    ] {
        for at in word_starts(&source.code, item) {
            let name = word_at(&source.code, at + item.len());
            let parts = name_parts(name);
            let starts_badly =
                item == "fn " && (name.starts_with("get_") || name.starts_with("do_"));
            if starts_badly || parts.iter().any(|part| vague.contains(&part.as_str())) {
                let line = source.line(at);
                complaints.push(format!("{}:{line}: the name `{name}`", source.path));
            }
        }
    }
    complaints
}

/// `PeerManager` and `peer_manager` are both made of `peer` and `manager`.
fn name_parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for letter in name.chars() {
        if letter == '_' || letter == '-' || letter.is_uppercase() {
            parts.push(String::new());
        }
        if letter.is_alphanumeric() {
            let last = parts.last_mut().expect("starts with one part");
            last.extend(letter.to_lowercase());
        }
    }
    parts
}

/// What is in the tree works; nothing is promised in a comment.
pub(crate) fn leftovers(source: &Source) -> Vec<String> {
    if source.path.starts_with("tests/tidy") {
        return Vec::new();
    }
    let later = ["TODO", "FIXME", "todo!(", "unimplemented!("];
    let line = |(number, text): (usize, &str)| {
        let word = later.iter().find(|word| text.contains(**word))?;
        Some(format!("{}:{}: `{word}`", source.path, number + 1))
    };
    source.text.lines().enumerate().filter_map(line).collect()
}

/// A module opens with at most ten lines that say what it decides; the tests of one need none.
pub(crate) fn module_doc(source: &Source) -> Vec<String> {
    let inner_tests = source.kind == Kind::Test && source.path.starts_with("src/");
    if source.kind == Kind::Script || inner_tests {
        return Vec::new();
    }
    let lines = source
        .text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .count();
    match lines {
        0 => vec![format!("{}: does not open with `//!`", source.path)],
        1..=10 => Vec::new(),
        _ => vec![format!(
            "{}: opens with {lines} lines of `//!`, at most 10",
            source.path
        )],
    }
}

/// A bench answers a question, and says which.
pub(crate) fn bench_question(source: &Source) -> Vec<String> {
    let doc: String = source
        .text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .collect();
    let mute = source.kind == Kind::Bench && !doc.contains('?');
    mute.then(|| format!("{}: opens with no question", source.path))
        .into_iter()
        .collect()
}

/// What is tested is what ships.
pub(crate) fn no_test_branches(source: &Source) -> Vec<String> {
    if source.kind != Kind::Product {
        return Vec::new();
    }
    let forbidden = ["cfg!(test)", "cfg(not(test))"];
    let found = forbidden.iter().filter(|word| source.code.contains(**word));
    found
        .map(|word| format!("{}: `{word}`", source.path))
        .collect()
}

/// Every occurrence of one of `wanted` as a whole word of the code, with its line.
fn words<'a>(source: &Source, wanted: &[&'a str]) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for &word in wanted {
        for at in word_starts(&source.code, word) {
            if word_at(&source.code, at) == word {
                found.push((source.line(at), word));
            }
        }
    }
    found
}

/// Where `what` occurs, not counting the middle of a word.
fn word_starts(code: &str, what: &str) -> Vec<usize> {
    let fresh = |at: &usize| !code[..*at].bytes().next_back().is_some_and(is_word);
    code.match_indices(what)
        .map(|(at, _)| at)
        .filter(fresh)
        .collect()
}

fn word_at(code: &str, from: usize) -> &str {
    let len = code[from..]
        .bytes()
        .take_while(|&byte| is_word(byte))
        .count();
    &code[from..from + len]
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
