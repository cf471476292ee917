//! A manifest from a URL: another machine's `swarm seed`, or any web server.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;

use super::App;
use super::args::Network;
use super::error::{CliError, Exit};
use super::manifest;
use crate::bencode::Limits;
use crate::metainfo::Metainfo;
use crate::metainfo::escape::escape;
use crate::runtime::web::manifest::download;
use crate::tracker::TrackerUrl;
use crate::tracker::url::Scheme;

/// How often Ctrl-C is looked for meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Whether this is a URL of the web.
pub(super) fn is_url(text: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| {
        let start = text.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })
}

/// Gets the manifest that `text` leads to.
pub(super) fn open(
    text: &str,
    network: &Network,
    app: &mut App<'_>,
) -> Result<Arc<Metainfo>, CliError> {
    let shown = escape(text);
    let url = TrackerUrl::parse(text)
        .ok()
        .filter(|url| url.scheme() != Scheme::Udp)
        .ok_or_else(|| {
            CliError::new(
                Exit::Usage,
                format!("{shown} is not a URL that can be fetched"),
            )
            .help("http://HOST:PORT/ as swarm seed prints it, or any URL of a .torrent")
        })?;
    let answer = download(
        url,
        (network.bind, network.session_scope()),
        Limits::MANIFEST.input,
    );
    let bytes = loop {
        match answer.recv_timeout(LOOK_INTERVAL) {
            Ok(Ok(bytes)) => break bytes,
            Ok(Err(failure)) => {
                let what = format!("cannot fetch {shown}: {failure}");
                let error = CliError::new(Exit::Input, what).because(&failure);
                return Err(error.help(help_for(text)));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(CliError::new(
                    Exit::Other,
                    "the download ended unexpectedly",
                ));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(exit) = app.stop_asked() {
            return Err(CliError::new(exit, "interrupted"));
        }
    };
    let meta = Metainfo::from_vec(bytes)
        .map_err(|error| manifest::refused_as(&error, &shown).help(help_for(text)))?;
    Ok(Arc::new(meta))
}

fn help_for(text: &str) -> String {
    format!(
        "is a swarm seed at {}? swarm fetch wants its URL, or that of a .torrent",
        escape(text)
    )
}
