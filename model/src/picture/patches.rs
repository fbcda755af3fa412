//! Turns pixels into patches: each distinct patch of a run of windows once, normalised, in the order of the patch
//! weights.

use std::collections::HashMap;

use rayon::prelude::*;

use super::origin::Origin;
use super::rgb8::Rgb8;

// REFERENCE: ImageNet's mean and deviation, not CLIP's.
pub(crate) const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
pub(crate) const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// The normalised value of a pixel by channel and byte: (byte / 255 - mean) / deviation, in f32 as PyTorch computes it.
pub(crate) struct PixelNormalizer([[f32; 256]; 3]);

impl PixelNormalizer {
    pub(crate) fn new() -> PixelNormalizer {
        PixelNormalizer(std::array::from_fn(|c| {
            std::array::from_fn(|byte| (byte as f32 / 255.0 - MEAN[c]) / DEVIATION[c])
        }))
    }

    /// Gathers the patches of `side` pixels at `corners`: (corners, 3 side side), channel by channel as in the
    /// convolution's weight.
    pub(crate) fn gather(&self, picture: &Rgb8, corners: &[Origin], side: usize) -> Vec<f32> {
        let mut out = vec![0.0; corners.len() * 3 * side * side];
        let row_bytes = picture.width() as usize * 3;
        out.par_chunks_exact_mut(3 * side * side).zip(corners).for_each(|(out, corner)| {
            for (c, plane) in out.chunks_exact_mut(side * side).enumerate() {
                for (y, line) in plane.chunks_exact_mut(side).enumerate() {
                    let offset = (corner.y as usize + y) * row_bytes + corner.x as usize * 3;
                    let pixels = picture.pixels()[offset..offset + 3 * side].chunks_exact(3);
                    for (value, pixel) in line.iter_mut().zip(pixels) {
                        *value = self.0[c][usize::from(pixel[c])];
                    }
                }
            }
        });
        out
    }
}

/// The distinct patches of a run of windows. At the paper's stride, neighbouring windows share most of their patches.
pub(crate) struct PatchLattice {
    /// Upper left corners, in order of first use.
    pub(crate) corners: Vec<Origin>,
    /// For each window its `grid * grid` patches, row-major, as indices into `corners`.
    pub(crate) window_patches: Vec<u32>,
}

impl PatchLattice {
    /// Finds the distinct patches of windows of `grid * grid` patches of `side` pixels.
    pub(crate) fn new(windows: &[Origin], grid: u32, side: u32) -> PatchLattice {
        let mut lattice = PatchLattice { corners: Vec::new(), window_patches: Vec::new() };
        let mut known = HashMap::new();
        for window in windows {
            for i in 0..grid * grid {
                let corner = Origin { x: window.x + i % grid * side, y: window.y + i / grid * side };
                let place = *known.entry(corner).or_insert_with(|| {
                    lattice.corners.push(corner);
                    lattice.corners.len() as u32 - 1
                });
                lattice.window_patches.push(place);
            }
        }
        lattice
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Views;

    #[test]
    fn windows_at_stride_64_share_the_32_pixel_lattice() {
        // VGA: 35 windows of 49 patches, on a lattice of 19 x 15 positions.
        let lattice = PatchLattice::new(&Views::default().origins(640, 480), 7, 32);
        assert_eq!(lattice.window_patches.len(), 35 * 49);
        assert_eq!(lattice.corners.len(), 19 * 15);
        // The third patch of the first window is the first of the second.
        assert_eq!(lattice.window_patches[2], lattice.window_patches[49]);
    }

    #[test]
    fn patches_are_normalised_planes() {
        let pixels: Vec<u8> = (0..8 * 6 * 3).map(|i| i as u8).collect();
        let picture = Rgb8::new(8, 6, pixels);
        let out = PixelNormalizer::new().gather(&picture, &[Origin { x: 3, y: 2 }], 2);
        for (i, got) in out.iter().enumerate() {
            let (c, y, x) = (i / 4, i / 2 % 2, i % 2);
            let byte = ((2 + y) * 8 + 3 + x) * 3 + c;
            assert_eq!(*got, (byte as f32 / 255.0 - MEAN[c]) / DEVIATION[c]);
        }
    }
}
