//! The fit score = algorithm + scene by least squares over scene means, and what each scene contributes to it. Pure.
//!
//! Where every algorithm has every scene, an algorithm's adjusted score is its mean. Where some are missing, it is the mean that
//! the fit expects over all scenes: what it has of easy scenes is not taken for skill. Scenes are eliminated, so that what is
//! solved has one unknown for each algorithm: time algorithms squared times scenes. Algorithms that no chain of common scenes
//! connects have no common scale, and are fitted apart.

use nalgebra::DMatrix;

use super::estimate::StandardError;
use super::ranking::SceneScores;

/// Algorithms that common scenes connect.
#[derive(Clone, Debug)]
pub(super) struct Component {
    /// Rows of the matrix.
    pub(super) members: Vec<usize>,
    /// Columns in which a member has a score.
    pub(super) scenes: Vec<usize>,
    /// Of each member: the mean over all of `scenes`, those that it lacks as the fit expects them.
    pub(super) adjusted: Vec<f64>,
    /// Of `adjusted`; None under two scenes.
    pub(super) errors: Vec<Option<StandardError>>,
    /// (members, scenes): what a scene adds to the members' estimates. Where each member has each scene, they add up to the
    /// members' differences; elsewhere they are residuals, and add up to 0.
    pub(super) contributions: Vec<f64>,
    /// (members, members): of the estimates, for deviations of unit variance.
    pub(super) covariance: DMatrix<f64>,
    /// Variance of a score around its scene's mean: it stays the same whatever signs those deviations have.
    pub(super) variance: f64,
    /// Whether each member has a score of each of `scenes`.
    pub(super) complete: bool,
}

impl Component {
    /// Variance factor of a difference of estimates.
    pub(super) fn factor(&self, first: usize, second: usize) -> f64 {
        self.covariance[(first, first)] + self.covariance[(second, second)] - 2.0 * self.covariance[(first, second)]
    }
}

/// Fits each component; the largest first, by algorithms and then by scenes. Algorithms without a score are in none.
pub(super) fn fit(scores: &SceneScores<'_>) -> Vec<Component> {
    let mut components: Vec<Component> =
        connected(scores).into_iter().map(|members| component(scores, members)).collect();
    components.sort_by_key(|component| std::cmp::Reverse((component.members.len(), component.scenes.len())));
    components
}

/// Rows in groups that common scenes connect, each in the rows' order.
fn connected(scores: &SceneScores<'_>) -> Vec<Vec<usize>> {
    fn root(parents: &mut [usize], mut row: usize) -> usize {
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
            let (a, b) = (root(&mut parents, *first.get_or_insert(row)), root(&mut parents, row));
            parents[b] = a;
        }
    }
    let mut groups: Vec<Vec<usize>> = vec![Vec::new(); scores.algorithms];
    for row in (0..scores.algorithms).filter(|&row| has_score[row]) {
        groups[root(&mut parents, row)].push(row);
    }
    groups.retain(|group| !group.is_empty());
    groups.sort_by_key(|group| group[0]);
    groups
}

fn component(scores: &SceneScores<'_>, members: Vec<usize>) -> Component {
    let has = |scene: &usize| members.iter().any(|&row| !scores.row(row)[*scene].is_nan());
    let scenes: Vec<usize> = (0..scores.scenes).filter(has).collect();
    // (scenes, members)
    let mut table = Vec::with_capacity(scenes.len() * members.len());
    for &scene in &scenes {
        table.extend(members.iter().map(|&row| scores.row(row)[scene]));
    }
    if table.iter().any(|score| score.is_nan()) {
        with_holes(members, scenes, &table)
    } else {
        complete(scores, members, scenes, table)
    }
}

/// Deviations from the scene's mean, squared, over their degrees of freedom.
fn variance_within<'a>(scenes: impl Iterator<Item = &'a [f64]>) -> f64 {
    let (mut squares, mut freedom) = (0.0, 0.0);
    for scene in scenes {
        let (mean, count) = mean(scene);
        squares += scene.iter().filter(|score| !score.is_nan()).map(|score| (score - mean).powi(2)).sum::<f64>();
        freedom += count - 1.0;
    }
    if freedom > 0.0 { squares / freedom } else { 0.0 }
}

