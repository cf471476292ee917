//! Lines over two axes: what they are, and how they are drawn.
//!
//! Whatever has text keeps clear of other text: the legend wraps, ticks thin out, labels of marks
//! move apart.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::scale::Scale;
use super::text::{self, LINE};
use super::{Shape, px};
use crate::report::numbers::tick;

/// Room at the left and right edge of a picture.
pub(super) const EDGE: f64 = 14.0;
/// The sample of a line in the legend.
const SAMPLE: f64 = 24.0;

/// Lines over two axes.
pub(super) struct Plot {
    /// To the right.
    pub(super) x: Axis,
    /// Upwards.
    pub(super) y: Axis,
    /// What is drawn, the most important last.
    pub(super) lines: Vec<Line>,
    /// Straight lines from edge to edge, the upright ones from left to right.
    pub(super) marks: Vec<Mark>,
}

/// One axis.
pub(super) struct Axis {
    /// What it measures, with its unit.
    pub(super) label: String,
    /// How values map to it.
    pub(super) scale: Scale,
    /// The values that are labelled; round ones if there are none.
    pub(super) ticks: Vec<f64>,
}

/// Something drawn through points.
#[derive(Default)]
pub(super) struct Line {
    /// Its name in the legend; `None` for a line that repeats another.
    pub(super) name: Option<String>,
    /// What the legend says about it.
    pub(super) detail: String,
    /// How it looks.
    pub(super) ink: Ink,
    /// The points, from left to right.
    pub(super) points: Vec<(f64, f64)>,
    /// Whether a value holds until the next point.
    pub(super) is_step: bool,
    /// Where it has dots.
    pub(super) dots: Dots,
    /// Lowest and highest value at some x.
    pub(super) whiskers: Vec<(f64, f64, f64)>,
    /// What stands at its last point, if anything.
    pub(super) label: Option<String>,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ink {
    /// A colour of the palette.
    Colour(usize),
    /// The same, paler: another run of the same contender.
    Repeat(usize),
    /// The dashes of a bound.
    #[default]
    Bound,
}

/// Where a line has dots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Dots {
    /// Nowhere.
    #[default]
    None,
    /// At its last point.
    Last,
    /// At every point.
    All,
}

/// A straight line from edge to edge.
pub(super) struct Mark {
    /// Whether it stands upright at an x rather than lying at a y.
    pub(super) is_upright: bool,
    /// Where.
    pub(super) at: f64,
    /// What it says.
    pub(super) label: String,
    /// Whether it is dotted rather than dashed.
    pub(super) is_second: bool,
}

/// Where the data is drawn.
#[derive(Clone, Copy)]
struct Area {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

/// The label of an upright mark: its left end, and its row above the area.
struct Placed {
    left: f64,
    row: usize,
}

impl Ink {
    fn dot(self) -> String {
        match self {
            Self::Colour(colour) | Self::Repeat(colour) => format!("dot c{}", colour % 8),
            Self::Bound => "dot".to_owned(),
        }
    }

    fn class(self) -> String {
        match self {
            Self::Colour(colour) => format!("line c{}", colour % 8),
            Self::Repeat(colour) => format!("line repeat c{}", colour % 8),
            Self::Bound => "mark".to_owned(),
        }
    }
}

impl Plot {
    /// The picture and its height.
    pub(super) fn draw(&self, shape: Shape) -> (Markup, f64) {
        let (legend, legend_height) = self.legend(shape);
        let y_ticks = self.y.ticks(shape.plot_height() / 55.0);
        let tick_width = y_ticks.iter().map(|at| text::width(&tick(*at)));
        let left = EDGE + tick_width.fold(0.0, f64::max) + 8.0;
        let width = shape.width() - left - EDGE - 8.0;
        let flat = Area {
            left,
            top: 0.0,
            width,
            height: 0.0,
        };
        let placed = self.place_marks(&flat);
        let rows = placed.iter().map(|mark| mark.row + 1).max().unwrap_or(0);
        let has_labels = self.lines.iter().any(|line| line.label.is_some());
        let label_room = if has_labels { 16.0 } else { 0.0 };
        let area = Area {
            top: legend_height
                + LINE
                + rows as f64 * 18.0
                + label_room
                + if rows > 0 { 12.0 } else { 8.0 },
            height: shape.plot_height(),
            ..flat
        };
        let drawing = html! {
            (legend)
            text x=(px(EDGE)) y=(px(legend_height + 15.0)) { (self.y.label) }
            (self.y_axis(&area, &y_ticks))
            (self.x_axis(&area))
            (self.flat_marks(&area))
            (self.upright_marks(&area, &placed))
            @for line in &self.lines { (line.draw(&self.x, &self.y, &area)) }
            (self.end_labels(&area))
        };
        (drawing, area.top + area.height + 2.0 * LINE + 10.0)
    }

