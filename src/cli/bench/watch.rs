//! Watches a run from the moment that fetchers are let go: gathers reports, shows how far it is,
//! and sees when it is done, when it hangs and when the user has had enough.

use std::time::Duration;

use crossbeam_channel::Receiver;

use super::args::Round;
use super::gather::{Gathered, News, Seen};
use super::machine::{Cost, Gauge};
use super::member::REPORT_INTERVAL;
use super::site::Server;
use super::view::Outlook;
use crate::cli::App;
use crate::cli::error::{CliError, Exit};
use crate::runtime::Clock;
use crate::time::Time;

/// Nothing came anywhere for this long: the run has failed.
const STALL_MAX: Duration = Duration::from_secs(60);

/// How long after the last completion the counters of everybody are final: a snapshot of the
/// session and a report of its machine later.
const SETTLE: Duration = Duration::from_millis(750);

/// A run under way.
pub(super) struct Watch {
    gathered: Gathered,
    clock: Clock,
    gauge: Gauge,
    start: Time,
    sampled: Time,
    /// When anything was last seen to move, and how much was there then.
    moved: (Time, u64),
    /// What it cost until the last completion.
    cost: Option<Cost>,
    /// Since when all copies are complete and in their places.
    settled: Option<Time>,
}

impl Watch {
    /// Starts the time of the run.
    pub(super) fn start(mut gathered: Gathered, clock: Clock) -> Self {
        let gauge = Gauge::start();
        let start = clock.now();
        gathered.begin(start);
        Self {
            gathered,
            clock,
            gauge,
            start,
            sampled: start,
            moved: (start, 0),
            cost: None,
            settled: None,
        }
    }

    /// Watches until every copy is complete and in its place.
    pub(super) fn run(
        mut self,
        reports: &Receiver<News>,
        servers: &[Server],
        (outlook, round): (&Outlook, Round),
        app: &mut App<'_>,
    ) -> Result<(Gathered, Cost), CliError> {
        loop {
            if let Ok(news) = reports.recv_timeout(REPORT_INTERVAL / 5) {
                self.gathered.heed(news)?;
            }
            let now = self.clock.now();
            if self.cost.is_none() && self.gathered.is_complete() {
                self.cost = Some(self.gauge.read(now.since(self.start)));
            }
            if now.since(self.sampled) < REPORT_INTERVAL {
                continue;
            }
            self.sampled = now;
            self.check(now, app)?;
            for (host, server) in servers.iter().enumerate() {
                let sent = server.sent();
                let seen = Seen {
                    sent,
                    ..Seen::default()
                };
                self.gathered.heed(News::Moved { host, seen })?;
            }
            if self.cost.is_none() {
                self.gathered.sample(self.gathered.seconds(now));
                let cost = self.gauge.read(now.since(self.start));
                let took = self.gathered.seconds(now);
                outlook.show(round, &self.gathered, (&cost, took), app);
            }
            if let Some(cost) = self.cost.filter(|_| self.is_settled(now)) {
                return Ok((self.gathered, cost));
            }
        }
    }

    /// Whether there is a reason to end before everything is done.
    fn check(&mut self, now: Time, app: &mut App<'_>) -> Result<(), CliError> {
        if let Some(exit) = app.stop_asked() {
            return Err(CliError::new(exit, "interrupted"));
        }
        if app.printer.is_abandoned() {
            return Err(CliError::new(Exit::Interrupted, "nobody reads the output"));
        }
        let done = self.gathered.done();
        if done != self.moved.1 {
            self.moved = (now, done);
        }
        if now.since(self.moved.0) < STALL_MAX {
            return Ok(());
        }
        let what = format!(
            "nothing moved for {} s: {} machines are complete, all together have {:.0} %",
            STALL_MAX.as_secs(),
            self.gathered.complete(),
            self.gathered.share() * 100.0,
        );
        Err(CliError::new(Exit::Other, what).help("-v shows the log"))
    }

    fn is_settled(&mut self, now: Time) -> bool {
        if !self.gathered.is_published() {
            return false;
        }
        let settled = *self.settled.get_or_insert(now);
        now.since(settled) >= SETTLE
    }
}
