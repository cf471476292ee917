//! `swarm show`: what a manifest or a magnet link says.

mod link;

use std::ffi::OsString;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde::Serialize;

use super::error::{CliError, Exit};
use super::event::Event;
use super::text::{Style, Text};
use super::units::{show_count, show_counted, show_size};
use super::{App, manifest};
use crate::metainfo::escape::escape;
use crate::metainfo::{FileEntry, FileKind, FileMode, Metainfo};

/// Trackers and web seeds shown without `--trackers`.
const URLS_SHOWN: usize = 3;

/// The arguments of `swarm show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// A manifest, a magnet link or an info-hash
    #[arg(value_name = "MANIFEST|MAGNET")]
    manifest: OsString,
    /// List every file
    #[arg(long)]
    files: bool,
    /// List every tracker, tier by tier
    #[arg(long)]
    trackers: bool,
}

pub(super) use link::Link;

/// What a manifest says, for a program.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    name: String,
    infohash: String,
    size: u64,
    piece_length: u32,
    pieces: u32,
    file_count: usize,
    directory: bool,
    private: bool,
    trackers: Vec<Vec<String>>,
    web_seeds: Vec<String>,
    comment: Option<String>,
    created_by: Option<String>,
    creation_date: Option<i64>,
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<File>>,
}

#[derive(Debug, Serialize)]
struct File {
    number: usize,
    path: String,
    size: u64,
    executable: bool,
}

pub(super) fn run(args: &ShowArgs, app: &mut App<'_>) -> Result<Exit, CliError> {
    if let Some(magnet) = manifest::link(&args.manifest, app)? {
        link::show(&magnet, args, app);
        return Ok(Exit::Done);
    }
    let manifest = manifest::open(&args.manifest, app)?;
    let meta = &*manifest.meta;
    app.printer
        .event(&Event::Manifest(Box::new(summary(meta, args.files))));
    facts(meta, args, app);
    if args.files {
        app.printer.line(&Text::default());
        list_files(meta, app);
    }
    Ok(Exit::Done)
}

/// One line per file: the number that `--select-file` takes, the size, the path.
pub(super) fn list_files(meta: &Metainfo, app: &mut App<'_>) {
    for (number, file) in numbered(meta) {
        let note = match file.kind {
            FileKind::Symlink => "  (link, not created)",
            _ if file.executable => "  (executable)",
            _ => "",
        };
        let line = Text::new(format!("{number:>5}  {:>9}  ", show_size(file.len)));
        let line = line
            .plain(escape(file.path.as_str()))
            .styled(Style::Dim, note);
        app.printer.line(&line);
    }
}

/// The files that are not padding, each with its place in the manifest, counted from 1.
pub(super) fn numbered(meta: &Metainfo) -> impl Iterator<Item = (usize, &FileEntry)> {
    let all = (1..).zip(meta.files());
    all.filter(|(_, file)| file.kind != FileKind::Padding)
}

/// A line that says one thing; `value` is escaped already.
fn fact(label: &str, value: String, app: &mut App<'_>) {
    let line = Text::default()
        .styled(Style::Dim, format!("{label:<10}  "))
        .plain(value);
    app.printer.line(&line);
}

