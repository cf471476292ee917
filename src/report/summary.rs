//! The report as Markdown: what fits into a terminal, a commit, an issue.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::batch::{Batch, batches, largest};
use super::numbers::{self, count, size};
use super::results::{Kind, Results};
use super::run::{HostRun, Role, Run};
use super::table::{Table, of_batches, of_groups};
use super::verdict::{of_bound, verdict};

/// The content of `summary.md`.
pub fn summary_md(results: &Results) -> String {
    let batches = batches(results);
    let shown = largest(&batches);
    let mut out = format!("# {}\n\n", title(results, &batches));
    for batch in &shown {
        let said = verdict(batch, &shown);
        let (who, figure) = (escaped(&said.contender), &said.figure);
        let sentences = said.sentences.iter().map(|text| escaped(text));
        let sentences = sentences.collect::<Vec<_>>().join(" ");
        let _ = writeln!(out, "- **{who}: {figure} {}.** {sentences}", said.unit);
    }
    if let Some(bound) = shown.iter().find_map(|batch| batch.runs[0].0.bound) {
        let _ = writeln!(out, "\n{}", of_bound(&bound));
    }
    for warning in warnings(results) {
        let _ = writeln!(out, "\n> **Warning:** {}", escaped(&warning));
    }
    out.push('\n');
    push_table(&mut out, &of_batches(&batches));
    let groups = of_groups(&batches);
    if !groups.rows.is_empty() {
        out.push_str("\n## By behaviour\n\n");
        push_table(&mut out, &groups);
    }
    out.push_str("\n## Setup\n\n");
    for (name, value) in setup(results) {
        let _ = writeln!(out, "- {}: {}", escaped(&name), escaped(&value));
    }
    let _ = writeln!(out, "\n```\n{}\n```", one_line(&results.command));
    out
}

/// What was run, in a few words.
pub(super) fn title(results: &Results, batches: &[Batch<'_>]) -> String {
    let counts = || batches.iter().map(|batch| batch.fetchers);
    let fetchers = match (counts().min(), counts().max()) {
        (Some(1), Some(1)) => "1 fetcher".to_owned(),
        (Some(least), Some(most)) if least == most => format!("{} fetchers", count(most)),
        (Some(least), Some(most)) => format!("{}–{} fetchers", count(least), count(most)),
        _ => "no runs".to_owned(),
    };
    let how = match results.kind {
        Kind::Sim => "simulated",
        Kind::Bench => "measured",
    };
    format!("{} to {fetchers}, {how}", size(results.setup.size as f64))
}

/// Names and values of the setup, the general ones first.
pub(super) fn setup(results: &Results) -> Vec<(String, String)> {
    let setup = &results.setup;
    let length = size(f64::from(setup.piece_length));
    let mut pairs = vec![
        ("content".to_owned(), size(setup.size as f64)),
        (
            "pieces".to_owned(),
            format!("{} of {length}", count(setup.pieces as usize)),
        ),
        ("random seed".to_owned(), setup.rng_seed.to_string()),
    ];
    let given = setup.parameters.iter();
    pairs.extend(given.map(|(name, value)| (name.to_owned(), value.to_owned())));
    pairs.extend(rates(results));
    if let [run] = &results.runs[..] {
        pairs.extend(
            run.trace_hash
                .map(|hash| ("trace hash".to_owned(), hash.to_string())),
        );
    }
    pairs
}

/// The rates that the bound assumes, if all runs have the same kinds of hosts.
fn rates(results: &Results) -> Vec<(String, String)> {
    let of = |name: &str, run: &Run, role, rate: fn(&HostRun) -> Option<u64>| {
        let hosts = run.hosts.iter().filter(|host| host.role == role);
        let mut counts: BTreeMap<Option<u64>, usize> = BTreeMap::new();
        for host in hosts {
            *counts.entry(rate(host)).or_default() += 1;
        }
        let shown = |rate: &Option<u64>| rate.map_or_else(|| "unlimited".to_owned(), numbers::rate);
        let value = match counts.len() {
            1 => counts.keys().map(shown).collect(),
            2..=6 => {
                let each = counts
                    .iter()
                    .map(|(rate, hosts)| format!("{hosts} × {}", shown(rate)));
                each.collect::<Vec<_>>().join(", ")
            }
            _ => format!("{} different rates", counts.len()),
        };
        (name.to_owned(), value)
    };
    let Some(run) = results.runs.first() else {
        return Vec::new();
    };
    vec![
        of("seed upload", run, Role::Seed, |host| host.up),
        of("fetcher upload", run, Role::Fetcher, |host| host.up),
        of("fetcher download", run, Role::Fetcher, |host| host.down),
    ]
}

/// What a reader should know. Warnings that differ in their numbers only are said once, with how
/// many runs they are about.
pub(super) fn warnings(results: &Results) -> Vec<String> {
    let words = |text: &str| text.replace(|letter: char| letter.is_ascii_digit(), "");
    let mut found: Vec<(&String, usize)> = Vec::new();
    for warning in results.runs.iter().flat_map(|run| &run.warnings) {
        match found
            .iter_mut()
            .find(|(other, _)| words(other) == words(warning))
        {
            Some((_, runs)) => *runs += 1,
            None => found.push((warning, 1)),
        }
    }
    let said = |(warning, runs): (&String, usize)| match runs {
        1 => warning.clone(),
        runs => {
            let (runs, all) = (count(runs), count(results.runs.len()));
            format!("{warning} (the first of {runs} such warnings in {all} runs)")
        }
    };
    found.into_iter().map(said).collect()
}

fn push_table(out: &mut String, table: &Table) {
    let names = table.columns.iter().map(|column| column.name);
    let rules = table
        .columns
        .iter()
        .map(|column| if column.is_text { "---" } else { "---:" });
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    out.push_str(&line(names.collect()));
    out.push_str(&line(rules.collect()));
    for row in &table.rows {
        let cells: Vec<String> = row.iter().map(|cell| escaped(cell)).collect();
        out.push_str(&line(cells.iter().map(String::as_str).collect()));
    }
}

/// Text that Markdown shows as it is, on one line.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in one_line(text).chars() {
        if matches!(
            letter,
            '|' | '*' | '_' | '`' | '<' | '>' | '[' | ']' | '\\' | '#'
        ) {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}
