//! Visible edges (Hautière, Tarel, Aubert and Dumont 2008, after Köhler's thresholding): in each window of 7x7 pixels
//! the gray level that separates the window's pixels with the greatest mean Weber contrast. The edge is visible if that
//! contrast is above 0.025, half of the 5 % that the CIE takes for the eye.
//!
//! A pair is two neighbours, left and right or above and below. A threshold `s` separates it if `min <= s < max`, and
//! its contrast is then `min(1 - min / s, 1 - s / max)`. So a pair's contrast is one fraction up to `s = sqrt(min max)`
//! and another from there on, and the sums for all thresholds come from the differences at three levels per pair. The
//! sums are integers in fixed point; a mean differs from the exact one by less than 1e-14, well below [`EQUAL`].

use std::sync::LazyLock;

/// Side of a window.
const SIDE: usize = 7;

/// Distance between the first pixels of two windows: half a side, rounded.
const STEP: usize = 4;

/// A visible edge has a mean contrast above this.
const VISIBLE: f64 = 0.025;

/// Means of contrasts that differ by less are the same fraction, rounded apart by chance.
const EQUAL: f64 = 1e-12;

/// Unit of the inverse levels: 72 pairs with the inverse level 1 still fit.
const INVERSE_UNIT: f64 = (1_u64 << 56) as f64;

/// A count of pairs and a sum of levels in one integer: the count is in the upper half.
const ONE_PAIR: u64 = 1 << 32;

/// Levels or marks of one window.
type Window<T> = [[T; SIDE]; SIDE];

/// Gray levels in rows.
#[derive(Clone, Copy)]
struct Levels<'a> {
    values: &'a [u8],
    width: usize,
    height: usize,
}

/// Returns for each pixel whether it belongs to a visible edge.
#[inline(always)]
pub(crate) fn visible_edges(levels: &[u8], width: usize, height: usize) -> Vec<bool> {
    assert_eq!(levels.len(), width * height, "levels of {width}x{height}");
    let levels = Levels { values: levels, width, height };
    let mut sums = ThresholdSums::new();
    let mut visible = vec![false; levels.values.len()];
    for top in (0..height).step_by(STEP) {
        for left in (0..width).step_by(STEP) {
            let inside = top + SIDE <= height && left + SIDE <= width;
            let seen = if inside { inner_edges(levels, left, top, &mut sums) } else { border_edges(levels, left, top) };
            if let Some(seen) = seen {
                mark(&seen, left, top, &mut visible, width);
            }
        }
    }
    visible
}

/// Marks the pixels of a window, without those beyond the picture.
#[inline(always)]
fn mark(seen: &Window<bool>, left: usize, top: usize, visible: &mut [bool], width: usize) {
    let columns = SIDE.min(width - left);
    for (visible, seen) in visible.chunks_exact_mut(width).skip(top).zip(seen) {
        for (visible, seen) in visible[left..][..columns].iter_mut().zip(seen) {
            *visible |= seen;
        }
    }
}

/// Returns the edges of a window that lies in the picture, or nothing if no edge is visible.
#[inline(always)]
fn inner_edges(levels: Levels<'_>, left: usize, top: usize, sums: &mut ThresholdSums) -> Option<Window<bool>> {
    let mut window = [[0; SIDE]; SIDE];
    for (row, into) in window.iter_mut().enumerate() {
        into.copy_from_slice(&levels.values[(top + row) * levels.width + left..][..SIDE]);
    }
    let (low, high) = range(&window);
    if cannot_be_visible(low, high) {
        return None;
    }
    for row in 1..SIDE {
        for column in 1..SIDE {
            let level = window[row][column];
            sums.add_pair(level, window[row][column - 1]);
            sums.add_pair(level, window[row - 1][column]);
        }
    }
    let threshold = sums.take_best(low, high)?;
    let mut seen = [[false; SIDE]; SIDE];
    for row in 1..SIDE {
        for column in 1..SIDE {
            let above = window[row][column] > threshold;
            let across = above != (window[row][column - 1] > threshold);
            let down = above != (window[row - 1][column] > threshold);
            seen[row][column] |= across | down;
            seen[row][column - 1] |= across;
            seen[row - 1][column] |= down;
        }
    }
    Some(seen)
}

