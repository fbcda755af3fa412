//! Simulates the coverage of the intervals: how often they contain the true value. The nominal coverage is 95%, and the
//! true value of each measure is that of some 400,000 rows. The tables are in docs/concepts/statistics.md.
//!
//! `cargo run --release -p dqa-stats --example coverage -- [--sims N] [--scenes 5,10,...] [--only PART] [--quick]`,
//! where PART is correlations, means, cities or shares. `--quick` leaves out the fits and the order of the algorithms.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use dqa_stats::{
    self as stats, Columns, Estimate, LogisticFit, Resampling, Scale, algorithm_srcc, estimate_agreement,
    estimate_logistic_fits, exbedde, jackknife, mean_estimate, weighted_correlation, weighted_share,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

const LEVEL: f64 = 0.95;

/// How rows are generated: score and label each have an effect of the scene, an effect of the algorithm and noise, and
/// all three are correlated between score and label.
#[derive(Clone, Copy)]
struct Scenario {
    name: &'static str,
    algorithms: usize,
    scene_variance: f64,
    scene_correlation: f64,
    noise_variance: f64,
    noise_correlation: f64,
    algorithm_variance: f64,
    algorithm_correlation: f64,
    /// The share of pictures without a score.
    holes: f64,
}

const PLAIN: Scenario = Scenario {
    name: "8 algorithms",
    algorithms: 8,
    scene_variance: 0.3,
    scene_correlation: 0.5,
    noise_variance: 0.4,
    noise_correlation: 0.6,
    algorithm_variance: 0.3,
    algorithm_correlation: 0.9,
    holes: 0.0,
};

const SCENARIOS: [Scenario; 5] = [
    Scenario {
        name: "1 algorithm, rho 0.8",
        algorithms: 1,
        scene_variance: 0.0,
        noise_variance: 1.0,
        noise_correlation: 0.8,
        algorithm_variance: 0.0,
        ..PLAIN
    },
    PLAIN,
    Scenario {
        name: "12, strong scenes",
        algorithms: 12,
        scene_variance: 0.6,
        scene_correlation: 0.8,
        noise_variance: 0.3,
        algorithm_variance: 0.1,
        ..PLAIN
    },
    Scenario {
        name: "12, good metric",
        algorithms: 12,
        scene_variance: 0.2,
        scene_correlation: 0.7,
        noise_variance: 0.3,
        noise_correlation: 0.8,
        algorithm_variance: 0.5,
        algorithm_correlation: 0.97,
        ..PLAIN
    },
    Scenario { name: "8, a third missing", holes: 1.0 / 3.0, ..PLAIN },
];

/// The rows of a sample.
#[derive(Default)]
struct Rows {
    score: Vec<f64>,
    mos: Vec<f64>,
    scene: Vec<u32>,
    algorithm: Vec<u32>,
}

impl Rows {
    fn columns(&self) -> Columns<'_> {
        Columns { score: &self.score, mos: &self.mos, scene: &self.scene }
    }
}

/// Draws a standard normal number by the method of Box and Muller.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (a, b): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

