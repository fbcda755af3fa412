//! Compares the queries with the statistics, and checks that their plans never bring all pictures of a group to one
//! place.

use std::sync::Arc;

use datafusion::datasource::MemTable;
use datafusion::physical_expr::{Distribution, Partitioning};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::metrics::MetricValue;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, collect_partitioned, displayable};
use datafusion::prelude::SessionConfig;
use datafusion_proto::bytes::{physical_plan_from_bytes, physical_plan_to_bytes};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use dqa_pipelines::metric::{CLIP_DQA, Direction};
use dqa_pipelines::run::{DatasetSpec, PartRef, RunCounts, RunSpec, RunState};
use dqa_pipelines::tables::scores::{self, PartColumns, SCORES, ScoreRow, ScoreStatistics, ScoringFailure};

const DATASETS: [&str; 2] = ["dhq", "o-haze"];
const ALGORITHMS: [&str; 5] = ["aod", "dcp", "gca", "gdn", "msbdn"];
const CITIES: [Option<&str>; 3] = [Some("beijing"), Some("xi'an"), None];
const PARTITIONS: usize = 4;

#[derive(Clone, Debug)]
struct Picture {
    /// Places in the lists above.
    dataset: usize,
    algorithm: usize,
    city: usize,
    score: Option<f64>,
    mos: Option<f64>,
}

impl Picture {
    fn row(&self) -> ScoreRow {
        let spread = |score| ScoreStatistics { score, std: 0.0, min: score, max: score };
        let failure = || ScoringFailure { code: "io".to_owned(), message: "gone".to_owned() };
        ScoreRow {
            scene: "s".to_owned(),
            scene_group: CITIES[self.city].map(str::to_owned),
            image: "s.png".to_owned(),
            uri: "file:///s.png".to_owned(),
            version: "v".to_owned(),
            digest: None,
            width: None,
            height: None,
            windows: 1,
            score: self.score.map(spread).ok_or_else(failure),
            mos: self.mos,
            raters: None,
            flat_share: None,
        }
    }

    fn is_of(&self, group: &GroupAgreement) -> bool {
        let name = match group.group_kind {
            GroupKind::All => None,
            GroupKind::Algorithm => Some(ALGORITHMS[self.algorithm]),
            GroupKind::SceneGroup => CITIES[self.city],
        };
        DATASETS[self.dataset] == group.dataset && name == group.group_name.as_deref()
    }
}

/// Returns the configuration of a local session, but with many small batches in several partitions.
fn local() -> SessionConfig {
    SessionConfig::new().with_target_partitions(PARTITIONS).with_batch_size(1000)
}

/// Returns the configuration of a Ballista session: sort-merge joins, and nothing that requires a single process.
fn cluster() -> SessionConfig {
    local()
        .with_round_robin_repartition(false)
        .set_bool("datafusion.optimizer.prefer_hash_join", false)
        .set_bool("datafusion.optimizer.enable_dynamic_filter_pushdown", false)
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
}

/// Returns a session whose table `scores` has the pictures, in several partitions.
fn context(config: SessionConfig, pictures: &[Picture]) -> SessionContext {
    let mut schema = scores::SCHEMA.clone();
    let mut partitions = vec![Vec::new(); PARTITIONS];
    for (number, share) in pictures.chunks(pictures.len().div_ceil(PARTITIONS).max(1)).enumerate() {
        for cell in 0..DATASETS.len() * ALGORITHMS.len() {
            let (dataset, algorithm) = (cell / ALGORITHMS.len(), cell % ALGORITHMS.len());
            let own = share.iter().filter(|picture| picture.dataset == dataset && picture.algorithm == algorithm);
            let rows: Vec<ScoreRow> = own.map(Picture::row).collect();
            let part = PartColumns {
                dataset: DATASETS[dataset].to_owned(),
                algorithm: ALGORITHMS[algorithm].to_owned(),
                metric: CLIP_DQA.to_owned(),
                fingerprint: "f".to_owned(),
                part: "p".to_owned(),
            };
            let batch = scores::to_batch(&part, &rows);
            schema = batch.schema();
            let slices = (0..rows.len()).step_by(1000);
            partitions[number].extend(slices.map(|start| batch.slice(start, 1000.min(rows.len() - start))));
        }
    }
    let context = SessionContext::new_with_config(config);
    let table = MemTable::try_new(schema, partitions).unwrap();
    context.register_table(SCORES, Arc::new(table)).unwrap();
    context
}

