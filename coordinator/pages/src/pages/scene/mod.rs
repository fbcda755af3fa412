//! A scene: the hazy input and all outputs beside each other, and two of them under a slider.

mod stage;

use maud::{Markup, html};

use crate::anchor::{link, picture_link};
use crate::chart::axis::Axis;
use crate::chart::intervals::{Interval, Marks, bar, tick_labels};
use crate::context::{Context, ExportedPictures, MetricRef, Mode};
use crate::layout::{Place, page};
use crate::number::{Digits, counted, missing};
use crate::picture::{Picture, PictureScore, SceneRef};
use crate::route::PicturePart;
use crate::run_routes::RunRoutes;
use crate::table::{Header, framed, header_row};
use crate::thumbnail::figure;

/// A scene with all its pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct ScenePage {
    /// The data set.
    pub dataset: String,
    /// The scene.
    pub scene: SceneRef,
    /// The metrics of [`Picture::scores`]. The pictures are shown in the order of the first.
    pub metrics: Vec<MetricRef>,
    /// The hazy input.
    pub hazy: Option<Picture>,
    /// The clear picture.
    pub clear: Option<Picture>,
    /// The outputs of the algorithms, in any order.
    pub pictures: Vec<Picture>,
    /// The range of the data set's labels, to draw them on the scores' axis. None without labels.
    pub mos_range: Option<(f64, f64)>,
    /// The scene before.
    pub previous: Option<SceneRef>,
    /// The scene after.
    pub next: Option<SceneRef>,
}

impl ScenePage {
    /// Renders the page.
    ///
    /// # Panics
    /// If the context has no run.
    pub fn render(&self, context: &Context) -> String {
        let run = context.run.as_ref().expect("a scene belongs to a run");
        let routes = RunRoutes::new(&run.name);
        let pictures = self.ordered();
        let label = self.scene.label();
        let body = html! {
            (self.pager(context, &routes))
            h1 { (label) }
            p.sub { (self.summary(&pictures)) }
            @let stage = stage::stage(context, self, &pictures);
            @let scores = self.scores_of_scene(context, &routes, &pictures);
            @match stage {
                Some(stage) => div.split { section { h2.sr { "Two pictures compared" } (stage) } (scores) },
                None => {
                    p.note {
                        @if let Mode::Exported { pictures: ExportedPictures::None } = context.mode {
                            "This site was made without pictures."
                        } @else { "Fewer than two pictures of this scene can be shown." }
                    }
                    (scores)
                }
            }
            h2 { "All pictures" }
            (self.figures(context, &routes, &pictures))
            @if self.metrics.len() > 1 {
                h2 { "All metrics" }
                (self.metrics_table(context, &routes, &pictures))
            }
        };
        page(context, Place::Scenes, &format!("{label} of {}", self.dataset), &body)
    }

    /// Returns the outputs, the best first by the first metric; those without a value last.
    fn ordered(&self) -> Vec<&Picture> {
        let key = |picture: &Picture| {
            let direction = self.metrics.first()?.direction;
            first_value(picture).map(|value| direction.orient(value))
        };
        let mut pictures: Vec<&Picture> = self.pictures.iter().collect();
        pictures.sort_by(|a, b| match (key(a), key(b)) {
            (Some(a), Some(b)) => b.total_cmp(&a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        });
        pictures
    }

    fn summary(&self, pictures: &[&Picture]) -> Markup {
        let failed = pictures.iter().filter(|picture| first_value(picture).is_none()).count() as u64;
        let metric = self.metrics.first();
        html! {
            (counted(pictures.len() as u64, "output")) ", best first"
            @if let Some(metric) = metric {
                " by " (metric.name) @if metric.direction.as_str() == "lower" { " (low is good)" }
            }
            @if failed > 0 { "; " (failed) " without a score" }
            "."
            span.js {
                " Arrow keys: previous and next scene. On the pictures: drag the line, wheel or + and \u{2212} to zoom, "
                "F to flicker."
            }
        }
    }

    fn pager(&self, context: &Context, routes: &RunRoutes) -> Markup {
        let to = |scene: &Option<SceneRef>, rel: &str| {
            let scene = scene.as_ref()?;
            let href = context.links.to(&routes.scene(&self.dataset, scene))?;
            Some(html! { a rel=(rel) href=(href) {
                @if rel == "prev" { "\u{2190} " (scene.label()) } @else { (scene.label()) " \u{2192}" }
            } })
        };
        html! {
            nav.pager aria-label="Scenes" {
                span { (link(context, &routes.scenes(&self.dataset, 1), html! { "Scenes of " (self.dataset) })) }
                span { @if let Some(previous) = to(&self.previous, "prev") { (previous) } " \u{a0} "
                    @if let Some(next) = to(&self.next, "next") { (next) } }
            }
        }
    }

    /// Returns the scores by the first metric on one axis, with the labels as rings on the same axis.
    fn scores_of_scene(&self, context: &Context, routes: &RunRoutes, pictures: &[&Picture]) -> Markup {
        let values = || pictures.iter().filter_map(|picture| first_value(picture));
        let axis = Axis::over(values(), 4);
        let digits = Digits::for_values(values());
        let ring = |picture: &Picture| {
            let ((low, high), mos) = (self.mos_range?, picture.mos?);
            let share = if high > low { (mos - low) / (high - low) } else { 0.5 };
            let (left, right) = axis.ends();
            let is_lower = self.metrics.first()?.direction.as_str() == "lower";
            Some(if is_lower { right - share * (right - left) } else { left + share * (right - left) })
        };
        let table = html! {
            table.rows {
                thead { tr {
                    th scope="col" { span.sr { "algorithm" } }
                    th.bar scope="col" { span.sr { "score and label" } (tick_labels(&axis)) }
                    th scope="col" { "score" }
                    @if self.mos_range.is_some() { th scope="col" { "label" } }
                } }
                tbody {
                    @for picture in pictures {
                        @let interval = Interval::new(first_value(picture), None, None);
                        @let marks = Marks { line: self.hazy.as_ref().and_then(first_value), ring: ring(picture) };
                        tr {
                            th scope="row" title=(picture.algorithm) {
                                (picture_link(context, routes, (&self.dataset, &picture.image), &picture.algorithm))
                            }
                            td.bar { (bar(&axis, interval, marks, digits)) }
                            td { (score(picture.scores.first(), digits)) }
                            @if self.mos_range.is_some() { td.dim { (Digits::TWO.show(picture.mos)) } }
                        }
                    }
                }
            }
        };
        html! {
            section {
                h2 { "Scores of this scene" }
                (table)
                p.note {
                    "Dot: score." @if self.mos_range.is_some() { " Ring: label, its range drawn over the axis." }
                    @if self.hazy.as_ref().and_then(first_value).is_some() { " Dashed line: the hazy input." }
                }
            }
        }
    }

    fn figures(&self, context: &Context, routes: &RunRoutes, pictures: &[&Picture]) -> Markup {
        let digits = self.digits(pictures);
        let route = |picture: &Picture| routes.picture(&self.dataset, &picture.image, PicturePart::Page);
        let inputs = [(&self.hazy, "hazy input"), (&self.clear, "clear picture")];
        html! {
            (self.order_choice())
            ul.thumbs #pictures {
                @for (picture, name) in inputs {
                    @if let Some(picture) = picture {
                        li data-input { (figure(context, picture, &route(picture), name, &values(picture, &digits))) }
                    }
                }
                @for picture in pictures {
                    li { (figure(context, picture, &route(picture), &picture.algorithm, &values(picture, &digits))) }
                }
            }
        }
    }

