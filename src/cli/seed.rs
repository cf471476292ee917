//! `swarm seed`: gives files to everybody who asks, until told to stop or nobody needs it.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::args::Network;
use super::error::{CliError, Exit};
use super::fault::shown;
use super::hashing::{Label, sampled};
use super::manifest::{self, Manifest};
use super::network::Hints;
use super::pace::{bound_of_seed, seed_parts};
use super::reachable::reachable_ip;
use super::screen::copies_sent;
use super::text::{Style, Text};
use super::transfer::{Content, Happened, Transfer};
use super::units::{duration, show_count, show_counted, show_size, show_took};
use super::{App, create, magnet, scope, show};
use crate::bitfield::Bitfield;
use crate::runtime::dht::DhtUse;
use crate::storage::{Checked, HashCache, Store};
use crate::torrent::Progress;
use crate::tracker::url::escaped;

/// The arguments of `swarm seed`.
#[derive(Debug, Args)]
pub(super) struct SeedArgs {
    /// A manifest, or files to make one of first
    #[arg(value_name = "MANIFEST|PATH")]
    input: OsString,
    /// Where the data of the manifest is [default: beside it, or here]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Check only files that changed since they were last verified, by their sizes and times
    #[arg(long)]
    no_verify: bool,
    /// When to end: forever, copies=40, idle=10m, ratio=2 or time=2h
    #[arg(long, value_name = "SPEC", default_value = "forever")]
    until: Until,
    /// End when so many machines are complete, and show how far all of them are
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    expect: Option<u32>,
    /// Answer BitTorrent only: no HTTP for the manifest, the tracker and the files
    #[arg(long, overrides_with = "serve")]
    no_serve: bool,
    /// The default.
    #[arg(long, hide = true)]
    serve: bool,
    /// How to reach peers.
    #[command(flatten)]
    network: Network,
}

/// When a seed ends by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Until {
    /// Never.
    Forever,
    /// So many machines were seen complete.
    Copies(u32),
    /// Nothing was sent for so long.
    Idle(Duration),
    /// So many copies were sent.
    Ratio(f64),
    /// So much time has passed.
    Time(Duration),
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || "want forever, copies=40, idle=10m, ratio=2 or time=2h".to_owned();
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        let time = || duration(value).map_err(|error| error.to_string());
        match key {
            "forever" if value.is_empty() => Ok(Self::Forever),
            "copies" => value.parse().map(Self::Copies).map_err(|_| wanted()),
            "idle" => Ok(Self::Idle(time()?)),
            "time" => Ok(Self::Time(time()?)),
            "ratio" => match value.parse::<f64>() {
                Ok(ratio) if ratio.is_finite() && ratio >= 0.0 => Ok(Self::Ratio(ratio)),
                _ => Err(wanted()),
            },
            _ => Err(wanted()),
        }
    }
}

impl Until {
    fn is_reached(self, progress: &Progress, took: Duration) -> bool {
        match self {
            Self::Forever => false,
            Self::Copies(copies) => progress.completed_seen >= copies,
            Self::Idle(idle) => progress.idle >= idle,
            Self::Ratio(ratio) => copies_sent(progress) >= ratio,
            Self::Time(time) => took >= time,
        }
    }
}

/// What is to be seeded.
struct Source {
    manifest: Manifest,
    store: Store,
    /// Where the data is.
    data: PathBuf,
    /// How writing the manifest went, if it was made in this run, and what was not read.
    told: Vec<Text>,
}

