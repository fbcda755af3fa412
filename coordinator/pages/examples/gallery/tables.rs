//! The rows of the tables of a made-up data set, by the same statistics as a report.

use std::collections::BTreeMap;

use dqa_pages::{LabelGap, ScorePoint};
use dqa_pipelines::metric::Direction;
use dqa_pipelines::tables::comparisons::ComparisonRow;
use dqa_pipelines::tables::correlations::CorrelationRow;
use dqa_pipelines::tables::leaderboard::LeaderboardRow;
use dqa_pipelines::tables::metric_differences::MetricDifferenceRow;
use dqa_pipelines::tables::metric_disagreements::MetricDisagreementRow;
use dqa_pipelines::tables::metric_matrix::MetricMatrixRow;
use dqa_pipelines::tables::metric_ranks::MetricRankRow;
use dqa_pipelines::tables::metrics::MetricRow;
use dqa_stats::{Columns, Estimate, RankOptions, Ranking, Resampling, SceneScores, SignificanceTest};

use crate::site::HAZY;
use crate::world::{Made, World};

pub(crate) const FINGERPRINT: &str = "1fb8bcfc0d2e6a7f9b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f91c9a4";

type Bounds = (Option<f64>, Option<f64>, Option<f64>, Option<String>);

fn bounds(estimate: Option<Estimate>) -> Bounds {
    match estimate {
        None => (None, None, None, None),
        Some(Estimate { value, interval: Ok(interval) }) => {
            (Some(value), Some(interval.low), Some(interval.high), Some("jackknife_t".to_owned()))
        }
        Some(Estimate { value, interval: Err(reason) }) => (Some(value), None, None, Some(reason.as_str().to_owned())),
    }
}

impl World {
    /// Returns the scores of a metric, turned so that high is good, NaN where there is none: (algorithms, scenes).
    fn oriented(&self, metric: usize) -> Vec<f64> {
        let mut scores = vec![f64::NAN; self.algorithms.len() * self.scenes.len()];
        for picture in &self.pictures {
            if let Ok(score) = picture.scores[metric] {
                scores[picture.algorithm * self.scenes.len() + picture.scene] =
                    self.metrics[metric].direction.orient(score);
            }
        }
        scores
    }

    pub(crate) fn ranking(&self, metric: usize) -> Ranking {
        let scores = self.oriented(metric);
        let table = SceneScores { algorithms: self.algorithms.len(), scenes: self.scenes.len(), scores: &scores };
        // The default test takes long for 4,950 pairs without optimisation.
        let test =
            if self.algorithms.len() > 20 { SignificanceTest::Wilcoxon } else { SignificanceTest::MaxDifference };
        let hazy = self.algorithms.iter().position(|name| name == HAZY);
        dqa_stats::rank_algorithms(&table, hazy, &RankOptions { test, draws: 999, ..RankOptions::default() })
    }

