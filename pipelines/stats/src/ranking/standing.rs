//! The rows of a ranking: each algorithm with its scores and its rank.

use crate::estimate::Estimate;

/// The rank of an algorithm among those of its component.
#[derive(Clone, Debug, PartialEq)]
pub struct Rank {
    /// The rank by adjusted score; 1 is best.
    pub rank: u32,
    /// The best rank that is not ruled out: 1 more than the number of significantly better algorithms.
    pub best: u32,
    /// The worst rank that is not ruled out: the last rank less the number of significantly worse algorithms.
    pub worst: u32,
    /// The letters of the compact letter display, `a` first. Two algorithms share a letter if and only if they do not
    /// differ significantly.
    pub groups: String,
    /// Whether the difference to any other algorithm could have been significant; true for a single algorithm.
    pub testable: bool,
}

/// An algorithm in the order of adjusted scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The algorithm: its row in [`SceneScores`](crate::SceneScores), unless the ranking was renumbered.
    pub algorithm: usize,
    /// The rank; `None` for the hazy input.
    pub rank: Option<Rank>,
    /// The component, whose algorithms common scenes connect; 1 is the largest.
    pub component: u32,
    /// The number of scenes of which the algorithm has a score.
    pub scenes: u64,
    /// The smallest number of scenes that it shares with another ranked algorithm of the component; `None` without
    /// another.
    pub common_scenes: Option<u64>,
    /// The mean score over the algorithm's scenes, each with equal weight.
    pub mean: Estimate,
    /// The mean score over all scenes of the component, with missing scores fitted by least squares.
    pub adjusted: Estimate,
    /// The adjusted score less that of the hazy input; `None` without a hazy input.
    pub gain: Option<Estimate>,
}
