//! The two-way additive model score = algorithm + scene, fitted by least squares to scene means, and the contribution
//! of each scene to the fit.
//!
//! If every algorithm has a score of every scene, an algorithm's adjusted score is its mean. If scores are missing, it
//! is the mean that the fit expects over all scenes, so that an algorithm does not gain from having only easy scenes.
//! The scene effects are eliminated, which leaves one unknown for each algorithm; the time is proportional to
//! algorithms squared times scenes. Algorithms that no chain of common scenes connects have no common scale, and are
//! fitted separately.

use nalgebra::DMatrix;

use super::scene_scores::SceneScores;
use crate::estimate::StandardError;

/// The fit to a connected component: algorithms that common scenes connect.
#[derive(Clone, Debug)]
pub(super) struct ComponentFit {
    /// The algorithms, as rows of the matrix.
    pub(super) members: Vec<usize>,
    /// The scenes of which a member has a score, as columns of the matrix.
    pub(super) scenes: Vec<usize>,
    /// (members): the mean over all of `scenes`, with missing scores replaced by their fitted values.
    pub(super) adjusted: Vec<f64>,
    /// (members): the standard errors of `adjusted`; `None` for a member with fewer than two scenes.
    pub(super) errors: Vec<Option<StandardError>>,
    /// (members, scenes): what a scene adds to the estimates of the members. If no score is missing, the contributions
    /// add up to the members' differences; otherwise they are those of the residuals, and add up to 0.
    pub(super) contributions: Vec<f64>,
    /// (members, members): the covariance of the estimates for scores with unit variance.
    pub(super) covariance: DMatrix<f64>,
    /// The variance of a score about its scene's mean. Flipping the signs of these deviations does not change it.
    pub(super) variance: f64,
    /// Whether each member has a score of each of `scenes`.
    pub(super) complete: bool,
}

impl ComponentFit {
    /// Returns the variance of a difference of two members' estimates, for scores with unit variance.
    pub(super) fn difference_variance(&self, first: usize, second: usize) -> f64 {
        self.covariance[(first, first)] + self.covariance[(second, second)] - 2.0 * self.covariance[(first, second)]
    }
}

/// Fits each component, in descending order of the number of algorithms and then of scenes. Algorithms without a score
/// belong to no component.
pub(super) fn fit_components(scores: &SceneScores<'_>) -> Vec<ComponentFit> {
    let mut components: Vec<ComponentFit> =
        connected_components(scores).into_iter().map(|members| fit_component(scores, members)).collect();
    components.sort_by_key(|component| std::cmp::Reverse((component.members.len(), component.scenes.len())));
    components
}

/// Groups the rows that common scenes connect; rows within a group are in ascending order.
fn connected_components(scores: &SceneScores<'_>) -> Vec<Vec<usize>> {
    fn find_root(parents: &mut [usize], mut row: usize) -> usize {
        while parents[row] != row {
            parents[row] = parents[parents[row]];
            row = parents[row];
        }
        row
    }
    let mut parents: Vec<usize> = (0..scores.algorithms).collect();
    let mut has_score = vec![false; scores.algorithms];
    for scene in 0..scores.scenes {
        let mut first = None;
        for row in (0..scores.algorithms).filter(|&row| !scores.row(row)[scene].is_nan()) {
            has_score[row] = true;
            let (a, b) = (find_root(&mut parents, *first.get_or_insert(row)), find_root(&mut parents, row));
            parents[b] = a;
        }
    }
    let mut groups: Vec<Vec<usize>> = vec![Vec::new(); scores.algorithms];
    for row in (0..scores.algorithms).filter(|&row| has_score[row]) {
        groups[find_root(&mut parents, row)].push(row);
    }
    groups.retain(|group| !group.is_empty());
    groups.sort_by_key(|group| group[0]);
    groups
}

fn fit_component(scores: &SceneScores<'_>, members: Vec<usize>) -> ComponentFit {
    let has_score = |scene: &usize| members.iter().any(|&row| !scores.row(row)[*scene].is_nan());
    let scenes: Vec<usize> = (0..scores.scenes).filter(has_score).collect();
    // (scenes, members)
    let mut table = Vec::with_capacity(scenes.len() * members.len());
    for &scene in &scenes {
        table.extend(members.iter().map(|&row| scores.row(row)[scene]));
    }
    if table.iter().any(|score| score.is_nan()) {
        fit_incomplete(members, scenes, &table)
    } else {
        fit_complete(scores, members, scenes, table)
    }
}

/// Returns the sum of squared deviations from the scenes' means, divided by its degrees of freedom.
fn variance_within<'a>(scenes: impl Iterator<Item = &'a [f64]>) -> f64 {
    let (mut squares, mut degrees_of_freedom) = (0.0, 0.0);
    for scene in scenes {
        let (mean, count) = mean_of_known(scene);
        squares += scene.iter().filter(|score| !score.is_nan()).map(|score| (score - mean).powi(2)).sum::<f64>();
        degrees_of_freedom += count - 1.0;
    }
    if degrees_of_freedom > 0.0 { squares / degrees_of_freedom } else { 0.0 }
}

