//! What else can be counted of a process without asking it, and by which program?
//!
//! All of the process counts, its start and its end included.

use std::path::Path;
use std::process::Command;

use tempfile::NamedTempFile;

/// Set where the clock of processor time must be left alone: `rustix` looks for it in a place that
/// valgrind has taken away, and crashes.
pub(crate) const NO_CPU_CLOCK: &str = "SWARM_BENCH_NO_CPU_CLOCK";

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    Nothing,
    /// System calls, by the kernel: nothing waits for the counter, so that batches are what they are.
    Calls,
    /// Bytes that were copied in memory, by valgrind, which sees every `memcpy`. The kernel's own
    /// copies, between sockets, files and memory, are not among them.
    Copies,
}

impl Counter {
    /// Whether what counts is installed, and may.
    pub(crate) fn works(self) -> bool {
        let log = NamedTempFile::new().unwrap();
        let mut command = self.command(Path::new("true"), log.path());
        command.status().is_ok_and(|status| status.success()) && self.total(log.path()) >= 0.0
    }

    /// A command that runs `program` and leaves the count in `log`.
    pub(crate) fn command(self, program: &Path, log: &Path) -> Command {
        let mut command = match self {
            Self::Nothing => return Command::new(program),
            Self::Calls => {
                let mut perf = Command::new("perf");
                perf.args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-o"]);
                perf.arg(log);
                perf
            }
            Self::Copies => {
                let mut valgrind = Command::new("valgrind");
                valgrind.args(["--tool=dhat", "--mode=copy", "--dhat-out-file=/dev/null"]);
                valgrind.arg(format!("--log-file={}", log.display()));
                valgrind.env(NO_CPU_CLOCK, "1");
                valgrind
            }
        };
        command.arg(program);
        command
    }

    /// The count; not a number if there is none.
    pub(crate) fn total(self, log: &Path) -> f64 {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let word = match self {
            Self::Nothing => None,
            // 12345,,raw_syscalls:sys_enter,…
            Self::Calls => text
                .lines()
                .find(|line| line.contains("raw_syscalls"))
                .and_then(|line| line.split(',').next()),
            // ==12345== Total:     1,234,567 bytes in 1,234 blocks
            Self::Copies => text
                .lines()
                .find_map(|line| line.split_once("Total:"))
                .and_then(|(_, rest)| rest.split_whitespace().next()),
        };
        let digits = word.map(|word| word.replace(',', ""));
        digits
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(f64::NAN)
    }
}
