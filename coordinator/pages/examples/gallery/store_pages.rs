//! The pages of a made-up run and of its store: progress, failures, provenance, runs, workers, studies, trainings.

use std::collections::BTreeMap;
use std::time::Duration;

use dqa_pages::*;
use dqa_pipelines::run::{RunRecord, RunState};
use dqa_pipelines::run_progress::Progress;
use dqa_pipelines::tables::epochs::EpochRow;
use dqa_pipelines::tables::runs::RunRow;
use dqa_pipelines::tables::studies::StudyRow;
use dqa_pipelines::tables::study_splits::StudySplitRow;
use dqa_pipelines::train::{Setup, TrialRecord};
use serde_json::json;

use crate::site::{Pages, Site, time};
use crate::tables::FINGERPRINT;
use crate::world::Random;

impl Site {
    pub(crate) fn progress(&self) -> Progress {
        let pictures = 480;
        match self.world.is_running {
            true => Progress {
                parts: 24,
                parts_done: 14,
                windows: 41_280,
                windows_done: 24_080,
                pictures,
                scored: 273,
                failed: 7,
            },
            false => Progress {
                parts: 24,
                parts_done: 24,
                windows: 41_280,
                windows_done: 41_280,
                pictures,
                scored: 480,
                failed: 0,
            },
        }
    }

    pub(crate) fn worker(&self, index: u32) -> Worker {
        Worker {
            id: format!("{}-{index}", self.world.text),
            host: format!("node{index}.example"),
            version: "0.1.0".to_owned(),
            devices: vec!["cpu, 16 cores".to_owned()],
            slots: 2,
            draining: index == 2,
            since: time(5400),
            silent: Duration::from_secs(if index == 1 { 21 } else { 1 }),
            shards: vec![RunningShard {
                run: Some(self.world.run.clone()),
                part: format!("small-{}-{FINGERPRINT}", self.world.algorithms[0]),
                windows_done: 812,
                windows: Some(2048),
                is_scoring: index != 1,
            }],
            windows: 12_040,
            pictures: 140,
            pictures_failed: 3,
            failures: match index {
                1 => vec![WorkerFailure {
                    time: time(300),
                    message: format!("device: out of memory ({})", self.world.text),
                }],
                _ => Vec::new(),
            },
        }
    }

    pub(crate) fn run_page(&self) -> RunPage {
        let mut random = Random::new(3);
        let speeds = (0..40)
            .map(|index| Speed { time: time(2400 - index * 60), windows_per_second: 180.0 + 14.0 * random.normal() });
        let is_running = self.world.is_running;
        RunPage {
            run: self.world.run.clone(),
            state: if is_running { RunState::Running } else { RunState::Complete },
            created: time(7200),
            updated: time(60),
            progress: self.progress(),
            pictures_running: if is_running { 48 } else { 0 },
            shards_retrying: u64::from(is_running),
            shards_quarantined: 0,
            windows_per_second: is_running.then_some(183.4),
            remaining: is_running.then_some(Duration::from_secs(94)),
            speeds: speeds.collect(),
            owner: is_running.then(|| format!("coordinator {}", self.world.text)),
            workers: self.world.is_live.then(|| (0..3).map(|index| self.worker(index)).collect()),
            failure: None,
            hint: None,
            actions: vec![RunAction::Pause, RunAction::Retry, RunAction::Cancel],
            now: time(0),
        }
    }

    pub(crate) fn add_run(&self, pages: &mut Pages) {
        let world = &self.world;
        let page = self.run_page();
        self.add(pages, Route::Progress(self.routes.run()), true, |context| page.render(context));
        let mut groups: BTreeMap<&str, Vec<FailureRow>> = BTreeMap::new();
        for made in &world.pictures {
            if let Err(code) = made.scores[0] {
                groups.entry(code).or_default().push(FailureRow {
                    dataset: world.dataset.clone(),
                    algorithm: world.algorithms[made.algorithm].clone(),
                    scene: world.scenes[made.scene].clone(),
                    image: made.image.clone(),
                    metric: world.metrics[0].name.clone(),
                    message: format!("180 x 135 pixels, but a window is 224 ({})", world.text),
                });
            }
        }
        let groups = groups.into_iter().map(|(code, rows)| FailureGroup {
            code: code.to_owned(),
            count: rows.len() as u64 + 3,
            rows,
        });
        let page = FailuresPage { groups: groups.collect(), pictures: world.pictures.len() as u64 };
        self.add(pages, Route::Failures(self.routes.run()), true, |context| page.render(context));
        let page = ProvenancePage {
            record: self.record(),
            command: Some("dqa-coord submit --datasets demo/demo.toml --model dqa:small".to_owned()),
            site_command: Some("dqa-coord site OUT --run demo".to_owned()),
            citations: vec![world.text.clone()],
        };
        self.add(pages, Route::Provenance(self.routes.run()), true, |context| page.render(context));
    }

