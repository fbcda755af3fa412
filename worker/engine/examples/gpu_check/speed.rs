//! Measures the device's speed and compares it with its ceilings.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use candle_core::Device;
use dqa_engine::decode::Limits;
use dqa_engine::inference::{self, InferenceSettings};
use dqa_model::device::{self, Ceilings};
use dqa_model::train::{Example, Trainable, Trainer, TrainerOptions};
use dqa_model::{Arithmetic, Prepared, Rgb8, Views};
use dqa_testkit::Picture;
use rayon::prelude::*;
use serde_json::json;

use crate::{Args, Findings, Model, options};

/// Measures the GPU's ceilings: the rates of matrix products and copies.
pub(crate) fn ceilings(gpu: &Device, findings: &mut Findings) -> anyhow::Result<Ceilings> {
    let ceilings = device::ceilings(gpu)?;
    let mut note = |name: &str, value: f64, unit: &str| {
        findings.note("ceilings", name, &format!("{value:.0} {unit}"), json!(value));
    };
    note("product of 8192 x 8192 in f16", ceilings.f16_tflops, "TFLOP/s");
    note("product of 8192 x 8192 in bf16", ceilings.bf16_tflops, "TFLOP/s");
    note("upload from pinned memory", ceilings.upload_gbs, "GB/s");
    note("copy on the device, read and written", ceilings.device_copy_gbs, "GB/s");
    Ok(ceilings)
}

/// Windows a second by batch size, pictures in memory; and where the time of a batch goes.
pub(crate) fn passes(
    gpu: &Device,
    model: &Model,
    arithmetic: Arithmetic,
    ceilings: &Ceilings,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let options = options(gpu, arithmetic);
    let usual = model.scorer(&options)?.default_batch_size();
    // 27 x 15 windows, one picture after the other.
    let picture = Picture::synthetic(1, 1920, 1120);
    let picture = Prepared::new(Rgb8::new(1920, 1120, picture.rgb), &options.views)?;
    let ceiling = if arithmetic == Arithmetic::F16 { ceilings.f16_tflops } else { ceilings.bf16_tflops };
    let section = format!("forward {arithmetic}");
    for batch in [16, 28, 56, 113, 170, 226, 339, usual] {
        let profile = device::profile(&model.weights, &model.prompts, &options, &picture, batch)?;
        let rate = profile.windows as f64 / profile.pass_milliseconds * 1e3;
        let tflops = profile.flops / profile.pass_milliseconds / 1e9;
        let share = tflops / ceiling;
        let shown = format!("{rate:.0} windows/s, {tflops:.0} TFLOP/s, {:.0}% of the ceiling", 100.0 * share);
        let value = json!({ "windows_per_s": rate, "tflops": tflops, "share_of_ceiling": share });
        let note = if batch == usual { ", the usual" } else { "" };
        findings.note(&section, &format!("{arithmetic}, batches of {batch}{note}"), &shown, value);
        if batch == usual {
            let total: f64 = profile.milliseconds.iter().map(|(_, ms)| ms).sum();
            for (work, ms) in &profile.milliseconds {
                let shown = format!("{ms:.3} ms, {:.0}%", 100.0 * ms / total);
                findings.note(&section, &format!("{arithmetic}, {work}"), &shown, json!(ms));
            }
        }
    }
    Ok(())
}

/// Writes `count` pictures of each kind, if they are not there.
fn written(folder: &Path, kind: &str, count: usize) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder)?;
    let (size, ending) = kind.split_once('.').context("a kind is WIDTHxHEIGHT.ENDING")?;
    let (width, height) = size.split_once('x').context("a size is WIDTHxHEIGHT")?;
    let (width, height): (usize, usize) = (width.parse()?, height.parse()?);
    let write = |i: usize| -> anyhow::Result<PathBuf> {
        let path = folder.join(format!("{i:05}.{ending}"));
        if !path.exists() {
            // A few pictures, many files.
            let picture = Picture::synthetic(i as u64 % 16, width, height);
            std::fs::write(&path, if ending == "png" { picture.png() } else { jpeg(&picture)? })?;
        }
        Ok(path)
    };
    (0..count).into_par_iter().map(write).collect()
}