    /// Returns the choice of the metric that the script orders the pictures by.
    fn order_choice(&self) -> Markup {
        html! {
            @if self.metrics.len() > 1 {
                p.viewer.js {
                    label { "Order and scores by "
                        select data-order="pictures" autocomplete="off" {
                            @for (index, metric) in self.metrics.iter().enumerate() {
                                option value=(index) data-good=(metric.direction.as_str()) { (metric.name) }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Returns the digits of each metric's values.
    fn digits(&self, pictures: &[&Picture]) -> Vec<Digits> {
        let values = |column: usize| pictures.iter().filter_map(move |picture| picture.scores.get(column)?.value());
        (0..self.metrics.len()).map(|column| Digits::for_values(values(column))).collect()
    }

    fn metrics_table(&self, context: &Context, routes: &RunRoutes, pictures: &[&Picture]) -> Markup {
        let digits = self.digits(pictures);
        let headers: Vec<String> = self
            .metrics
            .iter()
            .map(|metric| {
                if metric.direction.as_str() == "lower" {
                    format!("{} \u{2193}", metric.name)
                } else {
                    metric.name.clone()
                }
            })
            .collect();
        let mut cells = vec![Header::text("algorithm")];
        cells.extend(
            headers
                .iter()
                .zip(&self.metrics)
                .map(|(header, metric)| Header { title: metric.title.as_deref(), ..Header::number(header) }),
        );
        cells.push(Header::number("label"));
        let table = html! {
            table {
                (header_row(&cells))
                tbody {
                    @for picture in pictures {
                        tr {
                            th.l.name scope="row" {
                                (picture_link(context, routes, (&self.dataset, &picture.image), &picture.algorithm))
                            }
                            @for (column, digits) in digits.iter().enumerate() {
                                td { (score(picture.scores.get(column), *digits)) }
                            }
                            td.dim { (Digits::TWO.show(picture.mos)) }
                        }
                    }
                }
            }
        };
        html! { (framed("All metrics", &table)) p.note { "\u{2193}: low values are good." } }
    }
}

/// Returns a picture's value by the first metric.
fn first_value(picture: &Picture) -> Option<f64> {
    picture.scores.first().and_then(PictureScore::value)
}

/// Returns a picture's scores, of which the first is shown, and its label.
fn values(picture: &Picture, digits: &[Digits]) -> Markup {
    html! {
        @for (index, (own, digits)) in picture.scores.iter().zip(digits).enumerate() {
            span.score hidden[index > 0] data-metric=(index) { (score(Some(own), *digits)) }
        }
        @if let Some(mos) = picture.mos { " \u{b7} label " (Digits::TWO.show(Some(mos))) }
    }
}

/// Returns a value, or the code of the error in its place.
fn score(score: Option<&PictureScore>, digits: Digits) -> Markup {
    match score {
        Some(PictureScore::Value(value)) => digits.show(Some(*value)),
        Some(PictureScore::Failed(code)) => html! { span.bad { (code) } },
        Some(PictureScore::Missing) | None => missing(),
    }
}
