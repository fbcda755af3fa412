//! Tests the points where the authors' code is not what one would write from the paper. They are marked `// REFERENCE:`
//! in the sources. Each test shows that the plain form agrees with `dqa-model` with the oddity, and differs by far more
//! than rounding without it, so that a "correction" of the product fails here.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

mod support;

use std::path::Path;

use dqa_model::{Options, PictureTooSmall, Prepared, Rgb8, Views, whole_view};
use dqa_testkit::{ClipShape, Goldens};
use support::plain::Oddities;
use support::{Difference, Model, picture};

/// Removing an oddity must change a value by at least this many tolerances.
const CHANGE_MIN: f64 = 10.0;

/// Returns a picture of four windows at the paper's stride, with pixels left over on both sides, and not square.
fn four_windows() -> Rgb8 {
    picture(21, 340, 300)
}

// Indices of `Difference::in_tolerances`.
const TEXT: usize = 0;
const FEATURE: usize = 1;
const WINDOW: usize = 2;
const PICTURE: usize = 3;

/// Asserts that `dqa-model` has the oddity that `correct` removes, and that removing it changes `part`.
fn assert_oddity(part: usize, correct: impl FnOnce(&mut Oddities)) {
    assert_oddity_in(&Model::learned(ClipShape::TINY), part, correct);
}

/// Asserts the same of a given model.
fn assert_oddity_in(model: &Model, part: usize, correct: impl FnOnce(&mut Oddities)) {
    let mut corrected = Oddities::AUTHORS;
    correct(&mut corrected);
    let [with, without] = [Oddities::AUTHORS, corrected]
        .map(|oddities| Difference::between(model, &Options::default(), &oddities, &four_windows()).in_tolerances());
    assert!(with.iter().all(|d| *d <= 1.0), "with the oddity: {with:?} tolerances");
    assert!(without[part] >= CHANGE_MIN, "without the oddity: only {without:?} tolerances");
}

/// Returns a model whose attention is sharp and outweighs the residual, because rounding a prompt changes little
/// otherwise.
fn attentive_model() -> Model {
    Model::learned(ClipShape::TINY).scaled("q_proj.weight", 3.0).scaled("out_proj.weight", 5.0)
}

#[test]
fn pixels_are_normalised_by_imagenet() {
    assert_oddity(PICTURE, |o| o.imagenet_normalisation = false);
}

#[test]
fn the_first_visual_prompt_passes_through_f16() {
    assert_oddity_in(&attentive_model(), FEATURE, |o| o.first_visual_prompt_rounded = false);
}

#[test]
fn later_visual_prompts_pass_through_f16() {
    assert_oddity_in(&attentive_model(), FEATURE, |o| o.later_visual_prompts_rounded = false);
}

#[test]
fn the_first_visual_prompt_passes_the_norm_before_the_layers() {
    assert_oddity(FEATURE, |o| o.first_visual_prompt_normed = false);
}

#[test]
fn later_text_prompts_pass_through_f16() {
    assert_oddity(TEXT, |o| o.later_text_prompts_rounded = false);
}

#[test]
fn the_first_text_prompt_does_not_pass_through_f16() {
    assert_oddity(TEXT, |o| o.first_text_prompt_exact = false);
}

#[test]
fn the_whole_view_has_the_positions_of_a_window() {
    assert_oddity(FEATURE, |o| o.whole_has_window_positions = false);
}

#[test]
fn visual_prompts_have_no_position() {
    assert_oddity(FEATURE, |o| o.prompts_without_position = false);
}

#[test]
fn only_complete_windows_of_the_grid_are_used() {
    assert_oddity(PICTURE, |o| o.whole_windows_only = false);
}

#[test]
fn windows_are_row_major() {
    assert_oddity(WINDOW, |o| o.row_major = false);
}

#[test]
fn the_whole_view_does_not_keep_its_aspect() {
    assert_oddity(FEATURE, |o| o.whole_view_stretched = false);
}

#[test]
fn the_class_token_is_read() {
    assert_oddity(FEATURE, |o| o.class_token_read = false);
}

#[test]
fn the_score_is_the_second_column() {
    assert_oddity(PICTURE, |o| o.second_column = false);
}

#[test]
fn the_whole_view_is_bit_identical_to_pillows() {
    let goldens = Goldens::load();
    for name in goldens.models["tiny"].scores.keys() {
        let whole = whole_view(&read(&goldens.picture(name)), 224);
        assert_eq!(whole.pixels(), read(&goldens.whole(name)).pixels(), "{name}");
    }
}

fn read(path: &Path) -> Rgb8 {
    let picture = image::open(path).unwrap().to_rgb8();
    Rgb8::new(picture.width(), picture.height(), picture.into_raw())
}

#[test]
fn a_picture_too_small_for_a_window_is_an_error() {
    for (width, height) in [(223, 400), (400, 223)] {
        let error = Prepared::new(picture(22, width, height), &Views::default()).err();
        assert_eq!(error, Some(PictureTooSmall { width: width as u32, height: height as u32, side_min: 224 }));
    }
}

/// The number of marks in each source file, which the tests above cover.
const MARKS: [(&str, usize); 9] = [
    ("picture/patches.rs", 1),       // normalisation
    ("picture/resize.rs", 1),        // order of the axes: the whole view is bit-identical to Pillow's
    ("picture/view_geometry.rs", 1), // whole windows, row-major
    ("score/prepared.rs", 2),        // too small, stretched
    ("score/scorer.rs", 1),          // second column
    ("tower/backend.rs", 1),         // class token
    ("tower/folded_layers.rs", 1),   // prompts pass through f16
    ("tower/text.rs", 1),            // first and later prompts
    ("tower/visual.rs", 2),          // first and later prompts, positions
];

/// Counts the marks in each file below `folder`, and adds the counts with the path relative to `sources`.
fn count_marks(sources: &Path, folder: &Path, marks: &mut Vec<(String, usize)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count_marks(sources, &path, marks);
        } else {
            let count = std::fs::read_to_string(&path).unwrap().matches("// REFERENCE:").count();
            marks.push((path.strip_prefix(sources).unwrap().to_str().unwrap().to_owned(), count));
        }
    }
}

#[test]
fn every_mark_in_the_sources_has_a_test_here() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut marks = Vec::new();
    count_marks(&sources, &sources, &mut marks);
    // Training repeats the oddities of scoring. `training.rs` compares its gradients with the reference's.
    marks.retain(|(file, _)| !file.starts_with("train/"));
    marks.retain(|(_, count)| *count > 0);
    marks.sort();
    assert!(
        marks.iter().map(|(file, count)| (file.as_str(), *count)).eq(MARKS),
        "add a test for the new oddity, then update MARKS: {marks:?}"
    );
}
