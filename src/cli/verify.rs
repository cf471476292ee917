//! `swarm verify`: compares files with their manifest, and names what differs.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::Args;

use super::error::{CliError, Exit};
use super::event::Event;
use super::fault::shown;
use super::hashing::{Label, sampled};
use super::manifest::{self, Manifest};
use super::text::{Style, Text};
use super::units::{show_count, show_counted};
use super::{App, show};
use crate::metainfo::Metainfo;
use crate::metainfo::escape::escape;
use crate::storage::verify::{BadFile, FileFault};
use crate::storage::{self, VerifyReport};

/// The arguments of `swarm verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The manifest
    manifest: OsString,
    /// The data [default: beside the manifest, or here]
    data: Option<PathBuf>,
    /// Delete files that are surely bad; one whose only bad pieces are shared with a neighbour stays
    #[arg(long)]
    delete_bad: bool,
}

pub(super) fn run(args: &VerifyArgs, app: &mut App<'_>) -> Result<Exit, CliError> {
    let manifest = manifest::open(&args.manifest, app)?;
    let data = manifest::locate_data(&manifest, args.data.as_deref(), app)?;
    let meta = &manifest.meta;
    let label = Label {
        verb: "Checking",
        name: meta.name(),
    };
    let threads = app.threads;
    let cache = app.hash_cache();
    let report = sampled(app, label, |meter| {
        storage::verify(meta, &data, &cache, threads, meter)
    })
    .map_err(|error| app.fault(&error))?;
    for bad in &report.bad_files {
        tell_bad_file(bad, meta, app);
    }
    app.printer.event(&Event::Verified {
        ok: report.is_good(),
        pieces: report.good.len(),
        bad_pieces: bad_pieces(&report),
        bad_files: report.bad_files.len(),
    });
    if report.is_good() {
        app.printer.result(
            show::headline("OK", meta.name(), meta),
            &shown(&data, app.dir),
        );
        return Ok(Exit::Done);
    }
    if args.delete_bad {
        delete_bad(&report, meta, app)?;
    }
    Err(mismatch(&report, &manifest, app))
}

fn bad_pieces(report: &VerifyReport) -> u32 {
    report.good.len() - report.good.count()
}

fn mismatch(report: &VerifyReport, manifest: &Manifest, app: &App<'_>) -> CliError {
    let manifest_shown = shown(&manifest.path, app.dir);
    let what = format!(
        "{} of {} and {} of {} do not match {manifest_shown}",
        show_count(report.bad_files.len() as u64),
        show_counted(show::numbered(&manifest.meta).count() as u64, "file"),
        show_count(bad_pieces(report).into()),
        show_counted(report.good.len().into(), "piece"),
    );
    CliError::new(Exit::Mismatch, what).help(format!(
        "swarm fetch {manifest_shown} --repair fetches only what is bad"
    ))
}

fn tell_bad_file(bad: &BadFile, meta: &Metainfo, app: &mut App<'_>) {
    let file = &meta.files()[bad.file];
    let problem = match bad.fault {
        FileFault::Missing => "missing".into(),
        FileFault::Size(size) => {
            format!(
                "{} bytes long, want {}",
                show_count(size),
                show_count(file.len)
            )
        }
        FileFault::Content => "wrong content".into(),
        FileFault::Unreadable => "cannot be read".into(),
    };
    let pieces = match bad.pieces.as_slice() {
        [] => String::new(),
        [only] if only.start() == only.end() => format!(", piece {}", only.start()),
        ranges => format!(", pieces {}", listed(ranges)),
    };
    let line = Text::new(" ").styled(Style::Bad, "bad").plain("  ");
    app.printer.line(
        &line
            .plain(escape(file.path.as_str()))
            .plain(format!(": {problem}{pieces}")),
    );
    app.printer.event(&Event::BadFile {
        path: file.path.as_str().to_owned(),
        problem,
        pieces: bad
            .pieces
            .iter()
            .map(|run| (*run.start(), *run.end()))
            .collect(),
    });
}

/// `12-13, 40`, the first of them where there are very many.
fn listed(ranges: &[RangeInclusive<u32>]) -> String {
    const SHOWN_MAX: usize = 20;
    let shown = ranges
        .iter()
        .take(SHOWN_MAX)
        .map(|run| match (run.start(), run.end()) {
            (start, end) if start == end => start.to_string(),
            (start, end) => format!("{start}-{end}"),
        });
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = ranges.len().checked_sub(SHOWN_MAX) {
        // Writing to a String cannot fail.
        let _ = write!(text, " and {more} more");
    }
    text
}

fn delete_bad(report: &VerifyReport, meta: &Metainfo, app: &mut App<'_>) -> Result<(), CliError> {
    for bad in &report.bad_files {
        let path = shown(&bad.path, app.dir);
        if bad.fault == FileFault::Missing {
            continue;
        }
        if !is_surely_bad(bad, meta) {
            let line = format!(" kept  {path}: its bad pieces are shared with a neighbour");
            app.printer.line(&Text::new(line));
            continue;
        }
        fs::remove_file(&bad.path).map_err(|error| {
            CliError::new(Exit::Disk, format!("cannot delete {path}: {error}")).because(&error)
        })?;
        app.printer.line(&Text::new(format!(" deleted  {path}")));
    }
    Ok(())
}

/// Whether the fault lies in this file, not perhaps in one that shares its bad pieces.
fn is_surely_bad(bad: &BadFile, meta: &Metainfo) -> bool {
    let file = &meta.files()[bad.file];
    let own = |piece: u32| {
        meta.layout().piece(piece).is_some_and(|piece| {
            let start = meta.layout().piece_offset(piece);
            let end = start + u64::from(meta.layout().piece_len(piece));
            file.offset <= start && end <= file.offset + file.len
        })
    };
    match bad.fault {
        FileFault::Size(_) => true,
        FileFault::Content => bad.pieces.iter().cloned().flatten().any(own),
        FileFault::Missing | FileFault::Unreadable => false,
    }
}
