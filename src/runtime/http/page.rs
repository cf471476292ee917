//! The page at `/`: what there is, and what to type to get it.

use std::fmt::Write;

use hyper::{Response, StatusCode};

use super::{Body, said};
use crate::metainfo::escape::escape;
use crate::metainfo::{FileKind, FileMode, Metainfo};
use crate::tracker::url::escaped;

/// The page, for somebody who reached us at this host and port.
pub(super) fn page(meta: &Metainfo, authority: &str) -> Response<Body> {
    said(StatusCode::OK, text(meta, authority).trim_end())
}

fn text(meta: &Metainfo, authority: &str) -> String {
    let url = format!("http://{authority}/");
    let manifest = format!("{url}{}.torrent", escaped(meta.name()));
    let files = meta.files().iter();
    let count = files.filter(|file| file.kind == FileKind::Regular).count();
    let mut page = format!(
        "{}\n{} bytes, {count} file{}\n\n",
        escape(meta.name()),
        meta.layout().total_len(),
        if count == 1 { "" } else { "s" },
    );
    let mut line = |line: &str| writeln!(page, "{line}").expect("a string takes every line");
    line("To get it, type one of:");
    line(&format!("  swarm fetch {url}"));
    line(&format!("  aria2c --seed-time=0 {manifest}"));
    line(&format!("  transmission-cli {manifest}"));
    line("Other BitTorrent programs open the same URL.");
    let first = meta
        .files()
        .iter()
        .find(|file| file.kind == FileKind::Regular);
    if let Some(first) = first {
        line("");
        line(match meta.mode() {
            FileMode::Single => "Without BitTorrent:",
            FileMode::Directory => "One file, without BitTorrent:",
        });
        let path: Vec<String> = first.path.elements().map(escaped).collect();
        line(&format!("  curl -O {url}data/{}", path.join("/")));
    }
    page
}