fn jpeg(picture: &Picture) -> anyhow::Result<Vec<u8>> {
    let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
    encoder.set_size(picture.width, picture.height);
    encoder.set_fastest_defaults();
    encoder.set_quality(92.0);
    let mut started = encoder.start_compress(Vec::new())?;
    started.write_scanlines(&picture.rgb)?;
    Ok(started.finish()?)
}

/// Measures the time from files to scores, on the path of `dqa-worker score`.
pub(crate) fn files(gpu: &Device, model: &Model, args: &Args, findings: &mut Findings) -> anyhow::Result<()> {
    let decode_threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let settings =
        InferenceSettings { batch: None, decode_threads, picture_bytes_max: 2 << 30, limits: Limits::default() };
    for kind in ["640x480.png", "640x480.jpg", "1920x1080.png", "1920x1080.jpg"] {
        let count = if kind.starts_with('6') { args.pictures * 8 } else { args.pictures };
        let paths = written(&args.out.join("pictures").join(kind), kind, count)?;
        for arithmetic in [Arithmetic::F16, Arithmetic::Bf16, Arithmetic::F32] {
            // The speed in f32 does not matter, so a few pictures are enough.
            let paths = if arithmetic == Arithmetic::F32 { &paths[..count.div_ceil(20)] } else { &paths[..] };
            let scorer = Arc::new(model.scorer(&options(gpu, arithmetic))?);
            let fetch = |path: &PathBuf| Ok(std::fs::read(path).expect("it was written just now"));
            let run = |paths: &[PathBuf]| {
                inference::run(&scorer, &settings, paths.iter().cloned(), fetch, |_, _| ControlFlow::Continue(()))
            };
            run(&paths[..paths.len().div_ceil(10)])?; // to warm up
            let report = run(paths)?;
            let share = |part: std::time::Duration| 100.0 * part.as_secs_f64() / report.wall.as_secs_f64();
            let shown = format!(
                "{:.0} windows/s, {:.0} pictures/s; device thread busy {:.0}%, waiting {:.0}%; decoding {:.1} of {} threads",
                report.windows_per_second(),
                report.pictures_per_second(),
                share(report.device),
                share(report.waiting),
                report.decoding.as_secs_f64() / report.wall.as_secs_f64(),
                settings.decode_threads
            );
            let value = json!({
                "windows_per_s": report.windows_per_second(),
                "pictures_per_s": report.pictures_per_second(),
                "wall_s": report.wall.as_secs_f64(),
                "device_s": report.device.as_secs_f64(),
                "waiting_s": report.waiting.as_secs_f64(),
                "decoding_s": report.decoding.as_secs_f64(),
                "fetching_s": report.fetching.as_secs_f64(),
            });
            findings.note("files", &format!("{kind} {arithmetic}, {} files", paths.len()), &shown, value);
        }
    }
    Ok(())
}

/// Steps of prompt tuning with TF32 on. Last: the switch is the process's.
pub(crate) fn training(gpu: &Device, model: &Model, findings: &mut Findings) -> anyhow::Result<()> {
    const BATCH: u64 = 64;
    const STEPS: u32 = 10;
    candle_core::cuda::set_gemm_reduced_precision_f32(true);
    let options = TrainerOptions {
        trainable: Trainable::Prompts,
        sees: Views::default().sees,
        device: gpu.clone(),
        ..TrainerOptions::default()
    };
    let mut trainer = Trainer::new(&model.weights, &model.prompts, &options)?;
    let picture = |seed| Rgb8::new(224, 224, Picture::synthetic(seed, 224, 224).rgb);
    let example = |i| Example { local: Some(picture(2 * i)), whole: Some(Arc::new(picture(2 * i + 1))), target: 0.5 };
    let examples: Vec<Example> = (0..BATCH).map(example).collect();
    trainer.step(&examples, 1e-4)?;
    let started = Instant::now();
    for _ in 0..STEPS {
        trainer.step(&examples, 1e-4)?;
    }
    let rate = BATCH as f64 * f64::from(STEPS) / started.elapsed().as_secs_f64();
    findings.note("training", "f32 with TF32, batches of 64", &format!("{rate:.0} windows/s"), json!(rate));
    Ok(())
}
