//! Runs that repeat each other: one contender, one number of fetchers.

use super::figures::Figures;
use super::results::Results;
use super::run::Run;

/// The repeated runs of one contender with one number of fetchers.
pub(super) struct Batch<'a> {
    /// Who ran.
    pub(super) contender: &'a str,
    /// With how many fetchers.
    pub(super) fetchers: usize,
    /// Every run with its figures; never empty.
    pub(super) runs: Vec<(&'a Run, Figures)>,
}

/// All runs of `results` as batches: contenders as they first appear, then by number of fetchers.
pub(super) fn batches(results: &Results) -> Vec<Batch<'_>> {
    let mut batches: Vec<Batch<'_>> = Vec::new();
    for run in &results.runs {
        let figures = results.figures(run);
        let fetchers = figures.fetchers;
        let same =
            |batch: &&mut Batch<'_>| batch.contender == run.contender && batch.fetchers == fetchers;
        match batches.iter_mut().find(same) {
            Some(batch) => batch.runs.push((run, figures)),
            None => batches.push(Batch {
                contender: &run.contender,
                fetchers,
                runs: vec![(run, figures)],
            }),
        }
    }
    let order = contenders(results);
    let place = |batch: &Batch<'_>| order.iter().position(|name| *name == batch.contender);
    batches.sort_by_key(|batch| (place(batch), batch.fetchers));
    batches
}

/// Everybody who ran, in order of first appearance.
pub(super) fn contenders(results: &Results) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for run in &results.runs {
        if !names.contains(&run.contender.as_str()) {
            names.push(&run.contender);
        }
    }
    names
}

/// Of each contender the batch with the most fetchers.
pub(super) fn largest<'b, 'a>(batches: &'b [Batch<'a>]) -> Vec<&'b Batch<'a>> {
    let is_last = |at: &usize| {
        let next = batches.get(at + 1);
        next.is_none_or(|next| next.contender != batches[*at].contender)
    };
    (0..batches.len())
        .filter(is_last)
        .map(|at| &batches[at])
        .collect()
}

impl<'a> Batch<'a> {
    /// The median over its runs of a figure; `None` if the median run has none.
    pub(super) fn median(&self, figure: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
        let values = self.runs.iter().map(|(_, figures)| figure(figures));
        median(values.collect())
    }

    /// The lowest and the highest of a figure over its runs; `None` if a run has none.
    pub(super) fn range(&self, figure: impl Fn(&Figures) -> Option<f64>) -> Option<(f64, f64)> {
        let values: Option<Vec<f64>> = self.runs.iter().map(|(_, f)| figure(f)).collect();
        let values = values?;
        let low = values.iter().copied().reduce(f64::min)?;
        Some((low, values.into_iter().reduce(f64::max)?))
    }

    /// The run that a picture shows: the one with the median last completion.
    pub(super) fn typical(&self) -> &(&'a Run, Figures) {
        let mut order: Vec<usize> = (0..self.runs.len()).collect();
        let last = |at: &usize| self.runs[*at].1.last_s.unwrap_or(f64::INFINITY);
        order.sort_by(|a, b| last(a).total_cmp(&last(b)));
        &self.runs[order[(order.len() - 1) / 2]]
    }

    /// The fluid bound, which all of its runs share.
    pub(super) fn bound_s(&self) -> Option<f64> {
        self.runs[0].0.bound.map(|bound| bound.fluid_s)
    }
}

/// The median, between the two in the middle if their number is even; `None` is larger than all.
pub(super) fn median(mut values: Vec<Option<f64>>) -> Option<f64> {
    let or_never = |value: &Option<f64>| value.unwrap_or(f64::INFINITY);
    values.sort_by(|a, b| or_never(a).total_cmp(&or_never(b)));
    let upper = values.get(values.len() / 2).copied().flatten()?;
    let lower = values[(values.len() - 1) / 2]?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_lies_in_the_middle_and_never_comes_last() {
        assert_eq!(median(vec![Some(3.0), Some(1.0), Some(2.0)]), Some(2.0));
        assert_eq!(median(vec![Some(4.0), Some(1.0)]), Some(2.5));
        assert_eq!(median(vec![None, Some(1.0), Some(2.0)]), Some(2.0));
        assert_eq!(median(vec![None, Some(1.0)]), None);
        assert_eq!(median(vec![]), None);
    }
}
