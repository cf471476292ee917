//! The `swarm` program: runs one command line and exits with its code.

use std::process::ExitCode;

use swarm::cli::{self, Env, Exit};

fn main() -> ExitCode {
    match Env::of_process() {
        Ok(mut env) => cli::run(std::env::args_os(), &mut env).into(),
        // The working directory is gone; there is not even a place to say so from.
        Err(_) => Exit::Other.into(),
    }
}
