//! How well a swarm did: the bound, the figures of a run, and the report of both.
//!
//! It takes what a simulation or a benchmark recorded ([`Results`]) and gives back text: JSON,
//! Markdown, HTML, SVG. It does no I/O and must not know how the record was made.

pub mod bound;
mod figures;
mod results;
mod run;
#[cfg(test)]
mod tests;

pub use bound::{Bound, Inputs, Limit, Rates};
pub use figures::{Figures, Group, jain, rank};
pub use results::{Kind, Parameters, ReadError, Results, Setup, VERSION};
pub use run::{Flow, HostRun, Overhead, Role, Run, Sample, TraceHash};
