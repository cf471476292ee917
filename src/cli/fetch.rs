//! `swarm fetch`: gets files, gives what is already here meanwhile, and ends when that is fair.

mod stopped;

use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::args::Network;
use super::error::{CliError, Exit};
use super::event::{Event, lossy};
use super::fault::shown;
use super::hashing::{Label, sampled};
use super::lookup::{self, Looked};
use super::manifest::{self, Target};
use super::network::Hints;
use super::pace::{bound_of_fetch, fetch_parts, share_of};
use super::screen::{done_parts, stopped_line};
use super::seed::quoted;
use super::text::{Style, Text};
use super::transfer::{Content, Happened, Transfer};
use super::units::{show_counted, show_size, show_took};
use super::{App, select, show, units};
use crate::metainfo::Metainfo;
use crate::metainfo::escape::escape;
use crate::storage::{Allocate, FetchOptions, HashCache, Opened, Store};
use stopped::{again, disk_failure, stalled};

/// The arguments of `swarm fetch`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own on the command line"
)]
pub(super) struct FetchArgs {
    /// What to fetch, one after the other: manifests, URLs that swarm seed prints, magnet links
    #[arg(required = true, value_name = "MANIFEST|MAGNET|URL|INFOHASH")]
    inputs: Vec<OsString>,
    /// Directory to fetch into
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// What to call the file or directory [default: the manifest's name]
    #[arg(short, long, value_name = "NAME", value_parser = plain_name)]
    output: Option<String>,
    /// Fetch only files that match; may be repeated
    #[arg(long, value_name = "GLOB")]
    select: Vec<String>,
    /// Fetch only these files, by the numbers of --list
    #[arg(long, value_name = "N,N-M")]
    select_file: Option<String>,
    /// List the files and end
    #[arg(long)]
    list: bool,
    /// Serve others until stopped
    #[arg(long, conflicts_with_all = ["no_seed", "linger"])]
    seed: bool,
    /// End as soon as everything is here
    #[arg(long, conflicts_with = "linger")]
    no_seed: bool,
    /// Afterwards serve unfinished machines for at most this long
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = units::duration)]
    linger: Duration,
    /// Give up when nothing came for this long; 0 is never
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = units::duration)]
    stall_timeout: Duration,
    /// Correct an existing file that differs, in place
    #[arg(long)]
    repair: bool,
    /// Hash everything that is here again
    #[arg(long)]
    recheck: bool,
    /// How to take disk space
    #[arg(long, value_name = "HOW", default_value = "sparse")]
    allocate: AllocateArg,
    /// Program to run on success, with the path; sees `SWARM_NAME`, _DIR, _INFOHASH and _BYTES
    #[arg(
        long,
        value_name = "PROGRAM",
        help = "Program to run on success, with the path; sees SWARM_NAME, _DIR, _INFOHASH, _BYTES"
    )]
    on_complete: Option<PathBuf>,
    /// How to reach peers.
    #[command(flatten)]
    pub(super) network: Network,
}

/// How to take disk space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AllocateArg {
    /// As it is written
    None,
    /// The size at once, the space as it is written
    Sparse,
    /// All at once
    Full,
}

/// How a download ended, if not with an error.
enum Ending {
    Complete,
    Stopped(Exit),
}

pub(super) fn run(args: &FetchArgs, app: &mut App<'_>) -> Result<Exit, CliError> {
    if args.inputs.len() > 1 && (args.output.is_some() || args.seed) {
        let what = "--output and --seed are for one manifest, but several are named";
        return Err(CliError::new(Exit::Usage, what).help("run swarm fetch once for each"));
    }
    for (place, input) in args.inputs.iter().enumerate() {
        let order = match ordered(args, input, app)? {
            Ok(order) => order,
            Err(exit) => return Ok(exit),
        };
        if args.list {
            let summary = show::summary(&order.meta, true);
            app.printer.event(&Event::Manifest(Box::new(summary)));
            show::list_files(&order.meta, app);
            continue;
        }
        let exit = fetch(args, &order, app)?;
        if exit != Exit::Done {
            return Ok(exit);
        }
        let is_last = place + 1 == args.inputs.len();
        if let Some(stop) = app.stop_asked().filter(|_| !is_last) {
            return Ok(stop);
        }
    }
    Ok(Exit::Done)
}

