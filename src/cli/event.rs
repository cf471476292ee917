//! What `--json` prints: one object per line, version 1. Fields are only ever added.
//!
//! Sizes in bytes, times in seconds, rates in bytes per second.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

/// One line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Event {
    /// A transfer begins.
    Start {
        /// `seed` or `fetch`.
        command: &'static str,
        /// The swarm, in hexadecimal.
        infohash: String,
        /// What is transferred.
        name: String,
        /// Its size.
        size: u64,
        /// Length of a piece.
        piece_length: u32,
        /// How many pieces there are.
        pieces: u32,
        /// How many of them are here already.
        have: u32,
        /// Where the data is or goes.
        dir: String,
        /// The port that peers can reach us on.
        port: u16,
    },
    /// The swarm of a magnet link is asked for its manifest.
    Lookup {
        /// The swarm, in hexadecimal.
        infohash: String,
        /// What the link calls it.
        name: Option<String>,
        /// The port that peers can reach us on.
        port: u16,
    },
    /// How far the manifest of a magnet link is here.
    Asking {
        /// Bytes of it that are here.
        done: u64,
        /// Its size, 0 if unknown.
        size: u64,
        /// Connections.
        peers: u32,
        /// Why nothing moves, if nothing does.
        waiting: Option<String>,
    },
    /// How far hashing is.
    Hashing {
        /// Bytes hashed.
        done: u64,
        /// Bytes to hash.
        size: u64,
    },
    /// How far the transfer is.
    Progress(Progress),
    /// How far all machines are that a seed expects.
    Fleet(Fleet),
    /// A peer came or went.
    Peer {
        /// `connected` or `lost`.
        state: &'static str,
        /// Its address.
        addr: String,
        /// What it calls itself, once that is known.
        client: Option<String>,
        /// How it was found.
        via: Option<&'static str>,
        /// Why it went.
        reason: Option<String>,
    },
    /// The gateway lets others in, or not.
    PortMapping {
        /// `mapped` or `failed`.
        state: &'static str,
        /// The port that we accept peers on.
        port: u16,
        /// The gateway's port that leads to it.
        external_port: Option<u16>,
        /// The gateway's address towards the internet, if it says so.
        external_ip: Option<String>,
        /// `pcp`, `nat-pmp` or `upnp`.
        via: Option<String>,
        /// For how long, if not renewed.
        seconds: Option<u64>,
        /// Why it does not.
        reason: Option<String>,
    },
    /// A piece was verified; only with `--json-pieces`.
    Piece {
        /// Which one.
        index: u32,
        /// Whether its hash was right.
        ok: bool,
        /// Who sent how many bytes of it.
        from: BTreeMap<String, u64>,
    },
    /// Something worth knowing.
    Warning {
        /// For programs.
        code: &'static str,
        /// For people.
        message: String,
    },
    /// Every wanted piece is here, under its real name.
    Complete {
        /// How long it took.
        seconds: f64,
        /// Where it is.
        path: String,
        /// The share that came from peers that had everything.
        from_seed: f64,
        /// Pieces whose hash was wrong.
        bad_pieces: u32,
        /// The least time for it, by the limit of our link or by the most that it was seen to do.
        bound_s: Option<f64>,
        /// How near to it that was, 0 to 1.
        efficiency: Option<f64>,
    },
    /// Serving others after completion.
    Linger {
        /// Connected peers that are not complete.
        peers: u32,
        /// At most this long.
        seconds: Option<f64>,
    },
    /// A manifest was made.
    Created {
        /// Where it was written, if it was.
        path: Option<String>,
        /// The swarm, in hexadecimal.
        infohash: String,
        /// What it describes.
        name: String,
        /// Its size.
        size: u64,
        /// Length of a piece.
        piece_length: u32,
        /// How many pieces there are.
        pieces: u32,
        /// How many of them an earlier run had hashed.
        known: u32,
        /// How many files there are.
        files: usize,
        /// The magnet link.
        magnet: String,
    },
    /// A file is not what the manifest says.
    BadFile {
        /// Which one, relative to the data's directory.
        path: String,
        /// What is wrong with it.
        problem: String,
        /// Its bad pieces, as inclusive ranges.
        pieces: Vec<(u32, u32)>,
    },
    /// A check of data against its manifest ended.
    Verified {
        /// Whether everything matches.
        ok: bool,
        /// Pieces checked.
        pieces: u32,
        /// Pieces that do not match.
        bad_pieces: u32,
        /// Files that do not match.
        bad_files: usize,
    },
    /// What a manifest says.
    Manifest(Box<super::show::Summary>),
    /// What a magnet link says.
    Link(Box<super::show::Link>),
    /// A magnet link.
    Magnet {
        /// The link.
        magnet: String,
    },
    /// How a tracker stands.
    Tracker {
        /// Where to announce, once at the start.
        url: Option<String>,
        /// Swarms with anybody in them.
        swarms: usize,
        /// Peers over all swarms.
        peers: usize,
        /// Requests since the start.
        requests: u64,
    },
    /// What a bench or a simulation will do.
    Setup {
        /// `bench` or `sim`.
        command: &'static str,
        /// Bytes of the content.
        size: u64,
        /// Length of a piece.
        piece_length: u32,
        /// How many pieces there are.
        pieces: u32,
        /// The number that all chance comes from.
        rng_seed: u64,
        /// Runs in all.
        runs: usize,
        /// How many seconds they take, if that can be known.
        estimate: Option<f64>,
    },
    /// How far a run of a bench or a simulation is.
    RunProgress {
        /// Which one, from 1.
        run: usize,
        /// Of how many.
        runs: usize,
        /// Who brings the content.
        contender: String,
        /// Machines that fetch.
        peers: u32,
        /// Those that have everything.
        complete: u32,
        /// What all of them have of what they want, 0 to 1.
        ratio: f64,
        /// Bytes per second that they receive, all together; not of a simulation.
        #[serde(skip_serializing_if = "Option::is_none")]
        down: Option<u64>,
        /// Copies that the seeds have sent; not of a simulation.
        #[serde(skip_serializing_if = "Option::is_none")]
        seed_copies: Option<f64>,
        /// Copies of the rarest piece; not of a simulation.
        #[serde(skip_serializing_if = "Option::is_none")]
        copies_min: Option<u32>,
        /// Virtual time of a simulation.
        #[serde(skip_serializing_if = "Option::is_none")]
        virtual_s: Option<f64>,
        /// What happened in a simulation so far.
        #[serde(skip_serializing_if = "Option::is_none")]
        events: Option<u64>,
        /// Seconds until all runs are done.
        eta: Option<f64>,
    },
    /// A run of a bench or a simulation ended.
    Run {
        /// Which one, from 1.
        run: usize,
        /// Who brought the content.
        contender: String,
        /// Machines that fetched.
        peers: usize,
        /// The least time that the rates allow.
        bound_s: Option<f64>,
        /// The same for whole pieces.
        reference_s: Option<f64>,
        /// The number that all chance in it came from.
        rng_seed: Option<u64>,
        /// The hash over every event of a simulation.
        #[serde(skip_serializing_if = "Option::is_none")]
        trace_hash: Option<crate::report::TraceHash>,
        /// What to know before trusting the figures.
        warnings: Vec<String>,
        /// What it came to.
        #[serde(flatten)]
        figures: Box<crate::report::Figures>,
    },
    /// The command ended.
    End {
        /// The exit code.
        exit: u8,
        /// Payload sent.
        sent: u64,
        /// Payload received.
        received: u64,
    },
    /// The command failed.
    Error {
        /// The exit code.
        exit: u8,
        /// Its name.
        code: &'static str,
        /// What went wrong.
        message: String,
        /// What to type instead.
        help: Option<String>,
    },
}

