//! One run: starts the machines of a swarm, or of its contender, lets them go at the same moment,
//! and watches until everybody has everything.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread::{self, Scope};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

use super::args::{Contender, Plan, Round};
use super::download::Download;
use super::gather::{Gathered, News};
use super::member::{Gate, Member};
use super::scene::Scene;
use super::site::{Server, Site};
use super::view::Outlook;
use super::watch::Watch;
use crate::cli::App;
use crate::cli::error::{CliError, Exit};
use crate::ids::PeerId;
use crate::report::{Role, Run};
use crate::runtime::{Clock, SessionConfig};
use crate::torrent::TorrentConfig;

/// Reports that may wait to be read.
const NEWS_MAX: usize = 4_096;

/// A machine is given this long to find the tracker. Both are on loopback.
const TRACKER_MAX: Duration = Duration::from_secs(10);

/// Memory for unfinished pieces of each machine, as `swarm fetch` has it.
const MEMORY: usize = 64 << 20;

/// What a run needs beside its plan.
#[derive(Debug)]
pub(super) struct Fleet<'a> {
    pub(super) plan: &'a Plan,
    pub(super) round: Round,
    pub(super) scene: &'a Scene,
}

/// The reins of the machines of one run.
struct Reins {
    gate: Gate,
    news: Sender<News>,
    reports: Receiver<News>,
    /// Dropped to let fetchers go.
    hold: Sender<()>,
    /// Dropped to stop everybody.
    keep: Sender<()>,
}

impl Reins {
    fn new() -> Self {
        let (hold, go) = bounded(0);
        let (keep, over) = bounded(0);
        let (news, reports) = bounded(NEWS_MAX);
        let clock = Clock::start();
        Self {
            gate: Gate { go, over, clock },
            news,
            reports,
            hold,
            keep,
        }
    }
}

