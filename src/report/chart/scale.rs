//! Where a value lies along an axis, and which values are worth a tick.

/// How values map to the length of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// Evenly from the first value to the second.
    Linear(f64, f64),
    /// Evenly by ratio from the first value to the second; both positive.
    Log(f64, f64),
    /// Nearly by ratio, but from 0 to the value: for counts that span magnitudes and can be none.
    Counts(f64),
}

impl Scale {
    /// A linear scale from 0 to a round value that `max` does not exceed.
    pub(super) fn from_zero(max: f64) -> Self {
        let step = round_step(max.max(f64::MIN_POSITIVE) / 5.0);
        Self::Linear(0.0, (max / step - 1e-9).ceil().max(1.0) * step)
    }

    /// A scale for positive values from `min` to `max`: from zero if that shows them all apart,
    /// else by ratio. Above and below there is room for a label.
    pub(super) fn fitting(min: f64, max: f64) -> Self {
        if max <= min * 8.0 {
            return Self::from_zero(max * 1.1);
        }
        let span = max / min;
        Self::Log(min / span.powf(0.14), max * span.powf(0.11))
    }

    /// Where `value` lies, 0 at the start of the axis and 1 at its end; beyond if it is outside.
    pub(super) fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear(low, high) => (value - low) / (high - low),
            Self::Log(low, high) => {
                let value = value.max(low * 1e-3);
                (value / low).ln() / (high / low).ln()
            }
            Self::Counts(high) => value.max(0.0).ln_1p() / high.ln_1p(),
        }
    }

    /// About `count` round values along the axis, in order.
    pub(super) fn ticks(self, count: f64) -> Vec<f64> {
        match self {
            Self::Linear(low, high) => {
                let step = round_step((high - low) / count.max(1.0));
                let first = (low / step - 1e-9).ceil();
                let all = (0..1000).map(|n| (first + f64::from(n)) * step);
                all.take_while(|tick| *tick <= high + step * 1e-6).collect()
            }
            Self::Log(low, high) => decades(low, high, count),
            Self::Counts(high) => {
                let mut ticks = vec![0.0];
                ticks.extend(decades(1.0, high, count - 1.0));
                ticks
            }
        }
    }
}

/// The smallest of 1, 2, 2.5, 5 times a power of ten that is at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 2.5, 5.0, 10.0];
    let fits = |factor: &&f64| **factor * power >= least * (1.0 - 1e-9);
    factors.iter().find(fits).unwrap_or(&10.0) * power
}

/// 1, 2 and 5 times powers of ten between the two; only the powers, or every few of them, if that
/// gives more than about `count`.
fn decades(low: f64, high: f64, count: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor(), high.log10().ceil());
    let span = high.log10() - low.log10();
    let within = |tick: &f64| *tick >= low * (1.0 - 1e-9) && *tick <= high * (1.0 + 1e-9);
    let factors: &[f64] = match span * 3.0 {
        ticks if ticks <= count + 1.0 => &[1.0, 2.0, 5.0],
        _ if span * 2.0 <= count + 1.0 => &[1.0, 3.0],
        _ => &[1.0],
    };
    let every = (span / count.max(1.0)).ceil().max(1.0);
    let mut ticks = Vec::new();
    let mut exponent = first;
    while exponent <= last {
        ticks.extend(factors.iter().map(|factor| factor * 10_f64.powf(exponent)));
        exponent += if factors.len() == 1 { every } else { 1.0 };
    }
    ticks.retain(within);
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: &[f64], right: &[f64]) {
        let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-9 * b.abs().max(1.0);
        assert!(
            left.len() == right.len() && left.iter().zip(right).all(near),
            "{left:?} is not {right:?}"
        );
    }

    #[test]
    fn a_linear_axis_ends_at_a_round_value() {
        assert_eq!(Scale::from_zero(27.0), Scale::Linear(0.0, 30.0));
        assert_eq!(Scale::from_zero(100.0), Scale::Linear(0.0, 100.0));
        close(
            &Scale::Linear(0.0, 30.0).ticks(5.0),
            &[0.0, 10.0, 20.0, 30.0],
        );
        close(
            &Scale::Linear(26.0, 28.4).ticks(6.0),
            &[26.0, 26.5, 27.0, 27.5, 28.0],
        );
    }

    #[test]
    fn a_logarithmic_axis_has_round_ticks_and_not_too_many() {
        close(
            &Scale::Log(8.0, 600.0).ticks(6.0),
            &[10.0, 20.0, 50.0, 100.0, 200.0, 500.0],
        );
        close(
            &Scale::Log(1.0, 10_000.0).ticks(4.0),
            &[1.0, 10.0, 100.0, 1000.0, 10_000.0],
        );
        assert!(Scale::Log(1e-3, 1e9).ticks(5.0).len() <= 6);
    }

    #[test]
    fn counts_start_at_none() {
        assert_eq!(Scale::Counts(100.0).ticks(4.0)[..2], [0.0, 1.0]);
        assert!(Scale::Counts(100.0).place(0.0).abs() < 1e-12);
        assert!((Scale::Counts(100.0).place(100.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn values_keep_their_order_on_every_scale() {
        let scales = [
            Scale::Linear(1.0, 50.0),
            Scale::Log(1.0, 50.0),
            Scale::Counts(50.0),
        ];
        for scale in scales {
            let places: Vec<f64> = (1..=50).map(|n| scale.place(f64::from(n))).collect();
            assert!(places.is_sorted_by(|a, b| a < b));
        }
    }

    #[test]
    fn the_span_of_values_decides_the_scale() {
        assert!(matches!(Scale::fitting(26.0, 30.0), Scale::Linear(..)));
        assert!(matches!(Scale::fitting(26.0, 3000.0), Scale::Log(..)));
    }
}
