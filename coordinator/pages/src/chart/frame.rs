//! The frame of a chart with two axes: grid, ticks, names. Marks are placed in percent; paths in a square of 100 by 100 that is
//! stretched over the area.

use maud::{Markup, html};

use crate::chart::axis::Axis;

/// The frame of a chart with two axes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) x: &'a Axis,
    pub(crate) y: &'a Axis,
    pub(crate) x_name: &'a str,
    pub(crate) y_name: &'a str,
    /// What the chart shows, for readers who do not see it.
    pub(crate) label: &'a str,
    /// `tall`, `wide` or `low`.
    pub(crate) shape: &'static str,
    /// Whether marks are links: then the chart is a group of links, and not one picture.
    pub(crate) has_links: bool,
}

impl Frame<'_> {
    /// Draws the frame around marks and paths.
    pub(crate) fn draw(&self, paths: &Markup, marks: &Markup) -> Markup {
        html! {
            div.plot.(self.shape) {
                span.y-name aria-hidden="true" { (self.y_name) }
                svg.y-ticks aria-hidden="true" {
                    @for tick in self.y.ticks() {
                        text x="100%" y=(self.y_at(tick.value)) dy="4" text-anchor="end" { (tick.label) }
                    }
                }
                svg.area role=(if self.has_links { "group" } else { "img" }) aria-label=(self.label) {
                    @for tick in self.y.ticks() {
                        line.grid x1="0" x2="100%" y1=(self.y_at(tick.value)) y2=(self.y_at(tick.value)) {}
                    }
                    svg viewBox="0 0 100 100" preserveAspectRatio="none" width="100%" height="100%" { (paths) }
                    (marks)
                }
                svg.x-ticks aria-hidden="true" {
                    @for tick in self.x.ticks() {
                        text x=(self.x_at(tick.value)) y="14" text-anchor="middle" { (tick.label) }
                    }
                }
                span.x-name aria-hidden="true" { (self.x_name) }
            }
        }
    }

    /// Returns the attribute of a horizontal position.
    pub(crate) fn x_at(&self, value: f64) -> String {
        format!("{:.2}%", self.x.percent(value))
    }

    /// Returns the attribute of a vertical position.
    pub(crate) fn y_at(&self, value: f64) -> String {
        format!("{:.2}%", 100.0 - self.y.percent(value))
    }

    /// Returns a path through points; a missing one interrupts it.
    pub(crate) fn path(&self, points: impl IntoIterator<Item = (f64, Option<f64>)>) -> String {
        let mut path = String::new();
        let mut is_drawing = false;
        for (x, y) in points {
            let Some(y) = y.filter(|y| y.is_finite()) else {
                is_drawing = false;
                continue;
            };
            path.push(if is_drawing { 'L' } else { 'M' });
            path.push_str(&format!("{:.2} {:.2}", self.x.percent(x), 100.0 - self.y.percent(y)));
            is_drawing = true;
        }
        path
    }
}