/// One thing to fetch.
struct Order {
    meta: Arc<Metainfo>,
    hints: Hints,
    /// The only files that a magnet link wants, by their places in the manifest.
    select_only: Vec<RangeInclusive<usize>>,
    /// Whether the manifest came from peers.
    is_from_peers: bool,
}

/// Reads a manifest, or asks the swarm of a magnet link for it; or how the user stopped that.
fn ordered(
    args: &FetchArgs,
    input: &OsStr,
    app: &mut App<'_>,
) -> Result<Result<Order, Exit>, CliError> {
    let magnet = match manifest::target(input, &args.network, app)? {
        Target::Magnet(magnet) => magnet,
        Target::Manifest(meta) => {
            return Ok(Ok(Order {
                meta,
                hints: Hints::default(),
                select_only: Vec::new(),
                is_from_peers: false,
            }));
        }
    };
    let dir = output_dir(args, app)?;
    let found = lookup::manifest_of(&magnet, (&dir, args.stall_timeout), &args.network, app)?;
    Ok(match found {
        Looked::Stopped(exit) => Err(exit),
        Looked::Here(meta, hints) => Ok(Order {
            meta,
            hints,
            select_only: magnet.select_only,
            is_from_peers: true,
        }),
    })
}

fn fetch(args: &FetchArgs, order: &Order, app: &mut App<'_>) -> Result<Exit, CliError> {
    let meta = &order.meta;
    let name = args
        .output
        .clone()
        .unwrap_or_else(|| meta.name().to_owned());
    let cache = app.hash_cache();
    let opened = open_output(args, (order, &name), &cache, app)?;
    let target = app.dir.join(&args.dir).join(&name);
    if opened.already_complete {
        opened.store.remember(&cache);
        tell_already_complete(&target, opened.have.count(), app);
        if !args.seed {
            app.printer.event(&Event::End {
                exit: 0,
                sent: 0,
                received: 0,
            });
            return Ok(Exit::Done);
        }
    }
    if order.is_from_peers
        && let Err(error) = opened.store.keep_manifest()
    {
        // It will have to be asked for again, no more.
        tracing::debug!("manifest not kept: {error}");
    }
    let have = opened.have.count();
    let store = Arc::new(opened.store);
    let content = Content {
        meta: meta.clone(),
        name: name.clone(),
        store: Arc::clone(&store),
        have: opened.have,
        wanted: opened.wanted,
        serve: false,
    };
    let mut transfer = Transfer::start(content, (&args.network, &order.hints), app)?;
    transfer.tell_start("fetch", have, &app.dir.join(&args.dir), app);
    let ended = if opened.already_complete {
        serve(&mut transfer, None, app).map(|()| Exit::Done)
    } else {
        let again = again(args, &store);
        transfer_all((args, again), meta, &mut transfer, app)
    };
    let written = app.printer.elapsed();
    let ended = transfer.stop(ended, app)?;
    remember(&store, written, app);
    Ok(ended)
}

/// Spares a seed of it reading all of it again. The clock has to move on since it was `written`.
#[expect(clippy::disallowed_methods, reason = "the clock is waited for")]
fn remember(store: &Store, written: Duration, app: &App<'_>) {
    if app.state_dir.is_none() || !store.lacking().is_empty() {
        return;
    }
    let since = app.printer.elapsed().saturating_sub(written);
    thread::sleep(HashCache::TICK.saturating_sub(since));
    store.remember(&app.hash_cache());
}

