//! Tests of sessions over stores with runs of every kind.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};
use arrow::util::pretty::pretty_format_batches;
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::physical_plan::{collect, displayable};
use datafusion_proto::bytes::{physical_plan_from_bytes, physical_plan_to_bytes};

use super::*;
use dqa_pipelines::Hint;
use dqa_pipelines::dataset::Raters;
use dqa_pipelines::metric::{CLIP_DQA, Direction, MetricSpec};
use dqa_pipelines::picture_limits::PictureLimits;
use dqa_pipelines::run::{DatasetSpec, PartRef, RunCounts, RunSpec};
use dqa_pipelines::tables::leaderboard::LeaderboardRow;
use dqa_pipelines::tables::parquet_file;
use dqa_pipelines::tables::scores::{METRIC, PartColumns, ScoreRow, ScoreStatistics, ScoringFailure, part_key};

fn row(number: usize) -> ScoreRow {
    let score = number as f64 / 10.0;
    ScoreRow {
        scene: format!("s{}", number % 3),
        scene_group: None,
        image: format!("{number}.png"),
        uri: format!("file:///{number}.png"),
        version: "v".to_owned(),
        digest: None,
        width: None,
        height: None,
        windows: 1,
        score: if number == 3 {
            Err(ScoringFailure { code: "io".to_owned(), message: "gone".to_owned() })
        } else {
            Ok(ScoreStatistics { score, std: 0.0, min: score, max: score })
        },
        mos: (number != 5).then_some(100.0 - score),
        raters: None,
        flat_share: None,
    }
}

/// Writes a part with this number of rows, without the column of the metric, as older versions did.
async fn old_part(store: &Store, algorithm: &str, name: &str, rows: usize) -> PartRef {
    let part = part(store, algorithm, name, rows).await;
    without_columns(store, &part.key, &[METRIC]).await;
    part
}

/// Writes a file again without some of its columns.
async fn without_columns(store: &Store, key: &str, columns: &[&str]) {
    let batch = &parquet_file::read(store.get(key).await.unwrap()).unwrap()[0];
    let schema = batch.schema();
    let kept = schema.fields().iter().enumerate().filter(|(_, field)| !columns.contains(&field.name().as_str()));
    let batch = batch.project(&kept.map(|(index, _)| index).collect::<Vec<_>>()).unwrap();
    store.put(key, parquet_file::write(&batch.schema(), &[batch], &[]).unwrap()).await.unwrap();
}

/// Writes a part of another metric, half of whose windows are flat.
async fn niqe_part(store: &Store, algorithm: &str, name: &str, rows: usize) -> PartRef {
    let rows = (0..rows).map(|number| ScoreRow { flat_share: Some(0.5), ..row(number) }).collect();
    PartRef { metric: Some("niqe".parse().unwrap()), ..part_of("niqe", store, algorithm, name, rows).await }
}

/// Writes a part with this number of rows.
async fn part(store: &Store, algorithm: &str, name: &str, rows: usize) -> PartRef {
    part_of(CLIP_DQA, store, algorithm, name, (0..rows).map(row).collect()).await
}

async fn part_of(metric: &str, store: &Store, algorithm: &str, name: &str, rows: Vec<ScoreRow>) -> PartRef {
    let columns = PartColumns {
        dataset: "d".to_owned(),
        algorithm: algorithm.to_owned(),
        metric: metric.to_owned(),
        fingerprint: if metric == CLIP_DQA { "f" } else { metric }.to_owned(),
        part: name.to_owned(),
    };
    let batch = scores::to_batch(&columns, &rows);
    let failed = rows.iter().filter(|row| row.score.is_err()).count();
    let facts = [("dqa.part", name.to_owned()), ("dqa.failed", failed.to_string())];
    let file = parquet_file::write(&batch.schema(), &[batch], &facts).unwrap();
    let key = part_key("d", algorithm, name);
    store.put(&key, file).await.unwrap();
    let (dataset, algorithm) = ("d".parse().unwrap(), algorithm.parse().unwrap());
    PartRef { key, dataset, algorithm, rows: rows.len() as u64, windows: 1, metric: None }
}

