//! A value of the command line with the words that the user gave it in, so that a report shows
//! `100Mbit` and not 12500000, and a command line can be repeated as it was typed.

use std::fmt;
use std::time::Duration;

use crate::cli::piece_size::PieceSize;
use crate::cli::units::{UnitError, duration, rate, share, size};
use crate::sim::build::{Arrivals, LINGER, Leaving, Share};

/// A value and how it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Typed<T> {
    text: String,
    /// What it means.
    pub(super) value: T,
}

impl<T> Typed<T> {
    fn new(text: &str, value: T) -> Self {
        Self {
            text: text.trim().to_owned(),
            value,
        }
    }
}

impl<T> fmt::Display for Typed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Hosts in one run at most: each takes memory for every other it knows.
const HOSTS_MAX: u32 = 100_000;

/// What is said of a size or rate that is none.
const EMPTY: &str = "want more than nothing";

/// Reads how many hosts there are.
pub(super) fn count(text: &str) -> Result<u32, String> {
    match text.trim().parse() {
        Ok(count @ 1..=HOSTS_MAX) => Ok(count),
        _ => Err(format!("want a number from 1 to {HOSTS_MAX}")),
    }
}

/// Reads the size of the content: any but zero.
pub(super) fn content(text: &str) -> Result<Typed<u64>, String> {
    positive(text, size(text))
}

/// Reads the rate of a link: any but zero, which no link has.
pub(super) fn link_rate(text: &str) -> Result<Typed<u64>, String> {
    positive(text, rate(text))
}

fn positive(text: &str, read: Result<u64, UnitError>) -> Result<Typed<u64>, String> {
    match read {
        Ok(0) => Err(EMPTY.into()),
        Ok(value) => Ok(Typed::new(text, value)),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads the length of a piece.
pub(super) fn piece_size(text: &str) -> Result<Typed<PieceSize>, UnitError> {
    Ok(Typed::new(text, PieceSize::parse(text)?))
}

/// Reads a duration.
pub(super) fn time(text: &str) -> Result<Typed<Duration>, UnitError> {
    Ok(Typed::new(text, duration(text)?))
}

/// Reads a share.
pub(super) fn part(text: &str) -> Result<Typed<Share>, UnitError> {
    Ok(Typed::new(text, Share::from_millionths(share(text)?)))
}

/// Reads when peers join: `together`, `10/s`, `90/m`, `5/h`.
pub(super) fn arrive(text: &str) -> Result<Typed<Arrivals>, String> {
    let wanted = || "want together, or a number in a time, such as 10/s or 90/m".to_owned();
    if text.trim() == "together" {
        return Ok(Typed::new(text, Arrivals::Together));
    }
    let (number, time) = text.split_once('/').ok_or_else(wanted)?;
    let time = match time.trim() {
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        _ => return Err(wanted()),
    };
    match number.trim().parse::<u32>() {
        Ok(number @ 1..) => Ok(Typed::new(text, Arrivals::Every(time / number))),
        _ => Err(wanted()),
    }
}

/// Reads when complete peers leave: `linger`, `at-once`, `2m`, `20%`.
pub(super) fn depart(text: &str) -> Result<Typed<Leaving>, String> {
    let leaving = match text.trim() {
        "linger" => Leaving::After(LINGER),
        "at-once" => Leaving::After(Duration::ZERO),
        text if text.ends_with('%') => {
            let millionths = share(text).map_err(|error| error.to_string())?;
            Leaving::Some(Share::from_millionths(millionths))
        }
        text => Leaving::After(duration(text).map_err(|_| {
            "want linger, at-once, a time such as 2m, or a share such as 20%".to_owned()
        })?),
    };
    Ok(Typed::new(text, leaving))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_read_as_intervals() {
        let read = |text| arrive(text).map(|typed| typed.value);
        assert_eq!(read("together"), Ok(Arrivals::Together));
        assert_eq!(
            read("10/s"),
            Ok(Arrivals::Every(Duration::from_millis(100)))
        );
        assert_eq!(read("30/m"), Ok(Arrivals::Every(Duration::from_secs(2))));
        for none in ["10", "0/s", "10/d", "x/s", "-1/s", "/s", ""] {
            assert!(read(none).is_err(), "{none}");
        }
    }

    #[test]
    fn departures_are_read_as_times_and_shares() {
        let read = |text| depart(text).map(|typed| typed.value);
        assert_eq!(read("linger"), Ok(Leaving::After(LINGER)));
        assert_eq!(read("at-once"), Ok(Leaving::After(Duration::ZERO)));
        assert_eq!(read("2m"), Ok(Leaving::After(Duration::from_secs(120))));
        let fifth = Share::from_millionths(200_000);
        assert_eq!(read("20%"), Ok(Leaving::Some(fifth)));
        for none in ["20", "never", "-1s", "120%"] {
            assert!(read(none).is_err(), "{none}");
        }
    }

    #[test]
    fn a_value_is_shown_as_it_was_typed() {
        let rate = link_rate(" 100Mbit ").expect("a rate");
        assert_eq!(
            (rate.to_string().as_str(), rate.value),
            ("100Mbit", 12_500_000)
        );
        assert_eq!(link_rate("0"), Err(EMPTY.into()));
        assert_eq!(content("0K"), Err(EMPTY.into()));
    }
}
