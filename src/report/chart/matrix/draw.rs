//! How the square of flows is drawn: cells, their names or groups, the bars beside them.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::Matrix;
use crate::report::chart::plot::EDGE;
use crate::report::chart::text::{self, LINE};
use crate::report::chart::{Shape, px};
use crate::report::numbers::{copies, percent};

/// Up to this many rows have the names of their hosts; fewer on a narrow screen.
const NAMED_MAX: usize = 24;
const NAMED_NARROW_MAX: usize = 12;
/// The room for a name, or for that of a group.
const NAME_MAX: f64 = 110.0;
/// Between groups.
const GAP: f64 = 4.0;
/// The side of the square on a wide screen.
const SQUARE: f64 = 460.0;
/// Steps of darkness.
const LEVELS: u8 = 24;

/// Where things are.
struct Grid {
    left: f64,
    top: f64,
    cell: f64,
    /// Where each row and column starts, from the corner of the square.
    starts: Vec<f64>,
    extent: f64,
    is_named: bool,
}

impl Matrix {
    /// The picture and its height.
    pub(in crate::report::chart) fn draw(&self, shape: Shape) -> (Markup, f64) {
        let grid = self.grid(shape);
        let square = format!("translate({} {})", px(grid.left), px(grid.top));
        let drawing = html! {
            (self.scale_bar(shape))
            @if grid.is_named { (self.row_names(&grid)) } @else { (self.group_names(&grid)) }
            g transform=(square) {
                rect class="grid" width=(px(grid.extent)) height=(px(grid.extent)) {}
                @if grid.is_named { (self.named_cells(&grid)) } @else { (self.cells(&grid)) }
                @if shape != Shape::Narrow { (self.bars(&grid, shape)) }
            }
        };
        (drawing, grid.top + grid.extent + EDGE)
    }

    fn grid(&self, shape: Shape) -> Grid {
        let side = self.side();
        let named_max = if shape == Shape::Narrow {
            NAMED_NARROW_MAX
        } else {
            NAMED_MAX
        };
        let is_named = self.hosts_per_cell == 1 && side <= named_max;
        let groups = self.groups.iter().map(|group| text::width(&group.name));
        let names = self.names.iter().map(|name| text::width(name));
        let widest = if is_named {
            names.fold(0.0, f64::max)
        } else {
            groups.fold(0.0, f64::max)
        };
        let left = EDGE + widest.min(NAME_MAX) + 8.0;
        let gaps = GAP * (self.groups.len().saturating_sub(1)) as f64;
        let room = (shape.width() - left - EDGE - gaps).min(SQUARE);
        let cell = (room / side.max(1) as f64).min(26.0).floor().max(2.0);
        let mut starts = Vec::with_capacity(side);
        let mut at = 0.0;
        for group in &self.groups {
            for _ in 0..group.cells {
                starts.push(at);
                at += cell;
            }
            at += GAP;
        }
        Grid {
            left,
            top: LINE * 2.0 + 18.0,
            cell,
            starts,
            extent: (at - GAP).max(0.0),
            is_named,
        }
    }

    fn row_names(&self, grid: &Grid) -> Markup {
        html! {
            (corner(grid))
            @for (name, start) in self.names.iter().zip(&grid.starts) {
                text text-anchor="end" x=(px(grid.left - 8.0))
                    y=(px(grid.top + start + grid.cell / 2.0 + 4.5)) { (text::cut(name, NAME_MAX)) }
            }
        }
    }

    /// The names of groups, where they keep clear of each other.
    fn group_names(&self, grid: &Grid) -> Markup {
        let mut free = f64::NEG_INFINITY;
        let mut first = 0;
        let mut placed = Vec::new();
        for group in &self.groups {
            let span = group.cells as f64 * grid.cell;
            let middle = grid.starts.get(first).copied().unwrap_or(0.0) + span / 2.0;
            let y = (grid.top + middle + 4.5).max(free);
            placed.push((y, text::cut(&group.name, NAME_MAX)));
            free = y + LINE;
            first += group.cells;
        }
        html! {
            (corner(grid))
            @for (y, name) in placed {
                text text-anchor="end" x=(px(grid.left - 8.0)) y=(px(y)) { (name) }
            }
        }
    }

