//! Lines over epochs or time.

use maud::{Markup, html};

use crate::chart::axis::Axis;
use crate::chart::frame::Frame;
use crate::number::Digits;

/// A line of a chart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    /// The class of its colour: `c0`, `c1`, ...
    pub(crate) class: &'static str,
    /// In the order of x; a missing value interrupts the line.
    pub(crate) points: Vec<(f64, Option<f64>)>,
}

/// What a chart of lines shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineChart<'a> {
    pub(crate) series: &'a [Series],
    pub(crate) x_name: &'a str,
    pub(crate) y_name: &'a str,
    pub(crate) label: &'a str,
    pub(crate) shape: &'static str,
    /// Whether the vertical axis begins at 0.
    pub(crate) from_zero: bool,
}

/// Points of a line that are drawn as dots too.
const DOTS_MAX: usize = 120;

impl LineChart<'_> {
    /// Draws the lines. None if no line has a point.
    pub(crate) fn draw(&self) -> Option<Markup> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        points().find(|(_, y)| y.is_some())?;
        let x = Axis::over(points().map(|(x, _)| *x), 6);
        let zero = self.from_zero.then_some(0.0);
        let y = Axis::over(points().filter_map(|(_, y)| *y).chain(zero), 4);
        let Self { x_name, y_name, label, shape, .. } = *self;
        let frame = Frame { x: &x, y: &y, x_name, y_name, label, shape, has_links: false };
        let paths = html! {
            @for series in self.series { path.line.(series.class) d=(frame.path(series.points.iter().copied())) {} }
        };
        let marks = html! {
            @for series in self.series.iter().filter(|series| series.points.len() <= DOTS_MAX) {
                @for (x, y) in &series.points {
                    @if let Some(y) = y {
                        circle.(series.class) cx=(frame.x_at(*x)) cy=(frame.y_at(*y)) r="3" {
                            title { (series.name) " at " (x) ": " (Digits::for_values([*y]).text(*y)) }
                        }
                    }
                }
            }
        };
        Some(html! {
            (frame.draw(&paths, &marks))
            @if self.series.len() > 1 {
                ul.keys {
                    @for series in self.series {
                        li {
                            svg.line aria-hidden="true" { line.line.(series.class) x1="0" x2="24" y1="6" y2="6" {} }
                            " " (series.name)
                        }
                    }
                }
            }
        })
    }
}
