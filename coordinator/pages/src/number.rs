//! Numbers as text: rounded for readers, exact for `data-value`.

use std::time::Duration;

use dqa_pipelines::count_text;
use jiff::Timestamp;
use maud::{Markup, html};

/// Returns the shortest text that reads back as the same number.
pub(crate) fn exact(value: f64) -> String {
    let text = format!("{value:?}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Digits after the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digits(usize);

impl Digits {
    /// Three digits: for correlations, and what else is from -1 to 1.
    pub(crate) const THREE: Digits = Digits(3);
    /// Two digits: for labels, and where there is little room.
    pub(crate) const TWO: Digits = Digits(2);

    /// Returns the digits that show values of one column to about four significant digits.
    pub(crate) fn for_values(values: impl IntoIterator<Item = f64>) -> Digits {
        let largest = values.into_iter().filter(|value| value.is_finite()).map(f64::abs).fold(0.0, f64::max);
        Digits(match largest {
            value if value >= 1000.0 => 0,
            value if value >= 100.0 => 1,
            value if value >= 10.0 => 2,
            value if value >= 0.1 || value == 0.0 => 3,
            value if value >= 0.01 => 4,
            _ => 6,
        })
    }

    /// Returns a value with this many digits, with a true minus sign.
    pub(crate) fn text(self, value: f64) -> String {
        let text = format!("{value:.digits$}", digits = self.0);
        // What is rounded to 0 has no sign.
        let is_zero = text.bytes().all(|byte| matches!(byte, b'-' | b'0' | b'.'));
        if is_zero { text.trim_start_matches('-').to_owned() } else { text.replace('-', "\u{2212}") }
    }

    /// Returns a value with its sign, plus too.
    pub(crate) fn signed(self, value: f64) -> String {
        if value > 0.0 { format!("+{}", self.text(value)) } else { self.text(value) }
    }

    /// Returns a value in an element that has it exactly; a dash if there is none.
    pub(crate) fn show(self, value: Option<f64>) -> Markup {
        match value {
            Some(value) => html! { data value=(exact(value)) data-value=(exact(value)) { (self.text(value)) } },
            None => missing(),
        }
    }

    /// Returns an interval in an element that has both ends exactly; a dash if there is none.
    pub(crate) fn show_interval(self, low: Option<f64>, high: Option<f64>) -> Markup {
        match (low, high) {
            (Some(low), Some(high)) => html! {
                span.interval data-low=(exact(low)) data-high=(exact(high)) {
                    (self.text(low)) " to " (self.text(high))
                }
            },
            _ => missing(),
        }
    }
}

/// Returns what stands where a value is missing.
pub(crate) fn missing() -> Markup {
    html! { span.missing title="not defined" { "\u{2013}" } }
}

/// Returns a p value for readers: four digits, or a bound.
pub(crate) fn p_text(p: f64) -> String {
    if p < 0.0001 { "< 0.0001".to_owned() } else { format!("{p:.4}") }
}

/// Returns a p value in an element that has it exactly.
pub(crate) fn show_p(p: Option<f64>) -> Markup {
    match p {
        Some(p) => html! { data value=(exact(p)) data-value=(exact(p)) { (p_text(p)) } },
        None => missing(),
    }
}

/// Returns a count with commas between thousands.
pub(crate) fn count_text(count: u64) -> String {
    count_text::count_text(count)
}

/// Returns a count with its noun: `1 scene`, `40 scenes`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    count_text::counted(count, noun)
}

/// Returns a count in an element that has it exactly.
pub(crate) fn show_count(count: u64) -> Markup {
    html! { data value=(count) data-value=(count) { (count_text(count)) } }
}

/// Returns a time for readers, to the minute, in UTC.
pub(crate) fn show_time(time: Timestamp) -> Markup {
    html! { time datetime=(time) data-value=(time.as_second()) { (time.strftime("%-d %b %Y, %H:%M UTC")) } }
}

/// Returns the day of a time.
pub(crate) fn show_day(time: Timestamp) -> Markup {
    html! { time datetime=(time) { (time.strftime("%-d %b %Y")) } }
}

/// Returns a duration for readers, in its two largest units.
pub(crate) fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => "less than 1 s".to_owned(),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Returns a size in bytes for readers.
pub(crate) fn bytes_text(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss)] // a size is rounded here
    let size = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", size / 1024.0),
        _ => format!("{:.1} MiB", size / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn exact_texts_are_read_back(value in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
            prop_assert_eq!(exact(value).parse::<f64>().unwrap().to_bits(), value.to_bits());
        }
    }

    #[test]
    fn texts_for_readers() {
        assert_eq!([exact(1.0), exact(0.1), exact(1e-7)], ["1", "0.1", "1e-7"]);
        assert_eq!(Digits::THREE.text(-0.12345), "\u{2212}0.123");
        assert_eq!([Digits::THREE.text(-0.0001), Digits::TWO.signed(0.5)], ["0.000", "+0.50"]);
        let digits = |value| Digits::for_values([value, f64::NAN]);
        assert_eq!([0.82, 3.2, 23.4, 480.0, 0.03].map(digits), [3, 3, 2, 1, 4].map(Digits));
        assert_eq!([p_text(0.00003), p_text(0.0412)], ["< 0.0001", "0.0412"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(count_text), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [counted(1, "entry"), counted(2, "entry"), counted(0, "scene")],
            ["1 entry", "2 entries", "0 scenes"]
        );
        assert_eq!(
            [5, 65, 3700, 90_000].map(|s| duration_text(Duration::from_secs(s))),
            ["5 s", "1 min 5 s", "1 h 1 min", "1 d 1 h"]
        );
    }
}
