//! Parts of tables: headers that the script sorts by, a frame that scrolls.

use maud::{Markup, html};

/// A column's header.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Header<'a> {
    /// The visible name.
    pub(crate) label: &'a str,
    /// What it means, in a sentence.
    pub(crate) title: Option<&'a str>,
    /// Classes of the header's cell: `l` for text, `opt` for what a phone leaves out.
    pub(crate) class: &'a str,
    /// Whether the table is sorted by it as it comes.
    pub(crate) sorted: Option<Sorted>,
    /// Whether the script sorts by it.
    pub(crate) is_sortable: bool,
}

/// A direction of sorting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sorted {
    Ascending,
    Descending,
}

impl Sorted {
    fn as_str(self) -> &'static str {
        match self {
            Sorted::Ascending => "ascending",
            Sorted::Descending => "descending",
        }
    }
}

impl<'a> Header<'a> {
    /// Returns a sortable header of numbers.
    pub(crate) fn number(label: &'a str) -> Header<'a> {
        Header { label, is_sortable: true, ..Header::default() }
    }

    /// Returns a sortable header of text.
    pub(crate) fn text(label: &'a str) -> Header<'a> {
        Header { class: "l", ..Header::number(label) }
    }

    /// Returns the header with an explanation.
    pub(crate) fn explained(self, title: &'a str) -> Header<'a> {
        Header { title: Some(title), ..self }
    }

    /// Returns the header with other classes.
    pub(crate) fn class(self, class: &'a str) -> Header<'a> {
        Header { class, ..self }
    }

    /// Returns the header as that which the table is sorted by.
    pub(crate) fn sorted(self, sorted: Sorted) -> Header<'a> {
        Header { sorted: Some(sorted), ..self }
    }

    /// Returns the cell. Without the script the button does nothing, and looks like text.
    pub(crate) fn cell(&self) -> Markup {
        html! {
            th scope="col" class=[(!self.class.is_empty()).then_some(self.class)] title=[self.title]
                aria-sort=[self.sorted.map(Sorted::as_str)] {
                @if self.is_sortable { button type="button" data-sort { (self.label) } } @else { (self.label) }
            }
        }
    }
}

/// Returns the row of headers.
pub(crate) fn header_row(headers: &[Header<'_>]) -> Markup {
    html! { thead { tr { @for header in headers { (header.cell()) } } } }
}

/// Returns a table in a frame that scrolls sideways by itself where it does not fit. The frame is a region that the keyboard
/// reaches, so it needs a name.
pub(crate) fn framed(name: &str, table: &Markup) -> Markup {
    html! { div.scroll role="region" aria-label=(name) tabindex="0" { (table) } }
}

/// Returns a field that filters the rows of the table with this id; the script shows it.
pub(crate) fn search_field(label: &str, table: &str) -> Markup {
    html! {
        label.search.js {
            span.sr { (label) }
            input type="search" placeholder=(label) data-filter=(table) autocomplete="off";
        }
        // How many rows are left, for those who see them and those who do not.
        output.js.count data-count=(table) {}
    }
}

/// Returns a table folded behind a chart.
pub(crate) fn behind_chart(summary: &str, table: &Markup) -> Markup {
    html! { details.behind { summary { (summary) } (framed(summary, table)) } }
}