#[inline(always)]
fn range(window: &Window<u8>) -> (u8, u8) {
    let mut lows = window[0];
    let mut highs = window[0];
    for row in &window[1..] {
        for (column, level) in row.iter().enumerate() {
            lows[column] = lows[column].min(*level);
            highs[column] = highs[column].max(*level);
        }
    }
    let low = lows.into_iter().fold(u8::MAX, u8::min);
    let high = highs.into_iter().fold(u8::MIN, u8::max);
    (low, high)
}

/// Tells whether no threshold of a window can have enough contrast: that of a pair is at most `1 - sqrt(min / max)`.
fn cannot_be_visible(low: u8, high: u8) -> bool {
    // 0.950625 is (1 - 0.025)².
    u32::from(low) * 1_000_000 >= u32::from(high) * 950_625
}

/// For each pair of levels `[min][max]` the first threshold, at least 1, that is not below `sqrt(min max)`.
static MIDDLES: LazyLock<Box<[[u8; 256]; 256]>> = LazyLock::new(|| {
    let mut middles = Box::new([[0; 256]; 256]);
    for (low, row) in middles.iter_mut().enumerate() {
        for (high, middle) in row.iter_mut().enumerate() {
            let root = (low * high).isqrt();
            let ceiling = root + usize::from(root * root < low * high);
            *middle = u8::try_from(ceiling.max(1)).expect("a mean of two levels is a level");
        }
    }
    middles
});

/// A sum over pairs, all in one so that one addition of a vector register does: the number of pairs and the sum of
/// levels as in [`ONE_PAIR`], and the sum of inverse levels.
type PairSum = [u64; 2];

/// For each threshold the sums over the pairs that it separates, as differences to the threshold before.
struct ThresholdSums {
    /// The number of all pairs, the sum of `min` of those with `s < sqrt(min max)`, and the sum of `1 / max` of the
    /// others.
    differences: [PairSum; 256],
    /// `1 / level` in [`INVERSE_UNIT`]; that of level 0 cancels.
    inverse_of: [u64; 256],
    /// `1 / n` for thresholds and numbers of pairs; that of 0 is 0.
    reciprocals: [f64; 256],
    middles: &'static [[u8; 256]; 256],
}

impl ThresholdSums {
    fn new() -> Self {
        Self {
            differences: [[0; 2]; 256],
            inverse_of: std::array::from_fn(|level| (INVERSE_UNIT / level.max(1) as f64) as u64),
            reciprocals: std::array::from_fn(|n| if n == 0 { 0.0 } else { 1.0 / n as f64 }),
            middles: &MIDDLES,
        }
    }

    #[inline(always)]
    fn add_pair(&mut self, a: u8, b: u8) {
        let (low, high) = (a.min(b), a.max(b));
        let middle = usize::from(self.middles[usize::from(low)][usize::from(high)]);
        // Thresholds start at 1: a pair of levels 0 and 1 is never separated, and its differences cancel.
        let (first, end) = (usize::from(low.max(1)), usize::from(high.max(1)));
        let inverse = self.inverse_of[end];
        let level = u64::from(low);
        add(&mut self.differences[first], [ONE_PAIR + level, 0]);
        add(&mut self.differences[middle], [level.wrapping_neg(), inverse]);
        add(&mut self.differences[end], [ONE_PAIR.wrapping_neg(), inverse.wrapping_neg()]);
    }

    /// Returns the lowest threshold with the greatest mean contrast if that is visible, and forgets the pairs.
    #[inline(always)]
    fn take_best(&mut self, low: u8, high: u8) -> Option<u8> {
        let (low, high) = (usize::from(low.max(1)), usize::from(high));
        let mut contrasts = [0.0; 256];
        let mut greatest = 0.0_f64;
        let mut sum = [0; 2];
        for ((threshold, difference), contrast) in (low..high).zip(&self.differences[low..high]).zip(&mut contrasts) {
            add(&mut sum, *difference);
            let count = (sum[0] >> 32) as usize;
            let levels = f64::from(sum[0] as u32) * self.reciprocals[threshold];
            let inverses = sum[1] as f64 * (threshold as f64 / INVERSE_UNIT);
            *contrast = (count as f64 - levels - inverses) * self.reciprocals[count & 0xff];
            greatest = if *contrast > greatest { *contrast } else { greatest };
        }
        self.differences[low..=high].fill([0; 2]);
        lowest_of_greatest(&contrasts[..high - low], greatest).map(|index| (low + index) as u8)
    }
}

