//! Simulates the tests and intervals of leaderboards: how often a set of equal algorithms is told apart (family-wise error), how
//! often a better one is found (power), how often intervals hold the true value (coverage). The tables are in `docs/statistics.md`.
//!
//! `cargo run --release -p dqa-stats --example ranking_errors -- --sims 2000 [--draws 999] [--only errors|power|coverage|speed]`

#![allow(clippy::unwrap_used)]

use dqa_stats::{RankOptions, Ranking, SceneScores, Test, rank};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

const SCENES: [usize; 6] = [5, 6, 8, 10, 25, 50];
const TESTS: [Test; 3] = [Test::MaxDifference, Test::MaxT, Test::Wilcoxon];

/// What an algorithm's scores deviate by from the scene's difficulty.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Normal,
    /// Lognormal, of all algorithms.
    SkewedAlike,
    /// Every other algorithm has a long lower tail; means and deviations are equal.
    OtherShapes,
    /// Standard deviations from 0.2 to 3.
    OtherSpreads,
    /// Some scenes are noisier than others, for all algorithms.
    NoisyScenes,
    /// Every other algorithm fails on a tenth of the scenes; means are equal.
    RareFailures,
}

impl Shape {
    const ALL: [Shape; 6] = [
        Shape::Normal,
        Shape::SkewedAlike,
        Shape::OtherShapes,
        Shape::OtherSpreads,
        Shape::NoisyScenes,
        Shape::RareFailures,
    ];

    fn name(self) -> &'static str {
        match self {
            Shape::Normal => "normal",
            Shape::SkewedAlike => "skewed alike",
            Shape::OtherShapes => "other shapes",
            Shape::OtherSpreads => "other spreads",
            Shape::NoisyScenes => "noisy scenes",
            Shape::RareFailures => "rare failures",
        }
    }

    /// Of mean 0.
    fn draw(self, random: &mut ChaCha8Rng, (algorithm, algorithms): (usize, usize), spread_of_scene: f64) -> f64 {
        let lognormal = |random: &mut ChaCha8Rng| normal(random).exp() - 0.5_f64.exp();
        match self {
            Shape::SkewedAlike => lognormal(random),
            Shape::OtherShapes if algorithm % 2 == 0 => {
                -lognormal(random) / ((1.0_f64.exp() - 1.0) * 1.0_f64.exp()).sqrt()
            }
            Shape::OtherSpreads => {
                let share = algorithm as f64 / (algorithms.max(2) - 1) as f64;
                normal(random) * 0.2 * 15.0_f64.powf(share)
            }
            Shape::NoisyScenes => normal(random) * spread_of_scene,
            Shape::RareFailures if algorithm % 2 == 0 => {
                (if random.random_bool(0.1) { -4.5 } else { 0.5 }) + 0.3 * normal(random)
            }
            _ => normal(random),
        }
    }
}

/// By Box and Muller.
fn normal(random: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    shape: Shape,
    algorithms: usize,
    scenes: usize,
    /// Share of missing scores.
    holes: f64,
}

impl Cell {
    /// (algorithms, scenes): means, difficulty of scenes, deviations.
    fn scores(&self, means: &[f64], random: &mut ChaCha8Rng) -> Vec<f64> {
        let scenes: Vec<(f64, f64)> =
            (0..self.scenes).map(|_| (0.7 * normal(random), (0.8 * normal(random)).exp())).collect();
        let mut scores = Vec::with_capacity(self.algorithms * self.scenes);
        for (algorithm, mean) in means.iter().enumerate() {
            for (difficulty, spread) in &scenes {
                let deviation = self.shape.draw(random, (algorithm, self.algorithms), *spread);
                let missing = self.holes > 0.0 && random.random_bool(self.holes);
                scores.push(if missing { f64::NAN } else { mean + difficulty + deviation });
            }
        }
        scores
    }

    fn rank(&self, scores: &[f64], test: Test, draws: u32) -> Ranking {
        let options = RankOptions { test, draws, ..RankOptions::default() };
        rank(&SceneScores { algorithms: self.algorithms, scenes: self.scenes, scores }, None, &options)
    }

