//! From what the user typed to a manifest, or to the sentence that says why there is none.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::App;
use super::args::Network;
use super::error::{CliError, Exit};
use super::fault::shown;
use crate::bencode::Limits;
use crate::metainfo::escape::escape;
use crate::metainfo::magnet::Magnet;
use crate::metainfo::{FileMode, Metainfo, MetainfoError};

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

/// Reads the manifest that `input` names; says what to do if it is a magnet link, a URL or an
/// info-hash, which name content but bring no manifest.
pub(super) fn open_any(
    input: &OsStr,
    network: &Network,
    app: &App<'_>,
) -> Result<Manifest, CliError> {
    match input.to_str() {
        Some(text) if !app.dir.join(input).exists() => refuse_other_forms(text, network)?,
        _ => {}
    }
    open(input, app)
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
    let exit = match error {
        MetainfoError::SameButCase(..) => Exit::Exists,
        _ => Exit::Manifest,
    };
    let failure = CliError::new(exit, error.about(&manifest)).because(error);
    match error {
        MetainfoError::NotATorrent(_) => {
            failure.help(format!("to share this file: swarm seed {manifest}"))
        }
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

fn refuse_other_forms(text: &str, network: &Network) -> Result<(), CliError> {
    if text.starts_with("magnet:") {
        return Err(refuse_magnet(text, network));
    }
    if text.starts_with("http://") || text.starts_with("https://") {
        let file = text
            .rsplit('/')
            .next()
            .filter(|file| file.ends_with(".torrent"));
        let file = file.unwrap_or("NAME.torrent");
        return Err(
            CliError::new(Exit::Input, "swarm cannot download a manifest from a URL").help(
                format!("curl -o {file} {text} and then: swarm fetch {file}"),
            ),
        );
    }
    if text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(no_metadata("an info-hash"));
    }
    Ok(())
}

fn refuse_magnet(text: &str, network: &Network) -> CliError {
    let is_lost = network.peer.is_empty() && network.tracker.is_empty();
    match Magnet::parse(text) {
        Err(error) => CliError::new(Exit::Manifest, error.to_string()).because(&error),
        Ok(magnet) if is_lost && magnet.trackers.is_empty() && magnet.peers.is_empty() => {
            let what =
                "no way to find peers: this magnet has no tracker and no peer, and the DHT is off";
            CliError::new(Exit::Network, what).help("quote the link, or add --peer HOST:PORT")
        }
        Ok(_) => no_metadata("a magnet link"),
    }
}

fn no_metadata(what: &str) -> CliError {
    CliError::new(
        Exit::Manifest,
        format!("{what} is not enough: swarm needs the manifest itself"),
    )
    .help("copy the .torrent here and then: swarm fetch NAME.torrent --peer HOST:PORT")
}
