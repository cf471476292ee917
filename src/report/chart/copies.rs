//! How many copies of each piece there are, over time.

use std::fmt::Write as _;

use super::plot::{Axis, Ink, Line, Mark, Plot};
use super::scale::Scale;
use super::{Body, Chart};
use crate::report::batch::{Batch, largest};
use crate::report::numbers;
use crate::report::run::{Run, Sample};

/// Up to this many copies an axis can be linear and still show the first ones apart.
const LINEAR_MAX: f64 = 24.0;

/// The rarest and the median piece, of the first contender that was sampled.
pub(super) fn chart(batches: &[Batch<'_>]) -> Option<Chart> {
    let shown = largest(batches);
    let run = shown
        .iter()
        .map(|batch| batch.typical().0)
        .find(|run| run.samples.len() > 1)?;
    let samples = &run.samples;
    let end = samples.last()?.t;
    let most = samples
        .iter()
        .map(|sample| sample.copies_median.max(sample.copies_min));
    let most = f64::from(most.max()?).max(1.0);
    let (unit_name, unit) = numbers::time_unit(end);
    let line = |name: &str, colour, copies: &dyn Fn(&Sample) -> u32| Line {
        name: Some(name.to_owned()),
        ink: Ink::Colour(colour),
        points: samples
            .iter()
            .map(|sample| (sample.t / unit, f64::from(copies(sample))))
            .collect(),
        is_step: true,
        ..Line::default()
    };
    let spread = first_spread(run);
    let marks = spread.map(|(_, at)| Mark {
        is_upright: true,
        at: at / unit,
        label: format!("a second copy of everything by {}", numbers::seconds(at)),
        is_second: false,
    });
    let is_linear = most <= LINEAR_MAX;
    let plot = Plot {
        x: Axis {
            label: format!("time since the start ({unit_name})"),
            scale: Scale::Linear(0.0, end / unit),
            ticks: Vec::new(),
        },
        y: Axis {
            label: if is_linear {
                "copies in the swarm, seeds included".to_owned()
            } else {
                "copies in the swarm, seeds included, logarithmic".to_owned()
            },
            scale: if is_linear {
                Scale::from_zero(most)
            } else {
                Scale::Counts(most)
            },
            ticks: Vec::new(),
        },
        lines: vec![
            line("median piece", 0, &|sample| sample.copies_median),
            line("rarest piece", 1, &|sample| sample.copies_min),
        ],
        marks: marks.into_iter().collect(),
    };
    Some(Chart {
        name: "piece-copies",
        title: format!("Copies of pieces, {}", run.contender),
        caption: said(run, spread),
        body: Body::Plot(plot),
    })
}

/// When every piece had left the seeds, so that all had a copy more than at the start: the last
/// sample before that, and the first one after it.
fn first_spread(run: &Run) -> Option<(f64, f64)> {
    let start = u32::try_from(run.seeds().count()).ok()?;
    let is_spread = |pair: &&[Sample]| pair[1].copies_min > start;
    let pair = run.samples.windows(2).find(is_spread)?;
    Some((pair[0].t, pair[1].t))
}

fn said(run: &Run, spread: Option<(f64, f64)>) -> String {
    let last = run.samples.last().copied().unwrap_or_default();
    let mut said = format!(
        "At the end of {} there are {} copies of the rarest piece and {} of the median piece.",
        run.contender,
        numbers::count(last.copies_min as usize),
        numbers::count(last.copies_median as usize),
    );
    if let Some((before, _)) = spread {
        let before = numbers::seconds(before);
        let _ = write!(
            said,
            " At {before} some piece was still with the seeds only: the swarm cannot finish before \
             all have left them, and soon after that everybody can be complete."
        );
    }
    said
}
