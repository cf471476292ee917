//! The command line as a user or a script meets it: what it prints, how it exits, and that no
//! mistake costs anybody a file.
#![expect(clippy::unwrap_used, reason = "a test that fails must say where")]

#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/commands.rs"]
mod commands;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/known.rs"]
mod known;
#[path = "cli/magnets.rs"]
mod magnets;
#[path = "cli/mistakes.rs"]
mod mistakes;
#[path = "cli/process.rs"]
mod process;
#[path = "cli/sim.rs"]
mod sim;
#[path = "cli/tracker.rs"]
mod tracker;
#[path = "cli/transfers.rs"]
mod transfers;
#[path = "cli/world.rs"]
mod world;