fn facts(meta: &Metainfo, args: &ShowArgs, app: &mut App<'_>) {
    let layout = meta.layout();
    let mut fact = |label: &str, value: String| fact(label, value, app);
    fact("name", escape(meta.name()));
    let bytes = show_count(layout.total_len());
    fact(
        "size",
        format!("{} ({bytes} bytes)", show_size(layout.total_len())),
    );
    fact("files", show_count(numbered(meta).count() as u64));
    let piece_len = show_size(layout.nominal_piece_len().into());
    fact(
        "pieces",
        format!("{} × {piece_len}", show_count(layout.piece_count().into())),
    );
    fact("info-hash", meta.info_hash().to_string());
    if meta.is_private() {
        fact("private", "yes: only its own trackers may be asked".into());
    }
    for (label, value) in [("comment", meta.comment()), ("source", meta.source())] {
        if let Some(value) = value {
            fact(label, escape(value));
        }
    }
    if let Some(made) = made(meta) {
        fact("made", made);
    }
    let tiers = meta.trackers().iter().enumerate();
    let mut trackers: Vec<String> = tiers
        .flat_map(|(tier, urls)| {
            urls.iter()
                .map(move |url| format!("{}  tier {}", escape(url), tier + 1))
        })
        .collect();
    let web_seeds: Vec<String> = meta.web_seeds().iter().map(escape).collect();
    let count = trackers.len();
    if !args.trackers && count > URLS_SHOWN {
        trackers.truncate(URLS_SHOWN);
        trackers.push(format!("… {} more (--trackers)", count - URLS_SHOWN));
    }
    for (label, urls) in [("tracker", trackers), ("web seed", web_seeds)] {
        for (i, url) in urls.into_iter().enumerate() {
            fact(if i == 0 { label } else { "" }, url);
        }
    }
    for renamed in meta.renamed() {
        let given = format!(
            "{} is written as {}",
            renamed.given,
            escape(renamed.path.as_str())
        );
        fact("renamed", given);
    }
}

/// When and by what the manifest was made.
fn made(meta: &Metainfo) -> Option<String> {
    let date = meta.creation_date().and_then(|date| {
        // Beyond the year 9999 nothing can be written as a date; some programs write milliseconds.
        let date = u64::try_from(date)
            .ok()
            .filter(|date| *date < 253_402_300_800)?;
        let date = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(date))?;
        Some(humantime::format_rfc3339_seconds(date).to_string())
    });
    let by = meta.created_by().map(|by| format!("by {}", escape(by)));
    let parts: Vec<String> = [date, by].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

pub(super) fn summary(meta: &Metainfo, with_files: bool) -> Summary {
    let layout = meta.layout();
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let file = |(number, file): (usize, &FileEntry)| File {
        number,
        path: file.path.as_str().to_owned(),
        size: file.len,
        executable: file.executable,
    };
    Summary {
        name: meta.name().to_owned(),
        infohash: meta.info_hash().to_string(),
        size: layout.total_len(),
        piece_length: layout.nominal_piece_len(),
        pieces: layout.piece_count(),
        file_count: numbered(meta).count(),
        directory: meta.mode() == FileMode::Directory,
        private: meta.is_private(),
        trackers: meta.trackers().to_vec(),
        web_seeds: meta.web_seeds().to_vec(),
        comment: owned(meta.comment()),
        created_by: owned(meta.created_by()),
        creation_date: meta.creation_date(),
        source: owned(meta.source()),
        files: with_files.then(|| numbered(meta).map(file).collect()),
    }
}

/// What a manifest comes to, in parts: size, files, pieces, info-hash.
fn in_short(meta: &Metainfo) -> Vec<Text> {
    let layout = meta.layout();
    let pieces = show_counted(layout.piece_count().into(), "piece");
    let piece_len = show_size(layout.nominal_piece_len().into());
    let hash = meta.info_hash().to_string();
    vec![
        Text::new(show_size(layout.total_len())),
        Text::new(show_counted(numbered(meta).count() as u64, "file")),
        Text::new(format!("{pieces} × {piece_len}")),
        Text::new(format!("{}…{}", &hash[..6], &hash[38..])),
    ]
}

/// The same after a word and a name: ` Wrote  model.torrent  131 GiB · …`.
pub(super) fn headline(word: &str, title: &str, meta: &Metainfo) -> Vec<Text> {
    let mut parts = in_short(meta);
    let head = Text::new(" ").styled(Style::Good, word).plain("  ");
    parts[0] = head
        .styled(Style::Strong, escape(title))
        .plain("  ")
        .join(parts[0].clone());
    parts
}