    pub(crate) fn leaderboard(&self, metric: usize, ranking: &Ranking) -> Vec<LeaderboardRow> {
        let direction = self.metrics[metric].direction;
        let next = |first: usize, second: usize| {
            ranking.comparisons.iter().find(|pair| pair.first == first && pair.second == second)?.p_corrected
        };
        let row = |(index, standing): (usize, &dqa_stats::Standing)| {
            let of = |picture: &&Made| picture.algorithm == standing.algorithm;
            let pictures = self.pictures.iter().filter(of).count() as u64;
            let failed =
                self.pictures.iter().filter(of).filter(|picture| picture.scores[metric].is_err()).count() as u64;
            let labels: Vec<f64> = self
                .pictures
                .iter()
                .filter(of)
                .filter(|p| p.scores[metric].is_ok())
                .map(|picture| picture.mos)
                .collect();
            let rank = standing.rank.as_ref();
            let (value, low, high) = turned(standing.adjusted, direction);
            let (mean, mean_low, mean_high) = turned(standing.mean, direction);
            let after = ranking.standings.get(index + 1);
            LeaderboardRow {
                run: self.run.clone(),
                fingerprint: FINGERPRINT.to_owned(),
                dataset: Some(self.dataset.clone()),
                rank: rank.map(|rank| rank.rank),
                rank_best: rank.map(|rank| rank.best),
                rank_worst: rank.map(|rank| rank.worst),
                rank_group: rank
                    .map(|rank| if rank.testable { rank.groups.clone() } else { "not testable".to_owned() }),
                algorithm: self.algorithms[standing.algorithm].clone(),
                pictures,
                failed,
                scenes: standing.scenes,
                mean_score: Some(mean),
                mean_score_low: mean_low,
                mean_score_high: mean_high,
                mean_mos: self.has_labels.then(|| labels.iter().sum::<f64>() / labels.len() as f64),
                p_next: after.and_then(|after| next(standing.algorithm, after.algorithm)),
                level: 0.95,
                adjusted_score: Some(value),
                adjusted_score_low: low,
                adjusted_score_high: high,
                interval_method: standing.adjusted.interval.is_ok().then(|| "student_t".to_owned()),
                interval_missing: standing.adjusted.interval.err().map(|reason| reason.as_str().to_owned()),
                common_scenes: standing.common_scenes,
                gain: standing.gain.map(|gain| turned(gain, direction).0),
                component: Some(standing.component),
                metric: Some(self.metrics[metric].name.clone()),
                direction: Some(direction.as_str().to_owned()),
                ..LeaderboardRow::default()
            }
        };
        ranking.standings.iter().enumerate().map(row).collect()
    }

    pub(crate) fn comparisons(&self, metric: usize, ranking: &Ranking) -> Vec<ComparisonRow> {
        let direction = self.metrics[metric].direction;
        let row = |pair: &dqa_stats::Comparison| {
            let (difference, low, high) = turned(pair.difference, direction);
            ComparisonRow {
                run: self.run.clone(),
                fingerprint: FINGERPRINT.to_owned(),
                dataset: Some(self.dataset.clone()),
                algorithm_a: self.algorithms[pair.first].clone(),
                algorithm_b: self.algorithms[pair.second].clone(),
                common_scenes: pair.scenes,
                difference,
                difference_low: low,
                difference_high: high,
                test: "max_difference".to_owned(),
                rank_biserial: pair.rank_biserial,
                probability_of_superiority: pair.probability_of_superiority,
                p: pair.p,
                p_corrected: pair.p_corrected,
                p_smallest: pair.p_smallest,
                minimum_detectable_difference: pair.minimum_detectable_difference,
                testable: pair.testable,
                significant: pair.significant,
                level: 0.95,
                metric: Some(self.metrics[metric].name.clone()),
                direction: Some(direction.as_str().to_owned()),
                ..ComparisonRow::default()
            }
        };
        ranking.comparisons.iter().map(row).collect()
    }

    fn scored(&self, metric: usize) -> impl Iterator<Item = (&Made, f64)> {
        self.pictures.iter().filter_map(move |picture| Some((picture, picture.scores[metric].ok()?)))
    }

    pub(crate) fn points(&self, metric: usize) -> Vec<ScorePoint> {
        let point = |(picture, score): (&Made, f64)| ScorePoint {
            algorithm: self.algorithms[picture.algorithm].clone(),
            scene: self.scenes[picture.scene].clone(),
            image: picture.image.clone(),
            score,
            mos: picture.mos,
        };
        if self.has_labels { self.scored(metric).map(point).collect() } else { Vec::new() }
    }

