//! Gets a manifest from a URL that the user typed.

use std::net::IpAddr;
use std::time::Duration;

use crossbeam_channel::Receiver;
use hyper::StatusCode;
use tokio::time::timeout;

use super::{Ask, Caution, Web, bad};
use crate::runtime::scope::Scope;
use crate::tracker::{AnnounceFailure, TrackerUrl};

/// A server that sends nothing for this long does not answer.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// Starts getting what is at `url`, at most `len_max` bytes; the answer comes when it is here. A
/// seed's own page gives its manifest to whom asks so.
pub fn download(
    url: TrackerUrl,
    (bind, scope): (Option<IpAddr>, Scope),
    len_max: usize,
) -> Receiver<Result<Vec<u8>, AnnounceFailure>> {
    let (reply, answer) = crossbeam_channel::bounded(1);
    // Nobody waits for the thread: a name that is still being resolved must not hold us up.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let result = match runtime {
            Ok(runtime) => {
                let result = runtime.block_on(get(&url, (bind, scope), len_max));
                runtime.shutdown_background();
                result
            }
            Err(error) => Err(AnnounceFailure::Unreachable(error.to_string())),
        };
        let _ = reply.send(result);
    });
    answer
}

async fn get(
    url: &TrackerUrl,
    (bind, scope): (Option<IpAddr>, Scope),
    len_max: usize,
) -> Result<Vec<u8>, AnnounceFailure> {
    let web = Web::new(bind, scope);
    let ask = Ask {
        accept: Some("application/x-bittorrent"),
        ..Ask::all(Caution::Typed)
    };
    let silent = |_| AnnounceFailure::Timeout(SILENCE_MAX);
    let answer = timeout(SILENCE_MAX, web.get(url, &ask)).await;
    let mut answer = answer.map_err(silent)??;
    if answer.status != StatusCode::OK {
        return Err(bad(&format!("HTTP status {}", answer.status)));
    }
    let mut body = Vec::new();
    while let Some(part) = timeout(SILENCE_MAX, answer.next())
        .await
        .map_err(silent)??
    {
        if body.len() + part.len() > len_max {
            return Err(bad(&format!("longer than {} MiB", len_max >> 20)));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}
