//! Fragments: one window that is joined of small pieces from all over a picture, each at the picture's own resolution. They are
//! the grid mini-patches of FAST-VQA (Wu et al., ECCV 2022), here beside the resized whole.

use super::origin::{INPUT_SIDE, Origin};
use super::rgb8::Rgb8;

/// A picture is cut into `cells` x `cells` cells, and each gives a square piece. The pieces, in the order of their cells, fill
/// the model's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragments {
    /// Cells along a side. It divides [`INPUT_SIDE`].
    pub cells: u32,
}

/// The places of the piece of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentCell {
    /// The first upper left corner that the piece may have.
    pub first: Origin,
    /// How far the corner may be moved from there, to the right and down, in pixels.
    pub margin: (u32, u32),
}

impl Fragments {
    /// Returns the side of a piece in pixels.
    pub fn piece_side(self) -> u32 {
        INPUT_SIDE / self.cells
    }

    /// Returns the cells of a picture, row-major. If a side is not a multiple of the number of cells, cells differ by a pixel. If
    /// a cell is smaller than a piece, the piece lies over its middle, within the picture, and pieces overlap.
    ///
    /// # Panics
    /// If a side is smaller than a piece.
    pub fn cells(self, width: u32, height: u32) -> Vec<FragmentCell> {
        let (columns, rows) = (self.along(width), self.along(height));
        let cell = |(y, margin_y): (u32, u32)| {
            let columns = columns.clone();
            columns
                .into_iter()
                .map(move |(x, margin_x)| FragmentCell { first: Origin { x, y }, margin: (margin_x, margin_y) })
        };
        rows.into_iter().flat_map(cell).collect()
    }

    /// Returns the first place of each piece along a side, and how far it may be moved.
    fn along(self, side: u32) -> Vec<(u32, u32)> {
        let piece = self.piece_side();
        assert!(side >= piece, "a piece of {piece} pixels is not larger than the picture");
        let start = |cell: u32| (u64::from(cell) * u64::from(side) / u64::from(self.cells)) as u32;
        let place = |cell: u32| {
            let length = start(cell + 1) - start(cell);
            match length.checked_sub(piece) {
                Some(margin) => (start(cell), margin),
                None => (start(cell).saturating_sub((piece - length) / 2).min(side - piece), 0),
            }
        };
        (0..self.cells).map(place).collect()
    }

    /// Returns the upper left corners of the pieces in the middle of their cells, row-major.
    ///
    /// # Panics
    /// If a side is smaller than a piece.
    pub fn middle_corners(self, width: u32, height: u32) -> Vec<Origin> {
        let middle = |cell: &FragmentCell| cell.corner((cell.margin.0 / 2, cell.margin.1 / 2));
        self.cells(width, height).iter().map(middle).collect()
    }

    /// Joins the pieces in the middle of the cells: [`INPUT_SIDE`] x [`INPUT_SIDE`].
    ///
    /// # Panics
    /// If a side is smaller than a piece.
    pub fn join_middles(self, picture: &Rgb8) -> Rgb8 {
        self.join(picture, &self.middle_corners(picture.width(), picture.height()))
    }

    /// Joins the pieces at these corners, one of each cell: [`INPUT_SIDE`] x [`INPUT_SIDE`].
    ///
    /// # Panics
    /// If the number of corners is not that of the cells, or a piece does not lie within the picture.
    pub fn join(self, picture: &Rgb8, corners: &[Origin]) -> Rgb8 {
        assert!(corners.len() as u32 == self.cells * self.cells, "each cell has a corner");
        let row_bytes = self.piece_side() as usize * Rgb8::CHANNELS;
        let mut pixels = Vec::with_capacity(Rgb8::CHANNELS * (INPUT_SIDE * INPUT_SIDE) as usize);
        for corners in corners.chunks_exact(self.cells as usize) {
            for row in 0..self.piece_side() {
                for corner in corners {
                    let start = (corner.y + row) as usize * picture.row_bytes() + corner.x as usize * Rgb8::CHANNELS;
                    pixels.extend_from_slice(&picture.pixels()[start..start + row_bytes]);
                }
            }
        }
        Rgb8::new(INPUT_SIDE, INPUT_SIDE, pixels)
    }
}

impl FragmentCell {
    /// Returns the corner at this offset (x, y) in pixels from the first.
    pub fn corner(&self, (x, y): (u32, u32)) -> Origin {
        Origin { x: self.first.x + x, y: self.first.y + y }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn vga_has_a_piece_in_the_middle_of_each_of_49_cells() {
        let corners = Fragments { cells: 7 }.middle_corners(640, 480);
        assert_eq!(corners.len(), 49);
        // Cells of 91 and 92 by 68 and 69 pixels.
        assert_eq!((corners[0], corners[1]), (Origin { x: 29, y: 18 }, Origin { x: 120, y: 18 }));
        assert_eq!(corners[48], Origin { x: 548 + 30, y: 411 + 18 });
    }

    #[test]
    fn the_pieces_of_a_picture_of_224_pixels_are_the_picture() {
        let picture = Rgb8::new(224, 224, (0..224 * 224 * 3).map(|i| (i % 251) as u8).collect());
        for cells in [1, 7, 8, 28] {
            let fragments = Fragments { cells };
            assert_eq!(fragments.join_middles(&picture), picture);
        }
    }

    proptest! {
        #[test]
        fn every_pixel_is_that_of_its_piece(
            cells in prop::sample::select(vec![4u32, 7, 8, 14]), width in 56u32..400, height in 56u32..400,
        ) {
            let fragments = Fragments { cells };
            let picture = Rgb8::new(width, height, (0..width * height * 3).map(|i| (i % 253) as u8).collect());
            let corners = fragments.middle_corners(width, height);
            let joined = fragments.join(&picture, &corners);
            let (side, piece) = (INPUT_SIDE as usize, fragments.piece_side() as usize);
            for y in (0..side).step_by(5) {
                for x in (0..side).step_by(3) {
                    let corner = corners[y / piece * cells as usize + x / piece];
                    let at = ((corner.y as usize + y % piece) * width as usize + corner.x as usize + x % piece) * 3;
                    let own = (y * side + x) * 3;
                    prop_assert_eq!(&joined.pixels()[own..own + 3], &picture.pixels()[at..at + 3]);
                }
            }
        }

        #[test]
        fn a_piece_lies_in_its_cell_wherever_it_is_moved(width in 32u32..3000, height in 32u32..3000) {
            let fragments = Fragments { cells: 7 };
            for (index, cell) in (0..).zip(fragments.cells(width, height)) {
                let last = cell.corner(cell.margin);
                prop_assert!(last.x + 32 <= width && last.y + 32 <= height);
                let (left, right) = (index % 7 * width / 7, (index % 7 + 1) * width / 7);
                if right - left >= 32 {
                    prop_assert!(cell.first.x == left && last.x + 32 == right);
                } else {
                    prop_assert!(cell.first.x <= left && cell.first.x + 32 >= right, "it covers its cell");
                }
            }
        }
    }
}