    fn record(&self) -> RunRecord {
        let text = &self.world.text;
        let metrics: Vec<_> = self
            .world
            .metrics
            .iter()
            .filter(|metric| metric.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)))
            .map(|metric| json!({"name": metric.name, "fingerprint": FINGERPRINT, "direction": metric.direction}))
            .collect();
        let dataset = json!({
            "name": "demo", "root": text, "algorithms": ["dcp", "cap"], "protocol": null,
            "definition": format!("name = \"demo\"\nroot = \"results\"\nlayout = \"{{algorithm}}/{{scene}}.png\"\n# {text}\n"),
        });
        let record = json!({
            "name": "demo", "state": "complete", "created": "2026-11-28T12:03:00Z", "updated": "2026-11-28T14:02:00Z",
            "fingerprint": FINGERPRINT, "counts": {"pictures": 480, "windows": 41280, "scored": 480, "failed": 0},
            "provenance": {"dqa": "0.1.0", "host": text, "cpu": "AMD EPYC 9654, AVX-512 BF16"}, "parts": [],
            "spec": {
                "datasets": [dataset], "model": "dqa:small", "prompts": text, "views": "sees=both,window=224,stride=64",
                "dtype": "f32", "device": "cpu", "shard_windows_max": 2048, "remark": text, "metrics": metrics,
            },
        });
        serde_json::from_value(record).expect("a record of a run")
    }

    pub(crate) fn add_store(&self, pages: &mut Pages) {
        let world = &self.world;
        let row = |run: &str, state: &str, hours: i64, scored: u64, failed: u64| RunSummary {
            row: RunRow {
                run: run.to_owned(),
                state: state.to_owned(),
                created: time(hours * 3600),
                datasets: format!("{},exbedde", world.dataset),
                pictures: 480,
                scored,
                failed,
                ..RunRow::default()
            },
            metrics: world.metrics.iter().map(|metric| metric.name.clone()).collect(),
            best: Some(world.algorithms[0].clone()),
        };
        let runs = match world.pictures.is_empty() {
            true => Vec::new(),
            false => vec![
                row(&world.run, if world.is_running { "running" } else { "complete" }, 2, 273, 7),
                row("dhq-r3", "complete", 40, 480, 0),
                row("dhq-r2", "failed", 60, 120, 1),
                row("dhq-r1", "interrupted", 80, 12, 0),
            ],
        };
        self.add(pages, Route::Home, false, |context| HomePage { runs }.render(context));
        let workers = if world.is_live { (0..3).map(|index| self.worker(index)).collect() } else { Vec::new() };
        self.add(pages, Route::Workers, false, |context| WorkersPage { workers, now: time(0) }.render(context));
        let page = SignInPage { is_refused: world.is_running, next: Some(world.text.clone()) };
        self.add(pages, Route::SignIn, false, |context| page.render(context));
        let page = ErrorPage {
            kind: ErrorKind::NotFound,
            message: format!("The run {} has no scene of this name.", world.text),
            hint: Some("The list of scenes has all of them.".to_owned()),
        };
        let error =
            page.render(&Context { links: Links::at_unknown_path("404.html"), ..self.context(Route::Home, false) });
        pages.insert("404.html".to_owned(), error);
        self.add_studies(pages);
    }

    fn add_studies(&self, pages: &mut Pages) {
        let text = &self.world.text;
        let is_empty = self.world.pictures.is_empty();
        let study = StudySummary {
            study: text.clone(),
            title: Some("Which parts of the model matter?".to_owned()),
            lines: 6,
            splits: 10,
        };
        let trial = self.trial();
        let page = StudiesPage {
            studies: if is_empty { Vec::new() } else { vec![study] },
            trials: if is_empty { Vec::new() } else { vec![trial.clone()] },
        };
        self.add(pages, Route::Studies, false, |context| page.render(context));
        let row = |(index, variant): (usize, &str)| StudyRow {
            study: text.clone(),
            line: index as u32 + 1,
            group: if index < 4 { "a" } else { "b" }.to_owned(),
            variant: format!("{variant} {text}"),
            tested_on: "dhq".to_owned(),
            trained_on: (index > 0).then(|| "exbedde".to_owned()),
            select: Some(if index == 2 { "best-on-test" } else { "last" }.to_owned()),
            splits: Some(10),
            srcc: Some(0.36 + 0.1 * index as f64),
            srcc_low: Some(0.32 + 0.1 * index as f64),
            srcc_high: Some(0.40 + 0.1 * index as f64),
            plcc: Some(0.4 + 0.09 * index as f64),
            srcc_more: (index > 0).then_some(0.1 * index as f64),
            srcc_more_p: (index > 0).then_some(0.0004),
            seconds: Some(0.21),
            paper: (index != 3).then_some(0.363 + 0.11 * index as f64),
            ..StudyRow::default()
        };
        let variants = ["handcrafted", "text prompts", "visual prompts", "both towers", "global view", "local views"];
        let split = |index: u32| StudySplitRow {
            line: index / 3 + 1,
            split: index % 3 + 1,
            trial: Some(trial.name.clone()),
            epoch: Some(12),
            n: 350,
            srcc: Some(0.7 + 0.01 * f64::from(index)),
            ..StudySplitRow::default()
        };
        let page = StudyPage {
            study: text.clone(),
            title: Some("Which parts of the model matter?".to_owned()),
            about: Some(format!("The paper's ablation. {text}")),
            paper: Some("arXiv:2502.01707".to_owned()),
            rows: variants.into_iter().enumerate().map(row).collect(),
            splits: (0..18).map(split).collect(),
        };
        self.add(pages, Route::Study(Segment::from_name(text)), false, |context| page.render(context));
        let mut random = Random::new(11);
        let epoch = |epoch: u32| EpochRow {
            trial: trial.name.clone(),
            epoch,
            loss: 0.09 * (-f64::from(epoch) / 9.0).exp() + 0.012 + 0.001 * random.normal().abs(),
            train_srcc: Some(0.9 - 0.5 * (-f64::from(epoch) / 6.0).exp()),
            held_out: epoch.is_multiple_of(2).then(|| "test".to_owned()),
            held_out_srcc: epoch.is_multiple_of(2).then(|| 0.83 - 0.5 * (-f64::from(epoch) / 5.0).exp()),
            windows_per_second: 91.0,
            lr: 0.002 * (1.0 - f64::from(epoch) / 40.0),
            gradient_norm: 0.4,
            ..EpochRow::default()
        };
        let epochs = (1..=30).map(epoch).collect();
        let page = TrialPage { record: trial.clone(), epochs: if is_empty { Vec::new() } else { epochs } };
        self.add(pages, Route::Trial(Segment::from_name(&trial.name)), false, |context| page.render(context));
    }

    fn trial(&self) -> TrialRecord {
        let kept = json!({
            "epoch": 30, "loss": 0.0134, "train": {"n": 9000, "srcc": 0.88, "plcc": 0.87, "krcc": 0.7, "rmse": 0.09},
            "validation": null, "test": {"n": 350, "srcc": 0.8274, "plcc": 0.83, "krcc": 0.64, "rmse": 0.1},
        });
        let record = json!({
            "name": format!("{}-split1-9f2c", self.world.text), "state": if self.world.is_running { "running" } else { "complete" },
            "created": "2026-11-28T10:00:00Z", "updated": "2026-11-28T12:00:00Z", "dataset": "dhq", "split": 1, "splits": FINGERPRINT,
            "model": {"name": self.world.text, "digest": FINGERPRINT, "prompts": null},
            "setup": Setup::default(), "label_range": [0.0, 100.0], "pictures": [1400, 0, 350], "learnable": 123_904,
            "kept": if self.world.is_running { json!(null) } else { kept }, "provenance": {"host": self.world.text},
        });
        serde_json::from_value(record).expect("a record of a trial")
    }
}