fn open_output(
    args: &FetchArgs,
    (order, name): (&Order, &str),
    cache: &HashCache,
    app: &mut App<'_>,
) -> Result<Opened, CliError> {
    let meta = Arc::clone(&order.meta);
    let is_asked = !args.select.is_empty() || args.select_file.is_some();
    let options = FetchOptions {
        dir: output_dir(args, app)?,
        name: args.output.clone(),
        selected: if is_asked {
            select::files(&meta, &args.select, args.select_file.as_deref())?
        } else {
            select::only(&meta, &order.select_only)
        },
        allocate: match args.allocate {
            AllocateArg::None => Allocate::None,
            AllocateArg::Sparse => Allocate::Sparse,
            AllocateArg::Full => Allocate::Full,
        },
        repair: args.repair,
        recheck: args.recheck,
        cache: cache.clone(),
        threads: app.threads,
    };
    let label = Label {
        verb: "Checking",
        name,
    };
    sampled(app, label, |meter| Store::fetch(meta, &options, meter))
        .map_err(|error| app.fault(&error))
}

/// The directory to fetch into.
fn output_dir(args: &FetchArgs, app: &App<'_>) -> Result<PathBuf, CliError> {
    let dir = app.dir.join(&args.dir);
    if dir.is_dir() {
        return Ok(dir);
    }
    let typed = shown(&dir, app.dir);
    let failure = CliError::new(Exit::Input, format!("{typed} is no directory"));
    Err(if dir.exists() {
        failure
    } else {
        failure.help(format!("mkdir -p {}", quoted(&typed)))
    })
}

fn tell_already_complete(target: &Path, have: u32, app: &mut App<'_>) {
    let path = shown(target, app.dir);
    let pieces = show_counted(have.into(), "piece");
    let line = Text::new(" ")
        .styled(Style::Good, "Already complete")
        .plain("  ");
    let line = line
        .styled(Style::Strong, &path)
        .plain(format!("  {pieces} verified"));
    app.printer.result(vec![line], &path);
    app.printer.event(&Event::Complete {
        seconds: 0.0,
        path: lossy(target),
        from_seed: 0.0,
        bad_pieces: 0,
        bound_s: None,
        efficiency: None,
    });
}

/// Downloads, publishes, runs the hook, and serves those who are not finished yet.
fn transfer_all(
    (args, again): (&FetchArgs, &str),
    meta: &Metainfo,
    transfer: &mut Transfer,
    app: &mut App<'_>,
) -> Result<Exit, CliError> {
    let path = loop {
        if let Ending::Stopped(exit) = download((args, again), transfer, app)? {
            let line = stopped_line(transfer.progress(), again);
            app.printer.end_status();
            app.printer.say(&line);
            return Ok(exit);
        }
        if let Some(path) = transfer.finish(app)? {
            break path;
        }
    };
    tell_complete(transfer, &path, args.network.download_limit, app);
    if let Some(program) = &args.on_complete {
        run_hook(program, &path, meta, app)?;
    }
    if args.seed {
        serve(transfer, None, app)?;
    } else if !args.no_seed {
        serve(transfer, Some(args.linger), app)?;
    }
    Ok(Exit::Done)
}

fn download(
    (args, again): (&FetchArgs, &str),
    transfer: &mut Transfer,
    app: &mut App<'_>,
) -> Result<Ending, CliError> {
    loop {
        match transfer.step(app)? {
            Happened::Complete => return Ok(Ending::Complete),
            Happened::DiskFault(fault) => {
                return Err(disk_failure(&fault, (args, again), transfer));
            }
            Happened::Nothing => {}
        }
        if transfer.progress().complete {
            return Ok(Ending::Complete);
        }
        if let Some(exit) = app.stop_asked() {
            return Ok(Ending::Stopped(exit));
        }
        if app.printer.is_abandoned() {
            return Ok(Ending::Stopped(Exit::Incomplete));
        }
        transfer.show_fetching(app);
        if !args.stall_timeout.is_zero() && transfer.stalled(app) >= args.stall_timeout {
            return Err(stalled((args, again), transfer));
        }
    }
}

