//! From what the user typed to a manifest, or to the sentence that says why there is none.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::Network;
use super::error::{CliError, Exit};
use super::fault::shown;
use super::{App, scope, web};
use crate::bencode::Limits;
use crate::metainfo::escape::escape;
use crate::metainfo::magnet::Magnet;
use crate::metainfo::{FileMode, Metainfo, MetainfoError};

/// A missing file whose name is so many hexadecimal digits is an info-hash cut short. Chosen: few files
/// are named so, and who copies a hash loses a few digits.
const HASH_LIKE_MIN: usize = 30;
/// Most names of manifests offered where one was mistyped.
const OFFERED_MAX: usize = 5;

/// A manifest and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    /// Where it is.
    pub(super) path: PathBuf,
    /// What it says.
    pub(super) meta: Arc<Metainfo>,
}

/// Reads the manifest that `input` names.
pub(super) fn open(input: &OsStr, app: &App<'_>) -> Result<Manifest, CliError> {
    let path = app.dir.join(input);
    let bytes = read(&path, app.dir)?;
    match Metainfo::from_vec(bytes) {
        Ok(meta) => Ok(Manifest {
            path,
            meta: Arc::new(meta),
        }),
        Err(error) => Err(refused(&error, &path, app.dir)),
    }
}

/// What `swarm fetch` is told to get.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// What this manifest describes.
    Manifest(Arc<Metainfo>),
    /// What this link names; its manifest is to be asked for.
    Magnet(Magnet),
}

/// Reads what `input` names: a manifest, or if there is no such file what a URL leads to, a magnet
/// link or an info hash.
pub(super) fn target(
    input: &OsStr,
    network: &Network,
    app: &mut App<'_>,
) -> Result<Target, CliError> {
    if let Some(text) = input.to_str().filter(|_| !app.dir.join(input).exists())
        && web::is_url(text)
    {
        return web::open(text, network, app).map(Target::Manifest);
    }
    if let Some(magnet) = link(input, app)? {
        return Ok(Target::Magnet(magnet));
    }
    Ok(Target::Manifest(open(input, app)?.meta))
}

/// Reads a magnet link or an info hash; `None` if `input` is neither, or a file of that name is here.
pub(super) fn link(input: &OsStr, app: &App<'_>) -> Result<Option<Magnet>, CliError> {
    let Some(text) = input.to_str().filter(|_| !app.dir.join(input).exists()) else {
        return Ok(None);
    };
    match Magnet::parse(text) {
        Ok(magnet) => Ok(Some(magnet)),
        Err(error) if is_link(text) => {
            Err(CliError::new(Exit::Manifest, error.to_string()).because(&error))
        }
        Err(_) => Ok(None),
    }
}

/// Reads the manifest that `input` names; says what to do if it is a magnet link, a URL or an
/// info-hash: to give content it must be here.
pub(super) fn open_here(input: &OsStr, app: &App<'_>) -> Result<Manifest, CliError> {
    if let Some(text) = input.to_str().filter(|_| !app.dir.join(input).exists()) {
        if web::is_url(text) {
            let what = "a URL leads to a manifest, to seed it takes the data, too";
            return Err(CliError::new(Exit::Manifest, what)
                .help("swarm fetch URL --seed gets it and then serves it"));
        }
        if is_link(text) || Magnet::parse(text).is_ok() {
            let what = "a magnet link names content, to seed it takes the manifest and the data";
            return Err(CliError::new(Exit::Manifest, what)
                .help("swarm fetch LINK --seed gets it and then serves it"));
        }
    }
    open(input, app)
}

/// Refuses a link for which nobody could be asked.
pub(super) fn check_ways(magnet: &Magnet, network: &Network) -> Result<(), CliError> {
    scope::check(network)?;
    let named = [&magnet.trackers, &magnet.peers, &network.peer];
    let is_lost = named.iter().all(|named| named.is_empty())
        && network.tracker.is_empty()
        && network.peers_from.is_none()
        && !network.lpd()
        && !scope::may_ask_strangers(network);
    if is_lost {
        let what = "no way to find peers: this magnet has no tracker and no peer, and local \
                    discovery and the DHT are off";
        return Err(
            CliError::new(Exit::Network, what).help("quote the link, or add --peer HOST:PORT")
        );
    }
    Ok(())
}

/// What it means for the user that the manifest of a link cannot be used.
pub(super) fn refused_metadata(error: &MetainfoError) -> CliError {
    let exit = match error {
        MetainfoError::SameButCase(..) => Exit::Exists,
        _ => Exit::Manifest,
    };
    CliError::new(exit, error.about("the manifest of this link")).because(error)
}

