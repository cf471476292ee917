//! A report on disk: the directory that `--out` names, and the results that `--compare` reads.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::error::{CliError, Exit};
use super::fault::shown;
use crate::report::{Results, render};

/// Makes the directory, and sees whether a file can be made in it: before the work that the report is of.
///
/// # Errors
/// If it cannot be made, or no file in it.
pub(super) fn prepare(out: &Path, dir: &Path) -> Result<(), CliError> {
    fs::create_dir_all(out).map_err(|error| failed("create", (out, dir), &error))?;
    let probed = tempfile::tempfile_in(out).map(drop);
    probed.map_err(|error| failed("write into", (out, dir), &error))
}

/// Writes every form of the report to the directory that [`prepare`] made, and gives back what it wrote
/// in one line. Files of an earlier report are replaced. Paths are shown as seen from `dir`.
///
/// # Errors
/// If a file cannot be written.
pub(super) fn write(results: &Results, out: &Path, dir: &Path) -> Result<String, CliError> {
    let pictures = render::svgs(results);
    let count = pictures.len();
    let texts = [
        ("report.html", render::html(results)),
        ("summary.md", render::summary_md(results)),
        ("results.json", results.to_json()),
    ];
    let texts = texts.map(|(name, text)| (name.to_owned(), text));
    for (name, text) in texts.into_iter().chain(pictures) {
        let path = out.join(name);
        fs::write(&path, text).map_err(|error| failed("write", (&path, dir), &error))?;
    }
    let pictures = match count {
        0 => String::new(),
        1 => " and 1 picture".to_owned(),
        count => format!(" and {count} pictures"),
    };
    let page = shown(&out.join("report.html"), dir);
    Ok(format!("wrote {page}, summary.md, results.json{pictures}"))
}

/// Reads the results of an earlier run.
///
/// # Errors
/// If the file cannot be read, or holds something else.
pub(super) fn read(path: &Path, dir: &Path) -> Result<Results, CliError> {
    let name = shown(path, dir);
    let text = fs::read_to_string(path).map_err(|error| {
        let what = format!("cannot read {name}: {}", cause(error.kind()));
        CliError::new(Exit::Input, what)
            .because(&error)
            .help("name the results.json of an earlier run with --out")
    })?;
    Results::from_json(&text).map_err(|error| {
        CliError::new(Exit::Input, format!("{name}: {error}"))
            .because(&error)
            .help("make it anew with --out, by this version of swarm")
    })
}

fn failed(what: &str, (path, dir): (&Path, &Path), error: &io::Error) -> CliError {
    let what = format!("cannot {what} {}: {}", shown(path, dir), error.kind());
    CliError::new(Exit::Disk, what)
        .because(error)
        .help(advice(error.kind()))
}

fn cause(kind: ErrorKind) -> String {
    match kind {
        ErrorKind::NotFound => "no such file".to_owned(),
        ErrorKind::InvalidData => "not text".to_owned(),
        kind => kind.to_string(),
    }
}

fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space, or --out elsewhere",
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            "a file is in the way: --out another directory"
        }
        _ => "--out a directory that you may write to",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Kind, Setup};

    fn results() -> Results {
        Results {
            kind: Kind::Sim,
            command: "swarm sim".to_owned(),
            setup: Setup::default(),
            runs: Vec::new(),
        }
    }

    #[test]
    fn a_directory_is_made_and_what_is_written_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a/b");
        prepare(&out, dir.path()).unwrap();
        let said = write(&results(), &out, dir.path()).unwrap();
        assert_eq!(said, "wrote a/b/report.html, summary.md, results.json");
        assert!(out.join("summary.md").exists());
        let read = read(&out.join("results.json"), dir.path()).unwrap();
        assert_eq!(read, results());
        write(&results(), &out, dir.path()).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_an_error_with_advice() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("taken");
        fs::write(&out, "").unwrap();
        let error = prepare(&out, dir.path()).unwrap_err();
        assert_eq!(error.exit, Exit::Disk);
        assert!(
            error.what.starts_with("cannot create taken: "),
            "{}",
            error.what
        );
        let help = error.help.unwrap();
        assert_eq!(help, "a file is in the way: --out another directory");
    }

    #[test]
    fn what_are_no_results_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("old.json");
        let said = || read(&path, dir.path()).unwrap_err().what;
        assert_eq!(said(), "cannot read old.json: no such file");
        fs::write(&path, "{\"v\": 3}").unwrap();
        assert!(said().starts_with("old.json: not the results"));
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(said(), "cannot read old.json: not text");
    }
}
