//! What a bench or a simulation came to: a table of medians, and what stands behind it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::cli::text::{Style, Text, flowed};
use crate::cli::units::{RateUnit, show_count, show_counted, show_size};
use crate::report::{Figures, Results, Run};

/// What goes into one column of the table.
type Column = (&'static str, Figure, fn(f64) -> String);

/// One of the figures of a run.
type Figure = fn(&Figures) -> Option<f64>;

/// The columns behind the contender's name.
const COLUMNS: [Column; 7] = [
    ("first", |f| f.first_s, seconds),
    ("median", |f| f.median_s, seconds),
    ("p95", |f| f.p95_s, seconds),
    ("last", |f| f.last_s, seconds),
    ("of bound", |f| f.efficiency, percent),
    ("seed sent", |f| Some(f.seed_copies), times),
    ("from peers", |f| f.from_peers, percent),
];

/// The least columns that the names of contenders take.
const NAME_COLUMNS: usize = 5;

/// The runs of one contender to one number of machines.
struct Cell<'a> {
    contender: &'a str,
    peers: usize,
    runs: Vec<(&'a Run, Figures)>,
}

impl Cell<'_> {
    /// The median over the runs; none if it is missing in one of them.
    fn median(&self, of: Figure) -> Option<f64> {
        let values: Option<Vec<f64>> = self.runs.iter().map(|(_, figures)| of(figures)).collect();
        let mut values = values?;
        values.sort_by(f64::total_cmp);
        let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
        Some(f64::midpoint(values[low], values[high]))
    }
}

/// The results as lines for a terminal.
pub(in crate::cli) fn results_lines(results: &Results, rates: RateUnit, width: usize) -> Vec<Text> {
    let cells = cells(results);
    let mut lines = flowed(setup_parts(results, rates), width);
    lines.push(Text::default());
    lines.extend(table(&cells));
    lines.push(Text::default());
    for cell in &cells {
        lines.extend(flowed(detail_parts(cell), width));
    }
    lines.extend(versus_lines(&cells));
    lines
}

/// Contenders by number of machines, then in the order in which they first ran.
fn cells(results: &Results) -> Vec<Cell<'_>> {
    let mut order: Vec<&str> = Vec::new();
    let mut found: BTreeMap<(usize, usize), Cell<'_>> = BTreeMap::new();
    for run in &results.runs {
        let place = order.iter().position(|name| *name == run.contender);
        let place = place.unwrap_or_else(|| {
            order.push(&run.contender);
            order.len() - 1
        });
        let peers = run.fetchers().count();
        let cell = found.entry((peers, place)).or_insert_with(|| Cell {
            contender: &run.contender,
            peers,
            runs: Vec::new(),
        });
        cell.runs.push((run, results.figures(run)));
    }
    found.into_values().collect()
}

fn setup_parts(results: &Results, rates: RateUnit) -> Vec<Text> {
    let setup = &results.setup;
    let mut parts = vec![Text::new(" ").styled(Style::Strong, show_size(setup.size))];
    parts.push(Text::new(format!(
        "{} pieces × {}",
        show_count(setup.pieces.into()),
        show_size(setup.piece_length.into())
    )));
    let Some(run) = results.runs.first() else {
        return parts;
    };
    parts.push(Text::new(show_counted(run.seeds().count() as u64, "seed")));
    let links: Vec<_> = run.hosts.iter().map(|host| (host.up, host.down)).collect();
    let show = |rate: Option<u64>| rate.map_or("no limit".to_owned(), |rate| rates.show(rate));
    if links.windows(2).all(|pair| pair[0] == pair[1]) {
        let (up, down) = links[0];
        parts.push(Text::new(format!("↑{} ↓{} each", show(up), show(down))));
    }
    parts
}