#[inline(always)]
fn add(sum: &mut PairSum, value: PairSum) {
    *sum = [sum[0].wrapping_add(value[0]), sum[1].wrapping_add(value[1])];
}

/// Returns the index of the first contrast that equals the greatest, if that is visible.
#[inline(always)]
fn lowest_of_greatest(contrasts: &[f64], greatest: f64) -> Option<usize> {
    let index = contrasts.iter().position(|contrast| *contrast >= greatest - EQUAL)?;
    (contrasts[index] > VISIBLE + EQUAL).then_some(index)
}

/// The levels of a pair's two pixels in a window at the border, and the levels that decide which thresholds separate
/// it.
#[derive(Clone, Copy)]
struct BorderPair {
    pixels: [u8; 2],
    low: u8,
    high: u8,
}

impl BorderPair {
    fn is_separated_by(self, threshold: u8) -> bool {
        (self.low..self.high).contains(&threshold)
    }

    fn contrast(self, threshold: u8) -> f64 {
        let [a, b] = self.pixels.map(|level| weber_contrast(level, threshold));
        a.min(b)
    }
}

/// Returns `|s - level| / max(s, level)`.
fn weber_contrast(level: u8, threshold: u8) -> f64 {
    f64::from(level.abs_diff(threshold)) / f64::from(level.max(threshold))
}

/// Returns the edges of a window that reaches beyond the picture, or nothing if no edge is visible.
///
/// REFERENCE: the authors' code mirrors the pixels and, apart from them, the minima and maxima of the pairs. Beyond the
/// border a pair's minimum and maximum are therefore not those of its two pixels.
fn border_edges(levels: Levels<'_>, left: usize, top: usize) -> Option<Window<bool>> {
    let columns: [usize; SIDE] = std::array::from_fn(|column| mirror(left + column, levels.width));
    let rows: [usize; SIDE] = std::array::from_fn(|row| mirror(top + row, levels.height));
    let level = |x: usize, y: usize| levels.values[y * levels.width + x];
    let window: Window<u8> = rows.map(|y| columns.map(|x| level(x, y)));
    let pair = |pixels: [u8; 2], mirrored: [u8; 2]| BorderPair {
        pixels,
        low: mirrored[0].min(mirrored[1]),
        high: mirrored[0].max(mirrored[1]),
    };
    let mut pairs = Vec::with_capacity(2 * (SIDE - 1) * (SIDE - 1));
    for row in 1..SIDE {
        for column in 1..SIDE {
            let (x, y) = (columns[column], rows[row]);
            let here = window[row][column];
            let across = pair([here, window[row][column - 1]], [level(x, y), level(x.saturating_sub(1), y)]);
            let down = pair([here, window[row - 1][column]], [level(x, y), level(x, y.saturating_sub(1))]);
            pairs.push(([row, column - 1], [row, column], across));
            pairs.push(([row - 1, column], [row, column], down));
        }
    }
    let threshold = best_border_threshold(range(&window), pairs.iter().map(|(_, _, pair)| *pair))?;
    let mut seen = [[false; SIDE]; SIDE];
    for (first, second, pair) in pairs {
        for [row, column] in [first, second] {
            seen[row][column] |= pair.is_separated_by(threshold);
        }
    }
    Some(seen)
}

/// Returns the pixel that a mirror after the last pixel, which is repeated, shows at a position.
fn mirror(position: usize, length: usize) -> usize {
    let position = position % (2 * length);
    position.min(2 * length - 1 - position)
}

