//! `swarm man`: the manual, one page per command, or all of them one after the other.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man;

use super::error::{CliError, Exit};
use super::text::Text;
use super::{App, args};

/// What no flag's own text says. `roff` reads it as it is.
const EXIT_CODES: &str = r#".SH "EXIT STATUS"
.TP
0
Done.
.TP
1
Any other failure.
.TP
2
Bad usage.
.TP
3
The input was not found or cannot be read.
.TP
4
The manifest or magnet link is invalid.
.TP
5
The data does not match its manifest.
.TP
6
The network: port in use, or no peer at all before the timeout. Worth a retry.
.TP
7
Stopped incomplete. Worth a retry: the same command resumes.
.TP
8
The output exists and differs.
.TP
9
No space left, or a write error.
.TP
130, 143
Ctrl-C or SIGTERM while incomplete.
.SH ENVIRONMENT
Every long option can be given as SWARM_ and its name in capitals: SWARM_UPLOAD_LIMIT=10M.
SWARM_LOG holds a log filter such as swarm=debug. NO_COLOR turns colours off.
"#;

/// The arguments of `swarm man`.
#[derive(Debug, Args)]
#[command(after_help = "Example: swarm man | man -l -")]
pub(super) struct ManArgs {
    /// Write one page per command into this directory
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &ManArgs, app: &mut App<'_>) -> Result<Exit, CliError> {
    let command = args::command().disable_help_subcommand(true);
    let mut pages = vec![(command.get_name().to_owned(), command.clone())];
    pages.extend(
        command
            .get_subcommands()
            .filter(|sub| !sub.is_hide_set())
            .map(|sub| {
                let page = sub
                    .clone()
                    .name(format!("{}-{}", command.get_name(), sub.get_name()));
                (page.get_name().to_owned(), page)
            }),
    );
    let dir = args.dir.as_ref().map(|dir| app.dir.join(dir));
    for (name, page) in pages {
        let mut text = Vec::new();
        let rendered = Man::new(page).render(&mut text);
        rendered
            .map_err(|error| CliError::new(Exit::Other, format!("man page {name}: {error}")))?;
        text.extend_from_slice(EXIT_CODES.as_bytes());
        let Some(dir) = &dir else {
            app.printer.data(&text);
            continue;
        };
        let path = dir.join(format!("{name}.1"));
        fs::write(&path, &text).map_err(|error| {
            CliError::new(
                Exit::Disk,
                format!("cannot write {}: {error}", path.display()),
            )
        })?;
        app.printer.line(&Text::new(path.display().to_string()));
    }
    Ok(Exit::Done)
}
