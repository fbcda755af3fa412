//! The agreement of each metric with the labels by other protocols and groups of pictures, folded.

use dqa_pipelines::tables::metrics::MetricRow;
use maud::{Markup, html};

use crate::anchor::clipped;
use crate::measures::group_label;
use crate::number::{Digits, counted, show_count};
use crate::table::{Header, framed, header_row, search_field};

/// Rows that are shown. Each algorithm and group of scenes has one for each metric.
const ROWS_MAX: usize = 600;

/// Returns the table of the rows that the sections before do not have.
pub(super) fn groups_section(metrics: &[MetricRow]) -> Markup {
    let is_before =
        |row: &&MetricRow| row.protocol == "pooled" && ["all", "held_out"].contains(&row.group_kind.as_str());
    let rows: Vec<&MetricRow> = metrics.iter().filter(|row| !is_before(row)).collect();
    let headers = [
        Header::text("protocol"),
        Header::text("pictures of"),
        Header::text("metric"),
        Header::text("group"),
        Header::number("SRCC"),
        Header { is_sortable: false, ..Header::number("95% interval").class("l opt") },
        Header::number("KRCC").class("opt"),
        Header::number("PLCC").class("opt"),
        Header::number("n"),
    ];
    let digits = Digits::THREE;
    let table = html! {
        table #groups {
            (header_row(&headers))
            tbody {
                @for row in rows.iter().take(ROWS_MAX) {
                    tr {
                        td.l.dim { (row.protocol) }
                        td.l { (clipped(&group_label(&row.group_kind, row.group_name.as_deref()))) }
                        th.l scope="row" { (row.metric) }
                        td.l.letters { (row.srcc_group.as_deref().unwrap_or_default()) }
                        td { (digits.show(row.srcc)) }
                        td.l.dim.opt { (digits.show_interval(row.srcc_low, row.srcc_high)) }
                        td.dim.opt { (digits.show(row.krcc)) }
                        td.dim.opt { (digits.show(row.plcc)) }
                        td.dim { (show_count(row.n)) }
                    }
                }
            }
        }
    };
    html! {
        @if !rows.is_empty() {
            details.behind {
                summary { "By algorithm, group of scenes and protocol: " (counted(rows.len() as u64, "row")) }
                div.tools { (search_field("Search groups", "groups")) }
                (framed("Agreement by group", &table))
                @if rows.len() > ROWS_MAX { p.note { "These are the first " (ROWS_MAX) "; the table " code { "metrics" } " has all." } }
            }
        }
    }
}
