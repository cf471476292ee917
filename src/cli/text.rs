//! One line of output: styled, and safe to show whatever the names in it hold.
//!
//! Everything pushed into a [`Text`] is escaped, so no caller can forget
//! to. It knows nothing of terminals; the printer decides whether styles become colours.

use std::borrow::Cow;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style as Ansi};
use console::{measure_text_width, truncate_str};

use crate::metainfo::escape::is_unsafe;

/// What a part of a line is, for the eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// The text itself.
    Plain,
    /// What the line is about.
    Strong,
    /// Labels and the empty part of bars.
    Dim,
    /// Progress and success.
    Good,
    /// Worth a look.
    Warn,
    /// What went wrong.
    Bad,
}

/// One line of output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    spans: Vec<(Style, String)>,
}

impl Text {
    /// A line that is plain so far.
    pub(super) fn new(text: impl AsRef<str>) -> Self {
        Self::default().plain(text)
    }

    /// Adds plain text.
    #[must_use]
    pub(super) fn plain(self, text: impl AsRef<str>) -> Self {
        self.styled(Style::Plain, text)
    }

    /// Adds text of a style.
    #[must_use]
    pub(super) fn styled(mut self, style: Style, text: impl AsRef<str>) -> Self {
        self.spans
            .push((style, escaped(text.as_ref()).into_owned()));
        self
    }

    /// The two on one line.
    #[must_use]
    pub(super) fn join(mut self, mut other: Self) -> Self {
        self.spans.append(&mut other.spans);
        self
    }

    /// Terminal columns it takes.
    pub(super) fn width(&self) -> usize {
        self.spans
            .iter()
            .map(|(_, text)| measure_text_width(text))
            .sum()
    }

    /// Cuts it to at most `width` columns; a cut shows as `…`.
    #[must_use]
    pub(super) fn fitted(mut self, width: usize) -> Self {
        if self.width() <= width {
            return self;
        }
        let mut left = width;
        for (_, text) in &mut self.spans {
            let cut = truncated(text, left);
            left -= measure_text_width(&cut);
            let ends_here = cut.len() < text.len();
            *text = cut.into_owned();
            if ends_here {
                left = 0;
            }
        }
        self.spans.retain(|(_, text)| !text.is_empty());
        self
    }

    /// The line as bytes for a terminal (`color`) or for anything else.
    pub(super) fn render(&self, color: bool) -> String {
        let mut line = String::new();
        for (style, text) in &self.spans {
            let ansi = style.ansi();
            if color && *style != Style::Plain {
                // Writing to a String cannot fail.
                let _ = write!(line, "{ansi}{text}{ansi:#}");
            } else {
                line.push_str(text);
            }
        }
        line
    }
}

impl Style {
    fn ansi(self) -> Ansi {
        match self {
            Self::Plain => Ansi::new(),
            Self::Strong => Ansi::new().bold(),
            Self::Dim => Ansi::new().dimmed(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default().bold(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
        }
    }
}

/// The parts with ` · ` between them, on as many lines of at most `width` columns as that takes.
pub(super) fn flowed(parts: Vec<Text>, width: usize) -> Vec<Text> {
    let mut lines: Vec<Text> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if line.width() + 3 + part.width() <= width => {
                *line = std::mem::take(line).plain(" · ").join(part);
            }
            Some(_) => lines.push(Text::new("   ").join(part)),
            None => lines.push(part),
        }
    }
    lines
}

/// The text with every unsafe character written as `\x1b` or `\u{202e}`.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        let code = u32::from(c);
        let _ = match (is_unsafe(c), code < 0x100) {
            (false, _) => {
                out.push(c);
                Ok(())
            }
            (true, true) => write!(out, "\\x{code:02x}"),
            (true, false) => write!(out, "\\u{{{code:x}}}"),
        };
    }
    Cow::Owned(out)
}

/// At most `width` columns of the text; a cut shows as `…`.
pub(super) fn truncated(text: &str, width: usize) -> Cow<'_, str> {
    if width == 0 {
        Cow::Borrowed("")
    } else {
        truncate_str(text, width, "…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        assert_eq!(escaped("a\x1b]52;c;x\x07b"), "a\\x1b]52;c;x\\x07b");
        assert_eq!(escaped("\u{9b}31m\r\n\x7f"), "\\x9b31m\\x0d\\x0a\\x7f");
        assert_eq!(escaped("gpj\u{202e}exe"), "gpj\\u{202e}exe");
        assert_eq!(escaped("über/日本.iso"), "über/日本.iso");
    }

    #[test]
    fn a_text_fits_its_columns_even_with_wide_characters() {
        let text = Text::new("日本語の名前")
            .styled(Style::Good, "━━━━")
            .plain(" 58%");
        assert_eq!(text.width(), 20);
        for width in 0..25 {
            let fitted = text.clone().fitted(width);
            assert!(fitted.width() <= width.min(20), "{width}: {fitted:?}");
        }
        assert_eq!(text.fitted(9).render(false), "日本語の…");
    }

    #[test]
    fn only_a_coloured_rendering_holds_escape_codes() {
        let text = Text::default()
            .styled(Style::Bad, "error")
            .plain(": \x1b[2J");
        assert_eq!(text.render(false), "error: \\x1b[2J");
        assert_eq!(
            text.render(true),
            "\u{1b}[1m\u{1b}[31merror\u{1b}[0m: \\x1b[2J"
        );
    }
}
