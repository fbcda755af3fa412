//! The chart of scores against labels, with the fitted curves, and the chart of residuals.

use dqa_stats::{FitStatus, LogisticFit};
use maud::{Markup, html};

use crate::chart::axis::Axis;
use crate::chart::frame::Frame;
use crate::chart::palette::Palette;
use crate::context::Context;
use crate::hex_bins::HexBins;
use crate::number::{Digits, counted};
use crate::picture::ScorePoint;
use crate::route::PicturePart;
use crate::run_routes::RunRoutes;
use crate::scatter::{Marks, Scatter};

/// Steps of a drawn curve.
const CURVE_STEPS: usize = 80;

/// Where the points of a chart lead to, and what its axes are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) context: &'a Context,
    pub(crate) routes: &'a RunRoutes,
    pub(crate) dataset: &'a str,
    pub(crate) metric: &'a str,
}

/// Returns the chart of scores against labels, with its legend if points are coloured.
pub(crate) fn labels_chart(subject: Subject<'_>, scatter: &Scatter) -> Markup {
    let label = format!("{} against the labels of {}", subject.metric, counted(scatter.len(), "picture"));
    match &scatter.marks {
        Marks::Points(points) => {
            let palette = Palette::new(points.iter().map(|point| point.algorithm.as_str()));
            let x = Axis::over(points.iter().map(|point| point.score), 6);
            let y = Axis::over(points.iter().map(|point| point.mos), 5);
            let frame = Frame { has_links: true, ..frame(subject, (&x, &y), "label", &label) };
            let marks = html! {
                @for point in points { (dot(subject, &frame, &palette, point, point.mos)) }
            };
            let chart = frame.draw(&curves(&frame, &scatter.fits), &marks);
            html! { (chart) (legend(&palette)) (curve_legend(&scatter.fits)) }
        }
        Marks::Bins { labels, .. } => {
            let (x, y) = bin_axes(labels);
            let frame = frame(subject, (&x, &y), "label", &label);
            let paths = html! { (hexagons(&frame, labels)) (curves(&frame, &scatter.fits)) };
            html! { (frame.draw(&paths, &html! {})) (curve_legend(&scatter.fits)) }
        }
    }
}

/// Returns the chart of residuals. None if no curve was fitted.
pub(crate) fn residuals_chart(subject: Subject<'_>, scatter: &Scatter) -> Option<Markup> {
    let fit = scatter.curve()?;
    let label = format!("labels minus the fitted curve, against {}", subject.metric);
    let zero = |frame: &Frame<'_>| {
        let (low, high) = frame.x.ends();
        html! { path.zero d=(frame.path([(low, Some(0.0)), (high, Some(0.0))])) {} }
    };
    Some(match &scatter.marks {
        Marks::Points(points) => {
            let palette = Palette::new(points.iter().map(|point| point.algorithm.as_str()));
            let residual = |point: &ScorePoint| fit.predict(point.score).map(|fitted| point.mos - fitted);
            let x = Axis::over(points.iter().map(|point| point.score), 6);
            let y = Axis::over(points.iter().filter_map(residual), 6);
            let frame =
                Frame { shape: "low", has_links: true, ..frame(subject, (&x, &y), "label \u{2212} curve", &label) };
            let marks = html! {
                @for point in points {
                    @if let Some(residual) = residual(point) { (dot(subject, &frame, &palette, point, residual)) }
                }
            };
            frame.draw(&zero(&frame), &marks)
        }
        Marks::Bins { residuals, .. } => {
            let residuals = residuals.as_ref()?;
            let (x, y) = bin_axes(residuals);
            let frame = Frame { shape: "low", ..frame(subject, (&x, &y), "label \u{2212} curve", &label) };
            frame.draw(&html! { (hexagons(&frame, residuals)) (zero(&frame)) }, &html! {})
        }
    })
}

fn frame<'a>(subject: Subject<'a>, (x, y): (&'a Axis, &'a Axis), y_name: &'a str, label: &'a str) -> Frame<'a> {
    Frame { x, y, x_name: subject.metric, y_name, label, shape: "tall", has_links: false }
}

fn bin_axes(bins: &HexBins) -> (Axis, Axis) {
    let (x, y) = bins.ranges();
    (Axis::over([x.0, x.1], 6), Axis::over([y.0, y.1], 5))
}