impl Scenario {
    /// Returns the fixed effects of the algorithms on score and label.
    fn effects(&self) -> Vec<(f64, f64)> {
        let n = self.algorithms;
        if n == 1 {
            return vec![(0.0, 0.0)];
        }
        let standardise = |values: Vec<f64>| {
            let mean = values.iter().sum::<f64>() / n as f64;
            let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64).sqrt();
            values.into_iter().map(|v| (v - mean) / deviation).collect::<Vec<_>>()
        };
        // Evenly spaced, so that their order is not random. What the labels add has a different order.
        let even = standardise((0..n).map(|a| a as f64).collect());
        let other = standardise((0..n).map(|a| ((a * 5 + 3) % n) as f64 - even[a] * 0.3).collect());
        let (size, rho) = (self.algorithm_variance.sqrt(), self.algorithm_correlation);
        let rest = (1.0 - rho * rho).sqrt();
        even.iter().zip(&other).map(|(a, b)| (size * a, size * (rho * a + rest * b))).collect()
    }

    fn draw(&self, rng: &mut ChaCha8Rng, scenes: u32) -> Rows {
        let effects = self.effects();
        let mut pair = |rho: f64, variance: f64| {
            let (a, b) = (normal(rng), normal(rng));
            (variance.sqrt() * a, variance.sqrt() * (rho * a + (1.0 - rho * rho).sqrt() * b))
        };
        let mut rows = Rows::default();
        for scene in 0..scenes {
            let scene_effect = pair(self.scene_correlation, self.scene_variance);
            for (algorithm, effect) in (0..).zip(&effects) {
                let noise = pair(self.noise_correlation, self.noise_variance);
                rows.score.push(effect.0 + scene_effect.0 + noise.0);
                rows.mos.push(effect.1 + scene_effect.1 + noise.1);
                rows.scene.push(scene);
                rows.algorithm.push(algorithm);
            }
        }
        if self.holes > 0.0 {
            let mut kept = Rows::default();
            for row in (0..rows.score.len()).filter(|_| rng.random::<f64>() >= self.holes) {
                kept.score.push(rows.score[row]);
                kept.mos.push(rows.mos[row]);
                kept.scene.push(rows.scene[row]);
                kept.algorithm.push(rows.algorithm[row]);
            }
            return kept;
        }
        rows
    }
}

/// Counts of the intervals of one measure.
#[derive(Clone, Copy, Default)]
struct Coverage {
    defined: u32,
    inside: u32,
    width: f64,
}

impl Coverage {
    fn add(&mut self, estimate: Option<Estimate>, truth: f64) {
        if let Some(Ok(interval)) = estimate.map(|estimate| estimate.interval) {
            self.defined += 1;
            self.inside += u32::from(interval.low - 1e-9 <= truth && truth <= interval.high + 1e-9);
            self.width += interval.high - interval.low;
        }
    }

    fn plus(mut self, other: &Coverage) -> Coverage {
        self.defined += other.defined;
        self.inside += other.inside;
        self.width += other.width;
        self
    }
}

/// Runs the simulations in parallel and prints the coverage of each of `measures`.
fn report(name: &str, scenes: u32, sims: u32, measures: &[&str], simulate: impl Fn(u32, &mut [Coverage]) + Sync) {
    let simulation = |sim: u32| {
        let mut counts = vec![Coverage::default(); measures.len()];
        simulate(sim, &mut counts);
        counts
    };
    let add = |a: Vec<Coverage>, b: Vec<Coverage>| a.iter().zip(&b).map(|(a, b)| a.plus(b)).collect();
    let zero = || vec![Coverage::default(); measures.len()];
    let counts: Vec<Coverage> = (0..sims).into_par_iter().map(simulation).reduce(zero, add);
    for (measure, count) in measures.iter().zip(counts) {
        if count.defined > 0 {
            let defined = f64::from(count.defined);
            println!(
                "{name:22} {scenes:6}  {measure:18} {:8.3} {:8.3} {:9.3}",
                f64::from(count.inside) / defined,
                count.width / defined,
                defined / f64::from(sims)
            );
        }
    }
}

/// Returns the random number generator of a simulation.
fn simulation_rng(scenes: u32, sim: u32) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(u64::from(scenes));
    rng.set_stream(u64::from(sim));
    rng
}

/// The measures of [`correlations`], in the order of its counts.
const MEASURES: [&str; 11] =
    ["SRCC", "KRCC", "PLCC", "RMSE", "pairs", "PLCC 4", "RMSE 4", "PLCC 5", "RMSE 5", "algorithms", "mean of 3 sets"];

/// The true values of [`MEASURES`].
struct Truth {
    /// SRCC, KRCC, PLCC, RMSE and pairwise accuracy.
    plain: [f64; 5],
    /// The fits to so many rows that noise does not affect them.
    fits: [LogisticFit; 2],
    algorithm_srcc: f64,
}

