//! How fast does content go from one seed to one fetcher, what does a GiB cost each of them, and which
//! part of the way costs it?
//!
//! `cargo bench --bench loopback -- all count` moves 1 GiB over loopback by every stage; words pick:
//! `discard` drops what arrives, `write` writes it unseen, `hash` verifies it, too, all in a client of
//! one thread; `verify`, which it does if no stage is named, is the session that ships. `count` adds
//! system calls (by `perf`) and bytes copied (by valgrind). Numbers: MiB, KiB of a piece, runs.
//! `crowd` does another thing: 20 and 500 peers by turns take from one seed as much as its limit of
//! 200 MiB/s gives in 5 s.
//! Each side is a process. `TMPDIR` says on which disk. Ratios are to what this machine did meanwhile.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot set up its scene fails"
)]
#![expect(clippy::print_stdout, reason = "a bench reports on stdout")]

#[path = "loopback/client.rs"]
mod client;
#[path = "loopback/counter.rs"]
mod counter;
#[path = "loopback/crowd.rs"]
mod crowd;
#[path = "../tests/loopback/rig.rs"]
#[expect(dead_code, reason = "shared with the tests, which use the rest")]
mod rig;
#[path = "loopback/side.rs"]
mod side;
#[path = "loopback/yardstick.rs"]
mod yardstick;

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use counter::Counter;
use rig::Content;
use side::{Cost, Side, Stage};
use yardstick::{Speeds, Yardstick};

/// Content for counting copies, in MiB: valgrind is slow, and a share needs no more.
const COPIES_MIB: u32 = 64;

fn main() {
    let words = std::env::args().skip(1);
    let words: Vec<String> = words.filter(|word| !word.starts_with("--")).collect();
    if words.first().is_some_and(|word| word == "side") {
        side::main(&words[1..]);
        return;
    }
    let mut numbers = words.iter().filter_map(|word| word.parse::<u32>().ok());
    let mib = numbers.next().unwrap_or(1024);
    let piece_kib = numbers.next().unwrap_or(1024);
    let runs = numbers.next().unwrap_or(5);
    let is_said = |name: &str| words.iter().any(|word| word == name);
    if is_said("crowd") {
        crowds(runs);
        return;
    }
    let mut rows: Vec<Row> = Stage::ALL
        .into_iter()
        .filter(|stage| is_said("all") || is_said(stage.name()))
        .map(Row::new)
        .collect();
    if rows.is_empty() {
        rows.push(Row::new(Stage::Verify));
    }
    let scene = Scene::new(mib, piece_kib);
    let mut yardstick = Yardstick::new();
    for number in 1..=runs {
        let speeds = yardstick.measure();
        println!("run {number}  {speeds}");
        for row in &mut rows {
            let run = scene.run(row.stage, Counter::Nothing);
            println!("run {number}  {:<8} {run}", row.stage.name());
            row.runs.push((run, speeds));
        }
    }
    if is_said("count") {
        for row in &mut rows {
            row.calls = scene.count(row.stage, Counter::Calls);
        }
        let scene = Scene::new(COPIES_MIB, piece_kib);
        for row in &mut rows {
            row.copies = scene.count(row.stage, Counter::Copies);
        }
    }
    print_table(&rows);
}

/// What a seed that gives away at its limit spends, for a few peers and for many.
fn crowds(runs: u32) {
    const LIMIT: u64 = 200 << 20;
    const TOTAL: u64 = 5 * LIMIT;
    let scene = Scene::new(128, 1024);
    let manifest = scene.manifest.to_str().unwrap();
    let data = scene.content.dir.path().join("content");
    println!("| peers | MiB/s | CPU-s/GiB of the seed | its memory, MiB |\n|---|---|---|---|");
    for _ in 0..runs {
        for count in [20, 500] {
            let limit = LIMIT.to_string();
            let mut seed = Side::start(
                Counter::Nothing,
                &["seed", manifest, data.to_str().unwrap(), &limit],
            );
            let port = seed.line();
            let (peers, total) = (count.to_string(), TOTAL.to_string());
            let words = ["crowd", manifest, "-", &port, &peers, &total];
            let crowd = Side::start(Counter::Nothing, &words).end();
            let seed = seed.end();
            let mib = TOTAL as f64 / f64::from(1 << 20);
            println!(
                "| {count} | {:.1} | {:.3} | {:.1} |",
                mib / crowd.seconds,
                seed.cpu / (mib / 1024.0),
                seed.resident
            );
        }
    }
}

/// Content, and its manifest where both sides find it.
struct Scene {
    content: Content,
    manifest: PathBuf,
    mib: u32,
    gib: f64,
}

