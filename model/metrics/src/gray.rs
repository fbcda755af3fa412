//! MATLAB's gray of a picture, as `rgb2gray` makes it of 8 bits. All metrics but the coloured ones take their levels from
//! here: other weights move NIQE and BRISQUE.

use crate::plane::Plane;
use crate::rgb_view::RgbView;

/// First row of the inverse of `[1 .956 .621; 1 -.272 -.647; 1 -1.106 1.703]`, with which MATLAB defines luma.
const WEIGHTS: [f64; 3] = [0.298936021293775, 0.587043074451121, 0.114020904255103];

/// Returns the gray levels of a picture, 0 to 255, rounded half up, in row-major order.
#[inline(always)]
pub(crate) fn gray_levels(picture: &RgbView<'_>) -> Vec<u8> {
    // No colour is nearer to a half than 4.6e-6, so the order of the additions does not matter.
    picture
        .pixels()
        .map(|[red, green, blue]| {
            let luma = WEIGHTS[0] * f64::from(red) + WEIGHTS[1] * f64::from(green) + WEIGHTS[2] * f64::from(blue);
            (luma + 0.5) as u8
        })
        .collect()
}

/// Returns the gray levels of a picture as doubles.
#[inline(always)]
pub(crate) fn gray_plane(picture: &RgbView<'_>) -> Plane {
    let values = gray_levels(picture).into_iter().map(f64::from).collect();
    Plane::new(values, picture.width(), picture.height())
}
