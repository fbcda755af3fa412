//! Simulates the tests and intervals of leaderboards: how often equal algorithms are declared different (family-wise
//! error), how often a better one is detected (power), and how often intervals contain the true value (coverage). The
//! tables are in docs/concepts/statistics.md.
//!
//! `cargo run --release -p dqa-stats --example ranking_errors -- --sims 2000 [--draws 999] [--only
//! errors|power|coverage|speed]`

#![allow(clippy::unwrap_used)]

use dqa_stats::{Estimate, RankOptions, Ranking, SceneScores, SignificanceTest, rank_algorithms};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

const SCENES: [usize; 6] = [5, 6, 8, 10, 25, 50];
const TESTS: [SignificanceTest; 3] =
    [SignificanceTest::MaxDifference, SignificanceTest::MaxT, SignificanceTest::Wilcoxon];

/// The distribution of an algorithm's deviations from the difficulty of the scene.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Normal,
    /// Lognormal for all algorithms.
    SkewedAlike,
    /// Every other algorithm has a long lower tail; means and standard deviations are equal.
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

    /// Draws a deviation, whose mean is 0.
    fn draw(self, rng: &mut ChaCha8Rng, (algorithm, algorithms): (usize, usize), scene_deviation: f64) -> f64 {
        let lognormal = |rng: &mut ChaCha8Rng| normal(rng).exp() - 0.5_f64.exp();
        match self {
            Shape::SkewedAlike => lognormal(rng),
            Shape::OtherShapes if algorithm % 2 == 0 => {
                -lognormal(rng) / ((1.0_f64.exp() - 1.0) * 1.0_f64.exp()).sqrt()
            }
            Shape::OtherSpreads => {
                let share = algorithm as f64 / (algorithms.max(2) - 1) as f64;
                normal(rng) * 0.2 * 15.0_f64.powf(share)
            }
            Shape::NoisyScenes => normal(rng) * scene_deviation,
            Shape::RareFailures if algorithm % 2 == 0 => {
                (if rng.random_bool(0.1) { -4.5 } else { 0.5 }) + 0.3 * normal(rng)
            }
            _ => normal(rng),
        }
    }
}

/// Draws a standard normal number by the method of Box and Muller.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// The parameters of a simulated leaderboard: a row of a table.
#[derive(Clone, Copy, Debug)]
struct Setting {
    shape: Shape,
    algorithms: usize,
    scenes: usize,
    /// The share of missing scores.
    holes: f64,
}

impl Setting {
    /// Draws scores, (algorithms, scenes): each is the algorithm's mean plus the scene's difficulty plus a deviation.
    fn scores(&self, means: &[f64], rng: &mut ChaCha8Rng) -> Vec<f64> {
        let scenes: Vec<(f64, f64)> =
            (0..self.scenes).map(|_| (0.7 * normal(rng), (0.8 * normal(rng)).exp())).collect();
        let mut scores = Vec::with_capacity(self.algorithms * self.scenes);
        for (algorithm, mean) in means.iter().enumerate() {
            for (difficulty, scene_deviation) in &scenes {
                let deviation = self.shape.draw(rng, (algorithm, self.algorithms), *scene_deviation);
                let missing = self.holes > 0.0 && rng.random_bool(self.holes);
                scores.push(if missing { f64::NAN } else { mean + difficulty + deviation });
            }
        }
        scores
    }

    fn rank(&self, scores: &[f64], test: SignificanceTest, draws: u32) -> Ranking {
        let options = RankOptions { test, draws, ..RankOptions::default() };
        rank_algorithms(&SceneScores { algorithms: self.algorithms, scenes: self.scenes, scores }, None, &options)
    }

    /// Returns the random number generator of a simulation; each setting and simulation has its own seed.
    fn rng(&self, simulation: usize) -> ChaCha8Rng {
        let seed = (self.shape as u64) << 24 | (self.algorithms as u64) << 16 | (self.scenes as u64) << 1;
        let mut rng = ChaCha8Rng::seed_from_u64(seed | u64::from(self.holes > 0.0));
        rng.set_stream(simulation as u64);
        rng
    }
}

struct Arguments {
    sims: usize,
    draws: u32,
    only: Option<String>,
}

