//! Breaks text into lines that fit a terminal.

use super::TEXT_WIDTH;

/// Returns lines of at most 80 columns: `prefix` and the text, which goes on below the end of the prefix. A word that is
/// longer, such as a path, is not broken.
pub fn hanging(prefix: &str, text: &str) -> String {
    indented(prefix, text, prefix.chars().count())
}

/// Returns lines of at most 80 columns: `prefix` and the text, whose further lines have this indent.
pub fn indented(prefix: &str, text: &str, indent: usize) -> String {
    lines_of(prefix, text, indent, TEXT_WIDTH)
}

/// Returns text whose lines are at most as wide as a terminal of `width` columns. A line that is too wide is broken between
/// words, and goes on two columns to the right of its beginning.
pub fn wrapped(text: &str, width: usize) -> String {
    let line = |line: &str| {
        if line.chars().count() <= width {
            return line.to_owned();
        }
        let words = line.trim_start();
        let indent = line.chars().count() - words.chars().count();
        lines_of(&line[..line.len() - words.len()], words, indent + 2, width).trim_end().to_owned()
    };
    text.split('\n').map(line).collect::<Vec<String>>().join("\n")
}

fn lines_of(prefix: &str, text: &str, indent: usize, width_max: usize) -> String {
    let mut lines = prefix.to_owned();
    let mut column = prefix.chars().count();
    for (index, word) in text.split_whitespace().enumerate() {
        let width = word.chars().count();
        if index > 0 && column + 1 + width > width_max {
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
