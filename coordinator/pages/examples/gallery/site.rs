//! All pages of a made-up data set, as a server or an export makes them.

use std::collections::BTreeMap;

use dqa_pages::*;
use dqa_pipelines::run::RunState;
use dqa_pipelines::tables::comparisons::ComparisonRow;
use dqa_pipelines::tables::correlations::CorrelationRow;
use dqa_pipelines::tables::leaderboard::LeaderboardRow;
use dqa_pipelines::tables::scores::{ScoreRow, ScoreStatistics, ScoringFailure};
use jiff::Timestamp;

use crate::tables::FINGERPRINT;
use crate::world::{Made, World};

/// The folder of the hazy inputs.
pub(crate) const HAZY: &str = "hazy";

/// 2026-11-28T14:03:00Z.
const NOW: i64 = 1_795_788_180;

/// The pages of a made-up data set.
pub(crate) struct Site {
    pub(crate) world: World,
    pub(crate) routes: RunRoutes,
    /// Of each metric.
    pub(crate) leaderboards: Vec<Vec<LeaderboardRow>>,
    pub(crate) comparisons: Vec<Vec<ComparisonRow>>,
    /// Of each metric, the pooled row first.
    pub(crate) correlations: Vec<Vec<CorrelationRow>>,
}

/// Pages by their paths.
pub(crate) type Pages = BTreeMap<String, String>;

pub(crate) fn time(seconds_ago: i64) -> Timestamp {
    Timestamp::from_second(NOW - seconds_ago).unwrap_or_default()
}

impl Site {
    pub(crate) fn new(world: World) -> Site {
        let metrics = || 0..world.metrics.len();
        let rankings: Vec<_> =
            if world.pictures.is_empty() { Vec::new() } else { metrics().map(|m| world.ranking(m)).collect() };
        let leaderboards =
            rankings.iter().enumerate().map(|(metric, ranking)| world.leaderboard(metric, ranking)).collect();
        let comparisons =
            rankings.iter().enumerate().map(|(metric, ranking)| world.comparisons(metric, ranking)).collect();
        let correlations = metrics().map(|metric| world.correlations(metric)).collect();
        Site { routes: RunRoutes::new(&world.run), leaderboards, comparisons, correlations, world }
    }

    pub(crate) fn context(&self, route: Route, has_run: bool) -> Context {
        let metric = |metric: &crate::world::Metric| MetricRef {
            name: metric.name.clone(),
            direction: metric.direction,
            title: Some(self.world.text.clone()),
        };
        let run = has_run.then(|| RunHeader {
            name: self.world.run.clone(),
            state: if self.world.is_running { RunState::Running } else { RunState::Complete },
            created: time(7200),
            datasets: vec![self.world.dataset.clone()],
            has_overall: false,
            metrics: self.world.metrics.iter().map(metric).collect(),
            failed: self.world.pictures.iter().filter(|picture| picture.scores[0].is_err()).count() as u64,
            remark: None,
        });
        let live = self.world.is_live;
        let mode = if live {
            Mode::Served { live, user: Some(self.world.text.clone()), may_act: true }
        } else {
            Mode::Exported { pictures: ExportedPictures::Full }
        };
        Context {
            links: Links::new(route),
            mode,
            run,
            version: "0.1.0".to_owned(),
            store: Some("dqa-store".to_owned()),
        }
    }

    pub(crate) fn pages(&self) -> Pages {
        let mut pages = Pages::new();
        self.add_leaderboards(&mut pages);
        self.add_metrics(&mut pages);
        self.add_scenes(&mut pages);
        self.add_pictures(&mut pages);
        self.add_run(&mut pages);
        self.add_store(&mut pages);
        pages
    }

    pub(crate) fn add(&self, pages: &mut Pages, route: Route, has_run: bool, render: impl FnOnce(&Context) -> String) {
        let path = route.path();
        pages.insert(path, render(&self.context(route, has_run)));
    }

    pub(crate) fn leaderboard_page(&self, metric: usize) -> LeaderboardPage {
        let comparisons = self.comparisons.get(metric).map_or(&[][..], Vec::as_slice);
        let count = |is_in: fn(&&ComparisonRow) -> bool| comparisons.iter().filter(is_in).count() as u64;
        LeaderboardPage {
            dataset: Some(self.world.dataset.clone()),
            metric: self.world.metrics[metric].name.clone(),
            rows: self.leaderboards.get(metric).cloned().unwrap_or_default(),
            pairs: Pairs {
                all: count(|_| true),
                testable: count(|row| row.testable),
                significant: count(|row| row.significant),
            },
            agreement: self.correlations[metric].first().cloned(),
            scatter: Scatter::from_points(self.world.points(metric)),
            gaps: self.world.gaps(metric),
            progress: self.world.pictures.is_empty().then(|| self.progress()),
            command: Some("dqa-coord submit --datasets demo/demo.toml --model dqa:small".to_owned()),
            facts: vec![
                "fingerprint 1fb8bcfc\u{2026}91c9a4".to_owned(),
                "sees both, window 224, stride 64".to_owned(),
                "f32".to_owned(),
                self.world.text.clone(),
            ],
        }
    }

