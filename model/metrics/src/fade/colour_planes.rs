//! A picture with each of its three channels in a piece, and the opponent channels made of them.

use crate::fade::patch::{AREA, SIDE};
use crate::plane::Plane;
use crate::rgb_view::RgbView;

/// The channels of a picture.
pub(super) struct ColourPlanes {
    red: Vec<u8>,
    green: Vec<u8>,
    blue: Vec<u8>,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// A combination of the three channels.
#[derive(Clone, Copy)]
pub(super) enum Channel {
    /// `.299 R + .587 G + .114 B`, not rounded.
    Luma,
    /// `(R + G) / 2 - B`.
    BlueYellow,
    /// `R - G`.
    RedGreen,
}

/// Sums over the colours of a patch.
#[derive(Clone, Copy)]
pub(super) struct ColourSums {
    /// Of `min(R, G, B)`.
    pub(super) darkest: f64,
    /// Of `(max - min) / max`, 0 for black.
    pub(super) saturation: f64,
    pub(super) red_green: i32,
    pub(super) red_green_squares: i32,
    /// Of `R + G - 2 B`, which is twice the channel.
    pub(super) blue_yellow: i32,
    pub(super) blue_yellow_squares: i32,
}

impl ColourPlanes {
    #[inline(always)]
    pub(super) fn new(picture: &RgbView<'_>) -> Self {
        let channel = |index: usize| picture.pixels().map(|pixel| pixel[index]).collect();
        Self { red: channel(0), green: channel(1), blue: channel(2), width: picture.width(), height: picture.height() }
    }

    #[inline(always)]
    pub(super) fn channel(&self, channel: Channel) -> Plane {
        let combined = match channel {
            Channel::Luma => self.combined(|red, green, blue| 0.299 * red + 0.587 * green + 0.114 * blue),
            Channel::BlueYellow => self.combined(|red, green, blue| 0.5 * red + 0.5 * green - blue),
            Channel::RedGreen => self.combined(|red, green, _| red - green),
        };
        Plane::new(combined, self.width, self.height)
    }

    #[inline(always)]
    fn combined(&self, combine: impl Fn(f64, f64, f64) -> f64) -> Vec<f64> {
        let colours = self.red.iter().zip(&self.green).zip(&self.blue);
        colours.map(|((red, green), blue)| combine(f64::from(*red), f64::from(*green), f64::from(*blue))).collect()
    }

    /// Returns the sums over the patch at a place.
    #[inline(always)]
    pub(super) fn sums(&self, place: (usize, usize)) -> ColourSums {
        let (red, green, blue) =
            (self.patch(&self.red, place), self.patch(&self.green, place), self.patch(&self.blue, place));
        let (mut darkest, mut red_green, mut red_green_squares) = (0, 0, 0);
        let (mut blue_yellow, mut blue_yellow_squares) = (0, 0);
        let mut saturation = [0.0; SIDE];
        for index in 0..AREA {
            let [r, g, b] = [i32::from(red[index]), i32::from(green[index]), i32::from(blue[index])];
            let (least, greatest) = (r.min(g).min(b), r.max(g).max(b));
            darkest += least;
            // The greatest of black counts as 1.
            saturation[index % SIDE] += f64::from(greatest - least) / f64::from(greatest.max(1));
            red_green += r - g;
            red_green_squares += (r - g) * (r - g);
            blue_yellow += r + g - 2 * b;
            blue_yellow_squares += (r + g - 2 * b) * (r + g - 2 * b);
        }
        let [a, b, c, d, e, f, g, h] = saturation;
        let saturation = ((a + b) + (c + d)) + ((e + f) + (g + h));
        let darkest = f64::from(darkest);
        ColourSums { darkest, saturation, red_green, red_green_squares, blue_yellow, blue_yellow_squares }
    }

    #[inline(always)]
    fn patch(&self, samples: &[u8], (x, y): (usize, usize)) -> [u8; AREA] {
        byte_patch(samples, self.width, (x, y))
    }
}

/// Returns the bytes of the patch at a place, row by row.
#[inline(always)]
pub(super) fn byte_patch(bytes: &[u8], width: usize, (x, y): (usize, usize)) -> [u8; AREA] {
    let mut patch = [0; AREA];
    for (row, into) in patch.chunks_exact_mut(SIDE).enumerate() {
        into.copy_from_slice(&bytes[(y + row) * width + x..][..SIDE]);
    }
    patch
}
