//! Rankings of the algorithms of one data set, and across data sets.

use super::additive_model;
use super::algorithm_group::AlgorithmGroup;
use super::comparison::Comparison;
use super::component_statistics::ComponentStatistics;
use super::rank_options::RankOptions;
use super::scene_scores::SceneScores;
use super::standing::Standing;

/// Algorithms in order, and the comparison of every pair of ranked ones.
#[derive(Clone, Debug)]
pub struct Ranking {
    /// The algorithms by component, then by adjusted score, best first. Algorithms without a score are missing.
    pub standings: Vec<Standing>,
    /// Each pair of ranked algorithms of one component once.
    pub comparisons: Vec<Comparison>,
    /// The statistics from which a ranking across data sets is computed.
    components: Vec<ComponentStatistics>,
    hazy: Option<usize>,
}

impl Ranking {
    /// Replaces the numbers of the algorithms, so that those of several data sets agree.
    pub fn renumber(&mut self, number: impl Fn(usize) -> usize) {
        self.standings.iter_mut().for_each(|standing| standing.algorithm = number(standing.algorithm));
        self.hazy = self.hazy.map(&number);
        for pair in &mut self.comparisons {
            (pair.first, pair.second) = (number(pair.first), number(pair.second));
        }
        for component in &mut self.components {
            component.algorithms.iter_mut().for_each(|algorithm| *algorithm = number(*algorithm));
        }
    }
}

/// Ranks the algorithms of a data set by adjusted score and tests all pairs. The row `hazy` is the unprocessed input:
/// it stands in the order, but has no rank and takes no part in the tests; the other algorithms have their gain over
/// it.
///
/// Scenes are assumed to be independent draws from the scenes that the statement is about; the algorithms are fixed.
///
/// # Panics
/// If the number of scores is not algorithms times scenes.
///
/// # Examples
/// ```
/// use dqa_stats::{RankOptions, SceneScores, rank_algorithms};
///
/// // Three algorithms on ten scenes; the third has no score of the last scene.
/// let scores = [
///     0.62, 0.55, 0.71, 0.60, 0.58, 0.66, 0.63, 0.70, 0.59, 0.64,
///     0.61, 0.56, 0.70, 0.61, 0.57, 0.66, 0.62, 0.71, 0.58, 0.65,
///     0.42, 0.37, 0.50, 0.41, 0.36, 0.47, 0.40, 0.52, 0.38, f64::NAN,
/// ];
/// let table = SceneScores { algorithms: 3, scenes: 10, scores: &scores };
/// let ranking = rank_algorithms(&table, None, &RankOptions::default());
///
/// let ranks: Vec<_> = ranking.standings.iter().map(|standing| standing.rank.as_ref().unwrap()).collect();
/// // The first two differ by less than chance and share a letter; the third is significantly worse than both.
/// assert_eq!([ranks[0].groups.as_str(), &ranks[1].groups, &ranks[2].groups], ["a", "a", "b"]);
/// assert_eq!((ranks[0].rank, ranks[0].best, ranks[0].worst), (1, 1, 2));
/// let pair = ranking.comparisons.iter().find(|pair| (pair.first, pair.second) == (0, 2)).unwrap();
/// assert!(pair.significant && pair.p_corrected.unwrap() < 0.01);
/// assert!(pair.difference.interval.unwrap().low > 0.15);
/// ```
pub fn rank_algorithms(scores: &SceneScores<'_>, hazy: Option<usize>, options: &RankOptions) -> Ranking {
    assert_eq!(
        scores.scores.len(),
        scores.algorithms * scores.scenes,
        "the number of scores is not algorithms times scenes"
    );
    let components: Vec<ComponentStatistics> = (additive_model::fit_components(scores).iter())
        .map(|fit| ComponentStatistics::new(scores, fit, options))
        .collect();
    let (mut standings, mut comparisons) = (Vec::new(), Vec::new());
    for (number, component) in (1..).zip(&components) {
        let group = AlgorithmGroup { components: &[component], algorithms: &component.algorithms, hazy, number };
        let (group_standings, group_comparisons) = group.rank(options);
        standings.extend(group_standings);
        comparisons.extend(group_comparisons);
    }
    Ranking { standings, comparisons, components, hazy }
}

/// Ranks the algorithms that have a score on every data set by the mean of their adjusted scores, with equal weight for
/// each data set. `rankings` are those of the data sets, with the same numbers for the same algorithms. Two algorithms
/// are compared only if common scenes connect them on every data set.
///
/// Signs are flipped for the scenes of all data sets, so tests are stratified by data set: intervals and p-values hold
/// for these data sets, and not for others that might have been chosen.
pub fn rank_across_data_sets(rankings: &[&Ranking], options: &RankOptions) -> Ranking {
    let hazy = rankings.iter().find_map(|ranking| ranking.hazy);
    let (mut standings, mut comparisons) = (Vec::new(), Vec::new());
    for (number, (indices, algorithms)) in (1..).zip(common_groups(rankings, hazy)) {
        let components: Vec<&ComponentStatistics> =
            rankings.iter().zip(indices).map(|(ranking, index)| &ranking.components[index]).collect();
        let group = AlgorithmGroup { components: &components, algorithms: &algorithms, hazy, number };
        let (group_standings, group_comparisons) = group.rank(options);
        standings.extend(group_standings);
        comparisons.extend(group_comparisons);
    }
    Ranking { standings, comparisons, components: Vec::new(), hazy }
}

/// Groups the algorithms that have a score on every data set by their components there. Returns, for each group, the
/// index of the component in each ranking, and the algorithms in ascending order; the largest group is first.
fn common_groups(rankings: &[&Ranking], hazy: Option<usize>) -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut groups: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
    let mut algorithms: Vec<usize> = rankings
        .first()
        .map_or_else(Vec::new, |ranking| ranking.standings.iter().map(|standing| standing.algorithm).collect());
    algorithms.sort_unstable();
    for algorithm in algorithms {
        // The hazy input of one data set is not an algorithm of another.
        if hazy == Some(algorithm) && rankings.iter().any(|ranking| ranking.hazy != hazy) {
            continue;
        }
        let index = |ranking: &&Ranking| {
            ranking.components.iter().position(|component| component.algorithms.contains(&algorithm))
        };
        let Some(indices) = rankings.iter().map(index).collect::<Option<Vec<usize>>>() else { continue };
        match groups.iter_mut().find(|group| group.0 == indices) {
            Some(group) => group.1.push(algorithm),
            None => groups.push((indices, vec![algorithm])),
        }
    }
    groups.sort_by_key(|(_, algorithms)| std::cmp::Reverse(algorithms.len()));
    groups
}
