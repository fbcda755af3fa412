//! Pictures that a metric and the labels rank most differently.

use maud::{Markup, html};

use crate::anchor::{picture_link, scene_link};
use crate::context::Context;
use crate::number::{Digits, exact};
use crate::picture::ScorePoint;
use crate::run_routes::RunRoutes;
use crate::table::{Header, framed, header_row};

/// A picture that a metric and the labels rank differently.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelGap {
    /// The picture.
    pub point: ScorePoint,
    /// Its rank by score among `n` pictures, 1 is best. Equal scores share their mean rank.
    pub rank: f64,
    /// Its rank by label.
    pub mos_rank: f64,
    /// Number of pictures with score and label.
    pub n: u64,
}

/// Returns the table of the pictures, each with links to its picture and scene.
pub(crate) fn gap_table(context: &Context, routes: &RunRoutes, dataset: &str, gaps: &[LabelGap]) -> Markup {
    let digits = Digits::for_values(gaps.iter().map(|gap| gap.point.score));
    let rank = |rank: f64| html! { data value=(exact(rank)) data-value=(exact(rank)) { (exact(rank)) } };
    let headers = [
        Header::text("picture"),
        Header::text("scene"),
        Header::number("score"),
        Header::number("label"),
        Header::number("rank by score"),
        Header::number("by label"),
    ];
    let table = html! {
        table {
            (header_row(&headers))
            tbody {
                @for gap in gaps {
                    tr {
                        th.l.name scope="row" {
                            (picture_link(context, routes, (dataset, &gap.point.image), &gap.point.algorithm))
                        }
                        td.l {
                            (scene_link(context, routes, dataset, &gap.point.scene))
                        }
                        td { (digits.show(Some(gap.point.score))) }
                        td { (Digits::TWO.show(Some(gap.point.mos))) }
                        td.dim { (rank(gap.rank)) }
                        td.dim { (rank(gap.mos_rank)) }
                    }
                }
            }
        }
    };
    framed("Largest disagreements with the labels", &table)
}
