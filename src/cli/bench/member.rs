//! One machine of a swarm: its session, and the thread that listens to it and reports.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use super::gather::{News, Seen};
use crate::bitfield::Bitfield;
use crate::cli::error::{CliError, Exit};
use crate::metainfo::Metainfo;
use crate::report::Role;
use crate::runtime::{Clock, NextNotice, Session, SessionConfig};
use crate::storage::{StorageError, Store};
use crate::torrent::event::Notice;

/// How often a machine reports how far it is.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_millis(250);

/// How long a thread waits for its session before it looks whether the run is over.
const PATIENCE: Duration = Duration::from_millis(50);

/// What all machines of a run obey.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    /// Nothing is sent; when the sender goes, fetchers start.
    pub(super) go: Receiver<()>,
    /// Nothing is sent; when the sender goes, everybody stops.
    pub(super) over: Receiver<()>,
    /// Starts before the run does.
    pub(super) clock: Clock,
}

impl Gate {
    /// Waits for the start.
    pub(super) fn wait(&self) {
        // An error is the signal.
        let _ = self.go.recv();
    }

    /// Whether everybody is to stop.
    pub(super) fn is_over(&self) -> bool {
        self.over.try_recv() == Err(TryRecvError::Disconnected)
    }
}

/// One machine of a swarm before it starts.
#[derive(Debug)]
pub(super) struct Member {
    /// Its index among the hosts of the run.
    pub(super) host: usize,
    /// What it is.
    pub(super) role: Role,
    pub(super) meta: Arc<Metainfo>,
    pub(super) store: Store,
    pub(super) have: Bitfield,
    pub(super) config: SessionConfig,
    /// Whose address is whose; empty if they all have the same one.
    pub(super) addresses: Arc<BTreeMap<IpAddr, usize>>,
}

/// One machine of a swarm at work.
struct Working<'a> {
    host: usize,
    role: Role,
    session: Session,
    addresses: Arc<BTreeMap<IpAddr, usize>>,
    gate: &'a Gate,
    news: &'a Sender<News>,
    /// What the publishing of the copy came to, once that was asked for.
    published: Option<Receiver<Result<PathBuf, StorageError>>>,
}

impl Member {
    /// Runs until the run is over. A failure is reported.
    pub(super) fn run(self, gate: &Gate, news: &Sender<News>) {
        if let Err(error) = self.work(gate, news) {
            // Nobody listens any more when the run failed already.
            let _ = news.send(News::Failed { error });
        }
    }

    fn work(self, gate: &Gate, news: &Sender<News>) -> Result<(), CliError> {
        if self.role == Role::Fetcher {
            gate.wait();
        }
        let wanted = Bitfield::full(self.meta.layout().piece_count());
        let session = Session::start(
            self.meta,
            Arc::new(self.store),
            self.have,
            wanted,
            self.config,
        )
        .map_err(|error| failed(self.host, &error))?;
        let mut working = Working {
            host: self.host,
            role: self.role,
            session,
            addresses: self.addresses,
            gate,
            news,
            published: None,
        };
        working.follow()?;
        let host = self.host;
        working.session.stop().map_err(|error| failed(host, &error))
    }
}

impl Working<'_> {
    /// Reports until the run is over.
    fn follow(&mut self) -> Result<(), CliError> {
        let mut reported = self.gate.clock.now();
        while !self.gate.is_over() {
            match self.session.next_notice(PATIENCE) {
                NextNotice::Notice(notice) => self.heed(notice)?,
                NextNotice::TimedOut => {}
                NextNotice::Ended => {
                    return Err(failed(self.host, &"its session ended unexpectedly"));
                }
            }
            let answer = self
                .published
                .as_ref()
                .and_then(|answer| answer.try_recv().ok());
            if let Some(published) = answer {
                published.map_err(|error| failed(self.host, &error))?;
                self.published = None;
                self.tell(News::Published);
            }
            let now = self.gate.clock.now();
            if now.since(reported) >= REPORT_INTERVAL {
                reported = now;
                let seen = self.seen();
                self.tell(News::Moved {
                    host: self.host,
                    seen,
                });
            }
        }
        Ok(())
    }

    fn heed(&mut self, notice: Notice) -> Result<(), CliError> {
        match notice {
            Notice::PieceStored { piece, from } => {
                let of = |(addr, len): (std::net::SocketAddr, u32)| {
                    let sender = self.addresses.get(&addr.ip())?;
                    Some((*sender, u64::from(len)))
                };
                let from = from.into_iter().filter_map(of).collect();
                self.tell(News::Stored {
                    host: self.host,
                    piece: piece.get(),
                    from,
                });
            }
            Notice::Complete if self.role == Role::Fetcher => {
                let at = self.gate.clock.now();
                self.tell(News::Complete {
                    host: self.host,
                    at,
                });
                self.published = Some(self.session.finish());
            }
            Notice::DiskFault(fault) => {
                return Err(CliError::new(Exit::Disk, fault.to_string()).because(&fault));
            }
            Notice::TrackerFailed { failure, .. } => {
                tracing::warn!("machine {}: tracker: {failure}", self.host);
            }
            _ => {}
        }
        Ok(())
    }

    fn seen(&self) -> Seen {
        let progress = self.session.progress();
        Seen {
            done: progress.done_bytes,
            sent: progress.sent,
            received: progress.received,
            wasted: progress.wasted,
            from_complete: progress.received_from_seeds,
            control: self.session.control_bytes(),
        }
    }

    fn tell(&self, news: News) {
        // Nobody listens any more when the run failed.
        let _ = self.news.send(news);
    }
}

/// A machine that cannot go on.
pub(super) fn failed(host: usize, why: &dyn std::fmt::Display) -> CliError {
    CliError::new(Exit::Other, format!("machine {host}: {why}"))
}
