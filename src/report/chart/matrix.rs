//! Who feeds whom: a square of senders and receivers, darker where more flowed, and beside it what
//! each sender gave in all.
//!
//! Large swarms are drawn in groups of neighbouring hosts, so that a picture never has more than
//! about [`CELLS_MAX`] cells a side.

mod draw;

use std::fmt::Write as _;

use super::{Body, Chart};
use crate::report::batch::{Batch, largest};
use crate::report::numbers;
use crate::report::run::{HostRun, Role, Run};

/// More cells a side than this cannot be told apart.
const CELLS_MAX: usize = 64;

/// A square of flows.
pub(super) struct Matrix {
    /// What rows and columns stand for, in order.
    groups: Vec<Group>,
    /// The name of each row and column, if each is one host.
    names: Vec<String>,
    /// Share of the content that each row sent to a host of each column, row by row.
    shares: Vec<f64>,
    /// Copies of the content that a host of each row sent in all.
    given: Vec<f64>,
    /// Hosts in a row or column, at most.
    hosts_per_cell: usize,
}

/// Neighbouring rows of hosts that are alike.
struct Group {
    /// What they are: seeds, or how they behave.
    name: String,
    /// How many rows they take.
    cells: usize,
}

/// One square for each contender whose flows were recorded, three at most.
pub(super) fn charts(batches: &[Batch<'_>], size: u64) -> Vec<Chart> {
    let shown = largest(batches);
    let runs = shown.iter().map(|batch| batch.typical().0);
    let recorded = runs.filter(|run| !run.flows.is_empty());
    let names = ["who-feeds-whom", "who-feeds-whom-2", "who-feeds-whom-3"];
    let chart = |(run, name): (&Run, _)| {
        let matrix = Matrix::of(run, size);
        Chart {
            name,
            title: format!("Who feeds whom, {}", run.contender),
            caption: matrix.said(run),
            body: Body::Matrix(matrix),
        }
    };
    recorded.zip(names).map(chart).collect()
}

impl Matrix {
    fn of(run: &Run, size: u64) -> Self {
        let hosts_per_cell = run.hosts.len().div_ceil(CELLS_MAX).max(1);
        let mut groups = Vec::new();
        let mut cell_of = vec![0; run.hosts.len()];
        let mut hosts_in: Vec<f64> = Vec::new();
        let order = order(run);
        for alike in order.chunk_by(|a, b| group(&run.hosts[*a]) == group(&run.hosts[*b])) {
            let cells = alike.chunks(hosts_per_cell);
            groups.push(Group {
                name: group(&run.hosts[alike[0]]).1.1.to_owned(),
                cells: cells.len(),
            });
            for hosts in cells {
                for host in hosts {
                    cell_of[*host] = hosts_in.len();
                }
                hosts_in.push(hosts.len() as f64);
            }
        }
        let cells = hosts_in.len();
        let (mut shares, mut given) = (vec![0.0; cells * cells], vec![0.0; cells]);
        for flow in &run.flows {
            let ends = cell_of
                .get(flow.from as usize)
                .zip(cell_of.get(flow.to as usize));
            let Some((from, to)) = ends else { continue };
            let copies = flow.bytes as f64 / size.max(1) as f64;
            shares[from * cells + to] += copies / hosts_in[*to];
            given[*from] += copies / hosts_in[*from];
        }
        let name = |host: &usize| run.hosts[*host].name.clone();
        Self {
            groups,
            names: order.iter().map(name).collect(),
            shares,
            given,
            hosts_per_cell,
        }
    }

    fn side(&self) -> usize {
        self.given.len()
    }

    /// The largest share of a cell.
    fn most(&self) -> f64 {
        self.shares.iter().copied().fold(0.0, f64::max)
    }

    fn said(&self, run: &Run) -> String {
        let sent = |hosts: &mut dyn Iterator<Item = &HostRun>| -> f64 {
            hosts.map(|host| host.sent as f64).sum()
        };
        let all = sent(&mut run.hosts.iter()).max(1.0);
        let mut said = format!(
            "Rows send, columns receive, both in the same order. Seeds sent {} of all payload; the \
             darkest cell is {} of the content.",
            numbers::percent(sent(&mut run.seeds()) / all),
            numbers::percent(self.most()),
        );
        if self.hosts_per_cell > 1 {
            let _ = write!(said, " A row or column is {} hosts.", self.hosts_per_cell);
        }
        let upload_rates = || run.fetchers().map(|host| host.up);
        if upload_rates().min() != upload_rates().max() {
            said += " Fetchers that can upload faster come first.";
        }
        said
    }
}

/// Hosts in the order of rows: seeds, then fetchers by behaviour, then the fastest givers.
fn order(run: &Run) -> Vec<usize> {
    let mut order: Vec<usize> = (0..run.hosts.len()).collect();
    order.sort_by_key(|host| {
        let host = &run.hosts[*host];
        (group(host), u64::MAX - host.up.unwrap_or(u64::MAX))
    });
    order
}

/// What tells groups of rows apart, in their order.
fn group(host: &HostRun) -> (bool, (bool, &str)) {
    match host.role {
        Role::Seed => (false, (false, "seeds")),
        Role::Fetcher | Role::Foe => (true, host.plays()),
    }
}
