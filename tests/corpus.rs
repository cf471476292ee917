//! Manifests and vectors of other projects get the verdict that their origin states.
//!
//! The exceptions are the rows of one table in `docs/manifests.md`, no more and no fewer: this test
//! reads that table. Our own manifests in `fixtures/` have theirs beside them. The corpus is not part of the project; without it, and outside CI, the tests
//! say so and do nothing.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value as Json;
use sha1::{Digest, Sha1};
use swarm::bencode::{BencodeError, Document, Limits};
use swarm::metainfo::magnet::Magnet;
use swarm::metainfo::{FileKind, Metainfo, SafePath};

const DECISIONS: &str = include_str!("../docs/manifests.md");

/// Whether the origin of an input takes it, and whether we do.
#[derive(Clone)]
struct Verdict {
    input: String,
    origin: bool,
    ours: bool,
}

impl Verdict {
    /// As a row of the table starts.
    fn row(&self) -> String {
        let word = |taken| if taken { "takes" } else { "refuses" };
        format!(
            "| `{}` | {} | {} |",
            self.input,
            word(self.origin),
            word(self.ours)
        )
    }
}

fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let path = std::env::var_os("SWARM_CORPUS").map_or(beside, PathBuf::from);
    if path.join("MANIFEST.tsv").is_file() {
        return Some(path);
    }
    let message = format!(
        "NOT TESTED: no corpus at {}; set SWARM_CORPUS",
        path.display()
    );
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!ci, "{message}");
    // Not by a macro: the harness hides what those print in tests that pass.
    writeln!(io::stderr(), "\n{message}\n").ok();
    None
}

fn is_manifest(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "torrent")
}

/// The rows of MANIFEST.tsv, as functions from a column's name to its text.
fn manifest_rows(corpus: &Path) -> Vec<impl Fn(&str) -> String + use<>> {
    let text = fs::read_to_string(corpus.join("MANIFEST.tsv")).unwrap();
    let mut lines = text
        .lines()
        .map(|line| line.split('\t').map(str::to_owned).collect());
    let columns: Vec<String> = lines.next().unwrap();
    lines
        .map(|cells: Vec<String>| {
            let columns = columns.clone();
            move |name: &str| {
                let column = columns.iter().position(|column| column == name).unwrap();
                cells[column].clone()
            }
        })
        .collect()
}

