//! An axis: round ticks over a range, and where a value lies on it.

/// An axis over a range.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    ticks: Vec<Tick>,
}

/// A tick of an axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    /// The value.
    pub(crate) value: f64,
    /// The value as text, with as many digits as the ticks need.
    pub(crate) label: String,
}

impl Axis {
    /// Returns an axis from a tick at or below all values to one at or above them, with about `count` ticks. Values that are
    /// not finite are passed over.
    pub(crate) fn over(values: impl IntoIterator<Item = f64>, count: usize) -> Axis {
        let (low, high) = range(values);
        let step = round_step((high - low) / count.max(1) as f64);
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let digits = usize::try_from((-step.log10()).ceil().max(0.0) as i64).unwrap_or(0);
        // 2.5 has a digit more than its power of ten.
        let digits = if (step * 10f64.powi(digits as i32)).fract().abs() > 1e-6 { digits + 1 } else { digits };
        let steps = (last - first).round() as usize;
        let tick = |index: usize| {
            let value = (first + index as f64) * step;
            let value = if value.abs() < step * 1e-9 { 0.0 } else { value };
            Tick { value, label: format!("{value:.digits$}").replace('-', "\u{2212}") }
        };
        let ticks: Vec<Tick> = (0..=steps).map(tick).collect();
        Axis { low: first * step, high: last * step, ticks }
    }

    /// Returns the ticks, from low to high.
    pub(crate) fn ticks(&self) -> &[Tick] {
        &self.ticks
    }

    /// Returns the ends.
    pub(crate) fn ends(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// Returns where a value lies: 0 at the low end, 100 at the high one.
    pub(crate) fn percent(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low) * 100.0).clamp(-5.0, 105.0)
    }
}

/// Returns the range of values, never empty: around one value there is room for an axis.
fn range(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let finite = values.into_iter().filter(|value| value.is_finite());
    let (low, high) =
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return (0.0, 1.0);
    }
    let width = high - low;
    if width > high.abs().max(low.abs()) * 1e-9 {
        return (low, high);
    }
    let room = if high == 0.0 { 1.0 } else { high.abs() * 0.1 };
    (low - room, high + room)
}

/// Returns the smallest of 1, 2, 2.5, 5 and 10 times a power of ten that is at least `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = step / power;
    let round = [1.0, 2.0, 2.5, 5.0].into_iter().find(|round| factor <= *round * (1.0 + 1e-9)).unwrap_or(10.0);
    round * power
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(low: f64, high: f64, count: usize) -> Vec<String> {
        Axis::over([low, high], count).ticks.into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(0.32, 0.87, 6), ["0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"]);
        assert_eq!(labels(0.0, 100.0, 4), ["0", "25", "50", "75", "100"]);
        assert_eq!(labels(-0.3, 0.2, 5), ["\u{2212}0.3", "\u{2212}0.2", "\u{2212}0.1", "0.0", "0.1", "0.2"]);
        assert_eq!(labels(0.0, 1.0, 4), ["0.00", "0.25", "0.50", "0.75", "1.00"]);
        assert_eq!(Axis::over([f64::NAN], 4).ends(), (0.0, 1.0));
        assert_eq!(labels(3.0, 3.0, 2).len(), 3);
    }

    proptest! {
        #[test]
        fn an_axis_holds_its_values(a in -1e6..1e6f64, width in 1e-6..1e6f64, count in 2usize..12) {
            let axis = Axis::over([a, a + width], count);
            let (low, high) = axis.ends();
            let slack = (high - low) * 1e-9;
            prop_assert!(low <= a + slack && high >= a + width - slack);
            prop_assert!((2..=count + 3).contains(&axis.ticks.len()), "{:?}", axis.ticks);
            prop_assert!(axis.ticks.windows(2).all(|pair| pair[0].label != pair[1].label));
            prop_assert!((axis.percent(low)).abs() < 1e-6 && (axis.percent(high) - 100.0).abs() < 1e-6);
        }
    }
}
