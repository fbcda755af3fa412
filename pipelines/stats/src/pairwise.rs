//! Within-scene pairwise accuracy: of two pictures of one scene, does the score say which is better?

use super::Columns;
use super::kendall::PairCounts;
use super::levels::Levels;

/// Up to this many rows comparing all pairs is quicker than sorting.
const COMPARE_ALL_MAX: usize = 64;

/// Of pairs of one scene's pictures whose labels differ: how many the score orders as the labels do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PairwiseAccuracy {
    /// Ordered alike.
    pub agree: u64,
    /// Ordered otherwise.
    pub disagree: u64,
    /// Of equal score: each counts half.
    pub tied: u64,
}

impl PairwiseAccuracy {
    /// The share that is ordered alike, 0 to 1; None where there is no pair.
    pub fn value(&self) -> Option<f64> {
        let pairs = self.agree + self.disagree + self.tied;
        (pairs > 0).then(|| (self.agree as f64 + self.tied as f64 / 2.0) / pairs as f64)
    }
}

/// Over all scenes' pairs. None where no scene has two pictures with different labels.
///
/// # Panics
/// Where a value is NaN or the lengths differ.
pub fn pairwise_accuracy(columns: &Columns<'_>) -> Option<PairwiseAccuracy> {
    columns.check();
    let (score, mos) = (Levels::of(columns.score), Levels::of(columns.mos));
    let mut sum = PairwiseAccuracy::default();
    for scene in pairs_by_scene(&score, &mos, &Levels::of_numbers(columns.scene)) {
        let scene = scene.accuracy();
        sum.agree += scene.agree;
        sum.disagree += scene.disagree;
        sum.tied += scene.tied;
    }
    sum.value().map(|_| sum)
}

impl PairCounts {
    /// Where x is the score and y the label: pairs of equal labels do not count.
    pub(super) fn accuracy(&self) -> PairwiseAccuracy {
        PairwiseAccuracy { agree: self.concordant, disagree: self.discordant, tied: self.tied_x }
    }
}

/// How the pairs within each scene lie, in the order of scenes.
pub(super) fn pairs_by_scene(score: &Levels, mos: &Levels, scene: &Levels) -> Vec<PairCounts> {
    let (mut scores, mut labels) = (Vec::new(), Vec::new());
    let of_scene = |rows: &[u32]| {
        scores.clear();
        scores.extend(rows.iter().map(|&row| score.codes[row as usize]));
        labels.clear();
        labels.extend(rows.iter().map(|&row| mos.codes[row as usize]));
        compare(&scores, &labels)
    };
    scene.groups().map(of_scene).collect()
}

fn compare(scores: &[u32], labels: &[u32]) -> PairCounts {
    if scores.len() > COMPARE_ALL_MAX {
        return PairCounts::of(&Levels::of_numbers(scores), &Levels::of_numbers(labels));
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
