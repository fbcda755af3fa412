//! Whether the device's scores are the reference's.

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use dqa_model::{Arithmetic, Batcher, PictureScore, Prepared, Rgb8, Scorer};
use dqa_testkit::{Goldens, Picture};
use serde_json::json;

use crate::{Findings, Model, options};

/// What a score may differ by. F32 last: it is on Candle's kernels, and fails apart from ours.
pub(crate) const TOLERANCES: [(Arithmetic, f64); 3] =
    [(Arithmetic::F16, 3e-3), (Arithmetic::Bf16, 1e-2), (Arithmetic::F32, 1e-4)];

fn scores(scorer: &Arc<Scorer>, pictures: &[Rgb8], batch: usize) -> anyhow::Result<Vec<PictureScore>> {
    let mut batcher = Batcher::new(scorer.clone(), batch)?;
    for picture in pictures {
        batcher.push((), &Prepared::new(picture.clone(), scorer.views())?)?;
    }
    batcher.flush()?;
    Ok(std::iter::from_fn(|| batcher.pop()).map(|((), score)| score).collect())
}

fn read(path: &Path) -> anyhow::Result<Rgb8> {
    let picture = image::open(path)?.to_rgb8();
    Ok(Rgb8::new(picture.width(), picture.height(), picture.into_raw()))
}

/// The largest difference of a window's score from the goldens, and from this machine's CPU in f32.
pub(crate) fn goldens(
    gpu: &Device,
    kind: &str,
    (arithmetic, limit): (Arithmetic, f64),
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let goldens = Goldens::load();
    let golden = goldens.model(kind);
    let pictures: Vec<Rgb8> =
        golden.scores.keys().map(|name| read(&goldens.picture(name))).collect::<anyhow::Result<_>>()?;
    let model = Model::formula(kind)?;
    let windows = |device: &Device, arithmetic| -> anyhow::Result<Vec<f64>> {
        let scorer = Arc::new(model.scorer(&options(device, arithmetic))?);
        let scores = scores(&scorer, &pictures, scorer.default_batch_size())?;
        Ok(scores.iter().flat_map(|score| &score.windows).map(|score| f64::from(*score)).collect())
    };
    let want: Vec<f64> = golden.scores.values().flat_map(|score| &score.crops).copied().collect();
    let on_cpu = windows(&Device::Cpu, Arithmetic::F32)?;
    // What is no number is as far off as can be.
    let apart = |(a, b): (&f64, &f64)| Some((a - b).abs()).filter(|apart| !apart.is_nan()).unwrap_or(f64::INFINITY);
    let largest = |a: &[f64], b: &[f64]| a.iter().zip(b).map(apart).fold(0.0, f64::max);
    let got = windows(gpu, arithmetic)?;
    assert_eq!(got.len(), want.len(), "a score for each window");
    findings.at_most("parity", &format!("{kind} {arithmetic} to the goldens"), largest(&got, &want), limit);
    findings.at_most("parity", &format!("{kind} {arithmetic} to the CPU's f32"), largest(&got, &on_cpu), limit);
    Ok(())
}

/// Pictures of several sizes: 1 to 12 windows each.
fn pictures(count: u64) -> Vec<Rgb8> {
    let sizes = [(224, 224), (300, 240), (416, 352), (352, 288), (600, 300)];
    let picture = |i: u64| {
        let (width, height) = sizes[i as usize % sizes.len()];
        Rgb8::new(width as u32, height as u32, Picture::synthetic(100 + i, width, height).rgb)
    };
    (0..count).map(picture).collect()
}

/// Checks whether a picture's score depends on the size of its batch, to the bit.
pub(crate) fn batch_invariance(gpu: &Device, model: &Model, findings: &mut Findings) -> anyhow::Result<()> {
    for arithmetic in [Arithmetic::F16, Arithmetic::Bf16] {
        let scorer = Arc::new(model.scorer(&options(gpu, arithmetic))?);
        let pictures = pictures(40);
        let usual = scores(&scorer, &pictures, scorer.default_batch_size())?;
        for batch in [1, 7, 2 * scorer.default_batch_size()] {
            let other = scores(&scorer, &pictures, batch)?;
            let differ = usual.iter().zip(&other).filter(|(a, b)| a != b).count();
            let name = format!("{arithmetic}: pictures of 40 that differ by a bit in batches of {batch}");
            findings.note("parity", &name, &differ.to_string(), json!(differ));
        }
    }
    Ok(())
}

/// Checks whether 48 pictures have the same order in f16 as in f32 on the device, except pairs whose scores differ by
/// less than the tolerance.
pub(crate) fn rank_parity(gpu: &Device, model: &Model, findings: &mut Findings) -> anyhow::Result<()> {
    let pictures = pictures(48);
    let scores_in = |arithmetic| -> anyhow::Result<Vec<f64>> {
        let scorer = Arc::new(model.scorer(&options(gpu, arithmetic))?);
        Ok(scores(&scorer, &pictures, scorer.default_batch_size())?.iter().map(|score| score.score).collect())
    };
    let (exact, half) = (scores_in(Arithmetic::F32)?, scores_in(Arithmetic::F16)?);
    let tolerance = TOLERANCES[0].1;
    let mut swapped = 0;
    for (i, a) in exact.iter().enumerate() {
        for (j, b) in exact.iter().enumerate().skip(i + 1) {
            swapped += usize::from((a - b).abs() > tolerance && (a < b) != (half[i] < half[j]));
        }
    }
    let spread = exact.iter().copied().fold(0.0, f64::max) - exact.iter().copied().fold(1.0, f64::min);
    findings.note("parity", "spread of 48 pictures' scores in f32", &format!("{spread:.3}"), json!(spread));
    findings.at_most("parity", "pairs of 48 pictures in another order in f16", swapped as f64, 0.0);
    Ok(())
}
