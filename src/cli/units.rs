//! Sizes, rates, durations and ranges: as a person types them and as the screens show them.
//!
//! `K M G T` count in 1024 (as in aria2), `KB MB` in 1000, `Kbit Mbit` in 1000 bits.

use std::ops::RangeInclusive;
use std::time::Duration;

/// What the unit suffixes stand for, in bytes.
const UNITS: [(&str, f64); 17] = [
    ("", 1.0),
    ("B", 1.0),
    ("K", 1024.0),
    ("M", 1_048_576.0),
    ("G", 1_073_741_824.0),
    ("T", 1_099_511_627_776.0),
    ("KIB", 1024.0),
    ("MIB", 1_048_576.0),
    ("GIB", 1_073_741_824.0),
    ("TIB", 1_099_511_627_776.0),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("KBIT", 125.0),
    ("MBIT", 125e3),
    ("GBIT", 125e6),
];

/// A text is not a size, rate, duration or range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnitError {
    /// No number, or one that is negative or too large.
    #[error("want a number and a unit, such as 64K, 10MB or 80Mbit")]
    Number,
    /// The suffix is none that we know.
    #[error("unknown unit {0:?}: want K M G T (1024), KB MB GB TB (1000) or Kbit Mbit Gbit")]
    Unit(String),
    /// `Mb` may mean megabits or megabytes.
    #[error("{0:?} could be bits or bytes: write {1}bit or {1}B")]
    Ambiguous(String, char),
    /// Not a port range.
    #[error("want a port or a range of ports, such as 6881 or 6881-6889")]
    Ports,
    /// Not a list of file numbers.
    #[error("want file numbers, such as 1,3-5")]
    Numbers,
    /// Not a share.
    #[error("want a share from 0% to 100%, such as 5%")]
    Share,
    /// Not a duration.
    #[error("want a duration, such as 30s, 10m or 2h")]
    Duration,
}

/// Reads a size in bytes: `64K`, `1.5G`, `10MB`, `4096`.
///
/// # Errors
/// If there is no number, no known unit, or the unit is ambiguous.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked just before"
)]
pub(super) fn size(text: &str) -> Result<u64, UnitError> {
    let text = text.trim();
    let split = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim());
    let number: f64 = number.parse().map_err(|_| UnitError::Number)?;
    let mut letters = unit.chars();
    if let (Some(scale), Some('b'), None) = (letters.next(), letters.next(), letters.next()) {
        return Err(UnitError::Ambiguous(
            unit.into(),
            scale.to_ascii_uppercase(),
        ));
    }
    let upper = unit.to_ascii_uppercase();
    let (_, scale) = UNITS
        .iter()
        .find(|(name, _)| *name == upper)
        .ok_or_else(|| UnitError::Unit(unit.into()))?;
    let bytes = (number * scale).round();
    // 2^63 is beyond every disk, and exact in a float.
    if bytes < 9_223_372_036_854_775_808.0 {
        Ok(bytes as u64)
    } else {
        Err(UnitError::Number)
    }
}

/// Reads a rate in bytes per second: a size with or without `/s`; zero means no limit.
///
/// # Errors
/// As [`size`].
pub(super) fn rate(text: &str) -> Result<u64, UnitError> {
    size(text.trim().strip_suffix("/s").unwrap_or(text))
}

/// Reads a share such as `5%` in millionths: `0` is allowed without the sign.
///
/// # Errors
/// If it is none, or more than the whole.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked just before"
)]
pub(super) fn share(text: &str) -> Result<u32, UnitError> {
    let text = text.trim();
    if text == "0" {
        return Ok(0);
    }
    let number = text.strip_suffix('%').ok_or(UnitError::Share)?;
    match number.trim().parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok((percent * 1e4).round() as u32),
        _ => Err(UnitError::Share),
    }
}

/// Reads a duration such as `30s`, `10m` or `2h`; `0` is allowed without a unit.
///
/// # Errors
/// If it is none.
pub(super) fn duration(text: &str) -> Result<Duration, UnitError> {
    if text.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text).map_err(|_| UnitError::Duration)
}