pub(super) fn run(args: &SeedArgs, app: &mut App<'_>) -> Result<Exit, CliError> {
    let source = if is_data(&app.dir.join(&args.input)) {
        created(args, app)?
    } else {
        opened(args, app)?
    };
    let meta = Arc::clone(&source.manifest.meta);
    let all = Bitfield::full(meta.layout().piece_count());
    let content = Content {
        meta: Arc::clone(&meta),
        name: meta.name().to_owned(),
        store: Arc::new(source.store),
        have: all.clone(),
        wanted: all,
        serve: !args.no_serve,
    };
    let mut transfer = Transfer::start(content, (&args.network, &Hints::default()), app)?;
    let pieces = meta.layout().piece_count();
    let dir = source.data.parent().unwrap_or(app.dir);
    transfer.tell_start("seed", pieces, dir, app);
    let reachable = SocketAddr::new(reachable_ip(args.network.bind), transfer.port());
    let ways = Ways {
        reachable,
        trackers: transfer.trackers(),
        site: (!args.no_serve && !meta.is_private()).then(|| format!("http://{reachable}/")),
        is_looked_for: args.network.lpd() && !meta.is_private(),
        dht: transfer.dht(),
        is_opened: scope::port_mapping(&args.network, meta.is_private()).is_some(),
    };
    introduce((&source.manifest, source.told), &ways, app);
    tell_who_hears(&ways, app);
    let served = serve(args, &mut transfer, app);
    if served.is_ok() {
        tell_end(args, &transfer, app);
    }
    transfer.stop(served, app)
}

/// Whether the path is something to share rather than a manifest: a directory, or a file that
/// does not even start like one.
fn is_data(path: &Path) -> bool {
    let is_manifest_name = path
        .extension()
        .is_some_and(|extension| extension == "torrent");
    path.is_dir() || (path.is_file() && !is_manifest_name && !manifest::starts_like_one(path))
}

/// Makes the manifest first; its pieces need no second look.
fn created(args: &SeedArgs, app: &mut App<'_>) -> Result<Source, CliError> {
    let shared = [PathBuf::from(&args.input)];
    let list = create::scanned(&shared, &create::scan_all(), app)?;
    let path = create::manifest_path(&list.name, app.dir);
    create::check_target(&path, &shared, app)?;
    let mut builder = create::plain_builder(&list);
    builder.trackers.clone_from(&args.network.tracker);
    let made = create::hashed(&builder, list, &app.hash_cache(), app)?;
    let wrote = create::write_manifest(&made.meta, &path, false, app.dir).map_err(|error| {
        let manifest = shown(&path, app.dir);
        match error.exit {
            Exit::Exists => error.help(format!(
                "swarm seed {manifest} to share what it describes, or move it away"
            )),
            _ => error,
        }
    })?;
    let meta = Arc::new(made.meta);
    let store =
        Store::seed_created(Arc::clone(&meta), &made.list).map_err(|error| app.fault(&error))?;
    let mut told = vec![Text::new(format!(
        "{} {}",
        wrote.word(),
        shown(&path, app.dir)
    ))];
    told.extend(create::known_part(made.known));
    Ok(Source {
        manifest: Manifest { path, meta },
        store,
        data: app.dir.join(&args.input),
        told,
    })
}

/// Opens the data of a manifest and checks every byte of it, but what is to be believed.
fn opened(args: &SeedArgs, app: &mut App<'_>) -> Result<Source, CliError> {
    let manifest = manifest::open_here(&args.input, app)?;
    let meta = &manifest.meta;
    let data = manifest::locate_data(&manifest, args.data.as_deref(), app)?;
    let store = Store::seed(Arc::clone(meta), &data).map_err(|error| app.fault(&error))?;
    let cache = app.hash_cache();
    let nothing = HashCache::default();
    let trusted = if args.no_verify { &cache } else { &nothing };
    let pieces: Vec<_> = meta.layout().pieces().collect();
    let threads = app.threads;
    let label = Label {
        verb: "Checking",
        name: meta.name(),
    };
    let Checked { good, known } = sampled(app, label, |meter| {
        store.check(&pieces, trusted, threads, meter)
    });
    if let Some(exit) = app.stop_asked() {
        return Err(CliError::new(exit, "interrupted"));
    }
    if app.printer.is_abandoned() {
        return Err(CliError::new(Exit::Interrupted, "nobody reads the output"));
    }
    store.remember(&cache);
    if !good.is_full() {
        let typed = shown(&manifest.path, app.dir);
        let what = format!(
            "{} of {} of {} do not match {typed}",
            show_count(u64::from(good.len() - good.count())),
            show_counted(good.len().into(), "piece"),
            shown(&data, app.dir),
        );
        return Err(CliError::new(Exit::Mismatch, what).help(format!(
            "swarm verify {typed} names the files, swarm fetch {typed} --repair mends them"
        )));
    }
    Ok(Source {
        manifest,
        store,
        data,
        told: create::known_part(known).into_iter().collect(),
    })
}

