//! Colours of algorithms: twelve that people with any colour vision can tell apart, and gray for the rest.

use std::collections::BTreeSet;

/// Colours that the style sheet has, as classes `c0` to `c11`.
const COLOURS: usize = 12;

/// The colours of a chart's algorithms, by the names' order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Palette(Vec<String>);

impl Palette {
    /// Returns the palette of these algorithms.
    pub(crate) fn new<'a>(algorithms: impl IntoIterator<Item = &'a str>) -> Palette {
        let names: BTreeSet<&str> = algorithms.into_iter().collect();
        Palette(names.into_iter().map(str::to_owned).collect())
    }

    /// Returns all algorithms in order.
    pub(crate) fn algorithms(&self) -> &[String] {
        &self.0
    }

    /// Returns the position of an algorithm.
    pub(crate) fn position(&self, algorithm: &str) -> usize {
        self.0.binary_search_by(|name| name.as_str().cmp(algorithm)).unwrap_or(COLOURS)
    }

    /// Returns the class of an algorithm's colour.
    pub(crate) fn class(&self, algorithm: &str) -> String {
        let position = self.position(algorithm);
        if position < COLOURS { format!("c{position}") } else { "cx".to_owned() }
    }

    /// Returns the number of algorithms that are gray.
    pub(crate) fn gray(&self) -> usize {
        self.0.len().saturating_sub(COLOURS)
    }
}