/// Reads a port or a range of ports.
///
/// # Errors
/// If it is none, or ends before it starts.
pub(super) fn ports(text: &str) -> Result<RangeInclusive<u16>, UnitError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok(first..=last),
        _ => Err(UnitError::Ports),
    }
}

/// Reads file numbers, counted from 1, as inclusive ranges: `1,3-5`.
///
/// # Errors
/// If it is no such list, or a number is zero.
pub(super) fn numbers(text: &str) -> Result<Vec<RangeInclusive<usize>>, UnitError> {
    text.split(',')
        .map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (first.trim().parse(), last.trim().parse()) {
                (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(first..=last),
                _ => Err(UnitError::Numbers),
            }
        })
        .collect()
}

/// How rates are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum RateUnit {
    /// `112 MiB/s`.
    #[default]
    Bytes,
    /// `940 Mbit/s`.
    Bits,
}

impl RateUnit {
    /// A rate in bytes per second, as the screens show it.
    pub(super) fn show(self, rate: u64) -> String {
        let (value, unit) = match self {
            Self::Bytes => scaled(rate as f64, 1024.0, &["B/s", "KiB/s", "MiB/s", "GiB/s"]),
            Self::Bits => scaled(
                rate as f64 * 8.0,
                1000.0,
                &["bit/s", "kbit/s", "Mbit/s", "Gbit/s"],
            ),
        };
        let decimals = usize::from(value < 9.95 && rate >= 1000);
        format!("{value:.decimals$} {unit}")
    }
}

/// A size as the screens show it: `5.66 GiB`, `64 KiB`, `17 B`.
pub(super) fn show_size(bytes: u64) -> String {
    let (value, unit) = scaled(bytes as f64, 1024.0, &SIZE_UNITS);
    format!("{} {unit}", three_digits(value))
}

/// Two sizes in the unit of the second: `3.28/5.66 GiB`.
pub(super) fn show_size_pair(part: u64, whole: u64) -> String {
    let (value, unit) = scaled(whole as f64, 1024.0, &SIZE_UNITS);
    let scale = if whole == 0 {
        1.0
    } else {
        whole as f64 / value
    };
    let decimals = decimals_of(value).min(if unit == "B" { 0 } else { 2 });
    let part = part as f64 / scale;
    format!("{part:.decimals$}/{} {unit}", three_digits(value))
}

/// A number with its thousands apart: `1,449`.
pub(super) fn show_count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number and its noun: `1 file`, `412 files`.
pub(super) fn show_counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", show_count(number))
}

/// A duration as a clock: `0:22`, `1:02:03`, `2d 3h`.
pub(super) fn show_clock(duration: Duration) -> String {
    let secs = duration.as_secs();
    let (hours, minutes, seconds) = (secs / 3600, secs / 60 % 60, secs % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        1..48 => format!("{hours}:{minutes:02}:{seconds:02}"),
        _ => format!("{}d {}h", hours / 24, hours % 24),
    }
}

/// How long something took: `0.21 s`, `9.3 s`, then as a clock.
pub(super) fn show_took(duration: Duration) -> String {
    let secs = duration.as_secs_f64();
    if secs < 9.95 {
        format!("{} s", three_digits((secs * 100.0).round() / 100.0))
    } else {
        show_clock(duration)
    }
}

/// A whole percentage that says 100 only when nothing is missing.
pub(super) fn percent(part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return 100;
    }
    let percent = u128::from(part.min(whole)) * 100 / u128::from(whole);
    u64::try_from(percent).unwrap_or(100)
}

const SIZE_UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/// The value in the largest unit in which it is at least 1 when shown.
fn scaled<'a>(value: f64, base: f64, units: &[&'a str]) -> (f64, &'a str) {
    let mut value = value;
    let mut unit = 0;
    while value >= base - 0.5 && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    (value, units[unit])
}

fn decimals_of(value: f64) -> usize {
    match value {
        _ if value < 9.995 => 2,
        _ if value < 99.95 => 1,
        _ => 0,
    }
}

