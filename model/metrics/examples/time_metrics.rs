//! Times metrics over pictures in memory: `time_metrics THREADS PICTURE[,CLEAR[,HAZY]]...`. Reads metrics from standard
//! input, a line each, and answers each with a line of JSON: the seconds and the values. Threads are over pictures; decoding
//! is not timed. `tools/bench-metrics` compares the seconds with those of Python packages.

use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use dqa_metrics::{Evaluator, Inputs, Metric, RgbView};
use image::RgbImage;

/// A picture and what it is compared with.
struct Case {
    picture: RgbImage,
    clear: Option<RgbImage>,
    hazy: Option<RgbImage>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [threads, files @ ..] = &arguments[..] else {
        return Err("usage: time_metrics THREADS PICTURE[,CLEAR[,HAZY]]...".into());
    };
    let threads = threads.parse()?;
    let cases: Vec<Case> = files.iter().map(|names| open(names)).collect::<Result<_, _>>()?;
    for line in std::io::stdin().lines() {
        let metric: Metric = line?.trim().parse()?;
        let start = Instant::now();
        let values = evaluate(metric, &cases, threads);
        let seconds = start.elapsed().as_secs_f64();
        println!("{}", serde_json::json!({"metric": metric.name(), "seconds": seconds, "values": values}));
    }
    Ok(())
}

fn open(names: &str) -> Result<Case, Box<dyn Error>> {
    let mut names = names.split(',').filter(|name| !name.is_empty());
    let mut next = || names.next().map(|name| image::open(name).map(|image| image.to_rgb8())).transpose();
    let picture = next()?.ok_or("a picture is missing")?;
    Ok(Case { picture, clear: next()?, hazy: next()? })
}

/// Returns the values in the order of the cases, or nothing where a metric is not defined.
fn evaluate(metric: Metric, cases: &[Case], threads: usize) -> Vec<Option<f64>> {
    let values = Mutex::new(vec![None; cases.len()]);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let evaluator = Evaluator::default();
                while let Some((index, case)) = take(&next, cases) {
                    let measured = &evaluator.evaluate(&[metric], &inputs(case))[0];
                    values.lock().expect("no thread panics with the lock")[index] = measured.value.ok();
                }
            });
        }
    });
    values.into_inner().expect("no thread panics with the lock")
}

fn take<'a>(next: &AtomicUsize, cases: &'a [Case]) -> Option<(usize, &'a Case)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    cases.get(index).map(|case| (index, case))
}

fn inputs(case: &Case) -> Inputs<'_> {
    Inputs { picture: view(&case.picture), clear: case.clear.as_ref().map(view), hazy: case.hazy.as_ref().map(view) }
}

fn view(image: &RgbImage) -> RgbView<'_> {
    RgbView::new(image.as_raw(), image.width() as usize, image.height() as usize)
}
