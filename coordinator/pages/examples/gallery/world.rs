//! Made-up data sets: algorithms of known quality, scenes, metrics with noise, labels, failures.

use dqa_pages::SceneRef;
use dqa_pipelines::metric::Direction;

/// What a made-up data set has.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) run: String,
    pub(crate) dataset: String,
    pub(crate) algorithms: Vec<String>,
    pub(crate) scenes: Vec<SceneRef>,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) pictures: Vec<Made>,
    pub(crate) has_labels: bool,
    /// What each free text of a page says.
    pub(crate) text: String,
    /// Whether the run is still under way.
    pub(crate) is_running: bool,
    /// Whether users may act, and workers are known.
    pub(crate) is_live: bool,
    /// Scenes with files of pictures.
    pub(crate) scenes_with_files: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) direction: Direction,
    /// Value at quality 0 and at quality 1.
    pub(crate) range: (f64, f64),
    pub(crate) noise: f64,
}

/// A made-up picture.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) algorithm: usize,
    pub(crate) scene: usize,
    pub(crate) image: String,
    /// One for each metric; a code where it failed.
    pub(crate) scores: Vec<Result<f64, &'static str>>,
    pub(crate) mos: f64,
}

/// How a world is made.
struct Plan {
    algorithms: Vec<String>,
    scenes: usize,
    groups: Vec<Option<String>>,
    metrics: Vec<(&'static str, Direction, (f64, f64), f64)>,
    /// One picture in so many fails.
    fails: Option<usize>,
}

/// Numbers that look random and are the same on every machine.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns a number from 0 to 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns a number that is nearly normal, with deviation 1.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

const ALGORITHMS: [&str; 12] =
    ["oracle", "cap", "cast", "blur", "under", "dcp", "retinex", "clahe", "blocky", "over", "noise", "halo"];

const METRICS: [(&str, Direction, (f64, f64), f64); 6] = [
    ("clip-dqa", Direction::Higher, (0.15, 0.9), 0.08),
    ("niqe", Direction::Lower, (9.0, 3.0), 0.22),
    ("brisque", Direction::Lower, (70.0, 15.0), 0.3),
    ("fade", Direction::Lower, (2.2, 0.3), 0.35),
    ("psnr_rgb", Direction::Higher, (11.0, 31.0), 0.15),
    ("entropy", Direction::Higher, (6.1, 7.7), 0.6),
];

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Returns all variants with their names.
pub(crate) fn variants() -> Vec<(&'static str, World)> {
    let plan = || Plan {
        algorithms: names(&ALGORITHMS),
        scenes: 40,
        groups: vec![None],
        metrics: METRICS.to_vec(),
        fails: None,
    };
    let plain = World::new(plan());
    let live = World { is_live: true, is_running: true, ..World::new(Plan { scenes: 12, ..plan() }) };
    let hazy = World::new(Plan { algorithms: [names(&ALGORITHMS[..7]), names(&["hazy"])].concat(), ..plan() });
    let lower = World::new(Plan { metrics: METRICS[1..2].to_vec(), ..plan() });
    let failing = World::new(Plan { fails: Some(9), ..plan() });
    let many = (1..=100).map(|index| format!("dehaze-net-{index:03}")).collect();
    let many = World::new(Plan { algorithms: many, scenes: 12, metrics: METRICS[..2].to_vec(), ..plan() });
    let long =
        ALGORITHMS.iter().map(|name| format!("{name}_trained-on-RESIDE-outdoor-and-finetuned-with-perceptual-loss_v2"));
    let groups = vec![Some("Amsterdam, the canal belt at dawn".to_owned()), Some("NH-HAZE".to_owned())];
    let long = World {
        dataset: "a-data-set-with-a-name-that-is-much-longer-than-most".to_owned(),
        ..World::new(Plan { algorithms: long.collect(), groups, ..plan() })
    };
    let unlabelled =
        World { has_labels: false, ..World::new(Plan { scenes: 3, algorithms: names(&ALGORITHMS[..3]), ..plan() }) };
    let single = World::new(Plan { algorithms: names(&["dcp"]), ..plan() });
    let dense = World::new(Plan { scenes: 900, metrics: METRICS[..1].to_vec(), ..plan() });
    let empty = World { pictures: Vec::new(), is_running: true, ..World::new(Plan { scenes: 2, ..plan() }) };
    vec![
        ("plain", World { scenes_with_files: 40, ..plain }),
        ("live", live),
        ("hazy", hazy),
        ("lower", lower),
        ("failing", failing),
        ("many", many),
        ("long", long),
        ("unlabelled", unlabelled),
        ("single", single),
        ("dense", dense),
        ("empty", empty),
    ]
}

/// Returns a world in which every name and text is `name`, as far as names may be equal.
#[allow(dead_code)] // the tests use it
pub(crate) fn named(name: &str) -> World {
    let mut world = World::new(Plan {
        algorithms: vec![name.to_owned(), format!("{name}2")],
        scenes: 6,
        groups: vec![Some(name.to_owned())],
        metrics: METRICS[..2].to_vec(),
        fails: Some(4),
    });
    world.run = name.to_owned();
    world.dataset = name.to_owned();
    world.text = name.to_owned();
    world.is_live = true;
    world.metrics[0].name = name.to_owned();
    for scene in &mut world.scenes {
        scene.name = format!("{name}{}", scene.name);
    }
    for picture in &mut world.pictures {
        picture.image = format!("{name}/{}", picture.image);
    }
    world
}

impl World {
    fn new(plan: Plan) -> World {
        let mut random = Random::new(7);
        let scenes: Vec<SceneRef> = (0..plan.scenes)
            .map(|index| SceneRef {
                group: plan.groups[index % plan.groups.len()].clone(),
                name: format!("s{index:05}"),
            })
            .collect();
        let metrics: Vec<Metric> = plan
            .metrics
            .into_iter()
            .map(|(name, direction, range, noise)| Metric { name: name.to_owned(), direction, range, noise })
            .collect();
        let count = plan.algorithms.len();
        let effects: Vec<f64> = scenes.iter().map(|_| 0.09 * random.normal()).collect();
        let mut pictures = Vec::new();
        for (algorithm, name) in plan.algorithms.iter().enumerate() {
            let base = 0.93 - 0.75 * (algorithm as f64 / count.max(2) as f64).powf(0.6);
            for (scene, effect) in effects.iter().enumerate() {
                let quality = base + effect + 0.07 * random.normal();
                let does_fail = plan.fails.is_some_and(|every| (algorithm * 7 + scene) % every == 0);
                let codes = ["too_small", "truncated", "not_an_image", "io"];
                let score = |metric: &Metric, random: &mut Random| {
                    let noisy = (quality + metric.noise * random.normal()).clamp(0.02, 1.08);
                    metric.range.0 + (metric.range.1 - metric.range.0) * noisy
                };
                let scores = metrics
                    .iter()
                    .map(|metric| if does_fail { Err(codes[scene % 4]) } else { Ok(score(metric, &mut random)) })
                    .collect();
                let mos = (100.0 * (quality + 0.09 * random.normal())).clamp(1.0, 100.0);
                let image = format!("{name}/{}.png", scenes[scene].name);
                pictures.push(Made { algorithm, scene, image, scores, mos });
            }
        }
        World {
            run: "demo".to_owned(),
            dataset: "demo".to_owned(),
            algorithms: plan.algorithms,
            scenes,
            metrics,
            pictures,
            has_labels: true,
            text: "made up".to_owned(),
            is_running: false,
            is_live: false,
            scenes_with_files: 0,
        }
    }
}