/// Returns a point that leads to its picture. The keyboard does not stop at it: the table behind the chart has the link.
fn dot(subject: Subject<'_>, frame: &Frame<'_>, palette: &Palette, point: &ScorePoint, y: f64) -> Markup {
    let route = subject.routes.picture(subject.dataset, &point.image, PicturePart::Page);
    let digits = Digits::for_values([point.score]);
    let circle = html! {
        circle.(palette.class(&point.algorithm)) data-series=(palette.position(&point.algorithm))
            cx=(frame.x_at(point.score)) cy=(frame.y_at(y)) r="3" {
            title {
                (point.algorithm) ", " (point.scene.label()) ": score " (digits.text(point.score)) ", label "
                (Digits::TWO.text(point.mos))
            }
        }
    };
    match subject.context.links.to(&route) {
        Some(href) => html! { a href=(href) tabindex="-1" { (circle) } },
        None => circle,
    }
}

fn curves(frame: &Frame<'_>, fits: &[LogisticFit; 2]) -> Markup {
    let (low, high) = frame.x.ends();
    let at = |step: usize| low + (high - low) * step as f64 / CURVE_STEPS as f64;
    html! {
        @for (fit, class) in fits.iter().zip(["fit4", "fit5"]) {
            @if !fit.parameters.is_empty() {
                @let points = (0..=CURVE_STEPS).map(|step| (at(step), in_range(frame, fit, at(step))));
                path.fit.(class) d=(frame.path(points)) {}
            }
        }
    }
}

/// Returns the curve's value, if it lies on the chart.
fn in_range(frame: &Frame<'_>, fit: &LogisticFit, x: f64) -> Option<f64> {
    let (low, high) = frame.y.ends();
    fit.predict(x).filter(|y| (low..=high).contains(y))
}

fn curve_legend(fits: &[LogisticFit; 2]) -> Markup {
    let state = |fit: &LogisticFit| match fit.status {
        FitStatus::Converged => "",
        FitStatus::NotConverged => " (the fit did not converge)",
        FitStatus::TooFewRows => " (not fitted: fewer than 10 pictures for each parameter)",
        FitStatus::Constant => " (not fitted: scores or labels are all equal)",
    };
    html! {
        ul.keys {
            @for (fit, class, name) in [(&fits[0], "fit4", "4 parameters"), (&fits[1], "fit5", "5 parameters")] {
                li { svg.line aria-hidden="true" { line.fit.(class) x1="0" x2="24" y1="6" y2="6" {} }
                    " logistic curve of " (name) (state(fit)) }
            }
        }
    }
}

/// Returns the algorithms with their colours. The script shows one alone while its button is pressed.
fn legend(palette: &Palette) -> Markup {
    html! {
        ul.legend aria-label="Algorithms" {
            @for algorithm in palette.algorithms().iter().take(palette.algorithms().len() - palette.gray()) {
                li {
                    button type="button" data-series=(palette.position(algorithm)) aria-pressed="false" {
                        svg.key aria-hidden="true" { circle.(palette.class(algorithm)) cx="6" cy="6" r="5" {} }
                        (algorithm)
                    }
                }
            }
            @if palette.gray() > 0 {
                li { svg.key aria-hidden="true" { circle.cx cx="6" cy="6" r="5" {} }
                    "and " (counted(palette.gray() as u64, "other")) }
            }
        }
    }
}

/// Returns the cells as hexagons, darker with more points, by powers.
fn hexagons(frame: &Frame<'_>, bins: &HexBins) -> Markup {
    let most = bins.cells().map(|cell| cell.count).max().unwrap_or(1);
    let (width, height) = bins.cell_steps();
    // Corners of a cell that stands on a corner: rows are three quarters of its height apart.
    let corners = [(0.0, 2.0), (0.5, 1.0), (0.5, -1.0), (0.0, -2.0), (-0.5, -1.0), (-0.5, 1.0)];
    let outline = |x: f64, y: f64| {
        let corner = |(dx, dy): (f64, f64)| (x + dx * width, Some(y + dy * height / 3.0));
        frame.path(corners.map(corner)) + "Z"
    };
    // Five steps: a count of 1 is the lightest, the largest count the darkest.
    let step = |count: u64| if most == 1 { 5 } else { 1 + (4.0 * (count as f64).ln() / (most as f64).ln()) as u32 };
    html! {
        @for cell in bins.cells() {
            path.(format!("hex h{}", step(cell.count))) d=(outline(cell.x, cell.y)) {
                title { (counted(cell.count, "picture")) }
            }
        }
    }
}
