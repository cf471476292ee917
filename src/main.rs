//! The `swarm` program: parses, runs, exits.

fn main() {}
