//! The global view: a whole picture resized to `side` x `side` without keeping its aspect ratio. Owns the arithmetic,
//! which equals Pillow's `Image.resize((side, side), BILINEAR)` on u8 to the bit; does not know what the view is for.
//!
//! Pillow's bilinear is a triangle filter, widened by the scale when it shrinks a picture, so that every source pixel
//! counts. It runs along one axis, then along the other, in fixed point, and rounds to u8 in between; so the order of
//! the axes matters.

use std::ops::Range;

use super::rgb8::Rgb8;

/// Fraction bits of a weight: 32 minus 8 for the sample and 2 for the sum's sign and headroom, as in Pillow.
const PRECISION_BITS: u32 = 32 - 8 - 2;
/// One half, added before the shift so that sums are rounded, not truncated.
const HALF: i32 = 1 << (PRECISION_BITS - 1);
const CHANNELS: usize = Rgb8::CHANNELS;

/// Resizes the whole picture to `side` x `side` exactly as Pillow's bilinear filter does.
///
/// # Panics
/// Panics if `side` is zero.
pub fn whole_view(picture: &Rgb8, side: u32) -> Rgb8 {
    assert!(side > 0, "a view has pixels");
    let columns = (picture.width() != side).then(|| Taps::new(picture.width(), side));
    let rows = (picture.height() != side).then(|| Taps::new(picture.height(), side));
    let source = Raster { pixels: picture.pixels(), row_bytes: picture.row_bytes() };
    let pixels = match (columns, rows) {
        (None, None) => return picture.clone(),
        (Some(columns), None) => resize_rows(source, &columns, 0..side as usize),
        (None, Some(rows)) => resize_columns(source, &rows, 0),
        (Some(columns), Some(rows)) if height_first(picture, side) => {
            let flat = resize_columns(source, &rows, 0);
            resize_rows(Raster { pixels: &flat, row_bytes: source.row_bytes }, &columns, 0..side as usize)
        }
        (Some(columns), Some(rows)) => {
            // A strong upscale can leave out border rows; only the rows that are read are resized.
            let needed = rows.source();
            let narrow = resize_rows(source, &columns, needed.clone());
            resize_columns(Raster { pixels: &narrow, row_bytes: side as usize * CHANNELS }, &rows, needed.start)
        }
    };
    Rgb8::new(side, side, pixels)
}

/// Returns whether columns are resized before rows.
// REFERENCE: Pillow 13 does so, to save work, when the height shrinks by over twice as many pixels as the width; Pillow
// before 13 always resized rows first, which changes the last bit of some samples. The goldens were made with Pillow
// 13.
fn height_first(picture: &Rgb8, side: u32) -> bool {
    let shrink = |length: u32| i64::from(length) - i64::from(side);
    let (across, down) = (shrink(picture.width()), shrink(picture.height()));
    down > 0 && down > 2 * across
}

/// Samples `(rows, row_bytes / 3, 3)`.
#[derive(Clone, Copy)]
struct Raster<'a> {
    pixels: &'a [u8],
    row_bytes: usize,
}

/// For each output position along one axis, the source positions it reads and their fixed-point weights.
struct Taps {
    ranges: Vec<Range<usize>>,
    /// All weights, one output after the other; output `i` has `ranges[i].len()` of them.
    weights: Vec<i32>,
}

impl Taps {
    fn new(source: u32, target: u32) -> Self {
        let scale = f64::from(source) / f64::from(target);
        // The triangle reaches one source pixel to each side, and `scale` pixels when shrinking.
        let support = scale.max(1.0);
        let inverse = 1.0 / support;
        let mut taps = Self { ranges: Vec::with_capacity(target as usize), weights: Vec::new() };
        let mut triangle = Vec::new();
        for position in 0..target {
            let center = (f64::from(position) + 0.5) * scale;
            // `as` truncates towards zero, as C does: adding 0.5 turns it into rounding.
            let first = ((center - support + 0.5) as i64).max(0) as usize;
            let end = ((center + support + 0.5) as i64).min(i64::from(source)) as usize;
            triangle.clear();
            // The offset keeps Pillow's order of operations, and with it the last bit of each weight.
            triangle.extend((first..end).map(|x| {
                let offset = (x as f64 - center + 0.5) * inverse;
                (1.0 - offset.abs()).max(0.0)
            }));
            let total: f64 = triangle.iter().sum();
            let fixed = |weight: &f64| (0.5 + weight / total * f64::from(1 << PRECISION_BITS)) as i32;
            taps.weights.extend(triangle.iter().map(fixed));
            taps.ranges.push(first..end);
        }
        taps
    }

