//! How often the interval of a paired difference covers the true one, and how often its test rejects where there is none:
//! `cargo run --release -p dqa-stats --example paired_coverage -- SIMS`. Its table is in docs/statistics.md.
//!
//! Two models score the outputs of 12 algorithms of drawn scenes. A picture's quality is its algorithm's plus its scene's plus its
//! own; a label is that with noise, and so is each model's score, whose errors have a part that a scene's pictures share and a
//! part that both models share. The models are fixed, scenes are drawn. The true difference is that of very many scenes.

#![allow(clippy::unwrap_used)]

use dqa_stats::{Measure, ScoreColumns, paired};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ALGORITHMS: usize = 12;
const TRUTH_SCENES: usize = 60_000;

/// How two models err: standard deviations, beside a quality that has about 1.
struct Scenario {
    name: &'static str,
    /// Of a picture's score, by model.
    noise: [f64; 2],
    /// Of what a scene's pictures share, by model.
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

struct Draw {
    scores: Vec<Vec<f64>>,
    mos: Vec<f64>,
    scene: Vec<u32>,
}

fn normal(random: &mut ChaCha8Rng) -> f64 {
    // Box and Muller.
    let (a, b): (f64, f64) = (random.random(), random.random());
    (-2.0 * (1.0 - a).ln()).sqrt() * (2.0 * std::f64::consts::PI * b).cos()
}

fn draw(random: &mut ChaCha8Rng, of: &Scenario, scenes: usize) -> Draw {
    let mut draw = Draw { scores: vec![Vec::new(), Vec::new()], mos: Vec::new(), scene: Vec::new() };
    let (common, own) = (of.shared.sqrt(), (1.0 - of.shared).sqrt());
    for scene in 0..scenes {
        let of_scene = 0.5 * normal(random);
        let both = normal(random);
        let each = [normal(random), normal(random)];
        for algorithm in 0..ALGORITHMS {
            let quality = 1.4 * algorithm as f64 / (ALGORITHMS - 1) as f64 + of_scene + 0.7 * normal(random);
            let label = quality + 0.4 * normal(random);
            let shared = normal(random);
            let errors = [0, 1].map(|model| {
                of.noise[model] * (common * shared + own * normal(random))
                    + of.scene_noise[model] * (common * both + own * each[model])
            });
            if random.random::<f64>() < of.holes {
                continue;
            }
            draw.mos.push(label);
            draw.scene.push(scene as u32);
            (0..2).for_each(|model| draw.scores[model].push(quality + errors[model]));
        }
    }
    draw
}

fn differences(draw: &Draw) -> Vec<dqa_stats::PairedMeasure> {
    let columns = ScoreColumns { scores: &draw.scores, mos: &draw.mos, scene: &draw.scene };
    paired(&columns, &[(0, 1)], 0.95)
}

fn main() {
    let sims: usize = std::env::args().nth(1).map_or(1000, |text| text.parse().unwrap());
    println!("scenario | scenes | SRCC | PLCC | KRCC | rejected SRCC | PLCC | KRCC");
    for (number, scenario) in SCENARIOS.iter().enumerate() {
        let mut random = ChaCha8Rng::seed_from_u64(number as u64);
        let truth = differences(&draw(&mut random, scenario, TRUTH_SCENES));
        let truth: Vec<f64> = truth.iter().map(|of| of.differences[0].estimate.unwrap().value).collect();
        for scenes in [5, 10, 25, 50, 100] {
            let mut counts = [[0_usize; 3]; 3];
            for _ in 0..sims {
                for (measure, of) in differences(&draw(&mut random, scenario, scenes)).iter().enumerate() {
                    assert_eq!(of.measure, Measure::ALL[measure]);
                    let difference = &of.differences[0];
                    let Some(Ok(interval)) = difference.estimate.map(|of| of.interval) else { continue };
                    // Of equal models the true difference is 0, whatever the large draw says.
                    let truth = if scenario.name.starts_with("equal") { 0.0 } else { truth[measure] };
                    counts[0][measure] += 1;
                    counts[1][measure] += usize::from(interval.low <= truth && truth <= interval.high);
                    counts[2][measure] += usize::from(difference.p.unwrap() < 0.05);
                }
            }
            let share = |of: usize| {
                let cells =
                    (0..3).map(|measure| format!("{:.3}", counts[of][measure] as f64 / counts[0][measure] as f64));
                cells.collect::<Vec<_>>().join(" | ")
            };
            println!("{} | {scenes} | {} | {}", scenario.name, share(1), share(2));
        }
    }
}
