//! `swarm create`: makes a manifest of files; the same files give the same bytes on every machine.

mod args;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::error::{CliError, Exit};
use super::event::{Event, lossy};
use super::fault::shown;
use super::hashing::{Label, sampled};
use super::text::Text;
use super::units::{show_counted, show_size};
use super::{App, magnet, show};
use crate::metainfo::build::{Builder, NewFile};
use crate::metainfo::escape::escape;
use crate::metainfo::{Metainfo, MetainfoError};
use crate::storage::HashCache;
use crate::storage::create::{FileList, Hashed, ScanOptions, Symlinks, hash_files, scan};

pub(super) use args::CreateArgs;

/// Pieces longer than this fail with some clients.
const PIECE_LEN_ADVISED_MAX: u32 = 16 << 20;

/// A manifest just made, and the files it was made from.
#[derive(Debug)]
pub(super) struct Created {
    /// What it says.
    pub(super) meta: Metainfo,
    /// The files, as they were when they were hashed.
    pub(super) list: FileList,
    /// How many pieces an earlier run had hashed.
    pub(super) known: u32,
}

pub(super) fn run(args: &CreateArgs, app: &mut App<'_>) -> Result<Exit, CliError> {
    let piece_len = args.piece_len()?;
    let list = scanned(&args.paths, &args.scan_options(), app)?;
    let builder = args.builder(&list, piece_len);
    let to_stdout = args
        .output
        .as_ref()
        .is_some_and(|output| output.as_os_str() == "-");
    let target = (!to_stdout).then(|| match &args.output {
        Some(output) => app.dir.join(output),
        None => manifest_path(&list.name, app.dir),
    });
    if builder.piece_len > PIECE_LEN_ADVISED_MAX {
        app.printer.warn(
            "long-pieces",
            "some clients cannot read pieces longer than 16 MiB",
        );
    }
    if args.dry_run {
        return dry_run(&builder, target.as_deref(), app);
    }
    if let Some(target) = &target {
        check_target(target, &args.paths, app)?;
    }
    let cache = app.hash_cache();
    let Created { meta, known, .. } = hashed(&builder, list, &cache, app)?;
    let wrote = match &target {
        None => {
            app.printer.data(meta.raw());
            "made"
        }
        Some(target) => write_manifest(&meta, target, args.force, app.dir)?.word(),
    };
    tell((&meta, known), target.as_deref(), wrote, app);
    if args.magnet {
        app.printer
            .line(&Text::new(magnet::of_manifest(&meta).to_string()));
    }
    Ok(Exit::Done)
}

/// Finds the files to share, and says what was left out.
pub(super) fn scanned(
    paths: &[PathBuf],
    options: &ScanOptions,
    app: &mut App<'_>,
) -> Result<FileList, CliError> {
    let paths: Vec<PathBuf> = paths.iter().map(|path| app.dir.join(path)).collect();
    let list = scan(&paths, options, app.threads).map_err(|error| app.fault(&error))?;
    for (left_out, what) in [
        (&list.junk_dropped, "junk file"),
        (&list.links_skipped, "symbolic link"),
    ] {
        if let Some(first) = left_out.first() {
            let count = show_counted(left_out.len() as u64, what);
            let more = if left_out.len() > 1 { " …" } else { "" };
            let line = format!(" Left out {count}: {}{more}", shown(first, app.dir));
            app.printer.say(&Text::new(line));
        }
    }
    Ok(list)
}

/// Hashes the files, as far as the cache does not know them, and makes the manifest.
pub(super) fn hashed(
    builder: &Builder,
    list: FileList,
    cache: &HashCache,
    app: &mut App<'_>,
) -> Result<Created, CliError> {
    let unusable =
        |error: MetainfoError| CliError::new(Exit::Input, error.to_string()).because(&error);
    // Names that cannot be shared are found before hours of hashing.
    let entries = builder.arrange().map_err(unusable)?;
    let threads = app.threads;
    let label = Label {
        verb: "Hashing",
        name: &list.name,
    };
    let Hashed { pieces, known } = sampled(app, label, |meter| {
        let content = (&list, entries.as_slice());
        hash_files(content, builder.piece_len, cache, threads, meter)
    })
    .map_err(|error| app.fault(&error))?;
    let meta = builder.build(&pieces).map_err(unusable)?;
    Ok(Created { meta, list, known })
}

/// What a list of files is described by, with nothing said that need not be.
pub(super) fn plain_builder(list: &FileList) -> Builder {
    let files = list.files.iter().map(|file| NewFile {
        path: file.path.clone(),
        len: file.len,
        executable: file.executable,
    });
    Builder::new(list.name.clone(), files.collect())
}

/// Where a manifest goes if nobody says.
pub(super) fn manifest_path(name: &str, dir: &Path) -> PathBuf {
    dir.join(format!("{name}.torrent"))
}