fn main() {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| given.iter().position(|word| word == name).map(|index| given[index + 1].clone());
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

/// Measures the time of one ranking each.
fn speed(arguments: &Arguments) {
    println!("| algorithms | scenes | missing | test | seconds |\n|---|---|---|---|---|");
    for (algorithms, scenes) in [(12, 1_000), (12, 100_000), (200, 1_000)] {
        for holes in [0.0, 0.001] {
            let setting = Setting { shape: Shape::Normal, algorithms, scenes, holes };
            let scores = setting.scores(&vec![0.0; algorithms], &mut setting.rng(0));
            for test in TESTS {
                let start = std::time::Instant::now();
                setting.rank(&scores, test, arguments.draws);
                let seconds = start.elapsed().as_secs_f64();
                println!("| {algorithms} | {scenes} | {:.1}% | {} | {seconds:.2} |", holes * 100.0, test.as_str());
            }
        }
    }
}

/// Returns the mean of each value of `simulation` over all simulations.
fn simulate<const N: usize>(sims: usize, simulation: impl Fn(usize) -> [f64; N] + Send + Sync) -> [f64; N] {
    let add = |mut a: [f64; N], b: [f64; N]| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    };
    (0..sims).into_par_iter().map(simulation).reduce(|| [0.0; N], add).map(|sum| sum / sims as f64)
}

impl Setting {
    /// Returns whether equal algorithms are declared different, by test: first if all algorithms are equal, then if
    /// half of them are better.
    fn errors(&self, simulation: usize, draws: u32) -> [f64; 6] {
        let algorithms = self.algorithms;
        let mut errors = [0.0; 6];
        let rng = self.rng(simulation);
        let step = 6.0 / (self.scenes as f64).sqrt();
        let half: Vec<f64> =
            (0..algorithms).map(|algorithm| if 2 * algorithm < algorithms { step } else { 0.0 }).collect();
        for (case, means) in [vec![0.0; algorithms], half].iter().enumerate() {
            if case == 1 && algorithms == 2 {
                continue;
            }
            let scores = self.scores(means, &mut rng.clone());
            for (index, test) in TESTS.iter().enumerate() {
                let ranking = self.rank(&scores, *test, draws);
                let is_wrong = (ranking.comparisons.iter())
                    .any(|pair| pair.significant && means[pair.first] == means[pair.second]);
                errors[case * 3 + index] = f64::from(u8::from(is_wrong));
            }
        }
        errors
    }
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
                    let setting = Setting { shape, algorithms, scenes, holes };
                    let shares = simulate(arguments.sims, |simulation| setting.errors(simulation, arguments.draws));
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
                    let setting = Setting { shape, algorithms, scenes, holes };
                    let simulation = |simulation: usize| {
                        let mut means = vec![0.0; algorithms];
                        means[0] = if scenes > 10 { 4.5 / (scenes as f64).sqrt() } else { 1.5 };
                        let scores = setting.scores(&means, &mut setting.rng(simulation));
                        TESTS.map(|test| {
                            let ranking = setting.rank(&scores, test, arguments.draws);
                            let with_better = ranking.comparisons.iter().filter(|pair| pair.first == 0);
                            let detected = with_better.filter(|pair| pair.significant).count();
                            detected as f64 / (algorithms - 1) as f64
                        })
                    };
                    let [a, b, c] = simulate(arguments.sims, simulation);
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
                let setting = Setting { shape, algorithms: 8, scenes, holes };
                let simulation = |simulation: usize| {
                    let means: Vec<f64> = (0..8).map(|algorithm| f64::from(algorithm) / 4.0).collect();
                    let scores = setting.scores(&means, &mut setting.rng(simulation));
                    let ranking = setting.rank(&scores, SignificanceTest::MaxDifference, 1);
                    // For each kind of estimate: intervals that contain the true value, and all intervals.
                    let mut counts = [0.0; 6];
                    let mut count = |kind: usize, estimate: &Estimate, truth: f64| {
                        let Ok(interval) = estimate.interval else { return };
                        counts[2 * kind] += f64::from(u8::from(interval.low <= truth && truth <= interval.high));
                        counts[2 * kind + 1] += 1.0;
                    };
                    for standing in &ranking.standings {
                        count(0, &standing.mean, means[standing.algorithm]);
                        count(1, &standing.adjusted, means[standing.algorithm]);
                    }
                    for pair in &ranking.comparisons {
                        count(2, &pair.difference, means[pair.first] - means[pair.second]);
                    }
                    counts
                };
                let counts = simulate(arguments.sims, simulation);
                let share = |kind: usize| counts[2 * kind] / counts[2 * kind + 1];
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