    /// A seed of its own for each simulation of each cell.
    fn random(&self, simulation: usize) -> ChaCha8Rng {
        let cell = (self.shape as u64) << 24 | (self.algorithms as u64) << 16 | (self.scenes as u64) << 1;
        let mut random = ChaCha8Rng::seed_from_u64(cell | u64::from(self.holes > 0.0));
        random.set_stream(simulation as u64);
        random
    }
}

struct Arguments {
    sims: usize,
    draws: u32,
    only: Option<String>,
}

fn main() {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| given.iter().position(|word| word == name).map(|place| given[place + 1].clone());
    let arguments = Arguments {
        sims: value("--sims").map_or(200, |sims| sims.parse().unwrap()),
        draws: value("--draws").map_or(999, |draws| draws.parse().unwrap()),
        only: value("--only"),
    };
    let wanted = |name: &str| arguments.only.as_deref().is_none_or(|only| only == name);
    if wanted("errors") {
        errors(&arguments);
    }
    if wanted("power") {
        power(&arguments);
    }
    if wanted("coverage") {
        coverage(&arguments);
    }
    if wanted("speed") {
        speed(&arguments);
    }
}

/// Of one ranking each.
fn speed(arguments: &Arguments) {
    println!("| algorithms | scenes | missing | test | seconds |\n|---|---|---|---|---|");
    for (algorithms, scenes) in [(12, 1_000), (12, 100_000), (200, 1_000)] {
        for holes in [0.0, 0.001] {
            let cell = Cell { shape: Shape::Normal, algorithms, scenes, holes };
            let scores = cell.scores(&vec![0.0; algorithms], &mut cell.random(0));
            for test in TESTS {
                let start = std::time::Instant::now();
                cell.rank(&scores, test, arguments.draws);
                let seconds = start.elapsed().as_secs_f64();
                println!("| {algorithms} | {scenes} | {:.1}% | {} | {seconds:.2} |", holes * 100.0, test.as_str());
            }
        }
    }
}

/// The mean of `of` over simulations, for each of its values.
fn simulate<const N: usize>(sims: usize, of: impl Fn(usize) -> [f64; N] + Send + Sync) -> [f64; N] {
    let add = |mut a: [f64; N], b: [f64; N]| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    };
    (0..sims).into_par_iter().map(of).reduce(|| [0.0; N], add).map(|sum| sum / sims as f64)
}

fn errors(arguments: &Arguments) {
    println!(
        "Family-wise error: all algorithms equal / half of them better, by the test. {} simulations.\n",
        arguments.sims
    );
    println!(
        "| shape | algorithms | scenes | missing | max_difference | max_t | wilcoxon |\n|---|---|---|---|---|---|---|"
    );
    let mut worst = [0.0_f64; 3];
    for shape in Shape::ALL {
        for algorithms in [2, 8, 12] {
            for scenes in SCENES {
                for holes in [0.0, 0.3] {
                    let cell = Cell { shape, algorithms, scenes, holes };
                    let of = |simulation: usize| {
                        let mut counts = [0.0; 6];
                        let random = cell.random(simulation);
                        let step = 6.0 / (scenes as f64).sqrt();
                        let half: Vec<f64> =
                            (0..algorithms).map(|of| if 2 * of < algorithms { step } else { 0.0 }).collect();
                        for (place, means) in [vec![0.0; algorithms], half].iter().enumerate() {
                            if place == 1 && algorithms == 2 {
                                continue;
                            }
                            let scores = cell.scores(means, &mut random.clone());
                            for (test, kind) in TESTS.iter().enumerate() {
                                let ranking = cell.rank(&scores, *kind, arguments.draws);
                                let wrong = ranking
                                    .comparisons
                                    .iter()
                                    .any(|pair| pair.significant && means[pair.first] == means[pair.second]);
                                counts[place * 3 + test] = f64::from(u8::from(wrong));
                            }
                        }
                        counts
                    };
                    let shares = simulate(arguments.sims, of);
                    let shown: Vec<String> =
                        (0..3).map(|test| format!("{:.3} / {:.3}", shares[test], shares[test + 3])).collect();
                    for test in 0..3 {
                        worst[test] = worst[test].max(shares[test]).max(shares[test + 3]);
                    }
                    println!(
                        "| {} | {algorithms} | {scenes} | {:.0}% | {} |",
                        shape.name(),
                        holes * 100.0,
                        shown.join(" | ")
                    );
                }
            }
        }
    }
    println!("\nworst: {:.3}, {:.3}, {:.3}\n", worst[0], worst[1], worst[2]);
}