    /// A square for each flow, which says what it is to whoever points at it.
    fn named_cells(&self, grid: &Grid) -> Markup {
        let side = self.side();
        let edge = px(grid.cell - 1.0);
        html! {
            @for (at, level) in self.levels() {
                rect class="cell" fill-opacity=(opacity(level)) width=(edge) height=(edge)
                    x=(px(grid.starts[at % side])) y=(px(grid.starts[at / side])) {
                    title {
                        (self.names[at / side]) " → " (self.names[at % side]) ": "
                        (percent(self.shares[at]))
                    }
                }
            }
        }
    }

    /// One path for each step of darkness, since there are thousands of cells.
    fn cells(&self, grid: &Grid) -> Markup {
        let side = self.side();
        let edge = px(grid.cell - if grid.cell > 5.0 { 1.0 } else { 0.0 });
        let mut paths = vec![String::new(); usize::from(LEVELS) + 1];
        for (at, level) in self.levels() {
            let (x, y) = (px(grid.starts[at % side]), px(grid.starts[at / side]));
            let path = &mut paths[usize::from(level)];
            let _ = write!(path, "M{x} {y}h{edge}v{edge}h-{edge}z");
        }
        let drawn = (0..=LEVELS).zip(paths).filter(|(_, path)| !path.is_empty());
        html! {
            @for (level, path) in drawn {
                path class="cell" fill-opacity=(opacity(level)) d=(path) {}
            }
        }
    }

    /// What each row gave in all, to the right of the square.
    fn bars(&self, grid: &Grid, shape: Shape) -> Markup {
        let left = grid.extent + 16.0;
        let most = self.given.iter().copied().fold(0.0, f64::max);
        let room = (shape.width() - EDGE - grid.left - left - text::width("0.00") - 8.0).max(0.0);
        let thick = (grid.cell * 0.6).max(1.0);
        let length = |given: f64| if most > 0.0 { room * given / most } else { 0.0 };
        html! {
            text x=(px(left)) y="-8" { "copies sent by a host" }
            @for (given, start) in self.given.iter().zip(&grid.starts) {
                @let middle = start + (grid.cell - 1.0) / 2.0;
                rect class="bar" x=(px(left)) y=(px(middle - thick / 2.0))
                    width=(px(length(*given))) height=(px(thick)) {}
                @if grid.is_named {
                    text class="num" x=(px(left + length(*given) + 6.0)) y=(px(middle + 4.5)) {
                        (copies(*given))
                    }
                }
            }
            @if !grid.is_named {
                @let longest = self.given.iter().position(|given| *given >= most);
                @if let Some(row) = longest {
                    text class="num" x=(px(left + room + 6.0))
                        y=(px((grid.starts[row] + grid.cell / 2.0 + 4.5).max(9.0))) { (copies(most)) }
                }
            }
        }
    }

    /// What the darkness means.
    fn scale_bar(&self, shape: Shape) -> Markup {
        let label = if shape == Shape::Narrow {
            "of the content"
        } else {
            "of the content went from one host to another"
        };
        let most = percent(self.most());
        let step = 5.0;
        let bar = EDGE + text::width("0 %") + 8.0;
        let end = bar + step * f64::from(LEVELS) + 8.0;
        html! {
            text class="num" x=(px(EDGE)) y="20" { "0 %" }
            @for level in 1..=LEVELS {
                rect class="cell" fill-opacity=(opacity(level)) y="9" width=(px(step)) height="13"
                    x=(px(bar + step * f64::from(level - 1))) {}
            }
            text class="num" x=(px(end)) y="20" { (most) }
            text x=(px(end + text::width(&most) + 10.0)) y="20" { (label) }
        }
    }

    /// The cells in which something flowed, each with its step of darkness.
    fn levels(&self) -> impl Iterator<Item = (usize, u8)> {
        let most = self.most();
        let flowed = self
            .shares
            .iter()
            .enumerate()
            .filter(|(_, share)| **share > 0.0);
        flowed.map(move |(at, share)| (at, level(*share, most)))
    }
}

/// Which way rows and columns are read.
fn corner(grid: &Grid) -> Markup {
    html! {
        text text-anchor="end" x=(px(grid.left - 8.0)) y=(px(grid.top - 8.0)) { "from ↓" }
        text x=(px(grid.left)) y=(px(grid.top - 8.0)) { "to →" }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 1 and the number of levels"
)]
fn level(share: f64, most: f64) -> u8 {
    let level = (share / most * f64::from(LEVELS)).ceil();
    level.clamp(1.0, f64::from(LEVELS)) as u8
}

/// The faintest step can still be seen on either background.
fn opacity(level: u8) -> String {
    format!("{:.2}", 0.06 + 0.94 * f64::from(level) / f64::from(LEVELS))
}
