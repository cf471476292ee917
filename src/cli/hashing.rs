//! Runs long blocking work on another thread while this one shows how far it is, four times a
//! second, and calls it off on Ctrl-C. Workers only count; they never draw.

use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::App;
use super::screen::Hashing;
use crate::storage::Meter;

/// How often a status is sampled.
pub(super) const SAMPLE_INTERVAL: Duration = Duration::from_millis(250);

/// What is hashed, for the screen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label<'a> {
    /// `Hashing` or `Checking`.
    pub(super) verb: &'static str,
    /// The name of the content.
    pub(super) name: &'a str,
}

/// Does `work`, showing its meter meanwhile.
pub(super) fn sampled<T: Send>(
    app: &mut App<'_>,
    label: Label<'_>,
    work: impl FnOnce(&Meter) -> T + Send,
) -> T {
    let meter = Meter::new();
    let result = thread::scope(|scope| {
        let (ended, end) = bounded::<()>(0);
        let worker = scope.spawn(|| {
            let result = work(&meter);
            drop(ended);
            result
        });
        while end.recv_timeout(SAMPLE_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            if app.stop_asked().is_some() || app.printer.is_abandoned() {
                meter.cancel();
            } else {
                show(app, label, &meter);
            }
        }
        worker.join()
    });
    app.printer.end_status();
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn show(app: &mut App<'_>, label: Label<'_>, meter: &Meter) {
    if meter.total() == 0 {
        return;
    }
    let secs = app.printer.elapsed().as_secs().max(1);
    let status = Hashing {
        verb: label.verb,
        name: label.name,
        done: meter.done(),
        total: meter.total(),
        rate: meter.done() / secs,
        threads: app.threads,
    };
    if app.signals.take_report() {
        app.printer.status_line(&status);
    }
    app.printer.status(&status);
}
