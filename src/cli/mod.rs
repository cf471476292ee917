//! What a person types and sees: one file per command, all of them called in-process by tests.
//!
//! [`run`] takes the words of a command line and an [`Env`] and gives back how the program ends.
//! Nothing below it touches stdout, stderr or the working directory of the process.

mod args;
mod bench;
mod completions;
mod create;
mod date;
mod error;
mod event;
mod fault;
mod fetch;
mod gateway;
mod hashing;

mod live;
mod logging;
mod lookup;
mod magnet;
mod man;
mod manifest;
mod network;
mod output;
mod pace;
mod piece_size;
mod reachable;
mod report_dir;
mod scope;
mod screen;
mod seed;
mod select;
mod show;
mod signal;
mod sim;
mod text;
mod tracker;
mod transfer;
mod units;
mod verify;
mod web;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anstream::{AutoStream, ColorChoice};
use console::Term;

use args::{Cli, Command, Global, Progress, When};
use output::{Look, Printer, ProgressMode};
use text::{Style, Text};
use units::RateUnit;

use crate::storage::{HashCache, StorageError};

pub use args::command;
pub use error::{CliError, Exit};
pub use signal::Signals;

/// The world of one run.
pub struct Env {
    /// Where results go.
    pub out: Box<dyn Write + Send>,
    /// Where talk goes.
    pub err: Box<dyn Write + Send>,
    /// What relative paths are relative to.
    pub dir: PathBuf,
    /// Whether `err` is a terminal that somebody looks at.
    pub interactive: bool,
    /// Columns of the terminal that `out` is, if it is one.
    pub columns: Option<usize>,
    /// Whether `out` and `err` can show colours.
    pub color: [bool; 2],
    /// Whether this run may take the log of the process, of which there is one.
    pub logs: bool,
    /// Where to remember things from run to run, unless told otherwise.
    pub state_dir: Option<PathBuf>,
    /// How the user interrupts.
    pub signals: Signals,
}

impl Env {
    /// The world of this process.
    ///
    /// # Errors
    /// If the working directory is gone or signals cannot be listened to.
    pub fn of_process() -> io::Result<Self> {
        let (out, err) = (io::stdout(), io::stderr());
        let shows = |choice| choice != ColorChoice::Never;
        Ok(Self {
            dir: std::env::current_dir()?,
            interactive: err.is_terminal() && std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            color: [
                shows(AutoStream::choice(&out)),
                shows(AutoStream::choice(&err)),
            ],
            columns: Term::stdout()
                .size_checked()
                .map(|(_, columns)| columns.into()),
            logs: true,
            state_dir: state_dir(),
            signals: Signals::install()?,
            out: Box::new(out),
            err: Box::new(err),
        })
    }
}

/// What a command works with.
pub(crate) struct App<'a> {
    dir: &'a Path,
    signals: &'a Signals,
    threads: usize,
    /// Where to remember things from run to run, if anywhere.
    state_dir: Option<PathBuf>,
    /// The command line, as it was typed.
    command: String,
    printer: Printer<'a>,
}

impl App<'_> {
    /// How the user asked to end, if he did; what is on the terminal then stays.
    fn stop_asked(&mut self) -> Option<Exit> {
        let asked = self.signals.stop()?;
        self.printer.leave_status();
        Some(asked)
    }

    /// The hashes that earlier runs found; to be opened before anything is read.
    #[expect(
        clippy::disallowed_methods,
        reason = "the times of files, which it is compared with, are wall-clock times"
    )]
    fn hash_cache(&self) -> HashCache {
        HashCache::new(self.state_dir.clone(), SystemTime::now())
    }

    /// What the storage refused, in the words of the command line.
    fn fault(&self, error: &StorageError) -> CliError {
        match (error, self.signals.stop()) {
            (StorageError::Cancelled, Some(exit)) => CliError::new(exit, "interrupted"),
            _ => fault::of_storage(error, self.dir),
        }
    }
}

/// Where the state of programs goes (XDG base directory specification).
fn state_dir() -> Option<PathBuf> {
    let given = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let absolute = given.filter(|dir| dir.is_absolute());
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
    Some(absolute.or_else(home)?.join("swarm"))
}

