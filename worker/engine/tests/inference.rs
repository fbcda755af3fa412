//! Tests the invariants of inference: each source has one outcome, in order; scores do not depend on the other
//! pictures; no more pictures are in flight than the budget allows; and every run ends, whatever fails.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::collections::VecDeque;
use std::io::{Cursor, Error, ErrorKind};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::Duration;

use dqa_engine::decode::{ErrorCode, Limits, PictureError, probe};
use dqa_engine::inference::{self, InferenceReport, InferenceSettings, PictureOutcome};
use dqa_model::{ClipWeights, Options, PromptMode, Prompts, Scorer};
use dqa_testkit::{Picture, hf};
use image::{DynamicImage, ImageFormat, RgbImage};
use proptest::prelude::*;

/// Far longer than any run of these tests takes. A run that takes longer hangs.
const HANG_TIMEOUT: Duration = Duration::from_secs(120);

/// A file with its expected number of windows or error code.
struct Sample {
    file: Option<Vec<u8>>,
    expected: Result<usize, ErrorCode>,
}

/// Valid files of each format that this build can write, and a file for each kind of failure.
static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(|| {
    let file = |file: Vec<u8>, expected| Sample { file: Some(file), expected };
    let large_bmp = patched(encoded(7, 224, 224, ImageFormat::Bmp, |p| p), 18, &100_000u32.to_le_bytes());
    let bad_crc = patched(png(8, 300, 240), 2000, &[0; 64]);
    let mut cut = png(9, 300, 240);
    cut.truncate(cut.len() / 2);
    vec![
        file(png(1, 224, 224), Ok(1)),
        file(png(2, 352, 288), Ok(6)),
        file(encoded(3, 230, 310, ImageFormat::Bmp, |p| p.to_luma8().into()), Ok(2)),
        file(encoded(4, 300, 240, ImageFormat::WebP, |p| p.to_rgba8().into()), Ok(2)),
        file(encoded(5, 224, 300, ImageFormat::Tiff, |p| p.to_rgb16().into()), Ok(2)),
        Sample { file: None, expected: Err(ErrorCode::Io) },
        file(Vec::new(), Err(ErrorCode::NotAnImage)),
        file(b"\0\0\0\x0cjP  \r\n\x87\n".to_vec(), Err(ErrorCode::UnsupportedFormat)),
        file(cut, Err(ErrorCode::Truncated)),
        file(bad_crc, Err(ErrorCode::Corrupt)),
        file(png(6, 223, 400), Err(ErrorCode::TooSmall)),
        file(large_bmp, Err(ErrorCode::TooLarge)),
    ]
});

const GOOD: usize = 0;
const MISSING: usize = 5;

fn png(seed: u64, width: usize, height: usize) -> Vec<u8> {
    Picture::synthetic(seed, width, height).png()
}

fn encoded(
    seed: u64,
    width: usize,
    height: usize,
    format: ImageFormat,
    convert: impl Fn(DynamicImage) -> DynamicImage,
) -> Vec<u8> {
    let rgb = Picture::synthetic(seed, width, height).rgb;
    let picture = RgbImage::from_raw(width as u32, height as u32, rgb).unwrap();
    let mut file = Cursor::new(Vec::new());
    convert(picture.into()).write_to(&mut file, format).unwrap();
    file.into_inner()
}

fn patched(mut file: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
    file
}

fn scorer(views: &str) -> Arc<Scorer> {
    let dir = hf::cached("tiny", "engine");
    let weights = ClipWeights::open(&dir).unwrap();
    let prompts = Prompts::open(&dir.join("prompts.safetensors"), weights.config()).unwrap();
    let options = Options { views: views.parse().unwrap(), ..Options::default() };
    Arc::new(Scorer::new(&weights, &PromptMode::Learned(prompts), &options).unwrap())
}

static SCORER: LazyLock<Arc<Scorer>> = LazyLock::new(|| scorer(""));

fn settings(decode_threads: usize, batch: usize, picture_bytes_max: u64) -> InferenceSettings {
    InferenceSettings { batch: Some(batch), decode_threads, picture_bytes_max, limits: Limits::default() }
}

fn fetch(sample: &usize) -> Result<Vec<u8>, PictureError> {
    let missing = || PictureError::Io { path: "missing.png".into(), source: Error::from(ErrorKind::NotFound) };
    SAMPLES[*sample].file.clone().ok_or_else(missing)
}

/// The comparable parts of an outcome: its size, and either the bits of the score and the windows or the error code.
type Row = (Option<(u32, u32)>, Result<(u64, Vec<u32>), ErrorCode>);

fn row(outcome: &PictureOutcome) -> Row {
    let scored = |score: &dqa_model::PictureScore| {
        (score.score.to_bits(), score.windows.iter().map(|window| window.to_bits()).collect())
    };
    (outcome.size, outcome.score.as_ref().map(scored).map_err(PictureError::code))
}

