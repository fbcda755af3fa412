//! Entropy of the gray levels in bits: `-sum(p log2 p)` over 256 levels, as MATLAB's `entropy`.

/// Returns the entropy of gray levels in bits, 0 to 8.
#[inline(always)]
pub(crate) fn entropy(levels: &[u8]) -> f64 {
    let mut counts = [0_u64; 256];
    for &level in levels {
        counts[usize::from(level)] += 1;
    }
    entropy_of_counts(&counts, levels.len())
}

#[inline(always)]
fn entropy_of_counts(counts: &[u64; 256], total: usize) -> f64 {
    let mut bits = 0.0;
    for &count in counts.iter().filter(|count| **count > 0) {
        let share = count as f64 / total as f64;
        bits -= share * libm::log2(share);
    }
    bits
}
