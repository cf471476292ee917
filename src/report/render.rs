//! The report in all its forms, and the comparison of two.

use maud::Markup;

use super::chart::{Shape, charts};
use super::results::Results;

pub use super::compare::{Change, Comparison, compare};
pub use super::html::html;
pub use super::summary::summary_md;

/// Every picture as a file of its own: name and content.
pub fn svgs(results: &Results) -> Vec<(String, String)> {
    let charts = charts(results);
    let file = |svg: Markup| svg.into_string() + "\n";
    charts
        .iter()
        .map(|chart| (format!("{}.svg", chart.name), file(chart.svg(Shape::File))))
        .collect()
}
