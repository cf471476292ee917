//! How long does a simulated swarm take to compute, and how much memory? (`cargo bench --bench swarm`)
//!
//! Not a statistic but one run per size: seconds of one core, events per second, peak memory, and
//! how near the swarm came to its bound. `SWARM_BENCH_PEERS=1000x1000` picks one size
//! (peers x pieces).

use std::time::{Duration, Instant};

use swarm::layout::{BLOCK_LEN, Layout};
use swarm::sim::{Host, Scenario, Simulation};

const PIECE_BLOCKS: u32 = 16;
/// 100 Mbit/s.
const RATE: u64 = 12_500_000;

#[expect(clippy::print_stdout, reason = "a bench reports to a person")]
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
fn run(peers: usize, pieces: u32) {
    let piece_len = PIECE_BLOCKS * BLOCK_LEN;
    let size = u64::from(pieces) * u64::from(piece_len);
    let host = |host: Host| Host {
        delay: Duration::from_millis(5),
        ..host
    };
    let mut hosts = vec![host(Host::seed(RATE))];
    hosts.resize(peers + 1, host(Host::leech(RATE)));
    let layout = Layout::new(size, piece_len).expect("valid");
    let start = Instant::now();
    let outcome = Simulation::new(Scenario::new(hosts, layout, 1)).run(&mut |so_far| {
        if std::env::var_os("SWARM_BENCH_VERBOSE").is_some() {
            println!("{} {:.3} {}", so_far.now, so_far.mean_done, so_far.complete);
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    let bound = size as f64 / RATE as f64;
    let hops = f64::from((peers as u64).ilog2()) * f64::from(piece_len) / RATE as f64;
    let last = outcome
        .last_completion()
        .map_or(f64::NAN, swarm::time::Time::as_secs_f64);
    println!(
        "{peers} x {pieces}: {seconds:.1} s, {:.2} M events/s, {} MiB; last {last:.2} s = {:.1} % \
         of the bound, {:.1} % of the piece-granular one; seed {:.2} copies, wasted {:.2} %, trace {:016x}",
        outcome.events as f64 / seconds / 1e6,
        peak_mib(),
        100.0 * bound / last,
        100.0 * (bound + hops) / last,
        outcome.hosts[0].sent as f64 / size as f64,
        100.0 * outcome.wasted() as f64 / outcome.overhead.payload as f64,
        outcome.trace_hash,
    );
}

/// The most memory that this process ever had, where the system says so.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn main() {
    let sizes = std::env::var("SWARM_BENCH_PEERS").unwrap_or_else(|_| "100x1000,1000x1000".into());
    for size in sizes.split(',') {
        let (peers, pieces) = size.split_once('x').expect("peers x pieces");
        run(
            peers.parse().expect("a number of peers"),
            pieces.parse().expect("a number of pieces"),
        );
    }
}
