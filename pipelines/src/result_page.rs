//! Results for people to read: tables that fit a terminal of 80 columns, Markdown and LaTeX, followed once by the
//! meaning of their columns and by notes. Knows nothing of what the tables contain.

use std::fmt::Write;

use crate::text_table::Alignment;

mod markup;
mod wrapping;

pub use wrapping::{hanging, indented, wrapped};

/// The width that text fits, unless names of the user's own are longer.
pub const TEXT_WIDTH: usize = 80;

/// The form of tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TableForm {
    /// Aligned columns.
    #[default]
    Text,
    /// Tables of GitHub's Markdown.
    Markdown,
    /// LaTeX, with the rules of the package booktabs.
    Latex,
}

/// How texts mark the best values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Emphasis {
    /// `*` after the value.
    #[default]
    Asterisk,
    /// Bold, by the escape sequences of terminals. The caller checks that the output is a terminal and NO_COLOR is not set.
    Bold,
}

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStyle {
    /// The form of tables.
    pub form: TableForm,
    /// Whether all columns are shown, however wide the table is.
    pub is_wide: bool,
    /// The mark of the best values in text. Markdown and LaTeX have them bold.
    pub emphasis: Emphasis,
}

/// A column of a table.
pub struct Column {
    head: String,
    alignment: Alignment,
    cells: Vec<String>,
    meaning: Option<String>,
    /// 0 for a column that is always shown. The columns with the highest number are left out first.
    left_out: u8,
    /// Whether the best cells end with `*`, and the others with a space.
    is_marked: bool,
}

impl Column {
    /// Returns a column of text.
    pub fn left(head: impl Into<String>, cells: Vec<String>) -> Column {
        let (meaning, left_out, is_marked) = (None, 0, false);
        Column { head: head.into(), alignment: Alignment::Left, cells, meaning, left_out, is_marked }
    }

    /// Returns a column of numbers.
    pub fn right(head: impl Into<String>, cells: Vec<String>) -> Column {
        Column { alignment: Alignment::Right, ..Column::left(head, cells) }
    }

    /// Sets what the column means, for the legend.
    pub fn meaning(mut self, meaning: impl Into<String>) -> Column {
        self.meaning = Some(meaning.into());
        self
    }

    /// Lets the column be left out of a narrow table: before those with a lower number.
    pub fn left_out(mut self, order: u8) -> Column {
        self.left_out = order;
        self
    }

    /// Says that the best cells end with `*`, and the others with a space.
    pub fn marked(mut self) -> Column {
        self.is_marked = true;
        self
    }