fn run(settings: &InferenceSettings, samples: &[usize]) -> (Vec<(usize, Row)>, InferenceReport) {
    let mut rows = Vec::new();
    let report = inference::run(&SCORER, settings, samples.iter().copied(), fetch, |sample, outcome| {
        rows.push((sample, row(&outcome)));
        ControlFlow::Continue(())
    })
    .unwrap();
    (rows, report)
}

/// The row of each sample when scored by itself, with one window per batch.
static SINGLE_ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let alone = |sample| run(&settings(1, 1, 1 << 30), &[sample]).0.remove(0).1;
    (0..SAMPLES.len()).map(alone).collect()
});

/// Runs `work` on its own thread, and panics if it does not end. Returns an error if `work` panics.
fn run_with_timeout<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::thread::Result<T> {
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let _done = done; // dropped at the end, also after a panic
        work()
    });
    let end = ended.recv_timeout(HANG_TIMEOUT);
    assert_eq!(end, Err(std::sync::mpsc::RecvTimeoutError::Disconnected), "the run hangs");
    thread.join()
}

#[test]
fn each_sample_has_its_windows_or_its_error_code() {
    for (i, (sample, (_, score))) in SAMPLES.iter().zip(&*SINGLE_ROWS).enumerate() {
        assert_eq!(score.as_ref().map(|(_, windows)| windows.len()).map_err(|code| *code), sample.expected, "{i}");
    }
    let scores: std::collections::BTreeSet<_> =
        SINGLE_ROWS.iter().filter_map(|(_, score)| score.as_ref().ok()).collect();
    assert_eq!(scores.len(), 5, "each valid sample has a different score");
    let small = SAMPLES.iter().position(|sample| sample.expected == Err(ErrorCode::TooSmall)).unwrap();
    assert_eq!(SINGLE_ROWS[small].0, Some((223, 400)), "a known size is reported");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]
    #[test]
    fn outcomes_are_in_order_and_independent_of_other_pictures(
        samples in proptest::collection::vec(0..12usize, 0..40),
        decode_threads in prop::sample::select(vec![1, 4]),
        batch in prop::sample::select(vec![1, 7, 64]),
        // These budgets hold no picture, a few, or all.
        budget in prop::sample::select(vec![1, 1 << 20, 1 << 30]),
    ) {
        let order = samples.clone();
        let (rows, report) = run_with_timeout(move || run(&settings(decode_threads, batch, budget), &order)).unwrap();
        let expected: Vec<(usize, Row)> = samples.iter().map(|i| (*i, SINGLE_ROWS[*i].clone())).collect();
        prop_assert_eq!(rows, expected);
        let windows = |i: &usize| SAMPLES[*i].expected.unwrap_or(0) as u64;
        let failed = samples.iter().filter(|i| SAMPLES[**i].expected.is_err()).count();
        prop_assert_eq!(report.pictures, samples.len() as u64);
        prop_assert_eq!(report.failed, failed as u64);
        prop_assert_eq!(report.windows, samples.iter().map(windows).sum::<u64>());
    }
}

#[test]
fn no_sources_give_an_empty_report() {
    let (rows, report) = run_with_timeout(|| run(&settings(4, 7, 1), &[])).unwrap();
    assert_eq!(rows, []);
    assert_eq!((report.pictures, report.failed, report.windows), (0, 0, 0));
}

#[test]
fn a_picture_is_not_delayed_by_failures_after_it() {
    // The sources continue until there is an outcome. Without an early flush the run would not end.
    let seen = Arc::new(AtomicBool::new(false));
    let rows = run_with_timeout(move || {
        let failures = std::iter::repeat(MISSING).take_while(|_| !seen.load(SeqCst));
        let mut rows = Vec::new();
        let sources = std::iter::once(GOOD).chain(failures);
        inference::run(&SCORER, &settings(1, 64, 1 << 30), sources, fetch, |sample, outcome| {
            seen.store(true, SeqCst);
            rows.push((sample, row(&outcome)));
            ControlFlow::Continue(())
        })
        .unwrap();
        rows
    })
    .unwrap();
    assert!(rows.len() > 1024, "{} rows: failures do not fill the batch", rows.len());
    assert_eq!(rows[0], (GOOD, SINGLE_ROWS[GOOD].clone()));
    assert!(rows[1..].iter().all(|row| *row == (MISSING, SINGLE_ROWS[MISSING].clone())));
}