impl Scene {
    fn new(mib: u32, piece_kib: u32) -> Self {
        let content = Content::new(&[("data.bin", (mib as usize) << 20)], piece_kib << 10);
        let manifest = content.dir.path().join("content.torrent");
        std::fs::write(&manifest, content.meta.raw()).unwrap();
        let gib = f64::from(mib) / 1024.0;
        Self {
            content,
            manifest,
            mib,
            gib,
        }
    }

    /// Moves the content once under a counter, if it works.
    fn count(&self, stage: Stage, counter: Counter) -> Option<Run> {
        let works = counter.works();
        if !works {
            println!("not counted, for want of a program or a permission: {counter:?}");
        }
        works.then(|| self.run(stage, counter))
    }

    /// Moves the content once.
    fn run(&self, stage: Stage, counter: Counter) -> Run {
        let manifest = self.manifest.to_str().unwrap();
        let data = self.content.dir.path().join("content");
        let dir = tempfile::tempdir().unwrap();
        self.take_memory(dir.path());
        let words = ["seed", manifest, data.to_str().unwrap()];
        let mut seed = Side::start(counter, &words);
        let port = seed.line();
        let words = [stage.name(), manifest, dir.path().to_str().unwrap(), &port];
        let fetcher = Side::start(counter, &words).end();
        let seed = seed.end();
        Run {
            gib: self.gib,
            seed,
            fetcher,
        }
    }
}

impl Scene {
    /// A virtual machine gives memory that is free for seconds back to its host, and has to ask for
    /// it again: that would be part of whatever stage comes first after one that takes none.
    fn take_memory(&self, dir: &Path) {
        let scratch = dir.join("scratch");
        let mut file = File::create(&scratch).unwrap();
        let zeros = vec![0; 1 << 20];
        for _ in 0..self.mib {
            file.write_all(&zeros).unwrap();
        }
        std::fs::remove_file(&scratch).unwrap();
    }
}

/// What one transfer cost.
#[derive(Clone, Copy)]
struct Run {
    gib: f64,
    seed: Cost,
    fetcher: Cost,
}

impl Run {
    fn speed(&self) -> f64 {
        self.gib / self.fetcher.seconds
    }

    /// A figure of each side, for each GiB.
    fn sides(&self, figure: impl Fn(Cost) -> f64) -> [f64; 2] {
        [self.seed, self.fetcher].map(|cost| figure(cost) / self.gib)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [sender, receiver] = self.sides(|cost| cost.cpu);
        write!(
            f,
            "{:.2} GiB/s  {sender:.2} + {receiver:.2} CPU-s/GiB",
            self.speed()
        )
    }
}

/// What is known of a stage.
struct Row {
    stage: Stage,
    runs: Vec<(Run, Speeds)>,
    calls: Option<Run>,
    copies: Option<Run>,
}

impl Row {
    const fn new(stage: Stage) -> Self {
        Self {
            stage,
            runs: Vec::new(),
            calls: None,
            copies: None,
        }
    }

    fn median(&self, figure: impl Fn(&(Run, Speeds)) -> f64) -> f64 {
        let mut figures: Vec<f64> = self.runs.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn medians(&self, figure: impl Fn(Cost) -> f64) -> [f64; 2] {
        [0, 1].map(|side| self.median(|(run, _)| run.sides(&figure)[side]))
    }
}

/// Medians of all runs, as Markdown; of each pair the seed's comes first.
fn print_table(rows: &[Row]) {
    println!(
        "\n| stage | GiB/s | of memcpy | of OpenSSL | CPU-s/GiB | allocations/GiB \
         | system calls/GiB | copies of a byte |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for row in rows {
        let speed = row.median(|(run, _)| run.speed());
        let of_memcpy = row.median(|(run, speeds)| run.speed() / speeds.memcpy);
        let of_openssl = row.median(|(run, speeds)| run.speed() / speeds.openssl);
        let counted = |run: Option<Run>| run.map(|run| run.sides(|cost| cost.counted));
        let calls = counted(row.calls).unwrap_or([f64::NAN; 2]);
        let copies = counted(row.copies).unwrap_or([f64::NAN; 2]);
        println!(
            "| {} | {speed:.2} | {of_memcpy:.2} | {of_openssl:.2} | {} | {} | {} | {} |",
            row.stage.name(),
            shown(row.medians(|cost| cost.cpu), 2),
            shown(row.medians(|cost| cost.allocations), 0),
            shown(calls, 0),
            shown(copies.map(|bytes| bytes / f64::from(1 << 30)), 2),
        );
    }
}

/// The figures of both sides; a dash where there is none.
fn shown(sides: [f64; 2], digits: usize) -> String {
    let known = |figure: f64| format!("{figure:.digits$}");
    let words = sides.map(|figure| {
        if figure.is_nan() {
            "–".into()
        } else {
            known(figure)
        }
    });
    words.join(" + ")
}
