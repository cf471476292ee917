//! How well a swarm did: the bound, the figures of a run, and the report of both.
//!
//! It takes what a simulation or a benchmark recorded ([`Results`]) and gives back text: JSON,
//! Markdown, HTML, SVG. It does no I/O and must not know how the record was made.

mod batch;
pub mod bound;
mod chart;
mod compare;
mod figures;
mod html;
mod numbers;
pub mod render;
mod results;
mod run;
mod summary;
mod table;
#[cfg(test)]
mod tests;
mod verdict;

pub use bound::{Bound, Inputs, Limit, Rates};
pub use figures::{Figures, Group, jain, rank};
pub use results::{Kind, Parameters, ReadError, Results, Setup, VERSION};
pub use run::{Flow, HostRun, Overhead, Role, Run, Sample, TraceHash};