    fn add_leaderboards(&self, pages: &mut Pages) {
        let dataset = Some(self.world.dataset.as_str());
        for (index, metric) in self.world.metrics.iter().enumerate() {
            let page = self.leaderboard_page(index);
            if index == 0 {
                self.add(pages, Route::Run(self.routes.run()), true, |context| page.render(context));
            }
            let route = |format: Format| self.routes.leaderboard(dataset, &metric.name, format);
            self.add(pages, route(Format::Html), true, |context| page.render(context));
            pages.insert(route(Format::Csv).path(), page.csv());
            pages.insert(route(Format::Json).path(), page.json());
        }
        for (metric, comparisons) in self.comparisons.iter().enumerate() {
            for row in comparisons.iter().take(70) {
                let pair = (row.algorithm_a.as_str(), row.algorithm_b.as_str());
                let route = self.routes.comparison(dataset, &self.world.metrics[metric].name, pair);
                let page = self.comparison_page(metric, row);
                self.add(pages, route, true, |context| page.render(context));
            }
        }
    }

    fn comparison_page(&self, metric: usize, row: &ComparisonRow) -> ComparisonPage {
        let find = |name: &str, scene: usize| {
            let is_it = |p: &&Made| p.scene == scene && self.world.algorithms[p.algorithm] == *name;
            let picture = self.world.pictures.iter().find(is_it)?;
            Some((picture.scores[metric].ok()?, self.thumbnail(&picture.image, scene)))
        };
        let scene = |index: usize| {
            let ((score_a, thumbnail_a), (score_b, thumbnail_b)) =
                find(&row.algorithm_a, index).zip(find(&row.algorithm_b, index))?;
            let (dataset, scene) = (self.world.dataset.clone(), self.world.scenes[index].clone());
            Some(SceneDifference { dataset, scene, score_a, score_b, thumbnail_a, thumbnail_b })
        };
        ComparisonPage {
            dataset: Some(self.world.dataset.clone()),
            metric: self.world.metrics[metric].name.clone(),
            row: row.clone(),
            leaderboard: self.leaderboards[metric].clone(),
            scenes: (0..self.world.scenes.len()).filter_map(scene).collect(),
        }
    }

    fn add_metrics(&self, pages: &mut Pages) {
        let dataset = &self.world.dataset;
        for (index, metric) in self.world.metrics.iter().enumerate() {
            let page = AgreementPage {
                dataset: dataset.clone(),
                metric: metric.name.clone(),
                correlations: self.correlations[index].clone(),
                scatter: Scatter::from_points(self.world.points(index)),
                gaps: self.world.gaps(index),
            };
            self.add(pages, self.routes.agreement(dataset, &metric.name), true, |context| page.render(context));
        }
        let pooled: Vec<CorrelationRow> = self.correlations.iter().filter_map(|rows| rows.first()).cloned().collect();
        let is_compared = self.world.metrics.len() > 1 && !self.world.pictures.is_empty();
        let mut metrics = if is_compared { self.world.metric_rows(&pooled) } else { Vec::new() };
        let differences = self.world.metric_differences(&metrics);
        if is_compared {
            let by_algorithm: Vec<CorrelationRow> =
                self.correlations.iter().flatten().filter(|row| row.group_kind == "algorithm").cloned().collect();
            metrics.extend(self.world.metric_rows(&by_algorithm));
        }
        let page = MetricsPage {
            dataset: dataset.clone(),
            differences,
            matrix: if is_compared { self.world.metric_matrix() } else { Vec::new() },
            ranks: if is_compared { self.world.metric_ranks(&self.leaderboards) } else { Vec::new() },
            disagreements: if is_compared { self.world.metric_disagreements() } else { Vec::new() },
            correlations: pooled,
            metrics,
        };
        self.add(pages, self.routes.metrics(dataset), true, |context| page.render(context));
    }

    fn thumbnail(&self, image: &str, scene: usize) -> Option<String> {
        let has_file = scene < self.world.scenes_with_files;
        has_file.then(|| self.routes.picture(&self.world.dataset, image, PicturePart::Thumbnail).path())
    }

