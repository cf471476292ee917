//! What a fetch that was stopped says: how far it is, why, and how to go on.

use super::FetchArgs;
use crate::cli::error::{CliError, Exit};
use crate::cli::screen::why;
use crate::cli::transfer::Transfer;
use crate::cli::units::percent;
use crate::metainfo::escape::escape;
use crate::storage::Store;
use crate::torrent::event::DiskFault;

/// What to type to go on when a fetch was stopped. What is written in place lies under its real name
/// before it is whole, and the next run takes it for the user's unless told otherwise.
pub(super) fn again(args: &FetchArgs, store: &Store) -> &'static str {
    if store.is_in_place() && !args.repair {
        "run it again with --repair to resume"
    } else {
        "run the same command to resume"
    }
}

/// Nothing came for too long.
pub(super) fn stalled((args, again): (&FetchArgs, &str), transfer: &Transfer) -> CliError {
    let progress = transfer.progress();
    let timeout = humantime::format_duration(args.stall_timeout);
    let why = why(progress, transfer.trackers()).map(|why| format!(" ({why})"));
    let why = why.unwrap_or_default();
    if transfer.has_met_peer() {
        let percent = percent(progress.done_bytes, progress.wanted_bytes);
        let what = format!("nothing came for {timeout}{why}: stopped at {percent} %");
        CliError::new(Exit::Incomplete, what).help(again)
    } else {
        let what = format!("no peer was found within {timeout}{why}");
        CliError::new(Exit::Network, what)
            .help("--peer HOST:PORT of a machine that has it, or -t with a tracker")
    }
}

/// Nothing more can be written.
pub(super) fn disk_failure(
    fault: &DiskFault,
    (args, again): (&FetchArgs, &str),
    transfer: &Transfer,
) -> CliError {
    let progress = transfer.progress();
    let percent = percent(progress.done_bytes, progress.wanted_bytes);
    let why = match fault {
        DiskFault::NoSpace(_) => {
            format!(
                "no space left in {}",
                escape(args.dir.as_os_str().as_encoded_bytes())
            )
        }
        DiskFault::Other(why) => why.clone(),
    };
    CliError::new(Exit::Disk, format!("{why}: stopped at {percent} %"))
        .because(fault)
        .help(format!("make room and {again}"))
}
