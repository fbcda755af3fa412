//! Breaks text into lines that fit a terminal.

use super::TEXT_WIDTH;

/// Returns lines of at most 80 columns: `prefix` and the text, which goes on below the end of the prefix. A word that is
/// longer, such as a path, is not broken.
pub fn hanging(prefix: &str, text: &str) -> String {
    let indent = prefix.chars().count();
    let mut lines = prefix.to_owned();
    let mut column = indent;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column > indent && column + 1 + width > TEXT_WIDTH {
            lines.push('\n');
            lines += &" ".repeat(indent);
            column = indent;
        } else if column > indent {
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