/// The mean of what is there, and how many that are.
fn mean(scores: &[f64]) -> (f64, f64) {
    let there = || scores.iter().filter(|score| !score.is_nan());
    let count = there().count() as f64;
    (there().sum::<f64>() / count, count)
}

fn complete(scores: &SceneScores<'_>, members: Vec<usize>, scenes: Vec<usize>, mut table: Vec<f64>) -> Component {
    let (m, n) = (members.len(), scenes.len() as f64);
    let of_member = |&row: &usize| scenes.iter().map(move |&scene| scores.row(row)[scene]);
    // The sum in the order of a plain mean, so that both are the same to the bit.
    let adjusted: Vec<f64> = members.iter().map(|row| of_member(row).sum::<f64>() / n).collect();
    let error = |(row, adjusted): (&usize, &f64)| {
        let squares: f64 = of_member(row).map(|score| (score - adjusted).powi(2)).sum();
        (n > 1.0).then(|| StandardError { error: (squares / (n - 1.0) / n).sqrt(), freedom: n - 1.0 })
    };
    let errors = members.iter().zip(&adjusted).map(error).collect();
    let variance = variance_within(table.chunks(m));
    for scene in table.chunks_mut(m) {
        let (mean, _) = mean(scene);
        scene.iter_mut().for_each(|score| *score = (*score - mean) / n);
    }
    let contributions = transposed(&table, m);
    let covariance = (DMatrix::identity(m, m) - DMatrix::from_element(m, m, 1.0 / m as f64)) / n;
    Component { members, scenes, adjusted, errors, contributions, covariance, variance, complete: true }
}

fn with_holes(members: Vec<usize>, scenes: Vec<usize>, table: &[f64]) -> Component {
    let m = members.len();
    let present = |scene: &[f64]| -> Vec<usize> { (0..m).filter(|&member| !scene[member].is_nan()).collect() };
    // The normal equations after scenes are eliminated: a Laplacian, whose rows add up to 0.
    let (mut laplacian, mut right) = (DMatrix::<f64>::zeros(m, m), vec![0.0; m]);
    // By how much an effect of each algorithm moves the mean of the scenes' effects.
    let mut shares = vec![0.0; m];
    for scene in table.chunks(m) {
        let (mean, count) = mean(scene);
        let there = present(scene);
        for &a in &there {
            laplacian[(a, a)] += 1.0;
            right[a] += scene[a] - mean;
            shares[a] += 1.0 / count / scenes.len() as f64;
            for &b in &there {
                laplacian[(a, b)] -= 1.0 / count;
            }
        }
    }
    let covariance = pseudo_inverse(laplacian);
    let effects: Vec<f64> = (0..m).map(|a| (0..m).map(|b| covariance[(a, b)] * right[b]).sum()).collect();
    let mut contributions = vec![0.0; table.len()];
    let mut of_scenes = Vec::with_capacity(scenes.len());
    for (scene, contribution) in table.chunks(m).zip(contributions.chunks_mut(m)) {
        let there = present(scene);
        let (mean, count) = mean(scene);
        let of_scene = mean - there.iter().map(|&a| effects[a]).sum::<f64>() / count;
        of_scenes.push(of_scene);
        for &b in &there {
            let residual = scene[b] - effects[b] - of_scene;
            for (a, sum) in contribution.iter_mut().enumerate() {
                *sum += covariance[(a, b)] * residual;
            }
        }
    }
    let n = scenes.len() as f64;
    let level = of_scenes.iter().sum::<f64>() / n;
    let mut squares = vec![0.0; m];
    for (of_scene, contribution) in of_scenes.iter().zip(contributions.chunks(m)) {
        let common = (of_scene - level) / n - shares.iter().zip(contribution).map(|(a, b)| a * b).sum::<f64>();
        for (square, own) in squares.iter_mut().zip(contribution) {
            *square += (common + own).powi(2);
        }
    }
    let error = |member: usize| {
        let own = table.chunks(m).filter(|scene| !scene[member].is_nan()).count() as f64;
        (own > 1.0).then(|| StandardError { error: (squares[member] * own / (own - 1.0)).sqrt(), freedom: own - 1.0 })
    };
    Component {
        adjusted: effects.iter().map(|effect| effect + level).collect(),
        errors: (0..m).map(error).collect(),
        contributions: transposed(&contributions, m),
        covariance,
        variance: variance_within(table.chunks(m)),
        complete: false,
        members,
        scenes,
    }
}

