//! How often the intervals hold the true value, by simulation: `coverage [--sims N] [--scenes 5,10,...] [--only PART] [--quick]`, in
//! threads. `--quick` leaves out fits and the algorithms' order.
//! Nominal is 95%. The scenarios are those of the independent review (`mc.py`, `mcmean.py`); the true value of each measure is that
//! of some 400,000 rows. docs/statistics.md has the table.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use dqa_stats::{
    self as stats, Columns, Estimate, Resampling, Scale, algorithm_srcc, exbedde, fit_estimates, intervals, jackknife,
    mean_estimate, weighted_correlation, weighted_share,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

const LEVEL: f64 = 0.95;

/// How rows of a scene and an algorithm are made: score and label share an effect of the scene and one of the algorithm, and have
/// noise that is correlated.
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
    /// Share of pictures without a score.
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

/// A sample's rows.
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

fn normal(random: &mut ChaCha8Rng) -> f64 {
    let (a, b): (f64, f64) = (1.0 - random.random::<f64>(), random.random());
    (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

impl Scenario {
    /// Effects of the algorithms on score and label, which are fixed.
    fn effects(&self) -> Vec<(f64, f64)> {
        let n = self.algorithms;
        if n == 1 {
            return vec![(0.0, 0.0)];
        }
        let standard = |values: Vec<f64>| {
            let mean = values.iter().sum::<f64>() / n as f64;
            let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64).sqrt();
            values.into_iter().map(|v| (v - mean) / deviation).collect::<Vec<_>>()
        };
        // Evenly spaced, so that their order is not by chance; what the labels add is of another order.
        let even = standard((0..n).map(|a| a as f64).collect());
        let other = standard((0..n).map(|a| ((a * 5 + 3) % n) as f64 - even[a] * 0.3).collect());
        let (size, rho) = (self.algorithm_variance.sqrt(), self.algorithm_correlation);
        let rest = (1.0 - rho * rho).sqrt();
        even.iter().zip(&other).map(|(a, b)| (size * a, size * (rho * a + rest * b))).collect()
    }

    fn draw(&self, random: &mut ChaCha8Rng, scenes: u32) -> Rows {
        let effects = self.effects();
        let mut pair = |rho: f64, variance: f64| {
            let (a, b) = (normal(random), normal(random));
            (variance.sqrt() * a, variance.sqrt() * (rho * a + (1.0 - rho * rho).sqrt() * b))
        };
        let mut rows = Rows::default();
        for scene in 0..scenes {
            let of_scene = pair(self.scene_correlation, self.scene_variance);
            for (algorithm, effect) in (0..).zip(&effects) {
                let noise = pair(self.noise_correlation, self.noise_variance);
                rows.score.push(effect.0 + of_scene.0 + noise.0);
                rows.mos.push(effect.1 + of_scene.1 + noise.1);
                rows.scene.push(scene);
                rows.algorithm.push(algorithm);
            }
        }
        if self.holes > 0.0 {
            let mut kept = Rows::default();
            for row in (0..rows.score.len()).filter(|_| random.random::<f64>() >= self.holes) {
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

/// How a simulation's intervals are counted.
#[derive(Clone, Copy, Default)]
struct Count {
    defined: u32,
    inside: u32,
    width: f64,
}

impl Count {
    fn add(&mut self, estimate: Option<Estimate>, truth: f64) {
        if let Some(Ok(interval)) = estimate.map(|estimate| estimate.interval) {
            self.defined += 1;
            self.inside += u32::from(interval.low - 1e-9 <= truth && truth <= interval.high + 1e-9);
            self.width += interval.high - interval.low;
        }
    }

    fn plus(mut self, other: &Count) -> Count {
        self.defined += other.defined;
        self.inside += other.inside;
        self.width += other.width;
        self
    }
}

/// Repeats `simulate` in threads; `measures` are its counts' names.
fn report(name: &str, scenes: u32, sims: u32, measures: &[&str], simulate: impl Fn(u32, &mut [Count]) + Sync) {
    let each = |sim: u32| {
        let mut counts = vec![Count::default(); measures.len()];
        simulate(sim, &mut counts);
        counts
    };
    let add = |a: Vec<Count>, b: Vec<Count>| a.iter().zip(&b).map(|(a, b)| a.plus(b)).collect();
    let counts: Vec<Count> = (0..sims).into_par_iter().map(each).reduce(|| vec![Count::default(); measures.len()], add);
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

fn random(scenes: u32, sim: u32) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(u64::from(scenes));
    random.set_stream(u64::from(sim));
    random
}

/// SRCC, KRCC, PLCC, RMSE, pairs, PLCC and RMSE after fits, the algorithms' order.
fn correlations(scenario: &Scenario, scenes: &[u32], sims: u32, is_quick: bool) {
    const MEASURES: [&str; 11] = [
        "SRCC",
        "KRCC",
        "PLCC",
        "RMSE",
        "pairs",
        "PLCC 4",
        "RMSE 4",
        "PLCC 5",
        "RMSE 5",
        "algorithms",
        "mean of 3 sets",
    ];
    let whole = scenario.draw(&mut random(0, 0), 400_000 / scenario.algorithms as u32);
    let of = jackknife_values(&whole);
    // The truth of a fit: of so many rows that noise has no part in it.
    let fits = stats::fits(&whole.score, &whole.mos);
    let effects = scenario.effects();
    let (a, b): (Vec<f64>, Vec<f64>) = effects.into_iter().unzip();
    let order = stats::srcc(&a, &b).unwrap_or(f64::NAN);
    let fit = |k: usize| (fits[k].plcc.unwrap(), fits[k].rmse.unwrap());
    for &scenes in scenes {
        report(scenario.name, scenes, sims, &MEASURES, |sim, counts| {
            let mut random = random(scenes, sim);
            let rows = scenario.draw(&mut random, scenes);
            let table = rows.columns().sorted();
            let found = intervals(&table, &Resampling::Jackknife { level: LEVEL });
            for (place, (estimate, truth)) in [
                (found.srcc, of[0]),
                (found.krcc, of[1]),
                (found.plcc, of[2]),
                (found.rmse, of[3]),
                (found.pairwise_accuracy, of[4]),
            ]
            .into_iter()
            .enumerate()
            {
                counts[place].add(estimate, truth);
            }
            if is_quick {
                return;
            }
            for (k, estimate) in fit_estimates(&table, LEVEL).into_iter().enumerate() {
                counts[5 + 2 * k].add(estimate.plcc, fit(k).0);
                counts[6 + 2 * k].add(estimate.rmse, fit(k).1);
            }
            if scenario.algorithms > 1 {
                counts[9].add(algorithm_srcc(&table, &rows.algorithm, LEVEL), order);
            }
            let mut sets = vec![(1.0 / 3.0, found.srcc)];
            for _ in 0..2 {
                let rows = scenario.draw(&mut random, scenes);
                let srcc = jackknife(&rows.columns().sorted()).srcc.map(|of| of.estimate(Scale::Fisher, LEVEL));
                sets.push((1.0 / 3.0, srcc));
            }
            let sets: Option<Vec<_>> = sets.into_iter().map(|(weight, of)| Some((weight, of?))).collect();
            counts[10].add(sets.map(|sets| weighted_correlation(&sets, LEVEL)), of[0]);
        });
    }
}

/// Of so many rows that their own error does not count.
fn jackknife_values(rows: &Rows) -> [f64; 5] {
    let pairs = stats::pairwise_accuracy(&rows.columns()).and_then(|of| of.value()).unwrap_or(f64::NAN);
    let (x, y) = (&rows.score, &rows.mos);
    [
        stats::srcc(x, y).unwrap(),
        stats::krcc(x, y).unwrap(),
        stats::plcc(x, y).unwrap(),
        stats::rmse(x, y).unwrap(),
        pairs,
    ]
}

/// A distribution of scenes' values and its mean.
type Distribution = (&'static str, fn(&mut ChaCha8Rng) -> f64, f64);

/// Means over scenes by Student's t, as of the leaderboard and of a city of exBeDDE.
fn means(scenes: &[u32], sims: u32) {
    const DISTRIBUTIONS: [Distribution; 4] = [
        ("normal", |random| 0.5 + 0.15 * normal(random), 0.5),
        // Of nine uniform numbers the second least: beta(2, 8).
        ("beta(2,8)", |random| ordered(random, 9, 1), 0.2),
        ("lognormal(0.5)", |random| (0.5 * normal(random)).exp(), 1.133_148_453_066_826_3),
        (
            "10% failures",
            |random| {
                let middle = if random.random::<f64>() < 0.1 { 0.05 } else { 0.8 };
                middle + 0.05 * normal(random)
            },
            0.725,
        ),
    ];
    for (name, draw, mean) in DISTRIBUTIONS {
        for &scenes in scenes {
            report(name, scenes, 4 * sims, &["mean"], |sim, counts| {
                let mut random = random(scenes, sim);
                let values: Vec<f64> = (0..scenes).map(|_| draw(&mut random)).collect();
                counts[0].add(mean_estimate(&values, LEVEL), mean);
            });
        }
    }
}

fn ordered(random: &mut ChaCha8Rng, n: usize, place: usize) -> f64 {
    let mut values: Vec<f64> = (0..n).map(|_| random.random()).collect();
    values.sort_unstable_by(f64::total_cmp);
    values[place]
}

/// exBeDDE: three cities, of unlike spread, ten pictures a scene.
fn cities(scenes: &[u32], sims: u32) {
    let draw = |random: &mut ChaCha8Rng, scenes: u32| {
        let (mut rows, mut cities) = (Rows::default(), Vec::new());
        for scene in 0..3 * scenes {
            let noise = [0.4, 0.8, 1.5][scene as usize % 3];
            for algorithm in 0..10 {
                let score = normal(random);
                rows.score.push(score);
                rows.mos.push(score + noise * normal(random));
                rows.scene.push(scene);
                rows.algorithm.push(algorithm);
                cities.push(scene % 3);
            }
        }
        (rows, cities)
    };
    let (whole, of) = draw(&mut random(0, 1), 4_000);
    let truth = exbedde(&whole.columns(), &of, LEVEL).mean.unwrap().map(|of| of.value);
    for &scenes in scenes {
        report("exBeDDE, 3 cities", scenes, sims, &["SRCC", "KRCC", "PLCC", "RMSE"], |sim, counts| {
            let (rows, cities) = draw(&mut random(scenes, sim), scenes);
            let found = exbedde(&rows.columns(), &cities, LEVEL).mean.unwrap();
            found.into_iter().zip(truth).zip(counts).for_each(|((of, truth), count)| count.add(Some(of), truth));
        });
    }
}

/// The mean over three data sets of pairwise accuracy.
fn shares(scenes: &[u32], sims: u32) {
    let truth = jackknife_values(&PLAIN.draw(&mut random(0, 2), 50_000))[4];
    for &scenes in scenes {
        report(PLAIN.name, scenes, sims, &["pairs, mean of 3"], |sim, counts| {
            let mut random = random(scenes, sim);
            let set = |_| {
                let rows = PLAIN.draw(&mut random, scenes);
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
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).cloned()
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