    /// The legend, in as many rows as it needs, and its height.
    fn legend(&self, shape: Shape) -> (Markup, f64) {
        let room = shape.width() - 2.0 * EDGE;
        let (mut x, mut y) = (EDGE, 20.0);
        let mut entries = Vec::new();
        for line in &self.lines {
            let Some(name) = &line.name else { continue };
            let name = text::cut(name, room * 0.6);
            let detail_room = room - SAMPLE - 16.0 - text::width(&name);
            let detail = text::cut(&line.detail, detail_room);
            let width = SAMPLE + 8.0 + text::width(&name) + 6.0 + text::width(&detail);
            if x > EDGE && x + width > EDGE + room {
                (x, y) = (EDGE, y + LINE);
            }
            entries.push(html! {
                path class=(line.ink.class()) d={ "M" (px(x)) " " (px(y - 4.5)) "h" (px(SAMPLE)) } {}
                @if line.dots != Dots::None {
                    circle class=(line.ink.dot()) r="4"
                        cx=(px(x + SAMPLE / 2.0)) cy=(px(y - 4.5)) {}
                }
                text x=(px(x + SAMPLE + 8.0)) y=(px(y)) {
                    tspan class="strong" { (name) }
                    @if !detail.is_empty() { tspan dx="6" { (detail) } }
                }
            });
            x += width + 20.0;
        }
        if entries.is_empty() {
            return (html! {}, 6.0);
        }
        (html! { @for entry in entries { (entry) } }, y + 12.0)
    }

    fn y_axis(&self, area: &Area, ticks: &[f64]) -> Markup {
        html! {
            @for at in ticks {
                @let y = area.y(self.y.scale, *at);
                path class="grid" d={ "M" (px(area.left)) " " (px(y)) "h" (px(area.width)) } {}
                text class="num" text-anchor="end" x=(px(area.left - 8.0)) y=(px(y + 4.5)) {
                    (tick(*at))
                }
            }
        }
    }

    fn x_axis(&self, area: &Area) -> Markup {
        let bottom = area.top + area.height;
        let middle = area.left + area.width / 2.0;
        html! {
            path class="axis" d={ "M" (px(area.left)) " " (px(bottom)) "h" (px(area.width)) } {}
            @for at in self.x_ticks(area) {
                @let x = area.x(self.x.scale, at);
                path class="axis" d={ "M" (px(x)) " " (px(bottom)) "v5" } {}
                text class="num" text-anchor="middle" x=(px(x)) y=(px(bottom + LINE)) { (tick(at)) }
            }
            text text-anchor="middle" x=(px(middle)) y=(px(bottom + 2.0 * LINE + 1.0)) {
                (self.x.label)
            }
        }
    }

    /// The ticks of the axis to the right, without those whose labels would touch.
    fn x_ticks(&self, area: &Area) -> Vec<f64> {
        let mut free = f64::NEG_INFINITY;
        let mut ticks = self.x.ticks(area.width / 75.0);
        // From the right, so that the largest value keeps its label.
        ticks.reverse();
        let mut taken: Vec<f64> = Vec::new();
        for at in ticks {
            let x = area.x(self.x.scale, at);
            let half = text::width(&tick(at)) / 2.0;
            if taken.is_empty() || x + half + 8.0 <= free {
                free = x - half;
                taken.push(at);
            }
        }
        taken
    }

    fn flat_marks(&self, area: &Area) -> Markup {
        let right = area.left + area.width;
        html! {
            @for mark in self.marks.iter().filter(|mark| !mark.is_upright) {
                @let y = area.y(self.y.scale, mark.at);
                path class=(mark.class()) d={ "M" (px(area.left)) " " (px(y)) "h" (px(area.width)) } {}
                text class="halo" text-anchor="end" x=(px(right)) y=(px(y + 16.0)) { (mark.label) }
            }
        }
    }

    fn upright_marks(&self, area: &Area, placed: &[Placed]) -> Markup {
        let bottom = area.top + area.height;
        let upright = self.marks.iter().filter(|mark| mark.is_upright);
        html! {
            @for (mark, label) in upright.zip(placed) {
                @let x = area.x(self.x.scale, mark.at);
                @let y = area.top - 12.0 - label.row as f64 * 18.0;
                @let start = if placed.len() > 1 { y - 10.0 } else { y + 5.0 };
                path class=(mark.class()) d={ "M" (px(x)) " " (px(start)) "V" (px(bottom)) } {}
                text class="strong" x=(px(label.left)) y=(px(y)) { (mark.label) }
            }
        }
    }