async fn run(store: &Store, name: &str, second: i64, state: RunState, parts: Vec<PartRef>) {
    let created = jiff::Timestamp::from_second(second).unwrap();
    let dataset = DatasetSpec {
        name: "d".parse().unwrap(),
        root: "file:///d".to_owned(),
        algorithms: Vec::new(),
        protocol: None,
        definition: String::new(),
        seen_in_training: None,
        hazy: None,
    };
    let spec = RunSpec {
        datasets: vec![dataset],
        model: "m".to_owned(),
        prompts: None,
        views: "both".to_owned(),
        dtype: "f32".to_owned(),
        device: "cpu".to_owned(),
        shard_windows_max: 100,
        remark: None,
        limits: PictureLimits::default(),
        metrics: Vec::new(),
        metric_parameters: None,
    };
    let record = RunRecord {
        name: name.parse().unwrap(),
        state,
        created,
        updated: created,
        spec,
        fingerprint: "f".to_owned(),
        counts: RunCounts { pictures: 20, windows: 20, scored: 18, failed: 2 },
        counted: None,
        training_counts: None,
        parts_digest: None,
        term: None,
        provenance: BTreeMap::new(),
        parts,
        request: None,
        failure: None,
        hint: None,
    };
    record.write(store).await.unwrap();
}

struct Fixture {
    store: Store,
    _dir: tempfile::TempDir,
}

impl Fixture {
    /// Creates a store in a folder whose name must be escaped in URLs.
    fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a store%20é");
        Fixture { store: Store::create(folder.to_str().unwrap(), Path::new("")).unwrap(), _dir: dir }
    }

    async fn shown(&self, selection: &Selection, sql: &str) -> String {
        let context = open_session(&self.store, selection).await.unwrap();
        let batches = query(&context, sql).await.unwrap().collect().await.unwrap();
        pretty_format_batches(&batches).unwrap().to_string()
    }

    async fn rows(&self, selection: &Selection) -> i64 {
        let context = open_session(&self.store, selection).await.unwrap();
        let frame = query(&context, "SELECT count(*) FROM scores").await.unwrap();
        frame.collect().await.unwrap()[0].column(0).as_primitive::<Int64Type>().value(0)
    }
}

fn memory() -> Arc<dyn MemoryPool> {
    Arc::new(UnboundedMemoryPool::default())
}

fn of(run: &str) -> Selection {
    Selection::run(run.parse().unwrap())
}

#[tokio::test]
async fn parts_with_and_without_raters_are_one_table() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let rated =
        |number| ScoreRow { raters: Some(Raters { count: 3, std: (number > 0).then_some(0.5) }), ..row(number) };
    let parts = vec![
        part(store, "aod", "p1", 2).await,
        part_of(CLIP_DQA, store, "dcp", "p2", (0..2).map(rated).collect()).await,
    ];
    let [old, new] = [0, 1].map(|at| parts[at].key.clone());
    run(store, "first", 1, RunState::Complete, parts).await;
    let sql = "SELECT algorithm, image, mos, mos_raters, mos_std FROM scores ORDER BY 1, 2";
    insta::assert_snapshot!(fixture.shown(&of("first"), sql).await, @"
    +-----------+-------+-------+------------+---------+
    | algorithm | image | mos   | mos_raters | mos_std |
    +-----------+-------+-------+------------+---------+
    | aod       | 0.png | 100.0 |            |         |
    | aod       | 1.png | 99.9  |            |         |
    | dcp       | 0.png | 100.0 | 3          |         |
    | dcp       | 1.png | 99.9  | 3          | 0.5     |
    +-----------+-------+-------+------------+---------+
    ");
    let columns = |file: &[arrow::array::RecordBatch]| file[0].num_columns();
    let [old, new] = [store.get(&old).await.unwrap(), store.get(&new).await.unwrap()]
        .map(|bytes| parquet_file::read(bytes).unwrap());
    assert_eq!(columns(&new), columns(&old) + scores::RATERS.len(), "what has no raters is as it was");
    let read = scores::from_batch(&new[0]).unwrap();
    assert_eq!(read, (0..2).map(rated).collect::<Vec<_>>());
    assert_eq!(scores::from_batch(&old[0]).unwrap(), (0..2).map(row).collect::<Vec<_>>());
}

/// Writes a run of CLIP-DQA and another metric. Its parts are of two versions.
async fn run_of_two_metrics(store: &Store) {
    let parts = vec![
        old_part(store, "dcp", "old", 2).await,
        part(store, "aod", "new", 2).await,
        niqe_part(store, "dcp", "other", 3).await,
    ];
    run(store, "r", 1, RunState::Complete, parts).await;
    let mut record = RunRecord::find(store, &"r".parse().unwrap()).await.unwrap().unwrap();
    let (name, direction) = ("niqe".parse().unwrap(), Direction::Lower);
    let niqe = MetricSpec { name, direction, fingerprint: "niqe".to_owned() };
    record.spec.metrics = vec![MetricSpec::clip_dqa("f"), niqe];
    record.write(store).await.unwrap();
}

