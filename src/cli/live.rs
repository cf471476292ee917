//! The block of progress at the bottom of a terminal: one composed text, redrawn as a whole.
//!
//! It knows nothing of what it shows. Sampling it a few times a second costs nothing per block.

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::{Look, Status};

/// Draws per second at most. The sampler asks for four; this only stops a runaway caller.
const DRAWS_PER_SECOND_MAX: u8 = 20;

/// Columns of a terminal that does not say.
const WIDTH_DEFAULT: usize = 80;

/// The block, if one is on the screen.
#[derive(Debug, Default)]
pub(super) struct Live {
    bar: Option<ProgressBar>,
}

impl Live {
    /// Puts the block on the screen, or redraws it.
    pub(super) fn draw(&mut self, status: &dyn Status, look: Look) {
        let width = Term::stderr()
            .size_checked()
            .map_or(WIDTH_DEFAULT, |(_, width)| width.into());
        // The last column stays free: some terminals wrap as soon as it is written.
        let lines = status.block(width.saturating_sub(1), look.rates);
        let text: Vec<String> = lines
            .iter()
            .map(|line| line.render(look.color[1]))
            .collect();
        self.bar
            .get_or_insert_with(new_bar)
            .set_message(text.join("\n"));
    }

    /// Takes the block off the screen.
    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Leaves the block where it is and forgets it. After Ctrl-C the terminal has written `^C`
    /// behind it, so that nobody knows any more in which row it is.
    pub(super) fn leave(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
    }

    /// Writes something above the block.
    pub(super) fn suspended<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

fn new_bar() -> ProgressBar {
    let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND_MAX);
    let style = ProgressStyle::with_template("{msg}").expect("the template is a constant");
    ProgressBar::with_draw_target(None, target).with_style(style)
}
