//! Within-scene pairwise accuracy: how often the score says which of two pictures of one scene is better.

use crate::columns::Columns;
use crate::dense_ranks::DenseRanks;
use crate::kendall::PairCounts;

/// Up to this many rows comparing all pairs is quicker than sorting.
const COMPARE_ALL_MAX: usize = 64;

/// Counts of pairs of pictures of one scene whose labels differ, by whether the score orders them as the labels do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PairwiseAccuracy {
    /// Pairs that score and label order alike.
    pub agree: u64,
    /// Pairs that score and label order differently.
    pub disagree: u64,
    /// Pairs with equal scores; each counts half.
    pub tied: u64,
}

impl PairwiseAccuracy {
    /// Returns the share of pairs that are ordered alike, from 0 to 1; `None` without pairs.
    pub fn value(&self) -> Option<f64> {
        let pairs = self.agree + self.disagree + self.tied;
        (pairs > 0).then(|| (self.agree as f64 + self.tied as f64 / 2.0) / pairs as f64)
    }
}

/// Counts the pairs of all scenes. `None` if no scene has two pictures with different labels.
///
/// # Panics
/// If a value is NaN or the lengths differ.
///
/// # Examples
/// ```
/// use dqa_stats::{Columns, pairwise_accuracy};
///
/// let columns = Columns { score: &[0.2, 0.7, 0.9, 0.4], mos: &[1.0, 2.0, 1.0, 2.0], scene: &[0, 0, 1, 1] };
/// let accuracy = pairwise_accuracy(&columns).unwrap();
/// assert_eq!((accuracy.agree, accuracy.disagree, accuracy.value()), (1, 1, Some(0.5)));
/// ```
pub fn pairwise_accuracy(columns: &Columns<'_>) -> Option<PairwiseAccuracy> {
    columns.assert_equal_lengths();
    let (score, mos) = (DenseRanks::from_values(columns.score), DenseRanks::from_values(columns.mos));
    let mut sum = PairwiseAccuracy::default();
    for scene in pairs_by_scene(&score, &mos, &DenseRanks::from_ids(columns.scene)) {
        let scene = scene.accuracy();
        sum.agree += scene.agree;
        sum.disagree += scene.disagree;
        sum.tied += scene.tied;
    }
    sum.value().map(|_| sum)
}

impl PairCounts {
    /// Returns the counts for x the score and y the label: pairs with equal labels do not count.
    pub(crate) fn accuracy(&self) -> PairwiseAccuracy {
        PairwiseAccuracy { agree: self.concordant, disagree: self.discordant, tied: self.tied_x }
    }
}

/// Counts the pairs within each scene, in the order of scenes.
pub(crate) fn pairs_by_scene(score: &DenseRanks, mos: &DenseRanks, scene: &DenseRanks) -> Vec<PairCounts> {
    let (mut scores, mut labels) = (Vec::new(), Vec::new());
    let scene_pairs = |rows: &[u32]| {
        scores.clear();
        scores.extend(rows.iter().map(|&row| score.ranks[row as usize]));
        labels.clear();
        labels.extend(rows.iter().map(|&row| mos.ranks[row as usize]));
        count_pairs(&scores, &labels)
    };
    scene.groups().map(scene_pairs).collect()
}

fn count_pairs(scores: &[u32], labels: &[u32]) -> PairCounts {
    if scores.len() > COMPARE_ALL_MAX {
        return PairCounts::count(&DenseRanks::from_ids(scores), &DenseRanks::from_ids(labels));
    }
    let mut pairs = PairCounts::default();
    for (i, (score, label)) in scores.iter().zip(labels).enumerate() {
        for (other_score, other_label) in scores[..i].iter().zip(&labels[..i]) {
            let (same_score, same_label) = (score == other_score, label == other_label);
            let alike = !same_score && !same_label && (score > other_score) == (label > other_label);
            pairs.concordant += u64::from(alike);
            pairs.discordant += u64::from(!alike && !same_score && !same_label);
            pairs.tied_x += u64::from(same_score && !same_label);
            pairs.tied_y += u64::from(same_label && !same_score);
        }
    }
    pairs
}
