//! PIQE, the perception based image quality evaluator (Venkatanath 2015), as MATLAB's `piqe`: distorted blocks among those
//! with contrast. The picture is not scaled by its brightest pixel.

use crate::mscn::{Border, Windows, mscn};
use crate::plane::Plane;

/// Side of a block.
const BLOCK: usize = 16;

/// Blocks with a greater variance of their MSCN coefficients count.
const VARIANCE_OF_CONTRAST: f64 = 0.1;

/// A segment of a block's edge with a smaller deviation is a visible artifact.
const DEVIATION_OF_ARTIFACT: f64 = 0.1;

/// Coefficients of a segment.
const SEGMENT: usize = 6;

const WINDOWS: Windows = Windows { border: Border::Replicate, balanced: 0.0 };

/// Coefficients of a block, `(BLOCK, BLOCK)`.
type Block = [[f64; BLOCK]; BLOCK];

/// Returns the score of a picture, given its gray levels: 0 to 100, 100 if no block has contrast.
#[inline(always)]
pub(crate) fn piqe(levels: &[u8], width: usize) -> f64 {
    let mscn = mscn(&padded(levels, width), WINDOWS);
    let mut distortion = 0.0;
    let mut blocks = 0;
    for top in (0..mscn.height).step_by(BLOCK) {
        for left in (0..mscn.width).step_by(BLOCK) {
            let mut block = [[0.0; BLOCK]; BLOCK];
            for (y, row) in block.iter_mut().enumerate() {
                row.copy_from_slice(&mscn.row(top + y)[left..left + BLOCK]);
            }
            let statistics = Statistics::new(&block);
            let variance = statistics.variance(0..BLOCK);
            if variance > VARIANCE_OF_CONTRAST {
                blocks += 1;
                distortion += if has_artifact(&block) { 1.0 - variance } else { 0.0 };
                distortion += if statistics.is_noisy(variance) { variance } else { 0.0 };
            }
        }
    }
    100.0 * (distortion + 1.0) / (f64::from(blocks) + 1.0)
}

/// Returns the gray levels with the last row and column repeated up to multiples of the block.
fn padded(levels: &[u8], width: usize) -> Plane {
    let height = levels.len() / width;
    let (padded_width, padded_height) = (width.next_multiple_of(BLOCK), height.next_multiple_of(BLOCK));
    let mut values = Vec::with_capacity(padded_width * padded_height);
    for y in 0..padded_height {
        let row = &levels[y.min(height - 1) * width..][..width];
        values.extend(row.iter().map(|level| f64::from(*level)));
        values.resize((y + 1) * padded_width, f64::from(row[width - 1]));
    }
    Plane::new(values, padded_width, padded_height)
}

/// Sums over the columns of a block, of differences to its mean.
struct Statistics {
    sums: [f64; BLOCK],
    squares: [f64; BLOCK],
}

impl Statistics {
    #[inline(always)]
    fn new(block: &Block) -> Self {
        let mut totals = [0.0; BLOCK];
        for row in block {
            for (total, value) in totals.iter_mut().zip(row) {
                *total += value;
            }
        }
        let mean = totals.iter().fold(0.0, |sum, total| sum + total) / (BLOCK * BLOCK) as f64;
        let (mut sums, mut squares) = ([0.0; BLOCK], [0.0; BLOCK]);
        for row in block {
            for (column, value) in row.iter().enumerate() {
                let difference = value - mean;
                sums[column] += difference;
                squares[column] += difference * difference;
            }
        }
        Self { sums, squares }
    }

    /// Returns the variance (N - 1) of the coefficients in some columns.
    #[inline(always)]
    fn variance(&self, columns: impl Iterator<Item = usize>) -> f64 {
        let (mut count, mut sum, mut square) = (0.0, 0.0, 0.0);
        for column in columns {
            count += BLOCK as f64;
            sum += self.sums[column];
            square += self.squares[column];
        }
        ((square - sum * sum / count) / (count - 1.0)).max(0.0)
    }

    /// Tells whether the deviation of the block is large against how it differs from the centre's.
    #[inline(always)]
    fn is_noisy(&self, variance: f64) -> bool {
        let deviation = variance.sqrt();
        let centre = self.variance(7..9).sqrt();
        // REFERENCE: MATLAB deletes column 8, then column 9 of what is left. Those are columns 7 and 9 counted from 0, so
        // that one of the centre's columns stays in the surround.
        let surround = self.variance((0..BLOCK).filter(|column| *column != 7 && *column != 9)).sqrt();
        let ratio = centre / surround;
        let ratio = if ratio.is_nan() { 0.0 } else { ratio };
        deviation > 2.0 * (deviation - ratio).abs() / deviation.max(ratio)
    }
}

/// Tells whether a segment of the first or last row or column hardly varies.
#[inline(always)]
fn has_artifact(block: &Block) -> bool {
    let column = |x: usize| std::array::from_fn(|y| block[y][x]);
    let edges: [[f64; BLOCK]; 4] = [block[0], block[BLOCK - 1], column(0), column(BLOCK - 1)];
    edges.iter().any(|edge| edge.windows(SEGMENT).any(|segment| deviation(segment) < DEVIATION_OF_ARTIFACT))
}

/// Returns the standard deviation (N - 1).
#[inline(always)]
fn deviation(segment: &[f64]) -> f64 {
    let mean = segment.iter().fold(0.0, |sum, value| sum + value) / segment.len() as f64;
    let squares = segment.iter().fold(0.0, |sum, value| sum + (value - mean) * (value - mean));
    (squares / (segment.len() - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_without_contrast_scores_100() {
        assert_eq!(piqe(&[90; 20 * 3], 20), 100.0);
    }

    #[test]
    fn padding_repeats_the_last_row_and_column() {
        let plane = padded(&[1, 2, 3, 4, 5, 6], 3);
        assert_eq!((plane.width, plane.height), (16, 16));
        assert_eq!(plane.row(0)[..4], [1.0, 2.0, 3.0, 3.0]);
        assert_eq!((plane.row(1)[1], plane.row(15)[0], plane.row(15)[15]), (5.0, 4.0, 6.0));
    }

    /// Coefficients without a pattern, -1 to 1.
    fn block() -> Block {
        std::array::from_fn(|y| std::array::from_fn(|x| ((y * 61 + x * 173 + x * x * y) % 97) as f64 / 48.0 - 1.0))
    }

    #[test]
    fn variances_are_those_of_the_columns() {
        let block = block();
        let columns = [2, 5, 15];
        let values: Vec<f64> = columns.iter().flat_map(|x| block.map(|row| row[*x])).collect();
        let found = Statistics::new(&block).variance(columns.into_iter());
        assert!((found - deviation(&values).powi(2)).abs() < 1e-14);
    }

    #[test]
    fn a_flat_segment_of_any_edge_is_an_artifact() {
        assert!(!has_artifact(&block()));
        for (top, left, down, right) in [(0, 3, 0, 1), (15, 10, 0, 1), (4, 0, 1, 0), (9, 15, 1, 0)] {
            for (length, found) in [(SEGMENT - 1, false), (SEGMENT, true)] {
                let mut block = block();
                for step in 0..length {
                    block[top + down * step][left + right * step] = 3.0;
                }
                assert_eq!(has_artifact(&block), found, "{length} from {top}, {left}");
            }
        }
    }
}
