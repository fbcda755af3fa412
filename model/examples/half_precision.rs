//! Measures how far scores in 16 bits, rounded like a GPU's kernels, differ from those in f32: `half_precision FOLDER
//! [VIEWS [MODEL_DIR]]` scores the PNGs of a folder on the CPU. The default model has formula weights. Prints a
//! Markdown table.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dqa_model::{
    Arithmetic, Batcher, ClipWeights, KernelSet, Options, PictureScore, Prepared, PromptMode, Prompts, Rgb8, Scorer,
    Views,
};
use dqa_testkit::hf;

fn scores(scorer: &Arc<Scorer>, pictures: &[Rgb8]) -> Vec<PictureScore> {
    let mut batcher = Batcher::new(scorer.clone(), 16).expect("the CPU has memory for 16 windows");
    for picture in pictures {
        let prepared = Prepared::new(picture.clone(), scorer.views()).expect("the picture has a window");
        batcher.push((), &prepared).expect("the CPU does not fail");
    }
    batcher.flush().expect("the CPU does not fail");
    std::iter::from_fn(|| batcher.pop()).map(|((), score)| score).collect()
}

/// Returns the number of pairs whose order differs, and the largest difference of their f32 scores.
fn swapped(exact: &[PictureScore], half: &[PictureScore]) -> (usize, f64) {
    let mut swapped = (0, 0.0);
    for i in 0..exact.len() {
        for j in i + 1..exact.len() {
            let (a, b) = (exact[i].score - exact[j].score, half[i].score - half[j].score);
            if a * b < 0.0 {
                swapped = (swapped.0 + 1, f64::max(swapped.1, a.abs()));
            }
        }
    }
    swapped
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().expect("FOLDER [VIEWS [MODEL_DIR]]");
    let views: Views = arguments.get(1).map_or("", String::as_str).parse().expect("views");
    let dir = arguments.get(2).map_or_else(|| hf::cached("vit-b-32", "golden"), PathBuf::from);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "png"));
    paths.sort();
    let read = |path: &PathBuf| {
        let picture = image::open(path).expect("a picture").to_rgb8();
        Rgb8::new(picture.width(), picture.height(), picture.into_raw())
    };
    let pictures: Vec<Rgb8> = paths.iter().map(read).collect();

    let weights = ClipWeights::open(Path::new(&dir)).expect("a model");
    let prompts = Prompts::open(&dir.join("prompts.safetensors"), weights.config()).expect("its prompts");
    let mode = PromptMode::Learned(prompts);
    let score_with = |arithmetic, kernels| {
        let options = Options { views, arithmetic, kernels, ..Options::default() };
        scores(&Arc::new(Scorer::new(&weights, &mode, &options).expect("the model is whole")), &pictures)
    };
    let exact = score_with(Arithmetic::F32, KernelSet::Native);
    let spread = exact.iter().map(|score| score.score);
    let (least, most) = (spread.clone().fold(1.0, f64::min), spread.fold(0.0, f64::max));
    println!("{} pictures, scores in f32 from {least:.4} to {most:.4}, {views}\n", pictures.len());
    println!(
        "| | window, largest difference | picture, largest difference | pairs in another order, of scores nearer than |"
    );
    println!("|---|---|---|---|");
    for arithmetic in [Arithmetic::F16, Arithmetic::Bf16] {
        let half = score_with(arithmetic, KernelSet::Reference);
        let pairs = exact.iter().zip(&half);
        let picture = pairs.clone().map(|(a, b)| (a.score - b.score).abs()).fold(0.0, f64::max);
        let window = pairs.flat_map(|(a, b)| a.windows.iter().zip(&b.windows));
        let window = window.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let (pairs, nearer) = swapped(&exact, &half);
        println!("| {arithmetic} | {window:.1e} | {picture:.1e} | {pairs}, {nearer:.1e} |");
    }
}
