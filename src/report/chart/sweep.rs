//! What becomes of a figure as the swarm grows.

use super::plot::{Axis, Dots, Ink, Line, Mark, Plot};
use super::scale::Scale;
use super::text;
use super::{Body, Chart};
use crate::report::batch::Batch;
use crate::report::figures::Figures;
use crate::report::numbers;

/// More lines than this have their last value in the legend instead of at their end.
const LABELLED_MAX: usize = 3;
/// The room for a name at the end of a line.
const NAME_MAX: f64 = 110.0;

/// The last completion against the number of fetchers, with the bound.
pub(super) fn time(batches: &[Batch<'_>]) -> Option<Chart> {
    let figure = |figures: &Figures| figures.last_s;
    let times = || {
        let own = batches.iter().filter_map(|batch| batch.median(figure));
        own.chain(batches.iter().filter_map(Batch::bound_s))
    };
    let (low, high) = (
        times().fold(f64::INFINITY, f64::min),
        times().fold(0.0, f64::max),
    );
    // Minutes and hours would make broken ticks of what took seconds.
    let (unit_name, unit) = match Scale::fitting(low, high) {
        Scale::Log(..) => ("s", 1.0),
        _ => numbers::time_unit(high),
    };
    let sweep = Sweep {
        batches,
        figure: &figure,
        unit,
        shown: &numbers::seconds,
    };
    let mut lines = vec![sweep.bound()];
    lines.extend(sweep.lines());
    let label = format!("last fetcher complete ({unit_name})");
    let plot = plot(label, lines, Vec::new())?;
    Some(Chart {
        name: "time-by-fetchers",
        title: "Completion time against the number of fetchers".to_owned(),
        caption: sweep.said("last completion", "The dashed line is the bound."),
        body: Body::Plot(plot),
    })
}

/// The copies that the seeds sent against the number of fetchers.
pub(super) fn seed_copies(batches: &[Batch<'_>]) -> Option<Chart> {
    let sweep = Sweep {
        batches,
        figure: &|figures| Some(figures.seed_copies).filter(|copies| *copies > 0.0),
        unit: 1.0,
        shown: &numbers::copies,
    };
    let one = Mark {
        is_upright: false,
        at: 1.0,
        label: "one copy".to_owned(),
        is_second: false,
    };
    let label = "copies of the content sent by seeds".to_owned();
    let plot = plot(label, sweep.lines(), vec![one])?;
    Some(Chart {
        name: "copies-by-fetchers",
        title: "What seeds send against the number of fetchers".to_owned(),
        caption: sweep.said(
            "copies sent by seeds",
            "The dashed line is one copy, the least that they have to send.",
        ),
        body: Body::Plot(plot),
    })
}

struct Sweep<'s> {
    batches: &'s [Batch<'s>],
    figure: &'s dyn Fn(&Figures) -> Option<f64>,
    /// How much of the figure one unit of the axis is.
    unit: f64,
    /// The figure as people read it.
    shown: &'s dyn Fn(f64) -> String,
}

impl Sweep<'_> {
    /// One line for each contender, through its medians.
    fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        let mut contenders = Vec::new();
        for batch in self.batches {
            if contenders.last() != Some(&batch.contender) {
                lines.push(Line {
                    name: Some(batch.contender.to_owned()),
                    ink: Ink::Colour(contenders.len()),
                    dots: Dots::All,
                    ..Line::default()
                });
                contenders.push(batch.contender);
            }
            let line = lines.last_mut().expect("one was pushed for this contender");
            let at = batch.fetchers as f64;
            let Some(median) = batch.median(self.figure) else {
                continue;
            };
            line.points.push((at, median / self.unit));
            let value = (self.shown)(median);
            let name = text::cut(batch.contender, NAME_MAX);
            line.label = Some(format!("{name} {value}"));
            line.detail = format!("{value} with {}", numbers::count(batch.fetchers));
            let range = batch.range(self.figure).filter(|(low, high)| low < high);
            line.whiskers
                .extend(range.map(|(low, high)| (at, low / self.unit, high / self.unit)));
        }
        // Where many lines end, labels would hide them: then the legend says it.
        for line in &mut lines {
            if contenders.len() > LABELLED_MAX {
                line.label = None;
            } else {
                line.detail.clear();
            }
        }
        lines
    }

    /// The bound, which is the same for all contenders of one number of fetchers.
    fn bound(&self) -> Line {
        let mut points: Vec<(f64, f64)> = Vec::new();
        for batch in self.batches {
            let bound = batch.bound_s().map(|bound| bound / self.unit);
            points.extend(bound.map(|bound| (batch.fetchers as f64, bound)));
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points.dedup_by_key(|point| point.0);
        Line {
            name: Some("bound".to_owned()),
            label: points
                .last()
                .map(|point| format!("bound {}", (self.shown)(point.1 * self.unit))),
            points,
            ..Line::default()
        }
    }

    /// From which to which value each contender goes.
    fn said(&self, what: &str, more: &str) -> String {
        let mut said = Vec::new();
        for own in self.batches.chunk_by(|a, b| a.contender == b.contender) {
            let values = own.iter().filter_map(|batch| {
                let value = (self.shown)(batch.median(self.figure)?);
                Some((value, numbers::counted(batch.fetchers, "fetcher")))
            });
            let values: Vec<(String, String)> = values.collect();
            if let [(first, few), .., (last, many)] = &values[..] {
                let contender = own[0].contender;
                said.push(format!(
                    "{contender}: {what} {first} with {few}, {last} with {many}."
                ));
            }
        }
        if self.batches.iter().any(|batch| batch.runs.len() > 1) {
            said.push("Dots are medians, bars reach from the lowest to the highest.".to_owned());
        }
        said.push(more.to_owned());
        said.join(" ")
    }
}

/// The plot, if anything is there for more than one number of fetchers.
fn plot(label: String, lines: Vec<Line>, marks: Vec<Mark>) -> Option<Plot> {
    let lines: Vec<Line> = lines
        .into_iter()
        .filter(|line| !line.points.is_empty())
        .collect();
    let mut counts: Vec<f64> = lines
        .iter()
        .filter(|line| line.ink != Ink::Bound)
        .flat_map(|line| line.points.iter().map(|point| point.0))
        .collect();
    counts.sort_by(f64::total_cmp);
    counts.dedup();
    let (first, last) = (*counts.first()?, *counts.last()?);
    if first >= last {
        return None;
    }
    let values = lines
        .iter()
        .flat_map(|line| &line.points)
        .map(|point| point.1);
    let values = values.chain(marks.iter().map(|mark| mark.at));
    let tops = lines
        .iter()
        .flat_map(|line| &line.whiskers)
        .map(|whisker| whisker.2);
    let (low, high) = (
        values.clone().fold(f64::INFINITY, f64::min),
        values.chain(tops).fold(0.0, f64::max),
    );
    // A little air on both sides, so that dots at the ends are whole.
    let air = (last / first).powf(0.03);
    Some(Plot {
        x: Axis {
            label: "fetchers (logarithmic)".to_owned(),
            scale: Scale::Log(first / air, last * air),
            ticks: counts,
        },
        y: Axis {
            scale: Scale::fitting(low, high),
            label: match Scale::fitting(low, high) {
                Scale::Log(..) => format!("{label}, logarithmic"),
                _ => label,
            },
            ticks: Vec::new(),
        },
        lines,
        marks,
    })
}
