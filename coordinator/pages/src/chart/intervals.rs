//! Intervals of many rows on one axis: a header with the ticks, and a bar for each row.

use maud::{Markup, html};

use crate::chart::axis::Axis;
use crate::number::Digits;

/// A value with its interval, if it has one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    pub(crate) value: f64,
    pub(crate) bounds: Option<(f64, f64)>,
}

impl Interval {
    /// Returns the value of a row with its interval. None without a value.
    pub(crate) fn new(value: Option<f64>, low: Option<f64>, high: Option<f64>) -> Option<Interval> {
        value.map(|value| Interval { value, bounds: low.zip(high) })
    }

    /// Returns the value and the ends, for the range of an axis.
    pub(crate) fn values(&self) -> impl Iterator<Item = f64> {
        let (low, high) = self.bounds.unwrap_or((self.value, self.value));
        [self.value, low, high].into_iter()
    }
}

/// Returns a position on an axis as an attribute: `12.34%`.
pub(crate) fn at(axis: &Axis, value: f64) -> String {
    format!("{:.2}%", axis.percent(value))
}

/// Returns the labels of an axis, for the header of a column of bars.
pub(crate) fn tick_labels(axis: &Axis) -> Markup {
    html! {
        span.axis {
            svg.ticks aria-hidden="true" {
                @for tick in axis.ticks() { text x=(at(axis, tick.value)) y="13" text-anchor="middle" { (tick.label) } }
            }
        }
    }
}

/// Marks of a bar besides its own interval.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    /// A line through all bars: the hazy input, or zero.
    pub(crate) line: Option<f64>,
    /// A ring: a label, or a published value.
    pub(crate) ring: Option<f64>,
}

/// Returns the bar of one row. `name` says what the value is of, for readers who do not see it.
pub(crate) fn bar(axis: &Axis, interval: Option<Interval>, marks: Marks, digits: Digits) -> Markup {
    let label = match interval {
        None => "no value".to_owned(),
        Some(Interval { value, bounds: None }) => format!("{}, no interval", digits.text(value)),
        Some(Interval { value, bounds: Some((low, high)) }) => {
            format!("{}, interval {} to {}", digits.text(value), digits.text(low), digits.text(high))
        }
    };
    html! {
        svg.bar role="img" aria-label=(label) {
            @for tick in axis.ticks() {
                line.grid x1=(at(axis, tick.value)) x2=(at(axis, tick.value)) y1="0" y2="100%" {}
            }
            @if let Some(line) = marks.line { line.mark x1=(at(axis, line)) x2=(at(axis, line)) y1="0" y2="100%" {} }
            @if let Some(interval) = interval {
                @if let Some((low, high)) = interval.bounds {
                    rect.band x=(at(axis, low)) y="50%" transform="translate(0 -5)" height="10" rx="5"
                        width=(format!("{:.2}%", (axis.percent(high) - axis.percent(low)).max(0.0))) {}
                }
                circle.dot cx=(at(axis, interval.value)) cy="50%" r="4.5" {}
            }
            @if let Some(ring) = marks.ring { circle.ring cx=(at(axis, ring)) cy="50%" r="4" {} }
        }
    }
}
