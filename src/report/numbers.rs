//! Numbers as people read them: times, shares, sizes, rates, counts.
//!
//! Every text here is plain; a space stands between a number and its unit.

const MINUTE: f64 = 60.0;

const UNITS: [&str; 13] = [
    "%", "s", "×", "copies", "B", "KiB", "MiB", "GiB", "TiB", "kbit/s", "Mbit/s", "Gbit/s",
    "Tbit/s",
];

/// A time to three or four digits: `8.53 s`, `28.4 s`, `402.8 s`, `1,403 s`.
pub(super) fn seconds(seconds: f64) -> String {
    let decimals = match seconds {
        s if s < 9.995 => 2,
        s if s < 999.95 => 1,
        _ => 0,
    };
    format!("{} s", grouped(seconds, decimals))
}

/// A share of one: `94.5 %`, `0.14 %`, `0 %`.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let decimals = match percent.abs() {
        p if p < 0.005 => 0,
        p if p < 0.995 => 2,
        p if p < 99.95 => 1,
        // Nearly all is not all.
        p if p > 99.95 && p < 99.995 => 2,
        _ => 0,
    };
    format!("{} %", grouped(percent, decimals))
}

/// A number without a unit, to three digits or so: `0.998`, `1.06`, `15.0`, `403`.
pub(super) fn plain(value: f64) -> String {
    let decimals = match value.abs() {
        v if v < 0.0005 => 0,
        v if v < 0.9995 => 3,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    grouped(value, decimals)
}

/// How many times something was sent: `0.86`, `1.06`, `15.0`, `403`.
pub(super) fn copies(value: f64) -> String {
    let decimals = match value.abs() {
        v if v < 0.005 => 0,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    grouped(value, decimals)
}

/// A number of things: `1,449`.
pub(super) fn count(number: usize) -> String {
    thousands(&number.to_string())
}

/// A number of things with its noun: `1 fetcher`, `15 fetchers`.
pub(super) fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// A size in bytes: `256 MiB`, `1.5 GiB`.
pub(super) fn size(bytes: f64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
}

/// A rate in bytes per second, as links are sold: `80 Mbit/s`.
pub(super) fn rate(bytes_per_second: u64) -> String {
    let units = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"];
    scaled(bytes_per_second as f64 * 8.0, 1000.0, &units)
}

/// The unit that an axis of times up to `seconds_max` is in, and how many seconds it has.
pub(super) fn time_unit(seconds_max: f64) -> (&'static str, f64) {
    match seconds_max {
        s if s <= 10.0 * MINUTE => ("s", 1.0),
        s if s <= 600.0 * MINUTE => ("min", MINUTE),
        _ => ("h", 60.0 * MINUTE),
    }
}

/// A value of an axis with no more digits than it needs: `0`, `2.5`, `10,000`.
pub(super) fn tick(value: f64) -> String {
    let fits = |decimals: &usize| {
        let scale = 10_f64.powi(i32::try_from(*decimals).unwrap_or(0));
        ((value * scale).round() / scale - value).abs() <= 1e-9 * value.abs()
    };
    grouped(value, (0..6).find(fits).unwrap_or(6))
}

/// `text` with its numbers tied to their units, so that no line breaks between them.
pub(super) fn tied(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(' ') {
        let is_unit = UNITS.contains(&word.trim_end_matches([' ', '.', ',', ';', ':', ')']));
        let mut before = out.chars().rev();
        if is_unit
            && before.next() == Some(' ')
            && before.next().is_some_and(|letter| letter.is_ascii_digit())
        {
            out.pop();
            out.push('\u{a0}');
        }
        out.push_str(word);
    }
    out
}

fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut unit = 0;
    while value >= step * 0.9995 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let decimals = match value {
        _ if unit == 0 => 0,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    let number = grouped(value, decimals);
    let number = match number.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        _ => &number,
    };
    format!("{number} {}", units[unit])
}

fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let is_zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let sign = if value < 0.0 && !is_zero { "-" } else { "" };
    format!("{sign}{}{fraction}", thousands(whole))
}

fn thousands(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_or_four_digits() {
        let shown: Vec<String> = [0.0, 8.527, 9.996, 28.41, 402.84, 1402.6]
            .into_iter()
            .map(seconds)
            .collect();
        assert_eq!(
            shown,
            ["0.00 s", "8.53 s", "10.0 s", "28.4 s", "402.8 s", "1,403 s"]
        );
    }

    #[test]
    fn shares_show_what_is_small() {
        let shown: Vec<String> = [0.945, 0.0014, 0.0, 0.9997, 1.0, 14.2, -0.031]
            .into_iter()
            .map(percent)
            .collect();
        assert_eq!(
            shown,
            [
                "94.5 %", "0.14 %", "0 %", "99.97 %", "100 %", "1,420 %", "-3.1 %"
            ]
        );
    }

    #[test]
    fn sizes_and_rates_carry_the_unit_that_fits() {
        assert_eq!(size(268_435_456.0), "256 MiB");
        assert_eq!(size(1_610_612_736.0), "1.50 GiB");
        assert_eq!(size(17.0), "17 B");
        assert_eq!(rate(10_000_000), "80 Mbit/s");
        assert_eq!(rate(125_000_000), "1 Gbit/s");
    }

    #[test]
    fn only_units_are_tied_to_numbers() {
        let tied = tied("after 28.5 s, 94.5 % of 15 fetchers; a s");
        assert_eq!(tied, "after 28.5\u{a0}s, 94.5\u{a0}% of 15 fetchers; a s");
    }

    #[test]
    fn counts_agree_with_their_noun() {
        assert_eq!(counted(1, "fetcher"), "1 fetcher");
        assert_eq!(counted(10_000, "fetcher"), "10,000 fetchers");
    }

    #[test]
    fn ticks_have_no_needless_digits() {
        assert_eq!(
            [0.0, 2.5, 0.25, 10_000.0].map(tick),
            ["0", "2.5", "0.25", "10,000"]
        );
    }
}
