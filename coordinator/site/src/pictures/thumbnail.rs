//! A picture as a small JPEG.

use dqa_model::Rgb8;
use image::RgbImage;
use image::imageops::{FilterType, resize, thumbnail};

/// The longest side of a small picture in pixels: twice the width of its place on a page.
const SIDE_MAX: u32 = 480;

/// libjpeg's scale. At 82 no block is visible at this size.
const QUALITY: f32 = 82.0;

/// Returns the picture as a JPEG whose longest side is at most [`SIDE_MAX`] pixels. A smaller picture keeps its size.
pub(crate) fn jpeg(picture: &Rgb8) -> Result<Vec<u8>, std::io::Error> {
    let (width, height) = (picture.width(), picture.height());
    let image =
        RgbImage::from_raw(width, height, picture.pixels().to_vec()).expect("a picture has three bytes a pixel");
    let scale = f64::from(SIDE_MAX) / f64::from(width.max(height));
    let side = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    let small = if scale >= 1.0 {
        image
    } else if scale > 0.5 {
        resize(&image, side(width), side(height), FilterType::Triangle)
    } else {
        thumbnail(&image, side(width), side(height))
    };
    encode(&small)
}

fn encode(image: &RgbImage) -> Result<Vec<u8>, std::io::Error> {
    let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
    encoder.set_size(image.width() as usize, image.height() as usize);
    encoder.set_quality(QUALITY);
    encoder.set_fastest_defaults();
    encoder.set_quality(QUALITY);
    let mut encoder = encoder.start_compress(Vec::new())?;
    encoder.write_scanlines(image.as_raw())?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use dqa_engine::decode::{Limits, decode};
    use dqa_pipelines::picture_limits::PictureLimits;

    use super::*;

    #[test]
    fn the_longest_side_is_limited_and_colours_stay() {
        let limits = Limits::new(PictureLimits::default(), 1);
        for (size, small) in
            [((960, 640), (480, 320)), ((500, 1000), (240, 480)), ((30, 20), (30, 20)), ((9000, 3), (480, 1))]
        {
            let pixels = [200, 100, 50].repeat((size.0 * size.1) as usize);
            let bytes = jpeg(&Rgb8::new(size.0, size.1, pixels)).unwrap();
            let picture = decode(&bytes, &limits).unwrap();
            assert_eq!((picture.width(), picture.height()), small);
            let [r, g, b] = [0, 1, 2].map(|channel| picture.pixels()[channel]);
            assert!(r.abs_diff(200) < 4 && g.abs_diff(100) < 4 && b.abs_diff(50) < 4, "{r} {g} {b}");
        }
    }
}