impl Fleet<'_> {
    /// Does the run and gives its record.
    pub(super) fn run(&self, outlook: &Outlook, app: &mut App<'_>) -> Result<Run, CliError> {
        let run = match self.round.contender {
            Contender::Swarm => self.swarm(outlook, app),
            Contender::Http => self.http(outlook, app),
        };
        app.printer.end_status();
        let run = run?;
        for host in self.fetchers() {
            self.scene.verify(host, app)?;
        }
        Ok(run)
    }

    fn swarm(&self, outlook: &Outlook, app: &mut App<'_>) -> Result<Run, CliError> {
        let seed = self.plan.run_seed(self.round);
        let (heard, announced) = bounded(self.host_count() * 2);
        let rng_seed = seed;
        let tracker = Server::start(
            Ipv4Addr::LOCALHOST.into(),
            Site::Tracker { heard, rng_seed },
        )
        .map_err(|error| no_server(&error))?;
        let members = self.members(&tracker, app)?;
        thread::scope(|scope| {
            let reins = Reins::new();
            for member in members {
                let (gate, news) = (reins.gate.clone(), reins.news.clone());
                spawn(scope, move || member.run(&gate, &news))?;
            }
            for _ in 0..self.plan.seeds {
                if announced.recv_timeout(TRACKER_MAX).is_err() {
                    let said = reins.reports.try_iter().find_map(|news| match news {
                        News::Failed { error } => Some(error),
                        _ => None,
                    });
                    let silent = || CliError::new(Exit::Other, "a seed does not announce itself");
                    return Err(said.unwrap_or_else(silent));
                }
            }
            self.watch(reins, &[], outlook, app)
        })
    }

    fn http(&self, outlook: &Outlook, app: &mut App<'_>) -> Result<Run, CliError> {
        let ips = self.ips();
        let content = || Site::Content {
            path: self.scene.content(),
            len: self.plan.size,
            limit: self.plan.up,
        };
        let seeds = ips[..usize::from(self.plan.seeds)].iter();
        let servers: Result<Vec<_>, _> = seeds.map(|ip| Server::start(*ip, content())).collect();
        let servers = servers.map_err(|error| no_server(&error))?;
        thread::scope(|scope| {
            let reins = Reins::new();
            for (host, server) in self.fetchers().zip(servers.iter().cycle()) {
                self.scene.place(host)?;
                let download = Download {
                    host,
                    ip: ips[host],
                    server: server.addr,
                    path: self.scene.copy_of(host),
                    limit: self.plan.down,
                };
                let (gate, news) = (reins.gate.clone(), reins.news.clone());
                spawn(scope, move || download.run(&gate, &news))?;
            }
            self.watch(reins, &servers, outlook, app)
        })
    }

    /// Lets the fetchers go and watches until they are done. Whichever way this ends, the machines
    /// hear that it is over.
    fn watch(
        &self,
        reins: Reins,
        servers: &[Server],
        outlook: &Outlook,
        app: &mut App<'_>,
    ) -> Result<Run, CliError> {
        let Reins {
            gate,
            reports,
            hold,
            keep,
            news,
        } = reins;
        // Until the end: machines that are done may go before the others.
        let _held = (news, keep);
        let pieces = self.scene.meta().layout().piece_count();
        let gathered = Gathered::new(self.plan, self.round, pieces);
        let watch = Watch::start(gathered, gate.clock);
        drop(hold);
        let (gathered, cost) = watch.run(&reports, servers, (outlook, self.round), app)?;
        Ok(gathered.into_run(self.plan, self.round, &cost))
    }

    /// The machines of a swarm: real stores, real sessions, each with an address of its own.
    fn members(&self, tracker: &Server, app: &App<'_>) -> Result<Vec<Member>, CliError> {
        let ips = self.ips();
        let hosts = ips.iter().copied().enumerate();
        let by_ip: BTreeMap<IpAddr, usize> = hosts.map(|(host, ip)| (ip, host)).collect();
        // One address for all tells nobody apart.
        let told_apart = by_ip.len() == ips.len();
        let addresses = Arc::new(if told_apart { by_ip } else { BTreeMap::new() });
        let mut rng = ChaCha8Rng::seed_from_u64(self.plan.run_seed(self.round));
        let mut members = Vec::new();
        for (host, &ip) in ips.iter().enumerate() {
            let is_seed = host < usize::from(self.plan.seeds);
            let (store, have) = if is_seed {
                (self.scene.seed(app)?, self.scene.all_pieces())
            } else {
                let opened = self.scene.fetch(host, app)?;
                (opened.store, opened.have)
            };
            members.push(Member {
                host,
                role: if is_seed { Role::Seed } else { Role::Fetcher },
                meta: Arc::clone(self.scene.meta()),
                store,
                have,
                config: self.session_config(ip, tracker, &mut rng),
                addresses: Arc::clone(&addresses),
            });
        }
        Ok(members)
    }

    fn session_config(&self, ip: IpAddr, tracker: &Server, rng: &mut ChaCha8Rng) -> SessionConfig {
        let mut id = [0; 12];
        rng.fill_bytes(&mut id);
        let mut torrent = TorrentConfig::new(PeerId::ours(id), 0);
        torrent.upload_limit = self.plan.up;
        torrent.download_limit = self.plan.down;
        SessionConfig {
            ports: 0..=0,
            any_port: false,
            bind: Some(ip),
            peers: Vec::new(),
            known: Vec::new(),
            torrent,
            memory: MEMORY,
            disk_threads: 1,
            local_discovery: false,
            rng_seed: rng.next_u64(),
            trackers: Some(vec![vec![format!("http://{}/announce", tracker.addr)]]),
            scope: crate::runtime::scope::Scope::Any,
            dht: None,
            serve: false,
            port_mapping: None,
            web_seeds: Vec::new(),
        }
    }

    fn host_count(&self) -> usize {
        usize::from(self.plan.seeds) + usize::from(self.round.peers)
    }

    fn fetchers(&self) -> std::ops::Range<usize> {
        usize::from(self.plan.seeds)..self.host_count()
    }

    /// An address on loopback for each machine, so that everybody can be told apart; one for all
    /// where the system has no more.
    fn ips(&self) -> Vec<IpAddr> {
        let count = u16::try_from(self.host_count()).expect("a bench has a few hundred machines");
        let ip = |host: u16| {
            let [high, low] = (host + 1).to_be_bytes();
            IpAddr::V4(Ipv4Addr::new(127, 77, high, low))
        };
        let is_there = TcpListener::bind((ip(0), 0)).is_ok();
        (0..count)
            .map(|host| {
                if is_there {
                    ip(host)
                } else {
                    Ipv4Addr::LOCALHOST.into()
                }
            })
            .collect()
    }
}

fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() + Send + 'scope,
) -> Result<(), CliError> {
    let thread = thread::Builder::new().name("swarm-machine".into());
    thread.spawn_scoped(scope, work).map(drop).map_err(|error| {
        let what = format!("cannot start a thread for every machine: {error}");
        CliError::new(Exit::Other, what).help("fewer --peers")
    })
}

fn no_server(error: &std::io::Error) -> CliError {
    CliError::new(Exit::Network, format!("cannot listen on loopback: {error}")).because(error)
}
