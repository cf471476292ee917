use std::net::SocketAddr;

use super::waiting::{local_words, reason};
use super::*;
use crate::cli::output::Status;
use crate::cli::text::flowed;
use crate::cli::units::RateUnit;
use crate::runtime::LocalStatus;
use crate::torrent::event::{DiskFault, TrackerId};
use crate::torrent::progress::{PeerProgress, TrackerFault, WaitReason};
use crate::tracker::AnnounceFailure;

const GIB: u64 = 1 << 30;

fn half_way() -> Progress {
    Progress {
        wanted_bytes: 6_077_415_424,
        done_bytes: 3_523_215_360,
        have: 840,
        pieces: 1_449,
        received: 3_600_000_000,
        sent: 2 * GIB,
        received_from_seeds: 830_000_000,
        down: 117_440_512,
        up: 67_108_864,
        peers: 14,
        complete_peers: 3,
        incomplete_peers: 11,
        availability_min: Some(2),
        ..Progress::default()
    }
}

fn waiting_for(reason: WaitReason) -> Progress {
    let waiting = Some(reason);
    Progress {
        down: 0,
        up: 0,
        idle: Duration::from_secs(12),
        waiting,
        ..half_way()
    }
}

fn drawn(status: &dyn Status, width: usize) -> String {
    let lines = status.block(width, RateUnit::Bytes);
    for line in &lines {
        assert!(
            line.width() <= width,
            "{} > {width}: {line:?}",
            line.width()
        );
    }
    lines
        .iter()
        .map(|line| line.render(false).trim_end().to_owned() + "\n")
        .collect()
}

fn fetching<'a>(name: &'a str, progress: &'a Progress) -> Fetching<'a> {
    Fetching {
        name,
        progress,
        trackers: &[],
        local: None,
        mapping: None,
        looking: None,
    }
}