/// How other machines come to a seed.
struct Ways<'a> {
    /// Where they most likely reach it.
    reachable: SocketAddr,
    /// The trackers that are told.
    trackers: &'a [String],
    /// The URL that it is given at over HTTP.
    site: Option<String>,
    /// Whether machines on this network find it by themselves.
    is_looked_for: bool,
    /// How the DHT is used.
    dht: Option<DhtUse>,
    /// Whether the gateway is asked to let others in.
    is_opened: bool,
}

/// Says what is seeded, and what to type on the other machines.
fn introduce(
    (Manifest { path, meta }, told): (&Manifest, Vec<Text>),
    ways: &Ways<'_>,
    app: &mut App<'_>,
) {
    let mut parts = show::headline("Seeding", meta.name(), meta);
    parts.extend(told);
    let mut magnet = magnet::of_manifest(meta);
    magnet.trackers = ways.trackers.to_vec();
    let own = ways.site.as_ref().map(|site| format!("{site}announce"));
    magnet.trackers.extend(own);
    magnet.peers.push(ways.reachable.to_string());
    app.printer.result(parts, &magnet.to_string());
    let file = quoted(&path.file_name().unwrap_or_default().to_string_lossy());
    let mut say = |line: String| app.printer.say(&Text::new(line));
    if meta.is_private() {
        say(format!(" On each machine, with a copy of {file}, run:"));
    } else {
        say(" On each machine run one of:".to_owned());
    }
    if let Some(site) = &ways.site {
        say(format!("   swarm fetch {site}"));
    }
    say(format!("   swarm fetch {file} --peer {}", ways.reachable));
    if !meta.is_private() {
        say(format!("   swarm fetch {}", quoted(&magnet.to_string())));
    }
    let (source, others) = match &ways.site {
        Some(site) => (
            format!("{site}{}.torrent", escaped(meta.name())),
            "same URL",
        ),
        None if !meta.trackers().is_empty() => (file, "the same file"),
        None => return,
    };
    let line = Text::new(format!("   aria2c --seed-time=0 {source}      "));
    let others = format!("(transmission, qBittorrent, rqbit: {others})");
    app.printer.say(&line.styled(Style::Dim, others));
}

fn tell_who_hears(ways: &Ways<'_>, app: &mut App<'_>) {
    let announced = match (ways.dht, ways.trackers, ways.is_looked_for) {
        (Some(DhtUse::Always), ..) => "The DHT is told, and with it everybody.",
        (Some(_), ..) => "Whom it names is told and, if that is public, the whole DHT.",
        (None, [], _) if ways.is_opened => {
            "Nobody outside this network is told, but who knows the address may come in."
        }
        (None, [], true) => {
            "Nothing is announced outside this network (--scope internet to change)."
        }
        (None, [], false) => "Nothing is announced.",
        (None, _, true) => "This network and its trackers are told.",
        (None, _, false) => "Only its trackers are told.",
    };
    let who = if ways.is_looked_for || ways.site.is_some() {
        "Anyone who has the link can fetch."
    } else {
        "Whoever has the manifest can fetch."
    };
    let line = format!(" {announced} {who} Ctrl-C stops.");
    app.printer.say(&Text::default().styled(Style::Dim, line));
}

