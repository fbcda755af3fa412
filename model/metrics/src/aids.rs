//! The known steps of the metrics of one picture, `shared/metrics/aids.json`. For tests only.

use std::path::Path;

use serde_json::Value;

use crate::gray::gray_levels;
use crate::rgb_view::RgbView;

/// Side of the picture.
pub(crate) const SIDE: usize = 224;

/// Returns the steps and the gray levels of the picture, or nothing after a message if the folder is missing.
pub(crate) fn aids() -> Option<(Value, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/metrics");
    if !folder.exists() {
        eprintln!("skipped: {} is missing", folder.display());
        return None;
    }
    let text = std::fs::read(folder.join("aids.json")).expect("aids.json is there");
    let image = image::open(folder.join("pictures/photo-224x224.png")).expect("the picture is there").to_rgb8();
    let aids = serde_json::from_slice(&text).expect("aids.json is JSON");
    Some((aids, gray_levels(&RgbView::new(image.as_raw(), SIDE, SIDE))))
}

/// Checks that numbers differ by less than `tolerance` from those of a JSON array.
pub(crate) fn assert_near(found: &[f64], expected: &Value, tolerance: f64) {
    let expected: Vec<f64> = expected.as_array().expect("an array").iter().filter_map(Value::as_f64).collect();
    assert_eq!(found.len(), expected.len());
    for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!((found - expected).abs() < tolerance, "{place}: {found}, expected {expected}");
    }
}