    /// Returns the pooled row of all pictures, then one for each algorithm.
    pub(crate) fn correlations(&self, metric: usize) -> Vec<CorrelationRow> {
        if !self.has_labels || self.pictures.is_empty() {
            return Vec::new();
        }
        let of_algorithms = (0..self.algorithms.len()).map(Some);
        let mut rows = vec![self.correlation(metric, None)];
        rows.extend(of_algorithms.map(|algorithm| self.correlation(metric, algorithm)));
        rows.push(CorrelationRow {
            dataset: Some(self.dataset.clone()),
            protocol: "vqeg".to_owned(),
            group_kind: "all".to_owned(),
            n: rows[0].n,
            plcc_logistic4: rows[0].plcc,
            logistic4_status: Some("not_converged".to_owned()),
            plcc_logistic5: rows[0].plcc_logistic5,
            logistic5_status: Some("converged".to_owned()),
            ..CorrelationRow::default()
        });
        rows
    }

    fn correlation(&self, metric: usize, algorithm: Option<usize>) -> CorrelationRow {
        let is_in = |picture: &Made| algorithm.is_none_or(|algorithm| picture.algorithm == algorithm);
        let direction = self.metrics[metric].direction;
        let rows: Vec<(&Made, f64)> = self.scored(metric).filter(|(picture, _)| is_in(picture)).collect();
        let score: Vec<f64> = rows.iter().map(|(_, score)| direction.orient(*score)).collect();
        let mos: Vec<f64> = rows.iter().map(|(picture, _)| picture.mos).collect();
        let scene: Vec<u32> = rows.iter().map(|(picture, _)| picture.scene as u32).collect();
        let columns = Columns { score: &score, mos: &mos, scene: &scene };
        let agreement = dqa_stats::estimate_agreement(&columns.sorted(), &Resampling::Jackknife { level: 0.95 });
        let (srcc, krcc, plcc) = (bounds(agreement.srcc), bounds(agreement.krcc), bounds(agreement.plcc));
        let pairs = bounds(agreement.pairwise_accuracy);
        let [_, fit] = dqa_stats::fit_logistics(&score, &mos);
        let pictures = self.pictures.iter().filter(|picture| is_in(picture)).count() as u64;
        CorrelationRow {
            run: self.run.clone(),
            fingerprint: FINGERPRINT.to_owned(),
            dataset: Some(self.dataset.clone()),
            protocol: "pooled".to_owned(),
            group_kind: if algorithm.is_some() { "algorithm" } else { "all" }.to_owned(),
            group_name: algorithm.map(|algorithm| self.algorithms[algorithm].clone()),
            pictures,
            failed: pictures - rows.len() as u64,
            n: rows.len() as u64,
            scenes: agreement.scenes,
            srcc: srcc.0,
            srcc_low: srcc.1,
            srcc_high: srcc.2,
            srcc_interval: srcc.3,
            krcc: krcc.0,
            krcc_low: krcc.1,
            krcc_high: krcc.2,
            krcc_interval: krcc.3,
            plcc: plcc.0,
            plcc_low: plcc.1,
            plcc_high: plcc.2,
            plcc_interval: plcc.3,
            pairwise_accuracy: pairs.0,
            pairwise_accuracy_low: pairs.1,
            pairwise_accuracy_high: pairs.2,
            pairwise_accuracy_interval: pairs.3,
            plcc_logistic5: fit.plcc,
            rmse_logistic5: fit.rmse,
            logistic5_status: Some(fit.status.as_str().to_owned()),
            level: Some(0.95),
            metric: Some(self.metrics[metric].name.clone()),
            direction: Some(direction.as_str().to_owned()),
            ..CorrelationRow::default()
        }
    }

    /// Returns the pictures that score and label rank most differently.
    pub(crate) fn gaps(&self, metric: usize) -> Vec<LabelGap> {
        let points = self.points(metric);
        let direction = self.metrics[metric].direction;
        let scores: Vec<f64> = points.iter().map(|point| -direction.orient(point.score)).collect();
        let labels: Vec<f64> = points.iter().map(|point| -point.mos).collect();
        let (ranks, mos_ranks) = (dqa_stats::midranks(&scores), dqa_stats::midranks(&labels));
        let n = points.len() as u64;
        let mut gaps: Vec<LabelGap> = points
            .into_iter()
            .zip(ranks.into_iter().zip(mos_ranks))
            .map(|(point, (rank, mos_rank))| LabelGap { point, rank, mos_rank, n })
            .collect();
        gaps.sort_by(|a, b| (b.rank - b.mos_rank).abs().total_cmp(&(a.rank - a.mos_rank).abs()));
        gaps.truncate(10);
        gaps
    }

