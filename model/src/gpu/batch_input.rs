//! Fills a batch's input: patches as bytes, each distinct one of a picture's windows once, and the indices of each
//! window's rows.

use super::backend::CONSTANT_ROW;
use super::tower::TowerSizes;
use crate::picture::patches::PatchLattice;
use crate::picture::{Origin, Rgb8};

/// The pictures that a batch of windows is cut from.
pub(crate) struct WindowSources<'a> {
    /// 224 x 224; `None` if the model does not see the whole picture.
    pub(crate) whole: Option<&'a Rgb8>,
    /// Pictures with the origins of their 224-pixel windows; empty if only the whole picture is seen, once.
    pub(crate) local: &'a [(&'a Rgb8, &'a [Origin])],
}

/// Copies the pixels of patches at `corners`, (corners, side, side, 3), in the picture's order. The padding that makes
/// a patch's bytes a multiple of 16 keeps its values.
fn gather(picture: &Rgb8, corners: &[Origin], sizes: &TowerSizes, out: &mut [u8]) {
    let (row_bytes, side) = (picture.width() as usize * 3, sizes.patch);
    for (out, corner) in out.chunks_exact_mut(sizes.patch_bytes).zip(corners) {
        for (y, line) in out[..side * side * 3].chunks_exact_mut(side * 3).enumerate() {
            let offset = (corner.y as usize + y) * row_bytes + corner.x as usize * 3;
            line.copy_from_slice(&picture.pixels()[offset..offset + side * 3]);
        }
    }
}

/// The size of the batch that is being filled.
#[derive(Default)]
pub(super) struct BatchInput {
    pub(super) windows: usize,
    pub(super) patches: usize,
}

impl BatchInput {
    pub(super) fn add(
        &mut self,
        (bytes, row_indices): (&mut [u8], &mut [u32]),
        sizes: &TowerSizes,
        windows: &WindowSources<'_>,
    ) {
        let whole = windows.whole.map(|whole| self.patches(bytes, sizes, whole, &[Origin { x: 0, y: 0 }]));
        let whole = whole.as_deref().unwrap_or_default();
        if windows.local.is_empty() {
            self.window(row_indices, sizes, whole, &[]);
        }
        for (picture, origins) in windows.local {
            let patches = self.patches(bytes, sizes, picture, origins);
            for own in patches.chunks_exact(sizes.patches) {
                self.window(row_indices, sizes, whole, own);
            }
        }
    }

    /// Adds the patches of windows; returns their indices, (origins, patches).
    fn patches(&mut self, bytes: &mut [u8], sizes: &TowerSizes, picture: &Rgb8, origins: &[Origin]) -> Vec<u32> {
        let lattice = PatchLattice::new(origins, sizes.patches.isqrt() as u32, sizes.patch as u32);
        gather(picture, &lattice.corners, sizes, &mut bytes[self.patches * sizes.patch_bytes..]);
        let first = self.patches as u32;
        self.patches += lattice.corners.len();
        lattice.window_patches.into_iter().map(|place| first + place).collect()
    }

    /// Adds a window that consists of these patches.
    fn window(&mut self, row_indices: &mut [u32], sizes: &TowerSizes, whole: &[u32], own: &[u32]) {
        let tokens = sizes.tokens();
        let (class, rows) =
            row_indices[self.windows * tokens..][..tokens].split_first_mut().expect("a window has a class token");
        *class = CONSTANT_ROW;
        rows[..whole.len()].copy_from_slice(whole);
        rows[whole.len()..][..own.len()].copy_from_slice(own);
        for (prompt, place) in rows[whole.len() + own.len()..].iter_mut().enumerate() {
            *place = CONSTANT_ROW | (1 + prompt as u32);
        }
        self.windows += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    #[ignore = "a measurement"]
    fn windows_a_second_that_one_thread_fills_batches_with() {
        const TIMES: usize = 1000;
        let sizes = TowerSizes {
            patches: 49,
            views: 2,
            prompt_rows: 0,
            width: 768,
            mlp_width: 3072,
            embed: 512,
            patch: 32,
            patch_bytes: 3072,
        };
        let picture = Rgb8::new(640, 480, vec![7; 640 * 480 * 3]);
        let whole = Rgb8::new(224, 224, vec![7; 224 * 224 * 3]);
        let origins = crate::picture::Views::default().origins(640, 480);
        let (mut bytes, mut row_indices) = (vec![1; 113 * 98 * 3072], vec![0; 113 * 99]);
        let start = Instant::now();
        for _ in 0..TIMES {
            let mut filling = BatchInput::default();
            for _ in 0..3 {
                let windows = WindowSources { whole: Some(&whole), local: &[(&picture, &origins)] };
                filling.add((&mut bytes, &mut row_indices), &sizes, &windows);
            }
        }
        println!("{:.0} windows/s", (TIMES * 3 * origins.len()) as f64 / start.elapsed().as_secs_f64());
    }
}
