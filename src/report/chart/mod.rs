//! The pictures of a report, as SVG.
//!
//! A picture is first described (which lines, which axes), then drawn in the shape that its place
//! asks for: a file of its own, a wide screen, a narrow one. Colours are classes of one style
//! sheet, so that a picture follows the reader's light or dark scheme.

mod completion;
mod copies;
mod matrix;
mod plot;
mod scale;
mod sweep;
mod text;

use maud::{Markup, PreEscaped, html};

use super::batch::batches;
use super::results::Results;
use matrix::Matrix;
use plot::Plot;

/// Colours and lines of all pictures.
pub(super) const STYLE: &str = include_str!("chart.css");

/// One picture with what is said about it.
pub(super) struct Chart {
    /// The name of its file, without the extension.
    pub(super) name: &'static str,
    /// What it shows.
    pub(super) title: String,
    /// What a reader should see in it, for those who cannot see it too.
    pub(super) caption: String,
    body: Body,
}

enum Body {
    Plot(Plot),
    Matrix(Matrix),
}

/// Where a picture stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A file of its own: with title, style and background.
    File,
    /// Within a page on a wide screen.
    Wide,
    /// Within a page on a narrow screen.
    Narrow,
}

impl Shape {
    /// Width in units of the picture, about pixels.
    fn width(self) -> f64 {
        match self {
            Self::File | Self::Wide => 760.0,
            Self::Narrow => 350.0,
        }
    }

    /// Height of the area that data is drawn in.
    fn plot_height(self) -> f64 {
        match self {
            Self::File | Self::Wide => 280.0,
            Self::Narrow => 230.0,
        }
    }

    /// What tells its elements from those of the same picture in another shape.
    fn suffix(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Wide => "wide",
            Self::Narrow => "narrow",
        }
    }
}

/// Every picture that `results` have the data for.
pub(super) fn charts(results: &Results) -> Vec<Chart> {
    let batches = batches(results);
    let mut charts = completion::charts(&batches);
    charts.extend(sweep::time(&batches));
    charts.extend(sweep::seed_copies(&batches));
    charts.extend(copies::chart(&batches));
    charts.extend(matrix::charts(&batches, results.setup.size));
    charts
}

impl Chart {
    /// The picture as an `svg` element.
    pub(super) fn svg(&self, shape: Shape) -> Markup {
        let title_height = if shape == Shape::File { 34.0 } else { 0.0 };
        let (inner, height) = match &self.body {
            Body::Plot(plot) => plot.draw(shape),
            Body::Matrix(matrix) => matrix.draw(shape),
        };
        let (width, height) = (shape.width(), height + title_height);
        let id = format!("{}-{}", self.name, shape.suffix());
        let (title_id, desc_id) = (format!("{id}-title"), format!("{id}-desc"));
        html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (px(width)) " " (px(height)) }
                width=[(shape == Shape::File).then(|| px(width))]
                height=[(shape == Shape::File).then(|| px(height))]
                class={ "chart " (shape.suffix()) }
                role="img" aria-labelledby={ (title_id) " " (desc_id) } {
                title id=(title_id) { (self.title) }
                desc id=(desc_id) { (self.caption) }
                @if shape == Shape::File {
                    style { (PreEscaped(STYLE)) }
                    rect class="surface" width=(px(width)) height=(px(height)) {}
                    text class="heading" x="14" y="28" { (self.title) }
                }
                g transform={ "translate(0 " (px(title_height)) ")" } { (inner) }
            }
        }
    }
}

/// A coordinate with as many digits as can be seen.
fn px(value: f64) -> String {
    let tenths = (value * 10.0).round() / 10.0;
    // Minus zero would be written with its sign.
    format!("{}", if tenths == 0.0 { 0.0 } else { tenths })
}