fn record(pictures: &[Picture]) -> RunRecord {
    let mut parts: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    pictures.iter().for_each(|picture| *parts.entry((picture.dataset, picture.algorithm)).or_default() += 1);
    let part = |((dataset, algorithm), rows): ((usize, usize), u64)| PartRef {
        key: "p".to_owned(),
        dataset: DATASETS[dataset].parse().unwrap(),
        algorithm: ALGORITHMS[algorithm].parse().unwrap(),
        rows,
        windows: rows,
        metric: None,
    };
    let dataset = |dataset: &&str| DatasetSpec {
        name: dataset.parse().unwrap(),
        root: "file:///d".to_owned(),
        algorithms: Vec::new(),
        protocol: None,
        definition: String::new(),
        seen_in_training: None,
        hazy: None,
    };
    let rows = pictures.len() as u64;
    RunRecord {
        name: "r".parse().unwrap(),
        state: RunState::Complete,
        created: jiff::Timestamp::UNIX_EPOCH,
        updated: jiff::Timestamp::UNIX_EPOCH,
        spec: RunSpec {
            datasets: DATASETS.iter().map(dataset).collect(),
            model: "m".to_owned(),
            prompts: None,
            views: "both".to_owned(),
            dtype: "f32".to_owned(),
            device: "cpu".to_owned(),
            shard_windows_max: 100,
            remark: None,
            limits: dqa_pipelines::picture_limits::PictureLimits::default(),
            metrics: Vec::new(),
            metric_parameters: None,
        },
        fingerprint: "f".to_owned(),
        counts: RunCounts { pictures: rows, windows: rows, scored: rows, failed: 0 },
        counted: None,
        training_counts: None,
        parts_digest: None,
        term: None,
        provenance: [].into(),
        parts: parts.into_iter().map(part).collect(),
        request: None,
        failure: None,
        hint: None,
    }
}

/// Asserts that each group has the statistics of its pictures.
fn assert_same(groups: &[GroupAgreement], pictures: &[Picture]) {
    for group in groups {
        let own: Vec<&Picture> = pictures.iter().filter(|picture| picture.is_of(group)).collect();
        let labelled = own.iter().filter_map(|picture| picture.score.zip(picture.mos));
        let (score, mos): (Vec<f64>, Vec<f64>) = labelled.unzip();
        let failed = own.iter().filter(|picture| picture.score.is_none()).count() as u64;
        let counts = (group.pictures, group.failed, group.n);
        assert_eq!(counts, (own.len() as u64, failed, score.len() as u64), "{group:?}");
        assert_eq!(group.unlabelled, group.pictures - failed - group.n, "{group:?}");
        assert_eq!(group.srcc, stats::srcc(&score, &mos), "{group:?}");
        let near = match (group.plcc, stats::plcc(&score, &mos)) {
            (Some(value), Some(wanted)) => (value - wanted).abs() <= 1e-12,
            (value, wanted) => value == wanted,
        };
        assert!(near, "{group:?}, not {:?}", stats::plcc(&score, &mos));
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Returns the metric of all rows.
fn metric() -> MetricSpec {
    MetricSpec::clip_dqa("f")
}

fn made_with(config: SessionConfig, pictures: &[Picture]) -> Vec<GroupAgreement> {
    let groups = run(correlations(&context(config, pictures), &record(pictures), &metric())).unwrap();
    assert_same(&groups, pictures);
    groups
}

fn made(pictures: &[Picture]) -> Vec<GroupAgreement> {
    let [one, other] = [local(), cluster()].map(|config| made_with(config, pictures));
    assert_eq!(one.len(), other.len());
    one
}

/// Returns a few values, among them both zeros and values whose differences are small relative to their size.
fn values() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(-0.0)),
        6 => (0..4_i8).prop_map(|value| Some(f64::from(value) / 4.0)),
        4 => (-1.0..1.0_f64).prop_map(Some),
        1 => (0..9_i8).prop_map(|value| Some(1e9 + f64::from(value) / 1000.0)),
    ]
}

fn pictures() -> impl Strategy<Value = Vec<Picture>> {
    let place = (0..DATASETS.len(), 0..ALGORITHMS.len(), 0..CITIES.len());
    let picture = (place, values(), values()).prop_map(|((dataset, algorithm, city), score, mos)| Picture {
        dataset,
        algorithm,
        city,
        score,
        mos,
    });
    prop::collection::vec(picture, 0..200)
}

proptest! {
    // Each case runs four queries, whose planning dominates the time, over up to 20 groups.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn groups_are_the_statistics_of_their_pictures(pictures in pictures(), of_cluster: bool) {
        made_with(if of_cluster { cluster() } else { local() }, &pictures);
    }
}

