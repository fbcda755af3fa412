//! Letters of groups: two algorithms share one if and only if they do not differ significantly. Pure.

use super::comparing::Comparison;

/// Of each of `ranked`, in their order: the letters of the groups that it is in (Piepho 2004, "An algorithm for a letter-based
/// representation of all-pairwise comparisons"). A group that holds a significant pair is split in two, one without each;
/// a group within another is dropped.
pub(super) fn letters(ranked: &[usize], comparisons: &[Comparison]) -> Vec<String> {
    let place =
        |number: usize| ranked.iter().position(|&other| other == number).expect("a pair is of ranked algorithms");
    let mut groups: Vec<Vec<usize>> = vec![(0..ranked.len()).collect()];
    for pair in comparisons.iter().filter(|pair| pair.significant) {
        let (first, second) = (place(pair.first), place(pair.second));
        let (split, mut kept): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|group| group.contains(&first) && group.contains(&second));
        for group in split {
            for without in [first, second] {
                let part: Vec<usize> = group.iter().copied().filter(|&member| member != without).collect();
                if !kept.iter().any(|other| is_within(&part, other)) {
                    kept.retain(|other| !is_within(other, &part));
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

fn is_within(group: &[usize], other: &[usize]) -> bool {
    group.iter().all(|member| other.contains(member))
}

/// a to z, A to Z, then (53) and so on.
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

    use super::super::estimate::{Estimate, NoInterval};
    use super::*;

    fn pair(first: usize, second: usize, significant: bool) -> Comparison {
        Comparison {
            first,
            second,
            scenes: 1,
            difference: Estimate { value: 0.0, interval: Err(NoInterval::TooFewScenes) },
            rank_biserial: None,
            superiority: None,
            p: 1.0,
            p_corrected: None,
            p_smallest: 1.0,
            detectable: None,
            equivalence: None,
            testable: true,
            significant,
        }
    }

    proptest! {
        #[test]
        fn letters_are_shared_if_and_only_if_pairs_do_not_differ(
            differ in prop::collection::vec(any::<bool>(), 28), turned in any::<bool>()
        ) {
            let ranked: Vec<usize> = if turned { (0..8).rev().collect() } else { (0..8).collect() };
            let pairs = (0..8).flat_map(|first| (first + 1..8).map(move |second| (first, second)));
            let comparisons: Vec<Comparison> = pairs.zip(&differ).map(|((a, b), differ)| pair(a, b, *differ)).collect();
            let letters = letters(&ranked, &comparisons);
            let of = |number: usize| &letters[ranked.iter().position(|other| *other == number).unwrap()];
            for pair in &comparisons {
                let shared = of(pair.first).chars().any(|letter| of(pair.second).contains(letter));
                prop_assert_eq!(shared, !pair.significant);
            }
            prop_assert!(letters.iter().all(|letters| !letters.is_empty()));
        }
    }
}
