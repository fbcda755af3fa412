//! A picture: everything that a store knows of it.

use dqa_pipelines::metric::Direction;
use dqa_pipelines::tables::scores::ScoreRow;
use maud::{Markup, html};

use crate::anchor::{file_address, link, scene_link};
use crate::context::Context;
use crate::layout::{Place, page};
use crate::number::{Digits, bytes_text, missing, show_count};
use crate::picture::{Picture, PictureScore, SceneRef};
use crate::route::PicturePart;
use crate::run_routes::RunRoutes;
use crate::table::{Header, framed, header_row};
use crate::thumbnail::{figure, shown_address};

/// A picture with the rows of all metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct PicturePage {
    /// The data set.
    pub dataset: String,
    /// The picture. Its `scores` are not used.
    pub picture: Picture,
    /// Its rows, one for each metric, in the run's order. All have the same `image`.
    pub rows: Vec<MetricScore>,
    /// The size of the file.
    pub bytes: Option<u64>,
    /// The map of the windows' scores.
    pub window_map: Map,
    /// The map of where the model looks.
    pub attention_map: Map,
    /// The other pictures of the scene, to go to. The first of their `scores` is shown.
    pub siblings: Vec<Picture>,
}

/// A picture's row of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricScore {
    /// The metric.
    pub metric: String,
    /// Whether high or low values are good.
    pub direction: Direction,
    /// The metric's fingerprint: 64 digits.
    pub fingerprint: String,
    /// The row.
    pub row: ScoreRow,
}

/// A map over a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Map {
    /// A path below the site's root. A served map may be made when it is asked for.
    At(String),
    /// Why there is none, as a sentence.
    Missing(String),
}

impl PicturePage {
    /// Renders the page.
    ///
    /// # Panics
    /// If the context has no run.
    pub fn render(&self, context: &Context) -> String {
        let run = context.run.as_ref().expect("a picture belongs to a run");
        let routes = RunRoutes::new(&run.name);
        let scene = self
            .rows
            .first()
            .map(|score| SceneRef { group: score.row.scene_group.clone(), name: score.row.scene.clone() });
        let title = scene.as_ref().map_or_else(|| self.picture.image.clone(), SceneRef::label);
        let body = html! {
            h1 { (self.picture.algorithm) ": " (title) }
            p.sub {
                "A picture of "
                @match &scene {
                    Some(scene) => { "the scene " (scene_link(context, &routes, &self.dataset, scene)) },
                    None => (self.dataset),
                }
                " in " (link(context, &routes.scenes(&self.dataset, 1), &self.dataset)) "."
            }
            (self.failures())
            div.split {
                section { h2.sr { "The picture" } (self.shown(context)) }
                section { h2 { "What is known of it" } (self.facts(context)) }
            }
            h2 { "Scores" }
            (self.scores(context, &routes))
            h2 { "Where the score comes from" }
            div.maps {
                (map(context, "Scores of its windows", &self.window_map))
                (map(context, "Where the model looks", &self.attention_map))
            }
            @if !self.siblings.is_empty() {
                h2 { "The same scene by others" }
                (self.siblings(context, &routes))
            }
        };
        page(context, Place::Scenes, &format!("{}: {title}", self.picture.algorithm), &body)
    }

    /// Returns the errors of the metrics that have no score.
    fn failures(&self) -> Markup {
        html! {
            @for score in &self.rows {
                @if let Err(failure) = &score.row.score {
                    p.notice.bad { strong { (score.metric) ": " (failure.code) } " " (failure.message) ". "
                        (crate::advice::advice(&failure.code)) }
                }
            }
        }
    }

    fn shown(&self, context: &Context) -> Markup {
        let alt = format!("the picture by {}", self.picture.algorithm);
        let (width, height) = self.picture.size.unzip();
        let full = self.picture.full.as_deref().and_then(|file| file_address(context, file));
        html! {
            figure.shown {
                @match shown_address(context, &self.picture) {
                    Some(address) => img src=(address) alt=(alt) width=[width] height=[height];,
                    None => span.none { "The picture is not here." }
                }
                figcaption {
                    @if let Some((width, height)) = self.picture.size {
                        span.value { (width) " \u{d7} " (height) " pixels" }
                    }
                    @if let Some(full) = full { a href=(full) { "Open the original" } }
                }
            }
        }
    }