    /// Returns the table `metrics`, the best first.
    pub(crate) fn metric_rows(&self, correlations: &[CorrelationRow]) -> Vec<MetricRow> {
        let row = |own: &CorrelationRow| MetricRow {
            run: own.run.clone(),
            dataset: self.dataset.clone(),
            protocol: own.protocol.clone(),
            group_kind: own.group_kind.clone(),
            group_name: own.group_name.clone(),
            metric: own.metric.clone().unwrap_or_default(),
            metric_run: own.run.clone(),
            fingerprint: own.fingerprint.clone(),
            direction: own.direction.clone().unwrap_or_default(),
            pictures: own.pictures,
            failed: own.failed,
            n: own.n,
            scenes: own.scenes,
            srcc: own.srcc,
            srcc_low: own.srcc_low,
            srcc_high: own.srcc_high,
            srcc_interval: own.srcc_interval.clone(),
            krcc: own.krcc,
            plcc: own.plcc,
            plcc_logistic5: own.plcc_logistic5,
            pairwise_accuracy: own.pairwise_accuracy,
            level: 0.95,
            ..MetricRow::default()
        };
        let mut rows: Vec<MetricRow> = correlations.iter().map(row).collect();
        rows.sort_by(|a, b| b.srcc.unwrap_or(-2.0).total_cmp(&a.srcc.unwrap_or(-2.0)));
        for (index, row) in rows.iter_mut().enumerate() {
            row.srcc_rank = Some(index as u32 + 1);
            row.srcc_group = Some(["a", "b", "b", "bc", "cd", "d"][index.min(5)].to_owned());
            row.srcc_p_corrected = (index > 0).then(|| 0.04 / f64::from(index as u32 * index as u32));
        }
        rows
    }

    pub(crate) fn metric_differences(&self, rows: &[MetricRow]) -> Vec<MetricDifferenceRow> {
        let pairs = (0..rows.len()).flat_map(|first| (first + 1..rows.len()).map(move |second| (first, second)));
        let row = |(first, second): (usize, usize)| {
            let (a, b) = (&rows[first], &rows[second]);
            let difference = a.srcc.zip(b.srcc).map(|(a, b)| a - b);
            MetricDifferenceRow {
                protocol: "pooled".to_owned(),
                group_kind: "all".to_owned(),
                measure: "srcc".to_owned(),
                metric_a: a.metric.clone(),
                metric_b: b.metric.clone(),
                n: a.n,
                difference,
                difference_low: difference.map(|d| d - 0.07),
                difference_high: difference.map(|d| d + 0.07),
                p_corrected: difference.map(|d| (0.2 - d).clamp(0.00001, 1.0)),
                ..MetricDifferenceRow::default()
            }
        };
        pairs.map(row).collect()
    }

    pub(crate) fn metric_matrix(&self) -> Vec<MetricMatrixRow> {
        let columns: Vec<Vec<f64>> = (0..self.metrics.len()).map(|metric| self.complete(metric)).collect();
        let row = |first: usize, second: usize| MetricMatrixRow {
            run: self.run.clone(),
            dataset: self.dataset.clone(),
            metric: self.metrics[first].name.clone(),
            other_metric: self.metrics[second].name.clone(),
            n: columns[first].len() as u64,
            srcc: dqa_stats::srcc(&columns[first], &columns[second]),
        };
        let count = self.metrics.len();
        (0..count).flat_map(|first| (0..count).map(move |second| (first, second))).map(|(a, b)| row(a, b)).collect()
    }

