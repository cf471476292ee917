//! Signals as flags: the first Ctrl-C or SIGTERM asks to stop, the second exits at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;

use super::error::Exit;

/// What the user asked for by signal.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    interrupt: Arc<AtomicBool>,
    terminate: Arc<AtomicBool>,
    report: Arc<AtomicBool>,
}

impl Signals {
    /// Listens to the signals of this process.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn install() -> io::Result<Self> {
        let signals = Self::default();
        let stops = [(SIGINT, &signals.interrupt), (SIGTERM, &signals.terminate)];
        for (signal, _) in stops {
            for (_, asked) in stops {
                // Registered before the flags are: the first signal finds them unset.
                flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(asked))?;
            }
        }
        for (signal, asked) in stops {
            flag::register(signal, Arc::clone(asked))?;
        }
        flag::register(SIGUSR1, Arc::clone(&signals.report))?;
        Ok(signals)
    }

    /// How the program is asked to end, if it is.
    pub fn stop(&self) -> Option<Exit> {
        if self.terminate.load(Ordering::Relaxed) {
            Some(Exit::Terminated)
        } else if self.interrupt.load(Ordering::Relaxed) {
            Some(Exit::Interrupted)
        } else {
            None
        }
    }

    /// Asks to end, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.interrupt.store(true, Ordering::Relaxed);
    }

    /// Whether a status line was asked for since the last call.
    pub fn take_report(&self) -> bool {
        self.report.swap(false, Ordering::Relaxed)
    }
}