    fn facts(&self, context: &Context) -> Markup {
        let Some(MetricScore { row, .. }) = self.rows.first() else { return html! { p.note { "It has no rows." } } };
        let uri = file_address(context, &row.uri).filter(|_| row.uri.starts_with("http"));
        html! {
            dl.facts {
                dt { "algorithm" } dd { (self.picture.algorithm) }
                dt { "image" } dd.mono { (row.image) }
                dt { "address" } dd.mono { @if let Some(uri) = uri { a href=(uri) { (row.uri) } } @else { (row.uri) } }
                dt { "label" }
                dd {
                    (Digits::TWO.show(row.mos))
                    @if let Some(raters) = row.raters {
                        ", mean of " (show_count(raters.count.into())) " ratings"
                        @if let Some(std) = raters.std { ", deviation " (Digits::THREE.show(Some(std))) }
                    }
                }
                dt { "size" }
                dd {
                    @match row.width.zip(row.height) {
                        Some((width, height)) => { (width) " \u{d7} " (height) },
                        None => { "not known: the header could not be read" }
                    }
                    @if let Some(bytes) = self.bytes { ", " (bytes_text(bytes)) }
                }
                dt { "BLAKE3" }
                dd.mono { @if let Some(digest) = &row.digest { (digest) } @else { "the file could not be read" } }
                dt { "version" } dd.mono { (row.version) }
            }
        }
    }

    fn scores(&self, context: &Context, routes: &RunRoutes) -> Markup {
        let headers = [
            Header::text("metric"),
            Header::number("score"),
            Header::number("lowest window").class("opt"),
            Header::number("highest window").class("opt"),
            Header::number("deviation").class("opt").explained("Standard deviation over the windows"),
            Header::number("windows"),
            Header::number("flat").class("opt").explained("Share of windows in which all gray levels are equal"),
            Header { is_sortable: false, ..Header::text("fingerprint").class("l opt") },
        ];
        let table = html! {
            table {
                (header_row(&headers))
                tbody {
                    @for score in &self.rows {
                        @let statistics = score.row.score.as_ref().ok();
                        @let digits = Digits::for_values(statistics.map(|s| s.score));
                        tr {
                            th.l.name scope="row" {
                                (link(context, &routes.agreement(&self.dataset, &score.metric), &score.metric))
                                @if score.direction == Direction::Lower {
                                    span.dim title="low values are good" { " \u{2193}" }
                                }
                            }
                            td { @match &score.row.score {
                                Ok(statistics) => (digits.show(Some(statistics.score))),
                                Err(failure) => span.bad { (failure.code) },
                            } }
                            td.dim.opt { (digits.show(statistics.map(|s| s.min))) }
                            td.dim.opt { (digits.show(statistics.map(|s| s.max))) }
                            td.dim.opt { (digits.show(statistics.map(|s| s.std))) }
                            td.dim { (show_count(u64::try_from(score.row.windows).unwrap_or(0))) }
                            td.dim.opt { (Digits::THREE.show(score.row.flat_share)) }
                            td.l.opt.mono title=(score.fingerprint) {
                                @if let Some(short) = score.fingerprint.get(..12) {
                                    (short) "\u{2026}"
                                } @else {
                                    (missing())
                                }
                            }
                        }
                    }
                }
            }
        };
        framed("Scores of all metrics", &table)
    }

    fn siblings(&self, context: &Context, routes: &RunRoutes) -> Markup {
        html! {
            ul.thumbs {
                @for sibling in &self.siblings {
                    @let route = routes.picture(&self.dataset, &sibling.image, PicturePart::Page);
                    @let value = sibling.scores.first().and_then(PictureScore::value);
                    @let value = value.map_or(html! {}, |value| Digits::for_values([value]).show(Some(value)));
                    li { (figure(context, sibling, &route, &sibling.algorithm, &value)) }
                }
            }
        }
    }
}

fn map(context: &Context, title: &str, map: &Map) -> Markup {
    let address = match map {
        Map::At(path) => file_address(context, path),
        Map::Missing(_) => None,
    };
    html! {
        figure {
            @match (address, map) {
                (Some(address), _) => img src=(address) alt=(title) loading="lazy";,
                (None, Map::Missing(reason)) => span.none { (reason) },
                (None, Map::At(_)) => span.none { "The map is not part of this site." }
            }
            figcaption { span.name { (title) } }
        }
    }
}
