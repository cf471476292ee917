//! `swarm magnet`: the magnet link of a manifest.

use std::ffi::OsString;

use clap::Args;

use super::error::{CliError, Exit};
use super::event::Event;
use super::text::Text;
use super::{App, args, manifest};
use crate::metainfo::Metainfo;
use crate::metainfo::magnet::Magnet;

/// The arguments of `swarm magnet`.
#[derive(Debug, Args)]
pub(super) struct MagnetArgs {
    /// The manifest
    manifest: OsString,
    /// Name a peer in the link; may be repeated
    #[arg(long, value_name = "HOST:PORT", value_parser = args::peer, value_delimiter = ',')]
    peer: Vec<String>,
    /// Name another tracker in the link; may be repeated
    #[arg(short, long, value_name = "URL", value_parser = args::tier)]
    tracker: Vec<Vec<String>>,
    /// Nothing but the info-hash
    #[arg(long, conflicts_with_all = ["peer", "tracker"])]
    short: bool,
}

pub(super) fn run(args: &MagnetArgs, app: &mut App<'_>) -> Result<Exit, CliError> {
    let manifest = manifest::open(&args.manifest, app)?;
    let magnet = if args.short {
        Magnet::new(manifest.meta.info_hash())
    } else {
        let mut magnet = of_manifest(&manifest.meta);
        magnet
            .trackers
            .extend(args.tracker.iter().flatten().cloned());
        magnet.peers.clone_from(&args.peer);
        magnet
    };
    let magnet = magnet.to_string();
    app.printer.event(&Event::Magnet {
        magnet: magnet.clone(),
    });
    app.printer.line(&Text::new(magnet));
    Ok(Exit::Done)
}

/// The link that says what the manifest says.
pub(super) fn of_manifest(meta: &Metainfo) -> Magnet {
    Magnet {
        name: Some(meta.name().to_owned()),
        trackers: meta.trackers().iter().flatten().cloned().collect(),
        web_seeds: meta.web_seeds().to_vec(),
        ..Magnet::new(meta.info_hash())
    }
}
