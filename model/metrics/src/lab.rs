//! CIELAB of 8-bit sRGB (IEC 61966-2-1, white D65). The channels are linearised by a table; the cube root is a fixed number
//! of Halley steps, which compile to vector instructions and give the same bits on every CPU.

/// sRGB to XYZ, from the primaries to seven digits (Lindbloom).
const XYZ: [[f64; 3]; 3] =
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]];
const WHITE: [f64; 3] = [0.95047, 1.0, 1.08883];

/// Below the first the root is replaced by a line with the slope of the second (CIE 15).
const EPSILON: f64 = 216.0 / 24389.0;
const KAPPA: f64 = 24389.0 / 27.0;

/// Number of pixels that are converted at once: a few registers of each vector width.
pub(crate) const CHUNK: usize = 64;

/// Lightness, red-green and yellow-blue of `CHUNK` pixels.
#[derive(Clone)]
pub(crate) struct LabChunk {
    pub(crate) l: [f64; CHUNK],
    pub(crate) a: [f64; CHUNK],
    pub(crate) b: [f64; CHUNK],
}

/// Converts pixels with a table of the linear light of each level.
pub(crate) struct LabConverter {
    linear: [f64; 256],
}

impl LabConverter {
    pub(crate) fn new() -> Self {
        let linear = std::array::from_fn(|level| {
            let value = level as f64 / 255.0;
            if value <= 0.04045 { value / 12.92 } else { libm::pow((value + 0.055) / 1.055, 2.4) }
        });
        Self { linear }
    }

    /// Converts up to `CHUNK` pixels; the others of the chunk become black.
    #[inline(always)]
    pub(crate) fn convert(&self, pixels: &[[u8; 3]]) -> LabChunk {
        let mut light = [[0.0; CHUNK]; 3];
        for (x, pixel) in pixels.iter().enumerate() {
            for channel in 0..3 {
                light[channel][x] = self.linear[usize::from(pixel[channel])];
            }
        }
        let [red, green, blue] = light;
        let mut lab = LabChunk { l: [0.0; CHUNK], a: [0.0; CHUNK], b: [0.0; CHUNK] };
        for x in 0..CHUNK {
            let [fx, fy, fz] = std::array::from_fn(|row| {
                let [r, g, b] = XYZ[row];
                compress((r * red[x] + g * green[x] + b * blue[x]) * (1.0 / WHITE[row]))
            });
            lab.l[x] = 116.0 * fy - 16.0;
            lab.a[x] = 500.0 * (fx - fy);
            lab.b[x] = 200.0 * (fy - fz);
        }
        lab
    }
}

/// Returns the cube root of a share of white, or the line that replaces it near black.
#[inline(always)]
fn compress(share: f64) -> f64 {
    let line = (KAPPA * share + 16.0) / 116.0;
    let root = cube_root(share);
    if share > EPSILON { root } else { line }
}

/// Returns the cube root of a number between 0.008 and 2, within 3e-14 of its size. Dividing the bits of a float by three
/// divides its exponent by three: a guess within 4%. Each Halley step cubes the error and takes two thirds of it.
#[inline(always)]
fn cube_root(value: f64) -> f64 {
    let guess = f64::from(f32::from_bits((value as f32).to_bits() / 3 + 709_958_130));
    halley_step(halley_step(guess, value), value)
}

#[inline(always)]
fn halley_step(root: f64, value: f64) -> f64 {
    let cube = root * root * root;
    root * ((cube + 2.0 * value) / (2.0 * cube + value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cube_root_is_near_that_of_libm() {
        let mut worst = 0.0_f64;
        for step in 0..200_000 {
            let value = 0.0088 + f64::from(step) * 6e-6;
            let expected = libm::cbrt(value);
            worst = worst.max((cube_root(value) - expected).abs() / expected);
        }
        assert!(worst < 3e-14, "{worst}");
    }

    /// `aids.json`: `lab_of`.
    #[test]
    fn known_colours_have_their_coordinates() {
        let known: [([u8; 3], [f64; 3]); 6] = [
            ([0, 0, 0], [0.0, 0.0, 0.0]),
            ([255, 255, 255], [100.00000386666655, -1.6666666158293708e-05, 6.666666463317483e-06]),
            ([255, 0, 0], [53.240794141307205, 80.09245959641115, 67.20319651585298]),
            ([0, 0, 255], [32.297010932850725, 79.18751984512224, -107.8601617541481]),
            ([1, 2, 3], [0.5098286713241187, -0.12244735324951073, -0.47059578878119734]),
            ([128, 64, 200], [41.88532205262866, 53.52322853143862, -60.35832395124309]),
        ];
        let found = LabConverter::new().convert(&known.map(|(pixel, _)| pixel));
        for (x, (pixel, expected)) in known.into_iter().enumerate() {
            for (found, expected) in [found.l[x], found.a[x], found.b[x]].into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-11, "{pixel:?}: {found} {expected}");
            }
        }
    }
}
