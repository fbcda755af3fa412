//! FADE, the fog aware density evaluator (Choi, You and Bovik 2015): twelve features of each patch of 8x8 pixels, and
//! how far they are from those of patches without fog and of foggy ones. What the right and the lower edge have beyond
//! whole patches is cut off before anything is computed.

mod colour_planes;
mod contrast_energy;
mod distance;
mod features;
mod patch;

use crate::fade::colour_planes::ColourPlanes;
use crate::fade::distance::FeatureDistance;
use crate::fade::features::{Features, patch_features};
use crate::gray::gray_levels;
use crate::mscn::{Border, count_flat_windows};
use crate::parameters::{FOG_FEATURES, FogModel, GaussianModel};
use crate::plane::sum;
use crate::rgb_view::RgbView;
use crate::undefined::Undefined;

/// Fewest pixels of a side: the contrast energy copies ten rows and columns of the picture's whole patches.
const SMALLEST_SIDE: usize = 16;

/// Returns the fog density of a picture.
///
/// # Errors
/// [`Undefined::TooSmall`], or [`Undefined::Degenerate`] if each patch lacks a feature.
#[inline(always)]
pub(crate) fn fade(picture: &RgbView<'_>, model: &FogModel) -> Result<f64, Undefined> {
    if picture.width().min(picture.height()) < SMALLEST_SIDE {
        return Err(Undefined::TooSmall("sides of 16 pixels"));
    }
    let (width, height) = (patch::whole(picture.width()), patch::whole(picture.height()));
    let samples = upper_left(picture.samples(), 3 * picture.width(), 3 * width, height);
    let picture = RgbView::new(&samples, width, height);
    density(&patch_features(&ColourPlanes::new(&picture), &gray_levels(&picture)), model)
}

/// Returns the share of flat windows in the part that is measured, or nothing if that is empty.
#[inline(always)]
pub(crate) fn flat_share(levels: &[u8], width: usize) -> Option<f64> {
    let (columns, rows) = (patch::whole(width), patch::whole(levels.len() / width));
    let levels = upper_left(levels, width, columns, rows);
    let flat = || count_flat_windows(&levels, columns, Border::Replicate) as f64 / levels.len() as f64;
    (!levels.is_empty()).then(flat)
}

/// Returns the first bytes of the first rows.
fn upper_left(bytes: &[u8], width: usize, columns: usize, rows: usize) -> Vec<u8> {
    let mut part = Vec::with_capacity(rows * columns);
    for row in bytes.chunks_exact(width).take(rows) {
        part.extend_from_slice(&row[..columns]);
    }
    part
}

#[inline(always)]
fn density(features: &[Features], model: &FogModel) -> Result<f64, Undefined> {
    let fog_free = mean_distance(features, &model.fog_free)?;
    let foggy = mean_distance(features, &model.foggy)?;
    Ok(fog_free / (foggy + 1.0))
}

/// Returns the mean distance of the patches that have all features.
#[inline(always)]
fn mean_distance(features: &[Features], model: &GaussianModel<FOG_FEATURES>) -> Result<f64, Undefined> {
    let distances = FeatureDistance::new(model).of_patches(features);
    let distances: Vec<f64> = distances.into_iter().filter(|distance| !distance.is_nan()).collect();
    if distances.is_empty() {
        return Err(Undefined::Degenerate("each patch lacks a feature, as patches of one gray level do"));
    }
    Ok(sum(&distances) / distances.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Parameters;

    #[test]
    fn what_is_beyond_whole_patches_does_not_matter() {
        let model = Parameters::default().fade;
        let value = |x: usize, y: usize, channel: usize| ((x * 7 + y * 13 + channel * 29) * 31 % 253) as u8;
        let samples = |width: usize, height: usize| -> Vec<u8> {
            (0..width * height * 3).map(|index| value(index / 3 % width, index / 3 / width, index % 3)).collect()
        };
        let whole = fade(&RgbView::new(&samples(24, 16), 24, 16), &model).unwrap();
        assert_eq!(fade(&RgbView::new(&samples(31, 23), 31, 23), &model), Ok(whole));
    }

    #[test]
    fn a_picture_of_one_colour_has_no_value() {
        let model = Parameters::default().fade;
        let gray = RgbView::new(&[128; 16 * 16 * 3], 16, 16);
        assert!(matches!(fade(&gray, &model), Err(Undefined::Degenerate(_))));
        let small = RgbView::new(&[128; 16 * 15 * 3], 16, 15);
        assert!(matches!(fade(&small, &model), Err(Undefined::TooSmall(_))));
        assert_eq!((flat_share(&[5; 17 * 23], 17), flat_share(&[5; 16 * 7], 16)), (Some(1.0), None));
    }
}