/// (scenes, members) as (members, scenes).
fn transposed(table: &[f64], members: usize) -> Vec<f64> {
    (0..members).flat_map(|member| table.iter().skip(member).step_by(members).copied()).collect()
}

/// Of a connected graph's Laplacian, whose null space is the constant vector alone.
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

    fn fitted(algorithms: usize, scores: &[f64]) -> Vec<Component> {
        fit(&SceneScores { algorithms, scenes: scores.len() / algorithms, scores })
    }

    #[test]
    fn holes_are_filled_as_least_squares_does() {
        // additive.py of the review: numpy.linalg.lstsq over indicators of algorithms and scenes, adjusted = b[:A] + mean(b[A:])
        let scores = [
            0.61, 0.35, 0.80, 0.44, HOLE, HOLE, //
            0.58, HOLE, 0.71, 0.42, 0.66, 0.30, //
            HOLE, HOLE, HOLE, 0.52, 0.70, 0.41,
        ];
        let components = fitted(3, &scores);
        let wanted = [0.5382291666666679, 0.4963541666666663, 0.585729166666667];
        for (adjusted, wanted) in components[0].adjusted.iter().zip(wanted) {
            assert!((adjusted - wanted).abs() < 1e-12, "{:?}", components[0].adjusted);
        }
    }

    #[test]
    fn what_no_scene_connects_is_fitted_apart() {
        let scores = [
            0.9, 0.8, HOLE, HOLE, //
            HOLE, HOLE, 0.1, 0.2, //
            HOLE, HOLE, HOLE, 0.5, //
            HOLE, HOLE, HOLE, HOLE,
        ];
        let components = fitted(4, &scores);
        assert_eq!(components.iter().map(|of| of.members.clone()).collect::<Vec<_>>(), [vec![1, 2], vec![0]]);
        assert!((components[0].adjusted[1] - components[0].adjusted[0] - 0.3).abs() < 1e-12);
        assert!((components[1].adjusted[0] - 0.85).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn a_complete_matrix_is_fitted_by_either_way_alike(scores in prop::collection::vec(0.0..1.0_f64, 28)) {
            let direct = &fitted(4, &scores)[0];
            let table: Vec<f64> = (0..7).flat_map(|scene| (0..4).map(move |row| (row, scene)))
                .map(|(row, scene)| scores[row * 7 + scene]).collect();
            let solved = with_holes(vec![0, 1, 2, 3], (0..7).collect(), &table);
            for row in 0..4 {
                prop_assert_eq!(direct.adjusted[row], scores[row * 7..][..7].iter().sum::<f64>() / 7.0);
                prop_assert!((direct.adjusted[row] - solved.adjusted[row]).abs() < 1e-12);
                let (a, b) = (direct.errors[row].unwrap(), solved.errors[row].unwrap());
                prop_assert!((a.error - b.error).abs() < 1e-12 && a.freedom == b.freedom);
                prop_assert!((direct.factor(row, (row + 1) % 4) - solved.factor(row, (row + 1) % 4)).abs() < 1e-12);
            }
        }

        /// A table that is algorithm + scene without noise is found again, whatever is missing.
        #[test]
        fn what_is_additive_is_found_again(
            effects in prop::collection::vec(-1.0..1.0_f64, 5), scenes in prop::collection::vec(-1.0..1.0_f64, 9),
            holes in prop::collection::vec(prop::bool::weighted(0.4), 45)
        ) {
            let scores: Vec<f64> = (0..45)
                .map(|cell| if holes[cell] { HOLE } else { effects[cell / 9] + scenes[cell % 9] })
                .collect();
            for component in fitted(5, &scores) {
                for pair in component.members.windows(2).enumerate() {
                    let (place, [a, b]) = pair else { unreachable!() };
                    let difference = component.adjusted[place] - component.adjusted[place + 1];
                    prop_assert!((difference - (effects[*a] - effects[*b])).abs() < 1e-9);
                }
            }
        }
    }
}
