//! The input of a ranking: each algorithm's mean score of each scene.

/// The algorithms' mean scores of the scenes of one data set.
#[derive(Clone, Copy, Debug)]
pub struct SceneScores<'a> {
    /// The number of algorithms, which are the rows.
    pub algorithms: usize,
    /// The number of scenes, which are the columns. Random signs are drawn in their order, so it should depend on
    /// nothing but the scenes' names.
    pub scenes: usize,
    /// (algorithms, scenes), row-major: an algorithm's mean score over its pictures of a scene, higher being better;
    /// NaN if it has no score of the scene.
    pub scores: &'a [f64],
}

impl SceneScores<'_> {
    pub(super) fn row(&self, algorithm: usize) -> &[f64] {
        &self.scores[algorithm * self.scenes..][..self.scenes]
    }
}
