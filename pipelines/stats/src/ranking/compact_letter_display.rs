//! The compact letter display: letters of groups, such that two algorithms (or metrics) share a letter if and only if they
//! do not differ significantly.

/// Returns the letters of each of `ranked`, in their order, given the pairs that differ significantly (Piepho 2004, "An algorithm for a letter-based
/// representation of all-pairwise comparisons"). A group that contains both algorithms of a significant pair is split
/// in two, one without each; a group that another contains is dropped.
///
/// # Panics
/// If a pair contains a number that is not ranked.
///
/// # Examples
/// ```
/// // 7 is the best and differs from 3 alone.
/// assert_eq!(dqa_stats::compact_letter_display(&[7, 5, 3], &[(7, 3)]), ["a", "ab", "b"]);
/// ```
pub fn compact_letter_display(ranked: &[usize], significant: &[(usize, usize)]) -> Vec<String> {
    let position = |number: usize| ranked.iter().position(|&other| other == number).expect("both of a pair are ranked");
    let mut groups: Vec<Vec<usize>> = vec![(0..ranked.len()).collect()];
    for &(first, second) in significant {
        let (first, second) = (position(first), position(second));
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

    proptest! {
        #[test]
        fn letters_are_shared_if_and_only_if_pairs_do_not_differ(
            differ in prop::collection::vec(any::<bool>(), 28), reversed in any::<bool>()
        ) {
            let ranked: Vec<usize> = if reversed { (0..8).rev().collect() } else { (0..8).collect() };
            let pairs: Vec<(usize, usize)> =
                (0..8).flat_map(|first| (first + 1..8).map(move |second| (first, second))).collect();
            let significant: Vec<(usize, usize)> =
                pairs.iter().zip(&differ).filter(|(_, differ)| **differ).map(|(pair, _)| *pair).collect();
            let letters = compact_letter_display(&ranked, &significant);
            let letters_of = |number: usize| &letters[ranked.iter().position(|other| *other == number).unwrap()];
            for (&(first, second), &differ) in pairs.iter().zip(&differ) {
                let shared = letters_of(first).chars().any(|letter| letters_of(second).contains(letter));
                prop_assert_eq!(shared, !differ);
            }
            prop_assert!(letters.iter().all(|letters| !letters.is_empty()));
        }
    }
}
