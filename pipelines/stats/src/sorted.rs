//! A table whose columns have been sorted once, for all measures that need their order.

use rayon::join;

use super::Columns;
use super::levels::Levels;

/// A table and the order of each of its columns. Sorting is the largest part of most measures' time, so a caller that takes
/// several measures of one table sorts it once.
pub struct SortedColumns<'a> {
    pub(super) columns: Columns<'a>,
    pub(super) score: Levels,
    pub(super) mos: Levels,
    pub(super) scene: Levels,
}

impl<'a> Columns<'a> {
    /// Sorts the columns.
    ///
    /// # Panics
    /// If a value is NaN or the lengths differ.
    pub fn sorted(self) -> SortedColumns<'a> {
        self.check();
        let (score, mos) = join(|| Levels::of(self.score), || Levels::of(self.mos));
        SortedColumns { columns: self, score, mos, scene: Levels::of_numbers(self.scene) }
    }
}