/// Returns the mean of the scores that are not NaN, and their number.
fn mean_of_known(scores: &[f64]) -> (f64, f64) {
    let known = || scores.iter().filter(|score| !score.is_nan());
    let count = known().count() as f64;
    (known().sum::<f64>() / count, count)
}

fn fit_complete(
    scores: &SceneScores<'_>,
    members: Vec<usize>,
    scenes: Vec<usize>,
    mut table: Vec<f64>,
) -> ComponentFit {
    let (m, n) = (members.len(), scenes.len() as f64);
    let member_scores = |&row: &usize| scenes.iter().map(move |&scene| scores.row(row)[scene]);
    // The sums run in the order of a plain mean, so that both are equal to the bit.
    let adjusted: Vec<f64> = members.iter().map(|row| member_scores(row).sum::<f64>() / n).collect();
    let error = |(row, adjusted): (&usize, &f64)| {
        let squares: f64 = member_scores(row).map(|score| (score - adjusted).powi(2)).sum();
        (n > 1.0).then(|| StandardError { error: (squares / (n - 1.0) / n).sqrt(), degrees_of_freedom: n - 1.0 })
    };
    let errors = members.iter().zip(&adjusted).map(error).collect();
    let variance = variance_within(table.chunks(m));
    for scene in table.chunks_mut(m) {
        let (mean, _) = mean_of_known(scene);
        scene.iter_mut().for_each(|score| *score = (*score - mean) / n);
    }
    let contributions = transpose(&table, m);
    let covariance = (DMatrix::identity(m, m) - DMatrix::from_element(m, m, 1.0 / m as f64)) / n;
    ComponentFit { members, scenes, adjusted, errors, contributions, covariance, variance, complete: true }
}

/// The normal equations of an incomplete table after the scene effects are eliminated.
struct NormalEquations {
    /// (members, members): a graph Laplacian, whose rows add up to 0.
    laplacian: DMatrix<f64>,
    /// (members): the right-hand side.
    right: Vec<f64>,
    /// (members): by how much the effect of an algorithm moves the mean of the scene effects.
    shares: Vec<f64>,
}

impl NormalEquations {
    /// Builds the equations of a (scenes, members) table.
    fn new(table: &[f64], members: usize, scenes: usize) -> NormalEquations {
        let mut laplacian = DMatrix::<f64>::zeros(members, members);
        let (mut right, mut shares) = (vec![0.0; members], vec![0.0; members]);
        for scene in table.chunks(members) {
            let (mean, count) = mean_of_known(scene);
            let known = known_members(scene);
            for &a in &known {
                laplacian[(a, a)] += 1.0;
                right[a] += scene[a] - mean;
                shares[a] += 1.0 / count / scenes as f64;
                for &b in &known {
                    laplacian[(a, b)] -= 1.0 / count;
                }
            }
        }
        NormalEquations { laplacian, right, shares }
    }
}

fn known_members(scene: &[f64]) -> Vec<usize> {
    (0..scene.len()).filter(|&member| !scene[member].is_nan()).collect()
}

fn fit_incomplete(members: Vec<usize>, scenes: Vec<usize>, table: &[f64]) -> ComponentFit {
    let m = members.len();
    let NormalEquations { laplacian, right, shares } = NormalEquations::new(table, m, scenes.len());
    let covariance = pseudo_inverse(laplacian);
    let effects: Vec<f64> = (0..m).map(|a| (0..m).map(|b| covariance[(a, b)] * right[b]).sum()).collect();
    let mut contributions = vec![0.0; table.len()];
    let mut scene_effects = Vec::with_capacity(scenes.len());
    for (scene, contribution) in table.chunks(m).zip(contributions.chunks_mut(m)) {
        let known = known_members(scene);
        let (mean, count) = mean_of_known(scene);
        let scene_effect = mean - known.iter().map(|&a| effects[a]).sum::<f64>() / count;
        scene_effects.push(scene_effect);
        for &b in &known {
            let residual = scene[b] - effects[b] - scene_effect;
            for (a, sum) in contribution.iter_mut().enumerate() {
                *sum += covariance[(a, b)] * residual;
            }
        }
    }
    let n = scenes.len() as f64;
    let mean_scene_effect = scene_effects.iter().sum::<f64>() / n;
    let mut squares = vec![0.0; m];
    for (scene_effect, contribution) in scene_effects.iter().zip(contributions.chunks(m)) {
        let common =
            (scene_effect - mean_scene_effect) / n - shares.iter().zip(contribution).map(|(a, b)| a * b).sum::<f64>();
        for (square, own) in squares.iter_mut().zip(contribution) {
            *square += (common + own).powi(2);
        }
    }
    let error = |member: usize| {
        let own = table.chunks(m).filter(|scene| !scene[member].is_nan()).count() as f64;
        (own > 1.0).then(|| StandardError {
            error: (squares[member] * own / (own - 1.0)).sqrt(),
            degrees_of_freedom: own - 1.0,
        })
    };
    ComponentFit {
        adjusted: effects.iter().map(|effect| effect + mean_scene_effect).collect(),
        errors: (0..m).map(error).collect(),
        contributions: transpose(&contributions, m),
        covariance,
        variance: variance_within(table.chunks(m)),
        complete: false,
        members,
        scenes,
    }
}

