//! Shows an error with its causes on one line, for logs, records and all text that is not for a terminal.

use std::error::Error;
use std::fmt;

/// Shows an error and its causes as `cannot read a.png: the store does not answer: connection refused`. A cause that the text
/// before it contains is left out: some libraries print their causes inside their own message.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> Causes<'a> {
    Causes { before: "", error }
}

/// Shows the causes of an error without its own message, for a text that already says what failed on what. An error without a
/// cause is shown itself.
pub fn cause<'a>(error: &'a (dyn Error + 'static)) -> Causes<'a> {
    causes(error.source().unwrap_or(error))
}

/// An error that is shown with its causes.
#[derive(Clone, Copy)]
pub struct Causes<'a> {
    before: &'a str,
    error: &'a (dyn Error + 'static),
}

impl<'a> Causes<'a> {
    /// Shows the error as a cause of `text`: `text` comes first, and causes that it contains are left out.
    pub fn with_prefix(self, text: &'a str) -> Causes<'a> {
        Causes { before: text, ..self }
    }
}

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = one_line(self.before);
        let mut next = Some(self.error);
        while let Some(error) = next {
            let text = one_line(&error.to_string());
            if shown.is_empty() {
                shown = text;
            } else if !shown.contains(&text) {
                shown = format!("{shown}: {text}");
            }
            next = error.source();
        }
        f.write_str(&shown)
    }
}

impl fmt::Debug for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Joins lines, which may be indented, into one.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Step {
        text: &'static str,
        #[source]
        cause: Option<Box<Step>>,
    }

    fn chain(texts: &[&'static str]) -> Step {
        let step = |cause: Option<Box<Step>>, text: &&'static str| Some(Box::new(Step { text, cause }));
        *texts.iter().rev().fold(None, step).unwrap()
    }

    #[test]
    fn every_cause_is_shown_once() {
        let shown = |texts: &[&'static str]| causes(&chain(texts)).to_string();
        assert_eq!(shown(&["cannot read a"]), "cannot read a");
        assert_eq!(shown(&["cannot read a", "no answer", "refused"]), "cannot read a: no answer: refused");
        // An error that prints its cause, with a cause of its own.
        assert_eq!(shown(&["External: no answer", "no answer", "refused"]), "External: no answer: refused");
        assert_eq!(shown(&["a", "one\n   two\r\n\nthree"]), "a: one two three");
        assert_eq!(causes(&chain(&["b", "c"])).with_prefix("a").to_string(), "a: b: c");
        assert_eq!(causes(&chain(&["b", "c"])).with_prefix("a: c").to_string(), "a: c: b");
        assert_eq!(shown(&["", "a", "", "b"]), "a: b", "an empty text says nothing");
    }

    #[test]
    fn a_transparent_error_is_its_cause() {
        #[derive(Debug, thiserror::Error)]
        #[error(transparent)]
        struct Through(#[from] Step);
        assert_eq!(causes(&Through(chain(&["a", "b"]))).to_string(), "a: b");
    }
}
