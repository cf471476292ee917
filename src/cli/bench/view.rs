//! How far a bench is, in all its runs: what the screen shows of it, and how long it will take.

use std::time::Duration;

use super::args::{Plan, Round};
use super::gather::Gathered;
use super::machine::Cost;
use crate::cli::App;
use crate::cli::screen::Benching;

/// The runs that are to be made and those that were.
#[derive(Debug)]
pub(super) struct Outlook {
    rounds: Vec<Round>,
    /// How long each takes: as planned, or as it took.
    takes: Vec<Option<Duration>>,
    /// The least time for each.
    bounds: Vec<Option<f64>>,
    /// How many were made.
    made: usize,
}

impl Outlook {
    /// Nothing was made yet.
    pub(super) fn new(plan: &Plan) -> Self {
        let rounds = plan.rounds();
        Self {
            takes: rounds.iter().map(|round| plan.takes(*round)).collect(),
            bounds: (rounds.iter())
                .map(|round| plan.bound(round.peers).map(|bound| bound.fluid_s))
                .collect(),
            rounds,
            made: 0,
        }
    }

    /// Every run in order.
    pub(super) fn rounds(&self) -> &[Round] {
        &self.rounds
    }

    /// One more run was made; the next of its kind will take as long.
    pub(super) fn note(&mut self, took: f64) {
        let round = self.rounds[self.made];
        let took = Duration::try_from_secs_f64(took).ok();
        for (other, takes) in self.rounds.iter().zip(&mut self.takes).skip(self.made) {
            if (other.contender, other.peers) == (round.contender, round.peers) {
                *takes = took;
            }
        }
        self.made += 1;
    }

    /// How long the runs that are left will take, if that can be known.
    pub(super) fn left(&self) -> Option<Duration> {
        self.takes[self.made..].iter().copied().sum()
    }

    /// Shows the run under way.
    pub(super) fn show(
        &self,
        round: Round,
        gathered: &Gathered,
        (cost, took): (&Cost, f64),
        app: &mut App<'_>,
    ) {
        let rate = gathered.rate();
        let share = gathered.share();
        let planned = self.takes[self.made].map(|takes| takes.as_secs_f64());
        // Early on, the plan knows better than the rate.
        let this = match planned {
            Some(planned) if took < planned => Some(planned - took),
            _ => (share > 0.0 && rate > 0.0).then(|| took * (1.0 - share) / share),
        };
        let others: Option<Duration> = self.takes[self.made + 1..].iter().copied().sum();
        let eta = this
            .and_then(|this| Duration::try_from_secs_f64(this).ok())
            .zip(others)
            .map(|(this, others)| this + others);
        let view = Benching {
            run: self.made + 1,
            runs: self.rounds.len(),
            contender: round.contender.name(),
            peers: round.peers.into(),
            complete: gathered.complete(),
            share,
            rate,
            took,
            bound: self.bounds[self.made],
            seed_copies: gathered.seed_copies(),
            copies_min: gathered.copies().0,
            cpu: cost.share,
            eta,
        };
        if app.signals.take_report() {
            app.printer.status_line(&view);
        }
        app.printer.status(&view);
    }
}