/// Serves until there is a reason to end. Whoever expects machines wants to know whether they all
/// got it.
fn serve(args: &SeedArgs, transfer: &mut Transfer, app: &mut App<'_>) -> Result<Exit, CliError> {
    let limit = args.network.upload_limit;
    loop {
        let complete = transfer.progress().completed_seen;
        if args.expect.is_some_and(|expected| complete >= expected) {
            return Ok(Exit::Done);
        }
        let early = |exit| {
            if args.expect.is_some() {
                exit
            } else {
                Exit::Done
            }
        };
        if let Some(asked) = app.stop_asked() {
            return Ok(early(asked));
        }
        if app.printer.is_abandoned() {
            return Ok(early(Exit::Incomplete));
        }
        if args
            .until
            .is_reached(transfer.progress(), transfer.took(app))
        {
            return Ok(early(Exit::Incomplete));
        }
        let now = app.printer.elapsed();
        let fleet = args
            .expect
            .map(|expected| transfer.fleet(expected, limit, now));
        transfer.show_seeding(fleet, app);
        if let Happened::DiskFault(fault) = transfer.step(app)? {
            return Err(CliError::new(Exit::Disk, fault.to_string()).because(&fault));
        }
    }
}

fn tell_end(args: &SeedArgs, transfer: &Transfer, app: &mut App<'_>) {
    app.printer.end_status();
    let progress = transfer.progress();
    let line = format!(
        " Stopped after {}: sent {} = {:.2} copies, saw {} complete",
        show_took(transfer.took(app)),
        show_size(progress.sent),
        copies_sent(progress),
        show_counted(progress.completed_seen.into(), "machine"),
    );
    app.printer.say(&Text::new(line));
    let Some(expected) = args.expect else {
        return;
    };
    let (now, limit) = (app.printer.elapsed(), args.network.upload_limit);
    let fleet = transfer.fleet(expected, limit, now);
    app.printer.event(&fleet.event(copies_sent(progress)));
    if fleet.complete < expected {
        let line = format!(
            " {} of {expected} machines are not complete",
            expected - fleet.complete
        );
        app.printer.say(&Text::default().styled(Style::Warn, line));
        return;
    }
    let arrivals = transfer.arrivals();
    let took = arrivals.took(now);
    let pace = transfer.pace_up(limit);
    let bound = pace.and_then(|pace| bound_of_seed(progress.wanted_bytes, expected, pace));
    if let Some((bound, pace)) = bound.zip(pace) {
        let rates = app.printer.look().rates;
        app.printer
            .say_parts(seed_parts(&bound, pace, (took, arrivals), rates));
    }
}

/// A word as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-+,/=@%:".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_seed_can_be_told_in_five_ways() {
        let secs = Duration::from_secs;
        let cases = [
            ("forever", Until::Forever),
            ("copies=40", Until::Copies(40)),
            ("idle=10m", Until::Idle(secs(600))),
            ("ratio=1.5", Until::Ratio(1.5)),
            ("time=2h", Until::Time(secs(7_200))),
        ];
        for (text, until) in cases {
            assert_eq!(text.parse(), Ok(until));
        }
        for text in [
            "",
            "copies",
            "copies=-1",
            "ratio=NaN",
            "idle=10",
            "forever=1",
        ] {
            assert!(text.parse::<Until>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_seed_ends_when_what_it_waits_for_is_there() {
        let progress = Progress {
            wanted_bytes: 100,
            sent: 150,
            completed_seen: 2,
            idle: Duration::from_secs(9),
            ..Progress::default()
        };
        let reached = |text: &str| {
            let until: Until = text.parse().expect("valid");
            until.is_reached(&progress, Duration::from_secs(60))
        };
        for text in ["copies=2", "idle=9s", "ratio=1.5", "time=1m"] {
            assert!(reached(text), "{text}");
        }
        for text in ["forever", "copies=3", "idle=10s", "ratio=1.6", "time=2m"] {
            assert!(!reached(text), "{text}");
        }
    }

    #[test]
    fn a_name_is_quoted_as_a_shell_takes_it() {
        assert_eq!(quoted("model-70b.torrent"), "model-70b.torrent");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's; rm"), "'it'\\''s; rm'");
    }
}
