//! What does each side of a transfer spend? Each is this program again, in a process of its own, so
//! that processor time and allocations are those of one side.
//!
//! A seed says on which port it listens, serves until its standard input ends, and says what it
//! spent since; a fetcher says what it spent. Spent in setting the scene is not counted.

use std::alloc::System;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use swarm::bitfield::Bitfield;
use swarm::ids::PeerId;
use swarm::metainfo::Metainfo;
use swarm::runtime::{Clock, Session};
use swarm::storage::{Allocate, FetchOptions, HashCache, Meter, Opened, Store};
use swarm::torrent::event::Notice;
use tempfile::NamedTempFile;

use crate::client;
use crate::counter::{Counter, NO_CPU_CLOCK};
use crate::crowd;
use crate::rig::{await_notice, config, with_peers};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// More than any crowd.
const PEERS_MAX: usize = 1_000;

/// How far the content goes on the side of the fetcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Out of the socket.
    Discard,
    /// Into its file, whatever it is.
    Write,
    /// Into its file if it is right.
    Hash,
    /// As the program does it: by the session.
    Verify,
}

impl Stage {
    pub(crate) const ALL: [Self; 4] = [Self::Discard, Self::Write, Self::Hash, Self::Verify];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Discard => "discard",
            Self::Write => "write",
            Self::Hash => "hash",
            Self::Verify => "verify",
        }
    }
}

/// What a side spent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    /// Processor seconds of all its threads.
    pub(crate) cpu: f64,
    pub(crate) allocations: f64,
    /// The most memory it had, in MiB.
    pub(crate) resident: f64,
    /// What its counter counted, from its start to its end.
    pub(crate) counted: f64,
}

/// The process of a side.
pub(crate) struct Side {
    child: Child,
    /// It serves as long as this is open.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    counter: Counter,
    /// Where the counter leaves its count.
    log: NamedTempFile,
}

impl Side {
    /// Runs this program with these words, under a counter.
    pub(crate) fn start(counter: Counter, words: &[&str]) -> Self {
        let log = NamedTempFile::new().unwrap();
        let mut child = counter
            .command(&std::env::current_exe().unwrap(), log.path())
            .arg("side")
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            counter,
            log,
        }
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Lets it end and says what it spent.
    pub(crate) fn end(mut self) -> Cost {
        drop(self.input.take());
        let line = self.line();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "it ended with {status}");
        let mut figures = line.split(' ').map(|word| word.parse().unwrap());
        let mut next = || figures.next().unwrap();
        Cost {
            seconds: next(),
            cpu: next(),
            allocations: next(),
            resident: next(),
            counted: self.counter.total(self.log.path()),
        }
    }
}

/// What one side does: the word after `side` says which.
pub(crate) fn main(words: &[String]) {
    let [role, manifest, dir, rest @ ..] = words else {
        panic!("a role, a manifest and a directory: {words:?}");
    };
    let meta = Arc::new(Metainfo::from_vec(std::fs::read(manifest).unwrap()).unwrap());
    let numbers: Vec<u64> = rest.iter().map(|word| word.parse().unwrap()).collect();
    let port = |number: u64| u16::try_from(number).unwrap();
    match Stage::ALL.into_iter().find(|stage| stage.name() == role) {
        None if role == "crowd" => {
            let mut spent = Spent::start();
            spent.seconds = Some(crowd::take(
                &meta,
                port(numbers[0]),
                u16::try_from(numbers[1]).unwrap(),
                numbers[2],
            ));
            spent.say();
        }
        None => seed(meta, Path::new(dir), numbers.first().copied()),
        Some(stage) => fetch(stage, meta, Path::new(dir), port(numbers[0])),
    }
}

fn seed(meta: Arc<Metainfo>, data: &Path, upload_limit: Option<u64>) {
    let store = Store::seed(Arc::clone(&meta), data).unwrap();
    let all = Bitfield::full(meta.layout().piece_count());
    let mut config = config();
    config.torrent.upload_limit = upload_limit;
    config.torrent.peers_max = PEERS_MAX;
    let session = Session::start(meta, Arc::new(store), all.clone(), all, config).unwrap();
    let spent = Spent::start();
    println!("{}", session.port());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    spent.say();
}

fn fetch(stage: Stage, meta: Arc<Metainfo>, dir: &Path, port: u16) {
    let spent = Spent::start();
    if stage == Stage::Discard {
        client::fetch(stage, &meta, None, port);
        spent.say();
        return;
    }
    let options = FetchOptions {
        dir: dir.to_owned(),
        name: None,
        selected: None,
        allocate: Allocate::default(),
        repair: false,
        recheck: false,
        cache: HashCache::default(),
        threads: 1,
    };
    let Opened {
        store,
        have,
        wanted,
        ..
    } = Store::fetch(Arc::clone(&meta), &options, &Meter::new()).unwrap();
    if stage == Stage::Verify {
        let mut config = with_peers(config(), &[port]);
        // The seed counts from one, too: the same name would make them one peer.
        config.torrent.peer_id = PeerId::ours([0; 12]);
        let mut session = Session::start(meta, Arc::new(store), have, wanted, config).unwrap();
        await_notice(&mut session, |notice| *notice == Notice::Complete);
        spent.say();
    } else {
        client::fetch(stage, &meta, Some(&store), port);
        spent.say();
    }
}

/// What this process spends from some moment on.
struct Spent<'a> {
    clock: Clock,
    cpu: f64,
    allocations: Region<'a, System>,
    /// Counted in another way than from the start.
    seconds: Option<f64>,
}

impl Spent<'_> {
    fn start() -> Self {
        Self {
            clock: Clock::start(),
            cpu: cpu_seconds(),
            allocations: Region::new(ALLOCATOR),
            seconds: None,
        }
    }

    fn say(&self) {
        let seconds = { self.seconds }.unwrap_or_else(|| self.clock.now().as_secs_f64());
        let cpu = cpu_seconds() - self.cpu;
        let stats = self.allocations.change();
        let allocations = stats.allocations + stats.reallocations;
        let resident = resident_mib();
        println!("{seconds} {cpu} {allocations} {resident}");
    }
}

/// The most memory that this process had; not a number where nobody says.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

/// Not a number where there is no clock to ask.
fn cpu_seconds() -> f64 {
    if std::env::var_os(NO_CPU_CLOCK).is_some() {
        return f64::NAN;
    }
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 * 1e-9
}