    /// What stands at the last points of lines: above a contender's, below a bound's, which nothing
    /// crosses. Labels that would touch are stacked.
    fn end_labels(&self, area: &Area) -> Markup {
        let labelled = self.lines.iter().filter_map(|line| {
            let (x, y) = *line.points.last()?;
            let at = (area.x(self.x.scale, x) + 6.0, area.y(self.y.scale, y));
            Some((line.ink, line.label.as_ref()?, at))
        });
        let mut labels: Vec<(Ink, &String, (f64, f64))> = labelled.collect();
        // From the lowest upwards, which is where stacks grow.
        labels.sort_by(|a, b| b.2.1.total_cmp(&a.2.1));
        let mut taken: Vec<(f64, f64, f64)> = Vec::new();
        let mut placed = Vec::new();
        for (ink, label, (right, y)) in labels {
            let (away, class) = match ink {
                Ink::Bound => (20.0, "halo"),
                _ => (-12.0, "halo strong"),
            };
            let left = right - text::width(label);
            let mut y = y + away;
            let touches = |y: f64| {
                move |other: &&(f64, f64, f64)| {
                    left < other.1 && other.0 < right && (y - other.2).abs() < 16.0
                }
            };
            while let Some(other) = taken.iter().find(touches(y)) {
                y = other.2 - 16.0;
            }
            taken.push((left, right, y));
            placed.push((class, right, y, label));
        }
        html! {
            @for (class, x, y, label) in placed {
                text class=(class) text-anchor="end" x=(px(x)) y=(px(y)) { (label) }
            }
        }
    }

    /// Puts the labels of upright marks where they touch neither each other nor another's line:
    /// side by side if they are apart, else as stairs that lead away from the nearer edge.
    fn place_marks(&self, area: &Area) -> Vec<Placed> {
        let upright = self.marks.iter().filter(|mark| mark.is_upright);
        let mut spans: Vec<(f64, f64)> = upright
            .map(|mark| (area.x(self.x.scale, mark.at), text::width(&mark.label)))
            .collect();
        let end = area.left + area.width;
        let centred = |&(x, width): &(f64, f64)| {
            let left = (x - width / 2.0).min(end + 8.0 - width).max(EDGE);
            Placed { left, row: 0 }
        };
        let placed: Vec<Placed> = spans.iter().map(centred).collect();
        let is_apart = |at: usize| {
            let (_, width) = spans[at - 1];
            placed[at - 1].left + width + 10.0 <= placed[at].left
        };
        if (1..spans.len()).all(is_apart) {
            return placed;
        }
        let fits_right = spans.iter().all(|(x, width)| x + 5.0 + width <= end + 8.0);
        let rows = spans.len();
        let stair = |(at, (x, width)): (usize, (f64, f64))| {
            if fits_right {
                let row = rows - 1 - at;
                Placed { left: x + 5.0, row }
            } else {
                let left = (x - 5.0 - width).max(EDGE);
                Placed { left, row: at }
            }
        };
        spans.drain(..).enumerate().map(stair).collect()
    }
}

impl Axis {
    fn ticks(&self, count: f64) -> Vec<f64> {
        if self.ticks.is_empty() {
            self.scale.ticks(count.floor())
        } else {
            self.ticks.clone()
        }
    }
}

impl Mark {
    fn class(&self) -> &'static str {
        if self.is_second {
            "mark second"
        } else {
            "mark"
        }
    }
}

impl Line {
    fn draw(&self, x: &Axis, y: &Axis, area: &Area) -> Markup {
        let at = |&(px, py): &(f64, f64)| (area.x(x.scale, px), area.y(y.scale, py));
        let points: Vec<(f64, f64)> = self.points.iter().map(at).collect();
        let dots = match self.dots {
            Dots::None => &[],
            Dots::Last => &points[points.len().saturating_sub(1)..],
            Dots::All => &points[..],
        };
        html! {
            @for (at, low, high) in &self.whiskers {
                path class={ (self.ink.class()) " whisker" } d=(area.whisker(x, y, (*at, *low, *high))) {}
            }
            @if points.len() > 1 {
                path class=(self.ink.class()) d=(path(&points, self.is_step)) {}
            }
            @for (cx, cy) in dots {
                circle class=(self.ink.dot()) r="4" cx=(px(*cx)) cy=(px(*cy)) {}
            }
        }
    }
}

impl Area {
    fn x(&self, scale: Scale, value: f64) -> f64 {
        self.left + self.width * scale.place(value).clamp(0.0, 1.0)
    }

    fn y(&self, scale: Scale, value: f64) -> f64 {
        self.top + self.height * (1.0 - scale.place(value).clamp(0.0, 1.0))
    }

    fn whisker(&self, x: &Axis, y: &Axis, (at, low, high): (f64, f64, f64)) -> String {
        let at = self.x(x.scale, at);
        let (low, high) = (self.y(y.scale, low), self.y(y.scale, high));
        let (left, low, high) = (px(at - 4.0), px(low), px(high));
        format!("M{left} {low}h8M{left} {high}h8M{} {low}V{high}", px(at))
    }
}

/// A path through `points`, without those that would not be seen.
fn path(points: &[(f64, f64)], is_step: bool) -> String {
    let mut out = format!("M{} {}", px(points[0].0), px(points[0].1));
    let mut drawn = points[0];
    for (at, &point) in points.iter().enumerate().skip(1) {
        let is_last = at + 1 == points.len();
        let is_near = (point.0 - drawn.0).abs() < 0.4 && (point.1 - drawn.1).abs() < 0.4;
        if is_near && !is_last {
            continue;
        }
        if is_step {
            let _ = write!(out, "H{}V{}", px(point.0), px(point.1));
        } else {
            let _ = write!(out, "L{} {}", px(point.0), px(point.1));
        }
        drawn = point;
    }
    out
}