fn vectors(corpus: &Path, name: &str) -> Vec<Json> {
    let text = fs::read_to_string(corpus.join("vectors").join(name)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn text<'a>(row: &'a Json, key: &str) -> &'a str {
    row[key]
        .as_str()
        .unwrap_or_else(|| panic!("no text {key:?} in {row}"))
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |i: usize| u8::from_str_radix(&text[i..i + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

#[test]
fn all_verdicts_are_those_of_the_origins_but_for_the_decided_ones() {
    let Some(corpus) = corpus() else { return };
    let verdicts = [manifests(&corpus), paths(&corpus), magnets(&corpus)].concat();
    assert!(verdicts.len() > 200, "the corpus is not whole");
    let found: BTreeSet<String> = verdicts
        .iter()
        .filter(|verdict| verdict.origin != verdict.ours)
        .map(Verdict::row)
        .collect();
    let decided: BTreeSet<String> = DECISIONS
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split_inclusive('|').take(4).collect())
        .collect();
    let undecided: Vec<_> = found.difference(&decided).collect();
    let untrue: Vec<_> = decided.difference(&found).collect();
    assert!(
        undecided.is_empty(),
        "not in docs/manifests.md: {undecided:#?}"
    );
    assert!(
        untrue.is_empty(),
        "in docs/manifests.md and not so: {untrue:#?}"
    );
}

fn manifests(corpus: &Path) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for row in manifest_rows(corpus) {
        let input = row("file");
        if Path::new(&input)
            .extension()
            .is_none_or(|extension| extension != "torrent")
        {
            continue;
        }
        let parsed = Metainfo::parse(&fs::read(corpus.join(&input)).unwrap());
        if let Ok(meta) = &parsed {
            check_facts(meta, &row);
        }
        let origin = row("expect") == "accept";
        verdicts.push(Verdict {
            input,
            origin,
            ours: parsed.is_ok(),
        });
    }
    verdicts
}

/// What an independent reader found out about a manifest is what we find.
fn check_facts(meta: &Metainfo, row: &dyn Fn(&str) -> String) {
    let file = row("file");
    assert_eq!(meta.info_hash().to_string(), row("computed_v1"), "{file}");
    assert_eq!(meta.files().len().to_string(), row("files"), "{file}");
    assert_eq!(
        meta.layout().nominal_piece_len().to_string(),
        row("piece_length"),
        "{file}"
    );
    // The independent reader counts the stated length of links, which take no room.
    if meta
        .files()
        .iter()
        .all(|file| file.kind != FileKind::Symlink)
    {
        assert_eq!(
            meta.layout().total_len().to_string(),
            row("total_size"),
            "{file}"
        );
    }
    if meta.renamed().is_empty() {
        assert!(meta.name().starts_with(&row("name")), "{file}");
    }
}

#[test]
fn every_seed_is_read_without_a_panic() {
    let Some(corpus) = corpus() else { return };
    let mut count = 0;
    for row in manifest_rows(&corpus) {
        let input = fs::read(corpus.join(row("file"))).unwrap();
        let _ = Metainfo::parse(&input);
        let _ = Document::scan_prefix(&input, &Limits::MANIFEST);
        let _ = Magnet::parse(&String::from_utf8_lossy(&input));
        count += 1;
    }
    assert!(count > 600, "the corpus is not whole");
}

#[test]
fn content_of_the_corpus_has_the_hashes_of_its_manifests() {
    let Some(corpus) = corpus() else { return };
    let folder = corpus.join("webtorrent-fixtures");
    for name in ["alice", "leaves", "folder", "numbers", "lots-of-numbers"] {
        let manifest = fs::read(folder.join(format!("{name}.torrent"))).unwrap();
        let meta = Metainfo::from_vec(manifest).unwrap();
        let mut content = Vec::new();
        for file in meta.files() {
            assert_eq!(file.offset, content.len() as u64);
            content.extend(fs::read(folder.join(file.path.as_path())).unwrap());
        }
        let pieces = content.chunks(meta.layout().nominal_piece_len() as usize);
        assert_eq!(pieces.len(), meta.layout().piece_count() as usize);
        for (piece, bytes) in meta.layout().pieces().zip(pieces) {
            assert_eq!(
                meta.piece_hash(piece).as_bytes()[..],
                Sha1::digest(bytes)[..],
                "{name}"
            );
        }
    }
}

#[test]
fn every_bencode_vector_gets_its_verdict() {
    let Some(corpus) = corpus() else { return };
    // The limits that the vectors speak of.
    let limits = Limits {
        depth: 100,
        tokens: 1_000,
        ..Limits::MANIFEST
    };
    for row in vectors(&corpus, "bencode.jsonl") {
        let (id, input) = (text(&row, "id"), unhex(text(&row, "hex")));
        let scanned = Document::scan(&input, &limits);
        let strict = scanned.clone().and_then(Document::canonical);
        match text(&row, "expect") {
            "accept" => assert!(strict.is_ok(), "{id}"),
            "soft-error" => assert!(scanned.is_ok() && strict.is_err(), "{id}"),
            "refuse-strict" => assert!(strict.is_err(), "{id}"),
            "refuse" if text(&row, "detail") == "as metainfo" => {
                assert!(Metainfo::parse(&input).is_err(), "{id}");
            }
            "refuse" => assert!(scanned.is_err(), "{id}"),
            other => panic!("{id} expects {other}"),
        }
        let said = row["error_offset"].as_u64();
        if let (Some(said), Err(BencodeError::Unexpected { offset, .. })) = (said, scanned) {
            assert_eq!(offset as u64, said, "{id}");
        }
    }
}

fn paths(corpus: &Path) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for row in vectors(corpus, "paths.jsonl") {
        let (origin, ours) = match text(&row, "kind") {
            "metainfo" => {
                let input = unhex(text(&row, "hex"));
                (
                    text(&row, "expect") == "accept",
                    Metainfo::parse(&input).is_ok(),
                )
            }
            "path_elements" => (true, path_elements(&row)),
            "is_subpath_sanitized" => {
                let subpath = text(&row, "subpath");
                let safe = SafePath::new([subpath.as_bytes()]);
                let ours = safe.is_ok_and(|safe| safe.as_str() == subpath);
                (row["posix"].as_bool().unwrap(), ours)
            }
            "collisions" => (true, collisions(&row)),
            other => panic!("unknown kind {other}"),
        };
        let input = format!("paths: {}", text(&row, "id"));
        verdicts.push(Verdict {
            input,
            origin,
            ours,
        });
    }
    verdicts
}

/// What libtorrent leaves alone we leave alone; what it changes we change, our own way, or refuse.
fn path_elements(row: &Json) -> bool {
    let elements = row["elements_hex"].as_array().unwrap();
    let elements: Vec<_> = elements
        .iter()
        .map(|hex| unhex(hex.as_str().unwrap()))
        .collect();
    let Ok(safe) = SafePath::new(elements.iter().map(Vec::as_slice)) else {
        return false;
    };
    let raw = elements.join(&b'/');
    let unchanged = safe.as_str().as_bytes() == raw;
    let joiner = ["sanitize_zwnj", "sanitize_zwj"].contains(&text(row, "id"));
    assert_eq!(
        unchanged,
        joiner || text(row, "posix").as_bytes() == raw,
        "{row}: {safe}"
    );
    true
}

