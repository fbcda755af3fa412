//! The twelve features of a patch, as `ln(1 + feature)`. A patch that lacks one has NaN there.

use crate::fade::colour_planes::{Channel, ColourPlanes, ColourSums, byte_patch};
use crate::fade::contrast_energy::ContrastFilter;
use crate::fade::patch::{
    AREA, Patch, SIDE, mean, negated, patch_at, places, product, quotient, variance, variance_of_not_negative,
};
use crate::mscn::{Border, LocalStatistics, Windows, local_statistics};
use crate::plane::Plane;

/// Features of one patch: variance of the MSCN coefficients; variances of the products with the coefficient above that
/// are not negative and not positive; sharpness; coefficient of variation; contrast energy of luma, blue-yellow and
/// red-green; entropy; dark channel; saturation; colourfulness.
pub(super) type Features = [f64; 12];

/// Where the local mean is the pixel, MATLAB mostly leaves a mean that is too great by rounding, and FADE asks for the
/// sign.
const WINDOWS: Windows = Windows { border: Border::Replicate, balanced: -1e-14 };

/// Noise of the contrast energies, for levels up to 1.
const THRESHOLDS: [(Channel, f64); 3] = [
    (Channel::Luma, 9.225496406318721e-4),
    (Channel::BlueYellow, 8.969246659629488e-4),
    (Channel::RedGreen, 2.069284034165411e-4),
];

/// Returns the features of each patch, row by row. `levels` are the gray levels of the same picture.
#[inline(always)]
pub(super) fn patch_features(colours: &ColourPlanes, levels: &[u8]) -> Vec<Features> {
    let (width, height) = (colours.width, colours.height);
    let mut features: Vec<Features> = vec![[f64::NAN; 12]; places(width, height).count()];
    add_local_features(levels, width, &mut features);
    add_contrast_energies(colours, &mut features);
    let mut entropies = PatchEntropy::new();
    for (features, place) in features.iter_mut().zip(places(width, height)) {
        let sums = colours.sums(place);
        features[8] = entropies.of(&byte_patch(levels, width, place));
        features[9] = sums.darkest / (255.0 * AREA as f64);
        features[10] = sums.saturation / AREA as f64;
        features[11] = colourfulness(&sums);
        for feature in features {
            *feature = libm::log1p(*feature);
        }
    }
    features
}

#[inline(always)]
fn add_contrast_energies(colours: &ColourPlanes, features: &mut [Features]) {
    let (width, height) = (colours.width, colours.height);
    let mut filter = ContrastFilter::new(width, height);
    let mut channel = Plane::new(vec![0.0; width * height], width, height);
    let mut energies = vec![0.0; features.len()];
    for (index, (kind, threshold)) in THRESHOLDS.into_iter().enumerate() {
        colours.write_channel(kind, &mut channel.values);
        filter.write_energies(&channel, threshold * 255.0, &mut energies);
        for (features, energy) in features.iter_mut().zip(&energies) {
            features[5 + index] = *energy;
        }
    }
}

/// Writes the features that are made of local means and deviations.
#[inline(always)]
fn add_local_features(levels: &[u8], width: usize, features: &mut [Features]) {
    let height = levels.len() / width;
    let gray = Plane::new(levels.iter().map(|level| f64::from(*level)).collect(), width, height);
    let LocalStatistics { mscn, deviation, mean: local_mean } = local_statistics(&gray, WINDOWS);
    for (features, place) in features.iter_mut().zip(places(width, height)) {
        let coefficients = patch_at(&mscn, place);
        let products = product(&coefficients, &patch_above(&mscn, &coefficients, place));
        let deviations = patch_at(&deviation, place);
        features[0] = variance(&coefficients);
        features[1] = variance_of_not_negative(&products);
        features[2] = variance_of_not_negative(&negated(&products));
        features[3] = mean(&deviations);
        features[4] = mean(&quotient(&deviations, &patch_at(&local_mean, place)));
    }
}

/// Returns the values one row above a patch. Above the first row is the last one of the picture.
#[inline(always)]
fn patch_above(plane: &Plane, patch: &Patch, (x, y): (usize, usize)) -> Patch {
    let mut above = *patch;
    above.copy_within(0..SIDE - 1, 1);
    let row = plane.row(if y == 0 { plane.height - 1 } else { y - 1 });
    above[0].copy_from_slice(&row[x..x + SIDE]);
    above
}

