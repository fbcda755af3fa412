//! Tables as Markdown and LaTeX. Text is escaped, so that a name with `_` or `|` is shown as it is.

use super::Column;
use crate::text_table::Alignment;

/// Returns a table of GitHub's Markdown below its title.
pub(super) fn markdown_table(title: &str, columns: &[&Column]) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = if title.is_empty() { String::new() } else { format!("**{}**\n\n", markdown(title)) };
    text += &line(columns.iter().map(|column| markdown(&column.head)).collect());
    let rules = columns.iter().map(|column| if column.alignment == Alignment::Left { ":---" } else { "---:" });
    text += &line(rules.map(str::to_owned).collect());
    for row in 0..columns.first().map_or(0, |column| column.cells.len()) {
        let cell = |column: &&Column| match best(column, row) {
            Some(best) => format!("**{}**", markdown(best)),
            None => indented(&column.cells[row], "&emsp;", markdown),
        };
        text += &line(columns.iter().map(cell).collect());
    }
    text
}

/// Returns a table of LaTeX with the rules of booktabs, its title as the caption, a label made from it, and the meaning of its
/// columns below it.
pub(super) fn latex_table(title: &str, columns: &[&Column]) -> String {
    let line = |cells: Vec<String>| format!("{} \\\\\n", cells.join(" & "));
    let sides: String =
        columns.iter().map(|column| if column.alignment == Alignment::Left { 'l' } else { 'r' }).collect();
    let mut text = "\\begin{table}\n\\centering\n".to_owned();
    if !title.is_empty() {
        text += &format!("\\caption{{{}}}\n\\label{{tab:{}}}\n", latex(title), label(title));
    }
    text += &format!("\\begin{{tabular}}{{{sides}}}\n\\toprule\n");
    text += &line(columns.iter().map(|column| latex(&column.head)).collect());
    text += "\\midrule\n";
    for row in 0..columns.first().map_or(0, |column| column.cells.len()) {
        let cell = |column: &&Column| match best(column, row) {
            Some(best) => format!("\\textbf{{{}}}", latex_number(best)),
            None if column.alignment == Alignment::Right => latex_number(column.cells[row].trim_end()),
            None => indented(&column.cells[row], "\\quad ", latex),
        };
        text += &line(columns.iter().map(cell).collect());
    }
    text += "\\bottomrule\n\\end{tabular}\n";
    let meanings = columns.iter().filter_map(|column| {
        let meaning = column.meaning.as_ref()?;
        Some(format!("{}: {}", latex(&column.head), latex(meaning)))
    });
    let legend = meanings.collect::<Vec<String>>().join(";\n");
    if !legend.is_empty() {
        text += &format!("\\par\\smallskip\n{{\\footnotesize {legend}.\\par}}\n");
    }
    text + "\\end{table}\n"
}

/// Returns the words of a title, joined by `-`.
fn label(title: &str) -> String {
    let words = title.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<String>>().join("-")
}

/// Returns the value of a cell that is marked as the best, or None.
fn best(column: &Column, row: usize) -> Option<&str> {
    column.cells[row].strip_suffix('*').filter(|_| column.is_marked)
}

/// Returns the cell with its indentation, which says that a row belongs to the one above, as markup.
fn indented(cell: &str, indent: &str, escape: fn(&str) -> String) -> String {
    let text = escape(cell.trim());
    if cell.starts_with("  ") && !text.is_empty() { format!("{indent}{text}") } else { text }
}

/// Escapes text for Markdown.
pub(super) fn markdown(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if matches!(character, '\\' | '|' | '*' | '_' | '`' | '[' | ']' | '<' | '>' | '~') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Escapes text for LaTeX.
fn latex(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', character]),
            '~' => escaped += "\\textasciitilde{}",
            '^' => escaped += "\\textasciicircum{}",
            '\\' => escaped += "\\textbackslash{}",
            '<' => escaped += "$<$",
            '>' => escaped += "$>$",
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Escapes numbers for LaTeX, with a minus before those below 0 and `--` for a missing one.
fn latex_number(text: &str) -> String {
    let word = |word: &str| match word.strip_prefix('-') {
        Some("") => "--".to_owned(),
        Some(digits) if digits.starts_with(|first: char| first.is_ascii_digit()) => format!("$-${digits}"),
        // A range, as of ranks.
        None if word.split('-').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())) => {
            word.replace('-', "--")
        }
        _ => latex(word),
    };
    text.split(' ').map(word).collect::<Vec<String>>().join(" ")
}
