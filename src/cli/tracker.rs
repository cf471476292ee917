//! `swarm tracker`: lets machines find each other, over HTTP and UDP, and knows nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::App;
use super::error::{CliError, Exit};
use super::event::Event;
use super::fault::shown;
use super::network::random;
use super::output::Status;
use super::reachable::reachable_ip;
use super::text::{Style, Text};
use super::units::{RateUnit, show_counted};
use crate::ids::InfoHash;
use crate::runtime::tracker::{TrackerConfig, TrackerHost, TrackerProgress};
use crate::tracker::server::udp::Secret;
use crate::tracker::server::{Admission, ServerConfig};

/// How often the status is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// The longest list that is read, in bytes: half a million swarms.
const LIST_LEN_MAX: u64 = 32 << 20;

/// The arguments of `swarm tracker`.
#[derive(Debug, Args)]
pub(super) struct TrackerArgs {
    /// Address and port to listen on, for HTTP and UDP
    #[arg(long, value_name = "[ADDR]:PORT", default_value = ":6969", value_parser = listen)]
    listen: Listen,
    /// Serve only the swarms in this file, an info-hash on each line
    #[arg(long, value_name = "FILE")]
    allow_list: Option<PathBuf>,
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listen {
    ip: Option<IpAddr>,
    port: u16,
}

fn listen(text: &str) -> Result<Listen, String> {
    let wanted = || "want [ADDR]:PORT, such as :6969 or 10.0.0.5:6969".to_owned();
    if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().map_err(|_| wanted())?;
        return Ok(Listen { ip: None, port });
    }
    let addr: SocketAddr = text.parse().map_err(|_| wanted())?;
    let ip = Some(addr.ip()).filter(|ip| !ip.is_unspecified());
    Ok(Listen {
        ip,
        port: addr.port(),
    })
}

pub(super) fn run(args: &TrackerArgs, app: &mut App<'_>) -> Result<Exit, CliError> {
    let admission = match &args.allow_list {
        Some(file) => Admission::Listed(read_list(&app.dir.join(file), app.dir)?),
        None => Admission::Any,
    };
    let serves = match &admission {
        Admission::Any => "every swarm".to_owned(),
        Admission::Listed(listed) => show_counted(listed.len() as u64, "swarm"),
    };
    let config = TrackerConfig {
        ip: args.listen.ip,
        port: args.listen.port,
        server: ServerConfig {
            admission,
            ..ServerConfig::default()
        },
        rng_seed: u64::from_le_bytes(random()?),
        secret: Secret(random()?),
    };
    let host = TrackerHost::start(config).map_err(|error| {
        let port = args.listen.port;
        let what = format!("cannot listen on port {port}: {error}");
        CliError::new(Exit::Network, what).help("--listen :0 takes any free port")
    })?;
    let addr = SocketAddr::new(reachable_ip(args.listen.ip), host.port());
    let url = format!("http://{addr}/announce");
    let line = Text::new(" ").styled(Style::Good, "Tracker").plain("  ");
    let line = line.styled(Style::Strong, &url);
    app.printer
        .result(vec![line.plain(format!("  udp://{addr}/announce"))], &url);
    app.printer.event(&Event::Tracker {
        url: Some(url),
        swarms: 0,
        peers: 0,
        requests: 0,
    });
    let line = format!(" Serves {serves} to whoever asks. Ctrl-C stops.");
    app.printer.say(&Text::default().styled(Style::Dim, line));
    serve(&host, app)
}

fn serve(host: &TrackerHost, app: &mut App<'_>) -> Result<Exit, CliError> {
    while app.stop_asked().is_none() && !app.printer.is_abandoned() {
        let serving = Serving(host.progress());
        if app.signals.take_report() {
            app.printer.status_line(&serving);
        }
        app.printer.status(&serving);
        if host.ends_within(LOOK_INTERVAL) {
            return Err(CliError::new(
                Exit::Network,
                "the tracker ended unexpectedly",
            ));
        }
    }
    app.printer.end_status();
    app.printer.event(&Event::End {
        exit: 0,
        sent: 0,
        received: 0,
    });
    Ok(Exit::Done)
}

/// A tracker at work.
struct Serving(TrackerProgress);

impl Serving {
    fn text(&self) -> String {
        let TrackerProgress {
            swarms,
            peers,
            requests,
        } = self.0;
        format!(
            "{} · {} · {} answered",
            show_counted(swarms as u64, "swarm"),
            show_counted(peers as u64, "peer"),
            show_counted(requests, "request"),
        )
    }
}

impl Status for Serving {
    fn block(&self, width: usize, _: RateUnit) -> Vec<Text> {
        vec![Text::new(format!(" {}", self.text())).fitted(width)]
    }

    fn plain(&self, _: RateUnit) -> String {
        format!("tracker {}", self.text())
    }

    fn event(&self) -> Event {
        Event::Tracker {
            url: None,
            swarms: self.0.swarms,
            peers: self.0.peers,
            requests: self.0.requests,
        }
    }
}

/// The info-hashes in a file: one on each line, `#` starts a remark.
fn read_list(path: &Path, dir: &Path) -> Result<BTreeSet<InfoHash>, CliError> {
    let typed = shown(path, dir);
    let unreadable =
        |why: String| CliError::new(Exit::Input, format!("cannot read {typed}: {why}"));
    let len = fs::metadata(path)
        .map_err(|error| unreadable(error.to_string()))?
        .len();
    if len > LIST_LEN_MAX {
        return Err(unreadable("longer than 32 MiB".into()));
    }
    let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let mut listed = BTreeSet::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        listed.insert(line.parse().map_err(|error| {
            CliError::new(Exit::Usage, format!("{typed}: line {number}: {error}"))
                .help("swarm show NAME.torrent prints the info-hash")
        })?);
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_listen_is_an_address_or_all_of_them() {
        let all = |port| Listen { ip: None, port };
        assert_eq!(listen(":6969"), Ok(all(6969)));
        assert_eq!(listen("0.0.0.0:1"), Ok(all(1)));
        let one = listen("[fd00::5]:80").unwrap();
        assert_eq!(one.ip, Some("fd00::5".parse().unwrap()));
        for text in ["", "6969", ":x", "host:1", "10.0.0.5"] {
            assert!(listen(text).is_err(), "{text}");
        }
    }
}
