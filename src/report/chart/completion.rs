//! The share of fetchers that are complete, over time.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::plot::{Axis, Dots, Ink, Line, Mark, Plot};
use super::scale::Scale;
use super::{Body, Chart};
use crate::report::batch::{Batch, largest};
use crate::report::bound::Bound;
use crate::report::numbers;
use crate::report::run::{HostRun, Run};

/// Contenders that take longer than this many bounds are not drawn in the close view.
const CLOSE: f64 = 3.0;

/// One line: the fetchers of one run, or those of them that play alike.
struct Curve {
    /// What the legend calls it; `None` for another run of a contender.
    name: Option<String>,
    detail: String,
    ink: Ink,
    /// When each of them was complete, in order.
    done: Vec<f64>,
    /// How many there are.
    of: usize,
    /// Where the line ends: with the last of them, or with the run.
    end: f64,
}

/// The whole story, and a close view if what matters happens in a small part of the axis.
pub(super) fn charts(batches: &[Batch<'_>]) -> Vec<Chart> {
    let shown = largest(batches);
    let mut curves = curves(&shown);
    let end = latest(&curves);
    if end <= 0.0 {
        return Vec::new();
    }
    let bound = shown.iter().find_map(|batch| batch.runs[0].0.bound);
    let title = title(&shown);
    let whole = Chart {
        name: "completion",
        title: title.clone(),
        caption: caption(&shown, bound),
        body: Body::Plot(plot(&curves, bound, (0.0, end * 1.02))),
    };
    let fastest = curves.iter().filter(|curve| curve.is_whole());
    let near = match bound {
        Some(bound) => bound.fluid_s,
        None => fastest.map(|curve| curve.end).fold(f64::INFINITY, f64::min),
    };
    curves.retain(|curve| curve.is_whole() && curve.end <= CLOSE * near);
    let first = curves.iter().filter_map(|curve| curve.done.first());
    let (first, last) = (first.copied().fold(near, f64::min), latest(&curves));
    if last <= first || last - first > 0.4 * end {
        return vec![whole];
    }
    let margin = 0.08 * (last - first);
    let span = ((first - margin).max(0.0), last + margin);
    let close = Chart {
        name: "completion-close",
        title: format!("{title}, close to the bound"),
        caption: close_caption(bound),
        body: Body::Plot(plot(&curves, bound, span)),
    };
    vec![whole, close]
}

fn title(shown: &[&Batch<'_>]) -> String {
    let counts: BTreeSet<usize> = shown.iter().map(|batch| batch.fetchers).collect();
    match (counts.first(), counts.len()) {
        (Some(count), 1) => format!("Completion of {}", numbers::counted(*count, "fetcher")),
        _ => "Completion".to_owned(),
    }
}

fn caption(shown: &[&Batch<'_>], bound: Option<Bound>) -> String {
    let mut said = Vec::new();
    for batch in shown {
        let last = batch.median(|figures| figures.last_s);
        let fetchers = numbers::counted(batch.fetchers, "fetcher");
        let who = batch.contender;
        said.push(match last {
            Some(last) => format!(
                "{who}: the last of {fetchers} is complete after {}.",
                numbers::seconds(last)
            ),
            None => format!("{who}: not all of {fetchers} complete."),
        });
    }
    if let Some(bound) = bound {
        let fluid = numbers::seconds(bound.fluid_s);
        said.push(format!(
            "The dashed line is the bound, {fluid}: no swarm of these rates is faster."
        ));
    }
    if shown.iter().any(|batch| batch.runs.len() > 1) {
        said.push("Strong lines are the median run, pale ones its repetitions.".to_owned());
    }
    said.join(" ")
}

fn close_caption(bound: Option<Bound>) -> String {
    let mut said = format!(
        "The same, but only the time in which it happens, and only who took less than {CLOSE:.0} \
         times as long as the best."
    );
    if let Some(bound) = bound {
        let _ = write!(
            said,
            " Dashed the bound of {}, dotted what whole pieces allow, {}.",
            numbers::seconds(bound.fluid_s),
            numbers::seconds(bound.reference_s),
        );
    }
    said
}

fn curves(shown: &[&Batch<'_>]) -> Vec<Curve> {
    let typical = || shown.iter().map(|batch| batch.typical().0);
    let behaviours: BTreeSet<(bool, &str)> = typical()
        .flat_map(Run::fetchers)
        .map(HostRun::plays)
        .collect();
    let mut curves = Vec::new();
    if behaviours.len() > 1 {
        for run in typical() {
            for (_, behaviour) in &behaviours {
                let ink = Ink::Colour(curves.len());
                curves.extend(Curve::of_behaviour(run, behaviour, ink));
            }
        }
        return curves;
    }
    for (colour, batch) in shown.iter().enumerate() {
        let typical = batch.typical().0;
        let others = batch.runs.iter().map(|(run, _)| *run);
        let others = others.filter(|run| !std::ptr::eq(*run, typical));
        curves.extend(others.map(|run| Curve::new(run, &|_| true, Ink::Repeat(colour))));
        let mut curve = Curve::new(typical, &|_| true, Ink::Colour(colour));
        curve.name = Some(batch.contender.to_owned());
        curve.detail = match batch.median(|figures| figures.last_s) {
            Some(last) if batch.runs.len() > 1 => format!("median last {}", numbers::seconds(last)),
            _ => curve.said(),
        };
        if let Some(share) = batch.median(|figures| figures.efficiency) {
            let _ = write!(curve.detail, ", {} of the bound", numbers::percent(share));
        }
        curves.push(curve);
    }
    // What is drawn last lies on top.
    curves.sort_by_key(|curve| curve.name.is_some());
    curves
}

impl Curve {
    fn new(run: &Run, belongs: &dyn Fn(&HostRun) -> bool, ink: Ink) -> Self {
        let hosts: Vec<&HostRun> = run.fetchers().filter(|host| belongs(host)).collect();
        let mut done: Vec<f64> = hosts.iter().filter_map(|host| host.completed_s).collect();
        done.sort_by(f64::total_cmp);
        let whole = done.last().copied().filter(|_| done.len() == hosts.len());
        Self {
            name: None,
            detail: String::new(),
            ink,
            of: hosts.len(),
            end: whole.unwrap_or(run.ended_s),
            done,
        }
    }

    fn of_behaviour(run: &Run, behaviour: &str, ink: Ink) -> Option<Self> {
        let mut curve = Self::new(run, &|host| host.behaviour == behaviour, ink);
        curve.name = Some(format!("{} · {behaviour}", run.contender));
        curve.detail = curve.said();
        (curve.of > 0).then_some(curve)
    }

    /// Whether all of them got there.
    fn is_whole(&self) -> bool {
        self.of > 0 && self.done.len() == self.of
    }

    fn said(&self) -> String {
        if self.is_whole() {
            format!("last {}", numbers::seconds(self.end))
        } else {
            let (done, of) = (numbers::count(self.done.len()), numbers::count(self.of));
            format!("{done} of {of} complete")
        }
    }

    fn line(&self, from: f64, unit: f64) -> Line {
        let share = |done: usize| 100.0 * done as f64 / self.of as f64;
        let first = self.done.first().map_or(from, |first| first.max(from));
        let mut points = vec![(first / unit, 0.0)];
        let steps = self.done.iter().zip(1..);
        points.extend(steps.map(|(at, done)| (at / unit, share(done))));
        if !self.is_whole() {
            points.push((self.end / unit, share(self.done.len())));
        }
        Line {
            name: self.name.clone(),
            detail: self.detail.clone(),
            ink: self.ink,
            points,
            is_step: true,
            dots: if self.is_whole() && self.name.is_some() {
                Dots::Last
            } else {
                Dots::None
            },
            ..Line::default()
        }
    }
}

fn latest(curves: &[Curve]) -> f64 {
    curves.iter().map(|curve| curve.end).fold(0.0, f64::max)
}

fn plot(curves: &[Curve], bound: Option<Bound>, (from, to): (f64, f64)) -> Plot {
    let (unit_name, unit) = numbers::time_unit(to);
    let mark = |at: f64, what: &str, is_second| Mark {
        is_upright: true,
        at: at / unit,
        label: format!("{what} {}", numbers::seconds(at)),
        is_second,
    };
    let mut marks = Vec::new();
    if let Some(bound) = bound {
        marks.push(mark(bound.fluid_s, "bound", false));
        // The two are told apart where a hundredth of the axis lies between them.
        let apart = bound.reference_s - bound.fluid_s >= 0.01 * (to - from);
        if from > 0.0 && apart && bound.reference_s < to {
            marks.push(mark(bound.reference_s, "with whole pieces", true));
        }
    }
    Plot {
        x: Axis {
            label: format!("time since the start ({unit_name})"),
            scale: Scale::Linear(from / unit, to / unit),
            ticks: Vec::new(),
        },
        y: Axis {
            label: "fetchers complete (%)".to_owned(),
            scale: Scale::Linear(0.0, 100.0),
            ticks: Vec::new(),
        },
        lines: curves.iter().map(|curve| curve.line(from, unit)).collect(),
        marks,
    }
}
