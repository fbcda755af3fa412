//! Corrections of p-values for the number of tests.

/// Returns p-values corrected by Holm's method (1979): the smallest is multiplied by the number of tests, the next by
/// one less, and so on; none is smaller than the one before it, and none exceeds 1.
pub(crate) fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut previous, mut corrected) = (0.0, vec![0.0; p.len()]);
    for (position, &test) in order.iter().enumerate() {
        previous = (p[test] * (order.len() - position) as f64).min(1.0).max(previous);
        corrected[test] = previous;
    }
    corrected
}

/// Corrects the p-values that are known by Holm's method (1979); the others stay `None` and do not count as tests.
///
/// # Examples
/// ```
/// assert_eq!(dqa_stats::holm_of_known(&[Some(0.25), None, Some(0.125)]), [Some(0.25), None, Some(0.25)]);
/// ```
pub fn holm_of_known(p: &[Option<f64>]) -> Vec<Option<f64>> {
    let known: Vec<f64> = p.iter().copied().flatten().collect();
    let mut corrected = holm(&known).into_iter();
    p.iter().map(|p| p.and_then(|_| corrected.next())).collect()
}

/// Returns which tests can be significant at all, given the smallest p-value that each can have: the largest set in
/// which every smallest p-value times the size of the set is below `alpha` (Tarone 1990). The other tests cannot be
/// rejected whatever the data are, so the correction need not count them.
pub(crate) fn testable(smallest: &[f64], alpha: f64) -> Vec<bool> {
    let testable_count = |count: usize| smallest.iter().filter(|p| **p * (count as f64) < alpha).count();
    let count = (1..=smallest.len()).find(|&count| testable_count(count) <= count).unwrap_or(1);
    smallest.iter().map(|p| p * (count as f64) < alpha).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holms_p_never_falls() {
        // R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
        for (corrected, expected) in holm(&[0.01, 0.04, 0.03, 0.005]).iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((corrected - expected).abs() < 1e-15);
        }
    }

    #[test]
    fn holms_correction_is_that_of_r() {
        // R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
        let corrected = holm_of_known(&[Some(0.01), None, Some(0.04), Some(0.03), Some(0.005)]);
        for (found, expected) in corrected.iter().zip([Some(0.03), None, Some(0.06), Some(0.06), Some(0.02)]) {
            assert_eq!(found.is_some(), expected.is_some());
            assert!((found.unwrap_or(0.0) - expected.unwrap_or(0.0)).abs() < 1e-15);
        }
    }

    #[test]
    fn tests_that_cannot_be_significant_leave_the_correction() {
        // 28 pairs of Wilcoxon's test: if all share equally many scenes, 11 are needed; fewer beside pairs that share
        // few.
        let p = |scenes: i32| 0.5_f64.powi(scenes - 1);
        assert_eq!(testable(&[p(10); 28], 0.05), [false; 28]);
        assert_eq!(testable(&[p(11); 28], 0.05), [true; 28]);
        assert_eq!(testable(&[p(5), p(6), p(5)], 0.05), [false, true, false]);
        let mut mixed = vec![p(5); 25];
        mixed.extend([p(8); 3]);
        assert_eq!(testable(&mixed, 0.05).iter().filter(|is| **is).count(), 3);
        assert_eq!(testable(&[], 0.05), [false; 0]);
    }
}