impl Truth {
    fn new(scenario: &Scenario) -> Truth {
        let rows = scenario.draw(&mut simulation_rng(0, 0), 400_000 / scenario.algorithms as u32);
        let (score_effects, mos_effects): (Vec<f64>, Vec<f64>) = scenario.effects().into_iter().unzip();
        Truth {
            plain: plain_measures(&rows),
            fits: stats::fit_logistics(&rows.score, &rows.mos),
            algorithm_srcc: stats::srcc(&score_effects, &mos_effects).unwrap_or(f64::NAN),
        }
    }
}

/// Simulates SRCC, KRCC, PLCC, RMSE, pairwise accuracy, PLCC and RMSE after fits, and the order of the algorithms.
fn correlations(scenario: &Scenario, scenes: &[u32], sims: u32, is_quick: bool) {
    let truth = Truth::new(scenario);
    for &scenes in scenes {
        report(scenario.name, scenes, sims, &MEASURES, |sim, counts| {
            let mut rng = simulation_rng(scenes, sim);
            let rows = scenario.draw(&mut rng, scenes);
            let table = rows.columns().sorted();
            let found = estimate_agreement(&table, &Resampling::Jackknife { level: LEVEL });
            let plain = [found.srcc, found.krcc, found.plcc, found.rmse, found.pairwise_accuracy];
            for ((count, estimate), truth) in counts.iter_mut().zip(plain).zip(truth.plain) {
                count.add(estimate, truth);
            }
            if is_quick {
                return;
            }
            for (k, (estimate, fit)) in estimate_logistic_fits(&table, LEVEL).into_iter().zip(&truth.fits).enumerate() {
                counts[5 + 2 * k].add(estimate.plcc, fit.plcc.unwrap());
                counts[6 + 2 * k].add(estimate.rmse, fit.rmse.unwrap());
            }
            if scenario.algorithms > 1 {
                counts[9].add(algorithm_srcc(&table, &rows.algorithm, LEVEL), truth.algorithm_srcc);
            }
            let mut sets = vec![(1.0 / 3.0, found.srcc)];
            for _ in 0..2 {
                let rows = scenario.draw(&mut rng, scenes);
                let srcc = jackknife(&rows.columns().sorted()).srcc.map(|srcc| srcc.estimate(Scale::Fisher, LEVEL));
                sets.push((1.0 / 3.0, srcc));
            }
            let sets: Option<Vec<_>> = sets.into_iter().map(|(weight, srcc)| Some((weight, srcc?))).collect();
            counts[10].add(sets.map(|sets| weighted_correlation(&sets, LEVEL)), truth.plain[0]);
        });
    }
}

/// Computes SRCC, KRCC, PLCC, RMSE and pairwise accuracy of so many rows that their own error is negligible.
fn plain_measures(rows: &Rows) -> [f64; 5] {
    let pairs = stats::pairwise_accuracy(&rows.columns()).and_then(|counts| counts.value()).unwrap_or(f64::NAN);
    let (x, y) = (&rows.score, &rows.mos);
    [
        stats::srcc(x, y).unwrap(),
        stats::krcc(x, y).unwrap(),
        stats::plcc(x, y).unwrap(),
        stats::rmse(x, y).unwrap(),
        pairs,
    ]
}