/// Finds out before hours of hashing that the manifest has no place, or would describe itself.
pub(super) fn check_target(
    target: &Path,
    paths: &[PathBuf],
    app: &App<'_>,
) -> Result<(), CliError> {
    let typed = shown(target, app.dir);
    let Some(parent) = target
        .parent()
        .and_then(|parent| parent.canonicalize().ok())
    else {
        return Err(
            CliError::new(Exit::Input, format!("there is no directory for {typed}"))
                .help("-o with a path that exists"),
        );
    };
    let is_target = |path: &PathBuf| {
        let own = app.dir.join(path).canonicalize();
        own.is_ok_and(|own| target.canonicalize().is_ok_and(|target| own == target))
    };
    if paths.iter().any(is_target) {
        let what = format!("{typed} is what is to be shared");
        return Err(CliError::new(Exit::Usage, what).help("-o with another name"));
    }
    let holds = |path: &PathBuf| {
        app.dir
            .join(path)
            .canonicalize()
            .is_ok_and(|path| path.is_dir() && parent.starts_with(path))
    };
    match paths.iter().find(|path| holds(path)) {
        Some(path) => {
            let path = shown(&app.dir.join(path), app.dir);
            let what = format!("{typed} would lie in {path}, which it describes");
            Err(CliError::new(Exit::Usage, what).help("run swarm in another directory"))
        }
        None => Ok(()),
    }
}

/// What writing a manifest did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It was not there.
    New,
    /// It was there, with the same bytes.
    Unchanged,
    /// It was there and differed.
    Replaced,
}

impl Written {
    /// For the line that tells of it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::New => "wrote",
            Self::Unchanged => "unchanged",
            Self::Replaced => "replaced",
        }
    }
}

/// Writes the manifest so that nobody ever sees a part of it, and never over another one unless
/// `force`.
pub(super) fn write_manifest(
    meta: &Metainfo,
    target: &Path,
    force: bool,
    dir: &Path,
) -> Result<Written, CliError> {
    let failed = |error: io::Error| {
        let what = format!("cannot write {}: {error}", shown(target, dir));
        CliError::new(Exit::Disk, what).because(&error)
    };
    let differs = || {
        let what = format!("{} exists and differs", shown(target, dir));
        CliError::new(Exit::Exists, what)
            .help("create -f to overwrite it, or create -o another name")
    };
    let exists = fs::symlink_metadata(target).is_ok();
    if exists && holds(target, meta.raw()) {
        return Ok(Written::Unchanged);
    }
    if exists && !force {
        return Err(differs());
    }
    let parent = target.parent().unwrap_or(dir);
    // A temporary file is private by itself; a manifest is as readable as any new file.
    let mut file = tempfile::Builder::new()
        .prefix(".swarm-")
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(parent)
        .map_err(failed)?;
    file.write_all(meta.raw())
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed)?;
    if force {
        file.persist(target).map_err(|error| failed(error.error))?;
    } else {
        file.persist_noclobber(target)
            .map_err(|lost| match lost.error.kind() {
                io::ErrorKind::AlreadyExists => differs(),
                _ => failed(lost.error),
            })?;
    }
    Ok(if exists {
        Written::Replaced
    } else {
        Written::New
    })
}

/// Whether the file holds exactly these bytes; a file of another length is not read.
fn holds(target: &Path, bytes: &[u8]) -> bool {
    let is_as_long = |found: fs::Metadata| found.is_file() && found.len() == bytes.len() as u64;
    fs::metadata(target).is_ok_and(is_as_long)
        && fs::read(target).is_ok_and(|present| present == bytes)
}

/// The line, event and result that tell of a new manifest.
fn tell((meta, known): (&Metainfo, u32), target: Option<&Path>, wrote: &str, app: &mut App<'_>) {
    app.printer.event(&Event::Created {
        path: target.map(lossy),
        infohash: meta.info_hash().to_string(),
        name: meta.name().to_owned(),
        size: meta.layout().total_len(),
        piece_length: meta.layout().nominal_piece_len(),
        pieces: meta.layout().piece_count(),
        known,
        files: show::numbered(meta).count(),
        magnet: magnet::of_manifest(meta).to_string(),
    });
    let mut word = wrote.to_owned();
    word[..1].make_ascii_uppercase();
    match target {
        Some(target) => {
            let path = shown(target, app.dir);
            let mut parts = show::headline(&word, &path, meta);
            parts.extend(known_part(known));
            app.printer.result(parts, &path);
        }
        None => app.printer.say(&Text::new(format!(
            " {word} the manifest of {}",
            escape(meta.name())
        ))),
    }
}

/// What is said of pieces that were not read, if there are any.
pub(super) fn known_part(known: u32) -> Option<Text> {
    let pieces = show_counted(known.into(), "piece");
    (known > 0).then(|| Text::new(format!("{pieces} known already")))
}

fn dry_run(builder: &Builder, target: Option<&Path>, app: &mut App<'_>) -> Result<Exit, CliError> {
    let entries = builder
        .arrange()
        .map_err(|error| CliError::new(Exit::Input, error.to_string()).because(&error))?;
    for file in &entries {
        let line = format!("{:>9}  {}", show_size(file.len), escape(file.path.as_str()));
        app.printer.line(&Text::new(line));
    }
    let total: u64 = entries.iter().map(|file| file.len).sum();
    let pieces = total.div_ceil(builder.piece_len.into());
    let target = target.map_or_else(|| "stdout".into(), |target| shown(target, app.dir));
    let line = format!(
        " Would write {target}: {} · {} · {} × {}",
        show_size(total),
        show_counted(entries.len() as u64, "file"),
        show_counted(pieces, "piece"),
        show_size(builder.piece_len.into()),
    );
    app.printer.say(&Text::new(line));
    Ok(Exit::Done)
}

/// What files to share if nobody says: all but junk.
pub(super) const fn scan_all() -> ScanOptions {
    ScanOptions {
        name: None,
        rules: Vec::new(),
        gitignore: false,
        hidden: true,
        junk: false,
        symlinks: Symlinks::Follow,
    }
}
