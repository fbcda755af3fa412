//! Counts in messages for people: digits in groups of three, and the noun in the number that the count asks for. Both programs
//! and the pages write counts with their nouns by this module.

use std::fmt::Display;

/// Returns a count with commas between thousands: `151,277,313`.
pub fn count_text(count: impl Display) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a count with its noun, which is given in the singular: `1 scene`, `40 scenes`, `2 queries`.
pub fn counted(count: impl Display, noun: &str) -> String {
    let count = count_text(count);
    let plural = match (count.as_str(), noun.strip_suffix('y')) {
        ("1", _) => noun.to_owned(),
        (_, Some(stem)) => format!("{stem}ies"),
        _ => format!("{noun}s"),
    };
    format!("{count} {plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_in_groups_of_three() {
        assert_eq!([0_u64, 999, 1000, 151_277_313].map(count_text), ["0", "999", "1,000", "151,277,313"]);
    }

    #[test]
    fn a_noun_has_the_number_of_its_count() {
        let counts = [0_usize, 1, 2, 21, 1001].map(|count| counted(count, "data set"));
        assert_eq!(counts, ["0 data sets", "1 data set", "2 data sets", "21 data sets", "1,001 data sets"]);
        assert_eq!((counted(1_u32, "query"), counted(3_u64, "query")), ("1 query".to_owned(), "3 queries".to_owned()));
    }
}
