//! How much room text takes, without knowing the reader's font.

/// The size of all text in pictures, in units of the picture.
pub(super) const SIZE: f64 = 13.0;

/// The height of a line of text.
pub(super) const LINE: f64 = 20.0;

/// The width of `text` in the widest of the usual fonts (`DejaVu` Sans), so that nothing overlaps
/// in any of them.
pub(super) fn width(text: &str) -> f64 {
    SIZE * text.chars().map(em).sum::<f64>()
}

/// `text`, cut so that it is at most `room` wide; a cut shows as `…`.
pub(super) fn cut(text: &str, room: f64) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut left = room / SIZE - em('…');
    let fits = |letter: &char| {
        left -= em(*letter);
        left >= 0.0
    };
    let kept: String = text.chars().take_while(fits).collect();
    format!("{}…", kept.trim_end())
}

/// The advance of a letter in units of the font's size.
fn em(letter: char) -> f64 {
    match letter {
        'i' | 'j' | 'l' | '\'' | '|' => 0.29,
        ' ' | '\u{a0}' | ',' | '.' | ':' | ';' | 'I' | '!' => 0.33,
        'f' | 't' | 'r' | '(' | ')' | '/' | '-' => 0.41,
        'm' | 'w' | 'M' | 'W' | '%' | '…' => 0.98,
        'A'..='Z' => 0.72,
        letter if letter.is_ascii() => 0.637,
        // Beyond Latin a letter may be as wide as it is high.
        letter if u32::from(letter) >= 0x1100 => 1.0,
        _ => 0.7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_fits() {
        for room in [20.0, 60.0, 130.0] {
            let cut = cut("a rather long name of a contender", room);
            assert!(width(&cut) <= room && cut.ends_with('…'), "{cut}");
        }
        assert_eq!(cut("short", 100.0), "short");
    }
}
