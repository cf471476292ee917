//! Why nothing moves, in words.

use std::time::Duration;

use super::mapping_words;
use crate::cli::units::show_counted;
use crate::metainfo::escape::escape;
use crate::runtime::{LocalStatus, MappingStatus};
use crate::torrent::Progress;
use crate::torrent::progress::{TrackerFault, WaitReason};

/// Nothing moved for this long: the status says why.
pub(in crate::cli) const WAIT_SHOWN_AFTER: Duration = Duration::from_secs(5);

/// Where to look further when nobody has been found for a while.
pub(in crate::cli) fn still_looking(
    progress: &Progress,
    trackers: &[String],
    (local, mapping): (Option<&LocalStatus>, Option<&MappingStatus>),
) -> String {
    let why = why(progress, trackers).unwrap_or_default();
    let local = local.map_or_else(|| "LSD off".into(), local_words);
    let mapping = mapping.map(|mapping| format!("; {}", mapping_words(mapping)));
    let mapping = mapping.unwrap_or_default();
    format!("Still looking: {why}; {local}{mapping}. Try --peer HOST:6881")
}

/// What came of local discovery.
pub(super) fn local_words(local: &LocalStatus) -> String {
    match local {
        LocalStatus {
            fault: Some(fault), ..
        } => format!("LSD cannot send: {fault}"),
        LocalStatus { sent: 0, .. } => "LSD found no network".into(),
        LocalStatus { sent, heard: 0, .. } => {
            format!("LSD sent {sent}, heard 0 (multicast may be blocked)")
        }
        LocalStatus { sent, heard, .. } => format!("LSD sent {sent}, heard {heard}"),
    }
}

/// Why nothing moves, once that has lasted.
pub(in crate::cli) fn waiting(progress: &Progress, trackers: &[String]) -> Option<String> {
    why(progress, trackers).filter(|_| progress.idle >= WAIT_SHOWN_AFTER)
}

/// Why nothing moves.
pub(in crate::cli) fn why(progress: &Progress, trackers: &[String]) -> Option<String> {
    let waiting = progress.waiting.as_ref();
    waiting.map(|why| reason(why, progress, trackers))
}

pub(super) fn reason(why: &WaitReason, progress: &Progress, trackers: &[String]) -> String {
    match why {
        WaitReason::NoPeers { known, dialling } => {
            let mut parts: Vec<String> = tracker_fault(progress, trackers).into_iter().collect();
            if trackers.is_empty() {
                parts.push("no tracker is named".into());
            }
            parts.push(match (known, dialling) {
                (0, _) => "no peer is known".into(),
                (1, 0) => "the only known peer does not answer".into(),
                (known, 0) => format!("none of {known} known peers answers"),
                (known, dialling) => {
                    format!(
                        "dialling {dialling} of {}",
                        show_counted(u64::from(*known), "known peer")
                    )
                }
            });
            parts.join("; ")
        }
        WaitReason::NoMetadata { peers, offering } => no_metadata(*peers, *offering),
        WaitReason::Choked { choking, peers } => format!(
            "choked by {choking} of {}",
            show_counted(u64::from(*peers), "peer")
        ),
        WaitReason::Unavailable { missing, peers } => format!(
            "{} connected, but none has any of the {}",
            show_counted(u64::from(*peers), "peer"),
            show_counted(u64::from(*missing), "missing piece"),
        ),
        WaitReason::Unanswered { blocks, peers } => format!(
            "{} asked of {}, no answer yet",
            show_counted(u64::from(*blocks), "block"),
            show_counted(u64::from(*peers), "peer"),
        ),
        WaitReason::Disk { pieces } => {
            format!(
                "{} to be written, the disk is behind",
                show_counted(u64::from(*pieces), "piece")
            )
        }
        WaitReason::DiskFault(fault) => format!("the disk refuses: {fault}"),
        WaitReason::NobodyInterested { peers: 0 } => "nobody is connected".into(),
        WaitReason::NobodyInterested { peers } => {
            format!(
                "{} connected, none wants anything",
                show_counted(u64::from(*peers), "peer")
            )
        }
    }
}

/// The first tracker that is of no use, why, and how many others are.
pub(in crate::cli) fn tracker_fault(progress: &Progress, trackers: &[String]) -> Option<String> {
    let (id, fault) = progress.tracker_faults.first()?;
    let url = trackers
        .get(id.0)
        .map_or_else(|| format!("#{}", id.0), escape);
    let why = match fault {
        TrackerFault::Failed(failure) => failure.to_string(),
        TrackerFault::Silent => "no answer yet".into(),
        TrackerFault::NamesNobody => "named no reachable peer".into(),
    };
    let more = match progress.tracker_faults.len() - 1 {
        0 => String::new(),
        more => format!(" (+{more} more)"),
    };
    Some(format!("tracker {url}: {why}{more}"))
}

fn no_metadata(peers: u32, offering: u32) -> String {
    if offering == 0 {
        let peers = show_counted(u64::from(peers), "peer");
        return format!("{peers} connected, none has the manifest");
    }
    let asked = show_counted(u64::from(offering), "peer");
    format!("manifest asked of {asked}, no answer yet")
}
