//! A picture with each of its three channels in a piece, and the opponent channels made of them.

use crate::fade::patch::{AREA, SIDE, add_in_pairs};
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
    /// The sum of `min(R, G, B)`.
    pub(super) darkest: f64,
    /// The sum of `(max - min) / max`, which is 0 for black.
    pub(super) saturation: f64,
    pub(super) red_green: i32,
    pub(super) red_green_squares: i32,
    /// The sum of `R + G - 2 B`, which is twice the channel.
    pub(super) blue_yellow: i32,
    pub(super) blue_yellow_squares: i32,
}

impl ColourPlanes {
    #[inline(always)]
    pub(super) fn new(picture: &RgbView<'_>) -> Self {
        let (width, height) = (picture.width(), picture.height());
        let empty = || vec![0; width * height];
        let mut planes = Self { red: empty(), green: empty(), blue: empty(), width, height };
        let channels = planes.red.iter_mut().zip(&mut planes.green).zip(&mut planes.blue);
        for (((red, green), blue), pixel) in channels.zip(picture.pixels()) {
            [*red, *green, *blue] = pixel;
        }
        planes
    }

    /// Writes a combination of the channels.
    #[inline(always)]
    pub(super) fn write_channel(&self, channel: Channel, values: &mut [f64]) {
        let [red, green, blue] = match channel {
            Channel::Luma => [0.299, 0.587, 0.114],
            Channel::BlueYellow => [0.5, 0.5, -1.0],
            Channel::RedGreen => [1.0, -1.0, 0.0],
        };
        let colours = self.red.iter().zip(&self.green).zip(&self.blue);
        for (value, ((r, g), b)) in values.iter_mut().zip(colours) {
            *value = red * f64::from(*r) + green * f64::from(*g) + blue * f64::from(*b);
        }
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
        let (darkest, saturation) = (f64::from(darkest), add_in_pairs(saturation));
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
