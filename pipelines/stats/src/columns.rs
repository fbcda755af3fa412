//! The input of most measures: a table of scores, labels and scenes, and the same table sorted once for all measures.

use rayon::join;

use crate::dense_ranks::DenseRanks;

/// A table's columns, of equal lengths. A row is one picture: for example one output of one dehazing algorithm.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// The quality that the metric predicts, in any unit.
    pub score: &'a [f64],
    /// The label, usually a mean opinion score (MOS), in any unit; higher is better.
    pub mos: &'a [f64],
    /// The scene that a picture shows, as an id of the caller's choice. Pictures of one scene are not independent, so
    /// scenes are what intervals and tests resample.
    pub scene: &'a [u32],
}

/// A table together with the order of each of its columns. Sorting takes most of the time of most measures, so a caller
/// that takes several measures of one table sorts it once.
pub struct SortedColumns<'a> {
    pub(crate) columns: Columns<'a>,
    pub(crate) score: DenseRanks,
    pub(crate) mos: DenseRanks,
    pub(crate) scene: DenseRanks,
}

impl<'a> Columns<'a> {
    /// Sorts the columns.
    ///
    /// # Panics
    /// If a value is NaN or the lengths differ.
    pub fn sorted(self) -> SortedColumns<'a> {
        self.assert_equal_lengths();
        let (score, mos) = join(|| DenseRanks::from_values(self.score), || DenseRanks::from_values(self.mos));
        SortedColumns { columns: self, score, mos, scene: DenseRanks::from_ids(self.scene) }
    }

    pub(crate) fn assert_equal_lengths(&self) {
        let rows = self.score.len();
        assert!(self.mos.len() == rows && self.scene.len() == rows, "columns have unequal lengths");
    }
}
