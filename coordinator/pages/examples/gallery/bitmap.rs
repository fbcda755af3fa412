//! Made-up pictures as uncompressed bitmaps, which browsers show whatever a file is called.

use dqa_pages::{PicturePart, RunRoutes};

use crate::site::HAZY;
use crate::world::World;

const SMALL: (usize, usize) = (120, 90);
const LARGE: (usize, usize) = (480, 360);

/// Scenes with large pictures.
const LARGE_SCENES: usize = 2;

/// Returns the paths and bytes of the pictures of the first scenes.
pub(crate) fn files(world: &World) -> Vec<(String, Vec<u8>)> {
    let routes = RunRoutes::new(&world.run);
    let mut files = Vec::new();
    let mut add = |image: &str, scene: usize, quality: f64, tint: f64| {
        if scene >= world.scenes_with_files {
            return;
        }
        let path = |part: PicturePart| routes.picture(&world.dataset, image, part).path();
        files.push((path(PicturePart::Thumbnail), draw(SMALL, scene, quality, tint)));
        if scene < LARGE_SCENES {
            files.push((path(PicturePart::File), draw(LARGE, scene, quality, tint)));
            files.push((path(PicturePart::WindowMap), draw(SMALL, scene + 100, quality, 0.9)));
            files.push((path(PicturePart::AttentionMap), draw(SMALL, scene + 200, quality, 0.2)));
        }
    };
    for picture in &world.pictures {
        let tint = picture.algorithm as f64 / world.algorithms.len() as f64;
        add(&picture.image, picture.scene, picture.mos / 100.0, tint);
    }
    for scene in 0..world.scenes.len() {
        add(&format!("{HAZY}/{}.png", world.scenes[scene].name), scene, 0.05, 0.5);
    }
    files
}

/// Draws a room with boxes behind haze.
fn draw((width, height): (usize, usize), scene: usize, quality: f64, tint: f64) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(width * height * 3);
    let turn = |x: f64, phase: f64| 0.5 + 0.5 * (x * 6.3 + phase).sin();
    let seed = scene as f64 * 0.37;
    for row in (0..height).rev() {
        for column in 0..width {
            let (u, v) = (column as f64 / width as f64, row as f64 / height as f64);
            let depth = if v > 0.6 { 1.0 - (v - 0.6) * 2.0 } else { 1.0 };
            let tile = if v > 0.6 && ((u * 10.0 / (0.3 + v)) as i64 + (v * 12.0) as i64) % 2 == 0 { 0.2 } else { 0.0 };
            let boxed = (u - 0.3 - 0.3 * turn(seed, 1.0)).abs() < 0.12 && (v - 0.55).abs() < 0.22;
            let colour = if boxed {
                [turn(seed, 0.0), 0.7, 0.25]
            } else {
                [0.55 + tile, 0.5 + tile, 0.42 + 0.2 * turn(seed, 2.0)]
            };
            let haze = (1.0 - quality).clamp(0.0, 1.0) * depth;
            for channel in [2, 1, 0] {
                let cast = 1.0 + 0.25 * (tint - 0.5) * (channel as f64 - 1.0);
                let value = (colour[channel] * (1.0 - haze) + 0.85 * haze) * cast;
                pixels.push((value.clamp(0.0, 1.0) * 255.0) as u8);
            }
        }
        pixels.resize(pixels.len().next_multiple_of(4), 0);
    }
    let mut file = Vec::from(*b"BM");
    let size = 54 + pixels.len() as u32;
    for number in [size, 0, 54, 40, width as u32, height as u32, 1 | 24 << 16, 0, pixels.len() as u32, 2835, 2835, 0, 0]
    {
        file.extend(number.to_le_bytes());
    }
    file.extend(pixels);
    file
}