/// Runs one command line; the first word is the program.
pub fn run(args: impl IntoIterator<Item = OsString>, env: &mut Env) -> Exit {
    let args: Vec<OsString> = args.into_iter().collect();
    let command = typed(&args);
    let cli = match args::parse(args) {
        Ok(cli) => cli,
        Err(error) => return show_clap(&error, env),
    };
    let look = look(&cli.global, env);
    let mut printer = Printer::new(&mut *env.out, &mut *env.err, look);
    if env.logs {
        match logging::start(&cli.global, &env.dir) {
            Ok(lines) => printer.take_log(lines),
            Err(error) => {
                printer.error(&error);
                return error.exit;
            }
        }
    }
    let threads = cli.global.threads;
    let given = cli.global.state_dir.as_ref();
    let state_dir = given.map(|given| env.dir.join(given));
    let mut app = App {
        dir: &env.dir,
        signals: &env.signals,
        threads: threads
            .or_else(|| Some(std::thread::available_parallelism().ok()?.get()))
            .unwrap_or(1),
        state_dir: state_dir.or_else(|| env.state_dir.clone()),
        command,
        printer,
    };
    let ended = dispatch(cli, &mut app);
    let mut exit = ended.unwrap_or_else(|error| {
        if !app.printer.is_abandoned() {
            app.printer.error(&error);
        }
        error.exit
    });
    if let Err(error) = app.printer.finish()
        && exit == Exit::Done
    {
        Printer::new(&mut io::sink(), &mut *env.err, look).error(&error);
        exit = error.exit;
    }
    exit
}

/// The command line as a shell takes it, by the name of the program.
fn typed(args: &[OsString]) -> String {
    let words = args
        .iter()
        .skip(1)
        .map(|word| seed::quoted(&word.to_string_lossy()));
    std::iter::once("swarm".to_owned())
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

fn dispatch(cli: Cli, app: &mut App<'_>) -> Result<Exit, CliError> {
    match cli.command {
        Some(Command::Create(args)) => create::run(&args, app),
        Some(Command::Seed(args)) => seed::run(&args, app),
        Some(Command::Fetch(args)) => fetch::run(&args, app),
        Some(Command::Show(args)) => show::run(&args, app),
        Some(Command::Verify(args)) => verify::run(&args, app),
        Some(Command::Magnet(args)) => magnet::run(&args, app),
        Some(Command::Tracker(args)) => tracker::run(&args, app),
        Some(Command::Bench(args)) => bench::run(&args, app),
        Some(Command::Sim(args)) => sim::run(&args, app),
        Some(Command::Completions(args)) => Ok(completions::run(&args, app)),
        Some(Command::Man(args)) => man::run(&args, app),
        None => Ok(introduce(app)),
    }
}

/// What `swarm` alone says: three examples, then the commands.
fn introduce(app: &mut App<'_>) -> Exit {
    let examples = [
        ("swarm seed ./dataset", "Share it; writes dataset.torrent"),
        (
            "swarm fetch http://10.0.0.5:6881/",
            "Get it, on every other machine",
        ),
        ("swarm verify dataset.torrent", "Check every byte of it"),
    ];
    let about = command()
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    app.printer.line(&Text::new(about));
    app.printer.line(&Text::default());
    for (typed, meaning) in examples {
        let line = Text::new("  ").styled(Style::Strong, format!("{typed:<50}"));
        app.printer.line(&line.plain(meaning));
    }
    app.printer.line(&Text::default());
    let list = command()
        .help_template("Commands:\n{subcommands}")
        .render_help()
        .to_string();
    for line in list.lines() {
        app.printer.line(&Text::new(line));
    }
    app.printer.line(&Text::default());
    app.printer.line(&Text::new(
        "swarm COMMAND --help shows the options of a command.",
    ));
    Exit::Done
}

fn look(global: &Global, env: &Env) -> Look {
    let progress = match global.progress {
        _ if global.no_progress => ProgressMode::None,
        Progress::Auto if !env.interactive || logging::is_talkative(global) => ProgressMode::Plain,
        Progress::Auto | Progress::Bar => ProgressMode::Bar,
        Progress::Plain => ProgressMode::Plain,
        Progress::None => ProgressMode::None,
    };
    Look {
        quiet: global.quiet,
        verbose: global.verbose,
        json: global.json,
        json_pieces: global.json_pieces,
        color: match global.color {
            When::Auto => env.color,
            When::Always => [true; 2],
            When::Never => [false; 2],
        },
        columns: env.columns,
        progress,
        interval: global.progress_interval,
        rates: if global.bits {
            RateUnit::Bits
        } else {
            RateUnit::Bytes
        },
    }
}

/// A mistake on the command line, or help that was asked for.
fn show_clap(error: &clap::Error, env: &mut Env) -> Exit {
    let text = error.render();
    let [out, err] = env.color;
    let (stream, color) = if error.use_stderr() {
        (&mut env.err, err)
    } else {
        (&mut env.out, out)
    };
    let text = if color {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    // Nobody is left to tell if even this cannot be written.
    let _ = writeln!(stream, "{}", text.trim_end()).and_then(|()| stream.flush());
    if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Done
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