#[test]
fn groups_are_in_the_runs_order_and_what_is_not_defined_is_none() {
    let picture = |algorithm, city, score, mos| Picture { dataset: 1, algorithm, city, score, mos };
    let pictures = [
        picture(1, 0, Some(0.5), Some(1.0)),
        picture(1, 0, Some(0.5), Some(2.0)),
        picture(1, 1, Some(0.25), Some(2.0)),
        picture(0, 1, None, Some(3.0)),
        picture(2, 2, Some(0.5), None),
        // This data set has no labels.
        Picture { dataset: 0, algorithm: 0, city: 0, score: Some(0.5), mos: None },
    ];
    let groups = made(&pictures);
    let shown: Vec<_> = groups
        .iter()
        .map(|group| {
            (group.group_kind.as_str(), group.group_name.as_deref().unwrap_or("-"), group.n, group.srcc.is_some())
        })
        .collect();
    let wanted = [
        ("all", "-", 3, true),
        ("algorithm", "aod", 0, false),
        ("algorithm", "dcp", 3, true),
        ("algorithm", "gca", 0, false),
        ("scene_group", "beijing", 2, false),
        ("scene_group", "xi'an", 1, false),
    ];
    assert_eq!(shown, wanted);
}

#[test]
fn both_zeros_are_one_value() {
    let picture = |score, mos| Picture { dataset: 0, algorithm: 0, city: 0, score: Some(score), mos: Some(mos) };
    let pictures = [picture(0.0, -0.0), picture(-0.0, 0.0), picture(0.0, 0.0), picture(-0.0, -1.0), picture(1.0, -0.0)];
    made(&pictures);
    // The scores or the labels are constant.
    assert_eq!(made(&[picture(0.0, 1.0), picture(-0.0, 2.0)])[0].plcc, None);
}

#[test]
fn values_that_no_width_divides_are_one_bucket() {
    let picture = |score, mos| Picture { dataset: 0, algorithm: 0, city: 0, score: Some(score), mos: Some(mos) };
    let least = f64::from_bits(1);
    let groups = made(&[picture(0.0, 1.0), picture(least, 3.0), picture(3.0 * least, 2.0)]);
    assert_eq!(groups[0].srcc, Some(0.5));
    let pictures = [picture(f64::MIN, 1.0), picture(f64::MAX, 3.0), picture(0.5, 2.0)];
    let groups = run(correlations(&context(local(), &pictures), &record(&pictures), &metric())).unwrap();
    assert_eq!(groups[0].srcc, Some(1.0));
}

/// Returns scores that are nearly all different and close together, and labels of few or many values.
fn many(rows: usize, levels: f64) -> Vec<Picture> {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut picture = |row: usize| {
        let quality: f64 = random.random::<f64>() + random.random::<f64>() + random.random::<f64>();
        let noise: f64 = random.random::<f64>();
        Picture {
            dataset: 0,
            algorithm: row % 3,
            city: random.random_range(0..3),
            score: (!row.is_multiple_of(997)).then_some(1.0 / (1.0 + (2.0 - quality).exp())),
            mos: (!row.is_multiple_of(89)).then_some(((quality + noise) * levels).floor() / levels),
        }
    };
    (0..rows).map(&mut picture).collect()
}

#[test]
fn many_pictures_are_as_few() {
    let pictures = many(200_000, 10.0);
    assert_eq!(made(&pictures).len(), 1 + 3 + 2);
}

#[test]
fn a_metric_of_which_low_is_good_agrees_as_its_negated_scores_do() {
    let pictures = many(300, 10.0);
    let negated: Vec<Picture> =
        pictures.iter().map(|p| Picture { score: p.score.map(|score| -score), ..p.clone() }).collect();
    let lower = MetricSpec { direction: Direction::Lower, ..metric() };
    let groups = run(correlations(&context(local(), &negated), &record(&negated), &lower)).unwrap();
    assert!(groups[0].srcc.unwrap() > 0.5, "{groups:?}");
    assert_same(&groups, &pictures);
}

#[test]
fn scores_of_other_pictures_are_refused() {
    let pictures = many(40, 10.0);
    let refused_of = |record: &RunRecord, metric: &MetricSpec| {
        run(correlations(&context(local(), &pictures), record, metric)).unwrap_err()
    };
    let refused = |record: &RunRecord| refused_of(record, &metric());
    let whole = record(&pictures);
    let mut more = whole.clone();
    more.parts[0].rows += 1;
    assert!(matches!(refused(&more), CorrelationsError::Report(ReportError::Rows { planned: 15, found: 14, .. })));
    let mut less = whole.clone();
    less.parts.pop();
    assert!(matches!(refused(&less), CorrelationsError::Report(ReportError::Rows { planned: 0, found: 13, .. })));
    let other = MetricSpec::clip_dqa("g");
    assert!(matches!(refused_of(&whole, &other), CorrelationsError::Report(ReportError::Rows { found: 0, .. })));
    let running = RunRecord { state: RunState::Running, ..whole.clone() };
    assert!(matches!(refused(&running), CorrelationsError::Report(ReportError::Unfinished { .. })));
    let empty = SessionContext::new();
    assert!(matches!(run(correlations(&empty, &whole, &metric())).unwrap_err(), CorrelationsError::Sql(_)));
}

