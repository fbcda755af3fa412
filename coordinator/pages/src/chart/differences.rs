//! Bars of the differences of two algorithms over scenes, the largest first.

use maud::{Markup, html};

use crate::chart::axis::Axis;
use crate::chart::frame::Frame;

/// A scene's bar.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DifferenceBar {
    pub(crate) difference: f64,
    /// Whether it speaks for the first algorithm.
    pub(crate) is_better: bool,
    /// What the bar says when the pointer is over it.
    pub(crate) title: String,
    pub(crate) href: Option<String>,
}

/// More bars than this are drawn as one outline, without links.
const BARS_MAX: usize = 800;

/// Returns the bars; they come sorted. The mean is a line, and its interval a band.
pub(crate) fn differences_chart(
    bars: &[DifferenceBar],
    mean: f64,
    interval: Option<(f64, f64)>,
    label: &str,
) -> Markup {
    let (low, high) = interval.unwrap_or((mean, mean));
    let values = bars.iter().map(|bar| bar.difference).chain([0.0, low, high]);
    let y = Axis::over(values, 5);
    let x = Axis::over([0.0, 1.0], 1);
    let frame = Frame {
        x: &x,
        y: &y,
        x_name: "scenes, sorted by difference",
        y_name: "difference",
        label,
        shape: "wide bare-x",
        has_links: bars.len() <= BARS_MAX,
    };
    let width = 1.0 / bars.len().max(1) as f64;
    let ends = |value: f64| frame.path([(0.0, Some(value)), (1.0, Some(value))]);
    let paths = html! {
        @if let Some((low, high)) = interval {
            @let top = 100.0 - y.percent(high);
            path.band d=(format!("{}L100 {top:.2}L0 {top:.2}Z", ends(low))) {}
        }
        @if bars.len() > BARS_MAX { path.outline d=(outline(&frame, bars, width)) {} }
        path.zero d=(ends(0.0)) {}
        path.fit.fit5 d=(ends(mean)) {}
    };
    let marks = html! {
        @if bars.len() <= BARS_MAX {
            @for (index, bar) in bars.iter().enumerate() { (mark(&frame, bar, (index as f64 * width, width))) }
        }
    };
    frame.draw(&paths, &marks)
}

fn mark(frame: &Frame<'_>, bar: &DifferenceBar, (left, width): (f64, f64)) -> Markup {
    let (zero, end) = (frame.y.percent(0.0), frame.y.percent(bar.difference));
    let class = if bar.is_better { "more" } else { "less" };
    let rect = html! {
        rect.(class) x=(format!("{:.3}%", (left + 0.1 * width) * 100.0)) width=(format!("{:.3}%", 0.8 * width * 100.0))
            y=(format!("{:.2}%", 100.0 - zero.max(end))) height=(format!("{:.2}%", (zero - end).abs())) {
            title { (bar.title) }
        }
    };
    match &bar.href {
        Some(href) => html! { a href=(href) tabindex="-1" { (rect) } },
        None => rect,
    }
}

fn outline(frame: &Frame<'_>, bars: &[DifferenceBar], width: f64) -> String {
    let step = |(index, bar): (usize, &DifferenceBar)| (index as f64 * width, Some(bar.difference));
    let points = bars.iter().enumerate().map(step);
    frame.path([(0.0, Some(0.0))].into_iter().chain(points).chain([(1.0, Some(0.0))])) + "Z"
}