/// Whether a manifest of these files is taken.
fn collisions(row: &Json) -> bool {
    let mut info = b"d5:filesl".to_vec();
    let mut total: usize = 0;
    for file in row["files"].as_array().unwrap() {
        let padding = text(file, "attr").strip_prefix("pad:");
        let len: usize = padding.map_or(1, |len| len.parse().unwrap());
        total += len;
        let attr = if padding.is_some() { "4:attr1:p" } else { "" };
        info.extend(format!("d{attr}6:lengthi{len}e4:pathl").bytes());
        for element in text(file, "path").split('/').skip(1) {
            info.extend(format!("{}:{element}", element.len()).bytes());
        }
        info.extend(b"ee");
    }
    let hashes = "h".repeat(20 * total.div_ceil(16_384));
    let tail = format!(
        "e4:name4:test12:piece lengthi16384e6:pieces{}:{hashes}e",
        hashes.len()
    );
    info.extend(tail.bytes());
    Metainfo::parse(&[b"d4:info", &info[..], b"e"].concat()).is_ok()
}

fn magnets(corpus: &Path) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for row in vectors(corpus, "magnets.jsonl") {
        let parsed = Magnet::parse(text(&row, "uri"));
        let expect = text(&row, "expect");
        if let Ok(magnet) = &parsed {
            check_magnet(magnet, &row);
        }
        let input = format!("magnets: {}", text(&row, "id"));
        verdicts.push(Verdict {
            input,
            origin: expect == "accept",
            ours: parsed.is_ok(),
        });
    }
    verdicts
}

fn check_magnet(magnet: &Magnet, row: &Json) {
    let list = |key: &str| -> Option<Vec<&str>> {
        Some(
            row[key]
                .as_array()?
                .iter()
                .map(|item| item.as_str().unwrap())
                .collect(),
        )
    };
    if let Some(hash) = row["v1"].as_str() {
        assert_eq!(magnet.info_hash.to_string(), hash, "{row}");
    }
    if let Some(name) = row["name"].as_str() {
        assert_eq!(magnet.name.as_deref(), Some(name), "{row}");
    }
    for (key, ours) in [
        ("trackers", &magnet.trackers),
        ("webseeds", &magnet.web_seeds),
        ("peers", &magnet.peers),
    ] {
        if let Some(theirs) = list(key) {
            assert_eq!(*ours, theirs, "{row}");
        }
    }
}

#[test]
fn our_own_manifests_get_the_verdict_written_beside_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/manifests");
    let verdicts = fs::read_to_string(folder.join("verdicts.tsv")).unwrap();
    let mut rows = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".torrent") {
            continue;
        }
        let verdict = match Metainfo::parse(&fs::read(folder.join(&name)).unwrap()) {
            Ok(meta) => {
                let paths = meta.files().iter().map(|file| file.path.as_str());
                let paths: Vec<&str> = paths.collect();
                format!("taken: {} {}", meta.info_hash(), paths.join(", "))
            }
            Err(error) => format!("refused: {}", error.about(&name)),
        };
        rows.push(format!("{name}\t{verdict}\n"));
    }
    rows.sort();
    assert_eq!(rows.concat(), verdicts);
}

/// A number from the environment, so that a long run needs no other code than a short one.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Damages a manifest in a few places, often where the structure is.
fn damaged(manifest: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let pieces: [&[u8]; 8] = [
        b"",
        b"d",
        b"l",
        b"e",
        b"i-1e",
        b"i9223372036854775807e",
        b"2:..",
        b"0:",
    ];
    let mut bytes = manifest.to_vec();
    for _ in 0..rng.random_range(1..4) {
        // Near the start there is structure, near the end there are hashes.
        let reach = bytes.len().min(rng.random_range(1..2_000));
        let at = rng.random_range(0..reach);
        if rng.random() {
            bytes[at] = rng.random();
        } else {
            let end = bytes.len().min(at + rng.random_range(0..8));
            let piece = pieces[rng.random_range(0..pieces.len())];
            bytes.splice(at..end, piece.iter().copied());
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

#[test]
fn damaged_manifests_are_refused_or_still_safe() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/manifests");
    let ours = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = ours.filter(|path| is_manifest(path)).collect();
    if let Some(corpus) = corpus() {
        let rows = manifest_rows(&corpus).into_iter();
        files.extend(
            rows.map(|row| corpus.join(row("file")))
                .filter(|path| is_manifest(path)),
        );
    }
    files.sort();
    let seeds = files.iter().map(|path| fs::read(path).unwrap());
    let seeds: Vec<Vec<u8>> = seeds
        .filter(|seed| (1..50_000).contains(&seed.len()))
        .collect();
    let mut rng = ChaCha8Rng::seed_from_u64(setting("SWARM_FUZZ_SEED", 0));
    let mut taken = 0;
    for _ in 0..setting("SWARM_FUZZ_ITERS", 20_000) {
        let bytes = damaged(&seeds[rng.random_range(0..seeds.len())], &mut rng);
        let Ok(meta) = Metainfo::parse(&bytes) else {
            continue;
        };
        taken += 1;
        let mut offset = 0;
        for file in meta.files() {
            let plain = |part| matches!(part, Component::Normal(_));
            assert!(file.path.as_path().components().all(plain), "{}", file.path);
            assert_eq!(file.offset, offset);
            offset += file.len;
        }
        assert_eq!(meta.layout().total_len(), offset);
        let last = meta.layout().pieces().next_back().unwrap();
        let _ = (meta.piece_hash(last), meta.renamed());
    }
    assert!(taken > 0, "damage so bad tests nothing but the refusals");
}
