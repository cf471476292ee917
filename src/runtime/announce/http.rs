//! One announce over HTTP or HTTPS.

use hyper::StatusCode;
use hyper::header;

use super::inflate::inflate;
use super::{Announcer, believed};
use crate::runtime::web::{Ask, Caution, bad};
use crate::tracker::http::{ANSWER, announce_url, decode};
use crate::tracker::{AnnounceFailure, AnnounceRequest, AnnounceResponse, TrackerUrl};

pub(super) async fn announce(
    announcer: &Announcer,
    tracker: &TrackerUrl,
    request: &AnnounceRequest,
    tracker_id: Option<&str>,
) -> Result<AnnounceResponse, AnnounceFailure> {
    let url = announce_url(tracker, request, tracker_id);
    let ask = Ask {
        gzip: true,
        ..Ask::all(Caution::Tracker)
    };
    let mut answer = announcer.web.get(&url, &ask).await?;
    if answer.status != StatusCode::OK {
        return Err(bad(&format!("HTTP status {}", answer.status)));
    }
    let body = answer.collect(ANSWER.input).await?;
    let response = match answer.header(header::CONTENT_ENCODING) {
        None | Some("" | "identity") => decode(&body)?,
        Some("gzip" | "x-gzip") => decode(&inflate(&body)?)?,
        Some(_) => return Err(bad("compressed in a way that nobody asked for")),
    };
    Ok(believed(response, answer.from.ip()))
}
