//! How fast does content go from one seed to one fetcher, verified and on the disk, and what does a
//! GiB cost in processor time on both sides together?
//!
//! Both sessions run in this process, over loopback. `cargo bench --bench loopback -- 2048 1024`
//! moves 2,048 MiB in pieces of 1,024 KiB. `TMPDIR` says on which disk. Prints each of five runs.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot set up its scene fails"
)]
#![expect(clippy::print_stdout, reason = "a bench reports on stdout")]

use std::path::Path;

#[path = "../tests/loopback/rig.rs"]
#[expect(dead_code, reason = "shared with the tests, which use the rest")]
mod rig;

use rig::{Content, await_notice};
use rustix::time::{ClockId, clock_gettime};
use swarm::runtime::Clock;
use swarm::torrent::event::Notice;

const RUNS: usize = 5;

fn main() {
    let mut numbers = std::env::args().filter_map(|arg| arg.parse::<u32>().ok());
    let mib = numbers.next().unwrap_or(1024);
    let piece_kib = numbers.next().unwrap_or(1024);
    let content = Content::new(&[("data.bin", (mib as usize) << 20)], piece_kib << 10);
    for _ in 0..RUNS {
        let dir = tempfile::tempdir().unwrap();
        run(&content, dir.path(), f64::from(mib) / 1024.0);
    }
}

fn run(content: &Content, dir: &Path, gib: f64) {
    let seed = content.seed();
    let clock = Clock::start();
    let cpu = cpu_seconds();
    let mut fetcher = content.fetch(dir, &[seed.port()]);
    await_notice(&mut fetcher, |notice| *notice == Notice::Complete);
    let seconds = clock.now().as_secs_f64();
    let cpu = cpu_seconds() - cpu;
    println!(
        "{:.2} GiB/s  {:.2} CPU-s/GiB  {seconds:.2} s",
        gib / seconds,
        cpu / gib
    );
}

fn cpu_seconds() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 * 1e-9
}
