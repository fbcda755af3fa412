//! The contrast of a window: the standard deviation of its luma.

use dqa_model::{Rgb8, ViewMode, Views};

/// Returns the standard deviation of luma in each window of a picture.
pub(super) fn deviations(picture: &Rgb8, views: &Views) -> Vec<f64> {
    if let Some(fragments) = views.fragments() {
        return vec![deviation(&fragments.join_middles(picture), (0, 0), (views.window, views.window))];
    }
    let (width, height) = (picture.width(), picture.height());
    let size = if views.sees == ViewMode::Global { (width, height) } else { (views.window, views.window) };
    views.origins(width, height).iter().map(|origin| deviation(picture, (origin.x, origin.y), size)).collect()
}

fn deviation(picture: &Rgb8, (x, y): (u32, u32), (width, height): (u32, u32)) -> f64 {
    let (mut sum, mut squares) = (0.0, 0.0);
    for row in y..y + height {
        let start = (row as usize * picture.width() as usize + x as usize) * Rgb8::CHANNELS;
        for pixel in picture.pixels()[start..][..width as usize * Rgb8::CHANNELS].chunks_exact(Rgb8::CHANNELS) {
            // BT.601, as Pillow's `convert("L")`.
            let luma = 0.299 * f64::from(pixel[0]) + 0.587 * f64::from(pixel[1]) + 0.114 * f64::from(pixel[2]);
            sum += luma;
            squares += luma * luma;
        }
    }
    let n = f64::from(width) * f64::from(height);
    (squares / n - (sum / n).powi(2)).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_windows_deviation_is_that_of_its_own_pixels() {
        // Left half black, right half columns of black and white.
        let pixel = |x: u32| if x >= 4 && x.is_multiple_of(2) { [255; 3] } else { [0; 3] };
        let picture = Rgb8::new(8, 2, (0..16).flat_map(|at| pixel(at % 8)).collect());
        assert_eq!(deviation(&picture, (0, 0), (4, 2)), 0.0);
        assert!((deviation(&picture, (4, 0), (4, 2)) - 127.5).abs() < 1e-6);
        assert!((deviation(&picture, (2, 0), (4, 1)) - 255.0 * (3.0f64 / 16.0).sqrt()).abs() < 1e-6);
    }
}