/// Whether the file starts as a manifest does.
pub(super) fn starts_like_one(path: &Path) -> bool {
    let mut first = [0; 2];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut first));
    read.is_ok() && first[0] == b'd' && first[1].is_ascii_digit()
}

/// Where the data of a manifest lies: what was given, or beside the manifest, or here.
pub(super) fn locate_data(
    manifest: &Manifest,
    given: Option<&Path>,
    app: &App<'_>,
) -> Result<PathBuf, CliError> {
    let top = manifest.meta.name();
    let beside = manifest.path.parent().map(|parent| parent.join(top));
    let (candidates, missing) = match given {
        Some(given) => {
            let given = app.dir.join(given);
            let below = given.join(top);
            let whole = manifest.meta.mode() == FileMode::Directory || !given.is_dir();
            let missing = shown(if whole { &given } else { &below }, app.dir);
            (vec![Some(below), whole.then_some(given)], missing)
        }
        None => (vec![beside, Some(app.dir.join(top))], escape(top)),
    };
    candidates
        .into_iter()
        .flatten()
        .find(|path| path.exists())
        .ok_or_else(|| {
            let manifest = shown(&manifest.path, app.dir);
            CliError::new(
                Exit::Input,
                format!("cannot find the data of {manifest}: no {missing}"),
            )
            .help("--data with the directory that it is in")
        })
}

/// What a failed parse means for the user.
pub(super) fn refused(error: &MetainfoError, path: &Path, dir: &Path) -> CliError {
    let manifest = shown(path, dir);
    let failure = refused_as(error, &manifest);
    match error {
        MetainfoError::NotATorrent(_) => {
            failure.help(format!("to share this file: swarm seed {manifest}"))
        }
        _ => failure,
    }
}

/// The same for a manifest that is no file here; `manifest` is what to call it.
pub(super) fn refused_as(error: &MetainfoError, manifest: &str) -> CliError {
    let exit = match error {
        MetainfoError::SameButCase(..) => Exit::Exists,
        _ => Exit::Manifest,
    };
    let failure = CliError::new(exit, error.about(manifest)).because(error);
    match error {
        MetainfoError::SameButCase(..) => {
            failure.help("whoever made the manifest has to rename one of them")
        }
        _ => failure,
    }
}

fn read(path: &Path, dir: &Path) -> Result<Vec<u8>, CliError> {
    let limit = Limits::MANIFEST.input as u64;
    let mut bytes = Vec::new();
    // One byte more than allowed, so that the parser names the limit.
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    read.map_err(|error| unreadable(&error, path, dir))?;
    Ok(bytes)
}

fn unreadable(error: &io::Error, path: &Path, dir: &Path) -> CliError {
    let typed = shown(path, dir);
    if path.is_dir() {
        return CliError::new(
            Exit::Input,
            format!("{typed} is a directory, not a manifest"),
        )
        .help(format!("to share it: swarm seed {typed}"));
    }
    let cause = match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    let failure =
        CliError::new(Exit::Input, format!("cannot read {typed}: {cause}")).because(error);
    if error.kind() == io::ErrorKind::NotFound
        && let Some(digits) = digits_of(path)
    {
        let help = format!("an info-hash has 40 hexadecimal digits, this has {digits}");
        return failure.help(help);
    }
    let parent = path.parent().unwrap_or(dir);
    match (error.kind(), offered(parent)) {
        (io::ErrorKind::NotFound, offered) if !offered.is_empty() => {
            let place = if parent == dir {
                "in this directory".into()
            } else {
                format!("in {}", shown(parent, dir))
            };
            failure.help(format!("{place}: {}", offered.join(", ")))
        }
        _ => failure,
    }
}

/// How many hexadecimal digits a name has that looks like an info-hash.
fn digits_of(path: &Path) -> Option<usize> {
    let name = path.file_name()?.to_str()?;
    let is_hash = name.len() >= HASH_LIKE_MIN && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then_some(name.len())
}

/// The manifests in a directory, in the order of their names.
fn offered(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(PathBuf::from(entry.ok()?.file_name())))
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "torrent")
        })
        .map(|file| escape(file.as_os_str().as_encoded_bytes()))
        .collect();
    names.sort();
    names.truncate(OFFERED_MAX);
    names
}

fn is_link(text: &str) -> bool {
    text.get(..7)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("magnet:"))
}
