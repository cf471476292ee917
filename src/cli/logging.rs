//! The log: tracing events as lines in a file, or through the printer on stderr.
//!
//! Lines for stderr wait in a bounded queue until the printer has a moment, so that they never
//! tear the block of progress apart, and are escaped like everything else it prints.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use crossbeam_channel::{Receiver, Sender, bounded};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use super::args::{Global, LogFormat};
use super::error::{CliError, Exit};
use super::fault::shown;

/// Holds a filter in the syntax of tracing, such as `swarm::runtime=debug`.
const FILTER_VARIABLE: &str = "SWARM_LOG";

/// Lines that wait for the printer at most; a quarter of a second of a very talkative log.
const LINES_MAX: usize = 4_096;

/// Whether so much is logged to the terminal that a bar would be in the way.
pub(super) fn is_talkative(global: &Global) -> bool {
    global.log_file.is_none() && (global.verbose > 0 || std::env::var_os(FILTER_VARIABLE).is_some())
}

/// Starts the log of this process; lines for stderr come out of the receiver.
///
/// # Errors
/// If the log file cannot be written or the filter cannot be read.
pub(super) fn start(global: &Global, dir: &Path) -> Result<Receiver<String>, CliError> {
    let (queue, lines) = bounded(LINES_MAX);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter(global)?)
        .with_ansi(false);
    // Only the first log of a process counts; there is no second one but in tests.
    let _ = match (&global.log_file, global.log_format) {
        (None, LogFormat::Text) => log.with_writer(Queue(queue)).finish().try_init(),
        (None, LogFormat::Json) => log.json().with_writer(Queue(queue)).finish().try_init(),
        (Some(path), format) => {
            let path = dir.join(path);
            let file = OpenOptions::new().create(true).append(true).open(&path);
            let file = file.map_err(|error| {
                let what = format!("cannot write {}: {error}", shown(&path, dir));
                CliError::new(Exit::Disk, what).because(&error)
            })?;
            match format {
                LogFormat::Text => log.with_writer(file).finish().try_init(),
                LogFormat::Json => log.json().with_writer(file).finish().try_init(),
            }
        }
    };
    Ok(lines)
}

fn filter(global: &Global) -> Result<EnvFilter, CliError> {
    let level = match (global.verbose, global.quiet) {
        (0, 2..) => "error",
        (0, _) => "warn",
        (1, _) => "swarm=info,warn",
        (2, _) => "swarm=debug,info",
        _ => "trace",
    };
    let Ok(filter) = std::env::var(FILTER_VARIABLE) else {
        return Ok(EnvFilter::new(level));
    };
    EnvFilter::try_new(filter).map_err(|error| {
        CliError::new(Exit::Usage, format!("{FILTER_VARIABLE}: {error}"))
            .help(format!("{FILTER_VARIABLE}=debug"))
    })
}

/// Makes a writer for each line.
struct Queue(Sender<String>);

/// Collects one line.
struct Line {
    queue: Sender<String>,
    bytes: Vec<u8>,
}

impl MakeWriter<'_> for Queue {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line {
            queue: self.0.clone(),
            bytes: Vec::new(),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let line = String::from_utf8_lossy(&self.bytes);
        // A full queue loses the line: a log must not hold up what it tells of.
        let _ = self.queue.try_send(line.trim_end().to_owned());
    }
}
