//! What a simulation came to, beside what a bench tells as well: who fared how, and the traces.

use crate::cli::text::{Style, Text, flowed};
use crate::cli::units::{show_count, show_counted};
use crate::report::{Figures, Group, Results, Run};

/// What the table of a simulation does not hold: classes of peers, those who left, the traces.
pub(super) fn lines(results: &Results, width: usize) -> Vec<Text> {
    let several = results.runs.len() > 1;
    let mut lines = Vec::new();
    for run in &results.runs {
        let figures = results.figures(run);
        let classes = figures.groups.iter().map(|group| class(group, &figures));
        let mut told: Vec<Vec<Text>> = classes.collect();
        if figures.left > 0 {
            let left = show_counted(figures.left as u64, "peer");
            told.push(vec![Text::new(format!(" {left} left without the whole"))]);
        }
        told.push(trace(run));
        if several && told.len() > 1 {
            let peers = show_counted(figures.fetchers as u64, "peer");
            lines.push(Text::default().styled(Style::Dim, format!(" To {peers}:")));
        }
        lines.extend(told.into_iter().flat_map(|parts| flowed(parts, width)));
    }
    lines
}

/// What a run came to in two words: its efficiency and its trace.
pub(super) fn short(run: &Run, figures: &Figures) -> Text {
    let hash = run.trace_hash.map(|hash| hash.to_string());
    let efficiency = figures.efficiency.map(|share| format!("{share:.4}"));
    Text::new(format!(
        "{} {}",
        efficiency.unwrap_or_else(|| "–".into()),
        hash.unwrap_or_default()
    ))
}

/// A class of peers, with its mean time as a multiple of the honest ones'.
fn class(group: &Group, figures: &Figures) -> Vec<Text> {
    let count = |count| show_count(count as u64);
    let (complete, fetchers) = (count(group.complete), count(group.fetchers));
    let mut parts = vec![
        Text::new(" ")
            .styled(Style::Strong, &group.behaviour)
            .plain(format!(": {complete} of {fetchers} complete")),
        Text::new(format!("mean {}", seconds(group.mean_s))),
        Text::new(format!("last {}", seconds(group.last_s))),
    ];
    let is_honest = |group: &&Group| group.behaviour == "honest";
    let honest = figures.groups.iter().find(is_honest);
    let honest = honest.filter(|honest| honest.behaviour != group.behaviour);
    if let Some((mean, honest)) = group.mean_s.zip(honest.and_then(|group| group.mean_s)) {
        parts.push(Text::new(format!("{:.2} times the honest", mean / honest)));
    }
    parts
}

fn trace(run: &Run) -> Vec<Text> {
    let hash = run.trace_hash.map_or("–".into(), |hash| hash.to_string());
    let peers = show_counted(run.fetchers().count() as u64, "peer");
    let mut parts = vec![
        Text::new(" Trace ").styled(Style::Strong, hash),
        Text::new(peers),
    ];
    parts.extend(
        run.rng_seed
            .map(|seed| Text::new(format!("rng seed {seed}"))),
    );
    parts
}

fn seconds(secs: Option<f64>) -> String {
    secs.map_or("–".into(), |secs| format!("{secs:.2} s"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{HostRun, Kind, Role, Setup, TraceHash};

    fn peer(behaviour: &str, completed_s: Option<f64>) -> HostRun {
        HostRun {
            role: Role::Fetcher,
            behaviour: behaviour.into(),
            completed_s,
            left_s: completed_s.is_none().then_some(1.0),
            ..HostRun::default()
        }
    }

    fn results(runs: usize) -> Results {
        let hosts = vec![
            peer("honest", Some(10.0)),
            peer("honest", Some(12.0)),
            peer("honest", None),
            peer("free-rider", Some(22.0)),
        ];
        let run = |seed| Run {
            contender: "swarm".into(),
            rng_seed: Some(seed),
            hosts: hosts.clone(),
            trace_hash: Some(TraceHash(0xb33)),
            ..Run::default()
        };
        Results {
            kind: Kind::Sim,
            command: "swarm sim".into(),
            setup: Setup::default(),
            runs: (1..=runs as u64).map(run).collect(),
        }
    }

    fn told(runs: usize) -> String {
        let lines = lines(&results(runs), 80);
        let lines: Vec<String> = lines.iter().map(|line| line.render(false)).collect();
        lines.join("\n")
    }

    #[test]
    fn classes_of_peers_leavers_and_the_trace_are_told() {
        insta::assert_snapshot!(told(1), @r"
        honest: 2 of 3 complete · mean 11.00 s · last 12.00 s
        free-rider: 1 of 1 complete · mean 22.00 s · last 22.00 s
          2.00 times the honest
        1 peer left without the whole
        Trace 0000000000000b33 · 4 peers · rng seed 1
        ");
    }

    #[test]
    fn several_runs_are_told_one_after_the_other() {
        insta::assert_snapshot!(told(2), @r"
        To 4 peers:
        honest: 2 of 3 complete · mean 11.00 s · last 12.00 s
        free-rider: 1 of 1 complete · mean 22.00 s · last 22.00 s
          2.00 times the honest
        1 peer left without the whole
        Trace 0000000000000b33 · 4 peers · rng seed 1
        To 4 peers:
        honest: 2 of 3 complete · mean 11.00 s · last 12.00 s
        free-rider: 1 of 1 complete · mean 22.00 s · last 22.00 s
          2.00 times the honest
        1 peer left without the whole
        Trace 0000000000000b33 · 4 peers · rng seed 2
        ");
    }

    #[test]
    fn a_run_is_two_words_for_a_script() {
        let results = results(1);
        let run = &results.runs[0];
        let efficiency = Figures {
            efficiency: Some(0.961_23),
            ..Figures::default()
        };
        assert_eq!(
            short(run, &efficiency).render(false),
            "0.9612 0000000000000b33"
        );
        assert_eq!(
            short(run, &Figures::default()).render(false),
            "– 0000000000000b33"
        );
    }
}
