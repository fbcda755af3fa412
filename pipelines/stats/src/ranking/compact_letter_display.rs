//! The compact letter display: letters of groups, such that two algorithms share a letter if and only if they do not
//! differ significantly.

use super::comparison::Comparison;

/// Returns the letters of each of `ranked`, in their order (Piepho 2004, "An algorithm for a letter-based
/// representation of all-pairwise comparisons"). A group that contains both algorithms of a significant pair is split
/// in two, one without each; a group that another contains is dropped.
pub(super) fn compact_letter_display(ranked: &[usize], comparisons: &[Comparison]) -> Vec<String> {
    let position = |number: usize| ranked.iter().position(|&other| other == number).expect("both of a pair are ranked");
    let mut groups: Vec<Vec<usize>> = vec![(0..ranked.len()).collect()];
    for pair in comparisons.iter().filter(|pair| pair.significant) {
        let (first, second) = (position(pair.first), position(pair.second));
        let (split, mut kept): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|group| group.contains(&first) && group.contains(&second));
        for group in split {
            for removed in [first, second] {
                let part: Vec<usize> = group.iter().copied().filter(|&member| member != removed).collect();
                if !kept.iter().any(|other| is_subset(&part, other)) {
                    kept.retain(|other| !is_subset(other, &part));
                    kept.push(part);
                }
            }
        }
        groups = kept;
    }
    groups.sort();
    let mut letters = vec![String::new(); ranked.len()];
    for (group, members) in groups.iter().enumerate() {
        for &member in members {
            letters[member] += &letter(group);
        }
    }
    letters
}

fn is_subset(group: &[usize], other: &[usize]) -> bool {
    group.iter().all(|member| other.contains(member))
}

/// Returns a to z, then A to Z, then (53), (54), ...
fn letter(group: usize) -> String {
    match group {
        0..26 => char::from(b'a' + group as u8).into(),
        26..52 => char::from(b'A' + (group - 26) as u8).into(),
        _ => format!("({})", group + 1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::estimate::{Estimate, NoInterval};

    fn pair(first: usize, second: usize, significant: bool) -> Comparison {
        Comparison {
            first,
            second,
            scenes: 1,
            difference: Estimate { value: 0.0, interval: Err(NoInterval::TooFewScenes) },
            rank_biserial: None,
            probability_of_superiority: None,
            p: 1.0,
            p_corrected: None,
            p_smallest: 1.0,
            minimum_detectable_difference: None,
            equivalence: None,
            testable: true,
            significant,
        }
    }

    proptest! {
        #[test]
        fn letters_are_shared_if_and_only_if_pairs_do_not_differ(
            differ in prop::collection::vec(any::<bool>(), 28), reversed in any::<bool>()
        ) {
            let ranked: Vec<usize> = if reversed { (0..8).rev().collect() } else { (0..8).collect() };
            let pairs = (0..8).flat_map(|first| (first + 1..8).map(move |second| (first, second)));
            let comparisons: Vec<Comparison> = pairs.zip(&differ).map(|((a, b), differ)| pair(a, b, *differ)).collect();
            let letters = compact_letter_display(&ranked, &comparisons);
            let letters_of = |number: usize| &letters[ranked.iter().position(|other| *other == number).unwrap()];
            for pair in &comparisons {
                let shared = letters_of(pair.first).chars().any(|letter| letters_of(pair.second).contains(letter));
                prop_assert_eq!(shared, !pair.significant);
            }
            prop_assert!(letters.iter().all(|letters| !letters.is_empty()));
        }
    }
}