#[tokio::test]
async fn each_row_has_its_metric() {
    let fixture = Fixture::new();
    run_of_two_metrics(&fixture.store).await;
    let sql = "SELECT metric, algorithm, fingerprint, count(*) AS n, max(flat_share) AS flat FROM scores
               GROUP BY 1, 2, 3 ORDER BY 1, 2";
    insta::assert_snapshot!(fixture.shown(&of("r"), sql).await, @"
    +----------+-----------+-------------+---+------+
    | metric   | algorithm | fingerprint | n | flat |
    +----------+-----------+-------------+---+------+
    | clip-dqa | aod       | f           | 2 |      |
    | clip-dqa | dcp       | f           | 2 |      |
    | niqe     | dcp       | niqe        | 3 | 0.5  |
    +----------+-----------+-------------+---+------+
    ");
    for (condition, rows) in [
        ("metric = 'clip-dqa'", 4),
        ("metric = 'niqe'", 3),
        ("metric <> 'niqe' AND algorithm = 'dcp'", 2),
        ("metric = 'niqe' AND image = '0.png'", 1),
        ("metric LIKE 'c%' AND run = 'r' AND score < 0.05", 2),
        ("metric = 'psnr_rgb'", 0),
    ] {
        let shown = fixture.shown(&of("r"), &format!("SELECT image FROM scores WHERE {condition}")).await;
        assert_eq!(shown.matches(".png").count(), rows, "{condition}: {shown}");
    }
    let context = open_session(&fixture.store, &of("r")).await.unwrap();
    let error = query(&context, "SELECT avg(score) FROM scores").await.unwrap_err();
    assert!(matches!(error, SqlError::MixedMetrics { .. }), "{error}");
    for (sql, untold) in [
        ("SELECT image, score FROM scores ORDER BY score LIMIT 1", 2),
        ("SELECT * FROM scores", 0),
        ("SELECT score FROM scores WHERE metric = 'niqe'", 0),
        ("SELECT image FROM scores", 0),
    ] {
        let frame = query(&context, sql).await.unwrap();
        assert_eq!(untold_metrics(&context, &frame, sql).len(), untold, "{sql}");
    }
}

#[tokio::test]
async fn a_condition_on_the_metric_selects_the_files_and_its_plan_can_be_sent() {
    let fixture = Fixture::new();
    run_of_two_metrics(&fixture.store).await;
    let context = SessionContext::new_with_config_rt(SessionConfig::new(), new_runtime(memory()).unwrap());
    register_tables(&context, &fixture.store, &of("r")).await.unwrap();
    let frame = query(&context, "SELECT image, metric FROM scores WHERE metric = 'niqe'").await.unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let shown = displayable(plan.as_ref()).indent(false).to_string();
    assert!(shown.contains("other.parquet") && !shown.contains("old.parquet"), "{shown}");
    let sent = physical_plan_from_bytes(&physical_plan_to_bytes(plan).unwrap(), &context.task_ctx()).unwrap();
    let rows = collect(sent, context.task_ctx()).await.unwrap();
    assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 3);
}

/// The rows of one input of the table must not decide which rows of another a limit drops.
#[tokio::test]
async fn a_limit_keeps_the_first_rows_in_the_order_of_metrics_and_runs() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let parts = vec![part(store, "dcp", "last", 20).await, niqe_part(store, "aod", "first", 20).await];
    run(store, "r", 1, RunState::Complete, parts).await;
    let mut record = RunRecord::find(store, &"r".parse().unwrap()).await.unwrap().unwrap();
    let niqe =
        MetricSpec { name: "niqe".parse().unwrap(), direction: Direction::Lower, fingerprint: "niqe".to_owned() };
    record.spec.metrics = vec![MetricSpec::clip_dqa("f"), niqe];
    record.write(store).await.unwrap();
    let part = part(store, "aod", "later", 20).await;
    run(store, "s", 2, RunState::Complete, vec![part]).await;
    let both = Selection::Runs(vec!["r".parse().unwrap(), "s".parse().unwrap()]);
    // The inputs race, so that one query can be right by chance.
    for _ in 0..30 {
        let of_metrics = "SELECT metric, algorithm FROM scores ORDER BY metric, algorithm, image LIMIT 1";
        let shown = fixture.shown(&of("r"), of_metrics).await;
        assert!(shown.contains("| clip-dqa | dcp "), "{shown}");
        let of_runs = "SELECT run, algorithm FROM scores WHERE metric = 'clip-dqa' ORDER BY run, algorithm LIMIT 1";
        let shown = fixture.shown(&both, of_runs).await;
        assert!(shown.contains("| r   | dcp "), "{shown}");
    }
}