    fn width(&self) -> usize {
        let cells = self.cells.iter().map(String::as_str).chain([self.head.as_str()]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

/// A table with as many cells in each column.
pub struct ResultTable {
    title: String,
    columns: Vec<Column>,
    /// The number of columns that are repeated where the table is broken into several. None if it is never broken.
    repeated: Option<usize>,
}

impl ResultTable {
    /// Returns a table. An empty title is not shown.
    pub fn new(title: impl Into<String>, columns: Vec<Column>) -> ResultTable {
        ResultTable { title: title.into(), columns, repeated: None }
    }

    /// Lets a wide table be broken into several below each other, each of which begins with the first columns.
    pub fn broken_after(mut self, columns: usize) -> ResultTable {
        self.repeated = Some(columns);
        self
    }

    /// Returns the columns that are shown, as one or more tables.
    fn parts(&self, is_wide: bool) -> Vec<Vec<&Column>> {
        let mut shown: Vec<&Column> = self.columns.iter().collect();
        if is_wide {
            return vec![shown];
        }
        while text_width(&shown) > TEXT_WIDTH {
            let optional = shown.iter().enumerate().filter(|(_, column)| column.left_out > 0);
            let Some((_, least)) = optional.max_by_key(|(index, column)| (column.left_out, *index)) else { break };
            // Two columns of one name belong together.
            let (order, head) = (least.left_out, least.head.clone());
            shown.retain(|column| column.left_out != order || column.head != head);
        }
        let Some(repeated) = self.repeated.filter(|_| text_width(&shown) > TEXT_WIDTH) else { return vec![shown] };
        let (keys, values) = shown.split_at(repeated);
        let mut parts: Vec<Vec<&Column>> = Vec::new();
        for &value in values {
            match parts.last_mut() {
                Some(part) if text_width(part) + 2 + value.width() <= TEXT_WIDTH => part.push(value),
                _ => parts.push(keys.iter().copied().chain([value]).collect()),
            }
        }
        parts
    }
}

/// Two spaces are before each column.
fn text_width(columns: &[&Column]) -> usize {
    columns.iter().map(|column| 2 + column.width()).sum()
}

/// Results that are being written: tables, then the meaning of their columns, then notes.
pub struct ResultPage {
    style: TableStyle,
    body: String,
    legend: Vec<(String, String)>,
    /// The columns that are left out of each kind of table, which the beginning of a title says.
    hidden: Vec<(String, Vec<String>)>,
    notes: String,
}

impl ResultPage {
    /// Returns an empty page.
    pub fn new(style: TableStyle) -> ResultPage {
        ResultPage { style, body: String::new(), legend: Vec::new(), hidden: Vec::new(), notes: String::new() }
    }

    /// Returns how the page marks the best values.
    pub fn best_mark(&self) -> &'static str {
        let is_bold = self.style.form != TableForm::Text || self.style.emphasis == Emphasis::Bold;
        if is_bold { "bold" } else { "*" }
    }

    /// Adds a table, with an empty line before it unless it is the first.
    pub fn table(&mut self, table: &ResultTable) {
        let parts = table.parts(self.style.is_wide);
        let mut hidden = Vec::new();
        for column in &table.columns {
            let is_shown = parts.iter().flatten().any(|shown| std::ptr::eq(*shown, column));
            if !is_shown {
                hidden.push(column.head.clone());
            } else if let Some(meaning) = &column.meaning
                && self.style.form != TableForm::Latex
            {
                push_new(&mut self.legend, (column.head.clone(), meaning.clone()));
            }
        }
        self.hide(&table.title, hidden);
        for (index, columns) in parts.iter().enumerate() {
            let title = if index == 0 { table.title.as_str() } else { "" };
            let is_first = self.body.is_empty();
            if !is_first && (!title.is_empty() || self.style.form != TableForm::Text || index > 0) {
                self.body.push('\n');
            }
            self.body += &match self.style.form {
                TableForm::Text => text_table(title, columns, self.style.emphasis),
                TableForm::Markdown => markup::markdown_table(title, columns),
                TableForm::Latex => markup::latex_table(title, columns),
            };
        }
    }

    fn hide(&mut self, title: &str, heads: Vec<String>) {
        let kind_bytes = [": ", ", ", " by "].iter().filter_map(|end| title.find(end)).min();
        let kind = &title[..kind_bytes.unwrap_or(title.len())];
        match self.hidden.iter_mut().find(|(known, _)| known == kind) {
            Some((_, known)) => heads.into_iter().for_each(|head| push_new(known, head)),
            None => self.hidden.push((kind.to_owned(), heads)),
        }
    }

    /// Says which columns are left out, and of which tables unless it is the same for all.
    fn hidden_lines(&self) -> String {
        let mut groups: Vec<(Vec<&str>, &[String])> = Vec::new();
        for (kind, heads) in &self.hidden {
            match groups.iter_mut().find(|(_, known)| *known == heads) {
                Some((kinds, _)) => kinds.push(kind),
                None => groups.push((vec![kind], heads)),
            }
        }
        let is_one = groups.len() == 1;
        groups.retain(|(_, heads)| !heads.is_empty());
        let columns = |(kinds, heads): &(Vec<&str>, &[String])| {
            let of = if is_one { String::new() } else { format!(" of \"{}\"", kinds.join("\" and \"")) };
            heads.join(", ") + &of
        };
        if groups.is_empty() {
            return String::new();
        }
        let all = groups.iter().map(columns).collect::<Vec<String>>().join("; ");
        self.formatted("", &format!("Not shown (--wide shows all columns): {all}"))
    }

    /// Adds a line between tables. The text is wrapped below the end of `prefix`, and an empty one is left out.
    pub fn line(&mut self, prefix: &str, text: &str) {
        if self.style.form == TableForm::Markdown && !self.body.is_empty() {
            self.body.push('\n');
        }
        if !text.is_empty() {
            let line = self.formatted(prefix, text);
            self.body += &line;
        }
    }

    /// Adds to the legend what a word means that is not the head of a column.
    pub fn meaning(&mut self, word: &str, meaning: impl Into<String>) {
        push_new(&mut self.legend, (word.to_owned(), meaning.into()));
    }

    /// Adds a note below the legend.
    pub fn note(&mut self, text: &str) {
        let note = self.formatted("", text);
        if !self.notes.contains(&note) {
            self.notes += &note;
        }
    }

    /// Returns whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty() && self.notes.is_empty()
    }

    /// Returns the page.
    pub fn finish(self) -> String {
        let mut legend = String::new();
        let width = self.legend.iter().map(|(head, _)| head.chars().count()).max().unwrap_or(0);
        for (head, meaning) in &self.legend {
            legend += &match self.style.form {
                TableForm::Text => hanging(&format!("{head:width$}  "), meaning),
                TableForm::Markdown => format!("- {}: {}\n", markup::markdown(head), markup::markdown(meaning)),
                TableForm::Latex => format!("% {head}: {meaning}\n"),
            };
        }
        let hidden = self.hidden_lines();
        let parts = [self.body, hidden, legend, self.notes];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
    }

    fn formatted(&self, prefix: &str, text: &str) -> String {
        match self.style.form {
            TableForm::Text => hanging(prefix, text),
            TableForm::Markdown => format!("{}  \n", markup::markdown(&format!("{prefix}{text}"))),
            TableForm::Latex => format!("% {prefix}{text}\n"),
        }
    }
}

fn push_new<T: PartialEq>(values: &mut Vec<T>, value: T) {
    if !values.contains(&value) {
        values.push(value);
    }
}

fn text_table(title: &str, columns: &[&Column], emphasis: Emphasis) -> String {
    let mut text = if title.is_empty() { String::new() } else { hanging("", title) };
    let rows = columns.first().map_or(0, |column| column.cells.len());
    let widths: Vec<usize> = columns.iter().map(|column| column.width()).collect();
    for row in 0..=rows {
        let mut line = String::new();
        for (column, width) in columns.iter().zip(&widths) {
            let cell = if row == 0 { &column.head } else { &column.cells[row - 1] };
            let gap = " ".repeat(width - cell.chars().count());
            let cell = match cell.strip_suffix('*') {
                Some(best) if column.is_marked && row > 0 && emphasis == Emphasis::Bold => {
                    format!("\x1b[1m{best}\x1b[0m ")
                }
                _ => cell.clone(),
            };
            let _ = match column.alignment {
                Alignment::Left => write!(line, "  {cell}{gap}"),
                Alignment::Right => write!(line, "  {gap}{cell}"),
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests;