    /// Iterates over each output's source positions with their weights.
    fn iter(&self) -> impl Iterator<Item = (Range<usize>, &[i32])> {
        let mut weights = self.weights.as_slice();
        self.ranges.iter().map(move |range| {
            let (mine, rest) = weights.split_at(range.len());
            weights = rest;
            (range.clone(), mine)
        })
    }

    /// Returns the source positions that any output reads.
    fn source(&self) -> Range<usize> {
        let first = self.ranges.first().map_or(0, |range| range.start);
        let end = self.ranges.last().map_or(0, |range| range.end);
        first..end
    }
}

/// Resizes `(rows, width, 3) -> (rows, taps, 3)` for the given rows of the source.
fn resize_rows(source: Raster<'_>, taps: &Taps, rows: Range<usize>) -> Vec<u8> {
    let Raster { pixels, row_bytes } = source;
    let mut target = Vec::with_capacity(rows.len() * taps.ranges.len() * CHANNELS);
    for row in pixels[rows.start * row_bytes..rows.end * row_bytes].chunks_exact(row_bytes) {
        for (range, weights) in taps.iter() {
            let window = &row[range.start * CHANNELS..range.end * CHANNELS];
            let mut sums = [HALF; CHANNELS];
            for (pixel, &weight) in window.as_chunks::<CHANNELS>().0.iter().zip(weights) {
                sums[0] += i32::from(pixel[0]) * weight;
                sums[1] += i32::from(pixel[1]) * weight;
                sums[2] += i32::from(pixel[2]) * weight;
            }
            target.extend(sums.map(to_sample));
        }
    }
    target
}

/// Resizes `(rows, width, 3) -> (taps, width, 3)`; the source's first row is row `first_row` of the picture.
fn resize_columns(source: Raster<'_>, taps: &Taps, first_row: usize) -> Vec<u8> {
    let Raster { pixels, row_bytes } = source;
    let mut target = Vec::with_capacity(taps.ranges.len() * row_bytes);
    let mut sums = vec![HALF; row_bytes];
    for (range, weights) in taps.iter() {
        sums.fill(HALF);
        for (row, &weight) in range.zip(weights) {
            let start = (row - first_row) * row_bytes;
            for (sum, &sample) in sums.iter_mut().zip(&pixels[start..start + row_bytes]) {
                *sum += i32::from(sample) * weight;
            }
        }
        target.extend(sums.iter().copied().map(to_sample));
    }
    target
}

fn to_sample(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: u32 = 32;

    /// Resizes in both orders, (columns first, rows first), without skipping any rows.
    fn both_orders(picture: &Rgb8) -> (Vec<u8>, Vec<u8>) {
        let (columns, rows) = (Taps::new(picture.width(), SIDE), Taps::new(picture.height(), SIDE));
        let source = Raster { pixels: picture.pixels(), row_bytes: picture.row_bytes() };
        let narrow = resize_rows(source, &columns, 0..picture.height() as usize);
        let narrow = Raster { pixels: &narrow, row_bytes: SIDE as usize * CHANNELS };
        let flat = resize_columns(source, &rows, 0);
        let flat = Raster { pixels: &flat, row_bytes: source.row_bytes };
        (resize_columns(narrow, &rows, 0), resize_rows(flat, &columns, 0..SIDE as usize))
    }

    #[test]
    fn the_axis_that_shrinks_twice_as_much_is_first_and_the_order_shows() {
        // 68 = 32 + 36 across: down shrinks by more than 72 from 105 on.
        for (width, height, rows_first) in [(68, 104, false), (68, 105, true), (104, 68, false), (20, 33, true)] {
            let samples = (0..width * height * 3).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8);
            let picture = Rgb8::new(width, height, samples.collect());
            let (columns, rows) = both_orders(&picture);
            assert_ne!(columns, rows, "{width}x{height}");
            let want = if rows_first { rows } else { columns };
            assert_eq!(whole_view(&picture, SIDE).pixels(), want, "{width}x{height}");
        }
    }
}