#[tokio::test]
async fn reports_of_older_versions_are_of_the_one_metric() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    run(store, "old", 1, RunState::Complete, Vec::new()).await;
    let board = LeaderboardRow { run: "old".to_owned(), algorithm: "dcp".to_owned(), ..LeaderboardRow::default() };
    let file = parquet_file::write(&leaderboard::SCHEMA, &[leaderboard::to_batch(&[board])], &[]).unwrap();
    let key = report_key(LEADERBOARD, &"old".parse().unwrap());
    store.put(&key, file).await.unwrap();
    without_columns(store, &key, &[METRIC, "direction"]).await;
    let shown = fixture.shown(&of("old"), "SELECT run, algorithm FROM leaderboard").await;
    assert!(shown.contains("| old | dcp       |"), "{shown}");
    if leaderboard::SCHEMA.index_of(METRIC).is_ok() {
        let sql = "SELECT metric, direction FROM leaderboard WHERE metric = 'clip-dqa'";
        let shown = fixture.shown(&of("old"), sql).await;
        assert!(shown.contains("| clip-dqa | higher    |"), "{shown}");
    }
}

#[tokio::test]
async fn each_run_has_its_own_rows() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let (shared, old) = (part(store, "dcp", "p1", 10).await, part(store, "aod", "p2", 10).await);
    let new = part(store, "aod", "p3", 12).await;
    run(store, "first", 1, RunState::Complete, vec![shared.clone(), old.clone()]).await;
    run(store, "second", 2, RunState::Complete, vec![new.clone()]).await;
    // A newer run in progress. Parts that it shares with complete runs still belong to those runs.
    let missing = PartRef { key: part_key("d", "aod", "p4"), ..new };
    let begun = PartRef { algorithm: "gca".parse().unwrap(), ..part(store, "gca", "p5", 7).await };
    run(store, "third", 3, RunState::Running, vec![missing, begun]).await;
    assert_eq!(fixture.rows(&of("first")).await, 20);
    assert_eq!(fixture.rows(&of("second")).await, 12);
    assert_eq!(fixture.rows(&of("third")).await, 7);
    assert_eq!(fixture.rows(&Selection::All).await, 20 + 12 + 7);
    let both = Selection::Runs(vec!["first".parse().unwrap(), "second".parse().unwrap()]);
    insta::assert_snapshot!(
        fixture.shown(&both, "SELECT run, algorithm, count(*) AS n FROM scores GROUP BY 1, 2 ORDER BY 1, 2").await,
        @"
    +--------+-----------+----+
    | run    | algorithm | n  |
    +--------+-----------+----+
    | first  | aod       | 10 |
    | first  | dcp       | 10 |
    | second | aod       | 12 |
    +--------+-----------+----+
    "
    );
    let second = "SELECT run, image FROM scores WHERE run = 'second' AND windows > 0 ORDER BY image LIMIT 1";
    insta::assert_snapshot!(fixture.shown(&both, second).await, @"
    +--------+-------+
    | run    | image |
    +--------+-------+
    | second | 0.png |
    +--------+-------+
    ");
    // A run that shares rows: they count once for each run, and must not be aggregated together.
    run(store, "again", 4, RunState::Complete, vec![shared]).await;
    let context = open_session(store, &Selection::All).await.unwrap();
    let error = query(&context, "SELECT count(*) FROM scores").await.unwrap_err();
    assert!(matches!(&error, SqlError::MixedRuns { .. }) && error.hint().is_some(), "{error}");
    let frame = query_mixing(&context, "SELECT count(*) FROM scores").await.unwrap();
    let count = frame.collect().await.unwrap()[0].column(0).as_primitive::<Int64Type>().value(0);
    assert_eq!(count, 20 + 12 + 7 + 10);
}

