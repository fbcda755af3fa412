//! Breaks text into lines that fit a terminal.

use super::TEXT_WIDTH;

/// Returns lines of at most 80 columns: `prefix` and the text, which goes on below the end of the prefix. A word that is
/// longer, such as a path, is not broken.
pub fn hanging(prefix: &str, text: &str) -> String {
    indented(prefix, text, prefix.chars().count())
}

/// Returns lines of at most 80 columns: `prefix` and the text, whose further lines have this indent.
pub fn indented(prefix: &str, text: &str, indent: usize) -> String {
    let mut lines = prefix.to_owned();
    let mut column = prefix.chars().count();
    for (index, word) in text.split_whitespace().enumerate() {
        let width = word.chars().count();
        if index > 0 && column + 1 + width > TEXT_WIDTH {
            lines.push('\n');
            lines += &" ".repeat(indent);
            column = indent;
        } else if index > 0 {
            lines.push(' ');
            column += 1;
        }
        lines += word;
        column += width;
    }
    lines.truncate(lines.trim_end().len());
    lines.push('\n');
    lines
}
