//! Two results side by side: who got slower, and whether they can be compared at all.

use std::fmt;

use super::batch::{Batch, batches};
use super::numbers::{counted, percent, seconds};
use super::results::{Results, Setup};

/// The runs of two results, matched by contender and number of fetchers.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// One for each pair that both results have.
    pub changes: Vec<Change>,
    /// What differs in the setups, in words; empty if they are alike.
    pub mismatches: Vec<String>,
    /// What only one of the two has, in words.
    pub unmatched: Vec<String>,
    /// The share by which a run may be slower.
    pub tolerance: f64,
}

/// What became of one contender with one number of fetchers: the median of its last completions.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Who.
    pub contender: String,
    /// With how many fetchers.
    pub fetchers: usize,
    /// The last completion before; `None` if it never came.
    pub old_s: Option<f64>,
    /// The last completion now; `None` if it never came.
    pub new_s: Option<f64>,
}

/// Compares the last completions of `new` with those of `old`; slower by more than the share
/// `tolerance` is too slow.
pub fn compare(old: &Results, new: &Results, tolerance: f64) -> Comparison {
    let (before, now) = (batches(old), batches(new));
    let changes = now.iter().filter_map(|batch| {
        let last = |batch: &Batch<'_>| batch.median(|figures| figures.last_s);
        let other = before.iter().find(|other| is_same(other, batch))?;
        Some(Change {
            contender: batch.contender.to_owned(),
            fetchers: batch.fetchers,
            old_s: last(other),
            new_s: last(batch),
        })
    });
    let mut unmatched = alone(&before, &now, "before");
    unmatched.extend(alone(&now, &before, "now"));
    let mut mismatches = differences(&old.setup, &new.setup);
    if old.kind != new.kind {
        mismatches.insert(0, "one was simulated, the other measured".to_owned());
    }
    Comparison {
        changes: changes.collect(),
        mismatches,
        unmatched,
        tolerance,
    }
}

fn is_same(left: &Batch<'_>, right: &Batch<'_>) -> bool {
    left.contender == right.contender && left.fetchers == right.fetchers
}

/// The batches of `these` that `others` have not.
fn alone(these: &[Batch<'_>], others: &[Batch<'_>], when: &str) -> Vec<String> {
    let is_alone = |batch: &&Batch<'_>| !others.iter().any(|other| is_same(batch, other));
    let said = |batch: &Batch<'_>| {
        let fetchers = counted(batch.fetchers, "fetcher");
        format!("{} with {fetchers}", batch.contender)
    };
    these
        .iter()
        .filter(is_alone)
        .map(|batch| format!("only {when}: {}", said(batch)))
        .collect()
}

/// What differs and may make the times differ; another random seed does not.
fn differences(old: &Setup, new: &Setup) -> Vec<String> {
    let mut pairs = vec![
        ("size", old.size.to_string(), new.size.to_string()),
        (
            "piece length",
            old.piece_length.to_string(),
            new.piece_length.to_string(),
        ),
    ];
    let value = |setup: &Setup, name: &str| {
        let found = setup.parameters.iter().find(|(other, _)| *other == name);
        found.map_or_else(|| "not given".to_owned(), |(_, value)| value.to_owned())
    };
    let mut names: Vec<&str> = old.parameters.iter().map(|(name, _)| name).collect();
    for (name, _) in new.parameters.iter() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    pairs.extend(
        names
            .into_iter()
            .map(|name| (name, value(old, name), value(new, name))),
    );
    pairs
        .into_iter()
        .filter(|(_, before, now)| before != now)
        .map(|(name, before, now)| format!("{name} was {before}, is {now}"))
        .collect()
}

impl Change {
    /// By which share it takes longer now; negative if it is faster. `None` if one of the two never
    /// came.
    pub fn slower_by(&self) -> Option<f64> {
        let (old, new) = self.old_s.zip(self.new_s)?;
        (old > 0.0).then(|| new / old - 1.0)
    }

    /// Whether it takes longer by more than `tolerance`, or does not finish any more.
    pub fn is_slower(&self, tolerance: f64) -> bool {
        match (self.old_s, self.new_s) {
            (Some(_), None) => true,
            _ => self.slower_by().is_some_and(|share| share > tolerance),
        }
    }

    fn said(&self, tolerance: f64) -> String {
        let time = |time: Option<f64>| time.map_or_else(|| "never".to_owned(), seconds);
        let times = format!("{} → {}", time(self.old_s), time(self.new_s));
        let change = match self.slower_by() {
            Some(share) if share > 0.0 => format!("{} slower", percent(share)),
            Some(share) if share < 0.0 => format!("{} faster", percent(-share)),
            Some(_) => "the same".to_owned(),
            None if self.is_slower(tolerance) => "does not finish any more".to_owned(),
            None if self.new_s.is_some() => "finishes now".to_owned(),
            None => "does not finish in either".to_owned(),
        };
        let flag = if self.is_slower(tolerance) {
            "SLOWER  "
        } else {
            "ok      "
        };
        let fetchers = counted(self.fetchers, "fetcher");
        format!("{flag}{}, {fetchers}: {times}, {change}", self.contender)
    }
}

impl Comparison {
    /// Those that are slower by more than the tolerance.
    pub fn slower(&self) -> impl Iterator<Item = &Change> {
        let is_slower = |change: &&Change| change.is_slower(self.tolerance);
        self.changes.iter().filter(is_slower)
    }

    /// Whether nothing is too slow, and something was compared at all.
    pub fn is_fine(&self) -> bool {
        !self.changes.is_empty() && self.slower().next().is_none()
    }
}

impl fmt::Display for Comparison {
    /// One line for each pair, then what could not be compared; no line break at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<String> = self
            .changes
            .iter()
            .map(|change| change.said(self.tolerance))
            .collect();
        lines.extend(self.unmatched.iter().cloned());
        lines.extend(
            self.mismatches
                .iter()
                .map(|what| format!("setups differ: {what}")),
        );
        let (slow, all) = (self.slower().count(), self.changes.len());
        let tolerance = percent(self.tolerance);
        lines.push(match (slow, all) {
            (_, 0) => "nothing to compare: no contender and number of fetchers in both".to_owned(),
            (0, _) => format!("none of {all} slower by more than {tolerance}"),
            (slow, all) => format!("{slow} of {all} slower by more than {tolerance}"),
        });
        f.write_str(&lines.join("\n"))
    }
}