#[tokio::test]
async fn a_complete_run_without_a_part_is_an_error() {
    let fixture = Fixture::new();
    let part = part(&fixture.store, "dcp", "p1", 3).await;
    fixture.store.delete(&part.key).await.unwrap();
    run(&fixture.store, "r", 1, RunState::Complete, vec![part]).await;
    let error = open_session(&fixture.store, &Selection::All).await.err().unwrap();
    assert!(matches!(error, SqlError::MissingPart { .. }), "{error}");
    assert!(matches!(open_session(&fixture.store, &of("q")).await.err().unwrap(), SqlError::Run(_)));
}

#[tokio::test]
async fn tables_are_there_by_their_names() {
    let fixture = Fixture::new();
    let parts = vec![part(&fixture.store, "dcp", "p1", 8).await, part(&fixture.store, "aod", "p2", 8).await];
    run(&fixture.store, "r", 86_400, RunState::Complete, parts).await;
    let board = LeaderboardRow { run: "r".to_owned(), algorithm: "dcp".to_owned(), ..LeaderboardRow::default() };
    let file = parquet_file::write(&leaderboard::SCHEMA, &[leaderboard::to_batch(&[board])], &[]).unwrap();
    fixture.store.put(&report_key(LEADERBOARD, &"r".parse().unwrap()), file).await.unwrap();
    let context = open_session(&fixture.store, &Selection::All).await.unwrap();
    let sql = "SELECT algorithm, count(*), srcc(score, mos) FROM scores WHERE dataset = 'd' GROUP BY 1 ORDER BY 1";
    let batches = query(&context, sql).await.unwrap().collect().await.unwrap();
    assert_eq!(batches[0].column(2).as_primitive::<Float64Type>().values(), &[-1.0, -1.0]);
    insta::assert_snapshot!("runs", fixture.shown(&of("r"), "SELECT * FROM runs").await);
    insta::assert_snapshot!(
        "leaderboard",
        fixture.shown(&of("r"), "SELECT run, algorithm, rank FROM leaderboard").await
    );
    for empty in [CORRELATIONS, CROSS_DATASET] {
        let rows = query(&context, &format!("SELECT * FROM {empty}")).await.unwrap().collect().await.unwrap();
        assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 0);
    }
    let shown = fixture.shown(&Selection::All, "SHOW TABLES").await;
    for table in crate::TABLES {
        assert!(shown.contains(table), "{table} in {shown}");
    }
}

/// Sessions as on a coordinator and its workers: no store is registered.
#[tokio::test]
async fn tables_are_at_addresses_that_others_can_read() {
    let fixture = Fixture::new();
    let parts = vec![part(&fixture.store, "dcp", "p1", 8).await, part(&fixture.store, "aod", "p2", 8).await];
    run(&fixture.store, "r", 86_400, RunState::Complete, parts).await;
    let context = SessionContext::new_with_config_rt(SessionConfig::new(), new_runtime(memory()).unwrap());
    register_tables(&context, &fixture.store, &of("r")).await.unwrap();
    let sql = "SELECT algorithm, count(*), srcc(score, mos), count(DISTINCT part) FROM scores GROUP BY 1 ORDER BY 1";
    let batches = query(&context, sql).await.unwrap().collect().await.unwrap();
    assert_eq!(pretty_format_batches(&batches).unwrap().to_string(), fixture.shown(&of("r"), sql).await);
    assert_eq!(batches[0].num_rows(), 2);
}

#[tokio::test]
async fn an_empty_store_has_empty_tables() {
    let fixture = Fixture::new();
    assert_eq!(fixture.rows(&Selection::All).await, 0);
}

#[tokio::test]
async fn a_query_only_reads() {
    let fixture = Fixture::new();
    let context = open_session(&fixture.store, &Selection::All).await.unwrap();
    for sql in [
        "CREATE TABLE t AS SELECT 1",
        "DROP TABLE scores",
        "INSERT INTO runs SELECT * FROM runs",
        "COPY runs TO 'x.csv'",
        "SET datafusion.execution.batch_size = 1",
        "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/tmp'",
        "SELECT nothing FROM scores",
        "SELEC 1",
    ] {
        assert!(matches!(query(&context, sql).await.unwrap_err(), SqlError::Query(_)), "{sql}");
    }
    for sql in ["EXPLAIN SELECT srcc(score, mos) FROM scores", "DESCRIBE scores", "SHOW TABLES"] {
        query(&context, sql).await.unwrap().collect().await.unwrap();
    }
}