/// How far all machines are that a seed expects.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Fleet {
    /// How many are expected.
    pub machines: u32,
    /// How many came.
    pub seen: u32,
    /// How many have everything.
    pub complete: u32,
    /// What all of them have of what they want, 0 to 1.
    pub ratio: f64,
    /// Seconds until all are complete, at the rate until now.
    pub eta: Option<f64>,
    /// The least time for them, if each sends and receives as fast as this seed sends.
    pub bound_s: Option<f64>,
    /// How near to it they came, once they are complete, 0 to 1.
    pub efficiency: Option<f64>,
    /// Copies that this seed sent.
    pub seed_copies: f64,
}

/// How far a transfer is.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Progress {
    /// Bytes verified and stored.
    pub done: u64,
    /// Pieces verified and stored.
    pub have: u32,
    /// Present rate in.
    pub down: u64,
    /// Present rate out.
    pub up: u64,
    /// Payload received.
    pub received: u64,
    /// Payload sent.
    pub sent: u64,
    /// Payload received in vain.
    pub wasted: u64,
    /// Connections.
    pub peers: u32,
    /// Connections to peers that have everything.
    pub complete_peers: u32,
    /// How many peers hold the rarest missing piece.
    pub availability_min: Option<u32>,
    /// Seconds to completion at the present rate.
    pub eta: Option<f64>,
    /// Why nothing moves, if nothing does.
    pub waiting: Option<String>,
    /// Which tracker is of no use, and why, if any is.
    pub tracker: Option<String>,
}

/// An event with what every line carries.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    pub(super) v: u8,
    pub(super) ts: String,
    pub(super) t: f64,
    #[serde(flatten)]
    pub(super) event: &'a Event,
}

/// A path for programs: what is not UTF-8 in it is replaced, as JSON can hold nothing else.
pub(super) fn lossy(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
