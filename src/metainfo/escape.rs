//! Text from outside, made safe to show: what steers a terminal or hides becomes visible.
//!
//! Escaping twice changes nothing, so every layer may do it. Only for people's eyes: never compare
//! or open anything by what comes out.

use std::fmt::Write as _;

/// The most characters of one foreign text that are shown; `…` stands for the rest.
pub const SHOWN_MAX: usize = 256;

/// The text with control, bidirectional and invisible characters as `\x1b` or `\u{202e}` and bytes
/// that are not UTF-8 as `\xff`, cut after [`SHOWN_MAX`] characters.
pub fn escape(text: impl AsRef<[u8]>) -> String {
    let mut shown = String::new();
    let mut left = SHOWN_MAX;
    for chunk in text.as_ref().utf8_chunks() {
        let chars = chunk.valid().chars().map(Ok);
        let bytes = chunk.invalid().iter().copied().map(Err);
        for part in chars.chain(bytes) {
            if left == 0 {
                shown.push('…');
                return shown;
            }
            left -= 1;
            push(&mut shown, part);
        }
    }
    shown
}

fn push(shown: &mut String, part: Result<char, u8>) {
    let written = match part {
        Ok(c) if !is_unsafe(c) => {
            shown.push(c);
            Ok(())
        }
        Ok(c) if u32::from(c) < 0x100 => write!(shown, "\\x{:02x}", u32::from(c)),
        Ok(c) => write!(shown, "\\u{{{:x}}}", u32::from(c)),
        Err(byte) => write!(shown, "\\x{byte:02x}"),
    };
    written.expect("a String takes everything");
}

/// Whether the character steers a terminal, reorders text or cannot be seen.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}'                       // Arabic letter mark
            | '\u{180e}'                    // Mongolian vowel separator
            | '\u{200b}'..='\u{200f}'       // zero-width characters and direction marks
            | '\u{2028}'..='\u{202e}'       // line separators, embeddings and overrides
            | '\u{2060}'..='\u{206f}'       // word joiner, invisible operators, isolates
            | '\u{feff}'                    // byte order mark
            | '\u{fff9}'..='\u{fffb}'       // interlinear annotation
            | '\u{e0000}'..='\u{e007f}'     // tags
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_becomes_visible() {
        assert_eq!(escape("\u{1b}]0;title\u{7}"), "\\x1b]0;title\\x07");
        assert_eq!(escape("\r\n\u{9b}31m\u{7f}"), "\\x0d\\x0a\\x9b31m\\x7f");
        assert_eq!(escape("gpj\u{202e}exe"), "gpj\\u{202e}exe");
        assert_eq!(escape("a\u{200b}b\u{feff}"), "a\\u{200b}b\\u{feff}");
        assert_eq!(escape(b"caf\xe9\x80"), "caf\\xe9\\x80");
    }

    #[test]
    fn ordinary_text_stays_and_escaping_twice_changes_nothing() {
        assert_eq!(escape("Übung 日本 \\ 🎉"), "Übung 日本 \\ 🎉");
        let once = escape(b"\x1b\xff\xe2\x80\xae");
        assert_eq!(escape(&once), once);
    }

    #[test]
    fn a_long_text_is_cut() {
        let shown = escape("x".repeat(10_000));
        assert_eq!(shown.chars().count(), SHOWN_MAX + 1);
        assert!(shown.ends_with('…'));
    }
}
