//! The printer: the only place that prints. Results go to stdout, talk goes to stderr.
//!
//! It decides by `--quiet`, `--json`, `--color` and `--progress` what is shown; commands only say
//! what there is to show. A reader that went away (EPIPE) is remembered, never an error.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::date;
use super::error::{CliError, Exit};
use super::event::{Event, Line};
use super::live::Live;
use super::text::{Style, Text, flowed};
use super::units::RateUnit;
use crate::metainfo::escape::is_unsafe;
use crate::runtime::Clock;
use crate::time::Time;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProgressMode {
    /// A block at the bottom of the terminal, redrawn.
    Bar,
    /// A line now and then.
    Plain,
    /// Not at all.
    None,
}

/// What the user wants to see.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// 1: only results; 2: only errors.
    pub quiet: u8,
    /// 1 or more: the chain of an error is shown.
    pub verbose: u8,
    /// Events instead of text.
    pub json: bool,
    /// An event for every piece.
    pub json_pieces: bool,
    /// Whether styles become colours, on stdout and on stderr.
    pub color: [bool; 2],
    /// Columns of the terminal that stdout is, if it is one.
    pub columns: Option<usize>,
    /// How progress is shown.
    pub progress: ProgressMode,
    /// How often a line of progress is due, where the user said so.
    pub interval: Option<Duration>,
    /// How rates are shown.
    pub rates: RateUnit,
}

/// Something under way that can be shown in every mode.
pub(super) trait Status {
    /// The block for a terminal of `width` columns; no line is wider.
    fn block(&self, width: usize, rates: RateUnit) -> Vec<Text>;
    /// One line for a log, without the date.
    fn plain(&self, rates: RateUnit) -> String;
    /// The event for a program.
    fn event(&self) -> Event;
    /// The event beside it, where a whole fleet is known.
    fn fleet(&self) -> Option<Event> {
        None
    }
}

/// Prints for one command.
pub(super) struct Printer<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    look: Look,
    clock: Clock,
    live: Live,
    log: Receiver<String>,
    status_shown: Duration,
    failure: Option<io::Error>,
}

impl<'a> Printer<'a> {
    /// A printer on these two streams.
    pub(super) fn new(out: &'a mut dyn Write, err: &'a mut dyn Write, look: Look) -> Self {
        Self {
            out,
            err,
            look,
            clock: Clock::start(),
            live: Live::default(),
            log: crossbeam_channel::never(),
            status_shown: Duration::ZERO,
            failure: None,
        }
    }

    /// Prints these lines of the log from now on.
    pub(super) fn take_log(&mut self, lines: Receiver<String>) {
        self.log = lines;
    }

    /// What the user wants to see.
    pub(super) const fn look(&self) -> Look {
        self.look
    }

    /// Time since the command started.
    pub(super) fn elapsed(&self) -> Duration {
        self.clock.now().since(Time::ZERO)
    }