/// Returns `sqrt(var rg + var by) + 0.3 sqrt(mean² rg + mean² by)` of the opponent channels.
#[inline(always)]
fn colourfulness(sums: &ColourSums) -> f64 {
    let (red_green, red_green_variance) = moments(sums.red_green, sums.red_green_squares);
    let (blue_yellow, blue_yellow_variance) = moments(sums.blue_yellow, sums.blue_yellow_squares);
    // The sums of blue-yellow are of twice the channel.
    let (blue_yellow, blue_yellow_variance) = (blue_yellow / 2.0, blue_yellow_variance / 4.0);
    let length = (red_green * red_green + blue_yellow * blue_yellow).sqrt();
    (red_green_variance + blue_yellow_variance).sqrt() + 0.3 * length
}

/// Returns the mean and the variance, with 63 as its divisor, of a patch of integers.
#[inline(always)]
fn moments(sum: i32, squares: i32) -> (f64, f64) {
    let area = AREA as f64;
    let (sum, squares) = (f64::from(sum), f64::from(squares));
    // Exact up to the division.
    (sum / area, (squares * area - sum * sum) / (area * (area - 1.0)))
}

/// The entropy of a patch's gray levels in bits.
struct PatchEntropy {
    counts: [u8; 256],
    /// For a level that `n` pixels have, the bits that each of them adds.
    bits: [f64; AREA + 1],
}

impl PatchEntropy {
    fn new() -> Self {
        let area = AREA as f64;
        let bits = std::array::from_fn(|n| if n == 0 { 0.0 } else { libm::log2(area / n as f64) / area });
        Self { counts: [0; 256], bits }
    }

    #[inline(always)]
    fn of(&mut self, levels: &[u8; AREA]) -> f64 {
        for level in levels {
            self.counts[usize::from(*level)] += 1;
        }
        let mut sums = [0.0; 4];
        for levels in levels.as_chunks::<4>().0 {
            for (sum, level) in sums.iter_mut().zip(levels) {
                *sum += self.bits[usize::from(self.counts[usize::from(*level)])];
            }
        }
        for level in levels {
            self.counts[usize::from(*level)] = 0;
        }
        (sums[0] + sums[1]) + (sums[2] + sums[3])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RgbView;
    use crate::gray::gray_levels;

    #[test]
    fn entropy_of_a_patch_is_that_of_its_shares() {
        let mut entropies = PatchEntropy::new();
        assert_eq!(entropies.of(&[9; AREA]), 0.0);
        assert_eq!(entropies.of(&std::array::from_fn(|index| index as u8)), 6.0);
        let quarter = std::array::from_fn(|index| if index < 16 { 0 } else { 255 });
        assert!((entropies.of(&quarter) - (2.0 - 0.75 * 3.0_f64.log2())).abs() < 1e-14);
    }

    #[test]
    fn colour_features_of_two_colours() {
        // Half black, half (200, 100, 50): rg 0 and 100, by 0 and 100.
        let samples: Vec<u8> =
            (0..256).flat_map(|index| if index % 2 == 0 { [0; 3] } else { [200, 100, 50] }).collect();
        let picture = RgbView::new(&samples, 16, 16);
        let features = patch_features(&ColourPlanes::new(&picture), &gray_levels(&picture));
        let variance = 2500.0 * 64.0 / 63.0;
        let expected = [1.0, 25.0 / 255.0, 0.375, (2.0_f64 * variance).sqrt() + 0.3 * 5000.0_f64.sqrt()];
        for (feature, expected) in features[3][8..].iter().zip(expected) {
            assert!((feature - expected.ln_1p()).abs() < 1e-14, "{feature} {expected}");
        }
    }

    #[test]
    fn flat_patches_lack_a_feature() {
        let samples = [77; 256 * 3];
        let picture = RgbView::new(&samples, 16, 16);
        let features = patch_features(&ColourPlanes::new(&picture), &gray_levels(&picture));
        assert!(features.iter().all(|features| features[2].is_nan()));
    }

    #[test]
    fn features_have_the_golden_means() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/metrics");
        if !folder.exists() {
            eprintln!("skipped: {} is missing", folder.display());
            return;
        }
        let aids: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("aids.json")).unwrap()).unwrap();
        let image = image::open(folder.join("pictures/photo-224x224.png")).unwrap().to_rgb8();
        let picture = RgbView::new(image.as_raw(), 224, 224);
        let features = patch_features(&ColourPlanes::new(&picture), &gray_levels(&picture));
        assert_eq!(aids["fade_patches"], features.len());
        for index in 0..12 {
            let mean = features.iter().map(|features| features[index]).sum::<f64>() / features.len() as f64;
            let expected = aids["fade_feature_means"][index].as_f64().unwrap();
            assert!((mean - expected).abs() < 1e-12, "feature {index}: {mean}, expected {expected}");
        }
    }
}