/// Returns the lowest threshold with the greatest mean contrast if that is visible.
fn best_border_threshold((low, high): (u8, u8), pairs: impl Iterator<Item = BorderPair>) -> Option<u8> {
    let mut sums = [0.0; 256];
    let mut counts = [0_u8; 256];
    for pair in pairs {
        for threshold in pair.low.max(low).max(1)..pair.high.min(high.saturating_add(1)) {
            sums[usize::from(threshold)] += pair.contrast(threshold);
            counts[usize::from(threshold)] += 1;
        }
    }
    let (low, high) = (usize::from(low.max(1)), usize::from(high.max(1)));
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum /= f64::from(count.max(1));
    }
    let contrasts = &sums[low..=high];
    let greatest = contrasts.iter().copied().fold(0.0, f64::max);
    lowest_of_greatest(contrasts, greatest).map(|index| (low + index) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirror_repeats_the_last_pixel() {
        let seen: Vec<usize> = (0..9).map(|position| mirror(position, 3)).collect();
        assert_eq!(seen, [0, 1, 2, 2, 1, 0, 0, 1, 2]);
    }

    #[test]
    fn an_edge_is_both_pixels_of_each_pair_across_it() {
        // Left half 100, right half 120: 1 - sqrt(100 / 120) = 0.087 is visible. Row 0 is only ever the first row of a
        // window, of which no left and right neighbours are taken.
        let levels: Vec<u8> = (0..16 * 16).map(|index| if index % 16 < 8 { 100 } else { 120 }).collect();
        let visible = visible_edges(&levels, 16, 16);
        for (index, visible) in visible.into_iter().enumerate() {
            assert_eq!(visible, index >= 16 && matches!(index % 16, 7 | 8), "pixel {index}");
        }
    }

    #[test]
    fn an_edge_of_little_contrast_is_not_visible() {
        // 195 separates 190 and 200 with 1 - 195 / 200 = 0.025, which is not above; 194 separates 189 and 200 with
        // 0.026.
        let edges = |low: u8| {
            let levels: Vec<u8> = (0..16 * 16).map(|index| if index % 16 < 8 { low } else { 200 }).collect();
            visible_edges(&levels, 16, 16).into_iter().filter(|visible| *visible).count()
        };
        assert_eq!(edges(190), 0);
        assert_eq!(edges(189), 30);
    }

    #[test]
    fn golden_counts_of_edges_are_met() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/metrics");
        if !folder.exists() {
            eprintln!("skipped: {} is missing", folder.display());
            return;
        }
        let read_json = |name: &str| -> serde_json::Value {
            serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
        };
        let (goldens, index) = (read_json("goldens.json"), read_json("pictures/pictures.json"));
        let mut checked = 0;
        for (golden, picture) in [("edges_hazy", "hazy"), ("edges_dehazed", "dehazed")] {
            for (name, count) in goldens[golden]["values"].as_object().unwrap() {
                let picture = index["dehaze"][name][picture].as_str().unwrap();
                let Ok(image) = image::open(folder.join(format!("pictures/{picture}.png"))) else { continue };
                let image = image.to_rgb8();
                let (width, height) = (image.width() as usize, image.height() as usize);
                let levels = crate::gray::gray_levels(&crate::RgbView::new(image.as_raw(), width, height));
                let visible = visible_edges(&levels, width, height);
                let found = visible.into_iter().filter(|visible| *visible).count();
                assert_eq!(Some(found as f64), count.as_f64(), "{golden} of {name}");
                checked += 1;
            }
        }
        assert!(checked > 20, "{checked} pictures");
    }

    #[test]
    fn sums_by_differences_give_the_contrasts_of_the_definition() {
        let mut seed = 1_u32;
        let mut random_level = |range: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((seed >> 16) % range) as u8
        };
        for range in [2, 3, 20, 256] {
            let mut sums = ThresholdSums::new();
            for _ in 0..200 {
                let pairs: Vec<[u8; 2]> = (0..72).map(|_| [random_level(range), random_level(range)]).collect();
                pairs.iter().for_each(|[a, b]| sums.add_pair(*a, *b));
                let low = pairs.iter().flatten().copied().min().unwrap();
                let high = pairs.iter().flatten().copied().max().unwrap();
                let direct = pairs.iter().map(|pair| BorderPair {
                    pixels: *pair,
                    low: pair[0].min(pair[1]),
                    high: pair[0].max(pair[1]),
                });
                assert_eq!(sums.take_best(low, high), best_border_threshold((low, high), direct), "{pairs:?}");
            }
        }
    }
}