    /// Whether the reader of stdout or stderr went away.
    pub(super) fn is_abandoned(&self) -> bool {
        self.failure
            .as_ref()
            .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What a user asked to see: one line on stdout.
    pub(super) fn line(&mut self, text: &Text) {
        if self.look.quiet < 2 && !self.look.json {
            self.write_out(format!("{}\n", text.render(self.look.color[0])).as_bytes());
        }
    }

    /// What came out, on stdout: the parts, or with `-q` only `short`.
    pub(super) fn result(&mut self, parts: Vec<Text>, short: &str) {
        if self.look.quiet > 0 {
            return self.line(&Text::new(short));
        }
        for line in flowed(parts, self.look.columns.unwrap_or(usize::MAX)) {
            self.line(&line);
        }
    }

    /// Bytes for stdout as they are, whatever the mode: a manifest, a script.
    pub(super) fn data(&mut self, bytes: &[u8]) {
        self.write_out(bytes);
    }

    /// Talk: a line on stderr unless `-q` or `--json`.
    pub(super) fn say(&mut self, text: &Text) {
        if self.look.quiet == 0 && !self.look.json {
            self.write_err(text);
        }
    }

    /// Talk in parts, on as many lines as the terminal needs for them.
    pub(super) fn say_parts(&mut self, parts: Vec<Text>) {
        for line in flowed(parts, self.look.columns.unwrap_or(usize::MAX)) {
            self.say(&line);
        }
    }

    /// Something worth knowing that is no failure.
    pub(super) fn warn(&mut self, code: &'static str, message: &str) {
        if self.look.json {
            self.event(&Event::Warning {
                code,
                message: message.into(),
            });
        } else if self.look.quiet < 2 {
            self.write_err(
                &Text::default()
                    .styled(Style::Warn, "warning")
                    .plain(": ")
                    .plain(message),
            );
        }
    }

    /// Why the command failed.
    pub(super) fn error(&mut self, error: &CliError) {
        self.end_status();
        self.print_log();
        self.write_err(
            &Text::default()
                .styled(Style::Bad, "error")
                .plain(": ")
                .plain(&error.what),
        );
        if self.look.verbose > 0 {
            for cause in &error.chain {
                self.write_err(&Text::new("  caused by: ").plain(cause));
            }
        }
        if let Some(help) = &error.help {
            self.write_err(
                &Text::default()
                    .styled(Style::Good, "help")
                    .plain(": ")
                    .plain(help),
            );
        }
        self.event(&Event::Error {
            exit: error.exit.code(),
            code: error.exit.name(),
            message: error.what.clone(),
            help: error.help.clone(),
        });
    }

    /// One line of JSON, if that is wanted.
    pub(super) fn event(&mut self, event: &Event) {
        if !self.look.json {
            return;
        }
        let t = (self.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        let line = Line {
            v: 1,
            ts: date::millis(),
            t,
            event,
        };
        match serde_json::to_string(&line) {
            Ok(json) => self.write_out(format!("{}\n", ascii_controls(&json)).as_bytes()),
            Err(error) => self.failure = Some(error.into()),
        }
    }

    /// Shows how far something is; to be called about four times a second.
    pub(super) fn status(&mut self, status: &dyn Status) {
        self.print_log();
        let due = |default| {
            let interval = self.look.interval.unwrap_or(default);
            self.elapsed() >= self.status_shown + interval
        };
        match self.look.progress {
            _ if self.look.json && due(Duration::from_secs(1)) => self.status_line(status),
            _ if self.look.json || self.look.quiet > 0 => {}
            ProgressMode::Bar => self.live.draw(status, self.look),
            ProgressMode::Plain if due(Duration::from_secs(10)) => self.status_line(status),
            ProgressMode::Plain | ProgressMode::None => {}
        }
    }

    /// Shows a change for the worse at once where a line would otherwise not be due.
    pub(super) fn status_news(&mut self, status: &dyn Status) {
        let in_lines = self.look.json || self.look.progress == ProgressMode::Plain;
        if in_lines && self.look.quiet == 0 {
            self.status_line(status);
        }
    }

    /// Shows how far something is as one line, due or not.
    pub(super) fn status_line(&mut self, status: &dyn Status) {
        self.status_shown = self.elapsed();
        if self.look.json {
            self.event(&status.event());
            if let Some(fleet) = status.fleet() {
                self.event(&fleet);
            }
        } else {
            let line = format!("{} {}", date::seconds(), status.plain(self.look.rates));
            self.write_err(&Text::new(line));
        }
    }

    /// Takes the block of progress off the terminal.
    pub(super) fn end_status(&mut self) {
        self.live.clear();
    }

    /// Leaves the block of progress on the terminal as it is.
    pub(super) fn leave_status(&mut self) {
        self.live.leave();
    }

    /// Ends the output.
    ///
    /// # Errors
    /// If stdout or stderr could not be written, unless their reader just went away.
    pub(super) fn finish(mut self) -> Result<(), CliError> {
        self.end_status();
        self.print_log();
        let flushed = self.out.flush().and_then(|()| self.err.flush());
        match self.failure.take().or(flushed.err()) {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::new(
                Exit::Disk,
                format!("cannot write the output: {error}"),
            )),
            _ => Ok(()),
        }
    }

    fn print_log(&mut self) {
        while let Ok(line) = self.log.try_recv() {
            self.write_err(&Text::new(line));
        }
    }

    fn write_out(&mut self, bytes: &[u8]) {
        self.print_log();
        let out = &mut self.out;
        let written = self
            .live
            .suspended(|| out.write_all(bytes).and_then(|()| out.flush()));
        self.note_failure(written);
    }

    fn write_err(&mut self, text: &Text) {
        let line = format!("{}\n", text.render(self.look.color[1]));
        let err = &mut self.err;
        let written = self
            .live
            .suspended(|| err.write_all(line.as_bytes()).and_then(|()| err.flush()));
        self.note_failure(written);
    }

    fn note_failure(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.failure.get_or_insert(error);
        }
    }
}

