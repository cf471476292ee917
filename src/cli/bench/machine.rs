//! What a run costs this machine: processor time and memory of the process, and how busy the
//! machine was in all, so that nobody takes the limit of a processor for that of a swarm.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Above this share of the processor time that there is, the processor may have been the limit.
/// Chosen: a queue in front of something busy to four fifths is as long as a few of its jobs.
const BUSY: f64 = 0.75;

/// The share to aim at where that was passed.
const AIM: f64 = 0.5;

/// Measures from when it is made.
#[derive(Debug)]
pub(super) struct Gauge {
    cores: usize,
    cpu: Duration,
    ticks: Option<Ticks>,
}

/// What it measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cost {
    /// Processor seconds of this process.
    pub(super) cpu_s: f64,
    /// The most memory that was resident, in bytes, where the system says.
    pub(super) rss_peak: Option<u64>,
    /// The share of all processor time that this process used.
    pub(super) share: f64,
    /// The share that anybody used, where the system says.
    pub(super) busy: Option<f64>,
    cores: usize,
}

impl Gauge {
    /// Starts to measure; the peak of memory is forgotten where the system lets us.
    pub(super) fn start() -> Self {
        // Linux: 5 resets the peak. Elsewhere there is no such file, and no peak either.
        let _ = fs::write("/proc/self/clear_refs", "5");
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: process_time(),
            ticks: Ticks::read(),
        }
    }

    /// What was used since, `took` after the start.
    pub(super) fn read(&self, took: Duration) -> Cost {
        let cpu_s = (process_time().saturating_sub(self.cpu)).as_secs_f64();
        let there_was = took.as_secs_f64().max(0.001) * self.cores as f64;
        let busy = self.ticks.zip(Ticks::read());
        Cost {
            cpu_s,
            rss_peak: rss_peak(),
            share: cpu_s / there_was,
            busy: busy.and_then(|(before, after)| after.busy_since(before)),
            cores: self.cores,
        }
    }
}

impl Cost {
    /// What to tell if the processor may have been the limit.
    pub(super) fn warning(&self) -> Option<String> {
        let most = self.busy.unwrap_or(0.0).max(self.share);
        if most < BUSY {
            return None;
        }
        let cores = match self.cores {
            1 => "the only core".to_owned(),
            cores => format!("{cores} cores"),
        };
        let ours = format!("{:.0} %", self.share * 100.0);
        let busy = match self.busy {
            Some(busy) => format!("{cores} {:.0} % busy, {ours} by this process", busy * 100.0),
            None => format!("this process kept {cores} {ours} busy"),
        };
        // What others use is not ours to spend.
        let room = AIM - (most - self.share).max(0.0);
        let advice = if room > 0.1 {
            let part = (room / self.share).clamp(0.05, 0.9) * 100.0;
            format!("try {part:.0} % of that --link, or as many --peers")
        } else {
            "run it when nothing else runs".to_owned()
        };
        Some(format!(
            "the processor, not the swarm, may have been the limit: {busy}; {advice}"
        ))
    }
}

/// Processor time that this process has used.
fn process_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// `VmHWM` of `/proc/self/status`, in bytes.
fn rss_peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Processor time of the machine since it started, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    idle: u64,
    all: u64,
}

impl Ticks {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal; the
    /// rest counts time a second time.
    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let fields: Option<Vec<u64>> = (line.split_whitespace().take(8))
            .map(|field| field.parse().ok())
            .collect();
        let fields = fields.filter(|fields| fields.len() == 8)?;
        Some(Self {
            idle: fields[3] + fields[4],
            all: fields.iter().sum(),
        })
    }

    fn busy_since(self, before: Self) -> Option<f64> {
        let all = self.all.checked_sub(before.all).filter(|all| *all > 0)?;
        let idle = self.idle.saturating_sub(before.idle);
        Some(1.0 - idle as f64 / all as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(share: f64, busy: Option<f64>) -> Cost {
        Cost {
            cpu_s: 1.0,
            rss_peak: None,
            share,
            busy,
            cores: 2,
        }
    }

    #[test]
    fn a_busy_processor_is_told_of_with_what_to_do_about_it() {
        assert_eq!(cost(0.4, Some(0.6)).warning(), None);
        assert_eq!(cost(0.4, None).warning(), None);
        let limit = "the processor, not the swarm, may have been the limit: ";
        assert_eq!(
            cost(0.8, Some(0.82)).warning().unwrap(),
            format!(
                "{limit}2 cores 82 % busy, 80 % by this process; try 60 % of that --link, or as \
                 many --peers"
            )
        );
        assert_eq!(
            cost(0.3, Some(0.99)).warning().unwrap(),
            format!(
                "{limit}2 cores 99 % busy, 30 % by this process; run it when nothing else runs"
            )
        );
        let alone = cost(1.0, None).warning().unwrap();
        assert!(alone.starts_with(&format!(
            "{limit}this process kept 2 cores 100 % busy; try 50 %"
        )));
    }

    #[test]
    fn the_share_of_time_that_was_busy_is_what_was_neither_idle_nor_waiting() {
        let parse = |text: &str| Ticks::parse(text);
        let before = parse("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3\n").unwrap();
        let after = parse("cpu  150 0 60 820 60 5 5 0 7 7\n").unwrap();
        assert_eq!(
            before,
            Ticks {
                idle: 850,
                all: 1000
            }
        );
        assert_eq!(after.busy_since(before), Some(0.7));
        assert_eq!(after.busy_since(after), None);
        assert_eq!(parse("cpu  1 2 3\n"), None);
        assert_eq!(parse("intr 1\n"), None);
    }

    #[test]
    fn work_costs_processor_time() {
        let gauge = Gauge::start();
        while gauge.read(Duration::from_secs(1)).cpu_s <= 0.0 {}
        let cost = gauge.read(Duration::from_secs(1));
        assert!(cost.cpu_s > 0.0 && cost.share > 0.0);
    }
}