/// Columns whose partitioning spreads a group over many partitions.
const FINE: [&str; 3] = ["score_bucket", "mos_bucket", "mos"];

/// Returns whether an operator returns a row for each picture or each label, and not only for groups and their buckets.
fn has_many_rows(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let groups = plan.downcast_ref::<AggregateExec>().map(|aggregate| aggregate.group_expr().expr());
    if groups.is_some_and(|groups| groups.iter().all(|(_, name)| name != "mos")) {
        return false;
    }
    plan.children().is_empty() || plan.children().into_iter().any(has_many_rows)
}

/// Asserts that no operator brings many rows, or all rows of a group, to one partition.
fn assert_spread(plan: &Arc<dyn ExecutionPlan>) {
    let shown = || displayable(plan.as_ref()).one_line().to_string();
    for (place, child) in plan.children().into_iter().enumerate() {
        assert_spread(child);
        if !has_many_rows(child) {
            continue;
        }
        assert!(child.output_partitioning().partition_count() == PARTITIONS, "gathered above {}", shown());
        let wanted = plan.input_distribution_requirements().into_per_child();
        assert!(!matches!(wanted[place], Distribution::SinglePartition), "gathers: {}", shown());
        if let Some(repartition) = plan.downcast_ref::<RepartitionExec>() {
            let Partitioning::Hash(keys, _) = repartition.partitioning() else { panic!("not by hash: {}", shown()) };
            let is_fine = |key: String| FINE.iter().any(|name| key.starts_with(&format!("{name}@")));
            assert!(keys.iter().any(|key| is_fine(key.to_string())), "a group in one partition: {}", shown());
        }
    }
}

/// Collects the row counts by partition of the windows and joins, which are the operators that sort many rows.
fn rows_by_partition(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<Vec<usize>>) {
    plan.children().into_iter().for_each(|child| rows_by_partition(child, found));
    let is_heavy = plan.name().contains("Window") || plan.name().contains("Join");
    if is_heavy && has_many_rows(plan) {
        let mut rows = vec![0; PARTITIONS];
        for metric in plan.metrics().unwrap().iter() {
            if let (MetricValue::OutputRows(count), Some(partition)) = (metric.value(), metric.partition()) {
                rows[partition] += count.value();
            }
        }
        found.push(rows);
    }
}

#[tokio::test]
async fn no_group_is_in_one_partition() {
    const ROWS: usize = 150_000;
    let pictures = many(ROWS, 1e5);
    let datasets = [DATASETS[0]];
    for config in [local(), cluster()] {
        let context = context(config, &pictures);
        let plan = |query: String| {
            let context = &context;
            async move { context.sql(&query).await.unwrap().create_physical_plan().await.unwrap() }
        };
        assert_spread(&plan(correlation_sql::cells_query(&metric(), &datasets)).await);
        let ranges = dataset_ranges(&fetch_cells(&context, &record(&pictures), &metric()).await.unwrap());
        for kind in GroupKind::EACH {
            let plan =
                plan(correlation_sql::rank_sums_query(kind, RowFilter { metric: &metric(), datasets: &ranges })).await;
            assert_spread(&plan);
        }
        // A plan over all rows as one group, serialized as an executor receives it.
        let plan =
            plan(correlation_sql::rank_sums_query(GroupKind::All, RowFilter { metric: &metric(), datasets: &ranges }))
                .await;
        let plan = physical_plan_from_bytes(&physical_plan_to_bytes(plan).unwrap(), &context.task_ctx()).unwrap();
        let rows = collect_partitioned(plan.clone(), context.task_ctx()).await.unwrap();
        assert_eq!(rows.iter().flatten().map(RecordBatch::num_rows).sum::<usize>(), 1);
        let mut found = Vec::new();
        rows_by_partition(&plan, &mut found);
        assert_eq!(found.len(), 3, "two windows and a join:\n{}", displayable(plan.as_ref()).indent(false));
        for of_partitions in found {
            let all: usize = of_partitions.iter().sum();
            let most = of_partitions.iter().max().unwrap();
            assert!(all > ROWS / 4 && most * 5 < all * 2, "{of_partitions:?}");
        }
    }
}