fn three_digits(value: f64) -> String {
    let decimals = decimals_of(value);
    let text = format!("{value:.decimals$}");
    if decimals == 0 {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_every_unit() {
        let cases = [
            ("4096", 4096),
            ("64K", 65_536),
            ("64 KiB", 65_536),
            ("1.5g", 1_610_612_736),
            ("10MB", 10_000_000),
            ("80Mbit", 10_000_000),
            ("2T", 2_199_023_255_552),
            ("0", 0),
        ];
        for (text, bytes) in cases {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        assert_eq!(rate("10M/s"), Ok(10_485_760));
    }

    #[test]
    fn what_is_no_size_is_refused_with_the_reason() {
        assert_eq!(size("fast"), Err(UnitError::Number));
        assert_eq!(size("-1K"), Err(UnitError::Number));
        assert_eq!(size("1.2.3"), Err(UnitError::Number));
        assert_eq!(size("999999999999T"), Err(UnitError::Number));
        assert_eq!(size("3 parsecs"), Err(UnitError::Unit("parsecs".into())));
        let error = size("10Mb").expect_err("ambiguous");
        assert_eq!(
            error.to_string(),
            "\"Mb\" could be bits or bytes: write Mbit or MB"
        );
    }

    #[test]
    fn ranges_and_durations_are_read() {
        assert_eq!(ports("6881"), Ok(6881..=6881));
        assert_eq!(ports("6881-6889"), Ok(6881..=6889));
        assert_eq!(ports("9-8"), Err(UnitError::Ports));
        assert_eq!(ports("70000"), Err(UnitError::Ports));
        assert_eq!(numbers("1,3-5"), Ok(vec![1..=1, 3..=5]));
        assert_eq!(numbers("0"), Err(UnitError::Numbers));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("10"), Err(UnitError::Duration));
    }

    #[test]
    fn shares_are_read_in_millionths() {
        assert_eq!(share("5%"), Ok(50_000));
        assert_eq!(share(" 0.5 %"), Ok(5_000));
        assert_eq!(share("100%"), Ok(1_000_000));
        assert_eq!(share("0"), Ok(0));
        for none in ["5", "101%", "-1%", "%", "nan%", ""] {
            assert_eq!(share(none), Err(UnitError::Share), "{none}");
        }
    }

    #[test]
    fn sizes_are_shown_with_three_digits() {
        let cases = [
            (0, "0 B"),
            (17, "17 B"),
            (1023, "1023 B"),
            (65_536, "64 KiB"),
            (17_408, "17 KiB"),
            (1_048_575, "1 MiB"),
            (6_077_415_424, "5.66 GiB"),
            (141_089_999_872, "131 GiB"),
            (u64::MAX, "16384 PiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(show_size(bytes), text);
        }
        assert_eq!(
            show_size_pair(3_523_215_360, 6_077_415_424),
            "3.28/5.66 GiB"
        );
        assert_eq!(show_size_pair(0, 100), "0/100 B");
    }

    #[test]
    fn rates_counts_and_clocks_are_shown() {
        assert_eq!(RateUnit::Bytes.show(117_440_512), "112 MiB/s");
        assert_eq!(RateUnit::Bytes.show(2_254_857_830), "2.1 GiB/s");
        assert_eq!(RateUnit::Bytes.show(0), "0 B/s");
        assert_eq!(RateUnit::Bits.show(117_440_512), "940 Mbit/s");
        assert_eq!(show_count(1_449), "1,449");
        assert_eq!(show_count(168_200_000), "168,200,000");
        assert_eq!(show_counted(1, "file"), "1 file");
        assert_eq!(show_clock(Duration::from_secs(22)), "0:22");
        assert_eq!(show_clock(Duration::from_secs(3_723)), "1:02:03");
        assert_eq!(show_clock(Duration::from_secs(183_600)), "2d 3h");
        assert_eq!(show_took(Duration::from_millis(213)), "0.21 s");
        assert_eq!(show_took(Duration::from_secs(53)), "0:53");
    }

    #[test]
    fn a_hundred_percent_means_everything() {
        assert_eq!(percent(999_999, 1_000_000), 99);
        assert_eq!(percent(1_000_000, 1_000_000), 100);
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99);
    }
}