#[test]
fn a_break_ends_the_run_while_threads_wait() {
    // In these cases the fetcher waits for the budget, for a decoder with a full queue, and for the device after
    // failures.
    for (sample, budget) in [(GOOD, 1), (GOOD, 1 << 40), (MISSING, 1)] {
        let report = run_with_timeout(move || {
            let endless = std::iter::repeat(sample);
            inference::run(&SCORER, &settings(2, 1, budget), endless, fetch, |_, _| ControlFlow::Break(())).unwrap()
        })
        .unwrap();
        assert_eq!(report.pictures, 1);
    }
}

#[test]
fn a_panic_in_a_callback_ends_the_run() {
    // The closure that fetches panics after valid pictures, which have their outcomes.
    let outcomes = Arc::new(AtomicUsize::new(0));
    let counted = outcomes.clone();
    let end = run_with_timeout(move || {
        let fetch = |source: &usize| if *source < 5 { fetch(&GOOD) } else { panic!("fetch panics") };
        let on_outcome = |source, _: PictureOutcome| {
            assert_eq!(source, counted.fetch_add(1, SeqCst));
            ControlFlow::Continue(())
        };
        inference::run(&SCORER, &settings(2, 64, 1), 0..10, fetch, on_outcome).unwrap()
    });
    assert!(end.is_err());
    assert_eq!(outcomes.load(SeqCst), 5);

    // The iterator of sources panics.
    let end = run_with_timeout(|| {
        let sources = (0..10).inspect(|i| assert!(*i < 3, "sources panic")).map(|_| GOOD);
        inference::run(&SCORER, &settings(2, 64, 1), sources, fetch, |_, _| ControlFlow::Continue(())).unwrap()
    });
    assert!(end.is_err());

    // The closure that takes outcomes panics while all threads wait.
    let end = run_with_timeout(|| {
        let endless = std::iter::repeat(GOOD);
        inference::run(&SCORER, &settings(2, 1, 1), endless, fetch, |_, _| panic!("on_outcome panics")).unwrap()
    });
    assert!(end.is_err());
}

/// The pictures between fetch and outcome.
#[derive(Default)]
struct InFlight {
    /// The bytes of the budget that each takes, oldest first.
    bytes: VecDeque<u64>,
    fetched: usize,
    /// Maximum bytes that all but the oldest took at the start of a fetch. The oldest may have released its bytes
    /// already and wait for its outcome to be handed out. No other has, because the device takes one picture after the
    /// other.
    bytes_max: u64,
}

#[test]
fn pictures_in_flight_fill_but_never_exceed_the_budget() {
    const BUDGET: u64 = 8 << 20;
    let small: Vec<Vec<u8>> =
        [(224, 224), (320, 240), (300, 500), (640, 480), (224, 1000)].map(|(w, h)| png(1, w, h)).into();
    // This picture takes 25 MB, more than the budget.
    let ultra_hd = encoded_4k();
    let files: Vec<Vec<u8>> =
        (0..200).map(|i| if i == 100 { ultra_hd.clone() } else { small[i % small.len()].clone() }).collect();
    let budget_bytes =
        |file: &Vec<u8>| (probe(file, &Limits::default()).unwrap().decode_bytes + file.len() as u64).min(BUDGET);
    // The first picture waits for its outcome, these are in flight after it, and one more waits for the budget.
    let mut sum = 0;
    let fit = files[1..].iter().take_while(|file| {
        sum += budget_bytes(file);
        sum <= BUDGET
    });
    let fetched_first = 1 + fit.count() + 1;
    assert!(fetched_first > 4, "the budget holds several pictures");

    let bytes_max = run_with_timeout(move || {
        let (state, changed) = (Mutex::new(InFlight::default()), Condvar::new());
        let fetch = |i: &usize| {
            let mut state = state.lock().unwrap();
            state.bytes_max = state.bytes_max.max(state.bytes.iter().skip(1).sum());
            state.bytes.push_back(budget_bytes(&files[*i]));
            state.fetched += 1;
            changed.notify_all();
            Ok(files[*i].clone())
        };
        let on_outcome = |i, outcome: PictureOutcome| {
            outcome.score.unwrap();
            let mut state = state.lock().unwrap();
            while i == 0 && state.fetched < fetched_first {
                state = changed.wait(state).unwrap();
            }
            state.bytes.pop_front().unwrap();
            ControlFlow::Continue(())
        };
        let report =
            inference::run(&scorer("stride=1024"), &settings(4, 1, BUDGET), 0..200, fetch, on_outcome).unwrap();
        assert_eq!((report.pictures, report.failed), (200, 0));
        state.into_inner().unwrap().bytes_max
    })
    .unwrap();
    assert!(bytes_max <= BUDGET, "{bytes_max} of {BUDGET} bytes");
}

/// Returns a picture of 3840 x 2160 pixels with gradients, which are quick to generate and to compress.
fn encoded_4k() -> Vec<u8> {
    let picture = RgbImage::from_fn(3840, 2160, |x, y| image::Rgb([x as u8, y as u8, (x + y) as u8]));
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}
