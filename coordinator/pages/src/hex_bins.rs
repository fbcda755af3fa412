//! Counts of points in the cells of a hexagonal grid: what is drawn where points would cover each other.

/// Columns of cells over the range of x.
const COLUMNS: usize = 48;

/// Rows of cells over the range of y; on an area of 4 by 3 the cells are then about regular.
const ROWS: usize = 42;

/// Ranges of x in the table of means.
pub(crate) const STRIPS: usize = 10;

/// Counts of points in the cells of a hexagonal grid, and means of y over ten ranges of x.
#[derive(Clone, Debug, PartialEq)]
pub struct HexBins {
    x: (f64, f64),
    y: (f64, f64),
    /// By row; odd rows are half a cell to the right.
    counts: Vec<u64>,
    /// Of [`STRIPS`] ranges of x.
    strips: Vec<Strip>,
}

/// The points of a range of x.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Strip {
    pub(crate) count: u64,
    pub(crate) sum: f64,
}

/// A cell with points in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cell {
    /// The middle, in the units of the points.
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) count: u64,
}

impl HexBins {
    /// Returns an empty grid over these ranges of x and y. A range must not be empty.
    pub fn new(x: (f64, f64), y: (f64, f64)) -> HexBins {
        let counts = vec![0; (COLUMNS + 1) * (ROWS + 1)];
        HexBins { x, y, counts, strips: vec![Strip::default(); STRIPS] }
    }

    /// Returns the grid over the range of these points, with all of them counted.
    pub(crate) fn from_columns(x: &[f64], y: &[f64]) -> HexBins {
        let mut bins = HexBins::new(range(x), range(y));
        for (x, y) in x.iter().zip(y) {
            bins.add(*x, *y);
        }
        bins
    }

    /// Counts a point. One outside the ranges is counted at their edge.
    pub fn add(&mut self, x: f64, y: f64) {
        let share = |value: f64, (low, high): (f64, f64)| ((value - low) / (high - low)).clamp(0.0, 1.0);
        let (u, v) = (share(x, self.x) * COLUMNS as f64, share(y, self.y) * ROWS as f64);
        // The nearest middle of an even row, or that of an odd one. Rows of regular cells are 0.866 of a width apart.
        let even = (u.round(), (v / 2.0).round() * 2.0);
        let odd = ((u - 0.5).round() + 0.5, ((v - 1.0) / 2.0).round() * 2.0 + 1.0);
        let distance = |(a, b): (f64, f64)| (u - a).powi(2) + 0.75 * (v - b).powi(2);
        let (column, row) = if distance(even) <= distance(odd) { even } else { odd };
        let column = (column.floor().max(0.0) as usize).min(COLUMNS);
        let row = (row.max(0.0) as usize).min(ROWS);
        self.counts[row * (COLUMNS + 1) + column] += 1;
        let strip = ((share(x, self.x) * STRIPS as f64) as usize).min(STRIPS - 1);
        self.strips[strip].count += 1;
        self.strips[strip].sum += y;
    }

    /// Returns the number of points.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the ranges of x and y.
    pub(crate) fn ranges(&self) -> ((f64, f64), (f64, f64)) {
        (self.x, self.y)
    }

    /// Returns the cells that have points.
    pub(crate) fn cells(&self) -> impl Iterator<Item = Cell> {
        let (width, height) = self.cell_steps();
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(move |(index, count)| {
            let (row, column) = (index / (COLUMNS + 1), index % (COLUMNS + 1));
            let shift = if row % 2 == 1 { 0.5 } else { 0.0 };
            let (x, y) = (self.x.0 + (column as f64 + shift) * width, self.y.0 + row as f64 * height);
            Cell { x, y, count: *count }
        })
    }

    /// Returns how far cells of a row, and rows, are apart, in the units of the points.
    pub(crate) fn cell_steps(&self) -> (f64, f64) {
        ((self.x.1 - self.x.0) / COLUMNS as f64, (self.y.1 - self.y.0) / ROWS as f64)
    }

    /// Returns ten ranges of x with their points.
    pub(crate) fn strips(&self) -> impl Iterator<Item = ((f64, f64), Strip)> {
        let width = (self.x.1 - self.x.0) / STRIPS as f64;
        let bounds = move |index: usize| (self.x.0 + index as f64 * width, self.x.0 + (index + 1) as f64 * width);
        self.strips.iter().enumerate().map(move |(index, strip)| (bounds(index), *strip))
    }
}

/// Returns the range of values, never empty.
fn range(values: &[f64]) -> (f64, f64) {
    let (low, high) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    if low < high { (low, high) } else { (low - 0.5, low + 0.5) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_point_is_in_a_cell_near_it(points in prop::collection::vec((0.0..1.0f64, -5.0..5.0f64), 1..200)) {
            let (x, y): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
            let bins = HexBins::from_columns(&x, &y);
            prop_assert_eq!(bins.total(), points.len() as u64);
            prop_assert_eq!(bins.strips().map(|(_, strip)| strip.count).sum::<u64>(), points.len() as u64);
            let (width, height) = bins.cell_steps();
            for (x, y) in points {
                let near = bins.cells().any(|cell| (cell.x - x).abs() <= width && (cell.y - y).abs() <= 1.01 * height);
                prop_assert!(near);
            }
        }
    }
}
