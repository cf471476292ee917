//! What every command takes: the global flags, the network flags, and the list of commands.
//!
//! Every flag can be set by `SWARM_<FLAG>` too; [`command`] wires that in one place.

use std::ffi::OsString;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use super::{
    bench, completions, create, fetch, magnet, man, seed, show, sim, tracker, units, verify,
};
use crate::runtime::scope;

/// Gets large files onto many machines, fast, with no central server
#[derive(Debug, Parser)]
#[command(
    name = "swarm",
    version,
    max_term_width = 100,
    disable_help_subcommand = true
)]
pub(super) struct Cli {
    /// The flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command, if one was named.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// A command and its arguments.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a manifest (.torrent) of files
    Create(create::CreateArgs),
    /// Give files to everybody who asks for them
    Seed(seed::SeedArgs),
    /// Get files, and give what is already here to others meanwhile
    Fetch(fetch::FetchArgs),
    /// Show what a manifest or a magnet link says
    #[command(visible_alias = "info")]
    Show(show::ShowArgs),
    /// Compare files with their manifest
    #[command(visible_alias = "check")]
    Verify(verify::VerifyArgs),
    /// Print the magnet link of a manifest
    Magnet(magnet::MagnetArgs),
    /// Let machines find each other, over HTTP and UDP
    Tracker(tracker::TrackerArgs),
    /// Measure how fast a swarm on this machine is, over real sockets
    Bench(bench::BenchArgs),
    /// Simulate a swarm, and say how near it comes to the least time possible
    Sim(Box<sim::SimArgs>),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Print the manual page
    Man(man::ManArgs),
}

/// The flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own on the command line"
)]
pub(super) struct Global {
    /// Print only the result; twice: only errors
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub quiet: u8,
    /// Log what happens to stderr; up to three times (the variable `SWARM_LOG` takes a filter)
    #[arg(short, long, global = true, action = ArgAction::Count, help = "Log to stderr, up to three times; SWARM_LOG takes a filter")]
    pub verbose: u8,
    /// Whether to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: When,
    /// How to show progress: auto is bar on a terminal, else plain
    #[arg(long, global = true, value_name = "HOW", default_value = "auto")]
    pub progress: Progress,
    /// The same as --progress none
    #[arg(long, global = true, conflicts_with = "progress")]
    pub no_progress: bool,
    /// Time between plain lines (10s) or JSON progress events (1s)
    #[arg(long, global = true, value_name = "TIME", value_parser = units::duration)]
    pub progress_interval: Option<Duration>,
    /// Show rates in bits per second
    #[arg(long, global = true)]
    pub bits: bool,
    /// Print events as JSON, one per line
    #[arg(long, global = true)]
    pub json: bool,
    /// With --json: an event for every piece
    #[arg(long, global = true, requires = "json")]
    pub json_pieces: bool,
    /// Threads that hash [default: one per core]
    #[arg(short = 'j', long, global = true, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// Log to this file instead of stderr
    #[arg(long, global = true, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Where to remember things from run to run.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        help = "Where to remember things from run to run [default: $XDG_STATE_HOME/swarm]"
    )]
    pub state_dir: Option<PathBuf>,
    /// How to write the log
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    /// If the terminal can show them.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How to show progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Progress {
    /// A bar on a terminal, else plain lines.
    Auto,
    /// A block that is redrawn.
    Bar,
    /// A line now and then.
    Plain,
    /// Nothing.
    None,
}

/// How to write the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Scope {
    /// This network, and whom the manifest or the link names
    Auto,
    /// This network only
    Lan,
    /// Everybody, through the public DHT and the gateway
    Internet,
}