#[test]
fn a_fetch_fills_80_and_120_columns() {
    let progress = half_way();
    insta::assert_snapshot!(drawn(&fetching("ubuntu.iso", &progress), 79), @r"
    ubuntu.iso ━━━━━╸────  57%  3.28/5.66 GiB  ↓112 MiB/s  ↑64 MiB/s   ETA 0:21
    14 peers (3 complete) · rarest piece ×2 · 23% from seeds · sent 2 GiB
    ");
    insta::assert_snapshot!(drawn(&fetching("ubuntu.iso", &progress), 119), @r"
    ubuntu.iso ━━━━━━━━━━━━━━━━━━━━━━━─────────────────  57%  3.28/5.66 GiB  ↓112 MiB/s  ↑64 MiB/s   ETA 0:21
    14 peers (3 complete) · rarest piece ×2 · 23% from seeds · sent 2 GiB
    ");
}

#[test]
fn a_fetch_fits_any_width_and_any_name() {
    let progress = half_way();
    for name in ["u", "日本語の名前.iso", "a\x1b[2J\nb", &"long-".repeat(100)] {
        for width in 0..200 {
            drawn(&fetching(name, &progress), width);
        }
    }
}

#[test]
fn a_fetch_in_bits_and_as_a_plain_line() {
    let progress = half_way();
    let view = fetching("ubuntu.iso", &progress);
    insta::assert_snapshot!(view.plain(RateUnit::Bytes), @r"
    ubuntu.iso 57% 3.28/5.66GiB down=112MiB/s up=64MiB/s peers=14 eta=21s
    ");
    insta::assert_snapshot!(view.plain(RateUnit::Bits), @r"
    ubuntu.iso 57% 3.28/5.66GiB down=940Mbit/s up=537Mbit/s peers=14 eta=21s
    ");
}

#[test]
fn a_fetch_that_stands_still_says_why() {
    let progress = waiting_for(WaitReason::Choked {
        choking: 3,
        peers: 4,
    });
    let view = fetching("ubuntu.iso", &progress);
    insta::assert_snapshot!(drawn(&view, 79), @r"
    ubuntu.iso ━━━━━╸────  57%  3.28/5.66 GiB  ↓0 B/s      ↑0 B/s      ETA –
    14 peers (3 complete) · nothing for 12 s: choked by 3 of 4 peers
    ");
    insta::assert_snapshot!(view.plain(RateUnit::Bytes), @r#"
    ubuntu.iso 57% 3.28/5.66GiB down=0B/s up=0B/s peers=14 waiting="choked by 3 of 4 peers"
    "#);
}

#[test]
fn a_short_pause_is_not_explained() {
    let mut progress = waiting_for(WaitReason::Choked {
        choking: 3,
        peers: 4,
    });
    progress.idle = Duration::from_secs(4);
    assert!(!drawn(&fetching("ubuntu.iso", &progress), 79).contains("choked"));
}

#[test]
fn every_reason_for_waiting_has_its_words() {
    let reasons = [
        WaitReason::NoPeers {
            known: 0,
            dialling: 0,
        },
        WaitReason::NoPeers {
            known: 3,
            dialling: 2,
        },
        WaitReason::Choked {
            choking: 1,
            peers: 1,
        },
        WaitReason::Unavailable {
            missing: 12,
            peers: 4,
        },
        WaitReason::Unanswered {
            blocks: 64,
            peers: 1,
        },
        WaitReason::Disk { pieces: 5 },
        WaitReason::DiskFault(DiskFault::NoSpace("/srv/a".into())),
        WaitReason::NobodyInterested { peers: 0 },
        WaitReason::NobodyInterested { peers: 2 },
    ];
    let progress = Progress::default();
    let lines = reasons.iter().map(|why| reason(why, &progress, &[]));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
    no tracker is named; no peer is known
    no tracker is named; dialling 2 of 3 known peers
    choked by 1 of 1 peer
    4 peers connected, but none has any of the 12 missing pieces
    64 blocks asked of 1 peer, no answer yet
    5 pieces to be written, the disk is behind
    the disk refuses: no space left: /srv/a
    nobody is connected
    2 peers connected, none wants anything
    ");
}

#[test]
fn one_tracker_of_no_use_is_named_and_the_others_counted() {
    let trackers = ["http://10.0.0.5:6881/announce", "http://a/", "udp://b:1"].map(str::to_owned);
    let refused = AnnounceFailure::Unreachable("connection refused".into());
    let faults = [
        (TrackerId(0), TrackerFault::NamesNobody),
        (TrackerId(1), TrackerFault::Silent),
        (TrackerId(2), TrackerFault::Failed(refused)),
    ];
    let lines = (0..3).map(|first| {
        let nobody = WaitReason::NoPeers {
            known: 3,
            dialling: 2,
        };
        let progress = Progress {
            tracker_faults: faults[first..].to_vec(),
            ..Progress::default()
        };
        reason(&nobody, &progress, &trackers)
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
    tracker http://10.0.0.5:6881/announce: named no reachable peer (+2 more); dialling 2 of 3 known peers
    tracker http://a/: no answer yet (+1 more); dialling 2 of 3 known peers
    tracker udp://b:1: connection refused; dialling 2 of 3 known peers
    ");
}

#[test]
fn a_fetch_that_goes_well_mentions_a_tracker_of_no_use_at_the_end() {
    let progress = Progress {
        tracker_faults: vec![(TrackerId(0), TrackerFault::Silent)],
        ..half_way()
    };
    let trackers = ["http://10.0.0.5:6881/announce".to_owned()];
    let view = Fetching {
        trackers: &trackers,
        ..fetching("ubuntu.iso", &progress)
    };
    insta::assert_snapshot!(drawn(&view, 159), @r"
    ubuntu.iso ━━━━━━━━━━━━━━━━━━━━━━━─────────────────  57%  3.28/5.66 GiB  ↓112 MiB/s  ↑64 MiB/s   ETA 0:21
    14 peers (3 complete) · rarest piece ×2 · 23% from seeds · sent 2 GiB · tracker http://10.0.0.5:6881/announce: no answer yet
    ");
    insta::assert_snapshot!(view.plain(RateUnit::Bytes), @r#"
    ubuntu.iso 57% 3.28/5.66GiB down=112MiB/s up=64MiB/s peers=14 eta=21s tracker="tracker http://10.0.0.5:6881/announce: no answer yet"
    "#);
    drawn(&view, 79);
}

#[test]
fn a_fetch_without_peers_says_where_it_looked() {
    let refused = AnnounceFailure::Unreachable("connection refused".into());
    let waiting = Some(WaitReason::NoPeers {
        known: 0,
        dialling: 0,
    });
    let idle = Duration::from_secs(15);
    let progress = Progress {
        wanted_bytes: GIB,
        idle,
        waiting,
        tracker_faults: vec![(TrackerId(0), TrackerFault::Failed(refused))],
        ..Progress::default()
    };
    let trackers = ["http://10.0.0.5:6881/announce".to_owned()];
    let looking = Some(idle);
    let view = Fetching {
        name: "ubuntu.iso",
        progress: &progress,
        trackers: &trackers,
        local: Some(&LocalStatus {
            sent: 3,
            heard: 0,
            fault: None,
        }),
        mapping: None,
        looking,
    };
    insta::assert_snapshot!(drawn(&view, 79), @r"
    ubuntu.iso ─────────────   0%  0.00/1 GiB  ↓0 B/s      ↑0 B/s      ETA –
    Still looking: tracker http://10.0.0.5:6881/announce: connection refused; no
    peer is known; LSD sent 3, heard 0 (multicast may be blocked). Try --peer
    HOST:6881
    ");
    insta::assert_snapshot!(view.plain(RateUnit::Bytes), @r#"
    ubuntu.iso 0% 0.00/1GiB down=0B/s up=0B/s peers=0 waiting="Still looking: tracker http://10.0.0.5:6881/announce: connection refused; no peer is known; LSD sent 3, heard 0 (multicast may be blocked). Try --peer HOST:6881"
    "#);
}

#[test]
fn what_can_no_longer_be_announced_is_said() {
    let local = LocalStatus {
        sent: 3,
        heard: 1,
        fault: Some("network unreachable".into()),
    };
    assert_eq!(local_words(&local), "LSD cannot send: network unreachable");
}

fn peer(addr: &str, client: &str, have: u32, up: u64) -> PeerProgress {
    PeerProgress {
        addr: addr.parse::<SocketAddr>().expect("an address"),
        client: client.into(),
        have,
        received: 0,
        sent: up * 60,
        down: 0,
        up,
        peer_choking: true,
        am_choking: up == 0,
        peer_interested: true,
    }
}

#[test]
fn a_seed_shows_its_peers_slowest_first() {
    let mut progress = Progress {
        sent: 6 * GIB,
        complete_peers: 1,
        completed_seen: 1,
        peers: 3,
        ..half_way()
    };
    progress.peer_list = vec![
        peer("10.0.0.21:6881", "swarm/0.1.0", 1_449, 0),
        peer("[fd00::34]:51234", "aria2/1.36.0 \x1b[2J and more", 667, 0),
        peer("10.0.0.7:6881", "", 1_000, 88 << 20),
    ];
    let view = Seeding {
        name: "ubuntu.iso",
        progress: &progress,
        trackers: &[],
        local: None,
        mapping: None,
        pieces: 1_449,
        fleet: None,
    };
    insta::assert_snapshot!(drawn(&view, 99), @r"
    ubuntu.iso  5.66 GiB · 3 peers (1 complete) · ↑64 MiB/s · sent 6 GiB = 1.06 copies
    [fd00::34]:51234      aria2/1.36… ━━━━╸─────  46%  ↑0 B/s            0 B  waits for a slot
    10.0.0.7:6881         –           ━━━━━━━━━─  91%  ↑88 MiB/s    5.16 GiB
    10.0.0.21:6881        swarm/0.1.0 ━━━━━━━━━━ 100%  ↑0 B/s            0 B  complete
    ");
    insta::assert_snapshot!(view.plain(RateUnit::Bytes), @r"
    ubuntu.iso seeding up=64MiB/s sent=6GiB copies=1.06 peers=3 complete=1
    ");
    let mut fleet = Fleet::of(&progress, 4, 3);
    fleet.eta = Some(Duration::from_secs(31));
    fleet.bound = Some(49.5);
    let view = Seeding {
        fleet: Some(fleet),
        ..view
    };
    insta::assert_snapshot!(drawn(&view, 99).lines().nth(1).unwrap(), @" 3/4 machines seen, 1 complete · fleet 53% · ETA 0:31 · 49.5 s at the least");
    insta::assert_snapshot!(view.plain(RateUnit::Bytes), @"ubuntu.iso seeding up=64MiB/s sent=6GiB copies=1.06 peers=3 complete=1 machines=1/4 fleet=53%");
}

#[test]
fn a_seed_with_many_peers_stays_small() {
    let peers = (0..200)
        .map(|i| peer(&format!("10.0.0.{i}:6881"), "swarm", 7, 0))
        .collect();
    let progress = Progress {
        peers: 200,
        peer_list: peers,
        ..half_way()
    };
    let view = Seeding {
        name: "ubuntu.iso",
        progress: &progress,
        trackers: &[],
        local: None,
        mapping: None,
        pieces: 1_449,
        fleet: None,
    };
    for width in 0..200 {
        assert_eq!(drawn(&view, width).lines().count(), 10);
    }
}

#[test]
fn hashing_shows_rate_and_end() {
    let status = Hashing {
        verb: "Hashing",
        name: "model-70b",
        done: 117 * GIB,
        total: 141_089_999_872,
        rate: 2_254_857_830,
        threads: 8,
    };
    insta::assert_snapshot!(drawn(&status, 79), @r"
     Hashing  model-70b  131 GiB  ━━━━━━━─  89%  2.1 GiB/s   8 threads  ETA 0:06
    ");
    insta::assert_snapshot!(drawn(&status, 119), @r"
     Hashing  model-70b  131 GiB  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╸────  89%  2.1 GiB/s   8 threads  ETA 0:06
    ");
    insta::assert_snapshot!(status.plain(RateUnit::Bytes), @"hashing model-70b 89% 117/131GiB rate=2.1GiB/s");
    for width in 0..200 {
        drawn(&status, width);
    }
}

#[test]
fn the_end_of_a_fetch_is_summed_up() {
    let progress = Progress {
        done_bytes: 6_077_415_424,
        received: 6_077_415_424,
        ..half_way()
    };
    let took = Duration::from_secs(53);
    let parts = done_parts("ubuntu.iso", &progress, took, RateUnit::Bytes);
    let shown = |width| {
        let lines = flowed(parts.clone(), width).into_iter();
        lines
            .map(|line| line.render(false))
            .collect::<Vec<_>>()
            .join("\n")
    };
    insta::assert_snapshot!(shown(120).trim_start(), @r"
     Done  ubuntu.iso  5.66 GiB in 0:53 (109 MiB/s) · 13% from seeds, 87% from peers · sent 2 GiB · 0 bad pieces
    ");
    insta::assert_snapshot!(shown(80), @r"
    Done  ubuntu.iso  5.66 GiB in 0:53 (109 MiB/s) · 13% from seeds, 87% from peers
      sent 2 GiB · 0 bad pieces
    ");
    insta::assert_snapshot!(stopped_line(&half_way(), "run the same command to resume").render(false).trim_start(), @"stopped at 57 %, run the same command to resume");
}
