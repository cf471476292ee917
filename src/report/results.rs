//! The record of a simulation or benchmark: `results.json`, versioned.
//!
//! What is written holds the derived figures too, beside each run; they are computed anew when it
//! is read. Fields may be added within a version; one that goes or changes its meaning makes a new
//! version.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::figures::Figures;
use super::run::Run;

/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// What the file is, so that it is not taken for another JSON document.
const FORMAT: &str = "swarm-results";

/// Everything that was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    /// What made it.
    pub kind: Kind,
    /// The command line that repeats it.
    pub command: String,
    /// What all runs have in common.
    pub setup: Setup,
    /// The runs, in the order in which they were made.
    pub runs: Vec<Run>,
}

/// What made the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Virtual time.
    Sim,
    /// Real sockets.
    Bench,
}

/// What all runs have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Bytes of the content.
    pub size: u64,
    /// Bytes of a piece.
    pub piece_length: u32,
    /// Pieces of the content.
    pub pieces: u32,
    /// The number that everything random came from.
    pub rng_seed: u64,
    /// Everything else that was asked for.
    pub parameters: Parameters,
}

/// Names and values in the order in which they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

/// Why a text is no results that can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not JSON, or not all of it.
    #[error("not JSON: {0}")]
    Syntax(serde_json::Error),
    /// JSON of something else.
    #[error("not the results of a simulation or benchmark: no \"format\": \"{FORMAT}\"")]
    Foreign,
    /// Of a version that is not read.
    #[error("results of version {0}, this program reads version {VERSION}")]
    Version(u64),
    /// The right format and version, but not its fields.
    #[error("damaged results: {0}")]
    Damaged(serde_json::Error),
}

#[derive(Serialize)]
struct Written<'a> {
    format: &'static str,
    v: u32,
    kind: Kind,
    command: &'a str,
    setup: &'a Setup,
    runs: Vec<WrittenRun<'a>>,
}

#[derive(Serialize)]
struct WrittenRun<'a> {
    #[serde(flatten)]
    figures: Figures,
    #[serde(flatten)]
    run: &'a Run,
}

/// What tells whether a document is worth reading.
#[derive(Deserialize)]
struct Head {
    format: Option<String>,
    v: Option<u64>,
}

#[derive(Deserialize)]
struct Read {
    kind: Kind,
    command: String,
    setup: Setup,
    runs: Vec<Run>,
}

impl Results {
    /// Reads what [`Results::to_json`] wrote.
    ///
    /// # Errors
    /// If it is no JSON, something else, of another version, or damaged.
    pub fn from_json(text: &str) -> Result<Self, ReadError> {
        let any: serde_json::Value = serde_json::from_str(text).map_err(ReadError::Syntax)?;
        let head: Head = serde_json::from_value(any).map_err(|_| ReadError::Foreign)?;
        match (head.format.as_deref(), head.v) {
            (Some(FORMAT), Some(v)) if v == u64::from(VERSION) => {}
            (Some(FORMAT), Some(v)) => return Err(ReadError::Version(v)),
            _ => return Err(ReadError::Foreign),
        }
        let read: Read = serde_json::from_str(text).map_err(ReadError::Damaged)?;
        Ok(Self {
            kind: read.kind,
            command: read.command,
            setup: read.setup,
            runs: read.runs,
        })
    }

    /// The content of `results.json`, figures included; a host, flow or sample takes a line. A time or rate that is no finite number
    /// is written as null.
    #[expect(clippy::missing_panics_doc, reason = "every key is a string")]
    pub fn to_json(&self) -> String {
        let runs = self.runs.iter().map(|run| WrittenRun {
            figures: self.figures(run),
            run,
        });
        let written = Written {
            format: FORMAT,
            v: VERSION,
            kind: self.kind,
            command: &self.command,
            setup: &self.setup,
            runs: runs.collect(),
        };
        one_line_each(&serde_json::to_string_pretty(&written).expect("every key is a string"))
    }

    /// The figures of one of its runs.
    pub fn figures(&self, run: &Run) -> Figures {
        Figures::of(run, self.setup.size)
    }
}

/// Pretty JSON with what stands in the lists of a run on one line each.
fn one_line_each(pretty: &str) -> String {
    let mut out = String::with_capacity(pretty.len());
    for line in pretty.lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        // Two spaces a level: document, runs, run, its lists, their items, the fields of these.
        let is_inner = indent >= 10 || (indent == 8 && text.starts_with('}'));
        if is_inner {
            out.push(' ');
            out.push_str(text);
        } else {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(line);
        }
    }
    out.push('\n');
    out
}

impl Parameters {
    /// Adds one at the end.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.0.push((name.to_owned(), value.to_string()));
        self
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Parameters;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of names to texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parameters, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Parameters(pairs))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}
