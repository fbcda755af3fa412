//! Draws rows of a run at random, so that somebody who does not trust a result can compute them again.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::parts::{self, PartError};
use crate::run::PartRef;
use crate::store::Store;
use crate::tables::scores::ScoreRow;

/// A row of a part.
#[derive(Clone, Debug, PartialEq)]
pub struct SampledRow {
    /// The part.
    pub part: PartRef,
    /// The row.
    pub row: ScoreRow,
}

/// Draws different rows of these parts, all with the same probability; all rows if there are no more than `count`. The same
/// seed draws the same rows of the same parts.
///
/// # Errors
/// If a part with a drawn row cannot be read.
pub async fn sample_rows(
    store: &Store,
    parts: &[PartRef],
    count: usize,
    seed: u64,
) -> Result<Vec<SampledRow>, PartError> {
    let mut rows = Vec::new();
    for (part, drawn) in draw(parts, count, seed) {
        let part = &parts[part];
        let found = parts::read_rows(store, &part.key).await?;
        let drawn = drawn.into_iter().filter_map(|row| found.get(row).cloned());
        rows.extend(drawn.map(|row| SampledRow { part: part.clone(), row }));
    }
    Ok(rows)
}

/// Draws rows by the parts' planned numbers of rows, and returns their indices by the indices of the parts.
fn draw(parts: &[PartRef], count: usize, seed: u64) -> BTreeMap<usize, Vec<usize>> {
    // The number of rows up to the end of each part.
    let ends: Vec<usize> = parts
        .iter()
        .scan(0, |end, part| {
            *end += usize::try_from(part.rows).unwrap_or(0);
            Some(*end)
        })
        .collect();
    let all = ends.last().copied().unwrap_or(0);
    let mut drawn: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for row in rand::seq::index::sample(&mut ChaCha8Rng::seed_from_u64(seed), all, count.min(all)) {
        let part = ends.partition_point(|end| *end <= row);
        let start = if part == 0 { 0 } else { ends[part - 1] };
        drawn.entry(part).or_default().push(row - start);
    }
    drawn.values_mut().for_each(|rows| rows.sort_unstable());
    drawn
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_drawn_row_is_another_row_of_a_part(
            rows in proptest::collection::vec(0u64..20, 0..8), count in 0usize..100, seed: u64
        ) {
            let part = |rows: &u64| PartRef {
                key: String::new(),
                dataset: "d".parse().unwrap(),
                algorithm: "a".parse().unwrap(),
                rows: *rows,
                windows: *rows,
                metric: None,
            };
            let parts: Vec<PartRef> = rows.iter().map(part).collect();
            let drawn = draw(&parts, count, seed);
            prop_assert_eq!(drawn.values().map(Vec::len).sum::<usize>() as u64, (count as u64).min(rows.iter().sum()));
            for (part, indices) in drawn {
                prop_assert!(indices.is_sorted_by(|a, b| a < b) && indices.iter().all(|index| (*index as u64) < rows[part]));
            }
        }
    }
}
