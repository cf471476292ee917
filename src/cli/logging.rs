//! The log: tracing events as lines on stderr or in a file.

use std::fs::OpenOptions;
use std::path::Path;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::args::{Global, LogFormat};
use super::error::{CliError, Exit};

/// Holds a filter in the syntax of tracing, such as `swarm::runtime=debug`.
const FILTER_VARIABLE: &str = "SWARM_LOG";

/// Whether log lines go to the terminal, where they would tear a bar apart.
pub(super) fn is_wanted(global: &Global) -> bool {
    global.log_file.is_none() && (global.verbose > 0 || std::env::var_os(FILTER_VARIABLE).is_some())
}

/// Starts the log if one is wanted. The first command line of a process decides.
///
/// # Errors
/// If the log file cannot be written or the filter cannot be read.
pub(super) fn start(global: &Global, dir: &Path) -> Result<(), CliError> {
    if !is_wanted(global) && global.log_file.is_none() {
        return Ok(());
    }
    let level = match global.verbose {
        0 => "warn",
        1 => "swarm=info,warn",
        2 => "swarm=debug,info",
        _ => "trace",
    };
    let filter = match std::env::var(FILTER_VARIABLE) {
        Ok(filter) => EnvFilter::try_new(filter).map_err(|error| {
            CliError::new(Exit::Usage, format!("{FILTER_VARIABLE}: {error}"))
                .help(format!("{FILTER_VARIABLE}=debug"))
        })?,
        Err(_) => EnvFilter::new(level),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE);
    // A process that runs several command lines, as tests do, keeps its first log.
    let _ = match &global.log_file {
        None => match global.log_format {
            LogFormat::Text => log.with_writer(std::io::stderr).finish().try_init(),
            LogFormat::Json => log.json().with_writer(std::io::stderr).finish().try_init(),
        },
        Some(path) => {
            let path = dir.join(path);
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .map_err(|error| {
                    CliError::new(
                        Exit::Disk,
                        format!("cannot write {}: {error}", path.display()),
                    )
                })?;
            match global.log_format {
                LogFormat::Text => log.with_ansi(false).with_writer(file).finish().try_init(),
                LogFormat::Json => log.json().with_writer(file).finish().try_init(),
            }
        }
    };
    Ok(())
}