/// The name of a distribution of scene values, a draw from it, and its mean.
type Distribution = (&'static str, fn(&mut ChaCha8Rng) -> f64, f64);

/// Simulates means over scenes with Student's t interval, as in the leaderboard and for a city of exBeDDE.
fn means(scenes: &[u32], sims: u32) {
    const DISTRIBUTIONS: [Distribution; 4] = [
        ("normal", |rng| 0.5 + 0.15 * normal(rng), 0.5),
        // The second smallest of nine uniform numbers has the distribution beta(2, 8).
        ("beta(2,8)", |rng| order_statistic(rng, 9, 1), 0.2),
        ("lognormal(0.5)", |rng| (0.5 * normal(rng)).exp(), 1.133_148_453_066_826_3),
        (
            "10% failures",
            |rng| {
                let centre = if rng.random::<f64>() < 0.1 { 0.05 } else { 0.8 };
                centre + 0.05 * normal(rng)
            },
            0.725,
        ),
    ];
    for (name, draw, mean) in DISTRIBUTIONS {
        for &scenes in scenes {
            report(name, scenes, 4 * sims, &["mean"], |sim, counts| {
                let mut rng = simulation_rng(scenes, sim);
                let values: Vec<f64> = (0..scenes).map(|_| draw(&mut rng)).collect();
                counts[0].add(mean_estimate(&values, LEVEL), mean);
            });
        }
    }
}

/// Draws `n` uniform numbers and returns the one at `index` in ascending order.
fn order_statistic(rng: &mut ChaCha8Rng, n: usize, index: usize) -> f64 {
    let mut values: Vec<f64> = (0..n).map(|_| rng.random()).collect();
    values.sort_unstable_by(f64::total_cmp);
    values[index]
}

/// Simulates exBeDDE: three cities with different noise, ten pictures for each scene.
fn cities(scenes: &[u32], sims: u32) {
    let draw = |rng: &mut ChaCha8Rng, scenes: u32| {
        let (mut rows, mut cities) = (Rows::default(), Vec::new());
        for scene in 0..3 * scenes {
            let noise = [0.4, 0.8, 1.5][scene as usize % 3];
            for algorithm in 0..10 {
                let score = normal(rng);
                rows.score.push(score);
                rows.mos.push(score + noise * normal(rng));
                rows.scene.push(scene);
                rows.algorithm.push(algorithm);
                cities.push(scene % 3);
            }
        }
        (rows, cities)
    };
    let (rows, cities) = draw(&mut simulation_rng(0, 1), 4_000);
    let truth = exbedde(&rows.columns(), &cities, LEVEL).mean.unwrap().map(|estimate| estimate.value);
    for &scenes in scenes {
        report("exBeDDE, 3 cities", scenes, sims, &["SRCC", "KRCC", "PLCC", "RMSE"], |sim, counts| {
            let (rows, cities) = draw(&mut simulation_rng(scenes, sim), scenes);
            let found = exbedde(&rows.columns(), &cities, LEVEL).mean.unwrap();
            for ((estimate, truth), count) in found.into_iter().zip(truth).zip(counts) {
                count.add(Some(estimate), truth);
            }
        });
    }
}

/// Simulates the mean of pairwise accuracy over three data sets.
fn shares(scenes: &[u32], sims: u32) {
    let truth = plain_measures(&PLAIN.draw(&mut simulation_rng(0, 2), 50_000))[4];
    for &scenes in scenes {
        report(PLAIN.name, scenes, sims, &["pairs, mean of 3"], |sim, counts| {
            let mut rng = simulation_rng(scenes, sim);
            let set = |_| {
                let rows = PLAIN.draw(&mut rng, scenes);
                (1.0 / 3.0, jackknife(&rows.columns().sorted()).pairwise_accuracy.unwrap().share_estimate(LEVEL))
            };
            let sets: Vec<(f64, Estimate)> = (0..3).map(set).collect();
            counts[0].add(Some(weighted_share(&sets, LEVEL, 3 * u64::from(scenes))), truth);
        });
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let index = arguments.iter().position(|argument| argument == name)?;
        arguments.get(index + 1).cloned()
    };
    let sims = value("--sims").map_or(200, |sims| sims.parse().unwrap());
    let scenes = value("--scenes").unwrap_or("5,10,25,50,100".to_owned());
    let scenes: Vec<u32> = scenes.split(',').map(|scenes| scenes.parse().unwrap()).collect();
    let only = value("--only");
    let wants = |part: &str| only.as_deref().is_none_or(|only| only == part);
    println!("{:22} scenes  {:18} coverage    width   defined", "scenario", "measure");
    if wants("correlations") {
        let is_quick = arguments.iter().any(|argument| argument == "--quick");
        SCENARIOS.iter().for_each(|scenario| correlations(scenario, &scenes, sims, is_quick));
    }
    if wants("means") {
        means(&scenes, sims);
    }
    if wants("cities") {
        cities(&scenes, sims);
    }
    if wants("shares") {
        shares(&scenes, sims);
    }
}