    fn picture(&self, made: &Made) -> Picture {
        let score = |score: &Result<f64, &'static str>| match score {
            Ok(value) => PictureScore::Value(*value),
            Err(code) => PictureScore::Failed((*code).to_owned()),
        };
        self.make_picture(
            &self.world.algorithms[made.algorithm],
            &made.image,
            made.scene,
            Some(made.mos),
            made.scores.iter().map(score).collect(),
        )
    }

    fn make_picture(
        &self,
        algorithm: &str,
        image: &str,
        scene: usize,
        mos: Option<f64>,
        scores: Vec<PictureScore>,
    ) -> Picture {
        let full = (scene < 2 && scene < self.world.scenes_with_files)
            .then(|| self.routes.picture(&self.world.dataset, image, PicturePart::File).path());
        Picture {
            algorithm: algorithm.to_owned(),
            image: image.to_owned(),
            size: Some((480, 360)),
            thumbnail: self.thumbnail(image, scene),
            full,
            scores,
            mos: mos.filter(|_| self.world.has_labels),
        }
    }

    fn hazy(&self, scene: usize) -> Picture {
        let image = format!("{HAZY}/{}.png", self.world.scenes[scene].name);
        self.make_picture(HAZY, &image, scene, None, Vec::new())
    }

    fn add_scenes(&self, pages: &mut Pages) {
        let world = &self.world;
        let in_scene = |index: usize| world.pictures.iter().filter(move |picture| picture.scene == index);
        let entry = |(index, scene): (usize, &SceneRef)| {
            let scores = || in_scene(index).filter_map(|picture| Some((picture.scores[0].ok()?, picture)));
            let best = scores().max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, p)| world.algorithms[p.algorithm].clone());
            SceneEntry {
                scene: scene.clone(),
                thumbnail: self.hazy(index).thumbnail,
                pictures: in_scene(index).count() as u64,
                failed: in_scene(index).filter(|picture| picture.scores[0].is_err()).count() as u64,
                best,
                score_low: scores().map(|(score, _)| score).reduce(f64::min),
                score_high: scores().map(|(score, _)| score).reduce(f64::max),
            }
        };
        let entries: Vec<SceneEntry> = world.scenes.iter().enumerate().map(entry).collect();
        let entries = if world.pictures.is_empty() { Vec::new() } else { entries };
        let chunks: Vec<&[SceneEntry]> =
            if entries.is_empty() { vec![&[]] } else { entries.chunks(SCENES_PER_PAGE).collect() };
        for (number, chunk) in (1u32..).zip(chunks) {
            let page = ScenesPage {
                dataset: world.dataset.clone(),
                metric: world.metrics[0].name.clone(),
                page: number,
                total: entries.len() as u64,
                scenes: chunk.to_vec(),
            };
            self.add(pages, self.routes.scenes(&world.dataset, number), true, |context| page.render(context));
        }
        for index in 0..world.scenes.len().min(40) {
            let page = self.scene_page(index);
            self.add(pages, self.routes.scene(&world.dataset, &world.scenes[index]), true, |context| {
                page.render(context)
            });
        }
    }

    pub(crate) fn scene_page(&self, index: usize) -> ScenePage {
        let world = &self.world;
        let pictures = world.pictures.iter().filter(|picture| picture.scene == index);
        let metric = |metric: &crate::world::Metric| MetricRef {
            name: metric.name.clone(),
            direction: metric.direction,
            title: None,
        };
        ScenePage {
            dataset: world.dataset.clone(),
            scene: world.scenes[index].clone(),
            metrics: world.metrics.iter().map(metric).collect(),
            hazy: Some(self.hazy(index)),
            clear: None,
            pictures: pictures.map(|picture| self.picture(picture)).collect(),
            mos_range: world.has_labels.then_some((0.0, 100.0)),
            previous: index.checked_sub(1).map(|index| world.scenes[index].clone()),
            next: world.scenes.get(index + 1).cloned(),
        }
    }

    fn add_pictures(&self, pages: &mut Pages) {
        let world = &self.world;
        let dataset = &world.dataset;
        for made in world.pictures.iter().filter(|picture| picture.scene < 3) {
            let others = world.pictures.iter().filter(|other| other.scene == made.scene && other.image != made.image);
            let map = |part: PicturePart| match made.scene < 2 && made.scene < world.scenes_with_files {
                true => Map::At(self.routes.picture(dataset, &made.image, part).path()),
                false => Map::Missing(format!("The model is not at hand here: {}.", world.text)),
            };
            let page = PicturePage {
                dataset: dataset.clone(),
                picture: self.picture(made),
                rows: (0..world.metrics.len()).map(|metric| self.metric_score(made, metric)).collect(),
                bytes: Some(381_440),
                window_map: map(PicturePart::WindowMap),
                attention_map: map(PicturePart::AttentionMap),
                siblings: others.map(|other| self.picture(other)).collect(),
            };
            let route = self.routes.picture(dataset, &made.image, PicturePart::Page);
            self.add(pages, route, true, |context| page.render(context));
        }
    }

    fn metric_score(&self, made: &Made, metric: usize) -> MetricScore {
        let scene = &self.world.scenes[made.scene];
        let score = match made.scores[metric] {
            Ok(score) => Ok(ScoreStatistics { score, std: 0.031, min: score * 0.8, max: score * 1.1 }),
            Err(code) => Err(ScoringFailure { code: code.to_owned(), message: self.world.text.clone() }),
        };
        MetricScore {
            metric: self.world.metrics[metric].name.clone(),
            direction: self.world.metrics[metric].direction,
            fingerprint: FINGERPRINT.to_owned(),
            row: ScoreRow {
                scene: scene.name.clone(),
                scene_group: scene.group.clone(),
                image: made.image.clone(),
                uri: format!("file:///data/demo/{}", made.image),
                version: "1764338580-381440".to_owned(),
                digest: Some(FINGERPRINT.to_owned()),
                width: Some(480),
                height: Some(360),
                windows: 24,
                score,
                mos: self.world.has_labels.then_some(made.mos),
                raters: None,
                flat_share: (metric == 1).then_some(0.02),
            },
        }
    }
}
