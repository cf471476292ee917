//! The flags of `swarm create`, and what they ask of scanner and builder.

use std::path::PathBuf;

use clap::{ArgMatches, Args, FromArgMatches, ValueEnum};

use super::plain_builder;
use crate::cli::error::CliError;
use crate::cli::piece_size::PieceSize;
use crate::cli::{args, date};
use crate::metainfo::build::{Builder, CREATED_BY};
use crate::storage::create::{FileList, Rule, ScanOptions, Symlinks};

/// The arguments of `swarm create`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own on the command line"
)]
pub(in crate::cli) struct CreateArgs {
    /// Files or directories to describe
    #[arg(required = true, value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    /// Where to write the manifest; - is stdout [default: NAME.torrent]
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Name of the content [default: that of the path]
    #[arg(short, long, value_name = "NAME")]
    name: Option<String>,
    /// Tracker; repeat for a new tier, comma for the same one
    #[arg(short, long, value_name = "URL", value_parser = args::tier)]
    tracker: Vec<Tier>,
    /// A web server that has the content; may be repeated
    #[arg(short, long, value_name = "URL")]
    web_seed: Vec<String>,
    /// A remark for people
    #[arg(short, long, value_name = "TEXT")]
    comment: Option<String>,
    /// Length of a piece: a power of two from 16K to 128M, or auto for 1,000 to 2,000 pieces
    #[arg(short = 's', long, value_name = "SIZE", default_value = "auto", alias = "piece-length", value_parser = PieceSize::parse)]
    piece_size: PieceSize,
    /// Let only the named trackers be asked
    #[arg(short, long)]
    private: bool,
    /// Set this swarm apart from others of the same files
    #[arg(long, value_name = "TEXT")]
    source: Option<String>,
    /// Which files to leave out and which to take in again.
    #[command(flatten)]
    rules: Rules,
    /// Obey .gitignore files
    #[arg(long)]
    gitignore: bool,
    /// Leave out names that start with a dot
    #[arg(long)]
    no_hidden: bool,
    /// Keep .`DS_Store`, Thumbs.db and desktop.ini
    #[arg(long, help = "Keep .DS_Store, Thumbs.db and desktop.ini")]
    keep_junk: bool,
    /// What to do with symbolic links
    #[arg(long, value_name = "HOW", default_value = "follow")]
    symlinks: SymlinksArg,
    /// Date to write: none, now, or seconds since 1970 [default: `SOURCE_DATE_EPOCH` if set, else none]
    #[arg(long, value_name = "DATE", value_parser = date_arg, help = "Date to write: none, now, or seconds since 1970 [default: SOURCE_DATE_EPOCH, or none]")]
    date: Option<DateArg>,
    /// What to name as the maker, or none
    #[arg(long, value_name = "TEXT", default_value = CREATED_BY)]
    created_by: String,
    /// Start every file on a piece of its own
    #[arg(long)]
    pad: bool,
    /// Do not note which files are executable
    #[arg(long, overrides_with = "attr")]
    no_attr: bool,
    /// Note which files are executable (the default)
    #[arg(long, overrides_with = "no_attr")]
    attr: bool,
    /// Print the magnet link, too
    #[arg(long)]
    pub(super) magnet: bool,
    /// Only say what would be done
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Overwrite an existing manifest that differs
    #[arg(short, long)]
    pub(super) force: bool,
}

/// Trackers that are asked in turn (BEP 12).
type Tier = Vec<String>;

/// What to do with symbolic links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SymlinksArg {
    /// Share what they point at
    Follow,
    /// Leave them out
    Skip,
    /// Refuse them
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DateArg {
    None,
    Now,
    Epoch(i64),
}

/// `--exclude` and `--include` in the order in which they were given: the last match wins.
#[derive(Clone, Debug, Default)]
struct Rules(Vec<Rule>);

impl Args for Rules {
    fn augment_args(command: clap::Command) -> clap::Command {
        let rule = |id: &'static str, help: &'static str| {
            let arg = clap::Arg::new(id).long(id).value_name("GLOB").help(help);
            arg.action(clap::ArgAction::Append)
        };
        command
            .arg(rule(
                "exclude",
                "Leave out what matches, as in .gitignore; the last match wins",
            ))
            .arg(rule("include", "Take in again what matches"))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Rules {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut placed = Vec::new();
        for (id, rule) in [
            ("exclude", Rule::Exclude as fn(String) -> Rule),
            ("include", Rule::Include),
        ] {
            let globs = matches.get_many::<String>(id).into_iter().flatten();
            let indices = matches.indices_of(id).into_iter().flatten();
            placed.extend(
                indices
                    .zip(globs)
                    .map(|(place, glob)| (place, rule(glob.clone()))),
            );
        }
        placed.sort_by_key(|(place, _)| *place);
        Ok(Self(placed.into_iter().map(|(_, rule)| rule).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl CreateArgs {
    /// The length of a piece, if one was named.
    pub(super) fn piece_len(&self) -> Result<Option<u32>, CliError> {
        self.piece_size.chosen()
    }

    pub(super) fn scan_options(&self) -> ScanOptions {
        ScanOptions {
            name: self.name.clone(),
            rules: self.rules.0.clone(),
            gitignore: self.gitignore,
            hidden: !self.no_hidden,
            junk: self.keep_junk,
            symlinks: match self.symlinks {
                SymlinksArg::Follow => Symlinks::Follow,
                SymlinksArg::Skip => Symlinks::Skip,
                SymlinksArg::Error => Symlinks::Error,
            },
        }
    }

    pub(super) fn builder(&self, list: &FileList, piece_len: Option<u32>) -> Builder {
        let mut builder = plain_builder(list);
        builder.piece_len = piece_len.unwrap_or(builder.piece_len);
        if self.no_attr {
            builder
                .files
                .iter_mut()
                .for_each(|file| file.executable = false);
        }
        builder.pad = self.pad;
        builder.private = self.private;
        builder.source.clone_from(&self.source);
        builder.comment.clone_from(&self.comment);
        builder.created_by = Some(self.created_by.clone()).filter(|by| by != "none");
        builder.creation_date = self.creation_date();
        builder.trackers.clone_from(&self.tracker);
        builder.web_seeds.clone_from(&self.web_seed);
        builder
    }

    fn creation_date(&self) -> Option<i64> {
        match self.date {
            Some(DateArg::None) => None,
            Some(DateArg::Now) => i64::try_from(date::unix_time()).ok(),
            Some(DateArg::Epoch(epoch)) => Some(epoch),
            None => std::env::var("SOURCE_DATE_EPOCH").ok()?.parse().ok(),
        }
    }
}

fn date_arg(text: &str) -> Result<DateArg, String> {
    match text {
        "none" => Ok(DateArg::None),
        "now" => Ok(DateArg::Now),
        _ => text
            .parse()
            .map(DateArg::Epoch)
            .map_err(|_| "want none, now or a number".into()),
    }
}
