//! A directory of its own for each test, and the program run in-process in it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use swarm::cli::{self, Env, Exit, Signals};
use tempfile::TempDir;

/// Longer than anything here takes, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Progress comes every second.
const REPORTS_MAX: u32 = 60;

pub(crate) struct World {
    dir: TempDir,
}

/// What one command line did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A command that runs on its own thread.
pub(crate) struct Running {
    signals: Signals,
    lines: Receiver<String>,
    seen: Vec<String>,
    reports: u32,
    thread: JoinHandle<Exit>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// What its directory is called.
    pub(crate) fn name(&self) -> String {
        self.dir
            .path()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    }

    pub(crate) fn with(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.write(path, content);
        self
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.path(path)).unwrap()
    }

    /// Every file below, with its content; directories have none.
    pub(crate) fn tree(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut tree = BTreeMap::new();
        visit(self.dir.path(), &mut tree);
        tree
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        let (out, from_out) = stream();
        let (err, from_err) = stream();
        let exit = run(self.dir.path(), words, Signals::default(), [out, err]);
        let text = |stream: Receiver<String>| stream.iter().collect::<String>();
        let real = self.dir.path().to_str().unwrap();
        let shown = |stream| text(stream).replace(real, "[DIR]");
        Ran {
            exit,
            out: shown(from_out),
            err: shown(from_err),
        }
    }

    /// Runs a command line that must change nothing on the disk, and gives all that it said.
    pub(crate) fn refused(&self, words: &[&str]) -> String {
        let before = self.tree();
        let ran = self.run(words);
        assert!(self.tree() == before, "something was written or lost");
        assert_eq!(ran.out, "", "a mistake has no result");
        format!("exit {}\n{}", ran.exit.code(), ran.err)
    }

    /// Starts a command line with `--json`.
    pub(crate) fn start(&self, words: &[&str]) -> Running {
        let (out, lines) = stream();
        let dir = self.dir.path().to_owned();
        let mut words: Vec<String> = words.iter().map(ToString::to_string).collect();
        words.push("--json".into());
        let signals = Signals::default();
        let given = signals.clone();
        let thread = thread::spawn(move || {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            run(&dir, &words, given, [out, Box::new(io::sink())])
        });
        Running {
            signals,
            lines,
            seen: Vec::new(),
            reports: 0,
            thread,
        }
    }
}

impl Running {
    /// The next event of this name.
    pub(crate) fn event(&mut self, name: &str) -> serde_json::Value {
        loop {
            let event = self
                .next()
                .unwrap_or_else(|| panic!("no event {name}: {:#?}", self.seen));
            if event["event"] == name {
                return event;
            }
        }
    }

    /// The next event; none at the end, and none after progress was reported for too long.
    fn next(&mut self) -> Option<serde_json::Value> {
        let line = self.lines.recv_timeout(PATIENCE).ok()?;
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        self.reports += u32::from(event["event"] == "progress");
        assert!(
            self.reports < REPORTS_MAX,
            "it goes on and on: {:#?}",
            self.seen
        );
        self.seen.push(line);
        Some(event)
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&self) {
        self.signals.interrupt();
    }

    /// Waits for the end.
    pub(crate) fn end(self) -> Exit {
        self.rest().0
    }

    /// Waits for the end and gives the events not seen yet.
    pub(crate) fn rest(mut self) -> (Exit, Vec<serde_json::Value>) {
        let events = std::iter::from_fn(|| self.next()).collect();
        (self.thread.join().unwrap(), events)
    }
}

/// `d…e` of keys and values that are bencode already; the keys must be in order.
pub(crate) fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = b"d".to_vec();
    for (key, value) in entries {
        out.extend(text(key));
        out.extend(value);
    }
    out.push(b'e');
    out
}

pub(crate) fn list(values: &[Vec<u8>]) -> Vec<u8> {
    [b"l", values.concat().as_slice(), b"e"].concat()
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    format!("{}:{text}", text.len()).into_bytes()
}

pub(crate) fn int(number: u64) -> Vec<u8> {
    format!("i{number}e").into_bytes()
}

/// A manifest of a directory `model` with these files, hashes all zero.
pub(crate) fn manifest_of(files: &[(&[&str], u64)]) -> Vec<u8> {
    let piece_len = 16_384;
    let total: u64 = files.iter().map(|(_, len)| len).sum();
    let entry = |(path, len): &(&[&str], u64)| {
        let elements: Vec<Vec<u8>> = path.iter().map(|element| text(element)).collect();
        dict(&[("length", int(*len)), ("path", list(&elements))])
    };
    let pieces = "\0".repeat(20 * usize::try_from(total.div_ceil(piece_len)).unwrap());
    let info = dict(&[
        ("files", list(&files.iter().map(entry).collect::<Vec<_>>())),
        ("name", text("model")),
        ("piece length", int(piece_len)),
        ("pieces", text(&pieces)),
    ]);
    dict(&[("info", info)])
}

/// Bytes that compress badly and differ from piece to piece.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

fn run(
    dir: &Path,
    words: &[&str],
    signals: Signals,
    [out, err]: [Box<dyn Write + Send>; 2],
) -> Exit {
    let words = ["swarm"].iter().chain(words).map(OsString::from);
    let dir = dir.to_owned();
    let mut env = Env {
        out,
        err,
        dir,
        interactive: false,
        logs: false,
        state_dir: None,
        columns: None,
        color: [false; 2],
        signals,
    };
    cli::run(words, &mut env)
}

struct Stream(Sender<String>);

fn stream() -> (Box<dyn Write + Send>, Receiver<String>) {
    let (sender, receiver) = mpsc::channel();
    (Box::new(Stream(sender)), receiver)
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.0.send(text).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn visit(dir: &Path, tree: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            visit(&path, tree);
            tree.insert(path, None);
        } else {
            let content = fs::read(&path).ok();
            tree.insert(path, content);
        }
    }
}
