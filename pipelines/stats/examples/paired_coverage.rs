//! Simulates how often the interval of a paired difference covers the true difference, and how often its test rejects
//! if there is none: `cargo run --release -p dqa-stats --example paired_coverage -- SIMS`. The table is in
//! docs/concepts/statistics.md.
//!
//! Two models score the outputs of 12 algorithms on random scenes. The quality of a picture is the sum of an effect of
//! its algorithm, an effect of its scene and its own deviation. Its label is the quality plus noise, and so is the
//! score of each model, whose errors have a part that the pictures of a scene share and a part that both models share.
//! The models are fixed and scenes are drawn. The true difference is that over 60,000 scenes.

#![allow(clippy::unwrap_used)]

use dqa_stats::{Measure, PairedMeasure, ScoreColumns, paired_differences};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ALGORITHMS: usize = 12;
const TRUTH_SCENES: usize = 60_000;

/// The errors of two models, as standard deviations; that of the quality is about 1.
struct Scenario {
    name: &'static str,
    /// The error of a single picture, by model.
    noise: [f64; 2],
    /// The error that the pictures of a scene share, by model.
    scene_noise: [f64; 2],
    /// The share of the error's variance that both models have in common.
    shared: f64,
    /// The share of the pictures that are missing.
    holes: f64,
}

const SCENARIOS: [Scenario; 5] = [
    Scenario { name: "equal models", noise: [0.7, 0.7], scene_noise: [0.4, 0.4], shared: 0.5, holes: 0.0 },
    Scenario { name: "equal models, 30% holes", noise: [0.7, 0.7], scene_noise: [0.4, 0.4], shared: 0.5, holes: 0.3 },
    Scenario { name: "equal, nothing shared", noise: [0.7, 0.7], scene_noise: [0.4, 0.4], shared: 0.0, holes: 0.0 },
    Scenario { name: "one better", noise: [0.9, 0.5], scene_noise: [0.5, 0.3], shared: 0.5, holes: 0.0 },
    Scenario { name: "both good", noise: [0.25, 0.15], scene_noise: [0.1, 0.1], shared: 0.5, holes: 0.3 },
];

/// The pictures of one simulation, with a column of scores for each model.
struct Sample {
    scores: Vec<Vec<f64>>,
    mos: Vec<f64>,
    scene: Vec<u32>,
}

/// Draws a standard normal number by the method of Box and Muller.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (a, b): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - a).ln()).sqrt() * (2.0 * std::f64::consts::PI * b).cos()
}

fn draw(rng: &mut ChaCha8Rng, scenario: &Scenario, scenes: usize) -> Sample {
    let mut sample = Sample { scores: vec![Vec::new(), Vec::new()], mos: Vec::new(), scene: Vec::new() };
    let (common, own) = (scenario.shared.sqrt(), (1.0 - scenario.shared).sqrt());
    for scene in 0..scenes {
        let scene_quality = 0.5 * normal(rng);
        let scene_shared = normal(rng);
        let scene_own = [normal(rng), normal(rng)];
        for algorithm in 0..ALGORITHMS {
            let quality = 1.4 * algorithm as f64 / (ALGORITHMS - 1) as f64 + scene_quality + 0.7 * normal(rng);
            let label = quality + 0.4 * normal(rng);
            let shared = normal(rng);
            let errors = [0, 1].map(|model| {
                scenario.noise[model] * (common * shared + own * normal(rng))
                    + scenario.scene_noise[model] * (common * scene_shared + own * scene_own[model])
            });
            if rng.random::<f64>() < scenario.holes {
                continue;
            }
            sample.mos.push(label);
            sample.scene.push(scene as u32);
            (0..2).for_each(|model| sample.scores[model].push(quality + errors[model]));
        }
    }
    sample
}

fn differences(sample: &Sample) -> Vec<PairedMeasure> {
    let columns = ScoreColumns { scores: &sample.scores, mos: &sample.mos, scene: &sample.scene };
    paired_differences(&columns, &[(0, 1)], 0.95)
}

fn main() {
    let sims: usize = std::env::args().nth(1).map_or(1000, |text| text.parse().unwrap());
    println!("scenario | scenes | SRCC | PLCC | KRCC | rejected SRCC | PLCC | KRCC");
    for (number, scenario) in SCENARIOS.iter().enumerate() {
        let mut rng = ChaCha8Rng::seed_from_u64(number as u64);
        let truth = differences(&draw(&mut rng, scenario, TRUTH_SCENES));
        let truth: Vec<f64> = truth.iter().map(|measure| measure.differences[0].estimate.unwrap().value).collect();
        for scenes in [5, 10, 25, 50, 100] {
            // By measure: defined intervals, those that contain the true value, and rejections.
            let mut counts = [[0_usize; 3]; 3];
            for _ in 0..sims {
                for (measure, paired) in differences(&draw(&mut rng, scenario, scenes)).iter().enumerate() {
                    assert_eq!(paired.measure, Measure::ALL[measure]);
                    let difference = &paired.differences[0];
                    let Some(Ok(interval)) = difference.estimate.map(|estimate| estimate.interval) else { continue };
                    // The true difference of equal models is 0, whatever the large sample shows.
                    let truth = if scenario.name.starts_with("equal") { 0.0 } else { truth[measure] };
                    counts[0][measure] += 1;
                    counts[1][measure] += usize::from(interval.low <= truth && truth <= interval.high);
                    counts[2][measure] += usize::from(difference.p.unwrap() < 0.05);
                }
            }
            let share = |count: usize| {
                let cells =
                    (0..3).map(|measure| format!("{:.3}", counts[count][measure] as f64 / counts[0][measure] as f64));
                cells.collect::<Vec<_>>().join(" | ")
            };
            println!("{} | {scenes} | {} | {}", scenario.name, share(1), share(2));
        }
    }
}