fn power(arguments: &Arguments) {
    println!(
        "Power: the share of the pairs with the one better algorithm that are found. {} simulations.\n",
        arguments.sims
    );
    println!(
        "| shape | algorithms | scenes | missing | max_difference | max_t | wilcoxon |\n|---|---|---|---|---|---|---|"
    );
    for shape in [Shape::Normal, Shape::SkewedAlike, Shape::OtherSpreads] {
        for algorithms in [2, 8, 12] {
            for scenes in SCENES {
                for holes in [0.0, 0.3] {
                    let cell = Cell { shape, algorithms, scenes, holes };
                    let of = |simulation: usize| {
                        let mut means = vec![0.0; algorithms];
                        means[0] = if scenes > 10 { 4.5 / (scenes as f64).sqrt() } else { 1.5 };
                        let scores = cell.scores(&means, &mut cell.random(simulation));
                        TESTS.map(|test| {
                            let ranking = cell.rank(&scores, test, arguments.draws);
                            let of_better = || ranking.comparisons.iter().filter(|pair| pair.first == 0);
                            let found = of_better().filter(|pair| pair.significant).count();
                            found as f64 / (algorithms - 1) as f64
                        })
                    };
                    let [a, b, c] = simulate(arguments.sims, of);
                    let holes = holes * 100.0;
                    println!("| {} | {algorithms} | {scenes} | {holes:.0}% | {a:.2} | {b:.2} | {c:.2} |", shape.name());
                }
            }
        }
    }
    println!();
}

fn coverage(arguments: &Arguments) {
    println!("Coverage of 95% intervals: mean, adjusted score, difference. {} simulations.\n", arguments.sims);
    println!(
        "| shape | algorithms | scenes | missing | mean | adjusted score | difference |\n|---|---|---|---|---|---|---|"
    );
    for shape in Shape::ALL {
        for scenes in [5, 10, 25, 50, 100] {
            for holes in [0.0, 0.3] {
                let cell = Cell { shape, algorithms: 8, scenes, holes };
                let of = |simulation: usize| {
                    let means: Vec<f64> = (0..8).map(|of| f64::from(of) / 4.0).collect();
                    let scores = cell.scores(&means, &mut cell.random(simulation));
                    let ranking = cell.rank(&scores, Test::MaxDifference, 1);
                    let mut counts = [0.0; 6];
                    let mut count = |place: usize, interval: Option<(f64, f64)>, truth: f64| {
                        let Some((low, high)) = interval else { return };
                        counts[2 * place] += f64::from(u8::from(low <= truth && truth <= high));
                        counts[2 * place + 1] += 1.0;
                    };
                    for of in &ranking.standings {
                        count(0, of.mean.interval.ok().map(|of| (of.low, of.high)), means[of.algorithm]);
                        count(1, of.adjusted.interval.ok().map(|of| (of.low, of.high)), means[of.algorithm]);
                    }
                    for of in &ranking.comparisons {
                        let truth = means[of.first] - means[of.second];
                        count(2, of.difference.interval.ok().map(|of| (of.low, of.high)), truth);
                    }
                    counts
                };
                let counts = simulate(arguments.sims, of);
                let share = |place: usize| counts[2 * place] / counts[2 * place + 1];
                println!(
                    "| {} | 8 | {scenes} | {:.0}% | {:.3} | {:.3} | {:.3} |",
                    shape.name(),
                    holes * 100.0,
                    share(0),
                    share(1),
                    share(2)
                );
            }
        }
    }
}