    /// Returns the oriented scores of the pictures that every metric has scored.
    fn complete(&self, metric: usize) -> Vec<f64> {
        let direction: Direction = self.metrics[metric].direction;
        let whole = self.pictures.iter().filter(|picture| picture.scores.iter().all(Result::is_ok));
        whole.filter_map(|picture| picture.scores[metric].ok().map(|score| direction.orient(score))).collect()
    }

    pub(crate) fn metric_ranks(&self, leaderboards: &[Vec<LeaderboardRow>]) -> Vec<MetricRankRow> {
        let mut labels: Vec<(f64, &str)> =
            leaderboards[0].iter().filter_map(|row| Some((row.mean_mos?, row.algorithm.as_str()))).collect();
        labels.sort_by(|a, b| b.0.total_cmp(&a.0));
        let by_label: BTreeMap<&str, u32> =
            labels.iter().enumerate().map(|(index, (_, name))| (*name, index as u32 + 1)).collect();
        let row = |row: &LeaderboardRow| MetricRankRow {
            run: row.run.clone(),
            dataset: self.dataset.clone(),
            algorithm: row.algorithm.clone(),
            metric: row.metric.clone().unwrap_or_default(),
            direction: row.direction.clone().unwrap_or_default(),
            score: row.adjusted_score,
            rank: row.rank,
            rank_best: row.rank_best,
            rank_worst: row.rank_worst,
            mos_rank: by_label.get(row.algorithm.as_str()).copied(),
        };
        leaderboards.iter().flatten().map(row).collect()
    }

    pub(crate) fn metric_disagreements(&self) -> Vec<MetricDisagreementRow> {
        let mut rows = Vec::new();
        for second in 1..self.metrics.len() {
            let pictures: Vec<&Made> = self
                .pictures
                .iter()
                .filter(|picture| picture.scores[0].is_ok() && picture.scores[second].is_ok())
                .collect();
            let ranks = |metric: usize| {
                let direction = self.metrics[metric].direction;
                let scores: Vec<f64> = pictures
                    .iter()
                    .filter_map(|p| p.scores[metric].ok())
                    .map(|score| -direction.orient(score))
                    .collect();
                dqa_stats::midranks(&scores)
            };
            let (a, b) = (ranks(0), ranks(second));
            let mut order: Vec<usize> = (0..pictures.len()).collect();
            order.sort_by(|x, y| (a[*y] - b[*y]).abs().total_cmp(&(a[*x] - b[*x]).abs()));
            for (position, index) in order.into_iter().take(5).enumerate() {
                let (better, worse) = if a[index] < b[index] { (0, second) } else { (second, 0) };
                let rank = |metric: usize| if metric == 0 { a[index] } else { b[index] };
                let picture = pictures[index];
                rows.push(MetricDisagreementRow {
                    metric: self.metrics[better].name.clone(),
                    other_metric: self.metrics[worse].name.clone(),
                    n: pictures.len() as u64,
                    position: position as u32 + 1,
                    algorithm: self.algorithms[picture.algorithm].clone(),
                    scene_group: self.scenes[picture.scene].group.clone(),
                    scene: self.scenes[picture.scene].name.clone(),
                    image: picture.image.clone(),
                    rank: rank(better),
                    other_rank: rank(worse),
                    gap: (a[index] - b[index]).abs() / (pictures.len() as f64 - 1.0),
                    score: picture.scores[better].unwrap_or_default(),
                    other_score: picture.scores[worse].unwrap_or_default(),
                    mos: self.has_labels.then_some(picture.mos),
                    ..MetricDisagreementRow::default()
                });
            }
        }
        rows
    }
}

/// Returns an estimate as the metric gives it: the ends change places where low is good.
fn turned(estimate: Estimate, direction: Direction) -> (f64, Option<f64>, Option<f64>) {
    let ends = estimate.interval.ok().map(|interval| (interval.low, interval.high));
    match direction {
        Direction::Higher => (estimate.value, ends.map(|ends| ends.0), ends.map(|ends| ends.1)),
        Direction::Lower => (0.0 - estimate.value, ends.map(|ends| -ends.1), ends.map(|ends| -ends.0)),
    }
}