/// (scenes, members) -> (members, scenes)
fn transpose(table: &[f64], members: usize) -> Vec<f64> {
    (0..members).flat_map(|member| table.iter().skip(member).step_by(members).copied()).collect()
}

/// Returns the pseudo-inverse of the Laplacian of a connected graph, whose null space is spanned by the constant
/// vector.
fn pseudo_inverse(laplacian: DMatrix<f64>) -> DMatrix<f64> {
    let m = laplacian.nrows();
    let size = (laplacian.trace() / m as f64).max(1.0);
    let constant = DMatrix::from_element(m, m, 1.0 / m as f64);
    let inverse = (laplacian + &constant * size).cholesky().expect("common scenes connect all members").inverse();
    inverse - constant / size
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOLE: f64 = f64::NAN;

    fn fitted(algorithms: usize, scores: &[f64]) -> Vec<ComponentFit> {
        fit_components(&SceneScores { algorithms, scenes: scores.len() / algorithms, scores })
    }

    #[test]
    fn missing_scores_are_fitted_as_least_squares_does() {
        // By numpy.linalg.lstsq over indicators of algorithms and scenes, adjusted = b[:A] + mean(b[A:])
        let scores = [
            0.61, 0.35, 0.80, 0.44, HOLE, HOLE, //
            0.58, HOLE, 0.71, 0.42, 0.66, 0.30, //
            HOLE, HOLE, HOLE, 0.52, 0.70, 0.41,
        ];
        let components = fitted(3, &scores);
        let expected = [0.5382291666666679, 0.4963541666666663, 0.585729166666667];
        for (adjusted, expected) in components[0].adjusted.iter().zip(expected) {
            assert!((adjusted - expected).abs() < 1e-12, "{:?}", components[0].adjusted);
        }
    }

    #[test]
    fn unconnected_algorithms_are_fitted_separately() {
        let scores = [
            0.9, 0.8, HOLE, HOLE, //
            HOLE, HOLE, 0.1, 0.2, //
            HOLE, HOLE, HOLE, 0.5, //
            HOLE, HOLE, HOLE, HOLE,
        ];
        let components = fitted(4, &scores);
        assert_eq!(
            components.iter().map(|component| component.members.clone()).collect::<Vec<_>>(),
            [vec![1, 2], vec![0]]
        );
        assert!((components[0].adjusted[1] - components[0].adjusted[0] - 0.3).abs() < 1e-12);
        assert!((components[1].adjusted[0] - 0.85).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn a_complete_matrix_is_fitted_by_either_way_alike(scores in prop::collection::vec(0.0..1.0_f64, 28)) {
            let direct = &fitted(4, &scores)[0];
            let table: Vec<f64> = (0..7).flat_map(|scene| (0..4).map(move |row| (row, scene)))
                .map(|(row, scene)| scores[row * 7 + scene]).collect();
            let solved = fit_incomplete(vec![0, 1, 2, 3], (0..7).collect(), &table);
            for row in 0..4 {
                prop_assert_eq!(direct.adjusted[row], scores[row * 7..][..7].iter().sum::<f64>() / 7.0);
                prop_assert!((direct.adjusted[row] - solved.adjusted[row]).abs() < 1e-12);
                let (a, b) = (direct.errors[row].unwrap(), solved.errors[row].unwrap());
                prop_assert!((a.error - b.error).abs() < 1e-12 && a.degrees_of_freedom == b.degrees_of_freedom);
                let variance = |fit: &ComponentFit| fit.difference_variance(row, (row + 1) % 4);
                prop_assert!((variance(direct) - variance(&solved)).abs() < 1e-12);
            }
        }

        /// A table of algorithm + scene without noise is recovered whichever scores are missing.
        #[test]
        fn an_additive_table_is_recovered(
            effects in prop::collection::vec(-1.0..1.0_f64, 5), scenes in prop::collection::vec(-1.0..1.0_f64, 9),
            holes in prop::collection::vec(prop::bool::weighted(0.4), 45)
        ) {
            let scores: Vec<f64> = (0..45)
                .map(|cell| if holes[cell] { HOLE } else { effects[cell / 9] + scenes[cell % 9] })
                .collect();
            for component in fitted(5, &scores) {
                for pair in component.members.windows(2).enumerate() {
                    let (index, [a, b]) = pair else { unreachable!() };
                    let difference = component.adjusted[index] - component.adjusted[index + 1];
                    prop_assert!((difference - (effects[*a] - effects[*b])).abs() < 1e-9);
                }
            }
        }
    }
}