/// JSON whose strings hold no character that steers a terminal: those become `\u….`.
fn ascii_controls(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unsafe(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look() -> Look {
        Look {
            quiet: 0,
            verbose: 0,
            json: false,
            json_pieces: false,
            color: [false; 2],
            columns: None,
            progress: ProgressMode::Plain,
            interval: None,
            rates: RateUnit::Bytes,
        }
    }

    fn printed(look: Look, print: impl FnOnce(&mut Printer<'_>)) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut printer = Printer::new(&mut out, &mut err, look);
        print(&mut printer);
        printer.finish().expect("a vector takes everything");
        (
            String::from_utf8(out).expect("text"),
            String::from_utf8(err).expect("text"),
        )
    }

    fn everything(printer: &mut Printer<'_>) {
        printer.say(&Text::new("talk"));
        printer.warn("disk-low", "careful");
        printer.result(vec![Text::new("Wrote a.torrent")], "a.torrent");
        printer.error(&CliError::new(Exit::Other, "broken \x1b[2J").help("mend it"));
    }

    #[test]
    fn each_level_of_quiet_shows_less() {
        let quiet = |quiet| printed(Look { quiet, ..look() }, everything);
        let error = "error: broken \\x1b[2J\nhelp: mend it\n";
        assert_eq!(
            quiet(0),
            (
                "Wrote a.torrent\n".into(),
                format!("talk\nwarning: careful\n{error}")
            )
        );
        assert_eq!(
            quiet(1),
            ("a.torrent\n".into(), format!("warning: careful\n{error}"))
        );
        assert_eq!(quiet(2), (String::new(), error.into()));
    }

    #[test]
    fn json_goes_to_stdout_and_errors_for_people_stay_on_stderr() {
        let (out, err) = printed(
            Look {
                json: true,
                ..look()
            },
            everything,
        );
        let lines: Vec<serde_json::Value> = out
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["event"], "warning");
        assert_eq!(lines[1]["message"], "broken \u{1b}[2J");
        assert_eq!(err, "error: broken \\x1b[2J\nhelp: mend it\n");
    }

    #[test]
    fn json_stays_valid_and_harmless_whatever_a_name_holds() {
        let name = "a\u{9b}31m\u{202e}\u{e0001}\n\"";
        let json = ascii_controls(&serde_json::to_string(name).expect("a string"));
        assert!(json.is_ascii());
        assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), name);
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (mut out, mut err) = (Gone, Vec::new());
        let mut printer = Printer::new(&mut out, &mut err, look());
        printer.line(&Text::new("hello"));
        assert!(printer.is_abandoned());
        assert!(printer.finish().is_ok());
        assert!(err.is_empty());
    }
}
