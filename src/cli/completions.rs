//! `swarm completions`: a script that makes a shell complete our flags.

use clap::Args;
use clap_complete::Shell;

use super::error::Exit;
use super::{App, args};

/// The arguments of `swarm completions`.
#[derive(Debug, Args)]
#[command(after_help = "Example: swarm completions bash > /etc/bash_completion.d/swarm")]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs, app: &mut App<'_>) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "swarm", &mut script);
    app.printer.data(&script);
    Exit::Done
}