fn table(cells: &[Cell<'_>]) -> Vec<Text> {
    let names = cells.iter().map(|cell| cell.contender.len());
    let name_columns = names.max().unwrap_or(0).max(NAME_COLUMNS);
    let mut head = format!(" {:>8}  {:<name_columns$}", "machines", "");
    for (title, _, _) in COLUMNS {
        // Writing to a String cannot fail.
        let _ = write!(head, " {title:>7}");
    }
    let mut lines = vec![Text::default().styled(Style::Dim, head.trim_end())];
    for cell in cells {
        let peers = show_count(cell.peers as u64);
        let mut line = Text::new(format!(" {peers:>8}  {:<name_columns$}", cell.contender));
        for (title, of, show) in COLUMNS {
            let shown = cell.median(of).map_or("–".to_owned(), show);
            let columns = title.len().max(7);
            let style = match title {
                "last" | "of bound" => Style::Strong,
                _ => Style::Plain,
            };
            line = line.plain(" ").styled(style, format!("{shown:>columns$}"));
        }
        lines.push(line);
    }
    lines
}

/// What a cell of the table does not hold.
fn detail_parts(cell: &Cell<'_>) -> Vec<Text> {
    let peers = show_count(cell.peers as u64);
    let head = format!(" {} to {peers}: ", cell.contender);
    let mut parts = Vec::new();
    let bound = cell.runs.iter().find_map(|(run, _)| run.bound);
    if let Some(bound) = bound {
        parts.push(format!("{} at the least", seconds(bound.fluid_s)));
    }
    let lasts: Vec<String> = (cell.runs.iter())
        .map(|(_, figures)| {
            figures
                .last_s
                .map_or("–".to_owned(), |last| format!("{last:.1}"))
        })
        .collect();
    if lasts.len() > 1 {
        parts.push(format!("last after {} s", lasts.join(", ")));
    }
    let shares: [(&str, Figure); 3] = [
        ("received twice", |f| f.duplicate),
        ("haves", |f| f.have),
        ("requests", |f| f.request),
    ];
    let is_told = |share: &f64| *share > 0.0;
    for (name, of) in shares {
        let share = cell.median(of).filter(is_told);
        parts.extend(share.map(|share| format!("{name} {:.2}%", share * 100.0)));
    }
    if let Some(jain) = cell.median(|f| f.jain).filter(|_| cell.peers > 1) {
        let given = |at: usize| {
            let least_most = cell.runs.iter().filter_map(|(_, f)| f.given_received);
            least_most.map(|given| given[at]).collect::<Vec<f64>>()
        };
        let least = given(0).into_iter().fold(f64::INFINITY, f64::min);
        let most = given(2).into_iter().fold(0.0, f64::max);
        parts.push(format!(
            "gave {least:.2} to {most:.2} of what they got (Jain {jain:.3})"
        ));
    }
    if let Some(cpu) = cell.median(|f| f.cpu_s_per_gib) {
        parts.push(format!("{cpu:.2} CPU-s/GiB"));
    }
    let peaks = cell.runs.iter().filter_map(|(run, _)| run.rss_peak);
    if let Some(peak) = peaks.max() {
        parts.push(format!("{} of memory at most", show_size(peak)));
    }
    let mut parts = parts.into_iter().map(Text::new);
    let first = parts.next().unwrap_or_default();
    std::iter::once(Text::new(head).join(first))
        .chain(parts)
        .collect()
}

/// How much longer the others take than a swarm.
fn versus_lines(cells: &[Cell<'_>]) -> Vec<Text> {
    let mut lines = Vec::new();
    for cell in cells {
        let swarm = cells
            .iter()
            .find(|other| other.contender == "swarm" && other.peers == cell.peers);
        let times = swarm
            .filter(|_| cell.contender != "swarm")
            .and_then(|swarm| {
                let last = |cell: &Cell<'_>| cell.median(|f| f.last_s);
                Some(last(cell)? / last(swarm)?)
            });
        if let Some(times) = times {
            let peers = show_counted(cell.peers as u64, "machine");
            let line = Text::new(format!(" To {peers}, {} takes ", cell.contender));
            let line = line.styled(Style::Strong, format!("{times:.1} times"));
            lines.push(line.plain(" as long as the swarm."));
        }
    }
    lines
}

fn seconds(seconds: f64) -> String {
    let decimals = match seconds {
        _ if seconds < 9.995 => 2,
        _ if seconds < 999.5 => 1,
        _ => 0,
    };
    format!("{seconds:.decimals$} s")
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn times(copies: f64) -> String {
    format!("{copies:.2} ×")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{HostRun, Kind, Role, Setup};

    fn host(role: Role, completed_s: f64, sent: u64, from_seeds: u64) -> HostRun {
        HostRun {
            role,
            up: Some(10_000_000),
            down: Some(10_000_000),
            completed_s: Some(completed_s),
            sent,
            received: if role == Role::Seed { 0 } else { 100_000_000 },
            received_from_seeds: from_seeds,
            ..HostRun::default()
        }
    }

    fn run(contender: &str, hosts: Vec<HostRun>) -> Run {
        Run {
            contender: contender.to_owned(),
            bound: Run::bound_of(100_000_000, 65_536, &hosts),
            hosts,
            cpu_s: Some(0.25),
            ..Run::default()
        }
    }

    fn results() -> Results {
        let swarm = |last| {
            let fetcher = |at, sent| host(Role::Fetcher, at, sent, 55_000_000);
            let seed = host(Role::Seed, 0.0, 110_000_000, 0);
            let fetchers = [fetcher(last - 0.5, 60_000_000), fetcher(last, 30_000_000)];
            run("swarm", [seed].into_iter().chain(fetchers).collect())
        };
        let http = || {
            let fetcher = |at| host(Role::Fetcher, at, 0, 100_000_000);
            let seed = host(Role::Seed, 0.0, 200_000_000, 0);
            run("http", vec![seed, fetcher(20.0), fetcher(20.1)])
        };
        Results {
            kind: Kind::Bench,
            command: "swarm bench".to_owned(),
            setup: Setup {
                size: 100_000_000,
                piece_length: 65_536,
                pieces: 1_526,
                ..Setup::default()
            },
            runs: vec![swarm(11.0), http(), swarm(12.0), swarm(10.5)],
        }
    }

    #[test]
    fn results_are_a_table_of_medians_and_what_stands_behind_it() {
        let lines = results_lines(&results(), RateUnit::Bits, 80);
        let text: Vec<String> = lines.iter().map(|line| line.render(false)).collect();
        insta::assert_snapshot!(text.join("\n"));
        assert!(lines.iter().all(|line| line.width() <= 80));
    }
}