fn tell_complete(transfer: &Transfer, path: &Path, limit: Option<u64>, app: &mut App<'_>) {
    app.printer.end_status();
    let progress = transfer.progress();
    let (took, rates) = (transfer.took(app), app.printer.look().rates);
    let shown = shown(path, app.dir);
    app.printer
        .result(done_parts(&shown, progress, took, rates), &shown);
    // What came in vain had to come all the same; what was here before had not.
    let came = progress.received.saturating_sub(progress.wasted);
    let pace = transfer.pace_down(limit);
    let bound = pace.and_then(|pace| bound_of_fetch(came, pace));
    if let Some((bound, pace)) = bound.zip(pace) {
        app.printer
            .say_parts(fetch_parts(&bound, pace, took, rates));
    }
    app.printer.event(&Event::Complete {
        seconds: took.as_secs_f64(),
        path: lossy(path),
        from_seed: progress.received_from_seeds as f64 / progress.received.max(1) as f64,
        bad_pieces: progress.bad_pieces,
        bound_s: bound.map(|bound| bound.fluid_s),
        efficiency: bound.map(|bound| share_of(&bound, took)),
    });
}

/// Runs the user's program: no shell, the path as its only argument, its output on our stderr.
fn run_hook(
    program: &Path,
    path: &Path,
    meta: &Metainfo,
    app: &mut App<'_>,
) -> Result<(), CliError> {
    let found = app.dir.join(program);
    let status = process::Command::new(if found.is_file() { &found } else { program })
        .arg(path)
        .current_dir(app.dir)
        .env("SWARM_NAME", meta.name())
        .env("SWARM_DIR", path.parent().unwrap_or(app.dir))
        .env("SWARM_INFOHASH", meta.info_hash().to_string())
        .env("SWARM_BYTES", meta.layout().total_len().to_string())
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status();
    let shown = escape(program.as_os_str().as_encoded_bytes());
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(CliError::new(
            Exit::Other,
            format!("--on-complete {shown}: {status}"),
        )),
        Err(error) => {
            let what = format!("cannot run --on-complete {shown}: {error}");
            Err(CliError::new(Exit::Other, what).because(&error))
        }
    }
}

/// Serves until stopped, or while an unfinished peer is connected and `limit` has not passed.
fn serve(
    transfer: &mut Transfer,
    limit: Option<Duration>,
    app: &mut App<'_>,
) -> Result<(), CliError> {
    let start = app.printer.elapsed();
    let peers = transfer.progress().incomplete_peers;
    if limit.is_some_and(|limit| limit.is_zero() || peers == 0) {
        return Ok(());
    }
    app.printer.say(&Text::new(match limit {
        None => " Serving until Ctrl-C".into(),
        Some(limit) => format!(
            " Serving {} for up to {} (--no-seed to skip, Ctrl-C is safe)",
            show_counted(peers.into(), "unfinished machine"),
            humantime::format_duration(limit),
        ),
    }));
    app.printer.event(&Event::Linger {
        peers,
        seconds: limit.map(|limit| limit.as_secs_f64()),
    });
    while app.stop_asked().is_none() && !app.printer.is_abandoned() {
        transfer.show_seeding(None, app);
        transfer.step(app)?;
        let served = app.printer.elapsed().saturating_sub(start);
        let nobody_needs_us = transfer.progress().incomplete_peers == 0;
        if limit.is_some_and(|limit| nobody_needs_us || served >= limit) {
            break;
        }
    }
    app.printer.end_status();
    let sent = show_size(transfer.progress().sent);
    let served = show_took(app.printer.elapsed().saturating_sub(start));
    app.printer.say(&Text::new(format!(
        " Served for {served}, sent {sent} in all"
    )));
    Ok(())
}

/// A name that is one element of a path.
fn plain_name(text: &str) -> Result<String, String> {
    match text {
        "" | "." | ".." => Err("want a name".into()),
        _ if text.contains(['/', '\0']) => Err("want a plain name; -d takes a directory".into()),
        _ => Ok(text.to_owned()),
    }
}
