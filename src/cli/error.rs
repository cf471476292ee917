//! What a command says when it fails: an exit code, what went wrong, and what to type instead.
//!
//! The exit codes are a contract with scripts; 7 and 9 keep aria2's numbers, 2 is clap's.

use std::error::Error;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Anything without a code of its own.
    Other = 1,
    /// Bad usage.
    Usage = 2,
    /// The input was not found or cannot be read.
    Input = 3,
    /// The manifest or magnet link is invalid.
    Manifest = 4,
    /// The data does not match its manifest.
    Mismatch = 5,
    /// The network: port in use, or no peer at all. Worth a retry.
    Network = 6,
    /// Stopped incomplete; a rerun resumes. Worth a retry.
    Incomplete = 7,
    /// The output exists and differs.
    Exists = 8,
    /// No space, or a write error.
    Disk = 9,
    /// Ctrl-C while incomplete.
    Interrupted = 130,
    /// SIGTERM while incomplete.
    Terminated = 143,
}

impl Exit {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The word that stands for it in JSON events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Other => "other",
            Self::Usage => "usage",
            Self::Input => "no-input",
            Self::Manifest => "bad-manifest",
            Self::Mismatch => "mismatch",
            Self::Network => "network",
            Self::Incomplete => "incomplete",
            Self::Exists => "exists",
            Self::Disk => "disk",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }
}

/// Why a command failed, in cargo's shape.
#[derive(Debug)]
pub struct CliError {
    /// The exit code.
    pub exit: Exit,
    /// What went wrong, with its cause, in one line without a full stop.
    pub what: String,
    /// What to type instead.
    pub help: Option<String>,
    /// The errors beneath, outermost first; shown with `-v`.
    pub chain: Vec<String>,
}

impl CliError {
    /// A failure without advice.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            help: None,
            chain: Vec::new(),
        }
    }

    /// Adds what to type instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the error beneath and everything beneath that.
    #[must_use]
    pub fn because(mut self, error: &dyn Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.chain.push(error.to_string());
            next = error.source();
        }
        self
    }
}