/// The flags of commands that talk to peers.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network options")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own on the command line"
)]
pub(super) struct Network {
    /// Port to listen on, or a range to try [default: 6881-6889, then any free one]
    #[arg(short, long, value_name = "N[-M]", value_parser = units::ports)]
    pub port: Option<RangeInclusive<u16>>,
    /// Address to listen on [default: all]
    #[arg(long, value_name = "ADDR")]
    pub bind: Option<IpAddr>,
    /// A peer to connect to; may be repeated
    #[arg(long, value_name = "HOST:PORT", value_parser = peer, value_delimiter = ',')]
    pub peer: Vec<String>,
    /// A file with a HOST:PORT on each line
    #[arg(long, value_name = "FILE")]
    pub peers_from: Option<PathBuf>,
    /// Tracker to ask instead of the manifest's; repeat for a new tier, comma for the same one
    #[arg(short, long, value_name = "URL", value_parser = tier)]
    pub tracker: Vec<Vec<String>>,
    /// Do not look for peers on the local network
    #[arg(long, alias = "no-lsd", overrides_with = "lpd")]
    pub no_lpd: bool,
    /// The default.
    #[arg(long, alias = "lsd", hide = true)]
    pub lpd: bool,
    /// Neither tell peers of each other nor believe what they tell
    #[arg(long, overrides_with = "pex")]
    pub no_pex: bool,
    /// The default.
    #[arg(long, hide = true)]
    pub pex: bool,
    /// Whom to tell: this network and whom the manifest names; this network; anybody
    #[arg(long, value_name = "SCOPE", default_value = "auto")]
    pub scope: Scope,
    /// Ask the DHT for peers, whatever the scope is [default: by scope]
    #[arg(long, overrides_with = "no_dht")]
    pub dht: bool,
    /// Do not ask the DHT
    #[arg(long)]
    pub no_dht: bool,
    /// A node of the DHT to start from, instead of the public ones; may be repeated
    #[arg(long, value_name = "HOST:PORT", value_parser = peer, value_delimiter = ',')]
    pub dht_bootstrap: Vec<String>,
    /// Ask the gateway to let others in, whatever the scope is [default: by scope]
    #[arg(long, overrides_with = "no_portmap")]
    pub portmap: bool,
    /// Do not ask the gateway to let others in
    #[arg(long)]
    pub no_portmap: bool,
    /// Receive at most this much per second, such as 10M or 80Mbit
    #[arg(long, value_name = "RATE", value_parser = units::rate, alias = "max-overall-download-limit")]
    pub download_limit: Option<u64>,
    /// Send at most this much per second
    #[arg(short, long, value_name = "RATE", value_parser = units::rate, alias = "max-overall-upload-limit")]
    pub upload_limit: Option<u64>,
    /// Connections at most
    #[arg(long, value_name = "N", default_value = "80", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub max_peers: u16,
    /// Memory for pieces on their way
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = units::size)]
    pub memory: u64,
}

impl Network {
    /// Whether peers tell each other of others (BEP 11).
    pub(super) const fn pex(&self) -> bool {
        !self.no_pex
    }

    /// Whom a session may talk to.
    pub(super) const fn session_scope(&self) -> scope::Scope {
        match self.scope {
            Scope::Lan => scope::Scope::Lan,
            Scope::Auto | Scope::Internet => scope::Scope::Any,
        }
    }

    /// Whether peers are looked for on the local network (BEP 14).
    pub(super) const fn lpd(&self) -> bool {
        !self.no_lpd
    }
}

/// The whole command line, as clap sees it, with `SWARM_<FLAG>` for every flag.
pub fn command() -> clap::Command {
    let mut command = with_env(Cli::command());
    command.build();
    command
}

/// Reads a command line; the first word is the program.
///
/// # Errors
/// What clap says: a mistake, or the help text that was asked for.
pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let matches = with_env(Cli::command()).try_get_matches_from(args)?;
    Cli::from_arg_matches(&matches)
}

fn with_env(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        let Some(long) = arg.get_long() else {
            return arg;
        };
        let variable = format!("SWARM_{}", long.replace('-', "_").to_uppercase());
        let is_flag = matches!(arg.get_action(), ArgAction::SetTrue);
        let arg = arg.env(variable).hide_env(true);
        if is_flag {
            arg.value_parser(BoolishValueParser::new())
        } else {
            arg
        }
    });
    let help = Arg::new("help")
        .short('h')
        .long("help")
        .help("Print help")
        .help_heading(None::<&str>);
    // The short form for both: one line per option, as long as there is only one sentence to say.
    let command = command
        .disable_help_flag(true)
        .arg(help.action(ArgAction::HelpShort));
    command.mut_subcommands(with_env)
}

/// One tier of trackers: URLs with commas between them (BEP 12).
pub(super) fn tier(text: &str) -> Result<Vec<String>, String> {
    let known = ["http://", "https://", "udp://"];
    let urls: Vec<String> = text.split(',').map(|url| url.trim().to_owned()).collect();
    match urls
        .iter()
        .find(|url| !known.iter().any(|scheme| url.starts_with(scheme)))
    {
        Some(url) => Err(format!("{url:?} is no http, https or udp URL")),
        None => Ok(urls),
    }
}

/// A host and a port; the host is looked up later.
pub(super) fn peer(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port))
            if !host.is_empty()
                && port.parse::<u16>().is_ok_and(|port| port > 0)
                && (!host.contains(':') || host.starts_with('[') && host.ends_with(']')) =>
        {
            Ok(text.to_owned())
        }
        _ => Err("want HOST:PORT, such as 10.0.0.5:6881 or [fd00::5]:6881".into()),
    }
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads @ 1..=1024) => Ok(threads),
        _ => Err("want a number from 1 to 1024".into()),
    }
}
